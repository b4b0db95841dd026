use std::sync::atomic::AtomicBool;

use crate::adpcm::{self, Adpcm};
use crate::codec::is_adpcm;
use crate::decoder::Decoder;
use crate::mix::Mixer;
use crate::resample::{self, Resampler};
use crate::{Error, Info, Input, Selection};

/// Streams a selection of a file as mono samples, in memory that does not grow with the file.
pub struct Reader<'s> {
    decoder: Decoder<'s>,
    mixer: Mixer,
    /// Where the coding adds noise.
    adpcm: Option<Adpcm>,
    resampler: Resampler,
    selection: Selection,
    /// Source frame that the resampler must see first; it lies on a whole sample.
    first_frame: u64,
    found_start: bool,
    mono: Vec<f32>,
    clean: Vec<f32>,
    /// Samples that wait to be read.
    ready: Vec<f32>,
    /// Samples before the selection, still to drop.
    skip: u64,
    /// Samples of the selection still to come.
    left: u64,
    given: u64,
    ended: bool,
}

impl Reader<'static> {
    /// Opens a file and checks the selection against it.
    pub fn open(input: &Input, selection: &Selection) -> Result<Self, Error> {
        Self::open_with(input, selection, None)
    }
}

impl<'s> Reader<'s> {
    /// As [`Reader::open`], but every read of the input hears `stop`, even in the middle of opening or of a long search for the start.
    pub fn open_with(
        input: &Input,
        selection: &Selection,
        stop: Option<&'s AtomicBool>,
    ) -> Result<Self, Error> {
        let start_ms = selection.start_ms.unwrap_or(0);
        let end_ms = selection.end_ms.unwrap_or(u64::MAX);
        if start_ms >= end_ms {
            return Err(Error::Range { start_ms, end_ms });
        }
        let decoder = Decoder::open(input, stop)?;
        check_length(decoder.info(), start_ms, end_ms, selection.max_duration_ms)?;
        let rate = decoder.info().sample_rate;
        let is_adpcm = is_adpcm(&decoder.info().codec);
        let ahead = if is_adpcm { adpcm::run_up(rate) } else { 0 };
        let wanted = selection.sample_rate;
        let per_ms = u64::from(wanted / 1000);
        let (frame, sample) = first_frame(start_ms, (rate, wanted), ahead);
        Ok(Reader {
            mixer: Mixer::new(selection.channel, decoder.channels(), rate)?,
            adpcm: is_adpcm.then(|| Adpcm::new(rate, frame)),
            resampler: Resampler::between(rate, wanted)?,
            selection: selection.clone(),
            first_frame: frame,
            found_start: frame == 0,
            mono: Vec::new(),
            clean: Vec::new(),
            ready: Vec::new(),
            skip: start_ms.saturating_mul(per_ms).saturating_sub(sample),
            left: (end_ms - start_ms).saturating_mul(per_ms),
            given: 0,
            ended: false,
            decoder,
        })
    }

    /// What the file is.
    pub fn info(&self) -> &Info {
        self.decoder.info()
    }

    /// Encoded bytes read from the input so far.
    pub fn bytes_read(&self) -> u64 {
        self.decoder.bytes_read()
    }

    /// Appends up to `max` samples to `out` and returns how many; 0 means that the selection has ended.
    pub fn read(
        &mut self,
        out: &mut Vec<f32>,
        max: usize,
        stop: &AtomicBool,
    ) -> Result<usize, Error> {
        if !self.found_start {
            self.decoder.advance(self.first_frame, stop)?;
            self.found_start = true;
        }
        while self.ready.len() < max && !self.ended {
            self.step(stop)?;
        }
        let count = self.ready.len().min(max);
        out.extend(self.ready.drain(..count));
        self.given += count as u64;
        let max_ms = self.selection.max_duration_ms;
        let per_ms = u64::from(self.selection.sample_rate / 1000);
        if self.given > max_ms.saturating_mul(per_ms) {
            return Err(Error::TooLong { max_ms });
        }
        Ok(count)
    }

    /// Decodes one packet into `ready`.
    fn step(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let before = self.ready.len();
        match self.decoder.next(stop)? {
            Some(frames) => {
                self.mono.clear();
                self.mixer.mix(frames, &mut self.mono);
                let start = self.decoder.position() - self.mono.len() as u64;
                let early = self
                    .first_frame
                    .saturating_sub(start)
                    .min(self.mono.len() as u64);
                let mono = &self.mono[early as usize..];
                self.clean.clear();
                let clean = match &mut self.adpcm {
                    Some(adpcm) => {
                        adpcm.push(mono, &mut self.clean);
                        &self.clean[..]
                    }
                    None => mono,
                };
                self.resampler.push(clean, &mut self.ready);
            }
            None => {
                if let Some(adpcm) = &mut self.adpcm {
                    self.clean.clear();
                    adpcm.finish(&mut self.clean);
                    self.resampler.push(&self.clean, &mut self.ready);
                }
                self.resampler.finish(&mut self.ready);
                self.ended = true;
            }
        }
        self.select(before);
        if self.ended {
            self.decoder.tell_damage();
        }
        match self.selection.start_ms {
            Some(start_ms)
                if start_ms > 0 && self.ended && self.given == 0 && self.ready.is_empty() =>
            {
                Err(Error::StartBeyondEnd {
                    start_ms,
                    duration_ms: self.length_ms(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Keeps what belongs to the selection of `ready[from..]`.
    fn select(&mut self, from: usize) {
        let fresh = (self.ready.len() - from) as u64;
        let drop = self.skip.min(fresh);
        self.ready.drain(from..from + drop as usize);
        self.skip -= drop;
        let keep = self.left.min(fresh - drop);
        self.ready.truncate(from + keep as usize);
        self.left -= keep;
        self.ended |= self.left == 0;
    }

    /// Length of the audio, as far as it is known at the end.
    fn length_ms(&self) -> u64 {
        let decoded = self.decoder.end().saturating_mul(1000) / u64::from(self.info().sample_rate);
        self.info().duration_ms.unwrap_or(decoded)
    }
}

/// Source frame to start from for a selection from `start_ms`, and the sample it falls on: `ahead` frames and far enough for the
/// resampler's filter, and on the grid where both rates meet, so that the samples are those of the whole file.
fn first_frame(start_ms: u64, (rate, wanted): (u32, u32), ahead: u64) -> (u64, u64) {
    let (frames, samples) = resample::ratio(rate, wanted);
    let start = start_ms.saturating_mul(rate.into()) / 1000;
    let block = resample::block((frames, samples)) as u64;
    let steps = start.saturating_sub(block + ahead) / frames;
    (steps * frames, steps * samples)
}

/// Refuses what the headers already show to be too long.
fn check_length(info: &Info, start_ms: u64, end_ms: u64, max_ms: u64) -> Result<(), Error> {
    let selected = info
        .duration_ms
        .map_or(0, |duration| duration.min(end_ms).saturating_sub(start_ms));
    if selected > max_ms {
        Err(Error::TooLong { max_ms })
    } else {
        Ok(())
    }
}
