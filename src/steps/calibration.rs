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

/// Whether a model, the usual one if none is named, comes with a calibration, also of normalised scores.
///
/// # Errors
/// [`Error::UnknownModel`], [`Error::WrongTask`].
pub fn comes_with(model: Option<&str>) -> Result<bool, Error> {
    let model = Model::find(model.unwrap_or(USUAL_MODEL), Task::SpeakerEmbedding)?;
    Ok(score::standard(&model.name).is_some())
}

/// The calibration that came with a model, else the user's last one for it.
fn standard(model: &str, measured: Measured) -> Result<Calibration, Error> {
    let model = Model::find(model, Task::SpeakerEmbedding)?.name;
    if let Some(standard) = score::standard(&model) {
        return Ok(*standard.of(measured));
    }
    let last = "WHERE model OPERATOR(pg_catalog.=) $1 ORDER BY fitted_at DESC, name";
    kept(last, &model)?.ok_or_else(|| {
        Error::Argument(format!(
            "there is no calibration for model \"{model}\": fit one with ai_voice_calibrate(query, model => '{model}'), or name another in \
             option \"calibration\""
        ))
    })
}

fn stored(name: &str) -> Result<Calibration, Error> {
    kept("WHERE name OPERATOR(pg_catalog.=) $1", name)?.ok_or_else(|| {
        Error::Argument(format!(
            "there is no calibration \"{name}\": see the table ai_audio.calibrations"
        ))
    })
}

/// The first of the user's calibrations that a condition on a name selects.
fn kept(which: &str, name: &str) -> Result<Option<Calibration>, Error> {
    // One of 0.1.0 has no bounds: then they are those of as many pairs without an error.
    let query = format!("SELECT score, score_shortness, intercept, shortness,
                        coalesce(lowest, -pg_catalog.ln(same_pairs OPERATOR(pg_catalog.+) 1.0)::pg_catalog.float8) AS lowest,
                        coalesce(highest, pg_catalog.ln(pairs OPERATOR(pg_catalog.-) same_pairs OPERATOR(pg_catalog.+) 1.0)::pg_catalog.float8) AS highest
                 FROM ai_audio.calibrations {which}");
    Spi::connect(|client| {
        let rows = client.select(&query, Some(1), &[name.into()])?;
        let Some(row) = rows.into_iter().next() else {
            return Ok(None);
        };
        let value =
            |column: &str| -> Result<f64, Error> { Ok(row[column].value()?.unwrap_or_default()) };
        Ok(Some(Calibration {
            score: value("score")?,
            score_shortness: value("score_shortness")?,
            intercept: value("intercept")?,
            shortness: value("shortness")?,
            both_narrow: 0.0,
            one_narrow: 0.0,
            lowest: value("lowest")?,
            highest: value("highest")?,
        }))
    })
}

/// The models that the user has fitted calibrations for.
///
/// # Errors
/// [`Error::Spi`].
pub fn fitted_models() -> Result<Vec<String>, Error> {
    let query = "SELECT DISTINCT model FROM ai_audio.calibrations WHERE model IS NOT NULL";
    Spi::connect(|client| {
        let rows = client.select(query, None, &[])?;
        let names = rows.map(|row| Ok(row["model"].value::<String>()?));
        let names: Result<Vec<Option<String>>, Error> = names.collect();
        Ok(names?.into_iter().flatten().collect())
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
