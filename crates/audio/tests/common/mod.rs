//! Shared by the tests: fixtures, the signal in them, and how well two signals agree.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audio::{Audio, Error, Input, Selection};

pub static GO: AtomicBool = AtomicBool::new(false);

/// The compressed files that tests/fixtures/make.py made.
pub const FIXTURES: [&str; 11] = [
    "chirp.mp3",
    "chirp_cbr_untagged.mp3",
    "chirp.ogg",
    "chirp.opus",
    "chirp.webm",
    "chirp.m4a",
    "chirp.aac",
    "quiet_alac.m4a",
    "quiet_flac.mka",
    "video.mp4",
    "video.mkv",
];

pub fn fixture_bytes(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(path).expect("fixture")
}

pub fn bytes(data: impl Into<Arc<[u8]>>) -> Input {
    Input::Bytes(data.into())
}

pub fn fixture(name: &str) -> Input {
    bytes(fixture_bytes(name))
}

/// A file of the development recordings, or `None` (said aloud) where AI_AUDIO_SPEECH is not set.
pub fn recordings() -> Option<PathBuf> {
    let root = std::env::var_os("AI_AUDIO_SPEECH").map(PathBuf::from);
    if root.is_none() {
        println!("skipped: AI_AUDIO_SPEECH is not set");
    }
    root
}

pub fn file(path: PathBuf) -> Input {
    Input::File(Arc::new(
        std::fs::File::open(&path).unwrap_or_else(|e| panic!("{path:?}: {e}")),
    ))
}

pub fn decode(input: &Input) -> Result<Audio, Error> {
    audio::decode(input, &Selection::default(), &GO)
}

pub fn range(start_ms: u64, end_ms: u64) -> Selection {
    Selection {
        start_ms: Some(start_ms),
        end_ms: Some(end_ms),
        ..Selection::default()
    }
}

/// The fixtures' signal at any rate: see tests/fixtures/make.py.
pub fn chirp(rate: u32, seconds: f64) -> Vec<f32> {
    use std::f64::consts::TAU;
    (0..(seconds * f64::from(rate)) as usize)
        .map(|n| {
            let t = n as f64 / f64::from(rate);
            let level = 0.5 * (0.6 + 0.4 * (TAU * 3.0 * t).sin());
            (level * (TAU * (200.0 * t + 350.0 * t * t)).sin()) as f32
        })
        .collect()
}

/// How exactly a range of a file equals the slice of the whole, in dB. Opus and AAC carry state that a run-up only approaches: the
/// first its filters, the second the noise generator that stands in for hiss; and so does AMR's comfort noise.
pub fn range_error_db(codec: &str) -> f64 {
    match codec {
        "aac" | "amr_nb" | "amr_wb" => -20.0,
        "opus" => -40.0,
        _ => -60.0,
    }
}

pub fn sine(hz: f64, rate: u32, seconds: f64, level: f64) -> Vec<f32> {
    let step = std::f64::consts::TAU * hz / f64::from(rate);
    (0..(seconds * f64::from(rate)) as usize)
        .map(|n| (level * (step * n as f64).sin()) as f32)
        .collect()
}

pub fn rms(samples: &[f32]) -> f64 {
    (samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64)
        .sqrt()
}

/// Error of `got` against `wanted`, relative to the level of `wanted`, in dB (lower is better).
pub fn error_db(wanted: &[f32], got: &[f32]) -> f64 {
    let difference: Vec<f32> = wanted.iter().zip(got).map(|(a, b)| a - b).collect();
    20.0 * (rms(&difference) / rms(wanted).max(1e-12))
        .max(1e-12)
        .log10()
}

/// Delay of `got` in samples, searched within +-`reach`, and the correlation there.
pub fn delay(wanted: &[f32], got: &[f32], reach: i64) -> (i64, f64) {
    let middle = wanted.len() / 4..wanted.len() * 3 / 4;
    let correlation = |lag: i64| {
        let (mut ab, mut aa, mut bb) = (0.0, 1e-12, 1e-12);
        for i in middle.clone() {
            let Some(b) = usize::try_from(i as i64 + lag)
                .ok()
                .and_then(|j| got.get(j))
            else {
                continue;
            };
            let (a, b) = (f64::from(wanted[i]), f64::from(*b));
            ab += a * b;
            aa += a * a;
            bb += b * b;
        }
        ab / (aa * bb).sqrt()
    };
    let best = (-reach..=reach).map(|lag| (lag, correlation(lag)));
    best.fold(
        (0, -2.0),
        |best, next| if next.1 > best.1 { next } else { best },
    )
}

/// A WAV file of interleaved samples: `tag` 1 is integer PCM, 3 float, 6 A-law, 7 mu-law (the data is given encoded).
pub fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels.wrapping_mul(bits / 8);
    let mut out = b"RIFF".to_vec();
    out.extend((36 + data.len() as u32).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0");
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend((rate.wrapping_mul(block.into())).to_le_bytes());
    out.extend(block.to_le_bytes());
    out.extend(bits.to_le_bytes());
    out.extend(b"data");
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
    out
}

pub fn pcm16(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|s| ((s * 32767.0).round() as i16).to_le_bytes())
        .collect()
}

pub fn float32(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}
