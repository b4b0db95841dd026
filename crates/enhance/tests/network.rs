//! The networks as this crate runs them, against their authors' own: GTCRN's published graph run frame by frame
//! (`crates/testing/golden/enhance.json`, made by `models/golden_gtcrn.py`), and DeepFilterNet's library
//! (`deepfilternet.json`, made by `models/golden_deepfilternet.py`). Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the
//! clips in target/speech.

use enhance::Enhancer;
use onnx::{Cancel, Error};
use serde_json::Value;
use testing::{golden, numbers, open, samples};

const MODELS: [&str; 2] = ["gtcrn.onnx", "deepfilternet3.onnx"];

fn network(model: &str) -> Enhancer {
    open(model, Enhancer::open)
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

/// The clip of golden values, in noise.
fn noisy(entry: &Value) -> Vec<f32> {
    let clip = samples(entry);
    let noise = noise(clip.len());
    clip.iter().zip(noise).map(|(x, n)| x + n).collect()
}

/// 16 kHz to 48, as simply as can be.
fn raised(samples: &[f32]) -> Vec<f32> {
    samples.iter().flat_map(|&x| [x; 3]).collect()
}

fn enhanced(network: &mut Enhancer, samples: &[f32], piece: usize, limit_db: f32) -> Vec<f32> {
    let cancel = Cancel::new();
    let mut stream = network.stream(limit_db);
    let mut all = Vec::new();
    for part in samples.chunks(piece) {
        all.extend(stream.push(part, &cancel).unwrap());
    }
    all.extend(stream.finish(&cancel).unwrap());
    all
}

#[track_caller]
fn assert_golden(entry: &Value, name: &str, got: &[f32]) {
    let wanted = numbers::<f32>(&entry[name]);
    let step = entry["step"].as_u64().unwrap() as usize;
    assert_eq!(got.len().div_ceil(step), wanted.len());
    for (i, (a, b)) in got.iter().step_by(step).zip(&wanted).enumerate() {
        assert!((a - b).abs() < 1e-5, "{name}: {a} is not {b} at {i}");
    }
}

#[test]
fn gtcrns_voice_is_the_references() {
    let entry = golden("enhance");
    let got = enhanced(
        &mut network("gtcrn.onnx"),
        &noisy(&entry),
        160_000,
        f32::INFINITY,
    );
    assert_golden(&entry, "voice", &got);
}

#[test]
fn deepfilternets_voice_is_the_librarys() {
    let entry = golden("deepfilternet");
    let noisy = raised(&noisy(&entry));
    let mut network = network("deepfilternet3.onnx");
    let limit_db = entry["limit_db"].as_f64().unwrap() as f32;
    for (name, limit_db) in [("voice", f32::INFINITY), ("limited", limit_db)] {
        let got = enhanced(&mut network, &noisy, 160_000, limit_db);
        assert_golden(&entry, name, &got);
    }
}

#[test]
fn pieces_of_any_length_give_the_same() {
    for model in MODELS {
        let (mut network, noisy) = (network(model), &noisy(&golden("enhance"))[..20_000]);
        let whole = enhanced(&mut network, noisy, noisy.len(), 40.0);
        for piece in [37, 256, 4_001] {
            let parts = enhanced(&mut network, noisy, piece, 40.0);
            assert_eq!(parts.len(), whole.len());
            let off = parts.iter().zip(&whole).map(|(a, b)| (a - b).abs());
            assert!(
                off.fold(0.0, f32::max) < 1e-5,
                "{model} in pieces of {piece}"
            );
        }
    }
}

#[test]
fn every_length_comes_back_whole() {
    for model in MODELS {
        let mut network = network(model);
        for count in [0, 1, 255, 256, 257, 479, 480, 481, 959, 960, 961] {
            let got = enhanced(&mut network, &vec![0.1; count], 1_000, 12.0);
            assert_eq!(got.len(), count, "{model}");
        }
    }
}

#[test]
fn strength_is_the_most_that_noise_is_lowered_by() {
    let noise = noise(96_000);
    for model in MODELS {
        let mut network = network(model);
        let same = enhanced(&mut network, &noise, 160_000, 0.0);
        assert!(same.iter().zip(&noise).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut lowered = |limit_db| {
            let rest = enhanced(&mut network, &noise, 160_000, limit_db);
            10.0 * (energy(&noise[48_000..]) / energy(&rest[48_000..])).log10()
        };
        let (some, all) = (lowered(6.0), lowered(f32::INFINITY));
        assert!((some - 6.0).abs() < 1.0, "{model}: {some} dB at 6");
        assert!(all > 15.0, "{model}: {all} dB without a limit");
    }
}

#[test]
fn recordings_do_not_hear_each_other() {
    for model in MODELS {
        let (mut network, cancel) = (network(model), Cancel::new());
        let noisy = &noisy(&golden("enhance"))[..16_000];
        let once = |network: &mut Enhancer| network.stream(20.0).push(noisy, &cancel).unwrap();
        assert_eq!(once(&mut network), once(&mut network));
    }
}

#[test]
fn a_cancelled_stream_stops() {
    for model in MODELS {
        let (mut network, cancel) = (network(model), Cancel::new());
        cancel.cancel();
        let stopped = network.stream(0.0).push(&[0.0; 4_096], &cancel);
        assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
    }
}

#[test]
fn another_model_is_refused_with_what_would_be_right() {
    let wrong = std::panic::catch_unwind(|| open("silero_vad_16k_sequence.onnx", Enhancer::open));
    let message = *wrong.err().unwrap().downcast::<String>().unwrap();
    assert!(
        message.contains("spectra") && message.contains("erb"),
        "{message}"
    );
}
