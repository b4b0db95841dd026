use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::Error;

/// What [`open_file`] may open.
#[derive(Clone, Debug)]
pub struct FileRules {
    /// Directories that files must lie in after all links are resolved. Empty: no restriction.
    /// A directory that is relative or does not exist allows nothing.
    pub allowed_dirs: Vec<PathBuf>,
    /// Largest file, in bytes.
    pub max_bytes: u64,
}

/// Opens a regular file for reading.
///
/// The file is pinned first, without opening it for I/O (`O_PATH`), then checked, then opened
/// through the pin. So there is no moment between check and use in which the path could be made to
/// lead elsewhere, a pipe cannot hang, and a device is never touched. Needs Linux and `/proc`.
///
/// # Errors
/// One variant for each of: absent, not permitted, not regular, outside the allowed directories,
/// too large. Outside the allowed directories nothing is told about a file, not even whether it
/// exists.
pub fn open_file(path: &Path, rules: &FileRules) -> Result<File, Error> {
    let allowed = AllowedDirs::new(&rules.allowed_dirs);
    let pin = pin(path).map_err(|cause| match allowed.may_reveal(path) {
        true => failure(path, cause),
        false => outside(path),
    })?;
    let handle = format!("/proc/self/fd/{}", pin.as_raw_fd());
    let real = fs::read_link(&handle).map_err(|cause| failure(path, cause))?;
    if !allowed.contain(&real) {
        return Err(outside(path));
    }
    let metadata = pin.metadata().map_err(|cause| failure(path, cause))?;
    check_kind_and_size(path, &metadata, rules.max_bytes)?;
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(&handle)
        .map_err(|cause| failure(path, cause))
}

fn pin(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(path)
}

fn check_kind_and_size(path: &Path, metadata: &Metadata, limit: u64) -> Result<(), Error> {
    if !metadata.is_file() {
        return Err(Error::NotRegular {
            path: path.to_owned(),
            kind: kind(metadata),
        });
    }
    if metadata.len() > limit {
        let bytes = metadata.len();
        return Err(Error::FileTooLarge {
            path: path.to_owned(),
            bytes,
            limit,
        });
    }
    Ok(())
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "directory",
        () if kind.is_fifo() => "named pipe",
        () if kind.is_socket() => "socket",
        () if kind.is_char_device() || kind.is_block_device() => "device",
        () => "special file",
    }
}

fn outside(path: &Path) -> Error {
    Error::OutsideAllowedDirs {
        path: path.to_owned(),
    }
}

fn failure(path: &Path, cause: io::Error) -> Error {
    let path = path.to_owned();
    match cause.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path },
        io::ErrorKind::PermissionDenied => Error::PermissionDenied { path },
        _ => Error::File { path, cause },
    }
}

/// The allowed directories with their links resolved; `None` allows everything.
struct AllowedDirs(Option<Vec<PathBuf>>);

impl AllowedDirs {
    fn new(dirs: &[PathBuf]) -> Self {
        let real = |dir: &PathBuf| {
            dir.is_absolute()
                .then(|| fs::canonicalize(dir).ok())
                .flatten()
        };
        Self((!dirs.is_empty()).then(|| dirs.iter().filter_map(real).collect()))
    }

    /// `real` has no links left. `starts_with` compares whole components.
    fn contain(&self, real: &Path) -> bool {
        match &self.0 {
            None => true,
            Some(dirs) => dirs.iter().any(|dir| real.starts_with(dir)),
        }
    }

    /// Whether the deepest directory of `path` that can be reached is an allowed one. If not, even
    /// "does not exist" would be an answer about something that is none of the caller's business.
    fn may_reveal(&self, path: &Path) -> bool {
        let reached = path.ancestors().find_map(|p| fs::canonicalize(p).ok());
        reached.is_some_and(|real| self.contain(&real))
    }
}
