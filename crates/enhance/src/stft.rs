//! Spectra of frames that overlap by half, and samples of spectra.

use std::sync::Arc;

use onnx::Error;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// One way to cut samples into frames. The window's squares, half a frame apart, add up to 1: what is left alone comes back.
pub struct Transform {
    /// Before and after.
    window: Vec<f32>,
    /// What spectra are multiplied by.
    scale: f32,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl Transform {
    pub fn new(window: Vec<f32>, scale: f32) -> Self {
        let mut planner = RealFftPlanner::new();
        Self {
            forward: planner.plan_fft_forward(window.len()),
            inverse: planner.plan_fft_inverse(window.len()),
            window,
            scale,
        }
    }

    /// Samples from one frame's start to the next one's.
    pub fn hop(&self) -> usize {
        self.window.len() / 2
    }

    /// Values of a spectrum.
    pub fn bins(&self) -> usize {
        self.hop() + 1
    }

    /// The spectra of `frames` frames, one after the other.
    pub fn spectra(&self, samples: &[f32], frames: usize) -> Result<Vec<Complex<f32>>, Error> {
        let mut spectra = vec![Complex::default(); frames * self.bins()];
        let mut frame = vec![0.0; self.window.len()];
        for (t, bins) in spectra.chunks_exact_mut(self.bins()).enumerate() {
            let samples = &samples[t * self.hop()..];
            for ((to, x), w) in frame.iter_mut().zip(samples).zip(&self.window) {
                *to = x * w * self.scale;
            }
            let transformed = self.forward.process(&mut frame, bins);
            transformed.map_err(|e| Error::Inference(e.to_string()))?;
        }
        Ok(spectra)
    }

    /// Appends the samples of spectra, half a frame each. `tail` is the second half of the frame before, then of the last one.
    pub fn samples(
        &self,
        spectra: &mut [Complex<f32>],
        tail: &mut [f32],
        out: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let mut frame = vec![0.0; self.window.len()];
        let scale = 1.0 / (self.window.len() as f32 * self.scale);
        for bins in spectra.chunks_exact_mut(self.bins()) {
            // A real signal has none, and the transform insists.
            (bins[0].im, bins[self.hop()].im) = (0.0, 0.0);
            let transformed = self.inverse.process(bins, &mut frame);
            transformed.map_err(|e| Error::Inference(e.to_string()))?;
            for (y, w) in frame.iter_mut().zip(&self.window) {
                *y *= w * scale;
            }
            let (now, later) = frame.split_at(self.hop());
            out.extend(now.iter().zip(&*tail).map(|(new, old)| new + old));
            tail.copy_from_slice(later);
        }
        Ok(())
    }
}
