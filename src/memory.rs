//! Freed memory goes back to the operating system when a transaction ends.
//!
//! A recording and a network's activations are tens of megabytes. The C library keeps what is freed for the next
//! allocation, which is right between two rows and wrong for a session that then stays idle for hours.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pgrx::prelude::*;

static WORKED: AtomicBool = AtomicBool::new(false);

/// Registers the callback. Called once per process, before it starts threads.
pub fn install() {
    // One arena for all threads: the C library returns the unused end of the main one only, and a thread's own may be
    // 64 MB. Inference allocates too seldom for threads to wait for each other.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
    // SAFETY: a callback of the right type, for the life of this process.
    unsafe { pg_sys::RegisterXactCallback(Some(at_end_of_transaction), std::ptr::null_mut()) };
}

/// Notes that this transaction has worked on a recording.
pub fn worked() {
    WORKED.store(true, Relaxed);
}

#[pg_guard]
unsafe extern "C-unwind" fn at_end_of_transaction(
    event: pg_sys::XactEvent::Type,
    _arg: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    let ends = matches!(
        event,
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE
    );
    if ends && WORKED.swap(false, Relaxed) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: no preconditions; works on the allocator's own free lists.
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
