//! Who talks in each frame of the recording.
//!
//! As many speakers as the segmentation windows expect on average, at least one where the VAD hears speech: those whom
//! the windows vote for and the frame sounds like.

use std::collections::BTreeMap;

use crate::evidence::Evidence;
use crate::frames;
use crate::listen::Heard;

/// Weight of a frame's similarity to a speaker beside the share of windows that vote for that speaker. A third of
/// similarity is worth all votes: tracks join voices that are alike, and go on too long.
const SOUND: f32 = 3.0;

/// Who talks in a frame. The first is the louder case: the one who is asked for when only one may be named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The speaker with the most votes.
    pub first: Option<u16>,
    /// Another speaker at the same time.
    pub second: Option<u16>,
}

impl Frame {
    /// Whether this speaker talks.
    pub fn has(&self, speaker: u16) -> bool {
        self.first == Some(speaker) || self.second == Some(speaker)
    }
}

/// So long may somebody talk unheard by the VAD (3 s), and so near to speech that it hears is the other network believed
/// in any case (0.5 s), frames.
const UNHEARD: usize = 178;
const NEAR: usize = 30;

/// Number of speakers in each frame: the [`mean`], rounded half up; at least 1 where the VAD hears speech, and nobody
/// where it hears none for long: music and ringing tones sound like somebody to the other network.
pub fn count(heard: &Heard) -> Vec<u8> {
    let rounded = mean(heard).into_iter().map(|mean| (mean + 0.5) as u8);
    let mut counts: Vec<u8> = rounded
        .zip(&heard.speech)
        .map(|(count, speech)| count.max(u8::from(*speech)))
        .collect();
    let unheard: Vec<bool> = counts
        .iter()
        .zip(&heard.speech)
        .map(|(count, speech)| *count > 0 && !speech)
        .collect();
    for run in frames::runs(&unheard, |u| *u)
        .iter()
        .filter(|run| run.len() > UNHEARD)
    {
        let beside = |frame: Option<usize>| {
            let heard = frame.and_then(|f| heard.speech.get(f)).is_some_and(|s| *s);
            if heard { NEAR } else { 0 }
        };
        let from = run.start + beside(run.start.checked_sub(1));
        let to = run.end - beside(Some(run.end));
        counts[from..to].fill(0);
    }
    counts
}

/// A speaker of whom the VAD hears less than this share is music or a noise.
const HEARD: f64 = 0.05;

/// Takes out the speakers whom the VAD does not hear.
pub fn drop_unheard(of_frame: &mut [Frame], speech: &[bool]) {
    let mut talk: BTreeMap<u16, (usize, usize)> = BTreeMap::new();
    for (frame, speech) in of_frame.iter().zip(speech) {
        for speaker in [frame.first, frame.second].into_iter().flatten() {
            let (all, heard) = talk.entry(speaker).or_default();
            *all += 1;
            *heard += usize::from(*speech);
        }
    }
    let nobody = |speaker: Option<u16>| {
        let talk = speaker.and_then(|s| talk.get(&s));
        talk.is_some_and(|(all, heard)| (*heard as f64) < HEARD * *all as f64)
    };
    for frame in of_frame {
        frame.second = frame.second.filter(|s| !nobody(Some(*s)));
        if nobody(frame.first) {
            frame.first = frame.second.take();
        }
    }
}

/// How many speakers the windows that hold a frame expect in it, those it is in the middle of counting most (Hamming
/// weights, as in pyannote.audio's `Inference.aggregate`).
pub fn mean(heard: &Heard) -> Vec<f32> {
    let mut sums = vec![(0f32, 0f32); heard.frames()];
    for tracks in &heard.tracks {
        let last = tracks.talking.len().saturating_sub(1).max(1) as f32;
        for (i, (frame, talking)) in tracks.frames().zip(&tracks.talking).enumerate() {
            let weight = 0.54 - 0.46 * (std::f32::consts::TAU * i as f32 / last).cos();
            sums[frame].0 += weight * talking;
            sums[frame].1 += weight;
        }
    }
    sums.into_iter()
        .map(|(sum, weight)| sum / weight.max(f32::MIN_POSITIVE))
        .collect()
}

/// The speakers of each frame. Speech that no window measured goes to whoever talks next to it.
pub fn frames(heard: &Heard, counts: &[u8], votes: &[u16], evidence: &Evidence) -> Vec<Frame> {
    let speakers = evidence.speakers();
    let mut frames: Vec<Frame> = vec![Frame::default(); heard.frames()];
    let mut unknown = Vec::new();
    for (i, frame) in frames.iter_mut().enumerate() {
        if counts[i] == 0 {
            continue;
        }
        let votes = &votes[i * speakers..][..speakers];
        *frame = best(votes, heard.windows(i), evidence.of(i), counts[i]);
        if frame.first.is_none() {
            unknown.push(i);
        }
    }
    for (i, first) in nearest(&frames, &unknown) {
        frames[i].first = first;
    }
    frames
}

fn best(votes: &[u16], windows: u16, sound: Option<&[f32]>, count: u8) -> Frame {
    let score = |s: usize| {
        f32::from(votes[s]) / f32::from(windows.max(1)) + sound.map_or(0.0, |x| SOUND * x[s])
    };
    let known = |s: &usize| votes[*s] > 0 || sound.is_some();
    let most = |best: Option<usize>, s: usize| match best {
        Some(b) if score(b) >= score(s) => Some(b),
        _ => Some(s),
    };
    let first = (0..votes.len()).filter(known).fold(None, most);
    let others = (0..votes.len()).filter(|s| count > 1 && Some(*s) != first && votes[*s] > 0);
    Frame {
        first: first.map(|s| s as u16),
        second: others.fold(None, most).map(|s| s as u16),
    }
}

/// For each of these frames, the first speaker of the nearest frame that has one.
fn nearest(frames: &[Frame], unknown: &[usize]) -> Vec<(usize, Option<u16>)> {
    let known: Vec<usize> = (0..frames.len())
        .filter(|i| frames[*i].first.is_some())
        .collect();
    let pick = |i: usize| {
        let next = known.partition_point(|k| *k < i);
        let sides = [
            next.checked_sub(1).map(|p| known[p]),
            known.get(next).copied(),
        ];
        sides
            .into_iter()
            .flatten()
            .min_by_key(|k| k.abs_diff(i))
            .and_then(|k| frames[k].first)
    };
    unknown.iter().map(|i| (*i, pick(*i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::Tracks;

    #[test]
    fn the_count_is_the_rounded_mean_of_the_windows() {
        let tracks = |first, talking: [f32; 5]| Tracks {
            first,
            active: vec![0; 5],
            talking: talking.into(),
        };
        let heard = Heard {
            samples: 0,
            tracks: vec![
                tracks(0, [0.0, 1.0, 1.0, 1.6, 1.0]),
                tracks(2, [0.0, 1.5, 0.0, 0.4, 0.5]),
            ],
            speech: vec![true, false, false, false, false, false, false],
            ..Heard::default()
        };
        // Weights 0.08, 0.54, 1, 0.54, 0.08: the middle counts most. Half rounds up; the VAD raises the first.
        assert_eq!(count(&heard), [1, 1, 1, 2, 0, 0, 1]);
    }

    #[test]
    fn votes_and_sound_decide_together() {
        let two = |f: Frame| (f.first, f.second);
        assert_eq!(two(best(&[1, 3, 0], 4, None, 1)), (Some(1), None));
        assert_eq!(two(best(&[1, 3, 0], 4, None, 2)), (Some(1), Some(0)));
        assert_eq!(
            two(best(&[2, 2, 0], 4, Some(&[0.1, 0.9, 0.0]), 1)),
            (Some(1), None)
        );
        assert_eq!(
            two(best(&[3, 1, 0], 4, Some(&[0.1, 0.9, 0.0]), 1)),
            (Some(1), None)
        );
        assert_eq!(two(best(&[0, 0, 0], 4, None, 1)), (None, None));
        assert_eq!(
            two(best(&[0, 0, 0], 4, Some(&[0.1, 0.2, 0.9]), 2)),
            (Some(2), None)
        );
    }

    #[test]
    fn unknown_frames_ask_their_neighbours() {
        let known = |s| Frame {
            first: Some(s),
            second: None,
        };
        let frames = [
            known(3),
            Frame::default(),
            Frame::default(),
            Frame::default(),
            known(5),
        ];
        assert_eq!(
            nearest(&frames, &[1, 2, 3]),
            [(1, Some(3)), (2, Some(3)), (3, Some(5))]
        );
        assert_eq!(nearest(&[Frame::default()], &[0]), [(0, None)]);
    }
}
