//! The speaker model as this crate runs it, against numbers of its authors' PyTorch code (`crates/testing/golden`, made by
//! `models/golden.py`). Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

use onnx::Cancel;
use testing::{golden, numbers, open, samples};
use voice::embed::SpeakerModel;
use voice::similarity;

#[test]
fn voiceprints_are_the_references_at_every_length() {
    let mut model = open("campplus_zh_en.onnx", SpeakerModel::open);
    let entries = &golden("embeddings")["embeddings"];
    for entry in entries.as_array().unwrap() {
        let voiceprint = model.embed(&samples(entry), &Cancel::new()).unwrap();
        let cosine = similarity::cosine(&voiceprint, &numbers(&entry["embedding"])).unwrap();
        assert!(
            cosine >= 0.99999,
            "{} ({} frames): cosine {cosine}",
            entry["clip"],
            entry["frames"]
        );
    }
}

/// What a telephone leaves: an ideal filter at 3.9 kHz, 8 ms long on each side.
fn telephone(samples: &[f32]) -> Vec<f32> {
    let cut = 3900.0 / 16_000.0;
    let taps: Vec<f32> = (-128..=128)
        .map(|n| {
            let x = std::f32::consts::PI * n as f32;
            let sinc = if n == 0 {
                2.0 * cut
            } else {
                (2.0 * cut * x).sin() / x
            };
            // Blackman: 74 dB down beyond the slope.
            let w = x / 128.0;
            sinc * (0.42 + 0.5 * w.cos() + 0.08 * (2.0 * w).cos())
        })
        .collect();
    samples
        .windows(taps.len())
        .map(|window| window.iter().zip(&taps).map(|(x, t)| x * t).sum())
        .collect()
}

#[test]
fn voices_on_the_telephone_are_nearer_to_themselves_by_a_network_of_their_own() {
    let mut plain = open("campplus_zh_en.onnx", SpeakerModel::open);
    let mut helped = testing::speaker();
    let mut gained = 0.0;
    let clips = ["austen-1.wav", "dickens-1.wav", "cards-1.wav"];
    for clip in clips {
        let wide = samples(&serde_json::json!({"clip": clip}));
        let narrow = telephone(&wide);
        let embed =
            |model: &mut SpeakerModel, samples| model.embed(samples, &Cancel::new()).unwrap();
        let whole = embed(&mut plain, &wide);
        assert_eq!(
            whole,
            embed(&mut helped, &wide),
            "{clip}: wide-band speech is as it is"
        );
        let [before, after] = [&mut plain, &mut helped]
            .map(|model| similarity::cosine(&whole, &embed(model, &narrow)).unwrap());
        println!("{clip}: {before:.3} to {after:.3}");
        gained += (after - before) / clips.len() as f64;
    }
    assert!(gained > 0.03, "{gained}");
}

#[test]
fn narrow_voiceprints_are_the_references() {
    let mut model = testing::speaker();
    for entry in golden("narrow")["narrow"].as_array().unwrap() {
        let narrow = telephone(&samples(entry));
        let voiceprint = model.embed(&narrow, &Cancel::new()).unwrap();
        let cosine = similarity::cosine(&voiceprint, &numbers(&entry["embedding"])).unwrap();
        assert!(cosine >= 0.99999, "{}: cosine {cosine}", entry["clip"]);
    }
}

#[test]
fn full_and_narrow_windows_of_one_batch_each_have_their_network() {
    let mut model = testing::speaker();
    let wide = &samples(&serde_json::json!({"clip": "austen-1.wav"}))[..48_000 + 256];
    let narrow = telephone(wide);
    let windows = [&narrow[..], &wide[..48_000], &narrow[..]];
    let together = model.embed_batch(&windows, &Cancel::new()).unwrap();
    for (window, voiceprint) in windows.iter().zip(&together) {
        let alone = model.embed(window, &Cancel::new()).unwrap();
        assert!(similarity::cosine(&alone, voiceprint).unwrap() >= 0.999999);
    }
}

#[test]
fn a_batch_gives_the_voiceprints_of_single_runs() {
    let mut model = open("campplus_zh_en.onnx", SpeakerModel::open);
    let whole = samples(&serde_json::json!({"clip": "conversation.wav"}));
    let windows: Vec<&[f32]> = [7, 12, 15, 22]
        .iter()
        .map(|s| &whole[s * 16_000..s * 16_000 + 24_000])
        .collect();
    let together = model.embed_batch(&windows, &Cancel::new()).unwrap();
    for (window, voiceprint) in windows.iter().zip(&together) {
        let alone = model.embed(window, &Cancel::new()).unwrap();
        assert!(similarity::cosine(&alone, voiceprint).unwrap() >= 0.999999);
    }
}
