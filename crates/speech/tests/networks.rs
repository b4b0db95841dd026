//! The networks as this crate runs them, against numbers of their authors' PyTorch code (`golden/`, made by
//! `models/golden.py`). Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

mod reference;

use ort::value::TensorRef;
use reference::{clip, golden, numbers, open};
use serde_json::Value;
use speech::embed::SpeakerModel;
use speech::vad::Vad;
use speech::{Cancel, Session, similarity};

/// The samples of an entry: of its clip, from `start`, as many as `samples` says.
fn samples(entry: &Value) -> Vec<f32> {
    let all = clip(entry["clip"].as_str().unwrap());
    let start = entry["start"].as_u64().unwrap_or(0) as usize;
    let count = entry["samples"]
        .as_u64()
        .map_or(all.len() - start, |n| n as usize);
    all[start..start + count].to_vec()
}

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
    let mut helped = reference::speaker();
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
    let mut model = reference::speaker();
    for entry in golden("narrow")["narrow"].as_array().unwrap() {
        let narrow = telephone(&samples(entry));
        let voiceprint = model.embed(&narrow, &Cancel::new()).unwrap();
        let cosine = similarity::cosine(&voiceprint, &numbers(&entry["embedding"])).unwrap();
        assert!(cosine >= 0.99999, "{}: cosine {cosine}", entry["clip"]);
    }
}

#[test]
fn full_and_narrow_windows_of_one_batch_each_have_their_network() {
    let mut model = reference::speaker();
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

#[test]
fn who_speaks_in_ten_seconds_is_what_the_reference_says() {
    let mut session = open("pyannote_segmentation_3.onnx", Session::open);
    let entry = &golden("segmentation")["segmentation"];
    let samples = samples(entry);
    let input = TensorRef::from_array_view(([1, 1, samples.len()], samples.as_slice())).unwrap();
    let outputs = session
        .run(ort::inputs!["samples" => input], &Cancel::new())
        .unwrap();
    let (shape, values) = outputs[0].try_extract_tensor::<f32>().unwrap();
    assert_eq!(shape[..], [1, 589, 7]);
    let frames: Vec<&[f32]> = values.chunks(7).collect();
    let best = |frame: &[f32]| {
        (0..7)
            .max_by(|a, b| frame[*a].total_cmp(&frame[*b]))
            .unwrap()
    };
    let classes: String = frames.iter().map(|f| best(f).to_string()).collect();
    assert_eq!(classes, entry["classes"].as_str().unwrap());
    let every = entry["every"].as_u64().unwrap() as usize;
    for (frame, wanted) in frames
        .iter()
        .step_by(every)
        .zip(entry["log_probabilities"].as_array().unwrap())
    {
        for (got, wanted) in frame.iter().zip(numbers::<f32>(wanted)) {
            assert!(
                (got.exp() - wanted.exp()).abs() < 1e-3,
                "probability {} instead of {}",
                got.exp(),
                wanted.exp()
            );
        }
    }
}
