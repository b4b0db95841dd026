//! Rows from an index that is nearly in order, and that may run dry, as an order that is exact.
//!
//! An index returns rows by its own distance, which differs from the similarity by rounding. So a row waits until no later
//! one can come before it. When a source of rows ends too early, the next one begins from the start, and rows that were
//! given already are left out. What is given is always in order: a row that an index missed and that a later source
//! finds too late is left out as well.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashSet, VecDeque};

/// Where a row is: block and offset.
pub type Tid = u64;

/// A row and its place in the order: greater keys first, then lower places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    pub key: f64,
    pub tid: Tid,
}

impl Eq for Row {}

impl Ord for Row {
    fn cmp(&self, other: &Self) -> Ordering {
        let keys = self.key.partial_cmp(&other.key).unwrap_or(Ordering::Equal);
        keys.then(other.tid.cmp(&self.tid))
    }
}

impl PartialOrd for Row {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Rows on their way from sources to the consumer.
#[derive(Debug)]
pub struct Rows {
    /// By how much a later row's key may exceed an earlier one's.
    slack: f64,
    /// How many rows are awaited before the first is given. Until then everything can be begun anew.
    awaited: usize,
    waiting: BinaryHeap<Row>,
    ready: VecDeque<Row>,
    /// The lowest key that a source has come to.
    reached: f64,
    /// The key of the last row that became ready.
    last: Option<f64>,
    /// Rows of that key that are ready or given.
    ties: HashSet<Tid>,
    /// Rows of that key up to this place came from a pass over the table.
    passed: Option<Tid>,
    given: bool,
}

/// More rows of one key than this are found in the table: an index of equal vectors is a graph without directions, which
/// misses some. pgvector keeps up to ten in one element.
const MOST_TIES: usize = 10;

impl Rows {
    pub fn new(slack: f64, awaited: usize) -> Self {
        Rows {
            slack,
            awaited,
            waiting: BinaryHeap::new(),
            ready: VecDeque::new(),
            reached: f64::INFINITY,
            last: None,
            ties: HashSet::new(),
            passed: None,
            given: false,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Rows::new(self.slack, self.awaited);
    }

    /// A row has been read whose key is `key`: whatever comes later is not much above.
    pub fn reached(&mut self, key: f64) {
        self.reached = self.reached.min(key);
        while self
            .waiting
            .peek()
            .is_some_and(|row| row.key >= self.reached + self.slack)
        {
            self.release();
        }
    }

    /// Whether many rows tie.
    pub fn has_many_ties(&self) -> bool {
        self.ties.len() > MOST_TIES
    }

    /// Whether no later row of this source can have a key of `key` or more.
    pub fn is_beyond(&self, key: f64) -> bool {
        self.reached + self.slack < key
    }

    pub fn push(&mut self, row: Row) {
        if self.is_new(row) {
            self.waiting.push(row);
        }
    }

    /// Whether a row comes after all that are ready or given.
    pub fn is_new(&self, row: Row) -> bool {
        match self.last.map(|last| row.key.partial_cmp(&last)) {
            None | Some(Some(Ordering::Less)) => true,
            Some(Some(Ordering::Equal)) => {
                self.passed.is_none_or(|tid| row.tid > tid) && !self.ties.contains(&row.tid)
            }
            _ => false,
        }
    }

    fn release(&mut self) {
        let Some(row) = self.waiting.pop().filter(|row| self.is_new(*row)) else {
            return;
        };
        if self.last != Some(row.key) {
            self.ties.clear();
            self.passed = None;
            self.last = Some(row.key);
        }
        self.ties.insert(row.tid);
        self.ready.push_back(row);
    }

    /// The source has ended. What is not ready yet is left to the next one, unless it is just what is awaited; what is not
    /// enough to be given is forgotten.
    pub fn end_of_source(&mut self) {
        let ready = self.given || self.ready.len() >= self.awaited;
        if !ready && self.ready.len() + self.waiting.len() >= self.awaited {
            while !self.waiting.is_empty() {
                self.release();
            }
        } else {
            self.give_up_source(ready);
        }
        self.reached = f64::INFINITY;
    }

    /// What is not ready is forgotten, and everything if that is not `enough`.
    fn give_up_source(&mut self, enough: bool) {
        self.waiting.clear();
        if !enough {
            self.clear();
        }
    }

    /// The source is not to be trusted: only what was given stays.
    pub fn leave_source(&mut self) {
        self.reached = f64::INFINITY;
        self.give_up_source(self.given);
    }

    /// Nothing more will come: what there is, is given.
    pub fn finish(&mut self) {
        while !self.waiting.is_empty() {
            self.release();
        }
        self.given = true;
    }

    /// Takes over the best rows of a pass over the table.
    pub fn take(&mut self, pass: Best) {
        for row in pass.into_sorted() {
            if self.last != Some(row.key) {
                self.ties.clear();
                self.last = Some(row.key);
            }
            self.passed = Some(row.tid);
            self.ready.push_back(row);
        }
        self.given = true;
    }

    /// The next row, if it is known.
    pub fn pop(&mut self) -> Option<Row> {
        if !self.given && self.ready.len() < self.awaited {
            return None;
        }
        let row = self.ready.pop_front()?;
        self.given = true;
        Some(row)
    }
}

/// The best rows seen, as many as fit.
#[derive(Debug)]
pub struct Best {
    rows: BinaryHeap<Reverse<Row>>,
    most: usize,
}

impl Best {
    pub fn new(most: usize) -> Self {
        Best {
            rows: BinaryHeap::new(),
            most: most.max(1),
        }
    }

    pub fn push(&mut self, row: Row) {
        if self.rows.len() < self.most {
            self.rows.push(Reverse(row));
        } else if let Some(mut worst) = self.rows.peek_mut()
            && worst.0 < row
        {
            *worst = Reverse(row);
        }
    }

    /// Whether there may have been more rows than fit.
    pub fn is_full(&self) -> bool {
        self.rows.len() == self.most
    }

    fn into_sorted(self) -> impl Iterator<Item = Row> {
        self.rows
            .into_sorted_vec()
            .into_iter()
            .map(|Reverse(row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: f64, tid: Tid) -> Row {
        Row { key, tid }
    }

    fn drain(rows: &mut Rows) -> Vec<Tid> {
        std::iter::from_fn(|| rows.pop())
            .map(|row| row.tid)
            .collect()
    }

    fn read(rows: &mut Rows, source: &[(f64, Tid)]) {
        for (key, tid) in source {
            rows.push(row(*key, *tid));
            rows.reached(*key);
        }
    }

    #[test]
    fn near_rows_wait_for_each_other() {
        let mut rows = Rows::new(0.1, 0);
        read(&mut rows, &[(0.90, 1), (0.95, 2), (0.80, 3)]);
        assert_eq!(drain(&mut rows), [2, 1]);
        rows.finish();
        assert_eq!(drain(&mut rows), [3]);
    }

    #[test]
    fn a_source_that_ends_before_enough_rows_came_is_forgotten() {
        let mut rows = Rows::new(0.0, 3);
        read(&mut rows, &[(0.9, 1), (0.8, 2)]);
        assert!(drain(&mut rows).is_empty());
        rows.end_of_source();
        assert!(drain(&mut rows).is_empty());
        let mut pass = Best::new(9);
        [row(0.8, 2), row(0.9, 1), row(0.95, 7)]
            .into_iter()
            .for_each(|r| pass.push(r));
        rows.take(pass);
        assert_eq!(drain(&mut rows), [7, 1, 2]);
    }

    #[test]
    fn the_next_source_gives_only_what_comes_after() {
        let mut rows = Rows::new(0.0, 0);
        read(&mut rows, &[(0.9, 1), (0.8, 5)]);
        rows.end_of_source();
        assert_eq!(drain(&mut rows), [1, 5]);
        let found: Vec<bool> = [
            row(0.9, 1),
            row(0.85, 9),
            row(0.8, 5),
            row(0.8, 2),
            row(0.7, 3),
        ]
        .map(|r| rows.is_new(r))
        .into();
        assert_eq!(found, [false, false, false, true, true]);
    }

    #[test]
    fn passes_over_the_table_go_on_where_the_last_one_ended() {
        let table = [
            row(0.5, 1),
            row(0.5, 2),
            row(0.5, 3),
            row(0.4, 4),
            row(0.5, 5),
        ];
        let mut rows = Rows::new(0.0, 0);
        read(&mut rows, &[(0.5, 3)]);
        rows.end_of_source();
        let mut all = drain(&mut rows);
        loop {
            let mut pass = Best::new(2);
            table
                .iter()
                .filter(|r| rows.is_new(**r))
                .for_each(|r| pass.push(*r));
            let full = pass.is_full();
            rows.take(pass);
            all.extend(drain(&mut rows));
            if !full {
                break;
            }
        }
        assert_eq!(all, [3, 1, 2, 5, 4]);
    }
}
