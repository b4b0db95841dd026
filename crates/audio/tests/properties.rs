//! Nothing that comes in can crash, hang or swell.

mod common;

use common::*;
use proptest::prelude::*;

fn survive(data: Vec<u8>) {
    let input = bytes(data);
    let _ = audio::probe(&input, &GO);
    let limited = |start, end| audio::Selection {
        max_duration_ms: 20_000,
        ..range(start, end)
    };
    for (start, end) in [(0, 10_000), (2600, 3000)] {
        if let Ok(audio) = audio::decode(&input, &limited(start, end), &GO) {
            assert!(audio.samples.len() <= (end - start) as usize * 16);
            assert!(audio.samples.iter().all(|sample| sample.is_finite()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_do_not_crash(data in prop::collection::vec(any::<u8>(), 0..4096)) {
        survive(data);
    }

    #[test]
    fn damaged_files_do_not_crash(which in 0..FIXTURES.len(), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30)) {
        let mut data = fixture_bytes(FIXTURES[which]);
        for (at, value) in flips {
            let at = at.index(data.len());
            data[at] = value;
        }
        survive(data);
    }

    #[test]
    fn damaged_wav_headers_do_not_crash(flips in prop::collection::vec((0usize..60, any::<u8>()), 1..6)) {
        let mut data = wav(1, 2, 22_050, 16, &pcm16(&chirp(44_100, 1.0)));
        for (at, value) in flips {
            data[at] = value;
        }
        survive(data);
    }

    #[test]
    fn written_wav_and_flac_read_back(samples in prop::collection::vec(-1.0f32..1.0, 0..5000), rate in 8_000u32..48_001) {
        for file in [audio::wav::write(&samples, rate), audio::flac::write(&samples, rate)] {
            let got = decode(&bytes(file));
            prop_assert!(got.is_ok() || samples.is_empty(), "{} samples: {:?}", samples.len(), got.err());
            let Ok(got) = got else { continue };
            prop_assert_eq!(got.info.sample_rate, rate);
            let expected = (samples.len() as u64 * 16_000).div_ceil(rate.into()) as usize;
            prop_assert_eq!(got.samples.len(), expected);
        }
    }

    #[test]
    fn any_range_of_a_wav_is_a_slice(rate in prop::sample::select(vec![8_000u32, 11_025, 16_000, 22_050, 44_100, 48_000]), start in 0u64..900, length in 1u64..900) {
        let file = bytes(wav(1, 1, rate, 16, &pcm16(&chirp(rate, 1.0))));
        let whole = decode(&file).unwrap().samples;
        let got = audio::decode(&file, &range(start, start + length), &GO).unwrap().samples;
        let wanted = &whole[start as usize * 16..((start + length) as usize * 16).min(whole.len())];
        prop_assert_eq!(got.len(), wanted.len());
        prop_assert!(got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
