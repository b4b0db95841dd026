use std::fs::{DirBuilder, File};
use std::io::{self, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::remote::Remote;

/// Bodies up to this size stay in memory.
pub(crate) const IN_MEMORY: usize = 8 * 1024 * 1024;

/// The bytes of a fetched recording.
#[derive(Debug)]
pub enum Body {
    /// A small one.
    Bytes(Vec<u8>),
    /// One above 8 MiB, in a temporary file that has no name and vanishes when closed.
    File(File),
    /// One above 8 MiB, on a server that sends parts: it is fetched as it is read.
    Remote(Arc<Remote>),
}

/// Gathers a body, in memory first.
pub(crate) struct Spool {
    dir: PathBuf,
    kept: Kept,
}

enum Kept {
    Bytes(Vec<u8>),
    File(File),
}

impl Spool {
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self {
            dir: dir.unwrap_or_else(std::env::temp_dir),
            kept: Kept::Bytes(Vec::new()),
        }
    }

    pub(crate) fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        match &mut self.kept {
            Kept::File(file) => file.write_all(chunk),
            Kept::Bytes(bytes) if bytes.len() + chunk.len() <= IN_MEMORY => {
                bytes.extend_from_slice(chunk);
                Ok(())
            }
            Kept::Bytes(bytes) => {
                let mut file = temporary_file(&self.dir)?;
                file.write_all(bytes)?;
                file.write_all(chunk)?;
                self.kept = Kept::File(file);
                Ok(())
            }
        }
    }

    pub(crate) fn finish(mut self) -> io::Result<Body> {
        Ok(match self.take() {
            Kept::Bytes(bytes) => Body::Bytes(bytes),
            Kept::File(mut file) => {
                file.rewind()?;
                Body::File(file)
            }
        })
    }

    fn take(&mut self) -> Kept {
        std::mem::replace(&mut self.kept, Kept::Bytes(Vec::new()))
    }
}

impl Drop for Spool {
    /// What was given up is dropped without waiting: to free a gigabyte of a file takes the system longer than a
    /// cancelled statement may.
    fn drop(&mut self) {
        if let Kept::File(file) = self.take() {
            let _ = std::thread::Builder::new().spawn(move || drop(file)); // without a thread it is dropped here
        }
    }
}

/// A file without a name in a directory. A server makes its directory for temporary files only when it needs one.
///
/// # Errors
/// Those of the file system.
pub fn temporary_file(dir: &Path) -> io::Result<File> {
    match tempfile::tempfile_in(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // Another session may be faster; if it did not work, the next line says why.
            let _ = DirBuilder::new().mode(0o700).create(dir);
            tempfile::tempfile_in(dir)
        }
        outcome => outcome,
    }
}
