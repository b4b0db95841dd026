use std::fmt;
use std::path::PathBuf;

use url::{Host, Url};

use crate::Error;
use crate::redact::{redact, redact_unreadable};
use crate::store::Kind;

/// Linux's PATH_MAX without the closing NUL.
const MAX_PATH: usize = 4095;
/// Presigned URLs with session tokens reach 4 kB.
const MAX_URL: usize = 16 * 1024;

/// Where a recording lies.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// An absolute path on the server.
    File(PathBuf),
    /// An `http` or `https` URL, secrets included: print it through [`redact()`] only.
    Url(Url),
    /// An object of a store. Its key is taken as it is written: nothing in it is percent-decoded.
    Object {
        /// The store's protocol.
        kind: Kind,
        /// The bucket.
        bucket: String,
        /// The key; empty where only a bucket is named.
        key: String,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(&redact(url.as_str())),
            Self::Object { kind, bucket, key } => write!(f, "{}://{bucket}/{key}", kind.name()),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

/// Whether `text` looks like something that names a recording, and not like a name or a JSON object.
pub fn looks_like_one(text: &str) -> bool {
    !text.trim_start().starts_with('{') && (text.contains('/') || text.starts_with("data:"))
}

/// Reads `text` as an absolute path, a `file://` URI, an `http(s)://` URL, or `oss://bucket/key` and `s3://bucket/key`.
///
/// A path is taken literally. A `file` URI is percent-decoded and must name no other host, query or
/// fragment (RFC 8089).
///
/// # Errors
/// [`Error::Relative`], [`Error::UnknownScheme`], or [`Error::Malformed`] for an empty, overlong or
/// unreadable text.
pub fn parse(text: &str) -> Result<Location, Error> {
    let malformed = |reason: &str| Error::Malformed {
        source_text: redact_unreadable(text),
        reason: reason.to_owned(),
    };
    if text.is_empty() {
        return Err(malformed("it is empty"));
    }
    if text.contains('\0') {
        return Err(malformed("it contains a NUL byte"));
    }
    if text.starts_with('/') {
        return path(text.into()).map_err(malformed);
    }
    let Some((scheme, rest)) = scheme(text) else {
        return Err(Error::Relative {
            path: redact_unreadable(text),
        });
    };
    if text.len() > MAX_URL {
        return Err(malformed("it is longer than 16384 bytes"));
    }
    if text.contains(char::is_control) {
        return Err(malformed("it contains a control character"));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "file" => file_uri(text).map_err(malformed),
        "http" | "https" if rest.starts_with("//") => web(text).map_err(|e| malformed(&e)),
        "http" | "https" => Err(malformed("two slashes must follow the scheme")),
        "oss" | "s3" if rest.starts_with("//") => object(scheme, &rest[2..]).map_err(malformed),
        known if rest.starts_with("//") || known == "data" => Err(Error::UnknownScheme {
            scheme: known.to_owned(),
        }),
        _ => Err(Error::Relative {
            path: redact_unreadable(text),
        }),
    }
}

/// Splits off an RFC 3986 scheme; a longer word before a colon is part of a file's name.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let plausible = scheme.len() <= 16
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    plausible.then_some((scheme, rest))
}

fn path(path: PathBuf) -> Result<Location, &'static str> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.contains(&0) {
        return Err("it contains a NUL byte");
    }
    if bytes.len() > MAX_PATH {
        return Err("the path is longer than 4095 bytes");
    }
    Ok(Location::File(path))
}

fn file_uri(text: &str) -> Result<Location, &'static str> {
    // The URL standard turns backslashes of file URIs into slashes: that would be another file.
    if text.contains('\\') {
        return Err("a backslash in a file URI must be written %5C");
    }
    let url = Url::parse(text).map_err(|_| "it is not a readable file URI")?;
    if !matches!(url.host(), None | Some(Host::Domain("localhost"))) {
        return Err("a file URI must not name a host: write file:/// and the absolute path");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("in a file URI, ? must be written %3F and # must be written %23");
    }
    let absolute = text.get(5..).is_some_and(|rest| rest.starts_with('/'));
    match url.to_file_path() {
        Ok(decoded) if absolute => path(decoded),
        _ => Err("a file URI needs an absolute path, as in file:///srv/audio/call.wav"),
    }
}

fn object(scheme: &str, rest: &str) -> Result<Location, &'static str> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    if bucket.is_empty() || !bucket.bytes().all(ok) {
        return Err("a bucket's name has letters, digits, dots, hyphens and underscores");
    }
    let kind = Kind::of(scheme).ok_or("it is of no store")?;
    Ok(Location::Object {
        kind,
        bucket: bucket.to_owned(),
        key: key.to_owned(),
    })
}

fn web(text: &str) -> Result<Location, String> {
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    match url.host() {
        Some(_) => Ok(Location::Url(url)),
        None => Err("it names no host".to_owned()),
    }
}
