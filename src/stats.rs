//! Counters of this backend, shown by `ai_audio_stats()`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A counter that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    const fn new() -> Self {
        Counter(AtomicU64::new(0))
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The total.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Runs `work` and adds the microseconds it took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add_duration(start.elapsed());
        result
    }

    /// Adds the microseconds of a duration.
    pub fn add_duration(&self, d: Duration) {
        self.add(d.as_micros() as u64);
    }
}

/// Calls of functions that read a recording.
pub static CALLS: Counter = Counter::new();
/// Milliseconds of audio worked on.
pub static AUDIO_MS: Counter = Counter::new();
/// Microseconds fetching and decoding.
pub static DECODE_US: Counter = Counter::new();
/// Microseconds in models, features included.
pub static INFERENCE_US: Counter = Counter::new();
/// Models loaded.
pub static MODEL_LOADS: Counter = Counter::new();
/// Requests to language models, with those made again.
pub static LLM_CALLS: Counter = Counter::new();
/// Tokens that they read and wrote, where the server tells.
pub static LLM_TOKENS: Counter = Counter::new();
/// Microseconds waiting for them.
pub static LLM_US: Counter = Counter::new();
