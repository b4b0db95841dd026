//! How much labelled pairs can show.

/// The log-likelihood ratios beyond which a model says more than the pairs it was tried on support: empirical lower and
/// upper bounds (ELUB; Vergeer, van Es, de Jongh, Alberink and Stoel, "Numerical likelihood ratios outputted by LR systems
/// are often based on extrapolation", Science and Justice 56, 2016). To each kind one pair is added for which the model is
/// as wrong as can be; where decisions by the model would then be no better than decisions without it, it is extrapolating.
/// `ratios` are natural logarithms and whether the pair is of one speaker. Without errors among n pairs of different
/// speakers the upper bound is below ln(n + 1). The result holds 0.
pub fn bounds(ratios: Vec<(f64, bool)>) -> (f64, f64) {
    let mirrored = ratios.iter().map(|(llr, same)| (-llr, !same)).collect();
    (-upper(mirrored), upper(ratios))
}

/// Deciding for one speaker above a ratio t is better than never doing so while t x (share of others above) is below the
/// share of same speakers above.
fn upper(mut ratios: Vec<(f64, bool)>) -> f64 {
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    let same = ratios.iter().filter(|r| r.1).count();
    let kinds = [ratios.len() - same, same].map(|n| n as f64 + 1.0);
    let positive = ratios.partition_point(|r| r.0 <= 0.0);
    let above = &ratios[positive..];
    let mut over = [1.0, 0.0]; // the misleading pair of different speakers is above everything
    for (_, same) in above {
        over[usize::from(*same)] += 1.0;
    }
    let mut from = 0.0;
    for (llr, same) in above {
        // Up to this ratio the shares are those of the pairs from here on.
        let limit = (over[1] / kinds[1] / (over[0] / kinds[0])).ln();
        if limit < *llr {
            return limit.max(from);
        }
        over[usize::from(*same)] -= 1.0;
        from = *llr;
    }
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lir.algorithms.bayeserror.elub` of lir 1.8.0 with `step_size=1e-5`, times ln 10.
    #[test]
    fn as_the_reference_has_it() {
        let close = |found: (f64, f64), reference: (f64, f64)| {
            let error = (found.0 - reference.0)
                .abs()
                .max((found.1 - reference.1).abs());
            assert!(error < 1e-4, "{found:?} instead of {reference:?}");
        };
        let separable = [(20.0, true); 100].into_iter();
        let separable = separable.chain([(-20.0, false); 300]).collect();
        close(bounds(separable), (-4.611778605204984, 5.69714814048959));
        let same = (0..100).map(|i| (-2.0 + 0.1 * f64::from(i), true));
        let different = (0..120).map(|i| (-9.0 + 0.1 * f64::from(i), false));
        close(
            bounds(same.chain(different).collect()),
            (-3.7896175719005303, 1.6847324349909545),
        );
    }

    #[test]
    fn a_model_that_is_wrong_may_say_nothing() {
        let swapped = [(-1.0, true), (1.0, false)].repeat(20);
        assert_eq!(bounds(swapped), (0.0, 0.0));
        assert_eq!(bounds(Vec::new()), (0.0, 0.0));
    }

    #[test]
    fn more_pairs_may_say_more() {
        let pairs = |n| [(30.0, true), (-30.0, false)].repeat(n);
        let (few, many) = (bounds(pairs(10)), bounds(pairs(1000)));
        assert!(few.1 < 11f64.ln() && many.1 < 1001f64.ln() && few.1 < many.1);
        assert_eq!((few.0, many.0), (-few.1, -many.1));
    }
}
