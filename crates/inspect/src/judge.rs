//! Judging: patterns at once, the rest by a model, whose quotes are looked up.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::Error;
use crate::chat::Chat;
use crate::findings::{Finding, Verdict};
use crate::pieces::{Part, pieces};
use crate::policy::{Policy, Rule};
use crate::prompt::{self, Reported};
use crate::transcript::Transcript;
use crate::words::{Word, places, words};

/// Rules that one request asks about: more are judged worse.
const RULES_AT_ONCE: usize = 20;
/// What is kept of a reason or an invented quote, characters.
const SHOWN: usize = 1000;

/// Bounds of what a model is asked.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Characters of transcript in one request.
    pub piece: usize,
    /// Most requests, not counting those made again.
    pub requests: usize,
}

/// Judges a transcript by a policy. Findings are in the order of rules, then of time; each rule has at least one.
///
/// Where the model fails, what was found until then is there, each rule that it did not finish has a finding
/// [`Verdict::Unjudged`], and the error comes along: [`Error::NoModel`] without `chat`, [`Error::Cancelled`] when `stop`
/// says so, [`Error::TooManyRequests`], and those of the server.
pub fn inspect(
    transcript: &Transcript,
    policy: &Policy,
    chat: Option<&mut Chat>,
    limits: Limits,
    stop: &dyn Fn() -> bool,
) -> (Vec<Finding>, Option<Error>) {
    let (mut findings, mut asked) = (Vec::new(), Vec::new());
    let mut failure = None;
    for (number, rule) in policy.rules().iter().enumerate() {
        if let Some(reason) = nobody(transcript, rule) {
            findings.push(Finding::unjudged(number, reason));
        } else if rule.pattern.is_none() {
            asked.push((number, rule));
        } else {
            match by_pattern(transcript, number, rule, stop) {
                Ok(found) => findings.extend(found),
                Err(error) => failure = Some(error),
            }
        }
    }
    let outcome = match (failure, chat, asked.first()) {
        (Some(error), ..) => Err(error),
        (None, _, None) => Ok(()),
        (None, None, Some((_, rule))) => Err(Error::NoModel {
            rule: rule.name.clone(),
        }),
        (None, Some(chat), Some(_)) => {
            by_model(transcript, &asked, chat, limits, stop, &mut findings)
        }
    };
    let failure = outcome.err();
    for (number, _) in &asked {
        let found = findings.iter().any(|finding| finding.rule == *number);
        match &failure {
            Some(error) => {
                let reason = format!("not judged to the end: {error}");
                findings.push(Finding::unjudged(*number, reason));
            }
            None if !found => findings.push(Finding::of_rule(*number, Verdict::Kept, None)),
            None => {}
        }
    }
    // Places in order; what has none comes last.
    findings.sort_by_key(|finding| {
        (
            finding.rule,
            finding.place.map_or(usize::MAX, |place| place.0),
        )
    });
    (findings, failure)
}

/// Why a rule for some speakers cannot be judged: none of them is there.
fn nobody(transcript: &Transcript, rule: &Rule) -> Option<String> {
    let is_there = |speaker: &String| transcript.sentences().iter().any(|s| s.is_by(speaker));
    if rule.speakers.is_empty() || rule.speakers.iter().any(is_there) {
        return None;
    }
    let names: Vec<String> = rule
        .speakers
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    Some(format!(
        "nobody in the transcript is {}",
        names.join(" or ")
    ))
}

fn is_for(rule: &Rule, transcript: &Transcript, sentence: usize) -> bool {
    let said = &transcript.sentences()[sentence];
    rule.speakers.is_empty() || rule.speakers.iter().any(|speaker| said.is_by(speaker))
}

fn by_pattern(
    transcript: &Transcript,
    number: usize,
    rule: &Rule,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Finding>, Error> {
    let mut found = Vec::new();
    for (place, sentence) in transcript.sentences().iter().enumerate() {
        if stop() {
            return Err(Error::Cancelled);
        }
        let pattern = rule
            .pattern
            .as_ref()
            .filter(|_| is_for(rule, transcript, place));
        let at = pattern.and_then(|pattern| pattern.find(&sentence.text, rule.except.as_ref()));
        found.extend(at.map(|at| Finding {
            rule: number,
            verdict: Verdict::Violated,
            place: Some((place, place)),
            quote: Some(sentence.text[at].into()),
            reason: Some("the words match the rule's pattern".into()),
            confidence: Some(1.0),
        }));
    }
    if found.is_empty() {
        found.push(Finding::of_rule(number, Verdict::Kept, None));
    }
    Ok(found)
}

fn by_model(
    transcript: &Transcript,
    rules: &[(usize, &Rule)],
    chat: &mut Chat,
    limits: Limits,
    stop: &dyn Fn() -> bool,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let pieces = pieces(transcript, limits.piece);
    let needed = pieces.len() * rules.len().div_ceil(RULES_AT_ONCE);
    if needed > limits.requests {
        return Err(Error::TooManyRequests {
            needed,
            limit: limits.requests,
        });
    }
    // One finding for each rule and sentence: pieces overlap, and models repeat themselves.
    let mut seen: BTreeSet<(usize, Option<usize>, Option<String>)> = BTreeSet::new();
    for piece in &pieces {
        let said = Said::new(transcript, piece);
        for batch in rules.chunks(RULES_AT_ONCE) {
            if stop() {
                return Err(Error::Cancelled);
            }
            let asked: Vec<&Rule> = batch.iter().map(|(_, rule)| *rule).collect();
            let messages = prompt::messages(transcript, piece, &asked);
            let answer = chat.json(&messages, &prompt::schema(asked.len())?)?;
            for reported in prompt::reported(answer)? {
                let index = usize::try_from(reported.rule)
                    .ok()
                    .and_then(|n| n.checked_sub(1));
                let Some((number, rule)) = index.and_then(|index| batch.get(index)) else {
                    continue;
                };
                let finding = said.check(*number, rule, reported);
                let (place, invented) = match finding.place {
                    Some((first, _)) => (Some(first), None),
                    None => (None, finding.quote.clone()),
                };
                if seen.insert((*number, place, invented)) {
                    findings.push(finding);
                }
            }
        }
    }
    Ok(())
}

/// The words of a piece, each with its sentence.
struct Said<'a> {
    transcript: &'a Transcript,
    words: Vec<Word>,
    sentences: Vec<usize>,
}

impl<'a> Said<'a> {
    fn new(transcript: &'a Transcript, piece: &[Part]) -> Self {
        let mut said = Said {
            transcript,
            words: Vec::new(),
            sentences: Vec::new(),
        };
        for part in piece {
            let text = &transcript.sentences()[part.sentence].text[part.range.clone()];
            for word in words(text) {
                let range = part.range.start + word.range.start..part.range.start + word.range.end;
                said.words.push(Word { range, ..word });
                said.sentences.push(part.sentence);
            }
        }
        said
    }

    /// What is left of a violation that a model reports.
    fn check(&self, number: usize, rule: &Rule, reported: Reported) -> Finding {
        let quoted = words(&reported.quote);
        let named = usize::try_from(reported.sentence_id)
            .ok()
            .and_then(|id| id.checked_sub(1));
        let by_one = |at: &Range<usize>| {
            let by = |index: usize| self.transcript.sentences()[self.sentences[index]].speaker();
            at.clone().all(|index| by(index) == by(at.start))
        };
        let found: Vec<Range<usize>> = places(&self.words, &quoted).filter(by_one).collect();
        let holds = |at: &&Range<usize>| {
            named.is_some_and(|named| self.sentences[(*at).clone()].contains(&named))
        };
        let fits = |at: &&Range<usize>| is_for(rule, self.transcript, self.sentences[at.start]);
        let best = found
            .iter()
            .find(|at| holds(at) && fits(at))
            .or_else(|| found.iter().find(fits));
        let reason = shortened(&reported.reason);
        let Some(at) = best else {
            let why = match (quoted.is_empty(), found.first()) {
                (true, _) => "the model quotes nothing",
                (false, None) => "nobody in the transcript says what the model quotes",
                (false, Some(_)) => "the rule is not for the speaker of what the model quotes",
            };
            return Finding {
                quote: Some(shortened(&reported.quote)),
                ..Finding::of_rule(
                    number,
                    Verdict::Unsupported,
                    Some(format!("{why}; it says: {reason}")),
                )
            };
        };
        let place = (self.sentences[at.start], self.sentences[at.end - 1]);
        Finding {
            rule: number,
            verdict: Verdict::Violated,
            place: Some(place),
            quote: Some(self.text(at)),
            reason: Some(reason).filter(|reason| !reason.is_empty()),
            confidence: Some(reported.confidence).filter(|c| (0.0..=1.0).contains(c)),
        }
    }

    /// The transcript's own letters of a run of words.
    fn text(&self, at: &Range<usize>) -> String {
        let mut parts: Vec<(usize, Range<usize>)> = Vec::new();
        for index in at.clone() {
            let (sentence, range) = (self.sentences[index], &self.words[index].range);
            match parts.last_mut() {
                Some((last, whole)) if *last == sentence => whole.end = range.end,
                _ => parts.push((sentence, range.clone())),
            }
        }
        let letters = |(sentence, range): &(usize, Range<usize>)| {
            &self.transcript.sentences()[*sentence].text[range.clone()]
        };
        parts.iter().map(letters).collect::<Vec<_>>().join(" ")
    }
}

fn shortened(text: &str) -> String {
    text.trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect()
}

#[cfg(test)]
mod tests;
