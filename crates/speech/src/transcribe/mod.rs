//! Speech to text: recordings of any length to sentences with times, by Whisper and Moonshine models.
//!
//! A [`Transcriber`] streams: samples are read in blocks, silero VAD finds speech in them, speech is packed into chunks
//! of at most the model's window (cut at pauses), chunks go through the model in batches, and their words become
//! sentences. Memory does not grow with the recording.
//!
//! Sources: OpenAI Whisper (decoding rules, word timing), WhisperX (VAD, then batches), Moonshine (output cap).

mod align;
mod beam;
mod decoder;
pub mod document;
mod guard;
mod languages;
mod logits;
mod model;
mod moonshine;
mod onset;
mod pack;
mod search;
mod sentences;
pub mod speakers;
pub mod subtitles;
mod transcriber;
mod whisper;
mod words;

pub use languages::{LANGUAGES, Language, codes};
pub use model::{Model, Options, Task};
pub use transcriber::{Detected, Transcriber, VAD};

/// A word of a sentence. Times are ms of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// When it begins.
    pub start_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// The word with its punctuation, without spaces around it.
    pub text: String,
    /// Geometric mean of its tokens' probabilities, in [0, 1].
    pub confidence: f32,
}

/// A sentence. Times are ms of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentence {
    /// When its first word begins.
    pub start_ms: u64,
    /// When its last word ends.
    pub end_ms: u64,
    /// Its text, without spaces around it.
    pub text: String,
    /// The language it was recognised as.
    pub language: Language,
    /// Geometric mean of its tokens' probabilities, in [0, 1].
    pub confidence: f32,
    /// Whether the times are interpolated inside a stretch of speech, because the model gives no alignment.
    pub approximate: bool,
    /// Its words, if they were asked for.
    pub words: Vec<Word>,
}
