//! Beam search over many recordings at once.

use crate::Error;
use crate::decoder::{Cache, Logits};
use crate::logits::{self, Choice};
use crate::search::{Hypothesis, Rules, Search, best_of};

/// The search over one recording.
#[derive(Default)]
struct Beams {
    open: Vec<Hypothesis>,
    done: Vec<Hypothesis>,
}

impl Search<'_> {
    /// Beam search of a given width over the recordings of a cache, one row each: of each recording the sequence with
    /// the best mean log-probability. A decoder whose beams cannot share a recording's keys and values gets one
    /// recording at a time.
    pub fn beam(
        &mut self,
        mut cache: Cache,
        first: Logits,
        width: usize,
    ) -> Result<Vec<Hypothesis>, Error> {
        let start = || Beams {
            open: vec![Hypothesis::default()],
            done: Vec::new(),
        };
        let mut all: Vec<Beams> = (0..cache.rows).map(|_| start()).collect();
        // The recording that each `stride` rows of the cache belong to.
        let mut owners: Vec<usize> = (0..cache.rows).collect();
        let (mut logits, mut stride) = (first, 1);
        loop {
            let mut rows = Vec::with_capacity(owners.len() * width);
            for (place, &owner) in owners.iter().enumerate() {
                let from = place * stride;
                let parents = all[owner].advance(&logits, from, width, self.rules)?;
                // Every recording keeps as many rows, used or not.
                rows.extend((0..width).map(|i| parents.get(i).map_or(from, |beam| from + beam)));
            }
            let open: Vec<usize> = (0..owners.len())
                .filter(|&place| !all[owners[place]].open.is_empty())
                .collect();
            if open.is_empty() {
                return Ok(all.into_iter().map(|b| best_of(b.done)).collect());
            }
            // As in greedy search: rows of what is done are dropped half at a time.
            if open.len() * 2 <= owners.len() {
                self.decoder.select_recordings(&mut cache, &open)?;
                rows = (open.iter())
                    .flat_map(|place| &rows[place * width..(place + 1) * width])
                    .copied()
                    .collect();
                owners = open.into_iter().map(|place| owners[place]).collect();
            }
            if rows.len() != cache.rows || rows.iter().enumerate().any(|(i, &row)| i != row) {
                self.decoder.select(&mut cache, &rows, true)?;
            }
            stride = width;
            let tokens: Vec<u32> = (owners.iter())
                .flat_map(|&owner| all[owner].last_tokens(width, self.rules.end))
                .collect();
            logits = self.decoder.step(&mut cache, &tokens, 1, self.cancel)?;
        }
    }
}

impl Beams {
    /// Takes the best continuations; returns the beam that each open one comes from. `first`: the row of the first
    /// beam's logits. With as many finished as there are beams, the search is over and none is open.
    fn advance(
        &mut self,
        logits: &Logits,
        first: usize,
        width: usize,
        rules: &Rules,
    ) -> Result<Vec<usize>, Error> {
        let (mut next, mut parents) = (Vec::new(), Vec::new());
        for (_, beam, choice) in self.candidates(logits, first, width, rules)? {
            let mut hypothesis = self.open[beam].clone();
            hypothesis.take(choice, rules);
            if hypothesis.finished {
                self.done.push(hypothesis);
                continue;
            }
            next.push(hypothesis);
            parents.push(beam);
            // An end counts only among the best: elsewhere it would cut off a text that goes on.
            if next.len() == width {
                break;
            }
        }
        if next.is_empty() && self.done.is_empty() {
            self.done.append(&mut self.open); // no continuation is allowed
        }
        if self.done.len() >= width {
            (next, parents) = (Vec::new(), Vec::new());
        }
        self.open = next;
        Ok(parents)
    }

    /// The most likely continuations, best first: twice as many as beams, so that enough of them go on.
    fn candidates(
        &self,
        logits: &Logits,
        first: usize,
        width: usize,
        rules: &Rules,
    ) -> Result<Vec<(f32, usize, Choice)>, Error> {
        let (mut all, mut scratch) = (Vec::new(), Vec::new());
        for (beam, hypothesis) in self.open.iter().enumerate() {
            rules.apply(logits.last(first + beam)?, &hypothesis.tokens, &mut scratch);
            let score: f32 = hypothesis.log_probs.iter().sum();
            let top = logits::top(&scratch, 2 * width).into_iter();
            all.extend(top.map(|choice| (score + choice.log_prob, beam, choice)));
        }
        all.retain(|(score, ..)| score.is_finite());
        let order = |(score, beam, choice): &(f32, usize, Choice)| (-score, *beam, choice.token);
        all.sort_by(|a, b| {
            let (a, b) = (order(a), order(b));
            a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2)))
        });
        all.truncate(2 * width);
        Ok(all)
    }

    /// The token that each of `width` rows goes on with; `blank` for rows that are not used.
    fn last_tokens(&self, width: usize, blank: u32) -> impl Iterator<Item = u32> {
        let last = move |i: usize| self.open.get(i).and_then(|h| h.tokens.last().copied());
        (0..width).map(move |i| last(i).unwrap_or(blank))
    }
}
