//! Networks, clips and reference values, for tests that compare them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::de::DeserializeOwned;
use serde_json::Value;
use speech::embed::SpeakerModel;
use speech::{Error, Runtime, SessionOptions};

/// `golden/NAME.json`.
pub fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A list of values.
pub fn numbers<T: DeserializeOwned>(values: &Value) -> Vec<T> {
    serde_json::from_value(values.clone()).unwrap()
}

/// The samples of a clip in target/speech.
pub fn clip(name: &str) -> Vec<f32> {
    let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/speech");
    read(&clips.join(name))
}

/// The samples of a recording.
pub fn read(path: &Path) -> Vec<f32> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| {
        panic!(
            "{}: {e} (clips: models/fetch --only speech)",
            path.display()
        )
    });
    let input = audio::Input::File(Arc::new(file));
    audio::decode(
        &input,
        &audio::Selection::default(),
        &AtomicBool::new(false),
    )
    .unwrap()
    .samples
}

/// The speaker model as the extension opens it: with its network for narrow recordings.
#[allow(dead_code)] // one of the tests has no voices
pub fn speaker() -> SpeakerModel {
    open("campplus_zh_en.onnx", |runtime, path, options| {
        let mut model = SpeakerModel::open(runtime, path, options)?;
        let narrow = path.with_file_name("campplus_zh_en_narrow.onnx");
        model.help_narrow(runtime, &narrow, options);
        Ok::<_, Error>(model)
    })
}

/// Opens a model on one thread.
pub fn open<M, E: std::fmt::Debug>(
    name: &str,
    open: fn(&Runtime, &Path, &SessionOptions) -> Result<M, E>,
) -> M {
    let variable = |name: &str| {
        std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: make -s test-env"))
    };
    let runtime = Runtime::load(Path::new(&variable("AI_AUDIO_ORT"))).unwrap();
    let path = PathBuf::from(variable("AI_AUDIO_MODELS")).join(name);
    open(
        &runtime,
        &path,
        &SessionOptions {
            threads: 1,
            ..SessionOptions::default()
        },
    )
    .unwrap()
}
