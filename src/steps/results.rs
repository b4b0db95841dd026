//! Results that go to an object store instead of into the database.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use source::{Location, Stop, Store};

use crate::call::access::Access;
use crate::call::arguments::Source;
use crate::call::privileges::may_write;
use crate::errors::Error;
use crate::{interrupt, settings};

/// How long the URL of a result is valid: a day, as in AnalyticDB's API.
const VALID: Duration = Duration::from_secs(24 * 3600);

/// Writes an object.
///
/// # Errors
/// [`Error::Source`].
pub fn put(store: &Arc<Store>, key: &str, content: Vec<u8>) -> Result<(), Error> {
    let target = store.object(key)?;
    let kind = media_type(key);
    let rules = settings::fetch_rules();
    let stop: Stop = Arc::new(|| interrupt::token().is_cancelled());
    interrupt::run(|_| source::put(&target, content, kind, &rules, &stop))
}

/// What a browser makes of an object, by the end of its name.
fn media_type(key: &str) -> &'static str {
    match key.rsplit_once('.').map(|(_, end)| end) {
        Some("wav") => "audio/wav",
        Some("flac") => "audio/flac",
        Some("mp3") => "audio/mpeg",
        Some("json") => "application/json",
        Some("srt" | "txt" | "vtt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A place for results that the current user may write to.
pub struct Results {
    store: Arc<Store>,
    prefix: String,
}

impl Results {
    /// The place that the option `result` names, else the setting `ai_audio.result_store`. A server of that place is
    /// asked with its own keys, else the place with those of the call.
    ///
    /// # Errors
    /// [`Error::Options`] without a place; [`Error::Privilege`]; [`crate::foreign::Error`].
    pub fn open(option: Option<&str>, access: &Access) -> Result<Self, Error> {
        let set = settings::result_store();
        let Some(place) = option.or(set.as_deref()) else {
            let message = "output_type 'url' needs a place for the document: option \"result\", such as 'oss://bucket/results/', or the \
                           setting ai_audio.result_store";
            return Err(Error::Options(message.into()));
        };
        let Location::Object { kind, bucket, key } = source::parse(place)? else {
            return Err(Error::Options(format!(
                "results go to oss://bucket/prefix/ or s3://bucket/prefix/, not to \"{}\"",
                source::redact(place)
            )));
        };
        may_write()?;
        let prefix = match key.is_empty() || key.ends_with('/') {
            true => key,
            false => key + "/",
        };
        Ok(Self {
            store: access.store_of_results(kind, &bucket, &prefix)?,
            prefix,
        })
    }

    /// Writes a document about a recording and returns a temporary URL for it. Its name is that of the recording and a
    /// hash of the document, so that writing it again changes nothing.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn write(&self, recording: &Source, document: String) -> Result<String, Error> {
        let mut name = format!("{}{}-", self.prefix, stem(recording));
        for byte in &Sha256::digest(document.as_bytes())[..8] {
            let _ = write!(name, "{byte:02x}");
        }
        name.push_str(".json");
        put(&self.store, &name, document.into_bytes())?;
        Ok(self.store.presign(&name, VALID)?.into())
    }
}

/// The last part of a recording's name, in letters that are safe in a file's name.
fn stem(recording: &Source) -> String {
    let Source::Text(text) = recording else {
        return "recording".into();
    };
    let text = source::redact(text);
    let last = text
        .trim_end_matches('…')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let safe = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let stem: String = stem.chars().take(80).map(safe).collect();
    match stem.trim_matches('.').is_empty() {
        true => "recording".into(),
        false => stem,
    }
}
