//! Silero VAD as this crate runs it, against numbers of its authors' PyTorch code (`crates/testing/golden`, made by
//! `models/golden.py`). Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

use onnx::Cancel;
use testing::{golden, numbers, open, samples};
use vad::Vad;

#[test]
fn speech_probabilities_are_the_references() {
    let mut vad = open("silero_vad_16k_sequence.onnx", Vad::open);
    let entry = &golden("vad")["vad"];
    let got = vad.probabilities(&samples(entry), &Cancel::new()).unwrap();
    let wanted = numbers::<f32>(&entry["probabilities"]);
    assert!(got.len() >= wanted.len());
    let furthest = got
        .iter()
        .zip(&wanted)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(furthest < 1e-3, "a probability is {furthest} off");
}
