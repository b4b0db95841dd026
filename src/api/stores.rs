//! `ai_audio_list`, `ai_audio_put`, `ai_audio_presign`: what is in an object store, writing to it, and lending it.

use std::sync::Arc;
use std::time::Duration;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use source::{Kind, Listing, Location, MAX_PRESIGN, Object, Stop};

use crate::call::access::{Access, Written};
use crate::call::arguments::Args;
use crate::call::options;
use crate::call::privileges::may_write;
use crate::errors::Error;
use crate::steps::results;
use crate::{interrupt, settings};

/// How long a temporary URL is valid unless asked otherwise: an hour.
const VALID: i32 = 3600;

/// An object's place in SQL: `oss://bucket/key` or `s3://bucket/key`.
struct Named {
    kind: Kind,
    bucket: String,
    key: String,
}

impl Named {
    fn read(text: &str) -> Result<Self, Error> {
        match source::parse(text)? {
            Location::Object { kind, bucket, key } => Ok(Self { kind, bucket, key }),
            _ => Err(Error::Argument(format!(
                "expected oss://bucket/key or s3://bucket/key, found \"{}\"",
                source::redact(text)
            ))),
        }
    }

    /// As [`Named::read`], for what must be an object.
    fn object(text: &str) -> Result<Self, Error> {
        let named = Self::read(text)?;
        match named.key.is_empty() {
            true => Err(Error::Argument(format!(
                "\"{text}\" names a bucket, not an object in it"
            ))),
            false => Ok(named),
        }
    }
}

fn access(args: &Args, index: usize) -> Result<Access, Error> {
    options::own::<Written>(args.maybe_options(index)?)?.checked()
}

fn stop() -> Stop {
    Arc::new(|| interrupt::token().is_cancelled())
}

/// `ai_audio_list(prefix [, options])`: the objects whose names begin so, a row each, a thousand at a time.
#[pg_extern]
fn ai_audio_list(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(url, String),
            name!(size, i64),
            name!(modified, Option<TimestampWithTimeZone>),
            name!(etag, String),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (prefix, options) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    let listing = begin(&args)?;
    Ok(TableIterator::new(listing.into_iter().flat_map(rows)))
}

fn begin(args: &Args) -> Result<Option<(String, Listing)>, Error> {
    if args.is_null(0) {
        return Ok(None);
    }
    let named = Named::read(&args.text(0)?)?;
    let store = access(args, 1)?.store(named.kind, &named.bucket, &named.key)?;
    let root = store.shown("");
    let listing = Listing::new(store, named.key, &settings::fetch_rules())?;
    Ok(Some((root, listing)))
}

fn rows(
    (root, mut listing): (String, Listing),
) -> impl Iterator<Item = (String, i64, Option<TimestampWithTimeZone>, String)> {
    let pages = std::iter::from_fn(move || match interrupt::run(|_| listing.page(&stop())) {
        Ok(page) => page,
        Err(error) => {
            ErrorReport::from(error).report(PgLogLevel::ERROR);
            None
        }
    });
    pages.flatten().map(move |object: Object| {
        (
            format!("{root}{}", object.key),
            i64::try_from(object.size).unwrap_or(i64::MAX),
            object.modified.parse().ok(),
            object.etag,
        )
    })
}

/// `ai_audio_put(url, content [, options])`: writes an object, and returns its name.
#[pg_extern]
fn ai_audio_put(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<String>, ErrorReport> {
    // SAFETY: declared as (url, content, options) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    Ok(write(&args)?)
}

fn write(args: &Args) -> Result<Option<String>, Error> {
    if args.is_null(0) || args.is_null(1) {
        return Ok(None);
    }
    let url = args.text(0)?;
    let named = Named::object(&url)?;
    may_write()?;
    let store = access(args, 2)?.store(named.kind, &named.bucket, &named.key)?;
    results::put(&store, &named.key, args.get::<&[u8]>(1)?.to_vec())?;
    Ok(Some(url))
}

/// `ai_audio_presign(url [, seconds [, options]])`: a URL with which everybody can read an object for a while.
#[pg_extern]
fn ai_audio_presign(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<String>, ErrorReport> {
    // SAFETY: declared as (url, seconds, options) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    Ok(presign(&args)?)
}

fn presign(args: &Args) -> Result<Option<String>, Error> {
    if args.is_null(0) {
        return Ok(None);
    }
    let named = Named::object(&args.text(0)?)?;
    let seconds = match args.is_null(1) {
        true => VALID,
        false => args.get::<i32>(1)?,
    };
    let longest = MAX_PRESIGN.as_secs();
    let valid = u64::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=longest).contains(seconds))
        .ok_or_else(|| {
            Error::Argument(format!(
                "a temporary URL is valid for 1 to {longest} seconds, not {seconds}"
            ))
        })?;
    let store = access(args, 2)?.store(named.kind, &named.bucket, &named.key)?;
    let url = store.presign(&named.key, Duration::from_secs(valid))?;
    Ok(Some(url.into()))
}
