//! G.726 (ITU-T, 1990): ADPCM of telephone speech at 16, 24, 32 and 40 kbit/s. 32 is what was G.721, 24 and 40 what was G.723.
//!
//! Names in comments are those of the recommendation's blocks. Quantities are integers with the recommendation's widths.

/// What the recommendation's tables say of each magnitude of a code word.
struct Tables {
    /// Logarithm of the quantized difference, by magnitude of the code word (DQLN); -2048 is zero.
    level: &'static [i32],
    /// Scale factor multipliers (W).
    scale: &'static [i32],
    /// Rates of change (F).
    change: &'static [i32],
}

const TABLES: [Tables; 4] = [
    Tables {
        level: &[116, 365],
        scale: &[-22, 439],
        change: &[0, 7],
    },
    Tables {
        level: &[-2048, 135, 273, 373],
        scale: &[-4, 30, 137, 582],
        change: &[0, 1, 2, 7],
    },
    Tables {
        level: &[-2048, 4, 135, 213, 273, 323, 373, 425],
        scale: &[-12, 18, 41, 64, 112, 198, 355, 1122],
        change: &[0, 0, 0, 1, 1, 1, 3, 7],
    },
    Tables {
        level: &[
            -2048, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566,
        ],
        scale: &[
            14, 14, 24, 39, 40, 41, 58, 100, 141, 179, 219, 280, 358, 440, 529, 696,
        ],
        change: &[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6],
    },
];

/// A number as the recommendation's floating point: sign, 4 bits of exponent, 6 of mantissa.
#[derive(Clone, Copy)]
struct Float {
    negative: bool,
    exponent: i32,
    mantissa: i32,
}

const ZERO: Float = Float {
    negative: false,
    exponent: 0,
    mantissa: 32,
};

impl Float {
    fn new(value: i32) -> Self {
        let magnitude = value.abs();
        let exponent = 32 - magnitude.leading_zeros() as i32;
        Float {
            negative: value < 0,
            exponent,
            mantissa: if magnitude == 0 {
                32
            } else {
                (magnitude << 6) >> exponent
            },
        }
    }

    /// FMULT: the product with a predictor's coefficient, shortened as the recommendation does.
    fn times(self, coefficient: i32) -> i32 {
        let other = Float::new(coefficient);
        let exponent = self.exponent + other.exponent;
        let mantissa = (self.mantissa * other.mantissa + 48) >> 4;
        let product = if exponent >= 19 {
            mantissa << (exponent - 19)
        } else {
            mantissa >> (19 - exponent).min(31)
        };
        if self.negative ^ other.negative {
            -product
        } else {
            product
        }
    }
}

/// A decoder of one channel.
pub(super) struct Decoder {
    bits: u32,
    leak: u32,
    /// Coefficients of the two predictors (A, B), reconstructed signals and quantized differences before.
    a: [i32; 2],
    b: [i32; 6],
    sr: [Float; 2],
    dq: [Float; 6],
    /// Signs of the last two partially reconstructed signals (PK).
    pk: [bool; 2],
    /// Short and long averages of the rate of change (DMS, DML), speed (AP), fast and slow scale factors (YU, YL), tone (TD).
    dms: i32,
    dml: i32,
    ap: i32,
    yu: i32,
    yl: i32,
    tone: bool,
}

impl Decoder {
    /// Of code words of 2 to 5 bits. `leak`: the zeros' coefficients lose their 2^-leak, which is 2^-8, by the recommendation 2^-9
    /// at 40 kbit/s; ffmpeg writes 2^-8 there, too.
    pub(super) fn new(bits: u32, leak: u32) -> Self {
        Decoder {
            bits: bits.clamp(2, 5),
            leak: leak.min(31),
            a: [0; 2],
            b: [0; 6],
            sr: [ZERO; 2],
            dq: [ZERO; 6],
            pk: [false; 2],
            dms: 0,
            dml: 0,
            ap: 0,
            yu: 544,
            yl: 34_816,
            tone: false,
        }
    }

    /// The sample of a code word.
    pub(super) fn decode(&mut self, code: u32) -> i16 {
        let tables = &TABLES[self.bits as usize - 2];
        let count = 1u32 << self.bits;
        let negative = code & (count >> 1) != 0;
        let word = if negative {
            !code & (count - 1)
        } else {
            code & (count - 1)
        };
        // At 16 kbit/s a code word of magnitude 0 is a level of its own.
        let magnitude = word as usize & (count as usize / 2 - 1);

        // Adaptation of the scale factor's speed (MIX), then the inverse quantizer.
        let al = self.ap.min(256) >> 2;
        let slow = self.yl >> 6;
        let apart = self.yu - slow;
        let y = slow + apart.signum() * ((apart.abs() * al) >> 6);
        let dql = tables.level[magnitude] + (y >> 2);
        let size = if dql < 0 {
            0
        } else {
            ((128 + (dql & 127)) << (dql >> 7 & 15)) >> 7
        };
        let dq = if negative { -size } else { size };

        // The prediction by zeros and by poles.
        let zeros: i32 = (self.b.iter().zip(self.dq))
            .map(|(b, dq)| dq.times(b >> 2))
            .sum();
        let poles: i32 = (self.a.iter().zip(self.sr))
            .map(|(a, sr)| sr.times(a >> 2))
            .sum();
        let (sez, se) = (zeros >> 1, (zeros + poles) >> 1);

        // TRANS: a tone that ends at once resets the predictors.
        let (exponent, mantissa) = (self.yl >> 15, self.yl >> 10 & 31);
        let threshold = if exponent > 9 {
            31 << 10
        } else {
            (32 + mantissa) << exponent
        };
        let transition = self.tone && size > (threshold + (threshold >> 1)) >> 1;

        let (pk0, sr) = (sez + dq, i32::from((se + dq) as i16));
        if transition {
            (self.a, self.b) = ([0; 2], [0; 6]);
        } else {
            let (now, last, before) = (pk0 < 0, self.pk[0], self.pk[1]);
            let same = |other: bool| if now == other { 1 } else { -1 };
            let (p1, p2) = if pk0 == 0 {
                (0, 0)
            } else {
                (same(last), same(before))
            };
            let f = if self.a[0].abs() > 8191 {
                p1 * if self.a[0] < 0 { -8191 } else { 8191 }
            } else {
                p1 * self.a[0]
            };
            self.a[1] += p2 * 128 + (-f >> 5) - (self.a[1] >> 7);
            self.a[1] = self.a[1].clamp(-12_288, 12_288);
            self.a[0] += p1 * 192 - (self.a[0] >> 8);
            let most = 15_360 - self.a[1];
            self.a[0] = self.a[0].clamp(-most, most);
            for (b, past) in self.b.iter_mut().zip(self.dq) {
                let step = if dq == 0 {
                    0
                } else if past.negative == (dq < 0) {
                    128
                } else {
                    -128
                };
                *b += step - (*b >> self.leak);
            }
        }
        self.dq.rotate_right(1);
        self.dq[0] = Float {
            negative,
            ..Float::new(dq)
        };
        self.sr = [Float::new(sr), self.sr[0]];
        self.pk = [pk0 < 0, self.pk[0]];

        // Tone, speed of adaptation, scale factors.
        self.tone = !transition && self.a[1] < -11_776;
        let change = tables.change[magnitude];
        self.dms += ((change << 9) - self.dms) >> 5;
        self.dml += ((change << 11) - self.dml) >> 7;
        if transition {
            self.ap = 256;
        } else {
            let fast =
                y <= 1535 || self.tone || ((self.dms << 2) - self.dml).abs() >= self.dml >> 3;
            self.ap += (-self.ap >> 4) + if fast { 32 } else { 0 };
        }
        self.yu = (y + tables.scale[magnitude] + (-y >> 5)).clamp(544, 5120);
        self.yl += self.yu + (-self.yl >> 6);
        (sr.clamp(-8192, 8191) * 4) as i16
    }
}
