//! `cosine_similarity` of what clients send: an array beside a vector becomes a vector when planned, and so do two texts, so that
//! an index on the vectors serves them too.

use pgrx::pg_sys;

use super::nodes::{items, list_of, make};
use crate::vector::oid_of;

/// The call on two vectors that stands for one on a vector, or a halfvec, and an array, or on two texts; `None` for any
/// other.
///
/// # Safety
/// A live call of `cosine_similarity`, as the planner passes it.
pub(super) unsafe fn as_vectors(
    root: *mut pg_sys::PlannerInfo,
    call: *mut pg_sys::FuncExpr,
) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: live nodes; new ones of their tags.
    unsafe {
        let given: Vec<*mut pg_sys::Node> = items((*call).args).collect();
        let [a, b] = given[..] else {
            return None;
        };
        let types = [pg_sys::exprType(a), pg_sys::exprType(b)];
        let kind = kind_of(types)?;
        let namespace = pg_sys::get_namespace_name(pg_sys::get_func_namespace((*call).funcid));
        let name = pg_sys::get_func_name((*call).funcid);
        let names = pg_sys::lappend(
            list_of(pg_sys::makeString(namespace)),
            pg_sys::makeString(name).cast(),
        );
        let function = pg_sys::LookupFuncName(names, 2, [kind; 2].as_ptr(), true);
        if function == pg_sys::InvalidOid || function == (*call).funcid {
            return None;
        }
        let mut arguments = std::ptr::null_mut();
        for argument in given {
            let mut vector = coerced(argument, kind);
            if vector.is_null() {
                // pgvector makes vectors of some arrays of numbers; of the others by a detour.
                let array = coerced(argument, pg_sys::FLOAT8ARRAYOID);
                if array.is_null() {
                    return None;
                }
                vector = coerced(array, kind);
            }
            if vector.is_null() {
                return None;
            }
            let folded = pg_sys::eval_const_expressions(root, vector);
            arguments = pg_sys::lappend(arguments, folded.cast());
        }
        let new = make::<pg_sys::FuncExpr>(pg_sys::NodeTag::T_FuncExpr);
        std::ptr::copy_nonoverlapping(call, new, 1);
        (*new).funcid = function;
        (*new).args = arguments;
        Some(new)
    }
}

/// The pgvector type that both arguments are to have, where one has it, or both are text.
fn kind_of(types: [pg_sys::Oid; 2]) -> Option<pg_sys::Oid> {
    if types[0] == types[1] && types[0] != pg_sys::TEXTOID {
        return None; // two vectors, or two arrays
    }
    let mut kinds = ["vector", "halfvec"].into_iter().map(oid_of);
    kinds.find(|kind| {
        *kind != pg_sys::InvalidOid && (types.contains(kind) || types[0] == pg_sys::TEXTOID)
    })
}

/// The expression cast to a type, if it has another; NULL where there is no cast.
unsafe fn coerced(expression: *mut pg_sys::Node, to: pg_sys::Oid) -> *mut pg_sys::Node {
    // SAFETY: a live expression.
    unsafe {
        if pg_sys::exprType(expression) == to {
            return expression;
        }
        pg_sys::coerce_to_target_type(
            std::ptr::null_mut(),
            expression,
            pg_sys::exprType(expression),
            to,
            -1,
            pg_sys::CoercionContext::COERCION_EXPLICIT,
            pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
            -1,
        )
    }
}
