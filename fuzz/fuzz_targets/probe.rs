//! Any bytes: what are they?
#![no_main]

use std::sync::atomic::AtomicBool;

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::own_panics_only(), |data: &[u8]| {
    let input = audio::Input::Bytes(data.into());
    let _ = audio::probe(&input, &AtomicBool::new(false));
});
