//! A recognition in progress: what `ai_audio_transcribe` and `ai_audio_sentences` pull sentences from.

mod options;

use std::collections::VecDeque;
use std::sync::Arc;

use audio::{Info, Input, Reader, Selection};
use diarize::Diarization;
use transcribe::speakers::{Attribution, Spoken};
use transcribe::{Detected, Language, Sentence, Transcriber};
use vad::Vad;

use crate::call::arguments::{Call, Source};
use crate::call::encoded;
use crate::call::options::{Channel, Common};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Loaded, Model, Task};
use crate::progress::{self, Stage};
use crate::steps::diarization::{self, Networks, SpeakerOptions};
use crate::steps::names::{Named, Names};
use crate::vector::Vector;
use crate::{interrupt, stats};

pub use options::RecognitionOptions;

/// The model when none is named.
const DEFAULT_MODEL: &str = "audio_transcription";
/// How speakers are told apart.
#[allow(clippy::large_enum_variant)] // one per statement
enum Telling {
    /// Not at all.
    No,
    /// Each channel is a speaker, as in a call recorded with a side per channel.
    ByChannel,
    /// The same where their voices are asked for.
    BySide(Networks, Engine),
    /// By their voices.
    ByVoice(Networks, Engine),
}

/// What a part of a recognition gives: sentences of a channel and who speaks there.
pub struct Said {
    /// The channel.
    pub channel: u32,
    /// The number of the first sentence; they count from 1 on each channel.
    pub first: i32,
    /// The sentences in order.
    pub spoken: Vec<Spoken>,
    /// Names and voices of the speakers, by their number.
    pub speakers: Arc<Speakers>,
}

/// What is known of the speakers of a channel.
#[derive(Default)]
pub struct Speakers {
    found: Option<Arc<Diarization>>,
    names: Vec<Option<Named>>,
    voices: Vec<Option<Vector>>,
}

impl Speakers {
    /// Who a speaker is.
    pub fn name(&self, speaker: usize) -> Option<&Named> {
        self.names.get(speaker)?.as_ref()
    }

    /// A speaker's voiceprint.
    pub fn voice(&self, speaker: usize) -> Option<Vector> {
        self.voices.get(speaker)?.clone()
    }
}

/// Sentences of a channel: recognised now, or by an earlier call of the statement.
#[allow(clippy::large_enum_variant)] // one per statement
enum Work {
    Now(Transcriber, Parts),
    Before(Arc<Parts>, usize),
}

/// The sentences of a channel, as they came.
type Parts = Vec<Vec<Sentence>>;

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
    current: Option<(u32, audio::Channel, Work)>,
    telling: Telling,
    shape: diarize::Options,
    library: Option<Names>,
    /// Who speaks on the current channel.
    speakers: Arc<Speakers>,
    /// Whether the first sentences are wanted before the others.
    soon: bool,
    /// What the recognition depends on beside the recording and the channel.
    detail: String,
    counted: bool,
    /// The number of the next sentence on the current channel.
    number: i32,
    attribution: Attribution,
    model: Loaded<transcribe::Model>,
    vad: Loaded<Vad>,
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
        speakers: &SpeakerOptions,
        own: RecognitionOptions,
        shows_speakers: bool,
    ) -> Result<Self, Error> {
        let mut options = own.checked()?;
        let name = call.model.as_deref().unwrap_or(DEFAULT_MODEL);
        let model = Model::find(name, Task::SpeechRecognition)?;
        options.itn = own.itn.or(model.itn);
        let known = model.languages.iter().map(|code| Language::parse(code));
        options.languages = known.filter_map(Result::ok).collect();
        let detector = Model::find("vad", Task::VoiceActivityDetection)?;
        let selection = Common {
            channel: single(common.channel),
            ..common.clone()
        }
        .selection()?;
        let engine = Engine::current();
        let (shape, library) = (speakers.checked()?, speakers.library()?);
        let voices = library.is_some() || own.voiceprints;
        let telling = match own.diarization.unwrap_or(shows_speakers || voices) {
            false if voices => {
                let message = "diarization false leaves no speakers for library and voiceprints";
                return Err(Error::Options(message.into()));
            }
            false => Telling::No,
            true if common.channel != Channel::Each => {
                Telling::ByVoice(Networks::find()?, engine.clone())
            }
            true if voices => Telling::BySide(Networks::find()?, engine.clone()),
            true => Telling::ByChannel,
        };
        options.words |= matches!(telling, Telling::ByVoice(..)); // speakers change between words
        let recording = Recording::with(&call.source, common)?;
        let detail = format!("{:?} {options:?}", model.path);
        let (input, info, vad, model) = interrupt::run(|cancel| -> Result<_, Error> {
            let input = recording.open(cancel)?;
            let info = audio::probe(&input, cancel.flag());
            let info = info.map_err(|error| recording.blame(Error::Decoding(error)))?;
            Ok((
                input,
                info,
                engine.load(&detector, Vad::open)?,
                engine.load(&model, transcribe::Model::open)?,
            ))
        })?;
        if own.itn.is_some() && !model.has_itn() {
            let message = "itn is for models that can write either, as SenseVoice";
            return Err(Error::Options(message.into()));
        }
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
            Source::Text(text) => Some(encoded::shown(text)),
            Source::Bytes(_) => None,
        };
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
            shape,
            library,
            speakers: Arc::default(),
            soon: false,
            detail,
            counted: false,
            number: 1,
            attribution: Attribution::new(own.grouping()),
            model,
            vad,
        })
    }

    /// The first sentences are wanted soon. Where voices are told apart all of the recording is heard first, and nothing is won.
    pub fn soon(self) -> Self {
        let soon = matches!(self.telling, Telling::No | Telling::ByChannel);
        Self { soon, ..self }
    }

    /// The next sentences; `None` at the end.
    ///
    /// # Errors
    /// Those of the recording and the models.
    pub fn next(&mut self) -> Result<Option<Said>, Error> {
        loop {
            let Some((id, channel, work)) = &mut self.current else {
                let Some((id, channel)) = self.waiting.pop_front() else {
                    return Ok(None);
                };
                self.speakers = self.who(channel)?;
                self.number = 1;
                self.current = Some((id, channel, self.work(channel)?));
                continue;
            };
            let (id, channel) = (*id, *channel);
            let sentences = match work {
                Work::Before(parts, at) => {
                    *at += 1;
                    parts.get(*at - 1).cloned()
                }
                Work::Now(transcriber, parts) => {
                    let before = transcriber.done_ms();
                    let (model, vad) = (&mut *self.model, &mut *self.vad);
                    let recording = &self.recording;
                    let total = self.info.duration_ms.unwrap_or(0);
                    let sentences = interrupt::run(|cancel| {
                        progress::stage(Stage::Transcribing, total);
                        progress::done(before);
                        let next =
                            stats::INFERENCE_US.time(|| transcriber.next(model, vad, cancel));
                        next.map_err(|e| recording.blame(e))
                    })?;
                    let done_ms = transcriber.done_ms();
                    stats::AUDIO_MS.add(done_ms.saturating_sub(before));
                    parts.extend(sentences.clone());
                    sentences
                }
            };
            let ended = sentences.is_none();
            let mut spoken = self.attribute(id, sentences.unwrap_or_default());
            if ended {
                if let Some((_, _, Work::Now(_, parts))) = self.current.take() {
                    let all = || Ok(parts);
                    self.recording.once("words", || self.detail(channel), all)?;
                }
                spoken.extend(self.attribution.finish());
            }
            if !spoken.is_empty() {
                let first = self.number;
                self.number += spoken.len() as i32;
                return Ok(Some(Said {
                    channel: id,
                    first,
                    spoken,
                    speakers: Arc::clone(&self.speakers),
                }));
            }
        }
    }

    fn detail(&self, channel: audio::Channel) -> String {
        format!("{} {:?} {channel:?}", self.detail, self.selection)
    }

    /// What is to be done for a channel, or was by an earlier call of the statement.
    fn work(&mut self, channel: audio::Channel) -> Result<Work, Error> {
        let before = self.recording.known("words", || self.detail(channel))?;
        if let Some(parts) = before {
            return Ok(Work::Before(parts, 0));
        }
        if !std::mem::replace(&mut self.counted, true) {
            stats::CALLS.add(1);
        }
        let transcriber = self.transcriber(channel)?;
        let transcriber = match std::mem::take(&mut self.soon) {
            true => transcriber.soon(),
            false => transcriber,
        };
        Ok(Work::Now(transcriber, Vec::new()))
    }

    /// The language of the first speech; `None` if nobody speaks.
    ///
    /// # Errors
    /// As [`Recognition::next`].
    pub fn detect_language(mut self) -> Result<Option<Detected>, Error> {
        let Some((_, channel)) = self.waiting.pop_front() else {
            return Ok(None);
        };
        stats::CALLS.add(1);
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

    /// Who speaks on a channel.
    fn who(&self, channel: audio::Channel) -> Result<Arc<Speakers>, Error> {
        let selection = Selection {
            channel,
            ..self.selection.clone()
        };
        let found = match &self.telling {
            Telling::No | Telling::ByChannel => return Ok(Arc::default()),
            // The channels are one conversation: its sides are heard together.
            Telling::BySide(networks, engine) => diarization::sides(
                networks,
                engine,
                &self.recording,
                &self.input,
                &self.selection,
                &self.shape,
            )?,
            Telling::ByVoice(networks, engine) => diarization::by_voice(
                networks,
                engine,
                &self.recording,
                &self.input,
                &selection,
                &self.shape,
                false,
            )?,
        };
        let names = self.library.as_ref().map(|l| diarization::names(&found, l));
        Ok(Arc::new(Speakers {
            voices: diarization::voices(&found)?,
            names: names.transpose()?.unwrap_or_default(),
            found: Some(found),
        }))
    }

    /// Gives sentences to their speakers.
    fn attribute(&mut self, channel: u32, sentences: Vec<Sentence>) -> Vec<Spoken> {
        let by_voice = matches!(self.telling, Telling::ByVoice(..));
        let Some(found) = self.speakers.found.as_ref().filter(|_| by_voice) else {
            let by_channel = matches!(self.telling, Telling::ByChannel | Telling::BySide(..));
            let speaker = if by_channel { channel as usize } else { 0 };
            let spoken = |sentence| Spoken { speaker, sentence };
            return sentences.into_iter().map(spoken).collect();
        };
        let offset = self.selection.start_ms.unwrap_or(0);
        let who = |start: u64, end: u64| {
            found.speaker_of(start.saturating_sub(offset), end.saturating_sub(offset))
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
            Reader::open(input, &selection).map_err(|e| recording.blame(Error::Decoding(e)))
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
