//! What a store says when it refuses.

use serde::Deserialize;

use crate::wire::{Answer, Ask};
use crate::{Error, redact};

/// The most that is read of a refusal.
const MOST: usize = 64 << 10;
/// The most that is shown of a store's own words.
const SHOWN: usize = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Refusal {
    code: String,
    message: String,
}

/// The error in an answer that is none of those that were hoped for.
pub(crate) async fn failure(ask: &Ask<'_>, mut answer: Answer) -> Error {
    let status = answer.response.status().as_u16();
    let from = answer.from.clone();
    let plain = || Error::Status {
        url: from.clone(),
        status,
    };
    let Some(store) = ask.target.store.as_deref() else {
        return plain();
    };
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(MOST - body.len())]);
        if body.len() == MOST {
            break;
        }
    }
    let text = String::from_utf8_lossy(&body);
    let refusal: Refusal = quick_xml::de::from_str(&text).unwrap_or_default();
    let code: String = match refusal.code.is_empty() {
        false => refusal.code,
        // An answer to a missing object may have no body.
        true if status == 404 => "NoSuchKey".into(),
        true => return plain(),
    };
    let mut message = refusal.message;
    let keys = store.keys.iter();
    let secrets = keys.flat_map(|keys| [Some(&keys.secret), Some(&keys.id), keys.token.as_ref()]);
    for secret in secrets.flatten().filter(|s| !s.reveal().is_empty()) {
        message = message.replace(secret.reveal(), "…");
    }
    Error::Store {
        url: from.clone(),
        status,
        code: printable(&code, 64),
        message: printable(&redact(&message), SHOWN),
    }
}

/// A store's words on one line.
fn printable(text: &str, most: usize) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(most).collect::<String>().trim().to_owned()
}

/// What to do about a store's code.
pub(crate) fn advice(code: &str, message: &str) -> Option<&'static str> {
    Some(match code {
        "NoSuchKey" => {
            "Keys are case-sensitive and are taken as they are written: nothing in an oss:// or s3:// URL is percent-decoded. ai_audio_list shows what there is."
        }
        "NoSuchBucket" => "Check the bucket's name, and the endpoint and region of its server.",
        "SignatureDoesNotMatch" => {
            "The access key's secret is not the one of its ID, or a proxy changes requests. Set it anew: ALTER USER MAPPING ... OPTIONS (SET access_key_secret ...)."
        }
        "InvalidAccessKeyId" => {
            "The access key's ID is unknown or disabled, or it is a temporary one that needs its security_token."
        }
        "ExpiredToken" | "SecurityTokenExpired" | "TokenRefreshRequired" => {
            "The security token has expired: get a new temporary key and set all three: access_key_id, access_key_secret and security_token."
        }
        "InvalidToken" | "InvalidSecurityToken" | "InvalidClientTokenId" => {
            "The security token does not belong to this access key: the three of a temporary key change together."
        }
        "RequestTimeTooSkewed" | "RequestExpired" => {
            "The clock of the database server is wrong by more than 15 minutes: stores refuse such signatures. Set it by NTP."
        }
        "AccessDenied" if message.contains("endpoint") => {
            "The bucket is in another region: set option \"endpoint\" (or \"region\") of the server."
        }
        "AccessDenied" => {
            "The access key lacks the right (GetObject to read, ListBucket to list, PutObject to write), or none was given: without a user mapping, requests are anonymous."
        }
        "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" => {
            "The bucket is in another region: set option \"region\" (and \"endpoint\") of the server."
        }
        "InvalidObjectState" => "The object is archived: restore it in the store first.",
        "SlowDown" | "ServiceUnavailable" | "InternalError" => {
            "The store is busy or broken, and several tries did not help. Try later, with fewer sessions at once."
        }
        _ => return None,
    })
}
