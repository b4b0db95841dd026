//! Words to sentences: cut after final punctuation, at long pauses, and before they grow without end.

use crate::{Sentence, Word, languages::Language};

/// Marks that end a sentence.
const FINAL: &str = ".!?。！？…؟।۔։؛";
/// Marks that may follow the final one.
const CLOSING: &str = "\"'”’)]}»」』";
/// A pause that ends a sentence whatever the punctuation says.
const PAUSE_MS: u64 = 1_500;
/// Longest sentence.
const MAX_MS: u64 = 30_000;
/// Longest sentence, words.
const MAX_WORDS: usize = 100;
/// Abbreviations with a full stop that ends no sentence.
const ABBREVIATIONS: [&str; 16] = [
    "mr", "mrs", "ms", "dr", "prof", "st", "sr", "jr", "vs", "etc", "no", "gen", "col", "sgt",
    "capt", "rev",
];

/// A word of the recording, with the space before it where the language has one.
#[derive(Clone, Debug)]
pub struct TimedWord {
    pub text: String,
    pub start_ms: u64,
    pub end_ms: u64,
    /// Log-probabilities of its tokens, summed, and their number.
    pub log_prob: f32,
    pub tokens: usize,
    /// Whether its times are interpolated, not heard.
    pub approximate: bool,
}

impl TimedWord {
    fn confidence(&self) -> f32 {
        confidence(self.log_prob, self.tokens)
    }
}

/// Collects words and gives out whole sentences.
pub struct SentenceCutter {
    open: Vec<TimedWord>,
    /// Of the open sentence.
    language: Language,
    keep_words: bool,
}

impl SentenceCutter {
    /// `keep_words`: sentences carry their words.
    pub fn new(keep_words: bool) -> Self {
        SentenceCutter {
            open: Vec::new(),
            language: Language::ENGLISH,
            keep_words,
        }
    }

    /// Adds the words of a chunk and returns the sentences that are complete. No sentence is in two languages.
    pub fn push(&mut self, words: Vec<TimedWord>, language: Language) -> Vec<Sentence> {
        let mut done = Vec::new();
        if !words.is_empty() && language != self.language {
            done.extend(self.finish());
            self.language = language;
        }
        for word in words {
            if self
                .open
                .last()
                .is_some_and(|last| self.ends_before(last, &word))
            {
                done.extend(self.finish());
            }
            self.open.push(word);
        }
        done
    }

    /// Returns the sentence that is still open, if any.
    pub fn finish(&mut self) -> Option<Sentence> {
        let words = std::mem::take(&mut self.open);
        let (first, last) = (words.first()?, words.last()?);
        let text: String = words.iter().map(|w| w.text.as_str()).collect();
        let (log_prob, tokens) = words
            .iter()
            .fold((0.0, 0), |(p, n), w| (p + w.log_prob, n + w.tokens));
        Some(Sentence {
            start_ms: first.start_ms,
            end_ms: last.end_ms,
            text: text.trim().to_string(),
            language: self.language,
            confidence: confidence(log_prob, tokens),
            approximate: words.iter().any(|w| w.approximate),
            words: if self.keep_words {
                words.iter().map(word).collect()
            } else {
                Vec::new()
            },
        })
    }

    /// When the open sentence began, if there is one.
    pub fn open_since(&self) -> Option<u64> {
        self.open.first().map(|w| w.start_ms)
    }

    fn ends_before(&self, last: &TimedWord, next: &TimedWord) -> bool {
        let since = self.open_since().unwrap_or(last.start_ms);
        is_final(&last.text, &next.text)
            || next.start_ms >= last.end_ms + PAUSE_MS
            || next.end_ms > since + MAX_MS
            || self.open.len() >= MAX_WORDS
    }
}

fn word(w: &TimedWord) -> Word {
    Word {
        start_ms: w.start_ms,
        end_ms: w.end_ms,
        text: w.text.trim().to_string(),
        confidence: w.confidence(),
    }
}

/// The geometric mean of token probabilities.
fn confidence(log_prob: f32, tokens: usize) -> f32 {
    (log_prob / tokens.max(1) as f32).exp().clamp(0.0, 1.0)
}

/// Whether `word` ends a sentence that `next` does not continue.
fn is_final(word: &str, next: &str) -> bool {
    let word = word.trim().trim_end_matches(|c| CLOSING.contains(c));
    let Some(mark) = word.chars().next_back().filter(|c| FINAL.contains(*c)) else {
        return false;
    };
    if mark != '.' && mark != '…' {
        return true;
    }
    let stem = word
        .trim_end_matches(['.', '…'])
        .trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_initial =
        stem.chars().count() == 1 && stem.chars().all(char::is_uppercase) && stem != "I";
    let is_abbreviation =
        is_initial || stem.contains('.') || ABBREVIATIONS.contains(&stem.to_lowercase().as_str());
    let continues = next
        .trim_start()
        .chars()
        .next()
        .is_some_and(char::is_lowercase);
    !continues && !is_abbreviation
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of `text`, 300 ms each, and a pause where it has `_`.
    fn words(text: &str) -> Vec<TimedWord> {
        let mut clock = 0;
        let mut words = Vec::new();
        for word in text.split(' ') {
            if word == "_" {
                clock += 2_000;
                continue;
            }
            let (start_ms, text) = (clock, format!(" {word}"));
            clock += 300;
            words.push(TimedWord {
                text,
                start_ms,
                end_ms: clock,
                log_prob: -0.1,
                tokens: 1,
                approximate: false,
            });
        }
        words
    }

    fn cut(text: &str) -> Vec<String> {
        let mut cutter = SentenceCutter::new(true);
        let mut sentences = cutter.push(words(text), Language::ENGLISH);
        sentences.extend(cutter.finish());
        sentences.into_iter().map(|s| s.text).collect()
    }

    #[test]
    fn sentences_end_at_final_punctuation() {
        assert_eq!(
            cut("Who is it? It is me! \"Come in.\" Thank you."),
            ["Who is it?", "It is me!", "\"Come in.\"", "Thank you."]
        );
        assert_eq!(cut("你好。 再见。"), ["你好。", "再见。"]);
    }

    #[test]
    fn abbreviations_initials_and_numbers_do_not_end_them() {
        assert_eq!(
            cut("Mr. Hale met J. Thornton at 3.5 miles vs. the U.S. Army.").len(),
            1
        );
        assert_eq!(cut("And so... he left.").len(), 1);
    }

    #[test]
    fn a_long_pause_ends_a_sentence_and_so_does_length() {
        assert_eq!(
            cut("no stop here _ none there"),
            ["no stop here", "none there"]
        );
        assert!(cut(&"word ".repeat(500)).len() >= 5);
    }

    #[test]
    fn a_sentence_spans_chunks_and_has_true_times_and_confidence() {
        let mut cutter = SentenceCutter::new(true);
        let all = words("one two three.");
        assert!(cutter.push(all[..2].to_vec(), Language::ENGLISH).is_empty());
        assert!(cutter.push(all[2..].to_vec(), Language::ENGLISH).is_empty());
        let s = cutter.finish().unwrap();
        assert_eq!((s.start_ms, s.end_ms, s.words.len()), (0, 900, 3));
        assert!((s.confidence - (-0.1f32).exp()).abs() < 1e-6);
        assert!(cutter.finish().is_none());
    }

    #[test]
    fn another_language_is_another_sentence() {
        let mut cutter = SentenceCutter::new(false);
        let german = Language::parse("de").unwrap();
        assert!(cutter.push(words("no stop"), Language::ENGLISH).is_empty());
        let first = cutter.push(words("und kein Punkt"), german);
        assert_eq!((first.len(), first[0].language), (1, Language::ENGLISH));
        assert!(cutter.push(Vec::new(), Language::ENGLISH).is_empty());
        assert_eq!(cutter.finish().unwrap().language, german);
    }
}
