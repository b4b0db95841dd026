//! Any bytes, decoded whole: whatever comes out is finite and no longer than allowed.
#![no_main]

use std::sync::atomic::AtomicBool;

use audio::{Input, SAMPLE_RATE, Selection};
use libfuzzer_sys::fuzz_target;

const SECONDS: u64 = 60;

fuzz_target!(init: fuzz::own_panics_only(), |data: &[u8]| {
    let selection = Selection { max_duration_ms: SECONDS * 1000, ..Selection::default() };
    let input = Input::Bytes(data.into());
    if let Ok(audio) = audio::decode(&input, &selection, &AtomicBool::new(false)) {
        assert!(audio.samples.len() as u64 <= SECONDS * u64::from(SAMPLE_RATE));
        assert!(audio.samples.iter().all(|sample| sample.is_finite()));
    }
});
