//! `ai_audio_embed`: a recording's voiceprint.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use voice::similarity;

use crate::call::arguments::{Call, Shape};
use crate::call::options;
use crate::errors::Error;
use crate::models::{Model, Task};
use crate::steps::hearing;
use crate::steps::padding;
use crate::vector::Vector;

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
    // SAFETY: declared in this shape in sql/.
    let call = unsafe { Call::read(fcinfo, Shape::ModelFirst) }?;
    Ok(call.map(embed).transpose()?.flatten())
}

fn embed(call: Call) -> Result<Option<Vector>, Error> {
    let (common, own) = options::read::<EmbedOptions>(call.options)?;
    let model = Model::find(
        call.model.as_deref().unwrap_or("audio_embedding"),
        Task::SpeakerEmbedding,
    )?;
    let own_dimensions = model.dimensions.unwrap_or(1) as usize;
    let dimensions = match own.dimensions {
        Some(wanted) => padding::wide("option \"dimensions\"", wanted, own_dimensions)?,
        None => padding::usual(own_dimensions)?,
    };
    let heard = hearing::listen(&call.source, &common, &model, own.vad.unwrap_or(true));
    let Some(heard) = common.on_error.apply(heard)? else {
        return Ok(None);
    };
    let mut voiceprint = heard.voiceprint.clone();
    if own.normalize {
        similarity::normalize(&mut voiceprint);
    }
    voiceprint.resize(dimensions.max(voiceprint.len()), 0.0);
    Ok(Some(Vector(voiceprint)))
}
