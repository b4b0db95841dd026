//! Nearest neighbours of groups: exact over all pairs, or within cells around pivots.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use onnx::Cancel;

use super::forest::{Forest, KEEP, List, Near};
use crate::{Error, similarity};

/// Queries and columns of one matrix product: its result stays in the processor's cache.
const QUERIES: usize = 256;
const COLUMNS: usize = 1024;
/// Groups per cell, on average and at most.
const CELL: usize = 1024;
const LARGEST_CELL: usize = 2 * CELL;
/// Cells that a group belongs to.
const CELLS_PER_GROUP: usize = 4;
/// Matrix products and [`dot`](super::forest::dot) round differently; a scan keeps what is this much below the floor.
const ROUNDING: f32 = 1e-5;

/// How to search: on how many threads, until when, and who is told how far it is.
pub(super) struct Search<'a> {
    pub threads: usize,
    pub cancel: &'a Cancel,
    pub told: Told<'a>,
}

/// Is told how many voiceprints of how many were compared with the others, in the present pass. On any thread.
pub type Told<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// Queries from which on a search is a pass over all, and not what a round of merging looks up.
const PASS: usize = 1024;

impl Search<'_> {
    /// Does `work` on each item, on all threads.
    pub fn each<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        // Once cancelled, what is left undone is never looked at: every caller checks before it goes on.
        let work = |item: &mut T| {
            if !self.cancel.is_cancelled() {
                work(item);
            }
        };
        if items.len() < 64 || self.threads == 1 {
            return items.iter_mut().for_each(work);
        }
        self.each_large(items, work);
    }

    /// [`Search::each`] for items worth a thread of their own.
    fn each_large<T: Send>(&self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        let share = items.len().div_ceil(self.threads).max(1);
        std::thread::scope(|scope| {
            for part in items.chunks_mut(share) {
                scope.spawn(|| part.iter_mut().for_each(&work));
            }
        });
    }

    /// The exact neighbours of every standing group, in a list per id.
    pub fn all_pairs(&self, forest: &Forest, floor: f32) -> Result<Vec<List>, Error> {
        let ids = forest.ids();
        let found = self.against_all(forest, &ids, floor)?;
        Ok(by_id(&ids, found))
    }

    /// The exact neighbours of some groups among all.
    pub fn against_all(
        &self,
        forest: &Forest,
        some: &[u32],
        floor: f32,
    ) -> Result<Vec<List>, Error> {
        let all = if some.is_empty() {
            Vec::new()
        } else {
            forest.ids()
        };
        let queries = Side { forest, ids: some };
        let mut lists = self.scan(&queries, &Side { forest, ids: &all }, KEEP, floor)?;
        let mut work: Vec<(u32, &mut List)> = some.iter().copied().zip(&mut lists).collect();
        self.each(&mut work, |(id, list)| forest.refresh(*id, list, floor));
        Ok(lists)
    }

    /// Neighbours of every standing group among the groups that share a cell with it, in a list per id, taken for
    /// complete. A cell holds the groups that have its pivot among their nearest [`CELLS_PER_GROUP`].
    pub fn within_cells(&self, forest: &Forest, floor: f32) -> Result<Vec<List>, Error> {
        let cells = self.cells(forest)?;
        let ids = forest.ids();
        let mut lists = by_id(
            &ids,
            ids.iter()
                .map(|_| List {
                    near: Vec::new(),
                    bound: f32::NEG_INFINITY,
                })
                .collect(),
        );
        let all: usize = cells.iter().map(Vec::len).sum();
        let mut seen = 0;
        for batch in cells.chunks(32 * self.threads) {
            let mut work: Vec<Cell> = batch
                .iter()
                .map(|ids| Cell {
                    ids,
                    found: Ok(Vec::new()),
                })
                .collect();
            let alone = Search {
                threads: 1,
                cancel: self.cancel,
                told: &|_, _| {},
            };
            self.each_large(&mut work, |cell| {
                let side = Side {
                    forest,
                    ids: cell.ids,
                };
                cell.found = alone.scan(&side, &side, KEEP, floor);
            });
            for cell in work {
                for (id, list) in cell.ids.iter().zip(cell.found?) {
                    lists[*id as usize].near.extend(list.near);
                    keep_best(&mut lists[*id as usize].near);
                }
                seen += cell.ids.len();
            }
            (self.told)(seen / CELLS_PER_GROUP, all / CELLS_PER_GROUP);
        }
        let mut work: Vec<(u32, &mut List)> = lists
            .iter_mut()
            .enumerate()
            .map(|(i, l)| (i as u32, l))
            .collect();
        self.each(&mut work, |(id, list)| {
            forest.refresh(*id, list, floor);
            list.bound = f32::NEG_INFINITY;
        });
        Ok(lists)
    }

    /// Members of each cell.
    fn cells(&self, forest: &Forest) -> Result<Vec<Vec<u32>>, Error> {
        let ids = forest.ids();
        let pivots = pivots(forest, &ids, (ids.len() * CELLS_PER_GROUP).div_ceil(CELL));
        let all = Side { forest, ids: &ids };
        let nearest = self.scan(
            &all,
            &Side {
                forest: &pivots,
                ids: &pivots.ids(),
            },
            CELLS_PER_GROUP,
            f32::NEG_INFINITY,
        )?;
        let mut cells: Vec<Vec<Near>> = (0..pivots.len()).map(|_| Vec::new()).collect();
        for (&id, list) in ids.iter().zip(nearest) {
            list.near.iter().for_each(|n| {
                cells[n.id as usize].push(Near {
                    similarity: n.similarity,
                    id,
                })
            });
        }
        Ok(cells.into_iter().flat_map(split_large).collect())
    }

    /// For each query the best `keep` columns that reach `floor`; a column that is the query itself is left out.
    fn scan(
        &self,
        queries: &Side,
        columns: &Side,
        keep: usize,
        floor: f32,
    ) -> Result<Vec<List>, Error> {
        let same = std::ptr::eq(queries.forest, columns.forest);
        let (seen, all) = (AtomicUsize::new(0), queries.ids.len());
        let mut blocks: Vec<(&[u32], Vec<Best>)> = queries
            .ids
            .chunks(QUERIES)
            .map(|ids| (ids, Vec::new()))
            .collect();
        self.each_large(&mut blocks, |(ids, best)| {
            *best = ids
                .iter()
                .map(|&id| Best::new(same.then_some(id), keep, floor - ROUNDING))
                .collect();
            scan_block(
                &Side {
                    forest: queries.forest,
                    ids,
                },
                columns,
                best,
                self.cancel,
            );
            if all >= PASS {
                (self.told)(seen.fetch_add(ids.len(), Relaxed) + ids.len(), all);
            }
        });
        self.cancel.check()?;
        Ok(blocks
            .into_iter()
            .flat_map(|(_, best)| best)
            .map(Best::into_list)
            .collect())
    }
}

/// Groups that share a cell, and what each found there.
struct Cell<'a> {
    ids: &'a [u32],
    found: Result<Vec<List>, Error>,
}

/// Some groups of a forest.
struct Side<'a> {
    forest: &'a Forest,
    ids: &'a [u32],
}

impl Side<'_> {
    /// Their means as a matrix.
    fn gather(&self, range: std::ops::Range<usize>, into: &mut Vec<f32>) {
        into.clear();
        self.ids[range]
            .iter()
            .for_each(|&id| into.extend_from_slice(self.forest.mean(id)));
    }
}

fn scan_block(queries: &Side, columns: &Side, best: &mut [Best], cancel: &Cancel) {
    let d = queries.forest.dimensions;
    let (mut rows, mut others, mut products) = (
        Vec::new(),
        Vec::new(),
        vec![0f32; queries.ids.len() * COLUMNS],
    );
    queries.gather(0..queries.ids.len(), &mut rows);
    for from in (0..columns.ids.len()).step_by(COLUMNS) {
        if cancel.is_cancelled() {
            return;
        }
        let to = columns.ids.len().min(from + COLUMNS);
        columns.gather(from..to, &mut others);
        let products = &mut products[..queries.ids.len() * (to - from)];
        multiply(&rows, &others, d, products);
        for (best, products) in best.iter_mut().zip(products.chunks_exact(to - from)) {
            best.offer(products, &columns.ids[from..to]);
        }
    }
}

/// `out = a b^T` for row-major `[m, d]` and `[n, d]`.
fn multiply(a: &[f32], b: &[f32], d: usize, out: &mut [f32]) {
    let (m, n) = (a.len() / d, b.len() / d);
    let shapes = "lengths are multiples of d";
    let a = ArrayView2::from_shape((m, d), a).expect(shapes);
    let b = ArrayView2::from_shape((n, d), b).expect(shapes);
    let mut out = ArrayViewMut2::from_shape((m, n), out).expect(shapes);
    general_mat_mul(1.0, &a, &b.t(), 0.0, &mut out);
}

/// The best columns of one query so far.
struct Best {
    me: Option<u32>,
    keep: usize,
    /// What is not above this is not wanted.
    cut: f32,
    near: Vec<Near>,
    dropped: bool,
}

impl Best {
    fn new(me: Option<u32>, keep: usize, floor: f32) -> Self {
        Best {
            me,
            keep,
            cut: floor,
            near: Vec::new(),
            dropped: floor > f32::NEG_INFINITY,
        }
    }

    fn offer(&mut self, similarities: &[f32], ids: &[u32]) {
        for (part, ids) in similarities.chunks(32).zip(ids.chunks(32)) {
            if !part.iter().fold(false, |any, &s| any | (s > self.cut)) {
                continue;
            }
            for (&similarity, &id) in part.iter().zip(ids) {
                if similarity > self.cut && Some(id) != self.me {
                    self.near.push(Near { similarity, id });
                }
            }
            if self.near.len() > 4 * self.keep {
                self.prune();
            }
        }
    }

    fn prune(&mut self) {
        if self.near.len() > self.keep {
            self.dropped = true;
            self.near.select_nth_unstable_by(self.keep - 1, descending);
            self.near.truncate(self.keep);
            self.cut = self.near[self.keep - 1].similarity;
        }
    }

    fn into_list(mut self) -> List {
        self.prune();
        self.near.shrink_to_fit();
        List {
            near: self.near,
            bound: if self.dropped {
                self.cut
            } else {
                f32::NEG_INFINITY
            },
        }
    }
}

fn descending(a: &Near, b: &Near) -> std::cmp::Ordering {
    b.similarity.total_cmp(&a.similarity).then(a.id.cmp(&b.id))
}

/// The best [`KEEP`] of neighbours that may repeat.
fn keep_best(near: &mut Vec<Near>) {
    near.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(descending(a, b)));
    near.dedup_by_key(|n| n.id);
    near.sort_unstable_by(descending);
    near.truncate(KEEP);
    near.shrink_to_fit();
}

/// `wanted` groups as pivots, scaled to norm 1. Which ones differs from round to round, but not from run to run.
fn pivots(forest: &Forest, ids: &[u32], wanted: usize) -> Forest {
    let seed = (ids.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = |id: u32| {
        ((u64::from(id) ^ seed).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ seed >> 31)
            .wrapping_mul(0x94d0_49bb_1331_11eb)
    };
    let mut order = ids.to_vec();
    order.sort_by_cached_key(|&id| hash(id));
    order.truncate(wanted);
    let mut means = Vec::with_capacity(order.len() * forest.dimensions);
    order
        .iter()
        .for_each(|&id| means.extend_from_slice(forest.mean(id)));
    means
        .chunks_exact_mut(forest.dimensions)
        .for_each(similarity::normalize);
    Forest::new(means, forest.dimensions, &vec![1; order.len()])
}

/// A cell that is too large (many near-equal rows) becomes several, of members about equally near to the pivot.
fn split_large(mut cell: Vec<Near>) -> Vec<Vec<u32>> {
    if cell.len() > LARGEST_CELL {
        cell.sort_by_key(|n| (Reverse(ordered(n.similarity)), n.id));
    }
    cell.chunks(LARGEST_CELL)
        .map(|part| part.iter().map(|n| n.id).collect())
        .collect()
}

/// An integer in the order of finite similarities.
fn ordered(similarity: f32) -> i32 {
    (similarity * 1e8) as i32
}

fn by_id(ids: &[u32], found: Vec<List>) -> Vec<List> {
    let mut lists: Vec<List> = Vec::new();
    for (&id, list) in ids.iter().zip(found) {
        lists.resize_with(id as usize, List::default);
        lists.push(list);
    }
    lists
}
