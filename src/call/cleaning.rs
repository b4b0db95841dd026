//! The option `enhance`: noise is reduced before anything else hears the recording.
//!
//! The cleaned recording is a temporary file with the same times and channels, silent outside of what is selected, so that
//! everything after it works as on any other recording, as often as it likes.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use audio::wav::Interleaved;
use audio::{Input, Reader, Selection};
use enhance::{Enhancer, SAMPLE_RATE};
use onnx::Cancel;

use crate::call::options::{Channel, Common, Enhance};
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::progress::{self, Stage};
use crate::{settings, stats};

/// The model when none is named.
pub const USUAL: &str = "gtcrn";
/// Samples that are cleaned at a time: ten seconds.
const PIECE: usize = 10 * SAMPLE_RATE as usize;

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
    /// Those of the recording, as `blame` names them, of the network and of the temporary file.
    pub fn apply(
        &self,
        input: &Input,
        blame: impl Fn(Error) -> Error,
        cancel: &Cancel,
    ) -> Result<Input, Error> {
        let wrong = |e| blame(Error::Decoding(e));
        let (channels, heard) = match self.channel {
            Channel::Mix => (1, vec![audio::Channel::Mix]),
            Channel::Index(i) => (i.saturating_add(1), vec![audio::Channel::Index(i)]),
            Channel::Each => {
                let info = audio::probe(input, cancel.flag()).map_err(wrong)?;
                let all = info.channels.max(1);
                (all, (0..all).map(audio::Channel::Index).collect())
            }
        };
        let failed = |e: std::io::Error| Error::Internal(format!("the temporary file: {e}"));
        let length = audio::probe(input, cancel.flag()).ok();
        let length = length.and_then(|info| info.duration_ms).unwrap_or(0);
        progress::stage(Stage::Enhancing, length * heard.len() as u64);
        let mut network = self.engine.load(&self.model, Enhancer::open)?;
        let mut file: Option<Interleaved> = None;
        let start = self.selection.start_ms.unwrap_or(0) * u64::from(SAMPLE_RATE) / 1000;
        for channel in heard {
            let selection = Selection {
                channel,
                ..self.selection.clone()
            };
            let mut reader =
                Reader::open_with(input, &selection, Some(cancel.flag())).map_err(wrong)?;
            let mut stream = network.stream(f32::INFINITY);
            let own = match channel {
                audio::Channel::Index(i) => i as u16,
                audio::Channel::Mix => 0,
            };
            let (mut at, mut piece) = (start, Vec::with_capacity(PIECE));
            loop {
                piece.clear();
                let read = stats::DECODE_US.time(|| reader.read(&mut piece, PIECE, cancel.flag()));
                let ended = read.map_err(wrong)? == 0;
                let done = stats::INFERENCE_US.time(|| stream.push(&piece, cancel))?;
                // Not before the first samples are there: what cannot be decoded is no reason for a file.
                let file = match &mut file {
                    Some(file) => file,
                    none => {
                        let count = u16::try_from(channels).unwrap_or(u16::MAX);
                        let new = source::temporary_file(&self.folder).map_err(failed)?;
                        none.insert(Interleaved::new(new, count, SAMPLE_RATE).map_err(failed)?)
                    }
                };
                file.write(own, at, &done).map_err(failed)?;
                at += done.len() as u64;
                progress::advance(done.len() as u64 * 1000 / u64::from(SAMPLE_RATE));
                if ended {
                    let rest = stats::INFERENCE_US.time(|| stream.finish(cancel))?;
                    file.write(own, at, &rest).map_err(failed)?;
                    break;
                }
            }
        }
        let file = file.ok_or_else(|| Error::Internal("a recording without channels".into()))?;
        Ok(Input::File(Arc::new(file.finish().map_err(failed)?)))
    }
}
