//! Speaker models of all families, by networks of their published inputs, outputs and metadata (`fixtures/speaker`, made by `make.py`),
//! whose weights are random: they show that features and tensors are what such a model takes. Needs AI_AUDIO_ORT (`make -s test-env`), and
//! the clips in target/speech.

use std::path::{Path, PathBuf};

use onnx::{Cancel, SessionOptions};
use serde_json::Value;
use voice::embed::SpeakerModel;

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures/speaker").join(name)
}

fn try_open(path: &Path, options: &SessionOptions) -> Result<SpeakerModel, onnx::Error> {
    SpeakerModel::open(&testing::runtime(), path, options)
}

fn open(name: &str) -> SpeakerModel {
    try_open(&fixture(name), &SessionOptions::default()).unwrap()
}

/// What the reference front ends' features give, and the samples they are of.
fn said() -> (Value, Vec<f32>) {
    let said: Value =
        serde_json::from_slice(&std::fs::read(fixture("said.json")).unwrap()).unwrap();
    let samples = said["samples"].as_u64().unwrap() as usize;
    let clip = testing::clip(said["clip"].as_str().unwrap());
    (said, clip[..samples].to_vec())
}

fn assert_close(got: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        let apart = (got - wanted).abs();
        assert!(apart <= tolerance, "{got} is {apart} from {wanted}");
    }
}

#[test]
fn each_family_hears_its_own_features() {
    let (said, samples) = said();
    for name in ["wespeaker", "3d-speaker", "titanet"] {
        let mut model = open(&format!("{name}.onnx"));
        assert_eq!(model.dimensions(), 64, "{name}");
        let got = model.embed(&samples, &Cancel::new()).unwrap();
        let wanted: Vec<f32> = testing::numbers(&said[name]);
        let largest = wanted.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert_close(&got, &wanted, 1e-3 * largest);
    }
}

/// NeMo's features are padded to sixteen frames: what is added is not heard, of whatever length.
#[test]
fn a_batch_gives_what_its_windows_give() {
    let (_, samples) = said();
    for name in ["wespeaker.onnx", "titanet.onnx"] {
        let mut model = open(name);
        for length in [6400, 8000, 16_159] {
            let windows = [&samples[..length], &samples[9000..][..length]];
            let together = model.embed_batch(&windows, &Cancel::new()).unwrap();
            for (window, got) in windows.iter().zip(together) {
                let alone = model.embed(window, &Cancel::new()).unwrap();
                assert_close(&got, &alone, 1e-4);
            }
        }
    }
}

/// The optimised copy keeps the metadata.
#[test]
fn a_model_says_the_same_from_its_optimised_copy() {
    let (said, samples) = said();
    let cache = tempfile::tempdir().unwrap();
    let options = SessionOptions {
        cache_dir: Some(cache.path().join("copies")),
        ..SessionOptions::default()
    };
    for _ in 0..2 {
        let mut model = try_open(&fixture("titanet.onnx"), &options).unwrap();
        let got = model.embed(&samples, &Cancel::new()).unwrap();
        assert_close(&got, &testing::numbers::<f32>(&said["titanet"]), 1e-2);
    }
    assert_eq!(
        std::fs::read_dir(cache.path().join("copies"))
            .unwrap()
            .count(),
        1
    );
}

#[test]
fn what_does_not_fit_is_refused_with_the_reason() {
    let refusal = |path: &Path| match try_open(path, &SessionOptions::default()) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{} was taken", path.display()),
    };
    let said = refusal(&fixture("telephone.onnx"));
    assert!(said.contains("8000 Hz"), "{said}");
    let models = PathBuf::from(std::env::var("AI_AUDIO_MODELS").expect("make -s test-env"));
    let said = refusal(&models.join("silero_vad_16k_sequence.onnx"));
    assert!(
        said.contains("[N, T, 80]") && said.contains("nemo"),
        "{said}"
    );
}
