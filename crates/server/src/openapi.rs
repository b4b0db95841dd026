//! OpenAPI 3.1, from the handlers themselves.

#![allow(dead_code, reason = "these types only describe")]

use std::sync::OnceLock;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::routes::Described;

/// A success.
#[derive(Serialize, ToSchema)]
pub struct Success {
    /// 200.
    code: u16,
    /// `success`, or what was found.
    message: String,
    /// The result.
    #[schema(value_type = Value)]
    result: Value,
    /// What the database warned of, such as too little speech.
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// A voiceprint.
#[derive(Serialize, ToSchema)]
pub struct Embedding {
    code: u16,
    message: String,
    /// The vector.
    result: Vec<f32>,
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// A voice of the library.
#[derive(Serialize, ToSchema)]
pub struct VoiceRecord {
    /// Sorts by time; a text where `ids` is `string`.
    #[schema(value_type = crate::routes::Id)]
    id: i64,
    /// Whose voice it is.
    name: String,
    /// What was given when it was enrolled.
    location: Option<String>,
    /// When it was enrolled.
    #[schema(format = DateTime)]
    created_at: String,
}

/// Voices.
#[derive(Serialize, ToSchema)]
pub struct Voices {
    code: u16,
    /// `Found 1 voiceprint records`.
    message: String,
    result: Vec<VoiceRecord>,
}

/// Voices that were deleted.
#[derive(Serialize, ToSchema)]
pub struct Deleted {
    code: u16,
    /// `Deleted 1 voiceprint records`.
    message: String,
    result: Vec<VoiceRecord>,
}

/// A voice that is like the one heard.
#[derive(Serialize, ToSchema)]
pub struct Hit {
    #[schema(value_type = crate::routes::Id)]
    id: i64,
    name: String,
    location: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Cosine similarity.
    similarity: Option<f64>,
    /// That both are of one speaker.
    probability: Option<f64>,
    /// Whether the probability is at least one half.
    same_speaker: Option<bool>,
}

/// The nearest voices, nearest first.
#[derive(Serialize, ToSchema)]
pub struct Hits {
    code: u16,
    message: String,
    result: Vec<Hit>,
    /// Of the recording: how much speech there is in it, and how good it is.
    quality: Value,
    #[schema(nullable = false)]
    warnings: Option<Vec<String>>,
}

/// A job was accepted.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// 202.
    code: u16,
    message: String,
    result: AcceptedJob,
}

/// Where to ask for it.
#[derive(Serialize, ToSchema)]
pub struct AcceptedJob {
    id: String,
    url: String,
}

/// A job.
#[derive(Serialize, ToSchema)]
pub struct Job {
    code: u16,
    message: String,
    result: JobState,
}

/// How a job is going.
#[derive(Serialize, ToSchema)]
pub struct JobState {
    id: String,
    endpoint: String,
    /// `waiting`, `running`, `done` or `failed`.
    state: String,
    /// The latest report of a long recording.
    progress: Option<String>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// What the endpoint would have answered.
    answer: Value,
    /// Where a `callback_url` was given: `waiting`, `delivered`, or `failed: ` and why.
    callback: Option<String>,
}

/// A refusal or a failure.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    /// The HTTP status.
    code: u16,
    /// What was wrong, and what would be right.
    message: String,
    /// Null.
    result: Value,
    /// The SQLSTATE, where the database said no.
    #[schema(nullable = false)]
    sqlstate: Option<String>,
}

/// A recording in the request, with the endpoint's parameters as further parts.
#[derive(Serialize, ToSchema)]
pub struct Upload {
    /// The recording; `other` is the second one of a comparison.
    #[schema(value_type = String, format = Binary)]
    audio: Vec<u8>,
    /// The name, where the endpoint takes one.
    #[schema(nullable = false)]
    name: Option<String>,
}

/// What every endpoint may answer besides.
const FAILURES: [(&str, &str); 15] = [
    (
        "400",
        "the request cannot be served as it is: a parameter, or the recording",
    ),
    ("401", "no API key, or an unknown, expired or revoked one"),
    ("403", "the key's database role may not do this"),
    ("404", "there is no such thing"),
    ("405", "the endpoint has another method"),
    ("408", "the body did not arrive in time"),
    ("409", "the library refuses the row"),
    ("413", "larger or longer than is allowed"),
    ("415", "neither JSON, nor a form, nor a recording"),
    (
        "422",
        "not fit to enrol, or an Idempotency-Key for two different requests",
    ),
    ("424", "the recording's host did not give it"),
    (
        "429",
        "too many requests of this key; Retry-After says when",
    ),
    ("501", "the database's ai_audio does not have this function"),
    (
        "503",
        "busy, or the database is away; Retry-After says when",
    ),
    ("504", "it took longer than is allowed"),
];

/// The document.
pub fn document() -> &'static str {
    static DOCUMENT: OnceLock<String> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        serde_json::to_string_pretty(&describe()).expect("plain values become JSON")
    })
}

fn describe() -> Value {
    let mut document =
        serde_json::to_value(Described::openapi()).expect("plain values become JSON");
    document["info"] = json!({
        "title": "ai_audio",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Voiceprints, voice search and transcription of ai_audio, by HTTP. All work is done in the database, as the role of the API key.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    document["components"]["securitySchemes"] =
        json!({"key": {"type": "http", "scheme": "bearer"}});
    document["security"] = json!([{"key": []}]);
    document["components"]["schemas"]["Failure"] =
        serde_json::to_value(<Failure as utoipa::PartialSchema>::schema())
            .expect("plain values become JSON");
    document["components"]["schemas"]["Id"]["oneOf"][1]["pattern"] = json!("^-?[0-9]{1,19}$");
    // Their parameters are all optional, and so is the object that holds them.
    for path in ["/voice/query", "/voice/cluster", "/voice/map"] {
        document["paths"][path]["post"]["requestBody"]["required"] = json!(false);
    }
    let operations = document["paths"]
        .as_object_mut()
        .into_iter()
        .flat_map(|paths| paths.values_mut());
    for operation in operations.flat_map(|path| {
        path.as_object_mut()
            .into_iter()
            .flat_map(|methods| methods.values_mut())
    }) {
        for (status, description) in FAILURES {
            operation["responses"][status] = json!({
                "description": description,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Failure"}}},
            });
        }
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_described() {
        let document: Value = serde_json::from_str(document()).expect("JSON");
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().expect("paths");
        for path in [
            "/audio/embedding",
            "/voice/enroll",
            "/voice/query",
            "/voice/delete",
            "/voice/search",
            "/bailian/funasr/asr",
            "/jobs/{id}",
        ] {
            assert!(paths.contains_key(path), "{path}");
        }
        let methods = |path: &str| {
            paths[path]
                .as_object()
                .expect("methods")
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(methods("/voice/query"), ["get", "post"]);
        assert_eq!(methods("/voice/delete"), ["delete", "post"]);
        assert!(paths["/voice/enroll"]["post"]["responses"]["429"].is_object());
    }
}
