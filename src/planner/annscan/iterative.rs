//! pgvector's `hnsw.iterative_scan` and `ivfflat.iterative_scan` for one scan of ours, whatever the session says.

use std::ffi::{CStr, c_int};

use pgrx::pg_sys;

use super::methods::Method;

/// pgvector's variable behind the setting. There is none before pgvector 0.8.
#[derive(Clone, Copy, Debug)]
pub struct IterativeScan {
    variable: *mut c_int,
    off: c_int,
    /// ivfflat has no such mode.
    strict: Option<c_int>,
    /// The variable behind `hnsw.max_scan_tuples`.
    most: Option<*mut c_int>,
}

impl IterativeScan {
    /// Finds it once pgvector's library is loaded, as it is wherever its index is open.
    pub fn find(method: Method) -> Option<Self> {
        let name = match method {
            Method::Hnsw => c"hnsw.iterative_scan",
            Method::IvfFlat => c"ivfflat.iterative_scan",
            Method::Other => return None,
        };
        // SAFETY: the records of settings live as long as the process; the type says which record it is.
        unsafe {
            let record = record(name)?;
            if (*record).vartype != pg_sys::config_type::PGC_ENUM {
                return None;
            }
            let record = &*record.cast::<pg_sys::config_enum>();
            let most = self::record(c"hnsw.max_scan_tuples")
                .filter(|most| (**most).vartype == pg_sys::config_type::PGC_INT)
                .map(|most| (*most.cast::<pg_sys::config_int>()).variable);
            Some(IterativeScan {
                most,
                variable: record.variable,
                off: value(record.options, c"off")?,
                strict: value(record.options, c"strict_order"),
            })
        }
    }

    /// Whether the session has asked for it.
    pub fn is_strict(self) -> bool {
        // SAFETY: the variable lives as long as pgvector's library.
        unsafe { Some(*self.variable) == self.strict }
    }

    /// Whether the index can scan on in order.
    pub fn has_strict(self) -> bool {
        self.strict.is_some()
    }

    /// Sets it until the guard is dropped, also by an error. How many rows a strict scan reads is for the caller to bound.
    pub fn set(self, strict: bool) -> Guard {
        // SAFETY: as above; only pgvector's scan runs meanwhile.
        unsafe {
            let mode = self.strict.filter(|_| strict).unwrap_or(self.off);
            Guard([
                Some(Replaced::new(self.variable, mode)),
                self.most.map(|most| Replaced::new(most, c_int::MAX)),
            ])
        }
    }
}

pub struct Guard([Option<Replaced>; 2]);

impl Drop for Guard {
    fn drop(&mut self) {
        for Replaced { variable, before } in self.0.iter().flatten() {
            // SAFETY: the variables live as long as pgvector's library.
            unsafe { **variable = *before };
        }
    }
}

struct Replaced {
    variable: *mut c_int,
    before: c_int,
}

impl Replaced {
    /// # Safety
    /// A live variable.
    unsafe fn new(variable: *mut c_int, value: c_int) -> Self {
        // SAFETY: by contract.
        let before = unsafe { variable.replace(value) };
        Replaced { variable, before }
    }
}

/// The memory of the hnsw scan that was begun last in this context, NULL if there is none.
///
/// # Safety
/// A live memory context.
pub unsafe fn memory_of_last_scan(parent: pg_sys::MemoryContext) -> pg_sys::MemoryContext {
    // SAFETY: by contract; children are linked, the last one made comes first.
    unsafe {
        let mut child = (*parent).firstchild;
        while !child.is_null() && CStr::from_ptr((*child).name) != c"Hnsw scan temporary context" {
            child = (*child).nextchild;
        }
        child
    }
}

unsafe fn record(name: &CStr) -> Option<*mut pg_sys::config_generic> {
    // SAFETY: the array has that many records; their names are NUL-terminated.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14", feature = "pg15"))]
        let (records, count) = (pg_sys::get_guc_variables(), pg_sys::GetNumConfigOptions());
        #[cfg(not(any(feature = "pg13", feature = "pg14", feature = "pg15")))]
        let (records, count) = {
            let mut count = 0;
            (pg_sys::get_guc_variables(&mut count), count)
        };
        let records = std::slice::from_raw_parts(records, usize::try_from(count).unwrap_or(0));
        records
            .iter()
            .copied()
            .find(|r| CStr::from_ptr((**r).name) == name)
    }
}

/// The number of an enum's value.
unsafe fn value(mut options: *const pg_sys::config_enum_entry, name: &CStr) -> Option<c_int> {
    // SAFETY: the list ends with an entry without a name.
    unsafe {
        while !(*options).name.is_null() {
            if CStr::from_ptr((*options).name) == name {
                return Some((*options).val);
            }
            options = options.add(1);
        }
        None
    }
}
