//! Sentences by speaker: words go to whoever was speaking, and sentences are cut where the speaker changes.

use crate::{Language, Sentence, Word};

/// What one entry of a transcript with speakers holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// A word.
    Word,
    /// A sentence of one speaker.
    #[default]
    Sentence,
    /// All that a speaker says before another one does.
    Speaker,
}

/// A sentence and who said it.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// The speaker's number.
    pub speaker: usize,
    /// What was said.
    pub sentence: Sentence,
}

/// Attributes sentences one after another.
pub struct Attribution {
    grouping: Grouping,
    open: Option<Spoken>,
    last_speaker: usize,
}

impl Attribution {
    /// An attribution with nothing in it.
    pub fn new(grouping: Grouping) -> Self {
        Attribution {
            grouping,
            open: None,
            last_speaker: 0,
        }
    }

    /// Takes the next sentence, which must have its words, and gives out what is complete. `speaker_of` tells who
    /// spoke between two times; where it does not know, the speaker before goes on.
    pub fn push(
        &mut self,
        sentence: Sentence,
        speaker_of: &dyn Fn(u64, u64) -> Option<usize>,
    ) -> Vec<Spoken> {
        let mut done = Vec::new();
        for part in self.split(sentence, speaker_of) {
            match (&mut self.open, self.grouping) {
                (Some(open), Grouping::Speaker) if open.speaker == part.speaker => {
                    append(&mut open.sentence, part.sentence)
                }
                (open, Grouping::Speaker) => done.extend(open.replace(part)),
                _ => done.push(part),
            }
        }
        done
    }

    /// What is still open at the end.
    pub fn finish(&mut self) -> Option<Spoken> {
        self.open.take()
    }

    /// Runs of words of one speaker.
    fn split(
        &mut self,
        sentence: Sentence,
        speaker_of: &dyn Fn(u64, u64) -> Option<usize>,
    ) -> Vec<Spoken> {
        if sentence.words.is_empty() {
            self.last_speaker =
                speaker_of(sentence.start_ms, sentence.end_ms).unwrap_or(self.last_speaker);
            return vec![Spoken {
                speaker: self.last_speaker,
                sentence,
            }];
        }
        let mut runs: Vec<(usize, Vec<Word>)> = Vec::new();
        for word in &sentence.words {
            let speaker = speaker_of(word.start_ms, word.end_ms).unwrap_or(self.last_speaker);
            self.last_speaker = speaker;
            match runs.last_mut() {
                Some((last, words)) if *last == speaker && self.grouping != Grouping::Word => {
                    words.push(word.clone())
                }
                _ => runs.push((speaker, vec![word.clone()])),
            }
        }
        if let [(speaker, _)] = runs[..] {
            return vec![Spoken { speaker, sentence }];
        }
        runs.into_iter()
            .map(|(speaker, words)| Spoken {
                speaker,
                sentence: of_words(&sentence, words),
            })
            .collect()
    }
}

/// A part of a sentence.
fn of_words(whole: &Sentence, words: Vec<Word>) -> Sentence {
    let (start_ms, end_ms) = (words[0].start_ms, words[words.len() - 1].end_ms);
    let log: f32 = words
        .iter()
        .map(|w| w.confidence.max(1e-6).ln())
        .sum::<f32>()
        / words.len() as f32;
    let text = words
        .iter()
        .fold(String::new(), |text, w| join(text, &w.text, whole.language));
    Sentence {
        start_ms,
        end_ms,
        text,
        confidence: log.exp(),
        words,
        ..whole.clone()
    }
}

fn append(open: &mut Sentence, next: Sentence) {
    let (before, after) = (
        (open.end_ms - open.start_ms).max(1) as f32,
        (next.end_ms - next.start_ms).max(1) as f32,
    );
    open.confidence = (open.confidence * before + next.confidence * after) / (before + after);
    open.text = join(std::mem::take(&mut open.text), &next.text, next.language);
    open.end_ms = open.end_ms.max(next.end_ms);
    open.approximate |= next.approximate;
    open.words.extend(next.words);
}

/// Appends text with the space that its language wants between words.
pub fn join(mut text: String, next: &str, language: Language) -> String {
    let latin = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let spaced =
        !language.is_unspaced() || (latin(text.chars().next_back()) && latin(next.chars().next()));
    if spaced && !text.is_empty() && !next.is_empty() {
        text.push(' ');
    }
    text.push_str(next);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(text: &str, start_ms: u64) -> Sentence {
        let words: Vec<Word> = (text.split(' ').zip(0..))
            .map(|(text, i)| {
                let start_ms = start_ms + i * 100;
                Word {
                    start_ms,
                    end_ms: start_ms + 90,
                    text: text.into(),
                    confidence: 0.5,
                }
            })
            .collect();
        let end_ms = words[words.len() - 1].end_ms;
        let language = Language::ENGLISH;
        Sentence {
            start_ms,
            end_ms,
            text: text.into(),
            language,
            confidence: 0.5,
            approximate: false,
            words,
        }
    }

    fn run(grouping: Grouping, change_ms: u64) -> Vec<(usize, String)> {
        let mut attribution = Attribution::new(grouping);
        let who = |start: u64, _: u64| Some(usize::from(start >= change_ms));
        let mut all = attribution.push(sentence("Are you there?", 0), &who);
        all.extend(attribution.push(sentence("Yes I am.", 300), &who));
        all.extend(attribution.finish());
        all.into_iter()
            .map(|s| (s.speaker, s.sentence.text))
            .collect()
    }

    #[test]
    fn sentences_are_cut_where_the_speaker_changes() {
        let cut = run(Grouping::Sentence, 200);
        assert_eq!(
            cut,
            [
                (0, "Are you".into()),
                (1, "there?".into()),
                (1, "Yes I am.".into())
            ]
        );
        assert_eq!(run(Grouping::Sentence, 300).len(), 2);
    }

    #[test]
    fn turns_and_words_are_grouped_as_asked() {
        assert_eq!(
            run(Grouping::Speaker, 200),
            [(0, "Are you".into()), (1, "there? Yes I am.".into())]
        );
        assert_eq!(
            run(Grouping::Speaker, 9_999),
            [(0, "Are you there? Yes I am.".into())]
        );
        assert_eq!(run(Grouping::Word, 200).len(), 6);
    }

    #[test]
    fn an_unknown_speaker_is_the_one_before() {
        let mut attribution = Attribution::new(Grouping::Sentence);
        attribution.push(sentence("One.", 0), &|_, _| Some(3));
        assert_eq!(
            attribution.push(sentence("Two.", 500), &|_, _| None)[0].speaker,
            3
        );
    }

    #[test]
    fn unspaced_languages_are_joined_without_spaces() {
        let zh = Language::parse("zh").unwrap();
        assert_eq!(join("你好".into(), "世界", zh), "你好世界");
        assert_eq!(join("我用 GPU".into(), "RTX", zh), "我用 GPU RTX");
        assert_eq!(join("one".into(), "two", Language::ENGLISH), "one two");
    }
}
