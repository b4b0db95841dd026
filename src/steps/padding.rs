//! Voiceprints as wide as a table wants them: zeros at their end change neither cosine nor Euclidean distance.

use crate::errors::Error;
use crate::settings;
use crate::vector::{MAX_DIMENSIONS, Vector};

/// The length that voiceprints of `own` dimensions are brought to, as the setting says.
///
/// # Errors
/// As [`wide`].
pub fn usual(own: usize) -> Result<usize, Error> {
    let wanted = settings::dimensions();
    wanted.map_or(Ok(own), |d| wide("ai_audio.dimensions", d, own))
}

/// The same for a length from `place`.
///
/// # Errors
/// [`Error::Options`] for one that padding cannot bring about.
pub fn wide(place: &str, wanted: u32, own: usize) -> Result<usize, Error> {
    let wanted = wanted as usize;
    if (own..=MAX_DIMENSIONS).contains(&wanted) {
        return Ok(wanted);
    }
    Err(Error::Options(format!(
        "{place}: the model makes {own} dimensions, which can be padded to at most {MAX_DIMENSIONS}, not brought to {wanted}"
    )))
}

/// A voiceprint at the usual length.
///
/// # Errors
/// As [`wide`].
pub fn padded(mut voiceprint: Vector) -> Result<Vector, Error> {
    let length = usual(voiceprint.0.len())?;
    voiceprint.0.resize(length, 0.0);
    Ok(voiceprint)
}
