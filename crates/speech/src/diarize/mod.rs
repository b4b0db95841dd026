//! Who spoke when.
//!
//! The recipe is 3D-Speaker's with overlap (Chen et al., "3D-Speaker-Toolkit", 2024), changed where measuring said so
//! (docs/diarize.md); a file per stage:
//!
//! 1. [`listen`]: speech by silero VAD, and tracks of up to three speakers in windows of 10 s by pyannote segmentation
//!    3.0 ([`segmentation`], [`powerset`]);
//! 2. [`windows`], [`voices`]: an embedding per 1.5 s of speech, every 0.75 s;
//! 3. [`clustering`], [`strangers`]: windows to speakers;
//! 4. [`evidence`], [`assignment`]: tracks to speakers;
//! 5. [`reconstruct`], [`turns`]: who talks in each frame, and turns.
//!
//! A recording is read three times, one with little speech four times, as a stream: memory grows by some 2 kB per
//! second of it. Results are deterministic.

pub mod assignment;
pub mod clustering;
pub mod evidence;
pub mod frames;
pub mod levels;
pub mod listen;
pub mod powerset;
pub mod profiles;
pub mod reconstruct;
mod recording;
pub mod segmentation;
pub mod strangers;
pub mod turns;
pub mod voices;
pub mod windows;

pub use recording::{Encoded, Recording, Samples};
pub use segmentation::Segmentation;
pub use turns::Turn;

use crate::embed::SpeakerModel;
use crate::vad::Vad;
use crate::{Cancel, Error};
use clustering::{Bounds, Speakers};
use evidence::Evidence;
use listen::Heard;
use strangers::{Brief, PIECE};
use turns::Shape;
use windows::{LENGTH, Window};

/// Most speakers that can be asked for.
pub const MAX_SPEAKERS: usize = 100;

/// What is known of the speakers, and how turns are cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Exactly so many speakers, as far as that many can be told apart; overrides the bounds.
    pub speaker_count: Option<usize>,
    /// At least so many.
    pub min_speakers: usize,
    /// At most so many.
    pub max_speakers: usize,
    /// Silence shorter than this between two turns of a speaker is part of one turn.
    pub merge_gap_ms: u64,
    /// Shorter turns are dropped.
    pub min_turn_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            speaker_count: None,
            min_speakers: 1,
            max_speakers: 20,
            merge_gap_ms: 1000,
            min_turn_ms: 100,
        }
    }
}

impl Options {
    /// # Errors
    /// [`Error::Invalid`] for counts outside 1 to [`MAX_SPEAKERS`] or crossed bounds.
    fn bounds(&self) -> Result<Bounds, Error> {
        let (min, max) = self
            .speaker_count
            .map_or((self.min_speakers, self.max_speakers), |n| (n, n));
        if min < 1 || max > MAX_SPEAKERS || min > max {
            let message = format!(
                "there can be 1 to {MAX_SPEAKERS} speakers, at least min and at most max, not {min} to {max}"
            );
            return Err(Error::Invalid(message));
        }
        Ok(Bounds { min, max })
    }
}

/// Who spoke when in a recording. Speakers are numbered from 0 in the order in which they first talk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diarization {
    /// Turns by start, several at a time where several talk.
    pub turns: Vec<Turn>,
    /// Turns by start, one at a time: whom words belong to.
    pub exclusive: Vec<Turn>,
    /// The voice of each speaker (norm 1), comparable to those of [`SpeakerModel::embed`].
    pub speakers: Vec<Vec<f32>>,
}

impl Diarization {
    /// Who spoke between two times: the speaker with most of it on the exclusive track, else the one nearest to it;
    /// `None` if nobody spoke at all.
    pub fn speaker_of(&self, start_ms: u64, end_ms: u64) -> Option<usize> {
        let mut shared = vec![0u64; self.speakers.len()];
        // Exclusive turns are in order and apart, so the ones in question lie together.
        let first = self.exclusive.partition_point(|t| t.end_ms <= start_ms);
        for turn in self.exclusive[first..]
            .iter()
            .take_while(|t| t.start_ms < end_ms)
        {
            shared[turn.speaker] += turn.end_ms.min(end_ms) - turn.start_ms.max(start_ms);
        }
        let most = (0..shared.len()).max_by_key(|s| (shared[*s], std::cmp::Reverse(*s)))?;
        if shared[most] > 0 {
            return Some(most);
        }
        let sides = [first.checked_sub(1), Some(first)]
            .into_iter()
            .flatten()
            .filter_map(|i| self.exclusive.get(i));
        let distance = |t: &&Turn| {
            start_ms
                .saturating_sub(t.end_ms)
                .max(t.start_ms.saturating_sub(end_ms))
        };
        sides.min_by_key(distance).map(|t| t.speaker)
    }
}

/// The three networks that diarization takes.
pub struct Diarizer<'a> {
    /// Tells apart the speakers of 10 s.
    pub segmentation: &'a mut Segmentation,
    /// Hears speech.
    pub vad: &'a mut Vad,
    /// Measures voices.
    pub speaker: &'a mut SpeakerModel,
}

impl Diarizer<'_> {
    /// Who spoke when. No speech gives no turns.
    ///
    /// # Errors
    /// [`Error::Invalid`] for impossible options, [`Error::Cancelled`], and those of the recording and the networks.
    pub fn diarize(
        &mut self,
        recording: &mut dyn Recording,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Diarization, Error> {
        let bounds = options.bounds()?;
        let heard = listen::listen(recording, self.segmentation, self.vad, cancel)?;
        let counts = reconstruct::count(&heard);
        let speech: Vec<bool> = counts.iter().map(|n| *n > 0).collect();
        let windows = windows::inside(&speech, heard.samples);
        let mut brief = strangers::turns(&heard, &counts);
        let (voices, mut strange) = self.voices(recording, &windows, &brief, cancel)?;
        let pieces = strangers::pieces(&heard, &counts, &windows);
        strange.extend(self.pieces(recording, &pieces, cancel)?);
        brief.extend(pieces);
        let mut measured = Measured::new(windows, voices, bounds, cancel)?;
        strangers::adopt(&mut measured, &brief, &strange, bounds);
        measured.at_least(bounds.min, cancel)?;
        Ok(assemble(&heard, &counts, &measured, options))
    }

    /// The voices of windows and of short turns, in one pass.
    fn voices(
        &mut self,
        recording: &mut dyn Recording,
        windows: &[Window],
        brief: &[Brief],
        cancel: &Cancel,
    ) -> Result<(Vec<Vec<f32>>, Vec<Vec<f32>>), Error> {
        let own = windows.iter().map(|w| (*w, false));
        let mut all: Vec<_> = own.chain(brief.iter().map(|b| (b.window, true))).collect();
        all.sort_by_key(|(window, _)| window.start);
        let ordered: Vec<Window> = all.iter().map(|(window, _)| *window).collect();
        let voices = voices::embed(recording, &ordered, LENGTH, self.speaker, cancel)?;
        let (strange, own): (Vec<_>, Vec<_>) =
            all.iter().zip(voices).partition(|((_, brief), _)| *brief);
        let voices = |part: Vec<(_, Vec<f32>)>| part.into_iter().map(|(_, voice)| voice).collect();
        Ok((voices(own), voices(strange)))
    }

    /// The voices of pieces of speech, as short as these are.
    fn pieces(
        &mut self,
        recording: &mut dyn Recording,
        pieces: &[Brief],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let windows: Vec<Window> = pieces.iter().map(|piece| piece.window).collect();
        voices::embed(recording, &windows, PIECE, self.speaker, cancel)
    }

    /// Who spoke when in a call with a side per channel: each channel is a speaker, numbered as the channels are,
    /// whether or not it speaks. Where sides talk at once, the exclusive track stays with the one who began.
    ///
    /// # Errors
    /// As [`Diarizer::diarize`].
    pub fn sides(
        &mut self,
        channels: &mut [&mut dyn Recording],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Diarization, Error> {
        let mut all = Diarization::default();
        for (channel, recording) in channels.iter_mut().enumerate() {
            let side = self.side(*recording, options, cancel)?;
            all.turns.extend(side.turns.into_iter().map(|turn| Turn {
                speaker: channel,
                ..turn
            }));
            let silent = || vec![0.0; self.speaker.dimensions()];
            all.speakers
                .push(side.speakers.into_iter().next().unwrap_or_else(silent));
        }
        turns::mark_overlap(&mut all.turns);
        all.exclusive = turns::one_at_a_time(&all.turns);
        Ok(all)
    }

    /// The turns of one channel: speech is that side's, whoever it is.
    fn side(
        &mut self,
        recording: &mut dyn Recording,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Diarization, Error> {
        let heard = listen::speech(recording, self.vad, cancel)?;
        let windows = windows::inside(&heard.speech, heard.samples);
        let voices = voices::embed(recording, &windows, LENGTH, self.speaker, cancel)?;
        let speakers = clustering::one(&voices);
        let counts: Vec<u8> = heard.speech.iter().map(|s| u8::from(*s)).collect();
        let measured = Measured {
            sure: vec![true; windows.len()],
            adopted: windows.len(),
            windows,
            voices,
            speakers,
        };
        Ok(assemble(&heard, &counts, &measured, options))
    }
}

/// Windows, their voices, and whose these are.
pub struct Measured {
    /// Where voices were measured.
    pub windows: Vec<Window>,
    /// The voice in each window, of norm 1.
    pub voices: Vec<Vec<f32>>,
    /// The speakers of the windows.
    pub speakers: Speakers,
    /// Which windows are long enough to say what their speaker sounds like.
    pub sure: Vec<bool>,
    /// The first of the windows that strangers were found by; there are none before [`strangers::adopt`].
    pub adopted: usize,
}

/// Samples of a window that is long enough to found a speaker on (0.9 s).
const SURE: usize = 14_400;

impl Measured {
    /// Groups windows by voice: at most `bounds.max` speakers.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn new(
        windows: Vec<Window>,
        voices: Vec<Vec<f32>>,
        bounds: Bounds,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let mut sure: Vec<bool> = windows.iter().map(|w| w.samples >= SURE).collect();
        if !sure.contains(&true) {
            sure.fill(true);
        }
        let bounds = Bounds { min: 1, ..bounds };
        let speakers = clustering::by_the_sure(&voices, &sure, bounds, cancel)?;
        Ok(Measured {
            adopted: windows.len(),
            windows,
            voices,
            speakers,
            sure,
        })
    }

    /// Cuts voices apart if there are too few speakers.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn at_least(&mut self, min: usize, cancel: &Cancel) -> Result<(), Error> {
        if self.speakers.centres.len() < min {
            let bounds = Bounds { min, max: min };
            self.speakers = clustering::cluster(&self.voices, bounds, cancel)?;
        }
        Ok(())
    }
}

fn assemble(heard: &Heard, counts: &[u8], measured: &Measured, options: &Options) -> Diarization {
    let Measured {
        windows,
        voices,
        speakers,
        ..
    } = measured;
    let evidence = &Evidence::new(heard.frames(), windows, voices, speakers);
    let shape = Shape {
        merge_gap_ms: options.merge_gap_ms,
        min_turn_ms: options.min_turn_ms,
        samples: heard.samples,
    };
    let mut votes = assignment::votes(&heard.tracks, evidence, heard.frames());
    strangers::claim(&mut votes, heard, measured);
    let of_frame = reconstruct::frames(heard, counts, &votes, evidence);
    let profiles = profiles::profiles(windows, voices, &of_frame, &speakers.centres);
    let turns = turns::overlapping(&of_frame, evidence, &shape);
    let exclusive = turns::exclusive(&of_frame, evidence, &shape);
    number(turns, exclusive, profiles)
}

/// Numbers speakers by their first turn and drops those without one.
fn number(mut turns: Vec<Turn>, mut exclusive: Vec<Turn>, centres: Vec<Vec<f32>>) -> Diarization {
    let mut order: Vec<usize> = Vec::new();
    for turn in &turns {
        if !order.contains(&turn.speaker) {
            order.push(turn.speaker);
        }
    }
    let number = |old: usize| order.iter().position(|s| *s == old);
    exclusive.retain(|t| order.contains(&t.speaker));
    for turn in turns.iter_mut().chain(&mut exclusive) {
        turn.speaker = number(turn.speaker).unwrap_or(0);
    }
    let speakers = order.iter().map(|old| centres[*old].clone()).collect();
    Diarization {
        turns,
        exclusive,
        speakers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(speaker: usize, start_ms: u64, end_ms: u64) -> Turn {
        Turn {
            speaker,
            start_ms,
            end_ms,
            overlap: false,
            confidence: 1.0,
        }
    }

    #[test]
    fn words_go_to_the_speaker_with_most_of_them_or_the_nearest() {
        let d = number(
            vec![turn(7, 1000, 2000), turn(3, 2000, 4000)],
            vec![turn(7, 1000, 2000), turn(3, 2000, 4000)],
            vec![vec![1.0]; 8],
        );
        assert_eq!(d.speakers.len(), 2);
        assert_eq!(d.speaker_of(1500, 1800), Some(0));
        assert_eq!(d.speaker_of(1900, 2200), Some(1));
        assert_eq!(d.speaker_of(0, 100), Some(0));
        assert_eq!(d.speaker_of(9000, 9001), Some(1));
        assert_eq!(Diarization::default().speaker_of(0, 100), None);
    }

    #[test]
    fn impossible_counts_are_errors() {
        for (count, min, max) in [
            (Some(0), 1, 20),
            (None, 5, 4),
            (None, 1, 101),
            (Some(101), 1, 20),
            (None, 0, 3),
        ] {
            let options = Options {
                speaker_count: count,
                min_speakers: min,
                max_speakers: max,
                ..Options::default()
            };
            assert!(options.bounds().is_err(), "{options:?}");
        }
    }
}
