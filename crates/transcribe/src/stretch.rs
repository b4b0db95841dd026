//! Which language each chunk of a recording is in: what the network heard in it, weighed against its neighbours.
//!
//! A few words may sound like any language, and a recording changes its language rarely: the most likely sequence of
//! languages (Viterbi) under a penalty for each change.

use crate::Language;

/// What a change costs, natural log of a probability: about the evidence of two clear seconds.
const CHANGE: f32 = -4.0;
/// Below this probability all languages are as unlikely: a network is too sure of itself.
const LEAST: f32 = 0.002;
/// Speech whose evidence counts once, seconds; more counts more, up to twice.
const UNIT_S: f32 = 3.0;
/// Languages of a chunk that are considered.
const LIKELY: usize = 3;

/// What was heard in a chunk.
pub struct Heard {
    /// Its length.
    pub seconds: f32,
    /// Languages by probability, most likely first.
    pub languages: Vec<(Language, f32)>,
}

impl Heard {
    /// The probability of a language.
    pub fn probability(&self, language: Language) -> f32 {
        let own = self.languages.iter().find(|(l, _)| *l == language);
        own.map_or(0.0, |(_, p)| *p)
    }

    fn evidence(&self, language: Language) -> f32 {
        let weight = (self.seconds / UNIT_S).clamp(0.2, 2.0);
        self.probability(language).max(LEAST).ln() * weight
    }
}

/// The language of each chunk, and how many of them keep theirs whatever is heard after these; `before`: the one spoken
/// before the first.
pub fn choose(heard: &[Heard], before: Option<Language>) -> (Vec<Language>, usize) {
    let mut candidates: Vec<Language> = before.into_iter().collect();
    for (language, _) in heard.iter().flat_map(|h| h.languages.iter().take(LIKELY)) {
        if !candidates.contains(language) {
            candidates.push(*language);
        }
    }
    let change = |a: usize, b: usize| if a == b { 0.0 } else { CHANGE };
    let first = |c: &Language| {
        if before.is_none_or(|b| b == *c) {
            0.0
        } else {
            CHANGE
        }
    };
    let mut scores: Vec<f32> = candidates.iter().map(first).collect();
    let mut from: Vec<Vec<usize>> = Vec::with_capacity(heard.len());
    for (i, chunk) in heard.iter().enumerate() {
        let best = |to: usize| {
            let all = (0..candidates.len()).filter(|&a| i > 0 || a == to);
            all.max_by(|&a, &b| (scores[a] + change(a, to)).total_cmp(&(scores[b] + change(b, to))))
        };
        let parents: Vec<usize> = (0..candidates.len())
            .map(|to| best(to).unwrap_or(to))
            .collect();
        scores = (0..candidates.len())
            .map(|to| {
                scores[parents[to]] + change(parents[to], to) + chunk.evidence(candidates[to])
            })
            .collect();
        from.push(parents);
    }
    let Some(best) = (0..scores.len())
        .rev()
        .max_by(|&a, &b| scores[a].total_cmp(&scores[b]))
    else {
        return (
            vec![before.unwrap_or(Language::ENGLISH); heard.len()],
            heard.len(),
        );
    };
    let path = |end: usize| {
        let mut at = end;
        let mut path = Vec::with_capacity(from.len());
        for parents in from.iter().rev() {
            path.push(candidates[at]);
            at = parents[at];
        }
        path.reverse();
        path
    };
    let chosen = path(best);
    // Whatever comes, the best sequence can go on as any other does at the price of one change.
    let rivals = (0..scores.len()).filter(|&s| s != best && scores[s] > scores[best] + CHANGE);
    let settled = rivals.map(|s| agree(&chosen, &path(s))).min();
    let settled = settled.unwrap_or(chosen.len());
    (chosen, settled)
}

/// How many items at the beginning are the same.
fn agree(a: &[Language], b: &[Language]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(code: &str) -> Language {
        Language::parse(code).unwrap()
    }

    fn heard(seconds: f32, languages: &[(&str, f32)]) -> Heard {
        let languages = languages
            .iter()
            .map(|(code, p)| (language(code), *p))
            .collect();
        Heard { seconds, languages }
    }

    fn codes(heard: &[Heard], before: Option<&str>) -> Vec<&'static str> {
        let (chosen, _) = choose(heard, before.map(language));
        chosen.into_iter().map(Language::code).collect()
    }

    #[test]
    fn a_clear_change_is_followed_and_a_doubtful_word_is_not() {
        let zh = || heard(8.0, &[("zh", 0.98), ("en", 0.01)]);
        let en = || heard(8.0, &[("en", 0.99), ("zh", 0.001)]);
        let word = || heard(1.0, &[("nn", 0.4), ("zh", 0.2), ("en", 0.2)]);
        assert_eq!(
            codes(&[zh(), word(), zh(), en(), word()], None),
            ["zh", "zh", "zh", "en", "en"]
        );
        assert_eq!(codes(&[word(), en()], None), ["en", "en"]);
        assert_eq!(codes(&[word()], Some("zh")), ["zh"]);
        assert_eq!(codes(&[en()], Some("zh")), ["en"]);
    }

    #[test]
    fn what_is_settled_nothing_later_changes() {
        let zh = |seconds| heard(seconds, &[("zh", 0.98), ("en", 0.01)]);
        let word = || heard(1.0, &[("nn", 0.4), ("zh", 0.2), ("en", 0.2)]);
        let settled = |heard: &[Heard]| choose(heard, None).1;
        assert_eq!(settled(&[]), 0);
        assert_eq!(settled(&[heard(1.0, &[])]), 1); // no candidates: nothing to wait for
        assert_eq!(settled(&[word()]), 0);
        assert_eq!(settled(&[zh(8.0)]), 1);
        assert_eq!(settled(&[zh(8.0), word()]), 1);
        assert_eq!(settled(&[zh(8.0), word(), zh(8.0)]), 3);
        for after in [zh(30.0), heard(30.0, &[("en", 1.0)]), word()] {
            assert_eq!(codes(&[zh(8.0), after], None)[0], "zh");
        }
        let english = || heard(30.0, &[("en", 1.0)]);
        assert_eq!(
            codes(&[word(), english(), english()], None),
            ["en", "en", "en"]
        );
    }

    #[test]
    fn nothing_heard_is_the_language_before() {
        assert!(codes(&[], None).is_empty());
        assert_eq!(codes(&[heard(1.0, &[])], Some("de")), ["de"]);
        assert_eq!(codes(&[heard(1.0, &[])], None), ["en"]);
    }
}
