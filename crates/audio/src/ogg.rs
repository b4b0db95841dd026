//! Ogg whose pages do not all tell their time.
//!
//! A granule position of -1 means that no packet ends on a page (RFC 3533, section 6), but some writers put it on pages where packets do.
//! symphonia takes it for a time: it cuts the packets that "end after it", and counts on from there. Here such packets are whole
//! again, and time goes on by their lengths.

use std::collections::VecDeque;

use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, SeekedTo};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use crate::demux::as_inner;
use crate::{Error as AudioError, Input};

/// Most packets that wait for what tells whether they are padding; a page holds 255.
const MOST_HELD: usize = 1024;
/// The most of a stream's end, by its rate, that an encoder adds: one second.
const MOST_PADDING: u64 = 1;
/// Bytes looked at, at the start, in the middle and at the end.
const LOOK: usize = 256 << 10;

/// Whether packets end on a page without a time, as far as the file's start, middle and end show; and whether on the first page of audio.
pub(crate) fn untimed(input: &Input) -> std::result::Result<(bool, bool), AudioError> {
    let all = input.len()?;
    let (mut any, mut first) = (false, None);
    for at in [
        0,
        (all / 2).max(LOOK as u64),
        all.saturating_sub(LOOK as u64),
    ] {
        let bytes = input.bytes_at(at, LOOK)?;
        for page in bytes.windows(27).filter(|page| page.starts_with(b"OggS\0")) {
            let granule = i64::from_le_bytes(page[6..14].try_into().expect("eight bytes"));
            let segments = page.as_ptr_range().end as usize - bytes.as_ptr() as usize;
            let lengths = bytes[segments..].iter().take(usize::from(page[26]));
            let ends = lengths.clone().any(|length| *length < 255);
            any |= granule == -1 && ends;
            // Pages of headers are stamped 0.
            if at == 0 && granule != 0 && ends {
                first.get_or_insert(granule == -1);
            }
        }
    }
    Ok((any, first.unwrap_or(false)))
}

/// symphonia's reader, with the packets of such pages put right.
pub(crate) struct OggReader<'s> {
    inner: Box<dyn FormatReader + 's>,
    rate: u64,
    /// Packets that are cut at their ends: padding if the stream ends with them.
    held: VecDeque<Packet>,
    /// Whether those in `held` are as they should be.
    settled: bool,
    /// What comes behind them.
    after: Option<Result<Option<Packet>>>,
    /// Whether the next packet is the first to be heard, and has no time.
    from_zero: bool,
    /// Time before the next packet; unknown after a seek.
    time: Option<i64>,
}

impl<'s> OggReader<'s> {
    /// `from_zero`: the first packets have no time.
    pub(crate) fn new(inner: Box<dyn FormatReader + 's>, rate: u32, from_zero: bool) -> Self {
        OggReader {
            inner,
            rate: rate.into(),
            held: VecDeque::new(),
            settled: false,
            after: None,
            from_zero,
            time: None,
        }
    }

    /// Nothing was cut off these after all.
    fn restore(&mut self) {
        for packet in &mut self.held {
            packet.dur = packet.dur.saturating_add(packet.trim_end);
            packet.trim_end = Duration::ZERO;
        }
        self.settled = true;
    }

    /// Whether what is held may be what an encoder added to fill its last packet.
    fn is_padding(&self) -> bool {
        let cut: u64 = self.held.iter().map(|packet| packet.trim_end.get()).sum();
        cut <= MOST_PADDING * self.rate
    }

    /// Never back in time.
    fn timed(&mut self, mut packet: Packet) -> Packet {
        let delay = packet.trim_start.get() as i64;
        if std::mem::take(&mut self.from_zero) {
            packet.pts = Timestamp::new(-delay);
            self.time = None;
        }
        if let Some(time) = self.time {
            let pts = packet.pts.get().max(time.saturating_sub(delay));
            packet.pts = Timestamp::new(pts);
            packet.dts = packet.pts;
        }
        let end = packet.pts.get().saturating_add(delay);
        self.time = Some(end.saturating_add_unsigned(packet.dur.get()));
        packet
    }
}

impl FormatReader for OggReader<'_> {
    as_inner!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            if self.settled {
                if let Some(packet) = self.held.pop_front() {
                    return Ok(Some(self.timed(packet)));
                }
                self.settled = false;
            }
            if let Some(after) = self.after.take() {
                return match after {
                    Ok(Some(packet)) => Ok(Some(self.timed(packet))),
                    Err(Error::ResetRequired) => {
                        self.time = None;
                        Err(Error::ResetRequired)
                    }
                    other => other,
                };
            }
            let next = self.inner.next_packet();
            match next {
                Ok(Some(packet)) if !packet.trim_end.is_zero() => {
                    self.held.push_back(packet);
                    if self.held.len() >= MOST_HELD {
                        self.restore();
                    }
                }
                Ok(Some(packet)) => {
                    self.restore();
                    self.after = Some(Ok(Some(packet)));
                }
                end => {
                    if !self.is_padding() {
                        self.restore();
                    }
                    self.settled = true;
                    self.after = Some(end);
                }
            }
        }
    }

    fn seek(&mut self, mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        self.held.clear();
        (self.settled, self.after) = (false, None);
        (self.from_zero, self.time) = (false, None);
        self.inner.seek(mode, to)
    }
}
