//! When two texts have the same words: case, punctuation, blanks, width and the form of accents do not count.
//!
//! A word is a run of letters and digits. Scripts that are written without blanks (Chinese, Japanese, Thai, ...), and
//! Korean, whose particles stick to words, have no such runs: each of their letters is a word, so that a part of a
//! sentence is found wherever it stands. An apostrophe inside a word does not divide it.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// NFKC, lower case, without apostrophes.
    pub folded: String,
    /// Bytes of the text.
    pub range: Range<usize>,
}

/// The words of a text, in order.
pub fn words(text: &str) -> Vec<Word> {
    let mut found: Vec<Word> = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut chars = text.char_indices().peekable();
    let mut close = |open: &mut Option<Range<usize>>| {
        if let Some(range) = open.take() {
            found.push(Word {
                folded: fold(&text[range.clone()]),
                range,
            });
        }
    };
    while let Some((at, c)) = chars.next() {
        let end = at + c.len_utf8();
        if is_unspaced(c) {
            close(&mut open);
            let marks = |next: &(usize, char)| is_mark(next.1);
            let end = std::iter::from_fn(|| chars.next_if(marks))
                .last()
                .map_or(end, |(at, mark)| at + mark.len_utf8());
            close(&mut Some(at..end));
        } else if c.is_alphanumeric() || is_mark(c) && open.is_some() {
            open.get_or_insert(at..end).end = end;
        } else {
            let inside = is_apostrophe(c)
                && open.is_some()
                && chars
                    .peek()
                    .is_some_and(|(_, next)| next.is_alphanumeric() && !is_unspaced(*next));
            if !inside {
                close(&mut open);
            }
        }
    }
    close(&mut open);
    found
}

fn fold(word: &str) -> String {
    let plain = word.chars().filter(|c| !is_apostrophe(*c));
    plain.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// Where the folded words `wanted` stand in `text` one after the other, first places first; they do not overlap.
pub fn places<'a>(text: &'a [Word], wanted: &'a [Word]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut from = 0;
    std::iter::from_fn(move || {
        let same = |(a, b): (&Word, &Word)| a.folded == b.folded;
        while !wanted.is_empty() && from + wanted.len() <= text.len() {
            let here = from..from + wanted.len();
            from += 1;
            if text[here.clone()].iter().zip(wanted).all(same) {
                from = here.end;
                return Some(here);
            }
        }
        None
    })
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}' | '\u{2bc}' | '\u{ff07}')
}

/// Combining marks, and the voicing marks of half-width kana.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c) || matches!(c, '\u{ff9e}' | '\u{ff9f}')
}

fn is_unspaced(c: char) -> bool {
    matches!(u32::from(c),
        0x0e00..=0x0eff       // Thai, Lao
        | 0x1000..=0x109f     // Myanmar
        | 0x1100..=0x11ff | 0x3130..=0x318f | 0xac00..=0xd7ff // Hangul
        | 0x1780..=0x17ff     // Khmer
        | 0x3005..=0x3007 | 0x2e80..=0x2fdf // marks and parts of ideographs
        | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0xff66..=0xff9f // kana
        | 0x3100..=0x312f | 0x31a0..=0x31bf // Bopomofo
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x3ffff // ideographs
    ) && (c.is_alphanumeric() || is_mark(c))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folded(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.folded).collect()
    }

    #[test]
    fn case_punctuation_blanks_width_and_accents_do_not_count() {
        let same = [
            ("Don't call me!", "don’t   CALL, me"),
            ("ＡＢＣ１２", "abc12"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("别 打电话。", "别打电话"),
            ("ﬁne", "fine"),
            ("ｶﾞｷﾞ", "ガギ"),
        ];
        for (a, b) in same {
            assert_eq!(folded(a), folded(b), "{a} and {b}");
        }
        let different = [("car pet", "carpet"), ("café", "cafe"), ("no", "not")];
        for (a, b) in different {
            assert_ne!(folded(a), folded(b), "{a} and {b}");
        }
    }

    #[test]
    fn letters_of_unspaced_scripts_are_words_and_end_those_beside_them() {
        assert_eq!(folded("用phone打"), ["用", "phone", "打"]);
        assert_eq!(folded("ที่"), ["ที่"]);
        assert_eq!(folded("전화를"), ["전", "화", "를"]);
    }

    #[test]
    fn a_place_is_where_all_words_follow_each_other() {
        let text = words("I said no, no! No more.");
        let find = |wanted: &str| places(&text, &words(wanted)).collect::<Vec<_>>();
        assert!(find("no no").iter().eq([&(2..4)]));
        assert!(find("said no more").is_empty());
        assert!(find("...").is_empty());
    }

    proptest! {
        #[test]
        fn ranges_are_of_the_text_and_in_order(text in "\\PC{0,40}") {
            let mut end = 0;
            for word in words(&text) {
                prop_assert!(word.range.start >= end && text.get(word.range.clone()).is_some());
                end = word.range.end;
            }
        }

        #[test]
        fn a_text_has_its_own_words(text in "\\PC{0,40}") {
            let all = words(&text);
            if !all.is_empty() {
                prop_assert_eq!(places(&all, &words(&text)).next(), Some(0..all.len()));
            }
        }
    }
}
