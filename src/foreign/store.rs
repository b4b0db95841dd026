//! `ai_audio_store`: a bucket in an object store.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use source::{Keys, Kind, Place, Url};

use super::{
    Options, Server, Wrapper, any, as_bool, boolean, optional, printable, required, service_url,
};
use crate::errors::Error;

/// The wrapper whose servers are buckets.
pub static STORE: Wrapper = Wrapper {
    name: "ai_audio_store",
    server: &[
        required("kind", kind),
        required("bucket", bucket),
        optional("endpoint", endpoint),
        optional("region", region),
        optional("path_style", boolean),
        optional("prefix", any),
    ],
    mapping: &[
        optional("access_key_id", printable),
        optional("access_key_secret", printable),
        optional("security_token", printable),
    ],
    together,
};

fn kind(value: &str) -> Result<(), String> {
    match value {
        "oss" | "s3" => Ok(()),
        _ => Err(format!("expected 'oss' or 's3', found '{value}'")),
    }
}

fn bucket(value: &str) -> Result<(), String> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    match value.len() <= 255 && value.bytes().all(ok) && !value.starts_with('.') {
        true => Ok(()),
        false => Err("a bucket's name has letters, digits, dots, hyphens and underscores".into()),
    }
}

pub fn region(value: &str) -> Result<(), String> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    match value.len() <= 63 && value.bytes().all(ok) {
        true => Ok(()),
        false => Err("expected a region such as 'cn-beijing' or 'us-east-1'".into()),
    }
}

fn endpoint(value: &str) -> Result<(), String> {
    url(value).map(drop)
}

/// Reads an endpoint.
///
/// # Errors
/// What is wrong with it.
pub fn url(value: &str) -> Result<Url, String> {
    let wrong = "expected a URL without path, user and query, such as 'https://oss-cn-beijing.aliyuncs.com'";
    match service_url(value) {
        Some(url) if url.path() == "/" => Ok(url),
        _ => Err(wrong.into()),
    }
}

fn together(options: &Options) -> Result<(), String> {
    match (
        options.get("kind"),
        options.get("endpoint"),
        options.get("region"),
    ) {
        (Some("oss"), None, None) => {
            Err("a server of kind 'oss' needs option \"endpoint\" or \"region\"".into())
        }
        _ => Ok(()),
    }
}

/// Whether a server is of this bucket, and of the part of it that the key is in.
pub fn serves(options: &Options, kind: Kind, bucket: &str, key: &str) -> bool {
    let prefix = options.get("prefix").unwrap_or_default();
    options.get("kind") == Some(kind.name())
        && options.get("bucket") == Some(bucket)
        && key.starts_with(prefix.trim_start_matches('/'))
}

/// What a server is of, as a URL.
pub fn shown(options: &Options) -> String {
    let get = |name| options.get(name).unwrap_or_default();
    let prefix = get("prefix").trim_start_matches('/');
    format!("{}://{}/{prefix}", get("kind"), get("bucket"))
}

/// Where a server's bucket is.
///
/// # Errors
/// Of the validator, which has let none pass.
pub fn place(options: &Options) -> Result<Place, Error> {
    let wrong = |_| Error::Internal("a server's options were not validated".into());
    Ok(Place {
        kind: options
            .get("kind")
            .and_then(Kind::of)
            .ok_or_else(|| wrong(String::new()))?,
        bucket: options.get("bucket").unwrap_or_default().into(),
        endpoint: options
            .get("endpoint")
            .map(url)
            .transpose()
            .map_err(wrong)?,
        region: options.get("region").map(Into::into),
        path_style: options.get("path_style").and_then(as_bool),
        trusted: true,
    })
}

/// The keys in the current user's mapping, or that of PUBLIC; `None` where there are none: the bucket is then asked
/// anonymously.
///
/// # Errors
/// [`super::Error::HalfKey`].
pub fn keys(server: &Server) -> Result<Option<Keys>, Error> {
    let mapping = server.mapping();
    let get = |name| mapping.get(name).cloned();
    match (
        get("access_key_id"),
        get("access_key_secret"),
        get("security_token"),
    ) {
        (Some(id), Some(secret), token) => Ok(Some(Keys { id, secret, token })),
        (None, None, None) => Ok(None),
        _ => Err(super::Error::HalfKey(server.name.clone()).into()),
    }
}

/// Validator of the wrapper `ai_audio_store`.
#[pg_extern]
fn ai_audio_store_validator(
    options: pgrx::Array<&str>,
    catalog: pg_sys::Oid,
) -> Result<(), ErrorReport> {
    let options = options.iter().flatten();
    Ok(STORE.validate(options, catalog).map_err(Error::from)?)
}
