//! The database: two pools of connections, and sessions in which a request does its work as its key's role.
//!
//! A working connection keeps its models in memory, so there are few of them; the others are for keys, jobs and results,
//! so that a busy service still knows who is asking.
//!
//! Long, because all the SQL of the service is here.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{Config, quote};
use crate::error::ApiError;
use crate::notices::{Heard, Listeners, Listening};

/// A parameter of a statement and its type.
pub type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How long a cancelled session may take to become usable again.
const RECOVERY: Duration = Duration::from_secs(5);

/// The service's connections.
pub struct Db {
    work: Pool,
    control: Pool,
    notices: Arc<Listeners>,
    tls: MakeRustlsConnect,
    /// Schema of the extension, quoted.
    pub schema: String,
}

/// Opens connections whose notices are heard.
struct Connector {
    tls: MakeRustlsConnect,
    notices: Arc<Listeners>,
    setup: String,
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &tokio_postgres::Config,
    ) -> Pin<
        Box<
            dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>>
                + Send
                + '_,
        >,
    > {
        let config = config.clone();
        Box::pin(async move {
            let (client, mut connection) = config.connect(self.tls.clone()).await?;
            let listening = Arc::new(Listening(self.notices.clone(), Mutex::new(None)));
            let ears = listening.clone();
            let task = tokio::spawn(async move {
                while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                    match message {
                        Ok(AsyncMessage::Notice(notice)) => {
                            let pid = *ears.1.lock().unwrap_or_else(PoisonError::into_inner);
                            if let Some(pid) = pid {
                                ears.0.get(pid).add(notice);
                            }
                        }
                        Ok(_) => {}
                        Err(error) => {
                            tracing::warn!(error = %error, "a database connection ended");
                            break;
                        }
                    }
                }
            });
            client.batch_execute(&self.setup).await?;
            let pid: i32 = client.query_typed("SELECT pg_backend_pid()", &[]).await?[0].get(0);
            *listening.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
            drop(listening);
            Ok((client, task))
        })
    }
}

fn tls() -> Result<MakeRustlsConnect, String> {
    use rustls_platform_verifier::BuilderVerifierExt;
    let config = rustls::ClientConfig::builder()
        .with_platform_verifier()
        .map_err(|error| format!("TLS: {error}"))?
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn parse(config: &Config) -> Result<tokio_postgres::Config, String> {
    let mut parsed: tokio_postgres::Config = config
        .database_url
        .parse()
        .map_err(|error| format!("database_url: {error}"))?;
    if parsed.get_application_name().is_none() {
        parsed.application_name("ai_audio_server");
    }
    if parsed.get_connect_timeout().is_none() {
        parsed.connect_timeout(Duration::from_secs(5));
    }
    Ok(parsed)
}

/// One connection for the command line.
///
/// # Errors
/// Why there is none.
pub async fn connect(config: &Config) -> Result<Client, String> {
    let (client, connection) = parse(config)?
        .connect(tls()?)
        .await
        .map_err(|error| format!("cannot connect to the database: {}", in_full(&error)))?;
    tokio::spawn(connection);
    Ok(client)
}

/// An error of the driver with what the server said.
pub fn in_full(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!(
            "{}{}",
            said.message(),
            said.hint()
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default()
        ),
        None => {
            let cause = std::error::Error::source(error);
            format!(
                "{error}{}",
                cause.map(|cause| format!(": {cause}")).unwrap_or_default()
            )
        }
    }
}

impl Db {
    /// The pools; connections are opened when they are needed.
    ///
    /// # Errors
    /// What is wrong with the settings, or with the database right now.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let client = connect(config).await?;
        let schemas = "SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                       WHERE e.extname IN ('ai_audio', 'vector') ORDER BY e.extname";
        let rows = client
            .query_typed(schemas, &[])
            .await
            .map_err(|error| in_full(&error))?;
        let schemas: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let [schema, ..] = schemas.as_slice() else {
            return Err("the database has no ai_audio: CREATE EXTENSION ai_audio CASCADE".into());
        };
        // Only pg_catalog and the extensions: nobody else's functions are called by accident. The last line ends work whose
        // client is gone (Postgres 14 and later).
        let setup = format!(
            "SET search_path = {}; SET ai_audio.progress = on;
             SELECT set_config(name, '5s', false) FROM pg_settings WHERE name = 'client_connection_check_interval'",
            schemas.join(", ")
        );
        let notices = Arc::<Listeners>::default();
        let pool = |size: usize, wait: Duration| -> Result<Pool, String> {
            let connector = Connector {
                tls: tls()?,
                notices: notices.clone(),
                setup: setup.clone(),
            };
            let recycling_method = RecyclingMethod::Fast;
            let manager = Manager::from_connect(
                parse(config)?,
                connector,
                ManagerConfig { recycling_method },
            );
            Pool::builder(manager)
                .max_size(size)
                .wait_timeout(Some(wait))
                .create_timeout(Some(Duration::from_secs(10)))
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|error| error.to_string())
        };
        Ok(Self {
            work: pool(config.pool_size, config.queue_timeout)?,
            control: pool(4, Duration::from_secs(5))?,
            notices,
            tls: tls()?,
            schema: schema.clone(),
        })
    }

    /// A connection as the service itself.
    ///
    /// # Errors
    /// 503.
    pub async fn control(&self) -> Result<Object, ApiError> {
        Ok(self.control.get().await?)
    }

    /// Working connections: in all, and idle ones.
    pub fn status(&self) -> (usize, usize, usize) {
        let status = self.work.status();
        (status.size, status.available, status.waiting)
    }

    /// Begins a transaction as `role` that may last for `timeout`.
    ///
    /// # Errors
    /// 503 without a connection, 403 where the role cannot be had.
    pub async fn session(
        self: &Arc<Self>,
        role: &str,
        timeout: Duration,
        access: Access,
    ) -> Result<Session, ApiError> {
        // A server that was restarted leaves dead connections behind; each try throws one away.
        for _ in 0..=self.work.status().max_size {
            let object = self.work.get().await?;
            let mut session = Session {
                object: Some(object),
                db: self.clone(),
                heard: Arc::default(),
                audio_before: 0.0,
                unanswered: AtomicUsize::new(0),
            };
            match session.begin(role, timeout, access).await {
                Ok(()) => return Ok(session),
                Err(error) if error.is_closed() || session.client().is_closed() => {
                    session.discard()
                }
                Err(error)
                    if error.as_db_error().is_some_and(|said| {
                        matches!(said.code().code(), "42501" | "42704" | "22023")
                    }) =>
                {
                    tracing::error!(role, error = %in_full(&error), "the service cannot act as the role of a key");
                    return Err(ApiError::new(
                        axum::http::StatusCode::FORBIDDEN,
                        "this key's role cannot be used: it is gone, or the service is no member of it",
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ApiError::unavailable(
            "the database does not answer; try again",
        ))
    }
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Access {
    /// Nothing is changed.
    Read,
    /// Rows are written.
    Write,
}

/// A transaction on a working connection, as a key's role. Dropped before its end, as when the client has gone away, it
/// cancels what is running and rolls back.
pub struct Session {
    object: Option<Object>,
    db: Arc<Db>,
    heard: Arc<Heard>,
    audio_before: f64,
    /// Statements that the server has not answered yet: none, unless the session is dropped in the middle of one.
    unanswered: AtomicUsize,
}

impl Session {
    fn client(&self) -> &Client {
        self.object.as_ref().expect("there until the end")
    }

    async fn begin(
        &mut self,
        role: &str,
        timeout: Duration,
        access: Access,
    ) -> Result<(), tokio_postgres::Error> {
        let mode = if access == Access::Read {
            "READ ONLY"
        } else {
            "READ WRITE"
        };
        let sql = format!(
            "BEGIN {mode}; SET LOCAL statement_timeout = {}; SELECT pg_backend_pid(), audio_seconds FROM {}.ai_audio_stats(); SET LOCAL ROLE {}",
            timeout.as_millis(),
            self.db.schema,
            quote(role)
        );
        let said = self.answered(self.client().simple_query(&sql)).await?;
        let mut rows = said.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        if let Some(row) = rows.next() {
            let pid = row
                .get(0)
                .and_then(|pid| pid.parse().ok())
                .unwrap_or_default();
            self.audio_before = row
                .get(1)
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or_default();
            self.heard = self.db.notices.get(pid);
            self.heard.clear();
        }
        Ok(())
    }

    /// Waits for an answer.
    async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, tokio_postgres::Error> {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        let answer = answer.await;
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    /// What the backend says meanwhile.
    pub fn heard(&self) -> Arc<Heard> {
        self.heard.clone()
    }

    /// Rows of a statement.
    ///
    /// # Errors
    /// What the database says.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, ApiError> {
        Ok(self
            .answered(self.client().query_typed(sql, params))
            .await?)
    }

    /// The first column of the first row; none without a row or where it is NULL.
    ///
    /// # Errors
    /// What the database says.
    pub async fn value<T: FromSqlOwned>(
        &self,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<T>, ApiError> {
        let rows = self.query(sql, params).await?;
        Ok(match rows.first() {
            Some(row) => row.try_get::<_, Option<T>>(0)?,
            None => None,
        })
    }

    /// JSON that the statement gives as text, passed on as it is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn json(&self, sql: &str, params: &[Param<'_>]) -> Result<Box<RawValue>, ApiError> {
        let text: Option<String> = self.value(sql, params).await?;
        RawValue::from_string(text.unwrap_or("null".into())).map_err(|error| {
            tracing::error!(error = %error, "the database gave no JSON");
            ApiError::new(
                axum::http::StatusCode::INTERNAL_SERVER_ERROR,
                "an answer of the database was not understood",
            )
        })
    }

    /// Statements without parameters.
    ///
    /// # Errors
    /// What the database says.
    pub async fn run(&self, sql: &str) -> Result<(), ApiError> {
        Ok(self.answered(self.client().batch_execute(sql)).await?)
    }

    /// Goes on as the service itself, in the same transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn as_service(&self) -> Result<(), ApiError> {
        self.run("SET LOCAL ROLE NONE").await
    }

    /// Goes on as a key's role.
    ///
    /// # Errors
    /// What the database says.
    pub async fn as_role(&self, role: &str) -> Result<(), ApiError> {
        self.run(&format!("SET LOCAL ROLE {}", quote(role))).await
    }

    /// Commits; the warnings that there were.
    ///
    /// # Errors
    /// What the database says.
    pub async fn commit(mut self) -> Result<Vec<String>, ApiError> {
        let sql = format!(
            "SET LOCAL ROLE NONE; SELECT audio_seconds FROM {}.ai_audio_stats(); COMMIT",
            self.db.schema
        );
        let said = self.answered(self.client().simple_query(&sql)).await?;
        for message in &said {
            if let SimpleQueryMessage::Row(row) = message {
                let after: f64 = row
                    .get(0)
                    .and_then(|seconds| seconds.parse().ok())
                    .unwrap_or_default();
                crate::metrics::audio_seconds(after - self.audio_before);
            }
        }
        let warnings = self.heard.of_severity("WARNING");
        drop(self.object.take()); // back to the pool
        Ok(warnings)
    }

    fn discard(mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        if object.is_closed() {
            drop(Object::take(object));
            return;
        }
        let unanswered = self.unanswered.load(Ordering::Relaxed) > 0;
        let (cancel, tls) = (object.cancel_token(), self.db.tls.clone());
        tokio::spawn(async move {
            let recovered = async {
                // The server has sent the signal when this connection ends, so nothing that comes later is hit.
                if unanswered {
                    let _ = cancel.cancel_query(tls).await;
                }
                object.batch_execute("ROLLBACK").await
            };
            if !matches!(tokio::time::timeout(RECOVERY, recovered).await, Ok(Ok(()))) {
                drop(Object::take(object));
            }
        });
    }
}
