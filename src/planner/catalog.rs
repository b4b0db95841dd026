//! Which functions and operators are ours and pgvector's: known by OID, through the extension they belong to.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CStr;

use pgrx::pg_guard;
use pgrx::pg_sys::{self, Oid};

thread_local! {
    /// What is known of an OID of pg_proc. Emptied whenever a function changes.
    static KNOWN: RefCell<HashMap<Oid, Kind>> = RefCell::new(HashMap::new());
}

/// What a function is to the planner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Our `cosine_similarity` of two pgvector values.
    Similarity,
    /// pgvector's `cosine_distance`.
    CosineDistance,
    /// pgvector's `cosine_distance` of half-precision vectors.
    HalfCosineDistance,
    /// A cast between pgvector's types, or to one's own dimensions: NULL for NULL only.
    Cast,
    /// One of ours that works on recordings or voiceprints and gives one value: STABLE, and worth running once.
    Work,
    /// postgres_fdw's handler.
    PostgresFdw,
    /// Anything else.
    Other,
}

/// Empties the cache when functions change: an extension may be dropped and made again.
pub fn watch_changes() {
    // SAFETY: a callback of the right type, registered once per process.
    unsafe {
        pg_sys::CacheRegisterSyscacheCallback(
            pg_sys::SysCacheIdentifier::PROCOID as i32,
            Some(forget),
            pg_sys::Datum::from(0),
        );
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn forget(_argument: pg_sys::Datum, _cache: i32, _hash: u32) {
    KNOWN.with_borrow_mut(HashMap::clear);
}

/// What the function of this OID is.
pub fn kind(function: Oid) -> Kind {
    if let Some(kind) = KNOWN.with_borrow(|known| known.get(&function).copied()) {
        return kind;
    }
    let kind = look_up(function); // outside the borrow: catalog access may invalidate
    KNOWN.with_borrow_mut(|known| known.insert(function, kind));
    kind
}

/// Whether an operator is pgvector's cosine distance.
pub fn is_cosine_distance(operator: Oid) -> bool {
    // SAFETY: a catalog look-up in a transaction.
    let kind = kind(unsafe { pg_sys::get_opcode(operator) });
    matches!(kind, Kind::CosineDistance | Kind::HalfCosineDistance)
}

/// Whether an operator compares half-precision vectors.
pub fn is_half(operator: Oid) -> bool {
    // SAFETY: a catalog look-up in a transaction.
    kind(unsafe { pg_sys::get_opcode(operator) }) == Kind::HalfCosineDistance
}

/// pg_language's row of SQL, from Postgres' `pg_language.dat`.
const SQL: Oid = Oid::from_u32(14);

/// Whether a function is written in SQL, and so may be replaced by what it contains.
pub fn is_in_sql(function: Oid) -> bool {
    // SAFETY: the tuple is released after the number was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::PROCOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(function));
        if tuple.is_null() {
            return false;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_proc_prolang as pg_sys::AttrNumber;
        let language = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        pg_sys::ReleaseSysCache(tuple);
        !null && Oid::from(language.value() as u32) == SQL
    }
}

fn look_up(function: Oid) -> Kind {
    let symbol = c_symbol(function).unwrap_or_default();
    let (extension, kind) = match symbol.as_str() {
        "cosine_similarity_vector" | "cosine_similarity_halfvec" => (c"ai_audio", Kind::Similarity),
        "cosine_distance" => (c"vector", Kind::CosineDistance),
        "halfvec_cosine_distance" => (c"vector", Kind::HalfCosineDistance),
        "vector" | "halfvec" | "vector_to_halfvec" | "halfvec_to_vector" => (c"vector", Kind::Cast),
        "postgres_fdw_handler" => (c"postgres_fdw", Kind::PostgresFdw),
        _ if gives_one_steady_value(function) => (c"ai_audio", Kind::Work),
        _ => return Kind::Other,
    };
    if belongs_to(function, extension) {
        kind
    } else {
        Kind::Other
    }
}

/// Whether a function that did not come with Postgres is STABLE and gives one value.
fn gives_one_steady_value(function: Oid) -> bool {
    // SAFETY: catalog look-ups in a transaction.
    unsafe {
        function.to_u32() >= pg_sys::FirstNormalObjectId
            && pg_sys::func_volatile(function) as u8 == pg_sys::PROVOLATILE_STABLE
            && !pg_sys::get_func_retset(function)
    }
}

fn belongs_to(function: Oid, extension: &CStr) -> bool {
    // SAFETY: catalog look-ups in a transaction.
    unsafe {
        let owner = pg_sys::getExtensionOfObject(pg_sys::ProcedureRelationId, function);
        owner != pg_sys::InvalidOid && owner == pg_sys::get_extension_oid(extension.as_ptr(), true)
    }
}

/// The C symbol of a function; of a function in another language, whatever its source is.
fn c_symbol(function: Oid) -> Option<String> {
    // SAFETY: the tuple is released after the text was copied out of it.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::PROCOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(function));
        if tuple.is_null() {
            return None;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_proc_prosrc as pg_sys::AttrNumber;
        let source = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        let symbol = (!null).then(|| {
            let text = pg_sys::text_to_cstring(source.cast_mut_ptr());
            CStr::from_ptr(text).to_string_lossy().into_owned()
        });
        pg_sys::ReleaseSysCache(tuple);
        symbol
    }
}
