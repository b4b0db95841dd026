//! What can go wrong in this crate, and with any model.

use std::path::{Path, PathBuf};

/// Errors of the library and of models. Messages name what was wrong and what would be right. Crates that can fail in
/// other ways too wrap it in an error of their own.
#[derive(Debug, thiserror::Error)]
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
    /// The device that models were to run on cannot be used.
    #[error("{0}")]
    Provider(String),
    /// ONNX Runtime failed while running a model.
    #[error("inference failed: {0}")]
    Inference(String),
}

impl Error {
    /// An [`Error::Model`].
    pub fn model(path: &Path, reason: impl ToString) -> Self {
        Error::Model {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

impl From<ort::Error> for Error {
    fn from(e: ort::Error) -> Self {
        Error::Inference(e.to_string())
    }
}
