//! What the index can give: the order by one of its columns, and how far it can be scanned.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::iterative::IterativeScan;
use super::wanted::Wanted;
use crate::planner::catalog;

/// An index that can give the wanted order.
pub(super) struct Scan<'a> {
    pub(super) index: &'a pg_sys::IndexOptInfo,
    /// The argument that the index holds.
    pub(super) column: *mut pg_sys::Node,
    /// The argument that it is compared with.
    pub(super) probe: *mut pg_sys::Node,
    /// pgvector's `<=>`.
    pub(super) operator: pg_sys::Oid,
    pub(super) method: Method,
}

/// pgvector's index methods.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Method {
    Hnsw,
    IvfFlat,
}

impl<'a> Scan<'a> {
    /// # Safety
    /// The planner's live nodes.
    pub(super) unsafe fn of(index: &'a pg_sys::IndexOptInfo, wanted: &Wanted) -> Option<Self> {
        // SAFETY: by contract; a key column has an operator family and an input type.
        unsafe {
            if !index.amcanorderbyop
                || index.nkeycolumns < 1
                || index.hypothetical
                || index.predOK_fails()
            {
                return None;
            }
            let (family, input) = (*index.opfamily, *index.opcintype);
            let operator = pg_sys::get_opfamily_member(family, input, input, 1);
            if operator == pg_sys::InvalidOid || !catalog::is_cosine_distance(operator) {
                return None;
            }
            let own = std::ptr::from_ref(index).cast_mut();
            let holds = |n: *mut pg_sys::Node| pg_sys::match_index_to_operand(n, 0, own);
            let [a, b] = wanted.arguments;
            let (column, probe) = if holds(a) {
                (a, b)
            } else if holds(b) {
                (b, a)
            } else {
                return None;
            };
            let method = method_of(index)?;
            let steady =
                !pg_sys::contain_var_clause(probe) && !pg_sys::contain_volatile_functions(probe);
            let fits = pg_sys::exprType(probe) == input;
            (steady && fits).then_some(Scan {
                index,
                column,
                probe,
                operator,
                method,
            })
        }
    }
}
/// A partial index that this query's conditions do not imply cannot be used.
trait PartialIndex {
    #[allow(non_snake_case)]
    fn predOK_fails(&self) -> bool;
}

impl PartialIndex for pg_sys::IndexOptInfo {
    fn predOK_fails(&self) -> bool {
        !self.indpred.is_null() && !self.predOK
    }
}

unsafe fn method_of(index: &pg_sys::IndexOptInfo) -> Option<Method> {
    // SAFETY: the access method exists while an index uses it; the name is palloc'ed.
    let name = unsafe {
        let name = pg_sys::get_am_name(index.relam);
        if name.is_null() {
            return None;
        } else {
            CStr::from_ptr(name)
        }
    };
    match name.to_bytes() {
        b"hnsw" => Some(Method::Hnsw),
        b"ivfflat" => Some(Method::IvfFlat),
        _ => None,
    }
}

/// How many rows an index can give.
pub(super) struct Reach {
    pub(super) rows: f64,
    /// What limits them.
    pub(super) because: &'static str,
}

/// Memory that pgvector's iterative scan takes per row that it gives: 268 bytes were measured with pgvector 0.8.1, m = 16.
const BYTES_PER_ROW: f64 = 300.0;

impl Reach {
    pub(super) unsafe fn of(method: Method, index: &pg_sys::IndexOptInfo, tuples: f64) -> Self {
        match method {
            Method::Hnsw => {
                let nearest = Reach {
                    rows: number(c"hnsw.ef_search", 40.0),
                    because: "hnsw.ef_search",
                };
                if !IterativeScan::find(method).is_some_and(IterativeScan::has_strict) {
                    return nearest;
                }
                // SAFETY: a setting of Postgres.
                let memory = f64::from(unsafe { pg_sys::work_mem })
                    * 1024.0
                    * number(c"hnsw.scan_mem_multiplier", 1.0);
                let more = [
                    (
                        number(c"hnsw.max_scan_tuples", 20_000.0),
                        "hnsw.max_scan_tuples",
                    ),
                    (
                        memory / BYTES_PER_ROW,
                        "work_mem * hnsw.scan_mem_multiplier",
                    ),
                ];
                let [a, b] = more.map(|(rows, because)| Reach { rows, because });
                let on = if a.rows <= b.rows { a } else { b };
                if on.rows > nearest.rows { on } else { nearest }
            }
            Method::IvfFlat => {
                // SAFETY: the index exists.
                let lists = unsafe { lists_of(index.indexoid) };
                let probes = number(c"ivfflat.probes", 1.0);
                let share = (probes / lists).min(1.0);
                Reach {
                    rows: (tuples * share).max(1.0),
                    because: "ivfflat.probes",
                }
            }
        }
    }
}

fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the value is copied before anything can change it; pgvector may not be loaded yet.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

pub(super) fn number(name: &CStr, default: f64) -> f64 {
    setting(name)
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// The `lists` option of an ivfflat index; pgvector's default is 100.
unsafe fn lists_of(index: pg_sys::Oid) -> f64 {
    // SAFETY: the tuple is released after the options were copied.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(index));
        if tuple.is_null() {
            return 100.0;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_class_reloptions as pg_sys::AttrNumber;
        let options = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        let options: Option<Vec<Option<String>>> = pgrx::FromDatum::from_datum(options, null);
        pg_sys::ReleaseSysCache(tuple);
        let lists = options
            .into_iter()
            .flatten()
            .flatten()
            .find_map(|o| o.strip_prefix("lists=")?.parse().ok());
        lists.unwrap_or(100.0)
    }
}
