//! Recordings that other programs lose parts of, or refuse: all of them is heard. They are development recordings.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audio::damage::Damage;
use audio::{Error, Info, Input, Selection};

/// A file among the cases; nothing, said aloud, where they are not on this machine.
fn case(name: &str) -> Option<Input> {
    let Some(folder) = std::env::var_os("AI_AUDIO_SPEECH") else {
        println!("skipped: AI_AUDIO_SPEECH is not set, and this test needs cases/{name}");
        return None;
    };
    let path = PathBuf::from(folder).join("cases").join(name);
    Some(Input::File(Arc::new(std::fs::File::open(path).unwrap())))
}

fn samples(input: &Input, selection: &Selection) -> Result<Vec<f32>, Error> {
    audio::decode(input, selection, &AtomicBool::new(false)).map(|audio| audio.samples)
}

fn all(input: &Input) -> Vec<f32> {
    samples(input, &Selection::default()).unwrap()
}

fn info(input: &Input) -> Info {
    audio::probe(input, &AtomicBool::new(false)).unwrap()
}

fn from(start_ms: u64) -> Selection {
    Selection {
        start_ms: Some(start_ms),
        ..Selection::default()
    }
}

/// Whether something sounds in each whole second but those listed.
fn sounds(samples: &[f32], silent: std::ops::Range<usize>) {
    for (second, part) in samples.chunks_exact(16_000).enumerate() {
        let level = (part.iter().map(|x| x * x).sum::<f32>() / part.len() as f32).sqrt();
        assert!(
            level > 1e-3 || silent.contains(&second),
            "second {second} is silent: {level}"
        );
    }
}

fn is_long(name: &str, right_ms: u64, silent: std::ops::Range<usize>) {
    let Some(input) = case(name) else { return };
    let samples = all(&input);
    let (ms, told) = (samples.len() as u64 / 16, info(&input).duration_ms);
    println!("{name}: {ms} ms, told {told:?}");
    assert!(ms.abs_diff(right_ms) < 60, "{name}: {ms} ms");
    assert!(
        told.is_some_and(|told| told.abs_diff(right_ms) < 60),
        "{name}: told {told:?}"
    );
    sounds(&samples, silent);
    // A range is that part of the whole.
    let start = right_ms * 3 / 4;
    let part = self::samples(&input, &from(start)).unwrap();
    let whole = &samples[start as usize * 16..];
    assert!(
        part.len().abs_diff(whole.len()) <= 16 * 60,
        "{name}: {} {}",
        part.len(),
        whole.len()
    );
    let likeness = |shift: usize| -> f32 {
        let (a, b) = (
            &part[shift..],
            &whole[..whole.len().min(part.len() - shift)],
        );
        let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        let norm = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>().sqrt();
        dot / (norm(a) * norm(b)).max(1e-9)
    };
    // HE-AAC's core may be off by one of its samples, since the file counts in others.
    assert!(likeness(0) > 0.95, "{name}: {}", likeness(0));
}

#[test]
fn mp3_of_varying_rate_without_a_header_is_heard_to_its_end() {
    is_long("mp3_vbr_without_header.mp3", 29_571, 5..26);
}

#[test]
fn mp3_files_one_behind_the_other_are_all_heard() {
    is_long("mp3_concatenated.mp3", 9_535, 0..0); // the encoder's delay and padding of both cut off
}

#[test]
fn channels_and_rate_may_change_midway() {
    is_long("mp3_mono_then_stereo.mp3", 9_614, 0..0);
    is_long("adts_rate_change.aac", 9_614, 0..0);
}

#[test]
fn tags_behind_a_flac_take_nothing_of_it() {
    is_long("flac_id3v1_at_end.flac", 5_060, 0..0);
}

#[test]
fn pages_without_a_time_lose_nothing() {
    is_long("ogg_granule_minus1.ogg", 5_060, 0..0);
}

/// With tags between and behind, and with another rate and number of channels.
#[test]
fn flac_files_one_behind_the_other_are_all_heard() {
    let tone = |seconds: usize, rate: u32| -> Vec<u8> {
        let length = seconds * rate as usize;
        let samples = (0..length).map(|n| 0.3 * (n as f32 * 2500.0 / rate as f32).sin());
        audio::flac::write(&samples.collect::<Vec<_>>(), rate)
    };
    let mut tag = b"ID3\x04\0\0\0\0\x01\x00".to_vec();
    tag.extend_from_slice(&[0; 128]);
    let mut old_tag = b"TAG".to_vec();
    old_tag.resize(128, b' ');
    let parts = [
        tone(4, 16_000),
        old_tag,
        tag,
        tone(3, 16_000),
        tone(2, 8_000),
    ];
    for files in [parts.concat(), [tone(5, 16_000), tone(4, 16_000)].concat()] {
        let input = Input::Bytes(files.into());
        let samples = all(&input);
        assert_eq!(samples.len(), 9 * 16_000);
        sounds(&samples, 0..0);
        assert_eq!(info(&input).duration_ms, Some(9_000));
        let part = self::samples(&input, &from(5_500)).unwrap();
        let whole = &samples[5_500 * 16..];
        assert_eq!(part.len(), whole.len());
        let far = part.iter().zip(whole).map(|(a, b)| (a - b).abs());
        assert!(far.fold(0.0, f32::max) < 0.01);
        assert_eq!(audio::damage::take_here(), []);
    }
}

#[test]
fn big_endian_wav_is_read() {
    is_long("wav_rifx.wav", 5_060, 0..0);
}

#[test]
fn the_core_of_he_aac_is_heard() {
    is_long("heaac_explicit.m4a", 5_060, 0..0);
    is_long("he_aac_implicit.m4a", 5_060, 0..0);
}

#[test]
fn lengths_that_headers_do_not_tell_are_measured() {
    is_long("mp4_hybrid_fragments.mp4", 5_083, 0..0);
    is_long("mp4_duration_all_ones.mp4", 5_085, 0..0);
    is_long("webm_no_duration.webm", 5_060, 0..0);
    is_long("ogg_opus_starts_at_1h.opus", 5_060, 0..0);
    is_long("ogg_chained.opus", 9_535, 0..0);
}

#[test]
fn garbage_is_an_error() {
    let Some(input) = case("aac_payload_garbage.m4a") else {
        return;
    };
    let error = samples(&input, &Selection::default())
        .map(|s| s.len())
        .unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[test]
fn what_is_encrypted_is_called_so() {
    let Some(input) = case("mp4_encrypted.mp4") else {
        return;
    };
    let error = samples(&input, &Selection::default())
        .map(|s| s.len())
        .unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
}

/// Damaged packets are silence, and somebody is told how much and where.
#[test]
fn damage_is_told() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chirp.m4a");
    let mut bytes = std::fs::read(path).unwrap();
    let whole = all(&Input::Bytes(bytes.clone().into()));
    assert_eq!(audio::damage::take_here(), []);
    let middle = bytes.len() / 2;
    bytes[middle..middle + 1500].fill(0xff);
    let damaged_input = Input::Bytes(bytes.into());
    let damaged = all(&damaged_input);
    assert_eq!(
        damaged.len(),
        whole.len(),
        "silence stands for what is lost"
    );
    let told = audio::damage::take_here();
    let length_ms = whole.len() as u64 / 16;
    assert!(
        matches!(told[..], [Damage::Silence { ms, at_ms }] if ms > 0 && ms < length_ms && at_ms < length_ms),
        "{told:?} of {length_ms} ms"
    );
    let [Damage::Silence { ms: lost_ms, .. }] = told[..] else {
        panic!("{told:?}");
    };
    let stop = AtomicBool::new(false);
    let (info, damaged_ms) = audio::check(&damaged_input, &stop).unwrap();
    assert_eq!((info.duration_ms, damaged_ms), (Some(length_ms), lost_ms));
    assert_eq!(audio::damage::take_here(), told, "told again");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chirp.m4a");
    let whole = Input::Bytes(std::fs::read(path).unwrap().into());
    assert_eq!(audio::check(&whole, &stop).unwrap().1, 0);
}
