//! The front end of FunASR's models: filter-bank features of samples in 16 bits, at a low frame rate, normalised by the mean and
//! deviation of what the model was trained on. Source: FunASR's `WavFrontend`.

use audio::fbank::{BINS, Fbank, Window};

/// What a sample of 1.0 is in 16 bits.
const SIXTEEN_BITS: f32 = 32_768.0;
/// Seconds between two frames of the filter bank.
const FRAME_S: f32 = 0.01;

/// Mean and deviation of training: `(x + shift) * scale`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cmvn {
    pub shift: Vec<f32>,
    pub scale: Vec<f32>,
}

impl Cmvn {
    /// Reads Kaldi's text of a network (`am.mvn`): numbers in brackets behind `<AddShift>` and `<Rescale>`.
    pub fn read(text: &str) -> Option<Self> {
        let numbers = |mark: &str| {
            let (_, rest) = text.split_once(mark)?;
            let (list, _) = rest.split_once('[')?.1.split_once(']')?;
            list.split_whitespace()
                .map(|n| n.parse().ok())
                .collect::<Option<Vec<f32>>>()
        };
        Some(Cmvn {
            shift: numbers("<AddShift>")?,
            scale: numbers("<Rescale>")?,
        })
    }

    /// Reads lists with commas, as sherpa-onnx writes them into a model's metadata.
    pub fn lists(shift: &str, scale: &str) -> Option<Self> {
        let numbers = |list: &str| {
            list.split(',')
                .map(|n| n.trim().parse().ok())
                .collect::<Option<Vec<f32>>>()
        };
        Some(Cmvn {
            shift: numbers(shift)?,
            scale: numbers(scale)?,
        })
    }

    /// Whether it has that many finite numbers.
    pub fn is_of(&self, width: usize) -> bool {
        [&self.shift, &self.scale]
            .iter()
            .all(|list| list.len() == width && list.iter().all(|x| x.is_finite()))
    }
}

/// Samples to features.
pub struct FrontEnd {
    fbank: Fbank,
    window: usize,
    shift: usize,
    cmvn: Cmvn,
}

impl FrontEnd {
    /// `window` frames of the filter bank side by side, every `shift`; `cmvn` fits [`FrontEnd::width_of`] them.
    pub fn new(window: usize, shift: usize, cmvn: Cmvn) -> Self {
        FrontEnd {
            fbank: Fbank::with(Window::Hamming, SIXTEEN_BITS),
            window,
            shift,
            cmvn,
        }
    }

    /// Numbers in a row of features.
    pub fn width_of(window: usize) -> usize {
        window * BINS
    }

    /// Numbers in a row of features.
    pub fn width(&self) -> usize {
        Self::width_of(self.window)
    }

    /// Seconds between two rows.
    pub fn step(&self) -> f32 {
        self.shift as f32 * FRAME_S
    }

    /// Features of 16 kHz mono samples in [-1, 1], `[rows, width]`, row-major. The first and the last frame stand for those
    /// before and after them. Fewer than 25 ms give no row.
    pub fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        let bank = self.fbank.compute_log(samples);
        let frames = bank.len() / BINS;
        let before = (self.window - 1) / 2;
        let mut rows = Vec::with_capacity(frames.div_ceil(self.shift) * self.width());
        for first in (0..frames).step_by(self.shift) {
            for place in first..first + self.window {
                let frame = place.saturating_sub(before).min(frames - 1);
                rows.extend_from_slice(&bank[frame * BINS..(frame + 1) * BINS]);
            }
        }
        for row in rows.chunks_exact_mut(self.width()) {
            let normal = self.cmvn.shift.iter().zip(&self.cmvn.scale);
            for (x, (shift, scale)) in row.iter_mut().zip(normal) {
                *x = (*x + shift) * scale;
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const FOLDER: &str = "tests/fixtures/funasr";

    fn numbers(value: &Value) -> Vec<f32> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// The features of funasr-onnx's own front end.
    #[test]
    fn features_are_funasrs() {
        let text = std::fs::read_to_string(format!("{FOLDER}/frontend.json")).unwrap();
        let golden: Value = serde_json::from_str(&text).unwrap();
        let cmvn = std::fs::read_to_string(format!("{FOLDER}/sensevoice-funasr/am.mvn")).unwrap();
        let cmvn = Cmvn::read(&cmvn).unwrap();
        assert!(cmvn.is_of(560) && !cmvn.is_of(80));
        let samples: Vec<f32> = numbers(&golden["samples"])
            .iter()
            .map(|x| x / 32_768.0)
            .collect();
        let mut front = FrontEnd::new(7, 6, cmvn);
        for case in golden["cases"].as_array().unwrap() {
            let length = case["samples"].as_u64().unwrap() as usize;
            let got = front.compute(&samples[..length]);
            let rows: Vec<Vec<f32>> = serde_json::from_value(case["rows"].clone()).unwrap();
            assert_eq!(got.len(), rows.len() * front.width(), "{length} samples");
            let off = got.iter().zip(rows.iter().flatten());
            let off = off.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-4, "{length} samples: furthest value off by {off}");
        }
    }

    #[test]
    fn short_input_gives_few_rows_or_none() {
        let mut front = FrontEnd::new(7, 6, Cmvn::default());
        for (samples, rows) in [(0, 0), (399, 0), (400, 1), (1_200, 1), (1_360, 2)] {
            assert_eq!(front.compute(&vec![0.1; samples]).len(), rows * 560);
        }
    }

    #[test]
    fn a_damaged_normalisation_is_none() {
        for text in [
            "",
            "<AddShift> 1 1 [ 1 2",
            "<AddShift> [ 1 ] <Rescale> [ x ]",
        ] {
            assert_eq!(Cmvn::read(text), None, "{text}");
        }
        assert!(Cmvn::lists("1,2", "3, 4").unwrap().is_of(2));
        assert_eq!(Cmvn::lists("1,", "3"), None);
        assert!(!Cmvn::lists("1,NaN", "3,4").unwrap().is_of(2));
    }
}
