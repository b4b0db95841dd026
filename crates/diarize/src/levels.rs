//! How loud a recording is at each time.

use std::ops::Range;

use crate::windows::GRID;

/// Steps of [`GRID`] samples in which a pause must last to be one (0.1 s).
const PAUSE: usize = 10;

/// The power of each 10 ms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    power: Vec<f32>,
    /// Samples after the last whole step, and the sum of their squares.
    rest: (usize, f32),
}

impl Levels {
    /// Takes the samples that follow.
    pub fn push(&mut self, samples: &[f32]) {
        for sample in samples {
            self.rest.0 += 1;
            self.rest.1 += sample * sample;
            if self.rest.0 == GRID {
                self.power.push(self.rest.1 / GRID as f32);
                self.rest = (0, 0.0);
            }
        }
    }

    /// Mean power of a range of samples, to the 10 ms.
    pub fn of(&self, samples: &Range<usize>) -> f32 {
        let end = samples.end.div_ceil(GRID).min(self.power.len());
        let part = &self.power[(samples.start / GRID).min(end)..end];
        part.iter().sum::<f32>() / part.len().max(1) as f32
    }

    /// Power of the quietest tenth of the recording: what is left in pauses.
    pub fn of_pauses(&self) -> f32 {
        let means = self.power.chunks_exact(PAUSE);
        quantile(means.map(|p| p.iter().sum::<f32>() / PAUSE as f32), 0.1)
    }
}

/// The value below which this part of the values lies, 0 if there are none.
pub fn quantile(values: impl Iterator<Item = f32>, part: f32) -> f32 {
    let mut values: Vec<f32> = values.collect();
    let at = ((values.len() as f32 * part) as usize).min(values.len().saturating_sub(1));
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(at, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_do_not_depend_on_how_samples_come() {
        let samples: Vec<f32> = (0..16_000)
            .map(|i| if i < 3_200 { 0.01 } else { 0.5 })
            .collect();
        let mut whole = Levels::default();
        whole.push(&samples);
        let mut parts = Levels::default();
        samples.chunks(77).for_each(|part| parts.push(part));
        assert_eq!(whole, parts);
        assert!((whole.of(&(4_000..8_000)) - 0.25).abs() < 1e-6);
        assert!((whole.of_pauses() - 1e-4).abs() < 1e-8);
        assert_eq!(whole.of(&(16_000..17_000)), 0.0, "beyond the end");
    }

    #[test]
    fn nothing_has_no_level() {
        assert_eq!(Levels::default().of_pauses(), 0.0);
        assert_eq!(Levels::default().of(&(0..160)), 0.0);
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile([3.0, 1.0, 2.0].into_iter(), 0.5), 2.0);
        assert_eq!(quantile([3.0, 1.0].into_iter(), 1.0), 3.0);
    }
}
