//! Telling a client that its job is done: a POST to the URL that it gave, signed.
//!
//! The URL came with a request, so it is as untrusted as a recording's: it goes through the same guard. It is not stored,
//! and it is in no message, since it may hold a secret.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use source::{FetchRules, Stop, Url};

use crate::App;
use crate::config::Config;
use crate::error::ApiError;
use crate::keys::Key;

/// Where the signature stands: `sha256=` and the HMAC-SHA256 of the body in hexadecimal.
pub const SIGNATURE: &str = "x-ai-audio-signature";
/// Waits before the further tries, seconds.
const WAITS: [u64; 4] = [1, 5, 25, 125];
/// One try takes at most so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest URL.
const MAX_URL: usize = 2048;
/// An answer above this is left out of the body: the receiver asks for the job.
pub const MAX_ANSWER: usize = 1 << 20;
/// The most that is read of what the receiver says.
const MAX_REPLY: u64 = 64 << 10;

/// Who is told when a job is done.
pub struct Callback(Url);

impl Callback {
    /// Judges what a request asks for.
    ///
    /// # Errors
    /// 400.
    pub fn asked(url: Option<&str>, asynchronous: bool) -> Result<Option<Self>, ApiError> {
        let Some(text) = url else { return Ok(None) };
        if !asynchronous {
            return Err(ApiError::bad("callback_url goes with \"async\": true"));
        }
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && text.len() <= MAX_URL
        });
        let wrong = "callback_url must be an http or https URL of at most 2048 bytes";
        url.map(|url| Some(Self(url))).ok_or(ApiError::bad(wrong))
    }

    /// Posts until the receiver takes it, or enough is enough; how that went, for the job's row.
    pub async fn deliver(self, app: &Arc<App>, key: &Key, body: String) -> String {
        let rules = rules(&app.config);
        let secret = app.config.callback_secret.as_deref();
        let signature = sign(secret.unwrap_or(&key.secret_hash), body.as_bytes());
        let mut waits = WAITS.iter().map(|seconds| Duration::from_secs(*seconds));
        loop {
            let failed = match post(&self.0, &rules, &signature, &body).await {
                Ok(200..=299) => {
                    crate::metrics::callback("delivered");
                    return "delivered".into();
                }
                Ok(status) => (format!("HTTP status {status}"), is_passing(status)),
                Err(error) => (reason(&error).into(), !is_final(&error)),
            };
            let (reason, again) = failed;
            match waits.next().filter(|_| again) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => {
                    crate::metrics::callback("failed");
                    return format!("failed: {reason}");
                }
            }
        }
    }
}

/// `sha256=` and the HMAC-SHA256 (RFC 2104) of a body in hexadecimal.
pub fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key may have any length");
    mac.update(body);
    let code = mac.finalize().into_bytes();
    let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn rules(config: &Config) -> FetchRules {
    FetchRules {
        allowed_hosts: config.callback_hosts.clone(),
        max_bytes: MAX_REPLY,
        timeout: PATIENCE,
        connect_timeout: PATIENCE / 2,
        max_redirects: 0,
        spool_dir: None,
        user_agent: concat!("ai_audio_server/", env!("CARGO_PKG_VERSION")).into(),
    }
}

/// Raises a flag when the job's task is dropped, so that no thread is left behind.
struct Raise(Arc<AtomicBool>);

impl Drop for Raise {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn post(
    url: &Url,
    rules: &FetchRules,
    signature: &str,
    body: &str,
) -> Result<u16, source::Error> {
    let raise = Raise(Arc::default());
    let raised = Arc::clone(&raise.0);
    let stop: Stop = Arc::new(move || raised.load(Ordering::Relaxed));
    let (url, rules) = (url.clone(), rules.clone());
    let (signature, body) = (signature.to_owned(), body.as_bytes().to_vec());
    let posting = tokio::task::spawn_blocking(move || {
        let headers = [(SIGNATURE, signature.as_str())];
        source::post_json(&url, None, &headers, body, &rules, &stop).map(|reply| reply.status)
    });
    let outcome = posting.await;
    drop(raise);
    outcome.unwrap_or(Err(source::Error::Cancelled))
}

/// Whether a receiver that answers so may take it later.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// Whether another try would end the same.
fn is_final(error: &source::Error) -> bool {
    use source::Error::{BodyTooLarge, Cancelled, ForbiddenAddress, Setup};
    matches!(
        error,
        Cancelled | ForbiddenAddress { .. } | BodyTooLarge { .. } | Setup(_)
    )
}

/// What went wrong, in words that hold nothing of the URL.
fn reason(error: &source::Error) -> &'static str {
    use source::Error::{BodyTooLarge, Connect, ForbiddenAddress, Resolve, Timeout, Tls};
    match error {
        ForbiddenAddress { .. } => {
            "the host has no public address, and the setting callback_hosts does not name it"
        }
        Resolve { .. } => "the host has no address",
        Connect { .. } => "no connection",
        Tls { .. } => "no trusted TLS connection",
        Timeout { .. } => "no answer in time",
        BodyTooLarge { .. } => "the answer is longer than 64 kB",
        _ => "the answer is not HTTP, or broke off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        assert_eq!(
            sign("Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn only_jobs_call_back_and_only_the_web() {
        assert!(matches!(Callback::asked(None, false), Ok(None)));
        assert!(matches!(
            Callback::asked(Some("https://example.com/done?t=1"), true),
            Ok(Some(_))
        ));
        for (url, asynchronous) in [
            ("https://example.com/", false),
            ("file:///etc/passwd", true),
            ("example.com", true),
        ] {
            assert!(Callback::asked(Some(url), asynchronous).is_err(), "{url}");
        }
    }
}
