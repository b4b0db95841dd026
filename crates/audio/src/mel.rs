//! Mel filter banks as sparse rows: each filter touches a short run of FFT bins.

/// Triangular filters over FFT bins.
pub(crate) struct Filters {
    /// Per filter: first bin and range in `weights`.
    rows: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<f32>,
}

impl Filters {
    /// Builds from dense weights: `weight(filter, bin)`, where anything not positive is outside the triangle.
    pub(crate) fn new(filters: usize, bins: usize, weight: impl Fn(usize, usize) -> f64) -> Self {
        let (mut rows, mut weights) = (Vec::with_capacity(filters), Vec::new());
        for filter in 0..filters {
            let begin = weights.len();
            let first = (0..bins)
                .find(|&bin| weight(filter, bin) > 0.0)
                .unwrap_or(0);
            weights.extend(
                (first..bins)
                    .map(|bin| weight(filter, bin))
                    .take_while(|&w| w > 0.0)
                    .map(|w| w as f32),
            );
            rows.push((first, begin..weights.len()));
        }
        Filters { rows, weights }
    }

    /// Energies of one frame: `out[filter] = sum of weight * power`. `power` must cover every bin the filters were made for.
    pub(crate) fn apply(&self, power: &[f32], out: &mut [f32]) {
        for ((first, range), out) in self.rows.iter().zip(out) {
            let weights = &self.weights[range.clone()];
            *out = dot(weights, &power[*first..*first + weights.len()]);
        }
    }
}

/// Dot product in eight lanes, which the compiler turns into SIMD.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Natural logarithm of a positive normal number to within 1e-6 of its magnitude, in a form that the compiler turns into SIMD.
///
/// `x = m * 2^e` with `m` in [sqrt(1/2), sqrt(2)); `ln m = 2 artanh((m - 1) / (m + 1))`, whose series is done after five terms.
pub(crate) fn ln(x: f32) -> f32 {
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let exponent = (x.to_bits().wrapping_sub(SQRT_HALF_BITS) as i32) >> 23;
    let mantissa = f32::from_bits(x.to_bits().wrapping_sub((exponent as u32) << 23));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let z = s * s;
    let series = 1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z / 9.0)));
    exponent as f32 * std::f32::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::ln;

    #[test]
    fn ln_is_the_logarithm() {
        let mut x = f32::MIN_POSITIVE;
        while x < 1e37 {
            let wanted = f64::from(x).ln();
            let error = (f64::from(ln(x)) - wanted).abs();
            assert!(
                error <= 1e-6 * wanted.abs().max(1.0),
                "ln {x}: off by {error}"
            );
            x *= 1.000_37;
        }
    }
}
