//! What can go wrong while a recording is transcribed.

/// Errors of transcription.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model failed, or the work was cancelled.
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// Reading or decoding the recording failed.
    #[error(transparent)]
    Audio(audio::Error),
    /// An argument outside its range.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// A network gave something else than it should.
    pub(crate) fn inference(reason: impl Into<String>) -> Self {
        Error::Onnx(onnx::Error::Inference(reason.into()))
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
