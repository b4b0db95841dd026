//! A call whose arguments do not come from a row runs once per statement.
//!
//! `ai_audio_embed` is STABLE and takes tens of milliseconds; Postgres would call it for every row. Its support function
//! replaces a row-independent call by an uncorrelated scalar subquery, which the planner turns into an InitPlan. The support
//! function of `cosine_similarity` does the same to its arguments, whatever they call.
//!
//! Support functions are asked in places where this cannot be done, and are not told which: such calls are left alone.

use pgrx::pg_guard;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;

use super::nodes::{any, any_in_query, cast, copy, items, list_of, make, same};
use super::{catalog, hidden, mixed};

/// Planner support function of `ai_audio_embed` and its kin: hides the secrets in a call's constants, and has it run once.
///
/// # Safety
/// Called by the planner with a support request.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn ai_audio_once_support(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: the planner passes a live request; every pointer in it is a live node.
    unsafe {
        let request: *mut pg_sys::Node = (*fcinfo).args.as_slice(1)[0].value.cast_mut_ptr();
        let simplify = cast::<pg_sys::SupportRequestSimplify>(
            request,
            pg_sys::NodeTag::T_SupportRequestSimplify,
        );
        let replacement = simplify.and_then(|r| {
            let hidden = hidden::without_secrets(r.fcall);
            let call = hidden.unwrap_or(r.fcall);
            let single = !(*call).funcretset;
            let once = single.then(|| once(r.root, call.cast(), (*call).funcid));
            once.flatten().or(hidden.map(|call| call.cast()))
        });
        pg_sys::Datum::from(replacement.unwrap_or(std::ptr::null_mut()))
    }
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_ai_audio_once_support() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// Support function of `cosine_similarity`: what it is compared with is computed once. Asking it also loads the library,
/// and so the hook of `annscan`, in time for the first query.
///
/// # Safety
/// Called by the planner with a support request.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn ai_audio_similarity_support(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: as above.
    unsafe {
        let request: *mut pg_sys::Node = (*fcinfo).args.as_slice(1)[0].value.cast_mut_ptr();
        let simplify = cast::<pg_sys::SupportRequestSimplify>(
            request,
            pg_sys::NodeTag::T_SupportRequestSimplify,
        );
        let replacement = simplify.and_then(|r| {
            let plain = mixed::as_vectors(r.root, r.fcall);
            with_steady_arguments(r.root, plain.unwrap_or(r.fcall)).or(plain)
        });
        pg_sys::Datum::from(replacement.unwrap_or(std::ptr::null_mut()))
    }
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_ai_audio_similarity_support() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// The call with arguments that run once, or `None` where there are none.
unsafe fn with_steady_arguments(
    root: *mut pg_sys::PlannerInfo,
    call: *mut pg_sys::FuncExpr,
) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: live nodes; the new call is a copy.
    unsafe {
        let mut changed = false;
        let arguments: Vec<*mut pg_sys::Node> = items((*call).args)
            .map(|argument| {
                let computed = any(argument, &mut |node: *mut pg_sys::Node| {
                    matches!(
                        (*node).type_,
                        pg_sys::NodeTag::T_FuncExpr
                            | pg_sys::NodeTag::T_OpExpr
                            | pg_sys::NodeTag::T_CoerceViaIO
                    )
                });
                let once = if computed {
                    once(root, argument, (*call).funcid)
                } else {
                    None
                };
                changed |= once.is_some();
                once.unwrap_or(argument)
            })
            .collect();
        changed.then(|| {
            let new = make::<pg_sys::FuncExpr>(pg_sys::NodeTag::T_FuncExpr);
            std::ptr::copy_nonoverlapping(call, new, 1);
            (*new).args = arguments.into_iter().fold(std::ptr::null_mut(), |list, a| {
                pg_sys::lappend(list, a.cast())
            });
            new
        })
    }
}

/// What stands for an expression that is or belongs to a call of `function`, or `None` to leave it.
///
/// # Safety
/// All are as the planner passes them.
unsafe fn once(
    root: *mut pg_sys::PlannerInfo,
    expression: *mut pg_sys::Node,
    function: pg_sys::Oid,
) -> Option<*mut pg_sys::Node> {
    // SAFETY: by contract; all nodes made here live in the planner's memory context.
    unsafe {
        let query = root.as_ref()?.parse;
        // Without rows to come from, a call runs once anyway. This also keeps the subquery made here, which has no
        // FROM, from being simplified again, and PL/pgSQL's simple expressions, which must not get an InitPlan, simple.
        // But the planner would run a call in a LIMIT to estimate it.
        let limited = !(*query).limitCount.is_null() || !(*query).limitOffset.is_null();
        let levels = (*root).query_level as i32;
        if !has_rows(query) && !limited
            || !is_row_independent(root, levels, expression)
            || may_be_in_from(query, function)
        {
            return None;
        }
        if let Some(made) = made_before(root, expression) {
            return Some(made);
        }
        let parameter = plan_now(root, scalar_subquery(expression).cast());
        if is_conditional(query, function) {
            // Parallel plans evaluate all InitPlans before they begin, also those of branches that are not taken.
            (*(*root).glob).parallelModeOK = false;
        }
        Some(parameter)
    }
}

pub(super) unsafe fn has_rows(query: *mut pg_sys::Query) -> bool {
    // SAFETY: a live query.
    unsafe {
        items::<pg_sys::RangeTblEntry>((*query).rtable)
            .any(|r| (*r).rtekind != pg_sys::RTEKind::RTE_RESULT)
    }
}

/// Whether a node calls the function, or one in SQL, which may do so.
unsafe fn may_call(node: *mut pg_sys::Node, function: pg_sys::Oid) -> bool {
    // SAFETY: a live node.
    unsafe {
        cast::<pg_sys::FuncExpr>(node, pg_sys::NodeTag::T_FuncExpr)
            .is_some_and(|call| call.funcid == function || catalog::is_in_sql(call.funcid))
    }
}

/// Whether the call may be one in FROM. These are simplified before subqueries are pulled up, when this planner state
/// may yet be given up for that of the query above, and a subquery made here with it.
unsafe fn may_be_in_from(query: *mut pg_sys::Query, function: pg_sys::Oid) -> bool {
    // SAFETY: a live query.
    unsafe {
        items::<pg_sys::RangeTblEntry>((*query).rtable).any(|entry| {
            (*entry).rtekind == pg_sys::RTEKind::RTE_FUNCTION
                && any((*entry).functions, &mut |node: *mut pg_sys::Node| {
                    may_call(node, function)
                })
        })
    }
}

/// Whether the call may be one that runs under a condition only.
unsafe fn is_conditional(query: *mut pg_sys::Query, function: pg_sys::Oid) -> bool {
    // SAFETY: a live query.
    unsafe {
        any_in_query(query, &mut |node| {
            matches!(
                (*node).type_,
                pg_sys::NodeTag::T_CaseExpr | pg_sys::NodeTag::T_CoalesceExpr
            ) && any(node, &mut |inner: *mut pg_sys::Node| {
                may_call(inner, function)
            })
        })
    }
}

/// Whether an expression is the same for every row of this query and of the `levels` around it, and can be taken out of
/// where it stands. There is no `root` before the planner has begun.
pub(super) unsafe fn is_row_independent(
    root: *mut pg_sys::PlannerInfo,
    levels: i32,
    expression: *mut pg_sys::Node,
) -> bool {
    // SAFETY: live nodes.
    unsafe {
        let refers = |level| {
            pg_sys::contain_vars_of_level(expression, level)
                || pg_sys::contain_aggs_of_level(expression, level)
        };
        !(0..=levels).any(refers)
            // The row type of a parameter is not known when planning.
            && pg_sys::exprType(expression) != pg_sys::RECORDOID
            && !pg_sys::contain_volatile_functions(expression)
            && !pg_sys::expression_returns_set(expression)
            && !any(expression, &mut |node: *mut pg_sys::Node| {
                is_bound_to_its_place(root, node)
            })
    }
}

/// Whether a node means something only where it stands.
unsafe fn is_bound_to_its_place(root: *mut pg_sys::PlannerInfo, node: *mut pg_sys::Node) -> bool {
    use pg_sys::NodeTag::{
        T_AlternativeSubPlan, T_CaseTestExpr, T_CoerceToDomainValue, T_CurrentOfExpr,
        T_GroupingFunc, T_NextValueExpr, T_Param, T_PlaceHolderVar, T_SetToDefault, T_SubLink,
        T_SubPlan, T_WindowFunc,
    };
    // SAFETY: live nodes.
    unsafe {
        match (*node).type_ {
            T_CaseTestExpr
            | T_CoerceToDomainValue
            | T_CurrentOfExpr
            | T_GroupingFunc
            | T_NextValueExpr
            | T_PlaceHolderVar
            | T_SetToDefault
            | T_SubPlan
            | T_AlternativeSubPlan
            | T_WindowFunc => true,
            T_Param => {
                let parameter = &*node.cast::<pg_sys::Param>();
                match parameter.paramkind {
                    pg_sys::ParamKind::PARAM_EXTERN => false,
                    pg_sys::ParamKind::PARAM_EXEC => !is_made_once(root, parameter.paramid),
                    _ => true,
                }
            }
            // The planner also simplifies the condition of an EXISTS as if it belonged to the query around it. What a
            // subquery in there refers to is then one level off.
            T_SubLink => {
                !root.is_null()
                    && any_in_query((*root).parse, &mut |other| {
                        cast::<pg_sys::SubLink>(other, T_SubLink).is_some_and(|link| {
                            link.subLinkType == pg_sys::SubLinkType::EXISTS_SUBLINK
                        })
                    })
            }
            _ => false,
        }
    }
}

/// Whether a parameter is the result of an InitPlan of this query or of one around it.
unsafe fn is_made_once(mut root: *mut pg_sys::PlannerInfo, id: i32) -> bool {
    // SAFETY: live planner states, each in the one around it.
    unsafe {
        while !root.is_null() {
            if items::<pg_sys::SubPlan>((*root).init_plans)
                .any(|init| pg_sys::list_member_int((*init).setParam, id))
            {
                return true;
            }
            root = (*root).parent_root;
        }
        false
    }
}

/// What an InitPlan without tables computes; NULL for another one.
unsafe fn result_of(
    root: *mut pg_sys::PlannerInfo,
    init: *mut pg_sys::SubPlan,
) -> *mut pg_sys::Expr {
    // SAFETY: InitPlans and their plans are live until planning ends.
    unsafe {
        let none: *mut pg_sys::Expr = std::ptr::null_mut();
        let plans = (*(*root).glob).subplans;
        let at = usize::try_from((*init).plan_id)
            .unwrap_or(0)
            .wrapping_sub(1);
        let plan = items::<pg_sys::Plan>(plans).nth(at).unwrap_or(none.cast());
        if plan.is_null()
            || (*plan).type_ != pg_sys::NodeTag::T_Result
            || !(*plan).lefttree.is_null()
        {
            return none;
        }
        items::<pg_sys::TargetEntry>((*plan).targetlist)
            .next()
            .map_or(none, |target| (*target).expr)
    }
}

/// The parameter of an equal expression that this query evaluates once already.
unsafe fn made_before(
    root: *mut pg_sys::PlannerInfo,
    expression: *mut pg_sys::Node,
) -> Option<*mut pg_sys::Node> {
    // SAFETY: live nodes; an InitPlan of one column has one parameter.
    unsafe {
        let init = items::<pg_sys::SubPlan>((*root).init_plans)
            .find(|init| same(result_of(root, *init), expression))?;
        let id = (*init)
            .setParam
            .as_ref()
            .filter(|list| list.length == 1)
            .map(|list| (*list.elements).int_value)?;
        Some(parameter(id, expression))
    }
}

unsafe fn parameter(id: i32, expression: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: a new node of its tag.
    unsafe {
        let parameter = make::<pg_sys::Param>(pg_sys::NodeTag::T_Param);
        (*parameter).paramkind = pg_sys::ParamKind::PARAM_EXEC;
        (*parameter).paramid = id;
        (*parameter).paramtype = pg_sys::exprType(expression);
        (*parameter).paramtypmod = pg_sys::exprTypmod(expression);
        (*parameter).paramcollid = pg_sys::exprCollation(expression);
        (*parameter).location = -1;
        parameter.cast()
    }
}

/// `(SELECT expression)`.
pub(super) unsafe fn scalar_subquery(expression: *mut pg_sys::Node) -> *mut pg_sys::SubLink {
    // SAFETY: new nodes of their tags around a copy of the expression.
    unsafe {
        let call = copy(expression);
        pg_sys::IncrementVarSublevelsUp(call, 1, 0); // subqueries in the arguments now stand one level deeper
        let name = pg_sys::pstrdup(c"once".as_ptr());
        let target = pg_sys::makeTargetEntry(call.cast(), 1, name, false);
        let query = make::<pg_sys::Query>(pg_sys::NodeTag::T_Query);
        (*query).commandType = pg_sys::CmdType::CMD_SELECT;
        (*query).canSetTag = true;
        (*query).targetList = list_of(target);
        (*query).jointree = pg_sys::makeFromExpr(std::ptr::null_mut(), std::ptr::null_mut());
        (*query).hasSubLinks = pg_sys::checkExprHasSubLink(call);
        let link = make::<pg_sys::SubLink>(pg_sys::NodeTag::T_SubLink);
        (*link).subLinkType = pg_sys::SubLinkType::EXPR_SUBLINK;
        (*link).subselect = query.cast();
        (*link).location = -1;
        link
    }
}

/// Has the planner make the InitPlan at once, so that an equal call later in the same expression finds it.
unsafe fn plan_now(
    root: *mut pg_sys::PlannerInfo,
    subquery: *mut pg_sys::Node,
) -> *mut pg_sys::Node {
    unsafe extern "C" {
        // optimizer/subselect.h
        fn SS_process_sublinks(
            root: *mut pg_sys::PlannerInfo,
            expr: *mut pg_sys::Node,
            is_qual: bool,
        ) -> *mut pg_sys::Node;
    }
    // SAFETY: the planner's own function, in the state in which it calls it itself; errors become panics here.
    unsafe { pg_guard_ffi_boundary(|| SS_process_sublinks(root, subquery, false)) }
}
