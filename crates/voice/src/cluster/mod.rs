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
//!
//! Stages: `rows.rs` (rows in, equal ones as one), `neighbours.rs` (who is near whom), `linkage.rs` (rounds of merging) on
//! the groups of `forest.rs`, `dendrogram.rs` (merges to numbered groups).

mod dendrogram;
mod forest;
mod linkage;
mod neighbours;
mod options;
mod rows;

use onnx::Cancel;

use crate::Error;

pub use neighbours::Told;
pub use options::{DEFAULT_THRESHOLD, Options};
pub use rows::Rows;

/// Distinct rows up to which neighbours are searched exactly: every pair is looked at.
pub const EXACT_ROWS: usize = 65_536;

/// The group of each row, in the order of the rows: 1, 2, .. by first appearance; `None` for rows that were NULL or
/// zero, and for noise.
///
/// The grouping depends on the set of rows only, not on their order, and not on the number of threads.
///
/// # Errors
/// [`Error::Invalid`] for options out of range; [`Error::Onnx`] when cancelled.
pub fn cluster(
    rows: Rows,
    options: &Options,
    threads: usize,
    cancel: &Cancel,
) -> Result<Vec<Option<u32>>, Error> {
    cluster_telling(rows, options, threads, cancel, &|_, _| {})
}

/// The same, telling how far it is.
///
/// # Errors
/// As [`cluster`].
pub fn cluster_telling(
    rows: Rows,
    options: &Options,
    threads: usize,
    cancel: &Cancel,
    told: Told,
) -> Result<Vec<Option<u32>>, Error> {
    options.check()?;
    let distinct = rows.distinct();
    let floor = if options.clusters.is_some() {
        f32::NEG_INFINITY
    } else {
        options.threshold
    };
    let mut forest = forest::Forest::new(distinct.unit, distinct.dimensions, &distinct.counts);
    let search = neighbours::Search {
        threads: threads.max(1),
        cancel,
        told,
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
