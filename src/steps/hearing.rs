//! Listening to a recording: its voiceprint, how much speech there is, and whether that is fit for a voiceprint.

use std::sync::Arc;

use audio::Selection;
use audio::recording::Kept;
use onnx::Cancel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use vad::Vad;
use voice::hear::hear;
use voice::score::{Quality, SHORT_MS, Side};

use crate::call::arguments::Source;
use crate::call::options::Common;
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::progress::{self, Stage};
use crate::steps::calibration::USUAL_MODEL;
use crate::steps::diarization::{self, Networks};
use crate::{interrupt, stats};

const VAD_MODEL: &str = "silero_vad_v6";
/// Recordings up to this length stay in memory between two readings, longer ones are decoded again: ten minutes.
const KEPT: usize = 600 * audio::SAMPLE_RATE as usize;
/// A second voice with more than this share of the speech makes a voiceprint of neither.
const ANOTHER: f64 = 0.1;

/// A recording's voiceprint and what is known of it.
pub struct Heard {
    /// Not normalised.
    pub voiceprint: Vec<f32>,
    /// What is in the recording.
    pub quality: Quality,
}

impl Heard {
    /// Its side in a comparison.
    pub fn side(&self) -> Side {
        Side {
            seconds: self.quality.speech_ms as f64 / 1000.0,
            narrow: self.quality.is_narrow(),
        }
    }
}

/// The speaker model of a name, the usual one if none is given.
///
/// # Errors
/// [`Error::UnknownModel`], [`Error::WrongTask`].
pub fn speaker(name: Option<&str>) -> Result<Model, Error> {
    Model::find(name.unwrap_or(USUAL_MODEL), Task::SpeakerEmbedding)
}

/// The voiceprint of the speech in a recording, or of all of it, with its quality; of equal calls in a statement the
/// first one works.
///
/// # Errors
/// Those of the recording, of the options and of the models.
pub fn listen(
    source: &Source,
    common: &Common,
    speaker: &Model,
    only_speech: bool,
) -> Result<Arc<Heard>, Error> {
    let selection = common.selection()?;
    let recording = Recording::with(source, common)?;
    let detail = || format!("{:?} {only_speech} {selection:?}", speaker.path);
    recording.once("voiceprint", detail, || {
        let heard = listen_now(&recording, &selection, speaker, only_speech)?;
        warn_of_little_speech(&recording, &heard.quality);
        Ok(heard)
    })
}

fn listen_now(
    recording: &Recording,
    selection: &Selection,
    speaker: &Model,
    only_speech: bool,
) -> Result<Heard, Error> {
    stats::CALLS.add(1);
    let (vad, engine) = (vad()?, Engine::current());
    interrupt::run(|cancel| -> Result<_, Error> {
        let input = recording.open(cancel)?;
        recording.stage(Stage::Listening, &input, selection, cancel);
        let mut reading = recording.reading(&input, selection);
        let mut kept =
            Kept::new(&mut reading, KEPT).map_err(|e| recording.blame(Error::Decoding(e)))?;
        let heard = speech(recording, selection, &mut kept, &engine, &vad, cancel)?;
        let parts = if only_speech {
            heard.voice()
        } else {
            std::iter::once(0..heard.samples).collect()
        };
        progress::stage(Stage::Embedding, heard.quality.duration_ms);
        let mut speaker = engine.speaker(speaker)?;
        let voiceprint =
            stats::INFERENCE_US.time(|| speaker.embed_parts(&mut kept, &parts, cancel));
        Ok(Heard {
            voiceprint: voiceprint.map_err(|e| recording.blame(e))?,
            quality: heard.quality,
        })
    })
}

/// Where there is speech, and how good it is.
fn speech(
    recording: &Recording,
    selection: &Selection,
    kept: &mut Kept,
    engine: &Engine,
    vad: &Model,
    cancel: &Cancel,
) -> Result<Arc<voice::hear::Heard>, Error> {
    recording.once(
        "speech",
        || format!("{selection:?}"),
        || {
            let mut network = engine.load(vad, Vad::open)?;
            let heard = stats::INFERENCE_US.time(|| hear(kept, &mut network, cancel));
            heard.map_err(|e| recording.blame(e))
        },
    )
}

/// What is in a recording, and how many people with more than a tenth of the speech.
///
/// # Errors
/// As [`listen`].
pub fn assess(source: &Source, common: &Common) -> Result<Arc<(Quality, usize)>, Error> {
    let selection = common.selection()?;
    let recording = Recording::with(source, common)?;
    recording.once(
        "quality",
        || format!("{selection:?}"),
        || assess_now(&recording, &selection),
    )
}

fn assess_now(recording: &Recording, selection: &Selection) -> Result<(Quality, usize), Error> {
    stats::CALLS.add(1);
    let (vad, networks, engine) = (vad()?, Networks::find()?, Engine::current());
    interrupt::run(|cancel| -> Result<_, Error> {
        let input = recording.open(cancel)?;
        recording.stage(Stage::Listening, &input, selection, cancel);
        let mut reading = recording.reading(&input, selection);
        let mut kept =
            Kept::new(&mut reading, KEPT).map_err(|e| recording.blame(Error::Decoding(e)))?;
        let heard = speech(recording, selection, &mut kept, &engine, &vad, cancel)?;
        let quality = heard.quality;
        if quality.speech_ms == 0 {
            return Ok((quality, 0));
        }
        progress::stage(Stage::Diarizing, quality.duration_ms);
        let shape = diarize::Options::default();
        let found = diarization::once(recording, selection, &shape, || {
            let found = networks.diarize(&engine, &mut kept, &shape, cancel);
            found.map_err(|e| recording.blame(e))
        })?;
        let mut spoken = vec![0u64; found.speakers.len()];
        for turn in &found.exclusive {
            spoken[turn.speaker] += turn.end_ms - turn.start_ms;
        }
        let all: u64 = spoken.iter().sum();
        let many = spoken
            .iter()
            .filter(|ms| **ms as f64 > ANOTHER * all as f64);
        Ok((quality, many.count().max(1)))
    })
}

/// The model that tells speech from the rest.
///
/// # Errors
/// None in a sound installation.
pub fn vad() -> Result<Model, Error> {
    Model::find(VAD_MODEL, Task::VoiceActivityDetection)
}

/// Warns where a voiceprint was made of little speech.
fn warn_of_little_speech(recording: &Recording, quality: &Quality) {
    let ms = quality.speech_ms;
    if ms >= SHORT_MS {
        return;
    }
    let message = format!(
        "{} holds {:.1} s of speech",
        recording.name(),
        ms as f64 / 1000.0
    );
    let hint = "Voiceprints of less than 1 s of speech are unreliable; 3 s and more are good. See ai_audio_quality.";
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai_audio")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}
