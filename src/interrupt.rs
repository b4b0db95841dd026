//! Work that can be stopped.
//!
//! Decoding, fetching and inference must end within half a second of a cancel, a timeout or the session's end, and
//! native code cannot be left by a long jump or by `proc_exit` under running threads. So the work runs on a thread of
//! its own, with all signals blocked, while the backend waits and handles interrupts. When one ends the statement, the
//! work is told to stop and is joined before the backend goes on: by unwinding for an error, and by a
//! `before_shmem_exit` callback when the backend exits.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::time::Duration;

use audio::damage::Damage;
use onnx::Cancel;
use pgrx::prelude::*;

use crate::errors::Error;
use crate::signals::SignalsBlocked;
use crate::{memory, progress};

const POLL: Duration = Duration::from_millis(10);
/// Of a thread that works.
const STACK: usize = 8 << 20;

/// A piece of work on its thread: how to stop it, and whether it has ended.
struct Job {
    cancel: Arc<Cancel>,
    ended: Mutex<bool>,
    changed: Condvar,
}

static CURRENT: Mutex<Option<Arc<Job>>> = Mutex::new(None);

/// Locks, also what a panicking thread had locked.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread of the work, with the signals that the calling one has blocked blocked.
///
/// # Errors
/// The system's, where it has no thread left.
pub fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, T>> {
    Builder::new()
        .name("ai_audio".into())
        .stack_size(STACK)
        .spawn_scoped(scope, work)
}

impl Job {
    fn stop_and_wait(&self) {
        self.cancel.cancel();
        let mut ended = lock(&self.ended);
        while !*ended {
            ended = self
                .changed
                .wait(ended)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        *lock(&self.ended) = true;
        self.changed.notify_all();
    }
}

/// Stops the job if the wait for it is left by unwinding, and forgets it.
struct Waiting<'a>(&'a Job);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.stop_and_wait();
        *lock(&CURRENT) = None;
        progress::end();
        memory::worked();
    }
}

/// Runs `work` on a thread of its own while this backend handles interrupts.
///
/// `work` must not call Postgres: read settings and arguments before. It gets a token to poll and to pass on. Calls do
/// not nest.
///
/// # Errors
/// What `work` returns; [`Error::Internal`] if it panicked or no thread could be made.
pub fn run<T, E>(work: impl FnOnce(&Cancel) -> Result<T, E> + Send) -> Result<T, Error>
where
    T: Send,
    E: Into<Error> + Send,
{
    static AT_EXIT: Once = Once::new();
    // SAFETY: a callback of the right type, for the life of this process.
    AT_EXIT.call_once(|| unsafe {
        pg_sys::before_shmem_exit(Some(stop_at_exit), pg_sys::Datum::from(0))
    });
    pgrx::check_for_interrupts!();
    memory::working();
    progress::begin();
    drop(audio::damage::take()); // of work that was stopped
    let job = Arc::new(Job {
        cancel: Arc::default(),
        ended: Mutex::new(false),
        changed: Condvar::new(),
    });
    let (send, receive) = sync_channel(1);
    let worker = Arc::clone(&job);
    let result = std::thread::scope(|scope| {
        let body = move || {
            let result = catch_unwind(AssertUnwindSafe(|| work(&worker.cancel)));
            let _ = send.send(result); // the receiver lives as long as the scope
            worker.end();
        };
        *lock(&CURRENT) = Some(Arc::clone(&job)); // before the work, which may ask for its token
        let blocked = SignalsBlocked::new();
        let spawned = spawn(scope, body);
        drop(blocked);
        if let Err(e) = spawned {
            *lock(&CURRENT) = None;
            return Err(Error::Internal(format!("cannot start a thread: {e}")));
        }
        let _waiting = Waiting(&job);
        loop {
            match receive.recv_timeout(POLL) {
                Ok(Ok(result)) => return result.map_err(Into::into),
                Ok(Err(panic)) => return Err(Error::Internal(panic_message(&*panic))),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal("the worker vanished".into()));
                }
                Err(RecvTimeoutError::Timeout) => {
                    pgrx::check_for_interrupts!();
                    progress::tick();
                    exit_without_postmaster();
                }
            }
        }
    });
    for warning in onnx::warnings::take() {
        pgrx::warning!("{warning}");
    }
    tell_damage();
    result
}

/// Warns of damaged packets, once in a statement however often a recording is read.
fn tell_damage() {
    static TOLD: Mutex<(i64, Vec<Damage>)> = Mutex::new((0, Vec::new()));
    let found = audio::damage::take();
    if found.is_empty() {
        return;
    }
    // SAFETY: reads a global of this backend.
    let statement = unsafe { pg_sys::GetCurrentStatementStartTimestamp() };
    let mut told = lock(&TOLD);
    if told.0 != statement {
        *told = (statement, Vec::new());
    }
    for damage in found {
        if !told.1.contains(&damage) {
            told.1.push(damage);
            match damage {
                Damage::Silence { ms, at_ms } => pgrx::warning!(
                    "{ms} ms of a recording are damaged and were taken for silence, the first at {at_ms} ms"
                ),
                Damage::Cut { ms, at_ms } => pgrx::warning!(
                    "a recording ends at {at_ms} ms, {ms} ms before its headers say: the rest is missing"
                ),
                Damage::Behind { bytes, at_ms } => pgrx::warning!(
                    "{bytes} bytes behind the end of a recording, at {at_ms} ms, were not heard: they are another file, or damaged"
                ),
            }
        }
    }
}

/// What stops the work that runs now; what never does where there is none.
pub fn token() -> Arc<Cancel> {
    lock(&CURRENT)
        .as_ref()
        .map(|job| Arc::clone(&job.cancel))
        .unwrap_or_default()
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown panic".into())
}

/// The usual waits of a backend end when the postmaster dies; this one must too.
fn exit_without_postmaster() {
    unsafe extern "C" {
        fn PostmasterIsAliveInternal() -> bool;
    }
    // SAFETY: a function of the server (storage/pmsignal.h) that asks the operating system.
    if unsafe { !PostmasterIsAliveInternal() } {
        ereport!(
            FATAL,
            PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN,
            "terminating connection because the postmaster is gone"
        );
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn stop_at_exit(_code: i32, _arg: pg_sys::Datum) {
    // It stays there: a fetch asks for its token from the thread that is to stop.
    let current = lock(&CURRENT).clone();
    if let Some(job) = current {
        job.stop_and_wait();
    }
}
