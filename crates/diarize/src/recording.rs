//! Samples that can be read twice, in memory that does not grow with the recording.

use audio::{Input, Reader, Selection};
use onnx::Cancel;

use crate::Error;

/// Mono samples at 16 kHz that can be read from the start as often as needed.
pub trait Recording {
    /// Goes back to the start.
    ///
    /// # Errors
    /// Where the recording cannot be opened again.
    fn rewind(&mut self) -> Result<(), Error>;

    /// Appends up to `max` samples to `out`; the number appended is 0 only at the end.
    ///
    /// # Errors
    /// Where it cannot be read or decoded; [`Error::Onnx`] when cancelled.
    fn read(&mut self, out: &mut Vec<f32>, max: usize, cancel: &Cancel) -> Result<usize, Error>;
}

/// Samples in memory.
pub struct Samples<'a> {
    all: &'a [f32],
    next: usize,
}

impl<'a> Samples<'a> {
    /// A recording of these samples.
    pub fn new(all: &'a [f32]) -> Self {
        Samples { all, next: 0 }
    }
}

impl Recording for Samples<'_> {
    fn rewind(&mut self) -> Result<(), Error> {
        self.next = 0;
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<f32>, max: usize, _: &Cancel) -> Result<usize, Error> {
        let rest = &self.all[self.next..];
        let given = &rest[..rest.len().min(max)];
        out.extend_from_slice(given);
        self.next += given.len();
        Ok(given.len())
    }
}

/// A selection of an encoded file, decoded anew at each reading.
pub struct Encoded<'a> {
    input: &'a Input,
    selection: &'a Selection,
    reader: Option<Reader<'static>>,
}

impl<'a> Encoded<'a> {
    /// A recording of this selection.
    pub fn new(input: &'a Input, selection: &'a Selection) -> Self {
        Encoded {
            input,
            selection,
            reader: None,
        }
    }
}

impl Recording for Encoded<'_> {
    fn rewind(&mut self) -> Result<(), Error> {
        self.reader = None;
        Ok(())
    }

    fn read(&mut self, out: &mut Vec<f32>, max: usize, cancel: &Cancel) -> Result<usize, Error> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(self.input, self.selection)?),
        };
        Ok(reader.read(out, max, cancel.flag())?)
    }
}

/// A recording from which ranges are taken in order: it keeps the samples from the last range's start on.
pub struct Buffer<'a> {
    recording: &'a mut dyn Recording,
    samples: Vec<f32>,
    /// Place of the first kept sample in the recording.
    first: usize,
}

/// Samples read at once.
const READ: usize = 160_000;

impl<'a> Buffer<'a> {
    /// Starts at the beginning.
    ///
    /// # Errors
    /// Those of [`Recording::rewind`].
    pub fn open(recording: &'a mut dyn Recording) -> Result<Self, Error> {
        recording.rewind()?;
        Ok(Buffer {
            recording,
            samples: Vec::new(),
            first: 0,
        })
    }

    /// The samples `start..end`, fewer where the recording ends before. `start` does not go back.
    ///
    /// # Errors
    /// Those of [`Recording::read`].
    pub fn range(&mut self, start: usize, end: usize, cancel: &Cancel) -> Result<&[f32], Error> {
        loop {
            let stale = start.saturating_sub(self.first).min(self.samples.len());
            self.samples.drain(..stale);
            self.first += stale;
            if self.first + self.samples.len() >= end {
                break;
            }
            cancel.check()?;
            if self.recording.read(&mut self.samples, READ, cancel)? == 0 {
                break;
            }
        }
        let from = start.saturating_sub(self.first).min(self.samples.len());
        let to = end
            .saturating_sub(self.first)
            .clamp(from, self.samples.len());
        Ok(&self.samples[from..to])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_samples_and_the_past_is_dropped() {
        let all: Vec<f32> = (0..400_000).map(|i| i as f32).collect();
        let mut samples = Samples::new(&all);
        let mut buffer = Buffer::open(&mut samples).unwrap();
        let cancel = Cancel::new();
        for (start, end) in [
            (0, 10),
            (5, 200_000),
            (200_000, 200_010),
            (399_990, 500_000),
            (600_000, 700_000),
        ] {
            let expected = &all[start.min(all.len())..end.min(all.len())];
            assert_eq!(buffer.range(start, end, &cancel).unwrap(), expected);
            assert!(buffer.samples.len() <= (end - start) + READ);
        }
    }
}
