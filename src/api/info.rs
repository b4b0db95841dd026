//! What there is to know: about a recording, about this installation, about this backend's work.

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::call::arguments::{Call, Shape};
use crate::call::options;
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::Engine;
use crate::{interrupt, progress, stats};

/// Options of `ai_audio_info`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct InfoOptions {
    /// Decode all of it, to tell what is damaged.
    check: bool,
}

/// `ai_audio_info(source)`: container, codec, sample rate, channels, duration and damage.
#[pg_extern]
fn ai_audio_info(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<JsonB>, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let call = unsafe { Call::read(fcinfo, Shape::Source) }?;
    Ok(call.map(info).transpose()?.flatten())
}

fn info(call: Call) -> Result<Option<JsonB>, Error> {
    let (common, own) = options::read::<InfoOptions>(call.options)?;
    common.as_it_is("ai_audio_info")?;
    let probed = Recording::new(&call.source, &common.access).and_then(|recording| {
        interrupt::run(|cancel| -> Result<_, Error> {
            let input = recording.open(cancel)?;
            let probed = if own.check {
                audio::check(&input, cancel.flag()).map(|(info, damaged)| (info, Some(damaged)))
            } else {
                // Plain samples can be anything, so nothing tells that they are damaged.
                audio::probe(&input, cancel.flag()).map(|info| {
                    let plain = info.codec.starts_with("pcm_");
                    (info, plain.then_some(0))
                })
            };
            probed.map_err(|error| recording.blame(Error::Decoding(error)))
        })
    });
    let probed = common.on_error.apply(probed)?;
    Ok(probed.map(|(i, damaged)| {
        JsonB(json!({
            "container": i.container,
            "codec": i.codec,
            "sample_rate": i.sample_rate,
            "channels": i.channels,
            "duration": i.duration_ms,
            "damaged_ms": damaged,
        }))
    }))
}

/// `ai_audio_version()`: the extension, the ONNX Runtime it uses, and how it was built.
#[pg_extern]
#[allow(clippy::type_complexity)]
fn ai_audio_version() -> TableIterator<
    'static,
    (
        name!(extension, String),
        name!(onnxruntime, String),
        name!(build, String),
        name!(runs_on, Option<String>),
    ),
> {
    let engine = Engine::current();
    progress::named("ai_audio_version", "");
    let runtime = interrupt::run(|_| {
        let version = engine.runtime()?.version().to_string();
        Ok::<_, Error>((version, engine.place()?))
    });
    let (onnxruntime, runs_on) = match runtime {
        Ok((version, place)) => (version, Some(place)),
        Err(e) => (format!("unavailable: {e}"), None),
    };
    let build = format!(
        "PostgreSQL {}, {}, {}",
        pg_sys::PG_VERSION.to_string_lossy(),
        std::env::consts::ARCH,
        if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        }
    );
    TableIterator::once((
        env!("CARGO_PKG_VERSION").to_string(),
        onnxruntime,
        build,
        runs_on,
    ))
}

/// `ai_audio_stats()`: what this backend has done so far.
#[pg_extern]
#[allow(clippy::type_complexity)]
fn ai_audio_stats() -> TableIterator<
    'static,
    (
        name!(calls, i64),
        name!(audio_seconds, f64),
        name!(decode_ms, f64),
        name!(inference_ms, f64),
        name!(model_loads, i64),
        name!(llm_calls, i64),
        name!(llm_tokens, i64),
        name!(llm_ms, f64),
    ),
> {
    let ms = |c: &stats::Counter| c.get() as f64 / 1000.0;
    TableIterator::once((
        stats::CALLS.get() as i64,
        ms(&stats::AUDIO_MS),
        ms(&stats::DECODE_US),
        ms(&stats::INFERENCE_US),
        stats::MODEL_LOADS.get() as i64,
        stats::LLM_CALLS.get() as i64,
        stats::LLM_TOKENS.get() as i64,
        ms(&stats::LLM_US),
    ))
}
