//! Log-mel spectrogram as Whisper wants it.
//!
//! STFT with a periodic Hann window of 400 samples every 160, centred with reflected edges, last frame dropped; power; mel filters on
//! Slaney's scale with Slaney's area normalisation from 0 to 8 kHz; log10 floored at 1e-10; clamped to 8 below the maximum; `(x + 4) / 4`.
//! Source: `log_mel_spectrogram` in OpenAI's Whisper.

use std::f64::consts::PI;

use crate::SAMPLE_RATE;
use crate::mel::{Filters, ln};
use crate::spectrum::PowerSpectrum;

const FFT: usize = 400;
const HOP: usize = 160;

/// The spectrogram of a given number of mel bins. It keeps its plan and buffers, so reuse one.
pub struct LogMel {
    mels: usize,
    spectrum: PowerSpectrum,
    window: Vec<f32>,
    filters: Filters,
    energies: Vec<f32>,
}

impl LogMel {
    /// `mels` is 80 for Whisper tiny to large-v2 and 128 for large-v3.
    pub fn new(mels: usize) -> Self {
        LogMel {
            mels,
            window: (0..FFT)
                .map(|n| (0.5 - 0.5 * (2.0 * PI * n as f64 / FFT as f64).cos()) as f32)
                .collect(),
            filters: slaney_filters(mels, FFT),
            spectrum: PowerSpectrum::new(FFT),
            energies: vec![0.0; mels],
        }
    }

    /// Frames that `samples` samples give.
    pub fn frames(samples: usize) -> usize {
        samples / HOP
    }

    /// Spectrogram of 16 kHz mono samples, `[mels, samples / 160]` row-major. Pad the samples with zeros to 480 000 (30 s) before for a
    /// Whisper window.
    pub fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        let frames = Self::frames(samples.len());
        let mut out = vec![0.0; self.mels * frames];
        for frame in 0..frames {
            self.window_at(samples, frame);
            self.spectrum.transform();
            self.filters.apply(&self.spectrum.power, &mut self.energies);
            for (mel, energy) in self.energies.iter().enumerate() {
                out[mel * frames + frame] = ln(energy.max(1e-10)) * std::f32::consts::LOG10_E;
            }
        }
        let floor = out.iter().copied().fold(f32::NEG_INFINITY, f32::max) - 8.0;
        for value in &mut out {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        out
    }

    /// Windowed samples around `frame * HOP` into the frame; beyond the edges the signal is mirrored.
    fn window_at(&mut self, samples: &[f32], frame: usize) {
        let first = (frame * HOP) as isize - (FFT / 2) as isize;
        if let Some(inside) = usize::try_from(first)
            .ok()
            .and_then(|first| samples.get(first..first + FFT))
        {
            for ((out, sample), weight) in
                self.spectrum.frame.iter_mut().zip(inside).zip(&self.window)
            {
                *out = sample * weight;
            }
            return;
        }
        for (n, (out, weight)) in self.spectrum.frame.iter_mut().zip(&self.window).enumerate() {
            *out = samples[mirror(first + n as isize, samples.len())] * weight;
        }
    }
}

/// Index with reflection that does not repeat the edge sample, however short the signal is.
fn mirror(index: isize, len: usize) -> usize {
    if len == 1 {
        return 0;
    }
    let period = 2 * (len - 1);
    let at = index.rem_euclid(period as isize) as usize;
    at.min(period - at)
}

/// Slaney's mel filters (librosa's default): linear below 1 kHz, logarithmic above, each triangle with the area 1.
pub(crate) fn slaney_filters(mels: usize, fft: usize) -> Filters {
    const BREAK_HZ: f64 = 1000.0;
    const LINEAR: f64 = 200.0 / 3.0;
    let log_step = 6.4f64.ln() / 27.0;
    let break_mel = BREAK_HZ / LINEAR;
    let hz = |mel: f64| {
        if mel < break_mel {
            mel * LINEAR
        } else {
            BREAK_HZ * ((mel - break_mel) * log_step).exp()
        }
    };
    let nyquist = f64::from(SAMPLE_RATE) / 2.0;
    let top = break_mel + (nyquist / BREAK_HZ).ln() / log_step;
    let edges: Vec<f64> = (0..mels + 2)
        .map(|n| hz(top * n as f64 / (mels + 1) as f64))
        .collect();
    Filters::new(mels, fft / 2 + 1, |filter, bin| {
        let at = bin as f64 * f64::from(SAMPLE_RATE) / fft as f64;
        let (left, centre, right) = (edges[filter], edges[filter + 1], edges[filter + 2]);
        ((at - left) / (centre - left)).min((right - at) / (right - centre)) * 2.0 / (right - left)
    })
}
