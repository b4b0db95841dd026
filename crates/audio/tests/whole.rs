//! What other programs lose parts of, made here out of a small chirp (tests/fixtures/cases.sh): all of it is heard, in its place.

mod common;

use audio::{Error, Input};
use common::*;

fn case(name: &str) -> Vec<u8> {
    fixture_bytes(&format!("cases/{name}"))
}

/// Decodes `times` chirps of 4 s, each found within `slack` samples of its place, and checks the length that is told.
fn gives_chirps(what: &str, file: Vec<u8>, times: usize, slack: i64) {
    let input = bytes(file);
    let samples = decode(&input)
        .unwrap_or_else(|error| panic!("{what}: {error}"))
        .samples;
    let told = audio::probe(&input, &GO).unwrap().duration_ms.unwrap();
    let ms = samples.len() as u64 / 16;
    println!("{what}: {ms} ms, told {told}");
    assert!(ms.abs_diff(4_000 * times as u64) <= 400, "{what}: {ms} ms");
    assert!(told.abs_diff(ms) <= 60, "{what}: told {told}, heard {ms}");
    let wanted = chirp(16_000, 4.0);
    // The band that all of the codecs keep.
    for n in 0..times {
        let from = n * samples.len() / times;
        let part = &samples[from..samples.len().min(from + 64_000)];
        let (place, correlation) = delay(&wanted[..48_000], part, slack + 100);
        println!("  {n}: {place} samples late, correlation {correlation:.3}");
        assert!(correlation > 0.8, "{what}: chirp {n}: {correlation}");
        assert!(
            place.abs() <= slack,
            "{what}: chirp {n}: {place} samples late"
        );
    }
    // A range is that part of the whole.
    let start = 4_000 * times as u64 - 1_500;
    let part = audio::decode(&input, &range(start, start + 700), &GO)
        .unwrap()
        .samples;
    let whole = &samples[start as usize * 16..][..part.len()];
    assert_eq!(part.len(), 700 * 16, "{what}");
    let (place, correlation) = delay(whole, &part, 100);
    assert!(
        correlation > 0.8 && place.abs() <= 16,
        "{what}: {place}, {correlation}"
    );
}

#[test]
fn mpeg_audio() {
    gives_chirps(
        "vbr without a header",
        case("vbr_without_header.mp3"),
        1,
        2_400,
    );
    let one = fixture_bytes("chirp.mp3");
    gives_chirps(
        "one behind the other",
        [one.clone(), one].concat(),
        2,
        1_200,
    );
    let mono = fixture_bytes("chirp_cbr_untagged.mp3");
    gives_chirps(
        "mono, then stereo",
        [mono, case("stereo.mp3")].concat(),
        2,
        2_400,
    );
    let aac = fixture_bytes("chirp.aac");
    gives_chirps("16 kHz, then 8", [aac, case("8k.aac")].concat(), 2, 2_400);
}

/// Pages of an Ogg file, each changed by `change`, with right checksums.
fn pages(mut file: Vec<u8>, mut change: impl FnMut(usize, &mut [u8])) -> Vec<u8> {
    let (mut at, mut n) = (0, 0);
    while at < file.len() {
        let segments = usize::from(file[at + 26]);
        let table = at + 27..at + 27 + segments;
        let body: usize = file[table.clone()].iter().map(|n| usize::from(*n)).sum();
        let page = &mut file[at..table.end + body];
        change(n, page);
        page[22..26].fill(0);
        let crc = page.iter().fold(0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
                crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&crc.to_le_bytes());
        (at, n) = (table.end + body, n + 1);
    }
    file
}

#[test]
fn ogg() {
    let name = "pages.ogg";
    let untimed = |wanted: fn(usize) -> bool| {
        pages(case(name), |n, page| {
            if n >= 2 && wanted(n) {
                page[6..14].fill(0xff);
            }
        })
    };
    gives_chirps(name, untimed(|_| false), 1, 16);
    gives_chirps(
        "every other page has no time",
        untimed(|n| n % 2 == 0),
        1,
        16,
    );
    gives_chirps("one page has no time", untimed(|n| n == 5), 1, 16);
    gives_chirps(
        "a few pages have no time",
        untimed(|n| (3..6).contains(&n)),
        1,
        16,
    );
    let second = pages(case(name), |_, page| page[14] ^= 1);
    gives_chirps("chained", [case(name), second].concat(), 2, 400);
}

fn ogg_flac() -> Vec<u8> {
    in_ogg(&chirp(16_000, 4.0))
}

/// Samples at 16 kHz as FLAC in Ogg (RFC 9639, section 10.1), a page for each packet.
fn in_ogg(samples: &[f32]) -> Vec<u8> {
    let mut writer = audio::flac::Writer::new(16_000);
    let mut ends = vec![(writer.bytes(), 0)];
    for (n, part) in samples.chunks(64).enumerate() {
        writer.push(part);
        if writer.bytes() > ends[ends.len() - 1].0 {
            ends.push((writer.bytes(), n as u64 * 64 + part.len() as u64));
        }
    }
    let file = writer.finish();
    ends.push((file.len(), samples.len() as u64));
    // STREAMINFO, not the last block; and comments that say nothing.
    let info = [b"\x7fFLAC\x01\0\0\x01fLaC\0", &file[5..42]].concat();
    let comments = [&[0x84, 0, 0, 8][..], &[0; 8]].concat();
    let mut packets = vec![(info, 0), (comments, 0)];
    for pair in ends.windows(2).filter(|pair| pair[0].0 < pair[1].0) {
        packets.push((file[pair[0].0..pair[1].0].to_vec(), pair[1].1));
    }
    let mut out = Vec::new();
    let last = packets.len() - 1;
    for (n, (packet, granule)) in packets.into_iter().enumerate() {
        let kind = if n == 0 { 2 } else { 4 * u8::from(n == last) };
        out.extend([b'O', b'g', b'g', b'S', 0, kind]);
        out.extend(granule.to_le_bytes());
        out.extend([1, 2, 3, 4]);
        out.extend((n as u32).to_le_bytes());
        out.extend([0; 4]);
        out.push((packet.len() / 255 + 1) as u8);
        out.extend(std::iter::repeat_n(255, packet.len() / 255));
        out.push((packet.len() % 255) as u8);
        out.extend(packet);
    }
    pages(out, |_, _| ())
}

/// symphonia looks for the end of a link within 64 kB of the file's.
#[test]
fn long_chains_of_ogg() {
    let files = [
        ("opus", fixture_bytes("chirp.opus")),
        ("vorbis", fixture_bytes("chirp.ogg")),
        ("flac", ogg_flac()),
    ];
    let with_serial = |file: &[u8], serial: u8| {
        pages(file.to_vec(), |_, page| {
            page[14..18].copy_from_slice(&[serial, 1, 2, 3])
        })
    };
    for (codec, file) in &files {
        for least in [70_000, 210_000] {
            let times = (least / file.len() + 1).max(3);
            // All of one number, each of its own, and first and last of the same.
            let numbers: [(&str, &dyn Fn(usize) -> u8); 3] = [
                ("equal", &|_| 1),
                ("different", &|n| n as u8),
                ("back", &|n| u8::from(n > 0 && n + 1 < times)),
            ];
            for (what, number) in numbers {
                let chain: Vec<u8> = (0..times)
                    .flat_map(|n| with_serial(file, number(n)))
                    .collect();
                let what = format!("{codec}, {} bytes, {what} serial numbers", chain.len());
                gives_chirps(&what, chain, times, 80);
            }
        }
    }
    let mixed = [
        with_serial(&files[1].1, 1),
        with_serial(&files[2].1, 2),
        with_serial(&files[0].1, 3),
        with_serial(&files[2].1, 1),
    ];
    gives_chirps("Vorbis, FLAC, Opus, FLAC", mixed.concat(), 4, 150);
}

/// A short link before a long one of the same number, and behind it: a range is that part of the whole wherever it lies.
#[test]
fn a_range_beyond_the_first_link_of_ogg() {
    for seconds in [5, 40] {
        let mut state = 1u32;
        let noise: Vec<f32> = (0..seconds * 16_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        let long = in_ogg(&noise);
        if seconds > 30 {
            // What is one link is bisected.
            let alone = bytes(long.clone());
            let (from, to) = (seconds as u64 * 900, seconds as u64 * 900 + 700);
            let mut reader = audio::Reader::open(&alone, &range(from, to)).unwrap();
            let mut part = Vec::new();
            while reader.read(&mut part, 16_000, &GO).unwrap() > 0 {}
            assert_eq!(part.len(), 700 * 16);
            let (read, all) = (reader.bytes_read(), long.len() as u64);
            assert!(read < all * 3 / 4, "{read} of {all} bytes");
        }
        for chain in [
            vec![&ogg_flac(), &long],
            vec![&long, &ogg_flac()],
            vec![&long, &long],
            vec![&ogg_flac(), &long, &ogg_flac()],
        ] {
            let input = bytes(
                chain
                    .iter()
                    .flat_map(|file| file.iter().copied())
                    .collect::<Vec<u8>>(),
            );
            let whole = decode(&input).unwrap().samples;
            let told = audio::probe(&input, &GO).unwrap().duration_ms.unwrap();
            assert_eq!(told, whole.len() as u64 / 16);
            for start in (0..told - 1_000).step_by(3_300) {
                let part = audio::decode(&input, &range(start, start + 700), &GO).unwrap();
                assert!(
                    part.samples == whole[start as usize * 16..][..700 * 16],
                    "{start}"
                );
            }
        }
    }
}

#[test]
fn mp4_and_webm() {
    gives_chirps("live WebM", case("live.webm"), 1, 16);
    gives_chirps(
        "samples in moov, then fragments",
        case("fragments.mp4"),
        1,
        1_100,
    );
    // "All ones" is a length that the writer did not know: in mvhd, tkhd, mdhd.
    let mut file = case("empty_moov.mp4");
    for (name, at) in [(b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)] {
        let mark = file.windows(4).position(|word| word == name).unwrap();
        file[mark + at..mark + at + 4].fill(0xff);
    }
    gives_chirps("a length of all ones", file, 1, 1_100);
    let error = decode(&bytes(case("encrypted.mp4"))).unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
    let mut file = fixture_bytes("chirp.m4a");
    let mark = file.windows(4).position(|word| word == b"mdat").unwrap();
    let size = u32::from_be_bytes(file[mark - 4..mark].try_into().unwrap()) as usize;
    let mut state = 1u32;
    for byte in &mut file[mark + 4..mark - 4 + size] {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let error = decode(&bytes(file))
        .map(|audio| audio.samples.len())
        .unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
}

#[test]
fn rifx() {
    let samples = chirp(16_000, 4.0);
    let mut file =
        b"RIFX\0\x01\xf4\x24WAVEfmt \0\0\0\x10\0\x01\0\x01\0\0\x3e\x80\0\0\x7d\0\0\x02\0\x10data"
            .to_vec();
    file.extend_from_slice(&(2 * samples.len() as u32).to_be_bytes());
    let whole = samples.iter().map(|x| (x * 32_767.0) as i16);
    file.extend(whole.flat_map(i16::to_be_bytes));
    gives_chirps("RIFX", file, 1, 0);
}

#[test]
fn tags_behind_flac() {
    let mut file = audio::flac::write(&chirp(16_000, 4.0), 16_000);
    file.extend_from_slice(b"TAG");
    file.resize(file.len() + 125, b' ');
    let samples = decode(&Input::Bytes(file.clone().into())).unwrap().samples;
    assert_eq!(samples.len(), 64_000);
    assert_eq!(audio::damage::take_here(), []);
    gives_chirps("FLAC with ID3v1", file, 1, 0);
}
