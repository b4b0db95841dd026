//! The ONNX Runtime library and the sessions that run models in it.
//!
//! Weights are the cost of a process that serves a model, so sessions share them through the page cache: the first
//! one optimises the graph for this machine and saves it in ORT format; all others map that file and use its bytes in
//! place (`session.use_ort_model_bytes_for_initializers`).

use std::ffi::{CStr, c_char};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::Mmap;
use ort::environment::Environment;
use ort::ep::CPU;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{InMemorySession, RunOptions, SessionInputs, SessionOutputs};
use ort::value::Outlet;

use crate::cache;
use crate::{Cancel, Error};

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

    /// The library's version, for example `1.31.1`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// Asks the library itself for its version, so that one that is too old gets a clear error.
fn version_of(library: &Path) -> Result<String, Error> {
    type GetApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
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

/// How a session is opened.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// Threads inside one operator, at least 1.
    pub threads: usize,
    /// Where optimised, mapped copies live; `None`: load the model file itself.
    pub cache_dir: Option<PathBuf>,
    /// Let ONNX Runtime rearrange weights at load: private memory and load time, for speed where kernels need it
    /// (quantised matrix products do, convolutions in the cached NCHWc layout do not).
    pub prepack: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            cache_dir: None,
            prepack: false,
        }
    }
}

enum Loaded {
    File(ort::session::Session),
    /// Declared before its bytes, which it borrows, so that it is dropped first.
    Mapped(InMemorySession<'static>, #[allow(dead_code)] Mmap),
}

/// A model ready to run.
pub struct Session {
    loaded: Loaded,
    run_options: Arc<RunOptions>,
    path: PathBuf,
}

impl Session {
    /// Opens a model in ONNX or ORT format.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or is not a model this ONNX Runtime can run.
    pub fn open(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Self, Error> {
        let cached = options
            .cache_dir
            .as_deref()
            .and_then(|dir| cache::copy(runtime, model, dir, options));
        let loaded = match cached.and_then(|copy| map(runtime, &copy, options).ok()) {
            Some(loaded) => loaded,
            None => from_file(runtime, model, options)?,
        };
        Ok(Session {
            loaded,
            run_options: Arc::new(RunOptions::new()?),
            path: model.into(),
        })
    }

    /// The model file this session was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The graph's inputs.
    pub fn inputs(&self) -> &[Outlet] {
        self.get().inputs()
    }

    /// The graph's outputs.
    pub fn outputs(&self) -> &[Outlet] {
        self.get().outputs()
    }

    /// A value of the model's metadata.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.get().metadata().ok()?.custom(key)
    }

    /// Runs the graph until done or cancelled.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or [`Error::Inference`] with ONNX Runtime's reason.
    pub fn run<'s, 'i, 'v: 'i, const N: usize>(
        &'s mut self,
        inputs: impl Into<SessionInputs<'i, 'v, N>>,
        cancel: &Cancel,
    ) -> Result<SessionOutputs<'s>, Error> {
        let _watch = cancel.watch(&self.run_options)?;
        let outputs = match &mut self.loaded {
            Loaded::File(session) => session.run_with_options(inputs, &*self.run_options),
            Loaded::Mapped(session, _) => session.run_with_options(inputs, &*self.run_options),
        };
        outputs.map_err(|e| {
            if cancel.is_cancelled() {
                Error::Cancelled
            } else {
                e.into()
            }
        })
    }

    fn get(&self) -> &ort::session::Session {
        match &self.loaded {
            Loaded::File(session) => session,
            Loaded::Mapped(session, _) => session,
        }
    }
}

pub(crate) fn model_error(path: &Path, reason: impl ToString) -> Error {
    Error::Model {
        path: path.into(),
        reason: reason.to_string(),
    }
}

pub(crate) fn builder(
    runtime: &Runtime,
    options: &SessionOptions,
) -> Result<SessionBuilder, Error> {
    let mut builder = ort::session::Session::builder(&runtime.environment)?
        .with_log_level(LogLevel::Fatal)
        .map_err(ort::Error::from)?
        .with_intra_threads(options.threads.max(1))
        .map_err(ort::Error::from)?
        // Idle threads of one backend must not burn the cores of the others.
        .with_config_entry("session.force_spinning_stop", "1")
        .map_err(ort::Error::from)?
        // No arena: it would keep the largest activation for the life of the process.
        .with_execution_providers([CPU::default().with_arena_allocator(false).build()])
        .map_err(ort::Error::from)?;
    if int8_saturates() {
        builder = builder
            .with_config_entry("session.x64quantprecision", "1")
            .map_err(ort::Error::from)?;
    }
    Ok(builder)
}

/// Whether this processor sums products of int8 in 16 bits, where large ones are cut off: x86 before VNNI.
fn int8_saturates() -> bool {
    #[cfg(target_arch = "x86_64")]
    let saturates =
        !(is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni"));
    #[cfg(not(target_arch = "x86_64"))]
    let saturates = false;
    saturates
}

fn from_file(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Loaded, Error> {
    let mut builder = builder(runtime, options)?;
    builder
        .commit_from_file(model)
        .map(Loaded::File)
        .map_err(|e| model_error(model, e))
}

fn map(runtime: &Runtime, copy: &Path, options: &SessionOptions) -> Result<Loaded, Error> {
    let file = File::open(copy).map_err(|e| model_error(copy, e))?;
    // SAFETY: copies are private to the server's account, written once under another name and never changed.
    let bytes = unsafe { Mmap::map(&file) }.map_err(|e| model_error(copy, e))?;
    // SAFETY: the mapping does not move and `Loaded::Mapped` drops it after the session.
    let borrowed: &'static [u8] =
        unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
    let mut builder = builder(runtime, options)?
        .with_optimization_level(GraphOptimizationLevel::Disable)
        .and_then(|b| b.with_prepacking(options.prepack))
        .map_err(ort::Error::from)?;
    let session = builder
        .commit_from_memory_directly(borrowed)
        .map_err(|e| model_error(copy, e))?;
    Ok(Loaded::Mapped(session, bytes))
}
