//! SenseVoice and Paraformer, by networks of their published inputs and outputs (`fixtures/funasr`, made by `make.py`): no weights of
//! theirs were at hand. Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onnx::{Cancel, SessionOptions};
use transcribe::{Error, Language, Model, Options, Sentence, Task, Transcriber};
use vad::Vad;

const RATE: usize = 16_000;

fn folder(name: &str) -> PathBuf {
    Path::new("tests/fixtures/funasr").join(name)
}

fn open(folder: &Path) -> Result<Model, onnx::Error> {
    Model::open(&testing::runtime(), folder, &SessionOptions::default())
}

fn reader(samples: &[f32]) -> audio::Reader<'static> {
    let wav = audio::wav::write(samples, RATE as u32);
    audio::Reader::open(
        &audio::Input::Bytes(Arc::from(wav)),
        &audio::Selection::default(),
    )
    .unwrap()
}

fn try_sentences(
    model: &mut Model,
    samples: &[f32],
    options: &Options,
) -> Result<Vec<Sentence>, Error> {
    let mut vad = testing::open("silero_vad_16k_sequence.onnx", Vad::open);
    let mut transcriber = Transcriber::new(reader(samples), 0, options.clone());
    let mut all = Vec::new();
    while let Some(some) = transcriber.next(model, &mut vad, &Cancel::new())? {
        all.extend(some);
    }
    Ok(all)
}

fn sentences(model: &mut Model, samples: &[f32], options: &Options) -> Vec<Sentence> {
    try_sentences(model, samples, options).unwrap()
}

fn text(sentences: &[Sentence]) -> String {
    let texts: Vec<&str> = sentences.iter().map(|s| s.text.as_str()).collect();
    texts.join("|")
}

/// A few seconds of speech that are one chunk.
fn speech() -> Vec<f32> {
    testing::clip("june-1.wav")[..2 * RATE].to_vec()
}

fn language(code: &str) -> Option<Language> {
    Some(Language::parse(code).unwrap())
}

#[test]
fn sense_voice_writes_numerals_or_words_in_the_language_heard_or_given() {
    for name in ["sensevoice-sherpa", "sensevoice-funasr"] {
        let mut model = open(&folder(name)).unwrap();
        assert!(model.has_itn());
        for (lang, itn, wanted, code) in [
            (None, None, "你好300元。", "zh"),
            (None, Some(false), "你好三百元", "zh"),
            (language("zh"), Some(true), "你好300元。", "zh"),
            (language("en"), None, "hello world.", "en"),
            (language("en"), Some(false), "hello world", "en"),
        ] {
            let options = Options {
                language: lang,
                itn,
                words: true,
                ..Options::default()
            };
            let found = sentences(&mut model, &speech(), &options);
            assert_eq!(text(&found), wanted, "{name}, {lang:?}, {itn:?}");
            assert_eq!(found[0].language.code(), code);
            assert!(!found[0].approximate && found[0].confidence > 0.9);
            let words = &found[0].words;
            assert!(words.iter().all(|w| w.start_ms < w.end_ms));
            assert!(words.windows(2).all(|w| w[0].end_ms <= w[1].start_ms));
        }
    }
}

#[test]
fn traditional_characters_are_written_where_they_are_asked_for() {
    let mut model = open(&folder("paraformer-funasr")).unwrap();
    let options = Options {
        language: language("zh-TW"),
        ..Options::default()
    };
    assert_eq!(
        text(&sentences(&mut model, &speech(), &options)),
        "你好 world CCTV 再見"
    );
}

#[test]
fn paraformer_joins_parts_of_words_and_tells_times_where_it_has_them() {
    for (name, approximate) in [("paraformer-funasr", false), ("paraformer-sherpa", true)] {
        let mut model = open(&folder(name)).unwrap();
        assert!(!model.has_itn());
        let options = Options {
            words: true,
            ..Options::default()
        };
        let found = sentences(&mut model, &speech(), &options);
        assert_eq!(text(&found), "你好 world CCTV 再见", "{name}");
        assert_eq!(
            (found[0].language.code(), found[0].approximate),
            ("zh", approximate)
        );
        let words: Vec<&str> = found[0].words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(words, ["你", "好", "world", "CCTV", "再", "见"]);
        assert!(
            found[0]
                .words
                .windows(2)
                .all(|w| w[0].start_ms <= w[1].start_ms)
        );
        assert!(found[0].end_ms <= 2_000);
    }
}

#[test]
fn hours_are_cut_and_batched_and_what_is_no_speech_is_harmless() {
    let mut model = open(&folder("sensevoice-random")).unwrap();
    let clip = testing::clip("june-1.wav");
    let mut long = Vec::new();
    while long.len() < 300 * RATE {
        long.extend_from_slice(&clip);
        long.extend(vec![0.0; RATE / 2 + long.len() % 7_000]);
    }
    let found = sentences(&mut model, &long, &Options::default());
    let end_ms = (long.len() / 16) as u64;
    assert!(found.len() > 5, "{} sentences", found.len());
    assert!(found.windows(2).all(|s| s[0].start_ms <= s[1].start_ms));
    assert!(found.last().unwrap().end_ms <= end_ms && found.last().unwrap().end_ms > end_ms / 2);
    for (what, samples) in [
        ("nothing", vec![]),
        ("a sample", vec![0.5]),
        ("silence", vec![0.0; 10 * RATE]),
        ("clipping", vec![1.0; 3 * RATE]),
    ] {
        assert_eq!(
            text(&sentences(&mut model, &samples, &Options::default())),
            "",
            "{what}"
        );
    }
}

#[test]
fn what_they_do_not_know_is_an_error_and_cancelling_stops() {
    for name in ["sensevoice-sherpa", "paraformer-funasr"] {
        let mut model = open(&folder(name)).unwrap();
        for options in [
            Options {
                language: language("de"),
                ..Options::default()
            },
            Options {
                task: Task::Translate,
                ..Options::default()
            },
        ] {
            let error = try_sentences(&mut model, &speech(), &options)
                .unwrap_err()
                .to_string();
            assert!(error.contains("zh, en, yue, ja, ko"), "{error}");
        }
        let mut vad = testing::open("silero_vad_16k_sequence.onnx", Vad::open);
        let cancel = Cancel::new();
        cancel.cancel();
        let stopped = Transcriber::new(reader(&speech()), 0, Options::default())
            .next(&mut model, &mut vad, &cancel);
        assert!(matches!(stopped, Err(Error::Onnx(onnx::Error::Cancelled))));
    }
}

#[test]
fn the_language_is_detected_without_recognising() {
    let mut model = open(&folder("sensevoice-funasr")).unwrap();
    let mut vad = testing::open("silero_vad_16k_sequence.onnx", Vad::open);
    let found = Transcriber::new(reader(&speech()), 0, Options::default())
        .detect_language(&mut model, &mut vad, &Cancel::new())
        .unwrap()
        .unwrap();
    assert_eq!(found.language.code(), "zh");
    assert!(found.probability > 0.99);
}

/// A copy of a folder with a file changed, or without it; gone when dropped.
struct Damaged(PathBuf);

impl Damaged {
    fn new(name: &str, file: &str, content: Option<&str>) -> Self {
        let unique = format!("funasr-{}-{name}-{file}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        for entry in fs::read_dir(folder(name)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), path.join(entry.file_name())).unwrap();
        }
        match content {
            Some(text) => fs::write(path.join(file), text).unwrap(),
            None => fs::remove_file(path.join(file)).unwrap(),
        }
        Damaged(path)
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_folder_that_lacks_something_says_what() {
    for (name, file, content, wanted) in [
        (
            "sensevoice-funasr",
            "tokens.json",
            None,
            "tokens.json or tokens.txt",
        ),
        (
            "sensevoice-funasr",
            "tokens.json",
            Some("{}"),
            "tokens.json",
        ),
        (
            "sensevoice-funasr",
            "tokens.json",
            Some(r#"["a", "b"]"#),
            "vocabulary has 2 tokens",
        ),
        ("paraformer-sherpa", "tokens.txt", Some(""), "empty"),
        ("sensevoice-funasr", "am.mvn", None, "am.mvn"),
        (
            "paraformer-funasr",
            "am.mvn",
            Some("<AddShift> [ 1 2 ] <Rescale> [ 3 4 ]"),
            "560",
        ),
        (
            "paraformer-funasr",
            "config.yaml",
            Some("  lfr_m: 0\n"),
            "lfr_m",
        ),
        (
            "paraformer-funasr",
            "config.yaml",
            Some("  lfr_m: 5 # few\n"),
            "400",
        ),
        (
            "paraformer-funasr",
            "model.onnx",
            Some("no graph"),
            "model.onnx",
        ),
        (
            "paraformer-funasr",
            "model.onnx",
            None,
            "model.onnx (SenseVoice, Paraformer, NeMo CTC)",
        ),
    ] {
        let damaged = Damaged::new(name, file, content);
        match open(&damaged.0) {
            Err(error @ onnx::Error::Model { .. }) => {
                let message = error.to_string();
                assert!(message.contains(wanted), "{name} {file}: {message}");
            }
            other => panic!("{name} {file}: {:?}", other.err()),
        }
    }
    let message = open(&folder("paraformer-contextual"))
        .err()
        .unwrap()
        .to_string();
    assert!(message.contains("contextual"), "{message}");
}
