//! DeepFilterNet3 (Schröter et al. 2023, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement"), its three published
//! graphs as one (`models/convert_deepfilternet.py`). It takes the levels of 32 bands of equal width to the ear (ERB, Glasberg & Moore
//! 1990) and the lower spectrum, each normalised by its own past; it gives a gain for every band and, for the lower spectrum, a filter
//! over five frames. The numbers are those of its `config.ini`, the normalisation that of its library.

use std::f64::consts::FRAC_PI_2;

use onnx::{Cancel, Error};
use realfft::num_complex::Complex;

use crate::graph::Graph;
use crate::{Network, Transform};

pub const INPUTS: &[&str] = &["erb", "spec"];
pub const OUTPUTS: &[&str] = &["mask", "coefs"];
pub const SAMPLE_RATE: u32 = 48_000;
/// Frames that the network looks ahead.
pub const LOOKAHEAD: usize = 2;
const WINDOW: usize = 960;
const BINS: usize = WINDOW / 2 + 1;
const BANDS: usize = 32;
/// Fewest frequencies of a band.
const NARROWEST: usize = 2;
/// Frequencies that are filtered over time.
const FILTERED: usize = 96;
/// Frames that a filter takes.
const ORDER: usize = 5;
/// Share of the past in a running mean: exp(-hop / 1 s), in two digits.
const PAST: f32 = 0.99;
/// Where the running means begin, for the first and the last band in dB, and for the first and the last frequency.
const LEVELS: [f32; 2] = [-60.0, -90.0];
const MAGNITUDES: [f32; 2] = [0.001, 0.0001];
/// A level's deviation in dB that counts as 1.
const SPREAD: f32 = 40.0;

/// The window of Vorbis.
pub fn transform() -> Transform {
    let window = |i: usize| {
        let sine = (FRAC_PI_2 * (i as f64 + 0.5) / (WINDOW / 2) as f64).sin();
        (FRAC_PI_2 * sine * sine).sin() as f32
    };
    Transform::new((0..WINDOW).map(window).collect(), 1.0 / WINDOW as f32)
}

pub struct DeepFilterNet {
    graph: Graph,
    /// Frequencies of each band.
    bands: [usize; BANDS],
    levels: Vec<f32>,
    magnitudes: Vec<f32>,
    /// The spectra that the next filters reach back to.
    past: Vec<Complex<f32>>,
}

impl DeepFilterNet {
    pub fn new(graph: Graph) -> Self {
        Self {
            graph,
            bands: bands(),
            levels: Vec::new(),
            magnitudes: Vec::new(),
            past: Vec::new(),
        }
    }

    /// `[frames, BANDS]`.
    fn erb(&mut self, spectra: &[Complex<f32>]) -> Vec<f32> {
        let mut features = Vec::with_capacity(spectra.len() / BINS * BANDS);
        for mut bins in spectra.chunks_exact(BINS) {
            for (&width, mean) in self.bands.iter().zip(&mut self.levels) {
                let (band, rest) = bins.split_at(width);
                let power = band.iter().map(Complex::norm_sqr).sum::<f32>() / width as f32;
                let level = 10.0 * (power + 1e-10).log10();
                *mean = level * (1.0 - PAST) + *mean * PAST;
                features.push((level - *mean) / SPREAD);
                bins = rest;
            }
        }
        features
    }

    /// `[2, frames, FILTERED]`.
    fn spec(&mut self, spectra: &[Complex<f32>]) -> Vec<f32> {
        let half = spectra.len() / BINS * FILTERED;
        let mut features = vec![0.0; half * 2];
        let (real, imaginary) = features.split_at_mut(half);
        let rows = real
            .chunks_exact_mut(FILTERED)
            .zip(imaginary.chunks_exact_mut(FILTERED));
        for (bins, (re, im)) in spectra.chunks_exact(BINS).zip(rows) {
            for (k, mean) in self.magnitudes.iter_mut().enumerate() {
                *mean = bins[k].norm() * (1.0 - PAST) + *mean * PAST;
                let scale = mean.sqrt().recip();
                (re[k], im[k]) = (bins[k].re * scale, bins[k].im * scale);
            }
        }
        features
    }
}

impl Network for DeepFilterNet {
    fn begin(&mut self) {
        self.graph.begin();
        self.levels = line(LEVELS, BANDS);
        self.magnitudes = line(MAGNITUDES, FILTERED);
        self.past = vec![Complex::default(); (ORDER - 1) * BINS];
    }

    fn voice(
        &mut self,
        spectra: Vec<Complex<f32>>,
        cancel: &Cancel,
    ) -> Result<Vec<Complex<f32>>, Error> {
        let frames = spectra.len() / BINS;
        let (erb, spec) = (self.erb(&spectra), self.spec(&spectra));
        let data = [
            (vec![1, 1, frames, BANDS], erb.as_slice()),
            (vec![1, 2, frames, FILTERED], spec.as_slice()),
        ];
        let lengths = [frames * BANDS, frames * FILTERED * ORDER * 2];
        let [mask, coefs] = self.graph.run(&data, lengths, cancel)?;
        // What is given is LOOKAHEAD behind what was taken, in the middle of the frames that its filter takes.
        self.past.extend(spectra);
        let mut voice = self.past[(ORDER - 1 - LOOKAHEAD) * BINS..][..frames * BINS].to_vec();
        for (t, bins) in voice.chunks_exact_mut(BINS).enumerate() {
            let gains = &mask[t * BANDS..][..BANDS];
            let mut rest = &mut bins[..];
            for (&width, gain) in self.bands.iter().zip(gains) {
                let (band, after) = rest.split_at_mut(width);
                band.iter_mut().for_each(|bin| *bin *= gain);
                rest = after;
            }
            let filters = &coefs[t * FILTERED * ORDER * 2..][..FILTERED * ORDER * 2];
            for (k, filter) in filters.chunks_exact(ORDER * 2).enumerate() {
                bins[k] = (0..ORDER)
                    .map(|i| {
                        Complex::new(filter[2 * i], filter[2 * i + 1])
                            * self.past[(t + i) * BINS + k]
                    })
                    .sum();
            }
        }
        self.past.drain(..frames * BINS);
        Ok(voice)
    }
}

/// `count` values from the first to the last, evenly.
fn line([first, last]: [f32; 2], count: usize) -> Vec<f32> {
    let step = (last - first) / (count - 1) as f32;
    (0..count).map(|i| first + i as f32 * step).collect()
}

/// Widths of the bands, equal in ERB. Where one would be too narrow it takes from the next.
fn bands() -> [usize; BANDS] {
    const EAR_Q: f64 = 9.265;
    const LEAST_HZ: f64 = 24.7;
    let nyquist = f64::from(SAMPLE_RATE) / 2.0;
    let bin_hz = nyquist / (BINS - 1) as f64;
    let step = (nyquist / (LEAST_HZ * EAR_Q)).ln_1p() / BANDS as f64;
    let (mut start, mut widths) = (0, [0; BANDS]);
    for (i, width) in widths.iter_mut().enumerate() {
        let hz = LEAST_HZ * EAR_Q * ((i + 1) as f64 * step).exp_m1();
        let end = ((hz / bin_hz).round() as usize).max(start + NARROWEST);
        *width = end - start;
        start = end;
    }
    // The last frequency, in a band like the others.
    widths[BANDS - 1] += BINS - start;
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The widths that the library has.
    #[test]
    fn bands_are_the_references() {
        let wide = [
            5, 5, 7, 7, 8, 10, 12, 13, 15, 18, 20, 24, 28, 31, 37, 42, 50, 56, 67,
        ];
        let bands = bands();
        assert_eq!(bands[..13], [2; 13]);
        assert_eq!(bands[13..], wide);
        assert_eq!(bands.iter().sum::<usize>(), BINS);
    }
}
