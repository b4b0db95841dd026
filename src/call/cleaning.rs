//! The option `enhance`: noise is reduced before anything else hears the recording.
//!
//! The cleaned recording is a temporary file with the same times and channels, silent outside of what is selected, so that
//! everything after it works as on any other recording, as often as it likes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use audio::resample::Resampler;
use audio::wav::Interleaved;
use audio::{Input, SAMPLE_RATE, Selection};
use enhance::Enhancer;
use onnx::Cancel;

use crate::call::options::{Channel, Common, Enhance};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::progress::{self, Stage};
use crate::{settings, stats};

/// The model when none is named.
pub const USUAL: &str = "gtcrn";

/// How a recording is to be cleaned. Made on the backend's thread, used on the worker's.
#[derive(Clone)]
pub struct Cleaning {
    model: Model,
    engine: Engine,
    channel: Channel,
    selection: Selection,
    folder: PathBuf,
}

impl fmt::Debug for Cleaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cleaning {
            model,
            channel,
            selection,
            ..
        } = self;
        write!(f, "{:?} {channel:?} {selection:?}", model.path)
    }
}

impl Cleaning {
    /// What the options ask for.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], [`Error::WrongTask`].
    pub fn wanted(common: &Common) -> Result<Option<Self>, Error> {
        let model = match &common.enhance {
            Enhance::No => return Ok(None),
            Enhance::Usual => USUAL,
            Enhance::Model(name) => name,
        };
        Ok(Some(Cleaning {
            model: Model::find(model, Task::SpeechEnhancement)?,
            engine: Engine::current(),
            channel: common.channel,
            selection: Selection {
                start_ms: common.start_time,
                end_ms: common.end_time,
                max_duration_ms: settings::max_duration_ms(),
                ..Selection::default()
            },
            folder: settings::temporary_folder(),
        }))
    }

    /// The recording with less noise. On the worker's thread.
    ///
    /// # Errors
    /// Those of the recording, of the network and of the temporary file.
    pub fn apply(
        &self,
        recording: &Recording,
        input: &Input,
        cancel: &Cancel,
    ) -> Result<Input, Error> {
        let (channels, heard) = match self.channel {
            Channel::Mix => (1, vec![audio::Channel::Mix]),
            Channel::Index(i) => (i.saturating_add(1), vec![audio::Channel::Index(i)]),
            Channel::Each => {
                let info = audio::probe(input, cancel.flag());
                let info = info.map_err(|e| recording.blame(Error::Decoding(e)))?;
                let all = info.channels.max(1);
                (all, (0..all).map(audio::Channel::Index).collect())
            }
        };
        let count = u16::try_from(channels).unwrap_or(u16::MAX);
        let failed = |e: std::io::Error| Error::Internal(format!("the temporary file: {e}"));
        // Not before the first samples are there: what cannot be decoded is no reason for a file.
        let new = || -> Result<Interleaved, Error> {
            let file = source::temporary_file(&self.folder).map_err(failed)?;
            Interleaved::new(file, count, SAMPLE_RATE).map_err(failed)
        };
        recording.stage(Stage::Enhancing, input, &self.selection, cancel);
        let mut network = self.engine.load(&self.model, Enhancer::open)?;
        let mut file: Option<Interleaved> = None;
        let start = self.selection.start_ms.unwrap_or(0) * u64::from(SAMPLE_RATE) / 1000;
        for channel in heard {
            progress::done(0);
            let rate = network.sample_rate();
            let selection = Selection {
                channel,
                sample_rate: rate,
                ..self.selection.clone()
            };
            let mut stream = network.stream(f32::INFINITY);
            let resampler = Resampler::between(rate, SAMPLE_RATE);
            let mut resampler = resampler.map_err(|e| recording.blame(Error::Decoding(e)))?;
            let own = match channel {
                audio::Channel::Index(i) => i as u16,
                audio::Channel::Mix => 0,
            };
            let mut at = start;
            let mut write = |cleaned: &[f32], last: bool| -> Result<(), Error> {
                let mut samples = Vec::new();
                resampler.push(cleaned, &mut samples);
                if last {
                    resampler.finish(&mut samples);
                }
                let file = match &mut file {
                    Some(file) => file,
                    none => none.insert(new()?),
                };
                file.write(own, at, &samples).map_err(failed)?;
                at += samples.len() as u64;
                Ok(())
            };
            recording.pieces(input, &selection, cancel, |piece| {
                let cleaned = stats::INFERENCE_US.time(|| stream.push(piece, cancel));
                write(&cleaned?, false)
            })?;
            let rest = stats::INFERENCE_US.time(|| stream.finish(cancel));
            write(&rest?, true)?;
        }
        let file = file.ok_or_else(|| Error::Internal("a recording without channels".into()))?;
        Ok(Input::File(Arc::new(file.finish().map_err(failed)?)))
    }
}
