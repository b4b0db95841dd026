//! Small helpers over the planner's nodes and lists.

use std::ffi::c_void;

use pgrx::pg_guard;
use pgrx::pg_sys;

/// The pointers in a list.
///
/// # Safety
/// `list` is NIL or a live list of pointers to `T`.
pub unsafe fn items<'a, T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> + 'a {
    // SAFETY: by contract; a list's cells are contiguous since Postgres 13.
    let cells: &'a [pg_sys::ListCell] = unsafe {
        match list.as_ref() {
            Some(list) => {
                std::slice::from_raw_parts(list.elements, usize::try_from(list.length).unwrap_or(0))
            }
            None => &[],
        }
    };
    // SAFETY: the union holds a pointer in a list of pointers.
    cells.iter().map(|cell| unsafe { cell.ptr_value.cast() })
}

/// The node as a `T`, if it is one.
///
/// # Safety
/// `node` is NULL or a live node, and `tag` is the tag of `T`.
pub unsafe fn cast<'a, T>(node: *mut pg_sys::Node, tag: pg_sys::NodeTag) -> Option<&'a mut T> {
    // SAFETY: by contract.
    unsafe {
        let matches = node.as_ref().is_some_and(|n| n.type_ == tag);
        if matches {
            node.cast::<T>().as_mut()
        } else {
            None
        }
    }
}

/// The node below relabelings.
///
/// # Safety
/// `node` is NULL or a live expression.
pub unsafe fn strip_relabels(mut node: *mut pg_sys::Node) -> *mut pg_sys::Node {
    // SAFETY: by contract.
    unsafe {
        while let Some(relabel) = cast::<pg_sys::RelabelType>(node, pg_sys::NodeTag::T_RelabelType)
        {
            node = relabel.arg.cast();
        }
    }
    node
}

/// A deep copy.
///
/// # Safety
/// `node` is NULL or a live node.
pub unsafe fn copy<T>(node: *mut T) -> *mut T {
    // SAFETY: by contract.
    unsafe { pg_sys::copyObjectImpl(node.cast()).cast() }
}

/// Whether two expressions are the same.
///
/// # Safety
/// Both are NULL or live nodes.
pub unsafe fn same<A, B>(a: *const A, b: *const B) -> bool {
    // SAFETY: by contract.
    unsafe { pg_sys::equal(a.cast(), b.cast()) }
}

/// A list of one pointer.
///
/// # Safety
/// In a memory context that outlives the list's use.
pub unsafe fn list_of<T>(item: *mut T) -> *mut pg_sys::List {
    // SAFETY: appending to NIL makes a new list.
    unsafe { pg_sys::lappend(std::ptr::null_mut(), item.cast()) }
}

/// A zeroed node with its tag set.
///
/// # Safety
/// `tag` is the tag of `T`.
pub unsafe fn make<T>(tag: pg_sys::NodeTag) -> *mut T {
    // SAFETY: all node types begin with their tag, and zeros are valid in them.
    unsafe {
        let node = pg_sys::palloc0(size_of::<T>()).cast::<pg_sys::Node>();
        (*node).type_ = tag;
        node.cast()
    }
}

/// A question about a node of an expression.
pub type Question<'a> = &'a mut dyn FnMut(*mut pg_sys::Node) -> bool;

#[pg_guard]
unsafe extern "C-unwind" fn ask(node: *mut pg_sys::Node, question: *mut c_void) -> bool {
    // SAFETY: `any` and `any_in_query` pass a question, and the walker live nodes.
    unsafe {
        !node.is_null()
            && ((*question.cast::<Question>())(node)
                || pg_sys::expression_tree_walker(node, Some(ask), question))
    }
}

/// Whether the answer is yes for any node of an expression. Subqueries in it are not looked into.
///
/// # Safety
/// `node` is NULL or a live expression, or a list of them.
pub unsafe fn any<T>(node: *mut T, mut question: Question) -> bool {
    // SAFETY: by contract.
    unsafe { ask(node.cast(), (&raw mut question).cast()) }
}

/// Whether the answer is yes for any node of a query. Subqueries are not looked into.
///
/// # Safety
/// A live query.
pub unsafe fn any_in_query(query: *mut pg_sys::Query, mut question: Question) -> bool {
    let flags = pg_sys::QTW_IGNORE_RT_SUBQUERIES | pg_sys::QTW_IGNORE_CTE_SUBQUERIES;
    // SAFETY: by contract.
    unsafe { pg_sys::query_tree_walker(query, Some(ask), (&raw mut question).cast(), flags as i32) }
}

/// Makes a copy of an expression's node in which `change` has replaced what is directly below it.
pub type Change = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut c_void) -> *mut pg_sys::Node;

/// The node with what is directly below it changed.
///
/// # Safety
/// `node` is NULL or a live expression, and `context` is what `change` takes.
pub unsafe fn changed_below(
    node: *mut pg_sys::Node,
    change: Change,
    context: *mut c_void,
) -> *mut pg_sys::Node {
    // SAFETY: by contract. Before Postgres 16 the declaration leaves the arguments of `change` open.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15"))]
        {
            type Open = unsafe extern "C-unwind" fn() -> *mut pg_sys::Node;
            let change = std::mem::transmute::<Change, Open>(change);
            pg_sys::expression_tree_mutator(node, Some(change), context)
        }
        #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15")))]
        pg_sys::expression_tree_mutator_impl(node, Some(change), context)
    }
}
