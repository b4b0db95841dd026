//! A library of voices: a table of the user's with names and voiceprints, read by ordinary queries with the caller's
//! privileges, the nearest rows by its ANN index.

use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use voice::similarity::cosine;

use crate::errors::Error;
use crate::query;
use crate::steps::calibration::without_padding;
use crate::vector::{Vector, oid_of};

/// Rows of the cohort, and pages of the library that they are sampled from.
const COHORT: usize = 400;
const COHORT_PAGES: f64 = 100.0;
/// Rows that are counted where Postgres has no estimate.
const COUNTED: u32 = 10_000;

/// A row of the library.
pub struct Voice {
    /// Whose it is.
    pub name: String,
    /// As stored.
    pub voiceprint: Vec<f32>,
    /// To the probe.
    pub similarity: f64,
}

/// A table, view or materialised view with names and voiceprints. All parts are quoted.
pub struct Library {
    relation: String,
    name: String,
    voiceprint: String,
    /// The schema of pgvector.
    vector_schema: String,
    /// vector or halfvec.
    kind: &'static str,
    /// Dimensions that the column is declared with.
    dimensions: Option<usize>,
    /// How many rows it has as far as Postgres knows; not positive if that is not at all.
    estimated_rows: f64,
    /// The part of its pages to sample; nothing for what cannot be sampled.
    sample_percent: Option<f64>,
}

impl Library {
    /// Looks at a relation: `name` is its column of names ("name" if not given), `voiceprint` that of voiceprints (its
    /// only vector column if not given).
    ///
    /// # Errors
    /// [`Error::Argument`] if it has no such columns.
    pub fn find(
        oid: pg_sys::Oid,
        name: Option<&str>,
        voiceprint: Option<&str>,
    ) -> Result<Self, Error> {
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
        let name = name.unwrap_or("name");
        if !columns.iter().any(|c| c.0 == name) {
            return Err(Error::Argument(format!(
                "{relation} has no column \"{name}\": name it in option \"name\""
            )));
        }
        let (voiceprint, vector_type, dimensions) =
            voiceprint_column(&relation, &columns, voiceprint)?;
        let sampled = matches!(kind.as_deref(), Some("r" | "m" | "p"));
        Ok(Library {
            relation,
            name: quoted(name),
            voiceprint: quoted(voiceprint),
            vector_schema: vector_schema()?,
            kind: vector_type,
            dimensions,
            estimated_rows,
            sample_percent: sampled
                .then(|| (100.0 * COHORT_PAGES / pages.max(COHORT_PAGES)).min(100.0)),
        })
    }

    /// The probe as wide as the column is, where zeros make that difference.
    pub fn fitted(&self, mut probe: Vector) -> Vector {
        if let Some(wide) = self.dimensions
            && without_padding(&probe.0) <= wide
        {
            probe.0.resize(wide, 0.0);
        }
        probe
    }

    /// The rows nearest to the probe, by the index if there is one; among some names, if there are any.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn nearest(
        &self,
        probe: &Vector,
        count: u32,
        names: &[String],
    ) -> Result<Vec<Voice>, Error> {
        let Library {
            name,
            voiceprint,
            vector_schema,
            kind,
            ..
        } = self;
        let among = match names {
            [] => String::new(),
            _ => format!("WHERE {name}::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($2)"),
        };
        let order = format!(
            "{among} ORDER BY {voiceprint} OPERATOR({vector_schema}.<=>) $1::{vector_schema}.{kind} LIMIT {}",
            count.clamp(1, 1000)
        );
        self.select("", &order, probe, names)
    }

    /// How many rows it has, at least 1: Postgres' estimate, else counted up to a limit.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn rows(&self) -> Result<f64, Error> {
        if self.estimated_rows >= 1.0 {
            return Ok(self.estimated_rows);
        }
        let count = format!(
            "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {} LIMIT {COUNTED}) counted",
            self.relation
        );
        Ok(query::one::<i64>(&count, &[])?.map_or(1.0, |n| n.max(1) as f64))
    }

    /// A sample of the library, the same each time.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn cohort(&self, probe: &Vector) -> Result<Vec<Voice>, Error> {
        let sample = self.sample_percent.filter(|p| *p < 100.0);
        let sample = sample
            .map(|p| format!("TABLESAMPLE SYSTEM ({p}) REPEATABLE (0)"))
            .unwrap_or_default();
        self.select(&sample, &format!("LIMIT {COHORT}"), probe, &[])
    }

    /// Rows with a name and a voiceprint that can be compared, as the caller may see them.
    fn select(
        &self,
        sample: &str,
        rest: &str,
        probe: &Vector,
        names: &[String],
    ) -> Result<Vec<Voice>, Error> {
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
        let mut arguments = vec![unsafe { DatumWithOid::new(probe.clone(), oid) }];
        if !names.is_empty() {
            arguments.push(names.to_vec().into());
        }
        Spi::connect(|client| {
            let mut voices = Vec::new();
            for row in client.select(&query, None, &arguments)? {
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

/// Name, type and its modifier, which is a vector's dimensions or -1.
type Column = (String, pg_sys::Oid, i32);

/// The columns of a relation.
fn columns(relation: pg_sys::Oid) -> Result<Vec<Column>, Error> {
    let query = "SELECT attname::pg_catalog.text AS name, atttypid AS type, atttypmod AS modifier FROM pg_catalog.pg_attribute
         WHERE attrelid OPERATOR(pg_catalog.=) $1 AND attnum OPERATOR(pg_catalog.>) 0 AND NOT attisdropped ORDER BY attnum";
    Spi::connect(|client| {
        let rows = client.select(query, None, &[relation.into()])?;
        let pair = |row: pgrx::spi::SpiHeapTupleData| -> Result<_, Error> {
            Ok((
                row["name"].value::<String>()?.unwrap_or_default(),
                row["type"]
                    .value::<pg_sys::Oid>()?
                    .unwrap_or(pg_sys::InvalidOid),
                row["modifier"].value::<i32>()?.unwrap_or(-1),
            ))
        };
        rows.map(pair).collect()
    })
}

/// The named column, or the only one that holds vectors, its type's name and its dimensions.
fn voiceprint_column<'a>(
    relation: &str,
    columns: &'a [Column],
    wanted: Option<&str>,
) -> Result<(&'a str, &'static str, Option<usize>), Error> {
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
        .filter_map(|c| {
            let dimensions = usize::try_from(c.2).ok().filter(|d| *d > 0);
            kind(c.1).map(|kind| (c.0.as_str(), kind, dimensions))
        })
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
    query::one::<String>(query, &[])?
        .ok_or_else(|| Error::Internal("the extension vector is missing".into()))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
