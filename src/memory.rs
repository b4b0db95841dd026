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

/// What an idle session gives up, and when.
#[derive(Clone, Copy)]
struct Kept {
    after: Duration,
    give_up: fn(),
}

#[derive(Clone, Copy, Default)]
struct State {
    /// When the last work ended; nothing while there is work.
    worked: Option<Instant>,
    trimmed: bool,
    kept: Option<Kept>,
}

static STATE: Mutex<State> = Mutex::new(State {
    worked: None,
    trimmed: false,
    kept: None,
});
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes freed memory returnable. Called once per process, before it starts threads.
pub fn install() {
    // One arena for all threads: the C library returns the unused end of the main one only, and a thread's own may be
    // 64 MB. Inference allocates too seldom for threads to wait for each other.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        // Activations come and go with each run, up to 20 MB each. By default the largest are mapped anew each time, and the end of
        // the heap is given back in between: a fifth of a network's time went into faulting the pages in again.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 128 << 20);
    }
}

/// Notes that work on a recording begins.
pub fn working() {
    state().worked = None;
}

/// Has `give_up` called once the session has been idle for so long, unless it is never to be; the last call counts.
pub fn keep(after: Option<Duration>, give_up: fn()) {
    state().kept = after.map(|after| Kept { after, give_up });
}

/// Notes that work on a recording has ended.
pub fn worked() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let _blocked = SignalsBlocked::new();
        // Without the thread memory is kept: no reason to fail.
        let _ = thread::Builder::new()
            .name("ai_audio idle".into())
            .stack_size(256 << 10)
            .spawn(return_when_idle);
    });
    {
        let mut state = state();
        (state.worked, state.trimmed) = (Some(Instant::now()), false);
    }
    CHANGED.notify_one();
}

fn return_when_idle() {
    let mut now = state();
    loop {
        let (due, kept) = match (now.worked, now.trimmed, now.kept) {
            (Some(worked), false, _) => (worked + IDLE, None),
            (Some(worked), true, Some(kept)) => (worked + kept.after, Some(kept)),
            _ => {
                now = CHANGED.wait(now).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
        };
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            now = CHANGED
                .wait_timeout(now, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            continue;
        }
        now.trimmed = true;
        if let Some(kept) = kept {
            now.worked = None;
            // Under the lock, so that the next work waits for it and none is taken away.
            (kept.give_up)();
        }
        drop(now);
        trim();
        now = state();
    }
}

fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no preconditions; works on the allocator's own free lists, under its locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
