//! The power spectrum of a frame.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

/// A plan and its buffers, to be used again for each frame.
pub(crate) struct PowerSpectrum {
    fft: Arc<dyn RealToComplex<f32>>,
    /// What is transformed, as long as the FFT. [`PowerSpectrum::transform`] leaves anything in it.
    pub(crate) frame: Vec<f32>,
    bins: Vec<Complex32>,
    scratch: Vec<Complex32>,
    /// Power of each bin from 0 to Nyquist's.
    pub(crate) power: Vec<f32>,
}

impl PowerSpectrum {
    /// For frames of `length` samples, all zeros at first.
    pub(crate) fn new(length: usize) -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(length);
        PowerSpectrum {
            frame: fft.make_input_vec(),
            bins: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            power: vec![0.0; length / 2 + 1],
            fft,
        }
    }

    /// Power of `frame` into `power`.
    pub(crate) fn transform(&mut self) {
        // The buffers come from the plan itself, so their sizes always fit.
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.bins, &mut self.scratch)
            .expect("plan's own buffers");
        for (power, bin) in self.power.iter_mut().zip(&self.bins) {
            *power = bin.norm_sqr();
        }
    }
}
