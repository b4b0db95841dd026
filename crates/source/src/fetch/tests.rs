//! Fetching, over a server of ours. Long, because it is a test per promise.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::*;
use crate::Remote;
use crate::dns::Lookup;
use crate::test_server::{Server, drip, ok, redirect_to};
use crate::tls;
use crate::wire::MAX_HEADERS;

/// Long enough that reaching it is a failure of its own, short enough not to hang a run.
const PATIENCE: Duration = Duration::from_secs(20);

fn rules(allowed: &[&str]) -> FetchRules {
    FetchRules {
        allowed_hosts: allowed.iter().map(ToString::to_string).collect(),
        max_bytes: 64 << 20,
        timeout: PATIENCE,
        connect_timeout: PATIENCE,
        max_redirects: 5,
        spool_dir: None,
        user_agent: "ai_audio/test".into(),
    }
}

fn never() -> Stop {
    Arc::new(|| false)
}

fn fetch(url: &Url, rules: &FetchRules, stop: &Stop) -> Result<Body, Error> {
    Network::SYSTEM.fetch(&Target::url(url.clone()), rules, stop)
}

/// Fetches with 127.0.0.1 and localhost allowed.
fn get(url: &Url) -> Result<Body, Error> {
    fetch(url, &rules(&["127.0.0.1", "localhost"]), &never())
}

fn bytes(outcome: Result<Body, Error>) -> Vec<u8> {
    match outcome.unwrap() {
        Body::Bytes(bytes) => bytes,
        other => panic!("a small body went to {other:?}"),
    }
}

/// Fetches, and raises `stop` as soon as the server has the request (or at once, without a server).
fn get_and_stop(network: &Network, url: &Url, server: Option<&Server>) -> Result<Body, Error> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    let stop: Stop = Arc::new(move || raised.load(Ordering::Relaxed));
    let target = Target::url(url.clone());
    thread::scope(|scope| {
        scope.spawn(|| {
            while server.is_some_and(|s| s.heads().is_empty()) {
                thread::sleep(Duration::from_millis(5));
            }
            flag.store(true, Ordering::Relaxed);
        });
        network.fetch(&target, &rules(&["127.0.0.1", "hangs.test"]), &stop)
    })
}

const SYSTEM: Network = Network::SYSTEM;

#[test]
fn a_small_body_is_the_bytes_as_sent() {
    let server = Server::always(ok(b"RIFF"));
    assert_eq!(bytes(get(&server.url("/a.wav"))), b"RIFF");
    let head = server.heads()[0].to_ascii_lowercase();
    assert!(head.starts_with("get /a.wav http/1.1\r\n"));
    assert!(
        head.contains("user-agent: ai_audio/test\r\n")
            && head.contains("accept-encoding: identity\r\n")
    );
    for absent in ["cookie", "referer", "authorization", "gzip"] {
        assert!(!head.contains(absent), "{head}");
    }
}

#[test]
fn an_empty_body_is_no_error_here() {
    assert_eq!(bytes(get(&Server::always(ok(b"")).url("/"))), b"");
}

#[test]
fn chunks_and_bodies_up_to_the_end_of_the_connection_are_joined() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_eq!(bytes(get(&Server::always(chunked).url("/"))), b"abcde");
    assert_eq!(
        bytes(get(&Server::always("HTTP/1.0 200 OK\r\n\r\nabc").url("/"))),
        b"abc"
    );
}

#[test]
fn a_large_body_goes_to_a_file_without_a_name() {
    let body: Vec<u8> = (0..9 << 20).map(|i: u32| (i % 251) as u8).collect();
    let server = Server::always(ok(&body));
    let dir = tempfile::tempdir().unwrap();
    let rules = FetchRules {
        spool_dir: Some(dir.path().join("made")),
        ..rules(&["127.0.0.1"])
    };
    let Body::File(file) = fetch(&server.url("/"), &rules, &never()).unwrap() else {
        panic!("9 MiB stayed in memory");
    };
    assert_eq!(dir.path().join("made").read_dir().unwrap().count(), 0);
    let mut read = vec![0; body.len()];
    file.read_exact_at(&mut read, 0).unwrap();
    assert!(read == body && file.metadata().unwrap().len() == body.len() as u64);
}

#[test]
fn a_spool_directory_that_is_not_there_is_an_error() {
    let server = Server::always(ok(&vec![0; 9 << 20]));
    let rules = FetchRules {
        spool_dir: Some("/does/not/exist".into()),
        ..rules(&["127.0.0.1"])
    };
    let outcome = fetch(&server.url("/"), &rules, &never());
    assert!(matches!(outcome, Err(Error::Spool(_))), "{outcome:?}");
}

#[test]
fn the_limit_on_bytes_holds_with_and_without_a_stated_length() {
    let limited = |server: &Server, max_bytes| {
        let rules = FetchRules {
            max_bytes,
            ..rules(&["127.0.0.1"])
        };
        fetch(&server.url("/"), &rules, &never())
    };
    let stated = Server::always(ok(&[0; 1000]));
    assert!(limited(&stated, 1000).is_ok());
    assert!(matches!(
        limited(&stated, 999),
        Err(Error::BodyTooLarge { limit: 999, .. })
    ));
    let endless = Server::start(|_, out| {
        let _ = out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while out.write_all(b"4\r\nAAAA\r\n").is_ok() {}
    });
    assert!(matches!(
        limited(&endless, 5000),
        Err(Error::BodyTooLarge { .. })
    ));
    let lying = Server::always("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nabc");
    assert!(matches!(
        limited(&lying, u64::MAX / 4),
        Err(Error::BodyTooLarge { .. })
    ));
}

#[test]
fn redirects_are_followed_up_to_the_limit() {
    let server = Server::start(|head, out| {
        let step = head
            .split('/')
            .nth(1)
            .and_then(|s| s.split(' ').next())
            .unwrap_or("");
        let answer = match step.parse::<u32>() {
            Ok(0) => ok(b"arrived"),
            Ok(n) => redirect_to(format!("/{}", n - 1)),
            Err(_) => redirect_to("/loop"),
        };
        drop(out.write_all(&answer));
    });
    assert_eq!(bytes(get(&server.url("/5"))), b"arrived");
    assert!(matches!(
        get(&server.url("/6")),
        Err(Error::TooManyRedirects { limit: 5, .. })
    ));
    assert!(matches!(
        get(&server.url("/loop")),
        Err(Error::TooManyRedirects { .. })
    ));
    let none = FetchRules {
        max_redirects: 0,
        ..rules(&["127.0.0.1"])
    };
    let stop = never();
    assert!(fetch(&server.url("/0"), &none, &stop).is_ok());
    assert!(matches!(
        fetch(&server.url("/1"), &none, &stop),
        Err(Error::TooManyRedirects { limit: 0, .. })
    ));
}

#[test]
fn every_hop_is_checked() {
    let inner = Server::always(ok(b"secret"));
    let outer = Server::always(redirect_to(inner.url("/")));
    let only_outer = rules(&[&outer.address.to_string()]);
    let outcome = fetch(&outer.url("/"), &only_outer, &never());
    assert!(
        matches!(outcome, Err(Error::ForbiddenAddress { .. })),
        "{outcome:?}"
    );
    assert!(inner.heads().is_empty(), "the inner server was called");
}

#[test]
fn a_redirect_leads_to_the_web_or_nowhere() {
    for location in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1/",
        "data:,x",
        "http://",
        "http://[::",
    ] {
        let outcome = get(&Server::always(redirect_to(location)).url("/"));
        assert!(
            matches!(outcome, Err(Error::Redirect { .. })),
            "{location}: {outcome:?}"
        );
    }
    let nowhere = Server::always("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(
        get(&nowhere.url("/")),
        Err(Error::Redirect { .. })
    ));
}

#[test]
fn user_info_stays_with_its_origin() {
    let other = Server::always(ok(b"x"));
    let elsewhere = other.url("/");
    let server = Server::start(move |head, out| {
        let answer = match head.split(' ').nth(1) {
            Some("/same") => redirect_to("/end"),
            Some("/other") => redirect_to(&elsewhere),
            Some("/planted") => redirect_to(elsewhere.as_str().replace("//", "//planted:user@")),
            _ => ok(b"x"),
        };
        drop(out.write_all(&answer));
    });
    let with_user = |path| {
        let mut url = server.url(path);
        url.set_username("me").unwrap();
        url.set_password(Some("pw")).unwrap();
        url
    };
    let basic = "authorization: basic bwu6chc="; // me:pw, lower-cased
    bytes(get(&with_user("/same")));
    assert!(
        server
            .heads()
            .iter()
            .all(|head| head.to_ascii_lowercase().contains(basic))
    );
    bytes(get(&with_user("/other")));
    bytes(get(&with_user("/planted")));
    assert_eq!(other.heads().len(), 2);
    assert!(
        other
            .heads()
            .iter()
            .all(|head| !head.to_ascii_lowercase().contains("authorization"))
    );
}

#[test]
fn stop_ends_a_dripping_a_silent_and_an_unresolving_server() {
    let dripping = Server::start(|_, out| drip(out));
    let outcome = get_and_stop(&SYSTEM, &dripping.url("/"), Some(&dripping));
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    let silent = Server::silent();
    let outcome = get_and_stop(&SYSTEM, &silent.url("/"), Some(&silent));
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");

    static RESOLVED: AtomicBool = AtomicBool::new(false);
    let lookup: Lookup = |_, _| {
        thread::sleep(Duration::from_secs(2));
        RESOLVED.store(true, Ordering::Relaxed);
        Ok(Vec::new())
    };
    let url = Url::parse("http://hangs.test/").unwrap();
    let outcome = get_and_stop(&Network { lookup, ..SYSTEM }, &url, None);
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
    assert!(
        !RESOLVED.load(Ordering::Relaxed),
        "the lookup was waited for"
    );
}

#[test]
fn stop_ends_a_flood() {
    let flood = Server::start(|_, out| {
        let _ = out.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while out.write_all(&[0; 65536]).is_ok() {}
    });
    let outcome = get_and_stop(&SYSTEM, &flood.url("/"), Some(&flood));
    assert!(matches!(outcome, Err(Error::Cancelled)), "{outcome:?}");
}

#[test]
fn time_limits_hold_in_every_phase() {
    let short = |url: &Url, network: &Network| {
        let ms = Duration::from_millis(200);
        let rules = FetchRules {
            timeout: ms,
            ..rules(&["127.0.0.1", "hangs.test", "localhost"])
        };
        network.fetch(&Target::url(url.clone()), &rules, &never())
    };
    let dripping = Server::start(|_, out| drip(out));
    assert!(matches!(
        short(&dripping.url("/"), &SYSTEM),
        Err(Error::Timeout { .. })
    ));
    assert!(matches!(
        short(&Server::silent().url("/"), &SYSTEM),
        Err(Error::Timeout { .. })
    ));
    let tls_never = Url::parse(
        &Server::silent()
            .url("/")
            .as_str()
            .replace("http:", "https:"),
    )
    .unwrap();
    assert!(matches!(
        short(&tls_never, &SYSTEM),
        Err(Error::Timeout { .. })
    ));

    let lookup: Lookup = |_, _| {
        thread::sleep(Duration::from_secs(2));
        Ok(Vec::new())
    };
    let network = Network { lookup, ..SYSTEM };
    let url = Url::parse("http://hangs.test/").unwrap();
    assert!(matches!(short(&url, &network), Err(Error::Timeout { .. })));
    let connect_limit = FetchRules {
        connect_timeout: Duration::from_millis(50),
        ..rules(&[])
    };
    let outcome = network.fetch(&Target::url(url.clone()), &connect_limit, &never());
    assert!(matches!(outcome, Err(Error::Resolve { .. })), "{outcome:?}");
}

#[test]
fn other_answers_are_errors_that_say_so() {
    for (status, word) in [
        (404, "not found"),
        (403, "forbidden"),
        (503, "remote server failed"),
        (206, "206"),
        (204, "204"),
    ] {
        let server = Server::always(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"));
        let message = get(&server.url("/")).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
    let zipped =
        Server::always("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx");
    assert!(matches!(get(&zipped.url("/")), Err(Error::Encoded { .. })));
    let headers = "X: y\r\n".repeat(MAX_HEADERS + 1);
    let garbage = [
        b"\x16\x03\x01 not http at all".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n".to_vec(),
        format!("HTTP/1.1 200 OK\r\n{headers}\r\n").into_bytes(),
        Vec::new(),
    ];
    for answer in garbage {
        let outcome = get(&Server::always(answer).url("/"));
        assert!(
            matches!(outcome, Err(Error::Transfer { .. })),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_endless_head_is_refused() {
    let server = Server::start(|_, out| {
        let _ = out.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while out.write_all(&[b'a'; 4096]).is_ok() {}
    });
    assert!(matches!(get(&server.url("/")), Err(Error::Transfer { .. })));
}

#[test]
fn nobody_listening_is_a_connection_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let message = get(&url).unwrap_err().to_string();
    assert!(
        message.contains("cannot connect") && message.contains("refused"),
        "{message}"
    );
}

static OWN_ROOT: OnceLock<ClientConfig> = OnceLock::new();

fn own_root() -> Result<ClientConfig, String> {
    OWN_ROOT.get().cloned().ok_or_else(|| "not set".to_owned())
}

#[test]
fn certificates_are_checked() {
    let (server, certificate) =
        Server::tls(b"HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\n\r\n");
    let refused = get(&server.url_at("localhost", "/"));
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
    let plain = Server::always("HTTP/1.1 400 Bad Request\r\n\r\n");
    let confused = get(&Url::parse(&plain.url("/").as_str().replace("http:", "https:")).unwrap());
    assert!(matches!(confused, Err(Error::Tls { .. })), "{confused:?}");

    // With the certificate trusted, the handshake passes and the downgrade is what is refused.
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    OWN_ROOT.set(tls::trust_only(roots).unwrap()).unwrap();
    let network = Network {
        trust: own_root,
        ..SYSTEM
    };
    let stop = never();
    let downgrade = network.fetch(
        &Target::url(server.url_at("localhost", "/")),
        &rules(&["localhost"]),
        &stop,
    );
    assert!(
        matches!(&downgrade, Err(Error::Redirect { reason, .. }) if reason.contains("plain")),
        "{downgrade:?}"
    );
    // The certificate is for localhost, not for its address.
    let wrong_name = network.fetch(&Target::url(server.url("/")), &rules(&["127.0.0.1"]), &stop);
    assert!(
        matches!(wrong_name, Err(Error::Tls { .. })),
        "{wrong_name:?}"
    );
}

/// The store is read once per process and its place comes from the environment, so this takes a
/// process of its own.
#[test]
fn the_systems_store_is_trusted() {
    let (server, certificate) = Server::tls(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nRIFF");
    let mut store = tempfile::NamedTempFile::new().unwrap();
    write!(store, "{}", certificate.pem()).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "fetch::tests::fetches_the_url_in_the_environment",
        ])
        .env("SSL_CERT_FILE", store.path())
        .env("TEST_URL", server.url_at("localhost", "/").as_str())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[test]
#[ignore = "run by the_systems_store_is_trusted"]
fn fetches_the_url_in_the_environment() {
    let url = std::env::var("TEST_URL").unwrap();
    assert_eq!(bytes(get(&Url::parse(&url).unwrap())), b"RIFF");
}

#[test]
fn private_addresses_need_an_entry() {
    let server = Server::always(ok(b"inner"));
    let port = server.address.port();
    let spellings = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "0",
        "LOCALHOST",
    ];
    let stop = never();
    for host in spellings {
        let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
        let outcome = fetch(&url, &rules(&["*.localhost", "other"]), &stop);
        assert!(
            matches!(outcome, Err(Error::ForbiddenAddress { .. })),
            "{host}: {outcome:?}"
        );
    }
    assert!(server.heads().is_empty());
    let with_port = format!("localhost:{port}");
    assert_eq!(
        bytes(fetch(
            &server.url_at("localhost", "/"),
            &rules(&[&with_port]),
            &stop
        )),
        b"inner"
    );
    let other_port = format!("localhost:{}", port ^ 1);
    assert!(
        fetch(
            &server.url_at("localhost", "/"),
            &rules(&[&other_port]),
            &stop
        )
        .is_err()
    );
}

#[test]
fn one_private_address_among_public_ones_is_enough_to_refuse() {
    let lookup: Lookup = |_, port| {
        Ok(vec![
            ([93, 184, 215, 14], port).into(),
            ([10, 0, 0, 1], port).into(),
        ])
    };
    let url = Url::parse("http://both.test/").unwrap();
    let outcome = Network { lookup, ..SYSTEM }.fetch(&Target::url(url), &rules(&[]), &never());
    assert!(
        matches!(outcome, Err(Error::ForbiddenAddress { .. })),
        "{outcome:?}"
    );
    assert!(
        !outcome.unwrap_err().to_string().contains("10.0.0.1"),
        "the inner address was told"
    );
}

#[test]
fn a_name_is_looked_up_once_and_the_connection_goes_there() {
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    static SERVER: OnceLock<SocketAddr> = OnceLock::new();
    let server = Server::always(ok(b"checked"));
    SERVER.set(server.address).unwrap();
    let lookup: Lookup = |host, _| {
        LOOKUPS.fetch_add(1, Ordering::Relaxed);
        assert_eq!(host, "rebinds.test");
        Ok(vec![SERVER.get().copied().unwrap()])
    };
    let url = server.url_at("rebinds.test", "/");
    let network = Network { lookup, ..SYSTEM };
    assert_eq!(
        bytes(network.fetch(
            &Target::url(url.clone()),
            &rules(&["rebinds.test"]),
            &never()
        )),
        b"checked"
    );
    assert_eq!(LOOKUPS.load(Ordering::Relaxed), 1);
    assert!(
        server.heads()[0]
            .to_ascii_lowercase()
            .contains("host: rebinds.test:")
    );
}

#[test]
fn unknown_names_are_errors() {
    let url = Url::parse("http://does-not-exist.invalid/").unwrap();
    let outcome = get(&url);
    assert!(matches!(outcome, Err(Error::Resolve { .. })), "{outcome:?}");
}

#[test]
fn a_user_agent_that_is_no_header_is_an_error() {
    let server = Server::always(ok(b""));
    let rules = FetchRules {
        user_agent: "a\r\nX-Evil: 1".into(),
        ..rules(&["127.0.0.1"])
    };
    let outcome = fetch(&server.url("/"), &rules, &never());
    assert!(matches!(outcome, Err(Error::Setup(_))), "{outcome:?}");
}

#[test]
fn no_failure_shows_a_secret() {
    let answers: Vec<Vec<u8>> = vec![
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"garbage".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\n\r\n".to_vec(),
        redirect_to("/?token=s3cret"),
        redirect_to("http://s3cret:s3cret@127.0.0.1:1/?s3cret#s3cret"),
        redirect_to("http://me:s3cret@10.0.0.1/?s3cret"),
        redirect_to("ftp://me:s3cret@host/?s3cret"),
        redirect_to("http://me:s3cret@[bad/?s3cret"),
    ];
    let failures = answers
        .into_iter()
        .map(|answer| secret_failure(&Server::always(answer)));
    let (tls, _) = Server::tls(b"");
    for error in failures.chain([secret_failure(&tls)]) {
        let shown = format!("{error} {error:?} {error:#?} {:?}", error.hint());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

fn secret_failure(server: &Server) -> Error {
    let mut url = server.url("/a.wav?X-Amz-Signature=s3cret&x=s3cret#s3cret");
    url.set_username("s3cret").unwrap();
    url.set_password(Some("s3cret")).unwrap();
    get(&url).unwrap_err()
}

/// A server that sends parts of `body`; `spoil` may answer in its place, given the head and how many requests there were.
fn parts(
    body: Vec<u8>,
    spoil: impl Fn(&str, usize) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Server {
    let asked = AtomicUsize::new(0);
    Server::start(move |head, out| {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let answer = spoil(head, number).unwrap_or_else(|| part(&body, head, "\"v1\""));
        drop(out.write_all(&answer));
    })
}

/// First and last byte of a request's range.
fn asked_for(head: &str) -> Option<(usize, usize)> {
    let head = head.to_ascii_lowercase();
    let (_, range) = head.split_once("range: bytes=")?;
    let (first, last) = range.split_once("\r\n")?.0.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn part(body: &[u8], head: &str, etag: &str) -> Vec<u8> {
    let (first, last) = asked_for(head).expect("a range");
    let last = last.min(body.len() - 1);
    let mut answer = format!(
        "HTTP/1.1 206 Partial Content\r\nETag: {etag}\r\nContent-Range: bytes {first}-{last}/{}\r\nContent-Length: {}\r\n\r\n",
        body.len(),
        last + 1 - first
    )
    .into_bytes();
    answer.extend_from_slice(&body[first..=last]);
    answer
}

fn numbers(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i / 7 % 251) as u8).collect()
}

fn remote(outcome: Result<Body, Error>) -> Arc<Remote> {
    match outcome.unwrap() {
        Body::Remote(remote) => remote,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_a_long_file_only_what_is_read_is_fetched() {
    let body = numbers(40 << 20);
    let server = parts(body.clone(), |_, _| None);
    let remote = remote(get(&server.url("/")));
    assert_eq!(remote.len(), body.len() as u64);
    let read = |offset: usize, len: usize| {
        let mut buf = vec![0; len];
        let count = remote.read_at(&mut buf, offset as u64).unwrap();
        assert!(buf[..count] == body[offset..][..count], "at {offset}");
        count
    };
    assert_eq!(read(0, 1 << 20), 1 << 20);
    assert_eq!(server.heads().len(), 1, "the beginning was there already");
    assert_eq!(read(30 << 20, 100), 100);
    assert_eq!(read((40 << 20) - 50, 100), 50);
    assert_eq!(read(40 << 20, 100), 0);
    let bytes = |heads: Vec<String>| -> usize {
        let ranges = heads.iter().filter_map(|head| asked_for(head));
        ranges.map(|(a, b)| b.min((40 << 20) - 1) + 1 - a).sum()
    };
    let fetched = bytes(server.heads());
    assert!(fetched <= (1 << 20) + (2 << 18), "{fetched}");
    // From one end to the other: nothing twice, and with few requests.
    for at in (0..40 << 20).step_by(1 << 16) {
        read(at, 1 << 16);
    }
    assert_eq!(bytes(server.heads()), 40 << 20);
    assert!(server.heads().len() < 20, "{}", server.heads().len());
}

#[test]
fn short_files_come_whole_from_servers_that_send_parts() {
    for len in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 8 << 20] {
        let body = numbers(len);
        let server = match len {
            0 => Server::always(
                "HTTP/1.1 416 X\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n",
            ),
            _ => parts(body.clone(), |_, _| None),
        };
        assert!(bytes(get(&server.url("/"))) == body, "{len}");
    }
}

#[test]
fn answers_that_break_off_are_continued() {
    // Every answer but the first stops after 100 000 bytes, and every fourth request finds the server busy.
    let body = numbers(6 << 20);
    let all = body.clone();
    let server = parts(body.clone(), move |head, number| {
        if number % 4 == 3 {
            return Some(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec());
        }
        let mut answer = part(&all, head, "\"v1\"");
        answer.truncate(700_000);
        Some(answer)
    });
    assert!(bytes(get(&server.url("/"))) == body);
    let starts: Vec<usize> = server
        .heads()
        .iter()
        .filter_map(|head| Some(asked_for(head)?.0))
        .collect();
    assert!(
        starts.iter().filter(|start| **start == 0).count() == 1,
        "{starts:?}"
    );
}

#[test]
fn a_server_that_stays_busy_is_asked_four_times() {
    let server = Server::always("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    let outcome = get(&server.url("/"));
    assert!(
        matches!(outcome, Err(Error::Status { status: 503, .. })),
        "{outcome:?}"
    );
    assert_eq!(server.heads().len(), 4);
    let missing = Server::always("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
    assert!(get(&missing.url("/")).is_err());
    assert_eq!(
        missing.heads().len(),
        1,
        "what will not change is not asked again"
    );
}

#[test]
fn a_file_that_changes_is_not_mixed() {
    let body = numbers(20 << 20);
    let all = body.clone();
    let server = parts(body, move |head, number| {
        (number > 0).then(|| part(&all, head, "\"v2\""))
    });
    let remote = remote(get(&server.url("/")));
    let mut buf = vec![0; 100];
    assert_eq!(remote.read_at(&mut buf, 0).unwrap(), 100);
    assert!(remote.read_at(&mut buf, 10 << 20).is_err());
    assert!(matches!(remote.failure(), Some(Error::Changed { .. })));
    assert!(remote.has_failed() && remote.read_at(&mut buf, 0).is_err());
}

#[test]
fn servers_that_send_parts_wrongly_are_asked_for_the_whole() {
    let wrong = |answer: &'static str| {
        Server::start(move |head, out| {
            let answer = match asked_for(head) {
                Some(_) => answer.as_bytes().to_vec(),
                None => ok(b"RIFF"),
            };
            drop(out.write_all(&answer));
        })
    };
    for answer in [
        "HTTP/1.1 206 X\r\nContent-Length: 2\r\n\r\nRI",
        "HTTP/1.1 206 X\r\nContent-Range: bytes 0-1/*\r\nContent-Length: 2\r\n\r\nRI",
        "HTTP/1.1 206 X\r\nContent-Range: bytes 2-3/4\r\nContent-Length: 2\r\n\r\nFF",
        "HTTP/1.1 416 X\r\nContent-Length: 0\r\n\r\n",
    ] {
        assert_eq!(bytes(get(&wrong(answer).url("/"))), b"RIFF", "{answer}");
    }
}

#[test]
fn the_limit_on_bytes_holds_for_parts() {
    let server = parts(numbers(20 << 20), |_, _| None);
    let rules = FetchRules {
        max_bytes: 10 << 20,
        ..rules(&["127.0.0.1"])
    };
    let outcome = fetch(&server.url("/"), &rules, &never());
    assert!(
        matches!(outcome, Err(Error::BodyTooLarge { .. })),
        "{outcome:?}"
    );
}
