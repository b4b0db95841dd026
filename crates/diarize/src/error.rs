//! What can go wrong while a recording is diarized.

/// Errors of diarization.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model failed, or the work was cancelled.
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// Measuring or grouping voices failed otherwise.
    #[error(transparent)]
    Voice(voice::Error),
    /// Reading or decoding the recording failed.
    #[error(transparent)]
    Audio(audio::Error),
    /// An argument outside its range.
    #[error("{0}")]
    Invalid(String),
}

impl From<voice::Error> for Error {
    fn from(e: voice::Error) -> Self {
        match e {
            voice::Error::Onnx(e) => Error::Onnx(e),
            other => Error::Voice(other),
        }
    }
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
