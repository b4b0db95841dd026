//! What a similarity is worth: probabilities, thresholds, score normalisation, and the quality of a recording.

mod bounds;
mod calibration;
mod fit;
mod normalise;
mod quality;

pub use bounds::bounds;
pub use calibration::{Calibration, Measured, Side, Standard, standard};
pub use fit::{Fitted, MIN_PAIRS, Pair, cllr, equal_error, fit};
pub use normalise::{MIN_COHORT, as_norm};
pub use quality::{Assessor, Quality, SHORT_MS, assess, speech_ms};
