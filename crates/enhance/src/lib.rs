//! Speech enhancement: noisy samples in, the same with less noise out.
//!
//! [`Enhancer::stream`] begins a recording, [`Stream::push`] takes its next samples and gives those that are done, [`Stream::finish`]
//! the rest; all in this file. Memory does not grow with the recording.
//!
//! The network is GTCRN (Rong et al. 2024, "GTCRN: a speech enhancement model requiring ultralow computational resources"), its
//! published streaming graph in a loop over frames (`models/convert_gtcrn.py`). It maps a spectrum to that of the voice: 512 samples at
//! 16 kHz, every 256, under the square root of a Hann window before and after, so that what the network leaves alone comes back
//! as it was.

use std::f32::consts::PI;
use std::path::Path;
use std::sync::Arc;

use onnx::{Cancel, Error, Runtime, Session, SessionOptions};
use ort::value::TensorRef;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Samples per second that go in and come out.
pub const SAMPLE_RATE: u32 = 16000;
const WINDOW: usize = 512;
const HOP: usize = 256;
const BINS: usize = WINDOW / 2 + 1;
/// Frames per run: 2 s of audio, which bounds memory and the delay of a cancel.
const BATCH: usize = 125;
const INPUTS: [&str; 4] = ["spectra", "conv", "tra", "inter"];
const CONV: [usize; 5] = [2, 1, 16, 16, 33];
const TRA: [usize; 5] = [2, 3, 1, 1, 16];
const INTER: [usize; 4] = [2, 1, 33, 16];

/// The network, for any number of recordings one after the other.
pub struct Enhancer {
    session: Session,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    window: Vec<f32>,
}

impl Enhancer {
    /// Opens the network.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or is not what `models/convert_gtcrn.py` makes.
    pub fn open(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Self, Error> {
        let session = Session::open(runtime, model, options)?;
        let names: Vec<&str> = session.inputs().iter().map(|i| i.name()).collect();
        if names != INPUTS {
            let reason =
                format!("inputs {names:?} are not those of GTCRN over many frames: {INPUTS:?}");
            return Err(Error::model(model, reason));
        }
        let mut planner = RealFftPlanner::new();
        let sine = |i: usize| (PI * i as f32 / WINDOW as f32).sin();
        Ok(Self {
            session,
            forward: planner.plan_fft_forward(WINDOW),
            inverse: planner.plan_fft_inverse(WINDOW),
            // The root of a periodic Hann window is half a wave of a sine.
            window: (0..WINDOW).map(sine).collect(),
        })
    }

    /// Begins a recording. `limit_db`: what noise is lowered by at most, in dB, by leaving that much of the input in
    /// (DeepFilterNet's attenuation limit); infinity takes out all that the network hears as noise.
    pub fn stream(&mut self, limit_db: f32) -> Stream<'_> {
        let zeros = |shape: &[usize]| vec![0.0; shape.iter().product()];
        Stream {
            kept: 10f32.powf(-limit_db.max(0.0) / 20.0),
            states: [zeros(&CONV), zeros(&TRA), zeros(&INTER)],
            waiting: vec![0.0; HOP],
            tail: vec![0.0; HOP],
            lead: HOP,
            taken: 0,
            given: 0,
            network: self,
        }
    }
}

/// A recording on its way through the network.
pub struct Stream<'a> {
    network: &'a mut Enhancer,
    /// The share of the input that stays.
    kept: f32,
    states: [Vec<f32>; 3],
    /// Samples from the first of the next frame on.
    waiting: Vec<f32>,
    /// The second half of the last frame's result.
    tail: Vec<f32>,
    /// Samples of the result before the recording's first.
    lead: usize,
    taken: usize,
    given: usize,
}

impl Stream<'_> {
    /// Takes the next samples, mono at 16 kHz; gives those that are done: of all together as many as came in, up to 32 ms later.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Inference`]; the stream is of no use then.
    pub fn push(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        self.taken += samples.len();
        self.advance(samples, cancel)
    }

    /// The rest.
    ///
    /// # Errors
    /// As [`Stream::push`].
    pub fn finish(mut self, cancel: &Cancel) -> Result<Vec<f32>, Error> {
        let missing = self.taken - self.given;
        let mut rest = self.advance(&[0.0; WINDOW], cancel)?;
        rest.truncate(missing);
        Ok(rest)
    }

    fn advance(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        let mut done = Vec::with_capacity(samples.len() + WINDOW);
        for part in samples.chunks(BATCH * HOP) {
            self.waiting.extend_from_slice(part);
            let frames = (self.waiting.len() / HOP).saturating_sub(1);
            if frames > 0 {
                let voice = self.run(&self.spectra(frames)?, frames, cancel)?;
                self.overlap(&voice, frames, &mut done)?;
                self.waiting.drain(..frames * HOP);
            }
        }
        let lead = self.lead.min(done.len());
        done.drain(..lead);
        self.lead -= lead;
        self.given += done.len();
        Ok(done)
    }

    /// `[BINS, frames, 2]`: what the network takes, a row per frequency.
    fn spectra(&self, frames: usize) -> Result<Vec<f32>, Error> {
        let mut spectra = vec![0.0; BINS * frames * 2];
        let (mut frame, mut bins) = ([0.0; WINDOW], [Complex::default(); BINS]);
        for t in 0..frames {
            let samples = &self.waiting[t * HOP..t * HOP + WINDOW];
            for ((to, x), w) in frame.iter_mut().zip(samples).zip(&self.network.window) {
                *to = x * w;
            }
            let transformed = self.network.forward.process(&mut frame, &mut bins);
            transformed.map_err(|e| Error::Inference(e.to_string()))?;
            for (k, bin) in bins.iter().enumerate() {
                spectra[(k * frames + t) * 2..][..2].copy_from_slice(&[bin.re, bin.im]);
            }
        }
        Ok(spectra)
    }

    fn run(&mut self, spectra: &[f32], frames: usize, cancel: &Cancel) -> Result<Vec<f32>, Error> {
        let [conv, tra, inter] = &self.states;
        let inputs = ort::inputs![
            INPUTS[0] => TensorRef::from_array_view(([1, BINS, frames, 2], spectra))?,
            INPUTS[1] => TensorRef::from_array_view((CONV, conv.as_slice()))?,
            INPUTS[2] => TensorRef::from_array_view((TRA, tra.as_slice()))?,
            INPUTS[3] => TensorRef::from_array_view((INTER, inter.as_slice()))?,
        ];
        let outputs = self.network.session.run(inputs, cancel)?;
        let read = |name: &str, length: usize| -> Result<Vec<f32>, Error> {
            let wrong =
                || Error::Inference(format!("the model's output {name} is not as it should be"));
            let (_, values) = outputs
                .get(name)
                .ok_or_else(wrong)?
                .try_extract_tensor::<f32>()?;
            (values.len() == length)
                .then(|| values.to_vec())
                .ok_or_else(wrong)
        };
        let states = [
            read("conv_next", conv.len())?,
            read("tra_next", tra.len())?,
            read("inter_next", inter.len())?,
        ];
        let voice = read("voice", spectra.len())?;
        drop(outputs);
        self.states = states;
        Ok(voice)
    }

    /// Adds up the frames of `voice`, and the share of the input that stays.
    fn overlap(&mut self, voice: &[f32], frames: usize, done: &mut Vec<f32>) -> Result<(), Error> {
        let (mut frame, mut bins) = ([0.0; WINDOW], [Complex::default(); BINS]);
        for t in 0..frames {
            for (k, bin) in bins.iter_mut().enumerate() {
                let at = (k * frames + t) * 2;
                *bin = Complex::new(voice[at], voice[at + 1]);
            }
            // A real signal has none, and the transform insists.
            (bins[0].im, bins[BINS - 1].im) = (0.0, 0.0);
            let transformed = self.network.inverse.process(&mut bins, &mut frame);
            transformed.map_err(|e| Error::Inference(e.to_string()))?;
            for (y, w) in frame.iter_mut().zip(&self.network.window) {
                *y *= w / WINDOW as f32;
            }
            let noisy = &self.waiting[t * HOP..][..HOP];
            for ((new, old), x) in frame.iter().zip(&self.tail).zip(noisy) {
                done.push((1.0 - self.kept) * (new + old) + self.kept * x);
            }
            self.tail.copy_from_slice(&frame[HOP..]);
        }
        Ok(())
    }
}
