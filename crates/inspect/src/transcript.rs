//! Transcripts: plain text, the JSON document of a transcript, or an array of sentences.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{Error, without_nul};

/// Longest text, bytes.
const MAX_BYTES: usize = 4 << 20;
/// Longest sentence, bytes: an hour of fast speech.
const MAX_SENTENCE: usize = 64 << 10;

/// A sentence of a transcript. Times are ms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sentence {
    /// Its number where it comes from.
    pub id: i32,
    /// Its channel.
    pub channel: Option<i32>,
    /// Number of the speaker.
    pub speaker_id: Option<i32>,
    /// Name of the speaker.
    pub speaker_name: Option<String>,
    /// When it begins.
    pub start_ms: Option<i32>,
    /// When it ends.
    pub end_ms: Option<i32>,
    /// What was said.
    pub text: String,
}

impl Sentence {
    /// Who speaks: by name, else by number.
    pub fn speaker(&self) -> Option<String> {
        let number = || self.speaker_id.map(|id| id.to_string());
        self.speaker_name.clone().or_else(number)
    }

    /// Whether the speaker has this name or number.
    pub(crate) fn is_by(&self, speaker: &str) -> bool {
        let named = self.speaker_name.as_deref();
        named.is_some_and(|name| name.trim().to_lowercase() == speaker.trim().to_lowercase())
            || self
                .speaker_id
                .is_some_and(|id| id.to_string() == speaker.trim())
    }
}

/// What was said, sentence by sentence in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transcript(Vec<Sentence>);

impl Transcript {
    /// Reads text: a JSON document or array of sentences where it is JSON of that form, else plain text, cut at the ends of
    /// sentences and lines, which are numbered from 1 and have neither times nor speakers.
    ///
    /// # Errors
    /// [`Error::Transcript`].
    pub fn from_text(text: &str) -> Result<Self, Error> {
        limited(text)?;
        if text.trim_start().starts_with(['{', '['])
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            return Self::from_value(value);
        }
        let sentences = plain_sentences(text).into_iter().zip(1..);
        Ok(Transcript(
            sentences
                .map(|(text, id)| Sentence {
                    id,
                    text: text.into(),
                    ..Sentence::default()
                })
                .collect(),
        ))
    }

    /// Reads JSON: a document with `transcripts`, an array of sentences (objects with `text` and any of `sentence_id`,
    /// `channel_id`, `speaker_id`, `speaker_name`, `start_time`, `end_time`), an array of texts, or a text.
    ///
    /// # Errors
    /// [`Error::Transcript`].
    pub fn from_json(json: &str) -> Result<Self, Error> {
        limited(json)?;
        match serde_json::from_str(json) {
            Ok(value) => Self::from_value(value),
            Err(error) => Err(Error::Transcript(error.to_string())),
        }
    }

    /// Takes sentences, and puts them into order.
    ///
    /// # Errors
    /// [`Error::Transcript`] for one that is too long.
    pub fn new(mut sentences: Vec<Sentence>) -> Result<Self, Error> {
        if let Some(long) = sentences.iter().find(|s| s.text.len() > MAX_SENTENCE) {
            return Err(Error::Transcript(format!(
                "sentence {} has {} bytes, more than {MAX_SENTENCE}",
                long.id,
                long.text.len()
            )));
        }
        // Where times are missing there is no order but the given one.
        if sentences.iter().all(|s| s.start_ms.is_some()) {
            sentences.sort_by_key(|s| s.start_ms);
        }
        Ok(Transcript(sentences))
    }

    /// The sentences.
    pub fn sentences(&self) -> &[Sentence] {
        &self.0
    }

    fn from_value(value: Value) -> Result<Self, Error> {
        let wrong = |error: serde_json::Error| Error::Transcript(error.to_string());
        match value {
            Value::String(text) => Self::from_text(&without_nul(text)),
            Value::Array(sentences) => {
                let read = sentences.into_iter().zip(1..).map(|(value, place)| {
                    let given = Given::deserialize(value)
                        .map_err(|e| Error::Transcript(format!("sentence {place}: {e}")))?;
                    Ok(given.sentence(place, None, None, None))
                });
                Self::new(read.collect::<Result<_, Error>>()?)
            }
            Value::Object(object) if object.contains_key("transcripts") => {
                let document = Document::deserialize(Value::Object(object)).map_err(wrong)?;
                Self::new(document.sentences())
            }
            _ => Err(Error::Transcript(
                "expected text, an array of sentences, or the document of ai_audio_transcribe with \"transcripts\""
                    .into(),
            )),
        }
    }
}

fn limited(text: &str) -> Result<(), Error> {
    match text.len() > MAX_BYTES {
        true => Err(Error::Transcript(format!(
            "it has {} bytes, more than {MAX_BYTES}",
            text.len()
        ))),
        false => Ok(()),
    }
}

/// Cuts at line ends and after what ends a sentence; what is longer than a sentence may be is cut at a blank.
fn plain_sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        let ends = match c {
            '\n' | '\r' | '。' | '！' | '？' | '｡' => true,
            '.' | '!' | '?' => next.is_none_or(char::is_whitespace),
            _ => false,
        };
        let end = at + c.len_utf8();
        let long =
            end - start > MAX_SENTENCE / 2 && (c.is_whitespace() || end - start > MAX_SENTENCE - 8);
        if ends || long {
            found.push(&text[start..end]);
            start = end;
        }
    }
    found.push(&text[start..]);
    let trimmed = found.into_iter().map(str::trim);
    trimmed.filter(|sentence| !sentence.is_empty()).collect()
}

#[derive(Deserialize)]
struct Document {
    transcripts: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    #[serde(default, deserialize_with = "number")]
    channel_id: Option<i32>,
    #[serde(default)]
    speakers: Vec<Speaker>,
}

#[derive(Deserialize)]
struct Speaker {
    #[serde(default, deserialize_with = "number")]
    speaker_id: Option<i32>,
    #[serde(default)]
    speaker_name: Option<String>,
    #[serde(default)]
    sentences: Vec<Given>,
}

impl Document {
    fn sentences(self) -> Vec<Sentence> {
        let mut all = Vec::new();
        for channel in self.transcripts {
            for speaker in channel.speakers {
                for given in speaker.sentences {
                    let place = i32::try_from(all.len() + 1).unwrap_or(i32::MAX);
                    let name = speaker.speaker_name.clone();
                    all.push(given.sentence(place, channel.channel_id, speaker.speaker_id, name));
                }
            }
        }
        all
    }
}

/// A sentence as an object, or its text alone.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, or an object with \"text\" and whole numbers for ids and milliseconds"
)]
enum Given {
    Text(String),
    Object {
        text: String,
        #[serde(default, deserialize_with = "number")]
        sentence_id: Option<i32>,
        #[serde(default, deserialize_with = "number")]
        channel_id: Option<i32>,
        #[serde(default, deserialize_with = "number")]
        speaker_id: Option<i32>,
        #[serde(default)]
        speaker_name: Option<String>,
        #[serde(default, deserialize_with = "number")]
        start_time: Option<i32>,
        #[serde(default, deserialize_with = "number")]
        end_time: Option<i32>,
    },
}

impl Given {
    fn sentence(
        self,
        place: i32,
        channel: Option<i32>,
        speaker: Option<i32>,
        name: Option<String>,
    ) -> Sentence {
        match self {
            Given::Text(text) => Sentence {
                id: place,
                text: without_nul(text),
                ..Sentence::default()
            },
            Given::Object {
                text,
                sentence_id,
                channel_id,
                speaker_id,
                speaker_name,
                start_time,
                end_time,
            } => Sentence {
                id: sentence_id.unwrap_or(place),
                channel: channel_id.or(channel),
                speaker_id: speaker_id.or(speaker),
                speaker_name: speaker_name
                    .or(name)
                    .map(without_nul)
                    .filter(|name| !name.trim().is_empty()),
                start_ms: start_time,
                end_ms: end_time,
                text: without_nul(text),
            },
        }
    }
}

/// A whole number in the range of SQL's integer, or null; also one that JSON has as a float.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let float = || value.as_f64().filter(|x| x.fract() == 0.0);
    let whole = || {
        let wide = value.as_i64().or_else(|| float().map(|x| x as i64))?;
        i32::try_from(wide).ok()
    };
    match &value {
        Value::Null => Ok(None),
        _ => whole().map(Some).ok_or_else(|| {
            serde::de::Error::custom(format!("expected a whole number, found {value}"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(transcript: &Transcript) -> Vec<&str> {
        transcript
            .sentences()
            .iter()
            .map(|s| s.text.as_str())
            .collect()
    }

    #[test]
    fn plain_text_is_cut_at_sentences_and_lines() {
        let read = Transcript::from_text("Mr. Smith paid 3.5 euros. Really?!\nYes\r\n你好。再见！")
            .unwrap();
        assert_eq!(
            texts(&read),
            [
                "Mr.",
                "Smith paid 3.5 euros.",
                "Really?!",
                "Yes",
                "你好。",
                "再见！"
            ]
        );
        assert_eq!(read.sentences()[3].id, 4);
        assert_eq!(read.sentences()[3].speaker(), None);
        assert!(Transcript::from_text("").unwrap().sentences().is_empty());
        assert_eq!(
            texts(&Transcript::from_text("[Music] hello").unwrap()),
            ["[Music] hello"]
        );
    }

    #[test]
    fn long_text_without_ends_is_cut_at_blanks_and_loses_nothing() {
        let text = "word ".repeat(40_000);
        let read = Transcript::from_text(&text).unwrap();
        assert!(
            read.sentences()
                .iter()
                .all(|s| s.text.len() <= MAX_SENTENCE)
        );
        assert_eq!(texts(&read).join(" "), text.trim());
        let unbroken = "字".repeat(60_000);
        assert_eq!(
            texts(&Transcript::from_text(&unbroken).unwrap()).concat(),
            unbroken
        );
    }

    #[test]
    fn the_document_gives_sentences_in_order_of_time() {
        let document = r#"{"file_url": null, "transcripts": [{"channel_id": 1, "speakers": [
            {"speaker_id": 0, "speaker_name": "Diane", "sentences": [
                {"sentence_id": 1, "start_time": 100, "end_time": 200, "text": "One."},
                {"sentence_id": 3, "start_time": 500, "end_time": 600, "text": "Three.", "words": []}]},
            {"speaker_id": 1, "sentences": [{"sentence_id": 2, "start_time": 300, "end_time": 400.0, "text": "Two."}]}]}]}"#;
        let read = Transcript::from_text(document).unwrap();
        assert_eq!(texts(&read), ["One.", "Two.", "Three."]);
        let second = &read.sentences()[1];
        assert_eq!(
            (second.id, second.channel, second.end_ms),
            (2, Some(1), Some(400))
        );
        assert_eq!(second.speaker().as_deref(), Some("1"));
        assert_eq!(read.sentences()[2].speaker().as_deref(), Some("Diane"));
    }

    #[test]
    fn sentences_may_lack_all_but_text() {
        let read = Transcript::from_json(
            r#"[{"text": "a", "speaker_id": null}, "b", {"text": "c", "sentence_id": 9}]"#,
        )
        .unwrap();
        let ids: Vec<i32> = read.sentences().iter().map(|s| s.id).collect();
        assert_eq!((texts(&read), ids), (vec!["a", "b", "c"], vec![1, 2, 9]));
    }

    #[test]
    fn what_is_no_transcript_is_told() {
        let long = serde_json::json!([{"text": "x".repeat(70_000)}]).to_string();
        for (json, said) in [
            ("{}", "transcripts"),
            ("7", "expected text"),
            ("[{\"sentence_id\": 1}]", "sentence 1"),
            ("[{\"text\": \"a\", \"start_time\": 1.5}]", "sentence 1"),
            (
                "[{\"text\": \"a\", \"start_time\": 99999999999}]",
                "sentence 1",
            ),
            ("{\"transcripts\": 3}", "sequence"),
            ("nonsense", "expected"),
            (long.as_str(), "more than 65536"),
        ] {
            let error = Transcript::from_json(json).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let deep = "[".repeat(100_000);
        assert!(matches!(
            Transcript::from_json(&deep),
            Err(Error::Transcript(_))
        ));
        assert!(matches!(
            Transcript::from_text(&"x".repeat(MAX_BYTES + 1)),
            Err(Error::Transcript(_))
        ));
    }
}
