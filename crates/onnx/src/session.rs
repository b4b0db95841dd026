//! Sessions: models ready to run.
//!
//! Weights are the cost of a process that serves a model, so sessions share them through the page cache: the first
//! one optimises the graph for this machine and saves it in ORT format; all others map that file and use its bytes in
//! place (`session.use_ort_model_bytes_for_initializers`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{InMemorySession, RunOptions, SessionInputs, SessionOutputs};
use ort::value::Outlet;

use crate::cache::{self, Copy};
use crate::options::builder;
use crate::{Cancel, Error, Runtime, SessionOptions};

enum Loaded {
    File(ort::session::Session),
    /// Declared before its bytes, which it borrows, so that it is dropped first.
    Mapped(InMemorySession<'static>, #[allow(dead_code)] Copy),
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
        options.cancel.check()?;
        regular(model)?;
        let cached = options
            .cache_dir
            .as_deref()
            .and_then(|dir| cache::copy(runtime, model, dir, options));
        let loaded = match cached.map(|copy| map(runtime, copy, options)) {
            Some(Ok(loaded)) => loaded,
            Some(Err(Error::Cancelled)) => return Err(Error::Cancelled),
            _ => from_file(runtime, model, options)?,
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

/// That a part of a model is a regular file: to open anything else, a FIFO above all, may take for ever.
///
/// # Errors
/// [`Error::Model`].
pub fn regular(model: &Path) -> Result<(), Error> {
    match std::fs::metadata(model) {
        Ok(meta) if meta.is_file() => Ok(()),
        Ok(_) => Err(Error::model(model, "it is not a regular file")),
        Err(e) => Err(Error::model(model, e)),
    }
}

fn from_file(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Loaded, Error> {
    let mut builder = builder(runtime, options)?;
    options.cancel.watch_load(&mut builder, |builder| {
        builder
            .commit_from_file(model)
            .map(Loaded::File)
            .map_err(|e| Error::model(model, e))
    })
}

fn map(runtime: &Runtime, copy: Copy, options: &SessionOptions) -> Result<Loaded, Error> {
    // SAFETY: the mapping does not move and `Loaded::Mapped` drops it after the session.
    let borrowed: &'static [u8] =
        unsafe { std::slice::from_raw_parts(copy.bytes().as_ptr(), copy.bytes().len()) };
    let mut builder = builder(runtime, options)?
        .with_optimization_level(GraphOptimizationLevel::Disable)
        .and_then(|b| b.with_prepacking(options.prepack))
        .map_err(ort::Error::from)?;
    let session = options.cancel.watch_load(&mut builder, |builder| {
        builder
            .commit_from_memory_directly(borrowed)
            .map_err(Error::from)
    })?;
    Ok(Loaded::Mapped(session, copy))
}
