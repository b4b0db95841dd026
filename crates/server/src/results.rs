//! Results that are fetched by a temporary, unguessable URL.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio_postgres::types::Type;

use crate::App;
use crate::error::ApiError;
use crate::keys;
use crate::work::Caller;

/// Keeps a result; its URL.
///
/// # Errors
/// 503.
pub async fn keep(
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
