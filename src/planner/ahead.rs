//! Before another planner takes the query: calls that run once are put into subqueries.
//!
//! Citus plans a query for its workers as it is written. Support functions, and so `once`, are asked on the workers only: a
//! recording would be embedded once per shard, by machines that perhaps cannot read it. A subquery that refers to nothing
//! outside Citus runs itself, first and once, and ships its result. Postgres' own planner needs no such help, with foreign
//! tables neither: there `once` makes a parameter, which is shipped.
//!
//! Hooks of libraries that were loaded later are called earlier: Citus wants to be first in `shared_preload_libraries`.

use std::ffi::{c_char, c_int, c_void};

use pgrx::pg_guard;
use pgrx::prelude::*;

use super::catalog::{self, Kind};
use super::nodes::{cast, changed_below, copy, items};
use super::once::{has_rows, is_row_independent, scalar_subquery};
use crate::relations;

static mut PREVIOUS: pg_sys::planner_hook_type = None;

/// Chains the hook.
pub fn install() {
    // SAFETY: called once, when the library is loaded, on the only thread.
    unsafe {
        PREVIOUS = pg_sys::planner_hook;
        pg_sys::planner_hook = Some(plan);
    }
}

unsafe extern "C-unwind" {
    /// Not pgrx's: that one catches errors and raises them again, without their context, position, table and constraint.
    fn standard_planner(
        query: *mut pg_sys::Query,
        text: *const c_char,
        options: c_int,
        parameters: pg_sys::ParamListInfo,
    ) -> *mut pg_sys::PlannedStmt;
}

/// Has nothing to drop: the planner's errors leave it as they leave a function in C.
unsafe extern "C-unwind" fn plan(
    query: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: a live query, which planners may change, and arguments that are passed through.
    unsafe {
        wrap_where_spread(query);
        match PREVIOUS {
            Some(previous) => previous(query, text, options, parameters),
            None => standard_planner(query, text, options, parameters),
        }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn wrap_where_spread(query: *mut pg_sys::Query) {
    // SAFETY: a live query, which planners may change.
    unsafe {
        if relations::can_be_spread() && calls_ours(query) && has_spread_rows(query) {
            wrap(query, &mut Place::default());
        }
    }
}

/// Walks over a query and all that are in it.
unsafe fn any_in_all(
    query: *mut pg_sys::Query,
    question: &mut dyn FnMut(*mut pg_sys::Node) -> bool,
) -> bool {
    type Walked<'a> = &'a mut dyn FnMut(*mut pg_sys::Node) -> bool;

    #[pg_guard]
    unsafe extern "C-unwind" fn ask(node: *mut pg_sys::Node, question: *mut c_void) -> bool {
        // SAFETY: the walkers pass live nodes and the question.
        unsafe {
            if node.is_null() {
                return false;
            }
            if (*question.cast::<Walked>())(node) {
                return true;
            }
            let entries = pg_sys::QTW_EXAMINE_RTES_BEFORE as c_int;
            match cast::<pg_sys::Query>(node, pg_sys::NodeTag::T_Query) {
                Some(query) => pg_sys::query_tree_walker(query, Some(ask), question, entries),
                None if (*node).type_ == pg_sys::NodeTag::T_RangeTblEntry => false,
                None => pg_sys::expression_tree_walker(node, Some(ask), question),
            }
        }
    }
    let mut question: Walked = question;
    // SAFETY: a live query; the question outlives the walk.
    unsafe { ask(query.cast(), (&raw mut question).cast()) }
}

unsafe fn is_ours(node: *mut pg_sys::Node) -> bool {
    // SAFETY: a live node.
    unsafe {
        cast::<pg_sys::FuncExpr>(node, pg_sys::NodeTag::T_FuncExpr)
            .is_some_and(|call| catalog::kind(call.funcid) == Kind::Work)
    }
}

unsafe fn calls_ours(query: *mut pg_sys::Query) -> bool {
    // SAFETY: a live query.
    unsafe { any_in_all(query, &mut |node| is_ours(node)) }
}

unsafe fn has_spread_rows(query: *mut pg_sys::Query) -> bool {
    // SAFETY: a live query.
    unsafe {
        any_in_all(query, &mut |node| {
            cast::<pg_sys::RangeTblEntry>(node, pg_sys::NodeTag::T_RangeTblEntry).is_some_and(|e| {
                e.rtekind == pg_sys::RTEKind::RTE_RELATION && relations::is_spread(e.relid)
            })
        })
    }
}

/// Where the walk is.
#[derive(Default)]
struct Place {
    /// Queries around this one.
    depth: i32,
    /// Whether something was wrapped in this query.
    wrapped: bool,
    /// Whether calls are left alone here, but for those in aggregates.
    grouped: bool,
}

/// Wraps the calls in a query and in those below it.
///
/// What writes is left as it is: Citus runs its calls once already. So is what stands under a condition, which a subquery
/// would not heed, and what may be grouped by, which has to be found again.
unsafe fn wrap(query: *mut pg_sys::Query, place: &mut Place) {
    // SAFETY: a live query, which planners may change.
    unsafe {
        let outer = (place.wrapped, place.grouped);
        (place.wrapped, place.grouped) = (false, false);
        place.depth += 1;
        for entry in items::<pg_sys::RangeTblEntry>((*query).rtable) {
            if (*entry).rtekind == pg_sys::RTEKind::RTE_SUBQUERY {
                wrap((*entry).subquery, place);
            }
        }
        for cte in items::<pg_sys::CommonTableExpr>((*query).cteList) {
            if let Some(inner) = cast((*cte).ctequery, pg_sys::NodeTag::T_Query) {
                wrap(inner, place);
            }
        }
        if (*query).commandType == pg_sys::CmdType::CMD_SELECT && has_rows(query) {
            let context = std::ptr::from_mut(place).cast();
            (*query).jointree = changed((*query).jointree.cast(), context).cast();
            place.grouped = !(*query).groupClause.is_null() || !(*query).groupingSets.is_null();
            (*query).targetList = changed((*query).targetList.cast(), context).cast();
        }
        (*query).hasSubLinks |= place.wrapped;
        place.depth -= 1;
        (place.wrapped, place.grouped) = outer;
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn changed(
    node: *mut pg_sys::Node,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    use pg_sys::NodeTag::{T_Aggref, T_CaseExpr, T_CoalesceExpr, T_Query};
    // SAFETY: a live expression, and the place that `wrap` passes.
    unsafe {
        if node.is_null() {
            return node;
        }
        let place = &mut *context.cast::<Place>();
        match (*node).type_ {
            T_Query => {
                wrap(node.cast(), place);
                node
            }
            T_Aggref => {
                let grouped = std::mem::replace(&mut place.grouped, false);
                let changed = changed_below(node, changed, context);
                place.grouped = grouped;
                changed
            }
            T_CaseExpr => node,
            T_CoalesceExpr => {
                let all: *mut pg_sys::CoalesceExpr = copy(node.cast());
                if let Some(first) = items::<pg_sys::Node>((*all).args).next() {
                    (*(*(*all).args).elements).ptr_value = changed(first, context).cast();
                }
                all.cast()
            }
            _ if !place.grouped
                && is_ours(node)
                && is_row_independent(std::ptr::null_mut(), place.depth - 1, node) =>
            {
                place.wrapped = true;
                scalar_subquery(node).cast()
            }
            _ => changed_below(node, changed, context),
        }
    }
}
