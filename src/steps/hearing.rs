//! Listening to a recording: its voiceprint, how much speech there is, and whether that is fit for a voiceprint.

use onnx::Cancel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use vad::{Vad, WINDOW};
use voice::score::{self, Quality, SHORT_MS, Side};
use voice::similarity;

use crate::call::arguments::Source;
use crate::call::options::Common;
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::{interrupt, stats};

const VAD_MODEL: &str = "silero_vad_v6";

/// What is in decoded samples. To be called on the worker's thread.
///
/// # Errors
/// Those of the model and of cancelling.
pub fn assess(
    engine: &Engine,
    vad: &Model,
    samples: &[f32],
    cancel: &Cancel,
) -> Result<Quality, Error> {
    let mut vad = engine.load(vad, Vad::open)?;
    vad.reset();
    let speech = stats::INFERENCE_US.time(|| vad.probabilities(samples, cancel))?;
    Ok(score::assess(samples, &speech))
}

/// A recording's voiceprint and what is known of it.
pub struct Heard {
    /// Of norm 1.
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

/// The voiceprint of a recording, with its quality.
///
/// # Errors
/// As `ai_audio_embed`.
pub fn hear(source: &Source, common: &Common, model: Option<&str>) -> Result<Heard, Error> {
    stats::CALLS.add(1);
    let speaker = Model::find(model.unwrap_or("audio_embedding"), Task::SpeakerEmbedding)?;
    let vad = vad()?;
    let (selection, recording, engine) = (
        common.selection()?,
        Recording::new(source)?,
        Engine::current(),
    );
    interrupt::run(|cancel| -> Result<_, Error> {
        let audio = recording.decode(&selection, cancel)?;
        let quality = assess(&engine, &vad, &audio.samples, cancel)?;
        let mut speaker = engine.speaker(&speaker)?;
        let voiceprint = stats::INFERENCE_US.time(|| speaker.embed(&audio.samples, cancel));
        let mut voiceprint = voiceprint.map_err(|e| recording.blame(e))?;
        similarity::normalize(&mut voiceprint);
        Ok(Heard {
            voiceprint,
            quality,
        })
    })
}

/// The model that tells speech from the rest.
///
/// # Errors
/// None in a sound installation.
pub fn vad() -> Result<Model, Error> {
    Model::find(VAD_MODEL, Task::VoiceActivityDetection)
}

/// Warns that a voiceprint was made of little speech.
pub fn warn_of_little_speech(source: &Source, ms: u64) {
    let message = format!(
        "{} holds {:.1} s of speech",
        source.describe(),
        ms as f64 / 1000.0
    );
    let hint = "Voiceprints of less than 1 s of speech are unreliable; 3 s and more are good. See ai_audio_quality.";
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai_audio")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// Speech in a recording, milliseconds, if it is less than a voiceprint should be made of; the search ends where there
/// is enough.
///
/// # Errors
/// [`diarize::Error::Cancelled`], [`speech::Error::Inference`]. Without the model nothing is known and nothing said.
pub fn short_speech(
    engine: &Engine,
    vad: &Model,
    samples: &[f32],
    cancel: &Cancel,
) -> Result<Option<u64>, Error> {
    let Ok(mut vad) = engine.load(vad, Vad::open) else {
        return Ok(None);
    };
    vad.reset();
    let mut spoken = 0;
    for part in samples.chunks(64 * WINDOW) {
        let speech = vad.probabilities(part, cancel)?;
        spoken += score::speech_ms(&speech);
        if spoken >= SHORT_MS {
            return Ok(None);
        }
    }
    Ok(Some(spoken))
}
