//! Speech enhancement: noisy samples in, the same with less noise out.
//!
//! [`Enhancer::stream`] begins a recording, [`Stream::push`] takes its next samples and gives those that are done, [`Stream::finish`]
//! the rest. Memory does not grow with the recording.
//!
//! 1. `stft.rs`: samples to spectra and back;
//! 2. `gtcrn.rs`, `deepfilternet.rs`: spectra to those of the voice;
//! 3. `graph.rs`: a network that goes on where it stopped;
//! 4. this file: pieces of any length, and what stays of the noise.

mod deepfilternet;
mod graph;
mod gtcrn;
mod stft;

use std::path::Path;

use onnx::{Cancel, Error, Runtime, Session, SessionOptions};
use realfft::num_complex::Complex;

use deepfilternet::DeepFilterNet;
use graph::Graph;
use gtcrn::Gtcrn;
use stft::Transform;

/// Frames per run: 1 to 2 s of audio, which bounds memory and the delay of a cancel.
const BATCH: usize = 100;

/// What maps spectra to those of the voice in them, run by run.
trait Network: Send {
    /// Forgets what it heard.
    fn begin(&mut self);

    /// The voice in the next spectra, as many as come in, [`Enhancer::lookahead`] frames behind them.
    fn voice(
        &mut self,
        spectra: Vec<Complex<f32>>,
        cancel: &Cancel,
    ) -> Result<Vec<Complex<f32>>, Error>;
}

/// A network and how it hears, for any number of recordings one after the other.
pub struct Enhancer {
    network: Box<dyn Network>,
    transform: Transform,
    sample_rate: u32,
    lookahead: usize,
}

impl Enhancer {
    /// Opens a network, on one thread whatever the options say.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or is not what `models/convert_gtcrn.py` or `models/convert_deepfilternet.py` makes.
    pub fn open(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Self, Error> {
        // What is to be worked out at once is too little to share: of two threads, each waits as long as one works.
        let options = SessionOptions {
            threads: 1,
            ..options.clone()
        };
        let session = Session::open(runtime, model, &options)?;
        if Graph::takes(&session, gtcrn::INPUTS) {
            let graph = Graph::new(session, model, gtcrn::INPUTS, gtcrn::OUTPUTS)?;
            return Ok(Self {
                network: Box::new(Gtcrn(graph)),
                transform: gtcrn::transform(),
                sample_rate: gtcrn::SAMPLE_RATE,
                lookahead: 0,
            });
        }
        if Graph::takes(&session, deepfilternet::INPUTS) {
            let (inputs, outputs) = (deepfilternet::INPUTS, deepfilternet::OUTPUTS);
            let graph = Graph::new(session, model, inputs, outputs)?;
            return Ok(Self {
                network: Box::new(DeepFilterNet::new(graph)),
                transform: deepfilternet::transform(),
                sample_rate: deepfilternet::SAMPLE_RATE,
                lookahead: deepfilternet::LOOKAHEAD,
            });
        }
        let names: Vec<&str> = session.inputs().iter().map(|i| i.name()).collect();
        let reason = format!(
            "its inputs {names:?} begin neither like GTCRN's, {:?}, nor like DeepFilterNet's, {:?}",
            gtcrn::INPUTS,
            deepfilternet::INPUTS
        );
        Err(Error::model(model, reason))
    }

    /// Samples per second that go in and come out.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Begins a recording. `limit_db`: what noise is lowered by at most, in dB, by leaving that much of the input in
    /// (DeepFilterNet's attenuation limit); infinity takes out all that the network hears as noise.
    pub fn stream(&mut self, limit_db: f32) -> Stream<'_> {
        self.network.begin();
        let hop = self.transform.hop();
        Stream {
            kept: 10f32.powf(-limit_db.max(0.0) / 20.0),
            waiting: vec![0.0; hop],
            tail: vec![0.0; hop],
            noisy: Vec::new(),
            lead: hop * (1 + self.lookahead),
            enhancer: self,
        }
    }
}

/// A recording on its way through the network.
pub struct Stream<'a> {
    enhancer: &'a mut Enhancer,
    /// The share of the input that stays.
    kept: f32,
    /// Samples from the first of the next frame on.
    waiting: Vec<f32>,
    /// The second half of the last frame's result.
    tail: Vec<f32>,
    /// Samples that came in and have not gone out.
    noisy: Vec<f32>,
    /// Samples of the result before the recording's first, still to drop.
    lead: usize,
}

impl Stream<'_> {
    /// Takes the next samples, mono at the network's rate; gives those that are done: of all together as many as came in, up to 40 ms
    /// later.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Inference`]; the stream is of no use then.
    pub fn push(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        self.noisy.extend_from_slice(samples);
        self.advance(samples, cancel)
    }

    /// The rest.
    ///
    /// # Errors
    /// As [`Stream::push`].
    pub fn finish(mut self, cancel: &Cancel) -> Result<Vec<f32>, Error> {
        // Of the last sample's frame, and of those the network looks ahead.
        let hops = 2 + self.enhancer.lookahead;
        let silence = vec![0.0; hops * self.enhancer.transform.hop()];
        self.advance(&silence, cancel)
    }

    fn advance(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        let hop = self.enhancer.transform.hop();
        let mut done = Vec::with_capacity(samples.len() + hop);
        for part in samples.chunks(BATCH * hop) {
            self.waiting.extend_from_slice(part);
            let frames = (self.waiting.len() / hop).saturating_sub(1);
            if frames > 0 {
                let Enhancer {
                    network, transform, ..
                } = &mut *self.enhancer;
                let spectra = transform.spectra(&self.waiting, frames)?;
                let mut voice = network.voice(spectra, cancel)?;
                transform.samples(&mut voice, &mut self.tail, &mut done)?;
                self.waiting.drain(..frames * hop);
            }
        }
        let lead = self.lead.min(done.len());
        done.drain(..lead);
        self.lead -= lead;
        done.truncate(self.noisy.len());
        for (y, x) in done.iter_mut().zip(&self.noisy) {
            *y = (1.0 - self.kept) * *y + self.kept * x;
        }
        self.noisy.drain(..done.len());
        Ok(done)
    }
}
