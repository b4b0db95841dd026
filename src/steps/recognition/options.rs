//! Options of speech recognition.

use serde::{Deserialize, Deserializer};
use transcribe::Language;
use transcribe::speakers::Grouping;

use crate::errors::Error;

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
    /// Whether numbers are numerals and sentences have punctuation.
    pub(super) itn: Option<bool>,
    /// Whether to tell speakers apart.
    pub(super) diarization: Option<bool>,
    diarization_mode: Mode,
    /// Whether sentences come with the voiceprint of their speaker.
    pub voiceprints: bool,
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

/// A language; null and 'auto' ask for detection.
fn language<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Language>, D::Error> {
    let Some(code) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if code.trim().eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
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
    /// As the transcriber takes them.
    ///
    /// # Errors
    /// [`Error::Options`] for values out of range, or two languages.
    pub(super) fn checked(&self) -> Result<transcribe::Options, Error> {
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
            itn: self.itn,
            languages: Vec::new(), // the model's
        })
    }

    /// How words are grouped where speakers change.
    pub(super) fn grouping(&self) -> Grouping {
        match self.diarization_mode {
            Mode::Word => Grouping::Word,
            Mode::Sentence => Grouping::Sentence,
            Mode::Speaker => Grouping::Speaker,
        }
    }
}
