//! G.722 (ITU-T, 1988) at 64 kbit/s: two bands of ADPCM, which a filter joins to 16 kHz. Names in comments are those of the recommendation's blocks.

/// Quantized differences: 2 bits (upper band), 4 and 6 bits (lower band). Tables 8, 10 and 13 of the recommendation.
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
const QM4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
/// Changes of the logarithmic scale factors (WL by RL42, WH by RH2), and its antilogarithm (ILB).
const WL: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];
const WH: [i32; 4] = [798, -214, 798, -214];
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
/// Half of the filter that joins the bands.
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// One band's adaptive predictor and scale factor.
struct Band {
    /// Prediction, its part by zeros, logarithmic and linear scale factor.
    s: i32,
    sz: i32,
    nb: i32,
    det: i32,
    /// Coefficients and what they weigh: of poles and zeros.
    a: [i32; 2],
    b: [i32; 6],
    r: [i32; 2],
    d: [i32; 6],
    /// Partial reconstructions before.
    p: [i32; 2],
}

impl Band {
    fn new(det: i32) -> Self {
        Band {
            s: 0,
            sz: 0,
            nb: 0,
            det,
            a: [0; 2],
            b: [0; 6],
            r: [0; 2],
            d: [0; 6],
            p: [0; 2],
        }
    }

    /// LOGSCL and SCALEL, or LOGSCH and SCALEH.
    fn scale(&mut self, change: i32, most: i32, shift: i32) {
        self.nb = (((self.nb * 127) >> 7) + change).clamp(0, most);
        let mantissa = ILB[(self.nb >> 6 & 31) as usize];
        let shift = shift - (self.nb >> 11);
        self.det = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        } << 2;
    }

    /// Block 4: reconstruction and adaptation of the predictor by a quantized difference.
    fn adapt(&mut self, d: i32) {
        let (r, p) = (saturate(self.s + d), saturate(self.sz + d));
        let same = |other: i32| (p < 0) == (other < 0);
        // UPPOL2, UPPOL1.
        let four = saturate(self.a[0] << 2);
        let turned = if same(self.p[0]) { -four } else { four }.min(32_767);
        let step = if same(self.p[1]) { 128 } else { -128 };
        let a2 = ((turned >> 7) + step + ((self.a[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        let step = if same(self.p[0]) { 192 } else { -192 };
        let most = saturate(15_360 - a2);
        let a1 = saturate(step + ((self.a[0] * 32_640) >> 15)).clamp(-most, most);
        // UPZERO.
        let step = if d == 0 { 0 } else { 128 };
        for (b, past) in self.b.iter_mut().zip(self.d) {
            let step = if (past < 0) == (d < 0) { step } else { -step };
            *b = saturate(step + ((*b * 32_640) >> 15));
        }
        self.a = [a1, a2];
        self.p = [p, self.p[0]];
        self.r = [r, self.r[0]];
        self.d.rotate_right(1);
        self.d[0] = d;
        // FILTEP, FILTEZ.
        let weigh = |(weight, past): (&i32, &i32)| (weight * saturate(past + past)) >> 15;
        let sp = saturate(self.a.iter().zip(&self.r).map(weigh).sum());
        self.sz = saturate(self.b.iter().zip(&self.d).map(weigh).sum());
        self.s = saturate(sp + self.sz);
    }
}

/// A decoder of one channel.
pub(super) struct Decoder {
    lower: Band,
    upper: Band,
    history: [i32; 24],
}

impl Decoder {
    pub(super) fn new() -> Self {
        Decoder {
            lower: Band::new(32),
            upper: Band::new(8),
            history: [0; 24],
        }
    }

    /// The two samples of a byte.
    pub(super) fn decode(&mut self, code: u8) -> [i16; 2] {
        let (low, high) = (usize::from(code & 63), usize::from(code >> 6));
        let fourteen = |value: i32| value.clamp(-16_384, 16_383);
        let band = &mut self.lower;
        let below = fourteen(band.s + ((band.det * QM6[low]) >> 15));
        let d = (band.det * QM4[low >> 2]) >> 15;
        band.scale(WL[low >> 2], 18_432, 8);
        band.adapt(d);
        let band = &mut self.upper;
        let d = (band.det * QM2[high]) >> 15;
        let above = fourteen(band.s + d);
        band.scale(WH[high], 22_528, 10);
        band.adapt(d);
        // The bands' sum and difference are every other sample of the filter's input.
        self.history.copy_within(2.., 0);
        self.history[22] = below + above;
        self.history[23] = below - above;
        let pairs = self.history.as_chunks::<2>().0;
        let first: i32 = (pairs.iter().zip(QMF.iter().rev()))
            .map(|(pair, weight)| pair[1] * weight)
            .sum();
        let second: i32 = pairs
            .iter()
            .zip(QMF)
            .map(|(pair, weight)| pair[0] * weight)
            .sum();
        [first, second].map(|sum| saturate(sum >> 11) as i16)
    }
}
