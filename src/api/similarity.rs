//! `cosine_similarity` of two voiceprints.

use half::f16;
use pgrx::pg_guard;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use voice::similarity::{cosine, cosine_f16};

use crate::call::arguments::Args;
use crate::vector::{Detoasted, Vector};

/// Declares a V1 function on two non-NULL datums that returns float8 or NULL. Called once per row of a table, so
/// it reads its arguments in place.
macro_rules! similarity_function {
    ($name:ident, $finfo:ident, |$a:ident, $b:ident| $compute:expr) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        pub extern "C" fn $finfo() -> &'static pg_sys::Pg_finfo_record {
            static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
            &RECORD
        }

        /// Cosine similarity in [-1, 1]; NULL where a norm is zero.
        ///
        /// # Safety
        /// Called by Postgres as the strict function that `sql/` declares.
        #[unsafe(no_mangle)]
        #[pg_guard]
        pub unsafe extern "C-unwind" fn $name(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
            // SAFETY: a strict function of two arguments has two that are not NULL.
            unsafe {
                let args = (*fcinfo).args.as_slice(2);
                let ($a, $b) = (args[0].value, args[1].value);
                match $compute {
                    Some(similarity) => pg_sys::Datum::from(similarity.to_bits()),
                    None => {
                        (*fcinfo).isnull = true;
                        pg_sys::Datum::from(0)
                    }
                }
            }
        }
    };
}

similarity_function!(
    cosine_similarity_vector,
    pg_finfo_cosine_similarity_vector,
    |a, b| of::<f32>(a, b, cosine)
);
similarity_function!(
    cosine_similarity_halfvec,
    pg_finfo_cosine_similarity_halfvec,
    |a, b| of::<f16>(a, b, cosine_f16)
);
#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_cosine_similarity_mixed() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// The same of two arrays of numbers, or texts. Of an array beside a vector the planner makes a vector, and this is not called.
///
/// # Safety
/// Called by Postgres as the strict function that `sql/` declares.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn cosine_similarity_mixed(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: a strict function of two arguments has two that are not NULL.
    unsafe {
        let args = Args::new(fcinfo);
        let (a, b) = match (args.numbers(0), args.numbers(1)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(e), _) | (_, Err(e)) => {
                ErrorReport::from(e).report(PgLogLevel::ERROR);
                unreachable!("an error does not return")
            }
        };
        same_dimensions(a.len(), b.len());
        match cosine(&a, &b) {
            Some(similarity) => pg_sys::Datum::from(similarity.to_bits()),
            None => {
                (*fcinfo).isnull = true;
                pg_sys::Datum::from(0)
            }
        }
    }
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_cosine_similarity_real() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// The same by the name that an installation of 0.1.0 knows.
///
/// # Safety
/// Called by Postgres as the strict function of two `real[]` that `sql/ai_audio--0.1.0.sql` declares.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn cosine_similarity_real(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: by contract.
    unsafe { cosine_similarity_mixed(fcinfo) }
}

/// # Safety
/// Both datums are pgvector values with elements of type `T`.
unsafe fn of<T>(
    a: pg_sys::Datum,
    b: pg_sys::Datum,
    cosine: fn(&[T], &[T]) -> Option<f64>,
) -> Option<f64> {
    // SAFETY: by contract.
    let (a, b) = unsafe { (Detoasted::new(a), Detoasted::new(b)) };
    let (Some(a), Some(b)) = (unsafe { a.values::<T>() }, unsafe { b.values::<T>() }) else {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
            "a vector's length does not fit its dimensions"
        );
    };
    same_dimensions(a.len(), b.len());
    cosine(a, b)
}

fn same_dimensions(a: usize, b: usize) {
    if a != b {
        ereport!(
            ERROR,
            PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
            format!("different dimensions: {a} and {b}"),
            "Voiceprints of different models cannot be compared. To compare a padded one, pad the other as well: \
             ai_audio_embed's option \"dimensions\"."
        );
    }
}

/// The cast of a voiceprint to `float8[]`.
#[pg_extern(immutable, parallel_safe)]
fn ai_audio_to_float8(voiceprint: Vector, _modifier: i32, _explicit: bool) -> Vec<f64> {
    voiceprint.0.into_iter().map(f64::from).collect()
}
