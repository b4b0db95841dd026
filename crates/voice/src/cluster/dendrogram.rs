//! From the list of merges to numbered groups.

use super::forest::Merge;
use super::options::Options;

/// The group of each of the `counts.len()` distinct rows, `None` for noise. Group numbers are those of some member.
pub(super) fn cut(merges: &[Merge], counts: &[u32], options: &Options) -> Vec<Option<u32>> {
    let merges = in_order(merges, counts.len());
    let steps = match options.clusters {
        None => merges
            .iter()
            .take_while(|m| m.similarity >= options.threshold)
            .count(),
        Some(wanted) => steps_to(&merges, counts, wanted, options.min_size),
    };
    let mut groups = Groups::new(counts);
    merges[..steps].iter().for_each(|m| groups.join(m));
    (0..counts.len() as u32)
        .map(|i| {
            Some(groups.find(i)).filter(|&g| groups.size[g as usize] >= options.min_size as u64)
        })
        .collect()
}

/// Merges by falling similarity; a merge never comes before those that made its parts (rounding can put it a hair
/// above them).
fn in_order(merges: &[Merge], nodes: usize) -> Vec<Merge> {
    let mut lowest = vec![f32::INFINITY; nodes];
    let mut merges = merges.to_vec();
    for m in &mut merges {
        m.similarity = m
            .similarity
            .min(lowest[m.kept as usize])
            .min(lowest[m.gone as usize]);
        lowest[m.kept as usize] = m.similarity;
    }
    merges.sort_by(|a, b| b.similarity.total_cmp(&a.similarity)); // stable: equals stay in the order they were made
    merges
}

/// The most merges after which `wanted` groups of at least `min_size` rows exist; where there never are so many, the
/// most merges that leave as many as there can be.
fn steps_to(merges: &[Merge], counts: &[u32], wanted: usize, min_size: usize) -> usize {
    let min_size = min_size as u64;
    let mut groups = Groups::new(counts);
    let mut large = groups.size.iter().filter(|&&s| s >= min_size).count();
    let (mut best, mut steps) = (large.min(wanted), 0);
    for (i, m) in merges.iter().enumerate() {
        let parts = [groups.find(m.kept), groups.find(m.gone)].map(|g| groups.size[g as usize]);
        large -= parts.iter().filter(|&&s| s >= min_size).count();
        large += usize::from(parts[0] + parts[1] >= min_size);
        groups.join(m);
        if large.min(wanted) >= best {
            (best, steps) = (large.min(wanted), i + 1);
        }
    }
    steps
}

/// Numbers 1, 2, .. in the order in which the rows first show a group.
pub(super) fn number(of_row: &[Option<u32>], groups: &[Option<u32>]) -> Vec<Option<u32>> {
    let mut numbers = vec![0u32; groups.len()];
    let mut last = 0;
    let mut number = |group: u32| {
        let slot = &mut numbers[group as usize];
        if *slot == 0 {
            last += 1;
            *slot = last;
        }
        *slot
    };
    of_row
        .iter()
        .map(|row| row.and_then(|r| groups[r as usize]).map(&mut number))
        .collect()
}

/// Union-find with sizes in rows.
struct Groups {
    parent: Vec<u32>,
    size: Vec<u64>,
}

impl Groups {
    fn new(counts: &[u32]) -> Self {
        Groups {
            parent: (0..counts.len() as u32).collect(),
            size: counts.iter().map(|&c| u64::from(c)).collect(),
        }
    }

    fn find(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let up = self.parent[i as usize];
            self.parent[i as usize] = self.parent[up as usize];
            i = up;
        }
        i
    }

    fn join(&mut self, m: &Merge) {
        let (kept, gone) = (self.find(m.kept), self.find(m.gone));
        self.parent[gone as usize] = kept;
        self.size[kept as usize] += self.size[gone as usize];
    }
}
