//! Models in ONNX Runtime: a model file in, a session that runs it out. Nothing here knows what a model is for.
//!
//! 1. `runtime.rs`: the library, opened once per process ([`Runtime`]);
//! 2. `options.rs`: how a session is opened ([`SessionOptions`]);
//! 3. `provider.rs`: where graphs run ([`Provider`]), and `slots.rs`: how many at once on a device;
//! 4. `cache.rs`: copies of models optimised for this machine, shared by all processes;
//! 5. `session.rs`: a model ready to run ([`Session`]);
//! 6. `cancel.rs`: stopping a run from another thread ([`Cancel`]);
//! 7. `error.rs`: what can go wrong with any model ([`Error`]);
//! 8. [`warnings`]: what should be told although the work went on.
#![warn(missing_docs)]

mod cache;
mod cancel;
mod error;
mod options;
mod provider;
mod runtime;
mod session;
mod slots;
pub mod warnings;

pub use cache::is_private;
pub use cancel::Cancel;
pub use error::Error;
pub use options::SessionOptions;
pub use provider::{Kind, Places, Provider};
pub use runtime::Runtime;
pub use session::{Session, regular};
