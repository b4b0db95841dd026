//! Telling speakers apart by their voices.

use std::sync::Arc;

use audio::recording::Encoded;
use audio::{Input, Selection};
use diarize::{Diarization, Diarizer, Options, Segmentation};
use onnx::Cancel;
use serde::Deserialize;
use serde_json::Value;
use vad::Vad;

use crate::call::options;
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::progress::Stage;
use crate::steps::names::{Named, Names};
use crate::steps::padding;
use crate::vector::Vector;
use crate::{interrupt, stats};

/// What is known of the speakers and how turns are cut: the options of every function that tells speakers apart.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpeakerOptions {
    speaker_count: Option<u32>,
    min_speakers: Option<u32>,
    max_speakers: Option<u32>,
    #[serde(deserialize_with = "options::millis")]
    merge_gap: Option<u64>,
    #[serde(deserialize_with = "options::millis")]
    min_turn: Option<u64>,
    /// A table of known voices.
    library: Option<Value>,
}

impl SpeakerOptions {
    /// How to diarize.
    ///
    /// # Errors
    /// [`Error::Options`] for numbers out of range or that contradict each other.
    pub fn checked(&self) -> Result<Options, Error> {
        let base = Options::default();
        let number = |n: Option<u32>, name: &str| match n {
            Some(n) if n < 1 || n as usize > diarize::MAX_SPEAKERS => Err(Error::Options(format!(
                "{name} is between 1 and {}, not {n}",
                diarize::MAX_SPEAKERS
            ))),
            n => Ok(n.map(|n| n as usize)),
        };
        let speaker_count = number(self.speaker_count, "speaker_count")?;
        let min_speakers = number(self.min_speakers, "min_speakers")?.unwrap_or(base.min_speakers);
        let max_speakers = number(self.max_speakers, "max_speakers")?
            .unwrap_or(base.max_speakers.max(min_speakers));
        if min_speakers > max_speakers {
            let message =
                format!("min_speakers ({min_speakers}) is more than max_speakers ({max_speakers})");
            return Err(Error::Options(message));
        }
        if speaker_count.is_some() && (self.min_speakers.is_some() || self.max_speakers.is_some()) {
            return Err(Error::Options(
                "speaker_count leaves no room for min_speakers and max_speakers".into(),
            ));
        }
        Ok(Options {
            speaker_count,
            min_speakers,
            max_speakers,
            merge_gap_ms: self.merge_gap.unwrap_or(base.merge_gap_ms),
            min_turn_ms: self.min_turn.unwrap_or(base.min_turn_ms),
        })
    }

    /// The library that speakers get their names from, asked once to see that it can be.
    ///
    /// # Errors
    /// [`Error::Options`] for what is no library, and those of `ai_voice_identify`.
    pub fn library(&self) -> Result<Option<Names>, Error> {
        let Some(library) = self.library.as_ref().map(Names::of).transpose()? else {
            return Ok(None);
        };
        // A wrong column is better known now than in an hour.
        let anybody = Vector(vec![1.0; Networks::find()?.dimensions()]);
        library.names_of(&[(Some(anybody), 1.0)])?;
        Ok(Some(library))
    }
}

/// The voiceprint of a speaker; nothing where too little was said for one.
fn voice(found: &Diarization, speaker: usize) -> Option<Vector> {
    let voice = found.speakers.get(speaker)?;
    voice
        .iter()
        .any(|x| *x != 0.0)
        .then(|| Vector(voice.clone()))
}

/// The voiceprints of all speakers, as long as the setting says.
///
/// # Errors
/// [`Error::Options`] for a length that padding cannot bring about.
pub fn voices(found: &Diarization) -> Result<Vec<Option<Vector>>, Error> {
    let padded = |s| voice(found, s).map(padding::padded).transpose();
    (0..found.speakers.len()).map(padded).collect()
}

/// The names of all speakers from a library.
///
/// # Errors
/// As [`Names::names_of`].
pub fn names(found: &Diarization, library: &Names) -> Result<Vec<Option<Named>>, Error> {
    let seconds = |speaker: usize| {
        let own = found.turns.iter().filter(|t| t.speaker == speaker);
        own.map(|t| t.end_ms - t.start_ms).sum::<u64>() as f64 / 1e3
    };
    let speakers: Vec<_> = (0..found.speakers.len())
        .map(|s| (voice(found, s), seconds(s)))
        .collect();
    library.names_of(&speakers)
}

/// The diarization of a selection, worked out by `work` or by an earlier call of the statement.
///
/// # Errors
/// Those of `work`.
pub fn once(
    recording: &Recording,
    selection: &Selection,
    options: &Options,
    work: impl FnOnce() -> Result<Diarization, Error>,
) -> Result<Arc<Diarization>, Error> {
    let detail = || format!("{selection:?} {options:?}");
    recording.once("diarization", detail, work)
}

/// The diarization of a selection by voices. `counts`: whether it is a work of its own in `ai_audio_stats`, or a part of another.
///
/// # Errors
/// Those of the recording and the networks.
pub fn by_voice(
    networks: &Networks,
    engine: &Engine,
    recording: &Recording,
    input: &Input,
    selection: &Selection,
    options: &Options,
    counts: bool,
) -> Result<Arc<Diarization>, Error> {
    once(recording, selection, options, || {
        if counts {
            stats::CALLS.add(1);
        }
        interrupt::run(|cancel| {
            recording.stage(Stage::Diarizing, input, selection, cancel);
            let mut reading = match counts {
                true => recording.reading(input, selection),
                false => recording.rereading(input, selection),
            };
            let found = networks.diarize(engine, &mut reading, options, cancel);
            found.map_err(|e| recording.blame(e))
        })
    })
}

/// The same where each channel is a speaker.
///
/// # Errors
/// Those of the recording and the networks.
pub fn sides(
    networks: &Networks,
    engine: &Engine,
    recording: &Recording,
    input: &Input,
    selection: &Selection,
    options: &Options,
) -> Result<Arc<Diarization>, Error> {
    let detail = || format!("each {selection:?} {options:?}");
    recording.once("diarization", detail, || {
        stats::CALLS.add(1);
        interrupt::run(|cancel| {
            recording.stage(Stage::Diarizing, input, selection, cancel);
            let found = networks.sides(engine, input, selection, options, cancel);
            found.map_err(|e| recording.blame(e))
        })
    })
}

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
        recording: &mut dyn audio::recording::Recording,
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
        let mut channels: Vec<&mut dyn audio::recording::Recording> = Vec::new();
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
