//! Finding the text: greedy over many recordings at once and by sampling over one; `beam` has the beam search.

use onnx::Cancel;

use crate::Error;
use crate::decoder::{Cache, Decoder, Logits};
use crate::guard;
use crate::logits::{self, Choice, Random};

/// Sampling gives the same text for the same audio.
const SEED: u64 = 0x5EED;

/// What may be generated.
pub struct Rules {
    /// Ends a sequence.
    pub end: u32,
    /// Tokens from here on are never generated, except as [`Timestamps`] allow.
    pub limit: u32,
    /// Never generated.
    pub suppress: Vec<u32>,
    /// Not generated as the first token.
    pub suppress_first: Vec<u32>,
    /// Set when times are written between the words.
    pub timestamps: Option<Timestamps>,
    /// Most tokens of a sequence.
    pub max_tokens: usize,
    /// Tokens that the speech has room for: up to here repetitions are no loop.
    pub room: usize,
}

/// Timestamp tokens: one for every 20 ms from `first` to `last`.
#[derive(Clone, Copy, Debug)]
pub struct Timestamps {
    /// 0.00 s.
    pub first: u32,
    /// The end of the audio.
    pub last: u32,
    /// The latest token that may begin a sequence.
    pub max_initial: u32,
}

/// A sequence that was found.
#[derive(Clone, Debug, Default)]
pub struct Hypothesis {
    /// Its tokens without the one that ends it.
    pub tokens: Vec<u32>,
    /// Their log-probabilities.
    pub log_probs: Vec<f32>,
    /// Log-probability of the end, 0 if the sequence was cut off.
    pub end_log_prob: f32,
    /// Whether it was stopped because it repeated itself.
    pub looped: bool,
    /// Whether nothing more is added.
    pub finished: bool,
}

impl Hypothesis {
    /// Mean log-probability per token, the end included.
    pub fn mean_log_prob(&self) -> f32 {
        (self.log_probs.iter().sum::<f32>() + self.end_log_prob) / (self.tokens.len() + 1) as f32
    }

    /// Adds a token, or ends the sequence.
    pub fn take(&mut self, choice: Choice, rules: &Rules) {
        if choice.token == rules.end {
            self.end_log_prob = choice.log_prob;
            self.finished = true;
            return;
        }
        self.tokens.push(choice.token);
        self.log_probs.push(choice.log_prob);
        self.looped = guard::is_looping(&self.tokens, rules.room);
        self.finished = self.looped || self.tokens.len() >= rules.max_tokens;
    }
}

/// The decoder with what a search needs to know.
pub struct Search<'a> {
    pub decoder: &'a mut Decoder,
    pub rules: &'a Rules,
    pub cancel: &'a Cancel,
}

impl Search<'_> {
    /// The most likely next token at each step, for every row of the cache. `first`: the logits after the prompt.
    pub fn greedy(&mut self, mut cache: Cache, first: Logits) -> Result<Vec<Hypothesis>, Error> {
        let mut all = vec![Hypothesis::default(); cache.rows];
        // Which hypothesis each row of the cache belongs to.
        let mut owners: Vec<usize> = (0..cache.rows).collect();
        let (mut logits, mut scratch) = (first, Vec::new());
        loop {
            for (row, &owner) in owners
                .iter()
                .enumerate()
                .filter(|(_, o)| !all[**o].finished)
                .collect::<Vec<_>>()
            {
                self.rules
                    .apply(logits.last(row)?, &all[owner].tokens, &mut scratch);
                all[owner].take(logits::best(&scratch), self.rules);
            }
            let open = owners.iter().filter(|&&o| !all[o].finished).count();
            if open == 0 {
                return Ok(all);
            }
            // Finished rows cost time at every step, dropping them costs a copy of the others: drop half at a time.
            if open * 2 <= owners.len() {
                let rows: Vec<usize> = (0..owners.len())
                    .filter(|&r| !all[owners[r]].finished)
                    .collect();
                self.decoder.select(&mut cache, &rows, false)?;
                owners = rows.into_iter().map(|r| owners[r]).collect();
            }
            let next: Vec<u32> = owners
                .iter()
                .map(|&o| all[o].tokens.last().copied().unwrap_or(self.rules.end))
                .collect();
            logits = self.decoder.step(&mut cache, &next, 1, self.cancel)?;
        }
    }

    /// The best of `count` sequences drawn at a temperature, for a cache of one row.
    pub fn sample(
        &mut self,
        mut cache: Cache,
        first: Logits,
        temperature: f32,
        count: usize,
    ) -> Result<Hypothesis, Error> {
        self.decoder
            .select(&mut cache, &vec![0; count.max(1)], true)?;
        let mut random = Random::new(SEED);
        let mut all = vec![Hypothesis::default(); cache.rows];
        let (mut logits, mut scratch) = (first, Vec::new());
        let mut is_first = true;
        while all.iter().any(|h| !h.finished) {
            for (row, hypothesis) in all.iter_mut().enumerate().filter(|(_, h)| !h.finished) {
                let row = if is_first {
                    logits.last(0)?
                } else {
                    logits.last(row)?
                };
                self.rules.apply(row, &hypothesis.tokens, &mut scratch);
                hypothesis.take(
                    logits::sample(&scratch, temperature, &mut random),
                    self.rules,
                );
            }
            is_first = false;
            let next: Vec<u32> = all
                .iter()
                .map(|h| h.tokens.last().copied().unwrap_or(self.rules.end))
                .collect();
            if all.iter().any(|h| !h.finished) {
                logits = self.decoder.step(&mut cache, &next, 1, self.cancel)?;
            }
        }
        Ok(best_of(all))
    }
}

/// The hypothesis with the best mean log-probability, one that does not repeat itself if there is any.
pub fn best_of(all: Vec<Hypothesis>) -> Hypothesis {
    let rank = |h: &Hypothesis| (!h.looped, h.mean_log_prob());
    let better = |a: &Hypothesis, b: &Hypothesis| {
        let (a, b) = (rank(a), rank(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    all.into_iter()
        .reduce(|a, b| if better(&b, &a).is_gt() { b } else { a })
        .unwrap_or_default()
}

impl Rules {
    /// Copies a row of logits to `out` with -inf for what may not follow `tokens`.
    pub fn apply(&self, logits: &[f32], tokens: &[u32], out: &mut Vec<f32>) {
        let limit = self.timestamps.map_or(self.limit, |t| t.last + 1) as usize;
        out.clear();
        out.extend_from_slice(&logits[..limit.min(logits.len())]);
        logits::suppress(out, &self.suppress);
        if tokens.is_empty() {
            logits::suppress(out, &self.suppress_first);
        }
        if let Some(times) = self.timestamps {
            self.limit_times(times, tokens, out);
        }
    }

    /// Times come in pairs (end, begin) between segments, never go back, and come first.
    fn limit_times(&self, times: Timestamps, tokens: &[u32], out: &mut [f32]) {
        let is_time = |t: &u32| *t >= times.first;
        let (first, limit) = (times.first as usize, (self.limit as usize).min(out.len()));
        let forbid = |out: &mut [f32], from: usize, to: usize| {
            let to = to.min(out.len());
            out[from.min(to)..to].fill(f32::NEG_INFINITY);
        };
        forbid(out, limit, first);
        let last_is_time = tokens.last().is_some_and(is_time);
        let before_is_time = tokens.len() < 2
            || tokens
                .get(tokens.len().wrapping_sub(2))
                .is_some_and(is_time);
        if tokens.is_empty() {
            forbid(out, 0, first);
            forbid(out, times.max_initial as usize + 1, usize::MAX);
            return;
        }
        if last_is_time && before_is_time {
            forbid(out, first, usize::MAX);
        } else if last_is_time {
            forbid(out, 0, self.end as usize);
        }
        if let Some(&last) = tokens.iter().rev().find(|t| is_time(t)) {
            let earliest = if last_is_time && !before_is_time {
                last
            } else {
                last + 1
            };
            forbid(out, first, earliest as usize);
        }
        let split = first.min(out.len());
        let (text, time) = out.split_at_mut(split);
        if logits::log_sum_exp(time) > text.iter().copied().fold(f32::NEG_INFINITY, f32::max) {
            text.fill(f32::NEG_INFINITY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        let timestamps = Some(Timestamps {
            first: 12,
            last: 19,
            max_initial: 14,
        });
        Rules {
            end: 8,
            limit: 9,
            suppress: vec![3],
            suppress_first: vec![4],
            timestamps,
            max_tokens: 50,
            room: 0,
        }
    }

    fn allowed(rules: &Rules, tokens: &[u32], logits: &[f32]) -> Vec<u32> {
        let mut out = Vec::new();
        rules.apply(logits, tokens, &mut out);
        (0..out.len() as u32)
            .filter(|&t| out[t as usize].is_finite())
            .collect()
    }

    #[test]
    fn without_times_only_text_and_the_end_are_allowed() {
        let rules = Rules {
            timestamps: None,
            ..rules()
        };
        assert_eq!(allowed(&rules, &[], &[0.0; 25]), [0, 1, 2, 5, 6, 7, 8]);
        assert_eq!(allowed(&rules, &[1], &[0.0; 25]), [0, 1, 2, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn times_come_first_in_pairs_and_never_go_back() {
        let mut text = [0.0; 25];
        text[..9].fill(10.0); // text is likely
        let rules = rules();
        assert_eq!(allowed(&rules, &[], &text), [12, 13, 14]);
        assert_eq!(allowed(&rules, &[13], &text), [0, 1, 2, 4, 5, 6, 7, 8]); // after the first time: text
        assert_eq!(
            allowed(&rules, &[13, 1], &text),
            [0, 1, 2, 4, 5, 6, 7, 8, 14, 15, 16, 17, 18, 19]
        );
        assert_eq!(allowed(&rules, &[13, 1, 16], &text), [8, 16, 17, 18, 19]); // its pair, or the end
        assert_eq!(
            allowed(&rules, &[13, 1, 16, 16], &text),
            [0, 1, 2, 4, 5, 6, 7, 8]
        );
    }

    #[test]
    fn likely_times_silence_the_text() {
        assert_eq!(
            allowed(&rules(), &[13, 1], &[0.0; 25]),
            [14, 15, 16, 17, 18, 19]
        );
    }

    #[test]
    fn the_best_hypothesis_is_likely_and_does_not_loop() {
        let hypothesis = |p: f32, looped| Hypothesis {
            tokens: vec![1],
            log_probs: vec![p],
            looped,
            ..Default::default()
        };
        let best = best_of(vec![
            hypothesis(-2.0, false),
            hypothesis(-1.0, false),
            hypothesis(-0.1, true),
        ]);
        assert_eq!(best.log_probs, [-1.0]);
    }
}
