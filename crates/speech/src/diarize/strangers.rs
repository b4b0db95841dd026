//! Speakers of a few words, whom clustering cannot find: it trusts no small groups, and a turn shorter than a window is
//! measured together with its neighbours.
//!
//! Where segmentation tells a short turn apart from what is said around it, the turn is measured by itself. If it
//! sounds like none of the speakers, it is a stranger's: someone new. How alike a voice must be depends on how long it
//! is heard. Own work; docs/diarize.md says where the numbers come from.

use std::ops::Range;

use super::Measured;
use super::clustering::{self, Bounds, dot};
use super::frames::{self, FIELD, SHIFT};
use super::listen::Tracks;
use super::powerset::{Active, SPEAKERS};
use super::windows::{GRID, LENGTH, Window};
use crate::similarity;

/// A turn of 1.5 s that is less similar than this to all speakers is a stranger's.
const ALIKE: f32 = 0.36;
/// The same for shorter turns: times their share of 1.5 s to this power.
const BREVITY: f32 = 0.7;
/// How much more similar a stranger may be while speakers are known to be missing.
const MISSING: f32 = 0.3;
/// Frames of the shortest turn that says anything about its voice (0.3 s).
const SHORTEST: usize = 18;
/// Most frames of a track that is one short turn (2 s): longer ones fill windows.
const LONGEST: usize = 118;
/// A stranger talks for at least this share of all speech. The longer a recording, the more turns are taken for a
/// stranger's by chance, and the less a few words matter.
const SHARE: f64 = 0.01;
/// Samples by which windows may overlap and still be apart (50 ms).
const TOUCH: usize = 800;

/// A short turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The samples of it.
    samples: Range<usize>,
    /// The middle of it, at most as long as windows are.
    pub window: Window,
}

impl Brief {
    fn new(turn: &Range<usize>) -> Self {
        let first = |frame: usize| frame * SHIFT + (FIELD - SHIFT) / 2;
        let (start, end) = (first(turn.start) / GRID * GRID, first(turn.end));
        let spare = (end - start).saturating_sub(LENGTH);
        let window = Window {
            start: (start + spare / 2) / GRID * GRID,
            samples: (end - start).min(LENGTH),
        };
        Brief {
            samples: start..end,
            window,
        }
    }

    fn overlap(&self, window: &Window) -> usize {
        let end = self.samples.end.min(window.end());
        end.saturating_sub(self.samples.start.max(window.start))
    }
}

/// Turns of one voice on tracks that are heard for no longer, in order. `counts` are the speakers in each frame.
pub fn brief(tracks: &[Tracks], counts: &[u8]) -> Vec<Brief> {
    let speech = counts.iter().filter(|n| **n > 0).count();
    let least = SHORTEST.max((SHARE * speech as f64).ceil() as usize);
    let middle = |t: &Tracks| t.first + t.active.len() / 2;
    let mut turns: Vec<Range<usize>> = Vec::new();
    for (i, window) in tracks.iter().enumerate() {
        // Each turn is taken from the window it is most in the middle of.
        let from = i
            .checked_sub(1)
            .map_or(0, |p| middle(&tracks[p]) + middle(window));
        let to = tracks
            .get(i + 1)
            .map_or(usize::MAX, |n| middle(n) + middle(window));
        let own = |turn: &Range<usize>| (from..to).contains(&(turn.start + turn.end));
        for track in 0..SPEAKERS {
            let alone: Active = 1 << track;
            let runs = frames::runs(&window.active, |active| *active == alone);
            if runs.iter().map(Range::len).sum::<usize>() <= LONGEST {
                let runs = runs.into_iter().filter(|run| run.len() >= least);
                let turn = |run: Range<usize>| window.first + run.start..window.first + run.end;
                turns.extend(runs.map(turn).filter(own));
            }
        }
    }
    turns.sort_by_key(|t| (t.start, t.end));
    turns.iter().map(Brief::new).collect()
}

/// Makes speakers of strangers, the strangest first, as far as there may be more. `voices` are those of `brief`.
pub fn adopt(measured: &mut Measured, brief: &[Brief], voices: &[Vec<f32>], bounds: Bounds) {
    let mut left: Vec<usize> = (0..brief.len()).collect();
    loop {
        let count = measured.speakers.centres.len();
        let limit = if count < bounds.min { MISSING } else { 0.0 };
        let strange = |i: &usize| Some((alike(measured, &brief[*i], &voices[*i])?, *i));
        let strangest = left.iter().filter_map(strange);
        let strangest = strangest.min_by(|a, b| a.0.total_cmp(&b.0));
        match strangest {
            Some((alike, i)) if alike < limit && count < bounds.max => {
                left.retain(|other| *other != i);
                welcome(measured, &brief[i], &voices[i]);
            }
            _ => return,
        }
    }
}

/// How much more similar a turn is to some speaker than a stranger would be. `None` if nothing else is known of the
/// speaker it was given to.
fn alike(measured: &Measured, brief: &Brief, voice: &[f32]) -> Option<f32> {
    let mut sums = vec![vec![0f32; voice.len()]; measured.speakers.centres.len()];
    let mut own = (0, None);
    for (i, window) in measured.windows.iter().enumerate() {
        let (overlap, speaker) = (brief.overlap(window), measured.speakers.of_window[i]);
        if overlap > own.0 {
            own = (overlap, Some(speaker));
        }
        if measured.sure[i] && overlap <= TOUCH {
            let voice = &measured.voices[i];
            sums[speaker]
                .iter_mut()
                .zip(voice)
                .for_each(|(s, x)| *s += x);
        }
    }
    let known = |sum: &Vec<f32>| sum.iter().any(|x| *x != 0.0);
    if own.1.is_some_and(|speaker| !known(&sums[speaker])) {
        return None;
    }
    let sums = sums.into_iter().filter(known);
    let similar = sums.map(|mut sum| {
        similarity::normalize(&mut sum);
        dot(&sum, voice)
    });
    let length = brief.window.samples as f32 / LENGTH as f32;
    Some(similar.reduce(f32::max)? - ALIKE * length.powf(BREVITY))
}

/// A new speaker, to whom the turn and all windows belong that are mostly in it.
fn welcome(measured: &mut Measured, brief: &Brief, voice: &[f32]) {
    let new = measured.speakers.centres.len();
    let mut of_window = measured.speakers.of_window.clone();
    for (speaker, window) in of_window.iter_mut().zip(&measured.windows) {
        if 2 * brief.overlap(window) > window.samples {
            *speaker = new;
        }
    }
    of_window.push(new);
    measured.windows.push(brief.window);
    measured.voices.push(voice.to_vec());
    measured.sure.push(true);
    measured.speakers = clustering::of_labels(&measured.voices, &of_window);
}

#[cfg(test)]
mod tests {
    use super::super::clustering::Speakers;
    use super::*;

    fn tracks(first: usize, runs: &[(Range<usize>, Active)]) -> Tracks {
        let mut active = vec![0; 589];
        for (run, set) in runs {
            active[run.clone()].fill(*set);
        }
        let talking = active.iter().map(|a| a.count_ones() as f32).collect();
        Tracks {
            first,
            active,
            talking,
        }
    }

    #[test]
    fn short_turns_of_short_tracks_are_measured_by_themselves() {
        let windows = [
            tracks(0, &[(0..60, 0b001), (60..500, 0b010), (500..520, 0b100)]),
            tracks(296, &[(0..204, 0b001), (204..224, 0b010)]),
        ];
        let found = brief(&windows, &[1; 885]);
        let spans: Vec<_> = found.iter().map(|b| b.samples.clone()).collect();
        // The second is heard by both windows, and by one of them in its middle; 0b010 talks on.
        assert_eq!(spans, [320..16_560, 135_360..140_760]);
        assert!(
            brief(&windows, &[1; 40_000]).is_empty(),
            "a minute's half second, in an hour"
        );
    }

    #[test]
    fn the_middle_of_a_longer_turn_is_one_window() {
        let found = Brief::new(&(0..118));
        assert_eq!(found.samples, 320..32_220);
        assert_eq!((found.window.start, found.window.samples), (4_160, LENGTH));
    }

    /// Ten windows of one voice, and one second of another between them.
    fn measured() -> (Measured, Brief) {
        let window = |i: usize| Window {
            start: 12_000 * i,
            samples: LENGTH,
        };
        let voices = vec![vec![1.0, 0.0]; 10];
        let measured = Measured {
            windows: (0..10).map(window).collect(),
            speakers: clustering::one(&voices),
            voices,
            sure: vec![true; 10],
        };
        (measured, Brief::new(&(100..160)))
    }

    const ANY: Bounds = Bounds { min: 1, max: 20 };

    #[test]
    fn a_voice_unlike_all_is_a_new_speaker_and_a_similar_one_is_not() {
        let (mut known, brief) = measured();
        adopt(
            &mut known,
            std::slice::from_ref(&brief),
            &[vec![0.4, 0.9]],
            ANY,
        );
        assert_eq!(known.speakers.centres.len(), 1);
        adopt(
            &mut known,
            std::slice::from_ref(&brief),
            &[vec![0.1, 0.99]],
            Bounds { min: 1, max: 1 },
        );
        assert_eq!(known.speakers.centres.len(), 1, "no more are allowed");
        adopt(&mut known, &[brief], &[vec![0.1, 0.99]], ANY);
        assert_eq!(known.speakers.centres.len(), 2);
        assert_eq!(known.speakers.of_window.last(), Some(&1));
    }

    #[test]
    fn missing_speakers_may_be_more_alike() {
        let (mut known, brief) = measured();
        adopt(
            &mut known,
            &[brief],
            &[vec![0.4, 0.9]],
            Bounds { min: 2, max: 2 },
        );
        assert_eq!(known.speakers.centres.len(), 2);
    }

    #[test]
    fn the_only_turn_of_a_speaker_is_no_strangers() {
        let (mut known, brief) = measured();
        let Measured {
            windows, voices, ..
        } = known;
        known = Measured {
            windows: vec![brief.window, windows[9]],
            voices: vec![vec![0.0, 1.0], voices[9].clone()],
            speakers: Speakers {
                of_window: vec![0, 1],
                centres: vec![vec![0.0, 1.0], vec![1.0, 0.0]],
            },
            sure: vec![true; 2],
        };
        adopt(&mut known, &[brief], &[vec![0.0, 1.0]], ANY);
        assert_eq!(known.speakers.centres.len(), 2);
    }
}
