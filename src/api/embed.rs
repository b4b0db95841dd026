//! `ai_audio_embed`: a recording's voiceprint.

use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use voice::similarity;

use crate::call::arguments::{Call, Calls, Shape, Source};
use crate::call::clip::MOST;
use crate::call::options::{self, Common};
use crate::call::rows::Record;
use crate::errors::Error;
use crate::models::Model;
use crate::steps::hearing::{self, Heard};
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
    let wanted = Wanted::read(call.model.as_deref(), call.options)?;
    let Wanted { common, model, .. } = &wanted;
    let heard = hearing::listen(&call.source, common, model, wanted.only_speech);
    let heard = common.on_error.apply(heard)?;
    Ok(heard.map(|heard| wanted.shaped(&heard)))
}

/// Recordings of an array that are opened together.
const TOGETHER: usize = 64;

/// `ai_audio_embed(source[])` and so on: the voiceprint of each recording in an array, NULL for one that is NULL.
#[pg_extern]
fn ai_audio_embed_all(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<Option<Vec<Option<Vector>>>, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let calls = unsafe { Calls::read(fcinfo) }?;
    Ok(calls.map(embed_all).transpose()?)
}

fn embed_all(calls: Calls) -> Result<Vec<Option<Vector>>, Error> {
    let wanted = Wanted::read(calls.model.as_deref(), calls.options)?;
    let Wanted { common, model, .. } = &wanted;
    let all = calls.sources.len();
    let bytes = all.saturating_mul(wanted.dimensions * size_of::<f32>() + 16);
    if bytes > MOST {
        return Err(Error::Argument(format!(
            "the voiceprints of {all} recordings are more than the 1 GB that an array holds: pass fewer at a time"
        )));
    }
    let mut voiceprints = Vec::with_capacity(all);
    for first in (0..all).step_by(TOGETHER) {
        let some = first..all.min(first + TOGETHER);
        let sources = some.map(|i| calls.sources.get(i));
        let sources = sources.collect::<Result<Vec<Option<Source>>, Error>>()?;
        let place = (first, all);
        let heard = hearing::listen_to_all(&sources, place, common, model, wanted.only_speech)?;
        for one in heard {
            let heard = common.on_error.apply(one)?.flatten();
            voiceprints.push(heard.map(|heard| wanted.shaped(&heard)));
        }
    }
    Ok(voiceprints)
}

/// What is wanted of recordings.
struct Wanted {
    common: Common,
    model: Model,
    only_speech: bool,
    normalize: bool,
    dimensions: usize,
}

impl Wanted {
    fn read(model: Option<&str>, options: Map<String, Value>) -> Result<Self, Error> {
        let (common, own) = options::read::<EmbedOptions>(options)?;
        let model = hearing::speaker(model)?;
        let own_dimensions = model.dimensions.unwrap_or(1) as usize;
        Ok(Wanted {
            dimensions: match own.dimensions {
                Some(wanted) => padding::wide("option \"dimensions\"", wanted, own_dimensions)?,
                None => padding::usual(own_dimensions)?,
            },
            common,
            model,
            only_speech: own.vad.unwrap_or(true),
            normalize: own.normalize,
        })
    }

    fn shaped(&self, heard: &Heard) -> Vector {
        shaped(heard, self.normalize, self.dimensions)
    }
}

/// The voiceprint, brought to norm 1 where that is wanted, and padded to a length.
fn shaped(heard: &Heard, normalize: bool, length: usize) -> Vector {
    let mut voiceprint = heard.voiceprint.clone();
    if normalize {
        similarity::normalize(&mut voiceprint);
    }
    voiceprint.resize(length.max(voiceprint.len()), 0.0);
    Vector(voiceprint)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RowOptions {
    /// The model; the usual one if not given.
    model: Option<String>,
    /// As in [`EmbedOptions`].
    normalize: bool,
    vad: Option<bool>,
}

/// `ai_audio_embed_row(source [, options])`: the voiceprint and what is known of the recording, from one decoding; what
/// is wrong with the recording is in the row, everything else is raised.
#[pg_extern]
fn ai_audio_embed_row(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared in this shape in sql/, with the OUT parameters of `row`.
    let Some(call) = unsafe { Call::read(fcinfo, Shape::Source) }? else {
        return Ok(None);
    };
    let row = row(call)?;
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &row) }?))
}

fn row(call: Call) -> Result<[Option<pg_sys::Datum>; 7], Error> {
    let (common, own) = options::read::<RowOptions>(call.options)?;
    let model = hearing::speaker(own.model.as_deref())?;
    match hearing::listen(&call.source, &common, &model, own.vad.unwrap_or(true)) {
        Ok(heard) => {
            let length = padding::usual(model.dimensions.unwrap_or(1) as usize)?;
            let quality = &heard.quality;
            Ok([
                shaped(&heard, own.normalize, length).into_datum(),
                (quality.speech_ms as f64 / 1000.0).into_datum(),
                quality.snr_db.and_then(IntoDatum::into_datum),
                quality.bandwidth_hz.and_then(|hz| (hz as i32).into_datum()),
                quality.objection().is_none().into_datum(),
                None,
                None,
            ])
        }
        Err(error) if error.is_about_the_recording() => {
            let (state, message) = (
                error.sqlstate().into_datum(),
                error.to_string().into_datum(),
            );
            Ok([None, None, None, None, None, state, message])
        }
        Err(error) => Err(error),
    }
}
