//! Tokens to words with times and confidences.

use crate::languages::Language;
use crate::tokenizer::Tokenizer;

/// Punctuation that belongs to the word before it.
const CLOSING: &str = "\"'.。,，!！?？:：;；”’)]}、…—-%";
/// Punctuation that belongs to the word after it.
const OPENING: &str = "\"'“‘¿¡([{«„";

/// A text token of a decoded chunk.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub id: u32,
    pub log_prob: f32,
    /// When it begins, seconds from the start of the chunk; its end is the next token's begin.
    pub start: f32,
    pub end: f32,
    /// When it is heard most.
    pub peak: f32,
}

/// A word of a chunk, with the space before it where the language has one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChunkWord {
    pub text: String,
    /// Seconds from the start of the chunk.
    pub start: f32,
    pub end: f32,
    /// Log-probabilities of its tokens, summed, and their number.
    pub log_prob: f32,
    pub tokens: usize,
    /// When its tokens are heard most, seconds; those of punctuation tell nothing.
    pub peaks: Vec<f32>,
}

impl ChunkWord {
    fn absorb(&mut self, other: ChunkWord, time: bool) {
        self.text.push_str(&other.text);
        self.log_prob += other.log_prob;
        self.tokens += other.tokens;
        if time {
            self.end = other.end;
        }
        self.peaks.extend(other.peaks);
    }

    /// The same word, said later by some seconds.
    pub fn later(self, seconds: f32) -> Self {
        ChunkWord {
            start: self.start + seconds,
            end: self.end + seconds,
            peaks: self.peaks.into_iter().map(|p| p + seconds).collect(),
            ..self
        }
    }

    fn is_of(&self, marks: &str) -> bool {
        let text = self.text.trim();
        !text.is_empty() && text.chars().all(|c| marks.contains(c))
    }
}

/// Words of a chunk: at spaces, or every character in languages without them; punctuation joined to its word.
pub fn words(tokens: &[Token], tokenizer: &Tokenizer, language: Language) -> Vec<ChunkWord> {
    join(characters(tokens, tokenizer), language)
}

/// The same of units that are whole characters.
pub fn join(units: Vec<ChunkWord>, language: Language) -> Vec<ChunkWord> {
    let mut words: Vec<ChunkWord> = Vec::new();
    for unit in units {
        let begins =
            unit.text.starts_with(' ') || language.is_unspaced() && !is_latin(&unit, words.last());
        match words.last_mut() {
            Some(word) if !begins || word.text.trim().is_empty() => word.absorb(unit, true),
            _ => words.push(unit),
        }
    }
    words.retain(|w| !w.text.trim().is_empty());
    join_closing(join_opening(words))
}

/// Spreads tokens over a stretch of time, in proportion to the length of their text.
pub fn interpolate(tokens: &mut [Token], from: f32, to: f32, tokenizer: &Tokenizer) {
    let weight = |t: &Token| tokenizer.bytes(t.id).len().max(1) as f32;
    let total: f32 = tokens.iter().map(weight).sum();
    let mut done = 0.0;
    for token in tokens {
        token.start = from + (to - from).max(0.0) * done / total;
        done += weight(token);
        token.end = from + (to - from).max(0.0) * done / total;
        token.peak = (token.start + token.end) / 2.0;
    }
}

/// The shortest runs of tokens that are whole characters. What never becomes UTF-8 is dropped.
fn characters(tokens: &[Token], tokenizer: &Tokenizer) -> Vec<ChunkWord> {
    let mut units = Vec::new();
    let (mut bytes, mut first, mut log_prob) = (Vec::new(), 0, 0.0);
    for (i, token) in tokens.iter().enumerate() {
        bytes.extend_from_slice(tokenizer.bytes(token.id));
        log_prob += token.log_prob;
        let broken = match std::str::from_utf8(&bytes) {
            Ok(_) => false,
            Err(e) if e.error_len().is_none() => continue, // a character's beginning
            Err(_) => true,
        };
        let text = String::from_utf8_lossy(&bytes).replace('\u{fffd}', "");
        if !broken || !text.is_empty() {
            let mut unit = ChunkWord {
                text,
                start: tokens[first].start,
                end: token.end,
                log_prob,
                tokens: i + 1 - first,
                peaks: Vec::new(),
            };
            if !unit.is_of(CLOSING) {
                unit.peaks = tokens[first..=i].iter().map(|t| t.peak).collect();
            }
            units.push(unit);
        }
        (bytes, first, log_prob) = (Vec::new(), i + 1, 0.0);
    }
    units
}

/// Whether a unit continues a Latin word or number inside text of an unspaced language.
fn is_latin(unit: &ChunkWord, before: Option<&ChunkWord>) -> bool {
    let latin = |c: char| c.is_ascii_alphanumeric();
    unit.text.starts_with(latin) && before.is_some_and(|b| b.text.ends_with(latin))
}

/// Joins opening marks, which follow a space, to the word after them.
fn join_opening(words: Vec<ChunkWord>) -> Vec<ChunkWord> {
    let mut joined: Vec<ChunkWord> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last)
                if last.text.starts_with(' ')
                    && last.is_of(OPENING)
                    && !word.text.starts_with(' ') =>
            {
                last.start = word.start;
                last.absorb(word, true);
            }
            _ => joined.push(word),
        }
    }
    joined
}

/// Joins closing marks to the word before them; the pause after a word is not the word's time.
fn join_closing(words: Vec<ChunkWord>) -> Vec<ChunkWord> {
    let mut joined: Vec<ChunkWord> = Vec::with_capacity(words.len());
    for word in words {
        match joined.last_mut() {
            Some(last) if !word.text.starts_with(' ') && word.is_of(CLOSING) => {
                last.absorb(word, false)
            }
            _ => joined.push(word),
        }
    }
    joined
}
