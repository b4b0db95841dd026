//! For those who run it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::App;
use crate::error::ApiError;
use crate::work::Answer;

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "service", security(()), responses((status = 200, body = crate::openapi::Success)))]
pub async fn healthz() -> Answer {
    Answer::of(json!({"version": env!("CARGO_PKG_VERSION")}))
}

/// The database answers and has what the service needs.
#[utoipa::path(get, path = "/readyz", tag = "service", security(()), responses((status = 200, body = crate::openapi::Success)))]
pub async fn readyz(State(app): State<Arc<App>>) -> Result<Answer, ApiError> {
    let sql = format!(
        "SELECT to_regclass('ai_audio_server.keys') IS NOT NULL, extension FROM {}.ai_audio_version()",
        app.db.schema
    );
    let connection = app.db.control().await?;
    let rows = connection.query_typed(&sql, &[]).await?;
    match rows.first() {
        Some(row) if row.get(0) => Ok(Answer::of(
            json!({"ai_audio": row.get::<_, Option<String>>(1)}),
        )),
        _ => Err(ApiError::unavailable(
            "the service's tables are not in the database: run `ai_audio_server init`",
        )),
    }
}

/// Numbers in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "service", security(()), responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<Arc<App>>) -> Response {
    let (size, idle, waiting) = app.db.status();
    crate::metrics::pool(size, idle, waiting);
    app.metrics.run_upkeep();
    let mut response = app.metrics.render().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()), responses((status = 200, body = Object, content_type = "application/json")))]
pub async fn openapi() -> Response {
    let mut response = crate::openapi::document().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
