//! GTCRN (Rong et al. 2024, "GTCRN: a speech enhancement model requiring ultralow computational resources"), its published streaming
//! graph over many frames (`models/convert_gtcrn.py`): spectrum in, the voice's spectrum out.

use std::f32::consts::PI;

use onnx::{Cancel, Error};
use realfft::num_complex::Complex;

use crate::graph::Graph;
use crate::{Network, Transform};

pub const INPUTS: &[&str] = &["spectra"];
pub const OUTPUTS: &[&str] = &["voice"];
pub const SAMPLE_RATE: u32 = 16_000;
const WINDOW: usize = 512;
const BINS: usize = WINDOW / 2 + 1;

/// The root of a periodic Hann window, which is half a wave of a sine.
pub fn transform() -> Transform {
    let sine = |i: usize| (PI * i as f32 / WINDOW as f32).sin();
    Transform::new((0..WINDOW).map(sine).collect(), 1.0)
}

pub struct Gtcrn(pub Graph);

impl Network for Gtcrn {
    fn begin(&mut self) {
        self.0.begin();
    }

    fn voice(
        &mut self,
        spectra: Vec<Complex<f32>>,
        cancel: &Cancel,
    ) -> Result<Vec<Complex<f32>>, Error> {
        let values: Vec<f32> = spectra.iter().flat_map(|bin| [bin.re, bin.im]).collect();
        let shape = vec![1, spectra.len() / BINS, BINS, 2];
        let [voice] = self.0.run(&[(shape, &values)], [values.len()], cancel)?;
        let pairs = voice.chunks_exact(2);
        Ok(pairs.map(|bin| Complex::new(bin[0], bin[1])).collect())
    }
}
