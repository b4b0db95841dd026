//! Diarization error rate, as pyannote.metrics defines it (checked against it in `diarize.rs`).

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Start, end (seconds) and speaker.
pub type Entry = (f64, f64, String);

/// Seconds of each kind of error, and of speech in the reference, overlaps counted for every speaker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors {
    pub missed: f64,
    pub false_alarm: f64,
    pub confused: f64,
    pub total: f64,
}

impl Errors {
    pub fn rate(&self) -> f64 {
        (self.missed + self.false_alarm + self.confused) / self.total
    }

    pub fn add(&mut self, other: Errors) {
        self.missed += other.missed;
        self.false_alarm += other.false_alarm;
        self.confused += other.confused;
        self.total += other.total;
    }
}

/// The entries of an RTTM file.
pub fn rttm(text: &str) -> Vec<Entry> {
    let fields = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let entry = |f: Vec<&str>| {
        let start: f64 = f.get(3)?.parse().ok()?;
        Some((
            start,
            start + f.get(4)?.parse::<f64>().ok()?,
            (*f.get(7)?).to_string(),
        ))
    };
    fields.filter_map(entry).collect()
}

/// Errors in `0..end` seconds, `collar` seconds on each side of a reference boundary not scored.
pub fn score(reference: &[Entry], hypothesis: &[Entry], end: f64, collar: f64) -> Errors {
    let names = |all: &[Entry]| {
        let mut names: Vec<String> = all.iter().map(|e| e.2.clone()).collect();
        names.sort();
        names.dedup();
        names
    };
    let (ours, theirs) = (names(hypothesis), names(reference));
    let parts = parts(reference, hypothesis, end, collar);
    let talks = |all: &[Entry], names: &[String], at: f64| -> Vec<usize> {
        (0..names.len())
            .filter(|n| {
                all.iter()
                    .any(|e| e.2 == names[*n] && e.0 <= at && at < e.1)
            })
            .collect()
    };
    let mut shared = vec![vec![0i64; ours.len().max(theirs.len())]; theirs.len()];
    let who: Vec<_> = parts
        .iter()
        .map(|(from, to)| {
            let middle = (from + to) / 2.0;
            (
                to - from,
                talks(reference, &theirs, middle),
                talks(hypothesis, &ours, middle),
            )
        })
        .collect();
    for (length, r, h) in &who {
        r.iter().for_each(|r| {
            h.iter()
                .for_each(|h| shared[*r][*h] += (length * 1e6) as i64)
        });
    }
    let best = Matrix::from_rows(shared)
        .map(|m| kuhn_munkres(&m).1)
        .unwrap_or_default();
    let mut errors = Errors::default();
    for (length, r, h) in &who {
        let correct = r
            .iter()
            .filter(|r| best.get(**r).is_some_and(|b| h.contains(b)))
            .count();
        errors.missed += length * r.len().saturating_sub(h.len()) as f64;
        errors.false_alarm += length * h.len().saturating_sub(r.len()) as f64;
        errors.confused += length * (r.len().min(h.len()) - correct) as f64;
        errors.total += length * r.len() as f64;
    }
    errors
}

/// Stretches of time in which nothing changes, without the collars.
fn parts(reference: &[Entry], hypothesis: &[Entry], end: f64, collar: f64) -> Vec<(f64, f64)> {
    let boundaries: Vec<f64> = reference.iter().flat_map(|e| [e.0, e.1]).collect();
    let mut cuts: Vec<f64> = hypothesis
        .iter()
        .flat_map(|e| [e.0, e.1])
        .chain([0.0, end])
        .collect();
    cuts.extend(boundaries.iter().flat_map(|b| [b - collar, *b, b + collar]));
    cuts.iter_mut().for_each(|c| *c = c.clamp(0.0, end));
    cuts.sort_by(f64::total_cmp);
    let scored = |(from, to): &(f64, f64)| {
        let middle = (from + to) / 2.0;
        to > from && boundaries.iter().all(|b| (middle - b).abs() >= collar)
    };
    cuts.windows(2)
        .map(|w| (w[0], w[1]))
        .filter(scored)
        .collect()
}
