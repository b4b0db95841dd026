//! Harm done to small files of each format: what is left is heard in its place, and what is not is told. Long, because each
//! format is harmed in ways of its own.

mod common;

use audio::damage::Damage;
use common::*;

fn noise(bytes: &mut [u8], seed: u32) {
    let mut state = seed;
    for byte in bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
}

/// What is done to a file: a tenth of it is random, zero or gone, or it is cut off.
fn harmed(whole: &[u8], harm: &str) -> Vec<u8> {
    let mut file = whole.to_vec();
    let all = file.len();
    let (tenth, at) = (all / 10, |part: f64| (all as f64 * part) as usize);
    match harm {
        "noise in the middle" => noise(&mut file[at(0.45)..at(0.45) + tenth], 1),
        "noise at a third" => noise(&mut file[at(0.33)..at(0.33) + tenth], 2),
        "noise at two thirds" => noise(&mut file[at(0.66)..at(0.66) + tenth], 3),
        "zeros in the middle" => file[at(0.45)..at(0.45) + tenth].fill(0),
        "zeros at a third" => file[at(0.33)..at(0.33) + tenth].fill(0),
        "zeros at the end" => file[at(0.9)..].fill(0),
        "middle cut out" => drop(file.drain(at(0.45)..at(0.45) + tenth)),
        "cut at 30 %" => file.truncate(at(0.3)),
        "cut at 60 %" => file.truncate(at(0.6)),
        _ => file.truncate(at(0.9)),
    }
    file
}

/// How late the samples of `range` of `whole` are in `got`, and how alike.
fn lateness(whole: &[f32], got: &[f32], range: std::ops::Range<usize>) -> (i64, f64) {
    let wanted = &whole[range.clone()];
    let norm = |x: &[f32]| x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let mut best = (0, -2.0);
    for lag in -4_000i64..4_000 {
        let from = range.start as i64 + lag;
        if from < 0 || from as usize + wanted.len() > got.len() {
            continue;
        }
        let part = &got[from as usize..][..wanted.len()];
        let dot: f64 = wanted
            .iter()
            .zip(part)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum();
        let likeness = dot / (norm(wanted) * norm(part)).max(1e-12);
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best
}

/// What one decoding of a file says: milliseconds heard, of silence, missing at the end, and bytes behind it.
struct Heard {
    samples: Vec<f32>,
    silence: u64,
    cut: u64,
    behind: u64,
}

fn hear(what: &str, input: &audio::Input) -> Heard {
    audio::damage::take_here();
    let samples = decode(input)
        .unwrap_or_else(|error| panic!("{what}: {error}"))
        .samples;
    let told = audio::damage::take_here();
    println!("{what}: {} ms, {told:?}", samples.len() / 16);
    let mut heard = Heard {
        samples,
        silence: 0,
        cut: 0,
        behind: 0,
    };
    for damage in told {
        match damage {
            Damage::Silence { ms, .. } => heard.silence += ms,
            Damage::Cut { ms, .. } => heard.cut += ms,
            Damage::Behind { bytes, .. } => heard.behind += bytes,
        }
    }
    let ms = heard.samples.len() as u64 / 16;
    let told = audio::probe(input, &GO).unwrap().duration_ms;
    assert!(
        told.is_some_and(|told| told.abs_diff(ms) <= 20),
        "{what}: told {told:?}, heard {ms}"
    );
    let (_, damaged) = audio::check(input, &GO).unwrap();
    assert!(
        damaged.abs_diff(heard.silence + heard.cut) <= 20,
        "{what}: {damaged}"
    );
    heard
}

const MIDDLE: [&str; 5] = [
    "noise in the middle",
    "noise at a third",
    "noise at two thirds",
    "zeros in the middle",
    "zeros at a third",
];

/// Harm in the middle is silence, told, and what comes behind is `slack` samples off at most.
fn keeps_its_time(name: &str, file: Vec<u8>, slack: i64) {
    let whole = decode(&bytes(file.clone())).unwrap().samples;
    for harm in MIDDLE {
        let what = format!("{name}, {harm}");
        let heard = hear(&what, &bytes(harmed(&file, harm)));
        let off = heard.samples.len() as i64 - whole.len() as i64;
        assert!(off.abs() <= slack, "{what}: {off} samples");
        assert!((200..1_600).contains(&heard.silence), "{what}");
        let end = whole.len().min(heard.samples.len()) - 1_600;
        if name == "VBR" && harm == "noise at two thirds" {
            continue; // where frames are small: all up to the end is silence
        }
        let (late, likeness) = lateness(&whole, &heard.samples, end - 3_200..end);
        assert!(
            likeness > 0.8 && late.abs() <= slack,
            "{what}: {late} samples late, {likeness}"
        );
        // A range is that part of the whole.
        let start = (end - 8_000) / 16;
        let part = audio::decode(
            &bytes(harmed(&file, harm)),
            &range(start as u64, u64::MAX),
            &GO,
        );
        let part = [vec![0.0; start * 16], part.unwrap().samples].concat();
        let (late, likeness) = lateness(&heard.samples, &part, end - 3_200..end);
        assert!(
            likeness > 0.8 && late.abs() <= slack.min(330),
            "{what}: a range is {late} samples late, {likeness}"
        );
    }
}

/// A file that is cut off says so, where its headers tell its length.
fn tells_its_cut(name: &str, file: &[u8]) {
    let whole = decode(&bytes(file)).unwrap().samples.len() as u64 / 16;
    for harm in ["cut at 30 %", "cut at 60 %", "cut at 90 %"] {
        let what = format!("{name}, {harm}");
        let heard = hear(&what, &bytes(harmed(file, harm)));
        let all = heard.samples.len() as u64 / 16 + heard.silence + heard.cut;
        assert!(
            heard.cut > 100 && all.abs_diff(whole) <= 60,
            "{what}: {all}"
        );
    }
}

#[test]
fn frames_of_mpeg_audio() {
    keeps_its_time("CBR", fixture_bytes("chirp_cbr_untagged.mp3"), 16);
    keeps_its_time("CBR with a tag", fixture_bytes("chirp.mp3"), 16);
    tells_its_cut("MP3 with a tag", &fixture_bytes("chirp.mp3"));
    // By the mean of the frames before: 150 ms off at most here.
    keeps_its_time("VBR", fixture_bytes("cases/vbr_without_header.mp3"), 2_400);
    keeps_its_time("ADTS", fixture_bytes("chirp.aac"), 1_100);
}

#[test]
fn flac() {
    let file = audio::flac::write(&chirp(16_000, 4.0), 16_000);
    keeps_its_time("FLAC", file.clone(), 0);
    tells_its_cut("FLAC", &file);
    let heard = hear(
        "FLAC, middle cut out",
        &bytes(harmed(&file, "middle cut out")),
    );
    assert_eq!(heard.samples.len(), 64_000, "the frames' numbers tell");
    assert!(heard.silence > 200);
}

#[test]
fn wav_that_is_cut_off() {
    tells_its_cut("WAV", &audio::wav::write(&chirp(16_000, 4.0), 16_000));
}

/// A frame's number, forged, with its checksums right.
#[test]
fn a_forged_number_makes_no_hours_of_silence() {
    let file = audio::flac::write(&chirp(16_000, 4.0), 16_000);
    // As RFC 9639 has it, section 9.1: of frame 9, with the number 9 + 2^15 instead.
    let starts: Vec<usize> = (42..file.len() - 8)
        .filter(|at| file[*at..].starts_with(&[0xff, 0xf8]) && file[at + 4] == 9)
        .collect();
    let next = (42..file.len() - 8)
        .find(|at| file[*at..].starts_with(&[0xff, 0xf8]) && file[at + 4] == 10);
    let (start, end) = (starts[0], next.unwrap());
    let mut header = file[start..start + 4].to_vec();
    header.extend([0xe8, 0x80, 0x89]);
    header.push(crc(&header, 8, 7) as u8);
    let mut frame = [&header, &file[start + 6..end - 2]].concat();
    frame.extend((crc(&frame, 16, 0x8005) as u16).to_be_bytes());
    let forged = [&file[..start], &frame, &file[end..]].concat();
    let samples = decode(&bytes(forged)).unwrap().samples.len();
    assert!(samples <= 64_000 * 2, "{samples} samples of 64000");
}

fn crc(bytes: &[u8], bits: u32, polynomial: u32) -> u32 {
    bytes.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << (bits - 8), |crc, _| {
            (crc << 1
                ^ if crc >> (bits - 1) & 1 == 1 {
                    polynomial
                } else {
                    0
                })
                & ((1 << bits) - 1)
        })
    })
}

/// Where the pages of an Ogg file are.
fn pages(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut pages, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let table = at + 27..at + 27 + usize::from(file[at + 26]);
        let body: usize = file[table.clone()].iter().map(|n| usize::from(*n)).sum();
        pages.push(at..table.end + body);
        at = table.end + body;
    }
    pages
}

/// One page or two of Ogg, gone, random or zero: what follows stays at its time.
#[test]
fn ogg() {
    for (name, slack) in [("cases/pages.opus", 16), ("cases/pages.ogg", 16)] {
        let file = fixture_bytes(name);
        let whole = decode(&bytes(file.clone())).unwrap().samples;
        let pages = pages(&file);
        // The headers are on two pages.
        for n in (2..pages.len() - 3).step_by(pages.len() / 8) {
            for (count, harm) in [
                (1, "gone"),
                (1, "random"),
                (1, "zero"),
                (2, "gone"),
                (1, "longer"),
            ] {
                let gone = pages[n].start..pages[n + count - 1].end;
                let mut file = file.clone();
                match harm {
                    "gone" => drop(file.drain(gone)),
                    "random" => noise(&mut file[gone], n as u32),
                    "zero" => file[gone].fill(0),
                    // What is put in is not missing.
                    _ => drop(file.splice(gone.start..gone.start, [0; 999])),
                }
                let what = format!("{name}, {count} from page {n} {harm}");
                let heard = hear(&what, &bytes(file));
                let off = heard.samples.len() as i64 - whole.len() as i64;
                assert!(off.abs() <= slack, "{what}: {off} samples");
                assert_eq!(heard.silence > 50, harm != "longer", "{what}");
                let end = whole.len() - 800;
                let (late, likeness) = lateness(&whole, &heard.samples, end - 3_200..end);
                assert!(
                    likeness > 0.8 && late.abs() <= slack,
                    "{what}: {late}, {likeness}"
                );
            }
        }
        // A range behind the hole.
        let mut file = file.clone();
        file[pages[3].clone()].fill(0);
        let part = audio::decode(&bytes(file), &range(3_000, 3_500), &GO)
            .unwrap()
            .samples;
        let (late, likeness) =
            lateness(&whole, &[vec![0.0; 48_000], part].concat(), 49_000..54_000);
        assert!(
            likeness > 0.8 && late.abs() <= slack,
            "{name}: {late}, {likeness}"
        );
    }
}

/// The headers of the second file are gone: what is between is told, and nothing is taken for the first file's.
#[test]
fn an_ogg_file_behind_another_with_its_first_page_damaged() {
    let one = fixture_bytes("cases/pages.opus");
    let mut second = one.clone();
    for page in pages(&one) {
        second[page.start + 14] ^= 1;
        let page = &mut second[page];
        page[22..26].fill(0);
        let sum = crc32(page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
    }
    let third = one.clone();
    second[10] = 77;
    let file = [one.clone(), second, third].concat();
    let heard = hear("three, the second without its first page", &bytes(file));
    let ms = heard.samples.len() as u64 / 16;
    assert!(ms.abs_diff(12_000) < 800, "{ms}");
    assert!(heard.silence.abs_diff(4_000) < 800, "{}", heard.silence);
}

fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

#[test]
fn matroska() {
    for name in [
        "cases/clusters.webm",
        "chirp.webm",
        "cases/live.webm",
        "video.mkv",
        "quiet_flac.mka",
    ] {
        // Times are in milliseconds, and a packet that is cut in two may be taken for a shorter one.
        keeps_its_time(name, fixture_bytes(name), 160);
        if name != "cases/live.webm" {
            tells_its_cut(name, &fixture_bytes(name));
        }
        // Elements that belong to nothing any more, and the index gone.
        let heard = hear(name, &bytes(harmed(&fixture_bytes(name), "middle cut out")));
        assert!(
            heard.silence > 200 && heard.samples.len() / 16 > 3_900,
            "{name}"
        );
        let file = harmed(&fixture_bytes(name), "zeros at the end");
        audio::damage::take_here();
        let samples = decode(&bytes(file)).unwrap().samples.len();
        let told = audio::damage::take_here();
        assert!(samples / 16 > 3_500, "{name}: {samples}");
        assert!(
            told.iter()
                .any(|one| matches!(one, Damage::Behind { bytes: 700.., .. })),
            "{name}: {told:?}"
        );
    }
}

/// A pause of the recorder: a leap in time where nothing is damaged is no hole, as before.
#[test]
fn a_pause_of_the_recorder_is_no_hole() {
    let mut file = fixture_bytes("cases/clusters.webm");
    let clusters: Vec<usize> = (0..file.len() - 4)
        .filter(|at| file[*at..].starts_with(b"\x1f\x43\xb6\x75"))
        .collect();
    for at in &clusters[3..] {
        // Behind the name and two bytes of size: the time, of two bytes.
        assert_eq!(file[at + 6..at + 8], [0xe7, 0x82]);
        file[at + 8] += 40; // 10.24 s
    }
    audio::damage::take_here();
    let samples = decode(&bytes(file)).unwrap().samples;
    assert_eq!(audio::damage::take_here(), []);
    assert!(
        (63_900..64_500).contains(&samples.len()),
        "{}",
        samples.len()
    );
}

/// Another recording behind the first: played on, or told in bytes.
#[test]
fn nothing_behind_a_recording_is_left_out_in_silence() {
    let wav = audio::wav::write(&chirp(16_000, 1.0), 16_000);
    let m4a = fixture_bytes("chirp.m4a");
    let told = [
        ("MP4, MP4", [m4a.clone(), m4a.clone()], m4a.len()),
        ("MP4, WAV", [m4a.clone(), wav.clone()], wav.len()),
        (
            "MP3, WAV",
            [fixture_bytes("chirp.mp3"), wav.clone()],
            wav.len(),
        ),
        (
            "ADTS, WAV",
            [fixture_bytes("chirp.aac"), wav.clone()],
            wav.len(),
        ),
        (
            "Opus, WAV",
            [fixture_bytes("cases/pages.opus"), wav.clone()],
            wav.len(),
        ),
        (
            "WebM, WAV",
            [fixture_bytes("chirp.webm"), wav.clone()],
            wav.len(),
        ),
        ("WAV, WAV", [wav.clone(), wav.clone()], wav.len()),
        ("WAV, MP4", [wav.clone(), m4a.clone()], m4a.len()),
    ];
    for (what, files, behind) in told {
        let first = decode(&bytes(files[0].clone())).unwrap().samples.len();
        audio::damage::take_here();
        let heard = hear(what, &bytes(files.concat()));
        assert!(
            heard.behind.abs_diff(behind as u64) < 8,
            "{what}: {} of {behind}",
            heard.behind
        );
        assert_eq!(heard.samples.len(), first, "{what}");
    }
    let webm = fixture_bytes("chirp.webm");
    let one = decode(&bytes(webm.clone())).unwrap().samples.len();
    let input = bytes([webm, fixture_bytes("cases/live.webm")].concat());
    audio::damage::take_here();
    let samples = decode(&input).unwrap().samples;
    assert_eq!(audio::damage::take_here(), []);
    assert!(
        samples.len().abs_diff(2 * one) < 400,
        "{} of {one}",
        samples.len()
    );
    let told = audio::probe(&input, &GO).unwrap().duration_ms;
    assert!(
        told.is_some_and(|told| told.abs_diff(samples.len() as u64 / 16) < 30),
        "{told:?}"
    );
    let part = audio::decode(&input, &range(6_000, 6_500), &GO)
        .unwrap()
        .samples;
    let (late, likeness) = lateness(
        &samples,
        &[vec![0.0; 96_000], part].concat(),
        97_000..102_000,
    );
    assert!(likeness > 0.8 && late.abs() < 330, "{late}, {likeness}");
}

#[test]
fn fragmented_mp4() {
    for name in ["cases/fragments.mp4", "cases/empty_moov.mp4"] {
        let file = fixture_bytes(name);
        keeps_its_time(name, file.clone(), 16);
        let heard = hear(name, &bytes(harmed(&file, "cut at 60 %")));
        assert!(
            heard.samples.len() / 16 > 2_100,
            "{name}: the samples of the last fragment that are there"
        );
    }
    let file = fixture_bytes("cases/empty_moov.mp4");
    let heard = hear("middle cut out", &bytes(harmed(&file, "middle cut out")));
    assert!(heard.silence > 200 && heard.samples.len() / 16 == 4_064);
}

/// What looks like elements and is none, megabytes of it: it is passed over. What it has broken is silence: one
/// packet of WebM, one fragment of MP4.
#[test]
fn what_only_looks_whole_is_passed_over() {
    let cases: [(&str, &[u8], u64); 4] = [
        ("cases/clusters.webm", b"\xa3\x88\x81\0\0\0\0", 20),
        ("cases/clusters.webm", b"\xa3", 20),
        ("cases/empty_moov.mp4", b"moof", 256),
        (
            "cases/empty_moov.mp4",
            b"\0\x10\0\0moof\0\0\0\x10mfhd\0\0\0\0\0\0\0\0",
            256,
        ),
    ];
    for (name, filler, silence) in cases {
        let file = fixture_bytes(name);
        let whole = decode(&bytes(file.clone())).unwrap().samples.len();
        let (before, behind) = file.split_at(file.len() / 2);
        let filler: Vec<u8> = filler.iter().copied().cycle().take(1 << 20).collect();
        let heard = hear(name, &bytes([before, &filler, behind].concat()));
        assert!(heard.samples.len().abs_diff(whole) < 200, "{name}");
        assert_eq!(heard.silence, silence, "{name}");
    }
}

/// Recordings of each format that knows what a packet is: as long as before, and told.
#[test]
fn recordings_in_each_format_keep_their_length() {
    let Some(root) = recordings() else { return };
    let mut checked = 0;
    for entry in std::fs::read_dir(root.join("formats")).unwrap() {
        let path = entry.unwrap().path();
        let (file, name) = (std::fs::read(&path).unwrap(), path.display().to_string());
        let Ok(whole) = decode(&bytes(file.clone())) else {
            continue; // formats that are named instead
        };
        if ["pcm", "adpcm", "gsm"]
            .iter()
            .any(|one| whole.info.codec.starts_with(one))
        {
            continue; // any bytes are samples
        }
        for harm in MIDDLE {
            audio::damage::take_here();
            let heard = decode(&bytes(harmed(&file, harm)));
            let told = audio::damage::take_here();
            let heard = heard.unwrap_or_else(|error| panic!("{name}, {harm}: {error}"));
            let off = heard.samples.len() as i64 - whole.samples.len() as i64;
            println!("{name}, {harm}: {} ms, {told:?}", off / 16);
            // A VBR file's hole is an estimate.
            assert!(off.abs() <= 16 * 130, "{name}, {harm}: {off} samples");
            assert!(
                matches!(told[..], [Damage::Silence { .. }, ..]),
                "{name}, {harm}: {told:?}"
            );
            checked += 1;
        }
    }
    assert!(checked >= 50, "{checked}");
}
