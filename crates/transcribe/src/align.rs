//! When each token was said: dynamic time warping over the cross-attention of a model's alignment heads.
//!
//! The method is OpenAI Whisper's word timing: attention over the audio frames, normalised over the tokens, smoothed
//! along time with a median filter, averaged over the heads; the cheapest monotonic path through it aligns them.

use std::ops::Range;

/// Frames of the median filter (odd).
const MEDIAN: usize = 7;

/// Frames of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first one; never before the token before it.
    pub start: usize,
    /// Where it is heard most, before the next token begins.
    pub peak: usize,
}

/// Cross-attention of the alignment heads while the tokens of a chunk were made.
pub struct Attention {
    heads: usize,
    tokens: usize,
    frames: usize,
    /// `[heads, tokens, frames]` row-major; each row sums to 1.
    weights: Vec<f32>,
}

impl Attention {
    /// Takes `tokens` of the `steps` of a block `[heads, steps, stride]` row-major, and of each row the first `frames`,
    /// which are audio; the others are padding. A block of another size gives no tokens.
    pub fn new(
        block: &[f32],
        steps: usize,
        stride: usize,
        tokens: Range<usize>,
        frames: usize,
    ) -> Self {
        let size = (steps * stride).max(1);
        let (heads, frames) = (block.len() / size, frames.min(stride));
        let tokens = tokens.start.min(steps)..tokens.end.min(steps);
        let mut weights = Vec::with_capacity(heads * tokens.len() * frames);
        for head in block.chunks_exact(size) {
            for row in head
                .chunks_exact(stride.max(1))
                .skip(tokens.start)
                .take(tokens.len())
            {
                let row = &row[..frames];
                let sum: f32 = row.iter().sum::<f32>().max(f32::MIN_POSITIVE);
                weights.extend(row.iter().map(|x| x / sum));
            }
        }
        Attention {
            heads,
            tokens: tokens.len(),
            frames,
            weights,
        }
    }

    /// When each token was said, in order; empty if nothing is known.
    pub fn places(&self) -> Vec<Place> {
        if self.weights.is_empty() {
            return Vec::new();
        }
        let cost = self.cost();
        let starts = warp(&cost, self.tokens, self.frames);
        let ends = starts.iter().skip(1).copied().chain([self.frames]);
        let rows = cost.chunks_exact(self.frames);
        let places = starts.iter().zip(ends).zip(rows);
        places
            .map(|((&start, end), cost)| {
                let own = start..end.max(start + 1).min(self.frames);
                let peak = own.min_by(|&a, &b| cost[a].total_cmp(&cost[b]));
                Place {
                    start,
                    peak: peak.unwrap_or(start),
                }
            })
            .collect()
    }

    /// `[tokens, frames]`: low where the heads agree that the token is heard in the frame.
    fn cost(&self) -> Vec<f32> {
        let mut cost = vec![0f32; self.tokens * self.frames];
        let mut normal = vec![0f32; self.tokens * self.frames];
        for head in 0..self.heads {
            self.normalise(head, &mut normal);
            for (out, row) in cost
                .chunks_exact_mut(self.frames)
                .zip(normal.chunks_exact(self.frames))
            {
                subtract_median(row, out);
            }
        }
        cost
    }

    /// Standard scores of a head's attention over the tokens, frame by frame.
    fn normalise(&self, head: usize, out: &mut [f32]) {
        let tokens = self.tokens;
        let row =
            |token: usize| &self.weights[(head * tokens + token) * self.frames..][..self.frames];
        let (mut mean, mut square) = (vec![0f32; self.frames], vec![0f32; self.frames]);
        for token in 0..tokens {
            mean.iter_mut()
                .zip(row(token))
                .for_each(|(m, x)| *m += x / tokens as f32);
        }
        for token in 0..tokens {
            for ((s, x), m) in square.iter_mut().zip(row(token)).zip(&mean) {
                *s += (x - m) * (x - m) / tokens as f32;
            }
        }
        let scale: Vec<f32> = square.iter().map(|s| 1.0 / s.sqrt().max(1e-8)).collect();
        for (token, out) in out.chunks_exact_mut(self.frames).enumerate() {
            for (((o, x), m), s) in out.iter_mut().zip(row(token)).zip(&mean).zip(&scale) {
                *o = (x - m) * s;
            }
        }
    }
}

/// Subtracts the running median of a row (edges reflected) from `out`.
fn subtract_median(row: &[f32], out: &mut [f32]) {
    let half = MEDIAN / 2;
    if row.len() <= half {
        out.iter_mut().zip(row).for_each(|(o, x)| *o -= x);
        return;
    }
    let reflected = row[1..=half]
        .iter()
        .rev()
        .chain(row)
        .chain(row[row.len() - 1 - half..row.len() - 1].iter().rev());
    let padded: Vec<f32> = reflected.copied().collect();
    for (o, window) in out.iter_mut().zip(padded.windows(MEDIAN)) {
        *o -= median([
            window[0], window[1], window[2], window[3], window[4], window[5], window[6],
        ]);
    }
}

/// The median of seven by compare and exchange: branch-free, so that it runs in vector registers.
#[inline(always)]
fn median(mut v: [f32; MEDIAN]) -> f32 {
    const NETWORK: [(usize, usize); 13] = [
        (0, 5),
        (0, 3),
        (1, 6),
        (2, 4),
        (0, 1),
        (3, 5),
        (2, 6),
        (2, 3),
        (3, 6),
        (4, 5),
        (1, 4),
        (1, 3),
        (3, 4),
    ];
    for (i, j) in NETWORK {
        let (low, high) = if v[i] < v[j] {
            (v[i], v[j])
        } else {
            (v[j], v[i])
        };
        (v[i], v[j]) = (low, high);
    }
    v[3]
}

/// The first frame of each row on the cheapest monotonic path from the first cell to the last.
fn warp(cost: &[f32], rows: usize, frames: usize) -> Vec<usize> {
    const DIAGONAL: u8 = 0;
    const DOWN: u8 = 1;
    const ACROSS: u8 = 2;
    let mut moves = vec![ACROSS; rows * frames];
    let mut above = vec![f32::INFINITY; frames + 1];
    above[0] = 0.0;
    for row in 0..rows {
        let mut left = f32::INFINITY;
        let mut diagonal = above[0];
        above[0] = f32::INFINITY;
        for frame in 0..frames {
            let up = above[frame + 1];
            let (best, step) = if diagonal < up && diagonal < left {
                (diagonal, DIAGONAL)
            } else if up < diagonal && up < left {
                (up, DOWN)
            } else {
                (left, ACROSS)
            };
            left = best + cost[row * frames + frame];
            moves[row * frames + frame] = step;
            diagonal = up;
            above[frame + 1] = left;
        }
    }
    let mut starts = vec![0; rows];
    let (mut row, mut frame) = (rows - 1, frames - 1);
    loop {
        starts[row] = frame;
        match moves[row * frames + frame] {
            DIAGONAL if row > 0 && frame > 0 => (row, frame) = (row - 1, frame - 1),
            DOWN if row > 0 => row -= 1,
            ACROSS if frame > 0 => frame -= 1,
            _ if row > 0 => row -= 1,
            _ => break,
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One head that looks at `centres[i]` while token i is made.
    fn looking_at(centres: &[usize], frames: usize) -> Attention {
        let look =
            |centre: usize| move |f: usize| (-((f.abs_diff(centre) as f32) / 3.0).powi(2)).exp();
        let block: Vec<f32> = centres
            .iter()
            .flat_map(|&c| (0..frames + 3).map(look(c)))
            .collect();
        Attention::new(&block, centres.len(), frames + 3, 0..centres.len(), frames)
    }

    #[test]
    fn tokens_begin_where_the_heads_look() {
        let places = looking_at(&[5, 25, 45, 70], 80).places();
        assert_eq!(places[0].start, 0);
        for (place, centre) in places.iter().zip([5usize, 25, 45, 70]).skip(1) {
            assert!(place.start.abs_diff(centre) <= 12, "{places:?}");
            assert!(place.peak.abs_diff(centre) <= 12, "{places:?}");
        }
    }

    #[test]
    fn the_median_network_sorts_the_middle() {
        let mut v = [3.0, 1.0, 7.0, 5.0, 2.0, 6.0, 4.0];
        for _ in 0..7 {
            v.rotate_left(1);
            assert_eq!(median(v), 4.0);
        }
    }

    #[test]
    fn no_tokens_no_times() {
        assert!(Attention::new(&[], 0, 10, 0..0, 10).places().is_empty());
        assert!(
            Attention::new(&[1.0; 20], 2, 10, 5..9, 10)
                .places()
                .is_empty()
        );
        assert!(
            Attention::new(&[1.0; 7], 2, 10, 0..2, 10)
                .places()
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn the_median_is_the_middle_of_seven(v in prop::array::uniform7(-10f32..10.0)) {
            let mut sorted = v;
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(median(v), sorted[3]);
        }

        #[test]
        fn places_never_go_back_and_stay_inside(
            (tokens, frames) in (1usize..20, 1usize..60),
            seed in any::<u64>(),
        ) {
            let mut random = crate::logits::Random::new(seed);
            let block: Vec<f32> = (0..2 * tokens * frames).map(|_| random.uniform()).collect();
            let places = Attention::new(&block, tokens, frames, 0..tokens, frames).places();
            prop_assert_eq!(places.len(), tokens);
            prop_assert!(places.windows(2).all(|w| w[0].start <= w[1].start));
            prop_assert!(places.iter().all(|p| p.start <= p.peak && p.peak < frames));
        }
    }
}
