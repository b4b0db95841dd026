//! Freed memory goes back to the operating system once a session has nothing to do.
//!
//! A recording and a network's activations are tens of megabytes. The C library keeps what is freed for the next
//! allocation, which is right between two calls (to fault the pages in again costs a tenth of a call) and wrong for a
//! session that then stays idle for hours. Postgres tells nobody when a session becomes idle, so a thread waits.

use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::signals::SignalsBlocked;

/// So long after the last work memory is returned.
const IDLE: Duration = Duration::from_millis(500);

/// When the last work ended, until memory has been returned since.
static WORKED: Mutex<Option<Instant>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn last() -> MutexGuard<'static, Option<Instant>> {
    WORKED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes freed memory returnable. Called once per process, before it starts threads.
pub fn install() {
    // One arena for all threads: the C library returns the unused end of the main one only, and a thread's own may be
    // 64 MB. Inference allocates too seldom for threads to wait for each other.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Notes that work on a recording begins.
pub fn working() {
    *last() = None;
}

/// Notes that work on a recording has ended.
pub fn worked() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let _blocked = SignalsBlocked::new();
        // Without the thread memory is kept: no reason to fail.
        let _ = thread::Builder::new()
            .name("ai_audio idle".into())
            .stack_size(64 << 10)
            .spawn(return_when_idle);
    });
    *last() = Some(Instant::now());
    CHANGED.notify_one();
}

fn return_when_idle() {
    let mut worked = last();
    loop {
        let Some(at) = *worked else {
            worked = CHANGED.wait(worked).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let left = IDLE.saturating_sub(at.elapsed());
        if left.is_zero() {
            *worked = None;
            drop(worked);
            trim();
            worked = last();
        } else {
            drop(worked);
            thread::sleep(left);
            worked = last();
        }
    }
}

fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions; works on the allocator's own free lists, under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
