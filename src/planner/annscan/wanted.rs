//! What the query wants: which order, of what, and how many rows of it.

use pgrx::pg_sys;

use crate::planner::catalog::{self, Kind};
use crate::planner::nodes::{cast, items, strip_relabels};

/// The order that the query wants, as far as it is about similarity.
pub(super) struct Wanted {
    pub(super) pathkey: *mut pg_sys::PathKey,
    /// The whole `cosine_similarity` call.
    pub(super) call: *mut pg_sys::FuncExpr,
    /// Its arguments.
    pub(super) arguments: [*mut pg_sys::Node; 2],
    /// Whether more sort keys follow.
    pub(super) more_keys: bool,
}

/// The first sort key, if it is the descending similarity of something in this relation.
pub(super) unsafe fn wanted(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> Option<Wanted> {
    // SAFETY: the planner's live nodes.
    unsafe {
        let pathkeys = (*root).query_pathkeys;
        let pathkey = items::<pg_sys::PathKey>(pathkeys).next()?;
        let class = (*pathkey).pk_eclass;
        if !is_descending(&*pathkey) || (*class).ec_has_volatile {
            return None;
        }
        let calls = members(class, rel).filter_map(|m| similarity_call((*m).em_expr.cast()));
        calls
            .map(|call| {
                let mut arguments = items::<pg_sys::Node>((*call).args);
                Some(Wanted {
                    pathkey,
                    call,
                    arguments: [arguments.next()?, arguments.next()?],
                    more_keys: (*pathkeys).length > 1,
                })
            })
            .next()?
    }
}

#[cfg(not(feature = "pg18"))]
fn is_descending(pathkey: &pg_sys::PathKey) -> bool {
    pathkey.pk_strategy == pg_sys::BTGreaterStrategyNumber as i32
}

#[cfg(feature = "pg18")]
fn is_descending(pathkey: &pg_sys::PathKey) -> bool {
    pathkey.pk_cmptype == pg_sys::CompareType::COMPARE_GT
}

/// The members of an equivalence class that this relation alone can compute.
unsafe fn members(
    class: *mut pg_sys::EquivalenceClass,
    rel: *mut pg_sys::RelOptInfo,
) -> impl Iterator<Item = *mut pg_sys::EquivalenceMember> {
    // SAFETY: the planner's live nodes; since Postgres 18 a partition's members stand in lists of their own.
    unsafe {
        #[cfg(feature = "pg18")]
        let children = {
            let (lists, at) = ((*class).ec_childmembers, (*rel).relid as usize);
            let there = !lists.is_null()
                && at < usize::try_from((*class).ec_childmembers_size).unwrap_or(0);
            if there {
                *lists.add(at)
            } else {
                std::ptr::null_mut()
            }
        };
        #[cfg(not(feature = "pg18"))]
        let children = std::ptr::null_mut();
        let all = items::<pg_sys::EquivalenceMember>((*class).ec_members).chain(items(children));
        all.filter(move |m| pg_sys::bms_equal((**m).em_relids, (*rel).relids))
    }
}

unsafe fn similarity_call(expression: *mut pg_sys::Node) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: a live expression.
    unsafe {
        let call =
            cast::<pg_sys::FuncExpr>(strip_relabels(expression), pg_sys::NodeTag::T_FuncExpr)?;
        let two = call.args.as_ref().is_some_and(|a| a.length == 2);
        (two && catalog::kind(call.funcid) == Kind::Similarity).then_some(std::ptr::from_mut(call))
    }
}

/// How many rows the statement takes from the scan.
pub(super) enum Needed {
    /// At most this many.
    AtMost(f64),
    /// A limit that is known only when it runs.
    Unknown,
    /// All of them.
    All,
}

pub(super) unsafe fn needed(root: *mut pg_sys::PlannerInfo, wanted: &Wanted) -> Needed {
    // SAFETY: the planner's live nodes.
    unsafe {
        let query = &*(*root).parse;
        let limit = (*root).limit_tuples;
        if limit > 0.0 {
            // Rows that tie in the first key must all be seen to sort them by the next.
            let ties = wanted.more_keys
                || query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_WITH_TIES;
            return Needed::AtMost(limit + f64::from(u8::from(ties)));
        }
        let plain = query.groupClause.is_null()
            && query.groupingSets.is_null()
            && query.distinctClause.is_null()
            && query.setOperations.is_null()
            && !query.hasAggs
            && !query.hasWindowFuncs
            && !query.hasTargetSRFs;
        if plain && !query.limitCount.is_null() {
            Needed::Unknown
        } else {
            Needed::All
        }
    }
}

/// Whether a join may drop rows of this relation: any join but a left join in which it is on the left.
pub(super) unsafe fn loses_rows_in_joins(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> bool {
    // SAFETY: the planner's live nodes.
    unsafe {
        // A partition joins as its parent does.
        let mut own = (*rel).relids;
        if !(*rel).top_parent_relids.is_null() {
            own = (*rel).top_parent_relids;
        }
        let mut optional: pg_sys::Relids = std::ptr::null_mut();
        for join in items::<pg_sys::SpecialJoinInfo>((*root).join_info_list) {
            if (*join).jointype == pg_sys::JoinType::JOIN_LEFT
                && pg_sys::bms_is_subset(own, (*join).syn_lefthand)
            {
                optional = pg_sys::bms_union(optional, (*join).syn_righthand);
            }
        }
        let others = pg_sys::bms_difference(joined(root), own);
        !pg_sys::bms_is_subset(others, optional)
    }
}

/// All relations of the query that are joined.
unsafe fn joined(root: *mut pg_sys::PlannerInfo) -> pg_sys::Relids {
    // SAFETY: the array has `simple_rel_array_size` entries, NULL where there is no relation.
    unsafe {
        let count = usize::try_from((*root).simple_rel_array_size).unwrap_or(0);
        let rels = std::slice::from_raw_parts((*root).simple_rel_array, count);
        rels.iter()
            .filter_map(|r| r.as_ref())
            .filter(|r| r.reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL)
            .fold(std::ptr::null_mut(), |all, r| {
                pg_sys::bms_add_member(all, r.relid as i32)
            })
    }
}
