//! Score normalisation against a cohort.

/// Scores of cohort members that either side needs.
pub const MIN_COHORT: usize = 20;
/// The part of the cohort that counts: the members nearest to each side.
const NEAREST: usize = 4;

/// The adaptive symmetric norm (AS-norm) of a score: how many standard deviations it lies above what the nearest
/// quarter of a cohort of other speakers scores, averaged over both sides. After WeSpeaker's `score_norm.py`.
///
/// `a` and `b` are the scores of the two recordings against the cohort. `None` if there are fewer than [`MIN_COHORT`]
/// of either, or if they do not differ.
pub fn as_norm(score: f64, a: &[f64], b: &[f64]) -> Option<f64> {
    Some((one_side(score, a)? + one_side(score, b)?) / 2.0)
}

fn one_side(score: f64, cohort: &[f64]) -> Option<f64> {
    if cohort.len() < MIN_COHORT {
        return None;
    }
    let mut nearest = cohort.to_vec();
    nearest.sort_by(|x, y| y.total_cmp(x));
    nearest.truncate(cohort.len() / NEAREST);
    let n = nearest.len() as f64;
    let mean = nearest.iter().sum::<f64>() / n;
    let spread = (nearest.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    let norm = (score - mean) / spread;
    (spread > 1e-6 && norm.is_finite()).then_some(norm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_deviations_above_the_nearest_quarter() {
        let cohort: Vec<f64> = (0..40)
            .map(|i| if i < 10 { [0.1, 0.3][i % 2] } else { -0.5 })
            .collect();
        assert!((as_norm(0.7, &cohort, &cohort).unwrap() - 5.0).abs() < 1e-9); // mean 0.2, deviation 0.1
        let shifted: Vec<f64> = cohort.iter().map(|s| s + 0.25).collect();
        assert!((as_norm(0.95, &shifted, &shifted).unwrap() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn needs_a_cohort_that_differs() {
        assert_eq!(as_norm(0.5, &[0.1; 19], &[0.1; 40]), None);
        assert_eq!(as_norm(0.5, &[0.1; 40], &[0.1; 40]), None);
    }
}
