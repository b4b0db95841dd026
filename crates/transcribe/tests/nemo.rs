//! NeMo's CTC models, by networks of their published inputs, outputs and metadata (`fixtures/nemo`, made by `make.py`): no weights of
//! theirs were at hand. Needs AI_AUDIO_MODELS and AI_AUDIO_ORT (`make -s test-env`), and the clips in target/speech.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use onnx::{Cancel, SessionOptions};
use transcribe::{Error, Language, Model, Options, Sentence, Task, Transcriber};
use vad::Vad;

const RATE: usize = 16_000;

fn folder(name: &str) -> PathBuf {
    Path::new("tests/fixtures/nemo").join(name)
}

fn open(folder: &Path) -> Result<Model, onnx::Error> {
    Model::open(&testing::runtime(), folder, &SessionOptions::default())
}

fn golden() -> serde_json::Value {
    let text = fs::read_to_string(folder("golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The part of the clip that the golden values are of: speech from end to end, so one chunk.
fn speech() -> Vec<f32> {
    let number = |key: &str| golden()[key].as_u64().unwrap() as usize;
    testing::clip("austen-1.wav")[number("from")..][..number("count")].to_vec()
}

fn try_sentences(
    model: &mut Model,
    samples: &[f32],
    options: &Options,
) -> Result<Vec<Sentence>, Error> {
    let mut vad = testing::open("silero_vad_16k_sequence.onnx", Vad::open);
    let wav = audio::wav::write(samples, RATE as u32);
    let input = audio::Input::Bytes(Arc::from(wav));
    let reader = audio::Reader::open(&input, &audio::Selection::default()).unwrap();
    let mut transcriber = Transcriber::new(reader, 0, options.clone());
    let mut all = Vec::new();
    while let Some(some) = transcriber.next(model, &mut vad, &Cancel::new())? {
        all.extend(some);
    }
    Ok(all)
}

fn with_words() -> Options {
    Options {
        words: true,
        ..Options::default()
    }
}

#[test]
fn pieces_are_joined_at_their_marks_and_words_lie_around_their_peaks() {
    let mut model = open(&folder("known")).unwrap();
    let found = try_sentences(&mut model, &speech(), &with_words()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let sentence = &found[0];
    assert_eq!(sentence.text, "hello world no no it's.");
    assert_eq!(
        (sentence.language.code(), sentence.approximate),
        ("en", false)
    );
    assert!(sentence.confidence > 0.9);
    let words: Vec<&str> = sentence.words.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(words, ["hello", "world", "no", "no", "it's."]);
    for (word, frame) in sentence.words.iter().zip([3, 7, 11, 13, 17]) {
        let peak = frame * 80;
        assert!(
            word.start_ms <= peak && peak < word.end_ms,
            "{word:?} not around {peak}"
        );
    }
    assert!(
        sentence
            .words
            .windows(2)
            .all(|w| w[0].end_ms <= w[1].start_ms)
    );
}

/// What is beyond a chunk's length in a batch with longer ones is nobody's.
#[test]
fn chunks_of_a_batch_end_where_their_speech_does() {
    let mut model = open(&folder("known")).unwrap();
    let (speech, mut long) = (speech(), Vec::new());
    for length in [2 * RATE, RATE * 3 / 2, 2 * RATE, RATE] {
        for part in [&speech[..], &speech[..length]] {
            long.extend_from_slice(part);
        }
        long.extend(vec![0.0; 3 * RATE]);
    }
    let found = try_sentences(&mut model, &long, &Options::default()).unwrap();
    let text: Vec<&str> = found.iter().map(|s| s.text.as_str()).collect();
    assert_eq!(text, ["hello world no no it's."; 4]);
}

/// onnx-asr's features through the same network.
#[test]
fn what_is_heard_is_what_other_features_say() {
    let golden = golden();
    let letters = |text: &str| text.split_whitespace().collect::<String>();
    for name in ["heard", "stream"] {
        let mut model = open(&folder(name)).unwrap();
        let found = try_sentences(&mut model, &speech(), &Options::default()).unwrap();
        let text: String = found.iter().map(|s| letters(&s.text)).collect();
        assert_eq!(
            text,
            letters(golden["said"][name].as_str().unwrap()),
            "{name}"
        );
    }
}

#[test]
fn the_language_is_english_or_what_the_model_is_known_for() {
    let mut model = open(&folder("known")).unwrap();
    let parse = |code: &str| Language::parse(code).unwrap();
    let mut code = |known: &[&str], wanted: Option<&str>| {
        let options = Options {
            languages: known.iter().map(|c| parse(c)).collect(),
            language: wanted.map(parse),
            ..Options::default()
        };
        let found = try_sentences(&mut model, &speech(), &options);
        found
            .map(|all| all[0].language.code())
            .map_err(|e| e.to_string())
    };
    assert_eq!(code(&[], None).unwrap(), "en");
    assert_eq!(code(&["de", "fr"], None).unwrap(), "de");
    assert_eq!(code(&["de", "fr"], Some("fr")).unwrap(), "fr");
    let error = code(&["de", "fr"], Some("en")).unwrap_err();
    assert!(error.contains("de, fr only"), "{error}");
    assert!(code(&[], Some("de")).unwrap_err().contains("en only"));
    let options = Options {
        task: Task::Translate,
        ..Options::default()
    };
    let error = try_sentences(&mut model, &speech(), &options).unwrap_err();
    assert!(error.to_string().contains("does not translate"), "{error}");
}

#[test]
fn what_is_no_speech_is_harmless() {
    let mut model = open(&folder("heard")).unwrap();
    for (what, samples) in [
        ("nothing", vec![]),
        ("a sample", vec![0.5]),
        ("silence", vec![0.0; 10 * RATE]),
        ("clipping", vec![1.0; 3 * RATE]),
    ] {
        let found = try_sentences(&mut model, &samples, &Options::default()).unwrap();
        assert!(found.is_empty(), "{what}: {found:?}");
    }
}

/// A graph with other metadata of the same length, gone when dropped.
struct Changed(PathBuf);

impl Changed {
    fn new(from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len(), "the graph tells lengths");
        let unique = format!("nemo-{}-{}", std::process::id(), to.trim());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        let mut graph = fs::read(folder("known/model.onnx")).unwrap();
        let at = graph.windows(from.len()).position(|w| w == from.as_bytes());
        let at = at.unwrap();
        graph[at..at + from.len()].copy_from_slice(to.as_bytes());
        fs::write(path.join("model.onnx"), graph).unwrap();
        fs::copy(folder("known/tokens.txt"), path.join("tokens.txt")).unwrap();
        Changed(path)
    }

    fn says(&self) -> String {
        open(&self.0)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_graph_of_another_kind_says_what_is_wrong() {
    for (from, to, wanted) in [
        ("per_feature", "all_feature", "normalize_type"),
        ("EncDecCTCModelBPE", "EncDecRNN__Model_", "model_type"),
        (
            "subsampling_factor",
            "subsampling_fac_or",
            "subsampling_factor",
        ),
    ] {
        let error = Changed::new(from, to).says();
        assert!(error.contains(wanted), "{to}: {error}");
    }
    let fewer = Changed::new("made for a test", "made for a Test");
    fs::write(fewer.0.join("tokens.txt"), "<unk> 0\n▁a 1\n<blk> 2\n").unwrap();
    assert!(fewer.says().contains("vocabulary has 3 tokens"));
    fs::remove_file(fewer.0.join("tokens.txt")).unwrap();
    assert!(fewer.says().contains("tokens.txt"));
}
