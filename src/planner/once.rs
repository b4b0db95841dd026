//! A call whose arguments do not come from a row runs once per statement.
//!
//! `ai_audio_embed` is STABLE and takes tens of milliseconds; Postgres would call it for every row. Its support function
//! replaces a row-independent call by an uncorrelated scalar subquery, which the planner turns into an InitPlan.

use pgrx::pg_guard;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;

use super::nodes::{cast, copy, items, list_of, make, same};

/// Planner support function of `ai_audio_embed` and its kin.
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
        let replacement = simplify.and_then(|r| once(r.root, r.fcall));
        pg_sys::Datum::from(replacement.unwrap_or(std::ptr::null_mut()))
    }
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_ai_audio_once_support() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// What stands for the call, or `None` to leave it.
///
/// # Safety
/// Both are as the planner passes them.
unsafe fn once(
    root: *mut pg_sys::PlannerInfo,
    call: *mut pg_sys::FuncExpr,
) -> Option<*mut pg_sys::Node> {
    // SAFETY: by contract; all nodes made here live in the planner's memory context.
    unsafe {
        let query = root.as_ref()?.parse;
        // Without rows to come from, a call runs once anyway. This also keeps the subquery made here, which has no
        // FROM, from being simplified again, and PL/pgSQL's simple expressions, which must not get an InitPlan, simple.
        if !has_rows(query) || !is_row_independent(root, call) {
            return None;
        }
        if let Some(made) = made_before(root, call) {
            return Some(made);
        }
        let subquery = scalar_subquery(call);
        // A function in FROM is simplified before subqueries are pulled up, when this planner state may yet be given
        // up for that of the query above: then the planner itself has to find the subquery later.
        if has_kind(query, pg_sys::RTEKind::RTE_FUNCTION) {
            (*query).hasSubLinks = true;
            return Some(subquery.cast());
        }
        Some(plan_now(root, subquery.cast()))
    }
}

unsafe fn has_rows(query: *mut pg_sys::Query) -> bool {
    // SAFETY: a live query.
    unsafe {
        items::<pg_sys::RangeTblEntry>((*query).rtable)
            .any(|r| (*r).rtekind != pg_sys::RTEKind::RTE_RESULT)
    }
}

unsafe fn has_kind(query: *mut pg_sys::Query, kind: pg_sys::RTEKind::Type) -> bool {
    // SAFETY: a live query.
    unsafe { items::<pg_sys::RangeTblEntry>((*query).rtable).any(|r| (*r).rtekind == kind) }
}

/// Whether the arguments are the same for every row of this query and of those around it.
unsafe fn is_row_independent(root: *mut pg_sys::PlannerInfo, call: *mut pg_sys::FuncExpr) -> bool {
    // SAFETY: live nodes.
    unsafe {
        let arguments: *mut pg_sys::Node = (*call).args.cast();
        let levels = (*root).query_level as i32;
        let refers = |level| {
            pg_sys::contain_vars_of_level(arguments, level)
                || pg_sys::contain_aggs_of_level(arguments, level)
        };
        !(0..=levels).any(refers)
            && !pg_sys::contain_volatile_functions(arguments)
            && !pg_sys::expression_returns_set(arguments)
    }
}

/// The parameter of an equal call that this query evaluates once already.
unsafe fn made_before(
    root: *mut pg_sys::PlannerInfo,
    call: *mut pg_sys::FuncExpr,
) -> Option<*mut pg_sys::Node> {
    // SAFETY: InitPlans and their plans are live until planning ends.
    unsafe {
        let plans: Vec<*mut pg_sys::Plan> = items((*(*root).glob).subplans).collect();
        for init in items::<pg_sys::SubPlan>((*root).init_plans) {
            let at = usize::try_from((*init).plan_id)
                .ok()
                .and_then(|id| id.checked_sub(1))?;
            let Some(plan) = plans.get(at).and_then(|p| p.as_ref()) else {
                continue;
            };
            let Some(target) = items::<pg_sys::TargetEntry>(plan.targetlist).next() else {
                continue;
            };
            if plan.lefttree.is_null() && same((*target).expr, call) {
                let id = (*init)
                    .setParam
                    .as_ref()
                    .filter(|l| l.length == 1)
                    .map(|l| (*l.elements).int_value)?;
                return Some(parameter(id, call));
            }
        }
        None
    }
}

unsafe fn parameter(id: i32, call: *mut pg_sys::FuncExpr) -> *mut pg_sys::Node {
    // SAFETY: a new node of its tag.
    unsafe {
        let parameter = make::<pg_sys::Param>(pg_sys::NodeTag::T_Param);
        (*parameter).paramkind = pg_sys::ParamKind::PARAM_EXEC;
        (*parameter).paramid = id;
        (*parameter).paramtype = (*call).funcresulttype;
        (*parameter).paramtypmod = -1;
        (*parameter).paramcollid = (*call).funccollid;
        (*parameter).location = -1;
        parameter.cast()
    }
}

/// `(SELECT call)`.
unsafe fn scalar_subquery(call: *mut pg_sys::FuncExpr) -> *mut pg_sys::SubLink {
    // SAFETY: new nodes of their tags around a copy of the call.
    unsafe {
        let call: *mut pg_sys::Node = copy(call).cast();
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
