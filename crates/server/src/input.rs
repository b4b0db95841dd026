//! What a request says, however it says it: JSON, a form, a query string, parts with recordings in them, or a recording
//! as the body.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio_postgres::types::Type;

use crate::App;
use crate::db::Param;
use crate::error::ApiError;
use crate::limits::Memory;

/// Most parts and parameters of a request.
const MAX_FIELDS: usize = 128;
/// Longest parameter, bytes.
const MAX_TEXT: usize = 1 << 20;

/// A recording: where it is, or itself.
#[derive(Clone)]
pub enum Recording {
    /// A URL, or a path on the database server.
    Url(String),
    /// The bytes, and the memory that was set aside for them.
    Bytes(
        Bytes,
        #[allow(dead_code, reason = "held, not looked at")] Arc<Memory>,
    ),
}

impl Recording {
    /// As a parameter of a statement; `bytes` holds a view of the bytes.
    pub fn param<'a>(&'a self, bytes: &'a mut &'a [u8]) -> Param<'a> {
        match self {
            Self::Url(url) => (url, Type::TEXT),
            Self::Bytes(content, _) => {
                *bytes = content;
                (bytes, Type::BYTEA)
            }
        }
    }

    /// The SQL type of the parameter.
    pub fn sql_type(&self) -> &'static str {
        match self {
            Self::Url(_) => "text",
            Self::Bytes(..) => "bytea",
        }
    }
}

/// Parameters, and recordings that came with them.
#[derive(Default)]
pub struct Input {
    /// By name.
    pub parameters: Map<String, Value>,
    /// By the name of their part; a raw body has none.
    pub recordings: Vec<(String, Recording)>,
}

/// What a text from a query string or a form stands for; in JSON a value has its type already.
#[derive(Clone, Copy)]
enum Kind {
    Number,
    Truth,
    Texts,
    Json,
}

const KINDS: &[(&str, Kind)] = &[
    ("start_time", Kind::Number),
    ("end_time", Kind::Number),
    ("top_k", Kind::Number),
    ("id", Kind::Number),
    ("limit", Kind::Number),
    ("speaker_count", Kind::Number),
    ("prior", Kind::Number),
    ("threshold", Kind::Number),
    ("min_size", Kind::Number),
    ("clusters", Kind::Number),
    ("strength", Kind::Number),
    ("sample_rate", Kind::Number),
    ("diarization", Kind::Truth),
    ("word_timestamps", Kind::Truth),
    ("require_fit", Kind::Truth),
    ("async", Kind::Truth),
    ("identify", Kind::Truth),
    ("names", Kind::Texts),
    ("audio_urls", Kind::Texts),
    ("policy", Kind::Json),
];

impl Input {
    /// Reads the request to its end, within the limits.
    ///
    /// # Errors
    /// 400, 408, 413, 415, 503.
    pub async fn read(app: &Arc<App>, request: Request) -> Result<Self, ApiError> {
        let mut input = Self::default();
        input.add_form(request.uri().query().unwrap_or_default().as_bytes())?;
        let reading = input.read_body(app, request);
        tokio::time::timeout(app.config.upload_timeout, reading)
            .await
            .map_err(|_| {
                ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not arrive in time",
                )
            })??;
        Ok(input)
    }

    async fn read_body(&mut self, app: &Arc<App>, request: Request) -> Result<(), ApiError> {
        let declared = header(&request, header::CONTENT_LENGTH)
            .and_then(|length| length.parse::<usize>().ok());
        if declared.is_some_and(|length| length > app.config.max_body) {
            return Err(too_large(app));
        }
        let kind = header(&request, header::CONTENT_TYPE)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_string();
        match kind.as_str() {
            "multipart/form-data" => return self.read_parts(app, request).await,
            "application/json" | "application/x-www-form-urlencoded" | "" => {}
            kind if is_recording(kind) => {}
            other => {
                let message = format!(
                    "a body is application/json, multipart/form-data or a recording (audio/*), not {other:?}"
                );
                return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
            }
        }
        let (body, memory) = read_all(app, request.into_body(), declared).await?;
        match kind.as_str() {
            _ if body.is_empty() => Ok(()),
            "application/x-www-form-urlencoded" => self.add_form(&body),
            kind if is_recording(kind) => {
                self.recordings
                    .push((String::new(), Recording::Bytes(body, Arc::new(memory))));
                Ok(())
            }
            _ => self.add_json(&body),
        }
    }

    fn add_json(&mut self, body: &[u8]) -> Result<(), ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad(format!("the body is not JSON: {error}")))?;
        let Value::Object(map) = value else {
            return Err(ApiError::bad(
                "the body must be a JSON object such as {\"name\": \"Diane\"}",
            ));
        };
        // To JSON 5.0 is as good an integer as 5.
        self.parameters
            .extend(map.into_iter().map(|(name, value)| (name, whole(value))));
        Ok(())
    }

    fn add_form(&mut self, form: &[u8]) -> Result<(), ApiError> {
        for (count, (name, text)) in url::form_urlencoded::parse(form).enumerate() {
            if count >= MAX_FIELDS {
                return Err(ApiError::bad(format!("more than {MAX_FIELDS} parameters")));
            }
            self.add_text(name.into_owned(), text.into_owned())?;
        }
        Ok(())
    }

    fn add_text(&mut self, name: String, text: String) -> Result<(), ApiError> {
        let kind = KINDS
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind);
        let wrong = |what: &str| ApiError::bad(format!("{name} must be {what}, not {text:?}"));
        let value = match kind {
            None => Value::String(text),
            Some(Kind::Number) => match serde_json::from_str(&text) {
                Ok(Value::Number(number)) => Value::Number(number),
                _ => return Err(wrong("a number")),
            },
            Some(Kind::Truth) => match text.as_str() {
                "true" | "1" => Value::Bool(true),
                "false" | "0" => Value::Bool(false),
                _ => return Err(wrong("true or false")),
            },
            Some(Kind::Texts) => {
                let more = text
                    .split(',')
                    .map(|part| Value::String(part.trim().into()));
                match self.parameters.get_mut(&name) {
                    Some(Value::Array(texts)) => {
                        texts.extend(more);
                        return Ok(());
                    }
                    _ => Value::Array(more.collect()),
                }
            }
            Some(Kind::Json) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        };
        self.parameters.insert(name, value);
        Ok(())
    }

    async fn read_parts(&mut self, app: &Arc<App>, request: Request) -> Result<(), ApiError> {
        let broken = |error: axum::extract::multipart::MultipartError| {
            ApiError::bad(format!(
                "the parts of the body cannot be read: {}",
                error.body_text()
            ))
        };
        // Our own limits count while parts are read; the extractor's would cut them short.
        let (mut head, body) = request.into_parts();
        head.extensions
            .insert(axum::extract::DefaultBodyLimit::disable());
        let request = Request::from_parts(head, body);
        let mut parts = Multipart::from_request(request, &())
            .await
            .map_err(|error| ApiError::bad(error.body_text()))?;
        let mut total = 0;
        let mut count = 0;
        while let Some(mut part) = parts.next_field().await.map_err(broken)? {
            count += 1;
            if count > MAX_FIELDS {
                return Err(ApiError::bad(format!("more than {MAX_FIELDS} parts")));
            }
            let name = part.name().unwrap_or_default().to_string();
            let is_file =
                part.file_name().is_some() || part.content_type().is_some_and(is_recording);
            let mut memory = Memory::default();
            let mut content = BytesMut::new();
            while let Some(chunk) = part.chunk().await.map_err(broken)? {
                total += chunk.len();
                if total > app.config.max_body {
                    return Err(too_large(app));
                }
                if !is_file && content.len() + chunk.len() > MAX_TEXT {
                    return Err(ApiError::bad(format!(
                        "the part {name:?} is too long; recordings need a file name"
                    )));
                }
                app.limits.remember(&mut memory, chunk.len())?;
                content.extend_from_slice(&chunk);
            }
            if is_file {
                self.recordings
                    .push((name, Recording::Bytes(content.freeze(), Arc::new(memory))));
            } else {
                let text = String::from_utf8(content.to_vec())
                    .map_err(|_| ApiError::bad(format!("the part {name:?} is not UTF-8")))?;
                self.add_text(name, text)?;
            }
        }
        Ok(())
    }

    /// The recording called `name`: a URL among the parameters, a part of this name or, where only one came, that one.
    ///
    /// # Errors
    /// 400 where there is none, or two.
    pub fn recording(&mut self, name: &str) -> Result<Recording, ApiError> {
        let uploaded = self
            .recordings
            .iter()
            .position(|(part, _)| part == name || part == name.trim_end_matches("_url"));
        let uploaded = uploaded.or((self.recordings.len() == 1).then_some(0));
        let url = self.parameters.remove(name);
        match (url, uploaded) {
            (Some(_), Some(_)) => Err(ApiError::bad(format!(
                "give {name} or upload a recording, not both"
            ))),
            (Some(Value::String(url)), None) if !url.is_empty() => Ok(Recording::Url(url)),
            (Some(_), None) => Err(ApiError::bad(format!("{name} must be a URL"))),
            (None, Some(at)) => Ok(self.recordings.remove(at).1),
            (None, None) => Err(ApiError::bad(format!(
                "{name} is missing: the URL of a recording; or upload one, as a part of multipart/form-data or as the body (audio/wav)"
            ))),
        }
    }

    /// The remaining parameters, all of them known.
    ///
    /// # Errors
    /// 400 for an unknown parameter, a wrong type or a recording that is not asked for.
    pub fn parameters<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        if !self.recordings.is_empty() {
            return Err(ApiError::bad(
                "more recordings were uploaded than this endpoint takes",
            ));
        }
        serde_path_to_error::deserialize(Value::Object(self.parameters)).map_err(|error| {
            let reason = in_json_words(&error.inner().to_string());
            let named = reason.starts_with("unknown field") || reason.starts_with("missing field");
            ApiError::bad(match error.path().to_string().as_str() {
                "." => reason,
                _ if named => reason,
                name => format!("{name}: {reason}"),
            })
        })
    }
}

/// What serde says of a value, without Rust's names of types.
fn in_json_words(reason: &str) -> String {
    let words = [
        ("expected i64", "expected a whole number"),
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
        ("expected a sequence", "expected a list"),
    ];
    let found = words.iter().find(|(rust, _)| reason.ends_with(rust));
    found.map_or(reason.into(), |(rust, json)| reason.replace(rust, json))
}

fn whole(value: Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() < 9e15 => {
            Value::from(number as i64)
        }
        _ => value,
    }
}

fn header(request: &Request, name: header::HeaderName) -> Option<&str> {
    request.headers().get(name)?.to_str().ok()
}

fn is_recording(kind: &str) -> bool {
    kind.starts_with("audio/")
        || kind.starts_with("video/")
        || matches!(kind, "application/octet-stream" | "application/ogg")
}

fn too_large(app: &App) -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!(
            "the body is larger than {} MB; give the URL of the recording instead",
            app.config.max_body >> 20
        ),
    )
}

async fn read_all(
    app: &App,
    mut body: Body,
    declared: Option<usize>,
) -> Result<(Bytes, Memory), ApiError> {
    let mut memory = Memory::default();
    if let Some(length) = declared {
        app.limits.remember(&mut memory, length)?;
    }
    let mut content = BytesMut::with_capacity(declared.unwrap_or_default());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::bad("the body ended early"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if content.len() + data.len() > app.config.max_body {
            return Err(too_large(app));
        }
        if declared.is_none() {
            app.limits.remember(&mut memory, data.len())?;
        }
        content.extend_from_slice(&data);
    }
    Ok((content.freeze(), memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_get_the_types_of_their_parameters() {
        let mut input = Input::default();
        input
            .add_form(b"name=J%C3%BCrgen+K&top_k=3&names=a,b&names=c&diarization=false&id=5")
            .expect("valid");
        let parameters = Value::Object(input.parameters);
        assert_eq!(
            parameters,
            serde_json::json!({"name": "Jürgen K", "top_k": 3, "names": ["a", "b", "c"], "diarization": false, "id": 5})
        );
    }

    #[test]
    fn wrong_types_are_named() {
        let error = Input::default()
            .add_form(b"top_k=many")
            .expect_err("no number");
        assert!(error.message.contains("top_k must be a number"), "{error}");
    }
}
