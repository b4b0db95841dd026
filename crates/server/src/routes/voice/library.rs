//! `/voice/query`, `/voice/delete`, `/voice/cluster`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;
use utoipa::{IntoParams, ToSchema};

use super::{Ids, described};
use crate::App;
use crate::db::Access;
use crate::error::ApiError;
use crate::input::Input;
use crate::openapi::{Deleted, Success, Voices};
use crate::routes::options;
use crate::work::{Answer, Caller, Work, text};

/// Most voices of an answer.
const MAX_LIMIT: i64 = 1000;
/// Most voices that are grouped for an answer.
const MAX_GROUPED: i64 = 20_000;

/// An id, as a number or as a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected a number of 64 bits, or its digits as text"
)]
pub enum Id {
    /// As a JSON number.
    Number(i64),
    /// As a text of digits.
    Text(String),
}

impl Id {
    /// Its value.
    ///
    /// # Errors
    /// 400 for a text that is no number.
    pub fn value(&self) -> Result<i64, ApiError> {
        match self {
            Self::Number(id) => Ok(*id),
            Self::Text(text) => text
                .parse()
                .map_err(|_| ApiError::bad(format!("an id is a number, not {text:?}"))),
        }
    }
}

/// Which voices.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct QueryRequest {
    /// All voices of this name.
    name: Option<String>,
    /// The voice with this id.
    #[param(value_type = Option<i64>)]
    id: Option<Id>,
    /// Most voices of the answer, if neither is given.
    #[schema(minimum = 1, maximum = 1000)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// Only voices with greater ids, for the next page.
    #[param(value_type = Option<i64>)]
    after: Option<Id>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// Voices of the library by name or id; without either, the library page by page.
#[utoipa::path(get, path = "/voice/query", tag = "voice", params(QueryRequest), responses((status = 200, body = Voices)))]
pub async fn query_get(
    app: State<Arc<App>>,
    caller: Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    query(app, caller, request).await
}

/// The same, with the parameters in the body.
#[utoipa::path(post, path = "/voice/query", tag = "voice", request_body = QueryRequest, responses((status = 200, body = Voices)))]
pub async fn query_post(
    app: State<Arc<App>>,
    caller: Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    query(app, caller, request).await
}

async fn query(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked: QueryRequest = Input::read(&app, request).await?.parameters()?;
    let (id, after) = (id_of(&asked.id)?, id_of(&asked.after)?);
    let limit = asked.limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::bad(format!("limit must be 1 to {MAX_LIMIT}")));
    }
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Read).await?;
    let sql = format!(
        "SELECT count(*), coalesce(json_agg(json_build_object({}) ORDER BY id), '[]')::text FROM
           (SELECT * FROM {} WHERE ($1::text IS NULL OR name = $1) AND ($2::bigint IS NULL OR id = $2) AND ($3::bigint IS NULL OR id > $3)
            ORDER BY id LIMIT $4) found",
        described(asked.ids == Some(Ids::String)),
        work.library(),
    );
    let params = [
        text(&asked.name),
        (&id, Type::INT8),
        (&after, Type::INT8),
        (&limit, Type::INT8),
    ];
    let rows = session.query(&sql, &params).await?;
    let (count, found): (i64, String) = (rows[0].get(0), rows[0].get(1));
    session.commit().await?;
    let found = serde_json::value::RawValue::from_string(found)
        .map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(Answer::new(found)
        .saying(format!("Found {count} voiceprint records"))
        .into_response())
}

fn id_of(id: &Option<Id>) -> Result<Option<i64>, ApiError> {
    id.as_ref().map(Id::value).transpose()
}

/// Which voices to delete.
#[derive(Debug, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteRequest {
    /// All voices of this name.
    name: Option<String>,
    /// The voice with this id.
    #[param(value_type = Option<i64>)]
    id: Option<Id>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// Deletes voices: the one with this id, or all of this name, all or none.
#[utoipa::path(delete, path = "/voice/delete", tag = "voice", params(DeleteRequest), responses((status = 200, body = Deleted)))]
pub async fn delete(
    app: State<Arc<App>>,
    caller: Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    remove(app, caller, request).await
}

/// The same, with the parameters in the body.
#[utoipa::path(post, path = "/voice/delete", tag = "voice", request_body = DeleteRequest, responses((status = 200, body = Deleted)))]
pub async fn delete_post(
    app: State<Arc<App>>,
    caller: Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    remove(app, caller, request).await
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked: DeleteRequest = Input::read(&app, request).await?.parameters()?;
    let id = id_of(&asked.id)?;
    if asked.name.is_none() && id.is_none() {
        return Err(ApiError::bad("which voice? Give name or id"));
    }
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Write).await?;
    let sql = format!(
        "WITH gone AS (DELETE FROM {} WHERE ($1::text IS NULL OR name = $1) AND ($2::bigint IS NULL OR id = $2) RETURNING id, name, location, created_at)
         SELECT count(*), coalesce(json_agg(json_build_object({}) ORDER BY id), '[]')::text FROM gone",
        work.library(),
        described(asked.ids == Some(Ids::String)),
    );
    let rows = session
        .query(&sql, &[text(&asked.name), (&id, Type::INT8)])
        .await?;
    let (count, gone): (i64, String) = (rows[0].get(0), rows[0].get(1));
    if count == 0 {
        return Err(ApiError::not_found(
            "there is no such voice, so nothing was deleted",
        ));
    }
    session.commit().await?;
    let gone = serde_json::value::RawValue::from_string(gone)
        .map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(Answer::new(gone)
        .saying(format!("Deleted {count} voiceprint records"))
        .into_response())
}

/// Checks a threshold also where there is nothing to group.
///
/// # Errors
/// 400.
pub fn grouping(threshold: Option<f64>) -> Result<(), ApiError> {
    match threshold {
        Some(threshold) if !(-1.0..=1.0).contains(&threshold) => {
            Err(ApiError::bad("threshold must be -1 to 1"))
        }
        _ => Ok(()),
    }
}

/// How to group.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct ClusterRequest {
    /// Only voices of these names.
    names: Option<Vec<String>>,
    /// Mean similarity from which groups are one.
    #[schema(minimum = -1, maximum = 1)]
    threshold: Option<f64>,
    /// Smaller groups are noise.
    #[schema(minimum = 1)]
    min_size: Option<i32>,
    /// The number of speakers, if known.
    #[schema(minimum = 1)]
    clusters: Option<i32>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// Which voices of the library are of one speaker.
#[utoipa::path(post, path = "/voice/cluster", tag = "voice", request_body = ClusterRequest, responses((status = 200, body = Success)))]
pub async fn cluster(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let input = Input::read(&app, request).await?;
    let options: Map<String, Value> =
        options(&input.parameters, &["threshold", "min_size", "clusters"]);
    let asked: ClusterRequest = input.parameters()?;
    grouping(asked.threshold)?;
    if asked.min_size.is_some_and(|size| size < 1)
        || asked.clusters.is_some_and(|number| number < 1)
    {
        return Err(ApiError::bad("min_size and clusters must be at least 1"));
    }
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Read).await?;
    let chosen = format!(
        "{} WHERE $1::text[] IS NULL OR name = ANY ($1)",
        work.library()
    );
    let count = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {chosen} LIMIT {}) few",
        MAX_GROUPED + 1
    );
    let count: Option<i64> = session
        .value(&count, &[(&asked.names, Type::TEXT_ARRAY)])
        .await?;
    if count > Some(MAX_GROUPED) {
        let message = format!(
            "there are more than {MAX_GROUPED} voices to group; give names, or use ai_voice_cluster in SQL"
        );
        return Err(ApiError::new(
            axum::http::StatusCode::PAYLOAD_TOO_LARGE,
            message,
        ));
    }
    let options = Value::Object(options).to_string();
    let sql = format!(
        "SELECT coalesce(json_agg(json_build_object('speaker', speaker, 'voices', voices) ORDER BY speaker NULLS LAST), '[]')::text FROM (
           SELECT speaker, json_agg(json_build_object({}) ORDER BY id) AS voices FROM (
             SELECT id, name, location, created_at, ai_voice_cluster(voiceprint, $2::text::jsonb) OVER (ORDER BY id) AS speaker FROM {chosen}) v
           GROUP BY speaker) g",
        described(asked.ids == Some(Ids::String)),
    );
    let result = session
        .json(&sql, &[(&asked.names, Type::TEXT_ARRAY), text(&options)])
        .await?;
    let warnings = session.commit().await?;
    Ok(Answer::new(result)
        .warned(warnings)
        .with("voices", json!(count))
        .into_response())
}
