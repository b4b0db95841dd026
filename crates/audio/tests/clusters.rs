//! Matroska that has lost bytes: what is left is heard at its time, and what is gone is told.

mod common;

use audio::damage::Damage;
use common::*;

/// Seconds of noise that is nowhere like itself.
fn noise(seconds: usize) -> Vec<f32> {
    let mut state = 7u32;
    (0..seconds * 16_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

fn element(id: u32, body: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let from = id.iter().position(|byte| *byte > 0).unwrap();
    let mut out = id[from..].to_vec();
    out.extend((body.len() as u32 | 0x1000_0000).to_be_bytes());
    out.extend(body);
    out
}

/// 16-bit samples in blocks of 64 ms (RFC 9559), `blocks` to a cluster. Live: without sizes of segment and clusters, and without a
/// duration. Where the clusters begin, too.
fn matroska(samples: &[f32], blocks: usize, live: bool) -> (Vec<u8>, Vec<usize>) {
    const UNKNOWN: [u8; 8] = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let rate = element(0xb5, &16_000f64.to_be_bytes());
    let audio = [rate, element(0x9f, &[1]), element(0x6264, &[16])].concat();
    let track = [
        element(0xd7, &[1]),
        element(0x73c5, &[1]),
        element(0x83, &[2]),
        element(0x86, b"A_PCM/INT/LIT"),
        element(0xe1, &audio),
    ];
    let ms = samples.len() as f64 / 16.0;
    let mut info = [
        element(0x2a_d7b1, &1_000_000u32.to_be_bytes()),
        element(0x4d80, b"tests"),
        element(0x5741, b"tests"),
    ]
    .concat();
    if !live {
        info.extend(element(0x4489, &ms.to_be_bytes()));
    }
    let tracks = element(0xae, &track.concat());
    let mut inner = [element(0x1549_a966, &info), element(0x1654_ae6b, &tracks)].concat();
    let mut starts = Vec::new();
    for (n, part) in samples.chunks(1_024 * blocks).enumerate() {
        let mut body = element(0xe7, &(n as u32 * 64 * blocks as u32).to_be_bytes());
        for (n, part) in part.chunks(1_024).enumerate() {
            let mut block = vec![0x81];
            block.extend((n as i16 * 64).to_be_bytes());
            block.push(0x80);
            block.extend(pcm16(part));
            body.extend(element(0xa3, &block));
        }
        starts.push(inner.len());
        let cluster = element(0x1f43_b675, &body);
        if live {
            inner.extend(&cluster[..4]);
            inner.extend(UNKNOWN);
            inner.extend(&cluster[8..]);
        } else {
            inner.extend(cluster);
        }
    }
    let mut file = element(0x1a45_dfa3, &element(0x4282, b"matroska"));
    let segment = element(0x1853_8067, &inner);
    file.extend(&segment[..4]);
    file.extend(if live { &UNKNOWN } else { &segment[4..8] });
    let before = file.len();
    file.extend(&segment[8..]);
    (file, starts.iter().map(|at| at + before).collect())
}

/// Damage, and how many milliseconds of it.
fn hear(file: &[u8]) -> (Vec<f32>, Vec<Damage>, u64) {
    audio::damage::take_here();
    let samples = decode(&bytes(file)).unwrap().samples;
    let told = audio::damage::take_here();
    let lost = told.iter().map(|damage| match damage {
        Damage::Silence { ms, .. } | Damage::Cut { ms, .. } => *ms,
        Damage::Behind { .. } => 0,
    });
    let lost = lost.sum();
    (samples, told, lost)
}

/// Milliseconds that are not as they were, where the rest is in its place.
fn differing(what: &str, whole: &[f32], got: &[f32]) -> u64 {
    assert_eq!(got.len(), whole.len(), "{what}");
    let differ = whole
        .iter()
        .zip(got)
        .filter(|(a, b)| (**a - **b).abs() > 1e-3);
    differ.count() as u64 / 16
}

#[test]
fn a_cut_that_takes_a_cluster_s_beginning_with_it() {
    let samples = noise(20);
    for live in [false, true] {
        for blocks in [15, 50] {
            let (file, _) = matroska(&samples, blocks, live);
            let (whole, told, _) = hear(&file);
            assert_eq!((whole.len(), told), (samples.len(), vec![]));
            for (at, part) in [
                (10, 20),
                (17, 20),
                (30, 20),
                (44, 20),
                (60, 20),
                (33, 5),
                (50, 10),
            ] {
                let what = format!("{blocks} blocks, live {live}, {part} % at {at} %");
                let from = file.len() * at / 100 + 321;
                let mut cut = file.clone();
                cut.drain(from..from + file.len() * part / 100);
                let (got, told, lost) = hear(&cut);
                let differ = differing(&what, &whole, &got);
                println!("{what}: {differ} ms differ, {told:?}");
                let gone = 20_000 * part as u64 / 100;
                assert!(differ.abs_diff(gone) < 300, "{what}: {differ}");
                assert!(lost.abs_diff(gone) < 300, "{what}: {told:?}");
                // A range is that part of the whole.
                let range = audio::decode(&bytes(cut), &range(18_500, 19_200), &GO);
                assert_eq!(
                    range.unwrap().samples,
                    got[18_500 * 16..19_200 * 16],
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn clusters_that_are_missing_between_whole_ones() {
    let samples = noise(20);
    for live in [false, true] {
        let (file, starts) = matroska(&samples, 25, live);
        let (whole, ..) = hear(&file);
        for count in [1, 4] {
            let mut cut = file.clone();
            cut.drain(starts[3]..starts[3 + count]);
            let (got, told, lost) = hear(&cut);
            let gone = 1_600 * count as u64;
            let what = format!("{count} clusters, live {live}: {told:?}");
            assert!(
                differing(&what, &whole, &got).abs_diff(gone) <= gone / 100,
                "{what}"
            );
            assert_eq!((told.len(), lost), (1, gone), "{what}");
        }
    }
}

/// Discontinuous transmission in a live recording: blocks are far apart, yet nothing is missing.
#[test]
fn pauses_that_were_not_sent_are_no_damage() {
    let samples = noise(20);
    let (file, starts) = matroska(&samples, 25, true);
    let mut sparse = file[..starts[0]].to_vec();
    for (n, start) in starts.iter().enumerate() {
        let end = starts.get(n + 1).copied().unwrap_or(file.len());
        // Behind the cluster's name, size and time: 400 ms of blocks are left out.
        let head = start + 4 + 8 + 9;
        sparse.extend(&file[*start..head]);
        let blocks = file[head..end].chunks(5 + 4 + 2_048).enumerate();
        for (_, block) in blocks.filter(|(n, _)| !(8..14).contains(n)) {
            sparse.extend(block);
        }
    }
    let (got, told, _) = hear(&sparse);
    assert_eq!(told, []);
    assert!(got.len() < samples.len());
}
