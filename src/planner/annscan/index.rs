//! What the index can give: the order by one of its columns, and how far it can be scanned.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::wanted::{Needed, Wanted};
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
#[derive(Clone, Copy, PartialEq)]
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

/// How far an index can be scanned.
pub(super) struct Reach {
    /// Rows that it can give.
    rows: f64,
    /// Whether it scans on, in order, when rows are filtered.
    pub(super) strict: bool,
    /// What limits the rows.
    because: &'static str,
}

impl Reach {
    pub(super) unsafe fn of(method: Method, index: &pg_sys::IndexOptInfo, tuples: f64) -> Self {
        match method {
            Method::Hnsw if setting(c"hnsw.iterative_scan").as_deref() == Some("strict_order") => {
                let rows = number(c"hnsw.max_scan_tuples", 20_000.0);
                Reach {
                    rows,
                    strict: true,
                    because: "hnsw.max_scan_tuples",
                }
            }
            Method::Hnsw => Reach {
                rows: number(c"hnsw.ef_search", 40.0),
                strict: false,
                because: "hnsw.ef_search",
            },
            Method::IvfFlat => {
                // SAFETY: the index exists.
                let lists = unsafe { lists_of(index.indexoid) };
                let probes = number(c"ivfflat.probes", 1.0);
                let share = (probes / lists).min(1.0);
                Reach {
                    rows: (tuples * share).max(1.0),
                    strict: false,
                    because: "ivfflat.probes",
                }
            }
        }
    }

    pub(super) fn objection(&self, needed: Needed) -> Option<String> {
        match needed {
            Needed::AtMost(n) if n <= self.rows => None,
            Needed::AtMost(n) => Some(format!(
                "{n} rows are wanted, more than {} ({:.0}) lets the index give",
                self.because, self.rows
            )),
            Needed::Unknown if self.strict => None,
            Needed::Unknown => Some(
                "the LIMIT is not known when planning; set hnsw.iterative_scan = strict_order"
                    .into(),
            ),
            Needed::All => {
                Some("all rows are wanted, in order; an index gives the nearest only".into())
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

fn number(name: &CStr, default: f64) -> f64 {
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
