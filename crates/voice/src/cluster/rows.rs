//! The rows to group: checked, normalised, in an order of their own, equal ones together.

use crate::{Error, similarity};

/// Bytes a row needs beside its vector: neighbour lists, bookkeeping.
const BYTES_PER_ROW: u64 = 400;
/// Bytes of scratch, whatever the number of rows.
const BYTES_ALWAYS: u64 = 64 << 20;

/// Voiceprints to group, in the caller's order; a row may be missing.
pub struct Rows {
    expected: usize,
    limit: u64,
    dimensions: Option<usize>,
    unit: Vec<f32>,
    /// For each row of the caller, its place in `unit`.
    place: Vec<Option<u32>>,
}

impl Rows {
    /// Room for `expected` rows; grouping them may take `limit` bytes (see [`Rows::bytes`]).
    pub fn new(expected: usize, limit: u64) -> Self {
        Rows {
            expected,
            limit,
            dimensions: None,
            unit: Vec::new(),
            place: Vec::new(),
        }
    }

    /// The memory that grouping `rows` vectors takes, in bytes: `rows x (4 x dimensions + 400) + 64 MiB`.
    pub fn bytes(rows: usize, dimensions: usize) -> u64 {
        (rows as u64)
            .saturating_mul(4 * dimensions as u64 + BYTES_PER_ROW)
            .saturating_add(BYTES_ALWAYS)
    }

    /// Adds a row; `None` is a NULL.
    ///
    /// # Errors
    /// [`Error::Invalid`] if its length differs from the rows before or a value is not finite; [`Error::Memory`] if
    /// grouping would take more than the limit.
    pub fn push(&mut self, row: Option<&[f32]>) -> Result<(), Error> {
        let unit = row.map(|v| self.checked(v)).transpose()?.flatten();
        self.place.push(unit.as_ref().map(|_| self.stored() as u32));
        if let Some(unit) = unit {
            self.unit.extend(unit);
        }
        Ok(())
    }

    fn stored(&self) -> usize {
        self.unit.len() / self.dimensions.unwrap_or(1).max(1)
    }

    /// The row scaled to norm 1, or nothing for a zero vector, which has no direction.
    fn checked(&mut self, row: &[f32]) -> Result<Option<Vec<f32>>, Error> {
        match self.dimensions {
            None => self.reserve(row.len())?,
            Some(d) if d != row.len() => {
                let message = format!(
                    "voiceprints must be equally long: row {} has {} dimensions, those before it {d}",
                    self.place.len() + 1,
                    row.len()
                );
                return Err(Error::Invalid(message));
            }
            Some(_) if self.stored() >= self.expected => {
                self.check_memory(self.stored() + 1, row.len())?
            }
            Some(_) => {}
        }
        if row.iter().any(|x| !x.is_finite()) {
            return Err(Error::Invalid(format!(
                "row {} holds a value that is not finite",
                self.place.len() + 1
            )));
        }
        let mut unit = row.to_vec();
        similarity::normalize(&mut unit);
        Ok(unit.iter().any(|x| *x != 0.0).then_some(unit))
    }

    fn reserve(&mut self, dimensions: usize) -> Result<(), Error> {
        self.check_memory(self.expected, dimensions)?;
        self.dimensions = Some(dimensions);
        let values = self.expected.saturating_mul(dimensions);
        let failed = |_| Error::Memory {
            need: Rows::bytes(self.expected, dimensions),
            limit: self.limit,
        };
        self.unit.try_reserve_exact(values).map_err(failed)
    }

    fn check_memory(&self, rows: usize, dimensions: usize) -> Result<(), Error> {
        let need = Rows::bytes(rows, dimensions);
        if need > self.limit || rows > u32::MAX as usize {
            return Err(Error::Memory {
                need,
                limit: self.limit,
            });
        }
        Ok(())
    }

    /// Sorts the rows by value, so that nothing after this depends on the caller's order, and joins equal ones.
    pub(super) fn distinct(mut self) -> Distinct {
        let d = self.dimensions.unwrap_or(0).max(1);
        let row = |i: u32| &self.unit[i as usize * d..][..d];
        let mut order: Vec<u32> = (0..self.stored() as u32).collect();
        order.sort_by(|&a, &b| {
            row(a)
                .iter()
                .map(|x| x.to_bits())
                .cmp(row(b).iter().map(|x| x.to_bits()))
        });
        let (mut rank, mut counts, mut firsts) =
            (vec![0u32; order.len()], Vec::<u32>::new(), Vec::new());
        for (i, &now) in order.iter().enumerate() {
            if i == 0 || row(order[i - 1]) != row(now) {
                firsts.push(now);
                counts.push(0);
            }
            rank[now as usize] = counts.len() as u32 - 1;
            *counts.last_mut().expect("pushed above") += 1;
        }
        let of_row = self
            .place
            .iter()
            .map(|p| p.map(|p| rank[p as usize]))
            .collect();
        gather_in_place(&mut self.unit, d, firsts);
        Distinct {
            unit: self.unit,
            dimensions: d,
            counts,
            of_row,
        }
    }
}

/// Rows without repeats.
pub(super) struct Distinct {
    /// `[counts.len(), dimensions]`, each of norm 1.
    pub unit: Vec<f32>,
    pub dimensions: usize,
    /// How often each occurs.
    pub counts: Vec<u32>,
    /// Which of them each row of the caller is.
    pub of_row: Vec<Option<u32>>,
}

/// Puts row `from[i]` at place `i` for all i and drops the rest, with room for one row beside (the rows may be half of
/// the machine's memory).
fn gather_in_place(values: &mut Vec<f32>, d: usize, mut from: Vec<u32>) {
    let kept = from.len();
    // `from` becomes a permutation: the rows that are dropped take the places that are left.
    let mut used = vec![false; values.len() / d];
    from.iter().for_each(|&f| used[f as usize] = true);
    from.extend((0..used.len() as u32).filter(|&i| !used[i as usize]));
    for start in 0..from.len() {
        let mut at = start;
        while from[at] as usize != start {
            let next = from[at] as usize;
            swap_rows(values, d, at, next);
            from[at] = at as u32;
            at = next;
        }
        from[at] = at as u32;
    }
    values.truncate(kept * d);
}

fn swap_rows(values: &mut [f32], d: usize, a: usize, b: usize) {
    let (low, high) = (a.min(b), a.max(b));
    let (left, right) = values.split_at_mut(high * d);
    left[low * d..][..d].swap_with_slice(&mut right[..d]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_join_whatever_their_order() {
        let vectors: [&[f32]; 5] = [
            &[0.0, 2.0],
            &[3.0, 0.0],
            &[0.0, 1.0],
            &[1.0, 0.0],
            &[1.0, 1.0],
        ];
        for shift in 0..5 {
            let mut rows = Rows::new(6, u64::MAX);
            (0..5).for_each(|i| rows.push(Some(vectors[(i + shift) % 5])).unwrap());
            rows.push(None).unwrap();
            let distinct = rows.distinct();
            let h = 0.5f32.sqrt();
            assert_eq!(distinct.unit, [0.0, 1.0, h, h, 1.0, 0.0]);
            assert_eq!(distinct.counts, [2, 1, 2]);
            let expected = [Some(0), Some(2), Some(0), Some(2), Some(1)];
            (0..5).for_each(|i| assert_eq!(distinct.of_row[i], expected[(i + shift) % 5]));
            assert_eq!(distinct.of_row[5], None);
        }
    }

    #[test]
    fn refuses_what_it_cannot_group() {
        let mut rows = Rows::new(2, u64::MAX);
        rows.push(Some(&[1.0, 2.0])).unwrap();
        assert!(
            rows.push(Some(&[1.0]))
                .unwrap_err()
                .to_string()
                .contains("row 2 has 1 dimensions")
        );
        assert!(rows.push(Some(&[f32::NAN, 1.0])).is_err());
        let mut rows = Rows::new(1_000_000, 1 << 30);
        assert!(matches!(
            rows.push(Some(&[1.0; 192])),
            Err(Error::Memory { .. })
        ));
    }
}
