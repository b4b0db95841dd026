//! Bytes of a source, read ahead of where they are used.

use std::io::{ErrorKind, Read, Result, Seek, SeekFrom};

use crate::input::Source;

/// Bytes read at once.
const READ: usize = 64 << 10;

pub(crate) struct Ahead<'s> {
    source: Source<'s>,
    /// Bytes read ahead; those from `next` on are still to come, and lie at `at` in the source.
    buffer: Vec<u8>,
    next: usize,
    at: u64,
}

impl<'s> Ahead<'s> {
    pub(crate) fn new(source: Source<'s>) -> Self {
        Ahead {
            source,
            buffer: Vec::new(),
            next: 0,
            at: 0,
        }
    }

    /// Makes `count` bytes available at the current place; fewer at the end.
    pub(crate) fn fill(&mut self, count: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.next < count {
            self.buffer.drain(..self.next);
            self.next = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + READ.max(count - before), 0);
            self.source.seek(SeekFrom::Start(self.at + before as u64))?;
            let read = match self.source.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    self.buffer.truncate(before);
                    continue;
                }
                read => read?,
            };
            self.buffer.truncate(before + read);
            if read == 0 {
                break;
            }
        }
        let end = self.buffer.len().min(self.next + count);
        Ok(&self.buffer[self.next..end])
    }

    pub(crate) fn consume(&mut self, count: u64) {
        let there = ((self.buffer.len() - self.next) as u64).min(count);
        self.next += there as usize;
        self.at += count;
    }

    /// Bytes from the current place to the end.
    pub(crate) fn left(&self) -> u64 {
        self.source.len().saturating_sub(self.at)
    }

    /// Back to the start of the source.
    pub(crate) fn rewind(&mut self) {
        self.buffer.clear();
        (self.next, self.at) = (0, 0);
    }

    pub(crate) fn into_source(self) -> Source<'s> {
        self.source
    }
}
