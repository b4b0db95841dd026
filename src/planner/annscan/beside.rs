//! A search for what one row of another relation tells, as in
//! `FROM library, (SELECT ai_audio_embed(path) AS v FROM calls WHERE id = 1) p ORDER BY cosine_similarity(voiceprint, p.v) DESC`.
//!
//! Where the other relation has at most one row, a nested loop with that row outside gives the order of the scan inside.
//! Postgres does not know this: to it, the rows of a nested loop come in the order of the outer relation.

use pgrx::pg_guard;
use pgrx::pg_sys;

use super::wanted::wanted;
use super::{is_plain_table, paths};
use crate::planner::nodes::{cast, items, list_of};

static mut PREVIOUS: pg_sys::set_join_pathlist_hook_type = None;

/// Chains the hook.
///
/// # Safety
/// Called once, when the library is loaded, on the only thread.
pub(super) unsafe fn install() {
    // SAFETY: by contract.
    unsafe {
        PREVIOUS = pg_sys::set_join_pathlist_hook;
        pg_sys::set_join_pathlist_hook = Some(add_paths);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn add_paths(
    root: *mut pg_sys::PlannerInfo,
    join: *mut pg_sys::RelOptInfo,
    outer: *mut pg_sys::RelOptInfo,
    inner: *mut pg_sys::RelOptInfo,
    kind: pg_sys::JoinType::Type,
    extra: *mut pg_sys::JoinPathExtraData,
) {
    // SAFETY: the planner's live nodes, passed through.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(root, join, outer, inner, kind, extra);
        }
        if kind == pg_sys::JoinType::JOIN_INNER && is_searchable(root, inner) {
            offer(root, join, outer, inner, extra);
        }
    }
}

/// Whether a relation is a table with indexes. Cheap, since it is asked for every join of every query.
unsafe fn is_searchable(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> bool {
    // SAFETY: the planner's live nodes; a base relation has an entry.
    unsafe {
        (*rel).reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL
            && !(*rel).indexlist.is_null()
            && (*rel).lateral_relids.is_null()
            && is_plain_table(rel, entry(root, rel))
    }
}

unsafe fn offer(
    root: *mut pg_sys::PlannerInfo,
    join: *mut pg_sys::RelOptInfo,
    outer: *mut pg_sys::RelOptInfo,
    inner: *mut pg_sys::RelOptInfo,
    extra: *mut pg_sys::JoinPathExtraData,
) {
    // SAFETY: the planner's live nodes. What is made for the inner relation stays with it, and so does not go into the
    // memory that the genetic search of joins forgets.
    unsafe {
        let Some(wanted) = wanted(root, inner, (*outer).relids) else {
            return;
        };
        let first = (*outer).cheapest_total_path;
        if first.is_null() || !(*first).param_info.is_null() || !is_one_row(root, outer) {
            return;
        }
        let before = pg_sys::MemoryContextSwitchTo((*root).planner_cxt);
        let scans = paths(root, inner, entry(root, inner), &wanted);
        pg_sys::MemoryContextSwitchTo(before);
        for scan in scans {
            let kind = pg_sys::JoinType::JOIN_INNER;
            let mut costs = pg_sys::JoinCostWorkspace::default();
            pg_sys::initial_cost_nestloop(root, &mut costs, kind, first, scan, extra);
            let path = pg_sys::create_nestloop_path(
                root,
                join,
                kind,
                &mut costs,
                extra,
                first,
                scan,
                (*extra).restrictlist,
                list_of(wanted.pathkey),
                std::ptr::null_mut(),
            );
            pg_sys::add_path(join, path.cast());
        }
    }
}

unsafe fn entry(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> *mut pg_sys::RangeTblEntry {
    // SAFETY: a base relation has an entry.
    unsafe { *(*root).simple_rte_array.add((*rel).relid as usize) }
}

/// Whether a relation has at most one row, whatever is in the tables.
unsafe fn is_one_row(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> bool {
    // SAFETY: the planner's live nodes; a subquery in FROM has been planned before joins are.
    unsafe {
        if (*rel).reloptkind != pg_sys::RelOptKind::RELOPT_BASEREL {
            return false;
        }
        let (entry, none) = (entry(root, rel), std::ptr::null_mut());
        match (*entry).rtekind {
            pg_sys::RTEKind::RTE_RELATION => {
                !(*entry).inh && pg_sys::relation_has_unique_index_for(root, rel, none, none, none)
            }
            pg_sys::RTEKind::RTE_SUBQUERY => {
                !(*rel).subroot.is_null() && gives_one_row(&*(*(*rel).subroot).parse)
            }
            pg_sys::RTEKind::RTE_FUNCTION => !items::<pg_sys::RangeTblFunction>((*entry).functions)
                .any(|f| pg_sys::expression_returns_set((*f).funcexpr)),
            _ => false,
        }
    }
}

/// Whether a query gives at most one row: an aggregate over all rows, or `LIMIT 1`.
unsafe fn gives_one_row(query: &pg_sys::Query) -> bool {
    // SAFETY: a planned query, whose constants have been computed.
    unsafe {
        let aggregated = query.hasAggs
            && query.groupClause.is_null()
            && query.groupingSets.is_null()
            && query.setOperations.is_null()
            && !query.hasTargetSRFs;
        let limit = cast::<pg_sys::Const>(query.limitCount, pg_sys::NodeTag::T_Const);
        let limited = limit.is_some_and(|l| !l.constisnull && l.constvalue.value() as i64 <= 1);
        let ties = query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_WITH_TIES;
        aggregated || limited && !ties
    }
}
