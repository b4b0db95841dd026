//! Patterns: a regular expression, or a list of words and phrases. Both disregard case.

use std::ops::Range;

use regex::{Regex, RegexBuilder};
use unicode_normalization::UnicodeNormalization;

use crate::words::{Word, places, words};

/// Largest compiled expression, bytes, and the most that its cache may take.
const MAX_COMPILED: usize = 1 << 20;
const MAX_CACHE: usize = 2 << 20;
/// Longest expression and phrase, bytes.
const MAX_LENGTH: usize = 16 << 10;
/// Longest list.
const MAX_WORDS: usize = 2000;

/// What is looked for in a sentence.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// A regular expression.
    Expression(Regex),
    /// Any of these phrases.
    Words(Vec<Phrase>),
}

/// Words in a row, and the signs that belong to them.
#[derive(Clone, Debug)]
pub struct Phrase {
    words: Vec<Word>,
    /// What stands before each word, and behind the last.
    signs: Vec<String>,
}

impl Phrase {
    /// Of a text and its words.
    fn new(text: &str, words: Vec<Word>) -> Self {
        let signs = (0..=words.len()).map(|gap| signs(text, &words, gap));
        Phrase {
            signs: signs.collect(),
            words,
        }
    }

    /// Whether the signs of the phrase stand beside its words at `at` in `text`. Where it has none, none are looked at.
    fn has_signs(&self, text: &str, said: &[Word], at: &Range<usize>) -> bool {
        let last = self.words.len();
        let wanted = self.signs.iter().enumerate();
        wanted
            .filter(|(_, sign)| !sign.is_empty())
            .all(|(gap, wanted)| {
                let found = signs(text, said, at.start + gap);
                match gap {
                    0 => found.ends_with(wanted),
                    _ if gap == last => found.starts_with(wanted),
                    _ => found == *wanted,
                }
            })
    }

    /// The bytes of `text` that the phrase takes at `at`, its signs included.
    fn range(&self, text: &str, said: &[Word], at: &Range<usize>) -> Range<usize> {
        let (start, end) = (said[at.start].range.start, said[at.end - 1].range.end);
        let wanted = |gap: usize| self.signs[gap].chars().count();
        let before = text[..start].char_indices().rev();
        let behind = text[end..].char_indices();
        let first = before.filter(|(_, c)| belongs(*c)).take(wanted(0)).last();
        let last = behind
            .filter(|(_, c)| belongs(*c))
            .take(wanted(self.words.len()))
            .last();
        let start = first.map_or(start, |(place, _)| place);
        let end = last.map_or(end, |(place, c)| end + place + c.len_utf8());
        start..end
    }
}

/// The signs before word `gap` of `words`, or behind the last one: what is part of a word in writing (`C++`, `50 %`,
/// `AT&T`) and no punctuation.
fn signs(text: &str, words: &[Word], gap: usize) -> String {
    let start = gap
        .checked_sub(1)
        .map_or(0, |before| words[before].range.end);
    let end = words.get(gap).map_or(text.len(), |word| word.range.start);
    text[start..end].nfkc().filter(|c| belongs(*c)).collect()
}

fn belongs(c: char) -> bool {
    !c.is_alphanumeric() && !c.is_whitespace() && !is_punctuation(c)
}

fn is_punctuation(c: char) -> bool {
    c.is_control()
        || r#"!"'(),-.:;?[]{}`"#.contains(c)
        || matches!(c, '\u{a0}'..='\u{bf}' if !matches!(c, '¢' | '£' | '¥' | '§' | '©' | '®' | '°' | '±'))
        || matches!(c, '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{fe10}'..='\u{fe6f}')
}

impl Pattern {
    /// A regular expression, in the syntax of the `regex` crate, whose time is linear in the text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn expression(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!(
                "a regular expression has at most {MAX_LENGTH} bytes"
            ));
        }
        let compiled = RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(MAX_COMPILED)
            .dfa_size_limit(MAX_CACHE)
            .build();
        let compiled = compiled.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_string(),
            // The last line of the syntax error is what is wrong, those before show where.
            other => format!(
                "not a regular expression: {}",
                last_line(&other.to_string())
            ),
        })?;
        match compiled.is_match("") {
            true => Err("the regular expression matches everything, even the empty text".into()),
            false => Ok(Pattern::Expression(compiled)),
        }
    }

    /// A list of words and phrases.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn words(list: &[String]) -> Result<Self, String> {
        if list.is_empty() {
            return Err("the list of words is empty".into());
        }
        if list.len() > MAX_WORDS {
            return Err(format!(
                "a list has at most {MAX_WORDS} words, not {}",
                list.len()
            ));
        }
        let phrases = list.iter().map(|phrase| match words(phrase) {
            _ if phrase.len() > MAX_LENGTH => {
                Err("a phrase in the list of words is too long".into())
            }
            empty if empty.is_empty() => Err(format!("\"{phrase}\" has no word in it")),
            words => Ok(Phrase::new(phrase, words)),
        });
        phrases.collect::<Result<_, String>>().map(Pattern::Words)
    }

    /// The first place in `text`, as bytes, that is not inside one of `except`.
    pub fn find(&self, text: &str, except: Option<&Pattern>) -> Option<Range<usize>> {
        let mut excepted: Option<Vec<Range<usize>>> = None;
        self.all(text).into_iter().find(|found| {
            let within =
                |outer: &Range<usize>| outer.start <= found.start && found.end <= outer.end;
            let excepted =
                excepted.get_or_insert_with(|| except.map(|e| e.all(text)).unwrap_or_default());
            !excepted.iter().any(within)
        })
    }

    /// All places, as bytes, in order.
    fn all(&self, text: &str) -> Vec<Range<usize>> {
        match self {
            Pattern::Expression(expression) => {
                let found = expression.find_iter(text).map(|found| found.range());
                found.filter(|range| !range.is_empty()).collect()
            }
            Pattern::Words(phrases) => {
                let said = words(text);
                let mut found: Vec<Range<usize>> = phrases
                    .iter()
                    .flat_map(|phrase| {
                        let places = places(&said, &phrase.words);
                        let there = places.filter(|at| phrase.has_signs(text, &said, at));
                        there.map(|at| phrase.range(text, &said, &at))
                    })
                    .collect();
                found.sort_unstable_by_key(|range| range.start);
                found
            }
        }
    }
}

fn last_line(text: &str) -> &str {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<'a>(pattern: &Pattern, text: &'a str) -> Option<&'a str> {
        pattern.find(text, None).map(|range| &text[range])
    }

    fn list(words: &[&str]) -> Pattern {
        Pattern::words(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn expressions_disregard_case_in_every_script() {
        let pattern = Pattern::expression("café|打.?电话|STRASSE").unwrap();
        assert_eq!(found(&pattern, "Le CAFÉ"), Some("CAFÉ"));
        assert_eq!(found(&pattern, "他在打着电话呢"), Some("打着电话"));
        assert_eq!(found(&pattern, "Bahnhofstrasse"), Some("strasse"));
        assert_eq!(found(&pattern, "nothing"), None);
        let exact = Pattern::expression("(?-i)NO").unwrap();
        assert_eq!(found(&exact, "no NO"), Some("NO"));
    }

    #[test]
    fn words_are_whole_words_where_a_script_has_words() {
        let pattern = list(&["call", "shut up", "don't", "笨蛋"]);
        assert_eq!(found(&pattern, "He is calling."), None);
        assert_eq!(found(&pattern, "Call! me"), Some("Call"));
        assert_eq!(found(&pattern, "please SHUT  up now"), Some("SHUT  up"));
        assert_eq!(found(&pattern, "I don’t"), Some("don’t"));
        assert_eq!(found(&pattern, "你这个笨蛋啊"), Some("笨蛋"));
        assert_eq!(found(&pattern, "再call一次"), Some("call"));
        assert_eq!(
            found(&list(&["new york", "new"]), "A new yorker"),
            Some("new")
        );
    }

    #[test]
    fn signs_of_a_phrase_are_looked_at() {
        for (phrase, text, quote) in [
            ("C++", "I write C.", None),
            ("C++", "I write c++, mostly", Some("c++")),
            ("c", "I write C++", Some("C")),
            ("50%", "about 50 of them", None),
            ("50%", "about ５０ ％ of them", Some("５０ ％")),
            ("AT&T", "at T.", None),
            ("AT&T", "He said: AT&T!", Some("AT&T")),
            ("$100", "100 dollars", None),
            ("$100", "for ($100)", Some("$100")),
            ("#metoo", "me too, metoo", None),
            ("well-known", "well known", Some("well known")),
            ("¿qué?", "Qué dices", Some("Qué")),
            ("「笨蛋」", "你这个笨蛋啊", Some("笨蛋")),
        ] {
            assert_eq!(found(&list(&[phrase]), text), quote, "{phrase} in {text}");
        }
    }

    #[test]
    fn what_lies_inside_an_exception_does_not_count() {
        let phone = list(&["phone"]);
        let except = list(&["phone number", "phone case"]);
        let text = "Your phone number? Put the phone down.";
        assert_eq!(phone.find(text, Some(&except)), Some(27..32));
        assert_eq!(phone.find("A phone case.", Some(&except)), None);
        let expression = Pattern::expression("no phone").unwrap();
        assert_eq!(phone.find("No phone here", Some(&expression)), None);
    }

    #[test]
    fn bad_patterns_are_told() {
        for (text, said) in [
            ("a(", "unclosed group"),
            ("a*", "matches everything"),
            ("", "matches everything"),
            ("(?:x{1000}){1000}", "too large"),
            (&"x".repeat(20_000), "at most"),
        ] {
            let error = Pattern::expression(text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(Pattern::words(&[]).is_err());
        assert!(
            Pattern::words(&["...".into()])
                .unwrap_err()
                .contains("no word")
        );
        assert!(
            Pattern::words(&vec!["a".into(); 3000])
                .unwrap_err()
                .contains("at most")
        );
    }

    #[test]
    fn matching_takes_no_time_that_grows_faster_than_the_text() {
        let nasty = Pattern::expression("(a+)+$").unwrap();
        assert_eq!(found(&nasty, &format!("{}b", "a".repeat(60_000))), None);
    }
}
