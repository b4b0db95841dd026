//! What the query wants: which order, of what, and how many rows of it.

use pgrx::pg_sys;

use crate::planner::catalog::{self, Kind};
use crate::planner::nodes::{cast, copy, items, strip_relabels};

/// The order that the query wants, as far as it is about similarity.
pub(super) struct Wanted {
    pub(super) pathkey: *mut pg_sys::PathKey,
    /// The whole `cosine_similarity` call.
    pub(super) call: *mut pg_sys::FuncExpr,
    /// Its arguments.
    pub(super) arguments: [*mut pg_sys::Node; 2],
    /// The relation of one row that an argument may come from; NULL for none.
    pub(super) beside: pg_sys::Relids,
}

/// The first sort key, if it is the descending similarity of something in this relation, and of something in the one
/// `beside`, if there is one.
pub(super) unsafe fn wanted(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    beside: pg_sys::Relids,
) -> Option<Wanted> {
    // SAFETY: the planner's live nodes.
    unsafe {
        let pathkeys = (*root).query_pathkeys;
        let pathkey = items::<pg_sys::PathKey>(pathkeys).next()?;
        let class = (*pathkey).pk_eclass;
        if !is_descending(&*pathkey) || (*class).ec_has_volatile {
            return None;
        }
        let calls =
            members(class, rel, beside).filter_map(|m| similarity_call((*m).em_expr.cast()));
        calls
            .map(|call| {
                let mut arguments = items::<pg_sys::Node>((*call).args);
                Some(Wanted {
                    pathkey,
                    call,
                    arguments: [arguments.next()?, arguments.next()?],
                    beside,
                })
            })
            .next()?
    }
}

/// Whether the first sort key is the similarity, or pgvector's cosine distance, of something in this relation.
pub(super) unsafe fn is_about_similarity(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> bool {
    // SAFETY: the planner's live nodes.
    unsafe {
        let pathkeys = (*root).query_pathkeys;
        let Some(pathkey) = items::<pg_sys::PathKey>(pathkeys).next() else {
            return false;
        };
        members((*pathkey).pk_eclass, rel, std::ptr::null_mut()).any(|m| {
            let expression: *mut pg_sys::Node = (*m).em_expr.cast();
            similarity_call(expression).is_some()
                || cast::<pg_sys::OpExpr>(expression, pg_sys::NodeTag::T_OpExpr)
                    .is_some_and(|o| catalog::is_cosine_distance(o.opno))
        })
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

/// The members of an equivalence class that this relation and the one beside it can compute, and need both.
unsafe fn members(
    class: *mut pg_sys::EquivalenceClass,
    rel: *mut pg_sys::RelOptInfo,
    beside: pg_sys::Relids,
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
        let both = pg_sys::bms_union((*rel).relids, beside);
        all.filter(move |m| pg_sys::bms_equal((**m).em_relids, both))
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
#[derive(Clone, Copy, Debug)]
pub(super) enum Needed {
    /// This many, or a few more where rows tie or are dropped later.
    About(f64),
    /// Some of them: a limit that is known only when it runs.
    Some,
    /// All of them.
    All,
}

/// # Safety
/// The planner's live nodes.
pub(super) unsafe fn needed(root: *mut pg_sys::PlannerInfo) -> Needed {
    // SAFETY: by contract.
    unsafe {
        let fraction = demand(root);
        if fraction <= 0.0 {
            Needed::All
        } else if (*root).limit_tuples > 0.0 {
            Needed::About((*root).limit_tuples)
        } else if fraction >= 1.0 {
            Needed::About(fraction)
        } else {
            Needed::Some
        }
    }
}

/// What a LIMIT in this query, or in one around it that takes its rows as they come, asks for: as the planner writes it,
/// a number of rows from 1 on, a fraction below; 0 for all.
unsafe fn demand(root: *mut pg_sys::PlannerInfo) -> f64 {
    // SAFETY: live planner states, each in the one around it.
    unsafe {
        let (own, outer) = (&*root, (*root).parent_root);
        if reads_on(own.parse) {
            return 0.0;
        }
        if !(*own.parse).limitCount.is_null() {
            return own.tuple_fraction;
        }
        // Subqueries in expressions and CTEs are planned before there are relations.
        if outer.is_null() || (*outer).simple_rel_array.is_null() {
            return 0.0;
        }
        if keeps_order((*outer).parse, own.parse) && pg_sys::bms_num_members(joined(outer)) == 1 {
            demand(outer)
        } else {
            0.0
        }
    }
}

/// Whether a query looks at all its rows whatever its limit is. Groups that come in order do not make it: it can stop
/// after the last one that is wanted.
unsafe fn reads_on(query: *mut pg_sys::Query) -> bool {
    // SAFETY: a live query.
    unsafe {
        let query = &*query;
        !query.groupingSets.is_null()
            || !query.setOperations.is_null()
            || query.hasWindowFuncs
            || query.hasAggs && query.groupClause.is_null()
    }
}

/// Whether all rows of equal similarity have to come: to be sorted by what follows, grouped, joined by it, or given with
/// the last one.
///
/// # Safety
/// The planner's live nodes.
pub(super) unsafe fn ties_matter(root: *mut pg_sys::PlannerInfo, wanted: &Wanted) -> bool {
    // SAFETY: by contract.
    unsafe {
        let class = (*wanted.pathkey).pk_eclass;
        let joined = !(*class).ec_sources.is_null();
        let mut own = root;
        let mut told = joined || (*(*root).query_pathkeys).length > 1;
        while !told && !own.is_null() {
            let query = &*(*own).parse;
            told = query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_WITH_TIES
                || !query.groupClause.is_null()
                || !query.distinctClause.is_null()
                || query
                    .sortClause
                    .as_ref()
                    .is_some_and(|keys| keys.length > 1);
            if !query.limitCount.is_null() {
                break;
            }
            own = (*own).parent_root;
        }
        told
    }
}

/// Whether the outer query has no order of its own, or begins with the first key of the inner one.
unsafe fn keeps_order(outer: *mut pg_sys::Query, inner: *mut pg_sys::Query) -> bool {
    // SAFETY: live queries; every sort key is a target.
    unsafe {
        let (outer, inner) = (&*outer, &*inner);
        if !outer.groupClause.is_null() || !outer.distinctClause.is_null() {
            return false;
        }
        let key = |query: &pg_sys::Query| {
            let sort = items::<pg_sys::SortGroupClause>(query.sortClause).next()?;
            let mut targets = items::<pg_sys::TargetEntry>(query.targetList);
            let target = targets.find(|t| (**t).ressortgroupref == (*sort).tleSortGroupRef)?;
            Some((&*sort, &*target))
        };
        let Some((outer_key, outer_target)) = key(outer) else {
            return outer.sortClause.is_null();
        };
        let Some((inner_key, inner_target)) = key(inner) else {
            return false;
        };
        outer_key.sortop == inner_key.sortop
            && outer_key.nulls_first == inner_key.nulls_first
            && cast::<pg_sys::Var>(outer_target.expr.cast(), pg_sys::NodeTag::T_Var)
                .is_some_and(|var| var.varattno == inner_target.resno)
    }
}

/// The expressions that say how many rows the scan has to give, where only the execution knows: LIMIT and OFFSET.
///
/// # Safety
/// The planner's live nodes.
pub(super) unsafe fn limit_at_run_time(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    wanted: &Wanted,
) -> *mut pg_sys::List {
    // SAFETY: by contract.
    unsafe {
        let query = &*(*root).parse;
        let none = std::ptr::null_mut();
        let known = !matches!(needed(root), Needed::Some);
        if known || loses_rows_in_joins(root, rel, wanted) {
            return none;
        }
        [query.limitCount, query.limitOffset]
            .into_iter()
            .filter(|e| {
                !e.is_null()
                    && !pg_sys::contain_volatile_functions(*e)
                    && !pg_sys::contain_subplans(*e)
            })
            .fold(none, |list, e| pg_sys::lappend(list, copy(e).cast()))
    }
}

/// Whether a join may drop rows of this relation: any join but a left join in which it is on the left, and the one with
/// the relation beside it, whose conditions are tested here.
pub(super) unsafe fn loses_rows_in_joins(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    wanted: &Wanted,
) -> bool {
    // SAFETY: the planner's live nodes.
    unsafe {
        // A partition joins as its parent does.
        let mut own = (*rel).relids;
        if !(*rel).top_parent_relids.is_null() {
            own = (*rel).top_parent_relids;
        }
        let mut optional = pg_sys::bms_copy(wanted.beside);
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
