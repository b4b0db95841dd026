//! What can go wrong in this crate.

use std::path::PathBuf;

/// Errors of the speech crate. Messages name what was wrong and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's [`Cancel`](crate::Cancel) fired.
    #[error("cancelled")]
    Cancelled,
    /// The ONNX Runtime library could not be opened, or is too old.
    #[error("cannot use the ONNX Runtime library \"{}\": {reason}", path.display())]
    Library {
        /// The library asked for.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// A model file could not be read or is not the kind of model it is registered as.
    #[error("cannot load the model file \"{}\": {reason}", path.display())]
    Model {
        /// The model file.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// ONNX Runtime failed while running a model.
    #[error("inference failed: {0}")]
    Inference(String),
    /// Less audio than the model can work with.
    #[error("the audio is too short: {got_ms} ms, at least {need_ms} ms are needed")]
    TooShort {
        /// Length of the audio, milliseconds.
        got_ms: u64,
        /// Length needed, milliseconds.
        need_ms: u64,
    },
    /// Clustering would take more memory than it may.
    #[error("grouping these voiceprints takes {} MB of memory, the limit is {} MB", need.div_ceil(1_000_000), limit / 1_000_000)]
    Memory {
        /// Bytes needed.
        need: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A recording in which nothing sounds: every sample is the same.
    #[error("the audio is digital silence")]
    Silent,
    /// An argument outside its range.
    #[error("{0}")]
    Invalid(String),
    /// Reading or decoding the recording failed.
    #[error(transparent)]
    Audio(#[from] audio::Error),
}

impl From<ort::Error> for Error {
    fn from(e: ort::Error) -> Self {
        Error::Inference(e.to_string())
    }
}
