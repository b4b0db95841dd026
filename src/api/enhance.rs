//! `ai_audio_enhance`: a recording with less noise.

use audio::resample::Resampler;
use enhance::Enhancer;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;

use crate::call::arguments::{Call, Shape, Source};
use crate::call::cleaning;
use crate::call::clip::Format;
use crate::call::options::{self, Common};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::progress::Stage;
use crate::{interrupt, stats};

/// Rates of the result, Hz.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=48_000;
/// More than what 16 bits tell apart.
const MOST_DB: f64 = 100.0;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EnhanceOptions {
    model: Option<String>,
    format: Format,
    /// What noise is lowered by at most, dB.
    strength: Option<f64>,
    /// Of the result, Hz; the network's if there is none.
    sample_rate: Option<u32>,
}

/// `ai_audio_enhance(source [, options])`: the recording with less noise, as a recording.
#[pg_extern]
fn ai_audio_enhance(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Vec<u8>>, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let Some(call) = unsafe { Call::read(fcinfo, Shape::Source) }? else {
        return Ok(None);
    };
    let (common, own) = options::read::<EnhanceOptions>(call.options)?;
    common.as_it_is("ai_audio_enhance")?;
    let limit_db = own.limit_db()?;
    let file = enhance(&call.source, &common, &own, limit_db);
    Ok(common.on_error.apply(file)?)
}

impl EnhanceOptions {
    fn rate(&self) -> Result<Option<u32>, Error> {
        match self.sample_rate {
            Some(rate) if !RATES.contains(&rate) => Err(Error::Options(format!(
                "option \"sample_rate\" is between {} and {} Hz, not {rate}",
                RATES.start(),
                RATES.end()
            ))),
            rate => Ok(rate),
        }
    }

    fn limit_db(&self) -> Result<f32, Error> {
        match self.strength {
            Some(db) if !(0.0..=MOST_DB).contains(&db) => Err(Error::Options(format!(
                "option \"strength\" is between 0 and {MOST_DB} dB, not {db}"
            ))),
            Some(db) => Ok(db as f32),
            None => Ok(f32::INFINITY),
        }
    }
}

fn enhance(
    source: &Source,
    common: &Common,
    own: &EnhanceOptions,
    limit_db: f32,
) -> Result<Vec<u8>, Error> {
    let rate = own.rate()?;
    stats::CALLS.add(1);
    let model = own.model.as_deref().unwrap_or(cleaning::USUAL);
    let model = Model::find(model, Task::SpeechEnhancement)?;
    let (mut selection, recording, engine) = (
        common.selection()?,
        Recording::new(source, &common.access)?,
        Engine::current(),
    );
    interrupt::run(|cancel| -> Result<_, Error> {
        let mut network = engine.load(&model, Enhancer::open)?;
        selection.sample_rate = network.sample_rate();
        let rate = rate.unwrap_or(network.sample_rate());
        let mut stream = network.stream(limit_db);
        let between = Resampler::between(selection.sample_rate, rate);
        let mut resampler = between.map_err(|e| recording.blame(Error::Decoding(e)))?;
        let mut file = own.format.writer(rate);
        let mut out = Vec::new();
        recording.stream(&selection, Stage::Enhancing, cancel, |piece| {
            let done = stats::INFERENCE_US.time(|| stream.push(piece, cancel));
            out.clear();
            resampler.push(&done?, &mut out);
            file.push(&out)
        })?;
        let rest = stats::INFERENCE_US.time(|| stream.finish(cancel));
        out.clear();
        resampler.push(&rest?, &mut out);
        resampler.finish(&mut out);
        file.push(&out)?;
        file.finish()
    })
}
