//! Models optimised for this machine, shared by all processes that run them.

use std::fs;
use std::path::{Path, PathBuf};

use ort::session::builder::GraphOptimizationLevel;
use sha2::{Digest, Sha256};

use crate::options::builder;
use crate::{Error, Runtime, SessionOptions};

/// The path of this machine's optimised copy of a model, made if it is not there. `None` if it cannot be made: the
/// model then loads from its own file, slower and with private weights.
pub(crate) fn copy(
    runtime: &Runtime,
    model: &Path,
    dir: &Path,
    options: &SessionOptions,
) -> Option<PathBuf> {
    let copy = dir.join(cache_name(runtime, model)?);
    create_private_dir(dir).ok()?;
    if !is_private(dir).ok()? {
        return None;
    }
    if copy.is_file() {
        return Some(copy);
    }
    let partial = dir.join(format!(
        "{}.{}",
        copy.file_name()?.to_str()?,
        std::process::id()
    ));
    let made = optimise(runtime, model, &partial, options).and_then(|()| {
        fs::rename(&partial, &copy).map_err(|e| Error::model(&copy, e)) // whole or not at all, whoever else is at it
    });
    if made.is_err() {
        let _ = fs::remove_file(&partial);
    }
    made.ok().map(|()| copy)
}

fn create_private_dir(dir: &Path) -> std::io::Result<()> {
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
    let mut builder = builder(runtime, options)?
        .with_optimization_level(GraphOptimizationLevel::All)
        .and_then(|b| b.with_config_entry("session.save_model_format", "ORT"))
        .and_then(|b| b.with_optimized_model_path(target))
        .map_err(ort::Error::from)?;
    builder
        .commit_from_file(model)
        .map(drop)
        .map_err(|e| Error::model(model, e))
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
