//! Cutting speech into chunks that a model takes at once: at pauses, with long pauses left out.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use vad::Span;

/// Samples per millisecond.
const PER_MS: usize = 16;
/// Samples per entry of [`Chunk::speech`]: 10 ms.
pub const STEP: usize = 160;
/// Shorter pauses stay in a chunk as they are.
const KEEP_PAUSE_MS: u64 = 700;
/// A chunk ends at a pause this long, once it is long enough to be recognised well by itself: another topic or speaker
/// may follow, and models tend to stop early there.
const END_PAUSE_MS: u64 = 1_000;
/// Speech that is recognised well by itself.
const ENOUGH_MS: u64 = 3_000;
/// When a chunk is full it is cut at the longest pause in this last part of it.
const CUT_ZONE: f64 = 0.4;

/// Where a stretch of a chunk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First sample in the recording.
    pub from: u64,
    /// First sample in the chunk.
    pub at: usize,
    /// Samples.
    pub length: usize,
}

/// Speech of at most a model's window.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// 16 kHz mono.
    pub samples: Vec<f32>,
    /// Where the samples come from, in order.
    pub pieces: Vec<Piece>,
    /// Whether somebody speaks at the beginning of each [`STEP`]: the margins around speech are samples too.
    pub speech: Vec<bool>,
}

impl Chunk {
    fn push(&mut self, from: u64, samples: &[f32]) {
        self.pieces.push(Piece {
            from,
            at: self.samples.len(),
            length: samples.len(),
        });
        self.samples.extend_from_slice(samples);
    }

    /// The part between two [`STEP`]s.
    pub fn part(&self, steps: Range<usize>) -> Chunk {
        let to = (steps.end * STEP).min(self.samples.len());
        let from = (steps.start * STEP).min(to);
        let mut part = Chunk::default();
        for piece in &self.pieces {
            let (first, last) = (piece.at.max(from), (piece.at + piece.length).min(to));
            if first < last {
                let source = piece.from + (first - piece.at) as u64;
                part.push(source, &self.samples[first..last]);
            }
        }
        let speech = &self.speech[steps.start.min(self.speech.len())..];
        part.speech = speech[..steps.len().min(speech.len())].to_vec();
        part
    }

    /// What tells its audio from others'.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.samples.len().hash(&mut hasher);
        (self.samples.iter()).for_each(|x| x.to_bits().hash(&mut hasher));
        hasher.finish()
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f32 {
        self.samples.len() as f32 / audio::SAMPLE_RATE as f32
    }

    /// The time in the recording, ms, of a time in the chunk, seconds. At a cut, `is_end` tells which side is meant.
    pub fn recording_ms(&self, seconds: f32, is_end: bool) -> u64 {
        let sample = (seconds.max(0.0) * audio::SAMPLE_RATE as f32).round() as usize;
        let inside = |p: &&Piece| {
            if is_end {
                sample <= p.at + p.length
            } else {
                sample < p.at + p.length
            }
        };
        let Some(piece) = self.pieces.iter().find(inside).or(self.pieces.last()) else {
            return 0;
        };
        let offset = sample.saturating_sub(piece.at).min(piece.length);
        (piece.from + offset as u64) / PER_MS as u64
    }
}

/// Plans chunks of at most `max_ms` over spans in order; each plan holds the stretches of one chunk, ms. Stretches are
/// joined over short pauses. A span longer than a chunk is cut where `quietest` says (it gets a range of ms and returns
/// a time in it).
pub fn plan(spans: &[Span], max_ms: u64, quietest: impl Fn(u64, u64) -> u64) -> Vec<Vec<Span>> {
    let (mut plans, mut open): (Vec<Vec<Span>>, Vec<Span>) = (Vec::new(), Vec::new());
    for piece in split(spans, max_ms, quietest) {
        if pause(open.last(), piece) >= END_PAUSE_MS && length(&open) >= ENOUGH_MS {
            plans.push(join(&std::mem::take(&mut open)));
        }
        while !open.is_empty()
            && length(&open) + kept_pause(open.last(), piece) + duration(piece) > max_ms
        {
            let rest = open.split_off(cut(&open, piece, max_ms));
            plans.push(join(&std::mem::replace(&mut open, rest)));
        }
        open.push(piece);
    }
    if !open.is_empty() {
        plans.push(join(&open));
    }
    plans
}

/// Whether a chunk is ended by a pause, if nobody has spoken since until a time, ms.
pub fn is_ended(plan: &[Span], until_ms: u64) -> bool {
    let ended = plan
        .last()
        .is_some_and(|s| s.end_ms + END_PAUSE_MS <= until_ms);
    ended && length(plan) >= ENOUGH_MS
}

fn duration(span: Span) -> u64 {
    span.end_ms.saturating_sub(span.start_ms)
}

fn pause(before: Option<&Span>, next: Span) -> u64 {
    before.map_or(0, |b| next.start_ms.saturating_sub(b.end_ms))
}

fn kept_pause(before: Option<&Span>, next: Span) -> u64 {
    Some(pause(before, next))
        .filter(|&ms| ms <= KEEP_PAUSE_MS)
        .unwrap_or(0)
}

/// Speech of a chunk and the pauses that stay in it, ms.
pub fn length(spans: &[Span]) -> u64 {
    let pauses: u64 = spans.windows(2).map(|w| kept_pause(w.first(), w[1])).sum();
    spans.iter().map(|&s| duration(s)).sum::<u64>() + pauses
}

/// How many spans of a full plan to keep: up to its longest pause in the last part, the one before `next` included.
fn cut(plan: &[Span], next: Span, max_ms: u64) -> usize {
    let earliest = (max_ms as f64 * (1.0 - CUT_ZONE)) as u64;
    let inner = (1..plan.len()).filter(|&keep| length(&plan[..keep]) >= earliest);
    let pauses = inner.map(|keep| (pause(plan.get(keep - 1), plan[keep]), keep));
    let last = (pause(plan.last(), next), plan.len());
    pauses
        .chain([last])
        .max()
        .map_or(plan.len(), |(_, keep)| keep)
}

fn join(spans: &[Span]) -> Vec<Span> {
    let mut joined: Vec<Span> = Vec::with_capacity(spans.len());
    for &span in spans {
        match joined.last_mut() {
            Some(last) if pause(Some(last), span) <= KEEP_PAUSE_MS => {
                last.end_ms = last.end_ms.max(span.end_ms)
            }
            _ => joined.push(span),
        }
    }
    joined
}

fn split(spans: &[Span], max_ms: u64, quietest: impl Fn(u64, u64) -> u64) -> Vec<Span> {
    let mut pieces = Vec::with_capacity(spans.len());
    for &(mut span) in spans.iter().filter(|s| s.start_ms < s.end_ms) {
        while duration(span) > max_ms {
            let (from, to) = (span.start_ms + (max_ms / 2).max(1), span.start_ms + max_ms);
            let at = quietest(from, to).clamp(from, to);
            pieces.push(Span {
                start_ms: span.start_ms,
                end_ms: at,
            });
            span.start_ms = at;
        }
        pieces.push(span);
    }
    pieces
}

/// The middle of the quietest 160 ms between two times, ms, in samples that begin at `origin_ms`.
pub fn quietest(samples: &[f32], origin_ms: u64, from_ms: u64, to_ms: u64) -> u64 {
    const WINDOW_MS: u64 = 160;
    let index = |ms: u64| (ms.saturating_sub(origin_ms) as usize * PER_MS).min(samples.len());
    let energy = |ms: u64| {
        samples[index(ms)..index(ms + WINDOW_MS)]
            .iter()
            .map(|x| f64::from(x * x))
            .sum::<f64>()
    };
    let starts = (from_ms..to_ms.saturating_sub(WINDOW_MS).max(from_ms + 1)).step_by(20);
    let best = starts.min_by(|&a, &b| energy(a).total_cmp(&energy(b)));
    best.map_or(to_ms, |ms| ms + WINDOW_MS / 2)
}

/// Cuts the samples of a plan out of a recording's part that begins at sample `origin`. `is_speech` gets a time of the
/// recording, ms.
pub fn chunk(
    plan: &[Span],
    samples: &[f32],
    origin: u64,
    is_speech: impl Fn(u64) -> bool,
) -> Chunk {
    let mut chunk = Chunk::default();
    for span in plan {
        let index =
            |ms: u64| ((ms * PER_MS as u64).saturating_sub(origin) as usize).min(samples.len());
        let (from, to) = (index(span.start_ms), index(span.end_ms));
        if from < to {
            chunk.push(origin + from as u64, &samples[from..to]);
        }
    }
    let steps = (0..chunk.samples.len()).step_by(STEP);
    let time = |at: usize| chunk.recording_ms(at as f32 / audio::SAMPLE_RATE as f32, false);
    chunk.speech = steps.map(|at| is_speech(time(at))).collect();
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn span(start_ms: u64, end_ms: u64) -> Span {
        Span { start_ms, end_ms }
    }

    #[test]
    fn short_pauses_stay_and_long_ones_go() {
        let plans = plan(
            &[span(0, 1_000), span(1_200, 2_000), span(9_000, 10_000)],
            30_000,
            |_, to| to,
        );
        assert_eq!(plans, [vec![span(0, 2_000), span(9_000, 10_000)]]);
    }

    #[test]
    fn a_chunk_of_some_length_ends_at_a_long_pause() {
        let spans = [span(0, 2_000), span(3_500, 6_000), span(7_500, 9_000)];
        let plans = plan(&spans, 30_000, |_, to| to);
        assert_eq!(
            plans,
            [
                vec![span(0, 2_000), span(3_500, 6_000)],
                vec![span(7_500, 9_000)]
            ]
        );
    }

    #[test]
    fn a_full_chunk_is_cut_at_its_longest_pause() {
        let spans = [
            span(0, 10_000),
            span(10_100, 20_000),
            span(20_500, 28_000),
            span(28_100, 35_000),
        ];
        let plans = plan(&spans, 30_000, |_, to| to);
        assert_eq!(plans, [vec![span(0, 20_000)], vec![span(20_500, 35_000)]]);
    }

    #[test]
    fn speech_without_pauses_is_cut_where_it_is_quiet() {
        let plans = plan(&[span(0, 70_000)], 30_000, |from, _| from + 5_000);
        assert_eq!(
            plans,
            [
                vec![span(0, 20_000)],
                vec![span(20_000, 40_000)],
                vec![span(40_000, 70_000)]
            ]
        );
        let mut samples = vec![0.5; 16 * 1_000];
        samples[16 * 400..16 * 600].fill(0.0);
        assert!((480..=520).contains(&quietest(&samples, 0, 0, 1_000)));
    }

    #[test]
    fn times_map_back_to_the_recording() {
        let samples = vec![0.1; 16 * 10_000];
        let c = chunk(
            &[span(5_000, 6_000), span(8_000, 9_000)],
            &samples,
            16 * 4_000,
            |ms| ms >= 8_000,
        );
        assert_eq!(c.samples.len(), 16 * 2_000);
        assert_eq!(c.speech, [[false; 100], [true; 100]].concat());
        assert_eq!(
            (c.recording_ms(0.0, false), c.recording_ms(0.5, false)),
            (5_000, 5_500)
        );
        assert_eq!(
            (c.recording_ms(1.0, true), c.recording_ms(1.0, false)),
            (6_000, 8_000)
        );
        assert_eq!(c.recording_ms(99.0, true), 9_000);
        let part = c.part(50..120);
        assert_eq!((part.samples.len(), part.speech.len()), (16 * 700, 70));
        assert_eq!(
            (part.recording_ms(0.1, false), part.recording_ms(0.6, false)),
            (5_600, 8_100)
        );
        assert_eq!(c.part(300..400).samples.len(), 0);
        assert_eq!(Chunk::default().recording_ms(1.0, true), 0);
    }

    proptest! {
        #[test]
        fn chunks_are_short_and_hold_all_speech(parts in prop::collection::vec((0u64..3_000, 1u64..50_000), 0..30)) {
            let mut clock = 0;
            let spans: Vec<Span> = parts.iter().map(|&(pause, length)| {
                let start = clock + pause;
                clock = start + length;
                span(start, clock)
            }).collect();
            let plans = plan(&spans, 30_000, |from, to| (from + to) / 2);
            prop_assert!(plans.iter().all(|p| length(p) <= 30_000 && !p.is_empty()));
            let flat: Vec<Span> = plans.concat();
            prop_assert!(flat.windows(2).all(|w| w[0].end_ms <= w[1].start_ms));
            for s in spans {
                for ms in [s.start_ms, (s.start_ms + s.end_ms) / 2, s.end_ms - 1] {
                    prop_assert!(flat.iter().any(|f| f.start_ms <= ms && ms < f.end_ms), "{ms} is lost");
                }
            }
        }
    }
}
