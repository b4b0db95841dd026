//! Connections: TLS, bounds on time and number, an orderly end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::metrics::Counted;
use crate::{App, jobs, results, routes};

/// For the handshake, and until the headers of the next request are there: clients keep connections for a while.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that takes nothing for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client that is gone without a word is noticed after three times this.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// What is running may take so long to end when the service is stopped.
const GRACE: Duration = Duration::from_secs(8);

fn tls(app: &App) -> Result<Option<TlsAcceptor>, String> {
    let Some((cert, key)) = &app.config.tls else {
        return Ok(None);
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{}: {error}", cert.display()))?;
    let key_der =
        PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .map_err(|error| format!("{}: {error}", cert.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from listening.
pub async fn serve(app: Arc<App>) -> Result<(), String> {
    let tls = tls(&app)?;
    let address = app.config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!(url = format!("{scheme}://{address}/"), "listening");
    let service = routes::router(&app);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(app.config.max_connections));
    let housekeeping = tokio::spawn(housekeeping(app.clone()));
    let mut stop = std::pin::pin!(stopped());
    loop {
        let (stream, place) = tokio::select! {
            () = &mut stop => break,
            // A place first: where all are taken, clients wait in the system's queue and cost nothing here.
            accepted = async {
                let place = places.clone().acquire_owned().await.expect("never closed");
                (listener.accept().await, place)
            } => match accepted {
                (Ok((stream, _)), place) => (stream, place),
                (Err(error), _) => {
                    // Out of file descriptors, for instance: others will end.
                    tracing::warn!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (service, tls, watcher) = (service.clone(), tls.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            let _counted = Counted::new("ai_audio_connections", 1.0);
            prepare(&stream);
            match tls {
                None => connection(stream, service, watcher).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) =
                        tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await
                    {
                        connection(stream, service, watcher).await;
                    }
                }
            }
        });
    }
    tracing::info!("stopping");
    drop(listener);
    housekeeping.abort();
    app.jobs.stop(&app).await;
    if tokio::time::timeout(GRACE, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("gave up on requests that were still running");
    }
    Ok(())
}

async fn connection<S>(
    stream: S,
    service: axum::Router,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let serve = hyper::service::service_fn(move |request: Request<Incoming>| {
        let service = service.clone();
        async move {
            Ok::<_, Infallible>(
                service
                    .oneshot(request.map(Body::new))
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Box::pin(stream)), serve);
    // Errors are clients that went away; what they asked for was cancelled with the connection.
    let _ = watcher.watch(connection).await;
}

/// Small answers go out at once, and dead peers are noticed.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE)
        .with_retries(2);
    let _ = socket.set_tcp_keepalive(&keepalive);
}

async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// What expired is deleted.
async fn housekeeping(app: Arc<App>) {
    loop {
        for outcome in [results::expire(&app).await, jobs::expire(&app).await] {
            if let Err(error) = outcome {
                tracing::warn!(error = %error, "what expired could not be deleted");
            }
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}
