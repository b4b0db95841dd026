//! `ai_text_inspect`, `ai_audio_inspect`: which rules of a policy were broken; `ai_text_complete`: a language model's answer.

use inspect::chat::Message;
use inspect::{Finding, Limits, Policy, Schema, Sentence, Transcript, Verdict};
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::Map;
use transcribe::speakers::Spoken;

use crate::call::arguments::{Args, Call};
use crate::call::options::{self, Common, OnError};
use crate::call::rows::ms;
use crate::errors::Error;
use crate::steps::diarization::SpeakerOptions;
use crate::steps::llm::{LanguageModel, Overrides};
use crate::steps::recognition::{Recognition, RecognitionOptions, Speakers};
use crate::{interrupt, settings};

/// Most requests of one inspection, unless the call says otherwise.
const MAX_REQUESTS: u32 = 100;
/// Longest prompt, bytes.
const MAX_PROMPT: usize = 4 << 20;

/// Options of `ai_text_inspect`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TextOptions {
    server: Option<String>,
    max_requests: Option<u32>,
    max_tokens: Option<u32>,
    seed: Option<i64>,
    timeout: Option<u64>,
    on_error: OnError,
}

/// Options of `ai_audio_inspect`, beside those of `ai_audio_sentences`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AudioOptions {
    server: Option<String>,
    max_requests: Option<u32>,
    max_tokens: Option<u32>,
    seed: Option<i64>,
    timeout: Option<u64>,
    /// The model of the transcription, which other functions have as an argument.
    model: Option<String>,
}

/// A policy and who judges by it.
struct Inspection {
    policy: Policy,
    model: Option<LanguageModel>,
    requests: usize,
    on_error: OnError,
}

type Row = (
    name!(rule, String),
    name!(violated, Option<bool>),
    name!(severity, Option<String>),
    name!(speaker, Option<String>),
    name!(sentence_id, Option<i32>),
    name!(start_time, Option<i32>),
    name!(end_time, Option<i32>),
    name!(quote, Option<String>),
    name!(reason, Option<String>),
    name!(confidence, Option<f32>),
    name!(unsupported, bool),
);

/// `ai_text_inspect(transcript, policy [, options])`: a row per violation, and at least one per rule.
#[pg_extern]
fn ai_text_inspect(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(rule, String),
            name!(violated, Option<bool>),
            name!(severity, Option<String>),
            name!(speaker, Option<String>),
            name!(sentence_id, Option<i32>),
            name!(start_time, Option<i32>),
            name!(end_time, Option<i32>),
            name!(quote, Option<String>),
            name!(reason, Option<String>),
            name!(confidence, Option<f32>),
            name!(unsupported, bool),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (transcript, policy [, options]) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) {
        return Ok(TableIterator::empty());
    }
    let own: TextOptions = options::own(args.maybe_options(2)?)?;
    let overrides = Overrides {
        max_tokens: own.max_tokens,
        seed: own.seed,
        timeout: own.timeout,
        ..Overrides::default()
    };
    let asked = (own.server, own.max_requests, overrides);
    let inspection = Inspection::of(policy(&args, 1)?, asked, own.on_error)?;
    let transcript = match args.is_json(0) {
        true => Transcript::from_json(&args.json(0)?),
        false => Transcript::from_text(&args.text(0)?),
    };
    let transcript = transcript.map_err(Error::Inspection);
    Ok(inspection.table(transcript)?)
}

/// `ai_audio_inspect(source, policy [, options])`: the same of what is said in a recording.
#[pg_extern]
fn ai_audio_inspect(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(rule, String),
            name!(violated, Option<bool>),
            name!(severity, Option<String>),
            name!(speaker, Option<String>),
            name!(sentence_id, Option<i32>),
            name!(start_time, Option<i32>),
            name!(end_time, Option<i32>),
            name!(quote, Option<String>),
            name!(reason, Option<String>),
            name!(confidence, Option<f32>),
            name!(unsupported, bool),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (source, policy [, options]) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) {
        return Ok(TableIterator::empty());
    }
    let (common, speakers, recognition, own) =
        options::read_three::<SpeakerOptions, RecognitionOptions, AudioOptions>(
            args.maybe_options(2)?,
        )?;
    let overrides = Overrides {
        max_tokens: own.max_tokens,
        seed: own.seed,
        timeout: own.timeout,
        ..Overrides::default()
    };
    let asked = (own.server, own.max_requests, overrides);
    // The policy and the server first: what is wrong with them must not cost a transcription.
    let inspection = Inspection::of(policy(&args, 1)?, asked, common.on_error)?;
    let call = Call {
        model: own.model,
        source: args.source(0)?,
        options: Map::new(),
    };
    let heard = hear(&call, &common, &speakers, recognition);
    Ok(inspection.table(heard)?)
}

fn policy(args: &Args, index: usize) -> Result<Policy, Error> {
    // No rows would look like a recording in which nothing was found.
    if args.is_null(index) {
        return Err(Error::NullArgument {
            name: "policy",
            hint: "It is a JSON array of rules, or words.",
        });
    }
    let policy = match args.is_json(index) {
        true => Policy::from_json(&args.json(index)?),
        false => Policy::from_text(&args.text(index)?),
    };
    policy.map_err(Error::Inspection)
}

fn hear(
    call: &Call,
    common: &Common,
    speakers: &SpeakerOptions,
    own: RecognitionOptions,
) -> Result<Transcript, Error> {
    let mut recognition = Recognition::start(call, common, speakers, own, true)?;
    let tells_speakers = recognition.tells_speakers();
    let mut sentences = Vec::new();
    while let Some(said) = recognition.next()? {
        let channel = i32::try_from(said.channel).unwrap_or(i32::MAX);
        for (number, spoken) in (said.first..).zip(said.spoken) {
            let of = tells_speakers.then_some(&*said.speakers);
            sentences.push(sentence(number, channel, of, spoken));
        }
    }
    Transcript::new(sentences).map_err(Error::Inspection)
}

/// A recognised sentence as `ai_audio_sentences` gives it.
fn sentence(id: i32, channel: i32, speakers: Option<&Speakers>, said: Spoken) -> Sentence {
    let name = speakers.and_then(|all| all.name(said.speaker));
    Sentence {
        id,
        channel: Some(channel),
        speaker_id: speakers.map(|_| i32::try_from(said.speaker).unwrap_or(i32::MAX)),
        speaker_name: name.map(|named| named.name.clone()),
        start_ms: Some(ms(said.sentence.start_ms)),
        end_ms: Some(ms(said.sentence.end_ms)),
        text: said.sentence.text,
    }
}

/// Who is asked, how often at most, and how.
type Asked = (Option<String>, Option<u32>, Overrides);

impl Inspection {
    /// Finds the server, where one is needed.
    fn of(
        policy: Policy,
        (server, requests, overrides): Asked,
        on_error: OnError,
    ) -> Result<Self, Error> {
        let server = server.or_else(settings::inspection_server);
        let model = match server.filter(|_| policy.needs_model()) {
            Some(server) => Some(LanguageModel::named(&server, overrides)?),
            None => None,
        };
        let by_words = policy.rules().iter().find(|rule| rule.needs_model());
        if let Some(rule) = by_words.filter(|_| model.is_none()) {
            let rule = rule.name.clone();
            return Err(Error::Inspection(inspect::Error::NoModel { rule }));
        }
        Ok(Inspection {
            policy,
            model,
            requests: requests.unwrap_or(MAX_REQUESTS) as usize,
            on_error,
        })
    }

    /// The rows of a transcript. Where it cannot be had and `on_error` allows that, no rule is judged: a row each says so.
    fn table(
        self,
        transcript: Result<Transcript, Error>,
    ) -> Result<TableIterator<'static, Row>, Error> {
        let error = match transcript {
            Ok(transcript) => return Ok(TableIterator::new(self.rows(&transcript)?)),
            Err(error) => error,
        };
        let reason = format!("not judged: {error}");
        self.on_error.apply::<()>(Err(error))?;
        let rules = 0..self.policy.rules().len();
        let unjudged = rules.map(|rule| Finding::unjudged(rule, reason.clone()));
        let rows: Vec<Row> = unjudged
            .map(|finding| self.row(&Transcript::default(), finding))
            .collect();
        Ok(TableIterator::new(rows))
    }

    fn rows(self, transcript: &Transcript) -> Result<std::vec::IntoIter<Row>, Error> {
        let (findings, failure) = interrupt::run(|cancel| {
            let stop = || cancel.is_cancelled();
            let limits = Limits {
                piece: self.model.as_ref().map_or(0, |model| model.context),
                requests: self.requests,
            };
            let judged = match &self.model {
                None => inspect::inspect(transcript, &self.policy, None, limits, &stop),
                Some(model) => model.ask(cancel, |chat| {
                    inspect::inspect(transcript, &self.policy, Some(chat), limits, &stop)
                }),
            };
            Ok::<_, Error>(judged)
        })?;
        if let Some(error) = failure {
            let error = match &self.model {
                Some(model) => model.blame(error),
                None => Error::Inspection(error),
            };
            // What was found stays, and rules that were not judged say so.
            self.on_error.apply::<()>(Err(error))?;
        }
        let rows = findings.into_iter();
        let rows: Vec<Row> = rows.map(|finding| self.row(transcript, finding)).collect();
        Ok(rows.into_iter())
    }

    fn row(&self, transcript: &Transcript, finding: Finding) -> Row {
        let rule = &self.policy.rules()[finding.rule];
        let place = finding.sentences(transcript);
        let (first, last) = (place.map(|place| place.0), place.map(|place| place.1));
        let violated = match finding.verdict {
            Verdict::Violated => Some(true),
            Verdict::Kept | Verdict::Unsupported => Some(false),
            Verdict::Unjudged => None,
        };
        (
            rule.name.clone(),
            violated,
            rule.severity.clone(),
            first.and_then(Sentence::speaker),
            first.map(|sentence| sentence.id),
            first.and_then(|sentence| sentence.start_ms),
            last.and_then(|sentence| sentence.end_ms),
            finding.quote,
            finding.reason,
            finding.confidence.map(|confidence| confidence as f32),
            finding.verdict == Verdict::Unsupported,
        )
    }
}

/// Options of `ai_text_complete`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CompletionOptions {
    system: Option<String>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    seed: Option<i64>,
    timeout: Option<u64>,
    on_error: OnError,
}

/// `ai_text_complete(server, prompt [, options])`: what a language model answers.
#[pg_extern]
fn ai_text_complete(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<String>, ErrorReport> {
    // SAFETY: declared as (server, prompt [, options]) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    Ok(complete(&args, |chat, messages| chat.text(messages))?)
}

/// `ai_text_complete(server, prompt, options, schema)`: the same as JSON that fits a schema.
#[pg_extern]
fn ai_text_complete_json(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<JsonB>, ErrorReport> {
    // SAFETY: declared as (server, prompt, options, schema) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(3) {
        return Ok(None);
    }
    let schema = Schema::new(&args.json(3)?).map_err(Error::Inspection)?;
    let answer = complete(&args, |chat, messages| chat.json(messages, &schema))?;
    Ok(answer.map(JsonB))
}

fn complete<T: Send>(
    args: &Args,
    ask: impl FnOnce(&mut inspect::chat::Chat, &[Message]) -> Result<T, inspect::Error> + Send,
) -> Result<Option<T>, Error> {
    if args.is_null(0) || args.is_null(1) {
        return Ok(None);
    }
    let own: CompletionOptions = options::own(args.maybe_options(2)?)?;
    let prompt = args.text(1)?;
    if prompt.len() > MAX_PROMPT {
        return Err(Error::Argument(format!(
            "the prompt has {} bytes, more than {MAX_PROMPT}",
            prompt.len()
        )));
    }
    let overrides = Overrides {
        max_tokens: own.max_tokens,
        temperature: own.temperature,
        seed: own.seed,
        timeout: own.timeout,
    };
    let model = LanguageModel::named(&args.text(0)?, overrides)?;
    let system = own.system.map(Message::system);
    let messages: Vec<Message> = system.into_iter().chain([Message::user(prompt)]).collect();
    let answer = interrupt::run(|cancel| {
        let answer = model.ask(cancel, |chat| ask(chat, &messages));
        answer.map_err(|error| model.blame(error))
    });
    own.on_error.apply(answer)
}
