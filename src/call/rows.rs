//! Results: rows of functions with OUT parameters, how they are taken, and times in them.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pgrx_sql_entity_graph::metadata::impl_sql_translatable;
use pgrx::prelude::*;

use crate::errors::Error;

/// One row of the calling function's OUT parameters.
pub struct Record(pg_sys::Datum);

impl_sql_translatable!(Record, "record");

impl Record {
    /// Forms a row of `values`, one for each OUT parameter of the function that `fcinfo` calls; `None` is NULL.
    ///
    /// # Safety
    /// `fcinfo` is that of a running function, and each value is a datum of its parameter's type.
    pub unsafe fn new(
        fcinfo: pg_sys::FunctionCallInfo,
        values: &[Option<pg_sys::Datum>],
    ) -> Result<Self, Error> {
        let mut descriptor = std::ptr::null_mut();
        // SAFETY: by contract; the descriptor is palloc'ed and as wide as the values, which is checked.
        unsafe {
            let class = pg_sys::get_call_result_type(fcinfo, std::ptr::null_mut(), &mut descriptor);
            let width = if descriptor.is_null() {
                0
            } else {
                usize::try_from((*descriptor).natts).unwrap_or(0)
            };
            if class != pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE || width != values.len() {
                return Err(Error::Internal(format!(
                    "a function declared with {width} OUT parameters has {}",
                    values.len()
                )));
            }
            let descriptor = pg_sys::BlessTupleDesc(descriptor);
            let mut nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
            let mut datums: Vec<pg_sys::Datum> = values
                .iter()
                .map(|v| v.unwrap_or(pg_sys::Datum::from(0)))
                .collect();
            let tuple =
                pg_sys::heap_form_tuple(descriptor, datums.as_mut_ptr(), nulls.as_mut_ptr());
            Ok(Record(pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)))
        }
    }
}

unsafe impl BoxRet for Record {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        // SAFETY: a fresh datum of the declared type.
        unsafe { fcinfo.return_raw_datum(self.0) }
    }
}

/// Whether a set-returning function's rows are taken as they are made, as in a select list. In `FROM` the executor
/// collects all of them before the first one is seen, and would as soon have them in one piece.
///
/// # Safety
/// `fcinfo` is that of a running function.
pub unsafe fn are_taken_one_by_one(fcinfo: pg_sys::FunctionCallInfo) -> bool {
    // SAFETY: by contract; what is not NULL is a node, and its tag tells which.
    unsafe {
        let result = (*fcinfo).resultinfo;
        if result.is_null() || (*result).type_ != pg_sys::NodeTag::T_ReturnSetInfo {
            return false;
        }
        let modes = (*result.cast::<pg_sys::ReturnSetInfo>()).allowedModes as u32;
        modes & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Preferred == 0
    }
}

/// Milliseconds as SQL has them; recordings are days long at most.
pub fn ms(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
