//! A demuxer that plays on behind what is broken, with a hole of the right length in between.
//!
//! It stands around one of symphonia's, which ends there, or passes over it without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, SeekedTo};
use symphonia::core::packet::Packet;

use crate::demux::{as_inner, is_end};
use crate::holes::{Holes, hole};
use crate::open::audio_track;

/// A reader behind a break.
pub(crate) struct Behind<'s> {
    pub(crate) reader: Box<dyn FormatReader + 's>,
    /// Bytes that are missing before it.
    pub(crate) missing: u64,
    /// Whether it begins a file of its own, with times of its own.
    pub(crate) fresh: bool,
}

/// What is known about breaks in a file.
pub(crate) trait Breaks<'s>: Send + Sync {
    /// Where the reader has ended before something broken: what is behind. `None`: this is the end.
    fn behind(&mut self) -> Result<Option<Behind<'s>>>;

    /// Which leap in time is a hole though nothing broken was found there.
    fn leap(&mut self) -> Option<Leap>;
}

/// A leap in time that is a hole.
pub(crate) struct Leap {
    /// It is longer than this, and than a second. 0: any leap.
    pub(crate) ticks: u64,
    /// How many bytes have been read so far, packets and others, where that is known.
    pub(crate) bytes: u64,
}

/// FLAC: each frame tells its number, so each leap is a hole. What has been read and is in no packet may be missing there.
pub(crate) struct Numbered {
    /// Bytes read so far.
    pub(crate) read: Arc<AtomicU64>,
}

impl<'s> Breaks<'s> for Numbered {
    fn behind(&mut self) -> Result<Option<Behind<'s>>> {
        Ok(None)
    }

    fn leap(&mut self) -> Option<Leap> {
        let bytes = self.read.load(Ordering::Relaxed);
        Some(Leap { ticks: 0, bytes })
    }
}

/// The demuxer.
pub(crate) struct Mender<'s> {
    inner: Box<dyn FormatReader + 's>,
    breaks: Box<dyn Breaks<'s> + 's>,
    track: u32,
    per_second: u64,
    holes: Holes,
    /// Time before the next packet, where one was read before; when the last one began, and how long it was.
    time: Option<i64>,
    last: Option<i64>,
    step: u64,
    /// Whether there was a packet, or a seek.
    begun: bool,
    /// Bytes in packets since the last leap.
    bytes: u64,
    /// Bytes missing before the next packet.
    missing: Option<u64>,
    held: Option<Packet>,
    /// Whether a new file begins with the next packet.
    fresh: bool,
}

impl<'s> Mender<'s> {
    /// Around the reader of a file of `all` bytes.
    pub(crate) fn new(
        inner: Box<dyn FormatReader + 's>,
        breaks: Box<dyn Breaks<'s> + 's>,
        all: u64,
    ) -> Self {
        let mut mender = Mender {
            inner,
            breaks,
            track: 0,
            per_second: 1,
            holes: Holes::within(all),
            time: None,
            last: None,
            step: 0,
            begun: false,
            bytes: 0,
            missing: None,
            held: None,
            fresh: false,
        };
        mender.begin();
        mender
    }

    /// As if so many bytes were missing before the first packet.
    pub(crate) fn missing_first(mut self, bytes: u64) -> Self {
        self.missing = Some(bytes);
        self
    }

    /// A new stream, with times of its own.
    fn begin(&mut self) {
        (self.time, self.last, self.missing, self.step) = (None, None, None, 0);
        self.holes = self.holes.anew();
        if let Some((track, params)) = audio_track(&*self.inner) {
            let rate = params.sample_rate.unwrap_or(1);
            self.track = track.id;
            self.per_second = track.time_base.map_or(rate.into(), |base| {
                u64::from(base.denom.get()) / u64::from(base.numer.get()).max(1)
            });
        }
    }

    /// How long a hole before `packet` is.
    fn gap(&mut self, packet: &Packet) -> Option<u64> {
        let start = start(packet);
        let missing = self.missing.take();
        let time = match self.time {
            Some(time) => time,
            // Missing before the first packet of all.
            None if !self.begun && missing.is_some_and(|bytes| bytes > 0) => *self.time.insert(0),
            None => return None,
        };
        let gap = start.saturating_sub(time);
        // A page without a time gives one before all others.
        if start < 0 && gap < 0 {
            return missing.map(|bytes| self.holes.estimate(bytes));
        }
        let gap = u64::try_from(gap).ok()?;
        // Times are rounded.
        if gap == 0 || gap < self.step / 2 {
            return None;
        }
        let bytes = match missing {
            Some(bytes) => bytes,
            None => {
                let leap = self.breaks.leap()?;
                if leap.ticks > 0 && gap <= leap.ticks.max(self.per_second) {
                    return None;
                }
                leap.bytes.saturating_sub(self.bytes)
            }
        };
        Some(self.holes.length(gap, bytes, self.per_second))
    }

    /// Counts on.
    fn passed(&mut self, packet: &Packet) {
        let start = start(packet);
        let step = match packet.dur.get() {
            // Matroska need not tell it: as long as the last one was, up to this.
            0 => match self.last.map(|last| start.saturating_sub(last)) {
                Some(since @ 1..) if self.step == 0 || since as u64 <= 2 * self.step => {
                    since as u64
                }
                _ => self.step,
            },
            told => told,
        };
        (self.step, self.last, self.begun) = (step, Some(start), true);
        self.bytes += packet.data.len() as u64;
        self.holes.good(step, packet.data.len() as u64);
        // What was given stays given.
        let end = start.saturating_add_unsigned(step);
        self.time = Some(self.time.map_or(end, |time| time.max(end)));
    }
}

/// When a packet begins, what is cut off left out.
fn start(packet: &Packet) -> i64 {
    let time = packet.pts.get();
    time.saturating_add_unsigned(packet.trim_start.get())
}

impl FormatReader for Mender<'_> {
    as_inner!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if self.fresh {
                let ticks = self.holes.estimate(self.missing.take().unwrap_or(0));
                if let Some(time) = self.time.take().filter(|_| ticks > 0) {
                    return Ok(Some(hole(self.track, time, ticks)));
                }
                self.fresh = false;
                self.begin();
                return Err(Error::ResetRequired);
            }
            let next = match self.held.take() {
                Some(packet) => Ok(Some(packet)),
                None => self.inner.next_packet(),
            };
            if is_end(&next) {
                let Some(behind) = self.breaks.behind()? else {
                    return next;
                };
                self.inner = behind.reader;
                self.fresh = behind.fresh;
                let before = self.missing.unwrap_or(0);
                self.missing = Some(before.saturating_add(behind.missing));
                continue;
            }
            match next {
                Ok(Some(packet)) if packet.track_id == self.track => {
                    if let Some(length) = self.gap(&packet).filter(|length| *length > 0) {
                        let time = self.time.unwrap_or(0);
                        let believed = time.saturating_add_unsigned(length);
                        // The packet's time is not to be seen as a leap again.
                        (self.time, self.last) = (Some(start(&packet).max(believed)), None);
                        self.held = Some(packet);
                        return Ok(Some(hole(self.track, time, length)));
                    }
                    self.passed(&packet);
                    return Ok(Some(packet));
                }
                Err(Error::ResetRequired) => {
                    self.begin();
                    return Err(Error::ResetRequired);
                }
                other => return other,
            }
        }
    }

    fn seek(&mut self, mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        (self.time, self.last, self.missing, self.held) = (None, None, None, None);
        self.fresh = false;
        self.begun = true;
        self.inner.seek(mode, to)
    }
}
