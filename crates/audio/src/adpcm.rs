//! Takes off the noise that ADPCM adds.
//!
//! Four bits a sample leave noise about 20 dB below speech, as strong in the upper bands as in the lower, so that it covers
//! what little speech has there, and a voiceprint hears mostly noise. How strong it is follows from the coding: its steps
//! are sized after the change from sample to sample. So in each short window it is taken off each band's power, with a gain
//! that is smoothed over time (decision-directed, Ephraim and Malah 1984).

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Power of the noise by that of the differences of successive samples. Measured on IMA and MS ADPCM of 12 voices: 0.012 to
/// 0.032.
const NOISE: f32 = 0.015;
/// Least gain, power.
const FLOOR: f32 = 0.01;
/// How much of the last window's signal-to-noise ratio stays.
const KEEP: f32 = 0.9;
/// Windows after which nothing is left of what came before them (-60 dB).
const MEMORY: u64 = 64;
/// Windows per second.
const WINDOWS: u32 = 125;
/// How often windows overlap.
const OVERLAP: usize = 4;

pub(crate) struct Adpcm {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// Square root of a Hann window.
    window: Vec<f32>,
    hop: usize,
    /// The last samples.
    heard: Vec<f32>,
    /// Sums of overlapping windows.
    sums: Vec<f32>,
    frame: Vec<f32>,
    spectrum: Vec<Complex32>,
    /// Signal-to-noise ratio that the last window had, by band.
    ratios: Vec<f32>,
    waiting: Vec<f32>,
    /// Samples of delay still to drop.
    drop: usize,
    /// Samples that went in and have not come out.
    owed: usize,
}

/// Samples from window to window.
fn hop(rate: u32) -> usize {
    rate.div_ceil(WINDOWS).next_multiple_of(2) as usize
}

/// Samples to hear ahead so that the result is that of the whole recording.
pub(crate) fn run_up(rate: u32) -> u64 {
    MEMORY * hop(rate) as u64
}

impl Adpcm {
    /// For a recording at `rate` that is heard from sample `first` on: windows lie at the same samples wherever one begins.
    pub(crate) fn new(rate: u32, first: u64) -> Self {
        let hop = hop(rate);
        let length = OVERLAP * hop;
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(length);
        let into = (first % hop as u64) as usize;
        let turn = |n: usize| std::f32::consts::PI * n as f32 / length as f32;
        Adpcm {
            inverse: planner.plan_fft_inverse(length),
            window: (0..length).map(|n| turn(n).sin()).collect(),
            hop,
            heard: vec![0.0; length],
            sums: vec![0.0; length],
            frame: forward.make_input_vec(),
            spectrum: forward.make_output_vec(),
            ratios: vec![0.0; length / 2 + 1],
            waiting: vec![0.0; into],
            drop: length - hop + into,
            owed: 0,
            forward,
        }
    }

    /// Takes samples, and appends those that are done.
    pub(crate) fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.owed += samples.len();
        self.waiting.extend_from_slice(samples);
        let whole = self.waiting.len() / self.hop * self.hop;
        let waiting = std::mem::take(&mut self.waiting);
        for fresh in waiting[..whole].chunks_exact(self.hop) {
            self.step(fresh, out);
        }
        self.waiting.extend_from_slice(&waiting[whole..]);
    }

    /// Appends the rest.
    pub(crate) fn finish(&mut self, out: &mut Vec<f32>) {
        let (end, owed) = (out.len() + self.owed, self.owed);
        self.push(&vec![0.0; (OVERLAP + 1) * self.hop], out);
        debug_assert!(out.len() >= end, "{owed} samples are owed");
        out.truncate(end);
        self.owed = 0;
    }

    fn step(&mut self, fresh: &[f32], out: &mut Vec<f32>) {
        let kept = self.heard.len() - self.hop;
        self.heard.copy_within(self.hop.., 0);
        self.heard[kept..].copy_from_slice(fresh);
        for ((x, heard), window) in self.frame.iter_mut().zip(&self.heard).zip(&self.window) {
            *x = heard * window;
        }
        let changes = self.heard.windows(2).map(|pair| pair[1] - pair[0]);
        let changes = changes.zip(&self.window[1..]).map(|(c, w)| (c * w).powi(2));
        let noise = NOISE * changes.sum::<f32>() + f32::MIN_POSITIVE;
        self.forward
            .process(&mut self.frame, &mut self.spectrum)
            .expect("buffers of the plan's length");
        for (band, ratio) in self.spectrum.iter_mut().zip(&mut self.ratios) {
            let now = band.norm_sqr() / noise;
            let signal = KEEP * *ratio + (1.0 - KEEP) * (now - 1.0).max(0.0);
            let gain = (signal / (1.0 + signal)).max(FLOOR);
            *ratio = gain * now;
            *band *= gain.sqrt();
        }
        self.inverse
            .process(&mut self.spectrum, &mut self.frame)
            .expect("the first and the last band stay real");
        // Squared windows add up to half their overlap; the inverse transform is not scaled.
        let scale = 2.0 / (OVERLAP * self.frame.len()) as f32;
        for ((sum, x), window) in self.sums.iter_mut().zip(&self.frame).zip(&self.window) {
            *sum += x * window * scale;
        }
        let drop = self.drop.min(self.hop);
        self.drop -= drop;
        let done = self.hop - drop;
        self.owed = self.owed.saturating_sub(done);
        out.extend_from_slice(&self.sums[drop..self.hop]);
        self.sums.copy_within(self.hop.., 0);
        self.sums[kept..].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(signal: &[f32], pieces: usize, first: u64) -> Vec<f32> {
        let (mut adpcm, mut out) = (Adpcm::new(16_000, first), Vec::new());
        for piece in signal.chunks(pieces) {
            adpcm.push(piece, &mut out);
        }
        adpcm.finish(&mut out);
        out
    }

    fn power(signal: impl Iterator<Item = f32>) -> f32 {
        signal.map(|x| x * x).sum()
    }

    fn error(a: &[f32], b: &[f32]) -> f32 {
        power(a.iter().zip(b).map(|(a, b)| a - b)) / power(a.iter().copied())
    }

    /// Numbers without a pattern, in [-1, 1].
    fn noise(n: usize) -> f32 {
        let z = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1u64 << 23) as f32
            - 1.0
    }

    fn tone(n: usize) -> f32 {
        0.3 * (n as f32 * 0.08).sin()
    }

    #[test]
    fn a_clear_tone_stays_in_its_place() {
        let signal: Vec<f32> = (0..16_001).map(tone).collect();
        let out = clean(&signal, 16_001, 0);
        assert_eq!(out.len(), signal.len());
        assert!(error(&signal[500..15_500], &out[500..15_500]) < 1e-3);
    }

    #[test]
    fn noise_as_strong_as_that_of_the_coding_is_weakened() {
        // Differences of the tone have 0.0032 of its power, and those of the noise twice the noise's.
        let tones: Vec<f32> = (0..32_000).map(tone).collect();
        let noisy: Vec<f32> = tones
            .iter()
            .enumerate()
            .map(|(n, x)| x + 0.003 * noise(n))
            .collect();
        let out = clean(&noisy, 32_000, 0);
        let (before, after) = (
            error(&tones[1000..], &noisy[1000..]),
            error(&tones[1000..], &out[1000..]),
        );
        assert!(after < before / 3.0, "{before} to {after}");
    }

    #[test]
    fn pieces_make_no_difference() {
        let signal: Vec<f32> = (0..5_000).map(|n| tone(n) + 0.01 * noise(n)).collect();
        let whole = clean(&signal, 5_000, 0);
        for pieces in [1, 127, 128, 1000] {
            assert_eq!(clean(&signal, pieces, 0), whole);
        }
        for length in [0, 1, 127, 129] {
            assert_eq!(clean(&signal[..length], 50, 0).len(), length);
        }
    }

    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let signal: Vec<f32> = (0..40_000).map(|n| tone(n) + 0.01 * noise(n)).collect();
        let whole = clean(&signal, 777, 0);
        let first = 12_345;
        let part = clean(&signal[first..], 500, first as u64);
        let ahead = run_up(16_000) as usize;
        assert!(error(&whole[first + ahead..], &part[ahead..]) < 1e-6);
    }

    #[test]
    fn silence_is_silent() {
        assert_eq!(clean(&[0.0; 1000], 1000, 0), [0.0; 1000]);
    }
}
