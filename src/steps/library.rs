//! A library of voices: a table of the user's with names and voiceprints, read by ordinary queries with the caller's
//! privileges, the nearest rows by its ANN index.

use std::sync::Arc;

use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use voice::similarity::cosine;

use crate::errors::Error;
use crate::memo::{self, Fingerprint};
use crate::steps::calibration::without_padding;
use crate::vector::{Vector, oid_of};
use crate::{query, relations};

/// Rows of the cohort, and about how many they are chosen from where pages are sampled: from at least and at most so many.
const COHORT: usize = 400;
const CHOSEN_FROM: f64 = 1600.0;
const COHORT_PAGES: [f64; 2] = [50.0, 200.0];
/// Pages that rows are counted on where there are no statistics: all of them up to here.
const COUNTED_PAGES: f64 = 1000.0;

/// Voiceprints have more numbers than this; what has fewer is somebody's trial.
const SHORTEST: usize = 64;

/// A name and a voiceprint as stored.
type Entry = (String, Vec<f32>);

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
    /// How many rows it has, where statistics tell.
    known_rows: Option<f64>,
    /// The pages of its files, where all its rows are in files here: what can be sampled.
    pages: Option<f64>,
    /// What results are kept under while the statement runs; nothing where they may differ from call to call.
    same: Option<Fingerprint>,
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
                 c.relrowsecurity AS guarded
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
             WHERE c.oid OPERATOR(pg_catalog.=) $1";
        let found = Spi::connect(|client| -> Result<_, Error> {
            let row = client.select(describe, Some(1), &[oid.into()])?.first();
            if row.is_empty() {
                return Ok(None);
            }
            let text = |name| row.get_by_name::<String, _>(name);
            let guarded = row.get_by_name::<bool, _>("guarded")?;
            let named = text("relation")?.zip(text("kind")?);
            Ok(named.map(|(relation, kind)| (relation, kind, guarded == Some(true))))
        })?;
        let (relation, kind, guarded) =
            found.ok_or_else(|| Error::Argument("the library does not exist".into()))?;
        let columns = columns(oid)?;
        let name = name.unwrap_or("name");
        if !columns.iter().any(|c| c.0 == name) {
            return Err(Error::Argument(format!(
                "{relation} has no column \"{name}\": name it in option \"name\""
            )));
        }
        let (voiceprint, vector_type, dimensions) =
            voiceprint_column(&relation, &columns, voiceprint)?;
        if name == voiceprint {
            return Err(Error::Argument(format!(
                "column \"{name}\" of {relation} holds voiceprints, not names: name that of the names in option \"name\""
            )));
        }
        let has_storage = matches!(kind.as_str(), "r" | "m" | "p" | "f");
        let (known_rows, pages) = if has_storage {
            size(oid)?
        } else {
            (None, None)
        };
        // Views and policies may ask for settings.
        let same = (has_storage && !guarded).then(|| fingerprint(oid, name, voiceprint));
        Ok(Library {
            relation,
            name: quoted(name),
            voiceprint: quoted(voiceprint),
            vector_schema: vector_schema()?,
            kind: vector_type,
            dimensions,
            known_rows,
            pages,
            same,
        })
    }

    /// The probe as wide as the column is, where zeros make that difference.
    ///
    /// # Errors
    /// [`Error::Argument`] for a probe that has more numbers than the column.
    pub fn fitted(&self, mut probe: Vector) -> Result<Vector, Error> {
        let own = without_padding(&probe.0);
        let Some(wide) = self.dimensions else {
            return Ok(probe);
        };
        if own > wide {
            return Err(Error::Argument(format!(
                "different dimensions: {} holds voiceprints of {wide}, and the one to find has {own}; voiceprints of different \
                 models cannot be compared",
                self.relation
            )));
        }
        probe.0.resize(wide, 0.0);
        Ok(probe)
    }

    /// Warns of voiceprints that another model has made, as their numbers less zeros at the end tell.
    fn warn_of_another_model(&self, rows: &[Entry], probe: &Vector) {
        let own = without_padding(&probe.0);
        let made = rows.iter().map(|(_, v)| without_padding(v));
        let Some(other) = made
            .filter(|n| *n != own && *n >= SHORTEST && own >= SHORTEST)
            .max()
        else {
            return;
        };
        let message = format!(
            "voiceprints in {} have {other} numbers, and the one to find has {own}: different models made them, and their \
             similarity says nothing",
            self.relation
        );
        ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai_audio")
            .set_hint(
                "Name the model of the library in option \"model\", or embed the library anew.",
            )
            .report(PgLogLevel::WARNING);
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
        let rows = self.select("", &order, probe, names)?;
        self.warn_of_another_model(&rows, probe);
        Ok(compared(&rows, probe))
    }

    /// How many rows it has, at least 1: as statistics tell, else counted, on a sample of its pages if there are many.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn rows(&self) -> Result<f64, Error> {
        if let Some(rows) = self.known_rows {
            return Ok(rows.max(1.0));
        }
        let percent = self.percent_of(COUNTED_PAGES);
        let counted = self.kept("rows of a library", || {
            let count = format!(
                "SELECT pg_catalog.count(*) FROM {} {}",
                self.relation,
                sample(percent)
            );
            Ok(query::one::<i64>(&count, &[])?.unwrap_or(0))
        })?;
        Ok((*counted as f64 * 100.0 / percent).max(1.0))
    }

    /// A sample of the library, the same each time, whatever the order and the place in which its rows are kept.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn cohort(&self, probe: &Vector) -> Result<Vec<Voice>, Error> {
        let Library {
            name,
            voiceprint,
            vector_schema,
            kind,
            ..
        } = self;
        // Neighbours in a file are often alike, in time or by partition: the rows are chosen by a hash of what they hold.
        // The sum of a voiceprint's numbers is quick to compute, and differs in its last digits for any two.
        let order = format!(
            "ORDER BY pg_catalog.hashfloat8({voiceprint} OPERATOR({vector_schema}.<#>) $1::{vector_schema}.{kind}),
                 {name}::pg_catalog.text COLLATE \"C\" LIMIT {COHORT}"
        );
        let [least, most] = COHORT_PAGES;
        let density = self.known_rows.unwrap_or(0.0) / self.pages.unwrap_or(1.0).max(1.0);
        let pages = (CHOSEN_FROM / density.max(1.0)).clamp(least, most);
        let sample = sample(self.percent_of(pages));
        let ones = Vector(vec![1.0; probe.0.len()]);
        let rows = self.kept("cohort of a library", || {
            self.select(&sample, &order, &ones, &[])
        })?;
        Ok(compared(&rows, probe))
    }

    /// Which part of it so many pages are.
    fn percent_of(&self, pages: f64) -> f64 {
        match self.pages {
            Some(all) if all > pages => 100.0 * pages / all,
            _ => 100.0,
        }
    }

    /// What was found out before in this statement, else what `find` finds.
    fn kept<T: Send + Sync + 'static>(
        &self,
        kind: &'static str,
        find: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let Some(same) = &self.same else {
            return find().map(Arc::new);
        };
        memo::begin();
        if let Some(known) = memo::get(kind, same, "") {
            return Ok(known);
        }
        let value = Arc::new(find()?);
        memo::put(kind, same, String::new(), &value);
        Ok(value)
    }

    /// Rows with a name and a voiceprint, as the caller may see them.
    fn select(
        &self,
        sample: &str,
        rest: &str,
        vector: &Vector,
        names: &[String],
    ) -> Result<Vec<Entry>, Error> {
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
        let mut arguments = vec![unsafe { DatumWithOid::new(vector.clone(), oid) }];
        if !names.is_empty() {
            arguments.push(names.to_vec().into());
        }
        Spi::connect(|client| {
            let mut entries = Vec::new();
            for row in client.select(&query, None, &arguments)? {
                let (name, voiceprint) = (row["name"].value()?, row["voiceprint"].value()?);
                entries.extend(name.zip(voiceprint));
            }
            Ok(entries)
        })
    }
}

/// Those that can be compared with a probe.
fn compared(rows: &[Entry], probe: &Vector) -> Vec<Voice> {
    let comparable = rows.iter().filter(|(_, v)| v.len() == probe.0.len());
    comparable
        .filter_map(|(name, voiceprint)| {
            Some(Voice {
                name: name.clone(),
                similarity: cosine(voiceprint, &probe.0)?,
                voiceprint: voiceprint.clone(),
            })
        })
        .collect()
}

fn sample(percent: f64) -> String {
    if percent < 100.0 {
        format!("TABLESAMPLE SYSTEM ({percent}) REPEATABLE (0)")
    } else {
        String::new()
    }
}

/// Rows of a table and all its partitions or heirs, where statistics of each tell; pages of their files, where all are here.
fn size(relation: pg_sys::Oid) -> Result<(Option<f64>, Option<f64>), Error> {
    let (far, here): (Vec<_>, Vec<_>) = relations::with_heirs(relation)
        .into_iter()
        .partition(|r| relations::is_elsewhere(*r));
    // As the planner does: rows per page as they were, pages as they are. Of a foreign table it is what ANALYZE has left.
    let query = "SELECT pg_catalog.sum(pages)::pg_catalog.float8 AS pages,
             CASE WHEN pg_catalog.bool_and(rows IS NOT NULL) THEN pg_catalog.sum(rows) END AS rows
         FROM (
             SELECT pages, CASE WHEN pages OPERATOR(pg_catalog.=) 0 THEN 0
                 WHEN reltuples OPERATOR(pg_catalog.>) 0 AND relpages OPERATOR(pg_catalog.>) 0
                 THEN reltuples OPERATOR(pg_catalog./) relpages::pg_catalog.float8 OPERATOR(pg_catalog.*) pages END AS rows
             FROM (SELECT reltuples::pg_catalog.float8 AS reltuples, relpages,
                     (pg_catalog.pg_relation_size(oid) OPERATOR(pg_catalog./)
                      pg_catalog.current_setting('block_size')::pg_catalog.int8)::pg_catalog.float8 AS pages
                 FROM pg_catalog.pg_class
                 WHERE oid OPERATOR(pg_catalog.=) ANY ($1) AND relkind OPERATOR(pg_catalog.<>) 'p') here
             UNION ALL
             SELECT NULL, CASE WHEN reltuples OPERATOR(pg_catalog.>) 0 AND relkind OPERATOR(pg_catalog.=) 'f'
                 THEN reltuples::pg_catalog.float8 END
             FROM pg_catalog.pg_class WHERE oid OPERATOR(pg_catalog.=) ANY ($2)) parts";
    let all_here = far.is_empty();
    Spi::connect(|client| {
        let row = client
            .select(query, Some(1), &[here.into(), far.into()])?
            .first();
        let pages = row.get_by_name::<f64, _>("pages")?.filter(|_| all_here);
        Ok((row.get_by_name::<f64, _>("rows")?, pages))
    })
}

/// What stands for a table as this statement sees it.
fn fingerprint(relation: pg_sys::Oid, name: &str, voiceprint: &str) -> Fingerprint {
    // SAFETY: a function runs with a snapshot.
    let seen = unsafe {
        let snapshot = &*pg_sys::GetActiveSnapshot();
        (snapshot.xmin, snapshot.xmax, snapshot.xcnt, snapshot.curcid)
    };
    // SAFETY: reads a global of this process.
    let user = unsafe { pg_sys::GetUserId() };
    let all = format!("{relation:?} {user:?} {seen:?} {name:?} {voiceprint:?}");
    Fingerprint::of_bytes(all.as_bytes())
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
