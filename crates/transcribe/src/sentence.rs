//! What comes out: sentences and their words.

use crate::Language;

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
