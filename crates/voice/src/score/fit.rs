//! Fitting a calibration to labelled pairs.

use onnx::Cancel;

use super::bounds::bounds;
use super::calibration::{Calibration, Side, shortness};
use crate::Error;

/// Pairs of each kind (same, different) that a fit needs at least.
pub const MIN_PAIRS: usize = 10;
/// Parameters that are fitted: score, score x shortness, intercept, shortness.
const N: usize = 4;

/// Two recordings of which is known whether they are of one speaker.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// Their similarity.
    pub score: f64,
    /// What is known of the two.
    pub sides: [Side; 2],
    /// Whether they are of one speaker.
    pub same: bool,
}

/// A calibration and what it was worth on the pairs it was fitted to.
#[derive(Debug, Clone, Copy)]
pub struct Fitted {
    /// The model.
    pub calibration: Calibration,
    /// Cllr of the model that the fit started from.
    pub cllr_before: f64,
    /// Cllr of the fitted model.
    pub cllr_after: f64,
    /// Equal error rate of the bare scores.
    pub eer: f64,
}

/// Fits a logistic model to pairs, both kinds weighing equally whatever their number (so that it speaks at equal
/// priors), and drawn towards `base` with the weight of a few pairs: few pairs, or pairs without durations, change
/// only what they speak of. Bandwidth terms become 0: the pairs are expected to be like the recordings that will be
/// compared. However well the model separates them, it says no more than so many pairs can show ([`bounds`]).
///
/// # Errors
/// [`Error::Invalid`] for fewer than [`MIN_PAIRS`] pairs of a kind, a score that is not finite, and scores that do not
/// rise from different to same speakers (swapped labels); [`Error::Onnx`] when cancelled.
pub fn fit(pairs: &[Pair], base: &Calibration, cancel: &Cancel) -> Result<Fitted, Error> {
    let same = pairs.iter().filter(|p| p.same).count();
    let different = pairs.len() - same;
    if same.min(different) < MIN_PAIRS {
        let need = format!("a calibration needs at least {MIN_PAIRS} pairs of each kind");
        return Err(Error::Invalid(format!(
            "{need}, found {same} of the same speaker and {different} of different ones"
        )));
    }
    if pairs.iter().any(|p| !p.score.is_finite()) {
        return Err(Error::Invalid(
            "a similarity of a pair is not finite".into(),
        ));
    }
    let start = [
        base.score,
        base.score_shortness,
        base.intercept,
        base.shortness,
    ];
    let [score, score_shortness, intercept, shortness] =
        newton(pairs, [same, different], start, cancel)?;
    let unbounded = Calibration {
        score,
        score_shortness,
        intercept,
        shortness,
        both_narrow: 0.0,
        one_narrow: 0.0,
        lowest: f64::NEG_INFINITY,
        highest: f64::INFINITY,
    };
    if mean(pairs, true) <= mean(pairs, false) {
        let message =
            "pairs of the same speaker are no more similar than others: are the labels swapped?";
        return Err(Error::Invalid(message.into()));
    }
    cancel.check()?;
    let scores: Vec<(f64, bool)> = pairs.iter().map(|p| (p.score, p.same)).collect();
    let ratios = |model: &Calibration| -> Vec<(f64, bool)> {
        let ratio = |p: &Pair| (model.log_likelihood_ratio(p.score, p.sides), p.same);
        pairs.iter().map(ratio).collect()
    };
    let (lowest, highest) = bounds(ratios(&unbounded));
    cancel.check()?;
    let calibration = Calibration {
        lowest,
        highest,
        ..unbounded
    };
    let cllr_of = |model: &Calibration| cllr(ratios(model).into_iter());
    let cllr_before = cllr_of(base);
    cancel.check()?;
    let cllr_after = cllr_of(&calibration);
    cancel.check()?;
    Ok(Fitted {
        calibration,
        cllr_before,
        cllr_after,
        eer: equal_error(scores),
    })
}

fn mean(pairs: &[Pair], same: bool) -> f64 {
    let (sum, n) = pairs
        .iter()
        .filter(|p| p.same == same)
        .fold((0.0, 0.0), |(sum, n), p| (sum + p.score, n + 1.0));
    sum / n
}

fn features(pair: &Pair) -> [f64; N] {
    let u = shortness(pair.sides);
    [pair.score, pair.score * u, 1.0, u]
}

/// Newton's method on the weighted likelihood with a normal prior around `start`; the problem is convex. A step that
/// makes things worse is halved.
fn newton(
    pairs: &[Pair],
    counts: [usize; 2],
    start: [f64; N],
    cancel: &Cancel,
) -> Result<[f64; N], Error> {
    let weight = |p: &Pair| pairs.len() as f64 / 2.0 / counts[usize::from(!p.same)] as f64;
    let precision = start.map(|b| (0.5 * b.abs() + 0.5).powi(-2));
    let cost = |model: &[f64; N]| {
        let prior: f64 = (0..N)
            .map(|k| precision[k] * (model[k] - start[k]).powi(2) / 2.0)
            .sum();
        let surprise = |p: &Pair| {
            softplus(if p.same {
                -dot(model, &features(p))
            } else {
                dot(model, &features(p))
            })
        };
        prior + pairs.iter().map(|p| weight(p) * surprise(p)).sum::<f64>()
    };
    let mut model = start;
    for _ in 0..100 {
        cancel.check()?;
        let mut gradient: [f64; N] = std::array::from_fn(|k| precision[k] * (model[k] - start[k]));
        let mut hessian: [[f64; N]; N] = std::array::from_fn(|k| {
            std::array::from_fn(|l| if k == l { precision[k] } else { 0.0 })
        });
        for pair in pairs {
            let (x, w) = (features(pair), weight(pair));
            let p = 1.0 / (1.0 + (-dot(&model, &x)).exp());
            for k in 0..N {
                gradient[k] += w * (p - f64::from(u8::from(pair.same))) * x[k];
                (0..N).for_each(|l| hessian[k][l] += w * p * (1.0 - p) * x[k] * x[l]);
            }
        }
        let step = solve(hessian, gradient);
        let at = |scale: f64| std::array::from_fn(|k| model[k] - scale * step[k]);
        let now = cost(&model);
        // Each cost is a walk over all pairs, and near the end none of thirty may be lower.
        let lower = |m: &[f64; N]| cancel.is_cancelled() || cost(m) < now;
        let better = (0..30).map(|i| at(0.5f64.powi(i))).find(lower);
        cancel.check()?;
        let Some(better) = better else { break };
        model = better;
        if step.iter().all(|s| s.abs() < 1e-10) {
            break;
        }
    }
    Ok(model)
}

fn dot(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// ln(1 + exp(x)), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Solves a positive definite system by Gauss-Jordan elimination; the prior keeps it away from singular.
fn solve(mut a: [[f64; N]; N], mut b: [f64; N]) -> [f64; N] {
    for k in 0..N {
        let pivot = a[k][k];
        for row in (0..N).filter(|&row| row != k) {
            let factor = a[row][k] / pivot;
            (0..N).for_each(|l| a[row][l] -= factor * a[k][l]);
            b[row] -= factor * b[k];
        }
    }
    std::array::from_fn(|k| b[k] / a[k][k])
}

/// Cllr, the cost of log-likelihood ratios in bits (Bruemmer and du Preez, 2006): 0 is perfect, 1 says nothing.
pub fn cllr(scores: impl Iterator<Item = (f64, bool)>) -> f64 {
    let mut sums = [(0.0, 0.0); 2];
    for (llr, same) in scores {
        let (cost, n) = &mut sums[usize::from(same)];
        *cost += softplus(if same { -llr } else { llr }) / std::f64::consts::LN_2;
        *n += 1.0;
    }
    sums.iter().map(|(cost, n)| cost / n).sum::<f64>() / 2.0
}

/// The equal error rate of scores with labels (same speaker or not).
pub fn equal_error(mut scores: Vec<(f64, bool)>) -> f64 {
    scores.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = scores.iter().filter(|s| s.1).count() as f64;
    let different = scores.len() as f64 - same;
    let (mut missed, mut passed) = (0.0, different);
    let mut best = (f64::INFINITY, 0.5);
    for &(_, is_same) in &scores {
        if is_same {
            missed += 1.0
        } else {
            passed -= 1.0
        }
        let (rejects, accepts) = (missed / same, passed / different);
        if (rejects - accepts).abs() < best.0 {
            best = ((rejects - accepts).abs(), (rejects + accepts) / 2.0);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::super::standard;
    use super::*;

    fn base() -> Calibration {
        standard("campplus_zh_en").unwrap().similarity
    }

    /// Pairs whose labels a model gives exactly: at score s there are P(s) of the same speaker.
    fn pairs_of(model: &Calibration, sides: [Side; 2]) -> Vec<Pair> {
        let scores = (0..200).map(|i| f64::from(i) / 200.0);
        scores
            .flat_map(|score| {
                let same = (model.probability(score, sides, 0.5) * 1000.0).round() as usize;
                (0..1000).map(move |i| Pair {
                    score,
                    sides,
                    same: i < same,
                })
            })
            .collect()
    }

    #[test]
    fn recovers_the_model_that_made_the_labels() {
        let truth = Calibration {
            score: 12.0,
            intercept: -6.0,
            score_shortness: 0.0,
            shortness: 0.0,
            ..base()
        };
        let fitted = fit(
            &pairs_of(&truth, [Side::default(); 2]),
            &base(),
            &Cancel::new(),
        )
        .unwrap();
        let sides = [Side::default(); 2];
        // Balancing both kinds moves the intercept by the ratio of their numbers, which is even here.
        assert!(
            (fitted.calibration.threshold(0.5, sides, 0.5) - 0.5).abs() < 0.01,
            "{fitted:?}"
        );
        assert!(
            (fitted.calibration.log_likelihood_ratio(0.6, sides) - 1.2).abs() < 0.15,
            "{fitted:?}"
        );
        assert!(fitted.cllr_after < fitted.cllr_before);
    }

    /// Pairs with one similarity for each kind, in turn.
    fn two_kinds(count: usize, of_same: f64, of_different: f64) -> Vec<Pair> {
        let pair = |same| Pair {
            score: if same { of_same } else { of_different },
            sides: Default::default(),
            same,
        };
        (0..count).map(|i| pair(i.is_multiple_of(2))).collect()
    }

    #[test]
    fn separable_pairs_keep_a_finite_slope() {
        let fitted = fit(&two_kinds(20, 0.8, 0.1), &base(), &Cancel::new()).unwrap();
        assert!(fitted.calibration.score.is_finite() && fitted.calibration.score < 100.0);
        assert_eq!(fitted.eer, 0.0);
    }

    #[test]
    fn refuses_few_pairs_and_swapped_labels() {
        let swapped = fit(&two_kinds(40, 0.1, 0.8), &base(), &Cancel::new()).unwrap_err();
        assert!(swapped.to_string().contains("swapped"));
        let few = fit(&two_kinds(19, 0.8, 0.1), &base(), &Cancel::new()).unwrap_err();
        assert!(
            few.to_string()
                .contains("found 10 of the same speaker and 9"),
            "{few}"
        );
    }

    #[test]
    fn costs_of_known_scores() {
        assert_eq!(cllr([(0.0, true), (0.0, false)].into_iter()), 1.0);
        assert!(cllr([(20.0, true), (-20.0, false)].into_iter()) < 1e-6);
        assert_eq!(equal_error(vec![(0.1, false), (0.9, true)]), 0.0);
        assert_eq!(
            equal_error(vec![(0.1, false), (0.4, true), (0.5, false), (0.9, true)]),
            0.5
        );
    }
}
