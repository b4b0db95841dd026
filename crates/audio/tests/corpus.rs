//! One utterance in 46 codings, and 20 broken or extreme files: what becomes of each.

mod common;

use audio::{Error, Input};
use common::*;

/// File, container, codec, and the correlation with the WAV at 16 kHz that is asked for, after finding the delay.
const FORMATS: &[(&str, &str, &str, f64)] = &[
    ("51ch_48k.wav", "wav", "pcm_s16le", 0.99),
    ("aac_24k_16k.m4a", "mp4", "aac", 0.95),
    ("aac_64k.m4a", "mp4", "aac", 0.98),
    ("aac_adts.aac", "adts", "aac", 0.95),
    ("adpcm_ima_16k.wav", "wav", "adpcm_ima_wav", 0.98),
    ("adpcm_ms_16k.wav", "wav", "adpcm_ms", 0.98),
    ("aiff.aiff", "aiff", "pcm_s16be", 0.999),
    ("alac.m4a", "mp4", "alac", 0.999),
    ("alaw_8k.wav", "wav", "pcm_alaw", 0.95),
    ("amr_nb_12k.amr", "amr", "amr_nb", 0.6),
    ("au_mulaw.au", "au", "pcm_mulaw", 0.95),
    ("caf.caf", "caf", "pcm_s16le", 0.999),
    ("flac_16k.flac", "flac", "flac", 0.999),
    ("flac_24_48k_stereo.flac", "flac", "flac", 0.99),
    ("float32_16k.wav", "wav", "pcm_f32le", 0.999),
    ("float64_16k.wav", "wav", "pcm_f64le", 0.999),
    ("mka_flac.mka", "matroska", "flac", 0.999),
    ("mp3_128k_44k.mp3", "mp3", "mp3", 0.98),
    ("mp3_16k_8k.mp3", "mp3", "mp3", 0.9),
    ("mp3_32k_16k.mp3", "mp3", "mp3", 0.95),
    ("mp3_vbr_tags.mp3", "mp3", "mp3", 0.95),
    ("mp4_video.mp4", "mp4", "aac", 0.95),
    ("mulaw_8k.wav", "wav", "pcm_mulaw", 0.95),
    ("opus_16k.opus", "ogg", "opus", 0.9),
    ("opus_6k_nb.opus", "ogg", "opus", 0.7),
    ("opus_ogg.ogg", "ogg", "opus", 0.9),
    ("opus_webm.webm", "webm", "opus", 0.9),
    ("pcm16_11025.wav", "wav", "pcm_s16le", 0.98),
    ("pcm16_16k.wav", "wav", "pcm_s16le", 0.999),
    ("pcm16_8k.wav", "wav", "pcm_s16le", 0.95),
    ("pcm16_96k.wav", "wav", "pcm_s16le", 0.99),
    ("pcm24_48k_stereo.wav", "wav", "pcm_s24le", 0.99),
    ("pcm32_44k.wav", "wav", "pcm_s32le", 0.99),
    ("rf64_16k.wav", "rf64", "pcm_s16le", 0.999),
    ("u8_8k.wav", "wav", "pcm_u8", 0.9),
    ("vorbis.ogg", "ogg", "vorbis", 0.95),
    ("w64_16k.w64", "w64", "pcm_s16le", 0.999),
];

/// Files that are named instead: a word that the message must hold.
const NAMED: &[(&str, &str)] = &[
    ("ac3.ac3", "AC-3"),
    ("g722.g722", "G.722"),
    ("gsm_raw.gsm", "GSM"),
    ("speex.spx", "Speex"),
    ("tta.tta", "TTA"),
    ("wavpack.wv", "WavPack"),
    ("wma2.wma", "WMA"),
];

fn open(folder: &str, name: &str) -> Option<Input> {
    Some(file(recordings()?.join(folder).join(name)))
}

#[test]
fn every_coding_of_the_utterance_sounds_like_the_wav() {
    let Some(reference) = open("formats", "pcm16_16k.wav") else {
        return;
    };
    let reference = decode(&reference).unwrap().samples;
    for (name, container, codec, least) in FORMATS {
        let input = open("formats", name).unwrap();
        let got = decode(&input).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (&*got.info.container, &*got.info.codec),
            (*container, *codec),
            "{name}"
        );
        let (delay, correlation) = delay(&reference, &got.samples, 1300);
        println!(
            "{name}: delay {delay}, correlation {correlation:.4}, length {:+}",
            got.samples.len() as i64 - reference.len() as i64
        );
        assert!(correlation >= *least, "{name}: correlation {correlation}");
        let duration = audio::probe(&input, &GO).unwrap().duration_ms.unwrap();
        assert!(duration.abs_diff(5060) <= 130, "{name}: {duration} ms");
    }
}

#[test]
fn codings_without_a_decoder_are_named() {
    for (name, word) in NAMED {
        let Some(input) = open("formats", name) else {
            return;
        };
        let error = decode(&input).map(|audio| audio.info).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. } | Error::NotAudio { .. }),
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(word), "{name}: {error}");
    }
}

#[test]
fn a_range_of_every_coding_is_a_slice_of_the_whole() {
    for (name, ..) in FORMATS {
        let Some(input) = open("formats", name) else {
            return;
        };
        let audio::Audio {
            samples: whole,
            info,
        } = decode(&input).unwrap();
        for (start, end) in [(200, 900), (3100, 4000), (4500, 60_000)] {
            let got = audio::decode(&input, &range(start, end), &GO)
                .unwrap()
                .samples;
            let wanted = &whole[start as usize * 16..(end as usize * 16).min(whole.len())];
            assert_eq!(got.len(), wanted.len(), "{name} {start}..{end}");
            let error = error_db(wanted, &got);
            assert!(
                error < range_error_db(&info.codec),
                "{name} {start}..{end}: differs by {error:.0} dB"
            );
        }
    }
}

#[test]
fn bad_files_get_what_they_deserve() {
    let samples =
        |name: &str| open("bad", name).map(|input| decode(&input).map(|audio| audio.samples));
    let Some(empty) = samples("empty.wav") else {
        return;
    };
    assert!(matches!(empty, Err(Error::Empty)));
    let refused = |name: &str, word: &str| {
        let error = samples(name).unwrap().unwrap_err();
        assert!(
            matches!(error, Error::NotAudio { .. }) && error.to_string().contains(word),
            "{name}: {error}"
        );
    };
    refused("lfs_pointer.wav", "git lfs pull");
    refused("random.mp3", "no audio format");
    let good = |name: &str| {
        let samples = samples(name)
            .unwrap()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(samples.iter().all(|sample| sample.is_finite()), "{name}");
        samples
    };
    assert_eq!(good("header_only.wav").len(), 0);
    assert_eq!(good("one_sample.wav").len(), 1);
    assert!(rms(&good("silence_5s.wav")) == 0.0);
    assert_eq!(
        (good("short_100ms.wav").len(), good("short_500ms.wav").len()),
        (1600, 8000)
    );
    assert!(good("very_quiet.wav").iter().any(|sample| *sample != 0.0));
    assert!(good("clipped.wav").iter().all(|sample| sample.abs() <= 1.0));
    let dc = good("dc_offset.wav");
    assert!((dc.iter().sum::<f32>() / dc.len() as f32 - 0.4).abs() < 0.05);
    assert!(rms(&good("nan.wav")) > 0.001 && rms(&good("inf_over1.wav")) > 0.001);
    let voice = good("noext");
    for name in [
        "wrong_ext.mp3",
        "trailing_garbage.wav",
        "streaming_sizes.wav",
        "antiphase_stereo.wav",
        "left_only.wav",
    ] {
        let got = good(name);
        assert_eq!(got.len(), voice.len(), "{name}");
        assert!(delay(&voice, &got, 2).1 > 0.99, "{name}");
        assert!(rms(&got) > 0.45 * rms(&voice), "{name}");
    }
    let truncated = good("truncated.wav").len();
    assert!(truncated > 1000 && truncated < voice.len());
}
