//! Why not: where the index could not give the order, or would run dry.

use pgrx::pg_sys;

use super::index::Scan;
use super::methods::Reach;
use super::path::Numbers;
use super::wanted::{Needed, Wanted, loses_rows_in_joins, needed, ties_matter};
use crate::planner::catalog::{self, Kind};
use crate::planner::nodes::{cast, items, same, strip_relabels};

/// More than two similarities can differ by.
const ANY_ORDER: f64 = 2.1;

impl Scan<'_> {
    /// What the scan has to know, or why the index had better not be used.
    pub(super) unsafe fn numbers(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        entry: *mut pg_sys::RangeTblEntry,
        wanted: &Wanted,
    ) -> Result<Numbers, String> {
        // SAFETY: the planner's live nodes.
        unsafe {
            let nulls_first = (*wanted.pathkey).pk_nulls_first;
            if nulls_first && !self.has_no_nulls(root, rel, entry, wanted) {
                return Err(
                    "NULLs come first and the column may hold some; say NULLS LAST, or NOT NULL"
                        .into(),
                );
            }
            let needed = match needed(root) {
                Needed::All => {
                    return Err(
                        "all rows are wanted, in order; an index gives the nearest only".into(),
                    );
                }
                Needed::About(rows) => Some(rows),
                Needed::Some => None,
            };
            let expected =
                needed.map_or(0.0, |rows| rows / self.share_that_passes(root, rel, wanted));
            let reach = Reach::of(self.method, self.index, (*rel).tuples);
            if expected > reach.rows {
                return Err(format!(
                    "about {expected:.0} rows would have to be read, more than {} ({:.0}) lets the index give",
                    reach.because, reach.rows
                ));
            }
            let held = (*rel).tuples * (1.0 - self.share_of_nulls(entry));
            if expected > held && (*rel).tuples > expected {
                return Err(format!(
                    "about {expected:.0} rows would have to be read, more than the {held:.0} with a vector"
                ));
            }
            // A join may drop rows or repeat them: nobody knows how many it takes.
            let awaited = needed.filter(|_| !loses_rows_in_joins(root, rel, wanted));
            let in_order = self.method.is_in_order();
            Ok(Numbers {
                slack: if in_order {
                    2.0 * self.rounding()
                } else {
                    ANY_ORDER
                },
                window: reach.window(expected),
                awaited: awaited.unwrap_or(0.0) as usize,
                merged: (*rel).reloptkind != pg_sys::RelOptKind::RELOPT_BASEREL,
                expected,
                nulls_first,
                ties_matter: ties_matter(root, wanted),
                method: self.method,
            })
        }
    }

    /// By how much a similarity may differ from what the index takes it for: it holds vectors of norm 1, in its own
    /// precision, and sums products in single precision.
    unsafe fn rounding(&self) -> f64 {
        // SAFETY: a live expression; a type's name is palloc'ed.
        unsafe {
            let dimensions = pg_sys::exprTypmod(self.column);
            let dimensions = f64::from(if dimensions > 0 { dimensions } else { 2000 });
            let sums = (dimensions + 8.0) * f64::from(f32::EPSILON) / 2.0;
            if catalog::is_half(self.operator) {
                sums + 1e-3
            } else {
                sums
            }
        }
    }

    /// Which share of the rows that the index gives passes the query's other conditions.
    unsafe fn share_that_passes(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        wanted: &Wanted,
    ) -> f64 {
        // SAFETY: the planner's live nodes.
        unsafe {
            let filters = self
                .conditions(root, rel, wanted)
                .filter(|c| {
                    let clause: *mut pg_sys::Node = (**c).clause.cast();
                    !self.rejects_null(clause, wanted) || self.cuts_the_near_end(clause, wanted)
                })
                .fold(std::ptr::null_mut(), |list, c| {
                    pg_sys::lappend(list, c.cast())
                });
            let (inner, none) = (pg_sys::JoinType::JOIN_INNER, std::ptr::null_mut());
            pg_sys::clauselist_selectivity(root, filters, 0, inner, none).max(1e-9)
        }
    }

    /// The conditions that the scan's rows have to pass, but what a partial index's predicate implies.
    pub(super) unsafe fn conditions(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        wanted: &Wanted,
    ) -> impl Iterator<Item = *mut pg_sys::RestrictInfo> {
        // SAFETY: the planner's live nodes.
        unsafe { items(self.index.indrestrictinfo).chain(conditions_beside(root, rel, wanted)) }
    }

    /// Which share of the column is NULL, as far as statistics know.
    unsafe fn share_of_nulls(&self, entry: *mut pg_sys::RangeTblEntry) -> f64 {
        // SAFETY: the tuple is released after the number was read.
        unsafe {
            let Some(var) = underlying_column(self.column) else {
                return 0.0;
            };
            let cache = pg_sys::SysCacheIdentifier::STATRELATTINH as i32;
            let tuple = pg_sys::SearchSysCache3(
                cache,
                pg_sys::Datum::from((*entry).relid),
                pg_sys::Datum::from(var.varattno),
                pg_sys::Datum::from(false),
            );
            if tuple.is_null() {
                return 0.0;
            }
            let mut null = false;
            let attribute = pg_sys::Anum_pg_statistic_stanullfrac as pg_sys::AttrNumber;
            let share = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
            pg_sys::ReleaseSysCache(tuple);
            if null {
                0.0
            } else {
                f64::from(f32::from_bits(share.value() as u32))
            }
        }
    }

    /// Whether every row has a vector: the index holds no NULLs.
    unsafe fn has_no_nulls(
        &self,
        root: *mut pg_sys::PlannerInfo,
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
            let clauses = items::<pg_sys::RestrictInfo>((*rel).baserestrictinfo);
            let mut clauses = clauses.chain(conditions_beside(root, rel, wanted));
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
            similarity
                && pg_sys::op_strict(operator.opno)
                && !pg_sys::contain_var_clause(other)
                && !pg_sys::contain_volatile_functions(other)
        }
    }

    /// Whether a condition is a bound on the similarity from below: it only drops what comes last.
    pub(super) unsafe fn cuts_the_far_end(
        &self,
        clause: *mut pg_sys::Node,
        wanted: &Wanted,
    ) -> bool {
        // SAFETY: a live expression.
        unsafe { self.bounds_similarity(clause, wanted) && !self.cuts_the_near_end(clause, wanted) }
    }

    /// Whether a bound on the similarity drops the most similar rows, which come first.
    unsafe fn cuts_the_near_end(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression; a pathkey has a btree operator family.
        unsafe {
            let Some(operator) = cast::<pg_sys::OpExpr>(clause, pg_sys::NodeTag::T_OpExpr) else {
                return false;
            };
            let left = items::<pg_sys::Node>(operator.args)
                .next()
                .is_some_and(|a| same(a, wanted.call));
            let strategy =
                pg_sys::get_op_opfamily_strategy(operator.opno, (*wanted.pathkey).pk_opfamily);
            let from_below = if left {
                [
                    pg_sys::BTGreaterStrategyNumber,
                    pg_sys::BTGreaterEqualStrategyNumber,
                ]
            } else {
                [
                    pg_sys::BTLessStrategyNumber,
                    pg_sys::BTLessEqualStrategyNumber,
                ]
            };
            !from_below.contains(&u32::try_from(strategy).unwrap_or(0))
        }
    }
}

/// The conditions that take the row beside.
unsafe fn conditions_beside(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    wanted: &Wanted,
) -> impl Iterator<Item = *mut pg_sys::RestrictInfo> {
    // SAFETY: the planner's live nodes.
    unsafe {
        let from = if wanted.beside.is_null() {
            std::ptr::null_mut()
        } else {
            pg_sys::get_baserel_parampathinfo(root, rel, wanted.beside)
        };
        items(
            from.as_ref()
                .map_or(std::ptr::null_mut(), |p| p.ppi_clauses),
        )
    }
}

/// The column in an indexed expression that is NULL for NULL only: the column itself, or pgvector's casts of it.
unsafe fn underlying_column<'a>(node: *mut pg_sys::Node) -> Option<&'a mut pg_sys::Var> {
    // SAFETY: a live expression.
    unsafe {
        let node = strip_relabels(node);
        if let Some(function) = cast::<pg_sys::FuncExpr>(node, pg_sys::NodeTag::T_FuncExpr) {
            let first = items::<pg_sys::Node>(function.args).next()?;
            return if catalog::kind(function.funcid) == Kind::Cast {
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
