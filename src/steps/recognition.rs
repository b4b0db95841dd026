//! A recognition in progress: what `ai_audio_transcribe` and `ai_audio_sentences` pull sentences from.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use audio::recording::Encoded;
use audio::{Info, Input, Reader, Selection};
use diarize::Diarization;
use onnx::Cancel;
use pgrx::prelude::*;
use serde::{Deserialize, Deserializer};
use transcribe::speakers::{Attribution, Grouping, Spoken};
use transcribe::{Detected, Language, Sentence, Transcriber};
use vad::Vad;

use crate::call::arguments::{Call, Source};
use crate::call::options::{Channel, Common};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Loaded, Model, Task};
use crate::steps::diarization::Networks;
use crate::{interrupt, settings, stats};

/// The model when none is named.
const DEFAULT_MODEL: &str = "audio_transcription";
/// Time between two reports of progress.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Widest beam: memory grows with it.
const MAX_BEAMS: u32 = 16;

/// Options of speech recognition.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecognitionOptions {
    /// The language spoken.
    #[serde(deserialize_with = "language")]
    lang: Option<Language>,
    /// The same.
    #[serde(deserialize_with = "language")]
    language: Option<Language>,
    task: TaskName,
    prompt: Option<String>,
    #[serde(deserialize_with = "hotwords")]
    hotwords: Option<String>,
    /// Whether sentences list their words.
    pub word_timestamps: bool,
    beam_size: Option<u32>,
    temperature: Option<f32>,
    /// Whether to tell speakers apart.
    diarization: Option<bool>,
    speaker_count: Option<u32>,
    diarization_mode: Mode,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TaskName {
    #[default]
    Transcribe,
    Translate,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Word,
    #[default]
    Sentence,
    Speaker,
}

fn language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Language>, D::Error> {
    let code = String::deserialize(deserializer)?;
    Language::parse(&code)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

/// A text, or a list of texts.
fn hotwords<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or an array of texts")]
    enum Given {
        One(String),
        Many(Vec<String>),
    }
    Ok(Some(match Given::deserialize(deserializer)? {
        Given::One(text) => text,
        Given::Many(texts) => texts.join(", "),
    }))
}

impl RecognitionOptions {
    fn checked(&self) -> Result<transcribe::Options, Error> {
        let wrong = |text: String| Err(Error::Options(text));
        if self.lang.is_some() && self.language.is_some() && self.lang != self.language {
            return wrong("lang and language are the same option; give one".into());
        }
        if let Some(beams) = self.beam_size.filter(|n| !(1..=MAX_BEAMS).contains(n)) {
            return wrong(format!(
                "beam_size is between 1 and {MAX_BEAMS}, not {beams}"
            ));
        }
        if let Some(t) = self.temperature.filter(|t| !(0.0..=1.0).contains(t)) {
            return wrong(format!("temperature is between 0 and 1, not {t}"));
        }
        if let Some(n) = self
            .speaker_count
            .filter(|n| !(1..=diarize::MAX_SPEAKERS as u32).contains(n))
        {
            return wrong(format!(
                "speaker_count is between 1 and {}, not {n}",
                diarize::MAX_SPEAKERS
            ));
        }
        Ok(transcribe::Options {
            language: self.lang.or(self.language),
            task: match self.task {
                TaskName::Transcribe => transcribe::Task::Transcribe,
                TaskName::Translate => transcribe::Task::Translate,
            },
            prompt: self.prompt.clone(),
            hotwords: self.hotwords.clone(),
            words: self.word_timestamps,
            beam_size: self.beam_size.map(|n| n as usize),
            temperature: self.temperature,
        })
    }

    fn diarization(&self) -> diarize::Options {
        diarize::Options {
            speaker_count: self.speaker_count.map(|n| n as usize),
            ..diarize::Options::default()
        }
    }

    fn grouping(&self) -> Grouping {
        match self.diarization_mode {
            Mode::Word => Grouping::Word,
            Mode::Sentence => Grouping::Sentence,
            Mode::Speaker => Grouping::Speaker,
        }
    }
}

/// How speakers are told apart.
#[allow(clippy::large_enum_variant)] // one per statement
enum Telling {
    /// Not at all.
    No,
    /// Each channel is a speaker, as in a call recorded with a side per channel.
    ByChannel,
    /// By their voices.
    ByVoice(Networks, diarize::Options, Engine),
}

/// A recording that is being recognised, channel after channel. Nothing runs between two calls of
/// [`Recognition::next`].
pub struct Recognition {
    recording: Recording,
    file_url: Option<String>,
    input: Input,
    info: Info,
    selection: Selection,
    options: transcribe::Options,
    channels: Vec<u32>,
    waiting: VecDeque<(u32, audio::Channel)>,
    current: Option<(u32, Transcriber)>,
    telling: Telling,
    /// Who speaks when on the current channel, where that is told by voice.
    speakers: Option<Diarization>,
    attribution: Attribution,
    model: Loaded<transcribe::Model>,
    vad: Loaded<Vad>,
    progress: Option<Progress>,
}

impl Recognition {
    /// Checks the call, opens the recording and loads the models. `shows_speakers`: whether speakers are told apart
    /// unless the options say otherwise.
    ///
    /// # Errors
    /// [`Error::Options`], [`Error::UnknownModel`], [`Error::Privilege`], and those of the recording and the models.
    pub fn start(
        call: &Call,
        common: &Common,
        own: RecognitionOptions,
        shows_speakers: bool,
    ) -> Result<Self, Error> {
        let mut options = own.checked()?;
        let name = call.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let model = Model::find(name, Task::SpeechRecognition)?;
        let detector = Model::find("vad", Task::VoiceActivityDetection)?;
        let selection = Common {
            channel: single(common.channel),
            ..common.clone()
        }
        .selection()?;
        let engine = Engine::current();
        let telling = match own.diarization.unwrap_or(shows_speakers) {
            false => Telling::No,
            true if common.channel == Channel::Each => Telling::ByChannel,
            true => Telling::ByVoice(Networks::find()?, own.diarization(), engine.clone()),
        };
        options.words |= matches!(telling, Telling::ByVoice(..)); // speakers change between words
        let recording = Recording::new(&call.source)?;
        let (input, info, vad, model) = interrupt::run(|cancel| -> Result<_, Error> {
            let input = recording.open(cancel)?;
            let info = audio::probe(&input, cancel.flag());
            let info = info.map_err(|error| Error::Audio {
                name: recording.name().into(),
                error,
            })?;
            Ok((
                input,
                info,
                engine.load(&detector, Vad::open)?,
                engine.load(&model, transcribe::Model::open)?,
            ))
        })?;
        let each = |n: u32| {
            (0..n.max(1))
                .map(|i| (i, audio::Channel::Index(i)))
                .collect()
        };
        let waiting: VecDeque<_> = match common.channel {
            Channel::Mix => [(0, audio::Channel::Mix)].into(),
            Channel::Index(i) => [(i, audio::Channel::Index(i))].into(),
            Channel::Each => each(info.channels),
        };
        let file_url = match &call.source {
            Source::Text(text) => Some(source::redact(text)),
            Source::Bytes(_) => None,
        };
        let progress = settings::progress().then(|| Progress::new(&recording));
        let channels = waiting.iter().map(|(id, _)| *id).collect();
        Ok(Self {
            recording,
            file_url,
            input,
            info,
            selection,
            options,
            channels,
            waiting,
            current: None,
            telling,
            speakers: None,
            attribution: Attribution::new(own.grouping()),
            model,
            vad,
            progress,
        })
    }

    /// The next sentences and their channel; `None` at the end.
    ///
    /// # Errors
    /// Those of the recording and the models.
    pub fn next(&mut self) -> Result<Option<(u32, Vec<Spoken>)>, Error> {
        loop {
            let Some((channel, transcriber)) = &mut self.current else {
                let Some((id, channel)) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                self.speakers = self.diarize(channel)?;
                self.current = Some((id, self.transcriber(channel)?));
                continue;
            };
            let (channel, before) = (*channel, transcriber.done_ms());
            let (model, vad) = (&mut *self.model, &mut *self.vad);
            let recording = &self.recording;
            let sentences = interrupt::run(|cancel| {
                let next = stats::INFERENCE_US.time(|| transcriber.next(model, vad, cancel));
                next.map_err(|e| recording.blame(e))
            })?;
            let done_ms = transcriber.done_ms();
            stats::AUDIO_MS.add(done_ms.saturating_sub(before));
            if let Some(progress) = &mut self.progress {
                progress.report(done_ms, self.info.duration_ms);
            }
            let ended = sentences.is_none();
            let mut spoken = self.attribute(channel, sentences.unwrap_or_default());
            if ended {
                self.current = None;
                spoken.extend(self.attribution.finish());
            }
            if !spoken.is_empty() {
                return Ok(Some((channel, spoken)));
            }
        }
    }

    /// The language of the first speech; `None` if nobody speaks.
    ///
    /// # Errors
    /// As [`Recognition::next`].
    pub fn detect_language(mut self) -> Result<Option<Detected>, Error> {
        let Some((_, channel)) = self.waiting.pop_front() else {
            return Ok(None);
        };
        let transcriber = self.transcriber(channel)?;
        let (model, vad) = (&mut *self.model, &mut *self.vad);
        interrupt::run(|cancel| {
            transcriber
                .detect_language(model, vad, cancel)
                .map_err(|e| self.recording.blame(e))
        })
    }

    /// What the recording is.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The channels that are transcribed.
    pub fn channels(&self) -> Vec<u32> {
        self.channels.clone()
    }

    /// The recording's path or URL, without secrets.
    pub fn file_url(&self) -> Option<String> {
        self.file_url.clone()
    }

    /// Whether speakers are told apart.
    pub fn tells_speakers(&self) -> bool {
        !matches!(self.telling, Telling::No)
    }

    /// Who speaks when on a channel, where that is told by voice.
    fn diarize(&self, channel: audio::Channel) -> Result<Option<Diarization>, Error> {
        let Telling::ByVoice(networks, options, engine) = &self.telling else {
            return Ok(None);
        };
        let selection = Selection {
            channel,
            ..self.selection.clone()
        };
        let (input, recording) = (&self.input, &self.recording);
        let run = |cancel: &Cancel| {
            networks.diarize(
                engine,
                &mut Encoded::new(input, &selection),
                options,
                cancel,
            )
        };
        interrupt::run(|cancel| run(cancel).map_err(|e| recording.blame(e))).map(Some)
    }

    /// Gives sentences to their speakers.
    fn attribute(&mut self, channel: u32, sentences: Vec<Sentence>) -> Vec<Spoken> {
        let alone = if matches!(self.telling, Telling::ByChannel) {
            channel as usize
        } else {
            0
        };
        let Some(speakers) = &self.speakers else {
            return sentences
                .into_iter()
                .map(|sentence| Spoken {
                    speaker: alone,
                    sentence,
                })
                .collect();
        };
        let offset = self.selection.start_ms.unwrap_or(0);
        let who = |start: u64, end: u64| {
            speakers.speaker_of(start.saturating_sub(offset), end.saturating_sub(offset))
        };
        sentences
            .into_iter()
            .flat_map(|s| self.attribution.push(s, &who))
            .collect()
    }

    fn transcriber(&self, channel: audio::Channel) -> Result<Transcriber, Error> {
        let selection = Selection {
            channel,
            ..self.selection.clone()
        };
        let (input, recording) = (&self.input, &self.recording);
        let reader = interrupt::run(|_| {
            let failed = |error| Error::Audio {
                name: recording.name().into(),
                error,
            };
            Reader::open(input, &selection).map_err(failed)
        })?;
        Ok(Transcriber::new(
            reader,
            selection.start_ms.unwrap_or(0),
            self.options.clone(),
        ))
    }
}

/// What stands for "each channel" while options are checked.
fn single(channel: Channel) -> Channel {
    if channel == Channel::Each {
        Channel::Mix
    } else {
        channel
    }
}

/// Says every few seconds how far the work is.
struct Progress {
    name: String,
    last: Instant,
}

impl Progress {
    fn new(recording: &Recording) -> Self {
        Progress {
            name: recording.name().into(),
            last: Instant::now(),
        }
    }

    fn report(&mut self, done_ms: u64, of_ms: Option<u64>) {
        if self.last.elapsed() < REPORT_EVERY {
            return;
        }
        self.last = Instant::now();
        let of = of_ms
            .map(|ms| format!(" of {} s", ms / 1000))
            .unwrap_or_default();
        ereport!(
            INFO,
            PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            format!("{}: {} s{of} transcribed", self.name, done_ms / 1000)
        );
    }
}
