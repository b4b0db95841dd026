//! A range, a channel and any bytes: seeking in damaged files. The first five bytes choose what is asked for.
#![no_main]

use std::sync::atomic::AtomicBool;

use audio::{Channel, Input, Selection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: fuzz::own_panics_only(), |data: &[u8]| {
    let Some((choice, file)) = data.split_first_chunk::<5>() else { return };
    let start = u64::from(u16::from_le_bytes([choice[0], choice[1]]));
    let length = u64::from(u16::from_le_bytes([choice[2], choice[3]])) + 1;
    let selection = Selection {
        start_ms: Some(start),
        end_ms: Some(start + length),
        channel: if choice[4] < 128 { Channel::Mix } else { Channel::Index(u32::from(choice[4] - 128)) },
        max_duration_ms: u64::MAX,
        ..Selection::default()
    };
    let input = Input::Bytes(file.into());
    if let Ok(audio) = audio::decode(&input, &selection, &AtomicBool::new(false)) {
        assert!(audio.samples.len() as u64 <= length * 16);
        assert!(audio.samples.iter().all(|sample| sample.is_finite()));
    }
});
