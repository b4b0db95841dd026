//! `/bailian/funasr/asr`: what is said, by whom.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::{PART, options};
use crate::App;
use crate::db::Access;
use crate::error::ApiError;
use crate::input::{Input, Recording};
use crate::jobs::{self, Wanted};
use crate::openapi::{Accepted, Success, Upload};
use crate::results;
use crate::work::{Answer, Caller, Work, text};

/// The model for whatever the cloud calls its own.
const DEFAULT_MODEL: &str = "audio_transcription";
/// What the cloud's models are called, or how their names begin.
const CLOUD: [&str; 5] = ["fun-asr", "paraformer", "sensevoice", "qwen", "gummy"];
/// A client that takes no sentence for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Silence is broken after so long, so that nobody between gives up.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A recording to be written down.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some are read as options")]
pub struct AsrRequest {
    /// URL of the recording, or a path on the database server.
    #[schema(required = true, nullable = false, min_length = 1)]
    source_url: Option<String>,
    /// A model of the cloud, for which a local one works, or a local model.
    #[schema(default = "fun-asr")]
    model_name: Option<String>,
    /// Tell speakers apart.
    #[schema(default = true)]
    diarization: Option<bool>,
    /// How many speakers there are, if known.
    #[schema(minimum = 1, maximum = 100)]
    speaker_count: Option<i32>,
    /// What is given back: `url` is a temporary URL of the JSON document.
    #[schema(default = "url")]
    output_type: Option<Output>,
    /// The language spoken, such as `en`; detected if not given.
    lang: Option<String>,
    /// What one entry holds: `word`, `sentence` or `speaker`.
    diarization_mode: Option<String>,
    /// List words with their times.
    word_timestamps: Option<bool>,
    /// Name speakers whose voices are in the library.
    identify: Option<bool>,
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

/// What is given back.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// A temporary URL of the JSON document.
    Url,
    /// The JSON document.
    Json,
    /// The bare text.
    Text,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
}

/// What is said in a recording. With `Accept: text/event-stream` sentences are sent as they are recognised.
#[utoipa::path(
    post, path = "/bailian/funasr/asr", tag = "asr",
    request_body(content((AsrRequest = "application/json"), (Upload = "multipart/form-data"), (Vec<u8> = "audio/wav"))),
    responses((status = 200, description = "the transcript", content((Success = "application/json"), (String = "text/event-stream"))), (status = 202, body = Accepted))
)]
pub async fn transcribe(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, ApiError> {
    let streaming = request
        .headers()
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"));
    let mut input = Input::read(&app, request).await?;
    let recording = input.recording("source_url")?;
    let names = [
        PART.as_slice(),
        &[
            "speaker_count",
            "lang",
            "diarization_mode",
            "word_timestamps",
        ],
    ]
    .concat();
    let mut options = options(&input.parameters, &names);
    let asked: AsrRequest = input.parameters()?;
    let asked_model = asked.model_name.unwrap_or("fun-asr".into());
    let model = local(&app, &asked_model);
    if asked.identify == Some(true) {
        options.insert("library".into(), json!(app.config.library.quoted()));
    }
    if streaming {
        // To tell speakers apart takes the whole recording first, so here it is done on request only.
        options.insert(
            "diarization".into(),
            json!(asked.diarization.unwrap_or(false)),
        );
        return stream(&app, &caller, model, recording, options).await;
    }
    options.insert(
        "diarization".into(),
        json!(asked.diarization.unwrap_or(true)),
    );
    let output = asked.output_type.unwrap_or(Output::Url);
    options.insert(
        "output_type".into(),
        json!(match output {
            Output::Url | Output::Json => "json",
            Output::Text => "text",
            Output::Srt => "srt",
            Output::Vtt => "vtt",
        }),
    );
    let options = Value::Object(options).to_string();
    jobs::answer(
        &app,
        &caller,
        "/bailian/funasr/asr",
        Wanted::of(asked.asynchronous, asked.callback_url.as_deref())?,
        move |work| async move {
            let session = work.session(Access::Read).await?;
            let sql = format!(
                "SELECT ai_audio_transcribe($1, $2::{}, $3::text::jsonb)",
                recording.sql_type()
            );
            let mut bytes: &[u8] = &[];
            let said: Option<String> = session
                .value(
                    &sql,
                    &[text(&model), recording.param(&mut bytes), text(&options)],
                )
                .await?;
            let warnings = session.commit().await?;
            let said =
                said.ok_or_else(|| ApiError::bad("there is nothing to hear in the recording"))?;
            let answer = match output {
                Output::Url => {
                    Answer::of(results::keep(&work, "application/json", said.as_bytes()).await?)
                }
                Output::Json => Answer::new(
                    RawValue::from_string(said)
                        .map_err(|error| ApiError::bad(error.to_string()))?,
                ),
                _ => Answer::of(said),
            };
            Ok(answer
                .warned(warnings)
                .with("model", json!({"asked": asked_model, "used": model})))
        },
    )
    .await
}

/// The local model for a name: as configured; for the cloud's models the default; else itself.
fn local(app: &App, asked: &str) -> String {
    let cloud = || CLOUD.iter().any(|name| asked.starts_with(name));
    match app.config.models.get(asked) {
        Some(model) => model.clone(),
        None if cloud() => app
            .config
            .models
            .get("default")
            .cloned()
            .unwrap_or(DEFAULT_MODEL.into()),
        None => asked.into(),
    }
}

/// Sentences as server-sent events, one fetched from a cursor when the one before is on its way.
async fn stream(
    app: &Arc<App>,
    caller: &Caller,
    model: String,
    recording: Recording,
    options: Map<String, Value>,
) -> Result<Response, ApiError> {
    let work = Work::new(app, caller, app.config.job_timeout)?;
    let session = work.session(Access::Read).await?;
    let options = Value::Object(options).to_string();
    // In the select list rows are made as they are fetched; in FROM all would be made first.
    let sql = format!(
        "DECLARE said NO SCROLL CURSOR FOR SELECT row_to_json(ai_audio_sentences($1::{}, $2, $3::text::jsonb))::text",
        recording.sql_type()
    );
    let mut bytes: &[u8] = &[];
    session
        .query(
            &sql,
            &[recording.param(&mut bytes), text(&model), text(&options)],
        )
        .await?;
    // What is wrong with the recording shows with the first row, while there is a status to say it with.
    let mut next: Option<String> = session.value("FETCH 1 FROM said", &[]).await?;
    drop(recording);
    let (events, mut taken) = mpsc::channel::<String>(1);
    tokio::spawn(async move {
        let work = work;
        let mut count = 0_u32;
        let end = loop {
            let Some(sentence) = next else {
                break match session.commit().await {
                    Ok(warnings) => format!(
                        "event: end\ndata: {}\n\n",
                        json!({"sentences": count, "warnings": warnings, "model": model})
                    ),
                    Err(error) => failed(&error),
                };
            };
            count += 1;
            if events
                .send_timeout(
                    format!("event: sentence\nid: {count}\ndata: {sentence}\n\n"),
                    PATIENCE,
                )
                .await
                .is_err()
            {
                return; // the client is gone or asleep; the session that is dropped here cancels its query
            }
            next = tokio::select! {
                fetched = session.value("FETCH 1 FROM said", &[]) => match fetched {
                    Ok(fetched) => fetched,
                    Err(error) => break failed(&error),
                },
                () = events.closed() => return,
            };
        };
        let _ = events.send_timeout(end, PATIENCE).await;
        drop(work);
    });
    let frames = futures_util::stream::unfold(
        taken.recv().await.map(|first| (first, taken)),
        |state| async move {
            let (event, mut taken) = state?;
            let next = match tokio::time::timeout(KEEP_ALIVE, taken.recv()).await {
                Ok(next) => next,
                Err(_) => Some(": still listening\n\n".into()),
            };
            Some((
                Ok::<_, Infallible>(Frame::data(Bytes::from(event))),
                next.map(|next| (next, taken)),
            ))
        },
    );
    let mut response = Body::new(StreamBody::new(frames)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    Ok(response)
}

fn failed(error: &ApiError) -> String {
    format!(
        "event: error\ndata: {}\n\n",
        json!({"code": error.status.as_u16(), "message": error.message})
    )
}
