//! Rounds of merging groups that are each other's nearest.

use super::dendrogram::Merge;
use super::neighbours::{List, Near, Search, dot};
use crate::Error;

/// The groups so far: a mean vector and a weight each.
pub(super) struct Forest {
    pub dimensions: usize,
    means: Vec<f32>,
    weights: Vec<f64>,
    /// The group that took this one in; itself while it stands.
    into: Vec<u32>,
    standing: usize,
    /// Every merge, in the order made.
    pub merges: Vec<Merge>,
}

impl Forest {
    /// One group per row; `means` is `[counts.len(), dimensions]`.
    pub fn new(means: Vec<f32>, dimensions: usize, counts: &[u32]) -> Self {
        let weights = counts.iter().map(|&c| f64::from(c)).collect();
        let into = (0..counts.len() as u32).collect();
        Forest {
            dimensions,
            means,
            weights,
            into,
            standing: counts.len(),
            merges: Vec::new(),
        }
    }

    /// How many groups stand.
    pub fn len(&self) -> usize {
        self.standing
    }

    /// The groups that stand.
    pub fn ids(&self) -> Vec<u32> {
        (0..self.into.len() as u32)
            .filter(|&i| self.stands(i))
            .collect()
    }

    pub fn mean(&self, id: u32) -> &[f32] {
        &self.means[id as usize * self.dimensions..][..self.dimensions]
    }

    fn stands(&self, id: u32) -> bool {
        self.into[id as usize] == id
    }

    /// The standing group that `id` is part of. Chains stay short, because the heavier group takes the lighter in.
    fn find(&self, mut id: u32) -> u32 {
        while !self.stands(id) {
            id = self.into[id as usize];
        }
        id
    }

    /// The mean similarity of the members of two groups.
    fn similarity(&self, a: u32, b: u32) -> f32 {
        dot(self.mean(a), self.mean(b))
    }

    /// Makes one group of two, and says which of them it is called.
    fn merge(&mut self, a: u32, b: u32, similarity: f32) -> Merge {
        let (wa, wb) = (self.weights[a as usize], self.weights[b as usize]);
        let (kept, gone, share) = if wa >= wb {
            (a, b, wb / (wa + wb))
        } else {
            (b, a, wa / (wa + wb))
        };
        let d = self.dimensions;
        for i in 0..d {
            let (x, y) = (
                self.means[kept as usize * d + i],
                self.means[gone as usize * d + i],
            );
            self.means[kept as usize * d + i] =
                (f64::from(x) + share * (f64::from(y) - f64::from(x))) as f32;
        }
        self.weights[kept as usize] = wa + wb;
        self.into[gone as usize] = kept;
        self.standing -= 1;
        self.merges.push(Merge {
            kept,
            gone,
            similarity,
        });
        Merge {
            kept,
            gone,
            similarity,
        }
    }

    /// Brings a list up to date with the merges since it was made: current groups, current similarities, best first.
    /// What is dropped raises the bound.
    pub fn refresh(&self, me: u32, list: &mut List, floor: f32) {
        let mut ids: Vec<u32> = list
            .near
            .iter()
            .map(|n| self.find(n.id))
            .filter(|&id| id != me)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let near = ids.into_iter().map(|id| Near {
            similarity: self.similarity(me, id),
            id,
        });
        list.fill(me, near, floor);
    }
}

/// Merges until no two groups have a similarity of `floor` or more.
///
/// `lists` holds the neighbours of every standing group. With `exact`, no group outside a list is nearer than the
/// list's bound, and a list that runs out of nearer ones is searched anew; else lists are taken for complete.
pub(super) fn agglomerate(
    forest: &mut Forest,
    mut lists: Vec<List>,
    floor: f32,
    exact: bool,
    search: &Search,
) -> Result<(), Error> {
    let mut active = forest.ids();
    lists.resize_with(forest.into.len(), List::default);
    let mut best = vec![None; lists.len()];
    loop {
        search.cancel.check()?;
        active.retain(|&id| forest.stands(id) && !lists[id as usize].near.is_empty());
        active.sort_unstable();
        active.dedup();
        let pairs = reciprocal(&active, &lists, &mut best);
        if pairs.is_empty() {
            return Ok(());
        }
        let mut changed = vec![];
        for (a, b, similarity) in pairs {
            let weights = [a, b].map(|id| forest.weights[id as usize]);
            let merge = forest.merge(a, b, similarity);
            let gone = std::mem::take(&mut lists[merge.gone as usize]);
            let bounds = [a, b].map(|id| {
                if id == merge.gone {
                    gone.bound
                } else {
                    lists[id as usize].bound
                }
            });
            let list = &mut lists[merge.kept as usize];
            list.near.extend(gone.near);
            list.bound = mean_bound(bounds, weights);
            changed.push(merge.kept);
        }
        let stale = stale(&active, &lists, forest, changed);
        active.extend(&stale); // a group that had no neighbours left may have taken one in
        update(forest, &mut lists, stale, floor, exact, search)?;
    }
}

/// Who is in neither list is at most this near to the union: the weighted mean of the two bounds.
fn mean_bound(bounds: [f32; 2], weights: [f64; 2]) -> f32 {
    ((f64::from(bounds[0]) * weights[0] + f64::from(bounds[1]) * weights[1])
        / (weights[0] + weights[1])) as f32
}

/// Pairs to merge in this round. Every group offers the edge to its nearest; an edge that is the best offer at both
/// its ends is taken. The best edge of all is always among them.
fn reciprocal(active: &[u32], lists: &[List], best: &mut [Option<Edge>]) -> Vec<(u32, u32, f32)> {
    let offers = || {
        active
            .iter()
            .map(|&id| Edge::new(id, &lists[id as usize].near[0]))
    };
    for edge in offers() {
        for end in [edge.low, edge.high] {
            let held = &mut best[end as usize];
            if held.is_none_or(|h| edge.beats(&h)) {
                *held = Some(edge);
            }
        }
    }
    let mut taken = Vec::new();
    for edge in offers() {
        if best[edge.low as usize] == Some(edge) && best[edge.high as usize] == Some(edge) {
            taken.push((edge.low, edge.high, edge.similarity));
            best[edge.low as usize] = None; // offered from both ends, taken once
        }
    }
    for edge in offers() {
        best[edge.low as usize] = None;
        best[edge.high as usize] = None;
    }
    taken
}

/// A possible merge. Equal similarities are ordered by a hash of the pair, so that many equal neighbours merge in few
/// rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edge {
    similarity: f32,
    low: u32,
    high: u32,
}

impl Edge {
    pub fn new(me: u32, near: &Near) -> Self {
        Edge {
            similarity: near.similarity,
            low: me.min(near.id),
            high: me.max(near.id),
        }
    }

    pub fn beats(&self, other: &Edge) -> bool {
        self.similarity
            .total_cmp(&other.similarity)
            .then_with(|| self.mixed().cmp(&other.mixed()))
            .is_gt()
    }

    fn mixed(&self) -> (u64, u32, u32) {
        let pair = u64::from(self.low) << 32 | u64::from(self.high);
        let hash = (pair ^ pair >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (
            (hash ^ hash >> 32).wrapping_mul(0x94d0_49bb_1331_11eb),
            self.low,
            self.high,
        )
    }
}

/// Groups whose nearest neighbour may be another one now: those that merged, and those whose nearest merged. For all
/// others it stands, since average linkage never brings groups nearer than the nearer of their parts.
fn stale(active: &[u32], lists: &[List], forest: &Forest, mut changed: Vec<u32>) -> Vec<u32> {
    changed.sort_unstable();
    let merged = |id: &u32| changed.binary_search(id).is_ok();
    let lost = |id: &&u32| {
        let nearest = lists[**id as usize].near.first();
        forest.stands(**id)
            && !merged(id)
            && nearest.is_some_and(|n| merged(&n.id) || !forest.stands(n.id))
    };
    let mut stale: Vec<u32> = active.iter().filter(lost).copied().collect();
    stale.extend(&changed);
    stale.sort_unstable();
    stale
}

/// Refreshes the lists of `stale` groups and searches anew for those whose list ran dry.
fn update(
    forest: &Forest,
    lists: &mut [List],
    stale: Vec<u32>,
    floor: f32,
    exact: bool,
    search: &Search,
) -> Result<(), Error> {
    let mut work: Vec<(u32, List)> = stale
        .iter()
        .map(|&id| (id, std::mem::take(&mut lists[id as usize])))
        .collect();
    search.each(&mut work, |(id, list)| forest.refresh(*id, list, floor));
    let dry = |list: &List| {
        exact && list.bound >= floor && list.near.first().is_none_or(|n| n.similarity < list.bound)
    };
    let again: Vec<u32> = work
        .iter()
        .filter(|(_, list)| dry(list))
        .map(|(id, _)| *id)
        .collect();
    for (id, list) in work {
        lists[id as usize] = list;
    }
    for (id, list) in again.iter().zip(search.against_all(forest, &again, floor)?) {
        lists[*id as usize] = list;
    }
    Ok(())
}
