//! `ai_audio_transcribe` and `ai_audio_sentences`: speech to text; `ai_audio_detect_language`.

use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use transcribe::document::{Document, Properties, Transcript, WordEntry};
use transcribe::speakers::{Spoken, join};
use transcribe::{Sentence, subtitles};

use crate::call::access::Access;
use crate::call::arguments::{Call, Shape};
use crate::call::options::{self, Common, NoMore};
use crate::call::rows::{self, ms};
use crate::errors::Error;
use crate::steps::diarization::SpeakerOptions;
use crate::steps::recognition::{Recognition, RecognitionOptions, Said, Speakers};
use crate::steps::results::Results;
use crate::vector::Vector;

/// What `ai_audio_transcribe` gives.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OutputType {
    #[default]
    Text,
    Json,
    Srt,
    Vtt,
    /// The JSON document in an object store.
    Url,
}

/// The options that only `ai_audio_transcribe` has.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Output {
    output_type: OutputType,
    /// Where a document goes that is asked for as a URL.
    result: Option<String>,
}

impl Output {
    /// The place for the document, if it is to go anywhere.
    fn results(&self, access: &Access) -> Result<Option<Results>, Error> {
        match (self.output_type, self.result.as_deref()) {
            (OutputType::Url, place) => Results::open(place, access).map(Some),
            (_, None) => Ok(None),
            (_, Some(_)) => Err(Error::Options(
                "option \"result\" goes with output_type 'url' only".into(),
            )),
        }
    }
}

/// `ai_audio_transcribe(source)`, `(model, source)`, `(model, source, options)`: what is said in a recording.
#[pg_extern]
fn ai_audio_transcribe(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<String>, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let call = unsafe { Call::read(fcinfo, Shape::ModelFirst) }?;
    Ok(call.map(transcribe).transpose()?.flatten())
}

/// `ai_audio_transcript(source [, model] [, options])`: the JSON document as jsonb.
#[pg_extern]
fn ai_audio_transcript(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<JsonB>, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let Some(mut call) = unsafe { Call::read(fcinfo, Shape::SourceFirst) }? else {
        return Ok(None);
    };
    if call.options.contains_key("output_type") {
        let message = "option \"output_type\": ai_audio_transcript gives the JSON document as jsonb; see ai_audio_transcribe";
        return Err(Error::Options(message.into()).into());
    }
    call.options.insert("output_type".into(), "json".into());
    let document = transcribe(call)?;
    let parsed = document.map(|text| serde_json::from_str(&text).map(JsonB));
    Ok(parsed
        .transpose()
        .map_err(|e| Error::Internal(e.to_string()))?)
}

fn transcribe(call: Call) -> Result<Option<String>, Error> {
    let (common, speakers, mut own, output) =
        options::read_three::<SpeakerOptions, RecognitionOptions, Output>(call.options.clone())?;
    let output_type = output.output_type;
    let results = output.results(&common.access)?;
    let listed = own.word_timestamps;
    own.word_timestamps |= matches!(output_type, OutputType::Srt | OutputType::Vtt); // long sentences become several cues
    let shows_speakers = matches!(output_type, OutputType::Json | OutputType::Url);
    let started = Recognition::start(&call, &common, &speakers, own, shows_speakers);
    let all = started.and_then(|mut recognition| {
        let mut channels: Vec<Said> = Vec::new();
        while let Some(said) = recognition.next()? {
            match channels.last_mut() {
                Some(last) if last.channel == said.channel => last.spoken.extend(said.spoken),
                _ => channels.push(said),
            }
        }
        Ok((recognition, channels))
    });
    let Some((recognition, channels)) = common.on_error.apply(all)? else {
        return Ok(None);
    };
    let written = write(&recognition, &channels, output_type, listed)?;
    let Some(results) = results else {
        return Ok(Some(written));
    };
    common.on_error.apply(results.write(&call.source, written))
}

fn write(
    recognition: &Recognition,
    channels: &[Said],
    output: OutputType,
    words: bool,
) -> Result<String, Error> {
    let named = |said: &Said, s: usize| said.speakers.name(s).map(|n| n.name.clone());
    Ok(match output {
        OutputType::Text => channels
            .iter()
            .map(|said| text(&said.spoken))
            .collect::<Vec<_>>()
            .join("\n"),
        OutputType::Json | OutputType::Url => {
            let document = Document {
                file_url: recognition.file_url(),
                properties: properties(recognition),
                transcripts: channels
                    .iter()
                    .map(|said| {
                        Transcript::new(said.channel, &said.spoken, words, |s| named(said, s))
                    })
                    .collect(),
            };
            serde_json::to_string(&document).map_err(|e| Error::Internal(e.to_string()))?
        }
        OutputType::Srt | OutputType::Vtt => {
            let tells = recognition.tells_speakers();
            let label = |said: &Said, s: usize| {
                let number = || format!("Speaker {s}");
                tells.then(|| named(said, s).unwrap_or_else(number))
            };
            let all: Vec<(&Sentence, Option<String>)> = channels
                .iter()
                .flat_map(|said| {
                    let of = move |s: &'_ Spoken| label(said, s.speaker);
                    said.spoken.iter().map(move |s| (&s.sentence, of(s)))
                })
                .collect();
            let cues = all.iter().map(|(s, name)| (*s, name.as_deref()));
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
    name!(speaker_name, Option<String>),
    name!(speaker_probability, Option<f64>),
    name!(embedding, Option<Vector>),
);

/// `ai_audio_sentences(source [, model] [, options])`: what is said, a row per sentence, as it is recognised: in a select
/// list, that is; in `FROM` the executor collects all rows first.
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
            name!(speaker_name, Option<String>),
            name!(speaker_probability, Option<f64>),
            name!(embedding, Option<Vector>),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (source [, model] [, options]) in sql/.
    let Some(call) = unsafe { Call::read(fcinfo, Shape::SourceFirst) }? else {
        return Ok(TableIterator::empty());
    };
    // SAFETY: a running function's.
    let soon = unsafe { rows::are_taken_one_by_one(fcinfo) };
    Ok(TableIterator::new(sentences(call, soon)?))
}

/// Which columns are wanted.
#[derive(Clone, Copy)]
struct Wanted {
    words: bool,
    voiceprints: bool,
}

/// `soon`: the first rows are wanted before the others.
fn sentences(call: Call, soon: bool) -> Result<impl Iterator<Item = SentenceRow>, Error> {
    let (common, speakers, own) =
        options::read_two::<SpeakerOptions, RecognitionOptions>(call.options.clone())?;
    let wanted = Wanted {
        words: own.word_timestamps,
        voiceprints: own.voiceprints,
    };
    let started = Recognition::start(&call, &common, &speakers, own, true);
    let started = started.map(|r| if soon { r.soon() } else { r });
    let recognition = common.on_error.apply(started)?;
    Ok(recognition
        .into_iter()
        .flat_map(move |r| all_rows(r, common.clone(), wanted)))
}

/// Rows of a running recognition: each time the waiting ones are used up, the next part is recognised.
fn all_rows(
    mut recognition: Recognition,
    common: Common,
    wanted: Wanted,
) -> impl Iterator<Item = SentenceRow> {
    let with_speaker = recognition.tells_speakers();
    let parts = std::iter::from_fn(move || match common.on_error.apply(recognition.next()) {
        Ok(part) => part.flatten(),
        Err(error) => {
            ErrorReport::from(error).report(PgLogLevel::ERROR);
            None
        }
    });
    parts.flat_map(move |said| {
        let (channel, speakers) = (said.channel, said.speakers);
        let of_one = move |(number, s)| {
            let speakers = with_speaker.then_some(&*speakers);
            row(channel, number, speakers, s, wanted)
        };
        (said.first..).zip(said.spoken).map(of_one)
    })
}

fn row(
    channel: u32,
    number: i32,
    speakers: Option<&Speakers>,
    spoken: Spoken,
    wanted: Wanted,
) -> SentenceRow {
    let (s, speaker) = (spoken.sentence, spoken.speaker);
    let words = wanted
        .words
        .then(|| s.words.iter().map(WordEntry::from).collect::<Vec<_>>());
    let name = speakers.and_then(|all| all.name(speaker));
    (
        i32::try_from(channel).unwrap_or(i32::MAX),
        number,
        speakers.map(|_| i32::try_from(speaker).unwrap_or(i32::MAX)),
        ms(s.start_ms),
        ms(s.end_ms),
        s.text,
        s.language.code().to_string(),
        s.confidence,
        words.and_then(|w| serde_json::to_value(w).ok()).map(JsonB),
        name.map(|n| n.name.clone()),
        name.map(|n| n.probability),
        speakers
            .filter(|_| wanted.voiceprints)
            .and_then(|all| all.voice(speaker)),
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
    let Some(mut call) = unsafe { Call::read(fcinfo, Shape::SourceFirst) }? else {
        return Ok(TableIterator::empty());
    };
    let (common, NoMore {}) = options::read(std::mem::take(&mut call.options))?;
    let (speakers, own) = Default::default();
    let started = Recognition::start(&call, &common, &speakers, own, false);
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
