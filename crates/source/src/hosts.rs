use url::{Host, Url};

use crate::Error;
use crate::redact::redact_unreadable;

/// Hosts that an administrator has named: they may have any address.
pub(crate) struct AllowedHosts(Vec<Entry>);

struct Entry {
    host: Host<String>,
    /// `*.` was written before the host.
    subdomains: bool,
    port: Option<u16>,
}

/// Checks one entry of [`FetchRules::allowed_hosts`](crate::FetchRules): `host`, `host:port`,
/// `*.example.com` (subdomains, not example.com itself), an IPv4 address, or `[IPv6]`.
///
/// # Errors
/// [`Error::AllowedHost`] if the entry could never match.
pub fn check_allowed_host(entry: &str) -> Result<(), Error> {
    read(entry).map(drop).ok_or_else(|| Error::AllowedHost {
        entry: redact_unreadable(entry),
    })
}

impl AllowedHosts {
    /// Unreadable entries allow nothing.
    pub(crate) fn new(entries: &[String]) -> Self {
        Self(entries.iter().filter_map(|entry| read(entry)).collect())
    }

    pub(crate) fn name(&self, url: &Url) -> bool {
        let Some(host) = url.host() else { return false };
        let host = without_root(host.to_owned());
        self.0.iter().any(|entry| {
            entry.matches(&host)
                && entry
                    .port
                    .is_none_or(|p| url.port_or_known_default() == Some(p))
        })
    }
}

impl Entry {
    fn matches(&self, host: &Host<String>) -> bool {
        match (&self.host, host) {
            (Host::Domain(parent), Host::Domain(name)) if self.subdomains => name
                .strip_suffix(parent.as_str())
                .is_some_and(|label| label.len() > 1 && label.ends_with('.')),
            (allowed, host) => allowed == host,
        }
    }
}

fn read(entry: &str) -> Option<Entry> {
    let entry = entry.trim();
    let (subdomains, entry) = match entry.strip_prefix("*.") {
        Some(parent) => (true, parent),
        None => (false, entry),
    };
    let (host, port) = split_port(entry)?;
    let host = without_root(Host::parse(host).ok()?);
    // The URL standard takes a star as a letter of a name; here it would look like a pattern.
    let meaningful = match &host {
        Host::Domain(name) => !name.is_empty() && !name.contains('*'),
        _ => !subdomains,
    };
    meaningful.then_some(Entry {
        host,
        subdomains,
        port,
    })
}

/// A bare IPv6 address has several colons and no port.
fn split_port(entry: &str) -> Option<(&str, Option<u16>)> {
    match entry.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
            Some((host, Some(port.parse().ok()?)))
        }
        _ => Some((entry, None)),
    }
}

/// `example.com.` and `example.com` are one name.
fn without_root(host: Host<String>) -> Host<String> {
    match host {
        Host::Domain(name) => Host::Domain(name.trim_end_matches('.').to_owned()),
        address => address,
    }
}
