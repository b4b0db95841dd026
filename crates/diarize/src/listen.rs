//! The first pass over a recording: who talks when within some seconds, and where there is speech at all.

use onnx::Cancel;
use vad::{Vad, VadOptions};

use crate::Error;
use crate::frames::{self, FIELD, SHIFT};
use crate::levels::Levels;
use crate::powerset::{self, Active};
use crate::segmentation::{Segmentation, WINDOW};
use audio::recording::{Buffer, Recording};

/// Samples from one segmentation window to the next, a whole number of frames (5 s): each frame is heard twice. Windows
/// every second, as in the recipe, cost five times as much; on our recordings they were better here and worse there
/// (docs/internals/diarize.md).
pub const STEP: usize = 296 * SHIFT;
/// Windows per run of the network.
const BATCH: usize = 4;
/// Samples given to the VAD at once.
const VAD_SAMPLES: usize = 512 * vad::WINDOW;

/// What one segmentation window heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracks {
    /// Its first frame in the recording.
    pub first: usize,
    /// Who talks in each of its frames.
    pub active: Vec<Active>,
    /// How many talk in each of its frames, in doubt a fraction.
    pub talking: Vec<f32>,
}

impl Tracks {
    /// Its frames in the recording.
    pub fn frames(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.active.len()
    }
}

/// What the first pass heard.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Samples in the recording.
    pub samples: usize,
    /// Windows in order; together they hold every frame.
    pub tracks: Vec<Tracks>,
    /// Whether the VAD heard speech in each frame.
    pub speech: Vec<bool>,
    /// How loud it is.
    pub levels: Levels,
}

impl Heard {
    /// Frames in the recording.
    pub fn frames(&self) -> usize {
        self.speech.len()
    }

    /// How many segmentation windows hold a frame.
    pub fn windows(&self, frame: usize) -> u16 {
        let first = self.tracks.partition_point(|t| t.frames().end <= frame);
        let all = self.tracks[first..].iter();
        all.take_while(|t| t.first <= frame).count() as u16
    }

    /// Where segmentation hears one speaker follow another: frames in order, in the middle of what lies between the two.
    pub fn changes(&self) -> Vec<usize> {
        let mut found = Vec::new();
        // A window speaks for the frames that lie nearer to its middle than to those of its neighbours.
        let between = |a: &Tracks, b: &Tracks| (a.frames().end + b.first) / 2;
        for (n, tracks) in self.tracks.iter().enumerate() {
            let before = n.checked_sub(1).map(|n| &self.tracks[n]);
            let from = before.map_or(0, |before| between(before, tracks));
            let next = self.tracks.get(n + 1);
            let to = next.map_or(usize::MAX, |next| between(tracks, next));
            let (mut last, mut at) = (None, tracks.first);
            for run in tracks.active.chunk_by(|a, b| a == b) {
                let (start, who) = (at, run[0]);
                at += run.len();
                if who.count_ones() != 1 || run.len() < ALONE {
                    continue;
                }
                let change = last.map_or(0, |(_, end)| (end + start) / 2);
                if last.is_some_and(|(other, _)| other != who) && (from..to).contains(&change) {
                    found.push(change);
                }
                last = Some((who, at));
            }
        }
        found
    }
}

/// Frames that each of two speakers has to talk alone for a change from one to the other (0.34 s).
const ALONE: usize = 20;

/// Reads the whole recording.
///
/// # Errors
/// Those of the recording and of the networks.
pub fn listen(
    recording: &mut dyn Recording,
    segmentation: &mut Segmentation,
    vad: &mut Vad,
    cancel: &Cancel,
) -> Result<Heard, Error> {
    let heard = speech(recording, vad, cancel)?;
    let tracks = tracks(recording, heard.samples, segmentation, cancel)?;
    Ok(Heard { tracks, ..heard })
}

/// What is known without segmentation: no tracks.
///
/// # Errors
/// Those of the recording and of the network.
pub fn speech(
    recording: &mut dyn Recording,
    vad: &mut Vad,
    cancel: &Cancel,
) -> Result<Heard, Error> {
    vad.reset();
    let mut buffer = Buffer::open(recording)?;
    let (mut samples, mut probabilities) = (0, Vec::new());
    let mut levels = Levels::default();
    loop {
        let part = buffer.range(samples, samples + VAD_SAMPLES, cancel.flag())?;
        if part.is_empty() {
            break;
        }
        probabilities.extend(vad.probabilities(part, cancel)?);
        levels.push(part);
        samples += part.len();
    }
    let mut speech = vec![false; frames::count(samples)];
    let plain = VadOptions {
        pad_ms: 0,
        ..VadOptions::default()
    };
    for span in vad::spans(&probabilities, &plain) {
        let range = frames::at_ms(span.start_ms)..frames::at_ms(span.end_ms).min(speech.len());
        speech
            .get_mut(range)
            .into_iter()
            .flatten()
            .for_each(|s| *s = true);
    }
    Ok(Heard {
        samples,
        tracks: Vec::new(),
        speech,
        levels,
    })
}

/// The tracks of all windows of a recording of `samples` samples.
///
/// # Errors
/// Those of the recording and of the network; [`Error::Invalid`] if it has become shorter.
pub fn tracks(
    recording: &mut dyn Recording,
    samples: usize,
    segmentation: &mut Segmentation,
    cancel: &Cancel,
) -> Result<Vec<Tracks>, Error> {
    let mut buffer = Buffer::open(recording)?;
    let length = samples.min(WINDOW);
    let mut tracks = Vec::new();
    for starts in starts(samples).chunks(BATCH) {
        let (first, last) = (starts[0], starts[starts.len() - 1]);
        let part = buffer.range(first, last + length, cancel.flag())?;
        let window = |start: &usize| part.get(start - first..start - first + length);
        let changed = || Error::Invalid("the recording changed while it was read".into());
        let windows: Vec<&[f32]> = starts
            .iter()
            .map(window)
            .collect::<Option<_>>()
            .ok_or_else(changed)?;
        let scores = segmentation.scores(&windows, cancel)?;
        tracks.extend(starts.iter().zip(&scores).map(|(start, scores)| Tracks {
            first: start / SHIFT,
            active: powerset::decode(scores),
            talking: powerset::expected(scores),
        }));
    }
    Ok(tracks)
}

/// Where windows start: every [`STEP`], the last one at the recording's end.
fn starts(samples: usize) -> Vec<usize> {
    if samples < FIELD {
        return Vec::new();
    }
    let last = samples.saturating_sub(WINDOW) / SHIFT * SHIFT;
    (0..last).step_by(STEP).chain([last]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_but_perhaps_the_last_is_in_a_window() {
        for samples in [
            FIELD,
            5_000,
            WINDOW - 1,
            WINDOW,
            WINDOW + 1,
            WINDOW + 269,
            WINDOW + 270,
            3 * WINDOW + 77,
        ] {
            let mut covered = vec![false; frames::count(samples)];
            for start in starts(samples) {
                assert_eq!(start % SHIFT, 0);
                let frames = start / SHIFT..start / SHIFT + frames::count(samples.min(WINDOW));
                covered[frames].iter_mut().for_each(|c| *c = true);
            }
            // Windows start on whole frames and end within the recording: less than a frame may remain. It is
            // reconstructed from its neighbour.
            let whole = covered.len() - 1;
            assert!(covered[..whole].iter().all(|c| *c), "{samples} samples");
        }
    }

    #[test]
    fn too_little_has_no_window() {
        assert!(starts(0).is_empty());
        assert!(starts(FIELD - 1).is_empty());
    }

    #[test]
    fn changes_are_where_one_speaker_follows_another() {
        let window = |first, runs: &[(usize, Active)]| {
            let active: Vec<Active> = runs.iter().flat_map(|(n, who)| vec![*who; *n]).collect();
            Tracks {
                first,
                talking: vec![1.0; active.len()],
                active,
            }
        };
        let heard = Heard {
            tracks: vec![
                // An overlap and a pause between two; a word too short to be anybody's; the same one after a pause.
                window(
                    0,
                    &[
                        (100, 1),
                        (10, 3),
                        (100, 2),
                        (9, 1),
                        (81, 2),
                        (20, 0),
                        (269, 2),
                    ],
                ),
                // The first change is in the part that the window before speaks for.
                window(296, &[(50, 1), (150, 2), (100, 4), (289, 1)]),
            ],
            ..Heard::default()
        };
        assert_eq!(heard.changes(), [105, 496, 596]);
        assert!(Heard::default().changes().is_empty());
    }
}
