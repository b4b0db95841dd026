//! Where encoded bytes come from, as a stream that symphonia can seek in.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::io::MediaSource;

/// Encoded audio: the bytes themselves, or a regular file.
#[derive(Clone, Debug)]
pub enum Input {
    /// The whole encoded file in memory.
    Bytes(Arc<[u8]>),
    /// An open file. It is read with positioned reads, so its offset is neither used nor moved.
    File(Arc<File>),
}

impl Input {
    /// Size in bytes.
    pub fn len(&self) -> io::Result<u64> {
        match self {
            Input::Bytes(bytes) => Ok(bytes.len() as u64),
            Input::File(file) => Ok(file.metadata()?.len()),
        }
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads at `offset` without moving anything; fewer bytes than asked for mean the end.
    pub(crate) fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Input::Bytes(bytes) => {
                let from = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let count = buf.len().min(bytes.len() - from);
                buf[..count].copy_from_slice(&bytes[from..from + count]);
                Ok(count)
            }
            Input::File(file) => file.read_at(buf, offset),
        }
    }

    /// The first `count` bytes, or all if there are fewer.
    pub(crate) fn head(&self, count: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.read_at(&mut head[filled..], filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        head.truncate(filled);
        Ok(head)
    }
}

/// A cursor over an [`Input`] that counts what it reads and fails once `stop` is set.
pub(crate) struct Source<'s> {
    input: Input,
    position: u64,
    len: u64,
    read: Arc<AtomicU64>,
    stop: Option<&'s AtomicBool>,
}

impl<'s> Source<'s> {
    pub(crate) fn new(
        input: &Input,
        stop: Option<&'s AtomicBool>,
        read: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        Ok(Source {
            len: input.len()?,
            input: input.clone(),
            position: 0,
            read,
            stop,
        })
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(io::Error::other("cancelled"));
        }
        let count = self.input.read_at(buf, self.position)?;
        self.position += count as u64;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for Source<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
