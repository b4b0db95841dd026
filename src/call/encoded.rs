//! Recordings that come as text: data: URLs, and what was meant to be decoded first.

use std::sync::Arc;

use data_url::DataUrl;

use crate::errors::Error;

/// Shorter texts are taken for what they seem to be.
const LONG: usize = 120;
/// So much of an encoded recording is shown.
const SHOWN: usize = 40;

/// The bytes of a data: URL (RFC 2397).
///
/// # Errors
/// [`Error::Argument`] for one that cannot be decoded.
pub fn data_url(text: &str) -> Result<Arc<[u8]>, Error> {
    let wrong = || Error::Argument("the data: URL of a recording cannot be decoded".into());
    let url = DataUrl::process(text).map_err(|_| wrong())?;
    let (bytes, _) = url.decode_to_vec().map_err(|_| wrong())?;
    Ok(bytes.into())
}

/// What is wrong with text that is a recording in base64 or hexadecimal.
pub fn bytes_in_text(text: &str) -> Option<Error> {
    let hex = |t: &str| t.len() >= LONG && t.bytes().all(|b| b.is_ascii_hexdigit());
    let error = |kind, how| Error::Encoded {
        kind,
        shown: text.chars().take(SHOWN).collect(),
        how,
    };
    if text.starts_with("\\x") && text.len() >= LONG || hex(text) {
        return Some(error(
            "hexadecimal",
            "decode(x, 'hex'), or x::bytea with \\x before it",
        ));
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || b"+/=\r\n".contains(&b);
    // Paths are as long as that only with separators often and dots or blanks somewhere.
    let long = text.len() >= 2 * LONG && text.bytes().all(known);
    let parts = || text.split(['/', '\n']).map(str::len).max().unwrap_or(0);
    (long && parts() >= 64).then(|| error("base64", "decode(x, 'base64')"))
}

/// How messages show text that names a recording: encoded bytes shortened.
pub fn shown(text: &str) -> String {
    if text.starts_with("data:") || bytes_in_text(text).is_some() {
        let start: String = text.chars().take(SHOWN).collect();
        return format!("{start}…");
    }
    source::redact(text)
}
