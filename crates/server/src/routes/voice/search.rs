//! `/voice/search`, 1:N, and `/voice/verify`, 1:1.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use utoipa::ToSchema;

use super::library::Id;
use super::{Ids, described};
use crate::App;
use crate::db::{Access, Session};
use crate::error::ApiError;
use crate::input::{Input, Recording};
use crate::openapi::{Hits, Success, Upload};
use crate::routes::{PART, STORE, options};
use crate::work::{Answer, Caller, NARROW_HZ, Voice, Work, hear, text};

/// Most hits of an answer: what pgvector's index can look at.
const MAX_HITS: i64 = 1000;

/// A voice to be found.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct SearchRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
    /// Only among voices of these names.
    names: Option<Vec<String>>,
    /// Most hits.
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    top_k: Option<i64>,
    /// Access key of an object store.
    oss_ak: Option<String>,
    /// Its secret.
    oss_sk: Option<String>,
    /// Its security token.
    oss_token: Option<String>,
    /// Begin of the part, ms.
    #[schema(minimum = 0)]
    start_time: Option<f64>,
    /// End of the part, ms.
    #[schema(minimum = 0)]
    end_time: Option<f64>,
    /// Probability of the same speaker before hearing the two.
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    prior: Option<f64>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// The voices of the library that are most like the one in a recording.
#[utoipa::path(
    post, path = "/voice/search", tag = "voice",
    request_body(content((SearchRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, body = Hits))
)]
pub async fn search(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("audio_url")?;
    let part = options(&input.parameters, &PART);
    let asked: SearchRequest = input.parameters()?;
    let most = asked.top_k.unwrap_or(1);
    if !(1..=MAX_HITS).contains(&most) {
        return Err(ApiError::bad(format!("top_k must be 1 to {MAX_HITS}")));
    }
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Read).await?;
    let voice = hear(&session, &app.config.voice_model, &recording, &part).await?;
    drop(recording);
    // The index looks at as many candidates as hits are wanted; for more, Postgres reads the table.
    session
        .run(&format!(
            "SET LOCAL hnsw.ef_search = {}",
            most.clamp(40, MAX_HITS)
        ))
        .await?;
    let nearest = format!(
        "SELECT *, cosine_similarity(voiceprint, $1::text::vector) AS similarity FROM {} {}
         ORDER BY similarity DESC NULLS LAST LIMIT $2",
        work.library(),
        if asked.names.is_some() {
            "WHERE name = ANY ($4)"
        } else {
            "WHERE $4::text[] IS NULL"
        },
    );
    let hits = compare(
        &session,
        &nearest,
        &voice,
        asked.prior,
        asked.ids == Some(Ids::String),
        most,
        (&asked.names, Type::TEXT_ARRAY),
    )
    .await?;
    let warnings = session.commit().await?;
    Ok(Answer::new(hits)
        .warned(warnings)
        .with("quality", voice.quality)
        .into_response())
}

/// Hits with probabilities: `nearest` chooses rows of the library by `$1` (the voiceprint), `$2` and `$4`.
async fn compare(
    session: &Session,
    nearest: &str,
    voice: &Voice,
    prior: Option<f64>,
    strings: bool,
    most: i64,
    chosen: crate::db::Param<'_>,
) -> Result<Box<serde_json::value::RawValue>, ApiError> {
    let sql = format!(
        "SELECT coalesce(json_agg(json_build_object({}, 'similarity', n.similarity, 'probability', v.probability,
             'same_speaker', v.same_speaker) ORDER BY n.similarity DESC NULLS LAST, id), '[]')::text
         FROM ({nearest}) n, LATERAL ai_voice_verify(n.voiceprint::vector, $1::text::vector, $3::text::jsonb || jsonb_strip_nulls(jsonb_build_object(
             'duration_a', n.quality->'speech_seconds', 'narrowband_a', (n.quality->>'bandwidth_hz')::float8 < {NARROW_HZ}))) v",
        described(strings),
    );
    let mut known = voice.known_as("b");
    if let Some(prior) = prior {
        known.insert("prior".into(), json!(prior));
    }
    let known = Value::Object(known).to_string();
    session
        .json(
            &sql,
            &[
                text(&voice.voiceprint),
                (&most, Type::INT8),
                text(&known),
                chosen,
            ],
        )
        .await
}

/// Two recordings, or a recording and a voice of the library.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct VerifyRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
    /// URL of the other recording.
    #[schema(min_length = 1)]
    other_url: Option<String>,
    /// Or the voice of the library with this id.
    id: Option<Id>,
    /// Access key of an object store.
    oss_ak: Option<String>,
    /// Its secret.
    oss_sk: Option<String>,
    /// Its security token.
    oss_token: Option<String>,
    /// Probability of the same speaker before hearing the two.
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    prior: Option<f64>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// Whether two recordings, or a recording and a voice of the library, are of one speaker.
#[utoipa::path(
    post, path = "/voice/verify", tag = "voice",
    request_body(content((VerifyRequest = "application/json"), (Upload = "multipart/form-data"))),
    responses((status = 200, body = Success))
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    // Two uploads are told apart by the names of their parts, or taken in order.
    if let [(first, _), (second, _)] = &mut input.recordings[..]
        && !matches!(
            (first.as_str(), second.as_str()),
            ("other" | "other_url", _) | (_, "other" | "other_url")
        )
    {
        (*first, *second) = ("audio_url".into(), "other_url".into());
    }
    let enrolled = input.parameters.get("id").is_some_and(|id| !id.is_null());
    let other = if enrolled {
        None
    } else {
        Some(second(&mut input)?)
    };
    let recording = input.recording("audio_url")?;
    let mut keys = options(&input.parameters, &STORE);
    let asked: VerifyRequest = input.parameters()?;
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Read).await?;
    let Some(other) = other else {
        let id = asked.id.as_ref().map(Id::value).transpose()?;
        let voice = hear(&session, &app.config.voice_model, &recording, &keys).await?;
        let one = format!(
            "SELECT *, cosine_similarity(voiceprint, $1::text::vector) AS similarity FROM {} WHERE id = $4 LIMIT $2",
            work.library()
        );
        let hits = compare(
            &session,
            &one,
            &voice,
            asked.prior,
            asked.ids == Some(Ids::String),
            1,
            (&id, Type::INT8),
        )
        .await?;
        let hits: Vec<Value> = serde_json::from_str(hits.get()).unwrap_or_default();
        let hit = hits
            .into_iter()
            .next()
            .ok_or_else(|| ApiError::not_found("there is no such voice in the library"))?;
        let warnings = session.commit().await?;
        return Ok(Answer::of(hit).warned(warnings).into_response());
    };
    if recording.sql_type() != other.sql_type() {
        return Err(ApiError::bad(
            "give both recordings as URLs, or upload both",
        ));
    }
    if let Some(prior) = asked.prior {
        keys.insert("prior".into(), json!(prior));
    }
    let keys = Value::Object(keys).to_string();
    let kind = recording.sql_type();
    let sql = format!(
        "SELECT row_to_json(v)::text FROM ai_audio_verify($1::{kind}, $2::{kind}, $3::text::jsonb) v"
    );
    let (mut a, mut b): (&[u8], &[u8]) = (&[], &[]);
    let result = session
        .json(
            &sql,
            &[recording.param(&mut a), other.param(&mut b), text(&keys)],
        )
        .await?;
    let warnings = session.commit().await?;
    Ok(Answer::new(result).warned(warnings).into_response())
}

/// The recording that the first one is compared with.
fn second(input: &mut Input) -> Result<Recording, ApiError> {
    if input.recordings.len() == 1 && !input.parameters.contains_key("other_url") {
        return Err(ApiError::bad(
            "with which voice? Upload another recording (other), or give id",
        ));
    }
    input.recording("other_url")
}
