//! Asking a language model: a server of `ai_audio_llm`, with the current user's key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use inspect::chat::{Chat, Engine, Reply, Settings};
use onnx::Cancel;
use source::{FetchRules, Secret, Stop, Url};

use crate::errors::Error;
use crate::foreign::llm::{self, LLM};
use crate::{interrupt, settings, stats};

/// Most bytes of an answer.
const MAX_ANSWER: u64 = 4 << 20;
/// How often a pause looks whether it is to end.
const POLL: Duration = Duration::from_millis(20);

/// What a call may say otherwise than the server's options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Most tokens of an answer.
    pub max_tokens: Option<u32>,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// For the same answer to the same question.
    pub seed: Option<i64>,
    /// For one request, ms.
    pub timeout: Option<u64>,
}

/// A language model that the current user may ask. Made on the backend's thread, asked on the worker's.
pub struct LanguageModel {
    name: String,
    url: Url,
    key: Option<Secret>,
    rules: FetchRules,
    settings: Settings,
    /// Characters of transcript in one request.
    pub context: usize,
}

impl LanguageModel {
    /// The server of a name.
    ///
    /// # Errors
    /// [`Error::Foreign`]: no such server, or no USAGE on it; [`Error::Options`] for what is out of range.
    pub fn named(name: &str, given: Overrides) -> Result<Self, Error> {
        let server = LLM.named(name)?;
        let key = server.mapping().get("api_key").cloned();
        let url = llm::endpoint(&server.options)?;
        let mut settings = llm::settings(&server.options);
        given.apply(&mut settings)?;
        let rules = FetchRules {
            // Whoever made the server named this host.
            allowed_hosts: url
                .host_str()
                .zip(url.port_or_known_default())
                .map(|(host, port)| vec![format!("{host}:{port}")])
                .unwrap_or_default(),
            max_bytes: MAX_ANSWER,
            timeout: settings.patience,
            ..settings::fetch_rules()
        };
        let context = llm::context(&server.options);
        Ok(LanguageModel {
            name: server.name,
            url,
            key,
            rules,
            settings,
            context,
        })
    }

    /// Lets `work` ask, and counts what it takes.
    pub fn ask<T>(&self, cancel: &Cancel, work: impl FnOnce(&mut Chat) -> T) -> T {
        let mut line = Line {
            model: self,
            cancel,
        };
        let mut chat = Chat::new(&mut line, &self.settings);
        let result = work(&mut chat);
        stats::LLM_TOKENS.add(chat.usage.tokens);
        result
    }

    /// Names the server in an error.
    pub fn blame(&self, error: inspect::Error) -> Error {
        Error::of_server(&self.name, error)
    }
}

impl Overrides {
    fn apply(self, settings: &mut Settings) -> Result<(), Error> {
        let within = |name: &str, value: i64, range: std::ops::RangeInclusive<i64>| {
            let wrong = || {
                let (low, high) = (range.start(), range.end());
                Error::Options(format!(
                    "option \"{name}\" is between {low} and {high}, not {value}"
                ))
            };
            range.contains(&value).then_some(()).ok_or_else(wrong)
        };
        if let Some(most) = self.max_tokens {
            within("max_tokens", most.into(), llm::MAX_TOKENS)?;
            settings.max_tokens = Some(most);
        }
        if let Some(ms) = self.timeout {
            within("timeout", ms.try_into().unwrap_or(i64::MAX), llm::TIMEOUT)?;
            settings.patience = Duration::from_millis(ms);
        }
        if let Some(t) = self.temperature {
            if !(0.0..=2.0).contains(&t) {
                return Err(Error::Options(format!(
                    "option \"temperature\" is between 0 and 2, not {t}"
                )));
            }
            settings.temperature = Some(t);
        }
        settings.seed = self.seed.or(settings.seed);
        Ok(())
    }
}

/// The way to a server while a statement runs.
struct Line<'a> {
    model: &'a LanguageModel,
    cancel: &'a Cancel,
}

impl Engine for Line<'_> {
    fn post(&mut self, body: Vec<u8>) -> Result<Reply, inspect::Error> {
        let LanguageModel {
            url, key, rules, ..
        } = self.model;
        stats::LLM_CALLS.add(1);
        let stop: Stop = Arc::new(|| interrupt::token().is_cancelled());
        let post = || source::post_json(url, key.as_ref(), &[], body, rules, &stop);
        match stats::LLM_US.time(post) {
            Ok(reply) => Ok(Reply {
                status: reply.status,
                retry_after: reply.retry_after,
                body: reply.body,
            }),
            Err(source::Error::Cancelled) => Err(inspect::Error::Cancelled),
            Err(source::Error::Timeout { limit, .. }) => Err(inspect::Error::Timeout { limit }),
            Err(source::Error::BodyTooLarge { limit, .. }) => {
                Err(inspect::Error::TooLarge { limit })
            }
            Err(other) => Err(inspect::Error::Unreachable(other.to_string())),
        }
    }

    fn pause(&mut self, time: Duration) -> Result<(), inspect::Error> {
        let end = Instant::now() + time;
        loop {
            if self.cancel.is_cancelled() {
                return Err(inspect::Error::Cancelled);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(POLL));
        }
    }

    fn redact(&self, text: &str) -> String {
        match &self.model.key {
            Some(key) => text.replace(key.reveal(), "…"),
            None => text.into(),
        }
    }
}
