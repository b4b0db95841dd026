//! What a statement has worked out already.
//!
//! Postgres calls a STABLE function as often as it likes: for each row of a join, for each column of `(f(x)).*`. Each of
//! those would decode and listen anew. So the last few results are kept, by what they were made of, until the portal of
//! the statement ends. Files count as the same as long as their inode, size and times are; bytes by their hash; what
//! comes from the network for a second after its last use, since nobody tells when it changes.

use std::any::Any;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pgrx::prelude::*;
use sha2::{Digest, Sha256};

/// Results of one kind that are kept.
const KEPT: usize = 4;
/// So long after its last use the network's answer is taken to be the same.
const FRESH: Duration = Duration::from_secs(1);

/// What a recording is known by.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    hash: [u8; 32],
    fleeting: bool,
}

impl Fingerprint {
    /// Of a recording's bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Fingerprint {
            hash: Sha256::digest(bytes).into(),
            fleeting: false,
        }
    }

    /// Of a file as it is now; its path belongs to what messages say.
    pub fn of_file(path: &Path, metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let m = metadata;
        let all = (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec());
        let changed = (m.ctime(), m.ctime_nsec());
        Fingerprint {
            hash: Sha256::digest(format!("{path:?} {all:?} {changed:?}")).into(),
            fleeting: false,
        }
    }

    /// Of something in the network as the current user may read it; `identity` tells with which keys.
    pub fn of_address(identity: &[u8], user: u32) -> Self {
        let hash = Sha256::new().chain_update(user.to_le_bytes());
        Fingerprint {
            hash: hash.chain_update(identity).finalize().into(),
            fleeting: true,
        }
    }
}

struct Entry {
    kind: &'static str,
    of: Fingerprint,
    detail: String,
    value: Arc<dyn Any + Send + Sync>,
    used: Instant,
    scope: usize,
}

struct Memo {
    /// Last used last.
    entries: Vec<Entry>,
    /// The memory context of the running statement, and those that are watched.
    scope: usize,
    watched: Vec<usize>,
}

static MEMO: Mutex<Memo> = Mutex::new(Memo {
    entries: Vec::new(),
    scope: 0,
    watched: Vec::new(),
});

fn memo() -> MutexGuard<'static, Memo> {
    MEMO.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ties what is kept from now on to the running statement. On the backend's thread.
pub fn begin() {
    // SAFETY: the backend's own globals; a portal's context lives as long as it. A parallel worker has no portal.
    let context = unsafe {
        match pg_sys::ActivePortal.as_ref() {
            Some(portal) => portal.portalContext,
            None => pg_sys::TopTransactionContext,
        }
    };
    let mut memo = memo();
    memo.scope = context as usize;
    if context.is_null() || memo.watched.contains(&(context as usize)) {
        return;
    }
    memo.watched.push(context as usize);
    // SAFETY: the callback is allocated in the context that calls it.
    unsafe {
        let size = std::mem::size_of::<pg_sys::MemoryContextCallback>();
        let callback =
            pg_sys::MemoryContextAlloc(context, size).cast::<pg_sys::MemoryContextCallback>();
        *callback = pg_sys::MemoryContextCallback {
            func: Some(end),
            arg: context.cast(),
            next: std::ptr::null_mut(),
        };
        pg_sys::MemoryContextRegisterResetCallback(context, callback);
    }
}

/// The context of a statement goes.
#[pgrx::pg_guard]
unsafe extern "C-unwind" fn end(context: *mut std::ffi::c_void) {
    let context = context as usize;
    let mut memo = memo();
    memo.watched.retain(|c| *c != context);
    memo.entries.retain(|e| e.scope != context);
}

/// What was kept.
pub fn get<T: Send + Sync + 'static>(
    kind: &'static str,
    of: &Fingerprint,
    detail: &str,
) -> Option<Arc<T>> {
    let mut memo = memo();
    let now = Instant::now();
    let stale = |e: &Entry| e.of.fleeting && now.duration_since(e.used) > FRESH;
    memo.entries.retain(|e| !stale(e));
    let at = memo
        .entries
        .iter()
        .position(|e| e.kind == kind && e.of == *of && e.detail == detail)?;
    let mut entry = memo.entries.remove(at);
    entry.used = now;
    let value = Arc::clone(&entry.value);
    memo.entries.push(entry);
    value.downcast().ok()
}

/// Drops what is kept of one kind of a recording.
pub fn forget(kind: &'static str, of: &Fingerprint) {
    memo().entries.retain(|e| e.kind != kind || e.of != *of);
}

/// Keeps a value, and forgets the one of its kind that was not used for longest.
pub fn put<T: Send + Sync + 'static>(
    kind: &'static str,
    of: &Fingerprint,
    detail: String,
    value: &Arc<T>,
) {
    let mut memo = memo();
    let scope = memo.scope;
    if !memo.watched.contains(&scope) {
        return; // nothing would drop it
    }
    memo.entries
        .retain(|e| !(e.kind == kind && e.of == *of && e.detail == detail));
    if memo.entries.iter().filter(|e| e.kind == kind).count() >= KEPT
        && let Some(oldest) = memo.entries.iter().position(|e| e.kind == kind)
    {
        memo.entries.remove(oldest);
    }
    memo.entries.push(Entry {
        kind,
        of: of.clone(),
        detail,
        value: Arc::clone(value) as Arc<dyn Any + Send + Sync>,
        used: Instant::now(),
        scope,
    });
}
