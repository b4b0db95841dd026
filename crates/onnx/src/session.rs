//! Sessions: models ready to run.
//!
//! Weights are the cost of a process that serves a model, so sessions share them through the page cache: the first
//! one optimises the graph for this machine and saves it in ORT format; all others map that file and use its bytes in
//! place (`session.use_ort_model_bytes_for_initializers`). A session on a device has its weights there, and is opened from
//! the model's own file: an optimised copy is laid out for the processor.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{InMemorySession, RunOptions, SessionInputValue, SessionInputs, SessionOutputs};
use ort::value::Outlet;

use crate::cache::{self, Copy};
use crate::options::builder;
use crate::provider::{Kind, Provider};
use crate::slots::{Slot, Slots};
use crate::{Cancel, Error, Runtime, SessionOptions, warnings};

enum Loaded {
    File(ort::session::Session),
    /// Declared before its bytes, which it borrows, so that it is dropped first.
    Mapped(InMemorySession<'static>, #[allow(dead_code)] Copy),
}

/// The device that a session runs on, and what it takes to leave it.
struct Device {
    kind: Kind,
    slots: Option<Slots>,
    runtime: Runtime,
    options: SessionOptions,
}

impl Device {
    fn slot(&self, cancel: &Cancel) -> Result<Option<Slot>, Error> {
        let slots = self.slots.as_ref();
        slots.map(|slots| slots.wait(cancel)).transpose()
    }
}

/// A model ready to run.
pub struct Session {
    loaded: Loaded,
    /// `None`: the processor.
    device: Option<Device>,
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
        let (loaded, device) = match on_a_device(runtime, model, options)? {
            Ok((loaded, device)) => (loaded, Some(device)),
            Err(reason) => {
                let loaded = on_the_processor(runtime, model, options)?;
                // Told now: a model that does not load anywhere is no fault of the device's.
                if let Some(reason) = reason.filter(|_| options.provider.is_named()) {
                    tell(&options.provider, options.provider.kind, &reason);
                }
                (loaded, None)
            }
        };
        let kind = device.as_ref().map_or(Kind::Cpu, |device| device.kind);
        options.places.add(kind);
        Ok(Session {
            loaded,
            device,
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

    /// Runs the graph until done or cancelled. On a device it waits for a place there; if the device fails, which may be for
    /// want of memory, this session goes on on the processor, with a warning.
    ///
    /// # Errors
    /// [`Error::Cancelled`], or [`Error::Inference`] with ONNX Runtime's reason.
    pub fn run<'s, 'i, 'v: 'i, const N: usize>(
        &'s mut self,
        inputs: impl Into<SessionInputs<'i, 'v, N>>,
        cancel: &Cancel,
    ) -> Result<SessionOutputs<'s>, Error> {
        if self.device.is_none() {
            return self.run_here(inputs, cancel);
        }
        let inputs = inputs.into();
        let this: *mut Self = self;
        // SAFETY: where the run failed nothing borrows from it; the borrow checker cannot tell that from where it did not.
        match unsafe { &mut *this }.run_on_device(&inputs, cancel) {
            Err(Error::Inference(reason) | Error::Provider(reason)) => {
                let device = self.leave_device()?;
                let outputs = self.run_here(inputs, cancel)?;
                tell(&device.options.provider, device.kind, &reason);
                Ok(outputs)
            }
            done => done,
        }
    }

    fn run_on_device<const N: usize>(
        &mut self,
        inputs: &SessionInputs<'_, '_, N>,
        cancel: &Cancel,
    ) -> Result<SessionOutputs<'_>, Error> {
        let device = self.device.as_ref();
        let _slot = device.map(|device| device.slot(cancel)).transpose()?;
        let name = |i: usize| -> Cow<str> { self.inputs()[i].name().to_string().into() };
        let values: Vec<(Cow<str>, SessionInputValue)> = match inputs {
            SessionInputs::ValueMap(map) => map
                .iter()
                .map(|(name, value)| (name.to_string().into(), value.view().into()))
                .collect(),
            SessionInputs::ValueSlice(slice) => positional(slice, name),
            SessionInputs::ValueArray(array) => positional(array, name),
        };
        self.run_here(values, cancel)
    }

    fn run_here<'s, 'i, 'v: 'i, const N: usize>(
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

    /// Opens the model on the processor instead.
    fn leave_device(&mut self) -> Result<Device, Error> {
        let device = self
            .device
            .take()
            .ok_or_else(|| Error::Inference("there is no device to leave".into()))?;
        let options = SessionOptions {
            cancel: Arc::default(), // the opening's may be long over
            ..device.options.clone()
        };
        self.loaded = on_the_processor(&device.runtime, &self.path, &options)?;
        options.places.replace(device.kind, Kind::Cpu);
        Ok(device)
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

fn positional<'a>(
    values: &'a [SessionInputValue],
    name: impl Fn(usize) -> Cow<'a, str>,
) -> Vec<(Cow<'a, str>, SessionInputValue<'a>)> {
    let values = values.iter().enumerate();
    values.map(|(i, v)| (name(i), v.view().into())).collect()
}

/// Warns that a device is not used, once per process and device.
fn tell(provider: &Provider, kind: Kind, reason: &str) {
    let about = format!("{kind} {:?}", provider.options);
    let text = format!(
        "the execution provider \"{kind}\" cannot be used, so the CPU runs the models: {}",
        brief(reason)
    );
    warnings::once(&about, text);
}

/// A reason in one line: what CUDA says is in the middle of names of files and functions.
pub(crate) fn brief(reason: &str) -> String {
    let from = reason.find("CUDA failure").unwrap_or(0);
    let reason = &reason[from..];
    let to = reason.find(" ; GPU=").unwrap_or(reason.len());
    let words: Vec<&str> = reason[..to].split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= 300 {
        return line;
    }
    line.chars().take(300).chain("...".chars()).collect()
}

/// A session on the first device that takes the model, or why none does (nothing where none was to be tried).
#[allow(clippy::type_complexity)]
fn on_a_device(
    runtime: &Runtime,
    model: &Path,
    options: &SessionOptions,
) -> Result<Result<(Loaded, Device), Option<String>>, Error> {
    let mut reason = None;
    for kind in options.provider.devices(runtime, Some(model)) {
        let device = Device {
            kind,
            slots: options.provider.slots(kind),
            runtime: runtime.clone(),
            options: options.clone(),
        };
        match open_on(&device, |builder| {
            builder.commit_from_file(model).map(Loaded::File)
        }) {
            Ok(loaded) => return Ok(Ok((loaded, device))),
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(e) => reason = reason.or(Some(e.to_string())),
        }
    }
    Ok(Err(reason))
}

/// The device that a model without any weights goes to, or why there is none.
pub(crate) fn place(runtime: &Runtime, options: &SessionOptions) -> Result<Kind, String> {
    let mut reason = None;
    for kind in options.provider.devices(runtime, None) {
        let device = Device {
            kind,
            slots: options.provider.slots(kind),
            runtime: runtime.clone(),
            options: options.clone(),
        };
        match open_on(&device, |builder| {
            builder.commit_from_memory(ABSOLUTE).map(drop)
        }) {
            Ok(()) => return Ok(kind),
            Err(e) => reason = reason.or(Some(e.to_string())),
        }
    }
    reason.map_or(Ok(Kind::Cpu), Err)
}

fn open_on<T>(
    device: &Device,
    load: impl FnOnce(&mut SessionBuilder) -> ort::Result<T>,
) -> Result<T, Error> {
    let options = &device.options;
    let failed = |e: ort::Error| Error::Provider(e.to_string());
    // ONNX Runtime tells no more than that it failed, whether an option was wrong or something is missing.
    let unusable = |e: Error| {
        let reason = match e {
            Error::Inference(reason) => reason,
            other => other.to_string(),
        };
        Error::Provider(format!(
            "{reason} (an option that it does not know, or a device or library that is not there)"
        ))
    };
    let _slot = device.slot(&options.cancel)?;
    let dispatch = options
        .provider
        .dispatch(&device.runtime, device.kind, options.threads)?;
    let mut builder = builder(&device.runtime, options, Some(dispatch)).map_err(unusable)?;
    options
        .cancel
        .watch_load(&mut builder, |builder| load(builder).map_err(failed))
}

/// An ONNX model of one operator, y = |x|, for one number.
const ABSOLUTE: &[u8] = b"\x08\x08\x3a\x32\
    \x0a\x0b\x0a\x01x\x12\x01y\x22\x03Abs\
    \x12\x01g\
    \x5a\x0f\x0a\x01x\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01\
    \x62\x0f\x0a\x01y\x12\x0a\x0a\x08\x08\x01\x12\x04\x0a\x02\x08\x01\
    \x42\x02\x10\x0d";

fn on_the_processor(
    runtime: &Runtime,
    model: &Path,
    options: &SessionOptions,
) -> Result<Loaded, Error> {
    let cached = options
        .cache_dir
        .as_deref()
        .and_then(|dir| cache::copy(runtime, model, dir, options));
    match cached.map(|copy| map(runtime, copy, options)) {
        Some(Ok(loaded)) => Ok(loaded),
        Some(Err(Error::Cancelled)) => Err(Error::Cancelled),
        _ => from_file(runtime, model, options),
    }
}

fn from_file(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Loaded, Error> {
    let mut builder = builder(runtime, options, None)?;
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
    let mut builder = builder(runtime, options, None)?
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
