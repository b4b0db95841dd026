//! `ai_audio_quality`: whether a recording is fit to enrol a voice with.

use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use voice::score::Quality;

use crate::call::arguments::{Call, Source};
use crate::call::options::{self, Common, NoMore};
use crate::call::recording::Recording;
use crate::call::rows::Record;
use crate::errors::Error;
use crate::models::Engine;
use crate::steps::hearing;
use crate::{interrupt, stats};

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
    let (engine, vad) = (Engine::current(), hearing::vad()?);
    interrupt::run(|cancel| {
        let audio = recording.decode(&selection, cancel)?;
        hearing::assess(&engine, &vad, &audio.samples, cancel)
    })
}
