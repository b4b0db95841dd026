//! Results that are fetched by a temporary, unguessable URL.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio_postgres::types::Type;

use crate::App;
use crate::db::Access;
use crate::error::ApiError;
use crate::keys;
use crate::work::{Caller, Work, text};

/// Longest validity of a temporary URL of a store, seconds.
const LONGEST: u64 = 7 * 24 * 3600;

/// Keeps a result, here or in the store that is configured; its URL.
///
/// # Errors
/// 403 and 424 of the store; 503.
pub async fn keep(work: &Work, content_type: &str, content: &[u8]) -> Result<String, ApiError> {
    match &work.app.config.result_store {
        Some(prefix) => store(work, prefix, content_type, content).await,
        None => keep_here(&work.app, &work.caller, content_type, content).await,
    }
}

/// Writes a result to an object store as the key's role; a temporary URL of it.
async fn store(
    work: &Work,
    prefix: &str,
    content_type: &str,
    content: &[u8],
) -> Result<String, ApiError> {
    let end = match content_type {
        "application/json" => "json",
        "audio/flac" => "flac",
        "audio/wav" => "wav",
        _ => "bin",
    };
    let name = format!("{prefix}{}.{end}", keys::token());
    let seconds = (work.app.config.keep_hours.saturating_mul(3600)).min(LONGEST) as i32;
    let session = work.session(Access::Write).await?;
    let sql = "SELECT ai_audio_presign(ai_audio_put($1, $2), $3)";
    let params = [
        text(&name),
        (&content as _, Type::BYTEA),
        (&seconds as _, Type::INT4),
    ];
    let url: Option<String> = session.value(sql, &params).await?;
    session.commit().await?;
    url.ok_or_else(|| ApiError::unavailable("the result could not be kept"))
}

async fn keep_here(
    app: &App,
    caller: &Caller,
    content_type: &str,
    content: &[u8],
) -> Result<String, ApiError> {
    let token = keys::token();
    let sql = "INSERT INTO ai_audio_server.results (token, key, content_type, content, expires_at)
               VALUES ($1, $2, $3, $4, now() + $5 * interval '1 hour')";
    let hours = app.config.keep_hours as f64;
    let connection = app.db.control().await?;
    let hash = keys::digest(&token);
    connection
        .execute_typed(
            sql,
            &[
                (&hash, Type::BYTEA),
                (&caller.key.id, Type::TEXT),
                (&content_type, Type::TEXT),
                (&content, Type::BYTEA),
                (&hours, Type::FLOAT8),
            ],
        )
        .await?;
    Ok(format!("{}/results/{token}", caller.base_url))
}

/// A kept result. Who has the URL may have it, until it expires.
#[utoipa::path(
    get, path = "/results/{token}", tag = "results", security(()),
    params(("token" = String, Path, description = "as in the URL that was given out")),
    responses((status = 200, description = "the result", content((String = "application/json"), (String = "text/plain"), (String = "audio/wav"))))
)]
pub async fn fetch(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
) -> Result<Response, ApiError> {
    let sql = "SELECT content_type, content FROM ai_audio_server.results WHERE token = $1 AND expires_at > now()";
    let connection = app.db.control().await?;
    let hash = keys::digest(&token);
    let rows = connection.query_typed(sql, &[(&hash, Type::BYTEA)]).await?;
    let row = rows
        .first()
        .ok_or_else(|| ApiError::not_found("there is no such result, or it has expired"))?;
    let (content_type, content): (String, Vec<u8>) = (row.get(0), row.get(1));
    let mut response = content.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_str(&content_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment"),
    );
    Ok(response)
}

/// Deletes what has expired.
///
/// # Errors
/// 503.
pub async fn expire(app: &App) -> Result<(), ApiError> {
    let connection = app.db.control().await?;
    connection
        .batch_execute("DELETE FROM ai_audio_server.results WHERE expires_at <= now()")
        .await?;
    let sql = "DELETE FROM ai_audio_server.replies WHERE created_at < now() - interval '24 hours'";
    connection.batch_execute(sql).await?;
    Ok(())
}
