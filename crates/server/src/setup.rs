//! What the service keeps in the database: keys, results, jobs, and the voice library where there is none.

use crate::KeyAction;
use crate::config::{Config, quote};
use crate::db::{connect, in_full};
use crate::keys;
use tokio_postgres::types::Type;

/// The service's own tables. Nobody but the owner, the service's role, may look.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS ai_audio_server;
REVOKE ALL ON SCHEMA ai_audio_server FROM PUBLIC;
CREATE TABLE IF NOT EXISTS ai_audio_server.keys (
  id text PRIMARY KEY,
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  role text NOT NULL,
  note text NOT NULL DEFAULT '',
  rate float8 CHECK (rate > 0),
  concurrency integer CHECK (concurrency > 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz
);
CREATE TABLE IF NOT EXISTS ai_audio_server.replies (
  key text NOT NULL,
  idempotency_key text NOT NULL,
  request bytea NOT NULL,
  reply text,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (key, idempotency_key)
);
CREATE TABLE IF NOT EXISTS ai_audio_server.results (
  token bytea PRIMARY KEY,
  key text NOT NULL,
  content_type text NOT NULL,
  content bytea NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS results_expires_at ON ai_audio_server.results (expires_at);
CREATE TABLE IF NOT EXISTS ai_audio_server.jobs (
  id text PRIMARY KEY,
  key text NOT NULL,
  endpoint text NOT NULL,
  state text NOT NULL,
  progress text,
  reply text,
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  seen_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE ai_audio_server.jobs ADD COLUMN IF NOT EXISTS callback text;
CREATE INDEX IF NOT EXISTS jobs_created_at ON ai_audio_server.jobs (created_at);
";

/// The voice library. An id is the time in milliseconds and, in its lower 20 bits, a counter: it sorts by time.
fn library(table: &str, schema: Option<&str>, sequence: &str, width: i32) -> String {
    let schema = schema
        .map(|schema| format!("CREATE SCHEMA IF NOT EXISTS {};", quote(schema)))
        .unwrap_or_default();
    format!(
        "{schema}
CREATE SEQUENCE IF NOT EXISTS {sequence} CYCLE MAXVALUE 1048575 MINVALUE 0 START 0;
CREATE TABLE {table} (
  id bigint PRIMARY KEY DEFAULT ((extract(epoch FROM clock_timestamp()) * 1000)::bigint << 20) | nextval('{literal}'),
  name text NOT NULL,
  location text,
  voiceprint vector({width}) NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  quality jsonb
);
ALTER SEQUENCE {sequence} OWNED BY {table}.id;
CREATE INDEX ON {table} (name);
CREATE INDEX ON {table} USING hnsw (voiceprint vector_cosine_ops);
COMMENT ON TABLE {table} IS 'voices that ai_audio_server enrols and finds';",
        literal = sequence.replace('\'', "''"),
    )
}

/// Makes what is missing, and says so.
///
/// # Errors
/// What the database says.
pub async fn init(config: &Config, roles: &[String]) -> Result<(), String> {
    let client = connect(config).await?;
    let failed = |error: tokio_postgres::Error| in_full(&error);
    let rows = client.query_typed("SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
                             WHERE e.extname IN ('ai_audio', 'vector')", &[]).await.map_err(failed)?;
    let schemas: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if schemas.is_empty() {
        return Err("the database has no ai_audio: CREATE EXTENSION ai_audio CASCADE".into());
    }
    client
        .batch_execute(&format!(
            "SET client_min_messages = warning; SET search_path = {}; BEGIN; {TABLES}",
            schemas.join(", ")
        ))
        .await
        .map_err(failed)?;
    let table = config.library.quoted();
    let schema = config.library.schema.as_deref();
    let counter = quote(&format!("{}_id_counter", config.library.name));
    let counter = match schema {
        Some(schema) => format!("{}.{counter}", quote(schema)),
        None => counter,
    };
    if !relation(&client, &table).await? {
        let dimensions =
            "SELECT dimensions FROM ai_audio_models WHERE name = $1 OR $1 = ANY (aliases)";
        let rows = client
            .query_typed(dimensions, &[(&config.voice_model, Type::TEXT)])
            .await
            .map_err(failed)?;
        let width = rows
            .first()
            .and_then(|row| row.get::<_, Option<i32>>(0))
            .unwrap_or(192);
        client
            .batch_execute(&library(&table, schema, &counter, width))
            .await
            .map_err(failed)?;
        tracing::info!(library = table, "the voice library was made");
    }
    for role in roles.iter().map(|role| quote(role)) {
        let usage = schema
            .map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {role};", quote(schema)))
            .unwrap_or_default();
        let sequence = if relation(&client, &counter).await? {
            format!("GRANT USAGE ON SEQUENCE {counter} TO {role};")
        } else {
            String::new()
        };
        client
            .batch_execute(&format!(
                "{usage} GRANT SELECT, INSERT, DELETE ON {table} TO {role}; {sequence}"
            ))
            .await
            .map_err(failed)?;
    }
    client.batch_execute("COMMIT").await.map_err(failed)?;
    Ok(())
}

async fn relation(client: &tokio_postgres::Client, name: &str) -> Result<bool, String> {
    let rows = client
        .query_typed("SELECT to_regclass($1) IS NOT NULL", &[(&name, Type::TEXT)])
        .await
        .map_err(|error| in_full(&error))?;
    Ok(rows[0].get(0))
}

/// At start: makes what is missing where the service's role may, else says what an administrator should do.
///
/// # Errors
/// Without the service's own tables there is no service.
pub async fn prepare(config: &Config) -> Result<(), String> {
    let client = connect(config).await?;
    // The newest of what `init` makes.
    let newest = "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('ai_audio_server.jobs') AND attname = 'callback')";
    let rows = client.query_typed(newest, &[]).await;
    let own: bool = rows.map_err(|error| in_full(&error))?[0].get(0);
    let library = relation(&client, &config.library.quoted()).await?;
    drop(client);
    if own && library {
        return Ok(());
    }
    match init(config, &[]).await {
        Ok(()) => Ok(()),
        Err(error) if own => {
            tracing::warn!(
                error,
                library = config.library.quoted(),
                "the library is not there and could not be made: run ai_audio_server init as its owner"
            );
            Ok(())
        }
        Err(error) => Err(format!(
            "the service's tables are not there and could not be made: {error}. Run `ai_audio_server init` as a role that may create schemas"
        )),
    }
}

/// Makes, lists and revokes keys.
///
/// # Errors
/// What the database says.
pub async fn key(config: &Config, action: KeyAction) -> Result<(), String> {
    let client = connect(config).await?;
    let failed = |error: tokio_postgres::Error| match error.code() {
        Some(code) if code.code() == "42P01" || code.code() == "3F000" => {
            "the service's tables are not there: run `ai_audio_server init` first".into()
        }
        _ => in_full(&error),
    };
    match action {
        KeyAction::Create {
            role,
            expires,
            note,
            rate,
            concurrency,
        } => {
            let usable =
                "SELECT pg_has_role(session_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1";
            let rows = client
                .query_typed(usable, &[(&role, Type::TEXT)])
                .await
                .map_err(failed)?;
            match rows.first().map(|row| row.get(0)) {
                Some(true) => {}
                Some(false) => {
                    return Err(format!(
                        "the service is no member of {role}: GRANT {} TO the role that it logs in as",
                        quote(&role)
                    ));
                }
                None => {
                    return Err(format!(
                        "there is no role {role}: CREATE ROLE {}",
                        quote(&role)
                    ));
                }
            }
            let (id, hash, whole) = keys::new_key();
            let insert = "INSERT INTO ai_audio_server.keys (id, hash, role, expires_at, note, rate, concurrency)
                          VALUES ($1, $2, $3, now() + $4::text::interval, $5, $6, $7)";
            client
                .execute_typed(
                    insert,
                    &[
                        (&id, Type::TEXT),
                        (&hash, Type::BYTEA),
                        (&role, Type::TEXT),
                        (&expires, Type::TEXT),
                        (&note, Type::TEXT),
                        (&rate, Type::FLOAT8),
                        (&concurrency, Type::INT4),
                    ],
                )
                .await
                .map_err(failed)?;
            println!("{whole}");
        }
        KeyAction::List => {
            let list = "SELECT id, role, to_char(created_at, 'YYYY-MM-DD'), coalesce(to_char(expires_at, 'YYYY-MM-DD'), 'never'),
                          CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END, note
                        FROM ai_audio_server.keys ORDER BY created_at, id";
            println!(
                "{:<11}  {:<20}  {:<10}  {:<10}  {:<7}  note",
                "id", "role", "created", "expires", "state"
            );
            for row in client.query_typed(list, &[]).await.map_err(failed)? {
                let column = |at: usize| row.get::<_, String>(at);
                println!(
                    "{:<11}  {:<20}  {:<10}  {:<10}  {:<7}  {}",
                    column(0),
                    column(1),
                    column(2),
                    column(3),
                    column(4),
                    column(5)
                );
            }
        }
        KeyAction::Revoke { id } => {
            let revoke = "UPDATE ai_audio_server.keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL";
            match client
                .execute_typed(revoke, &[(&id, Type::TEXT)])
                .await
                .map_err(failed)?
            {
                0 => return Err(format!("there is no valid key {id}")),
                _ => println!("{id} is revoked"),
            }
        }
    }
    Ok(())
}
