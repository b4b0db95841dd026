use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::Error;
use crate::address::{forbidden, is_this_machine};
use crate::hosts::AllowedHosts;

/// From host and port to addresses; blocking.
pub(crate) type Lookup = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// The C library's resolver.
pub(crate) fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}

/// Resolves the host of `url` once and returns its addresses if every one of them may be called;
/// of a `trusted` URL's host any may.
pub(crate) async fn checked_addresses(
    url: &Url,
    lookup: Lookup,
    limit: Duration,
    allowed: &AllowedHosts,
    trusted: bool,
) -> Result<Vec<SocketAddr>, Error> {
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses = match url.host() {
        Some(Host::Ipv4(v4)) => vec![SocketAddr::from((v4, port))],
        Some(Host::Ipv6(v6)) => vec![SocketAddr::from((v6, port))],
        Some(Host::Domain(name)) => resolve(name, port, lookup, limit).await?,
        None => Vec::new(),
    };
    if addresses.is_empty() {
        return Err(unresolved(
            url.host_str().unwrap_or(""),
            "it has no address",
        ));
    }
    if !trusted && !allowed.name(url) {
        for address in &addresses {
            check(url, address.ip())?;
        }
    }
    Ok(addresses)
}

fn check(url: &Url, address: IpAddr) -> Result<(), Error> {
    let own = || is_this_machine(address).then_some("this machine's own");
    match forbidden(address).or_else(own) {
        None => Ok(()),
        Some(kind) => {
            let host = url.host_str().unwrap_or("").to_owned();
            Err(Error::ForbiddenAddress { host, kind })
        }
    }
}

async fn resolve(
    name: &str,
    port: u16,
    lookup: Lookup,
    limit: Duration,
) -> Result<Vec<SocketAddr>, Error> {
    let slot = Slot::take().ok_or_else(|| unresolved(name, "earlier lookups still hang"))?;
    let host = name.to_owned();
    // getaddrinfo cannot be interrupted. Its thread is left behind when nobody waits any more; it
    // touches nothing of ours but the slot.
    let task = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        lookup(&host, port)
    });
    match tokio::time::timeout(limit, task).await {
        Ok(Ok(Ok(addresses))) => Ok(addresses),
        Ok(Ok(Err(error))) => Err(unresolved(name, &error.to_string())),
        Ok(Err(_)) => Err(unresolved(name, "the lookup failed")),
        Err(_) => Err(unresolved(
            name,
            &format!("no answer within {} ms", limit.as_millis()),
        )),
    }
}

fn unresolved(host: &str, reason: &str) -> Error {
    Error::Resolve {
        host: host.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Bounds how many hanging lookups a process can gather.
struct Slot;

static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
const MAX_LOOKUPS: usize = 16;

impl Slot {
    fn take() -> Option<Self> {
        LOOKUPS
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < MAX_LOOKUPS).then_some(n + 1)
            })
            .is_ok()
            .then_some(Self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        LOOKUPS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers every question of the HTTP client with the addresses that were checked, so that a second
/// lookup cannot give another answer (DNS rebinding).
pub(crate) struct Pinned(pub(crate) Vec<SocketAddr>);

impl Resolve for Pinned {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}
