//! One piece of work for a key: done while the client waits or, asked for with `async`, as a job.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tokio_postgres::types::{ToSql, Type};

use crate::App;
use crate::db::{Access, Param, Session};
use crate::error::ApiError;
use crate::input::Recording;
use crate::keys::Key;
use crate::limits::{Place, Turn};
use crate::notices::Heard;

/// Who asks, and the place that the request takes meanwhile.
#[derive(Clone)]
pub struct Caller {
    /// The key.
    pub key: Key,
    /// Held until the work is done.
    #[allow(dead_code, reason = "held, not looked at")]
    pub place: Option<Place>,
    /// Base of URLs for this client.
    pub base_url: String,
}

/// What work needs: the database as the key's role, for as long as is allowed.
pub struct Work {
    /// The service.
    pub app: Arc<App>,
    /// Who asks.
    pub caller: Caller,
    timeout: Duration,
    heard: Mutex<Arc<Heard>>,
    _turn: Turn,
}

impl Work {
    /// Takes a place in the queue.
    ///
    /// # Errors
    /// 503 where it is full.
    pub fn new(app: &Arc<App>, caller: &Caller, timeout: Duration) -> Result<Self, ApiError> {
        let turn = app.limits.turn()?;
        Ok(Self {
            app: app.clone(),
            caller: caller.clone(),
            timeout,
            heard: Mutex::default(),
            _turn: turn,
        })
    }

    /// A transaction as the key's role.
    ///
    /// # Errors
    /// 403, 503.
    pub async fn session(&self, access: Access) -> Result<Session, ApiError> {
        let session = self
            .app
            .db
            .session(&self.caller.key.role, self.timeout, access)
            .await?;
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = session.heard();
        Ok(session)
    }

    /// How far the database says that it is.
    pub fn progress(&self) -> Option<String> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .progress()
    }

    /// The library, as SQL names it.
    pub fn library(&self) -> String {
        self.app.config.library.quoted()
    }
}

/// A success.
#[derive(Debug, Serialize)]
pub struct Answer {
    code: u16,
    message: String,
    result: Box<RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Answer {
    /// `success` with a result.
    pub fn new(result: Box<RawValue>) -> Self {
        Self {
            code: 200,
            message: "success".into(),
            result,
            warnings: Vec::new(),
            more: Map::new(),
        }
    }

    /// `success` with a result that is turned into JSON here.
    pub fn of(result: impl Serialize) -> Self {
        Self::new(to_raw_value(&result).expect("plain values become JSON"))
    }

    /// Another message.
    pub fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// What the database warned of.
    pub fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// Another field beside the result.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.into(), value);
        self
    }

    /// The whole answer as text, to be kept.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("plain values become JSON")
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        Json(self).into_response()
    }
}

/// A voice that was heard: its voiceprint as pgvector writes it, and how good the recording is.
pub struct Voice {
    /// `[0.1,...]`.
    pub voiceprint: String,
    /// The row of ai_audio_quality as JSON.
    pub quality: Value,
}

impl Voice {
    /// Seconds of speech.
    pub fn speech(&self) -> f64 {
        self.quality["speech_seconds"].as_f64().unwrap_or_default()
    }

    /// What ai_voice_verify should know of this voice, as its side `side` ("a" or "b").
    pub fn known_as(&self, side: &str) -> Map<String, Value> {
        let mut known = Map::new();
        known.insert(format!("duration_{side}"), json!(self.speech()));
        if let Some(bandwidth) = self.quality["bandwidth_hz"].as_i64() {
            known.insert(format!("narrowband_{side}"), json!(bandwidth < NARROW_HZ));
        }
        known
    }
}

/// Where ai_audio_verify draws the line between a telephone and wideband.
pub const NARROW_HZ: i64 = 5500;

/// Listens to a recording: voiceprint and quality.
///
/// # Errors
/// What the database says of the recording.
pub async fn hear(
    session: &Session,
    model: &str,
    recording: &Recording,
    options: &Map<String, Value>,
) -> Result<Voice, ApiError> {
    let kind = recording.sql_type();
    let sql = format!(
        "SELECT ai_audio_embed($1, $2::{kind}, $3::text::jsonb)::text, row_to_json(q)::text FROM ai_audio_quality($2::{kind}, $3::text::jsonb) q"
    );
    let options = Value::Object(options.clone()).to_string();
    let mut bytes: &[u8] = &[];
    let params = [text(&model), recording.param(&mut bytes), text(&options)];
    let rows = session.query(&sql, &params).await?;
    let nothing = || ApiError::bad("there is no voice in the recording");
    let row = rows.first().ok_or_else(nothing)?;
    let voiceprint: Option<String> = row.get(0);
    let quality: String = row.get(1);
    Ok(Voice {
        voiceprint: voiceprint.ok_or_else(nothing)?,
        quality: serde_json::from_str(&quality).unwrap_or_default(),
    })
}

/// A text parameter.
pub fn text<'a, T: ToSql + Sync>(value: &'a T) -> Param<'a> {
    (value, Type::TEXT)
}
