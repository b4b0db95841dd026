//! What is in a bucket, page by page.

use std::sync::Arc;

use percent_encoding::{AsciiSet, utf8_percent_encode};
use serde::Deserialize;

use super::{KEY, Store, failure};
use crate::wire::{Ask, Session, Stop};
use crate::{Error, FetchRules, Target};

/// The most that one page of a listing may take; a thousand entries are less than 2 MB.
const MOST: usize = 16 << 20;

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, as ISO 8601 in UTC.
    pub modified: String,
    /// Its entity tag, without quotes.
    pub etag: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Page {
    contents: Vec<Entry>,
    is_truncated: bool,
    next_continuation_token: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    key: String,
    last_modified: String,
    #[serde(rename = "ETag")]
    etag: String,
    size: u64,
}

/// As stores write values when they check a signature: all but the unreserved letters of RFC 3986 is encoded.
fn in_query(value: &str) -> String {
    const VALUE: &AsciiSet = &KEY.add(b'/');
    utf8_percent_encode(value, VALUE).to_string()
}

/// The objects of a bucket whose keys begin with a prefix, in the order of their keys.
pub struct Listing {
    store: Arc<Store>,
    prefix: String,
    session: Session,
    next: Option<String>,
    ended: bool,
}

impl Listing {
    /// Begins one; nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Setup`].
    pub fn new(store: Arc<Store>, prefix: String, rules: &FetchRules) -> Result<Self, Error> {
        Ok(Self {
            store,
            prefix,
            session: Session::new(rules)?,
            next: None,
            ended: false,
        })
    }

    /// The next thousand at most; `None` at the end.
    ///
    /// # Errors
    /// What the store says, and those of every fetch.
    pub fn page(&mut self, stop: &Stop) -> Result<Option<Vec<Object>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let mut url = self.store.url("")?;
        let mut query = format!(
            "list-type=2&max-keys=1000&prefix={}",
            in_query(&self.prefix)
        );
        if let Some(next) = &self.next {
            query.push_str(&format!("&continuation-token={}", in_query(next)));
        }
        url.set_query(Some(&query));
        let target = Target {
            url,
            store: Some(Arc::clone(&self.store)),
            shown: self.store.shown(&self.prefix),
        };
        let page: Page = self.session.run(stop, &target, async |wire| {
            wire.retried(async |wire| {
                let ask = Ask::get(&target);
                let mut answer = wire.exchange(&ask).await?;
                if answer.response.status() != 200 {
                    return Err(failure(&ask, answer).await);
                }
                let mut body = Vec::new();
                while let Some(chunk) = answer.chunk().await? {
                    body.extend_from_slice(&chunk);
                    if body.len() > MOST {
                        return Err(answer.strange("its list is longer than 16 MB"));
                    }
                }
                String::from_utf8(body)
                    .ok()
                    .and_then(|text| quick_xml::de::from_str(&text).ok())
                    .ok_or_else(|| answer.strange("its list is not the XML of a store"))
            })
            .await
        })?;
        self.next = page.next_continuation_token.filter(|_| page.is_truncated);
        self.ended = self.next.is_none();
        Ok(Some(
            page.contents
                .into_iter()
                .map(|entry| Object {
                    key: entry.key,
                    size: entry.size,
                    modified: entry.last_modified,
                    etag: entry.etag.trim_matches('"').to_owned(),
                })
                .collect(),
        ))
    }
}
