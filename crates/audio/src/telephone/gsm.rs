//! GSM 06.10 full rate (ETSI EN 300 961, 3GPP TS 46.010): RPE-LTP, 13 kbit/s. Names in comments are those of the standard, section 5.3.
//! Two frames at a time, as WAV packs them: 65 bytes, lowest bits first.

/// Bytes of two frames, and their samples.
pub(super) const BLOCK: usize = 65;
pub(super) const SAMPLES: usize = 320;

/// Table 4.1 and 4.2: bits, offsets and inverse steps of the log area ratios.
const LAR_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];
const LAR_B: [i32; 8] = [0, 0, 2048, -2560, 94, -1792, -341, -1144];
const LAR_MIC: [i32; 8] = [-32, -32, -16, -16, -8, -8, -4, -4];
const LAR_INVA: [i32; 8] = [13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708];
/// Table 4.3b: gains of the long-term predictor. Table 4.6: mantissas of the block amplitude.
const QLB: [i32; 4] = [3277, 11469, 21299, 32767];
const FAC: [i32; 8] = [18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767];

fn add(a: i32, b: i32) -> i32 {
    (a + b).clamp(-32_768, 32_767)
}

/// The rounded product of two fractions.
fn times(a: i32, b: i32) -> i32 {
    ((a * b + 16_384) >> 15).min(32_767)
}

/// Bits of a block, from the lowest of its first byte on. Beyond its end they are 0.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> i32 {
        let mut value = 0;
        for bit in 0..count {
            let byte = self.bytes.get(self.at >> 3).copied().unwrap_or(0);
            value |= i32::from(byte >> (self.at & 7) & 1) << bit;
            self.at += 1;
        }
        value
    }
}

/// A decoder of one channel.
pub(super) struct Decoder {
    /// Reconstructed short-term residual: 120 samples before the present 40 (drp).
    residual: [i32; 160],
    /// Last valid lag (nrp), log area ratios of the last frame (LARpp).
    lag: usize,
    ratios: [i32; 8],
    /// The lattice's memory (v), and the de-emphasis filter's (msr).
    lattice: [i32; 9],
    emphasis: i32,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Decoder {
            residual: [0; 160],
            lag: 40,
            ratios: [0; 8],
            lattice: [0; 9],
            emphasis: 0,
        }
    }

    /// Appends the samples of a block.
    pub(super) fn decode(&mut self, block: &[u8], out: &mut Vec<i16>) {
        let mut bits = Bits {
            bytes: block,
            at: 0,
        };
        for _ in 0..2 {
            self.frame(&mut bits, out);
        }
    }

    fn frame(&mut self, bits: &mut Bits, out: &mut Vec<i16>) {
        let mut ratios = [0; 8];
        for (i, ratio) in ratios.iter_mut().enumerate() {
            let code = bits.take(LAR_BITS[i]);
            let whole = (code + LAR_MIC[i]) << 10;
            let scaled = times(LAR_INVA[i], add(whole, -(LAR_B[i] << 1)));
            *ratio = add(scaled, scaled);
        }
        let mut residual = [0; 160];
        for part in residual.as_chunks_mut::<40>().0 {
            *part = self.subframe(bits);
        }
        let last = std::mem::replace(&mut self.ratios, ratios);
        // The ratios glide from the last frame's: tables 3.2.
        for (n, sample) in residual.iter().enumerate() {
            let glide = |(old, new): (i32, i32)| match n {
                0..13 => add(add(old >> 2, new >> 2), old >> 1),
                13..27 => add(old >> 1, new >> 1),
                27..40 => add(add(old >> 2, new >> 2), new >> 1),
                _ => new,
            };
            let mut value = *sample;
            for i in (0..8).rev() {
                let reflection = reflection(glide((last[i], ratios[i])));
                value = add(value, -times(reflection, self.lattice[i]));
                self.lattice[i + 1] = add(self.lattice[i], times(reflection, value));
            }
            self.lattice[0] = value;
            self.emphasis = add(value, times(self.emphasis, 28_180));
            out.push((add(self.emphasis, self.emphasis) & !7) as i16);
        }
    }

    /// The residual of 40 samples: regular pulses on a grid, and what the long-term predictor adds.
    fn subframe(&mut self, bits: &mut Bits) -> [i32; 40] {
        let lag = bits.take(7) as usize;
        let gain = QLB[bits.take(2) as usize];
        let grid = bits.take(2) as usize;
        let (shift, factor) = amplitude(bits.take(6));
        let mut pulses = [0; 40];
        for i in 0..13 {
            let pulse = times(factor, ((bits.take(3) << 1) - 7) << 12);
            pulses[grid + 3 * i] = add(pulse, 1 << shift >> 1) >> shift;
        }
        if (40..=120).contains(&lag) {
            self.lag = lag;
        }
        for (n, pulse) in pulses.iter_mut().enumerate() {
            *pulse = add(*pulse, times(gain, self.residual[120 + n - self.lag]));
            self.residual[120 + n] = *pulse;
        }
        self.residual.copy_within(40.., 0);
        pulses
    }
}

/// Shift and factor of a coded block amplitude (xmaxc).
fn amplitude(code: i32) -> (i32, i32) {
    let mut exponent = if code > 15 { (code >> 3) - 1 } else { 0 };
    let mut mantissa = code - (exponent << 3);
    if mantissa == 0 {
        (exponent, mantissa) = (-4, 7);
    } else {
        while mantissa <= 7 {
            mantissa = mantissa << 1 | 1;
            exponent -= 1;
        }
        mantissa -= 8;
    }
    (6 - exponent, FAC[mantissa as usize])
}

/// The reflection coefficient of a log area ratio.
fn reflection(ratio: i32) -> i32 {
    let size = ratio.abs().min(32_767);
    let value = match size {
        ..11_059 => size << 1,
        11_059..20_070 => size + 11_059,
        _ => add(size >> 2, 26_112),
    };
    value * ratio.signum()
}
