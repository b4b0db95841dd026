//! From a score to the probability that two recordings are of one speaker.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

/// Seconds of speech assumed of a recording about which nothing is said.
pub const USUAL_SECONDS: f64 = 5.0;
/// Seconds of speech between which durations matter; the model was not fitted beyond.
const SECONDS: (f64, f64) = (0.5, 20.0);
/// The least slope of log-odds on the score: a higher score must never mean a lower probability.
const LEAST_SLOPE: f64 = 1e-3;

/// What is known of one of the two recordings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Side {
    /// Seconds of speech in it, all recordings of a profile together.
    pub seconds: f64,
    /// Whether it is telephone-like: nothing above 4 kHz.
    pub narrow: bool,
}

impl Default for Side {
    fn default() -> Self {
        Side {
            seconds: USUAL_SECONDS,
            narrow: false,
        }
    }
}

impl Side {
    /// 0 for long recordings, growing like -ln(seconds) for short ones.
    fn shortness(&self) -> f64 {
        let seconds = if self.seconds.is_finite() {
            self.seconds
        } else {
            SECONDS.1
        };
        (1.0 / seconds.clamp(SECONDS.0, SECONDS.1)).ln_1p()
    }
}

/// The shortness of two recordings together.
pub(super) fn shortness(sides: [Side; 2]) -> f64 {
    sides[0].shortness() + sides[1].shortness()
}

/// A logistic model: ln(P / (1 - P)) = (score + score_shortness u) s + intercept + shortness u + bandwidth terms, at
/// equal priors, for the score s and the shortness u = ln(1 + 1/t1) + ln(1 + 1/t2) of t1 and t2 seconds of speech.
///
/// After WeSpeaker's `score_calibration.py` (score and durations as quality measures); with 1 + 1/t, neither very long
/// nor very short recordings run away.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Log-odds per unit of score, for long recordings.
    pub score: f64,
    /// What shortness adds to that.
    pub score_shortness: f64,
    /// Log-odds at score 0, for long recordings.
    pub intercept: f64,
    /// What shortness adds to that.
    pub shortness: f64,
    /// What two telephone-like recordings add.
    #[serde(default)]
    pub both_narrow: f64,
    /// What one telephone-like recording adds.
    #[serde(default)]
    pub one_narrow: f64,
    /// The log-likelihood ratios between which the fitted pairs speak for it ([`bounds`](fn@super::bounds)).
    pub lowest: f64,
    /// See `lowest`.
    pub highest: f64,
}

impl Calibration {
    /// ln of the ratio of the likelihoods of this score: same speaker to different speakers, as far as the fitted pairs
    /// tell.
    pub fn log_likelihood_ratio(&self, score: f64, sides: [Side; 2]) -> f64 {
        self.extrapolated(score, sides)
            .max(self.lowest)
            .min(self.highest)
    }

    /// The same beyond what the fitted pairs tell: good for comparing candidates, not for telling how sure one is.
    pub fn extrapolated(&self, score: f64, sides: [Side; 2]) -> f64 {
        self.slope(sides) * score + self.offset(sides)
    }

    /// The probability of one speaker, if `prior` was that before hearing the two (0.5: even).
    pub fn probability(&self, score: f64, sides: [Side; 2], prior: f64) -> f64 {
        1.0 / (1.0 + (-self.log_likelihood_ratio(score, sides) - log_odds(prior)).exp())
    }

    /// The score from which on the probability of one speaker is at least `probability`; infinite if no score says so
    /// much against the prior, minus infinity if every score does.
    pub fn threshold(&self, probability: f64, sides: [Side; 2], prior: f64) -> f64 {
        let needed = log_odds(probability) - log_odds(prior);
        if needed > self.highest {
            f64::INFINITY
        } else if needed <= self.lowest {
            f64::NEG_INFINITY
        } else {
            (needed - self.offset(sides)) / self.slope(sides)
        }
    }

    fn slope(&self, sides: [Side; 2]) -> f64 {
        (self.score + self.score_shortness * shortness(sides)).max(LEAST_SLOPE)
    }

    fn offset(&self, sides: [Side; 2]) -> f64 {
        let band = match sides.map(|s| s.narrow) {
            [true, true] => self.both_narrow,
            [false, false] => 0.0,
            _ => self.one_narrow,
        };
        self.intercept + self.shortness * shortness(sides) + band
    }
}

fn log_odds(p: f64) -> f64 {
    (p / (1.0 - p)).ln()
}

/// What comes with a model: fitted by models/training/calibrate.py.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standard {
    /// The model's name in the manifest.
    pub model: String,
    /// The speech that it was fitted on.
    pub fitted_on: String,
    /// For the cosine similarity.
    pub similarity: Calibration,
    /// For the AS-norm of it against a cohort like the recordings compared; bandwidth shows in the cohort already.
    pub normalised: Calibration,
}

/// Which of a [`Standard`]'s two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Cosine similarity.
    Similarity,
    /// AS-norm.
    Normalised,
}

impl Standard {
    /// The model for a kind of score.
    pub fn of(&self, measured: Measured) -> &Calibration {
        match measured {
            Measured::Similarity => &self.similarity,
            Measured::Normalised => &self.normalised,
        }
    }
}

#[derive(Deserialize)]
struct File {
    calibration: Vec<Standard>,
}

static FILE: LazyLock<File> = LazyLock::new(|| {
    let text = include_str!("../../../../models/calibration.toml");
    toml::from_str(text).unwrap_or_else(|e| panic!("models/calibration.toml: {e}"))
});

/// The calibration that comes with a model, if there is one.
pub fn standard(model: &str) -> Option<&'static Standard> {
    FILE.calibration.iter().find(|c| c.model == model)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours() -> &'static Calibration {
        &standard("campplus_zh_en").expect("committed").similarity
    }

    fn seconds(a: f64, b: f64) -> [Side; 2] {
        [a, b].map(|seconds| Side {
            seconds,
            narrow: false,
        })
    }

    #[test]
    fn thresholds_fall_with_duration_as_measured() {
        // Equal-error thresholds of this model on clean speech, measured apart from the fit: 0.45 to 0.39 at 8 s,
        // 0.36 at 3 s, 0.22 to 0.24 at 1 s.
        let at = |s| ours().threshold(0.5, seconds(s, s), 0.5);
        assert!((0.37..0.46).contains(&at(8.0)), "{}", at(8.0));
        assert!((0.32..0.40).contains(&at(3.0)), "{}", at(3.0));
        assert!((0.20..0.29).contains(&at(1.0)), "{}", at(1.0));
    }

    #[test]
    fn half_is_the_threshold_and_a_low_prior_raises_it() {
        let sides = seconds(2.0, 7.0);
        let threshold = ours().threshold(0.5, sides, 0.5);
        assert!((ours().probability(threshold, sides, 0.5) - 0.5).abs() < 1e-12);
        assert!(ours().threshold(0.5, sides, 0.05) > threshold);
    }

    #[test]
    fn nothing_is_surer_than_the_fitted_pairs() {
        let sides = seconds(20.0, 20.0);
        let most = ours().probability(1.0, sides, 0.5);
        assert!((0.99..0.9999).contains(&most), "{most}");
        let least = ours().probability(-1.0, sides, 0.5);
        assert!((0.0001..0.01).contains(&least), "{least}");
        // One case in a million is more than the pairs can outweigh, whatever the recordings sound like.
        assert_eq!(ours().threshold(0.5, sides, 1e-6), f64::INFINITY);
        assert_eq!(ours().threshold(0.5, sides, 1.0 - 1e-6), f64::NEG_INFINITY);
        assert!(ours().probability(1.0, sides, 1e-6) < 0.5);
        assert!(ours().extrapolated(1.0, sides) > ours().highest);
    }

    proptest! {
        #[test]
        fn probability_rises_with_similarity_whatever_the_durations(
            low in -1.0f64..1.0, step in 0.0f64..1.0, a in prop::num::f64::POSITIVE, b in 0.0f64..1e5, narrow: bool,
        ) {
            let sides = [Side { seconds: a, narrow }, Side { seconds: b, narrow: false }];
            for measured in [Measured::Similarity, Measured::Normalised] {
                let model = standard("campplus_zh_en").unwrap().of(measured);
                let p = [low, low + step].map(|s| model.probability(s, sides, 0.5));
                prop_assert!((0.0..=1.0).contains(&p[0]) && p[0] <= p[1], "{p:?}");
            }
        }

        #[test]
        fn the_two_sides_count_alike(s in -1.0f64..1.0, a in 0.0f64..60.0, b in 0.0f64..60.0, narrow: bool) {
            let (x, y) = (Side { seconds: a, narrow }, Side { seconds: b, narrow: false });
            let llr = |sides| ours().log_likelihood_ratio(s, sides);
            prop_assert!((llr([x, y]) - llr([y, x])).abs() < 1e-9);
        }
    }
}
