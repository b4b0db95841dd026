//! `ai_audio_quality`: whether a recording is fit to enrol a voice with; and speech-aware listening for others.

use onnx::Cancel;
use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use vad::{Vad, WINDOW};
use voice::score::{self, Quality, SHORT_MS, Side};
use voice::similarity;

use crate::api::call::{Call, Source};
use crate::api::input::Recording;
use crate::api::options::{self, Common, NoMore};
use crate::api::record::Record;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::{interrupt, stats};

const VAD_MODEL: &str = "silero_vad_v6";

/// `ai_audio_quality(source [, options])`.
#[pg_extern]
fn ai_audio_quality(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared strict with a source, maybe options, and the OUT parameters below.
    let call = unsafe { Call::source_first(fcinfo) }?;
    let (common, _) = options::read::<NoMore>(call.options)?;
    let Some(quality) = common.on_error.apply(quality_of(&call.source, &common))? else {
        return Ok(None);
    };
    let objection = quality.objection();
    let row = [
        (quality.speech_ms as f64 / 1000.0).into_datum(),
        (quality.duration_ms as f64 / 1000.0).into_datum(),
        quality.snr_db.and_then(IntoDatum::into_datum),
        quality.clipping.into_datum(),
        quality.bandwidth_hz.and_then(|hz| (hz as i32).into_datum()),
        objection.is_none().into_datum(),
        objection.and_then(IntoDatum::into_datum),
    ];
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &row) }?))
}

fn quality_of(source: &Source, common: &Common) -> Result<Quality, Error> {
    stats::CALLS.add(1);
    let (selection, recording) = (common.selection()?, Recording::new(source)?);
    let (engine, vad) = (Engine::current(), vad()?);
    interrupt::run(|cancel| {
        let audio = recording.decode(&selection, cancel)?;
        assess(&engine, &vad, &audio.samples, cancel)
    })
}

fn assess(
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
/// [`onnx::Error::Cancelled`], [`onnx::Error::Inference`]. Without the model nothing is known and nothing said.
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
