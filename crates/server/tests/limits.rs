//! What is too much.

mod support;

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use sql_tests::{ClientExt, Scratch, clip, json, sparse_wav};
use support::{Reply, Setup, bytes, message, wait};

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let setup = Setup::with(&["--max-body", "1"]);
    let authorization = format!("Authorization: Bearer {}", setup.key);
    // Two gigabytes are announced; not one byte of them has to be sent.
    let mut stream = setup.service.connect();
    let head = format!(
        "POST /audio/embedding HTTP/1.1\r\nHost: x\r\n{authorization}\r\nContent-Type: audio/wav\r\nContent-Length: 2147483648\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    Reply::read(&mut stream).fails(413, "larger than 1 MB");
    // In chunks, nobody knows how many will come.
    let mut stream = setup.service.connect();
    let head = format!(
        "POST /audio/embedding HTTP/1.1\r\nHost: x\r\n{authorization}\r\nContent-Type: audio/wav\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("sent");
    let chunk = [b"10000\r\n".as_slice(), &[7; 65_536], b"\r\n"].concat();
    while stream.write_all(&chunk).is_ok() {}
    Reply::read(&mut stream).fails(413, "larger than 1 MB");
    // Nor has a part of a form an end.
    let (kind, body) = support::form(&[("audio", &vec![0; 2 << 20])], &[]);
    let mut stream = setup.service.connect();
    let key = format!("Bearer {}", setup.key);
    let _ = stream.write_all(&message(
        "POST",
        "/audio/embedding",
        &[("Authorization", &key), ("Content-Type", &kind)],
        &body,
    ));
    Reply::read(&mut stream).fails(413, "larger than 1 MB");
    assert_eq!(
        setup
            .post("/audio/quality", json!({"audio_url": clip("june-1.wav")}))
            .status,
        200
    );
}

#[test]
fn a_key_that_asks_too_often_waits() {
    let setup = Setup::with(&["--key-rate", "1"]);
    let statuses: Vec<u16> = (0..6).map(|_| setup.get("/voice/query").status).collect();
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
    let refused = setup.get("/voice/query");
    refused.fails(429, "1 times per second");
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Another key is not held up, and one may have a rate of its own.
    let fast = setup.run(&[
        "key",
        "create",
        "--role",
        setup.analyst.name(),
        "--rate",
        "1000",
    ]);
    assert!((0..6).all(|_| setup.send(&fast, "GET", "/voice/query", &[], b"").status == 200));
}

/// Requests that go on until their client leaves.
fn endless(setup: &Setup, path: &std::path::Path) -> impl Fn() -> std::net::TcpStream + use<> {
    sparse_wav(path, 3 * 3600, 16_000);
    let body = json!({"source_url": path, "lang": "en"}).to_string();
    let key = format!("Bearer {}", setup.key);
    let address = setup.service.address.clone();
    move || {
        let mut stream = std::net::TcpStream::connect(&address).expect("the service listens");
        let headers = [
            ("Authorization", key.as_str()),
            ("Content-Type", "application/json"),
        ];
        stream
            .write_all(&message(
                "POST",
                "/bailian/funasr/asr",
                &headers,
                body.as_bytes(),
            ))
            .expect("sent");
        stream
    }
}

fn in_progress(setup: &Setup, number: u32) -> bool {
    let numbers = setup.service.request("GET", "/metrics", &[], b"").text();
    numbers.contains(&format!("ai_audio_requests_in_progress {number}\n"))
}

#[test]
fn overload_is_refused_and_nothing_piles_up() {
    let setup = Setup::with(&["--pool-size", "1", "--queue", "1", "--queue-timeout", "2"]);
    let scratch = Scratch::new();
    let endless = endless(&setup, &scratch.path("long.wav"));
    let working = endless();
    setup.wait_for("ai_audio_transcribe");
    // One waits for the connection, and in vain; for another one there is no room.
    let mut waiting = endless();
    wait("a request in the queue", || in_progress(&setup, 2));
    let full = setup.get("/voice/query");
    full.fails(503, "queue is full");
    assert!(full.header("retry-after").is_some());
    Reply::read(&mut waiting).fails(503, "all database connections are busy");
    drop(working);
    wait("room again", || in_progress(&setup, 0));
    assert_eq!(setup.get("/voice/query").status, 200);
}

#[test]
fn a_key_has_so_many_requests_at_a_time() {
    let setup = Setup::with(&[
        "--pool-size",
        "1",
        "--queue-timeout",
        "60",
        "--key-concurrency",
        "2",
    ]);
    let scratch = Scratch::new();
    let endless = endless(&setup, &scratch.path("long.wav"));
    let two = [endless(), endless()];
    wait("two requests", || in_progress(&setup, 2));
    setup.get("/voice/query").fails(429, "2 requests running");
    drop(two);
    wait("room again", || in_progress(&setup, 0));
    assert_eq!(setup.get("/voice/query").status, 200);
}

#[test]
fn memory_for_recordings_is_bounded() {
    let setup = Setup::with(&["--max-body", "4", "--upload-memory", "4"]);
    let key = format!("Authorization: Bearer {}", setup.key);
    let mut slow = setup.service.connect();
    let head = format!(
        "POST /audio/embedding HTTP/1.1\r\nHost: x\r\n{key}\r\nContent-Type: audio/wav\r\nContent-Length: 4000000\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).expect("sent");
    let numbers = || setup.service.request("GET", "/metrics", &[], b"").text();
    wait("memory set aside", || {
        numbers().contains("ai_audio_upload_bytes 4001792")
    });
    setup
        .send(
            &setup.key,
            "POST",
            "/audio/quality",
            &[("Content-Type", "audio/wav")],
            &vec![0; 500_000],
        )
        .fails(503, "other recordings");
    drop(slow);
    wait("memory given back", || {
        numbers().contains("ai_audio_upload_bytes 0")
    });
    assert_eq!(
        setup
            .send(
                &setup.key,
                "POST",
                "/audio/quality",
                &[("Content-Type", "audio/wav")],
                &bytes("june-1.wav")
            )
            .status,
        200
    );
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let setup = Setup::with(&["--upload-timeout", "1"]);
    let key = format!("Authorization: Bearer {}", setup.key);
    let mut slow = setup.service.connect();
    let head = format!(
        "POST /audio/embedding HTTP/1.1\r\nHost: x\r\n{key}\r\nContent-Type: audio/wav\r\nContent-Length: 4000\r\n\r\nRIFF"
    );
    slow.write_all(head.as_bytes()).expect("sent");
    Reply::read(&mut slow).fails(408, "in time");
}

#[test]
fn work_that_takes_too_long_is_ended() {
    let setup = Setup::with(&["--request-timeout", "1"]);
    let scratch = Scratch::new();
    let long = scratch.path("long.wav");
    sparse_wav(&long, 3 * 3600, 16_000);
    setup
        .post(
            "/bailian/funasr/asr",
            json!({"source_url": long, "lang": "en"}),
        )
        .fails(504, "timeout");
    wait("the query's end", || setup.running().is_empty());
}

#[test]
fn a_lost_database_is_503_and_comes_back() {
    let setup = Setup::new();
    assert_eq!(setup.get("/voice/query").status, 200);
    let scratch = Scratch::new();
    let long = scratch.path("long.wav");
    sparse_wav(&long, 3 * 3600, 16_000);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            setup.post(
                "/bailian/funasr/asr",
                json!({"source_url": long, "lang": "en"}),
            )
        });
        setup.wait_for("ai_audio_transcribe");
        // As a restart does to every connection.
        setup.database.connect().run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ai_audio_server' AND datname = current_database()");
        let reply = working.join().expect("an answer");
        reply.fails(503, "");
        assert!(reply.header("retry-after").is_some());
    });
    assert_eq!(setup.get("/voice/query").status, 200);
}

#[test]
fn a_client_without_a_request_is_let_go() {
    let setup = Setup::new();
    let mut stream = setup.service.connect();
    stream
        .write_all(b"POST /audio/embedding HTTP/1.1\r\nHost: x\r\n")
        .expect("sent");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    let mut rest = Vec::new();
    assert!(
        stream.read_to_end(&mut rest).is_ok(),
        "the connection is still open"
    );
}
