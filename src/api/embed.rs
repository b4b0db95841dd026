//! `ai_audio_embed`: a recording's voiceprint.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use voice::similarity;

use crate::call::arguments::Call;
use crate::call::options;
use crate::errors::Error;
use crate::models::{Model, Task};
use crate::steps::hearing;
use crate::vector::{MAX_DIMENSIONS, Vector};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EmbedOptions {
    /// Length of the result: zeros are appended, which changes neither cosine nor L2 distance.
    dimensions: Option<u32>,
    /// Scale to norm 1.
    normalize: bool,
    /// Whether only speech is heard; if not given, it is.
    vad: Option<bool>,
}

/// `ai_audio_embed(source)`, `(model, source)`, `(model, source, options)`: the voiceprint of a recording.
#[pg_extern]
fn ai_audio_embed(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Vector>, ErrorReport> {
    // SAFETY: declared in these shapes in sql/, all of them STRICT.
    Ok(unsafe { Call::model_first(fcinfo) }.and_then(embed)?)
}

fn embed(call: Call) -> Result<Option<Vector>, Error> {
    let (common, own) = options::read::<EmbedOptions>(call.options)?;
    let model = Model::find(
        call.model.as_deref().unwrap_or("audio_embedding"),
        Task::SpeakerEmbedding,
    )?;
    let dimensions = own
        .dimensions
        .map(|d| padded_dimensions(d, &model))
        .transpose()?;
    let heard = hearing::listen(&call.source, &common, &model, own.vad.unwrap_or(true));
    let Some(heard) = common.on_error.apply(heard)? else {
        return Ok(None);
    };
    hearing::warn_of_little_speech(&call.source, &heard.quality);
    let mut voiceprint = heard.voiceprint;
    if own.normalize {
        similarity::normalize(&mut voiceprint);
    }
    voiceprint.resize(dimensions.unwrap_or(0).max(voiceprint.len()), 0.0);
    Ok(Some(Vector(voiceprint)))
}

fn padded_dimensions(wanted: u32, model: &Model) -> Result<usize, Error> {
    let wanted = wanted as usize;
    let own = model.dimensions.unwrap_or(1) as usize;
    if (own..=MAX_DIMENSIONS).contains(&wanted) {
        return Ok(wanted);
    }
    let why = format!(
        "option \"dimensions\": model \"{}\" makes {own} dimensions, which can be padded to at most {MAX_DIMENSIONS}, \
         not brought to {wanted}",
        model.name
    );
    Err(Error::Options(why))
}
