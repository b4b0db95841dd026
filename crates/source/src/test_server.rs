//! A web server that misbehaves on demand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use url::Url;

/// Both directions of a connection, plain or TLS.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Calls `respond` with the request's head for every connection.
    pub(crate) fn start(respond: impl Fn(&str, &mut dyn Stream) + Send + Sync + 'static) -> Self {
        Self::serve("http", move |tcp, heads| answer(tcp, heads, &respond))
    }

    /// One fixed answer to everything.
    pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, out| drop(out.write_all(&answer)))
    }

    /// Accepts and never says anything.
    pub(crate) fn silent() -> Self {
        Self::start(|_, out| drop(out.read(&mut [0])))
    }

    /// The same over TLS with a new self-signed certificate for `localhost`, which is returned.
    pub(crate) fn tls(answer_with: &'static [u8]) -> (Self, rcgen::Certificate) {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let secret = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![key.cert.der().clone()], secret)
                .unwrap();
        let config = Arc::new(config);
        let server = Self::serve("https", move |tcp, heads| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            answer(StreamOwned::new(session, tcp), heads, &|_, out| {
                drop(out.write_all(answer_with))
            });
        });
        (server, key.cert)
    }

    fn serve(
        scheme: &'static str,
        handle: impl Fn(TcpStream, &Mutex<Vec<String>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (handle, kept) = (Arc::new(handle), Arc::clone(&heads));
        thread::spawn(move || {
            for tcp in listener.incoming().flatten() {
                let (handle, heads) = (Arc::clone(&handle), Arc::clone(&kept));
                thread::spawn(move || handle(tcp, &heads));
            }
        });
        Self {
            address,
            scheme,
            heads,
        }
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}://{}{path}", self.scheme, self.address)).unwrap()
    }

    /// The same server under another host name.
    pub(crate) fn url_at(&self, host: &str, path: &str) -> Url {
        Url::parse(&format!(
            "{}://{host}:{}{path}",
            self.scheme,
            self.address.port()
        ))
        .unwrap()
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

fn answer(
    stream: impl Stream,
    heads: &Mutex<Vec<String>>,
    respond: &dyn Fn(&str, &mut dyn Stream),
) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
    heads
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(head.clone());
    let stream = reader.get_mut();
    respond(&head, stream);
    let _ = stream.flush();
}

/// A complete answer with a length.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

pub(crate) fn redirect_to(location: impl std::fmt::Display) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

/// A head that promises a body, then one byte at a time until the client is gone.
pub(crate) fn drip(out: &mut dyn Stream) {
    let _ = out.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    while out.write_all(b"x").and_then(|()| out.flush()).is_ok() {
        thread::sleep(std::time::Duration::from_millis(100));
    }
}
