use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderValue, LAST_MODIFIED};

/// What tells one version of a remote file from another.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Bytes.
    pub(crate) total: u64,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
}

impl Version {
    /// Of which version an answer with status 206 is a part, and its first byte; `None` if it does not tell.
    pub(crate) fn of(response: &Response) -> Option<(Self, u64)> {
        let headers = response.headers();
        let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
        let (part, total) = range.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, _) = part.split_once('-')?;
        let version = Self {
            total: total.trim().parse().ok()?,
            etag: headers.get(ETAG).cloned(),
            modified: headers.get(LAST_MODIFIED).cloned(),
        };
        Some((version, first.trim().parse().ok()?))
    }
}
