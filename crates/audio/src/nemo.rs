//! Features of NeMo's networks (TitaNet, SpeakerNet, Conformer): mel spectra, as a rule each bin of mean 0 and deviation 1 over time.
//!
//! Pre-emphasis 0.97 over the whole signal, an STFT of 512 with a symmetric Hann window of 400 samples every 160, centred with zeros
//! beyond the edges, power, Slaney's mel filters from 0 to 8 kHz, natural log of what is 2^-24 more; then each bin's mean over time is
//! subtracted and the rest divided by its deviation and 1e-5. No dither. Source: `FilterbankFeatures` in NVIDIA NeMo.

use std::f64::consts::PI;

use crate::logmel::slaney_filters;
use crate::mel::{Filters, ln};
use crate::spectrum::PowerSpectrum;

const WINDOW: usize = 400;
const HOP: usize = 160;
const FFT: usize = 512;
const PRE_EMPHASIS: f32 = 0.97;
/// 2^-24.
const GUARD: f32 = 5.960_464_5e-8;

/// The feature extractor. It keeps its plan and buffers, so reuse one.
pub struct Nemo {
    mels: usize,
    normalised: bool,
    spectrum: PowerSpectrum,
    window: Vec<f32>,
    filters: Filters,
}

impl Nemo {
    /// For so many mel bins: 80 as a rule, 64 or 128 in some networks.
    pub fn new(mels: usize) -> Self {
        Nemo {
            mels,
            normalised: true,
            window: (0..WINDOW)
                .map(|n| (0.5 - 0.5 * (2.0 * PI * n as f64 / (WINDOW - 1) as f64).cos()) as f32)
                .collect(),
            filters: slaney_filters(mels, FFT),
            spectrum: PowerSpectrum::new(FFT),
        }
    }

    /// Without means and deviations, as networks take them that hear a stream (`normalize: NA`).
    pub fn unnormalised(self) -> Self {
        Nemo {
            normalised: false,
            ..self
        }
    }

    /// Frames that `samples` samples at 16 kHz give.
    pub fn frames(samples: usize) -> usize {
        samples / HOP
    }

    /// Features of a whole utterance of 16 kHz mono samples in [-1, 1]: [`Nemo::frames`] x mel bins, row-major.
    pub fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        let mut features = vec![0.0; Self::frames(samples.len()) * self.mels];
        for (row, centre) in features.chunks_exact_mut(self.mels).zip((0..).step_by(HOP)) {
            self.spectrum_around(samples, centre);
            self.filters.apply(&self.spectrum.power, row);
            for value in row {
                *value = ln(*value + GUARD);
            }
        }
        if self.normalised {
            normalise(&mut features, self.mels);
        }
        features
    }

    /// Power spectrum of the window around a sample into `self.spectrum`.
    fn spectrum_around(&mut self, samples: &[f32], centre: usize) {
        // Where the window lies within the FFT's length turns phases only.
        for (n, (out, weight)) in self.spectrum.frame.iter_mut().zip(&self.window).enumerate() {
            let at = (centre + n).checked_sub(WINDOW / 2);
            let sample = at.and_then(|at| samples.get(at));
            let before = at.and_then(|at| samples.get(at.checked_sub(1)?));
            *out = sample.map_or(0.0, |x| x - PRE_EMPHASIS * before.unwrap_or(&0.0)) * weight;
        }
        self.spectrum.frame[WINDOW..].fill(0.0);
        self.spectrum.transform();
    }
}

/// Gives each column mean 0 and deviation 1.
fn normalise(features: &mut [f32], mels: usize) {
    let frames = (features.len() / mels).max(1) as f64;
    for bin in 0..mels {
        let column = || features.iter().skip(bin).step_by(mels);
        let mean = column().map(|x| f64::from(*x)).sum::<f64>() / frames;
        let squares = column().map(|x| (f64::from(*x) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / (frames - 1.0).max(1.0)).sqrt() + 1e-5;
        for value in features.iter_mut().skip(bin).step_by(mels) {
            *value = ((f64::from(*value) - mean) / deviation) as f32;
        }
    }
}
