//! Which windows are the same speaker.
//!
//! Average linkage on cosine similarity ([`voice::cluster`]), then 3D-Speaker's repairs: small
//! groups go to the nearest large one, groups with all but equal centres merge. On our development recordings this is
//! as good as spectral clustering on few windows and better on many; docs/internals/diarize.md has the numbers.

use onnx::Cancel;
use voice::cluster::{self, Rows};
use voice::similarity;

use crate::Error;

/// Mean similarity of windows of 1.5 s at which two groups are one speaker.
const THRESHOLD: f32 = 0.4;
/// Groups of at most so many windows are small: too little to be sure of another speaker.
const SMALL: usize = 4;
/// Of a long recording small groups are this part of its windows: the more there are, the more lie astray.
const SMALL_PART: usize = 400;
/// A small group stays apart if its centre is less similar than this to all large ones.
const DISTINCT: f32 = 0.2;
/// The same for a single window, which may be a cough.
const DISTINCT_ALONE: f32 = 0.0;
/// Centres this similar are one voice rather than two, if a number of speakers is wanted and others could be had.
const ONE_VOICE: f32 = 0.5;
/// Centres this similar are one speaker.
const SAME: f32 = 0.8;

/// How many speakers there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// At least so many, if that many can be told apart.
    pub min: usize,
    /// At most so many.
    pub max: usize,
}

/// The speaker of each window, and the centre of each speaker (norm 1).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speakers {
    /// An index into `centres` for each window.
    pub of_window: Vec<usize>,
    /// The normalised mean of each speaker's windows.
    pub centres: Vec<Vec<f32>>,
}

/// Groups normalised embeddings by speaker.
///
/// # Errors
/// [`Error::Onnx`] when cancelled.
pub fn cluster(voices: &[Vec<f32>], bounds: Bounds, cancel: &Cancel) -> Result<Speakers, Error> {
    if voices.is_empty() {
        return Ok(Speakers::default());
    }
    if bounds.min < bounds.max {
        let found = repair(voices, groups(voices, None, 1, cancel)?);
        if (bounds.min..=bounds.max).contains(&found.centres.len()) {
            return Ok(found);
        }
        let wanted = found.centres.len().clamp(bounds.min, bounds.max);
        return exactly(voices, wanted, cancel);
    }
    exactly(voices, bounds.max, cancel)
}

/// Groups the windows that are long enough to be sure of, and gives the others to the nearest centre. If none is, all
/// count. `sure` has an entry per window.
///
/// # Errors
/// [`Error::Onnx`] when cancelled.
pub fn by_the_sure(
    voices: &[Vec<f32>],
    sure: &[bool],
    bounds: Bounds,
    cancel: &Cancel,
) -> Result<Speakers, Error> {
    let long: Vec<Vec<f32>> = voices
        .iter()
        .zip(sure)
        .filter(|(_, sure)| **sure)
        .map(|(voice, _)| voice.clone())
        .collect();
    if long.is_empty() || long.len() == voices.len() {
        return cluster(voices, bounds, cancel);
    }
    let mut found = cluster(&long, bounds, cancel)?.of_window.into_iter();
    let groups: Vec<Option<usize>> = sure
        .iter()
        .map(|sure| sure.then(|| found.next()).flatten())
        .collect();
    Ok(complete(voices, &groups))
}

/// The speakers of labelled windows, numbered without gaps in the order of the windows.
pub fn of_labels(voices: &[Vec<f32>], labels: &[usize]) -> Speakers {
    let mut seen: Vec<usize> = Vec::new();
    let mut number = |label: &usize| {
        seen.iter().position(|s| s == label).unwrap_or_else(|| {
            seen.push(*label);
            seen.len() - 1
        })
    };
    let groups: Vec<Option<usize>> = labels.iter().map(|l| Some(number(l))).collect();
    complete(voices, &groups)
}

/// All windows as one speaker.
pub fn one(voices: &[Vec<f32>]) -> Speakers {
    if voices.is_empty() {
        return Speakers::default();
    }
    complete(voices, &vec![Some(0); voices.len()])
}

/// `wanted` speakers, each with as many windows as possible: an outlier is no speaker while larger groups can be had
/// without cutting one voice in two. If that cannot be had, those that are least alike.
fn exactly(voices: &[Vec<f32>], wanted: usize, cancel: &Cancel) -> Result<Speakers, Error> {
    let mut best: Option<(usize, f32, Speakers)> = None;
    for smallest in (1..=SMALL + 1).rev() {
        let found = complete(voices, &groups(voices, Some(wanted), smallest, cancel)?);
        let closest = most_similar(&found.centres).map_or(f32::MIN, |(similarity, ..)| similarity);
        let count = found.centres.len();
        if count >= wanted && closest < ONE_VOICE {
            return Ok(found);
        }
        if best
            .as_ref()
            .is_none_or(|b| (count, -closest) > (b.0, -b.1))
        {
            best = Some((count, closest, found));
        }
    }
    Ok(best.map(|b| b.2).unwrap_or_default())
}

/// The groups of average linkage; windows in groups smaller than `smallest` have none.
fn groups(
    voices: &[Vec<f32>],
    wanted: Option<usize>,
    smallest: usize,
    cancel: &Cancel,
) -> Result<Vec<Option<usize>>, Error> {
    let mut rows = Rows::new(voices.len(), u64::MAX);
    for voice in voices {
        rows.push(Some(voice))?;
    }
    let options = cluster::Options {
        threshold: THRESHOLD,
        min_size: smallest,
        clusters: wanted,
    };
    let numbers = cluster::cluster(rows, &options, 1, cancel)?;
    Ok(numbers
        .into_iter()
        .map(|n| n.map(|n| n as usize - 1))
        .collect())
}

/// Gives windows without a group to the nearest centre.
fn complete(voices: &[Vec<f32>], groups: &[Option<usize>]) -> Speakers {
    let centres = centres(voices, groups);
    let nearest = |voice: &Vec<f32>| nearest(voice, &centres).unwrap_or(0);
    let of_window: Vec<usize> = groups
        .iter()
        .zip(voices)
        .map(|(g, v)| g.unwrap_or_else(|| nearest(v)))
        .collect();
    if centres.is_empty() {
        one(voices)
    } else {
        Speakers { of_window, centres }
    }
}

/// Dissolves small groups and merges equal ones until nothing changes.
fn repair(voices: &[Vec<f32>], mut groups: Vec<Option<usize>>) -> Speakers {
    loop {
        let speakers = complete(voices, &groups);
        let kept = worth_keeping(&speakers);
        if kept.iter().all(|k| *k) {
            match most_similar(&speakers.centres) {
                Some((similarity, one, other)) if similarity >= SAME => {
                    groups = relabel(&speakers, |s| Some(if s == other { one } else { s }));
                }
                _ => return speakers,
            }
        } else {
            groups = relabel(&speakers, |s| kept[s].then_some(s));
        }
    }
}

/// Whether each speaker has enough windows, or is unlike all who have. The largest always stays.
fn worth_keeping(speakers: &Speakers) -> Vec<bool> {
    let mut sizes = vec![0; speakers.centres.len()];
    speakers.of_window.iter().for_each(|s| sizes[*s] += 1);
    let most = sizes.iter().copied().max().unwrap_or(0);
    let small = SMALL
        .max(speakers.of_window.len() / SMALL_PART)
        .min(most - 1);
    let large: Vec<bool> = sizes.iter().map(|n| *n > small).collect();
    let unlike = |s: usize| {
        let others = speakers
            .centres
            .iter()
            .zip(&large)
            .filter(|(_, large)| **large);
        let nearest = others
            .map(|(c, _)| dot(&speakers.centres[s], c))
            .fold(f32::MIN, f32::max);
        nearest
            < if sizes[s] == 1 {
                DISTINCT_ALONE
            } else {
                DISTINCT
            }
    };
    (0..sizes.len()).map(|s| large[s] || unlike(s)).collect()
}

/// New group numbers, without gaps and in the order of the windows.
fn relabel(speakers: &Speakers, group: impl Fn(usize) -> Option<usize>) -> Vec<Option<usize>> {
    let mut number = vec![None; speakers.centres.len()];
    let mut next = 0;
    let mut of = |g: usize| {
        *number[g].get_or_insert_with(|| {
            next += 1;
            next - 1
        })
    };
    speakers
        .of_window
        .iter()
        .map(|s| group(*s).map(&mut of))
        .collect()
}

fn most_similar(centres: &[Vec<f32>]) -> Option<(f32, usize, usize)> {
    let pairs = (0..centres.len()).flat_map(|a| (a + 1..centres.len()).map(move |b| (a, b)));
    let scored = pairs.map(|(a, b)| (dot(&centres[a], &centres[b]), a, b));
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

fn centres(voices: &[Vec<f32>], groups: &[Option<usize>]) -> Vec<Vec<f32>> {
    let count = groups.iter().flatten().max().map_or(0, |m| m + 1);
    let mut sums = vec![vec![0f32; voices[0].len()]; count];
    for (group, voice) in groups.iter().zip(voices) {
        if let Some(group) = group {
            sums[*group]
                .iter_mut()
                .zip(voice)
                .for_each(|(s, x)| *s += x);
        }
    }
    sums.iter_mut().for_each(|sum| similarity::normalize(sum));
    sums
}

fn nearest(voice: &[f32], centres: &[Vec<f32>]) -> Option<usize> {
    let similarities: Vec<f32> = centres.iter().map(|c| dot(voice, c)).collect();
    (!similarities.is_empty()).then(|| crate::powerset::argmax(&similarities))
}

/// Cosine similarity of vectors of norm 1.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    similarity::cosine(a, b).unwrap_or(0.0) as f32
}
