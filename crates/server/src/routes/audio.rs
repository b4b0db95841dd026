//! Endpoints on one recording.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{PART, options};
use crate::App;
use crate::db::{Access, Session};
use crate::error::ApiError;
use crate::input::{Input, Recording};
use crate::jobs::{self, Wanted};
use crate::openapi::{Accepted, Embedding, Success, Upload};
use crate::results;
use crate::work::{Answer, Caller, text};

/// A recording and a part of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct EmbeddingRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    input_audio: Option<String>,
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
    /// Do it as a job.
    #[serde(rename = "async")]
    asynchronous: Option<bool>,
    /// Where the job's end is told: a URL that takes a signed POST.
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
}

/// The voiceprint of a recording.
#[utoipa::path(
    post, path = "/audio/embedding", tag = "audio",
    request_body(content((EmbeddingRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, body = Embedding), (status = 202, body = Accepted))
)]
pub async fn embedding(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("input_audio")?;
    let options = Value::Object(options(&input.parameters, &PART)).to_string();
    let asked: EmbeddingRequest = input.parameters()?;
    jobs::answer(
        &app,
        &caller,
        "/audio/embedding",
        Wanted::of(asked.asynchronous, asked.callback_url.as_deref())?,
        move |work| async move {
            let session = work.session(Access::Read).await?;
            let sql = format!(
                "SELECT ai_audio_embed($1, $2::{}, $3::text::jsonb)::real[]",
                recording.sql_type()
            );
            let mut bytes: &[u8] = &[];
            let params = [
                text(&work.app.config.voice_model),
                recording.param(&mut bytes),
                text(&options),
            ];
            let voiceprint: Option<Vec<f32>> = session.value(&sql, &params).await?;
            let voiceprint =
                voiceprint.ok_or_else(|| ApiError::bad("there is no voice in the recording"))?;
            Ok(Answer::of(voiceprint).warned(session.commit().await?))
        },
    )
    .await
}

/// A recording.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct AudioRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
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
    /// Do it as a job.
    #[serde(rename = "async")]
    asynchronous: Option<bool>,
    /// Where the job's end is told: a URL that takes a signed POST.
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
}

/// A query on a recording `$1` with options `$2`, whose only value is JSON.
async fn ask(
    app: &Arc<App>,
    caller: &Caller,
    endpoint: &'static str,
    wanted: Wanted,
    recording: Recording,
    options: Map<String, Value>,
    sql: String,
) -> Result<Response, ApiError> {
    let options = Value::Object(options).to_string();
    jobs::answer(app, caller, endpoint, wanted, move |work| async move {
        let session = work.session(Access::Read).await?;
        let mut bytes: &[u8] = &[];
        let result = session
            .json(&sql, &[recording.param(&mut bytes), text(&options)])
            .await?;
        Ok(Answer::new(result).warned(session.commit().await?))
    })
    .await
}

/// Whether a recording is fit to enrol a voice.
#[utoipa::path(
    post, path = "/audio/quality", tag = "audio",
    request_body(content((AudioRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, body = Success), (status = 202, body = Accepted))
)]
pub async fn quality(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("audio_url")?;
    let options = options(&input.parameters, &PART);
    let asked: AudioRequest = input.parameters()?;
    let sql = format!(
        "SELECT row_to_json(q)::text FROM ai_audio_quality($1::{}, $2::text::jsonb) q",
        recording.sql_type()
    );
    ask(
        &app,
        &caller,
        "/audio/quality",
        Wanted::of(asked.asynchronous, asked.callback_url.as_deref())?,
        recording,
        options,
        sql,
    )
    .await
}

/// A recording with several speakers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct DiarizeRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
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
    /// How many speakers there are, if known.
    #[schema(minimum = 1, maximum = 100)]
    speaker_count: Option<i32>,
    /// Name speakers whose voices are in the library.
    identify: Option<bool>,
    /// Do it as a job.
    #[serde(rename = "async")]
    asynchronous: Option<bool>,
    /// Where the job's end is told: a URL that takes a signed POST.
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
}

/// Who speaks when.
#[utoipa::path(
    post, path = "/audio/diarize", tag = "audio",
    request_body(content((DiarizeRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, body = Success), (status = 202, body = Accepted))
)]
pub async fn diarize(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("audio_url")?;
    let mut options = options(
        &input.parameters,
        &[PART.as_slice(), &["speaker_count"]].concat(),
    );
    let asked: DiarizeRequest = input.parameters()?;
    if asked.identify == Some(true) {
        options.insert("library".into(), json!(app.config.library.quoted()));
    }
    let sql = format!(
        "SELECT coalesce(json_agg(json_build_object('speaker_id', speaker_id, 'name', name, 'start_time', start_time,
           'end_time', end_time, 'overlap', overlap, 'confidence', confidence)), '[]')::text
         FROM ai_audio_diarize($1::{}, $2::text::jsonb)",
        recording.sql_type()
    );
    ask(
        &app,
        &caller,
        "/audio/diarize",
        Wanted::of(asked.asynchronous, asked.callback_url.as_deref())?,
        recording,
        options,
        sql,
    )
    .await
}

/// A recording to be cleaned.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct EnhanceRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
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
    /// The model.
    model: Option<String>,
    /// `wav` or `flac`.
    format: Option<String>,
    /// Most attenuation, dB.
    strength: Option<f64>,
    /// Sample rate of the result, Hz.
    sample_rate: Option<i32>,
    /// `audio`: the answer is the recording; `url`: a temporary URL of it.
    output_type: Option<EnhanceOutput>,
    /// Do it as a job; the result is a URL.
    #[serde(rename = "async")]
    asynchronous: Option<bool>,
    /// Where the job's end is told: a URL that takes a signed POST.
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
}

/// How a recording is given back.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnhanceOutput {
    /// As the body.
    Audio,
    /// As a temporary URL.
    Url,
}

/// A recording with less noise.
#[utoipa::path(
    post, path = "/audio/enhance", tag = "audio",
    request_body(content((EnhanceRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, description = "the recording, or its URL", content((Success = "application/json"), (Vec<u8> = "audio/wav"), (Vec<u8> = "audio/flac"))), (status = 202, body = Accepted))
)]
pub async fn enhance(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("audio_url")?;
    let options = options(
        &input.parameters,
        &[
            PART.as_slice(),
            &["model", "format", "strength", "sample_rate"],
        ]
        .concat(),
    );
    let asked: EnhanceRequest = input.parameters()?;
    let kind = if asked.format.as_deref() == Some("flac") {
        "audio/flac"
    } else {
        "audio/wav"
    };
    let wanted = Wanted::of(asked.asynchronous, asked.callback_url.as_deref())?;
    let options = Value::Object(options).to_string();
    let cleaned = move |session: Session| async move {
        require(&session, "ai_audio_enhance").await?;
        let sql = format!(
            "SELECT ai_audio_enhance($1::{}, $2::text::jsonb)",
            recording.sql_type()
        );
        let mut bytes: &[u8] = &[];
        let cleaned: Option<Vec<u8>> = session
            .value(&sql, &[recording.param(&mut bytes), text(&options)])
            .await?;
        let warnings = session.commit().await?;
        let cleaned = cleaned.ok_or_else(|| ApiError::bad("there is nothing in the recording"))?;
        Ok::<_, ApiError>((cleaned, warnings))
    };
    if wanted.is_job() || asked.output_type == Some(EnhanceOutput::Url) {
        return jobs::answer(
            &app,
            &caller,
            "/audio/enhance",
            wanted,
            move |work| async move {
                let (cleaned, warnings) = cleaned(work.session(Access::Read).await?).await?;
                let url = results::keep(&work, kind, &cleaned).await?;
                Ok(Answer::of(url).warned(warnings))
            },
        )
        .await;
    }
    let work = crate::work::Work::new(&app, &caller, app.config.request_timeout)?;
    let (cleaned, _) = cleaned(work.session(Access::Read).await?).await?;
    let mut response = cleaned.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// 501 where the database's ai_audio is too old to have the function.
async fn require(session: &Session, function: &str) -> Result<(), ApiError> {
    let sql = "SELECT 1 FROM pg_catalog.pg_proc WHERE proname = $1 LIMIT 1";
    match session.value::<i32>(sql, &[text(&function)]).await? {
        Some(_) => Ok(()),
        None => Err(ApiError::missing_function(function)),
    }
}

/// A recording and the rules that it is held against.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct InspectRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    audio_url: Option<String>,
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
    /// Rules in plain words, or a list such as `[{"rule": "no insults", "pattern": "idiot"}]`.
    #[schema(value_type = Object)]
    policy: Value,
    /// The language model: a server of the database.
    server: Option<String>,
    /// The language spoken.
    lang: Option<String>,
    /// How many speakers there are, if known.
    #[schema(minimum = 1, maximum = 100)]
    speaker_count: Option<i32>,
    /// Name speakers whose voices are in the library.
    identify: Option<bool>,
    /// Do it as a job.
    #[serde(rename = "async")]
    asynchronous: Option<bool>,
    /// Where the job's end is told: a URL that takes a signed POST.
    #[schema(max_length = 2048)]
    callback_url: Option<String>,
}

/// What a recording violates of a policy, with quotes and times.
#[utoipa::path(
    post, path = "/audio/inspect", tag = "audio",
    request_body(content((InspectRequest = "application/json"), (Upload = "multipart/form-data"))),
    responses((status = 200, body = Success), (status = 202, body = Accepted))
)]
pub async fn inspect(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("audio_url")?;
    let mut options = options(
        &input.parameters,
        &[PART.as_slice(), &["server", "lang", "speaker_count"]].concat(),
    );
    let asked: InspectRequest = input.parameters()?;
    if asked.identify == Some(true) {
        options.insert("library".into(), json!(app.config.library.quoted()));
    }
    // Plain words are text, rules are jsonb: the function has a form for each.
    let (policy, policy_type) = match asked.policy {
        Value::String(words) => (words, "text"),
        rules @ (Value::Array(_) | Value::Object(_)) => (rules.to_string(), "text::jsonb"),
        _ => {
            return Err(ApiError::bad(
                "policy must be a text, or a list of rules such as [{\"rule\": \"no insults\", \"pattern\": \"idiot\"}]",
            ));
        }
    };
    let options = Value::Object(options).to_string();
    jobs::answer(&app, &caller, "/audio/inspect", Wanted::of(asked.asynchronous, asked.callback_url.as_deref())?, move |work| async move {
        // A language model may be asked, which no read-only transaction forbids; the function may still note what it did.
        let session = work.session(Access::Write).await?;
        require(&session, "ai_audio_inspect").await?;
        let sql = format!(
            "SELECT coalesce(json_agg(row_to_json(i)), '[]')::text FROM ai_audio_inspect($1::{}, $2::{policy_type}, $3::text::jsonb) i",
            recording.sql_type()
        );
        let mut bytes: &[u8] = &[];
        let result = session.json(&sql, &[recording.param(&mut bytes), text(&policy), text(&options)]).await?;
        Ok(Answer::new(result).warned(session.commit().await?))
    })
    .await
}
