//! What the tests of several crates share: networks, clips, and the values of reference implementations (`golden/`). No other
//! crate uses it except in tests.
//!
//! In: names of networks, clips and values; out: them, opened or read; all in this file. What is missing is a panic that says
//! how it is made. `examples/speakers.rs` needs all crates, so it is here too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use onnx::{Runtime, SessionOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;
use voice::embed::SpeakerModel;

/// `golden/NAME.json`.
pub fn golden(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.json"));
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

/// The samples of an entry: of its clip, from `start`, as many as `samples` says.
pub fn samples(entry: &Value) -> Vec<f32> {
    let all = clip(entry["clip"].as_str().unwrap());
    let start = entry["start"].as_u64().unwrap_or(0) as usize;
    let count = entry["samples"]
        .as_u64()
        .map_or(all.len() - start, |n| n as usize);
    all[start..start + count].to_vec()
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
pub fn speaker() -> SpeakerModel {
    open("campplus_zh_en.onnx", |runtime, path, options| {
        let mut model = SpeakerModel::open(runtime, path, options)?;
        let narrow = path.with_file_name("campplus_zh_en_narrow.onnx");
        model.help_narrow(runtime, &narrow, options);
        Ok::<_, onnx::Error>(model)
    })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: make -s test-env"))
}

/// ONNX Runtime.
pub fn runtime() -> Runtime {
    Runtime::load(Path::new(&variable("AI_AUDIO_ORT"))).unwrap()
}

/// Opens a model on one thread.
pub fn open<M, E: std::fmt::Debug>(
    name: &str,
    open: fn(&Runtime, &Path, &SessionOptions) -> Result<M, E>,
) -> M {
    let runtime = runtime();
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
