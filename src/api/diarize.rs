//! `ai_audio_diarize`: who spoke when; `ai_audio_segments` and `ai_audio_extract`: the pieces, cut out.

use std::collections::VecDeque;

use audio::{Input, Selection};
use diarize::{Diarization, Options, Turn};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::call::arguments::{Args, Call};
use crate::call::clip::Format;
use crate::call::options::{self, Channel, Common};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::Engine;
use crate::steps::diarization::Networks;
use crate::steps::names::Names;
use crate::vector::Vector;
use crate::{interrupt, settings, stats};

/// What is known of the speakers and how turns are cut, as `ai_audio_diarize` takes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DiarizeOptions {
    speaker_count: Option<u32>,
    min_speakers: Option<u32>,
    max_speakers: Option<u32>,
    /// One speaker at a time.
    exclusive: bool,
    #[serde(deserialize_with = "options::millis")]
    merge_gap: Option<u64>,
    #[serde(deserialize_with = "options::millis")]
    min_turn: Option<u64>,
    /// A table of known voices.
    library: Option<Value>,
}

/// The same, and how clips are made.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SegmentsOptions {
    speaker_count: Option<u32>,
    min_speakers: Option<u32>,
    max_speakers: Option<u32>,
    exclusive: bool,
    #[serde(deserialize_with = "options::millis")]
    merge_gap: Option<u64>,
    #[serde(deserialize_with = "options::millis")]
    min_turn: Option<u64>,
    format: Format,
    /// One clip per speaker.
    joined: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExtractOptions {
    format: Format,
}

impl DiarizeOptions {
    fn checked(&self) -> Result<Options, Error> {
        let base = Options::default();
        let number = |n: Option<u32>, name: &str| match n {
            Some(n) if n < 1 || n as usize > diarize::MAX_SPEAKERS => Err(Error::Options(format!(
                "{name} is between 1 and {}, not {n}",
                diarize::MAX_SPEAKERS
            ))),
            n => Ok(n.map(|n| n as usize)),
        };
        let speaker_count = number(self.speaker_count, "speaker_count")?;
        let min_speakers = number(self.min_speakers, "min_speakers")?.unwrap_or(base.min_speakers);
        let max_speakers = number(self.max_speakers, "max_speakers")?
            .unwrap_or(base.max_speakers.max(min_speakers));
        if min_speakers > max_speakers {
            let message =
                format!("min_speakers ({min_speakers}) is more than max_speakers ({max_speakers})");
            return Err(Error::Options(message));
        }
        if speaker_count.is_some() && (self.min_speakers.is_some() || self.max_speakers.is_some()) {
            return Err(Error::Options(
                "speaker_count leaves no room for min_speakers and max_speakers".into(),
            ));
        }
        Ok(Options {
            speaker_count,
            min_speakers,
            max_speakers,
            merge_gap_ms: self.merge_gap.unwrap_or(base.merge_gap_ms),
            min_turn_ms: self.min_turn.unwrap_or(base.min_turn_ms),
        })
    }
}

/// A diarized recording, still open.
struct Diarized {
    recording: Recording,
    input: Input,
    selection: Selection,
    each: bool,
    found: Diarization,
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
        let recording = Recording::new(&call.source)?;
        let (input, found) = interrupt::run(|cancel| -> Result<_, Error> {
            let input = recording.open(cancel)?;
            let found = if each {
                networks.sides(&engine, &input, &selection, options, cancel)
            } else {
                let mut reading = recording.reading(&input, &selection);
                networks.diarize(&engine, &mut reading, options, cancel)
            };
            let found = found.map_err(|e| recording.blame(e))?;
            Ok((input, found))
        })?;
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
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (source) and (source, options) in sql/, STRICT.
    let rows = unsafe { Call::source_first(fcinfo) }.and_then(diarize_rows)?;
    Ok(TableIterator::new(rows))
}

type DiarizeRow = (i32, i32, i32, bool, f32, Option<Vector>, Option<String>);

fn diarize_rows(mut call: Call) -> Result<Vec<DiarizeRow>, Error> {
    stats::CALLS.add(1);
    let (common, own) = options::read::<DiarizeOptions>(std::mem::take(&mut call.options))?;
    let checked = own.checked()?;
    let library = own.library.as_ref().map(Names::of).transpose()?;
    if let Some(library) = &library {
        // A wrong column is better known now than in an hour.
        let anybody = Vector(vec![1.0; Networks::find()?.dimensions()]);
        library.names_of(&[(Some(anybody), 1.0)])?;
    }
    let Some(all) = common
        .on_error
        .apply(Diarized::new(&call, &common, &checked))?
    else {
        return Ok(Vec::new());
    };
    let voice = |s: usize| {
        all.found
            .speakers
            .get(s)
            .filter(|v| v.iter().any(|x| *x != 0.0))
            .cloned()
            .map(Vector)
    };
    let seconds = |speaker: usize| {
        let own = all.found.turns.iter().filter(|t| t.speaker == speaker);
        own.map(|t| t.end_ms - t.start_ms).sum::<u64>() as f64 / 1e3
    };
    let speakers: Vec<_> = (0..all.found.speakers.len())
        .map(|s| (voice(s), seconds(s)))
        .collect();
    let names = library.map(|library| library.names_of(&speakers));
    let names = names.transpose()?.unwrap_or_default();
    let row = |t: &Turn| {
        let name = names.get(t.speaker).cloned().flatten();
        (
            t.speaker as i32,
            all.time(t.start_ms),
            all.time(t.end_ms),
            t.overlap,
            t.confidence,
            voice(t.speaker),
            name,
        )
    };
    Ok(all.turns(own.exclusive).iter().map(row).collect())
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
        ),
    >,
    ErrorReport,
> {
    // SAFETY: declared as (source) and (source, options) in sql/, STRICT.
    let rows = unsafe { Call::source_first(fcinfo) }.and_then(segments)?;
    Ok(TableIterator::new(rows))
}

fn segments(mut call: Call) -> Result<impl Iterator<Item = (i32, i32, i32, Vec<u8>)>, Error> {
    stats::CALLS.add(1);
    let (common, own) = options::read::<SegmentsOptions>(std::mem::take(&mut call.options))?;
    let shape = DiarizeOptions {
        speaker_count: own.speaker_count,
        min_speakers: own.min_speakers,
        max_speakers: own.max_speakers,
        merge_gap: own.merge_gap,
        min_turn: own.min_turn,
        ..DiarizeOptions::default()
    };
    let all = common
        .on_error
        .apply(Diarized::new(&call, &common, &shape.checked()?))?;
    let clips = all
        .as_ref()
        .map(|all| clips(all.turns(own.exclusive), own.joined))
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
            )),
            Err(error) => {
                ErrorReport::from(error).report(PgLogLevel::ERROR);
                None
            }
        }
    }))
}

/// The turns of each clip.
fn clips(turns: &[Turn], joined: bool) -> VecDeque<Vec<Turn>> {
    if !joined {
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
    // SAFETY: declared as (source, start_time, end_time [, options]) in sql/, STRICT.
    let args = unsafe { Args::new(fcinfo) };
    let given = if args.count() > 3 {
        args.options(3)?
    } else {
        Map::new()
    };
    let call = Call {
        model: None,
        source: args.source(0)?,
        options: given,
    };
    Ok(extract(call, args.get(1)?, args.get(2)?)?)
}

fn extract(mut call: Call, start: i32, end: i32) -> Result<Option<Vec<u8>>, Error> {
    stats::CALLS.add(1);
    let (common, own) = options::read::<ExtractOptions>(std::mem::take(&mut call.options))?;
    if common.start_time.is_some() || common.end_time.is_some() {
        return Err(Error::Options(
            "start_time and end_time are arguments of this function, not options".into(),
        ));
    }
    let time = |name: &str, ms: i32| {
        u64::try_from(ms)
            .map_err(|_| Error::Argument(format!("{name} is in milliseconds from 0, not {ms}")))
    };
    let (start_ms, end_ms) = (time("start_time", start)?, time("end_time", end)?);
    if start_ms >= end_ms {
        return Err(Error::Argument(format!(
            "start_time ({start}) must be before end_time ({end})"
        )));
    }
    let selection = Selection {
        start_ms: Some(start_ms),
        end_ms: Some(end_ms),
        channel: common.channel.single()?,
        max_duration_ms: settings::max_duration_ms(),
    };
    let clip = Recording::new(&call.source).and_then(|recording| {
        interrupt::run(|cancel| -> Result<_, Error> {
            let mut clip = own.format.writer(audio::SAMPLE_RATE);
            recording.stream(&selection, cancel, |piece| clip.push(piece))?;
            clip.finish()
        })
    });
    common.on_error.apply(clip)
}
