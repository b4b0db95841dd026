//! `ai_audio_llm`: a language model behind an API like OpenAI's.

use std::str::FromStr;
use std::time::Duration;

use inspect::chat::{Form, Settings};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value};

use super::{Options, Wrapper, any, optional, printable, required, service_url};
use crate::errors::Error;

/// The wrapper whose servers are language models.
pub static LLM: Wrapper = Wrapper {
    name: "ai_audio_llm",
    server: &[
        required("url", url),
        required("model", any),
        optional("timeout", |value| number(value, TIMEOUT)),
        optional("retries", |value| number(value, 0..=10)),
        optional("max_tokens", |value| number(value, MAX_TOKENS)),
        optional("temperature", temperature),
        optional("seed", |value| number(value, i64::MIN..=i64::MAX)),
        optional("context", |value| number(value, 1000..=1_000_000)),
        optional("response_format", response_format),
        optional("extra_body", extra_body),
    ],
    mapping: &[optional("api_key", printable)],
    together: |_| Ok(()),
};

/// Milliseconds that one request may take.
pub const TIMEOUT: std::ops::RangeInclusive<i64> = 1..=3_600_000;
/// Tokens of an answer.
pub const MAX_TOKENS: std::ops::RangeInclusive<i64> = 1..=1_000_000;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_RETRIES: u32 = 3;
/// Characters of transcript in one request: some 4000 tokens of English, and up to three times as many of Chinese.
const DEFAULT_CONTEXT: usize = 12_000;
/// Longest `extra_body`, bytes.
const MAX_EXTRA: usize = 64 << 10;

fn url(value: &str) -> Result<(), String> {
    let wrong = "expected a URL without user and query, such as 'https://api.example.com/v1'";
    service_url(value).map(drop).ok_or_else(|| wrong.into())
}

fn number(value: &str, range: std::ops::RangeInclusive<i64>) -> Result<(), String> {
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(()),
        _ => Err(format!(
            "expected a whole number from {} to {}, found '{value}'",
            range.start(),
            range.end()
        )),
    }
}

fn temperature(value: &str) -> Result<(), String> {
    let number = f64::from_str(value).ok();
    match number.is_some_and(|t| (0.0..=2.0).contains(&t)) || value == "default" {
        true => Ok(()),
        false => Err(format!(
            "expected a number from 0 to 2, or 'default', found '{value}'"
        )),
    }
}

fn form(value: &str) -> Option<Option<Form>> {
    Some(match value {
        "auto" => None,
        "json_schema" => Some(Form::Schema),
        "json_object" => Some(Form::Object),
        "text" => Some(Form::Text),
        _ => return None,
    })
}

fn response_format(value: &str) -> Result<(), String> {
    let wrong =
        || format!("expected 'auto', 'json_schema', 'json_object' or 'text', found '{value}'");
    form(value).map(drop).ok_or_else(wrong)
}

fn extra(value: &str) -> Option<Map<String, Value>> {
    let short = value.len() <= MAX_EXTRA;
    short.then(|| serde_json::from_str(value).ok()).flatten()
}

fn extra_body(value: &str) -> Result<(), String> {
    extra(value)
        .map(drop)
        .ok_or_else(|| "expected a JSON object such as '{\"enable_thinking\": false}'".into())
}

/// What the options of a server say about its requests.
pub fn settings(options: &Options) -> Settings {
    // The validator has seen each of them.
    fn read<T: FromStr>(options: &Options, name: &str) -> Option<T> {
        options.get(name).and_then(|value| value.parse().ok())
    }
    let timeout = read(options, "timeout").map(Duration::from_millis);
    Settings {
        model: options.get("model").unwrap_or_default().into(),
        max_tokens: read(options, "max_tokens"),
        temperature: match options.get("temperature") {
            Some("default") => None,
            Some(value) => value.parse().ok(),
            None => Some(0.0),
        },
        seed: read(options, "seed"),
        retries: read(options, "retries").unwrap_or(DEFAULT_RETRIES),
        patience: timeout.unwrap_or(DEFAULT_TIMEOUT),
        form: options.get("response_format").and_then(form).flatten(),
        extra: options
            .get("extra_body")
            .and_then(extra)
            .unwrap_or_default(),
    }
}

/// Characters of transcript in one request.
pub fn context(options: &Options) -> usize {
    let given = options.get("context").and_then(|value| value.parse().ok());
    given.unwrap_or(DEFAULT_CONTEXT)
}

/// Where chat completions are asked for: `url` with that path, unless it has it.
pub fn endpoint(options: &Options) -> Result<source::Url, Error> {
    let given = options.get("url").unwrap_or_default().trim_end_matches('/');
    let whole = match given.ends_with("/chat/completions") {
        true => given.to_string(),
        false => format!("{given}/chat/completions"),
    };
    source::Url::parse(&whole).map_err(|e| Error::Internal(format!("option \"url\": {e}")))
}

/// Validator of the wrapper `ai_audio_llm`.
#[pg_extern]
fn ai_audio_llm_validator(
    options: pgrx::Array<&str>,
    catalog: pg_sys::Oid,
) -> Result<(), ErrorReport> {
    let options = options.iter().flatten();
    Ok(LLM.validate(options, catalog).map_err(Error::from)?)
}
