//! Who may ask how much: a rate and a number of requests at a time per key, a bounded queue and bounded memory for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::error::ApiError;
use crate::keys::Key;
use crate::metrics::{Counted, refused};

/// Keys that are remembered; those that ask for nothing any more are forgotten first.
const MAX_REMEMBERED: usize = 4096;
/// Memory is counted in pieces of this size.
const PIECE: usize = 4096;

/// The limits and their state.
pub struct Limits {
    keys: Mutex<HashMap<String, Asking>>,
    rate: f64,
    concurrency: usize,
    work: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// How much a key asks for at present.
struct Asking {
    /// Requests that may come at once: a token bucket that holds two seconds' worth.
    tokens: f64,
    filled: Instant,
    running: Arc<()>,
}

/// A key's place among its requests at a time; given back with the last copy of the value, however many there are.
#[derive(Clone, Debug)]
pub struct Place(#[allow(dead_code, reason = "held, not looked at")] Arc<Taken>);

/// What a key's places are counted by.
#[derive(Debug)]
struct Taken(#[allow(dead_code, reason = "held, not looked at")] Arc<()>);

/// A place in the queue or at work; given back with the value.
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Memory for a body; given back with the value.
#[derive(Default)]
pub struct Memory {
    permits: Option<OwnedSemaphorePermit>,
    counted: Vec<Counted>,
    bytes: usize,
}

fn entry<'a>(keys: &'a mut HashMap<String, Asking>, key: &Key, tokens: f64) -> &'a mut Asking {
    if keys.len() >= MAX_REMEMBERED && !keys.contains_key(&key.id) {
        keys.retain(|_, asking| {
            Arc::strong_count(&asking.running) > 1 || asking.filled.elapsed().as_secs() < 10
        });
    }
    keys.entry(key.id.clone()).or_insert_with(|| Asking {
        tokens,
        filled: Instant::now(),
        running: Arc::new(()),
    })
}

impl Limits {
    /// Nobody has asked yet.
    pub fn new(config: &Config) -> Self {
        Self {
            keys: Mutex::default(),
            rate: config.key_rate,
            concurrency: config.key_concurrency,
            work: Arc::new(Semaphore::new(config.pool_size + config.queue)),
            memory: Arc::new(Semaphore::new(config.upload_memory / PIECE)),
        }
    }

    /// Lets a request of a key in.
    ///
    /// # Errors
    /// 429 with the time to wait.
    pub fn admit(&self, key: &Key) -> Result<Place, ApiError> {
        let rate = key.rate.unwrap_or(self.rate);
        let burst = (2.0 * rate).max(1.0);
        let mut keys = self.asking();
        let asking = entry(&mut keys, key, burst);
        asking.tokens = (asking.tokens + asking.filled.elapsed().as_secs_f64() * rate).min(burst);
        asking.filled = Instant::now();
        if asking.tokens < 1.0 {
            refused("rate");
            let wait = ((1.0 - asking.tokens) / rate).ceil().max(1.0) as u64;
            let message =
                format!("this key may ask {rate} times per second; try again in {wait} s");
            return Err(ApiError::later(
                StatusCode::TOO_MANY_REQUESTS,
                wait,
                message,
            ));
        }
        let place = self.place(asking, key)?;
        asking.tokens -= 1.0;
        Ok(place)
    }

    /// A place for a job of a key, which was admitted when it was submitted.
    ///
    /// # Errors
    /// 429 where all are taken.
    pub fn occupy(&self, key: &Key) -> Result<Place, ApiError> {
        let mut keys = self.asking();
        self.place(entry(&mut keys, key, 1.0), key)
    }

    fn asking(&self) -> MutexGuard<'_, HashMap<String, Asking>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, asking: &Asking, key: &Key) -> Result<Place, ApiError> {
        let most = key.concurrency.unwrap_or(self.concurrency);
        if Arc::strong_count(&asking.running) > most {
            refused("concurrency");
            let message =
                format!("this key has {most} requests running, as many as it may at a time");
            return Err(ApiError::later(StatusCode::TOO_MANY_REQUESTS, 1, message));
        }
        Ok(Place(Arc::new(Taken(asking.running.clone()))))
    }

    /// A place at work or in the queue for it.
    ///
    /// # Errors
    /// 503 where the queue is full.
    pub fn turn(&self) -> Result<Turn, ApiError> {
        let Ok(permit) = self.work.clone().try_acquire_owned() else {
            refused("queue");
            return Err(ApiError::unavailable(
                "the service is busy and its queue is full; try again",
            ));
        };
        Ok(Turn {
            _permit: permit,
            _counted: Counted::new("ai_audio_requests_in_progress", 1.0),
        })
    }

    /// More memory for a body.
    ///
    /// # Errors
    /// 503 where all of it is in use.
    pub fn remember(&self, held: &mut Memory, bytes: usize) -> Result<(), ApiError> {
        held.bytes += bytes;
        let pieces = held.bytes.div_ceil(PIECE);
        let more = pieces.saturating_sub(
            held.permits
                .as_ref()
                .map_or(0, OwnedSemaphorePermit::num_permits),
        );
        if more == 0 {
            return Ok(());
        }
        let permit = u32::try_from(more)
            .ok()
            .and_then(|more| self.memory.clone().try_acquire_many_owned(more).ok());
        let Some(permit) = permit else {
            refused("memory");
            return Err(ApiError::unavailable(
                "the service is busy with other recordings; try again",
            ));
        };
        match &mut held.permits {
            Some(permits) => permits.merge(permit),
            None => held.permits = Some(permit),
        }
        held.counted
            .push(Counted::new("ai_audio_upload_bytes", (more * PIECE) as f64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn limits(change: impl Fn(&mut Config)) -> Limits {
        let mut config = Config::new(Settings {
            database_url: Some("x".into()),
            ..Settings::default()
        })
        .expect("complete");
        change(&mut config);
        Limits::new(&config)
    }

    fn key(id: &str) -> Key {
        Key {
            id: id.into(),
            role: "r".into(),
            rate: None,
            concurrency: None,
            secret_hash: String::new(),
        }
    }

    #[test]
    fn each_key_has_a_rate_of_its_own() {
        let limits = limits(|config| config.key_rate = 2.0);
        for _ in 0..4 {
            limits.admit(&key("a")).expect("within the burst");
        }
        let refusal = limits.admit(&key("a")).expect_err("too fast");
        assert_eq!(
            (refusal.status.as_u16(), refusal.retry_after),
            (429, Some(1))
        );
        limits.admit(&key("b")).expect("another key");
    }

    #[test]
    fn places_are_given_back() {
        let limits = limits(|config| config.key_concurrency = 2);
        let places = [
            limits.admit(&key("a")).expect("one"),
            limits.admit(&key("a")).expect("two"),
        ];
        assert_eq!(
            limits.admit(&key("a")).expect_err("three").status.as_u16(),
            429
        );
        let [first, second] = places;
        drop((first.clone(), first));
        let _copy = second.clone();
        limits.admit(&key("a")).expect("free again");
    }

    #[test]
    fn the_queue_and_memory_are_bounded_and_come_back() {
        let limits = limits(|config| {
            (config.pool_size, config.queue, config.upload_memory) = (1, 1, 2 * PIECE)
        });
        let turns = [
            limits.turn().expect("one works"),
            limits.turn().expect("one waits"),
        ];
        assert_eq!(limits.turn().err().expect("full").status.as_u16(), 503);
        drop(turns);
        limits.turn().expect("free again");

        let mut held = Memory::default();
        for _ in 0..4 {
            limits.remember(&mut held, PIECE / 2).expect("fits");
        }
        assert_eq!(
            limits
                .remember(&mut held, 1)
                .expect_err("full")
                .status
                .as_u16(),
            503
        );
        drop(held);
        limits
            .remember(&mut Memory::default(), 2 * PIECE)
            .expect("free again");
    }
}
