//! Same speaker or not: `ai_voice_verify` on voiceprints, `ai_audio_verify` on recordings.

use pgrx::IntoDatum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use voice::score::{Calibration, Measured, Side};

use crate::call::arguments::Args;
use crate::call::options;
use crate::call::rows::Record;
use crate::errors::Error;
use crate::steps::calibration::{chosen, prior, side, similarity};
use crate::steps::hearing;
use crate::vector::Vector;

/// What both forms take.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VoiceOptions {
    /// Speech in each recording, seconds.
    duration_a: Option<f64>,
    duration_b: Option<f64>,
    /// Whether a recording went through a telephone or another 8 kHz channel.
    narrowband_a: bool,
    narrowband_b: bool,
    /// Probability of the same speaker before hearing the two.
    prior: Option<f64>,
    /// A calibration of `ai_voice_calibrate`.
    calibration: Option<String>,
    /// The model that made the voiceprints.
    model: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AudioOptions {
    prior: Option<f64>,
    calibration: Option<String>,
    model: Option<String>,
    /// Whether only speech is heard; if not given, it is.
    vad: Option<bool>,
}

/// `ai_voice_verify(a, b [, options])`.
#[pg_extern]
fn ai_voice_verify(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared with two voiceprints, maybe options, and the OUT parameters of `verdict`.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) || args.is_null(1) {
        return Ok(None);
    }
    let options: VoiceOptions = options::own(args.maybe_options(2)?)?;
    let sides = [
        side("duration_a", options.duration_a, options.narrowband_a)?,
        side("duration_b", options.duration_b, options.narrowband_b)?,
    ];
    let calibration = chosen(
        options.calibration.as_deref(),
        options.model.as_deref(),
        Measured::Similarity,
    )?;
    let similarity = similarity(Some(args.voiceprint(0)?), Some(args.voiceprint(1)?))?;
    let verdict = verdict(similarity, &calibration, sides, prior(options.prior)?);
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &verdict) }?))
}

/// `ai_audio_verify(a, b [, options])`.
#[pg_extern]
fn ai_audio_verify(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared with two recordings, one of which may be a voiceprint, maybe options, and the OUT parameters of
    // `verdict`.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) || args.is_null(1) {
        return Ok(None);
    }
    let Some(verdict) = verify_recordings(&args)? else {
        return Ok(None);
    };
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &verdict) }?))
}

fn verify_recordings(args: &Args) -> Result<Option<Verdict>, Error> {
    let (common, options) = options::read::<AudioOptions>(args.maybe_options(2)?)?;
    if common.start_time.is_some() || common.end_time.is_some() {
        let message = "start_time and end_time are of one recording: cut with ai_audio_embed and compare with ai_voice_verify";
        return Err(Error::Options(message.into()));
    }
    let prior = prior(options.prior)?;
    let calibration = chosen(
        options.calibration.as_deref(),
        options.model.as_deref(),
        Measured::Similarity,
    )?;
    let speaker = hearing::speaker(options.model.as_deref())?;
    let of = |index| -> Result<(Vector, Side), Error> {
        if args.is_voiceprint(index) {
            return Ok((args.voiceprint(index)?, Side::default()));
        }
        let source = args.source(index)?;
        let heard = hearing::listen(&source, &common, &speaker, options.vad.unwrap_or(true))?;
        Ok((Vector(heard.voiceprint.clone()), heard.side()))
    };
    let Some((a, side_a)) = common.on_error.apply(of(0))? else {
        return Ok(None);
    };
    let Some((b, side_b)) = common.on_error.apply(of(1))? else {
        return Ok(None);
    };
    let similarity = similarity(Some(a), Some(b))?;
    Ok(Some(verdict(
        similarity,
        &calibration,
        [side_a, side_b],
        prior,
    )))
}

/// same_speaker, probability, similarity, threshold.
type Verdict = [Option<pg_sys::Datum>; 4];

fn verdict(
    similarity: Option<f64>,
    calibration: &Calibration,
    sides: [Side; 2],
    prior: f64,
) -> Verdict {
    let threshold = calibration.threshold(0.5, sides, prior);
    let probability = similarity.map(|s| calibration.probability(s, sides, prior));
    [
        similarity.and_then(|s| (s >= threshold).into_datum()),
        probability.and_then(IntoDatum::into_datum),
        similarity.and_then(IntoDatum::into_datum),
        threshold.into_datum(),
    ]
}
