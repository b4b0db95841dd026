use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_RANGE;

use crate::Error;
use crate::remote::Remote;
use crate::spool::{Body, IN_MEMORY, Spool};
use crate::store;
use crate::wire::{Answer, Ask, Network, Session, Stop, Target, Version, Wire};

/// What is asked for at first: of most recordings this is all, of a long one enough to see what it is.
const HEAD: u64 = 1 << 20;

/// What [`fetch()`] may do.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// Hosts that may have a private address, see [`check_allowed_host`](crate::check_allowed_host).
    /// All other hosts must be public.
    pub allowed_hosts: Vec<String>,
    /// Largest body, in bytes.
    pub max_bytes: u64,
    /// For the whole fetch, redirects and further tries included; for each part of a body that is read in parts.
    pub timeout: Duration,
    /// For each lookup of a name, and for each connection with its TLS handshake.
    pub connect_timeout: Duration,
    /// Redirects to follow; 0 follows none.
    pub max_redirects: u32,
    /// Where bodies above 8 MiB go, made if it is missing in its parent; `None` is the system's
    /// directory for temporary files.
    pub spool_dir: Option<PathBuf>,
    /// The `User-Agent` header.
    pub user_agent: String,
}

/// Fetches the bytes of a URL or of an object of a store.
///
/// Each hop resolves its host once, checks every address, and connects to a checked address only.
/// No proxy, cookie, referrer, cache or content decoding takes part. User-info in the URL is sent
/// as basic authentication to that origin and to no other; a request that is signed for a store is
/// sent to the store's host only. Returns within 100 ms of `stop` being raised, in every phase.
///
/// Where the server sends parts, a body above 8 MiB is not fetched here, but as it is read
/// ([`Body::Remote`]). A busy server is asked again after a while, and an answer that breaks off is
/// continued where it did.
///
/// # Errors
/// See [`Error`]; anything but a complete answer is one.
pub fn fetch(target: &Target, rules: &FetchRules, stop: &Stop) -> Result<Body, Error> {
    Network::SYSTEM.fetch(target, rules, stop)
}

enum First {
    Whole(Body),
    Part(Vec<u8>, Version),
}

impl Network {
    pub(crate) fn fetch(
        self,
        target: &Target,
        rules: &FetchRules,
        stop: &Stop,
    ) -> Result<Body, Error> {
        let mut session = Session::over(self, rules)?;
        let (head, version) = session.run(stop, target, async |wire| {
            let first = wire.retried(async |wire| first(wire, target, stop).await);
            let (mut head, version) = match first.await? {
                First::Whole(body) => return Ok((Some(body), None)),
                First::Part(head, version) => (head, version),
            };
            if version.total > IN_MEMORY as u64 {
                return Ok((Some(Body::Bytes(head)), Some(version)));
            }
            let (at, total) = (head.len() as u64, version.total);
            let take = &mut |piece: &[u8]| {
                head.extend_from_slice(piece);
                Ok(())
            };
            wire.range(target, &version, at, total, take).await?;
            Ok((Some(Body::Bytes(head)), None))
        })?;
        match (head, version) {
            (Some(Body::Bytes(head)), Some(version)) => {
                let dir = rules.spool_dir.clone();
                let remote = Remote::new(
                    session,
                    target.clone(),
                    version,
                    &head,
                    dir,
                    Arc::clone(stop),
                )?;
                Ok(Body::Remote(Arc::new(remote)))
            }
            (body, _) => body.ok_or_else(|| Error::Setup("no body".into())),
        }
    }
}

/// Asks for the first part, and takes what comes: that, or the whole.
async fn first(wire: &mut Wire, target: &Target, stop: &Stop) -> Result<First, Error> {
    let ask = Ask {
        range: Some((0, HEAD - 1)),
        ..Ask::get(target)
    };
    let mut answer = wire.exchange(&ask).await?;
    match answer.response.status().as_u16() {
        200 => return receive(wire, answer, stop).await.map(First::Whole),
        206 => {}
        416 if is_empty(&answer) => return Ok(First::Whole(Body::Bytes(Vec::new()))),
        416 => return whole(wire, target, stop).await,
        _ => return Err(store::failure(&ask, answer).await),
    }
    answer.check_encoding()?;
    let Some((version, 0)) = Version::of(&answer.response) else {
        return whole(wire, target, stop).await;
    };
    answer.check_size(version.total, wire.rules.max_bytes)?;
    let wanted = version.total.min(HEAD) as usize;
    let mut head = Vec::with_capacity(wanted);
    while head.len() < wanted {
        match answer.chunk().await {
            Ok(Some(chunk)) => {
                head.extend_from_slice(&chunk[..chunk.len().min(wanted - head.len())])
            }
            // The rest is asked for as any other part.
            Ok(None) => break,
            Err(_) if !head.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(First::Part(head, version))
}

/// Asks a server that does not send parts as it should.
async fn whole(wire: &mut Wire, target: &Target, stop: &Stop) -> Result<First, Error> {
    let ask = Ask::get(target);
    let answer = wire.exchange(&ask).await?;
    match answer.response.status().as_u16() {
        200 => receive(wire, answer, stop).await.map(First::Whole),
        _ => Err(store::failure(&ask, answer).await),
    }
}

/// Whether it says that there is no first byte.
fn is_empty(answer: &Answer) -> bool {
    let range = answer.response.headers().get(CONTENT_RANGE);
    range.is_some_and(|range| range.as_bytes().ends_with(b"*/0"))
}

async fn receive(wire: &Wire, mut answer: Answer, stop: &Stop) -> Result<Body, Error> {
    let rules = &wire.rules;
    answer.check_encoding()?;
    answer.check_size(
        answer.response.content_length().unwrap_or(0),
        rules.max_bytes,
    )?;
    let mut spool = Spool::new(rules.spool_dir.clone());
    let mut received = 0u64;
    while let Some(chunk) = answer.chunk().await? {
        if stop() {
            return Err(Error::Cancelled);
        }
        received = received.saturating_add(chunk.len() as u64);
        answer.check_size(received, rules.max_bytes)?;
        spool.write(&chunk).map_err(Error::Spool)?;
    }
    spool.finish().map_err(Error::Spool)
}

#[cfg(test)]
mod tests;
