//! Grouping voiceprints by speaker: average-linkage agglomerative clustering on cosine similarity.
//!
//! For vectors of norm 1 the mean of all similarities between two groups is the dot product of the groups' mean
//! vectors, so average linkage needs one mean per group and no matrix of pairs. Groups that are each other's nearest
//! are merged, all such pairs in one round: exact for this linkage (reciprocal agglomerative clustering, Sumengen et
//! al., "Scaling Hierarchical Agglomerative Clustering to Billion-sized Datasets", 2021).
//!
//! Up to [`EXACT_ROWS`] distinct rows, nearest neighbours are exact. Above, rows are compared within overlapping cells
//! around random pivots, in repeated rounds on the means found so far, until few enough are left for the exact method
//! or a round finds next to nothing.

mod dendrogram;
mod linkage;
mod neighbours;
mod rows;

use crate::{Cancel, Error};
pub use rows::Rows;

/// Distinct rows up to which neighbours are searched exactly: every pair is looked at.
pub const EXACT_ROWS: usize = 65_536;

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
    fn check(&self) -> Result<(), Error> {
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

/// The group of each row, in the order of the rows: 1, 2, .. by first appearance; `None` for rows that were NULL or
/// zero, and for noise.
///
/// The grouping depends on the set of rows only, not on their order, and not on the number of threads.
///
/// # Errors
/// [`Error::Invalid`] for options out of range; [`Error::Cancelled`].
pub fn cluster(
    rows: Rows,
    options: &Options,
    threads: usize,
    cancel: &Cancel,
) -> Result<Vec<Option<u32>>, Error> {
    options.check()?;
    let distinct = rows.distinct();
    let floor = if options.clusters.is_some() {
        f32::NEG_INFINITY
    } else {
        options.threshold
    };
    let mut forest = linkage::Forest::new(distinct.unit, distinct.dimensions, &distinct.counts);
    let search = neighbours::Search {
        threads: threads.max(1),
        cancel,
    };
    for level in [floor.max(DEFAULT_THRESHOLD), floor.max(0.0)] {
        while forest.len() > EXACT_ROWS {
            let before = forest.len();
            let lists = search.within_cells(&forest, level)?;
            linkage::agglomerate(&mut forest, lists, level, false, &search)?;
            if (before - forest.len()) * 100 < before {
                break;
            }
        }
    }
    if forest.len() <= EXACT_ROWS {
        let lists = search.all_pairs(&forest, floor)?;
        linkage::agglomerate(&mut forest, lists, floor, true, &search)?;
    } else if options.clusters.is_some() {
        let message = format!(
            "more than {EXACT_ROWS} groups are left that have nothing in common: give a threshold instead of clusters"
        );
        return Err(Error::Invalid(message));
    }
    let groups = dendrogram::cut(&forest.merges, &distinct.counts, options);
    Ok(dendrogram::number(&distinct.of_row, &groups))
}
