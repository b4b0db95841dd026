//! A voiceprint is of the voice, not of the recording around it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use audio::recording::Samples;
use onnx::Cancel;
use vad::Vad;
use voice::embed::SpeakerModel;
use voice::hear::hear;
use voice::similarity::cosine;

const RATE: usize = 16_000;

struct Ear {
    vad: Vad,
    speaker: SpeakerModel,
}

impl Ear {
    fn new() -> Self {
        Ear {
            vad: testing::open("silero_vad_16k_sequence.onnx", Vad::open),
            speaker: testing::speaker(),
        }
    }

    /// The voiceprint of the speech in samples.
    fn speech(&mut self, samples: &[f32]) -> Vec<f32> {
        let cancel = Cancel::new();
        let mut recording = Samples::new(samples);
        let heard = hear(&mut recording, &mut self.vad, &cancel).unwrap();
        self.speaker
            .embed_parts(&mut recording, &heard.voice(), &cancel)
            .unwrap()
    }

    /// The voiceprint of all samples.
    fn whole(&mut self, samples: &[f32]) -> Vec<f32> {
        self.speaker.embed(samples, &Cancel::new()).unwrap()
    }
}

/// White noise of a level, the same each time.
fn noise(seconds: usize, level: f32) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..seconds * RATE).map(|_| level * next()).collect()
}

/// A ring tone of North America: 440 and 480 Hz, two seconds on, four off.
fn ringing(seconds: usize) -> Vec<f32> {
    let tone = |i: usize, hz: f32| (i as f32 / RATE as f32 * hz * std::f32::consts::TAU).sin();
    (0..seconds * RATE)
        .map(|i| {
            if i / RATE % 6 < 2 {
                0.1 * (tone(i, 440.0) + tone(i, 480.0))
            } else {
                0.0
            }
        })
        .collect()
}

/// The root mean square of samples.
fn level(samples: &[f32]) -> f32 {
    (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
}

/// Cosines of the voiceprint of speech with something around it to that of the speech alone: mean and least.
fn beside(ear: &mut Ear, readers: &[Vec<f32>], around: &dyn Fn(&[f32]) -> Vec<f32>) -> (f64, f64) {
    let likeness = readers.iter().map(|speech| {
        let alone = ear.whole(speech);
        cosine(&ear.speech(&around(speech)), &alone).unwrap()
    });
    let likeness: Vec<f64> = likeness.collect();
    let mean = likeness.iter().sum::<f64>() / likeness.len() as f64;
    (mean, likeness.iter().copied().fold(1.0, f64::min))
}

fn is_heard(ear: &mut Ear, readers: &[Vec<f32>], around: &[(&str, &dyn Fn(&[f32]) -> Vec<f32>)]) {
    for (name, around) in around {
        let (mean, least) = beside(ear, readers, around);
        println!("{name}: mean {mean:.3}, least {least:.3}");
        assert!(mean >= 0.95 && least >= 0.9, "{name}: {mean:.3} {least:.3}");
    }
}

/// What calls have around the voice.
const AROUND: [(&str, &dyn Fn(&[f32]) -> Vec<f32>); 5] = [
    ("54 s of faint noise behind", &|s| {
        [s, &noise(54, 0.002)].concat()
    }),
    ("114 s of faint noise behind", &|s| {
        [s, &noise(114, 0.002)].concat()
    }),
    ("54 s of noise 20 dB below", &|s| {
        [s, &noise(54, level(s) * 0.17)].concat()
    }),
    ("20 s of noise on both sides", &|s| {
        [&noise(20, 0.002), s, &noise(20, 0.002)].concat()
    }),
    ("20 s of ringing before", &|s| [&ringing(20), s].concat()),
];

#[test]
fn what_is_no_speech_does_not_move_a_voiceprint() {
    let speakers = [
        "austen-1.wav",
        "austen-4.wav",
        "dickens-1.wav",
        "dickens-4.wav",
        "two_cities.wav",
    ];
    let readers = speakers.map(|name| {
        let clip = testing::clip(name);
        clip[..clip.len().min(6 * RATE)].to_vec()
    });
    let mut ear = Ear::new();
    is_heard(&mut ear, &readers[..], &AROUND);
    // And it did before: the recording as a whole is another voice.
    let behind = |s: &[f32]| [s, &noise(54, 0.002)].concat();
    let (alone, whole) = (ear.whole(&readers[0]), ear.whole(&behind(&readers[0])));
    assert!(cosine(&alone, &whole).unwrap() < 0.7);
}

#[test]
fn ten_readers_are_heard_beside_noise_ringing_and_music() {
    let Some(data) = std::env::var_os("AI_AUDIO_SPEECH").map(PathBuf::from) else {
        println!("skipped: AI_AUDIO_SPEECH is not set, and this test needs its readers");
        return;
    };
    let mut readers: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for entry in std::fs::read_dir(data.join("voices")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "flac") {
            let reader = path
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .split('-')
                .next()
                .unwrap();
            let longest = readers.entry(reader.into()).or_default();
            let samples = testing::read(&path);
            if samples.len() > longest.len() {
                *longest = samples;
            }
        }
    }
    let readers: Vec<Vec<f32>> = readers
        .into_values()
        .map(|s| s[..s.len().min(6 * RATE)].to_vec())
        .collect();
    assert_eq!(readers.len(), 10);
    let mut ear = Ear::new();
    is_heard(&mut ear, &readers, &AROUND);
    let music = testing::read(&data.join("cases/hold_music_then_speech.opus"));
    let music = &music[..20 * RATE];
    is_heard(
        &mut ear,
        &readers,
        &[("20 s of music on hold before", &|s| [music, s].concat())],
    );
}

#[test]
fn a_recording_that_is_nearly_all_speech_is_heard_whole() {
    let mut ear = Ear::new();
    for name in ["june-1.wav", "allison-2.wav", "two_cities.wav"] {
        let samples = testing::clip(name);
        let heard = hear(&mut Samples::new(&samples), &mut ear.vad, &Cancel::new()).unwrap();
        assert_eq!(
            heard.voice(),
            std::iter::once(0..samples.len()).collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[test]
fn without_speech_all_there_is_is_heard() {
    let mut ear = Ear::new();
    let samples = noise(3, 0.1);
    let heard = hear(&mut Samples::new(&samples), &mut ear.vad, &Cancel::new()).unwrap();
    assert_eq!(heard.quality.speech_ms, 0);
    assert_eq!(
        heard.voice(),
        std::iter::once(0..samples.len()).collect::<Vec<_>>()
    );
}

/// Parts of a long recording are averaged as the same samples by themselves are.
#[test]
fn parts_are_heard_as_if_they_were_all() {
    let mut ear = Ear::new();
    let clip = testing::clip("conversation.wav");
    let long: Vec<f32> = clip.iter().cycle().take(100 * RATE).copied().collect();
    let parts = [RATE..20 * RATE, 30 * RATE..31 * RATE, 40 * RATE..99 * RATE];
    let joined: Vec<f32> = parts
        .iter()
        .flat_map(|p| &long[p.clone()])
        .copied()
        .collect();
    let by_parts = ear
        .speaker
        .embed_parts(&mut Samples::new(&long), &parts, &Cancel::new())
        .unwrap();
    assert_eq!(by_parts, ear.whole(&joined));
}
