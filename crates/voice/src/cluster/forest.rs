//! The groups so far, and what is known of who is near whom.

use std::cmp::Ordering::{Greater, Less};

use multiversion::multiversion;

/// Neighbours that a list keeps.
pub(super) const KEEP: usize = 24;

/// Two groups becoming one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Merge {
    pub kept: u32,
    pub gone: u32,
    pub similarity: f32,
}

/// A neighbour of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    pub similarity: f32,
    pub id: u32,
}

/// Neighbours of a group, best first.
#[derive(Default)]
pub(super) struct List {
    pub near: Vec<Near>,
    /// No group that is not in `near` is nearer than this.
    pub bound: f32,
}

impl List {
    /// Replaces the neighbours by the best [`KEEP`] of those given that reach `floor`.
    pub fn fill(&mut self, me: u32, near: impl Iterator<Item = Near>, floor: f32) {
        let mut kept = Vec::with_capacity(self.near.len());
        for n in near {
            if n.similarity >= floor {
                kept.push(n);
            } else {
                self.bound = self.bound.max(n.similarity);
            }
        }
        kept.sort_unstable_by(|a, b| {
            if Edge::new(me, a).beats(&Edge::new(me, b)) {
                Less
            } else {
                Greater
            }
        });
        if let Some(dropped) = kept.get(KEEP) {
            self.bound = self.bound.max(dropped.similarity);
            kept.truncate(KEEP);
        }
        kept.shrink_to_fit();
        self.near = kept;
    }
}

/// A possible merge. Equal similarities are ordered by a hash of the pair, so that many equal neighbours merge in few
/// rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Edge {
    pub similarity: f32,
    pub low: u32,
    pub high: u32,
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

/// The groups so far: a mean vector and a weight each.
pub(super) struct Forest {
    pub dimensions: usize,
    means: Vec<f32>,
    pub weights: Vec<f64>,
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

    /// How many groups there ever were: ids are below it.
    pub fn ids_made(&self) -> usize {
        self.into.len()
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

    pub fn stands(&self, id: u32) -> bool {
        self.into[id as usize] == id
    }

    /// The standing group that `id` is part of. Chains stay short, because the heavier group takes the lighter in.
    pub fn find(&self, mut id: u32) -> u32 {
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
    pub fn merge(&mut self, a: u32, b: u32, similarity: f32) -> Merge {
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

/// The dot product, the same for (a, b) and (b, a).
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2+fma", "aarch64+neon"))]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 32;
    let mut lanes = [0f32; LANES];
    let (chunks_a, rest_a) = a.as_chunks::<LANES>();
    let (chunks_b, rest_b) = b.as_chunks::<LANES>();
    for (x, y) in chunks_a.iter().zip(chunks_b) {
        for i in 0..LANES {
            lanes[i] += x[i] * y[i];
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    lanes.iter().sum::<f32>() + rest
}
