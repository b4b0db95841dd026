//! A remote file that is fetched as it is read.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::spool::temporary_file;
use crate::wire::{Session, Stop, Target, Version};

/// What is fetched is a multiple of this: 256 KiB.
const BLOCK: u64 = 256 << 10;
/// The most blocks that one request asks for.
const MOST: u64 = 64;
/// What is asked for beside a place that was jumped to.
const FEW: u64 = 1;

/// A file on a server that sends parts. What was read once is kept in a temporary file without a name, so that nothing
/// is fetched twice.
///
/// A reader that goes on where it was gets more and more with each request, up to 16 MiB; one that jumps, 256 KiB.
pub struct Remote {
    shown: String,
    len: u64,
    stop: Stop,
    state: Mutex<State>,
}

struct State {
    session: Session,
    target: Target,
    version: Version,
    /// Holds the blocks that there are, each at its place.
    file: File,
    /// Which blocks there are.
    present: Vec<bool>,
    /// The block behind the last that was fetched, and how many came with it.
    next: u64,
    run: u64,
    failed: bool,
    failure: Option<Error>,
}

impl Remote {
    /// `head` is how the file begins.
    pub(crate) fn new(
        session: Session,
        target: Target,
        version: Version,
        head: &[u8],
        dir: Option<PathBuf>,
        stop: Stop,
    ) -> Result<Self, Error> {
        let dir = dir.unwrap_or_else(std::env::temp_dir);
        let file = temporary_file(&dir).map_err(Error::Spool)?;
        file.write_all_at(head, 0).map_err(Error::Spool)?;
        let len = version.total;
        let mut present = vec![false; len.div_ceil(BLOCK) as usize];
        let complete = head.len() as u64 / BLOCK;
        present[..complete as usize].fill(true);
        Ok(Self {
            shown: target.shown.clone(),
            len,
            stop,
            state: Mutex::new(State {
                session,
                target,
                version,
                file,
                present,
                next: complete,
                run: complete.max(FEW),
                failed: false,
                failure: None,
            }),
        })
    }

    /// Bytes.
    #[allow(
        clippy::len_without_is_empty,
        reason = "never empty: it is above 8 MiB"
    )]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Reads at `offset`; fewer bytes than asked for mean the end. Fetches what is not there yet.
    ///
    /// # Errors
    /// Why that failed is then in [`Remote::failure`], and all further reading fails.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = self.len.min(offset.saturating_add(buf.len() as u64));
        if offset >= end {
            return Ok(0);
        }
        let mut state = self.state();
        if state.failed {
            return Err(io::Error::other("fetching it failed before"));
        }
        if let Err(error) = state.provide(offset, end, self.len, &self.stop) {
            let told = io::Error::other(error.to_string());
            (state.failed, state.failure) = (true, Some(error));
            return Err(told);
        }
        let count = (end - offset) as usize;
        state.file.read_exact_at(&mut buf[..count], offset)?;
        Ok(count)
    }

    /// Whether a part could not be fetched: what was read after that is not all there is.
    pub fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Why a part could not be fetched; told once.
    pub fn failure(&self) -> Option<Error> {
        self.state().failure.take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Fetches what is missing of `offset..end`.
    fn provide(&mut self, offset: u64, end: u64, len: u64, stop: &Stop) -> Result<(), Error> {
        let mut block = offset / BLOCK;
        while block * BLOCK < end {
            if self.is_present(block) {
                block += 1;
                continue;
            }
            self.run = match block == self.next {
                true => (2 * self.run).min(MOST),
                false => FEW,
            };
            let wanted = end.div_ceil(BLOCK).max(block + self.run);
            let last = (block..wanted.min(block + MOST))
                .take_while(|block| *block < self.present.len() as u64 && !self.is_present(*block))
                .last()
                .unwrap_or(block);
            self.load(block, last + 1, len, stop)?;
            block = last + 1;
            self.next = block;
        }
        Ok(())
    }

    fn is_present(&self, block: u64) -> bool {
        self.present.get(block as usize).is_some_and(|there| *there)
    }

    fn load(&mut self, first: u64, behind: u64, len: u64, stop: &Stop) -> Result<(), Error> {
        let (from, to) = (first * BLOCK, len.min(behind * BLOCK));
        let (target, version, file) = (&self.target, &self.version, &self.file);
        let mut at = from;
        let take = &mut |piece: &[u8]| {
            file.write_all_at(piece, at).map_err(Error::Spool)?;
            at += piece.len() as u64;
            Ok(())
        };
        self.session.run(stop, target, async |wire| {
            wire.range(target, version, from, to, take).await
        })?;
        self.present[first as usize..behind as usize].fill(true);
        Ok(())
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({}, {} bytes)", self.shown, self.len)
    }
}
