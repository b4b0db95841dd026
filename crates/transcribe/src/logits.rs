//! Choosing tokens from logits: masks, log-probabilities, the best few, and seeded sampling.

use multiversion::multiversion;

/// A token and its log-probability among the allowed ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    pub token: u32,
    pub log_prob: f32,
}

/// Adds -inf to the logits of `tokens`.
pub fn suppress(logits: &mut [f32], tokens: &[u32]) {
    for &token in tokens {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = f32::NEG_INFINITY;
        }
    }
}

/// The most likely token.
pub fn best(logits: &[f32]) -> Choice {
    let max = maximum(logits);
    let token = logits.iter().position(|&x| x == max).unwrap_or(0) as u32;
    Choice {
        token,
        log_prob: -sum_exp(logits, max, 1.0).ln(),
    }
}

/// The `count` most likely tokens, best first; the smaller token where two are as likely.
pub fn top(logits: &[f32], count: usize) -> Vec<Choice> {
    const BLOCK: usize = 256;
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    for (i, block) in logits.chunks(BLOCK).enumerate() {
        // Most blocks hold nothing that is good enough.
        if best.len() == count && best.last().is_none_or(|last| maximum(block) <= last.0) {
            continue;
        }
        for (token, &logit) in (i * BLOCK..).zip(block) {
            let place = best.partition_point(|b| b.0 >= logit);
            if place < count {
                best.truncate(count - 1);
                best.insert(place, (logit, token as u32));
            }
        }
    }
    let log_sum = log_sum_exp(logits);
    let choice = |(logit, token)| Choice {
        token,
        log_prob: logit - log_sum,
    };
    best.into_iter().map(choice).collect()
}

/// Draws a token at a temperature above 0; its log-probability is the one at temperature 1.
pub fn sample(logits: &[f32], temperature: f32, random: &mut Random) -> Choice {
    let max = maximum(logits);
    let mut left = random.uniform() * sum_exp(logits, max, 1.0 / temperature);
    let mut token = 0;
    for (i, &logit) in logits.iter().enumerate().filter(|(_, x)| x.is_finite()) {
        token = i;
        left -= ((logit - max) / temperature).exp();
        if left <= 0.0 {
            break;
        }
    }
    let log_prob = logits.get(token).map_or(f32::NEG_INFINITY, |x| {
        x - max - sum_exp(logits, max, 1.0).ln()
    });
    Choice {
        token: token as u32,
        log_prob,
    }
}

/// The log of the sum of the logits' exponentials.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    let max = maximum(logits);
    if max.is_finite() {
        max + sum_exp(logits, max, 1.0).ln()
    } else {
        f32::NEG_INFINITY
    }
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma", "aarch64+neon"))]
fn maximum(logits: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 32];
    let (blocks, rest) = logits.as_chunks::<32>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes
        .iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

#[multiversion(targets("x86_64+avx512f", "x86_64+avx2+fma", "aarch64+neon"))]
fn sum_exp(logits: &[f32], max: f32, scale: f32) -> f32 {
    let mut lanes = [0f32; 32];
    let (blocks, rest) = logits.as_chunks::<32>();
    for block in blocks {
        for (lane, &x) in lanes.iter_mut().zip(block) {
            *lane += exp((x - max) * scale);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| exp((x - max) * scale)).sum::<f32>()
}

/// e^x for x <= 0, to a relative error of 2e-6: 2^n times a polynomial on [-0.5, 0.5], which the compiler can
/// vectorise as it cannot the library's `exp`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    let y = (x * std::f32::consts::LOG2_E).max(-126.0);
    let n = (y + 12_582_912.0) - 12_582_912.0; // rounds to nearest: 1.5 * 2^23
    let f = (y - n) * std::f32::consts::LN_2;
    let p = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0)))));
    let power = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x < -87.0 { 0.0 } else { p * power }
}

/// A small random generator (SplitMix64), so that sampling is the same for the same audio.
pub struct Random(u64);

impl Random {
    /// A generator that yields the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits() -> Vec<f32> {
        let mut random = Random::new(1);
        (0..1000).map(|_| random.uniform() * 20.0 - 10.0).collect()
    }

    #[test]
    fn best_is_the_first_of_top_and_its_probability_is_a_softmax() {
        let x = logits();
        let sum: f64 = x.iter().map(|&v| f64::from(v).exp()).sum();
        let (one, three) = (best(&x), top(&x, 3));
        assert_eq!(one.token, three[0].token);
        assert!(three[0].log_prob >= three[1].log_prob && three[1].log_prob >= three[2].log_prob);
        let expected = f64::from(x[one.token as usize]) - sum.ln();
        assert!((f64::from(one.log_prob) - expected).abs() < 1e-4);
    }

    #[test]
    fn the_top_are_those_of_a_sort() {
        let x = logits();
        let mut order: Vec<u32> = (0..x.len() as u32).collect();
        order.sort_by(|&a, &b| x[b as usize].total_cmp(&x[a as usize]));
        for count in [0, 1, 10, 999, 1000] {
            let tokens: Vec<u32> = top(&x, count).iter().map(|c| c.token).collect();
            assert_eq!(tokens, order[..count]);
        }
        assert_eq!(
            top(&[1.0; 600], 3)
                .iter()
                .map(|c| c.token)
                .collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }

    #[test]
    fn suppressed_tokens_are_never_chosen() {
        let mut x = logits();
        let token = best(&x).token;
        suppress(&mut x, &[token, 5000]);
        assert_ne!(best(&x).token, token);
        let mut random = Random::new(2);
        assert!((0..200).all(|_| sample(&x, 1.0, &mut random).token != token));
    }

    #[test]
    fn samples_follow_the_probabilities() {
        let x = [0.0, 1.0f32.exp2().ln(), f32::NEG_INFINITY, 5f32.ln()];
        let mut random = Random::new(3);
        let mut counts = [0; 4];
        (0..8000).for_each(|_| counts[sample(&x, 1.0, &mut random).token as usize] += 1);
        assert!(
            counts[2] == 0 && (900..1100).contains(&counts[0]) && (4800..5200).contains(&counts[3]),
            "{counts:?}"
        );
    }

    #[test]
    fn no_allowed_token_is_no_crash() {
        assert_eq!(best(&[]).token, 0);
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 3]), f32::NEG_INFINITY);
        assert!(top(&[], 3).is_empty());
    }
}
