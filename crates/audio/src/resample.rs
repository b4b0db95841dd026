//! Any sample rate to any other one, in a stream, aligned and of exact length.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

use crate::Error;

/// Shortest block, in frames of the slower side: it sets how steep the anti-aliasing filter is.
const MIN_BLOCK: usize = 512;

/// The largest number in a ratio of rates; it bounds the filter's memory.
const MAX_STEP: u64 = 16_384;

/// Streaming mono resampler: rubato's linear-phase FFT resampler with its delay removed.
pub enum Resampler {
    /// The source has the wanted rate already.
    Through,
    /// Any other rate.
    Fft(Box<FftStream>),
}

/// A resampling on its way.
pub struct FftStream {
    fft: Fft<f32>,
    /// The ratio of the rates.
    from: u64,
    to: u64,
    /// Source frames that wait for a full block.
    waiting: Vec<f32>,
    block: Vec<f32>,
    pushed: u64,
    produced: u64,
    /// Output samples of filter delay still to drop.
    delay: usize,
}

/// `from / to` in lowest terms: source frame `k * ratio.0` falls exactly on sample `k * ratio.1`.
///
/// An odd rate such as 44 099 Hz would need filters of a second and more. It is taken for the nearest ratio of small numbers, by its
/// continued fraction: off by less than a quarter of a second per hour.
pub(crate) fn ratio(from: u32, to: u32) -> (u64, u64) {
    let (mut a, mut b) = (u64::from(from), u64::from(to));
    let (mut previous, mut best) = ((0, 1), (1, 0));
    while b != 0 {
        let whole = a / b;
        let next = (whole * best.0 + previous.0, whole * best.1 + previous.1);
        if next.0.max(next.1) > MAX_STEP {
            break;
        }
        (previous, best) = (best, next);
        (a, b) = (b, a % b);
    }
    best
}

/// Source frames per block: the filter's length. A result is exact this far from where the input starts or stops.
pub(crate) fn block((frames, samples): (u64, u64)) -> usize {
    // An even count keeps the filter's delay (half a block) a whole number of samples.
    let blocks = (MIN_BLOCK as u64)
        .div_ceil(frames.min(samples))
        .next_multiple_of(2);
    (blocks * frames) as usize
}

impl Resampler {
    /// From any rate to any other, Hz.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for rates that cannot be.
    pub fn between(rate: u32, wanted: u32) -> Result<Self, Error> {
        if rate == wanted {
            return Ok(Resampler::Through);
        }
        let (from, to) = ratio(rate, wanted);
        let fft = Fft::new(
            from as usize,
            to as usize,
            block((from, to)),
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
            from,
            to,
            pushed: 0,
            produced: 0,
            fft,
        })))
    }

    /// Takes source frames and appends the samples that are ready.
    pub fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        match self {
            Resampler::Through => out.extend_from_slice(frames),
            Resampler::Fft(stream) => stream.push(frames, out),
        }
    }

    /// Appends what is still inside; afterwards the total is `ceil(frames * wanted / rate)`.
    pub fn finish(&mut self, out: &mut Vec<f32>) {
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
        let total = (self.pushed * self.to).div_ceil(self.from);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SAMPLE_RATE;

    const RATES: [u32; 11] = [
        4_000, 8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 384_000,
    ];

    fn sine(hz: f64, rate: u32, count: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        (0..count)
            .map(|n| (0.5 * (step * n as f64).sin()) as f32)
            .collect()
    }

    fn resampled(input: &[f32], rate: u32, chunk: usize) -> Vec<f32> {
        let (mut resampler, mut out) = (Resampler::between(rate, SAMPLE_RATE).unwrap(), Vec::new());
        for frames in input.chunks(chunk) {
            resampler.push(frames, &mut out);
        }
        resampler.finish(&mut out);
        out
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_level_and_its_place() {
        for rate in RATES {
            let got = resampled(&sine(1000.0, rate, rate as usize), rate, 1000);
            let wanted = sine(1000.0, SAMPLE_RATE, 16_000);
            assert_eq!(got.len(), 16_000, "{rate} Hz");
            // The tone starts and stops at once, which no band-limited signal can: leave the edges out.
            let inside = 1000..15_000;
            let error: Vec<f32> = inside.clone().map(|n| got[n] - wanted[n]).collect();
            assert!(
                rms(&error) < 0.5e-3 * rms(&wanted),
                "{rate} Hz: {}",
                rms(&error)
            );
            assert!(
                got.iter().all(|sample| sample.abs() < 0.6),
                "{rate} Hz: overshoot at an edge"
            );
        }
    }

    #[test]
    fn odd_rates_stay_small_and_true() {
        assert_eq!(ratio(44_100, SAMPLE_RATE), (441, 160));
        for rate in [1_013, 15_999, 22_255, 44_099, 47_951, 191_999, 767_957] {
            let (from, to) = ratio(rate, SAMPLE_RATE);
            let drift = (from as f64 / to as f64) / (f64::from(rate) / 16_000.0) - 1.0;
            assert!(drift.abs() < 0.25 / 3600.0, "{rate} Hz: {drift}");
            assert!(block((from, to)) <= 40_000);
        }
        let got = resampled(&sine(1000.0, 44_099, 44_099), 44_099, 4096);
        let wanted = sine(1000.0, SAMPLE_RATE, 16_000);
        let error: Vec<f32> = (2000..14_000).map(|n| got[n] - wanted[n]).collect();
        assert!(rms(&error) < 1e-3);
    }

    #[test]
    fn tones_above_8_khz_do_not_fold_back() {
        for (rate, hz) in [
            (22_050, 9_500.0),
            (44_100, 8_700.0),
            (48_000, 12_000.0),
            (96_000, 40_000.0),
        ] {
            let got = resampled(&sine(hz, rate, rate as usize), rate, 4096);
            assert!(
                rms(&got[1000..15_000]) < 1e-4,
                "{hz} Hz at {rate} Hz: {}",
                rms(&got[1000..15_000])
            );
        }
    }

    #[test]
    fn speech_band_is_flat() {
        for hz in [100.0, 3000.0, 6000.0, 7400.0] {
            let got = resampled(&sine(hz, 48_000, 48_000), 48_000, 777);
            let level = rms(&got[1000..15_000]) / (0.5 * std::f32::consts::FRAC_1_SQRT_2);
            assert!((level - 1.0).abs() < 0.01, "{hz} Hz: {level}");
        }
    }

    #[test]
    fn chunk_size_does_not_matter_and_length_is_exact() {
        for rate in RATES {
            for count in [0, 1, 2, 999, 12_345] {
                let input = sine(440.0, rate, count);
                let whole = resampled(&input, rate, 1 << 20);
                assert_eq!(
                    whole.len() as u64,
                    (count as u64 * 16_000).div_ceil(rate.into())
                );
                assert!(
                    whole == resampled(&input, rate, 100),
                    "{rate} Hz, {count} frames"
                );
            }
        }
    }
}
