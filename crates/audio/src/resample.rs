//! Any sample rate to 16 kHz, in a stream, aligned and of exact length.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::{Error, SAMPLE_RATE};

/// Shortest block, in frames of the slower side: it sets how steep the anti-aliasing filter is.
const MIN_BLOCK: usize = 512;

/// Streaming mono resampler: rubato's linear-phase FFT resampler with its delay removed.
pub(crate) enum Resampler {
    /// The source has 16 kHz already.
    Through,
    /// Any other rate.
    Fft(Box<FftStream>),
}

pub(crate) struct FftStream {
    fft: Fft<f32>,
    from: u64,
    /// Source frames that wait for a full block.
    waiting: Vec<f32>,
    block: Vec<f32>,
    pushed: u64,
    produced: u64,
    /// Output samples of filter delay still to drop.
    delay: usize,
}

/// Numerator and denominator of `rate / 16000` in lowest terms. Source frame `k * step.0` falls exactly on sample `k * step.1`.
pub(crate) fn steps(rate: u32) -> (u64, u64) {
    let (mut a, mut b) = (u64::from(rate), u64::from(SAMPLE_RATE));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (u64::from(rate) / a, u64::from(SAMPLE_RATE) / a)
}

/// Source frames per block: the filter's length. A result is exact this far from where the input starts or stops.
pub(crate) fn block_frames(rate: u32) -> usize {
    let (frames, samples) = steps(rate);
    // An even count keeps the filter's delay (half a block) a whole number of samples.
    let blocks = (MIN_BLOCK as u64)
        .div_ceil(frames.min(samples))
        .next_multiple_of(2);
    (blocks * frames) as usize
}

impl Resampler {
    pub(crate) fn new(rate: u32) -> Result<Self, Error> {
        if rate == SAMPLE_RATE {
            return Ok(Resampler::Through);
        }
        let fft = Fft::new(
            rate as usize,
            SAMPLE_RATE as usize,
            block_frames(rate),
            1,
            FixedSync::Both,
        )
        .map_err(|_| Error::Unsupported {
            format: format!("{rate} Hz"),
        })?;
        Ok(Resampler::Fft(Box::new(FftStream {
            waiting: Vec::with_capacity(fft.input_frames_max()),
            block: vec![0.0; fft.output_frames_max()],
            delay: fft.output_delay(),
            from: u64::from(rate),
            pushed: 0,
            produced: 0,
            fft,
        })))
    }

    /// Takes source frames and appends the 16 kHz samples that are ready.
    pub(crate) fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        match self {
            Resampler::Through => out.extend_from_slice(frames),
            Resampler::Fft(stream) => stream.push(frames, out),
        }
    }

    /// Appends what is still inside; afterwards the total is `ceil(frames * 16000 / rate)`.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) {
        if let Resampler::Fft(stream) = self {
            stream.finish(out);
        }
    }
}

impl FftStream {
    fn push(&mut self, mut frames: &[f32], out: &mut Vec<f32>) {
        self.pushed += frames.len() as u64;
        let block = self.fft.input_frames_next();
        while self.waiting.len() + frames.len() >= block {
            let (now, later) = frames.split_at(block - self.waiting.len());
            self.waiting.extend_from_slice(now);
            self.process(out);
            frames = later;
        }
        self.waiting.extend_from_slice(frames);
    }

    fn finish(&mut self, out: &mut Vec<f32>) {
        let total = (self.pushed * u64::from(SAMPLE_RATE)).div_ceil(self.from);
        while self.produced < total {
            self.waiting.resize(self.fft.input_frames_next(), 0.0);
            self.process(out);
        }
        out.truncate(out.len() - (self.produced - total) as usize);
        self.produced = total;
    }

    /// Resamples one full block of `waiting`.
    fn process(&mut self, out: &mut Vec<f32>) {
        let (frames, samples) = (self.waiting.len(), self.block.len());
        // The sizes are the resampler's own, so neither adapter nor resampler can refuse them.
        let input = InterleavedSlice::new(&self.waiting, 1, frames).expect("one block in");
        let mut output =
            InterleavedSlice::new_mut(&mut self.block, 1, samples).expect("one block out");
        let (_, written) = self
            .fft
            .process_into_buffer(&input, &mut output, None)
            .expect("sizes fit");
        let drop = self.delay.min(written);
        self.delay -= drop;
        self.produced += (written - drop) as u64;
        out.extend_from_slice(&self.block[drop..written]);
        self.waiting.clear();
    }
}
