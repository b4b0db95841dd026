//! Object stores: where a bucket is, how its objects are addressed, and what may be done with them.
//!
//! Alibaba Cloud's OSS and Amazon's S3 with all that speak like it. Requests are signed by `reqsign` and sent by the
//! same guarded client as every other fetch.

mod answer;
mod list;
mod put;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Host, Url};

pub(crate) use answer::{advice, failure};
pub use list::{Listing, Object};
pub use put::put;
pub(crate) use sign::sign;

use crate::{Error, Secret, Target};

/// Longest key: both stores have the same limit.
const MAX_KEY: usize = 1024;
/// The longest that a temporary URL may be valid: both stores' limit for signatures of version 4.
pub const MAX_PRESIGN: Duration = Duration::from_secs(7 * 24 * 3600);
/// RFC 3986's unreserved characters, and the slash between the parts of a key.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The protocol of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Alibaba Cloud Object Storage Service.
    Oss,
    /// Amazon S3, and others that speak like it.
    S3,
}

impl Kind {
    /// As the scheme of a URL.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Oss => "oss",
            Kind::S3 => "s3",
        }
    }

    /// The other way round.
    pub fn of(name: &str) -> Option<Self> {
        [Kind::Oss, Kind::S3]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// An access key, maybe a temporary one with its token.
#[derive(Clone)]
pub struct Keys {
    /// AccessKey ID. It is not secret by itself, and nobody else's business.
    pub id: Secret,
    /// AccessKey secret.
    pub secret: Secret,
    /// Security token (STS), if the key is temporary.
    pub token: Option<Secret>,
}

/// What makes a [`Store`].
pub struct Place {
    /// Its protocol.
    pub kind: Kind,
    /// Its bucket.
    pub bucket: String,
    /// Where it answers: scheme, host and port. Without it the provider's endpoint of the region.
    pub endpoint: Option<Url>,
    /// Its region; where there is none, that in the endpoint's name.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: Option<bool>,
    /// Whether an administrator named the endpoint: then it may have a private address.
    pub trusted: bool,
}

/// A bucket that is asked with certain keys, or anonymously.
#[derive(Clone)]
pub struct Store {
    pub(crate) kind: Kind,
    pub(crate) bucket: String,
    pub(crate) endpoint: Url,
    pub(crate) region: Option<String>,
    pub(crate) path_style: bool,
    pub(crate) trusted: bool,
    pub(crate) keys: Option<Keys>,
}

impl Store {
    /// A bucket at its place.
    ///
    /// # Errors
    /// [`Error::Place`] where an OSS bucket has neither endpoint nor region, or the names make no URL.
    pub fn new(place: Place, keys: Option<Keys>) -> Result<Self, Error> {
        let Place { kind, bucket, .. } = place;
        let region = place
            .region
            .or_else(|| region_in(kind, place.endpoint.as_ref()?.host_str()?));
        let given = place.endpoint.is_some();
        let endpoint = match place.endpoint {
            Some(endpoint) => endpoint,
            None => default_endpoint(kind, region.as_deref())?,
        };
        let host = endpoint.host().ok_or_else(|| wrong("it has no host"))?;
        let path_style = place
            .path_style
            .unwrap_or_else(|| default_path_style(kind, &bucket, &host, given));
        let store = Self {
            kind,
            bucket,
            region,
            path_style,
            trusted: place.trusted,
            keys,
            endpoint,
        };
        store.url("")?; // so that no later one fails for the bucket's name
        Ok(store)
    }

    /// The store that an `https` URL of a provider's leads to, to ask it with these keys; `None` if it is none.
    ///
    /// Known are `BUCKET.oss-REGION.aliyuncs.com` and `BUCKET.s3.REGION.amazonaws.com` (and S3's other spellings).
    pub fn of_url(url: &Url, region: Option<String>, keys: Keys) -> Option<Self> {
        let host = url.host_str()?;
        let (kind, bucket, path_style) = bucket_of(host, url)?;
        let region = region.or_else(|| region_in(kind, host));
        Some(Self {
            kind,
            bucket,
            endpoint: url.clone(),
            region,
            path_style,
            trusted: false,
            keys: Some(keys),
        })
    }

    /// The web address of an object; of the bucket itself for an empty key.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a key that no URL can name.
    pub(crate) fn url(&self, key: &str) -> Result<Url, Error> {
        let refuse = |reason: &str| Error::Malformed {
            source_text: format!("\"{}\"", self.shown(key)),
            reason: reason.into(),
        };
        if key.len() > MAX_KEY {
            return Err(refuse("its key is longer than 1024 bytes"));
        }
        if key.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(refuse("a part of its key is \".\" or \"..\""));
        }
        let path = utf8_percent_encode(key, KEY);
        let mut text = String::from(self.endpoint.scheme());
        text.push_str("://");
        if !self.path_style {
            text.push_str(&self.bucket);
            text.push('.');
        }
        text.push_str(self.endpoint.host_str().unwrap_or_default());
        if let Some(port) = self.endpoint.port() {
            text.push_str(&format!(":{port}"));
        }
        text.push('/');
        if self.path_style {
            text.push_str(&self.bucket);
            text.push('/');
        }
        text.push_str(&path.to_string());
        Url::parse(&text).map_err(|_| wrong("bucket and endpoint make no host name"))
    }

    /// All that decides what this store answers to a request, keys included.
    pub(crate) fn identify(&self, add: &mut impl FnMut(&str)) {
        for text in [self.kind.name(), &self.bucket, self.endpoint.as_str()] {
            add(text);
        }
        for flag in [self.path_style, self.trusted, self.keys.is_some()] {
            add(if flag { "yes" } else { "no" });
        }
        add(self.region.as_deref().unwrap_or_default());
        if let Some(Keys { id, secret, token }) = &self.keys {
            for key in [Some(id), Some(secret), token.as_ref()] {
                add(key.map_or("", Secret::reveal));
            }
        }
    }

    /// How messages name an object: `oss://bucket/key`.
    pub fn shown(&self, key: &str) -> String {
        format!("{}://{}/{key}", self.kind.name(), self.bucket)
    }

    /// A temporary URL with which everybody can read the object.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a key that no URL can name; [`Error::Anonymous`] without keys.
    pub fn presign(&self, key: &str, valid: Duration) -> Result<Url, Error> {
        sign::presign(self, self.url(key)?, valid)
    }

    /// An object as something to fetch.
    ///
    /// # Errors
    /// [`Error::Malformed`] for a key that no URL can name.
    pub fn object(self: &Arc<Self>, key: &str) -> Result<Target, Error> {
        Ok(Target {
            url: self.url(key)?,
            store: Some(Arc::clone(self)),
            shown: self.shown(key),
        })
    }
}

fn wrong(reason: &str) -> Error {
    Error::Place(reason.into())
}

fn default_endpoint(kind: Kind, region: Option<&str>) -> Result<Url, Error> {
    let host = match (kind, region) {
        (Kind::Oss, Some(region)) => format!("oss-{region}.aliyuncs.com"),
        (Kind::Oss, None) => {
            return Err(wrong(
                "an OSS bucket needs an endpoint, such as https://oss-cn-beijing.aliyuncs.com, or a region",
            ));
        }
        (Kind::S3, Some(region)) if region.starts_with("cn-") => {
            format!("s3.{region}.amazonaws.com.cn")
        }
        (Kind::S3, Some(region)) => format!("s3.{region}.amazonaws.com"),
        (Kind::S3, None) => "s3.us-east-1.amazonaws.com".into(),
    };
    Url::parse(&format!("https://{host}")).map_err(|_| wrong("its region makes no host name"))
}

/// The region in the name of a provider's endpoint.
fn region_in(kind: Kind, host: &str) -> Option<String> {
    let name = match kind {
        Kind::Oss => {
            let (before, _) = host.split_once(".aliyuncs.com")?;
            let endpoint = before.rsplit('.').next()?.strip_prefix("oss-")?;
            endpoint.strip_suffix("-internal").unwrap_or(endpoint)
        }
        Kind::S3 => {
            let (before, _) = host.split_once(".amazonaws.com")?;
            let mut parts = before.rsplit('.');
            let last = parts.next()?;
            match last.strip_prefix("s3-") {
                Some(region) => region, // the old spelling
                None if parts.any(|part| part.starts_with("s3")) => last,
                None => return None, // s3.amazonaws.com
            }
        }
    };
    // Not a region: oss-accelerate, s3-accelerate and the like.
    (name.contains('-') && !name.starts_with("accelerate")).then(|| name.to_owned())
}

/// Whether the bucket must stand in the path: an address has no subdomains, a certificate covers no dots, and S3-like
/// stores of one's own seldom have a host name per bucket.
fn default_path_style(kind: Kind, bucket: &str, host: &Host<&str>, given: bool) -> bool {
    let Host::Domain(name) = host else {
        return true;
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let own = kind == Kind::S3 && given && !name.contains(".amazonaws.com");
    own || *name == "localhost" || !bucket.bytes().all(plain)
}

/// Kind and bucket of a provider's URL, and whether the bucket stands in the path.
fn bucket_of(host: &str, url: &Url) -> Option<(Kind, String, bool)> {
    if let Some((before, "" | ".")) = host.split_once(".aliyuncs.com") {
        let (bucket, endpoint) = before.rsplit_once('.')?;
        return endpoint
            .starts_with("oss-")
            .then(|| (Kind::Oss, bucket.to_owned(), false));
    }
    let (before, "" | ".cn") = host.split_once(".amazonaws.com")? else {
        return None;
    };
    let labels: Vec<&str> = before.split('.').collect();
    let endpoint = labels
        .iter()
        .rposition(|label| *label == "s3" || label.starts_with("s3-"))?;
    match endpoint {
        0 => {
            let bucket = url
                .path_segments()?
                .next()
                .filter(|name| !name.is_empty())?;
            Some((Kind::S3, bucket.to_owned(), true))
        }
        _ => Some((Kind::S3, labels[..endpoint].join("."), false)),
    }
}

#[cfg(test)]
mod tests;
