//! What of a recording could not be heard, for whoever should be told.

use std::sync::{Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Kept until somebody takes it; no more than this many, so that it needs no memory to speak of.
const MOST: usize = 16;

/// A part of a recording that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Damage {
    /// Damaged packets and holes, for which silence stands.
    Silence {
        /// How much there was, milliseconds.
        ms: u64,
        /// Where the first of it was, milliseconds from the start of the recording.
        at_ms: u64,
    },
    /// The file ends before its headers say.
    Cut {
        /// How much is missing, milliseconds.
        ms: u64,
        /// Where it ends, milliseconds.
        at_ms: u64,
    },
    /// Bytes behind the end in which there is more than tags: another file, or damage.
    Behind {
        /// How many.
        bytes: u64,
        /// Where the recording ends, milliseconds.
        at_ms: u64,
    },
}

static FOUND: Mutex<Vec<(ThreadId, Damage)>> = Mutex::new(Vec::new());

pub(crate) fn add(damage: Damage) {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let entry = (thread::current().id(), damage);
    if found.len() < MOST && !found.contains(&entry) {
        found.push(entry);
    }
}

/// The damage that was found since the last call, in this process.
pub fn take() -> Vec<Damage> {
    let found = std::mem::take(&mut *FOUND.lock().unwrap_or_else(PoisonError::into_inner));
    let mut all = Vec::new();
    for (_, damage) in found {
        if !all.contains(&damage) {
            all.push(damage);
        }
    }
    all
}

/// The damage that this thread has found since the last call.
pub fn take_here() -> Vec<Damage> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let here = thread::current().id();
    let (mine, others) = found.drain(..).partition(|(thread, _)| *thread == here);
    *found = others;
    let mine: Vec<(ThreadId, Damage)> = mine;
    mine.into_iter().map(|(_, damage)| damage).collect()
}
