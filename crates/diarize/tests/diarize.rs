//! Diarization, stage by stage against reference implementations (`golden/diarize.json`, made by
//! `bench/diarize/golden.py`, names them), and as a whole on real conversations. Needs AI_AUDIO_MODELS and AI_AUDIO_ORT
//! (`make -s test-env`), and the clips in target/speech.
//!
//! Long, because stage and conversation tests share the networks.

mod der;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audio::recording::{Encoded, Recording, Samples};
use der::{Entry, Errors};
use diarize::Error;
use diarize::clustering::{self, Bounds};
use diarize::listen::{self, Heard};
use diarize::{
    Diarization, Diarizer, Options, Segmentation, Turn, powerset, reconstruct, voices, windows,
};
use onnx::Cancel;
use serde_json::Value;
use testing::{clip, numbers, open, read};
use vad::{Vad, VadOptions};
use voice::cluster::{self, Rows};
use voice::embed::SpeakerModel;
use voice::similarity;

struct Networks {
    segmentation: Segmentation,
    vad: Vad,
    speaker: SpeakerModel,
}

impl Networks {
    fn open() -> Self {
        Networks {
            segmentation: open("pyannote_segmentation_3.onnx", Segmentation::open),
            vad: open("silero_vad_16k_sequence.onnx", Vad::open),
            speaker: testing::speaker(),
        }
    }

    fn diarizer(&mut self) -> Diarizer<'_> {
        Diarizer {
            segmentation: &mut self.segmentation,
            vad: &mut self.vad,
            speaker: &mut self.speaker,
        }
    }

    fn diarize(&mut self, samples: &[f32], options: &Options) -> Diarization {
        self.diarizer()
            .diarize(&mut Samples::new(samples), options, &Cancel::new())
            .unwrap()
    }
}

fn golden() -> Value {
    testing::golden("diarize")
}

#[test]
fn classes_are_the_sets_that_pyannote_means() {
    for (class, wanted) in golden()["powerset"].as_array().unwrap().iter().enumerate() {
        let mut scores = [-9.0; powerset::CLASSES];
        scores[class] = 0.0;
        let active = powerset::decode(&scores)[0];
        let talks: Vec<u8> = (0..powerset::SPEAKERS).map(|s| active >> s & 1).collect();
        assert_eq!(talks, numbers::<u8>(wanted), "class {class}");
    }
}

#[test]
fn speakers_per_frame_are_counted_as_pyannote_does() {
    let mut segmentation = open("pyannote_segmentation_3.onnx", Segmentation::open);
    let (golden, samples) = (golden(), clip("conversation.wav"));
    let mut recording = Samples::new(&samples);
    let mut tracks = listen::tracks(
        &mut recording,
        samples.len(),
        &mut segmentation,
        &Cancel::new(),
    )
    .unwrap();
    tracks.truncate(golden["count"]["windows"].as_u64().unwrap() as usize);
    let wanted: Vec<f32> = numbers(&golden["count"]["mean"]);
    let heard = Heard {
        samples: samples.len(),
        tracks,
        speech: vec![false; wanted.len()],
        ..Heard::default()
    };
    let apart = reconstruct::mean(&heard)
        .iter()
        .zip(&wanted)
        .map(|(got, wanted)| (got - wanted).abs())
        .fold(0.0, f32::max);
    // Rounded to three places.
    assert!(apart < 0.002, "{apart}");
}

#[test]
fn windows_sound_as_in_the_reference() {
    let mut speaker = open("campplus_zh_en.onnx", SpeakerModel::open);
    let samples = clip("conversation.wav");
    let golden = golden();
    let all = golden["voices"].as_array().unwrap();
    let field = |v: &Value, name: &str| v[name].as_u64().unwrap() as usize;
    let mut windows: Vec<_> = all
        .iter()
        .map(|v| windows::Window {
            start: field(v, "start"),
            samples: field(v, "samples"),
        })
        .collect();
    windows.sort_by_key(|w| w.start);
    let found = voices::embed(
        &mut Samples::new(&samples),
        &windows,
        windows::LENGTH,
        &mut speaker,
        &Cancel::new(),
    )
    .unwrap();
    for v in all {
        let place = windows
            .iter()
            .position(|w| w.start == field(v, "start"))
            .unwrap();
        let cosine = similarity::cosine(&found[place], &numbers::<f32>(&v["embedding"])).unwrap();
        assert!(
            cosine > 0.9999,
            "window {:?}: cosine {cosine}",
            windows[place]
        );
    }
}

/// The vectors of `groups` in golden.py.
fn vectors(alike: f64) -> Vec<Vec<f32>> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state) / 4_294_967_296.0 - 0.5
    };
    let mut centres: Vec<Vec<f64>> = (0..4).map(|_| (0..24).map(|_| next()).collect()).collect();
    let (first, rest) = centres.split_at_mut(1);
    rest[2]
        .iter_mut()
        .zip(&first[0])
        .for_each(|(c, f)| *c += alike * f);
    let owners = [(0, 40), (1, 30), (2, 17), (3, 3)]
        .into_iter()
        .flat_map(|(o, n)| std::iter::repeat_n(o, n));
    let noisy = |o: usize| {
        centres[o]
            .iter()
            .map(|c| (c + 0.55 * next()) as f32)
            .collect::<Vec<f32>>()
    };
    let mut all: Vec<Vec<f32>> = owners.map(noisy).collect();
    all.iter_mut().for_each(|v| similarity::normalize(v));
    all
}

fn linkage(vectors: &[Vec<f32>]) -> Vec<usize> {
    let mut rows = Rows::new(vectors.len(), u64::MAX);
    vectors.iter().for_each(|v| rows.push(Some(v)).unwrap());
    let options = cluster::Options {
        threshold: 0.4,
        min_size: 1,
        clusters: None,
    };
    let groups = cluster::cluster(rows, &options, 1, &Cancel::new()).unwrap();
    groups
        .into_iter()
        .map(|g| g.unwrap() as usize - 1)
        .collect()
}

fn speakers_of(vectors: &[Vec<f32>]) -> Vec<usize> {
    let bounds = Bounds { min: 1, max: 20 };
    clustering::cluster(vectors, bounds, &Cancel::new())
        .unwrap()
        .of_window
}

#[test]
fn groups_are_those_of_scipy_and_3d_speaker() {
    let (golden, vectors) = (&golden()["groups"]["alike"], vectors(0.2));
    assert_eq!(linkage(&vectors), numbers::<usize>(&golden["linkage"]));
    assert_eq!(speakers_of(&vectors), numbers::<usize>(&golden["repaired"]));
}

/// Where we part from 3D-Speaker, which gives every small group to the nearest large one: a group that is like none
/// (cosine below 0.2) is a speaker of few words. docs/internals/diarize.md says what that is worth.
#[test]
fn a_small_group_unlike_all_stays_where_3d_speaker_dissolves_it() {
    let (golden, vectors) = (&golden()["groups"]["unlike"], vectors(0.0));
    let groups = numbers::<usize>(&golden["linkage"]);
    assert_eq!(linkage(&vectors), groups);
    assert_eq!(speakers_of(&vectors), groups);
    let theirs = numbers::<usize>(&golden["repaired"]);
    assert_eq!(groups[..87], theirs[..87], "the large groups are the same");
    assert!(groups[87..].iter().all(|g| *g == 3) && theirs[87..].iter().all(|g| *g < 3));
}

#[test]
fn speech_is_where_silero_says() {
    let mut vad = open("silero_vad_16k_sequence.onnx", Vad::open);
    let samples = clip("conversation.wav");
    let probabilities = vad.probabilities(&samples, &Cancel::new()).unwrap();
    let spans = vad::spans(
        &probabilities,
        &VadOptions {
            pad_ms: 0,
            ..VadOptions::default()
        },
    );
    let got: Vec<[u64; 2]> = spans.iter().map(|s| [s.start_ms, s.end_ms]).collect();
    let mut wanted = numbers::<[u64; 2]>(&golden()["spans"]);
    // Our last span ends with its window, silero's with the recording.
    if let (Some(last), Some(ours)) = (wanted.last_mut(), got.last()) {
        assert!(ours[1].abs_diff(last[1]) < vad::WINDOW_MS);
        last[1] = ours[1];
    }
    assert_eq!(got, wanted);
}

#[test]
fn the_scorer_agrees_with_pyannote_metrics() {
    let golden = golden();
    let entries = |name: &str| numbers::<Entry>(&golden["der"][name]);
    for (collar, wanted) in golden["der"]["scores"].as_object().unwrap() {
        let e = der::score(
            &entries("reference"),
            &entries("hypothesis"),
            10.0,
            collar.parse().unwrap(),
        );
        for (got, wanted) in [e.missed, e.false_alarm, e.confused, e.total]
            .iter()
            .zip(numbers::<f64>(wanted))
        {
            assert!((got - wanted).abs() < 1e-6, "{e:?} with collar {collar}");
        }
    }
}

fn entries(turns: &[Turn]) -> Vec<Entry> {
    let seconds = |ms: u64| ms as f64 / 1000.0;
    turns
        .iter()
        .map(|t| {
            (
                seconds(t.start_ms),
                seconds(t.end_ms),
                t.speaker.to_string(),
            )
        })
        .collect()
}

/// A telephone conversation of two women, from pyannote.audio's samples, with its RTTM.
#[test]
fn a_conversation_is_told_apart() {
    let samples = clip("conversation.wav");
    let found = Networks::open().diarize(&samples, &Options::default());
    assert_eq!(found.speakers.len(), 2);
    let reference = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/speech/conversation.rttm"),
    );
    let errors = der::score(
        &der::rttm(&reference.unwrap()),
        &entries(&found.turns),
        30.0,
        0.25,
    );
    assert!(errors.rate() < 0.08, "DER {:.3}: {errors:?}", errors.rate());
    assert!(
        found
            .turns
            .windows(2)
            .all(|t| t[0].start_ms <= t[1].start_ms)
    );
    assert_eq!(
        found.turns[0].speaker, 0,
        "speakers are numbered as they appear"
    );
    assert!(
        found
            .exclusive
            .windows(2)
            .all(|t| t[0].end_ms <= t[1].start_ms),
        "one at a time"
    );
    assert!(
        found
            .turns
            .iter()
            .chain(&found.exclusive)
            .all(|t| (0.0..=1.0).contains(&t.confidence))
    );
    let apart = similarity::cosine(&found.speakers[0], &found.speakers[1]).unwrap();
    // Two women on one telephone line (0.52); the same voice twice is above 0.8.
    assert!(apart < 0.6, "the two voices are {apart} alike");
}

#[test]
fn a_speakers_voice_is_the_one_that_embed_gives() {
    let samples = clip("conversation.wav");
    let mut networks = Networks::open();
    let found = networks.diarize(&samples, &Options::default());
    for name in ["diane-1.wav", "sheila-1.wav"] {
        let enrolled = networks.speaker.embed(&clip(name), &Cancel::new()).unwrap();
        let mut alike: Vec<f64> = found
            .speakers
            .iter()
            .map(|s| similarity::cosine(s, &enrolled).unwrap())
            .collect();
        alike.sort_by(f64::total_cmp);
        assert!(alike[1] > alike[0] + 0.2, "{name}: {alike:?}");
    }
}

#[test]
fn the_same_twice_and_from_a_file() {
    let samples = clip("conversation.wav");
    let mut networks = Networks::open();
    let first = networks.diarize(&samples, &Options::default());
    assert_eq!(first, networks.diarize(&samples, &Options::default()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/speech/conversation.wav");
    let input = audio::Input::File(Arc::new(std::fs::File::open(path).unwrap()));
    let selection = audio::Selection::default();
    let mut encoded = Encoded::new(&input, &selection);
    assert_eq!(
        first,
        networks
            .diarizer()
            .diarize(&mut encoded, &Options::default(), &Cancel::new())
            .unwrap()
    );
}

#[test]
fn too_little_and_silence_have_no_turns() {
    let mut networks = Networks::open();
    for samples in [0, 1, 400, 990, 991, 8_000, 159_999, 320_000] {
        assert_eq!(
            networks.diarize(&vec![0.0; samples], &Options::default()),
            Diarization::default(),
            "{samples}"
        );
    }
}

#[test]
fn counts_are_obeyed() {
    let samples = clip("conversation.wav");
    let mut networks = Networks::open();
    let of = |networks: &mut Networks, options: Options| {
        networks.diarize(&samples, &options).speakers.len()
    };
    assert_eq!(
        of(
            &mut networks,
            Options {
                speaker_count: Some(1),
                ..Options::default()
            }
        ),
        1
    );
    assert_eq!(
        of(
            &mut networks,
            Options {
                speaker_count: Some(2),
                ..Options::default()
            }
        ),
        2
    );
    assert_eq!(
        of(
            &mut networks,
            Options {
                max_speakers: 1,
                ..Options::default()
            }
        ),
        1
    );
    assert_eq!(
        of(
            &mut networks,
            Options {
                min_speakers: 3,
                ..Options::default()
            }
        ),
        3
    );
    // More than can be told apart is as many as can.
    assert!(
        of(
            &mut networks,
            Options {
                speaker_count: Some(100),
                ..Options::default()
            }
        ) <= 100
    );
}

#[test]
fn one_voice_is_one_speaker() {
    let mut networks = Networks::open();
    for name in ["austen-1.wav", "dickens-2.wav", "cards-3.wav", "june-2.wav"] {
        assert_eq!(
            networks
                .diarize(&clip(name), &Options::default())
                .speakers
                .len(),
            1,
            "{name}"
        );
    }
}

#[test]
fn two_who_talk_at_once_are_both_heard() {
    let level = |name: &str| {
        let samples = clip(name);
        let power = samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32;
        samples
            .iter()
            .map(|x| x * 0.05 / power.sqrt())
            .collect::<Vec<f32>>()
    };
    let (mut samples, other) = (level("david-2.wav"), level("austen-1.wav"));
    let begins = samples.len() - 32_000; // the other one begins 2 s before the end
    samples.resize(begins + other.len(), 0.0);
    samples[begins..]
        .iter_mut()
        .zip(&other)
        .for_each(|(s, o)| *s += o);
    let found = Networks::open().diarize(&samples, &Options::default());
    assert_eq!(found.speakers.len(), 2);
    let [first, second] = &found.turns[..] else {
        panic!("{:?}", found.turns)
    };
    assert!(first.overlap && second.overlap);
    assert!(second.start_ms + 300 < first.end_ms, "{:?}", found.turns);
}

/// Two utterances of each of ten readers.
#[test]
fn ten_voices_are_ten_speakers() {
    let Some(root) = std::env::var_os("AI_AUDIO_SPEECH") else {
        return println!("skipped: AI_AUDIO_SPEECH is not set");
    };
    let mut readers = std::collections::BTreeMap::<String, Vec<PathBuf>>::new();
    for entry in std::fs::read_dir(Path::new(&root).join("voices")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if let Some((reader, _)) = name.split_once('-') {
            readers.entry(reader.into()).or_default().push(path);
        }
    }
    readers.values_mut().for_each(|files| files.sort());
    let mut samples = Vec::new();
    for utterance in 0..2 {
        for files in readers.values() {
            samples.extend(read(&files[utterance]).iter().take(160_000));
            samples.resize(samples.len() + 8_000, 0.0);
        }
    }
    assert_eq!(readers.len(), 10);
    let found = Networks::open().diarize(&samples, &Options::default());
    assert_eq!(found.speakers.len(), 10);
}

#[test]
fn sides_of_a_call_are_the_speakers() {
    let (one, other, silent) = (clip("diane-1.wav"), clip("sheila-1.wav"), vec![0.0; 32_000]);
    let mut networks = Networks::open();
    let (mut a, mut b, mut c) = (
        Samples::new(&one),
        Samples::new(&silent),
        Samples::new(&other),
    );
    let mut sides: [&mut dyn Recording; 3] = [&mut a, &mut b, &mut c];
    let found = networks
        .diarizer()
        .sides(&mut sides, &Options::default(), &Cancel::new())
        .unwrap();
    assert_eq!(found.speakers.len(), 3);
    let talks = |s: usize| found.turns.iter().any(|t| t.speaker == s);
    assert_eq!([talks(0), talks(1), talks(2)], [true, false, true]);
    assert!(found.turns.iter().all(|t| t.overlap), "both begin at once");
    assert!(
        found
            .exclusive
            .windows(2)
            .all(|t| t[0].end_ms <= t[1].start_ms)
    );
}

#[test]
fn a_cancel_ends_it() {
    let cancel = Cancel::new();
    cancel.cancel();
    let samples = clip("conversation.wav");
    let mut networks = Networks::open();
    let result =
        networks
            .diarizer()
            .diarize(&mut Samples::new(&samples), &Options::default(), &cancel);
    assert!(matches!(result, Err(Error::Onnx(onnx::Error::Cancelled))));
}

/// The development recordings: five excerpts of AMI meetings and six assembled conversations.
#[test]
fn meetings_are_told_apart() {
    let Some(root) = std::env::var_os("AI_AUDIO_SPEECH") else {
        return println!("skipped: AI_AUDIO_SPEECH is not set");
    };
    let mut networks = Networks::open();
    let mut all = Errors::default();
    let mut right = 0;
    let mut files: Vec<PathBuf> = std::fs::read_dir(Path::new(&root).join("meetings"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "wav" || e == "flac"))
    {
        let reference = der::rttm(&std::fs::read_to_string(file.with_extension("rttm")).unwrap());
        let samples = read(file);
        let found = networks.diarize(&samples, &Options::default());
        let errors = der::score(
            &reference,
            &entries(&found.turns),
            samples.len() as f64 / 16_000.0,
            0.25,
        );
        let mut names: Vec<&String> = reference.iter().map(|e| &e.2).collect();
        names.sort();
        names.dedup();
        right += usize::from(names.len() == found.speakers.len());
        println!(
            "{}: {} of {} speakers, DER {:.3}",
            file.display(),
            found.speakers.len(),
            names.len(),
            errors.rate()
        );
        all.add(errors);
    }
    println!("pooled DER {:.4}, {right} speaker counts right", all.rate());
    assert!(all.rate() < 0.05, "pooled DER {:.4}", all.rate()); // 0.0434
    assert!(right >= 9, "{right} speaker counts right");
}

/// Music on hold is nobody.
#[test]
fn music_before_a_voice_is_no_speaker() {
    let Some(folder) = std::env::var_os("AI_AUDIO_SPEECH") else {
        println!(
            "skipped: AI_AUDIO_SPEECH is not set, and this test needs cases/hold_music_then_speech.opus"
        );
        return;
    };
    let path = Path::new(&folder).join("cases/hold_music_then_speech.opus");
    let found = Networks::open().diarize(&testing::read(&path), &Options::default());
    assert_eq!(found.speakers.len(), 1, "{:?}", found.turns);
    let (start, end) = (
        found.turns[0].start_ms,
        found.turns.last().map_or(0, |t| t.end_ms),
    );
    assert!(
        (20_000..21_300).contains(&start) && end > 27_000,
        "{start} to {end}"
    );
}
