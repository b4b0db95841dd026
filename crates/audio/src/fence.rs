//! A fence around symphonia.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error;

/// What [`fenced`] says after a panic. What panicked must not be used again.
pub(crate) const PANICKED: &str = "the decoder gave up on it";

/// Runs a piece of symphonia. Damaged files make some of its readers panic (an `unreachable!` that a header reaches, arithmetic that
/// overflows); that must end as an error, not unwind into the caller.
pub(crate) fn fenced<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::DecodeError(PANICKED)))
}
