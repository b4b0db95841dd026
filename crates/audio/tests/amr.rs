//! AMR, held against what the 3GPP's own fixed-point code decodes of it (tests/fixtures/amr/make.py).

mod common;

use audio::damage::{Damage, take_here};
use audio::{Error, Selection};
use common::*;
use proptest::prelude::*;

/// Name, codec, rate, bytes of the magic word, and bytes behind a header by its type.
type File = (&'static str, &'static str, u32, usize, [usize; 16]);
const FILES: [File; 2] = [
    (
        "nb",
        "amr_nb",
        8_000,
        6,
        [12, 13, 15, 17, 19, 20, 26, 31, 5, 0, 0, 0, 0, 0, 0, 0],
    ),
    (
        "wb",
        "amr_wb",
        16_000,
        9,
        [17, 23, 32, 36, 40, 46, 50, 58, 60, 5, 0, 0, 0, 0, 0, 0],
    ),
];
/// Milliseconds of a fixture.
const LONG: u64 = 1_500;

fn call(name: &str) -> Vec<u8> {
    fixture_bytes(&format!("amr/{name}.amr"))
}

/// At the file's own rate, so that nothing is resampled.
fn samples(rate: u32, file: Vec<u8>) -> Result<Vec<f32>, Error> {
    let selection = Selection {
        sample_rate: rate,
        ..Selection::default()
    };
    Ok(audio::decode(&bytes(file), &selection, &GO)?.samples)
}

fn reference(name: &str) -> Vec<f32> {
    let samples = fixture_bytes(&format!("amr/{name}.s16"));
    let samples = samples.as_chunks::<2>().0.iter();
    samples
        .map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32_768.0)
        .collect()
}

/// Where each frame begins, and the end.
fn starts(file: &[u8], magic: usize, sizes: &[usize; 16]) -> Vec<usize> {
    let next = |at: &usize| {
        let header = file.get(*at)?;
        Some(at + 1 + sizes[usize::from(header >> 3 & 15)])
    };
    std::iter::successors(Some(magic), next).collect()
}

#[test]
fn samples_are_those_of_the_3gpp_s_decoder() {
    for (name, _, rate, _, _) in FILES {
        let (got, wanted) = (samples(rate, call(name)).unwrap(), reference(name));
        let first = got.iter().zip(&wanted).position(|(a, b)| a != b);
        println!("{name}: {:.1} dB", error_db(&wanted, &got));
        assert_eq!(got.len(), wanted.len(), "{name}");
        assert_eq!(first, None, "{name}");
    }
}

/// A lost frame is made up from what was heard before; so is one that only was not sent.
#[test]
fn lost_frames_sound_like_their_neighbours() {
    for (name, _, rate, magic, sizes) in FILES {
        let whole = reference(name);
        let file = call(name);
        let starts = starts(&file, magic, &sizes);
        let frame = rate as usize / 50;
        for header in if name == "wb" {
            &[0x7c, 0x74][..]
        } else {
            &[0x7c]
        } {
            let lost = [&file[..starts[20]], &[*header], &file[starts[21]..]].concat();
            let (info, damaged) = audio::check(&bytes(lost.clone()), &GO).unwrap();
            assert_eq!((info.duration_ms, damaged), (Some(LONG), 0), "{name}");
            let got = samples(rate, lost).unwrap();
            assert!(got[..20 * frame] == whole[..20 * frame], "{name}");
            let place = 20 * frame..21 * frame;
            let level = rms(&got[place.clone()]) / rms(&whole[place]);
            println!("{name} {header:x}: {level:.2}");
            assert!((0.3..2.0).contains(&level), "{name}: {level}");
        }
    }
}

#[test]
fn they_are_described_by_their_headers() {
    for (name, codec, rate, _, _) in FILES {
        for (container, file) in [
            ("amr", call(name)),
            ("mp4", fixture_bytes(&format!("amr/{name}.3gp"))),
        ] {
            let info = audio::probe(&bytes(file), &GO).unwrap();
            assert_eq!(
                (&*info.container, &*info.codec),
                (container, codec),
                "{name}"
            );
            let long = if container == "amr" { LONG } else { 500 };
            assert_eq!(
                (info.sample_rate, info.channels, info.duration_ms),
                (rate, 1, Some(long))
            );
        }
    }
}

#[test]
fn in_3gp_it_is_the_same() {
    for (name, _, rate, _, _) in FILES {
        let file = fixture_bytes(&format!("amr/{name}.3gp"));
        let got = samples(rate, file).unwrap();
        let wanted = reference(name);
        assert_eq!(got.len(), rate as usize / 2, "{name}");
        assert!(got[..] == wanted[..got.len()], "{name}");
    }
}

/// The decoder remembers; a second ahead it has forgotten where it began.
#[test]
fn a_range_is_a_part_of_the_whole() {
    for (name, _, _, magic, _) in FILES {
        // Files put one behind the other, four with a magic word each: long enough to seek in.
        let mut file = call(name).repeat(4);
        file.extend_from_slice(&call(name)[magic..]);
        let input = bytes(file);
        let whole = decode(&input).unwrap().samples;
        assert_eq!(whole.len(), 5 * 24_000, "{name}");
        for start in [3_000, 4_600, 6_990] {
            let selection = range(start, start + 400);
            let part = audio::decode(&input, &selection, &GO).unwrap().samples;
            let from = start as usize * 16;
            let error = error_db(&whole[from..from + 6_400], &part);
            println!("{name} {start}: {error:.0} dB");
            assert_eq!(part.len(), 6_400, "{name}");
            assert!(error < -25.0, "{name}: {error} dB");
        }
    }
}

/// Damage is silence of the same length, and told; what is behind it is heard in its place.
#[test]
fn damaged_headers_are_passed_over_and_counted() {
    for (name, _, rate, magic, sizes) in FILES {
        let whole = reference(name);
        let starts = starts(&call(name), magic, &sizes);
        // A reserved type; a type of another length; a block of zeros.
        type Harm = fn(&mut [u8]);
        let harms: [Harm; 3] = [
            |frames| frames[0] = 0x6c,
            |frames| frames[0] ^= 0x10,
            |frames| frames.fill(0),
        ];
        for (n, harm) in harms.into_iter().enumerate() {
            let mut file = call(name);
            harm(&mut file[starts[10]..starts[11]]);
            let (info, damaged) = audio::check(&bytes(file.clone()), &GO).unwrap();
            let long = info.duration_ms.unwrap();
            println!("{name} {n}: {damaged} of {long} ms");
            assert!((20..=80).contains(&damaged), "{name} {n}: {damaged} ms");
            assert!(long.abs_diff(LONG) <= 20, "{name} {n}: {long} ms");
            let got = samples(rate, file).unwrap();
            let second = got.len() - rate as usize / 2..got.len() - rate as usize / 4;
            let error = error_db(&whole[whole.len() - rate as usize / 2..], &got[second]);
            assert!(error < -20.0, "{name} {n}: {error} dB");
        }
    }
}

/// What is no AMR behind the last frame is told in bytes, and is no silence. The last frame goes with bytes that it cannot be told from.
#[test]
fn what_is_behind_is_told_in_bytes() {
    let mut seed = 7u32;
    let mut noise = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let wave = wav(1, 1, 16_000, 16, &pcm16(&vec![0.1; 400_000]));
    let mut random: Vec<u8> = (0..20_000).map(|_| noise()).collect();
    random[0] = 0xff;
    for (name, _, rate, _, _) in FILES {
        for (what, behind) in [
            ("wav", wave.clone()),
            ("random", random.clone()),
            ("text", b"Recorded by somebody\r\n".to_vec()),
            ("zeros", vec![0; 5_000]),
        ] {
            let file = [call(name), behind.clone()].concat();
            let (info, damaged) = audio::check(&bytes(file.clone()), &GO).unwrap();
            let lost = if what == "wav" { 0 } else { 20 };
            let long = LONG - lost;
            assert_eq!(info.duration_ms, Some(long), "{name} {what}");
            assert_eq!(damaged, 0, "{name} {what}");
            take_here();
            let got = samples(rate, file).unwrap();
            let told = take_here();
            let [Damage::Behind { bytes, at_ms }] = told[..] else {
                panic!("{name} {what}: {told:?}");
            };
            let more = bytes.checked_sub(behind.len() as u64);
            assert!(
                more.is_some_and(|more| more <= 3 * lost),
                "{name} {what}: {bytes}"
            );
            assert_eq!(at_ms, long, "{name} {what}");
            assert!(got[..] == reference(name)[..got.len()], "{name} {what}");
        }
    }
}

#[test]
fn a_file_of_garbage_is_an_error() {
    for (name, _, rate, magic, _) in FILES {
        let mut file = call(name)[..magic].to_vec();
        assert!(matches!(
            samples(rate, file.clone()),
            Err(Error::Corrupt { .. })
        ));
        let mut seed = 1u32;
        file.extend((0..30_000).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        }));
        let error = samples(rate, file).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{name}: {error}");
    }
}

#[test]
fn several_channels_are_refused_by_name() {
    for (magic, word) in [
        ("#!AMR_MC1.0\n", "AMR-NB of several channels"),
        ("#!AMR-WB_MC1.0\n", "AMR-WB of several channels"),
    ] {
        let file = [magic.as_bytes(), &[0, 0, 0, 2, 0x3c, 0x3c]].concat();
        let error = decode(&bytes(file)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn cut_anywhere_they_give_what_is_there() {
    for (name, _, rate, magic, sizes) in FILES {
        let file = call(name);
        let starts = starts(&file, magic, &sizes);
        let whole = reference(name);
        for cut in (magic + 70..file.len()).step_by(37) {
            let got = samples(rate, file[..cut].to_vec()).unwrap();
            let frames = starts.iter().filter(|start| **start <= cut).count() - 1;
            assert_eq!(got.len(), frames * rate as usize / 50, "{name} at {cut}");
            assert!(got[..] == whole[..got.len()], "{name} at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]
    /// Damaged bits under good headers, marked as good or bad, are sound of the right length.
    #[test]
    fn no_bits_are_too_much(noise in prop::collection::vec(any::<u8>(), 64), step in 1usize..40, bad: bool) {
        for (name, _, rate, magic, sizes) in FILES {
            let mut file = call(name);
            for (n, start) in starts(&file, magic, &sizes).windows(2).map(|pair| (pair[0], pair[1])).step_by(step) {
                if bad && file[n] & 0x78 != 0 {
                    file[n] &= !4;
                }
                for (byte, noise) in file[n + 1..start].iter_mut().zip(&noise) {
                    *byte ^= noise;
                }
            }
            let got = samples(rate, file).unwrap();
            prop_assert_eq!(got.len(), LONG as usize * rate as usize / 1000);
        }
    }

    /// Anything behind the magic word is sound or an error.
    #[test]
    fn no_bytes_are_too_much(garbage in prop::collection::vec(any::<u8>(), 0..3000)) {
        for (name, _, rate, magic, _) in FILES {
            let mut file = call(name)[..magic].to_vec();
            file.extend_from_slice(&garbage);
            if let Ok(samples) = samples(rate, file) {
                prop_assert!(samples.len() <= (garbage.len() + 1) * rate as usize / 50);
            }
        }
    }
}
