//! What to group by.

use crate::Error;

/// The default of [`Options::threshold`]. It splits long and short clips alike; see docs/cluster.md for its curve.
pub const DEFAULT_THRESHOLD: f32 = 0.4;

/// What to group by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Groups merge while the mean similarity of their members is at least this, in [-1, 1].
    pub threshold: f32,
    /// Groups of fewer rows are noise; at least 1.
    pub min_size: usize,
    /// The number of groups (of at least `min_size` rows), if it is known. Then `threshold` does not matter, and there
    /// are fewer only where the rows do not have so many.
    pub clusters: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            threshold: DEFAULT_THRESHOLD,
            min_size: 1,
            clusters: None,
        }
    }
}

impl Options {
    pub(super) fn check(&self) -> Result<(), Error> {
        if !(-1.0..=1.0).contains(&self.threshold) {
            return Err(Error::Invalid(format!(
                "threshold must be a similarity from -1 to 1, not {}",
                self.threshold
            )));
        }
        if self.min_size == 0 {
            return Err(Error::Invalid("min_size must be at least 1".into()));
        }
        if self.clusters == Some(0) {
            return Err(Error::Invalid("clusters must be at least 1".into()));
        }
        Ok(())
    }
}
