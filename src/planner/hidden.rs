//! Constants that hold a secret are not shown: keys to a store in options, URLs that carry one.
//!
//! EXPLAIN and auto_explain print the arguments of a call by the output functions of their types, those of parameters too
//! once they are known when planning. So the planner gives such a constant a type of ours that holds what `text` or
//! `jsonb` does, and whose output function leaves the secret out. What the function gets is the same datum.

use pgrx::pg_sys;

use super::nodes::{cast, items, make};
use crate::secrets;
use crate::vector::type_of;

/// The call with its secrets hidden, or `None` where it shows none.
///
/// # Safety
/// A live call, as the planner passes it.
pub(super) unsafe fn without_secrets(call: *mut pg_sys::FuncExpr) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: live nodes; the new call is a copy.
    unsafe {
        let mut changed = false;
        let arguments: Vec<*mut pg_sys::Node> = items::<pg_sys::Node>((*call).args)
            .map(|argument| match hidden(argument) {
                Some(hidden) => {
                    changed = true;
                    hidden
                }
                None => argument,
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

/// What stands for a constant with a secret in it, or for an array with one among its elements.
unsafe fn hidden(argument: *mut pg_sys::Node) -> Option<*mut pg_sys::Node> {
    // SAFETY: a live expression; a constant of these types that is not NULL is a varlena.
    unsafe {
        if let Some(array) = cast::<pg_sys::ArrayExpr>(argument, pg_sys::NodeTag::T_ArrayExpr) {
            return hidden_elements(array);
        }
        let constant = cast::<pg_sys::Const>(argument, pg_sys::NodeTag::T_Const)?;
        if constant.constisnull {
            return None;
        }
        if constant.consttype == pg_sys::TEXTARRAYOID {
            return hidden_array(constant);
        }
        let name = match constant.consttype {
            pg_sys::TEXTOID | pg_sys::JSONOID => "hidden_text",
            pg_sys::JSONBOID => "hidden_jsonb",
            _ => return None,
        };
        let value = pg_sys::pg_detoast_datum_packed(constant.constvalue.cast_mut_ptr());
        let bytes = pgrx::varlena_to_byte_slice(value);
        let secret = match constant.consttype {
            // The names of an object stand in jsonb as they are.
            pg_sys::JSONBOID => secrets::in_options(bytes),
            _ => secrets::in_options(bytes) || secrets::in_urls(bytes),
        };
        let kind = secret.then(|| type_of("ai_audio", name))?;
        with_type(constant, kind, value)
    }
}

/// The constant with the value as one of another type; `None` where that type is not there, among an older version's objects.
unsafe fn with_type(
    constant: &pg_sys::Const,
    kind: pg_sys::Oid,
    value: *mut pg_sys::varlena,
) -> Option<*mut pg_sys::Node> {
    if kind == pg_sys::InvalidOid {
        return None;
    }
    // SAFETY: a live constant; the new one is a copy.
    unsafe {
        let new = make::<pg_sys::Const>(pg_sys::NodeTag::T_Const);
        std::ptr::copy_nonoverlapping(constant, new, 1);
        (*new).consttype = kind;
        (*new).constcollid = pg_sys::InvalidOid;
        (*new).constvalue = pg_sys::Datum::from(value);
        Some(new.cast())
    }
}

/// `ARRAY[...]` whose elements are not all constants.
unsafe fn hidden_elements(array: &mut pg_sys::ArrayExpr) -> Option<*mut pg_sys::Node> {
    // SAFETY: live nodes; the new array is a copy.
    unsafe {
        let mut changed = false;
        let mut elements = std::ptr::null_mut();
        for element in items::<pg_sys::Node>(array.elements) {
            let hidden = hidden(element);
            changed |= hidden.is_some();
            elements = pg_sys::lappend(elements, hidden.unwrap_or(element).cast());
        }
        changed.then(|| {
            let new = make::<pg_sys::ArrayExpr>(pg_sys::NodeTag::T_ArrayExpr);
            std::ptr::copy_nonoverlapping(&raw const *array, new, 1);
            (*new).elements = elements;
            new.cast()
        })
    }
}

/// An array of text: the same with elements of the type whose output leaves secrets out.
unsafe fn hidden_array(constant: &mut pg_sys::Const) -> Option<*mut pg_sys::Node> {
    // SAFETY: a live constant of this type that is not NULL; what is changed is a copy of it.
    unsafe {
        let value = pg_sys::pg_detoast_datum_copy(constant.constvalue.cast_mut_ptr());
        if !secrets::in_urls(pgrx::varlena_to_byte_slice(value)) {
            return None;
        }
        let element = type_of("ai_audio", "hidden_text");
        (*value.cast::<pg_sys::ArrayType>()).elemtype = element;
        with_type(constant, pg_sys::get_array_type(element), value)
    }
}
