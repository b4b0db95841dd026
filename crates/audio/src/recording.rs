//! Samples that can be read twice, in memory that does not grow with the recording.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Input, Reader, Selection};

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
    /// Where it cannot be read or decoded; [`Error::Cancelled`] once `stop` is set.
    fn read(&mut self, out: &mut Vec<f32>, max: usize, stop: &AtomicBool) -> Result<usize, Error>;
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

    fn read(&mut self, out: &mut Vec<f32>, max: usize, _: &AtomicBool) -> Result<usize, Error> {
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

    fn read(&mut self, out: &mut Vec<f32>, max: usize, stop: &AtomicBool) -> Result<usize, Error> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(self.input, self.selection)?),
        };
        reader.read(out, max, stop)
    }
}

/// Another recording, of which what is read first stays in memory as long as it is short: a second reading then costs
/// nothing, and a long recording is decoded twice instead of held.
pub struct Kept<'a> {
    recording: &'a mut dyn Recording,
    samples: Vec<f32>,
    most: usize,
    state: Keeping,
}

#[derive(PartialEq)]
enum Keeping {
    /// All that was read so far is there.
    Reading,
    /// All of the recording is there; from here it is read.
    Whole(usize),
    /// It is too long.
    Not,
}

impl<'a> Kept<'a> {
    /// Keeps a recording of up to `most` samples.
    ///
    /// # Errors
    /// Those of [`Recording::rewind`].
    pub fn new(recording: &'a mut dyn Recording, most: usize) -> Result<Self, Error> {
        recording.rewind()?;
        Ok(Kept {
            recording,
            samples: Vec::new(),
            most,
            state: Keeping::Reading,
        })
    }
}

impl Recording for Kept<'_> {
    fn rewind(&mut self) -> Result<(), Error> {
        if let Keeping::Whole(next) = &mut self.state {
            *next = 0;
            return Ok(());
        }
        (self.samples, self.state) = (Vec::new(), Keeping::Not);
        self.recording.rewind()
    }

    fn read(&mut self, out: &mut Vec<f32>, max: usize, stop: &AtomicBool) -> Result<usize, Error> {
        if let Keeping::Whole(next) = &mut self.state {
            let given = &self.samples[*next..self.samples.len().min(*next + max)];
            out.extend_from_slice(given);
            *next += given.len();
            return Ok(given.len());
        }
        let before = out.len();
        let count = self.recording.read(out, max, stop)?;
        if self.state == Keeping::Reading {
            if self.samples.len() + count > self.most {
                (self.samples, self.state) = (Vec::new(), Keeping::Not);
            } else if count == 0 {
                self.state = Keeping::Whole(self.samples.len());
            } else {
                self.samples.extend_from_slice(&out[before..]);
            }
        }
        Ok(count)
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
    pub fn range(&mut self, start: usize, end: usize, stop: &AtomicBool) -> Result<&[f32], Error> {
        loop {
            let stale = start.saturating_sub(self.first).min(self.samples.len());
            self.samples.drain(..stale);
            self.first += stale;
            if self.first + self.samples.len() >= end {
                break;
            }
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            if self.recording.read(&mut self.samples, READ, stop)? == 0 {
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
        let stop = AtomicBool::new(false);
        for (start, end) in [
            (0, 10),
            (5, 200_000),
            (200_000, 200_010),
            (399_990, 500_000),
            (600_000, 700_000),
        ] {
            let expected = &all[start.min(all.len())..end.min(all.len())];
            assert_eq!(buffer.range(start, end, &stop).unwrap(), expected);
            assert!(buffer.samples.len() <= (end - start) + READ);
        }
    }

    #[test]
    fn a_short_recording_is_read_once_and_a_long_one_twice() {
        struct Counted(Vec<f32>, usize, usize);
        impl Recording for Counted {
            fn rewind(&mut self) -> Result<(), Error> {
                self.1 = 0;
                Ok(())
            }
            fn read(
                &mut self,
                out: &mut Vec<f32>,
                max: usize,
                _: &AtomicBool,
            ) -> Result<usize, Error> {
                let given = &self.0[self.1..self.0.len().min(self.1 + max)];
                out.extend_from_slice(given);
                self.1 += given.len();
                self.2 += given.len();
                Ok(given.len())
            }
        }
        let stop = AtomicBool::new(false);
        let all: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        for (most, decoded) in [(1000, 1000), (999, 2000)] {
            let mut counted = Counted(all.clone(), 0, 0);
            let mut kept = Kept::new(&mut counted, most).unwrap();
            for reading in 0..2 {
                let mut read = Vec::new();
                if reading > 0 {
                    kept.rewind().unwrap();
                }
                while kept.read(&mut read, 64, &stop).unwrap() > 0 {}
                assert_eq!(read, all);
            }
            assert_eq!(counted.2, decoded, "{most}");
        }
    }
}
