//! The text of a chunk: found, judged, and found again where it is not credible.

use onnx::Cancel;

use super::network::Whisper;
use super::prompt::Prompted;
use crate::Error;
use crate::family::Options;
use crate::guard::{self, Evidence};
use crate::search::{Hypothesis, Search};

/// Temperatures that are tried for a chunk that failed.
const TEMPERATURES: [f32; 5] = [0.2, 0.4, 0.6, 0.8, 1.0];
/// Sequences drawn at each temperature.
const DRAWS: usize = 5;

/// A text that was found, and how credible it is.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) hypothesis: Hypothesis,
    pub(super) evidence: Evidence,
    pub(super) text: String,
}

impl Attempt {
    fn is_better_than(&self, other: &Attempt) -> bool {
        let repeats =
            |a: &Attempt| a.evidence.looped || a.evidence.compression > guard::MAX_COMPRESSION;
        (!repeats(self), self.evidence.log_prob) > (!repeats(other), other.evidence.log_prob)
    }
}

impl Whisper {
    /// The texts of a batch by the search that the options ask for.
    pub(super) fn search(
        &mut self,
        prompted: &Prompted,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Attempt>, Error> {
        let temperature = options.temperature.unwrap_or(0.0);
        let beams = options.beam_size.unwrap_or(prompted.beams);
        let rows = 0..prompted.cache.rows;
        if temperature > 0.0 || beams > 1 && !self.decoder.is_extended() {
            return rows
                .map(|row| self.search_one(prompted, row, temperature, beams, cancel))
                .collect();
        }
        let (cache, first) = (prompted.cache.clone(), prompted.first.clone());
        let mut search = Search {
            decoder: &mut self.decoder,
            rules: &prompted.rules,
            cancel,
        };
        let found = match beams {
            0 | 1 => search.greedy(cache, first)?,
            _ => search.beam(cache, first, beams)?,
        };
        let judged = found.into_iter().zip(&prompted.no_speech);
        Ok(judged
            .map(|(h, no_speech)| self.judge(h, *no_speech))
            .collect())
    }

    /// The text of one chunk: sampled above temperature 0, else by beam search.
    fn search_one(
        &mut self,
        prompted: &Prompted,
        row: usize,
        temperature: f32,
        beams: usize,
        cancel: &Cancel,
    ) -> Result<Attempt, Error> {
        let mut cache = prompted.cache.clone();
        if cache.rows > 1 {
            self.decoder.select(&mut cache, &[row], false)?;
        }
        let first = prompted.first.starting_at(row);
        let mut search = Search {
            decoder: &mut self.decoder,
            rules: &prompted.rules,
            cancel,
        };
        let found = match temperature > 0.0 {
            true => search.sample(cache, first, temperature, DRAWS)?,
            false => search.beam(cache, first, beams)?.pop().unwrap_or_default(),
        };
        Ok(self.judge(found, prompted.no_speech[row]))
    }

    /// Finds the text of a chunk that failed again, at rising temperatures, until it is credible.
    pub(super) fn retry(
        &mut self,
        prompted: &Prompted,
        row: usize,
        failed: Attempt,
        cancel: &Cancel,
    ) -> Result<Attempt, Error> {
        let mut best = failed;
        for temperature in TEMPERATURES {
            let attempt = self.search_one(prompted, row, temperature, 1, cancel)?;
            let credible = !attempt.evidence.wants_retry();
            if credible || attempt.is_better_than(&best) {
                best = attempt;
            }
            if credible {
                break;
            }
        }
        Ok(best)
    }

    fn judge(&self, hypothesis: Hypothesis, no_speech: f32) -> Attempt {
        let text: Vec<u32> = hypothesis
            .tokens
            .iter()
            .copied()
            .filter(|&t| t < self.tokens.end)
            .collect();
        let text = self.tokenizer.decode(&text);
        let evidence = Evidence {
            log_prob: hypothesis.mean_log_prob(),
            compression: guard::compression_ratio(text.trim()),
            no_speech,
            looped: hypothesis.looped,
        };
        Attempt {
            hypothesis,
            evidence,
            text,
        }
    }
}
