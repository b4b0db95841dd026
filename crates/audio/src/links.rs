//! FLAC files put one behind the other, with tags between them or not: each is a link, as in a chained Ogg file.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use symphonia::core::errors::{Error as Symphonia, Result, SeekErrorKind, seek_error};
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, SeekedTo};
use symphonia::core::packet::Packet;

use crate::demux::{as_inner, big_endian};
use crate::input::Part;
use crate::open::tags_behind;
use crate::{Error, Input, demux};

/// Bytes read at once.
const READ: usize = 1 << 20;
/// What a FLAC file begins with: its mark, and the header of a STREAMINFO block (RFC 9639, section 8).
const MARK: [u8; 8] = *b"fLaC\0\0\0\x22";
/// Most files in one, and most tags that may lie between two.
const MOST: usize = 100_000;

/// What a STREAMINFO block tells (RFC 9639, section 8.2), as far as [`is_one`] needs it.
struct StreamInfo {
    /// Samples of a block where all have as many.
    block: u64,
    /// Bytes of the largest frame.
    largest: usize,
    samples: u64,
}

impl StreamInfo {
    /// `None` where something is not told.
    fn read(bytes: &[u8]) -> Option<Self> {
        let body = bytes.strip_prefix(&MARK[..4])?.get(4..22)?;
        let info = StreamInfo {
            block: big_endian(&body[2..4]),
            largest: big_endian(&body[7..10]) as usize,
            samples: big_endian(&body[13..18]) & ((1 << 36) - 1),
        };
        (info.largest > 0 && info.samples > 0).then_some(info)
    }

    /// The samples that a frame holds, where `bytes` begin with the header of one (section 9.1).
    fn frame(&self, bytes: &[u8]) -> Option<Range<u64>> {
        let &[0xff, sync @ 0xf8..=0xf9, sizes, form, lead, ..] = bytes else {
            return None;
        };
        let (block, rate) = (sizes >> 4, sizes & 15);
        if block == 0 || rate == 15 || form >> 4 > 10 || form & 1 != 0 {
            return None;
        }
        // As UTF-8 codes a number, up to 36 bits.
        let more = match lead.leading_ones() {
            0 => 0,
            ones @ 2..=7 => ones as usize - 1,
            _ => return None,
        };
        let mut number = u64::from(lead) & (0x7f >> more);
        for byte in bytes.get(5..5 + more)? {
            number = number << 6 | u64::from(byte & 0x3f);
        }
        let mut at = 5 + more;
        let mut field = |size: usize| {
            let bytes = bytes.get(at..at + size)?;
            at += size;
            Some(big_endian(bytes))
        };
        let samples = match block {
            1 => 192,
            2..=5 => 576 << (block - 2),
            6 => field(1)? + 1,
            7 => field(2)? + 1,
            _ => 256 << (block - 8),
        };
        field(match rate {
            12 => 1,
            13 | 14 => 2,
            _ => 0,
        })?;
        let crc = bytes[..at].iter().fold(0u8, |crc, byte| {
            (0..8).fold(crc ^ byte, |c, _| {
                c << 1 ^ if c & 0x80 != 0 { 7 } else { 0 }
            })
        });
        let first = match sync & 1 {
            0 => number * self.block,
            _ => number,
        };
        (crc == *bytes.get(at)?).then_some(first..first + samples)
    }

    fn frames<'a>(&'a self, bytes: &'a [u8]) -> impl DoubleEndedIterator<Item = Range<u64>> + 'a {
        (0..bytes.len()).filter_map(|at| self.frame(&bytes[at..]))
    }
}

/// Whether `input`, that has nothing but tags behind `end`, is one file for all that five looks tell: the last frame ends where
/// its header says, and frames come in order. So a range of a long recording, or its length, is had without reading all of it.
fn is_one(input: &Input, end: u64) -> std::result::Result<bool, Error> {
    let head = input.bytes_at(0, 26)?;
    let Some(info) = StreamInfo::read(&head) else {
        return Ok(false);
    };
    // A header lies wholly in one of two frames' lengths.
    let size = 2 * info.largest + 16;
    if end < 8 * size as u64 {
        return Ok(false);
    }
    let mut last = 0;
    for quarter in 1..4 {
        let bytes = input.bytes_at(end / 4 * quarter, size)?;
        match info.frames(&bytes).next() {
            Some(frame) if frame.start > last && frame.end < info.samples => last = frame.start,
            _ => return Ok(false),
        }
    }
    let bytes = input.bytes_at(end - size as u64, size)?;
    Ok(info
        .frames(&bytes)
        .next_back()
        .is_some_and(|frame| frame.end == info.samples && frame.start > last))
}

/// Where each file lies in `input`, tags behind it left out; and whether it is sure that the only one is whole.
pub(crate) fn find(
    input: &Input,
    stop: Option<&AtomicBool>,
) -> std::result::Result<(Vec<Range<u64>>, bool), Error> {
    let all = input.len()?;
    let end = all - tags_behind(input, all)?;
    let (mut starts, mut tags, mut at) = (Vec::new(), Vec::new(), 0);
    let whole = is_one(input, end)?;
    if whole {
        (starts, at) = (vec![0], all);
    }
    while at < all && starts.len() < MOST {
        if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(Error::Cancelled);
        }
        let bytes = input.bytes_at(at, READ + 10)?;
        let fresh = bytes.len().min(READ);
        let mut from = 0;
        while let Some(found) = bytes[from..fresh]
            .iter()
            .position(|b| matches!(b, b'f' | b'I'))
        {
            let (here, place) = (&bytes[from + found..], at + (from + found) as u64);
            from += found + 1;
            // The last block of the headers is marked in its first bit.
            if here.len() >= 8
                && here[..4] == MARK[..4]
                && here[4] & 0x7f == 0
                && here[5..8] == MARK[5..]
            {
                starts.push(place);
            } else if let [b'I', b'D', b'3', 2..=4, _, flags, a, b, c, d, ..] = here
                && tags.len() < MOST
            {
                let size = [a, b, c, d]
                    .iter()
                    .fold(0, |n, b| n << 7 | u64::from(**b & 0x7f));
                let footer = if flags & 0x10 != 0 { 20 } else { 10 };
                tags.push(place..place + size + footer);
            }
        }
        at += READ as u64;
    }
    let mut links = Vec::new();
    for (n, start) in starts.iter().enumerate() {
        let mut end = starts.get(n + 1).copied().unwrap_or(all);
        while let Some(tag) = tags.iter().find(|tag| tag.end == end && tag.start > *start) {
            end = tag.start;
        }
        links.push(*start..end - tags_behind(input, end)?.min(end - start));
    }
    Ok((links, whole))
}

/// A reader of one file after the other.
pub(crate) struct Links<'s> {
    part: Part<'s>,
    inner: Box<dyn FormatReader + 's>,
    left: std::vec::IntoIter<Range<u64>>,
}

impl<'s> Links<'s> {
    /// Of two links or more.
    pub(crate) fn open(part: Part<'s>, links: Vec<Range<u64>>) -> Result<Self> {
        let mut left = links.into_iter();
        let first = left.next().unwrap_or(0..0);
        Ok(Links {
            inner: demux::open(part.at(first).source(Vec::new()))?,
            part,
            left,
        })
    }
}

impl FormatReader for Links<'_> {
    as_inner!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        match self.inner.next_packet() {
            Ok(None) => {}
            Err(Symphonia::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            }
            other => return other,
        }
        // A damaged one is passed over, and counts as damage.
        let Some(next) = self.left.next() else {
            return Ok(None);
        };
        self.inner = match demux::open(self.part.at(next).source(Vec::new())) {
            Ok(inner) => inner,
            Err(Symphonia::IoError(error)) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                return Err(Symphonia::IoError(error));
            }
            Err(_) => {
                return Err(Symphonia::DecodeError(
                    "flac: a file behind another is damaged",
                ));
            }
        };
        Err(Symphonia::ResetRequired)
    }

    fn seek(&mut self, _mode: SeekMode, _to: SeekTo) -> Result<SeekedTo> {
        seek_error(SeekErrorKind::Unseekable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(seconds: u32, seed: u32) -> Vec<u8> {
        let mut state = seed;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let samples: Vec<f32> = (0..seconds * 16_000)
            .map(|n| (n as f32 * 1e-4).sin() * noise())
            .collect();
        crate::flac::write(&samples, 16_000)
    }

    #[test]
    fn five_looks_tell_one_file_from_several() {
        let one = |bytes: Vec<u8>| {
            let end = bytes.len() as u64;
            is_one(&Input::Bytes(bytes.into()), end).unwrap()
        };
        let whole = voice(60, 1);
        assert!(one(whole.clone()));
        assert!(!one(whole[..whole.len() / 2].to_vec()), "cut short");
        // As long as the first, longer, shorter.
        for seconds in [60, 90, 5] {
            assert!(
                !one([whole.clone(), voice(seconds, 2)].concat()),
                "{seconds}"
            );
        }
        assert!(!one([voice(5, 2), whole.clone(), voice(5, 2)].concat()));
        assert!(!one(voice(1, 3)), "too short to tell");
    }
}
