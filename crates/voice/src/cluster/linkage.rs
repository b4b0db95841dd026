//! Rounds of merging groups that are each other's nearest.

use super::forest::{Edge, Forest, List};
use super::neighbours::Search;
use crate::Error;

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
    lists.resize_with(forest.ids_made(), List::default);
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
