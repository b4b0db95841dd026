//! A source that looks at the structure of what is read from it, and ends where that is broken.
//!
//! symphonia's readers pass over what is broken, or fail. So they get to see what is whole only; who called them is told of the break, and
//! can open another reader behind it.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::FormatReader;
use symphonia::core::io::MediaSource;

use crate::holes::Notes;
use crate::input::{Part, Source};
use crate::mender::{Behind, Breaks, Leap};
use crate::{Input, demux};

/// Bytes looked at, at once.
const LOOK: usize = 64 << 10;
/// Most breaks of a file that are mended.
const MOST_BREAKS: u32 = 1_000;

/// Where a file is broken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Break {
    pub(crate) at: u64,
    /// Where it is whole again.
    pub(crate) next: Option<u64>,
    /// Bytes that are missing in between.
    pub(crate) missing: u64,
    /// Whether the file was cut off here.
    pub(crate) truncated: bool,
    /// Whether what is behind the break is a file of its own.
    pub(crate) fresh: bool,
}

/// What is at a place.
pub(crate) enum Unit {
    /// Something whole, of so many bytes.
    Good(u64),
    /// What cannot be judged; nor what is behind it.
    Unknown,
    Broken(Break),
}

/// Knows the structure of a format. Places are in the input.
pub(crate) trait Walk: Send {
    /// Reading goes on at another place.
    fn restart(&mut self, at: u64);

    /// What is at `at`, behind all that was good.
    fn unit(&mut self, look: &mut Look<'_>, at: u64) -> io::Result<Unit>;

    /// Whether the file is several, one behind the other: symphonia's search for the end of one of them loses its way then.
    fn several(&self) -> bool {
        false
    }

    /// Leaps in time longer than this, in ticks, are holes though nothing is broken there. `None`: no leap is.
    fn leap(&self) -> Option<u64> {
        None
    }

    /// What a reader needs before what is behind a break; `None`: it cannot be told.
    fn header(&mut self, look: &mut Look<'_>, found: &Break) -> io::Result<Option<Vec<u8>>>;
}

/// Bytes of an input, read in larger pieces.
pub(crate) struct Look<'s> {
    input: Input,
    stop: Option<&'s AtomicBool>,
    pub(crate) end: u64,
    chunk: Vec<u8>,
    at: u64,
}

impl<'s> Look<'s> {
    /// Of the bytes before the part's end.
    pub(crate) fn new(part: &Part<'s>) -> Self {
        Look {
            input: part.input.clone(),
            stop: part.stop,
            end: part.window.end,
            chunk: Vec::new(),
            at: 0,
        }
    }

    /// `count` bytes at `at`, fewer at the end.
    pub(crate) fn bytes(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let held = self.at..self.at + self.chunk.len() as u64;
        if !(held.start..=held.end).contains(&at) || at + count as u64 > held.end {
            if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                return Err(io::Error::other("cancelled"));
            }
            self.chunk = self.input.bytes_at(at, count.max(LOOK).min(left))?;
            self.at = at;
        }
        let from = (at - self.at) as usize;
        let to = (from + count).min(self.chunk.len());
        Ok(&self.chunk[from.min(to)..to])
    }

    /// The next place from `from` on where one of `firsts` is.
    pub(crate) fn find(&mut self, mut from: u64, firsts: &[u8]) -> io::Result<Option<u64>> {
        while from < self.end {
            // All that is held from here on, without reading any of it again.
            self.bytes(from, 1)?;
            let bytes = &self.chunk[((from - self.at) as usize).min(self.chunk.len())..];
            let found = bytes.iter().position(|byte| firsts.contains(byte));
            if let Some(found) = found {
                return Ok(Some(from + found as u64));
            }
            if bytes.is_empty() {
                break;
            }
            from += bytes.len() as u64;
        }
        Ok(None)
    }
}

/// A walk, and where the last read has come to a break.
pub(crate) struct Watch<W> {
    pub(crate) walk: W,
    pub(crate) cut: Option<Break>,
    breaks: u32,
}

/// Shared by a source and by who opens readers of it.
pub(crate) type Shared<W> = Arc<Mutex<Watch<W>>>;

pub(crate) fn shared<W: Walk>(walk: W) -> Shared<W> {
    Arc::new(Mutex::new(Watch {
        walk,
        cut: None,
        breaks: 0,
    }))
}

pub(crate) fn lock<W>(watch: &Shared<W>) -> MutexGuard<'_, Watch<W>> {
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens readers behind the breaks of a file.
pub(crate) struct Watching<'s, W> {
    pub(crate) part: Part<'s>,
    pub(crate) watch: Shared<W>,
    pub(crate) notes: Arc<Notes>,
}

impl<'s, W: Walk + 's> Watching<'s, W> {
    /// A reader of all that `header` does not replace.
    pub(crate) fn open(&self, header: Vec<u8>, from: u64) -> Result<Box<dyn FormatReader + 's>> {
        let part = self.part.at(from..self.part.window.end);
        demux::open(Watched::new(part.source(header), self.watch.clone()))
    }
}

impl<'s, W: Walk + 's> Breaks<'s> for Watching<'s, W> {
    fn behind(&mut self) -> Result<Option<Behind<'s>>> {
        let (end, mut look) = (self.part.window.end, Look::new(&self.part));
        let mut missing = 0u64;
        loop {
            // In a statement of its own: opening locks it.
            let found = lock(&self.watch).cut.take();
            let Some(found) = found else { break };
            missing = missing.saturating_add(found.missing);
            let Some(next) = found.next else {
                if found.truncated {
                    self.notes.truncated.store(true, Ordering::Relaxed);
                    return Ok(None);
                }
                break;
            };
            let header = match found.fresh {
                true => Some(Vec::new()),
                false => lock(&self.watch).walk.header(&mut look, &found)?,
            };
            let Some(header) = header else {
                missing = missing.saturating_add(end - next);
                break;
            };
            match self.open(header, next) {
                Ok(reader) => {
                    return Ok(Some(Behind {
                        reader,
                        missing,
                        fresh: found.fresh,
                    }));
                }
                Err(Error::IoError(error)) if error.kind() != ErrorKind::UnexpectedEof => {
                    return Err(Error::IoError(error));
                }
                // Too little before the next break, or the end.
                Err(_) => {
                    let until = lock(&self.watch).cut.map_or(end, |cut| cut.at);
                    missing = missing.saturating_add(until.saturating_sub(next));
                }
            }
        }
        self.notes.behind.fetch_add(missing, Ordering::Relaxed);
        Ok(None)
    }

    fn leap(&mut self) -> Option<Leap> {
        let ticks = lock(&self.watch).walk.leap()?;
        Some(Leap { ticks, bytes: 0 })
    }
}

/// The source.
pub(crate) struct Watched<'s, W> {
    source: Source<'s>,
    look: Look<'s>,
    header: u64,
    start: u64,
    position: u64,
    /// What was found good, in the input.
    good: Range<u64>,
    watch: Shared<W>,
}

impl<'s, W: Walk> Watched<'s, W> {
    /// Of a source whose header is whole.
    pub(crate) fn new(source: Source<'s>, watch: Shared<W>) -> Self {
        let (part, window) = (source.part(), source.part().window.clone());
        Watched {
            look: Look::new(part),
            header: source.len() - (window.end - window.start),
            start: window.start,
            position: 0,
            good: 0..0,
            watch,
            source,
        }
    }

    /// Bytes that may be read at the present place; 0 before a break.
    fn allowed(&mut self) -> io::Result<u64> {
        let at = self.start + (self.position - self.header);
        let mut watch = lock(&self.watch);
        watch.cut = None;
        if self.good.is_empty() || !(self.good.start..=self.good.end).contains(&at) {
            watch.walk.restart(at);
            self.good = at..at;
        }
        while at >= self.good.end && at < self.look.end {
            let unit = if watch.breaks < MOST_BREAKS {
                watch.walk.unit(&mut self.look, self.good.end)?
            } else {
                Unit::Unknown
            };
            match unit {
                Unit::Good(bytes) if bytes > 0 => {
                    self.good.end = self.good.end.saturating_add(bytes)
                }
                Unit::Broken(found) => {
                    watch.breaks += 1;
                    watch.cut = Some(found);
                    return Ok(0);
                }
                Unit::Good(_) | Unit::Unknown => self.good.end = u64::MAX,
            }
        }
        Ok(self.good.end.saturating_sub(at))
    }
}

impl<W: Walk> Read for Watched<'_, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let allowed = if self.position < self.header {
            self.header - self.position
        } else {
            self.allowed()?
        };
        let wanted = buf
            .len()
            .min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let count = self.source.read(&mut buf[..wanted])?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<W> Seek for Watched<'_, W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.source.seek(to)?;
        Ok(self.position)
    }
}

impl<W: Walk> MediaSource for Watched<'_, W> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        (!lock(&self.watch).walk.several()).then(|| self.source.len())
    }
}
