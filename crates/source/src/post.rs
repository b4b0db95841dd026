use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response};
use url::Url;

use crate::dns::system_lookup;
use crate::fetch::{Network, bounded, check_size, request_failure, transfer_failure};
use crate::hosts::AllowedHosts;
use crate::{Error, FetchRules, Secret, tls};

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

/// Posts JSON to a service, with `key` as its bearer token (RFC 6750).
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
    json: Vec<u8>,
    rules: &FetchRules,
    stop: &AtomicBool,
) -> Result<Reply, Error> {
    let network = Network {
        lookup: system_lookup,
        trust: tls::system_trust,
    };
    let allowed = AllowedHosts::new(&rules.allowed_hosts);
    bounded(url, rules, stop, async {
        let client = network.client(url, rules, &allowed).await?;
        let response = send(client, url, key, json).await?;
        receive(url, response, rules, stop).await
    })
}

async fn send(
    client: Client,
    url: &Url,
    key: Option<&Secret>,
    json: Vec<u8>,
) -> Result<Response, Error> {
    let mut request = client
        .post(url.clone())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .header(ACCEPT_ENCODING, "identity")
        .body(json);
    if let Some(key) = key {
        let token = HeaderValue::from_str(&format!("Bearer {}", key.reveal()));
        let wrong = |_| Error::Setup("the key has letters that no HTTP header may have".into());
        let mut token = token.map_err(wrong)?;
        token.set_sensitive(true);
        request = request.header(reqwest::header::AUTHORIZATION, token);
    }
    request.send().await.map_err(|e| request_failure(url, &e))
}

async fn receive(
    url: &Url,
    mut response: Response,
    rules: &FetchRules,
    stop: &AtomicBool,
) -> Result<Reply, Error> {
    check_size(url, response.content_length().unwrap_or(0), rules.max_bytes)?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(pause);
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|e| transfer_failure(url, &e))?
    {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        check_size(url, (body.len() + chunk.len()) as u64, rules.max_bytes)?;
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

    fn post(server: &Server, rules: &FetchRules) -> Result<Reply, Error> {
        let key = Secret::new("sk-secret");
        let url = server.url("/v1/chat/completions");
        post_json(
            &url,
            Some(&key),
            b"{}".to_vec(),
            rules,
            &AtomicBool::new(false),
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
        let (server, stop) = (Server::silent(), AtomicBool::new(false));
        let ended = std::thread::scope(|scope| {
            let (rules, url, stop) = (rules(&server), server.url("/"), &stop);
            let posting = scope.spawn(move || post_json(&url, None, Vec::new(), &rules, stop));
            std::thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
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
            Vec::new(),
            &rules(&server),
            &AtomicBool::new(false),
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
