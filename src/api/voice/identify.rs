//! `ai_voice_identify(probe, library [, options])`: whose voice it is, from a library of any size, or nobody's.

use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use serde::Deserialize;

use crate::call::arguments::Args;
use crate::call::options;
use crate::call::rows::Record;
use crate::errors::Error;
use crate::steps::hearing;
use crate::steps::identify::{Candidate, IdentifyOptions, Probe, identify, least, rank};
use crate::vector::Vector;

/// The most names that `ai_audio_identify` shows.
const MOST: u32 = 1000;

/// `ai_voice_identify(probe, library [, options])`.
#[pg_extern]
fn ai_voice_identify(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared with a vector, a regclass, maybe options, and the OUT parameters below.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) {
        return Ok(None);
    }
    let (probe, library) = (args.voiceprint(0)?, library(&args)?);
    let found = identify(probe, library, args.maybe_options(2)?)?;
    let best = found.as_ref();
    let row = [
        best.and_then(|b| b.name.clone())
            .and_then(IntoDatum::into_datum),
        best.and_then(|b| b.probability.into_datum()),
        best.and_then(|b| b.similarity.into_datum()),
        best.and_then(|b| b.margin).and_then(IntoDatum::into_datum),
        best.and_then(|b| b.nearest.clone().into_datum()),
        best.and_then(|b| b.runner_up.clone())
            .and_then(IntoDatum::into_datum),
        best.and_then(|b| b.score).and_then(IntoDatum::into_datum),
    ];
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &row) }?))
}

/// What `ai_audio_identify` takes beside the options of `ai_voice_identify`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AudioOptions {
    /// Names to show, best first; if not given, the one that fits or none.
    top_k: Option<u32>,
    /// Names to search among.
    names: Option<Vec<String>>,
    /// Whether only speech is heard; if not given, it is.
    vad: Option<bool>,
}

/// The table to search. NULL for it would say "nobody" of whoever is in the table that was meant.
fn library(args: &Args) -> Result<pg_sys::Oid, Error> {
    if args.is_null(1) {
        return Err(Error::NullArgument {
            name: "library",
            hint: "It is a table with names and voiceprints, as text or regclass.",
        });
    }
    args.relation(1)
}

type Row = (i32, String, f64, f64);

/// `ai_audio_identify(source, library [, options])`: whose voice a recording is.
#[pg_extern]
fn ai_audio_identify(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(rank, i32),
            name!(name, String),
            name!(probability, f64),
            name!(similarity, f64),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared with a recording, a table, maybe options, and the OUT parameters above.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) {
        return Ok(TableIterator::empty());
    }
    Ok(TableIterator::new(identify_recording(&args)?))
}

fn identify_recording(args: &Args) -> Result<Vec<Row>, Error> {
    let (common, mut asked, own) =
        options::read_two::<IdentifyOptions, AudioOptions>(args.maybe_options(2)?)?;
    let top = own.top_k.unwrap_or(1);
    if !(1..=MOST).contains(&top) {
        return Err(Error::Options(format!(
            "option \"top_k\" is between 1 and {MOST}, not {top}"
        )));
    }
    // Who asks for several wants to see them, however they fit.
    let usual = if own.top_k.is_some() { 0.0 } else { 0.5 };
    let least = least(asked.min_probability)?.unwrap_or(usual);
    let names = own.names;
    asked.candidates = asked.candidates.max(Some(top.max(20)));
    let library = library(args)?;
    // Among no names is nobody.
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let model = hearing::speaker(asked.model.as_deref())?;
    let heard = hearing::listen(&args.source(0)?, &common, &model, own.vad.unwrap_or(true));
    let Some(heard) = common.on_error.apply(heard)? else {
        return Ok(Vec::new());
    };
    let probe = Probe {
        voice: Vector(heard.voiceprint.clone()),
        side: Some(heard.side()),
    };
    let found = rank(probe, library, &asked, &names.unwrap_or_default())?;
    let row = |(i, c): (usize, Candidate)| (i as i32 + 1, c.name, c.probability, c.similarity);
    Ok(found
        .into_iter()
        .take(top as usize)
        .enumerate()
        .map(row)
        .filter(|row| row.2 >= least)
        .collect())
}
