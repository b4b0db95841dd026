//! Where encoded bytes come from, as a stream that symphonia can seek in.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
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
    /// A file that is fetched as it is read.
    Remote(Arc<dyn Remote>),
}

/// A file elsewhere, read at any place.
pub trait Remote: fmt::Debug + Send + Sync {
    /// Size in bytes.
    fn size(&self) -> u64;

    /// Reads at `offset`; fewer bytes than asked for mean the end.
    ///
    /// # Errors
    /// Where the bytes cannot be had; then all further reading fails too.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Whether reading has failed: a demuxer may have taken that for the end.
    fn has_failed(&self) -> bool;
}

impl Input {
    /// Size in bytes.
    pub fn len(&self) -> io::Result<u64> {
        match self {
            Input::Bytes(bytes) => Ok(bytes.len() as u64),
            Input::File(file) => Ok(file.metadata()?.len()),
            Input::Remote(remote) => Ok(remote.size()),
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
            Input::Remote(remote) => remote.read_at(buf, offset),
        }
    }

    /// An error if a part of it could not be had, whatever was made of that.
    pub(crate) fn check(&self) -> io::Result<()> {
        match self {
            Input::Remote(remote) if remote.has_failed() => {
                Err(io::Error::other("a part of it could not be fetched"))
            }
            _ => Ok(()),
        }
    }

    /// `count` bytes at `offset`, fewer at the end.
    pub(crate) fn bytes_at(&self, offset: u64, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        let mut filled = 0;
        while filled < count {
            match self.read_at(&mut bytes[filled..], offset.saturating_add(filled as u64))? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

/// Bytes that are read instead of those at a place of the input.
pub(crate) type Patch = (u64, [u8; 8]);

/// A window of an [`Input`], with what counts the bytes that are read of it and what stops reading.
#[derive(Clone)]
pub(crate) struct Part<'s> {
    pub(crate) input: Input,
    pub(crate) window: Range<u64>,
    pub(crate) read: Arc<AtomicU64>,
    pub(crate) stop: Option<&'s AtomicBool>,
}

impl<'s> Part<'s> {
    pub(crate) fn whole(input: &Input, stop: Option<&'s AtomicBool>) -> io::Result<Self> {
        Ok(Part {
            window: 0..input.len()?,
            input: input.clone(),
            read: Arc::default(),
            stop,
        })
    }

    /// Another window of the same input.
    pub(crate) fn at(&self, window: Range<u64>) -> Self {
        Part {
            window,
            ..self.clone()
        }
    }

    /// All of it, behind `header`.
    pub(crate) fn source(&self, header: Vec<u8>) -> Source<'s> {
        Source {
            part: self.clone(),
            header,
            position: 0,
            patches: Vec::new(),
        }
    }
}

/// A header made up here, then a [`Part`], as one seekable stream. It counts what it reads and fails once `stop` is set.
pub(crate) struct Source<'s> {
    part: Part<'s>,
    header: Vec<u8>,
    position: u64,
    patches: Vec<Patch>,
}

impl<'s> Source<'s> {
    /// With other bytes at some places.
    pub(crate) fn patched(mut self, patches: Vec<Patch>) -> Self {
        self.patches = patches;
        self
    }

    pub(crate) fn part(&self) -> &Part<'s> {
        &self.part
    }

    pub(crate) fn len(&self) -> u64 {
        self.header.len() as u64 + (self.part.window.end - self.part.window.start)
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self
            .part
            .stop
            .is_some_and(|stop| stop.load(Ordering::Relaxed))
        {
            return Err(io::Error::other("cancelled"));
        }
        let left = usize::try_from(self.len().saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = buf.len().min(left);
        let header = self
            .header
            .get(self.position as usize..)
            .unwrap_or_default();
        let count = if header.is_empty() {
            let offset = self.part.window.start + (self.position - self.header.len() as u64);
            let count = self.part.input.read_at(&mut buf[..wanted], offset)?;
            for (at, bytes) in &self.patches {
                for (place, byte) in (*at..).zip(bytes) {
                    if let Some(n) = place.checked_sub(offset).filter(|n| *n < count as u64) {
                        buf[n as usize] = *byte;
                    }
                }
            }
            count
        } else {
            let count = wanted.min(header.len());
            buf[..count].copy_from_slice(&header[..count]);
            count
        };
        self.position += count as u64;
        self.part.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
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
        Some(self.len())
    }
}
