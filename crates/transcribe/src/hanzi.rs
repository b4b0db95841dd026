//! Chinese characters in one script: a model writes both, sometimes in one sentence.
//!
//! The table is made of OpenCC's dictionaries (Apache-2.0) by `data/hanzi.py`: a character for a character, and phrases in
//! which one becomes another than by itself (乾淨 is 干净, 乾隆 stays). Texts keep their length in characters.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::words::ChunkWord;

static TABLE: &str = include_str!("../data/hanzi.txt");

/// How Chinese is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Script {
    /// As on the mainland and in Singapore.
    #[default]
    Simplified,
    /// As in Taiwan, Hong Kong and Macao.
    Traditional,
}

impl Script {
    /// What a language code in lower case asks for by its script or region.
    pub(crate) fn of(code: &str) -> Script {
        let parts = code.split(['-', '_']).skip(1);
        let mut known = parts.filter_map(|part| match part {
            "hans" | "cn" | "sg" => Some(Script::Simplified),
            "hant" | "tw" | "hk" | "mo" => Some(Script::Traditional),
            _ => None,
        });
        known.next().unwrap_or_default()
    }
}

struct Table {
    characters: HashMap<char, char>,
    phrases: HashMap<&'static str, &'static str>,
    /// Characters of the longest phrase.
    longest: usize,
}

impl Table {
    /// Three lines of the file: characters, what they become, phrases.
    fn read(mut lines: impl Iterator<Item = &'static str>) -> Self {
        let mut line = || lines.next().unwrap_or_default();
        let characters = line().chars().zip(line().chars()).collect();
        let parts: Vec<&str> = line().split(' ').collect();
        let phrases: HashMap<_, _> = parts
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[from, to]| (from, to))
            .collect();
        let longest = phrases.keys().map(|p| p.chars().count()).max().unwrap_or(1);
        Table {
            characters,
            phrases,
            longest,
        }
    }

    fn convert(&self, text: &str) -> String {
        // Where each character begins, and the end.
        let starts: Vec<usize> = text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .collect();
        let (mut out, mut at) = (String::with_capacity(text.len()), 0);
        while at + 1 < starts.len() {
            let most = self.longest.min(starts.len() - 1 - at);
            let phrase = (2..=most)
                .rev()
                .find_map(|n| Some((n, self.phrases.get(&text[starts[at]..starts[at + n]])?)));
            match phrase {
                Some((n, to)) => {
                    out.push_str(to);
                    at += n;
                }
                None => {
                    let same = &text[starts[at]..starts[at + 1]];
                    out.extend(
                        same.chars()
                            .map(|c| self.characters.get(&c).copied().unwrap_or(c)),
                    );
                    at += 1;
                }
            }
        }
        out
    }
}

/// A text in a script.
fn convert(text: &str, script: Script) -> String {
    static SIMPLIFIED: OnceLock<Table> = OnceLock::new();
    static TRADITIONAL: OnceLock<Table> = OnceLock::new();
    let (table, skip) = match script {
        Script::Simplified => (&SIMPLIFIED, 0),
        Script::Traditional => (&TRADITIONAL, 3),
    };
    table
        .get_or_init(|| Table::read(TABLE.lines().skip(skip)))
        .convert(text)
}

/// Writes the words of a chunk in a script; phrases are seen across words.
pub fn write(words: &mut [ChunkWord], script: Script) {
    let all: String = words.iter().map(|w| w.text.as_str()).collect();
    let converted = convert(&all, script);
    let mut rest = converted.chars();
    for word in words {
        word.text = rest.by_ref().take(word.text.chars().count()).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_keeps_its_length() {
        let lines: Vec<&str> = TABLE.lines().collect();
        assert_eq!(lines.len(), 6);
        for of in lines.as_chunks::<3>().0 {
            assert!(of[0].chars().count() > 2_000);
            assert_eq!(of[0].chars().count(), of[1].chars().count());
            let phrases: Vec<&str> = of[2].split(' ').collect();
            assert_eq!(phrases.len() % 2, 0);
            for &[from, to] in phrases.as_chunks::<2>().0 {
                assert_eq!(from.chars().count(), to.chars().count(), "{from}");
            }
        }
    }

    /// The same as OpenCC 1.1 gives with t2s and s2t.
    #[test]
    fn both_scripts_become_either() {
        for (traditional, simplified) in [
            ("我想聽歌曲，打開設定", "我想听歌曲，打开设定"),
            ("後來他發現頭髮乾淨了", "后来他发现头发干净了"),
            ("皇后在公里之外看電視劇", "皇后在公里之外看电视剧"),
            ("乾隆皇帝", "乾隆皇帝"),
            ("hold 不住的愛 123", "hold 不住的爱 123"),
            ("", ""),
        ] {
            for given in [traditional, simplified] {
                assert_eq!(convert(given, Script::Simplified), simplified);
                assert_eq!(convert(given, Script::Traditional), traditional);
            }
        }
    }

    #[test]
    fn phrases_are_seen_across_words_and_words_keep_their_times() {
        let word = |text: &str, start: f32| ChunkWord {
            text: text.into(),
            start,
            end: start + 0.5,
            ..ChunkWord::default()
        };
        let mut words = [
            word("頭", 0.0),
            word("髮，", 0.5),
            word("乾", 1.0),
            word("隆。", 1.5),
        ];
        write(&mut words, Script::Simplified);
        let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts, ["头", "发，", "乾", "隆。"]);
        assert_eq!((words[3].start, words[3].end), (1.5, 2.0));
    }
}
