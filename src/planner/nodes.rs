//! Small helpers over the planner's nodes and lists.

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
