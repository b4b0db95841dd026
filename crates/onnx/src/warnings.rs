//! What whoever runs the server should hear of, although the work went on.

use std::sync::{Mutex, PoisonError};

/// Kept until somebody takes them; no more than this many, so that they need no memory to speak of.
const MOST: usize = 16;

static WARNINGS: Mutex<Vec<String>> = Mutex::new(Vec::new());

pub(crate) fn add(warning: String) {
    let mut all = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() < MOST {
        all.push(warning);
    }
}

/// Adds one unless this process has had one about the same thing before.
pub(crate) fn once(about: &str, warning: String) {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.len() < MOST && !told.iter().any(|t| t == about) {
        told.push(about.into());
        add(warning);
    }
}

/// The warnings since the last call.
pub fn take() -> Vec<String> {
    std::mem::take(&mut *WARNINGS.lock().unwrap_or_else(PoisonError::into_inner))
}
