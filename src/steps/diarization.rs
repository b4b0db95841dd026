//! Telling speakers apart by their voices.

use audio::recording::{Encoded, Recording};
use audio::{Input, Selection};
use diarize::{Diarization, Diarizer, Options, Segmentation};
use onnx::Cancel;
use vad::Vad;

use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::stats;

/// The networks of diarization, looked up on the backend's thread.
pub struct Networks {
    segmentation: Model,
    vad: Model,
    speaker: Model,
}

impl Networks {
    /// The built-in ones.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn find() -> Result<Self, Error> {
        Ok(Networks {
            segmentation: Model::find("segmentation", Task::SpeakerSegmentation)?,
            vad: Model::find("vad", Task::VoiceActivityDetection)?,
            speaker: Model::find("audio_embedding", Task::SpeakerEmbedding)?,
        })
    }

    /// Length of a speaker's voiceprint.
    pub fn dimensions(&self) -> usize {
        self.speaker.dimensions.unwrap_or(1) as usize
    }

    /// Who spoke when, times from the start of what is read. To be called on the worker's thread.
    ///
    /// # Errors
    /// Those of the recording and the networks.
    pub fn diarize(
        &self,
        engine: &Engine,
        recording: &mut dyn Recording,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Diarization, diarize::Error> {
        self.with(engine, |diarizer| {
            diarizer.diarize(recording, options, cancel)
        })
    }

    /// The same for a call with a side per channel.
    ///
    /// # Errors
    /// As [`Networks::diarize`].
    pub fn sides(
        &self,
        engine: &Engine,
        input: &Input,
        selection: &Selection,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Diarization, diarize::Error> {
        let count = audio::probe(input, cancel.flag())?.channels.max(1);
        let of = |i| Selection {
            channel: audio::Channel::Index(i),
            ..selection.clone()
        };
        let selections: Vec<Selection> = (0..count).map(of).collect();
        let mut sides: Vec<Encoded> = selections.iter().map(|s| Encoded::new(input, s)).collect();
        let mut channels: Vec<&mut dyn Recording> = Vec::new();
        sides.iter_mut().for_each(|side| channels.push(side));
        self.with(engine, |diarizer| {
            diarizer.sides(&mut channels, options, cancel)
        })
    }

    fn with<T>(
        &self,
        engine: &Engine,
        work: impl FnOnce(&mut Diarizer) -> Result<T, diarize::Error>,
    ) -> Result<T, diarize::Error> {
        let mut segmentation = engine.load(&self.segmentation, Segmentation::open)?;
        let mut vad = engine.load(&self.vad, Vad::open)?;
        let mut speaker = engine.speaker(&self.speaker)?;
        let mut diarizer = Diarizer {
            segmentation: &mut segmentation,
            vad: &mut vad,
            speaker: &mut speaker,
        };
        stats::INFERENCE_US.time(|| work(&mut diarizer))
    }
}
