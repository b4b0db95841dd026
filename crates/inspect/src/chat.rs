//! Asking a language model by the chat completions that OpenAI began and most servers understand: retries, forms of
//! answers, and what can be wrong with them.
//!
//! API: `POST /chat/completions`, <https://platform.openai.com/docs/api-reference/chat/create>.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Error, Schema, without_nul};

/// First pause before a request is made again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause of our own choice.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a model is told what was wrong with its answer.
const REPAIRS: usize = 1;
/// What is kept of a message of the server, characters.
const SHOWN: usize = 300;
/// What is repeated to a model of a wrong answer of its own, characters.
const REPEATED: usize = 2000;

/// What a server answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// HTTP status code.
    pub status: u16,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// The way to a server.
pub trait Engine {
    /// Posts a JSON body to the server's `/chat/completions`.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Timeout`], [`Error::TooLarge`], [`Error::Cancelled`].
    fn post(&mut self, body: Vec<u8>) -> Result<Reply, Error>;
    /// Waits.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    fn pause(&mut self, time: Duration) -> Result<(), Error>;
    /// A text of the server without the secrets that it was sent.
    fn redact(&self, text: &str) -> String;
}

/// How an answer is made to be JSON, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The server enforces the schema.
    Schema,
    /// The server enforces JSON.
    Object,
    /// The model is asked for it.
    Text,
}

/// What does not change from request to request.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The model's name on the server.
    pub model: String,
    /// Most tokens of an answer; the server's default if none.
    pub max_tokens: Option<u32>,
    /// 0 to 2; `None` leaves it to the server.
    pub temperature: Option<f64>,
    /// For the same answer to the same question, as far as the server can.
    pub seed: Option<i64>,
    /// How often a request is made again where that may help.
    pub retries: u32,
    /// Longest pause that a server may ask for.
    pub patience: Duration,
    /// The form of JSON answers; `None`: the first that the server takes.
    pub form: Option<Form>,
    /// Fields added to each request.
    pub extra: Map<String, Value>,
}

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    role: &'static str,
    content: String,
}

impl Message {
    /// What the model is to do.
    pub fn system(content: impl Into<String>) -> Self {
        Message {
            role: "system",
            content: content.into(),
        }
    }

    /// What it is to do it with.
    pub fn user(content: impl Into<String>) -> Self {
        Message {
            role: "user",
            content: content.into(),
        }
    }

    fn assistant(content: impl Into<String>) -> Self {
        Message {
            role: "assistant",
            content: content.into(),
        }
    }
}

/// What was used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests, with those made again.
    pub calls: u64,
    /// Tokens read and written, where the server tells.
    pub tokens: u64,
}

/// A server and how it is asked.
pub struct Chat<'a> {
    engine: &'a mut dyn Engine,
    settings: &'a Settings,
    form: Form,
    /// What was used so far.
    pub usage: Usage,
}

impl<'a> Chat<'a> {
    /// Nothing is asked yet.
    pub fn new(engine: &'a mut dyn Engine, settings: &'a Settings) -> Self {
        let form = settings.form.unwrap_or(Form::Schema);
        Chat {
            engine,
            settings,
            form,
            usage: Usage::default(),
        }
    }

    /// The model's answer as text.
    ///
    /// # Errors
    /// Those of the server and its answers, [`Error::Cancelled`].
    pub fn text(&mut self, messages: &[Message]) -> Result<String, Error> {
        self.answer(messages, None)
    }

    /// The model's answer as JSON that fits `schema`. A model whose answer does not is told so, once.
    ///
    /// # Errors
    /// As [`Chat::text`].
    pub fn json(&mut self, messages: &[Message], schema: &Schema) -> Result<Value, Error> {
        let mut messages = messages.to_vec();
        for repair in 0.. {
            let answer = self.answer(&messages, Some(schema))?;
            match schema.read(&answer) {
                Ok(value) => return Ok(value),
                Err(wrong) if repair == REPAIRS => return Err(Error::Answer(wrong)),
                Err(wrong) => messages.extend([
                    Message::assistant(answer.chars().take(REPEATED).collect::<String>()),
                    Message::user(format!(
                        "That is no valid answer: {wrong}. Answer again, with nothing but JSON that fits the schema: {}",
                        schema.json()
                    )),
                ]),
            }
        }
        unreachable!("the loop ends by returning")
    }

    fn answer(&mut self, messages: &[Message], schema: Option<&Schema>) -> Result<String, Error> {
        loop {
            let body = self.request(messages, schema);
            let reply = self.post(body)?;
            if reply.status == 200 {
                return self.content(&reply.body);
            }
            // What a server says that does not know the form of answer asked for.
            let about_form = matches!(reply.status, 400 | 415 | 422 | 501);
            match self.form {
                _ if schema.is_none() || self.settings.form.is_some() || !about_form => {}
                Form::Schema => {
                    self.form = Form::Object;
                    continue;
                }
                Form::Object => {
                    self.form = Form::Text;
                    continue;
                }
                Form::Text => {}
            }
            return Err(Error::Status {
                status: reply.status,
                message: self.message(&reply),
            });
        }
    }

    fn request(&self, messages: &[Message], schema: Option<&Schema>) -> Vec<u8> {
        let mut sent: Vec<Value> = messages
            .iter()
            .map(|m| json!({"role": m.role, "content": m.content}))
            .collect();
        let mut body = self.settings.extra.clone();
        body.insert("model".into(), json!(self.settings.model));
        body.insert("stream".into(), json!(false));
        if let Some(temperature) = self.settings.temperature {
            body.insert("temperature".into(), json!(temperature));
        }
        if let Some(seed) = self.settings.seed {
            body.insert("seed".into(), json!(seed));
        }
        if let Some(most) = self.settings.max_tokens {
            body.insert("max_tokens".into(), json!(most));
        }
        if let Some(schema) = schema {
            let format = match self.form {
                Form::Schema => Some(json!({"type": "json_schema", "json_schema":
                    {"name": "answer", "strict": schema.is_strict(), "schema": schema.json()}})),
                Form::Object => Some(json!({"type": "json_object"})),
                Form::Text => None,
            };
            if self.form != Form::Schema {
                let asked = format!(
                    "Answer with nothing but JSON that fits this JSON schema: {}",
                    schema.json()
                );
                let system = sent.iter_mut().find(|m| m["role"] == "system");
                match system {
                    Some(system) => {
                        let content = system["content"].as_str().unwrap_or_default();
                        system["content"] = json!(format!("{content}\n\n{asked}"));
                    }
                    None => sent.insert(0, json!({"role": "system", "content": asked})),
                }
            }
            if let Some(format) = format {
                body.insert("response_format".into(), format);
            }
        }
        body.insert("messages".into(), Value::Array(sent));
        Value::Object(body).to_string().into_bytes()
    }

    /// Posts, again where that may help.
    fn post(&mut self, body: Vec<u8>) -> Result<Reply, Error> {
        let mut pause = FIRST_PAUSE;
        for attempt in 0.. {
            self.usage.calls += 1;
            let last = attempt == self.settings.retries;
            let wait = match self.engine.post(body.clone()) {
                Ok(reply) if !matches!(reply.status, 408 | 429 | 500 | 502..=599) => {
                    return Ok(reply);
                }
                Ok(reply) if last => {
                    return Err(Error::Status {
                        status: reply.status,
                        message: self.message(&reply),
                    });
                }
                Ok(reply) => match reply.retry_after {
                    Some(wait) if wait > self.settings.patience => {
                        return Err(Error::Busy {
                            status: reply.status,
                            wait,
                        });
                    }
                    asked => asked.unwrap_or_default(),
                },
                Err(Error::Unreachable(_)) if !last => Duration::ZERO,
                Err(error) => return Err(error),
            };
            self.engine.pause(wait.max(spread(pause)))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        unreachable!("the loop ends by returning")
    }

    /// What an error's body says. Where a key is refused nothing is shown: servers repeat keys.
    fn message(&self, reply: &Reply) -> String {
        if matches!(reply.status, 401 | 403) {
            return String::new();
        }
        let text =
            String::from_utf8_lossy(&reply.body[..reply.body.len().min(16 << 10)]).into_owned();
        let json: Option<Value> = serde_json::from_slice(&reply.body).ok();
        let places = ["/error/message", "/error", "/message", "/detail"];
        let told = json.as_ref().and_then(|json| {
            let told = places.into_iter().filter_map(|place| json.pointer(place));
            told.filter_map(Value::as_str).next().map(str::to_string)
        });
        let redacted = self.engine.redact(&told.unwrap_or(text));
        let words: Vec<&str> = redacted
            .split(|c: char| c.is_whitespace() || c.is_control())
            .collect();
        let line = words
            .into_iter()
            .filter(|w| !w.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        match line.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }

    fn content(&mut self, body: &[u8]) -> Result<String, Error> {
        let completion: Completion = serde_json::from_slice(body).map_err(|e| {
            Error::Answer(format!(
                "it is not a chat completion: {}",
                e.classify_shortly()
            ))
        })?;
        self.usage.tokens += completion.usage.and_then(|u| u.total_tokens).unwrap_or(0);
        let choice = completion.choices.into_iter().next();
        let choice = choice.ok_or_else(|| Error::Answer("it has no choices".into()))?;
        let message = choice.message;
        if let Some(refusal) = message.refusal.filter(|refusal| !refusal.is_empty()) {
            let refusal = self.engine.redact(&refusal);
            return Err(Error::Refused(refusal.chars().take(SHOWN).collect()));
        }
        match choice.finish_reason.as_deref() {
            Some("length") => return Err(Error::CutOff),
            Some("content_filter") => return Err(Error::Refused("its content filter".into())),
            _ => {}
        }
        let text = match message.content {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
            None => String::new(),
        };
        // A server that repeats the key does not tell it to whoever asks.
        let text = without_nul(self.engine.redact(&text));
        match without_thoughts(&text).trim() {
            "" => Err(Error::Answer("it is empty".into())),
            text => Ok(text.into()),
        }
    }
}

/// What a model writes of its thoughts before its answer.
fn without_thoughts(text: &str) -> &str {
    let thoughts = text.trim_start().strip_prefix("<think>");
    let after = thoughts.and_then(|thoughts| thoughts.split_once("</think>"));
    after.map_or(text, |(_, answer)| answer)
}

/// Between half of a time and all of it, so that sessions that were sent away together do not come back together.
fn spread(time: Duration) -> Duration {
    let chance = RandomState::new().hash_one(0u8) % 1000;
    time / 2 + time.mul_f64(chance as f64 / 2000.0)
}

trait ClassifyShortly {
    fn classify_shortly(&self) -> &'static str;
}

impl ClassifyShortly for serde_json::Error {
    /// Without the text, which may be anything.
    fn classify_shortly(&self) -> &'static str {
        match self.classify() {
            serde_json::error::Category::Data => "the JSON has another form",
            _ => "it is not JSON",
        }
    }
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Choice {
    message: Said,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    text: Option<String>,
}

#[derive(Deserialize)]
struct Tokens {
    total_tokens: Option<u64>,
}

#[cfg(test)]
pub(crate) mod tests;
