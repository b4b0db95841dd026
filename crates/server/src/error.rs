//! Every failure, and what a client sees of it: an HTTP status, the same number as `code`, and a message that says what
//! would be right. Nothing of a request goes into a message but what Postgres says of it, and that is without secrets.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio_postgres::error::{DbError, SqlState};

/// A refusal or a failure, ready to be sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// What was wrong and what would be right.
    pub message: String,
    /// The SQLSTATE, where the database said no.
    pub sqlstate: Option<String>,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// An error with a status and a message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            sqlstate: None,
            retry_after: None,
        }
    }

    /// 400: the request cannot be meant like that.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 429 or 503: not now.
    pub fn later(status: StatusCode, seconds: u64, message: impl Into<String>) -> Self {
        Self {
            retry_after: Some(seconds),
            ..Self::new(status, message)
        }
    }

    /// 503: the service or its database is busy or away.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::later(StatusCode::SERVICE_UNAVAILABLE, 2, message)
    }

    /// 501: the database's ai_audio does not have what this endpoint needs.
    pub fn missing_function(function: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!(
                "the database has no function {function}: ALTER EXTENSION ai_audio UPDATE, or install a newer ai_audio"
            ),
        )
    }

    fn of_database(error: &DbError) -> Self {
        let status = status_of(error.code());
        let mut message = error.message().to_string();
        if let Some(hint) = error.hint() {
            message = format!("{message}. {hint}");
        }
        // What went wrong inside is for the log.
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(
                sqlstate = error.code().code(),
                message,
                "the database failed"
            );
            message = "the database failed; the service's log says how".into();
        }
        Self {
            status,
            message,
            sqlstate: Some(error.code().code().into()),
            retry_after: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(2),
        }
    }
}

/// The HTTP status that says what an SQLSTATE says.
fn status_of(code: &SqlState) -> StatusCode {
    match code.code() {
        "42501" => StatusCode::FORBIDDEN,
        "42883" => StatusCode::NOT_IMPLEMENTED,
        "42P01" | "3F000" => StatusCode::SERVICE_UNAVAILABLE,
        "54000" => StatusCode::PAYLOAD_TOO_LARGE,
        "57014" => StatusCode::GATEWAY_TIMEOUT,
        "0A000" | "42704" | "42809" | "42P09" | "58P01" => StatusCode::BAD_REQUEST,
        // The host that a URL names, not ours.
        "08006" => StatusCode::FAILED_DEPENDENCY,
        other => match &other[..2] {
            "22" => StatusCode::BAD_REQUEST,
            "23" => StatusCode::CONFLICT,
            "08" | "28" | "40" | "53" | "57" | "3D" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    }
}

impl From<tokio_postgres::Error> for ApiError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self::of_database(said);
        }
        tracing::warn!(error = %error, "no answer from the database");
        Self::unavailable("the database does not answer; try again")
    }
}

impl From<deadpool_postgres::PoolError> for ApiError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::PoolError;
        match error {
            PoolError::Timeout(_) => {
                Self::unavailable("all database connections are busy; try again")
            }
            PoolError::Backend(error) => {
                tracing::error!(error = %error, "cannot connect to the database");
                Self::unavailable("the database cannot be reached; try again")
            }
            other => {
                tracing::error!(error = %other, "the pool of connections failed");
                Self::unavailable("the database cannot be reached; try again")
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body =
            json!({"code": self.status.as_u16(), "message": self.message, "result": null});
        if let Some(state) = &self.sqlstate {
            body["sqlstate"] = json!(state);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: HeaderValue| headers.insert(name, value);
        if let Some(seconds) = self.retry_after {
            set(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            set(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
