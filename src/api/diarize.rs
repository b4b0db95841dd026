//! `ai_audio_diarize`: who spoke when; `ai_audio_segments` and `ai_audio_extract`: the pieces, cut out.

use std::collections::VecDeque;
use std::sync::Arc;

use audio::{Input, Selection};
use diarize::{Diarization, Options, Turn};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;

use crate::call::arguments::{Args, Call, Shape};
use crate::call::clip::Format;
use crate::call::options::{self, Channel, Common};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::Engine;
use crate::progress::Stage;
use crate::steps::diarization::{self, Networks, SpeakerOptions};
use crate::steps::names::Named;
use crate::vector::Vector;
use crate::{interrupt, settings, stats};

/// What `ai_audio_diarize` takes beside [`SpeakerOptions`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DiarizeOptions {
    /// One speaker at a time.
    exclusive: bool,
    per: Per,
}

/// What a row is.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Per {
    #[default]
    Turn,
    Speaker,
}

/// What `ai_audio_segments` takes beside [`SpeakerOptions`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SegmentsOptions {
    exclusive: bool,
    format: Format,
    /// One clip per speaker.
    joined: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExtractOptions {
    format: Format,
}

/// A diarized recording, still open.
struct Diarized {
    recording: Recording,
    input: Input,
    selection: Selection,
    each: bool,
    found: Arc<Diarization>,
}

impl Diarized {
    fn new(call: &Call, common: &Common, options: &Options) -> Result<Self, Error> {
        let each = common.channel == Channel::Each;
        let channel = if each { Channel::Mix } else { common.channel };
        let selection = Common {
            channel,
            ..common.clone()
        }
        .selection()?;
        let (networks, engine) = (Networks::find()?, Engine::current());
        let recording = Recording::with(&call.source, common)?;
        let input = interrupt::run(|cancel| recording.open(cancel))?;
        let found = if each {
            diarization::sides(&networks, &engine, &recording, &input, &selection, options)?
        } else {
            diarization::by_voice(
                &networks, &engine, &recording, &input, &selection, options, true,
            )?
        };
        Ok(Diarized {
            recording,
            input,
            selection,
            each,
            found,
        })
    }

    fn turns(&self, exclusive: bool) -> &[Turn] {
        if exclusive {
            &self.found.exclusive
        } else {
            &self.found.turns
        }
    }

    /// A time of a turn as the recording's.
    fn time(&self, ms: u64) -> i32 {
        i32::try_from(ms + self.selection.start_ms.unwrap_or(0)).unwrap_or(i32::MAX)
    }

    /// The samples of some turns of one speaker, one after the other.
    fn cut(&self, turns: &[Turn]) -> Result<Vec<f32>, Error> {
        let offset = self.selection.start_ms.unwrap_or(0);
        let speaker = turns.first().map_or(0, |t| t.speaker) as u32;
        let channel = if self.each {
            audio::Channel::Index(speaker)
        } else {
            self.selection.channel
        };
        interrupt::run(|cancel| -> Result<_, Error> {
            let mut all = Vec::new();
            for turn in turns {
                let part = Selection {
                    start_ms: Some(turn.start_ms + offset),
                    end_ms: Some(turn.end_ms + offset),
                    channel,
                    ..self.selection.clone()
                };
                let decoded = audio::decode(&self.input, &part, cancel.flag());
                all.extend(
                    decoded
                        .map_err(|e| self.recording.blame(Error::Decoding(e)))?
                        .samples,
                );
            }
            Ok(all)
        })
    }
}

/// `ai_audio_diarize(source [, options])`: who spoke when, a row per turn.
#[pg_extern]
fn ai_audio_diarize(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(speaker_id, i32),
            name!(start_time, i32),
            name!(end_time, i32),
            name!(overlap, bool),
            name!(confidence, f32),
            name!(embedding, Option<Vector>),
            name!(name, Option<String>),
            name!(seconds, f64),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared in this shape in sql/.
    let call = unsafe { Call::read(fcinfo, Shape::Source) }?;
    let rows = call.map(diarize_rows).transpose()?.unwrap_or_default();
    Ok(TableIterator::new(rows))
}

type DiarizeRow = (
    i32,
    i32,
    i32,
    bool,
    f32,
    Option<Vector>,
    Option<String>,
    f64,
);

fn diarize_rows(mut call: Call) -> Result<Vec<DiarizeRow>, Error> {
    let (common, speakers, own) =
        options::read_two::<SpeakerOptions, DiarizeOptions>(std::mem::take(&mut call.options))?;
    let (shape, library) = (speakers.checked()?, speakers.library()?);
    let Some(all) = common
        .on_error
        .apply(Diarized::new(&call, &common, &shape))?
    else {
        return Ok(Vec::new());
    };
    let names = library.map(|library| diarization::names(&all.found, &library));
    let names = names.transpose()?.unwrap_or_default();
    let voices = diarization::voices(&all.found)?;
    let row = |turns: &[Turn]| {
        let (first, last) = (turns.first()?, turns.iter().map(|t| t.end_ms).max()?);
        let length = |t: &Turn| (t.end_ms - t.start_ms) as f64;
        let all_ms: f64 = turns.iter().map(length).sum();
        let sure: f64 = turns
            .iter()
            .map(|t| length(t) * f64::from(t.confidence))
            .sum();
        Some((
            first.speaker as i32,
            all.time(first.start_ms),
            all.time(last),
            turns.iter().any(|t| t.overlap),
            (sure / all_ms.max(1.0)) as f32,
            voices.get(first.speaker).cloned().flatten(),
            name_of(&names, first.speaker),
            all_ms / 1e3,
        ))
    };
    let turns = grouped(all.turns(own.exclusive), own.per == Per::Speaker);
    Ok(turns.iter().filter_map(|turns| row(turns)).collect())
}

/// `ai_audio_segments(source [, options])`: the turns cut out, a clip each, or one per speaker.
#[pg_extern]
fn ai_audio_segments(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<
    TableIterator<
        'static,
        (
            name!(speaker_id, i32),
            name!(start_time, i32),
            name!(end_time, i32),
            name!(clip, Vec<u8>),
            name!(name, Option<String>),
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared in this shape in sql/.
    let call = unsafe { Call::read(fcinfo, Shape::Source) }?;
    let rows = call.map(segments).transpose()?;
    Ok(TableIterator::new(rows.into_iter().flatten()))
}

type SegmentRow = (i32, i32, i32, Vec<u8>, Option<String>);

fn segments(mut call: Call) -> Result<impl Iterator<Item = SegmentRow>, Error> {
    let (common, speakers, own) =
        options::read_two::<SpeakerOptions, SegmentsOptions>(std::mem::take(&mut call.options))?;
    let (shape, library) = (speakers.checked()?, speakers.library()?);
    let all = common
        .on_error
        .apply(Diarized::new(&call, &common, &shape))?;
    let names = match (&all, library) {
        (Some(all), Some(library)) => diarization::names(&all.found, &library)?,
        _ => Vec::new(),
    };
    let clips = all
        .as_ref()
        .map(|all| grouped(all.turns(own.exclusive), own.joined))
        .unwrap_or_default();
    // Clips are cut when their row is asked for: all of them together are as large as the recording.
    Ok(clips.into_iter().filter_map(move |turns| {
        let all = all.as_ref()?;
        let (first, last) = (turns.first()?, turns.iter().map(|t| t.end_ms).max()?);
        match all.cut(&turns) {
            Ok(samples) => Some((
                first.speaker as i32,
                all.time(first.start_ms),
                all.time(last),
                own.format.write(&samples),
                name_of(&names, first.speaker),
            )),
            Err(error) => {
                ErrorReport::from(error).report(PgLogLevel::ERROR);
                None
            }
        }
    }))
}

fn name_of(names: &[Option<Named>], speaker: usize) -> Option<String> {
    Some(names.get(speaker)?.as_ref()?.name.clone())
}

/// Each turn by itself, or all of a speaker together.
fn grouped(turns: &[Turn], by_speaker: bool) -> VecDeque<Vec<Turn>> {
    if !by_speaker {
        return turns.iter().map(|t| vec![t.clone()]).collect();
    }
    let speakers = turns.iter().map(|t| t.speaker + 1).max().unwrap_or(0);
    let of = |speaker: usize| {
        turns
            .iter()
            .filter(move |t| t.speaker == speaker)
            .cloned()
            .collect::<Vec<_>>()
    };
    (0..speakers)
        .map(of)
        .filter(|turns| !turns.is_empty())
        .collect()
}

/// `ai_audio_extract(source, start_time, end_time [, options])`: a part of a recording, as a recording.
#[pg_extern]
fn ai_audio_extract(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Vec<u8>>, ErrorReport> {
    // SAFETY: declared as (source, start_time, end_time [, options]) in sql/.
    let args = unsafe { Args::new(fcinfo) };
    if args.is_null(0) {
        return Ok(None);
    }
    let time = |index| match args.is_null(index) {
        true => Ok(None),
        false => args.millis(index).map(Some),
    };
    let call = Call {
        model: None,
        source: args.source(0)?,
        options: args.maybe_options(3)?,
    };
    Ok(extract(call, time(1)?, time(2)?)?)
}

/// Cuts from `start` or the beginning to `end` or the end, ms.
fn extract(mut call: Call, start: Option<f64>, end: Option<f64>) -> Result<Option<Vec<u8>>, Error> {
    stats::CALLS.add(1);
    let (common, own) = options::read::<ExtractOptions>(std::mem::take(&mut call.options))?;
    common.as_it_is("ai_audio_extract")?;
    if common.start_time.is_some() || common.end_time.is_some() {
        return Err(Error::Options(
            "start_time and end_time are arguments of this function, not options".into(),
        ));
    }
    let time = |name: &str, ms: Option<f64>| match ms {
        None => Ok(None),
        // The fraction of a millisecond is nothing that is heard.
        Some(ms) if (0.0..9e15).contains(&ms) => Ok(Some(ms.round() as u64)),
        Some(ms) => Err(Error::Argument(format!(
            "{name} is in milliseconds from 0, not {ms}"
        ))),
    };
    let (start_ms, end_ms) = (time("start_time", start)?, time("end_time", end)?);
    if let (Some(start), Some(end)) = (start_ms, end_ms)
        && start >= end
    {
        return Err(Error::Argument(format!(
            "start_time ({start}) must be before end_time ({end})"
        )));
    }
    let selection = Selection {
        start_ms,
        end_ms,
        channel: common.channel.single()?,
        max_duration_ms: settings::max_duration_ms(),
        sample_rate: audio::SAMPLE_RATE,
    };
    let clip = Recording::new(&call.source, &common.access).and_then(|recording| {
        interrupt::run(|cancel| -> Result<_, Error> {
            let mut clip = own.format.writer(audio::SAMPLE_RATE);
            recording.stream(&selection, Stage::Cutting, cancel, |piece| clip.push(piece))?;
            clip.finish()
        })
    });
    common.on_error.apply(clip)
}
