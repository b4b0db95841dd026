//! The ONNX Runtime library: opened once per process.

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::{Error, SessionOptions, provider, session};

/// The oldest ONNX Runtime that tests run with.
const OLDEST_MINOR: u32 = 22;

/// An opened ONNX Runtime library: one per process, cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    version: Arc<str>,
    path: Arc<Path>,
}

static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Opens the library at an absolute path; later calls return the one that is open.
    ///
    /// # Errors
    /// [`Error::Library`] if it is missing, is no ONNX Runtime, is older than 1.22, or if another one is open already.
    pub fn load(library: &Path) -> Result<Self, Error> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = loaded.as_ref() {
            if *runtime.path != *library {
                let reason = format!(
                    "\"{}\" is already open; reconnect to change it",
                    runtime.path.display()
                );
                return Err(library_error(library, reason));
            }
            return Ok(runtime.clone());
        }
        let version = version_of(library)?;
        let environment = ort::init_from(library)
            .map_err(|e| library_error(library, e))?
            .with_name("ai_audio")
            .with_telemetry(false)
            .build()
            .map_err(|e| library_error(library, e))?;
        // Failures come back as errors; ONNX Runtime's own log would repeat them on the server's standard error.
        environment.set_log_level(LogLevel::Fatal);
        let runtime = Runtime {
            environment,
            version: version.into(),
            path: library.into(),
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// The execution providers that the library was built with, by ONNX Runtime's names. Whether they work here is another
    /// question: [`Runtime::place`].
    pub fn providers(&self) -> Vec<String> {
        provider::available()
    }

    /// What a model would run on now: the name of the device, or "cpu", with the reason where another was asked for.
    pub fn place(&self, options: &SessionOptions) -> String {
        match session::place(self, options) {
            Ok(kind) => kind.to_string(),
            Err(reason) => format!("cpu: {}", session::brief(&reason)),
        }
    }

    /// The library's version, for example `1.32.0`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Asks the library itself for its version, so that one that is too old gets a clear error.
fn version_of(library: &Path) -> Result<String, Error> {
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    if library.is_absolute() && !library.is_file() && library.exists() {
        return Err(library_error(library, "it is not a regular file"));
    }
    if !library.is_absolute() {
        return Err(library_error(library, "the path must be absolute"));
    }
    // SAFETY: the path is chosen by the administrator, who vouches for the library's initialisers.
    let handle =
        unsafe { libloading::Library::new(library) }.map_err(|e| library_error(library, e))?;
    // SAFETY: `OrtGetApiBase` has had this signature in every release; the version is a static C string.
    let version = unsafe {
        let base: libloading::Symbol<GetApiBase> = handle
            .get(b"OrtGetApiBase\0")
            .map_err(|_| library_error(library, "it is not ONNX Runtime"))?;
        let text: *const c_char = ((*base()).GetVersionString)();
        CStr::from_ptr(text).to_string_lossy().into_owned()
    };
    let minor = version
        .split('.')
        .nth(1)
        .and_then(|x| x.parse::<u32>().ok())
        .unwrap_or(0);
    if minor < OLDEST_MINOR && version.starts_with("1.") {
        return Err(library_error(
            library,
            format!("it is version {version}, at least 1.{OLDEST_MINOR} is needed"),
        ));
    }
    std::mem::forget(handle); // stays open: unloading would run its destructors under live sessions
    Ok(version)
}

fn library_error(path: &Path, reason: impl ToString) -> Error {
    Error::Library {
        path: path.into(),
        reason: reason.to_string(),
    }
}
