//! What the caller knows of the speakers, and how turns are cut.

use crate::Error;
use crate::clustering::Bounds;

/// Most speakers that can be asked for.
pub const MAX_SPEAKERS: usize = 100;

/// What is known of the speakers, and how turns are cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Exactly so many speakers, as far as that many can be told apart; overrides the bounds.
    pub speaker_count: Option<usize>,
    /// At least so many.
    pub min_speakers: usize,
    /// At most so many.
    pub max_speakers: usize,
    /// Silence shorter than this between two turns of a speaker is part of one turn.
    pub merge_gap_ms: u64,
    /// Shorter turns are dropped.
    pub min_turn_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            speaker_count: None,
            min_speakers: 1,
            max_speakers: 20,
            merge_gap_ms: 1000,
            min_turn_ms: 100,
        }
    }
}

impl Options {
    /// # Errors
    /// [`Error::Invalid`] for counts outside 1 to [`MAX_SPEAKERS`] or crossed bounds.
    pub(crate) fn bounds(&self) -> Result<Bounds, Error> {
        let (min, max) = self
            .speaker_count
            .map_or((self.min_speakers, self.max_speakers), |n| (n, n));
        if min < 1 || max > MAX_SPEAKERS || min > max {
            let message = format!(
                "there can be 1 to {MAX_SPEAKERS} speakers, at least min and at most max, not {min} to {max}"
            );
            return Err(Error::Invalid(message));
        }
        Ok(Bounds { min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_counts_are_errors() {
        for (count, min, max) in [
            (Some(0), 1, 20),
            (None, 5, 4),
            (None, 1, 101),
            (Some(101), 1, 20),
            (None, 0, 3),
        ] {
            let options = Options {
                speaker_count: count,
                min_speakers: min,
                max_speakers: max,
                ..Options::default()
            };
            assert!(options.bounds().is_err(), "{options:?}");
        }
    }
}
