//! What leaves the service by itself: calls of clients whose jobs have ended, and results that go to an object store.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sql_tests::{ClientExt, Oss, Value, clip, json};
use support::{Setup, wait};

/// A receiver that is busy at first; what it is sent: head and body.
fn receiver() -> (u16, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.expect("a connection"));
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a length");
                }
                if line.trim().is_empty() {
                    break;
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            let status = if count == 0 { "503 Busy" } else { "204 Taken" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            let _ = reader.get_mut().write_all(answer.as_bytes());
            if send.send((head, body)).is_err() {
                return;
            }
        }
    });
    (port, receive)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Submits a job that calls back; its path.
fn submit(setup: &Setup, callback: &str) -> String {
    let job = setup.post(
        "/audio/quality",
        json!({"audio_url": clip("june-1.wav"), "async": true, "callback_url": callback}),
    );
    assert_eq!(job.status, 202, "{job:?}");
    format!(
        "/jobs/{}",
        job.json()["result"]["id"].as_str().expect("an id")
    )
}

#[test]
fn a_client_is_called_when_its_job_is_done() {
    let (port, calls) = receiver();
    let setup = Setup::with(&["--callback-hosts", &format!("127.0.0.1:{port}")]);
    let path = submit(&setup, &format!("http://127.0.0.1:{port}/done?token=hush"));
    let (first, _) = calls.recv().expect("a call");
    let (head, body) = calls.recv().expect("another after 503");
    assert!(head.starts_with("POST /done?token=hush HTTP/1.1"), "{head}");
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(told["state"], "done");
    assert_eq!(told["endpoint"], "/audio/quality");
    assert!(
        told["url"].as_str().is_some_and(|url| url.ends_with(&path)),
        "{told}"
    );
    assert_eq!(told["answer"]["result"]["speakers"], 1, "{told}");
    // As docs/rest.md says to check it.
    let secret = setup.key.splitn(3, '_').nth(2).expect("three parts");
    let secret = hex(&Sha256::digest(secret));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(&body);
    let signature = format!(
        "x-ai-audio-signature: sha256={}",
        hex(&mac.finalize().into_bytes())
    );
    for head in [first, head] {
        assert!(head.to_ascii_lowercase().contains(&signature), "{head}");
    }
    wait("the note of it", || {
        setup.get(&path).json()["result"]["callback"] == "delivered"
    });
    // No other port of that host, and nothing that is no job or no web page.
    let (other, _calls) = receiver();
    let path = submit(&setup, &format!("http://127.0.0.1:{other}/?token=hush"));
    wait("the refusal", || {
        let job = setup.get(&path).json();
        let callback = job["result"]["callback"].as_str().unwrap_or_default();
        callback.starts_with("failed: the host has no public address")
    });
    for (url, asynchronous, said) in [
        ("https://example.com/", false, "async"),
        ("file:///etc/passwd", true, "http or https"),
    ] {
        let refused =
            json!({"audio_url": clip("june-1.wav"), "async": asynchronous, "callback_url": url});
        setup.post("/audio/quality", refused).fails(400, said);
    }
    let log = setup.service.log();
    assert!(
        log.contains("\"delivered\"") && !log.contains("hush"),
        "{log}"
    );
    let kept: String = setup
        .database
        .connect()
        .value("SELECT string_agg(j::text, ' ') FROM ai_audio_server.jobs j");
    assert!(!kept.contains("hush"), "{kept}");
}

#[test]
fn results_go_to_the_store_and_keys_of_a_request_are_passed_on() {
    let Some(oss) = Oss::start() else { return };
    oss.load(
        "june.wav",
        &std::fs::read(clip("june-1.wav")).expect("a clip"),
    );
    let setup = Setup::with(&["--result-store", "oss://calls/results"]);
    let name = setup.analyst.name();
    let mut admin = setup.database.connect();
    admin.run(&format!(
        "CREATE SERVER calls FOREIGN DATA WRAPPER ai_audio_store
           OPTIONS (kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}', region 'cn-beijing');
         CREATE USER MAPPING FOR {name} SERVER calls OPTIONS (access_key_id 'AKPLAIN', access_key_secret 'SKPLAIN-hush');
         GRANT USAGE ON FOREIGN SERVER calls TO {name}",
        oss.port
    ));
    let asr = |secret: &str| {
        json!({"source_url": "oss://calls/june.wav", "model_name": "moonshine-tiny-en", "diarization": false,
               "oss_ak": "STS.AKTEMP", "oss_sk": secret, "oss_token": "TOKEN-hush"})
    };
    let path = "/bailian/funasr/asr";
    setup
        .post(path, asr("SKTEMP-hush"))
        .fails(403, "ai_audio_write_url");
    admin.run(&format!("GRANT ai_audio_write_url TO {name}"));
    let answer = setup.post(path, asr("SKTEMP-hush"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let url = answer["result"].as_str().expect("a URL");
    assert!(
        url.starts_with(&format!("http://127.0.0.1:{}/calls/results/", oss.port)),
        "{url}"
    );
    let fetched = Command::new("curl")
        .args(["-sf", url])
        .output()
        .expect("curl runs");
    let document: Value = serde_json::from_slice(&fetched.stdout).expect("the document");
    assert_eq!(document["file_url"], "oss://calls/june.wav");
    let log = oss.log();
    let signed = |method: &str, key: &str| {
        let of = log.iter().filter(|entry| {
            entry["method"] == method && entry["key"].as_str().is_some_and(|k| k.starts_with(key))
        });
        of.map(|entry| entry["signed"].as_str().unwrap_or_default().to_string())
            .next_back()
            .unwrap_or_default()
    };
    assert_eq!(
        signed("GET", "june.wav"),
        "v4 token",
        "the request's key reads"
    );
    assert_eq!(signed("PUT", "results/"), "v4", "the role's writes");
    let refused = setup.post(path, asr("WRONG-hush"));
    refused.fails(403, "SignatureDoesNotMatch");
    assert!(!setup.service.log().contains("hush"));
}
