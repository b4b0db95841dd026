//! Stopping work from another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ort::session::RunOptions;

use crate::Error;

/// A token that stops decoding loops (they poll [`Cancel::flag`]) and a running ONNX graph (terminated between two
/// of its nodes). Once cancelled it stays cancelled.
#[derive(Default)]
pub struct Cancel {
    flag: AtomicBool,
    running: Mutex<Option<Arc<RunOptions>>>,
}

impl Cancel {
    /// A token that has not fired.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fires the token.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::SeqCst);
        if let Some(run) = self.running().as_ref() {
            // It can only fail on a null pointer; the flag stops the work after this node's run at the latest.
            let _ = run.terminate();
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
        *self.running() = Some(Arc::clone(run));
        let watch = Watch(self);
        self.check()?; // after registering, so that no cancel falls between the two
        Ok(watch)
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Arc<RunOptions>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Watch<'a>(&'a Cancel);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        *self.0.running() = None;
    }
}
