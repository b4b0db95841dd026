//! From a recording to who spoke when in it: all stages in order.

use onnx::Cancel;
use vad::Vad;
use voice::embed::SpeakerModel;

use crate::clustering;
use crate::diarization::Diarization;
use crate::evidence::Evidence;
use crate::listen::{self, Heard};
use crate::measured::Measured;
use crate::segmentation::Segmentation;
use crate::strangers::{self, Brief, PIECE};
use crate::turns::{self, Shape, Turn};
use crate::windows::{self, LENGTH, Window};
use crate::{Error, Options, assignment, profiles, reconstruct, voices};
use audio::recording::Recording;

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
    /// [`Error::Invalid`] for impossible options, [`Error::Onnx`] when cancelled, and those of the recording and the networks.
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
        let windows = windows::inside(&speech, &heard.changes(), heard.samples);
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
        let windows = windows::inside(&heard.speech, &[], heard.samples);
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
    let mut of_frame = reconstruct::frames(heard, counts, &votes, evidence);
    reconstruct::drop_unheard(&mut of_frame, &heard.speech);
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
}
