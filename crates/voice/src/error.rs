//! What can go wrong with voices.

/// Errors of voiceprints, scores and groups.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model failed, or the work was cancelled.
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// Less audio than the model can work with.
    #[error("the audio is too short: {got_ms} ms, at least {need_ms} ms are needed")]
    TooShort {
        /// Length of the audio, milliseconds.
        got_ms: u64,
        /// Length needed, milliseconds.
        need_ms: u64,
    },
    /// A recording in which nothing sounds: every sample is the same.
    #[error("the audio is digital silence")]
    Silent,
    /// Clustering would take more memory than it may.
    #[error("grouping these voiceprints takes {} MB of memory, the limit is {} MB", need.div_ceil(1_000_000), limit / 1_000_000)]
    Memory {
        /// Bytes needed.
        need: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Reading or decoding the recording failed.
    #[error(transparent)]
    Audio(audio::Error),
    /// An argument outside its range.
    #[error("{0}")]
    Invalid(String),
}

impl From<audio::Error> for Error {
    fn from(e: audio::Error) -> Self {
        match e {
            audio::Error::Cancelled => Error::Onnx(onnx::Error::Cancelled),
            other => Error::Audio(other),
        }
    }
}

impl From<ort::Error> for Error {
    fn from(e: ort::Error) -> Self {
        Error::Onnx(e.into())
    }
}
