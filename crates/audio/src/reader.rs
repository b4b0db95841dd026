use std::sync::atomic::AtomicBool;

use crate::decoder::Decoder;
use crate::mix::Mixer;
use crate::resample::Resampler;
use crate::{Error, Info, Input, SAMPLE_RATE, Selection};

const SAMPLES_PER_MS: u64 = SAMPLE_RATE as u64 / 1000;

/// Streams a selection of a file as mono samples at 16 kHz, in memory that does not grow with the file.
pub struct Reader<'s> {
    decoder: Decoder<'s>,
    mixer: Mixer,
    resampler: Resampler,
    mono: Vec<f32>,
    /// Samples that wait to be read.
    ready: Vec<f32>,
    /// Samples before the selection, still to drop.
    skip: u64,
    /// Samples of the selection still to come.
    left: u64,
    start_ms: u64,
    max_ms: u64,
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
    /// As [`Reader::open`], but reading stops with [`Error::Cancelled`] as soon as `stop` is set, even in the middle of a long search for
    /// the start.
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
        let rate = decoder.info().sample_rate;
        Ok(Reader {
            mixer: Mixer::new(selection.channel, decoder.channels(), rate)?,
            resampler: Resampler::new(rate)?,
            mono: Vec::new(),
            ready: Vec::new(),
            skip: start_ms.saturating_mul(SAMPLES_PER_MS),
            left: (end_ms - start_ms).saturating_mul(SAMPLES_PER_MS),
            start_ms,
            max_ms: selection.max_duration_ms,
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
        while self.ready.len() < max && !self.ended {
            self.step(stop)?;
        }
        let count = self.ready.len().min(max);
        out.extend(self.ready.drain(..count));
        self.given += count as u64;
        if self.given > self.max_ms.saturating_mul(SAMPLES_PER_MS) {
            return Err(Error::TooLong {
                max_ms: self.max_ms,
            });
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
                self.resampler.push(&self.mono, &mut self.ready);
            }
            None => {
                self.resampler.finish(&mut self.ready);
                self.ended = true;
            }
        }
        let fresh = (self.ready.len() - before) as u64;
        let drop = self.skip.min(fresh) as usize;
        self.ready.drain(before..before + drop);
        self.skip -= drop as u64;
        let keep = self.left.min(fresh - drop as u64) as usize;
        self.ready.truncate(before + keep);
        self.left -= keep as u64;
        self.ended |= self.left == 0;
        if self.ended && self.skip > 0 && self.start_ms > 0 {
            let length = self.start_ms.saturating_sub(self.skip / SAMPLES_PER_MS);
            return Err(Error::StartBeyondEnd {
                start_ms: self.start_ms,
                duration_ms: length,
            });
        }
        Ok(())
    }
}
