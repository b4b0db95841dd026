//! Recordings that were heard wrong once, after public bug reports: each with its right value. Needs AI_AUDIO_MODELS and
//! AI_AUDIO_ORT (`make -s test-env`), and the development recordings in AI_AUDIO_SPEECH.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use onnx::Cancel;
use transcribe::{Language, Model, Options, Sentence, Transcriber};
use vad::Vad;

const RATE: u64 = 16_000;

/// A file of the development recordings, or `None`, said aloud, where there are none on this machine.
fn speech(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AI_AUDIO_SPEECH");
    if root.is_none() {
        println!("skipped: AI_AUDIO_SPEECH is not set");
    }
    root.map(|root| Path::new(&root).join(path))
}

fn decode(path: &Path) -> Vec<f32> {
    let file = std::fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let input = audio::Input::File(Arc::new(file));
    audio::decode(&input, &audio::Selection::default(), &stop)
        .unwrap()
        .samples
}

fn sentences(samples: &[f32], options: &Options) -> Vec<Sentence> {
    let mut model = testing::open("whisper-base", Model::open);
    let mut vad = testing::open("silero_vad_16k_sequence.onnx", Vad::open);
    let wav = audio::wav::write(samples, RATE as u32);
    let input = audio::Input::Bytes(Arc::from(wav));
    let reader = audio::Reader::open(&input, &audio::Selection::default()).unwrap();
    let mut transcriber = Transcriber::new(reader, 0, options.clone());
    let mut all = Vec::new();
    while let Some(some) = transcriber
        .next(&mut model, &mut vad, &Cancel::new())
        .unwrap()
    {
        all.extend(some);
    }
    all
}

fn with_words(language: &str) -> Options {
    Options {
        words: true,
        language: Some(Language::parse(language).unwrap()),
        ..Options::default()
    }
}

/// Pauses that were made longer: no word lies on both sides of one.
#[test]
fn a_word_is_on_one_side_of_a_pause() {
    let Some(path) = speech("cases/word_over_pause.flac") else {
        return;
    };
    let all = sentences(&decode(&path), &with_words("en"));
    let words: Vec<_> = all.iter().flat_map(|s| &s.words).collect();
    let near = |text: &str| words.iter().find(|w| w.text == text).copied();
    let word = near("in").expect("in");
    assert!(word.end_ms <= 12_850 || word.start_ms >= 15_800, "{word:?}");
    assert!(
        words.iter().all(|w| w.end_ms - w.start_ms < 1_500),
        "{words:?}"
    );
}

/// Two seconds of silence in the middle of a command: every character is on one side of them.
#[test]
fn a_mandarin_character_is_on_one_side_of_a_pause() {
    for clip in ["BAC009S0150W0036", "BAC009S0150W0058", "BAC009S0252W0080"] {
        let Some(path) = speech(&format!("voices/zh/{clip}.wav")) else {
            return;
        };
        let mut samples = decode(&path);
        let quiet = |from: usize| -> f32 { samples[from..from + 960].iter().map(|x| x * x).sum() };
        let third = samples.len() / 3;
        let at = (third..2 * third)
            .step_by(160)
            .min_by(|&a, &b| quiet(a).total_cmp(&quiet(b)));
        let at = at.unwrap() + 480;
        samples.splice(at..at, vec![0.0; 2 * RATE as usize]);
        let (from, to) = (at as u64 / 16, at as u64 / 16 + 2_000);
        let all = sentences(&samples, &with_words("zh"));
        let words: Vec<_> = all.iter().flat_map(|s| &s.words).collect();
        assert!(words.len() > 4, "{clip}: {words:?}");
        for word in words {
            let crosses = word.start_ms + 200 < from && word.end_ms > to + 200;
            assert!(!crosses, "{clip}: {word:?} over {from} to {to}");
            assert!(word.end_ms - word.start_ms < 1_500, "{clip}: {word:?}");
        }
    }
}

/// What was said is written in the characters that the language's code asks for.
#[test]
fn mandarin_is_in_the_characters_that_are_asked_for() {
    // 想听歌曲我的歌声里, 变温温度设为两摄氏度档
    for clip in ["BAC009S0150W0058", "BAC009S0252W0003"] {
        let Some(path) = speech(&format!("voices/zh/{clip}.wav")) else {
            return;
        };
        let samples = decode(&path);
        let prompt = |prompt: &str, language: &str| {
            let options = Options {
                prompt: Some(prompt.into()),
                ..with_words(language)
            };
            let all = sentences(&samples, &options);
            all.iter().map(|s| s.text.as_str()).collect::<String>()
        };
        // A prompt in the other script draws the network there.
        let simplified = prompt("以下是國語的句子，這個電視劇沒有聲音。", "zh");
        let traditional = prompt("以下是普通话的句子，这个电视剧没有声音。", "zh-TW");
        let of = |text: &str, marks: &str| text.chars().any(|c| marks.contains(c));
        assert!(!of(&simplified, "聽聲裡裏變溫設為兩攝檔"), "{simplified}");
        assert!(!of(&traditional, "听声变温设为两摄档"), "{traditional}");
        assert!(of(&traditional, "聽聲變溫設為兩攝檔"), "{traditional}");
    }
}

/// How often a text is said in the order of the sentences, without marks.
fn plain(all: &[Sentence]) -> String {
    let text: Vec<&str> = all.iter().map(|s| s.text.as_str()).collect();
    let letters = |c: &char| c.is_alphanumeric() || *c == ' ';
    let text: String = text.join(" ").to_lowercase();
    text.chars().filter(letters).collect()
}

/// The same sentence eight times, half a second apart, and then another.
#[test]
fn a_sentence_said_eight_times_is_written_eight_times() {
    let Some(path) = speech("cases/repeated_sentence_8x.flac") else {
        return;
    };
    let text = plain(&sentences(&decode(&path), &Options::default()));
    assert_eq!(
        text.matches("what a spiteful thing i am").count(),
        8,
        "{text}"
    );
    assert!(
        text.ends_with("was the thing i liked best of all"),
        "{text}"
    );
}

/// Three words four times, half a second apart: the search finds only the sentence after them.
#[test]
fn words_that_were_left_out_are_found() {
    let Some(path) = speech("cases/repeats_4x.flac") else {
        return;
    };
    let text = plain(&sentences(&decode(&path), &Options::default()));
    let (said, rest) = text.split_once("his statement").expect("his statement");
    assert_eq!(said.matches("and lobsters").count(), 4, "{text}");
    assert!(
        rest.ends_with("was the thing i liked best of all"),
        "{text}"
    );
}

/// 18 s of Mandarin, then English: each is written in its language, and both functions agree.
#[test]
fn each_stretch_is_in_its_language() {
    let Some(path) = speech("cases/mandarin_then_english.opus") else {
        return;
    };
    let samples = decode(&path);
    let all = sentences(&samples, &Options::default());
    for s in &all {
        let language = if s.start_ms < 19_000 { "zh" } else { "en" };
        assert_eq!(s.language.code(), language, "{s:?}");
        assert_eq!(s.text.is_ascii(), language == "en", "{s:?}");
    }
    assert!(all.iter().any(|s| s.text.contains("听歌曲")), "{all:?}");
    assert!(all.iter().any(|s| s.text.contains("anxiety")), "{all:?}");
}
