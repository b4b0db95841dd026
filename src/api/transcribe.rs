//! `ai_audio_transcribe` and `ai_audio_sentences`: speech to text; `ai_audio_detect_language`.

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use transcribe::document::{Document, Properties, Transcript, WordEntry};
use transcribe::speakers::{Spoken, join};
use transcribe::{Sentence, subtitles};

use crate::call::arguments::Call;
use crate::call::options::{self, Common, NoMore};
use crate::call::rows::ms;
use crate::errors::Error;
use crate::stats;
use crate::steps::recognition::{Recognition, RecognitionOptions};

/// What `ai_audio_transcribe` gives.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OutputType {
    #[default]
    Text,
    Json,
    Srt,
    Vtt,
}

/// `ai_audio_transcribe(source)`, `(model, source)`, `(model, source, options)`: what is said in a recording.
#[pg_extern]
fn ai_audio_transcribe(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<String>, ErrorReport> {
    // SAFETY: declared in these shapes in sql/, all of them STRICT.
    Ok(unsafe { Call::model_first(fcinfo) }.and_then(transcribe)?)
}

fn transcribe(mut call: Call) -> Result<Option<String>, Error> {
    stats::CALLS.add(1);
    let output = take_output_type(&mut call)?;
    let (common, mut own) = options::read::<RecognitionOptions>(std::mem::take(&mut call.options))
        .map_err(list_output_type)?;
    let listed = own.word_timestamps;
    own.word_timestamps |= matches!(output, OutputType::Srt | OutputType::Vtt); // long sentences become several cues
    let shows_speakers = output == OutputType::Json;
    let all =
        Recognition::start(&call, &common, own, shows_speakers).and_then(|mut recognition| {
            let mut channels: Vec<(u32, Vec<Spoken>)> = Vec::new();
            while let Some((channel, spoken)) = recognition.next()? {
                match channels.last_mut() {
                    Some((last, all)) if *last == channel => all.extend(spoken),
                    _ => channels.push((channel, spoken)),
                }
            }
            Ok((recognition, channels))
        });
    let Some((recognition, channels)) = common.on_error.apply(all)? else {
        return Ok(None);
    };
    write(&recognition, &channels, output, listed).map(Some)
}

/// Takes the option that only this function has.
fn take_output_type(call: &mut Call) -> Result<OutputType, Error> {
    let Some(value) = call.options.remove("output_type") else {
        return Ok(OutputType::Text);
    };
    serde_json::from_value(value.clone())
        .map_err(|_| Error::WrongOption {
            option: "output_type".into(),
            reason: format!("expected 'text', 'json', 'srt' or 'vtt', found {value}"),
            known: options::known::<RecognitionOptions>(),
        })
        .map_err(list_output_type)
}

/// Adds that option to the list of known ones.
fn list_output_type(mut error: Error) -> Error {
    if let Error::UnknownOption { known, .. } | Error::WrongOption { known, .. } = &mut error {
        known.push_str(", output_type");
    }
    error
}

fn write(
    recognition: &Recognition,
    channels: &[(u32, Vec<Spoken>)],
    output: OutputType,
    words: bool,
) -> Result<String, Error> {
    let all = || channels.iter().flat_map(|(_, spoken)| spoken);
    Ok(match output {
        OutputType::Text => channels
            .iter()
            .map(|(_, spoken)| text(spoken))
            .collect::<Vec<_>>()
            .join("\n"),
        OutputType::Json => {
            let document = Document {
                file_url: recognition.file_url(),
                properties: properties(recognition),
                transcripts: channels
                    .iter()
                    .map(|(id, spoken)| Transcript::new(*id, spoken, words))
                    .collect(),
            };
            serde_json::to_string(&document).map_err(|e| Error::Internal(e.to_string()))?
        }
        OutputType::Srt | OutputType::Vtt => {
            let names: Vec<Option<String>> = match recognition.tells_speakers() {
                true => all()
                    .map(|s| Some(format!("Speaker {}", s.speaker)))
                    .collect(),
                false => all().map(|_| None).collect(),
            };
            let cues = all()
                .map(|s| &s.sentence)
                .zip(names.iter().map(|n| n.as_deref()));
            if output == OutputType::Srt {
                subtitles::srt(cues)
            } else {
                subtitles::vtt(cues)
            }
        }
    })
}

fn text(spoken: &[Spoken]) -> String {
    spoken.iter().fold(String::new(), |text, s| {
        join(text, &s.sentence.text, s.sentence.language)
    })
}

fn properties(recognition: &Recognition) -> Properties {
    let info = recognition.info();
    Properties {
        audio_format: info.codec.clone(),
        channels: recognition.channels(),
        original_sampling_rate: info.sample_rate,
        original_duration_in_milliseconds: info.duration_ms,
    }
}

type SentenceRow = (
    name!(channel_id, i32),
    name!(sentence_id, i32),
    name!(speaker_id, Option<i32>),
    name!(start_time, i32),
    name!(end_time, i32),
    name!(text, String),
    name!(language, String),
    name!(confidence, f32),
    name!(words, Option<JsonB>),
);

/// `ai_audio_sentences(source [, model] [, options])`: what is said, a row per sentence, as it is recognised.
#[pg_extern]
fn ai_audio_sentences(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(channel_id, i32),
            name!(sentence_id, i32),
            name!(speaker_id, Option<i32>),
            name!(start_time, i32),
            name!(end_time, i32),
            name!(text, String),
            name!(language, String),
            name!(confidence, f32),
            name!(words, Option<JsonB>),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (source [, model] [, options]) in sql/.
    let Some(call) = unsafe { Call::optional(fcinfo) }? else {
        return Ok(TableIterator::empty());
    };
    stats::CALLS.add(1);
    Ok(TableIterator::new(sentences(call)?))
}

fn sentences(call: Call) -> Result<impl Iterator<Item = SentenceRow>, Error> {
    let (common, own) = options::read::<RecognitionOptions>(call.options.clone())?;
    let words = own.word_timestamps;
    let recognition = common
        .on_error
        .apply(Recognition::start(&call, &common, own, true))?;
    Ok(recognition
        .into_iter()
        .flat_map(move |r| rows(r, common.clone(), words)))
}

/// Rows of a running recognition: each time the waiting ones are used up, the next part is recognised.
fn rows(
    mut recognition: Recognition,
    common: Common,
    words: bool,
) -> impl Iterator<Item = SentenceRow> {
    let with_speaker = recognition.tells_speakers();
    let (mut channel_now, mut number) = (None, 0);
    let parts = std::iter::from_fn(move || match common.on_error.apply(recognition.next()) {
        Ok(part) => part.flatten(),
        Err(error) => {
            ErrorReport::from(error).report(PgLogLevel::ERROR);
            None
        }
    });
    parts
        .flat_map(|(channel, spoken)| spoken.into_iter().map(move |s| (channel, s)))
        .map(move |(channel, s)| {
            number = if channel_now.replace(channel) == Some(channel) {
                number + 1
            } else {
                1
            };
            row(
                channel,
                number,
                with_speaker.then_some(s.speaker),
                s.sentence,
                words,
            )
        })
}

fn row(channel: u32, number: i32, speaker: Option<usize>, s: Sentence, words: bool) -> SentenceRow {
    let words = words.then(|| s.words.iter().map(WordEntry::from).collect::<Vec<_>>());
    (
        i32::try_from(channel).unwrap_or(i32::MAX),
        number,
        speaker.map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
        ms(s.start_ms),
        ms(s.end_ms),
        s.text,
        s.language.code().to_string(),
        s.confidence,
        words.and_then(|w| serde_json::to_value(w).ok()).map(JsonB),
    )
}

/// `ai_audio_detect_language(source [, model] [, options])`: the language of the first speech.
#[pg_extern]
fn ai_audio_detect_language(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(language, Option<String>),
            name!(probability, Option<f32>),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (source [, model] [, options]) in sql/.
    let Some(mut call) = unsafe { Call::optional(fcinfo) }? else {
        return Ok(TableIterator::empty());
    };
    stats::CALLS.add(1);
    let (common, NoMore {}) = options::read(std::mem::take(&mut call.options))?;
    let started = Recognition::start(&call, &common, RecognitionOptions::default(), false);
    let detected = common
        .on_error
        .apply(started.and_then(Recognition::detect_language))?
        .flatten();
    let row = (
        detected.map(|d| d.language.code().to_string()),
        detected.map(|d| d.probability),
    );
    Ok(TableIterator::once(row))
}
