//! `ai_voice_identify(probe, library [, options])`: whose voice it is, from a library of any size, or nobody's.

use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::Map;

use crate::call::arguments::Args;
use crate::call::rows::Record;
use crate::steps::identify::identify;
use crate::vector::Vector;

/// `ai_voice_identify(probe, library [, options])`.
#[pg_extern]
fn ai_voice_identify(fcinfo: pg_sys::FunctionCallInfo) -> Result<Record, ErrorReport> {
    // SAFETY: declared strict, with a vector, a regclass, maybe options, and the OUT parameters below.
    let args = unsafe { Args::new(fcinfo) };
    let given = if args.count() > 2 {
        args.options(2)?
    } else {
        Map::new()
    };
    let found = identify(args.get::<Vector>(0)?, args.get::<pg_sys::Oid>(1)?, given)?;
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
    Ok(unsafe { Record::new(fcinfo, &row) }?)
}
