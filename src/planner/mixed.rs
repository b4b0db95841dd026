//! `cosine_similarity` of what clients send: arrays and text beside vectors become vectors when planned, so that an index on
//! the vectors serves them too.

use pgrx::pg_sys;

use super::nodes::{cast, items, list_of, make};
use crate::vector::oid_of;

/// The call on two vectors that stands for one on a vector, as an array, and another array, or on two texts; `None` for any
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
        let vector = oid_of("vector");
        if vector == pg_sys::InvalidOid || (*call).args.is_null() || (*(*call).args).length != 2 {
            return None;
        }
        let text =
            items::<pg_sys::Node>((*call).args).all(|a| pg_sys::exprType(a) == pg_sys::TEXTOID);
        let given: Vec<*mut pg_sys::Node> = items::<pg_sys::Node>((*call).args)
            .map(|a| vector_in_array(a, vector).unwrap_or(a))
            .collect();
        if !text && !given.iter().any(|a| pg_sys::exprType(*a) == vector) {
            return None;
        }
        let namespace = pg_sys::get_namespace_name(pg_sys::get_func_namespace((*call).funcid));
        let name = pg_sys::get_func_name((*call).funcid);
        let names = pg_sys::lappend(
            list_of(pg_sys::makeString(namespace)),
            pg_sys::makeString(name).cast(),
        );
        let function = pg_sys::LookupFuncName(names, 2, [vector; 2].as_ptr(), true);
        if function == pg_sys::InvalidOid || function == (*call).funcid {
            return None;
        }
        let mut arguments = std::ptr::null_mut();
        for argument in given {
            let as_vector = pg_sys::coerce_to_target_type(
                std::ptr::null_mut(),
                argument,
                pg_sys::exprType(argument),
                vector,
                -1,
                pg_sys::CoercionContext::COERCION_EXPLICIT,
                pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
                -1,
            );
            if as_vector.is_null() {
                return None;
            }
            let folded = pg_sys::eval_const_expressions(root, as_vector);
            arguments = pg_sys::lappend(arguments, folded.cast());
        }
        let new = make::<pg_sys::FuncExpr>(pg_sys::NodeTag::T_FuncExpr);
        std::ptr::copy_nonoverlapping(call, new, 1);
        (*new).funcid = function;
        (*new).args = arguments;
        Some(new)
    }
}

/// The vector that a client's array is compared with: what pgvector's cast to `real[]` is made from.
unsafe fn vector_in_array(
    argument: *mut pg_sys::Node,
    vector: pg_sys::Oid,
) -> Option<*mut pg_sys::Node> {
    // SAFETY: a live expression.
    unsafe {
        let call = cast::<pg_sys::FuncExpr>(argument, pg_sys::NodeTag::T_FuncExpr)?;
        let inner = items::<pg_sys::Node>(call.args).next()?;
        let is_cast = call.funcformat == pg_sys::CoercionForm::COERCE_IMPLICIT_CAST
            && call.funcresulttype == pg_sys::FLOAT4ARRAYOID;
        (is_cast && pg_sys::exprType(inner) == vector).then_some(inner)
    }
}
