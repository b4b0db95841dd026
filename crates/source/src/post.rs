use std::time::{Duration, SystemTime};

use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use url::Url;

use crate::wire::{Answer, Ask, Payload, Session, Stop, Target};
use crate::{Error, FetchRules, Secret};

/// What a service answered, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// How long the service wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// Posts JSON to a service, with `key` as its bearer token (RFC 6750), and `more` headers, whose names are in lower case.
///
/// The guard, the limits and the stopping are those of [`fetch()`](crate::fetch()): name the service's own host in
/// [`FetchRules::allowed_hosts`] where an administrator chose it. Redirects are not followed: the key is for this service
/// only. The whole body is held in memory, of at most [`FetchRules::max_bytes`].
///
/// # Errors
/// See [`Error`]; a status other than 200 is none. A key that cannot stand in a header is [`Error::Setup`].
pub fn post_json(
    url: &Url,
    key: Option<&Secret>,
    more: &[(&'static str, &str)],
    json: Vec<u8>,
    rules: &FetchRules,
    stop: &Stop,
) -> Result<Reply, Error> {
    let plain = HeaderValue::from_static("application/json");
    let mut headers = vec![(CONTENT_TYPE, plain.clone()), (ACCEPT, plain)];
    if let Some(key) = key {
        headers.push((AUTHORIZATION, bearer(key)?));
    }
    for (name, value) in more {
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| Error::Setup(format!("{name} cannot be a header")))?;
        headers.push((HeaderName::from_static(name), value));
    }
    let payload = Payload {
        bytes: json.into(),
        headers,
    };
    let target = Target::url(url.clone());
    let ask = Ask {
        method: Method::POST,
        payload: Some(&payload),
        ..Ask::get(&target)
    };
    Session::new(rules)?.run(stop, &target, async |wire| {
        let answer = wire.ask(&ask).await?;
        receive(answer, rules, stop).await
    })
}

fn bearer(key: &Secret) -> Result<HeaderValue, Error> {
    let token = HeaderValue::from_str(&format!("Bearer {}", key.reveal()));
    let wrong = |_| Error::Setup("the key has letters that no HTTP header may have".into());
    let mut token = token.map_err(wrong)?;
    token.set_sensitive(true);
    Ok(token)
}

async fn receive(mut answer: Answer, rules: &FetchRules, stop: &Stop) -> Result<Reply, Error> {
    let response = &answer.response;
    answer.check_size(response.content_length().unwrap_or(0), rules.max_bytes)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(pause);
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if stop() {
            return Err(Error::Cancelled);
        }
        answer.check_size((body.len() + chunk.len()) as u64, rules.max_bytes)?;
        body.extend_from_slice(&chunk);
    }
    Ok(Reply {
        status,
        retry_after,
        body,
    })
}

/// Seconds or a date (RFC 9110, 10.2.3). A date that is over is no time.
fn pause(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let seconds = || text.parse().ok().map(Duration::from_secs);
    let date = || {
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    };
    seconds().or_else(date)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::test_server::{Server, drip, ok};

    fn rules(server: &Server) -> FetchRules {
        FetchRules {
            allowed_hosts: vec![server.address.to_string()],
            max_bytes: 1000,
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            max_redirects: 5,
            spool_dir: None,
            user_agent: "test".into(),
        }
    }

    fn never() -> Stop {
        Arc::new(|| false)
    }

    fn post(server: &Server, rules: &FetchRules) -> Result<Reply, Error> {
        let key = Secret::new("sk-secret");
        let url = server.url("/v1/chat/completions");
        post_json(
            &url,
            Some(&key),
            &[("x-signature", "sha256=00")],
            b"{}".to_vec(),
            rules,
            &never(),
        )
    }

    #[test]
    fn a_request_carries_the_key_and_json() {
        let server = Server::always(ok(b"[]"));
        assert_eq!(post(&server, &rules(&server)).unwrap().body, b"[]");
        let head = server.heads()[0].to_lowercase();
        assert!(
            head.starts_with("post /v1/chat/completions http/1.1"),
            "{head}"
        );
        for line in [
            "authorization: bearer sk-secret",
            "content-type: application/json",
            "content-length: 2",
            "x-signature: sha256=00",
        ] {
            assert!(head.contains(line), "{head}");
        }
    }

    #[test]
    fn every_status_is_an_answer_and_redirects_are_not_followed() {
        let server = Server::always(
            "HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno",
        );
        let reply = post(&server, &rules(&server)).unwrap();
        assert_eq!(
            (reply.status, reply.retry_after, reply.body),
            (302, Some(Duration::from_secs(7)), b"no".to_vec())
        );
        assert_eq!(server.heads().len(), 1);
    }

    #[test]
    fn pauses_are_seconds_or_dates() {
        let of = |text: &'static str| pause(&HeaderValue::from_static(text));
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn what_is_large_or_endless_or_private_is_refused() {
        let server = Server::always(ok(&[b'x'; 2000]));
        assert!(matches!(
            post(&server, &rules(&server)),
            Err(Error::BodyTooLarge { limit: 1000, .. })
        ));
        let strict = FetchRules {
            allowed_hosts: Vec::new(),
            ..rules(&server)
        };
        assert!(matches!(
            post(&server, &strict),
            Err(Error::ForbiddenAddress { .. })
        ));
        let server = Server::start(|_, out| drip(out));
        let short = FetchRules {
            timeout: Duration::from_millis(300),
            ..rules(&server)
        };
        assert!(matches!(post(&server, &short), Err(Error::Timeout { .. })));
    }

    #[test]
    fn a_raised_stop_ends_it() {
        let (server, raised) = (Server::silent(), Arc::new(AtomicBool::new(false)));
        let ended = std::thread::scope(|scope| {
            let (rules, url, seen) = (rules(&server), server.url("/"), Arc::clone(&raised));
            let stop: Stop = Arc::new(move || seen.load(Ordering::Relaxed));
            let posting =
                scope.spawn(move || post_json(&url, None, &[], Vec::new(), &rules, &stop));
            std::thread::sleep(Duration::from_millis(100));
            raised.store(true, Ordering::Relaxed);
            let from = Instant::now();
            assert!(matches!(posting.join().unwrap(), Err(Error::Cancelled)));
            from.elapsed()
        });
        assert!(ended < Duration::from_millis(500), "{ended:?}");
    }

    #[test]
    fn no_error_tells_the_key() {
        let server = Server::always("nonsense");
        let key = Secret::new("sk-secret\n");
        let wrong = post_json(
            &server.url("/"),
            Some(&key),
            &[],
            Vec::new(),
            &rules(&server),
            &never(),
        );
        let broken = post(&server, &rules(&server));
        for error in [wrong.unwrap_err(), broken.unwrap_err()] {
            assert!(
                !format!("{error} {error:?}").contains("sk-secret"),
                "{error:?}"
            );
        }
    }
}
