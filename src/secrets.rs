//! Where secrets stand in what users write, and how it is shown without them.

use serde_json::{Map, Value};

/// Options whose values are secrets: keys to object stores.
const NAMES: [&str; 6] = [
    "oss_ak",
    "oss_sk",
    "oss_token",
    "access_key_id",
    "access_key_secret",
    "security_token",
];
/// What stands for a secret.
const HIDDEN: &str = "…";

/// Whether text or a jsonb value may be options with a secret among them.
pub fn in_options(bytes: &[u8]) -> bool {
    let holds = |name: &str| {
        bytes
            .windows(name.len())
            .any(|part| part == name.as_bytes())
    };
    // A name may be written with escapes.
    let escaped = bytes.trim_ascii_start().starts_with(b"{") && bytes.contains(&b'\\');
    escaped || NAMES.iter().any(|name| holds(name))
}

/// Whether text has a URL with a secret in it.
pub fn in_urls(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains("://") && source::redact(&text) != text
}

/// Options as they may be shown; what cannot be read as options is not.
pub fn shown_options<E>(options: Result<Map<String, Value>, E>) -> String {
    let Ok(mut options) = options else {
        return format!("{{{HIDDEN}}}");
    };
    for (name, value) in &mut options {
        if NAMES.contains(&name.as_str()) {
            *value = HIDDEN.into();
        } else if let Value::String(text) = value {
            *text = source::redact(text);
        }
    }
    Value::Object(options).to_string()
}
