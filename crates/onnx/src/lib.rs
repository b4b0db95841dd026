//! Models in ONNX Runtime: a model file in, a session that runs it out. Nothing here knows what a model is for.
//!
//! 1. `runtime.rs`: the library, opened once per process ([`Runtime`]);
//! 2. `options.rs`: how a session is opened ([`SessionOptions`]);
//! 3. `cache.rs`: copies of models optimised for this machine, shared by all processes;
//! 4. `session.rs`: a model ready to run ([`Session`]);
//! 5. `cancel.rs`: stopping a run from another thread ([`Cancel`]);
//! 6. `error.rs`: what can go wrong with any model ([`Error`]);
//! 7. [`warnings`]: what should be told although the work went on.
#![warn(missing_docs)]

mod cache;
mod cancel;
mod error;
mod options;
mod runtime;
mod session;
pub mod warnings;

pub use cache::is_private;
pub use cancel::Cancel;
pub use error::Error;
pub use options::SessionOptions;
pub use runtime::Runtime;
pub use session::{Session, regular};
