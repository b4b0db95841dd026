//! What the database says besides results: warnings, and how far it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::error::DbError;

/// Most notices of one request that are kept.
const MAX_NOTICES: usize = 20;

/// What a connection has said besides results, by backend.
#[derive(Default)]
pub struct Listeners(Mutex<HashMap<i32, Arc<Heard>>>);

/// Notices of the current request of a connection.
#[derive(Default)]
pub struct Heard(Mutex<Vec<DbError>>);

impl Heard {
    /// Keeps a notice.
    pub fn add(&self, notice: DbError) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Progress is repeated: the latest counts.
        if notice.severity() == "INFO" {
            kept.retain(|other| other.severity() != "INFO");
        }
        if kept.len() < MAX_NOTICES {
            kept.push(notice);
        }
    }

    /// Forgets those of the request before.
    pub fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Messages of a severity, such as WARNING.
    pub fn of_severity(&self, severity: &str) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = kept.iter().filter(|notice| notice.severity() == severity);
        matching
            .map(|notice| notice.message().to_string())
            .collect()
    }

    /// The latest report of progress.
    pub fn progress(&self) -> Option<String> {
        self.of_severity("INFO").pop()
    }
}

impl Listeners {
    /// Those of a backend.
    pub fn get(&self, pid: i32) -> Arc<Heard> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(pid).or_default().clone()
    }

    fn forget(&self, pid: i32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&pid);
    }
}

/// Takes a backend's entry away when its connection ends, however it does.
pub struct Listening(pub Arc<Listeners>, pub Mutex<Option<i32>>);

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(pid) = *self.1.lock().unwrap_or_else(PoisonError::into_inner) {
            self.0.forget(pid);
        }
    }
}
