//! So many at once, over all processes of an account: places on a device, as locked files.
//!
//! A file's lock goes with the process that holds it, however that ends. Who waits for a place first locks the turn and keeps
//! it until there is one: otherwise a process that takes a place again as soon as it has left it would keep all others out.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Cancel, Error, cache};

/// Between two looks whether a place is free: short beside a run on a device, which takes some ten milliseconds.
const POLL: Duration = Duration::from_micros(250);

/// The places of a device.
pub(crate) struct Slots {
    turn: PathBuf,
    places: Vec<PathBuf>,
}

/// A place that is held until this is dropped.
pub(crate) struct Slot(#[allow(dead_code)] File);

impl Slots {
    pub(crate) fn new(dir: &Path, device: &str, count: usize) -> Self {
        let path = |what: &str| dir.join(format!("device-{device}.{what}"));
        Slots {
            turn: path("turn"),
            places: (0..count).map(|i| path(&i.to_string())).collect(),
        }
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Provider`] if there can be no lock files.
    pub(crate) fn wait(&self, cancel: &Cancel) -> Result<Slot, Error> {
        self.try_wait(cancel)?.ok_or(Error::Cancelled)
    }

    fn try_wait(&self, cancel: &Cancel) -> Result<Option<Slot>, Error> {
        let failed = |e: io::Error| {
            let dir = self
                .turn
                .parent()
                .unwrap_or(&self.turn)
                .display()
                .to_string();
            Error::Provider(format!("lock files cannot be made in \"{dir}\": {e}"))
        };
        if let Some(dir) = self.turn.parent() {
            cache::create_private_dir(dir).map_err(failed)?;
        }
        let Some(_turn) = until(cancel, || lock(&self.turn)).map_err(failed)? else {
            return Ok(None);
        };
        let free = || {
            let mut places = self.places.iter().map(|place| lock(place));
            places.find_map(Result::transpose).transpose()
        };
        Ok(until(cancel, free).map_err(failed)?.map(Slot))
    }
}

/// Looks until there is something, or nothing more is wanted.
fn until<T>(cancel: &Cancel, look: impl Fn() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    loop {
        if cancel.is_cancelled() {
            return Ok(None);
        }
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        std::thread::sleep(POLL);
    }
}

fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_than_so_many_hold_a_place_and_all_get_one() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let slots = Slots::new(dir.path(), "cuda-0", 2);
                    for _ in 0..20 {
                        let _slot = slots.wait(&Cancel::new()).unwrap();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
    }

    #[test]
    fn who_waits_can_be_stopped_and_is_served_once_a_place_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let slots = Slots::new(dir.path(), "cuda-0", 1);
        let held = slots.wait(&Cancel::new()).unwrap();
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| slots.wait(&cancel).map(drop));
            std::thread::sleep(Duration::from_millis(20));
            cancel.cancel();
            assert!(matches!(waiting.join().unwrap(), Err(Error::Cancelled)));
            let waiting = scope.spawn(|| slots.wait(&Cancel::new()).map(drop));
            drop(held);
            assert!(waiting.join().unwrap().is_ok());
        });
    }
}
