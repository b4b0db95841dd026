//! Stopping work from another thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::AsPointer;
use ort::session::RunOptions;
use ort::session::builder::SessionBuilder;

use crate::Error;

/// A token that stops decoding loops (they poll [`Cancel::flag`]), running ONNX graphs (terminated between two of their
/// nodes) and the loading of them, on however many threads. Once cancelled it stays cancelled.
#[derive(Default)]
pub struct Cancel {
    flag: AtomicBool,
    native: Mutex<Vec<(u64, Native)>>,
    registered: AtomicU64,
}

/// What ONNX Runtime is at.
enum Native {
    Running(Arc<RunOptions>),
    /// The options of the session that is being made, which hear of it. They are borrowed by the guard.
    Loading(*mut ort_sys::OrtSessionOptions),
}

// SAFETY: ONNX Runtime's flag for stopping a load is made to be set from another thread.
unsafe impl Send for Native {}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancel").field(&self.flag).finish()
    }
}

impl Cancel {
    /// A token that has not fired.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fires the token.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::SeqCst);
        for (_, native) in self.native().iter() {
            match native {
                // It can only fail on a null pointer; the flag stops the work after this node's run at the latest.
                Native::Running(run) => drop(run.terminate()),
                Native::Loading(options) => {
                    // SAFETY: the guard that registered them borrows the options and has not been dropped.
                    let status = unsafe {
                        (ort::api().SessionOptionsSetLoadCancellationFlag)(*options, true)
                    };
                    debug_assert!(status.0.is_null());
                }
            }
        }
    }

    /// Whether the token has fired.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// `Err(Error::Cancelled)` once the token has fired.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_cancelled() {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }

    /// The flag, for loops that know nothing of ONNX.
    pub fn flag(&self) -> &AtomicBool {
        &self.flag
    }

    /// Registers a graph run for termination until the guard is dropped.
    pub(crate) fn watch(&self, run: &Arc<RunOptions>) -> Result<Watch<'_>, Error> {
        run.unterminate()?;
        self.register(Native::Running(Arc::clone(run)))
    }

    /// Registers the making of a session, which `load` does, for being stopped.
    pub(crate) fn watch_load<T>(
        &self,
        builder: &mut SessionBuilder,
        load: impl FnOnce(&mut SessionBuilder) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _watch = self.register(Native::Loading(builder.ptr().cast_mut()))?;
        load(builder).map_err(|e| {
            if self.is_cancelled() {
                Error::Cancelled
            } else {
                e
            }
        })
    }

    fn register(&self, native: Native) -> Result<Watch<'_>, Error> {
        let key = self.registered.fetch_add(1, Ordering::Relaxed);
        self.native().push((key, native));
        let watch = Watch(self, key);
        self.check()?; // after registering, so that no cancel falls between the two
        Ok(watch)
    }

    fn native(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Native)>> {
        self.native.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Watch<'a>(&'a Cancel, u64);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.native().retain(|(key, _)| *key != self.1);
    }
}
