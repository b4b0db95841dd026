//! `ai_audio_store`: a bucket in an object store.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::{Options, Wrapper, any, boolean, optional, printable, required, service_url};
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

fn region(value: &str) -> Result<(), String> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    match value.len() <= 63 && value.bytes().all(ok) {
        true => Ok(()),
        false => Err("expected a region such as 'cn-beijing' or 'us-east-1'".into()),
    }
}

fn endpoint(value: &str) -> Result<(), String> {
    let wrong = "expected a URL without path, user and query, such as 'https://oss-cn-beijing.aliyuncs.com'";
    match service_url(value) {
        Some(url) if url.path() == "/" => Ok(()),
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

/// Validator of the wrapper `ai_audio_store`.
#[pg_extern]
fn ai_audio_store_validator(
    options: pgrx::Array<&str>,
    catalog: pg_sys::Oid,
) -> Result<(), ErrorReport> {
    let options = options.iter().flatten();
    Ok(STORE.validate(options, catalog).map_err(Error::from)?)
}
