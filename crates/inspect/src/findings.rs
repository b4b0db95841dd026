use crate::transcript::{Sentence, Transcript};

/// What was found about one rule in one place, or of the whole transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule's place in the policy, from 0.
    pub rule: usize,
    /// The judgement.
    pub verdict: Verdict,
    /// The quoted sentences: the first and the last, as places in the transcript. Only a violation has them.
    pub place: Option<(usize, usize)>,
    /// The words that break the rule, as the transcript has them; of an unsupported finding, as the model has them.
    pub quote: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// 0 to 1; 1 for a pattern, else what the model says of itself.
    pub confidence: Option<f64>,
}

/// A judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule was broken, by words that stand in the transcript.
    Violated,
    /// Nothing was found.
    Kept,
    /// A model says so, in words that nobody said.
    Unsupported,
    /// There was nobody to judge, or no judge.
    Unjudged,
}

impl Finding {
    /// That a rule was not judged, and why.
    pub fn unjudged(rule: usize, reason: String) -> Self {
        Self::of_rule(rule, Verdict::Unjudged, Some(reason))
    }

    pub(crate) fn of_rule(rule: usize, verdict: Verdict, reason: Option<String>) -> Self {
        Finding {
            rule,
            verdict,
            place: None,
            quote: None,
            reason,
            confidence: None,
        }
    }

    /// The first and the last sentence that are quoted.
    pub fn sentences<'a>(
        &self,
        transcript: &'a Transcript,
    ) -> Option<(&'a Sentence, &'a Sentence)> {
        let (first, last) = self.place?;
        let all = transcript.sentences();
        Some((all.get(first)?, all.get(last)?))
    }
}
