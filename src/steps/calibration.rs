//! From a similarity to a probability: which calibration, what is known of both sides, the prior.

use pgrx::prelude::*;
use voice::score::{self, Calibration, Measured, Side};
use voice::similarity::cosine;

use crate::errors::Error;
use crate::models::{Model, Task};
use crate::vector::Vector;

/// The model whose calibration serves where none is named.
pub const USUAL_MODEL: &str = "audio_embedding";

/// The calibration of a name, else the one that comes with the model.
///
/// # Errors
/// [`Error::Argument`] if there is none.
pub fn chosen(
    name: Option<&str>,
    model: Option<&str>,
    measured: Measured,
) -> Result<Calibration, Error> {
    match name {
        Some(name) => stored(name),
        None => standard(model.unwrap_or(USUAL_MODEL), measured),
    }
}

/// The calibration that serves where neither a name nor a model is given.
///
/// # Errors
/// None in a sound installation.
pub fn usual(measured: Measured) -> Result<Calibration, Error> {
    standard(USUAL_MODEL, measured)
}

fn standard(model: &str, measured: Measured) -> Result<Calibration, Error> {
    let model = Model::find(model, Task::SpeakerEmbedding)?.name;
    let none = || {
        Error::Argument(format!(
            "there is no calibration for model \"{model}\": fit one with ai_voice_calibrate and name it in option \"calibration\""
        ))
    };
    score::standard(&model)
        .map(|s| *s.of(measured))
        .ok_or_else(none)
}

fn stored(name: &str) -> Result<Calibration, Error> {
    // One of 0.1.0 has no bounds: then they are those of as many pairs without an error.
    let query = "SELECT score, score_shortness, intercept, shortness,
                        coalesce(lowest, -pg_catalog.ln(same_pairs OPERATOR(pg_catalog.+) 1.0)::pg_catalog.float8) AS lowest,
                        coalesce(highest, pg_catalog.ln(pairs OPERATOR(pg_catalog.-) same_pairs OPERATOR(pg_catalog.+) 1.0)::pg_catalog.float8) AS highest
                 FROM ai_audio.calibrations WHERE name OPERATOR(pg_catalog.=) $1";
    Spi::connect(|client| {
        let rows = client.select(query, Some(1), &[name.into()])?;
        let Some(row) = rows.into_iter().next() else {
            return Err(Error::Argument(format!(
                "there is no calibration \"{name}\": see the table ai_audio.calibrations"
            )));
        };
        let value =
            |column: &str| -> Result<f64, Error> { Ok(row[column].value()?.unwrap_or_default()) };
        Ok(Calibration {
            score: value("score")?,
            score_shortness: value("score_shortness")?,
            intercept: value("intercept")?,
            shortness: value("shortness")?,
            both_narrow: 0.0,
            one_narrow: 0.0,
            lowest: value("lowest")?,
            highest: value("highest")?,
        })
    })
}

/// What is known of one side.
///
/// # Errors
/// [`Error::Options`] for a duration that is none.
pub fn side(option: &str, seconds: Option<f64>, narrow: bool) -> Result<Side, Error> {
    match seconds {
        None => Ok(Side {
            narrow,
            ..Side::default()
        }),
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Side { seconds, narrow }),
        Some(wrong) => Err(Error::Options(format!(
            "option \"{option}\" is a number of seconds, not {wrong}"
        ))),
    }
}

/// The prior, 0.5 if not given.
///
/// # Errors
/// [`Error::Options`] outside 0 to 1.
pub fn prior(prior: Option<f64>) -> Result<f64, Error> {
    match prior.unwrap_or(0.5) {
        p if p > 0.0 && p < 1.0 => Ok(p),
        p => Err(Error::Options(format!(
            "option \"prior\" is a probability between 0 and 1, not {p}"
        ))),
    }
}

/// Length of a voiceprint without the zeros that option `dimensions` appends.
pub fn without_padding(voiceprint: &[f32]) -> usize {
    let last = voiceprint.iter().rposition(|x| *x != 0.0);
    last.map_or(0, |at| at + 1)
}

/// The similarity of two voiceprints, of which one may be padded with zeros; nothing if either is missing or zero.
///
/// # Errors
/// [`Error::Argument`] for different dimensions.
pub fn similarity(a: Option<Vector>, b: Option<Vector>) -> Result<Option<f64>, Error> {
    let (Some(Vector(mut a)), Some(Vector(mut b))) = (a, b) else {
        return Ok(None);
    };
    let common = a.len().min(b.len());
    if without_padding(&a) <= common && without_padding(&b) <= common {
        a.truncate(common);
        b.truncate(common);
    }
    if a.len() != b.len() {
        let message = format!(
            "different dimensions: {} and {}; voiceprints of different models cannot be compared",
            a.len(),
            b.len()
        );
        return Err(Error::Argument(message));
    }
    Ok(cosine(&a, &b))
}
