//! pgvector's types as Rust sees them. Layouts: `vector.h` and `halfvec.h` of pgvector 0.5 to 0.8.

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::pgrx_sql_entity_graph::metadata::impl_sql_translatable;
use pgrx::prelude::*;
use pgrx::{FromDatum, IntoDatum};

use crate::query;

/// pgvector's limit on the dimensions of a vector.
pub const MAX_DIMENSIONS: usize = 16_000;

#[repr(C)]
struct Header {
    length: u32,
    dimensions: i16,
    unused: i16,
}

const HEADER: usize = size_of::<Header>();

/// A pgvector `vector`.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector(pub Vec<f32>);

impl_sql_translatable!(Vector, "vector");

impl FromDatum for Vector {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _typoid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches that a datum that is not NULL is a vector.
        (!is_null).then(|| unsafe {
            Detoasted::new(datum)
                .values::<f32>()
                .map(|v| Vector(v.to_vec()))
        })?
    }
}

impl IntoDatum for Vector {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let dimensions = i16::try_from(self.0.len())
            .ok()
            .filter(|d| (1..=MAX_DIMENSIONS as i16).contains(d));
        let Some(dimensions) = dimensions else {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "a vector has 1 to {MAX_DIMENSIONS} dimensions, not {}",
                    self.0.len()
                )
            );
        };
        let size = HEADER + self.0.len() * size_of::<f32>();
        // SAFETY: palloc gives `size` aligned bytes, all of which are written here.
        unsafe {
            let start = pg_sys::palloc(size).cast::<u8>();
            start.cast::<Header>().write(Header {
                length: (size as u32) << 2,
                dimensions,
                unused: 0,
            });
            std::ptr::copy_nonoverlapping(self.0.as_ptr(), start.add(HEADER).cast(), self.0.len());
            #[cfg(target_endian = "big")]
            pgrx::set_varsize_4b(start.cast(), size as i32);
            Some(pg_sys::Datum::from(start))
        }
    }

    fn type_oid() -> pg_sys::Oid {
        oid_of("vector")
    }
}

unsafe impl BoxRet for Vector {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: a fresh datum of the declared type.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

unsafe impl<'fcx> ArgAbi<'fcx> for Vector {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the function's declaration makes the argument a vector.
        unsafe { arg.unbox_arg_using_from_datum() }
            .unwrap_or_else(|| error!("a vector argument is damaged"))
    }
}

unsafe impl UnboxDatum for Vector {
    type As<'src> = Vector;
    unsafe fn unbox<'src>(datum: Datum<'src>) -> Self::As<'src>
    where
        Self: 'src,
    {
        // SAFETY: as for `FromDatum`.
        unsafe { Vector::from_datum(datum.sans_lifetime(), false) }
            .unwrap_or_else(|| error!("a vector is damaged"))
    }
}

/// The numbers of a pgvector `halfvec`, to read only.
pub struct HalfVector(pub Vec<f32>);

impl FromDatum for HalfVector {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _typoid: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches that a datum that is not NULL is a halfvec.
        (!is_null).then(|| unsafe {
            let half = Detoasted::new(datum);
            let values = half.values::<half::f16>()?;
            Some(HalfVector(values.iter().map(|x| x.to_f32()).collect()))
        })?
    }
}

/// A vector or halfvec datum in memory, detoasted only if it has to be.
pub struct Detoasted {
    start: *mut pg_sys::varlena,
    owned: bool,
}

impl Detoasted {
    /// # Safety
    /// `datum` is a non-NULL varlena.
    pub unsafe fn new(datum: pg_sys::Datum) -> Self {
        let given = datum.cast_mut_ptr::<pg_sys::varlena>();
        // SAFETY: by contract. Plain 4-byte headers are the rule: no call into Postgres for them.
        unsafe {
            let plain = pgrx::varlena::varatt_is_4b_u(given);
            let start = if plain {
                given
            } else {
                pg_sys::pg_detoast_datum(given)
            };
            Detoasted {
                start,
                owned: start != given,
            }
        }
    }

    /// The elements, or `None` if the stored length does not fit the dimensions.
    ///
    /// # Safety
    /// The datum is a pgvector type with elements of type `T`: `f32` for vector, `f16` for halfvec.
    pub unsafe fn values<T>(&self) -> Option<&[T]> {
        // SAFETY: a detoasted varlena is at least as long as it says; lengths are checked before use.
        unsafe {
            let size = pgrx::varlena::varsize_any(self.start);
            if size < HEADER {
                return None;
            }
            let dimensions = usize::try_from((*self.start.cast::<Header>()).dimensions).ok()?;
            if size < HEADER + dimensions * size_of::<T>() {
                return None;
            }
            Some(std::slice::from_raw_parts(
                self.start.cast::<u8>().add(HEADER).cast(),
                dimensions,
            ))
        }
    }
}

impl Drop for Detoasted {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: `new` got this allocation from Postgres for this value alone.
            unsafe { pg_sys::pfree(self.start.cast()) };
        }
    }
}

/// The OID of a type of the pgvector extension, wherever that is installed; `InvalidOid` if it is not.
pub fn oid_of(name: &str) -> pg_sys::Oid {
    type_of("vector", name)
}

/// The OID of a type of an extension; `InvalidOid` if there is none.
pub fn type_of(extension: &str, name: &str) -> pg_sys::Oid {
    // The caller may have put operators of its own before those of pg_catalog.
    let query = "SELECT t.oid FROM pg_catalog.pg_type t
         JOIN pg_catalog.pg_depend d
           ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) t.oid
         JOIN pg_catalog.pg_extension e
           ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid OPERATOR(pg_catalog.=) e.oid
         WHERE e.extname OPERATOR(pg_catalog.=) $1 AND t.typname OPERATOR(pg_catalog.=) $2 AND d.deptype OPERATOR(pg_catalog.=) 'e'";
    let oid = query::one::<pg_sys::Oid>(query, &[extension.into(), name.into()]);
    oid.ok().flatten().unwrap_or(pg_sys::InvalidOid)
}
