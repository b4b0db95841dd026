//! Compressed formats: what comes out is the signal that went in, in its place, whole or in part.

mod common;

use common::*;

/// Encoder delay that the container does not tell, in samples at 16 kHz: AAC's first frame of priming.
fn untold_delay(name: &str) -> i64 {
    match name {
        "chirp.aac" => 1024,
        _ => 0,
    }
}

/// libopus enhances what it takes for speech (LACE), which a chirp is not.
fn least_correlation(codec: &str) -> f64 {
    if codec == "opus" { 0.85 } else { 0.95 }
}

#[test]
fn every_fixture_gives_the_chirp_in_its_place() {
    let wanted = chirp(16_000, 4.0);
    for name in FIXTURES {
        let audio::Audio { samples: got, info } =
            decode(&fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (delay, correlation) = delay(&wanted, &got, 1300);
        println!(
            "{name}: delay {delay}, correlation {correlation:.4}, length {:+}",
            got.len() as i64 - 64_000
        );
        assert!(
            correlation > least_correlation(&info.codec),
            "{name}: correlation {correlation}"
        );
        let tolerance = if name.contains("untagged") { 1200 } else { 8 };
        assert!(
            (delay - untold_delay(name)).abs() <= tolerance,
            "{name}: delay of {delay} samples"
        );
        assert!(
            (got.len() as i64 - 64_000).abs() <= 2400,
            "{name}: {} samples",
            got.len()
        );
    }
}

/// The same samples as decoding everything and cutting, wherever the range lies.
#[test]
fn a_range_is_a_slice_of_the_whole() {
    for name in FIXTURES {
        let input = fixture(name);
        let audio::Audio {
            samples: whole,
            info,
        } = decode(&input).unwrap();
        for (start, end) in [
            (0, 700),
            (333, 1000),
            (2500, 3100),
            (3001, 3900),
            (3500, 60_000),
        ] {
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
fn reading_in_small_steps_gives_the_same() {
    for name in FIXTURES {
        let whole = audio::decode(&fixture(name), &range(1000, 3000), &GO)
            .unwrap()
            .samples;
        let mut reader = audio::Reader::open(&fixture(name), &range(1000, 3000)).unwrap();
        let mut steps = Vec::new();
        while reader.read(&mut steps, 777, &GO).unwrap() > 0 {}
        assert!(whole == steps, "{name}");
    }
}

#[test]
fn probe_names_container_and_codec_and_measures() {
    let wanted = [
        ("chirp.mp3", "mp3", "mp3"),
        ("chirp_cbr_untagged.mp3", "mp3", "mp3"),
        ("chirp.ogg", "ogg", "vorbis"),
        ("chirp.opus", "ogg", "opus"),
        ("chirp.webm", "webm", "opus"),
        ("chirp.m4a", "mp4", "aac"),
        ("chirp.aac", "adts", "aac"),
        ("quiet_alac.m4a", "mp4", "alac"),
        ("quiet_flac.mka", "matroska", "flac"),
        ("video.mp4", "mp4", "aac"),
        ("video.mkv", "matroska", "opus"),
    ];
    for (name, container, codec) in wanted {
        let info = audio::probe(&fixture(name), &GO).unwrap();
        assert_eq!(
            (&*info.container, &*info.codec, info.channels),
            (container, codec, 1),
            "{name}"
        );
        let duration = info.duration_ms.unwrap();
        assert!(duration.abs_diff(4000) <= 160, "{name}: {duration} ms");
    }
}

#[test]
fn an_ogg_file_is_as_long_as_what_is_heard_of_it() {
    for name in ["chirp.ogg", "chirp.opus"] {
        let told = audio::probe(&fixture(name), &GO).unwrap().duration_ms;
        let heard = decode(&fixture(name)).unwrap().samples.len() as u64 / 16;
        assert_eq!(told, Some(heard), "{name}");
    }
}

#[test]
fn a_start_beyond_the_end_says_how_long_the_audio_is() {
    for name in FIXTURES {
        match audio::decode(&fixture(name), &range(60_000, 70_000), &GO) {
            Err(audio::Error::StartBeyondEnd {
                start_ms: 60_000,
                duration_ms,
            }) => {
                assert!(duration_ms.abs_diff(4000) <= 200, "{name}: {duration_ms}");
            }
            other => panic!("{name}: {:?}", other.map(|audio| audio.samples.len())),
        }
    }
}

/// Cut anywhere, a file gives what is there, or an error that says so.
#[test]
fn truncated_files_give_what_is_there() {
    for name in FIXTURES {
        let whole = fixture_bytes(name);
        let half = decode(&bytes(&whole[..whole.len() / 2]));
        match half {
            Ok(audio) => assert!(audio.samples.len() < 64_000, "{name}"),
            // MP4 has its index at the end, Matroska a size that is now wrong; this Ogg file is a single page.
            Err(error) => assert!(
                !name.ends_with(".mp3") && !name.ends_with(".aac"),
                "{name}: {error}"
            ),
        }
        for cut in (0..whole.len()).step_by(whole.len() / 97 + 1) {
            let _ = decode(&bytes(&whole[..cut]));
        }
    }
}

#[test]
fn a_set_stop_flag_cancels_everything() {
    let stop = std::sync::atomic::AtomicBool::new(true);
    for name in FIXTURES {
        let input = fixture(name);
        assert!(
            matches!(audio::probe(&input, &stop), Err(audio::Error::Cancelled)),
            "{name}"
        );
        assert!(
            matches!(
                audio::decode(&input, &range(3000, 4000), &stop),
                Err(audio::Error::Cancelled)
            ),
            "{name}"
        );
    }
}

/// Encoded bytes read for a range, and its samples.
fn read_range(input: &audio::Input, start_ms: u64, end_ms: u64) -> (u64, usize) {
    let mut reader = audio::Reader::open(input, &range(start_ms, end_ms)).unwrap();
    let mut samples = Vec::new();
    while reader.read(&mut samples, 16_000, &GO).unwrap() > 0 {}
    (reader.bytes_read(), samples.len())
}

#[test]
fn a_long_mp3_is_read_no_further_than_its_range() {
    let hour = fixture_bytes("chirp_cbr_untagged.mp3").repeat(900);
    let input = bytes(hour);
    let (read, samples) = read_range(&input, 0, 10_000);
    assert_eq!(samples, 160_000);
    assert!(read < 200_000, "{read} bytes read");
    assert_eq!(read_range(&input, 3_600_000, 3_610_000).1, 160_000);
}

#[test]
fn a_long_flac_is_bisected() {
    let file = audio::flac::write(&chirp(16_000, 4.0).repeat(30), 16_000);
    let total = file.len() as u64;
    for start in [0, 50_000, 110_000] {
        let (read, samples) = read_range(&bytes(file.clone()), start, start + 5000);
        assert_eq!(samples, 80_000);
        assert!(read < total / 4, "{read} of {total} bytes read for {start}");
    }
}
