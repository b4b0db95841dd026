//! Why not: where the rows could differ from those of a sort.

use std::ffi::CStr;

use pgrx::pg_sys;

use super::index::{Method, Reach, Scan};
use super::wanted::{Wanted, loses_rows_in_joins, needed};
use crate::planner::nodes::{cast, items, same, strip_relabels};

impl Scan<'_> {
    /// Why the rows could differ from those of a sort.
    pub(super) unsafe fn objection(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        entry: *mut pg_sys::RangeTblEntry,
        wanted: &Wanted,
    ) -> Option<String> {
        // SAFETY: the planner's live nodes.
        unsafe {
            if (*wanted.pathkey).pk_nulls_first && !self.has_no_nulls(rel, entry, wanted) {
                return Some(
                    "NULLs come first and the column may hold some; say NULLS LAST, or NOT NULL"
                        .into(),
                );
            }
            let reach = Reach::of(self.method, self.index, (*rel).tuples);
            if let Some(why) = reach.objection(needed(root, wanted)) {
                return Some(why);
            }
            let filtered = self.has_filters(wanted) || loses_rows_in_joins(root, rel);
            (filtered && !reach.strict).then(|| match self.method {
                Method::Hnsw => {
                    "rows are filtered after the index; set hnsw.iterative_scan = strict_order"
                        .into()
                }
                Method::IvfFlat => {
                    "rows are filtered after the index, and ivfflat cannot scan on in order".into()
                }
            })
        }
    }

    /// Whether every row has a vector: the index holds no NULLs.
    unsafe fn has_no_nulls(
        &self,
        rel: *mut pg_sys::RelOptInfo,
        entry: *mut pg_sys::RangeTblEntry,
        wanted: &Wanted,
    ) -> bool {
        // SAFETY: the planner's live nodes.
        unsafe {
            if let Some(var) = underlying_column(self.column)
                && is_not_null(entry, var)
            {
                return true;
            }
            let mut clauses = items::<pg_sys::RestrictInfo>((*rel).baserestrictinfo);
            clauses.any(|c| self.rejects_null((*c).clause.cast(), wanted))
        }
    }

    /// Whether a condition is false for rows without a vector.
    unsafe fn rejects_null(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression.
        unsafe {
            if let Some(test) = cast::<pg_sys::NullTest>(clause, pg_sys::NodeTag::T_NullTest) {
                let on_column = same(test.arg, self.column) || same(test.arg, wanted.call);
                return on_column && test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL;
            }
            self.bounds_similarity(clause, wanted)
        }
    }

    /// Whether a condition compares this very similarity by a strict operator with something steady.
    unsafe fn bounds_similarity(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression.
        unsafe {
            let Some(operator) = cast::<pg_sys::OpExpr>(clause, pg_sys::NodeTag::T_OpExpr) else {
                return false;
            };
            let arguments: Vec<*mut pg_sys::Node> = items(operator.args).collect();
            let (similarity, other) = match arguments[..] {
                [a, b] if same(a, wanted.call) => (true, b),
                [a, b] if same(b, wanted.call) => (true, a),
                _ => (false, clause),
            };
            similarity && pg_sys::op_strict(operator.opno) && !pg_sys::contain_var_clause(other)
        }
    }

    /// Whether rows that the index gives may be dropped, other than from its far end.
    unsafe fn has_filters(&self, wanted: &Wanted) -> bool {
        // SAFETY: the planner's live nodes. `indrestrictinfo` leaves out what a partial index's predicate implies.
        unsafe {
            let mut clauses = items::<pg_sys::RestrictInfo>(self.index.indrestrictinfo);
            clauses.any(|c| {
                let clause: *mut pg_sys::Node = (*c).clause.cast();
                !self.rejects_null(clause, wanted) || self.cuts_the_near_end(clause, wanted)
            })
        }
    }

    /// Whether a bound on the similarity drops the most similar rows, which come first.
    unsafe fn cuts_the_near_end(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression.
        unsafe {
            let Some(operator) = cast::<pg_sys::OpExpr>(clause, pg_sys::NodeTag::T_OpExpr) else {
                return false;
            };
            let left = items::<pg_sys::Node>(operator.args)
                .next()
                .is_some_and(|a| same(a, wanted.call));
            let name = pg_sys::get_opname(operator.opno);
            let name = if name.is_null() {
                c""
            } else {
                CStr::from_ptr(name)
            };
            let from_below = if left { [c">", c">="] } else { [c"<", c"<="] };
            !from_below.contains(&name)
        }
    }
}

/// The column in an indexed expression that gives NULL for NULL: the column itself, or casts of it.
unsafe fn underlying_column<'a>(node: *mut pg_sys::Node) -> Option<&'a mut pg_sys::Var> {
    // SAFETY: a live expression.
    unsafe {
        let node = strip_relabels(node);
        if let Some(function) = cast::<pg_sys::FuncExpr>(node, pg_sys::NodeTag::T_FuncExpr) {
            let first = items::<pg_sys::Node>(function.args).next()?;
            return if pg_sys::func_strict(function.funcid) {
                underlying_column(first)
            } else {
                None
            };
        }
        cast::<pg_sys::Var>(node, pg_sys::NodeTag::T_Var)
    }
}

unsafe fn is_not_null(entry: *mut pg_sys::RangeTblEntry, var: &pg_sys::Var) -> bool {
    // SAFETY: the relation is locked by the query; the tuple is released after the flag was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::ATTNUM as i32;
        let (relation, number) = (
            pg_sys::Datum::from((*entry).relid),
            pg_sys::Datum::from(var.varattno),
        );
        let tuple = pg_sys::SearchSysCache2(cache, relation, number);
        if tuple.is_null() {
            return false;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_attribute_attnotnull as pg_sys::AttrNumber;
        let flag = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        pg_sys::ReleaseSysCache(tuple);
        !null && flag.value() != 0
    }
}
