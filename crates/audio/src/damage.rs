//! What of a recording could not be decoded, for whoever should be told.

use std::sync::{Mutex, PoisonError};

/// Kept until somebody takes it; no more than this many, so that it needs no memory to speak of.
const MOST: usize = 16;

/// Damaged packets, for which silence stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Damage {
    /// How much there was, milliseconds.
    pub ms: u64,
    /// Where the first of it was, milliseconds from the start of the recording.
    pub at_ms: u64,
}

static FOUND: Mutex<Vec<Damage>> = Mutex::new(Vec::new());

pub(crate) fn add(damage: Damage) {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if found.len() < MOST && !found.contains(&damage) {
        found.push(damage);
    }
}

/// The damage that was found since the last call, in this process.
pub fn take() -> Vec<Damage> {
    std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner))
}
