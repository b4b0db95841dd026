//! How a session is opened, and what all of them have in common.

use std::path::PathBuf;
use std::sync::Arc;

use ort::ep::{CPU, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;

use crate::{Cancel, Error, Places, Provider, Runtime};

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
    /// What runs the graph. A device that cannot is a warning, and the processor runs it.
    pub provider: Provider,
    /// Where sessions that were opened with these options ended up.
    pub places: Arc<Places>,
    /// Stops the opening.
    pub cancel: Arc<Cancel>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            cache_dir: None,
            prepack: false,
            provider: Provider::default(),
            places: Arc::default(),
            cancel: Arc::default(),
        }
    }
}

pub(crate) fn builder(
    runtime: &Runtime,
    options: &SessionOptions,
    device: Option<ExecutionProviderDispatch>,
) -> Result<SessionBuilder, Error> {
    // No arena: it would keep the largest activation for the life of the process.
    let processor = CPU::default().with_arena_allocator(false).build();
    let providers: Vec<_> = device.into_iter().chain([processor]).collect();
    let mut builder = ort::session::Session::builder(runtime.environment())?
        .with_log_level(LogLevel::Fatal)
        .map_err(ort::Error::from)?
        .with_intra_threads(options.threads.max(1))
        .map_err(ort::Error::from)?
        // Idle threads of one backend must not burn the cores of the others.
        .with_config_entry("session.force_spinning_stop", "1")
        .map_err(ort::Error::from)?
        .with_execution_providers(providers)
        .map_err(ort::Error::from)?
        // Without an arena a pattern is one block for all activations of a run, tens of megabytes that the C library maps and
        // faults in anew each time. One by one they are found again on its heap, and take less together.
        .with_memory_pattern(false)
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
