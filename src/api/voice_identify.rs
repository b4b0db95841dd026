//! `ai_voice_identify(probe, library [, options])`: whose voice it is, from a library of any size, or nobody's.
//!
//! The nearest rows come from the library's ANN index through an ordinary query with the caller's privileges. Scores are
//! normalised against a cohort, a sample of the library's other voices, so that channel and language of the library do
//! not shift them (AS-norm), and calibrated. The best name competes with the runners-up and with "nobody".

use pgrx::IntoDatum;
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Map;
use voice::score::{Calibration, Measured, Side, as_norm};
use voice::similarity::cosine;

use crate::api::call::Args;
use crate::api::options;
use crate::api::record::Record;
use crate::api::voice_calibration::chosen;
use crate::api::voice_verify::{prior, side};
use crate::errors::Error;
use crate::vector::{Vector, oid_of};

/// Nearest rows that are looked at, unless asked otherwise; fewer than hnsw.ef_search by default.
const CANDIDATES: u32 = 20;
/// Rows of the cohort, and pages of the library that they are sampled from.
const COHORT: usize = 400;
const COHORT_PAGES: f64 = 100.0;
/// Rows that are counted where Postgres has no estimate.
const COUNTED: u32 = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct IdentifyOptions {
    /// The library's column of names; "name" if not given.
    name: Option<String>,
    /// Its column of voiceprints; its only vector column if not given.
    voiceprint: Option<String>,
    /// Speech in the probe, and in the library's recordings, seconds.
    duration: Option<f64>,
    library_duration: Option<f64>,
    /// Nearest rows to look at.
    candidates: Option<u32>,
    /// Probability that the speaker is in the library at all, before hearing.
    prior: Option<f64>,
    /// The least probability for a name.
    min_probability: Option<f64>,
    /// Whether to normalise against a sample of the library.
    normalize: Option<bool>,
    /// A calibration of `ai_voice_calibrate`; not together with `normalize`.
    calibration: Option<String>,
    /// The model that made the voiceprints.
    model: Option<String>,
}

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

/// What was found.
pub struct Identified {
    /// The nearest name, if it fits.
    pub name: Option<String>,
    /// That it is the nearest name.
    pub probability: f64,
    similarity: f64,
    /// Similarity above the runner-up.
    margin: Option<f64>,
    nearest: String,
    runner_up: Option<String>,
    /// AS-norm.
    score: Option<f64>,
}

/// A row of the library.
struct Voice {
    name: String,
    voiceprint: Vec<f32>,
    similarity: f64,
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
    let sides = [
        side("duration", options.duration, false)?,
        side("library_duration", options.library_duration, false)?,
    ];
    let (prior, least) = (prior(options.prior)?, least(options.min_probability)?);
    let scale = Scale::of(&options)?;
    let library = Library::find(library, &options)?;
    let candidates =
        best_of_each_name(library.nearest(&probe, options.candidates.unwrap_or(CANDIDATES))?);
    let Some(best) = candidates.first() else {
        return Ok(None);
    };
    let cohort = if scale.normalised.is_some() {
        library.cohort(&probe)?
    } else {
        Vec::new()
    };
    let rated: Vec<(f64, Option<f64>)> = candidates
        .iter()
        .map(|c| scale.rate(c, &cohort, sides))
        .collect();
    // The speaker is in the library with probability `prior`, and every row was equally likely to be theirs.
    let odds = prior / (1.0 - prior) / library.rows()?;
    // Candidates and "nobody" are exclusive hypotheses; ratios are scaled by the largest so that none overflows.
    let top = rated.iter().map(|r| r.0).fold(0.0, f64::max);
    let weight = |llr: f64| odds * (llr - top).exp();
    let all: f64 = rated.iter().map(|r| weight(r.0)).sum::<f64>() + (-top).exp();
    let probability = weight(rated[0].0) / all;
    let runner_up = candidates.get(1);
    Ok(Some(Identified {
        name: (probability >= least).then(|| best.name.clone()),
        probability,
        similarity: best.similarity,
        margin: runner_up.map(|r| best.similarity - r.similarity),
        nearest: best.name.clone(),
        runner_up: runner_up.map(|r| r.name.clone()),
        score: rated[0].1,
    }))
}

fn least(probability: Option<f64>) -> Result<f64, Error> {
    match probability.unwrap_or(0.5) {
        p if (0.0..=1.0).contains(&p) => Ok(p),
        p => Err(Error::Options(format!(
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

/// How similarities become likelihood ratios.
struct Scale {
    plain: Calibration,
    normalised: Option<Calibration>,
}

impl Scale {
    fn of(options: &IdentifyOptions) -> Result<Self, Error> {
        if options.normalize == Some(true) && options.calibration.is_some() {
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
        let normalise = options.normalize.unwrap_or(options.calibration.is_none());
        Ok(Scale {
            plain: of(Measured::Similarity)?,
            normalised: normalise.then(|| of(Measured::Normalised)).transpose()?,
        })
    }

    /// The log-likelihood ratio of a candidate, and its AS-norm where the cohort suffices for one.
    fn rate(&self, candidate: &Voice, cohort: &[Voice], sides: [Side; 2]) -> (f64, Option<f64>) {
        let others = || cohort.iter().filter(|c| c.name != candidate.name);
        let of_probe: Vec<f64> = others().map(|c| c.similarity).collect();
        let of_candidate: Vec<f64> = others()
            .filter_map(|c| cosine(&c.voiceprint, &candidate.voiceprint))
            .collect();
        let score = self
            .normalised
            .and_then(|_| as_norm(candidate.similarity, &of_probe, &of_candidate));
        let llr = match (score, &self.normalised) {
            (Some(score), Some(normalised)) => normalised.log_likelihood_ratio(score, sides),
            _ => self.plain.log_likelihood_ratio(candidate.similarity, sides),
        };
        (llr, score)
    }
}

/// A table, view or materialised view with names and voiceprints. All parts are quoted.
struct Library {
    relation: String,
    name: String,
    voiceprint: String,
    /// The schema of pgvector.
    vector_schema: String,
    /// vector or halfvec.
    kind: &'static str,
    /// How many rows it has as far as Postgres knows; not positive if that is not at all.
    estimated_rows: f64,
    /// The part of its pages to sample; nothing for what cannot be sampled.
    sample_percent: Option<f64>,
}

impl Library {
    fn find(oid: pg_sys::Oid, options: &IdentifyOptions) -> Result<Self, Error> {
        let describe = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS relation, c.relkind::pg_catalog.text AS kind,
                 c.relpages::pg_catalog.float8 AS pages, c.reltuples::pg_catalog.float8 AS rows
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.oid OPERATOR(pg_catalog.=) $1";
        let (relation, kind, pages, estimated_rows) = Spi::connect(|client| -> Result<_, Error> {
            let row = client.select(describe, Some(1), &[oid.into()])?.first();
            if row.is_empty() {
                return Err(Error::Argument("the library does not exist".into()));
            }
            let number = |name| -> Result<f64, Error> {
                Ok(row.get_by_name::<f64, _>(name)?.unwrap_or(0.0))
            };
            let text = |name| row.get_by_name::<String, _>(name);
            Ok((
                text("relation")?,
                text("kind")?,
                number("pages")?,
                number("rows")?,
            ))
        })?;
        let relation =
            relation.ok_or_else(|| Error::Argument("the library does not exist".into()))?;
        let columns = columns(oid)?;
        let name = options.name.as_deref().unwrap_or("name");
        if !columns.iter().any(|c| c.0 == name) {
            return Err(Error::Argument(format!(
                "{relation} has no column \"{name}\": name it in option \"name\""
            )));
        }
        let (voiceprint, vector_type) =
            voiceprint_column(&relation, &columns, options.voiceprint.as_deref())?;
        let sampled = matches!(kind.as_deref(), Some("r" | "m" | "p"));
        Ok(Library {
            relation,
            name: quoted(name),
            voiceprint: quoted(voiceprint),
            vector_schema: vector_schema()?,
            kind: vector_type,
            estimated_rows,
            sample_percent: sampled
                .then(|| (100.0 * COHORT_PAGES / pages.max(COHORT_PAGES)).min(100.0)),
        })
    }

    /// The rows nearest to the probe, by the index if there is one.
    fn nearest(&self, probe: &Vector, count: u32) -> Result<Vec<Voice>, Error> {
        let Library {
            voiceprint,
            vector_schema,
            kind,
            ..
        } = self;
        let order = format!(
            "ORDER BY {voiceprint} OPERATOR({vector_schema}.<=>) $1::{vector_schema}.{kind} LIMIT {}",
            count.clamp(1, 1000)
        );
        self.select("", &order, probe)
    }

    /// How many rows it has, at least 1: Postgres' estimate, else counted up to a limit.
    fn rows(&self) -> Result<f64, Error> {
        if self.estimated_rows >= 1.0 {
            return Ok(self.estimated_rows);
        }
        let count = format!(
            "SELECT count(*) FROM (SELECT FROM {} LIMIT {COUNTED}) counted",
            self.relation
        );
        Ok(Spi::get_one::<i64>(&count)?.map_or(1.0, |n| n.max(1) as f64))
    }

    /// A sample of the library, the same each time.
    fn cohort(&self, probe: &Vector) -> Result<Vec<Voice>, Error> {
        let sample = self.sample_percent.filter(|p| *p < 100.0);
        let sample = sample
            .map(|p| format!("TABLESAMPLE SYSTEM ({p}) REPEATABLE (0)"))
            .unwrap_or_default();
        self.select(&sample, &format!("LIMIT {COHORT}"), probe)
    }

    /// Rows with a name and a voiceprint that can be compared, as the caller may see them.
    fn select(&self, sample: &str, rest: &str, probe: &Vector) -> Result<Vec<Voice>, Error> {
        let Library {
            relation,
            name,
            voiceprint,
            vector_schema,
            ..
        } = self;
        // Arrays, because their type needs no look-up in the catalog for each row.
        let query = format!(
            "SELECT {name}::pg_catalog.text AS name,
                 {voiceprint}::{vector_schema}.vector::pg_catalog.float4[] AS voiceprint
             FROM {relation} {sample} {rest}"
        );
        let oid = oid_of("vector");
        // SAFETY: the OID is that of the value's type.
        let probe_argument = unsafe { DatumWithOid::new(probe.clone(), oid) };
        Spi::connect(|client| {
            let mut voices = Vec::new();
            for row in client.select(&query, None, &[probe_argument])? {
                let voice = row["name"]
                    .value::<String>()?
                    .zip(row["voiceprint"].value::<Vec<f32>>()?);
                let Some((name, voiceprint)) = voice else {
                    continue;
                };
                if let Some(similarity) = (voiceprint.len() == probe.0.len())
                    .then(|| cosine(&voiceprint, &probe.0))
                    .flatten()
                {
                    voices.push(Voice {
                        name,
                        voiceprint,
                        similarity,
                    });
                }
            }
            Ok(voices)
        })
    }
}

/// The columns of a relation: name and type.
fn columns(relation: pg_sys::Oid) -> Result<Vec<(String, pg_sys::Oid)>, Error> {
    let query = "SELECT attname::pg_catalog.text AS name, atttypid AS type FROM pg_catalog.pg_attribute
         WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped ORDER BY attnum";
    Spi::connect(|client| {
        let rows = client.select(query, None, &[relation.into()])?;
        let pair = |row: pgrx::spi::SpiHeapTupleData| -> Result<_, Error> {
            Ok((
                row["name"].value::<String>()?.unwrap_or_default(),
                row["type"]
                    .value::<pg_sys::Oid>()?
                    .unwrap_or(pg_sys::InvalidOid),
            ))
        };
        rows.map(pair).collect()
    })
}

/// The named column, or the only one that holds vectors, and its type's name.
fn voiceprint_column<'a>(
    relation: &str,
    columns: &'a [(String, pg_sys::Oid)],
    wanted: Option<&str>,
) -> Result<(&'a str, &'static str), Error> {
    let kinds = ["vector", "halfvec"].map(|kind| (oid_of(kind), kind));
    let kind = |oid: pg_sys::Oid| {
        kinds
            .iter()
            .find(|k| k.0 == oid && oid != pg_sys::InvalidOid)
            .map(|k| k.1)
    };
    let fit: Vec<_> = columns
        .iter()
        .filter(|c| wanted.is_none_or(|w| w == c.0))
        .filter_map(|c| kind(c.1).map(|kind| (c.0.as_str(), kind)))
        .collect();
    match (fit.first(), fit.len(), wanted) {
        (Some(column), 1, _) => Ok(*column),
        (_, _, Some(name)) => Err(Error::Argument(format!(
            "{relation} has no vector or halfvec column \"{name}\""
        ))),
        (_, 0, None) => Err(Error::Argument(format!(
            "{relation} has no vector or halfvec column"
        ))),
        (..) => Err(Error::Argument(format!(
            "{relation} has several vector columns: choose with option \"voiceprint\""
        ))),
    }
}

fn vector_schema() -> Result<String, Error> {
    let query = "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
         JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
         WHERE e.extname OPERATOR(pg_catalog.=) 'vector'";
    Spi::get_one::<String>(query)?
        .ok_or_else(|| Error::Internal("the extension vector is missing".into()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
