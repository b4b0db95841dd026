//! Queries of our own, with the caller's privileges.
//!
//! pgrx's short forms (`Spi::get_one`, `Spi::run`) take the path that writes: they use up a transaction id, which fails on
//! a standby and in parallel queries, and make every later query of the transaction do the same. What only reads goes
//! through [`one`] or `Spi::connect` and `select`; what writes goes through [`write()`].
//!
//! All names in them are qualified: the caller's search_path may have look-alikes before pg_catalog.

use std::ffi::CString;

use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::{FromDatum, IntoDatum};

use crate::errors::Error;

/// The first column of the first row that a query without side effects gives; `None` for NULL or no row.
///
/// # Errors
/// [`Error::Spi`] for a value of another type.
pub fn one<T: FromDatum + IntoDatum>(
    query: &str,
    args: &[DatumWithOid],
) -> Result<Option<T>, Error> {
    Spi::connect(|client| {
        let rows = client.select(query, Some(1), args)?.first();
        Ok(if rows.is_empty() {
            None
        } else {
            rows.get_one::<T>()?
        })
    })
}

/// Runs a statement that changes rows; gives how many it changed.
///
/// # Errors
/// [`Error::Internal`] if SPI refuses it; what Postgres says of the statement itself is raised.
pub fn write(statement: &str, args: &[DatumWithOid]) -> Result<u64, Error> {
    let text = CString::new(statement).map_err(|e| Error::Internal(e.to_string()))?;
    let mut types: Vec<_> = args.iter().map(DatumWithOid::oid).collect();
    let nulls: Vec<_> = args
        .iter()
        .map(|a| if a.datum().is_some() { b' ' } else { b'n' })
        .map(|null| null as std::ffi::c_char)
        .collect();
    let mut values: Vec<_> = args
        .iter()
        .map(|a| {
            a.datum()
                .map_or(pg_sys::Datum::from(0), |d| d.sans_lifetime())
        })
        .collect();
    Spi::connect(|_| {
        // SAFETY: connected to SPI; the text is NUL-terminated and the three arrays are of the given length.
        let (status, changed) = unsafe {
            let status = pg_sys::SPI_execute_with_args(
                text.as_ptr(),
                args.len() as i32,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr(),
                false,
                0,
            );
            (status, pg_sys::SPI_processed)
        };
        if status < 0 {
            return Err(Error::Internal(format!("SPI answered {status}")));
        }
        Ok(changed)
    })
}
