//! A running service with a database of its own, and a client that shows every byte of an answer.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use sql_tests::{ClientExt, Database, Role, Value, clip, kill};
use tempfile::TempDir;

/// A database, a role for keys, a login role that is nothing but its member, and the service.
pub struct Setup {
    pub service: Service,
    pub key: String,
    pub login: Role,
    pub analyst: Role,
    pub database: Database,
}

impl Setup {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With flags.
    pub fn with(flags: &[&str]) -> Self {
        let database = Database::new();
        let analyst = database.role("");
        let login = database.role("LOGIN NOINHERIT PASSWORD 'secret of the login'");
        let (name, user) = (analyst.name(), login.name());
        database.connect().run(&format!(
            "GRANT {name} TO {user}; GRANT CREATE ON DATABASE {} TO {user}; GRANT pg_read_server_files, ai_audio_fetch_url TO {name}",
            database.name()
        ));
        let url = database.url();
        let (_, place) = url.split_once('@').expect("a URI with a user");
        let url = format!("postgresql://{user}:secret%20of%20the%20login@{place}");
        run(&url, &["init", "--grant", name]);
        let key = run(&url, &["key", "create", "--role", name]);
        let service = Service::start(&url, flags);
        Self {
            service,
            key,
            login,
            analyst,
            database,
        }
    }

    /// Runs the program on the service's database.
    pub fn run(&self, arguments: &[&str]) -> String {
        run(&self.service.database_url, arguments)
    }

    /// A key for another role.
    pub fn key_for(&self, role: &str, flags: &[&str]) -> String {
        self.database
            .connect()
            .run(&format!("GRANT {role} TO {}", self.login.name()));
        self.run(&[&["key", "create", "--role", role], flags].concat())
    }

    pub fn post(&self, path: &str, body: Value) -> Reply {
        self.post_as(&self.key, path, body)
    }

    pub fn post_as(&self, key: &str, path: &str, body: Value) -> Reply {
        self.send(
            key,
            "POST",
            path,
            &[("Content-Type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(&self.key, "GET", path, &[], b"")
    }

    pub fn send(
        &self,
        key: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let authorization = format!("Bearer {key}");
        self.service.request(
            method,
            path,
            &[&[("Authorization", authorization.as_str())], headers].concat(),
            body,
        )
    }

    /// Enrols a clip; its id.
    pub fn enrol(&self, name: &str, file: &str) -> i64 {
        let reply = self.post(
            "/voice/enroll",
            sql_tests::json!({"audio_url": clip(file), "name": name}),
        );
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["result"]["id"].as_i64().expect("an id")
    }

    /// Statements that the service runs at present.
    pub fn running(&self) -> Vec<String> {
        self.database.connect().column(
            "SELECT query FROM pg_stat_activity WHERE application_name = 'ai_audio_server' AND state = 'active' AND datname = current_database()",
        )
    }

    /// Waits until the service runs a statement with this text in it.
    pub fn wait_for(&self, text: &str) {
        wait(&format!("a statement with {text}"), || {
            self.running().iter().any(|query| query.contains(text))
        });
    }
}

/// Waits until something is so; panics after half a minute.
pub fn wait(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("there is still not {what}");
}

fn program(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ai_audio_server"));
    command.env("AI_AUDIO_SERVER_DATABASE_URL", url);
    command
}

/// Runs the program to its end; what it prints.
pub fn run(url: &str, arguments: &[&str]) -> String {
    let output = program(url)
        .args(arguments)
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .into()
}

/// The service, stopped with the value.
pub struct Service {
    pub process: Child,
    pub address: String,
    pub database_url: String,
    log: PathBuf,
    _folder: TempDir,
}

impl Service {
    pub fn start(url: &str, flags: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let log = folder.path().join("log");
        let process = program(url)
            .args(["--listen", "127.0.0.1:0"])
            .args(flags)
            .stderr(Stdio::from(File::create(&log).expect("a file")))
            .spawn()
            .expect("the service starts");
        let mut service = Self {
            process,
            address: String::new(),
            database_url: url.into(),
            log,
            _folder: folder,
        };
        for _ in 0..600 {
            let log = service.log();
            let listening = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line["message"] == "listening");
            if let Some(line) = listening {
                let url = line["url"].as_str().expect("a URL").to_string();
                let (_, place) = url.split_once("://").expect("a URL");
                service.address = place.trim_end_matches('/').into();
                return service;
            }
            assert!(
                service.process.try_wait().expect("a child").is_none(),
                "the service ended: {log}"
            );
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the service does not listen: {}", service.log());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("a process id")
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the service listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .expect("a timeout");
        stream
    }

    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut stream = self.connect();
        stream
            .write_all(&message(method, path, headers, body))
            .expect("the service takes the request");
        Reply::read(&mut stream)
    }
}

/// A request as it goes over the wire.
pub fn message(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            kill(self.pid(), "TERM");
        }
        let _ = self.process.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads it to the end of the connection.
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // What was sent before a reset counts: a body that is refused may not be read to its end.
        let ended = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| {
            panic!("no answer ({ended:?}): {}", String::from_utf8_lossy(&bytes))
        });
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status");
        let mut body = bytes.split_off(end + 4);
        if head.contains("transfer-encoding: chunked") {
            body = dechunked(&body);
        }
        Self { status, head, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    /// Asserts a failure: the status, `code` the same, and words of the message.
    pub fn fails(&self, status: u16, words: &str) {
        assert_eq!(self.status, status, "{self:?} {}", self.text());
        let body = self.json();
        assert_eq!(body["code"], status, "{body}");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|message| message.contains(words)),
            "{words:?} is missing in {body}"
        );
        assert!(body["result"].is_null(), "{body}");
    }
}

fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(at) = body.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(
            std::str::from_utf8(&body[..at]).expect("a length").trim(),
            16,
        )
        .expect("a length");
        whole.extend(&body[at + 2..at + 2 + length]);
        body = &body[at + 4 + length..];
        if length == 0 {
            break;
        }
    }
    whole
}

/// `multipart/form-data` of recordings and fields, and its content type.
pub fn form(files: &[(&str, &[u8])], fields: &[(&str, &str)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, content) in files {
        body.extend(format!("--part\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n").bytes());
        body.extend(*content);
        body.extend(b"\r\n");
    }
    for (name, value) in fields {
        body.extend(
            format!("--part\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    body.extend(b"--part--\r\n");
    ("multipart/form-data; boundary=part".into(), body)
}

/// The bytes of a clip.
pub fn bytes(name: &str) -> Vec<u8> {
    fs::read(clip(name)).expect("the clip is there")
}
