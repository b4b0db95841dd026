//! Models optimised for this machine, shared by all processes that run them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use memmap2::Mmap;
use ort::session::builder::GraphOptimizationLevel;
use sha2::{Digest, Sha256};

use crate::options::builder;
use crate::{Error, Runtime, SessionOptions, warnings};

/// The end of a copy: this, and the CRC-32 of all before it. Nothing in a network shows that a bit of it has flipped.
const SEAL: &[u8; 8] = b"ai_audio";

/// A model's optimised copy, mapped. It is what was written, as far as its checksum tells.
pub(crate) struct Copy(Mmap);

impl Copy {
    /// The model in ORT format.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0[..self.0.len() - SEAL.len() - 4]
    }

    /// Maps a copy; `None` if it is not whole.
    fn open(path: &Path) -> std::io::Result<Option<Self>> {
        let file = File::open(path)?;
        // SAFETY: copies are private to the server's account, written once under another name and never changed.
        let copy = Copy(unsafe { Mmap::map(&file) }?);
        let whole = copy.0.len() >= SEAL.len() + 4 && {
            let (sum, seal) = (crc32fast::hash(copy.bytes()), &copy.0[copy.bytes().len()..]);
            seal[..SEAL.len()] == SEAL[..] && seal[SEAL.len()..] == sum.to_le_bytes()
        };
        Ok(whole.then_some(copy))
    }

    /// Seals the file that ONNX Runtime wrote.
    fn seal(path: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        // SAFETY: this process wrote it, under a name of its own.
        let sum = crc32fast::hash(&unsafe { Mmap::map(&file) }?);
        file.write_all(SEAL)?;
        file.write_all(&sum.to_le_bytes())
    }
}

/// This machine's optimised copy of a model, made if it is not there or damaged. `None` if it cannot be made: the model
/// then loads from its own file, slower and with private weights.
pub(crate) fn copy(
    runtime: &Runtime,
    model: &Path,
    dir: &Path,
    options: &SessionOptions,
) -> Option<Copy> {
    let path = dir.join(cache_name(runtime, model)?);
    create_private_dir(dir).ok()?;
    if !is_private(dir).ok()? {
        return None;
    }
    if path.is_file() {
        if let Some(copy) = Copy::open(&path).ok()? {
            return Some(copy);
        }
        warnings::add(format!(
            "the optimised copy \"{}\" of a model was damaged and is made anew",
            path.display()
        ));
    }
    let partial = dir.join(format!(
        "{}.{}",
        path.file_name()?.to_str()?,
        std::process::id()
    ));
    let made = optimise(runtime, model, &partial, options).and_then(|()| {
        Copy::seal(&partial)
            .and_then(|()| fs::rename(&partial, &path)) // whole or not at all, whoever else is at it
            .map_err(|e| Error::model(&path, e))
    });
    if made.is_err() {
        let _ = fs::remove_file(&partial);
    }
    made.ok().and_then(|()| Copy::open(&path).ok().flatten())
}

pub(crate) fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

/// Whether nobody but this process's user can put files into a directory: what lies there is run.
///
/// # Errors
/// What the operating system says of a directory that cannot be looked at.
pub fn is_private(dir: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(dir)?;
    // SAFETY: no preconditions.
    let own = meta.uid() == unsafe { libc::geteuid() };
    Ok(meta.is_dir() && own && meta.mode() & 0o022 == 0)
}

fn optimise(
    runtime: &Runtime,
    model: &Path,
    target: &Path,
    options: &SessionOptions,
) -> Result<(), Error> {
    let mut builder = builder(runtime, options, None)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .and_then(|b| b.with_config_entry("session.save_model_format", "ORT"))
        .and_then(|b| b.with_optimized_model_path(target))
        .map_err(ort::Error::from)?;
    options.cancel.watch_load(&mut builder, |builder| {
        builder
            .commit_from_file(model)
            .map(drop)
            .map_err(|e| Error::model(model, e))
    })
}

/// A name that changes with the model, the ONNX Runtime and the processor: the top optimisation level writes layouts
/// that fit one instruction set only.
fn cache_name(runtime: &Runtime, model: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let model = model.canonicalize().ok()?;
    let meta = model.metadata().ok()?;
    let mut hash = Sha256::new();
    hash.update(model.as_os_str().as_encoded_bytes());
    for number in [
        meta.len() as i64,
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ino() as i64,
    ] {
        hash.update(number.to_le_bytes());
    }
    hash.update(SEAL); // copies of another form are of no use
    hash.update(runtime.version().as_bytes());
    hash.update(processor());
    let digest: String = hash
        .finalize()
        .iter()
        .take(12)
        .map(|b| format!("{b:02x}"))
        .collect();
    let stem: String = model
        .file_stem()?
        .to_str()?
        .chars()
        .filter(char::is_ascii_graphic)
        .take(40)
        .collect();
    Some(format!("{stem}-{digest}.ort"))
}

/// The first processor's entry in /proc/cpuinfo without its clock, or the architecture where there is none.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = info.split("\n\n").next().unwrap_or_default();
    let lasting = first
        .lines()
        .filter(|l| !l.starts_with("cpu MHz") && !l.starts_with("bogomips"));
    std::iter::once(std::env::consts::ARCH)
        .chain(lasting)
        .collect::<Vec<_>>()
        .join("\n")
}
