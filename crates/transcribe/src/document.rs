//! The JSON document of a transcript.

use serde::Serialize;

use crate::Word;
use crate::speakers::Spoken;

/// A recording's transcripts, one per channel. Times are ms.
#[derive(Debug, Serialize)]
pub struct Document {
    /// The recording's path or URL without secrets; null if it was given as bytes.
    pub file_url: Option<String>,
    /// What the recording is.
    pub properties: Properties,
    /// What was said.
    pub transcripts: Vec<Transcript>,
}

/// What a recording is.
#[derive(Debug, Serialize)]
pub struct Properties {
    /// The codec, for example `pcm_s16le`.
    pub audio_format: String,
    /// The channels that were transcribed; 0 for a mix.
    pub channels: Vec<u32>,
    /// Hz.
    pub original_sampling_rate: u32,
    /// Length of the whole recording; null if it cannot be known without decoding it.
    pub original_duration_in_milliseconds: Option<u64>,
}

/// What was said on a channel.
#[derive(Debug, Serialize)]
pub struct Transcript {
    /// The channel, from 0; 0 for a mix.
    pub channel_id: u32,
    /// The speakers in order of their numbers.
    pub speakers: Vec<Speaker>,
}

/// What a speaker said.
#[derive(Debug, Serialize)]
pub struct Speaker {
    /// The speaker's number; 0 where speakers were not told apart.
    pub speaker_id: usize,
    /// The speaker's name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker_name: Option<String>,
    /// The sentences in order.
    pub sentences: Vec<Entry>,
}

/// A sentence. Numbers run over the channel, from 1, in order of time.
#[derive(Debug, Serialize)]
pub struct Entry {
    sentence_id: usize,
    start_time: u64,
    end_time: u64,
    text: String,
    language: &'static str,
    confidence: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<WordEntry>>,
}

/// A word.
#[derive(Debug, Serialize)]
pub struct WordEntry {
    start_time: u64,
    end_time: u64,
    text: String,
    confidence: f64,
}

impl From<&Word> for WordEntry {
    fn from(word: &Word) -> Self {
        WordEntry {
            start_time: word.start_ms,
            end_time: word.end_ms,
            text: word.text.clone(),
            confidence: rounded(word.confidence),
        }
    }
}

impl Transcript {
    /// Groups what was said on a channel by speaker; `words`: whether to list words; `name_of`: a speaker's name.
    pub fn new(
        channel_id: u32,
        spoken: &[Spoken],
        words: bool,
        name_of: impl Fn(usize) -> Option<String>,
    ) -> Self {
        let mut speakers: Vec<Speaker> = Vec::new();
        for (i, s) in spoken.iter().enumerate() {
            let at = speakers.partition_point(|other| other.speaker_id < s.speaker);
            if speakers
                .get(at)
                .is_none_or(|other| other.speaker_id != s.speaker)
            {
                speakers.insert(
                    at,
                    Speaker {
                        speaker_id: s.speaker,
                        speaker_name: name_of(s.speaker),
                        sentences: Vec::new(),
                    },
                );
            }
            speakers[at].sentences.push(entry(i + 1, s, words));
        }
        Transcript {
            channel_id,
            speakers,
        }
    }
}

fn entry(sentence_id: usize, spoken: &Spoken, words: bool) -> Entry {
    let s = &spoken.sentence;
    Entry {
        sentence_id,
        start_time: s.start_ms,
        end_time: s.end_ms,
        text: s.text.clone(),
        language: s.language.code(),
        confidence: rounded(s.confidence),
        words: words.then(|| s.words.iter().map(WordEntry::from).collect()),
    }
}

/// Three decimals: more would be noise.
fn rounded(confidence: f32) -> f64 {
    (f64::from(confidence) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Language, Sentence};

    fn spoken(speaker: usize, text: &str, start_ms: u64) -> Spoken {
        let words = vec![Word {
            start_ms,
            end_ms: start_ms + 500,
            text: text.into(),
            confidence: 0.98765,
        }];
        let (end_ms, language) = (start_ms + 500, Language::ENGLISH);
        let sentence = Sentence {
            start_ms,
            end_ms,
            text: text.into(),
            language,
            confidence: 0.5,
            approximate: false,
            words,
        };
        Spoken { speaker, sentence }
    }

    #[test]
    fn the_document_has_the_promised_form() {
        let said = [
            spoken(0, "Hello world.", 100),
            spoken(1, "Hi.", 700),
            spoken(0, "Bye.", 1500),
        ];
        let document = Document {
            file_url: Some("/a.wav".into()),
            properties: Properties {
                audio_format: "pcm_s16le".into(),
                channels: vec![0],
                original_sampling_rate: 16_000,
                original_duration_in_milliseconds: Some(3834),
            },
            transcripts: vec![Transcript::new(0, &said, false, |s| {
                (s == 1).then(|| "Ann".into())
            })],
        };
        assert_eq!(
            serde_json::to_string(&document).unwrap(),
            concat!(
                r#"{"file_url":"/a.wav","properties":{"audio_format":"pcm_s16le","channels":[0],"#,
                r#""original_sampling_rate":16000,"original_duration_in_milliseconds":3834},"transcripts":[{"channel_id":0,"#,
                r#""speakers":[{"speaker_id":0,"sentences":[{"sentence_id":1,"start_time":100,"end_time":600,"#,
                r#""text":"Hello world.","language":"en","confidence":0.5},{"sentence_id":3,"start_time":1500,"#,
                r#""end_time":2000,"text":"Bye.","language":"en","confidence":0.5}]},{"speaker_id":1,"speaker_name":"Ann","sentences":[{"#,
                r#""sentence_id":2,"start_time":700,"end_time":1200,"text":"Hi.","language":"en","confidence":0.5}]}]}]}"#
            )
        );
    }

    #[test]
    fn words_are_listed_when_asked_for() {
        let with = serde_json::to_value(Transcript::new(2, &[spoken(0, "Hi.", 0)], true, |_| None))
            .unwrap();
        let word = serde_json::json!({"start_time": 0, "end_time": 500, "text": "Hi.", "confidence": 0.988});
        assert_eq!(
            with["speakers"][0]["sentences"][0]["words"],
            serde_json::json!([word])
        );
        assert_eq!(
            serde_json::to_value(Transcript::new(2, &[], true, |_| None)).unwrap()["speakers"],
            serde_json::json!([])
        );
    }
}
