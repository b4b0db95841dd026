//! `/voice/enroll`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use utoipa::ToSchema;

use super::{Ids, described};
use crate::App;
use crate::db::{Access, Session};
use crate::error::ApiError;
use crate::input::{Input, Recording};
use crate::openapi::{Success, Upload};
use crate::routes::{PART, STORE, options};
use crate::work::{Answer, Caller, Voice, Work, hear, text};

/// Most recordings of one voice.
const MAX_RECORDINGS: usize = 32;

/// A voice to be enrolled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct EnrollRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
    /// Several recordings of the voice instead; the library gets their profile.
    #[schema(nullable = false)]
    audio_urls: Option<Vec<String>>,
    /// Whose voice it is. Names need not be unique.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Where the recording is kept, for you to find it again.
    location: Option<String>,
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
    /// Refuse recordings that are not fit to enrol a voice.
    require_fit: Option<bool>,
    /// How ids are given.
    ids: Option<Ids>,
}

/// Enrols a voice. With the header `Idempotency-Key` a repeated request is answered as the first was, and enrols nothing.
#[utoipa::path(
    post, path = "/voice/enroll", tag = "voice",
    params(("Idempotency-Key" = Option<String>, Header, description = "any text that is new for each enrolment", max_length = 255)),
    request_body(content((EnrollRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, body = Success))
)]
pub async fn enroll(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let once = match request.headers().get("idempotency-key") {
        None => None,
        Some(value) if !value.is_empty() && value.len() <= 255 => {
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        }
        Some(_) => {
            return Err(ApiError::bad(
                "Idempotency-Key must have 1 to 255 characters",
            ));
        }
    };
    let mut input = Input::read(&app, request).await?;
    let digest = once.is_some().then(|| digest(&input));
    let recordings = recordings(&mut input)?;
    let part = if recordings.len() == 1 {
        options(&input.parameters, &PART)
    } else {
        options(&input.parameters, &STORE)
    };
    let asked: EnrollRequest = input.parameters()?;
    let cut = asked.start_time.is_some() || asked.end_time.is_some();
    if cut && recordings.len() > 1 {
        return Err(ApiError::bad(
            "start_time and end_time are of one recording, and here are several",
        ));
    }
    if asked.name.trim().is_empty() || asked.name.chars().count() > 200 {
        return Err(ApiError::bad("name must have 1 to 200 characters"));
    }
    let work = Work::new(&app, &caller, app.config.request_timeout)?;
    let session = work.session(Access::Write).await?;
    if let (Some(once), Some(digest)) = (&once, &digest)
        && let Some(reply) = earlier(&session, &caller, once, digest).await?
    {
        session.commit().await?;
        let mut response = (
            [(axum::http::header::CONTENT_TYPE, "application/json")],
            reply,
        )
            .into_response();
        response.headers_mut().insert(
            HeaderName::from_static("idempotency-replayed"),
            HeaderValue::from_static("true"),
        );
        return Ok(response);
    }
    let mut voices = Vec::new();
    for recording in &recordings {
        let voice = hear(&session, &app.config.voice_model, recording, &part).await?;
        if asked.require_fit.unwrap_or(app.config.require_fit)
            && voice.quality["fit_to_enrol"] != true
        {
            let reason = voice.quality["reason"]
                .as_str()
                .unwrap_or("it is not good enough");
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("the recording is not fit to enrol a voice: {reason}"),
            ));
        }
        voices.push(voice);
    }
    let result = insert(&work, &session, &asked, &voices).await?;
    let answer = Answer::new(result);
    if let Some(once) = &once {
        session.as_service().await?;
        let keep =
            "UPDATE ai_audio_server.replies SET reply = $3 WHERE key = $1 AND idempotency_key = $2";
        let reply = answer.to_text();
        session
            .query(keep, &[text(&caller.key.id), text(once), text(&reply)])
            .await?;
    }
    Ok(answer.warned(session.commit().await?).into_response())
}

/// All recordings that came, uploaded or as URLs.
fn recordings(input: &mut Input) -> Result<Vec<Recording>, ApiError> {
    let mut recordings = match input.parameters.remove("audio_urls") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(urls)) => urls
            .into_iter()
            .map(|url| match url {
                Value::String(url) if !url.is_empty() => Ok(Recording::Url(url)),
                _ => Err(ApiError::bad("audio_urls must be a list of URLs")),
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(ApiError::bad("audio_urls must be a list of URLs")),
    };
    if input.recordings.len() > 1 {
        recordings.extend(input.recordings.drain(..).map(|(_, recording)| recording));
    }
    if recordings.is_empty()
        || input.parameters.contains_key("audio_url")
        || !input.recordings.is_empty()
    {
        recordings.push(input.recording("audio_url")?);
    }
    if recordings.len() > MAX_RECORDINGS {
        return Err(ApiError::bad(format!(
            "a voice is enrolled from at most {MAX_RECORDINGS} recordings"
        )));
    }
    Ok(recordings)
}

/// What tells one enrolment from another.
fn digest(input: &Input) -> Vec<u8> {
    let mut sum = Sha256::new();
    sum.update(Value::Object(input.parameters.clone()).to_string());
    for (_, recording) in &input.recordings {
        if let Recording::Bytes(bytes, _) = recording {
            sum.update(Sha256::digest(bytes));
        }
    }
    sum.finalize().to_vec()
}

/// The reply to the first request with this Idempotency-Key; none if this is the first. Another such request that is under
/// way is waited for.
async fn earlier(
    session: &Session,
    caller: &Caller,
    once: &str,
    digest: &Vec<u8>,
) -> Result<Option<String>, ApiError> {
    session.as_service().await?;
    let claim = "INSERT INTO ai_audio_server.replies (key, idempotency_key, request) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1";
    let claimed = session
        .query(
            claim,
            &[text(&caller.key.id), text(&once), (digest, Type::BYTEA)],
        )
        .await?;
    let mut reply = None;
    if claimed.is_empty() {
        let first = "SELECT request = $3, reply FROM ai_audio_server.replies WHERE key = $1 AND idempotency_key = $2";
        let rows = session
            .query(
                first,
                &[text(&caller.key.id), text(&once), (digest, Type::BYTEA)],
            )
            .await?;
        let row = rows.first().ok_or_else(|| {
            ApiError::unavailable(
                "the first request with this Idempotency-Key has just ended; try again",
            )
        })?;
        if !row.get::<_, bool>(0) {
            return Err(ApiError::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "this Idempotency-Key was used for another enrolment; take a new one",
            ));
        }
        reply = row.get(1);
    }
    session.as_role(&caller.key.role).await?;
    Ok(reply)
}

async fn insert(
    work: &Work,
    session: &Session,
    asked: &EnrollRequest,
    voices: &[Voice],
) -> Result<Box<serde_json::value::RawValue>, ApiError> {
    let speech: f64 = voices.iter().map(Voice::speech).sum();
    let quality = match voices {
        [one] => one.quality.clone(),
        several => json!({
            "speech_seconds": speech,
            "bandwidth_hz": several.iter().filter_map(|voice| voice.quality["bandwidth_hz"].as_i64()).min(),
            "fit_to_enrol": several.iter().any(|voice| voice.quality["fit_to_enrol"] == true),
            "reason": null,
            "recordings": several.iter().map(|voice| &voice.quality).collect::<Vec<_>>(),
        }),
    };
    // One recording's voiceprint is stored as it is; several make a profile, weighed by seconds of speech.
    let voiceprint = match voices.len() {
        1 => "(SELECT v::vector FROM unnest($3::text[]) AS v)",
        _ => {
            "(SELECT ai_voice_profile(v::vector, w) FROM unnest($3::text[], $4::float8[]) AS t (v, w))"
        }
    };
    let sql = format!(
        "INSERT INTO {} (name, location, voiceprint, quality)
         SELECT $1, $2, {voiceprint}, $5::text::jsonb WHERE $4::float8[] IS NOT NULL
         RETURNING json_build_object({}, 'quality', quality)::text",
        work.library(),
        described(asked.ids == Some(Ids::String)),
    );
    let voiceprints: Vec<&str> = voices
        .iter()
        .map(|voice| voice.voiceprint.as_str())
        .collect();
    let weights: Vec<f64> = voices.iter().map(|voice| voice.speech().max(0.1)).collect();
    let quality = quality.to_string();
    session
        .json(
            &sql,
            &[
                text(&asked.name),
                text(&asked.location),
                (&voiceprints, Type::TEXT_ARRAY),
                (&weights, Type::FLOAT8_ARRAY),
                text(&quality),
            ],
        )
        .await
}
