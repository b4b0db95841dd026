//! One request and its answer: the guard, redirects, signatures, time limits, and trying again.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, HeaderName, HeaderValue, LOCATION, RANGE,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use url::Url;

use crate::dns::{Lookup, Pinned, checked_addresses, system_lookup};
use crate::hosts::AllowedHosts;
use crate::store::{self, Store};
use crate::{Error, FetchRules, redact, tls};

/// How often a raised `stop` is looked for while the network is silent.
const STOP_POLL: Duration = Duration::from_millis(20);
/// Response headers; more is not an audio server.
pub(crate) const MAX_HEADERS: usize = 100;
/// How often something is asked in a row without a byte of progress.
const TRIES: u32 = 4;
/// The wait before the second try; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Says whether to give up. Asked every 20 ms, from the thread that waits for the network.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// Something to fetch: a URL, or an object of a store.
#[derive(Clone)]
pub struct Target {
    pub(crate) url: Url,
    /// The store that signs for it.
    pub(crate) store: Option<Arc<Store>>,
    /// How messages name it.
    pub(crate) shown: String,
}

impl Target {
    /// A URL as it is.
    pub fn url(url: Url) -> Self {
        let shown = redact(url.as_str());
        Self {
            url,
            store: None,
            shown,
        }
    }

    /// A URL that is signed as the store's.
    pub fn signed(url: Url, store: Store) -> Self {
        Self {
            store: Some(Arc::new(store)),
            ..Self::url(url)
        }
    }

    /// Tells what is asked, and with which keys, from all else: two targets of one identity are one request. It is a
    /// hash (SHA-256), so it tells nobody the keys.
    pub fn identity(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        add(self.url.as_str());
        if let Some(store) = &self.store {
            store.identify(&mut add);
        }
        hash.finalize().into()
    }
}

/// A body to send.
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) target: &'a Target,
    /// First and last byte.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) payload: Option<&'a Payload>,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(target: &'a Target) -> Self {
        Self {
            method: Method::GET,
            target,
            range: None,
            payload: None,
        }
    }

    /// How messages name what is asked at `here`.
    fn said(&self, here: &Url) -> String {
        match self.target.store {
            Some(_) => self.target.shown.clone(),
            None => redact(here.as_str()),
        }
    }
}

/// An answer that is no redirect.
pub(crate) struct Answer {
    pub(crate) response: Response,
    /// How messages name what answered.
    pub(crate) from: String,
}

impl Answer {
    /// The next piece of the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let chunk = self.response.chunk().await;
        chunk.map_err(|error| Error::Transfer {
            url: self.from.clone(),
            reason: cause(&error),
        })
    }

    /// An answer that is HTTP, but not what was asked for.
    pub(crate) fn strange(&self, reason: &str) -> Error {
        Error::Transfer {
            url: self.from.clone(),
            reason: reason.into(),
        }
    }

    /// Refuses a body that is compressed for transport.
    pub(crate) fn check_encoding(&self) -> Result<(), Error> {
        let encoding = self.response.headers().get(CONTENT_ENCODING);
        let Some(encoding) = encoding.filter(|e| *e != "identity") else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(encoding.as_bytes());
        Err(Error::Encoded {
            url: self.from.clone(),
            encoding: text.chars().take(40).collect(),
        })
    }

    /// Refuses a body of more bytes than the rules allow.
    pub(crate) fn check_size(&self, bytes: u64, limit: u64) -> Result<(), Error> {
        match bytes > limit {
            true => Err(Error::BodyTooLarge {
                url: self.from.clone(),
                limit,
            }),
            false => Ok(()),
        }
    }
}

/// What a fetch takes from the machine it runs on.
#[derive(Clone, Copy)]
pub(crate) struct Network {
    pub(crate) lookup: Lookup,
    pub(crate) trust: fn() -> Result<ClientConfig, String>,
}

impl Network {
    pub(crate) const SYSTEM: Self = Self {
        lookup: system_lookup,
        trust: tls::system_trust,
    };
}

/// Requests one after the other. It waits on the thread that calls it, and keeps a connection open between two calls.
pub(crate) struct Session {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    wire: Wire,
}

impl Session {
    pub(crate) fn new(rules: &FetchRules) -> Result<Self, Error> {
        Self::over(Network::SYSTEM, rules)
    }

    pub(crate) fn over(network: Network, rules: &FetchRules) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .build()
            .map_err(|e| Error::Setup(e.to_string()))?;
        Ok(Self {
            runtime: Some(runtime),
            wire: Wire {
                network,
                allowed: AllowedHosts::new(&rules.allowed_hosts),
                rules: rules.clone(),
                client: None,
            },
        })
    }

    /// Runs `work` until it ends, `stop` says so, or [`FetchRules::timeout`] is over.
    pub(crate) fn run<T>(
        &mut self,
        stop: &Stop,
        target: &Target,
        work: impl AsyncFnOnce(&mut Wire) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let limit = self.wire.rules.timeout;
        let Some(runtime) = &self.runtime else {
            return Err(Error::Setup("it has ended".into()));
        };
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = raised(stop) => Err(Error::Cancelled),
                () = tokio::time::sleep(limit) => Err(Error::Timeout { url: target.shown.clone(), limit }),
                outcome = work(&mut self.wire) => outcome,
            }
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Dropping a runtime as usual would wait for a hanging name lookup.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns when `stop` is raised.
async fn raised(stop: &Stop) {
    while !stop() {
        tokio::time::sleep(STOP_POLL).await;
    }
}

/// The way to servers.
pub(crate) struct Wire {
    network: Network,
    pub(crate) rules: FetchRules,
    allowed: AllowedHosts,
    /// The last one used, and for which scheme, host and port: its addresses are checked.
    client: Option<(String, Client)>,
}

impl Wire {
    /// Asks, follows redirects, and returns what comes in the end, whatever its status.
    pub(crate) async fn exchange(&mut self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let mut here = ask.target.url.clone();
        for _ in 0..=self.rules.max_redirects {
            let response = self.request(ask, &here).await?;
            match redirect(ask, &here, &response)? {
                Some(next) => here = next,
                None => {
                    return Ok(Answer {
                        response,
                        from: ask.said(&here),
                    });
                }
            }
        }
        Err(Error::TooManyRedirects {
            url: ask.target.shown.clone(),
            limit: self.rules.max_redirects,
        })
    }

    /// Asks once: a redirect is an answer as any other.
    pub(crate) async fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let here = &ask.target.url;
        Ok(Answer {
            response: self.request(ask, here).await?,
            from: ask.said(here),
        })
    }

    /// Does `once` again, after a while, where a server was busy or an answer broke off.
    pub(crate) async fn retried<T>(
        &mut self,
        mut once: impl AsyncFnMut(&mut Wire) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut tries = 1;
        loop {
            match once(self).await {
                Err(error) if error.is_passing() && tries < TRIES => self.pause(tries).await,
                outcome => return outcome,
            }
            tries += 1;
        }
    }

    /// Asks for `at..end` of a target, from where the last answer broke off, until all is there. `take` gets the pieces
    /// in order.
    pub(crate) async fn range(
        &mut self,
        target: &Target,
        version: &Version,
        mut at: u64,
        end: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut tries = 1;
        while at < end {
            let before = at;
            let outcome = self.part(target, version, &mut at, end, take).await;
            if at > before {
                tries = 1;
            }
            match outcome {
                Ok(()) => {}
                Err(error) if error.is_passing() && tries < TRIES => {
                    self.pause(tries).await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn part(
        &mut self,
        target: &Target,
        version: &Version,
        at: &mut u64,
        end: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ask = Ask {
            range: Some((*at, end - 1)),
            ..Ask::get(target)
        };
        let mut answer = self.exchange(&ask).await?;
        if answer.response.status() != 206 {
            return Err(store::failure(&ask, answer).await);
        }
        answer.check_encoding()?;
        match Version::of(&answer.response) {
            Some((found, _)) if found != *version => {
                return Err(Error::Changed { url: answer.from });
            }
            Some((_, first)) if first == *at => {}
            _ => return Err(answer.strange("it sends another part than was asked for")),
        }
        let before = *at;
        while let Some(chunk) = answer.chunk().await? {
            let wanted = usize::try_from(end - *at).unwrap_or(usize::MAX);
            let chunk = &chunk[..chunk.len().min(wanted)];
            take(chunk)?;
            *at += chunk.len() as u64;
            if *at == end {
                break;
            }
        }
        match *at > before {
            true => Ok(()),
            false => Err(answer.strange("it sends nothing")),
        }
    }

    /// Waits before the next try: twice as long each time, and not all sessions the same.
    async fn pause(&self, tries: u32) {
        let wait = FIRST_WAIT * (1 << (tries - 1).min(8));
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let jitter = f64::from(now.subsec_nanos() % 1000) / 4000.0;
        tokio::time::sleep(wait.mul_f64(1.0 + jitter)).await;
    }

    async fn request(&mut self, ask: &Ask<'_>, url: &Url) -> Result<Response, Error> {
        let said = || ask.said(url);
        let client = self.client(url, ask.target.store.as_deref()).await;
        let client = client.map_err(|error| error.at(said))?;
        let mut builder = client
            .request(ask.method.clone(), url.clone())
            .header(ACCEPT_ENCODING, "identity");
        if let Some((first, last)) = ask.range {
            builder = builder.header(RANGE, format!("bytes={first}-{last}"));
        }
        if let Some(payload) = ask.payload {
            for (name, value) in &payload.headers {
                builder = builder.header(name, value);
            }
            builder = builder.body(payload.bytes.clone());
        }
        let mut request = builder.build().map_err(|e| Error::Setup(cause(&e)))?;
        if let Some(store) = &ask.target.store {
            store::sign(store, &mut request).await?;
        }
        let answer = client.execute(request).await;
        answer.map_err(|error| failure(said(), &error))
    }

    /// A client that connects to the checked addresses of a URL's host and to no others.
    async fn client(&mut self, url: &Url, store: Option<&Store>) -> Result<Client, Refused> {
        let origin = url.origin().ascii_serialization();
        match &self.client {
            Some((of, client)) if *of == origin => return Ok(client.clone()),
            _ => {}
        }
        let rules = &self.rules;
        let trusted = store.is_some_and(|store| store.trusted);
        let wait = rules.connect_timeout;
        let addresses =
            checked_addresses(url, self.network.lookup, wait, &self.allowed, trusted).await;
        let addresses = addresses.map_err(Refused::By)?;
        let trust = match url.scheme() {
            "https" => (self.network.trust)().map_err(Refused::Trust)?,
            _ => tls::trust_only(RootCertStore::empty())
                .map_err(|reason| Refused::By(Error::Setup(reason)))?,
        };
        let client = Client::builder()
            .user_agent(&rules.user_agent)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .pool_max_idle_per_host(1)
            .connect_timeout(rules.connect_timeout)
            .dns_resolver(Pinned(addresses))
            .tls_backend_preconfigured(trust)
            .build()
            .map_err(|e| Refused::By(Error::Setup(cause(&e))))?;
        self.client = Some((origin, client.clone()));
        Ok(client)
    }
}

/// Why there is no client.
enum Refused {
    By(Error),
    Trust(String),
}

impl Refused {
    fn at(self, said: impl Fn() -> String) -> Error {
        match self {
            Refused::By(error) => error,
            Refused::Trust(reason) => Error::Tls {
                url: said(),
                reason,
            },
        }
    }
}

mod version;
pub(crate) use version::Version;

/// Where the answer sends us next, if anywhere.
fn redirect(ask: &Ask<'_>, here: &Url, response: &Response) -> Result<Option<Url>, Error> {
    let refused = |reason: &str| Error::Redirect {
        url: ask.said(here),
        reason: reason.to_owned(),
    };
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else {
        return match ask.target.store {
            Some(_) => Ok(None), // a store says in the body what is wrong
            None => Err(refused("to nowhere")),
        };
    };
    let next = location.to_str().ok().and_then(|text| here.join(text).ok());
    let mut next = next.ok_or_else(|| refused("to something that is not a URL"))?;
    match (here.scheme(), next.scheme()) {
        ("https", "http") => return Err(refused("from https to plain http, which is refused")),
        (_, "http" | "https") => {}
        _ => return Err(refused("to something other than http or https")),
    }
    if ask.payload.is_some() {
        return Err(refused("a request that writes, which is refused"));
    }
    if ask.target.store.is_some() && here.host() != next.host() {
        return Err(refused(
            "to another host, to which no signed request is sent",
        ));
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

fn failure(url: String, error: &reqwest::Error) -> Error {
    let reason = cause(error);
    if chain(error).any(holds_tls) {
        Error::Tls { url, reason }
    } else if error.is_connect() {
        let reason = match error.is_timeout() {
            true => "no answer in time".to_owned(),
            false => reason,
        };
        Error::Connect { url, reason }
    } else {
        Error::Transfer { url, reason }
    }
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
