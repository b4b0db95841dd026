use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::dns::{Lookup, Pinned, checked_addresses, system_lookup};
use crate::hosts::AllowedHosts;
use crate::spool::{Body, Spool};
use crate::{Error, redact, tls};

/// How often a raised `stop` is looked for while the network is silent.
const STOP_POLL: Duration = Duration::from_millis(20);
/// Response headers; more is not an audio server.
const MAX_HEADERS: usize = 100;

/// What [`fetch()`] may do.
#[derive(Clone, Debug)]
pub struct FetchRules {
    /// Hosts that may have a private address, see [`check_allowed_host`](crate::check_allowed_host).
    /// All other hosts must be public.
    pub allowed_hosts: Vec<String>,
    /// Largest body, in bytes.
    pub max_bytes: u64,
    /// For the whole fetch, redirects included.
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

/// Fetches the bytes of an `http` or `https` URL.
///
/// Each hop resolves its host once, checks every address, and connects to a checked address only.
/// No proxy, cookie, referrer, cache or content decoding takes part. User-info in the URL is sent
/// as basic authentication to that origin and to no other. Returns within 100 ms of `stop` being
/// raised, in every phase.
///
/// # Errors
/// See [`Error`]; anything but a complete answer with status 200 is one.
pub fn fetch(url: &Url, rules: &FetchRules, stop: &AtomicBool) -> Result<Body, Error> {
    Network {
        lookup: system_lookup,
        trust: tls::system_trust,
    }
    .fetch(url, rules, stop)
}

/// What a fetch takes from the machine it runs on.
pub(crate) struct Network {
    pub(crate) lookup: Lookup,
    pub(crate) trust: fn() -> Result<ClientConfig, String>,
}

impl Network {
    pub(crate) fn fetch(
        &self,
        url: &Url,
        rules: &FetchRules,
        stop: &AtomicBool,
    ) -> Result<Body, Error> {
        bounded(url, rules, stop, self.follow(url, rules, stop))
    }

    async fn follow(
        &self,
        url: &Url,
        rules: &FetchRules,
        stop: &AtomicBool,
    ) -> Result<Body, Error> {
        let allowed = AllowedHosts::new(&rules.allowed_hosts);
        let mut here = url.clone();
        for _ in 0..=rules.max_redirects {
            let response = self.request(&here, rules, &allowed).await?;
            match redirect(&here, &response)? {
                Some(next) => here = next,
                None => return receive(&here, response, rules, stop).await,
            }
        }
        Err(Error::TooManyRedirects {
            url: redact(url.as_str()),
            limit: rules.max_redirects,
        })
    }

    async fn request(
        &self,
        url: &Url,
        rules: &FetchRules,
        allowed: &AllowedHosts,
    ) -> Result<Response, Error> {
        let request = self.client(url, rules, allowed).await?.get(url.clone());
        let request = request.header(ACCEPT_ENCODING, "identity");
        request.send().await.map_err(|e| request_failure(url, &e))
    }

    /// A client that connects to the checked addresses of this URL's host and nowhere else.
    pub(crate) async fn client(
        &self,
        url: &Url,
        rules: &FetchRules,
        allowed: &AllowedHosts,
    ) -> Result<Client, Error> {
        let addresses = checked_addresses(url, self.lookup, rules.connect_timeout, allowed).await?;
        let trust = match url.scheme() {
            "https" => (self.trust)().map_err(|reason| Error::Tls {
                url: redact(url.as_str()),
                reason,
            })?,
            _ => tls::trust_only(RootCertStore::empty()).map_err(Error::Setup)?,
        };
        Client::builder()
            .user_agent(&rules.user_agent)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .pool_max_idle_per_host(0)
            .connect_timeout(rules.connect_timeout)
            .dns_resolver(Pinned(addresses))
            .tls_backend_preconfigured(trust)
            .build()
            .map_err(|e| Error::Setup(cause(&e)))
    }
}

/// Runs `work` on this thread, until `stop` is raised or the time is up.
pub(crate) fn bounded<T>(
    url: &Url,
    rules: &FetchRules,
    stop: &AtomicBool,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .map_err(|e| Error::Setup(e.to_string()))?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            biased;
            () = raised(stop) => Err(Error::Cancelled),
            () = tokio::time::sleep(rules.timeout) => {
                Err(Error::Timeout { url: redact(url.as_str()), limit: rules.timeout })
            }
            outcome = work => outcome,
        }
    });
    // Dropping the runtime would wait for a hanging name lookup.
    runtime.shutdown_background();
    outcome
}

/// Returns when `stop` is raised.
async fn raised(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(STOP_POLL).await;
    }
}

/// Where the answer sends us next, if anywhere.
fn redirect(here: &Url, response: &Response) -> Result<Option<Url>, Error> {
    let refused = |reason: &str| Error::Redirect {
        url: redact(here.as_str()),
        reason: reason.to_owned(),
    };
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response
        .headers()
        .get(LOCATION)
        .ok_or_else(|| refused("to nowhere"))?;
    let next = location.to_str().ok().and_then(|text| here.join(text).ok());
    let mut next = next.ok_or_else(|| refused("to something that is not a URL"))?;
    match (here.scheme(), next.scheme()) {
        ("https", "http") => return Err(refused("from https to plain http, which is refused")),
        (_, "http" | "https") => {}
        _ => return Err(refused("to something other than http or https")),
    }
    carry_user_info(here, &mut next).map_err(|()| refused("to something that is not a URL"))?;
    Ok(Some(next))
}

/// The user's credentials stay with the origin they were written for, and no server sets others.
fn carry_user_info(from: &Url, to: &mut Url) -> Result<(), ()> {
    let (user, password) = match from.origin() == to.origin() {
        true => (from.username(), from.password()),
        false => ("", None),
    };
    to.set_username(user)?;
    to.set_password(password)
}

async fn receive(
    url: &Url,
    mut response: Response,
    rules: &FetchRules,
    stop: &AtomicBool,
) -> Result<Body, Error> {
    check_head(url, &response, rules.max_bytes)?;
    let mut spool = Spool::new(rules.spool_dir.clone());
    let mut received = 0u64;
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|e| transfer_failure(url, &e))?
    {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        received = received.saturating_add(chunk.len() as u64);
        check_size(url, received, rules.max_bytes)?;
        spool.write(&chunk).map_err(Error::Spool)?;
    }
    spool.finish().map_err(Error::Spool)
}

fn check_head(url: &Url, response: &Response, max_bytes: u64) -> Result<(), Error> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(Error::Status {
            url: redact(url.as_str()),
            status: status.as_u16(),
        });
    }
    let encoding = response.headers().get(CONTENT_ENCODING);
    if let Some(encoding) = encoding.filter(|e| *e != "identity") {
        let encoding = String::from_utf8_lossy(encoding.as_bytes())
            .chars()
            .take(40)
            .collect();
        return Err(Error::Encoded {
            url: redact(url.as_str()),
            encoding,
        });
    }
    check_size(url, response.content_length().unwrap_or(0), max_bytes)
}

pub(crate) fn check_size(url: &Url, bytes: u64, limit: u64) -> Result<(), Error> {
    match bytes > limit {
        true => Err(Error::BodyTooLarge {
            url: redact(url.as_str()),
            limit,
        }),
        false => Ok(()),
    }
}

pub(crate) fn request_failure(url: &Url, error: &reqwest::Error) -> Error {
    let url_shown = redact(url.as_str());
    if is_tls(error) {
        Error::Tls {
            url: url_shown,
            reason: cause(error),
        }
    } else if error.is_connect() {
        let reason = match error.is_timeout() {
            true => "no answer in time".to_owned(),
            false => cause(error),
        };
        Error::Connect {
            url: url_shown,
            reason,
        }
    } else {
        transfer_failure(url, error)
    }
}

pub(crate) fn transfer_failure(url: &Url, error: &reqwest::Error) -> Error {
    Error::Transfer {
        url: redact(url.as_str()),
        reason: cause(error),
    }
}

fn is_tls(error: &reqwest::Error) -> bool {
    chain(error).any(holds_tls)
}

/// `io::Error` hides what it wraps from `source`.
fn holds_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| holds_tls(inner))
}

/// The innermost error: the outer ones say "error sending request" and print the whole URL.
fn cause(error: &reqwest::Error) -> String {
    chain(error)
        .last()
        .map_or_else(|| "unknown failure".to_owned(), |e| redact(&e.to_string()))
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |&e| e.source())
}

#[cfg(test)]
mod tests;
