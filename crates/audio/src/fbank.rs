//! Kaldi filter-bank features, exactly as CAM++ and FunASR's models were trained on them.
//!
//! 80 mel bins from 20 Hz to 8 kHz, a 25 ms window every 10 ms, DC removed, pre-emphasis 0.97, FFT of 512, power spectrum,
//! natural log floored at the smallest positive `f32` step, no dither, no energy, only whole windows (`snip_edges`). CAM++ takes
//! a Povey window, and the mean over time of each bin is subtracted (3D-Speaker's `processor.py`); SenseVoice and Paraformer take
//! a Hamming window of samples in 16 bits (FunASR's `WavFrontend`). Source: Kaldi's `feature-fbank`.

use std::f64::consts::PI;

use crate::SAMPLE_RATE;
use crate::mel::{Filters, ln};
use crate::spectrum::PowerSpectrum;

/// Mel bins per frame.
pub const BINS: usize = 80;
const WINDOW: usize = 400;
const SHIFT: usize = 160;
const FFT: usize = 512;
const PRE_EMPHASIS: f32 = 0.97;
const LOW_HZ: f64 = 20.0;

/// Frames that `samples` samples at 16 kHz give: one for each whole 25 ms window, every 10 ms.
pub fn frames(samples: usize) -> usize {
    if samples < WINDOW {
        0
    } else {
        1 + (samples - WINDOW) / SHIFT
    }
}

/// How the samples of a frame are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Kaldi's own: Hann's to the power of 0.85.
    Povey,
    /// Hamming's.
    Hamming,
}

impl Window {
    fn weight(self, n: usize) -> f64 {
        let cosine = (2.0 * PI * n as f64 / (WINDOW - 1) as f64).cos();
        match self {
            Window::Povey => (0.5 - 0.5 * cosine).powf(0.85),
            Window::Hamming => 0.54 - 0.46 * cosine,
        }
    }
}

/// The feature extractor. It keeps its plan and buffers, so reuse one.
pub struct Fbank {
    spectrum: PowerSpectrum,
    window: Vec<f32>,
    filters: Filters,
}

impl Default for Fbank {
    fn default() -> Self {
        Self::new()
    }
}

impl Fbank {
    /// Plans the FFT and lays out window and filters, as CAM++ takes them.
    pub fn new() -> Self {
        Self::with(Window::Povey, 1.0)
    }

    /// The same with a window, for samples that are multiplied by `scale` first: 32768 for models of samples in 16 bits.
    pub fn with(window: Window, scale: f32) -> Self {
        Fbank {
            // All before the window is linear, so it can scale, too.
            window: (0..WINDOW)
                .map(|n| window.weight(n) as f32 * scale)
                .collect(),
            filters: kaldi_filters(),
            spectrum: PowerSpectrum::new(FFT),
        }
    }

    /// Features of a whole utterance of 16 kHz mono samples in [-1, 1]: [`frames`] x [`BINS`], row-major, each bin's mean over
    /// time subtracted. Fewer than 400 samples (25 ms) give no frame.
    pub fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        self.compute_with_power(samples).0
    }

    /// As [`Fbank::compute`], and the mean over time of each bin's power, which is not floored.
    pub fn compute_with_power(&mut self, samples: &[f32]) -> (Vec<f32>, [f64; BINS]) {
        let (mut features, power) = self.log_power(samples);
        subtract_mean(&mut features);
        let frames = frames(samples.len()).max(1) as f64;
        (features, power.map(|power| power / frames))
    }

    /// As [`Fbank::compute`], without subtracting a mean.
    pub fn compute_log(&mut self, samples: &[f32]) -> Vec<f32> {
        self.log_power(samples).0
    }

    /// Logarithms of each frame's power in each bin, and the sum of that power over time.
    fn log_power(&mut self, samples: &[f32]) -> (Vec<f32>, [f64; BINS]) {
        let mut features = vec![0.0; frames(samples.len()) * BINS];
        let mut power = [0.0; BINS];
        for (row, start) in features.chunks_exact_mut(BINS).zip((0..).step_by(SHIFT)) {
            self.spectrum_of(&samples[start..start + WINDOW]);
            self.filters.apply(&self.spectrum.power, row);
            for (value, power) in row.iter_mut().zip(&mut power) {
                *power += f64::from(*value);
                *value = ln(value.max(f32::EPSILON));
            }
        }
        (features, power)
    }

    /// Power that a frame of white noise of variance 1 has in each bin.
    pub fn white_noise(&self) -> [f64; BINS] {
        let window: f32 = self.window.iter().map(|w| w * w).sum();
        let emphasis = |bin: usize| {
            let turn = 2.0 * PI * bin as f64 / FFT as f64;
            1.0 + PRE_EMPHASIS * PRE_EMPHASIS - 2.0 * PRE_EMPHASIS * turn.cos() as f32
        };
        let spectrum: Vec<f32> = (0..=FFT / 2).map(|bin| window * emphasis(bin)).collect();
        let mut bins = [0.0; BINS];
        self.filters.apply(&spectrum, &mut bins);
        bins.map(f64::from)
    }

    /// Power spectrum of one window into `self.spectrum`.
    fn spectrum_of(&mut self, samples: &[f32]) {
        let mean = samples.iter().sum::<f32>() / WINDOW as f32;
        let mut previous = samples[0] - mean;
        for ((out, &sample), &weight) in self
            .spectrum
            .frame
            .iter_mut()
            .zip(samples)
            .zip(&self.window)
        {
            let centred = sample - mean;
            *out = (centred - PRE_EMPHASIS * previous) * weight;
            previous = centred;
        }
        self.spectrum.frame[WINDOW..].fill(0.0);
        self.spectrum.transform();
    }
}

/// Kaldi's triangles: equally spaced on its mel scale, straight in mel (not in Hz), unnormalised, without the Nyquist bin.
fn kaldi_filters() -> Filters {
    let mel = |hz: f64| 1127.0 * (1.0 + hz / 700.0).ln();
    let nyquist = f64::from(SAMPLE_RATE) / 2.0;
    let low = mel(LOW_HZ);
    let step = (mel(nyquist) - low) / (BINS + 1) as f64;
    Filters::new(BINS, FFT / 2, |filter, bin| {
        let at =
            (mel(bin as f64 * f64::from(SAMPLE_RATE) / FFT as f64) - low) / step - filter as f64;
        at.min(2.0 - at)
    })
}

/// Subtracts each bin's mean over time from features of [`BINS`] a row.
pub fn subtract_mean(features: &mut [f32]) {
    let mut sums = [0.0f64; BINS];
    for row in features.chunks_exact(BINS) {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value);
        }
    }
    let frames = (features.len() / BINS).max(1) as f64;
    let means = sums.map(|sum| (sum / frames) as f32);
    for row in features.chunks_exact_mut(BINS) {
        for (value, mean) in row.iter_mut().zip(&means) {
            *value -= mean;
        }
    }
}
