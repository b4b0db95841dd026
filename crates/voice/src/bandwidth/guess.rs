//! What 11 kHz recordings lack, guessed.
//!
//! The missing bins of each frame are drawn from what they are in wide-band speech with the same lower bins around: a linear
//! prediction from five frames, plus noise with the covariance of its error. Noise because bins that hardly move are as
//! strange to the model as empty ones; the same numbers every time, so that a recording has one voiceprint.
//!
//! What is left of the difference lies mostly in three directions among voiceprints. What one has along them tells what
//! to add to it. More directions would bring a voiceprint still nearer to that of the same speech in full band, but also
//! to those of others. Fitted by `models/training/fit_bandwidth.py`.

use audio::fbank::{self, BINS};

/// Frames that a frame is predicted from, itself in the middle.
const CONTEXT: usize = 5;
/// Directions in which voiceprints are corrected.
const DIRECTIONS: usize = 3;
/// Length of the voiceprints that all this was fitted to.
pub(crate) const DIMENSIONS: usize = 192;
/// Bins that are whole.
pub(super) const WHOLE: usize = 68;
/// How many whole bins five frames have.
const KNOWN: usize = CONTEXT * WHOLE;
/// Of each missing bin: their weights, the first frame first; then, up to its own, those of as many random numbers. Then directions
/// among voiceprints, and what to add for each. Little-endian `f32`.
static WEIGHTS: &[u8] = include_bytes!("guess_11k.f32");

/// Fills the missing bins, in mean-normalised features `[frames, 80]`.
pub(super) fn fill(features: &mut [f32]) {
    let rows = rows();
    let frames = features.len() / BINS;
    let mut known = [0f32; KNOWN];
    for frame in 0..frames {
        for (offset, part) in known.chunks_exact_mut(WHOLE).enumerate() {
            let from = (frame + offset).saturating_sub(CONTEXT / 2).min(frames - 1) * BINS;
            part.copy_from_slice(&features[from..from + WHOLE]);
        }
        let noise: [f32; BINS] = std::array::from_fn(|n| normal((frame * BINS + n) as u64));
        for (bin, weights) in rows.iter().enumerate() {
            let (of_known, of_noise) = weights.split_at(KNOWN);
            features[frame * BINS + WHOLE + bin] = dot(of_known, &known) + dot(of_noise, &noise);
        }
    }
    fbank::subtract_mean(features);
}

/// Brings a voiceprint of filled features nearer to that of the same speech in full band.
pub(super) fn correct(voiceprint: &mut [f32]) {
    let values: Vec<f32> = values().skip(bins().sum()).collect();
    let (directions, changes) = values.split_at(DIRECTIONS * DIMENSIONS);
    let given = voiceprint.to_vec();
    let rows = directions.chunks_exact(DIMENSIONS);
    for (direction, change) in rows.zip(changes.chunks_exact(DIMENSIONS)) {
        let along = dot(direction, &given);
        let add = |(x, change): (&mut f32, &f32)| *x += along * change;
        voiceprint.iter_mut().zip(change).for_each(add);
    }
}

/// The weights of each missing bin.
fn rows() -> Vec<Vec<f32>> {
    let mut values = values();
    bins()
        .map(|length| values.by_ref().take(length).collect())
        .collect()
}

/// How many weights each missing bin has.
fn bins() -> impl Iterator<Item = usize> {
    (1..=BINS - WHOLE).map(|bin| KNOWN + bin)
}

fn values() -> impl Iterator<Item = f32> {
    let (bytes, _) = WEIGHTS.as_chunks::<4>();
    bytes.iter().map(|b| f32::from_le_bytes(*b))
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// A nearly normal number of mean 0 and variance 1 that depends on `counter` only: the sum of the four quarters of
/// SplitMix64's output (Steele, Lea and Flood 2014), the same on every machine.
fn normal(counter: u64) -> f32 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let sum: u64 = (0..4).map(|quarter| (z >> (16 * quarter)) & 0xffff).sum();
    (sum as f32 - 131_070.0) * (3f32.sqrt() / 65_536.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_has_its_place() {
        let rows = rows();
        let used: usize = rows.iter().map(Vec::len).sum();
        let correction = 2 * DIRECTIONS * DIMENSIONS;
        assert_eq!(used + correction, values().count());
        assert!(values().all(|w| w.is_finite() && w.abs() < 4.0));
    }

    #[test]
    fn what_was_heard_stays_and_the_rest_is_like_speech() {
        for frames in [0, 1, 2, 300] {
            let heard: Vec<f32> = (0..frames * BINS)
                .map(|n| 3.0 * normal(n as u64 + 9999))
                .collect();
            let mut features = heard.clone();
            fbank::subtract_mean(&mut features);
            let before = features.clone();
            fill(&mut features);
            for (was, is) in before.chunks(BINS).zip(features.chunks(BINS)) {
                let same = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
                assert!(was.iter().zip(is).take(WHOLE).all(same));
                assert!(is.iter().all(|x| x.abs() < 30.0));
            }
        }
    }

    #[test]
    fn a_corrected_voiceprint_stays_near() {
        let mut voiceprint: Vec<f32> = (0..DIMENSIONS).map(|n| normal(n as u64)).collect();
        let before = voiceprint.clone();
        correct(&mut voiceprint);
        let cosine = crate::similarity::cosine(&before, &voiceprint).expect("not zero");
        assert!((0.5..0.999).contains(&cosine), "{cosine}");
        let mut twice: Vec<f32> = before.iter().map(|x| 2.0 * x).collect();
        correct(&mut twice);
        let same = |(a, b): (&f32, &f32)| (2.0 * a - b).abs() < 1e-4;
        assert!(voiceprint.iter().zip(&twice).all(same), "whatever the norm");
    }

    #[test]
    fn drawn_numbers_are_normal() {
        let numbers: Vec<f64> = (0..100_000).map(|i| f64::from(normal(i))).collect();
        let moment = |n: i32| numbers.iter().map(|x| x.powi(n)).sum::<f64>() / 1e5;
        assert!(moment(1).abs() < 0.02);
        assert!((moment(2) - 1.0).abs() < 0.02);
        assert!((moment(4) - 2.7).abs() < 0.1, "four uniform numbers");
    }
}
