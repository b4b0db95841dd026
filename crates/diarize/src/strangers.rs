//! Speakers of a few words, whom clustering cannot find: it trusts no small groups, and a turn shorter than a window is
//! measured together with its neighbours.
//!
//! Where segmentation tells a short turn apart from what is said around it, the turn is measured by itself. If it
//! sounds like none of the speakers, it is a stranger's: someone new. How alike a voice must be depends on how long it
//! is heard. Segmentation misses many such turns, so all speech is looked through in pieces as well, for voices unlike
//! that of whom the piece was given to. Noise is like nobody's either, so both must stand out from what is heard in
//! pauses. Own work; docs/internals/diarize.md says where the numbers come from.

use std::ops::Range;

use voice::similarity;

use crate::clustering::{self, Bounds, dot};
use crate::frames::{self, SHIFT};
use crate::levels::quantile;
use crate::listen::{Heard, Tracks};
use crate::measured::Measured;
use crate::powerset::{Active, SPEAKERS};
use crate::reconstruct;
use crate::windows::{GRID, LENGTH, Window};

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
/// Power of a turn over that of pauses (8 dB).
const AUDIBLE: f32 = 6.3;
/// Samples of the pieces that all speech is looked through in (0.75 s), and from one to the next.
pub const PIECE: usize = 12_000;
const HOP: usize = 6_000;
/// A piece is a stranger's if it is less similar to the speaker it was given to than this part of what the recording's
/// pieces usually are to the nearest one, and to others than that part: if it were another's, it would be more so.
const UNUSUAL: f32 = 0.2;
const ELSEWHERE: f32 = 0.45;
/// Power of a piece over that of pauses (18 dB), and over what is usual in speech (-6 dB): words that end, breath and
/// talk in the background are like no speaker.
const CLEAR: f32 = 63.0;
const LOUD: f32 = 0.25;
/// Samples by which windows may overlap and still be apart (50 ms).
const TOUCH: usize = 800;

/// What may be a stranger's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The samples of it.
    samples: Range<usize>,
    /// The middle of it, at most as long as windows are.
    pub window: Window,
    /// Whether segmentation heard a turn; else it is a piece of speech.
    turn: bool,
}

impl Brief {
    fn turn(turn: &Range<usize>) -> Self {
        let start = frames::middle(turn.start) / GRID * GRID;
        let end = frames::middle(turn.end);
        let spare = (end - start).saturating_sub(LENGTH);
        let window = Window {
            start: (start + spare / 2) / GRID * GRID,
            samples: (end - start).min(LENGTH),
        };
        Brief {
            samples: start..end,
            window,
            turn: true,
        }
    }

    fn piece(start: usize) -> Self {
        let samples = PIECE;
        Brief {
            samples: start..start + samples,
            window: Window { start, samples },
            turn: false,
        }
    }

    fn overlap(&self, window: &Window) -> usize {
        let end = self.samples.end.min(window.end());
        end.saturating_sub(self.samples.start.max(window.start))
    }

    /// How much more similar its voice is to a speaker than a stranger's would be, as the windows beside it know
    /// speakers. `None` if nothing else is known of the speaker it was given to.
    fn strangeness(&self, measured: &Measured, voice: &[f32], usual: f32) -> Option<f32> {
        let mut sums = vec![vec![0f32; voice.len()]; measured.speakers.centres.len()];
        let mut own = (0, None);
        for (i, window) in measured.windows.iter().enumerate() {
            let (overlap, speaker) = (self.overlap(window), measured.speakers.of_window[i]);
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
        let known = |sum: &[f32]| sum.iter().any(|x| *x != 0.0);
        if own.1.is_some_and(|speaker| !known(&sums[speaker])) {
            return None;
        }
        let length = self.window.samples as f32 / LENGTH as f32;
        let (by_own, by_others) = if self.turn {
            let alike = ALIKE * length.powf(BREVITY);
            (alike, alike)
        } else {
            (UNUSUAL * usual, ELSEWHERE * usual)
        };
        let more = |(speaker, mut sum): (usize, Vec<f32>)| {
            similarity::normalize(&mut sum);
            let limit = if own.1 == Some(speaker) {
                by_own
            } else {
                by_others
            };
            dot(&sum, voice) - limit
        };
        let speakers = sums.into_iter().enumerate();
        let speakers = speakers.filter(|(_, sum)| known(sum));
        speakers.map(more).reduce(f32::max)
    }
}

/// Frames that a stranger talks for at least, `counts` being the speakers in each frame.
fn least(counts: &[u8]) -> usize {
    let speech = counts.iter().filter(|n| **n > 0).count();
    (SHARE * speech as f64).ceil() as usize
}

/// Turns of one voice on tracks that are heard for no longer, by the start of their windows. `counts` are the speakers
/// in each frame.
pub fn turns(heard: &Heard, counts: &[u8]) -> Vec<Brief> {
    let (tracks, least) = (&heard.tracks, SHORTEST.max(least(counts)));
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
    let audible = AUDIBLE * heard.levels.of_pauses();
    let mut turns: Vec<Brief> = turns.iter().map(Brief::turn).collect();
    turns.retain(|turn| heard.levels.of(&turn.samples) >= audible);
    turns.sort_by_key(|turn| (turn.window.start, turn.window.samples));
    turns
}

/// Pieces of what both the VAD and segmentation hear as speech, in order. `windows` are what of it is measured in any
/// case.
pub fn pieces(heard: &Heard, counts: &[u8], windows: &[Window]) -> Vec<Brief> {
    if least(counts) * SHIFT > PIECE {
        return Vec::new();
    }
    let talking = reconstruct::mean(heard).into_iter().map(|mean| mean >= 0.5);
    let speech: Vec<bool> = talking.zip(&heard.speech).map(|(t, s)| t && *s).collect();
    let mut pieces = Vec::new();
    let (stretches, changes) = (frames::runs(&speech, |s| *s), heard.changes());
    // A piece across a change is like nobody.
    for run in stretches.iter().flat_map(|run| frames::cut(run, &changes)) {
        let start = frames::middle(run.start).next_multiple_of(GRID);
        let Some(spare) = frames::middle(run.end).checked_sub(start + PIECE) else {
            continue;
        };
        let last = start + spare / GRID * GRID;
        let starts = (start..last).step_by(HOP).chain([last]);
        pieces.extend(starts.map(|start| Brief::piece(start / GRID * GRID)));
    }
    let usual = windows.iter().map(|w| heard.levels.of(&(w.start..w.end())));
    let loud = (LOUD * quantile(usual, 0.5)).max(CLEAR * heard.levels.of_pauses());
    pieces.retain(|piece| heard.levels.of(&piece.samples) >= loud);
    pieces
}

/// Makes speakers of strangers, the strangest first, as far as there may be more. `voices` are those of `brief`.
pub fn adopt(measured: &mut Measured, brief: &[Brief], voices: &[Vec<f32>], bounds: Bounds) {
    let usual = usual(measured, brief, voices);
    let mut left: Vec<usize> = (0..brief.len()).collect();
    loop {
        let count = measured.speakers.centres.len();
        if count >= bounds.max {
            return;
        }
        let strange = |i: &usize| Some((brief[*i].strangeness(measured, &voices[*i], usual)?, *i));
        let strangest = left.iter().filter_map(strange);
        let limit = if count < bounds.min { MISSING } else { 0.0 };
        match strangest.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((alike, strangest)) if alike < limit => {
                left.retain(|other| *other != strangest);
                welcome(measured, &brief[strangest], &voices[strangest]);
            }
            _ => return,
        }
    }
}

/// How similar pieces usually are to the nearest speaker.
fn usual(measured: &Measured, brief: &[Brief], voices: &[Vec<f32>]) -> f32 {
    let pieces = brief.iter().zip(voices).filter(|(b, _)| !b.turn);
    let centres = &measured.speakers.centres;
    let nearest = |voice: &[f32]| centres.iter().map(|c| dot(c, voice)).reduce(f32::max);
    quantile(pieces.filter_map(|(_, voice)| nearest(voice)), 0.5)
}

/// Gives what strangers were found by to them: segmentation has heard somebody else there. `votes` are per frame and
/// speaker.
pub fn claim(votes: &mut [u16], heard: &Heard, measured: &Measured) {
    let (count, total) = (measured.speakers.centres.len(), heard.frames());
    for i in measured.adopted..measured.windows.len() {
        let speaker = measured.speakers.of_window[i];
        for frame in measured.windows[i].frames(total) {
            votes[frame * count + speaker] += heard.windows(frame);
        }
    }
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
    use super::*;
    use crate::clustering::Speakers;

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

    /// A recording at one level but for a pause, in which the VAD hears nothing.
    fn heard(tracks: Vec<Tracks>, samples: usize, pause: Range<usize>) -> Heard {
        let level = |i| if pause.contains(&i) { 0.001 } else { 0.1 };
        let mut heard = Heard {
            samples,
            tracks,
            speech: vec![false; frames::count(samples)],
            ..Heard::default()
        };
        let all: Vec<f32> = (0..samples).map(level).collect();
        heard.levels.push(&all);
        heard
    }

    #[test]
    fn short_turns_of_short_tracks_are_measured_by_themselves() {
        let windows = vec![
            tracks(0, &[(0..60, 0b001), (60..500, 0b010), (500..520, 0b100)]),
            tracks(296, &[(0..204, 0b001), (204..224, 0b010)]),
        ];
        let windows = heard(windows, 240_000, 200_000..240_000);
        let found = turns(&windows, &[1; 885]);
        let spans: Vec<_> = found.iter().map(|b| b.samples.clone()).collect();
        // The second is heard by both windows, and by one of them in its middle; 0b010 talks on.
        assert_eq!(spans, [320..16_560, 135_360..140_760]);
        assert!(
            turns(&windows, &[1; 40_000]).is_empty(),
            "a minute's half second, in an hour"
        );
        let faint = Heard {
            levels: heard(Vec::new(), 240_000, 0..0).levels,
            ..windows
        };
        assert!(turns(&faint, &[1; 885]).is_empty(), "as loud as pauses");
    }

    #[test]
    fn what_both_hear_as_speech_is_looked_through_in_pieces() {
        let found = |pause: Range<usize>, windows: &[Window], frames: usize| -> Vec<usize> {
            let mut heard = heard(vec![tracks(0, &[])], 162_000, pause);
            heard.tracks[0].talking[..240].fill(1.0);
            heard.speech[100..150].fill(true);
            heard.speech[180..220].fill(true);
            heard.speech[300..400].fill(true);
            let found = pieces(&heard, &vec![1; frames], windows);
            found.iter().map(|piece| piece.window.start).collect()
        };
        // The others are too short, or not segmentation's.
        assert_eq!(found(130_000..162_000, &[], 589), [27_360, 28_800]);
        assert!(found(130_000..162_000, &[], 6_000).is_empty(), "of 100 s");
        assert!(found(0..0, &[], 589).is_empty(), "as loud as pauses");
        let window = |start| Window {
            start,
            samples: LENGTH,
        };
        let mut changing = heard(
            vec![tracks(0, &[(60..125, 0b001), (125..190, 0b010)])],
            162_000,
            130_000..162_000,
        );
        changing.tracks[0].talking.fill(1.0);
        changing.speech[100..150].fill(true);
        assert!(
            pieces(&changing, &[1; 589], &[]).is_empty(),
            "like one and the next"
        );
        let quiet = 0..100_000;
        let loud = [window(110_400), window(120_000), window(132_000)];
        assert!(found(quiet, &loud, 589).is_empty(), "others are louder");
    }

    #[test]
    fn a_piece_is_a_strangers_if_unlike_what_is_usual() {
        let voice = |similarity: f32| vec![similarity, (1.0 - similarity * similarity).sqrt()];
        let found = [30_400, 60_800, 91_200].map(Brief::piece);
        for (usual, strangers) in [(0.5, 0), (0.9, 1)] {
            let (mut known, _) = measured();
            let voices = [voice(0.15), voice(usual), voice(usual)];
            adopt(&mut known, &found, &voices, ANY);
            assert_eq!(known.speakers.centres.len(), 1 + strangers, "{usual}");
        }
    }

    #[test]
    fn the_middle_of_a_longer_turn_is_one_window() {
        let found = Brief::turn(&(0..118));
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
            adopted: 10,
        };
        (measured, Brief::turn(&(100..160)))
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
    fn a_piece_must_be_less_like_its_own_speaker_than_like_others() {
        let piece = Brief::piece(30_400);
        let voices = [vec![0.1, 0.3, 0.95]];
        for (own, strange) in [(0, true), (1, false)] {
            let (mut known, _) = measured();
            known.speakers.of_window = vec![own; 10];
            known.speakers.of_window[9] = 1 - own;
            known.speakers.centres = vec![vec![0.0; 3]; 2];
            known.voices = vec![vec![0.0; 3]; 10];
            for (voice, speaker) in known.voices.iter_mut().zip(&known.speakers.of_window) {
                voice[*speaker] = 1.0;
            }
            let more = piece.strangeness(&known, &voices[0], 0.8);
            assert_eq!(more.expect("both are known") < 0.0, strange, "{own}");
        }
    }

    #[test]
    fn what_a_stranger_was_found_by_is_the_strangers() {
        let (mut known, brief) = measured();
        adopt(&mut known, &[brief], &[vec![0.1, 0.99]], ANY);
        let heard = heard(vec![tracks(0, &[(0..589, 0b001)])], 160_000, 0..0);
        let mut votes = [1, 0].repeat(589);
        claim(&mut votes, &heard, &known);
        let changed: Vec<_> = (0..589).filter(|f| votes[2 * f + 1] == 1).collect();
        assert_eq!(changed, (100..160).collect::<Vec<_>>());
        assert!(votes.chunks(2).all(|v| v[0] == 1));
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
            adopted: 2,
        };
        adopt(&mut known, &[brief], &[vec![0.0, 1.0]], ANY);
        assert_eq!(known.speakers.centres.len(), 2);
    }
}
