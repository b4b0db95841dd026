//! `ai_voice_calibrate`: fits a calibration to the user's pairs.

use std::ffi::CString;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{AnyNumeric, FromDatum, IntoDatum};
use voice::score::{self, Fitted, Measured, Pair, Side};

use crate::call::arguments::Args;
use crate::call::rows::Record;
use crate::errors::Error;
use crate::interrupt;
use crate::models::{Model, Task};
use crate::query;
use crate::steps::calibration::{similarity, usual};
use crate::vector::oid_of;

/// Rows of the user's query that are read at a time, and at most.
const BATCH: i64 = 10_000;
const MAX_PAIRS: usize = 2_000_000;

/// `ai_voice_calibrate(query, name, model)`: fits a calibration to labelled pairs and keeps it under a name, and as that of a
/// registered model if one is named.
#[pg_extern]
fn ai_voice_calibrate(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Record>, ErrorReport> {
    // SAFETY: declared with three texts and the OUT parameters below.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) {
        return Ok(None);
    }
    let text = |index| (!args.is_null(index)).then(|| args.text(index)).transpose();
    let (query, model) = (args.text(0)?, text(2)?);
    let model = model.as_deref().map(registered).transpose()?;
    let name = text(1)?.or(model.clone()).unwrap_or("custom".into());
    if name.is_empty() || name.len() > 63 {
        return Err(Error::Argument(format!(
            "a calibration's name has 1 to 63 bytes, not {}",
            name.len()
        ))
        .into());
    }
    let base = usual(Measured::Similarity)?;
    let pairs = pairs_of(&query)?;
    let fitted = interrupt::run(|cancel| score::fit(&pairs, &base, cancel))?;
    let same = pairs.iter().filter(|p| p.same).count() as i64;
    keep(&name, model, &fitted, pairs.len() as i64, same)?;
    let threshold = fitted.calibration.threshold(0.5, Default::default(), 0.5);
    let row = [
        name.into_datum(),
        (pairs.len() as i64).into_datum(),
        same.into_datum(),
        fitted.eer.into_datum(),
        fitted.cllr_before.into_datum(),
        fitted.cllr_after.into_datum(),
        threshold.into_datum(),
    ];
    // SAFETY: as declared.
    Ok(Some(unsafe { Record::new(fcinfo, &row) }?))
}

/// The own name of a model that has no calibration but the user's.
fn registered(model: &str) -> Result<String, Error> {
    let model = Model::find(model, Task::SpeakerEmbedding)?;
    if score::standard(&model.name).is_some() {
        return Err(Error::Argument(format!(
            "model \"{}\" comes with a calibration: keep yours under a name, and give that in option \"calibration\"",
            model.name
        )));
    }
    Ok(model.name)
}

fn keep(
    name: &str,
    of_model: Option<String>,
    fitted: &Fitted,
    pairs: i64,
    same: i64,
) -> Result<(), Error> {
    let model = &fitted.calibration;
    query::write(
        "INSERT INTO ai_audio.calibrations
             (name, score, score_shortness, intercept, shortness, pairs, same_pairs, eer, cllr, lowest, highest, model)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (name) DO UPDATE SET score = excluded.score, score_shortness = excluded.score_shortness,
             intercept = excluded.intercept, shortness = excluded.shortness, pairs = excluded.pairs,
             same_pairs = excluded.same_pairs, eer = excluded.eer, cllr = excluded.cllr,
             lowest = excluded.lowest, highest = excluded.highest, model = excluded.model,
             fitted_by = excluded.fitted_by, fitted_at = excluded.fitted_at",
        &[
            name.into(),
            model.score.into(),
            model.score_shortness.into(),
            model.intercept.into(),
            model.shortness.into(),
            pairs.into(),
            same.into(),
            fitted.eer.into(),
            fitted.cllr_after.into(),
            model.lowest.into(),
            model.highest.into(),
            of_model.into(),
        ],
    )?;
    Ok(())
}

/// Runs the user's query, read-only and with the user's own privileges.
fn pairs_of(query: &str) -> Result<Vec<Pair>, Error> {
    let text = CString::new(query)
        .map_err(|_| Error::Argument("the query contains a zero byte".into()))?;
    Spi::connect(|_| {
        let mut pairs = Vec::new();
        // SAFETY: connected to SPI; the text is NUL-terminated. A cursor takes one statement that returns rows.
        let portal = unsafe {
            pg_sys::SPI_cursor_open_with_args(
                std::ptr::null(),
                text.as_ptr(),
                0,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null(),
                true,
                0,
            )
        };
        loop {
            pgrx::check_for_interrupts!();
            // SAFETY: the portal is open; SPI's globals describe what was fetched until the next call.
            let rows = unsafe {
                pg_sys::SPI_cursor_fetch(portal, true, BATCH as _);
                Rows::fetched()
            };
            let Some(rows) = rows else { break };
            let columns = Columns::of(&rows)?;
            for i in 0..rows.count {
                pairs.extend(columns.pair(&rows, i)?);
            }
            // SAFETY: the rows have been copied.
            unsafe { pg_sys::SPI_freetuptable(rows.table) };
            if pairs.len() > MAX_PAIRS {
                return Err(Error::Argument(format!(
                    "the query returns more than {MAX_PAIRS} pairs: a sample will do"
                )));
            }
        }
        // SAFETY: open, and not used again.
        unsafe { pg_sys::SPI_cursor_close(portal) };
        Ok(pairs)
    })
}

/// Rows that SPI has fetched.
struct Rows {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
}

impl Rows {
    /// The rows of the last fetch; nothing at the end.
    ///
    /// # Safety
    /// Right after `SPI_cursor_fetch`.
    unsafe fn fetched() -> Option<Self> {
        // SAFETY: by contract.
        let (table, count) = unsafe { (pg_sys::SPI_tuptable, pg_sys::SPI_processed as usize) };
        (count > 0 && !table.is_null()).then_some(Rows { table, count })
    }

    /// The number and type of a column, if there is one of this name.
    fn column(&self, name: &str) -> Option<(i32, pg_sys::Oid)> {
        let name = CString::new(name).ok()?;
        // SAFETY: the table lives; a missing column has a number of 0 or below.
        unsafe {
            let number = pg_sys::SPI_fnumber((*self.table).tupdesc, name.as_ptr());
            (number > 0).then(|| (number, pg_sys::SPI_gettypeid((*self.table).tupdesc, number)))
        }
    }

    fn value(
        &self,
        row: usize,
        (number, oid): (i32, pg_sys::Oid),
    ) -> (pg_sys::Datum, bool, pg_sys::Oid) {
        let mut null = false;
        // SAFETY: `row` is below the count and `number` is a column's.
        let datum = unsafe {
            pg_sys::SPI_getbinval(
                *(*self.table).vals.add(row),
                (*self.table).tupdesc,
                number,
                &mut null,
            )
        };
        (datum, null, oid)
    }
}

/// A column: its number from 1 and its type.
type Column = (i32, pg_sys::Oid);

/// Where the query's columns are.
struct Columns {
    same: Column,
    measure: Measure,
    seconds: [Option<Column>; 2],
}

enum Measure {
    Similarity(Column),
    Vectors(Column, Column),
}

impl Columns {
    fn of(rows: &Rows) -> Result<Self, Error> {
        let shape = || {
            Error::Argument(
                "the query must return same_speaker (boolean) and similarity (float8), or same_speaker and two vectors a \
                 and b; it may return duration_a and duration_b (seconds of speech)"
                    .into(),
            )
        };
        let same = rows
            .column("same_speaker")
            .filter(|c| c.1 == pg_sys::BOOLOID)
            .ok_or_else(shape)?;
        let number = |name: &str| rows.column(name).filter(|c| is_number(c.1));
        let vector = oid_of("vector");
        let side = |name: &str| rows.column(name).filter(|c| c.1 == vector);
        let measure = match (number("similarity"), side("a"), side("b")) {
            (Some(similarity), ..) => Measure::Similarity(similarity),
            (None, Some(a), Some(b)) => Measure::Vectors(a, b),
            _ => return Err(shape()),
        };
        Ok(Columns {
            same,
            measure,
            seconds: ["duration_a", "duration_b"].map(number),
        })
    }

    /// The pair in a row; nothing where its label or similarity is NULL.
    fn pair(&self, rows: &Rows, row: usize) -> Result<Option<Pair>, Error> {
        let same: Option<bool> = get(rows.value(row, self.same));
        let score = match self.measure {
            Measure::Similarity(column) => number(rows.value(row, column)),
            Measure::Vectors(a, b) => similarity(get(rows.value(row, a)), get(rows.value(row, b)))?,
        };
        let sides = self.seconds.map(|column| {
            let seconds = column.and_then(|c| number(rows.value(row, c)));
            seconds.map_or_else(Side::default, |seconds| Side {
                seconds,
                narrow: false,
            })
        });
        Ok(same
            .zip(score)
            .map(|(same, score)| Pair { score, sides, same }))
    }
}

fn get<T: FromDatum>((datum, null, oid): (pg_sys::Datum, bool, pg_sys::Oid)) -> Option<T> {
    // SAFETY: callers ask for the Rust type of the column's type, which `Columns::of` has checked.
    unsafe { T::from_polymorphic_datum(datum, null, oid) }
}

fn is_number(oid: pg_sys::Oid) -> bool {
    [
        pg_sys::FLOAT8OID,
        pg_sys::FLOAT4OID,
        pg_sys::NUMERICOID,
        pg_sys::INT4OID,
        pg_sys::INT8OID,
    ]
    .contains(&oid)
}

fn number(value: (pg_sys::Datum, bool, pg_sys::Oid)) -> Option<f64> {
    match value.2 {
        pg_sys::FLOAT4OID => get::<f32>(value).map(f64::from),
        pg_sys::NUMERICOID => get::<AnyNumeric>(value).and_then(|n| n.try_into().ok()),
        pg_sys::INT4OID => get::<i32>(value).map(f64::from),
        pg_sys::INT8OID => get::<i64>(value).map(|n| n as f64),
        _ => get::<f64>(value),
    }
}
