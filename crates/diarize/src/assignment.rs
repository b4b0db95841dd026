//! Which speaker of the recording each track of a segmentation window is.
//!
//! A stretch of a track goes to the speaker it sounds like. Stretches at the same time go to different speakers: an
//! optimal assignment (Hungarian method), as pyannote.audio and 3D-Speaker do for whole tracks. Stretches do better,
//! because ten seconds of a lively meeting hold more than the three speakers a window can tell apart.

use std::ops::Range;

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

use crate::evidence::Evidence;
use crate::frames;
use crate::listen::Tracks;
use crate::powerset::{Active, SPEAKERS, argmax};

/// How much the rest of a track says about one stretch of it.
const TRACK: f32 = 0.1;
/// How much frames with two voices say about one of them.
const MIXED: f32 = 0.1;
/// Weights of the assignment are whole numbers.
const SCALE: f32 = 1e6;

/// For each frame and speaker, how many segmentation windows hear that speaker: `[frames, speakers]`.
pub fn votes(tracks: &[Tracks], evidence: &Evidence, frames: usize) -> Vec<u16> {
    let count = evidence.speakers();
    let mut votes = vec![0u16; frames * count];
    for window in tracks {
        let stretches = stretches(window, evidence);
        for part in parts(&window.active) {
            let here: Vec<&[f32]> = stretches
                .iter()
                .filter(|s| s.holds(&part))
                .map(|s| &*s.evidence)
                .collect();
            for speaker in assign(&here) {
                for frame in part.clone() {
                    votes[(window.first + frame) * count + speaker] += 1;
                }
            }
        }
    }
    votes
}

/// Ranges of frames in which the same tracks are active.
fn parts(active: &[Active]) -> impl Iterator<Item = Range<usize>> {
    active.chunk_by(|a, b| a == b).scan(0, |start, chunk| {
        let range = *start..*start + chunk.len();
        *start = range.end;
        Some(range)
    })
}

/// A stretch of a track: one speaker talking without a pause.
struct Stretch {
    frames: Range<usize>,
    evidence: Vec<f32>,
}

impl Stretch {
    fn holds(&self, part: &Range<usize>) -> bool {
        self.frames.start <= part.start && part.end <= self.frames.end
    }
}

fn stretches(window: &Tracks, evidence: &Evidence) -> Vec<Stretch> {
    let mut found = Vec::new();
    for track in 0..SPEAKERS {
        let bit: Active = 1 << track;
        let runs = frames::runs(&window.active, |active| active & bit != 0);
        let own: Vec<Vec<f32>> = runs.iter().map(|run| sum(window, run, evidence)).collect();
        let mut whole = vec![0f32; evidence.speakers()];
        own.iter().for_each(|e| add(&mut whole, e, TRACK));
        for (frames, mut evidence) in runs.into_iter().zip(own) {
            add(&mut evidence, &whole, 1.0);
            let total: f32 = evidence.iter().map(|e| e.abs()).sum();
            evidence
                .iter_mut()
                .for_each(|e| *e /= total.max(f32::MIN_POSITIVE));
            found.push(Stretch { frames, evidence });
        }
    }
    found
}

/// The evidence in a run of frames: of those with one voice, or if there are none, a little of those with two.
fn sum(window: &Tracks, run: &Range<usize>, evidence: &Evidence) -> Vec<f32> {
    let mut sums = [
        vec![0f32; evidence.speakers()],
        vec![0f32; evidence.speakers()],
    ];
    let mut alone = false;
    for frame in run.clone() {
        let single = window.active[frame].count_ones() == 1;
        if let Some(similarity) = evidence.of(window.first + frame) {
            alone |= single;
            add(&mut sums[usize::from(!single)], similarity, 1.0);
        }
    }
    let [single, mut mixed] = sums;
    mixed.iter_mut().for_each(|e| *e *= MIXED);
    if alone { single } else { mixed }
}

fn add(sum: &mut [f32], other: &[f32], weight: f32) {
    sum.iter_mut()
        .zip(other)
        .for_each(|(s, o)| *s += weight * o);
}

/// Different speakers for tracks that are active together, as far as there are as many.
fn assign(tracks: &[&[f32]]) -> Vec<usize> {
    let speakers = tracks.first().map_or(0, |t| t.len());
    match tracks {
        [] => Vec::new(),
        _ if speakers == 0 => Vec::new(),
        [only] => vec![argmax(only)],
        _ if speakers == 1 => vec![0],
        _ => {
            let whole = |x: &f32| (x * SCALE) as i64;
            let rows = tracks
                .iter()
                .take(speakers)
                .map(|t| t.iter().map(whole).collect::<Vec<_>>());
            Matrix::from_rows(rows)
                .map(|weights| kuhn_munkres(&weights).1)
                .unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_at_the_same_time_are_different_speakers() {
        assert_eq!(assign(&[&[0.9, 0.1]]), [0]);
        assert_eq!(assign(&[&[0.9, 0.1], &[0.6, 0.4]]), [0, 1]);
        assert_eq!(assign(&[&[0.6, 0.4], &[0.9, 0.1]]), [1, 0]);
        assert_eq!(assign(&[&[1.0], &[1.0]]), [0]);
        assert!(assign(&[]).is_empty());
    }

    #[test]
    fn three_tracks_and_two_speakers() {
        assert_eq!(assign(&[&[0.9, 0.1], &[0.6, 0.4], &[0.2, 0.1]]).len(), 2);
    }
}
