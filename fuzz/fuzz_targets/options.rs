//! Any text as options: an error or values, never a panic, and what is accepted is in range.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Deserialize;

// The extension itself cannot be linked without a server; its parser knows nothing of one.
#[allow(dead_code)]
#[path = "../../src/call/options.rs"]
mod options;

#[allow(dead_code)]
mod errors {
    #[derive(Debug)]
    pub enum Error {
        Options(String),
        UnknownOption { name: String, known: String },
        WrongOption { option: String, reason: String, known: String },
    }
    impl Error {
        pub fn is_about_the_recording(&self) -> bool {
            false
        }
        pub fn warn(self) {}
    }
}

/// A field of each type that functions have.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(dead_code)]
struct Own {
    dimensions: Option<u32>,
    normalize: bool,
    temperature: Option<f32>,
    prompt: Option<String>,
    hotwords: Option<Vec<String>>,
    #[serde(deserialize_with = "options::millis")]
    min_turn: Option<u64>,
}

fuzz_target!(|text: &str| {
    let Ok(map) = options::parse_text(text) else { return };
    if let Ok((common, _)) = options::read::<Own>(map.clone()) {
        if let (Some(start), Some(end)) = (common.start_time, common.end_time) {
            assert!(start < end);
        }
        let _ = common.channel.single();
    }
    let _ = options::own::<Own>(map);
});
