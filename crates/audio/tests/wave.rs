//! Uncompressed files in all their forms, made here byte by byte.

mod common;

use audio::{Channel, Error, Selection};
use common::*;

/// Big-endian, for AIFF and AU.
fn pcm16be(samples: &[f32]) -> Vec<u8> {
    pcm16(samples)
        .chunks(2)
        .flat_map(|pair| [pair[1], pair[0]])
        .collect()
}

fn au(encoding: u32, rate: u32, size: u32, data: &[u8]) -> Vec<u8> {
    let mut out = b".snd".to_vec();
    for field in [24, size, encoding, rate, 1] {
        out.extend(field.to_be_bytes());
    }
    out.extend(data);
    out
}

fn aiff(data: &[u8]) -> Vec<u8> {
    let mut out = b"FORM".to_vec();
    out.extend((46 + data.len() as u32).to_be_bytes());
    out.extend(b"AIFFCOMM\0\0\0\x12\0\x01");
    out.extend((data.len() as u32 / 2).to_be_bytes());
    out.extend(b"\0\x10\x40\x0c\xfa\0\0\0\0\0\0\0SSND"); // 16 bits, 16000.0 as an 80-bit float
    out.extend((data.len() as u32 + 8).to_be_bytes());
    out.extend([0; 8]);
    out.extend(data);
    out
}

fn rf64(data: &[u8]) -> Vec<u8> {
    let mut out = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    for size in [0, data.len() as u64, data.len() as u64 / 2] {
        out.extend(size.to_le_bytes());
    }
    out.extend([0; 4]);
    out.extend(&wav(1, 1, 16_000, 16, &[])[12..40]);
    out.extend(b"\xff\xff\xff\xff");
    out.extend(data);
    out.extend(b"LIST\x04\0\0\0INFO");
    out
}

fn w64(data: &[u8]) -> Vec<u8> {
    let guid = |name: &[u8]| [name, b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"].concat();
    let mut out = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00".to_vec();
    out.extend(u64::MAX.to_le_bytes());
    out.extend(guid(b"wave"));
    out.extend(guid(b"fmt "));
    out.extend(40u64.to_le_bytes());
    out.extend(&wav(1, 1, 16_000, 16, &[])[20..36]);
    out.extend(guid(b"data"));
    out.extend((24 + data.len() as u64).to_le_bytes());
    out.extend(data);
    out
}

#[test]
fn integer_and_float_wav_of_every_width_give_the_signal() {
    let wanted = chirp(16_000, 0.5);
    let unsigned8: Vec<u8> = wanted.iter().map(|s| (s * 127.0 + 128.0) as u8).collect();
    let int = |bytes: usize| -> Vec<u8> {
        let scaled = wanted.iter().map(|s| (f64::from(*s) * 2147483647.0) as i32);
        scaled
            .flat_map(|s| s.to_le_bytes()[4 - bytes..].to_vec())
            .collect()
    };
    let double: Vec<u8> = wanted
        .iter()
        .flat_map(|s| f64::from(*s).to_le_bytes())
        .collect();
    let cases = [
        ("pcm_u8", wav(1, 1, 16_000, 8, &unsigned8), -30.0),
        ("pcm_s16le", wav(1, 1, 16_000, 16, &int(2)), -80.0),
        ("pcm_s24le", wav(1, 1, 16_000, 24, &int(3)), -120.0),
        ("pcm_s32le", wav(1, 1, 16_000, 32, &int(4)), -120.0),
        (
            "pcm_f32le",
            wav(3, 1, 16_000, 32, &float32(&wanted)),
            -200.0,
        ),
        ("pcm_f64le", wav(3, 1, 16_000, 64, &double), -140.0),
    ];
    for (codec, file, limit) in cases {
        let got = decode(&bytes(file)).unwrap();
        assert_eq!((&*got.info.codec, got.samples.len()), (codec, 8000));
        assert!(
            error_db(&wanted, &got.samples) < limit,
            "{codec}: {}",
            error_db(&wanted, &got.samples)
        );
    }
}

#[test]
fn a_law_and_mu_law_need_no_extra_bytes_in_their_header() {
    // 0xd5 and 0xff are silence, 0xaa and 0x80 full scale (ITU-T G.711).
    for (tag, codec, silence, loud) in [(6, "pcm_alaw", 0xd5, 0xaa), (7, "pcm_mulaw", 0xff, 0x80)] {
        let got = decode(&bytes(wav(tag, 1, 16_000, 8, &[silence, loud, silence]))).unwrap();
        assert_eq!(got.info.codec, codec);
        assert!(
            got.samples[0].abs() < 0.001 && got.samples[1].abs() > 0.9,
            "{codec}: {:?}",
            got.samples
        );
    }
}

#[test]
fn the_other_headers_around_plain_samples_are_read() {
    let wanted = chirp(16_000, 0.5);
    let (little, big) = (pcm16(&wanted), pcm16be(&wanted));
    let cases = [
        ("rf64", "pcm_s16le", rf64(&little)),
        ("w64", "pcm_s16le", w64(&little)),
        ("aiff", "pcm_s16be", aiff(&big)),
        ("au", "pcm_s16be", au(3, 16_000, big.len() as u32, &big)),
        ("au", "pcm_s16be", au(3, 16_000, u32::MAX, &big)),
    ];
    for (container, codec, file) in cases {
        let got = decode(&bytes(file)).unwrap_or_else(|error| panic!("{container}: {error}"));
        assert_eq!((&*got.info.container, &*got.info.codec), (container, codec));
        assert_eq!(
            (got.samples.len(), got.info.duration_ms),
            (8000, Some(500)),
            "{container}"
        );
        assert!(error_db(&wanted, &got.samples) < -70.0, "{container}");
    }
}

#[test]
fn sizes_that_a_pipe_never_filled_in_mean_the_rest_of_the_file() {
    let wanted = chirp(16_000, 0.5);
    for size in [0u32, u32::MAX, 0x7fff_0000] {
        let mut file = wav(1, 1, 16_000, 16, &pcm16(&wanted));
        file[4..8].copy_from_slice(&size.to_le_bytes());
        file[40..44].copy_from_slice(&size.to_le_bytes());
        let got = decode(&bytes(file)).unwrap();
        assert_eq!(
            (got.samples.len(), got.info.duration_ms),
            (8000, Some(500)),
            "size {size:#x}"
        );
    }
}

#[test]
fn nothing_after_the_data_is_heard() {
    let mut file = wav(1, 1, 16_000, 16, &pcm16(&chirp(16_000, 0.5)));
    file.extend([0x7f; 5000]);
    assert_eq!(decode(&bytes(file)).unwrap().samples.len(), 8000);
}

#[test]
fn no_samples_give_no_samples_and_one_gives_one() {
    assert_eq!(
        decode(&bytes(wav(1, 1, 16_000, 16, &[])))
            .unwrap()
            .samples
            .len(),
        0
    );
    assert_eq!(
        decode(&bytes(wav(1, 1, 16_000, 16, &[1, 2])))
            .unwrap()
            .samples
            .len(),
        1
    );
    assert_eq!(
        decode(&bytes(wav(1, 1, 48_000, 16, &[1, 2])))
            .unwrap()
            .samples
            .len(),
        1
    );
}

#[test]
fn not_numbers_become_silence_and_loud_floats_keep_their_shape() {
    let file = float32(&[f32::NAN, 0.5, f32::INFINITY, f32::NEG_INFINITY, 4.0, 1e30]);
    let got = decode(&bytes(wav(3, 1, 16_000, 32, &file)))
        .unwrap()
        .samples;
    assert_eq!(got[..5], [0.0, 0.5, 0.0, 0.0, 4.0]);
    assert!(got[5].is_finite() && got[5] > 1.0);
}

#[test]
fn absurd_headers_are_errors_not_crashes() {
    let data = [0u8; 64];
    for (what, file) in [
        ("0 Hz", wav(1, 1, 0, 16, &data)),
        ("4 GHz", wav(1, 1, u32::MAX, 16, &data)),
        ("no channels", wav(1, 0, 16_000, 16, &data)),
        ("60000 channels", wav(1, 60_000, 16_000, 8, &data)),
        ("no bits", wav(1, 1, 16_000, 0, &data)),
        ("no fmt", b"RIFF\x10\0\0\0WAVEdata\x04\0\0\0abcd".to_vec()),
        ("no data", wav(1, 1, 16_000, 16, &data)[..36].to_vec()),
        ("half a header", wav(1, 1, 16_000, 16, &data)[..20].to_vec()),
    ] {
        match decode(&bytes(file)) {
            Err(Error::Corrupt { format, .. }) => assert_eq!(format, "wav", "{what}"),
            other => panic!("{what}: {:?}", other.map(|audio| audio.samples.len())),
        }
    }
    let fast = decode(&bytes(wav(
        1,
        1,
        384_000,
        16,
        &pcm16(&sine(440.0, 384_000, 0.5, 0.5)),
    )))
    .unwrap();
    assert_eq!(fast.samples.len(), 8000);
    let wide = decode(&bytes(wav(1, 255, 16_000, 8, &[128; 255 * 100])));
    assert!(matches!(&wide, Err(Error::Corrupt { .. })) || wide.unwrap().samples.len() == 100);
}

#[test]
fn codecs_without_a_decoder_are_named() {
    for (tag, name) in [
        (0x42, "G.723.1"),
        (0x161, "WMA"),
        (0x2000, "AC-3"),
        (0x7abc, "0x7abc"),
    ] {
        let error = decode(&bytes(wav(tag, 1, 8000, 8, &[0; 100]))).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }) && error.to_string().contains(name),
            "{error}"
        );
    }
}

#[test]
fn things_that_are_not_audio_are_told_apart() {
    let message = |data: &[u8]| decode(&bytes(data)).unwrap_err().to_string();
    assert!(message(b"").contains("empty"));
    assert!(
        message(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
            .contains("git lfs pull")
    );
    assert!(message("Grüße, ein Text".as_bytes()).contains("text file"));
    assert!(message(&[0, 1, 2, 3, 250, 251, 252, 0, 0, 0]).contains("no audio format"));
    assert!(message(b"#!AMR_MC1.0\n\0\0\0\x02").contains("AMR-NB"));
    assert!(message(b"RIFF\x10\0\0\0AVI LIST").contains("AVI"));
    let mut transport = [0xff; 600];
    (0..4).for_each(|n| transport[n * 188] = 0x47);
    assert!(message(&transport).contains("MPEG transport stream"));
    let mut ima = aiff(&[0; 64]);
    ima.splice(38..38, *b"ima4\0\0");
    ima[11] = b'C';
    ima[19] += 6;
    assert!(message(&ima).contains("ima4 in AIFF-C"));
    assert!(message(b"%PDF-1.4 \x00\x01").contains("no audio format"));
}

#[test]
fn mp3_inside_wav_is_found() {
    let mut file = wav(0x55, 1, 16_000, 0, &fixture_bytes("chirp.mp3"));
    file[34] = 0;
    let got = decode(&bytes(file)).unwrap();
    assert_eq!((&*got.info.container, &*got.info.codec), ("wav", "mp3"));
    assert!(got.samples.len() > 60_000);
}

fn stereo(left: &[f32], right: &[f32]) -> Vec<u8> {
    let both: Vec<f32> = left.iter().zip(right).flat_map(|(l, r)| [*l, *r]).collect();
    wav(3, 2, 16_000, 32, &float32(&both))
}

fn pick(file: &[u8], channel: Channel) -> Result<Vec<f32>, Error> {
    audio::decode(
        &bytes(file),
        &Selection {
            channel,
            ..Selection::default()
        },
        &GO,
    )
    .map(|audio| audio.samples)
}

#[test]
fn channels_are_picked_by_number_and_mixed_by_their_mean() {
    let (left, right) = (
        sine(300.0, 16_000, 1.0, 0.5),
        sine(700.0, 16_000, 1.0, 0.25),
    );
    let file = stereo(&left, &right);
    assert_eq!(pick(&file, Channel::Index(0)).unwrap(), left);
    assert_eq!(pick(&file, Channel::Index(1)).unwrap(), right);
    let mean: Vec<f32> = left
        .iter()
        .zip(&right)
        .map(|(l, r)| (l + r) / 2.0)
        .collect();
    assert!(error_db(&mean, &pick(&file, Channel::Mix).unwrap()) < -100.0);
    let error = pick(&file, Channel::Index(2)).unwrap_err();
    assert!(matches!(
        error,
        Error::Channel {
            wanted: 2,
            channels: 2
        }
    ));
    assert!(error.to_string().contains("2 channel(s)"), "{error}");
}

#[test]
fn an_inverted_channel_does_not_cancel_the_voice() {
    let voice = chirp(16_000, 2.0);
    let inverted: Vec<f32> = voice.iter().map(|s| -0.8 * s).collect();
    let got = pick(&stereo(&voice, &inverted), Channel::Mix).unwrap();
    let wanted: Vec<f32> = voice.iter().map(|s| 0.9 * s).collect();
    assert!(error_db(&wanted, &got) < -100.0);
    // Silence on one side, or a wire cut midway, needs no such help.
    let silent = vec![0.0; voice.len()];
    assert!(rms(&pick(&stereo(&voice, &silent), Channel::Mix).unwrap()) > 0.45 * rms(&voice));
}

#[test]
fn surround_leaves_the_low_frequency_channel_out() {
    // 5.1 in WAV's order: FL FR FC LFE BL BR, 48 kHz.
    let voice = sine(500.0, 48_000, 0.5, 0.5);
    let rumble = sine(40.0, 48_000, 0.5, 0.9);
    let frames: Vec<f32> = voice
        .iter()
        .zip(&rumble)
        .flat_map(|(v, r)| [0.0, 0.0, *v, *r, 0.0, 0.0])
        .collect();
    let got = decode(&bytes(wav(3, 6, 48_000, 32, &float32(&frames))))
        .unwrap()
        .samples;
    let wanted: Vec<f32> = sine(500.0, 16_000, 0.5, 0.5)
        .iter()
        .map(|s| s / (2.0 + std::f32::consts::SQRT_2))
        .collect();
    assert!(
        error_db(&wanted[500..7500], &got[500..7500]) < -50.0,
        "{}",
        error_db(&wanted, &got)
    );
}

#[test]
fn ranges_and_limits_are_checked() {
    let file = bytes(wav(1, 1, 16_000, 16, &pcm16(&chirp(16_000, 2.0))));
    let all = decode(&file).unwrap().samples;
    let cut = audio::decode(&file, &range(500, 1500), &GO)
        .unwrap()
        .samples;
    assert!(cut == all[8000..24_000]);
    assert!(
        audio::decode(&file, &range(1500, 99_999), &GO)
            .unwrap()
            .samples
            == all[24_000..]
    );
    assert!(matches!(
        audio::decode(&file, &range(5, 5), &GO),
        Err(Error::Range { .. })
    ));
    assert!(matches!(
        audio::decode(&file, &range(2000, 3000), &GO),
        Err(Error::StartBeyondEnd {
            duration_ms: 2000,
            ..
        })
    ));
    let limited = |end_ms| Selection {
        end_ms,
        max_duration_ms: 1000,
        ..Selection::default()
    };
    assert!(matches!(
        audio::decode(&file, &limited(None), &GO),
        Err(Error::TooLong { max_ms: 1000 })
    ));
    assert_eq!(
        audio::decode(&file, &limited(Some(1000)), &GO)
            .unwrap()
            .samples
            .len(),
        16_000
    );
}

/// Ten hours of 16-bit audio in a sparse file: only the part that is asked for may be read.
#[test]
fn ten_seconds_of_ten_hours_read_ten_seconds() {
    let hours = 10u64 * 3600 * 32_000;
    let mut header = wav(1, 1, 16_000, 16, &[]);
    header[40..44].copy_from_slice(&(hours as u32).to_le_bytes());
    let file = tempfile::tempfile().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &header, 0).unwrap();
    file.set_len(44 + hours).unwrap();
    let input = audio::Input::File(std::sync::Arc::new(file));
    let ten_hours_ms = 36_000_000;
    for (start, end) in [
        (0, 10_000),
        (ten_hours_ms / 2, ten_hours_ms / 2 + 10_000),
        (ten_hours_ms - 10_000, ten_hours_ms),
    ] {
        let mut reader = audio::Reader::open(&input, &range(start, end)).unwrap();
        let mut samples = Vec::new();
        while reader.read(&mut samples, 16_000, &GO).unwrap() > 0 {}
        assert_eq!(samples.len(), 160_000);
        assert!(
            reader.bytes_read() < 320_000 + 150_000,
            "{start}: {} bytes read",
            reader.bytes_read()
        );
    }
    assert_eq!(
        audio::probe(&input, &GO).unwrap().duration_ms,
        Some(ten_hours_ms)
    );
}

/// A selection at 48 kHz is what the whole file has there, whatever the file's rate.
#[test]
fn another_rate_is_given_where_it_is_asked_for() {
    for rate in [8_000, 16_000, 44_100, 48_000] {
        let signal = sine(1000.0, rate, 3.0, 0.5);
        let file = bytes(wav(3, 1, rate, 32, &float32(&signal)));
        let at = |start_ms, end_ms| {
            let selection = Selection {
                sample_rate: 48_000,
                ..range(start_ms, end_ms)
            };
            audio::decode(&file, &selection, &GO).unwrap().samples
        };
        let (whole, part) = (at(0, 3_000), at(1_500, 2_000));
        assert_eq!((whole.len(), part.len()), (144_000, 24_000), "{rate}");
        let wanted = sine(1000.0, 48_000, 3.0, 0.5);
        for (i, got) in part.iter().enumerate() {
            assert!((got - whole[72_000 + i]).abs() < 1e-5, "{rate}");
            assert!((got - wanted[72_000 + i]).abs() < 2e-3, "{rate}");
        }
    }
}
