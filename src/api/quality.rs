//! `ai_audio_quality`: whether a recording is fit to enrol a voice with.

use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::call::arguments::{Call, Shape};
use crate::call::options::{self, NoMore};
use crate::call::rows::Record;
use crate::steps::hearing;

/// `ai_audio_quality(source [, options])`.
#[pg_extern]
fn ai_audio_quality(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared in this shape in sql/, with the OUT parameters below.
    let Some(call) = unsafe { Call::read(fcinfo, Shape::Source) }? else {
        return Ok(None);
    };
    let (common, _) = options::read::<NoMore>(call.options)?;
    let assessed = hearing::assess(&call.source, &common);
    let Some(assessed) = common.on_error.apply(assessed)? else {
        return Ok(None);
    };
    let (quality, speakers) = (&assessed.0, assessed.1);
    let several = || {
        (speakers > 1)
            .then(|| format!("{speakers} people speak in it: a voiceprint would be of none"))
    };
    let objection = quality.objection().or_else(several);
    let row = [
        (quality.speech_ms as f64 / 1000.0).into_datum(),
        (quality.duration_ms as f64 / 1000.0).into_datum(),
        quality.snr_db.and_then(IntoDatum::into_datum),
        quality.clipping.into_datum(),
        quality.bandwidth_hz.and_then(|hz| (hz as i32).into_datum()),
        objection.is_none().into_datum(),
        objection.and_then(IntoDatum::into_datum),
        (speakers as i32).into_datum(),
    ];
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &row) }?))
}
