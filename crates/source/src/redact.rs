use crate::store::Kind;

/// Removes what may be secret from every URL in `text`: user-info, query string and fragment.
///
/// Objects of stores (`oss://bucket/key`, `s3://bucket/key`) are shown whole: keys to them are never part of the text.
/// `text` is a source as a user wrote it, or a message that contains URLs. What was removed leaves
/// an ellipsis. A text that starts like a URL is taken as one URL to its end, blanks included, and
/// what cannot be told apart from a secret (a password with an unescaped `/` or `?`) goes as well,
/// so a rare harmless path is shortened too.
///
/// ```
/// let shown = source::redact("https://me:pw@example.com/a.wav?X-Amz-Signature=1");
/// assert_eq!(shown, "https://…example.com/a.wav…");
/// ```
pub fn redact(text: &str) -> String {
    if names_object(text) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(mark) = rest.find("://") {
        let (before, url) = rest.split_at(mark + 3);
        let whole = out.is_empty() && is_scheme(&before[..mark]);
        let end = if whole {
            url.len()
        } else {
            url.find(ends_url).unwrap_or(url.len())
        };
        out.push_str(before);
        out.push_str(&redact_after_scheme(&url[..end]));
        rest = &url[end..];
    }
    out.push_str(rest);
    out
}

/// Whether it is an object of a store: there a question mark is a letter like any other, and keys stand elsewhere.
fn names_object(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else {
        return false;
    };
    let bucket = rest.split('/').next().unwrap_or_default();
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    Kind::of(scheme).is_some() && bucket.bytes().all(ok) && !rest.contains("://")
}

/// Redacts a text that should have been a source but cannot be read as one.
pub(crate) fn redact_unreadable(text: &str) -> String {
    let shown = match text.split_once("://") {
        Some(_) => redact(text),
        None => redact_after_scheme(text),
    };
    format!("\"{}\"", shorten(&shown).escape_debug())
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`')
}

/// `rest` is a URL without `scheme://`.
fn redact_after_scheme(rest: &str) -> String {
    let shown_to = rest.find(['?', '#']).unwrap_or(rest.len());
    let (shown, hidden) = rest.split_at(shown_to);
    let tail = if hidden.is_empty() { "" } else { "…" };
    if let Some(at) = shown.rfind('@') {
        return format!("…{}{tail}", &shown[at + 1..]);
    }
    let authority = &shown[..shown.find(['/', '\\']).unwrap_or(shown.len())];
    let cut_password = authority.len() == shown.len() && hidden.contains('@');
    if cut_password || !has_plain_port(authority) {
        return "…".to_owned();
    }
    format!("{shown}{tail}")
}

/// Whether what follows the last colon can only be a port; `user:password` without `@` is not.
fn has_plain_port(authority: &str) -> bool {
    if authority.starts_with('[') {
        return authority
            .chars()
            .all(|c| c.is_ascii_hexdigit() || "[]:.".contains(c));
    }
    match authority.split_once(':') {
        None => true,
        Some((_, port)) => port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Keeps messages readable when the text is not.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 200;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
