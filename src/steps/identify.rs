//! Whose voice it is, from a library of any size, or nobody's.
//!
//! Scores of the nearest rows are normalised against a cohort, a sample of the library's other voices, so that channel
//! and language of the library do not shift them (AS-norm), and calibrated. The best name competes with the runners-up
//! and with "nobody".

use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Map;
use voice::score::{Calibration, Measured, Side, as_norm};
use voice::similarity::cosine;

use crate::call::options;
use crate::errors::Error;
use crate::steps::calibration::{chosen, comes_with, prior, side};
use crate::steps::library::{Library, Voice};
use crate::vector::Vector;

/// Nearest rows that are looked at, unless asked otherwise; fewer than hnsw.ef_search by default.
const CANDIDATES: u32 = 20;

/// Options of `ai_voice_identify`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentifyOptions {
    /// The library's column of names; "name" if not given.
    name: Option<String>,
    /// Its column of voiceprints; its only vector column if not given.
    voiceprint: Option<String>,
    /// Speech in the probe, and in the library's recordings, seconds.
    duration: Option<f64>,
    library_duration: Option<f64>,
    /// Whether they went through a telephone or another 8 kHz channel.
    narrowband: bool,
    library_narrowband: bool,
    /// Nearest rows to look at.
    pub candidates: Option<u32>,
    /// Probability that the speaker is in the library at all, before hearing.
    prior: Option<f64>,
    /// The least probability for a name.
    pub min_probability: Option<f64>,
    /// Whether to normalise against a sample of the library.
    normalize: Option<bool>,
    /// A calibration of `ai_voice_calibrate`; not together with `normalize`.
    calibration: Option<String>,
    /// The model that made the voiceprints.
    pub model: Option<String>,
}

/// What was found.
pub struct Identified {
    /// The nearest name, if it fits.
    pub name: Option<String>,
    /// That it is the nearest name.
    pub probability: f64,
    /// Of the nearest row.
    pub similarity: f64,
    /// Similarity above the runner-up.
    pub margin: Option<f64>,
    /// Its name.
    pub nearest: String,
    /// The next name.
    pub runner_up: Option<String>,
    /// AS-norm.
    pub score: Option<f64>,
}

/// A voice that was heard.
#[derive(Clone)]
pub struct Probe {
    /// Its voiceprint.
    pub voice: Vector,
    /// What is known of the recording, where that was measured.
    pub side: Option<Side>,
}

/// A name of the library and how well it fits.
pub struct Candidate {
    /// As the library has it.
    pub name: String,
    /// That it is this one.
    pub probability: f64,
    /// Of its nearest row.
    pub similarity: f64,
    /// AS-norm.
    pub score: Option<f64>,
}

/// Whose voice in a library the probe is, with the options of `ai_voice_identify`; `None` if the library is empty.
///
/// # Errors
/// [`Error::Argument`] and [`Error::Options`] for columns and options, and what Postgres says of privileges.
pub fn identify(
    probe: Vector,
    library: pg_sys::Oid,
    given: Map<String, serde_json::Value>,
) -> Result<Option<Identified>, Error> {
    let options: IdentifyOptions = options::own(given)?;
    let least = least(options.min_probability)?.unwrap_or(0.5);
    let probe = Probe {
        voice: probe,
        side: None,
    };
    let all = rank(probe, library, &options, &[])?;
    let Some(best) = all.first() else {
        return Ok(None);
    };
    let runner_up = all.get(1);
    Ok(Some(Identified {
        name: (best.probability >= least).then(|| best.name.clone()),
        probability: best.probability,
        similarity: best.similarity,
        margin: runner_up.map(|r| best.similarity - r.similarity),
        nearest: best.name.clone(),
        runner_up: runner_up.map(|r| r.name.clone()),
        score: best.score,
    }))
}

/// The names of a library by how near they are, nearest first, among `names` if there are any.
///
/// # Errors
/// As [`identify`].
pub fn rank(
    probe: Probe,
    library: pg_sys::Oid,
    options: &IdentifyOptions,
    names: &[String],
) -> Result<Vec<Candidate>, Error> {
    let given = side("duration", options.duration, options.narrowband)?;
    let sides = [
        probe.side.unwrap_or(given),
        side(
            "library_duration",
            options.library_duration,
            options.library_narrowband,
        )?,
    ];
    let prior = prior(options.prior)?;
    let scale = Scale::of(options)?;
    let library = Library::find(
        library,
        options.name.as_deref(),
        options.voiceprint.as_deref(),
    )?;
    let probe = library.fitted(probe.voice)?;
    let count = options.candidates.unwrap_or(CANDIDATES);
    let candidates = best_of_each_name(library.nearest(&probe, count, names)?);
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let cohort = if scale.normalised.is_some() {
        library.cohort(&probe)?
    } else {
        Vec::new()
    };
    let rated: Vec<Rated> = candidates
        .iter()
        .map(|c| scale.rate(c, &cohort, sides))
        .collect();
    // The speaker is in the library with probability `prior`, and every row was equally likely to be theirs.
    let rows = match names.len() {
        0 => library.rows()?,
        some => library.rows()?.min(some as f64),
    };
    let odds = prior / (1.0 - prior) / rows;
    // Candidates and "nobody" are exclusive hypotheses; ratios are scaled by the largest so that none overflows.
    let top = rated.iter().map(|r| r.llr).fold(0.0, f64::max);
    let weight = |llr: f64| odds * (llr - top).exp();
    let all: f64 = rated.iter().map(|r| weight(r.llr)).sum::<f64>() + (-top).exp();
    // However far a candidate is ahead, it is no surer than one comparison can make it.
    let surest = |r: &Rated| prior / (prior + (1.0 - prior) * (-r.highest).exp());
    let candidate = |(voice, r): (Voice, Rated)| Candidate {
        name: voice.name,
        probability: (weight(r.llr) / all).min(surest(&r)),
        similarity: voice.similarity,
        score: r.score,
    };
    Ok(candidates.into_iter().zip(rated).map(candidate).collect())
}

/// The least probability that was asked for.
///
/// # Errors
/// [`Error::Options`] outside 0 to 1.
pub fn least(probability: Option<f64>) -> Result<Option<f64>, Error> {
    match probability {
        None => Ok(None),
        Some(p) if (0.0..=1.0).contains(&p) => Ok(Some(p)),
        Some(p) => Err(Error::Options(format!(
            "option \"min_probability\" is a probability from 0 to 1, not {p}"
        ))),
    }
}

/// The first row of each name; rows come nearest first.
fn best_of_each_name(rows: Vec<Voice>) -> Vec<Voice> {
    let mut best: Vec<Voice> = Vec::new();
    for row in rows {
        if !best.iter().any(|b| b.name == row.name) {
            best.push(row);
        }
    }
    best
}

/// What a similarity to a candidate says.
struct Rated {
    /// The log-likelihood ratio, extrapolated: among many rows it decides who is ahead.
    llr: f64,
    /// The most that one comparison can tell.
    highest: f64,
    /// The AS-norm, where the cohort suffices for one.
    score: Option<f64>,
}

/// How similarities become likelihood ratios.
struct Scale {
    plain: Calibration,
    normalised: Option<Calibration>,
}

impl Scale {
    fn of(options: &IdentifyOptions) -> Result<Self, Error> {
        let own = options.calibration.is_some() || !comes_with(options.model.as_deref())?;
        if options.normalize == Some(true) && own {
            return Err(Error::Options(
                "a calibration of your own is for plain similarities: it goes with normalize false"
                    .into(),
            ));
        }
        let of = |measured| {
            chosen(
                options.calibration.as_deref(),
                options.model.as_deref(),
                measured,
            )
        };
        let normalise = options.normalize.unwrap_or(!own);
        Ok(Scale {
            plain: of(Measured::Similarity)?,
            normalised: normalise.then(|| of(Measured::Normalised)).transpose()?,
        })
    }

    fn rate(&self, candidate: &Voice, cohort: &[Voice], sides: [Side; 2]) -> Rated {
        let others = || cohort.iter().filter(|c| c.name != candidate.name);
        let of_probe: Vec<f64> = others().map(|c| c.similarity).collect();
        let of_candidate: Vec<f64> = others()
            .filter_map(|c| cosine(&c.voiceprint, &candidate.voiceprint))
            .collect();
        let score = self
            .normalised
            .and_then(|_| as_norm(candidate.similarity, &of_probe, &of_candidate));
        let (calibration, measured) = match (score, &self.normalised) {
            (Some(score), Some(normalised)) => (normalised, score),
            _ => (&self.plain, candidate.similarity),
        };
        Rated {
            llr: calibration.extrapolated(measured, sides),
            highest: calibration.highest,
            score,
        }
    }
}
