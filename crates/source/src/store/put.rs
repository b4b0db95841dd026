//! Writing an object.

use std::fmt::Write as _;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::sign::CONTENT_SHA256;
use super::{Kind, failure};
use crate::wire::{Ask, Payload, Session, Stop};
use crate::{Error, FetchRules, Target};

/// Writes an object whole, in place of what was there. The store answers when it has it safely.
///
/// # Errors
/// What the store says, and those of every fetch.
pub fn put(
    target: &Target,
    content: Vec<u8>,
    media_type: &'static str,
    rules: &FetchRules,
    stop: &Stop,
) -> Result<(), Error> {
    let mut headers = vec![(CONTENT_TYPE, HeaderValue::from_static(media_type))];
    if target
        .store
        .as_ref()
        .is_some_and(|store| store.kind == Kind::S3)
    {
        let mut hash = String::new();
        for byte in Sha256::digest(&content) {
            let _ = write!(hash, "{byte:02x}");
        }
        let hash = HeaderValue::from_str(&hash).map_err(|_| Error::Signing)?;
        headers.push((HeaderName::from_static(CONTENT_SHA256), hash));
    }
    let payload = Payload {
        bytes: content.into(),
        headers,
    };
    let ask = Ask {
        method: Method::PUT,
        payload: Some(&payload),
        ..Ask::get(target)
    };
    Session::new(rules)?.run(stop, target, async |wire| {
        wire.retried(async |wire| {
            let answer = wire.exchange(&ask).await?;
            match answer.response.status().as_u16() {
                200 | 201 | 204 => Ok(()),
                _ => Err(failure(&ask, answer).await),
            }
        })
        .await
    })
}
