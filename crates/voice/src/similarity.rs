//! Cosine similarity of vectors, with the widest SIMD the processor has, chosen at run time.

use half::f16;
use half::slice::HalfFloatSliceExt;
use multiversion::multiversion;

/// The cosine of the angle between two vectors of equal length, in [-1, 1]; `None` if either has norm 0 or is not
/// finite, for which an angle does not exist.
///
/// Sums run in `f32` lanes and are combined in `f64`; vectors whose squares overflow `f32` are summed in `f64`.
pub fn cosine(a: &[f32], b: &[f32]) -> Option<f64> {
    debug_assert_eq!(a.len(), b.len());
    let [dot, aa, bb] = sums(a, b);
    let tame = |x: f64| x.is_finite() && x > f64::from(f32::MIN_POSITIVE);
    let [dot, aa, bb] = if tame(aa) && tame(bb) && dot.is_finite() {
        [dot, aa, bb]
    } else {
        exact_sums(a, b)
    };
    let norm = (aa * bb).sqrt(); // squares of f32 multiply far from the ends of f64, and sqrt(x * x) is exact
    let cosine = dot / norm;
    (norm > 0.0 && cosine.is_finite()).then(|| cosine.clamp(-1.0, 1.0))
}

/// [`cosine`] of half-precision vectors.
pub fn cosine_f16(a: &[f16], b: &[f16]) -> Option<f64> {
    cosine(&a.to_f32_vec(), &b.to_f32_vec())
}

/// Scales a vector to norm 1; leaves a zero vector as it is.
pub fn normalize(v: &mut [f32]) {
    let norm = v
        .iter()
        .map(|x| f64::from(*x) * f64::from(*x))
        .sum::<f64>()
        .sqrt();
    if norm > 0.0 {
        v.iter_mut()
            .for_each(|x| *x = (f64::from(*x) / norm) as f32);
    }
}

const LANES: usize = 32;

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
fn sums(a: &[f32], b: &[f32]) -> [f64; 3] {
    let (mut dot, mut aa, mut bb) = ([0f32; LANES], [0f32; LANES], [0f32; LANES]);
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for i in 0..LANES {
            dot[i] += x[i] * y[i];
            aa[i] += x[i] * x[i];
            bb[i] += y[i] * y[i];
        }
    }
    let tail = exact_sums(rest_a, rest_b);
    let total =
        |lanes: [f32; LANES], rest: f64| lanes.iter().map(|x| f64::from(*x)).sum::<f64>() + rest;
    [total(dot, tail[0]), total(aa, tail[1]), total(bb, tail[2])]
}

/// Products and sums in `f64`, which no `f32` values overflow or underflow.
fn exact_sums(a: &[f32], b: &[f32]) -> [f64; 3] {
    a.iter().zip(b).fold([0.0; 3], |[dot, aa, bb], (x, y)| {
        let (x, y) = (f64::from(*x), f64::from(*y));
        [dot + x * y, aa + x * x, bb + y * y]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_angles() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), Some(0.0));
        assert_eq!(cosine(&[1.0, 2.0], &[-2.0, -4.0]), Some(-1.0));
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), None);
        assert_eq!(cosine(&[], &[]), None);
        assert_eq!(cosine(&[f32::NAN, 1.0], &[1.0, 1.0]), None);
        assert_eq!(cosine(&[f32::INFINITY, 1.0], &[1.0, 1.0]), None);
    }

    #[test]
    fn extreme_magnitudes_keep_their_angle() {
        for scale in [1e-30f32, 1e-20, 1e20, 1e30] {
            let a: Vec<f32> = (0..192).map(|i| scale * (i as f32 - 90.0)).collect();
            let b: Vec<f32> = (0..192).map(|i| (i as f32 - 90.0) * 3.0).collect();
            assert!(
                (cosine(&a, &b).unwrap() - 1.0).abs() < 1e-6,
                "scale {scale}"
            );
        }
    }

    proptest! {
        #[test]
        fn agrees_with_f64(pairs in prop::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 1..600)) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let [dot, aa, bb] = exact_sums(&a, &b);
            prop_assume!(aa > 0.0 && bb > 0.0);
            prop_assert!((cosine(&a, &b).unwrap() - dot / (aa * bb).sqrt()).abs() < 1e-5);
        }

        #[test]
        fn half_precision_agrees(values in prop::collection::vec(-4f32..4.0, 8..300)) {
            let a: Vec<f16> = values.iter().map(|x| f16::from_f32(*x)).collect();
            let back = a.to_f32_vec();
            prop_assert_eq!(cosine_f16(&a, &a), cosine(&back, &back));
        }
    }
}
