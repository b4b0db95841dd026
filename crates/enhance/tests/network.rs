//! GTCRN as this crate runs it, against its published graph run frame by frame (`crates/testing/golden/enhance.json`, made by
//! `models/golden_gtcrn.py`). Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

use enhance::Enhancer;
use onnx::{Cancel, Error};
use testing::{golden, numbers, open, samples};

fn network() -> Enhancer {
    open("gtcrn.onnx", Enhancer::open)
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|x| x * x).sum()
}

/// Even noise of 0.05 at most.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) as f32 / 8_388_608.0 - 1.0) * 0.05
    };
    (0..count).map(|_| next()).collect()
}

/// The clip of the golden values, in noise.
fn noisy() -> Vec<f32> {
    let clip = samples(&golden("enhance"));
    let noise = noise(clip.len());
    clip.iter().zip(noise).map(|(x, n)| x + n).collect()
}

fn enhanced(samples: &[f32], piece: usize, limit_db: f32) -> Vec<f32> {
    let (mut network, cancel) = (network(), Cancel::new());
    let mut stream = network.stream(limit_db);
    let mut all = Vec::new();
    for part in samples.chunks(piece) {
        all.extend(stream.push(part, &cancel).unwrap());
    }
    all.extend(stream.finish(&cancel).unwrap());
    all
}

#[test]
fn the_voice_is_the_references() {
    let entry = golden("enhance");
    let wanted = numbers::<f32>(&entry["voice"]);
    let got = enhanced(&noisy(), 160_000, f32::INFINITY);
    let step = entry["step"].as_u64().unwrap() as usize;
    assert_eq!(got.len() as u64, entry["samples"].as_u64().unwrap());
    assert_eq!(got.len().div_ceil(step), wanted.len());
    for (a, b) in got.iter().step_by(step).zip(&wanted) {
        assert!((a - b).abs() < 1e-5, "{a} is not {b}");
    }
}

#[test]
fn pieces_of_any_length_give_the_same() {
    let noisy = &noisy()[..20_000];
    let whole = enhanced(noisy, noisy.len(), f32::INFINITY);
    for piece in [37, 256, 4_001] {
        let parts = enhanced(noisy, piece, f32::INFINITY);
        assert_eq!(parts.len(), whole.len());
        let off = parts.iter().zip(&whole).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-5, "in pieces of {piece}");
    }
}

#[test]
fn every_length_comes_back_whole() {
    for count in [0, 1, 255, 256, 257, 511, 512, 513] {
        assert_eq!(enhanced(&vec![0.1; count], 1_000, 12.0).len(), count);
    }
}

#[test]
fn strength_is_the_most_that_noise_is_lowered_by() {
    let noise = noise(48_000);
    let lowered = |limit_db| {
        let rest = enhanced(&noise, 160_000, limit_db);
        10.0 * (energy(&noise[16_000..]) / energy(&rest[16_000..])).log10()
    };
    let same = enhanced(&noise, 160_000, 0.0);
    assert!(same.iter().zip(&noise).all(|(a, b)| (a - b).abs() < 1e-6));
    assert!((lowered(6.0) - 6.0).abs() < 1.0, "{}", lowered(6.0));
    assert!(lowered(f32::INFINITY) > 15.0, "{}", lowered(f32::INFINITY));
}

#[test]
fn recordings_do_not_hear_each_other() {
    let (mut network, cancel) = (network(), Cancel::new());
    let noisy = &noisy()[..16_000];
    let once = |network: &mut Enhancer| network.stream(20.0).push(noisy, &cancel).unwrap();
    assert_eq!(once(&mut network), once(&mut network));
}

#[test]
fn a_cancelled_stream_stops_and_another_model_is_refused() {
    let (mut network, cancel) = (network(), Cancel::new());
    cancel.cancel();
    let stopped = network.stream(0.0).push(&[0.0; 4_096], &cancel);
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    let wrong = std::panic::catch_unwind(|| open("silero_vad_16k_sequence.onnx", Enhancer::open));
    assert!(wrong.is_err());
}
