//! Features against reference implementations.

mod common;

use audio::fbank::{self, Fbank};
use audio::logmel::LogMel;
use common::*;
use serde_json::Value;

fn golden(text: &[u8]) -> Value {
    serde_json::from_slice(text).expect("golden file")
}

fn rows(value: &Value) -> Vec<f32> {
    let row = |row: &Value| -> Vec<f32> {
        row.as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap() as f32)
            .collect()
    };
    value.as_array().unwrap().iter().flat_map(row).collect()
}

fn furthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn fbank_is_kaldis() {
    let golden = golden(&fixture_bytes("fbank.json"));
    let got = Fbank::new().compute(&chirp(16_000, 0.2));
    let off = furthest(&rows(&golden["features"]), &got);
    assert!(off < 0.002, "furthest value off by {off}");
}

/// 3D-Speaker's own features of real speech.
#[test]
fn fbank_is_what_campplus_was_trained_on() {
    let Some(root) = recordings() else { return };
    let golden = golden(&std::fs::read(root.join("golden/campplus_fbank.json")).unwrap());
    let audio = decode(&file(root.join(golden["path"].as_str().unwrap()))).unwrap();
    let samples = golden["samples"].as_u64().unwrap() as usize;
    let got = Fbank::new().compute(&audio.samples[..samples]);
    let off = furthest(&rows(&golden["fbank_minus_mean"]), &got);
    assert!(off < 0.001, "furthest value off by {off}");
}

#[test]
fn fbank_frames_are_whole_windows() {
    let samples = chirp(16_000, 0.1);
    for (count, wanted) in [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (1600, 8)] {
        assert_eq!(fbank::frames(count), wanted);
        assert_eq!(
            Fbank::new().compute(&samples[..count]).len(),
            wanted * fbank::BINS
        );
    }
}

#[test]
fn fbank_of_silence_is_zero_and_a_reused_extractor_has_no_memory() {
    let mut fbank = Fbank::new();
    let first = fbank.compute(&chirp(16_000, 0.3));
    assert!(fbank.compute(&[0.0; 8000]).iter().all(|v| *v == 0.0));
    assert!(first == fbank.compute(&chirp(16_000, 0.3)));
}

#[test]
fn logmel_is_whispers() {
    let golden = golden(&fixture_bytes("logmel.json"));
    for mels in [80, 128] {
        let got = LogMel::new(mels).compute(&chirp(16_000, 0.1));
        let off = furthest(&rows(&golden[mels.to_string()]), &got);
        assert!(off < 0.001, "{mels} mels: furthest value off by {off}");
    }
}

#[test]
fn logmel_takes_any_length() {
    let mut logmel = LogMel::new(80);
    for samples in [0, 1, 2, 159, 160, 161, 399, 16_000] {
        let got = logmel.compute(&chirp(16_000, 1.0)[..samples]);
        assert_eq!(got.len(), 80 * LogMel::frames(samples));
        assert!(got.iter().all(|v| v.is_finite()));
    }
}

#[test]
fn white_noise_has_the_power_it_should() {
    let mut state = 1u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let noise: Vec<f32> = (0..160_000).map(|_| uniform()).collect();
    let mut fbank = Fbank::new();
    let (_, power) = fbank.compute_with_power(&noise);
    // A uniform number in [-1, 1] has variance 1/3. Bin 0 lacks what goes with the mean of each window.
    for (bin, (got, wanted)) in power.iter().zip(fbank.white_noise()).enumerate().skip(2) {
        let ratio = 3.0 * got / wanted;
        assert!((0.85..1.15).contains(&ratio), "bin {bin}: {ratio}");
    }
}
