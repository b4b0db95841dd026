//! MP4 edit lists, which symphonia leaves out: they tell how much encoder delay comes before the first audible sample.
//!
//! ISO/IEC 14496-12, section 8.6.6. Only the common case is read: the track plays from one media time on.

use std::io;
use std::ops::Range;

use crate::amr::Band;
use crate::demux::big_endian;
use crate::{Input, sniff};

/// The most boxes to look at in one parent.
const MAX_BOXES: usize = 4096;

/// Media time, in ticks of the track's own time base, where the presentation of a track begins; 0 if nothing says otherwise.
pub(crate) fn media_start(input: &Input, track: u32) -> io::Result<u64> {
    for moov in children(input, 0..input.len()?, b"moov")? {
        for trak in children(input, moov, b"trak")? {
            if track_id(input, &trak)? == Some(track) {
                return edit_start(input, trak);
            }
        }
    }
    Ok(0)
}

/// Track numbers and the names of their first sample entries.
fn sample_entries(input: &Input) -> io::Result<Vec<(Option<u32>, Vec<u8>)>> {
    const PATH: [&[u8; 4]; 4] = [b"mdia", b"minf", b"stbl", b"stsd"];
    let mut entries = Vec::new();
    for moov in children(input, 0..input.len()?, b"moov")? {
        for trak in children(input, moov, b"trak")? {
            let id = track_id(input, &trak)?;
            let mut range = Some(trak);
            for kind in PATH {
                if let Some(outer) = range {
                    range = child(input, outer, kind)?;
                }
            }
            // Version, flags and count, then the first entry's size and name.
            if let Some(stsd) = range {
                entries.push((id, input.bytes_at(stsd.start + 12, 4)?));
            }
        }
    }
    Ok(entries)
}

/// Whether a track's samples are encrypted (ISO/IEC 23001-7): its sample entry is called `enca`.
pub(crate) fn is_encrypted(input: &Input) -> io::Result<bool> {
    let entries = sample_entries(input)?;
    Ok(entries.iter().any(|(_, name)| name == b"enca"))
}

/// The first track of AMR, which symphonia does not know (3GPP TS 26.244, section 6.5).
pub(crate) fn amr_track(input: &Input) -> io::Result<Option<(u32, Band)>> {
    let entries = sample_entries(input)?.into_iter();
    Ok(entries
        .filter_map(|(id, name)| Some((id?, Band::of_entry(&name)?)))
        .next())
}

/// Whether there are movie fragments: the length in `moov` is then that of its own samples, or none.
pub(crate) fn is_fragmented(input: &Input) -> io::Result<bool> {
    Ok(!children(input, 0..input.len()?, b"moof")?.is_empty())
}

/// Where another recording begins behind the boxes of this one, and whether one of them is broken. Fragments go on behind a second
/// header: they are played.
pub(crate) fn another(input: &Input) -> io::Result<(Option<u64>, bool)> {
    let all = input.len()?;
    let (mut end, mut fragmented) = (0, false);
    for _ in 0..MAX_BOXES {
        let header = input.bytes_at(end, 16)?;
        let size = match number(&header, 0, 4) {
            Some(1) => number(&header, 8, 8).unwrap_or(0),
            Some(size) => size,
            None => return Ok((None, true)),
        };
        if end > 0 && sniff::begins_recording(&header) {
            return Ok((Some(end).filter(|_| !fragmented), false));
        }
        fragmented |= header.get(4..8) == Some(b"moof");
        match end.checked_add(size) {
            Some(next) if size >= 8 && next < all => end = next,
            next => return Ok((None, next != Some(all))),
        }
    }
    Ok((None, false))
}

/// Bodies of the boxes of one type inside a range.
fn children(input: &Input, range: Range<u64>, wanted: &[u8; 4]) -> io::Result<Vec<Range<u64>>> {
    let (mut found, mut at) = (Vec::new(), range.start);
    for _ in 0..MAX_BOXES {
        let header = input.bytes_at(at, 16)?;
        let (Some(short), Some(kind)) = (number(&header, 0, 4), header.get(4..8)) else {
            break;
        };
        let (size, header_len) = match short {
            0 => (range.end.saturating_sub(at), 8),
            1 => (number(&header, 8, 8).unwrap_or(0), 16),
            size => (size, 8),
        };
        let end = at.saturating_add(size);
        if size < header_len || end > range.end {
            break;
        }
        if kind == wanted {
            found.push(at + header_len..end);
        }
        at = end;
    }
    Ok(found)
}

/// The first box of one type inside a range.
fn child(input: &Input, range: Range<u64>, wanted: &[u8; 4]) -> io::Result<Option<Range<u64>>> {
    Ok(children(input, range, wanted)?.into_iter().next())
}

fn track_id(input: &Input, trak: &Range<u64>) -> io::Result<Option<u32>> {
    let Some(tkhd) = child(input, trak.clone(), b"tkhd")? else {
        return Ok(None);
    };
    let body = input.bytes_at(tkhd.start, 24)?;
    let at = if body.first() == Some(&1) { 20 } else { 12 };
    Ok(number(&body, at, 4).map(|id| id as u32))
}

fn edit_start(input: &Input, trak: Range<u64>) -> io::Result<u64> {
    let Some(edts) = child(input, trak, b"edts")? else {
        return Ok(0);
    };
    let Some(elst) = child(input, edts, b"elst")? else {
        return Ok(0);
    };
    let body = input.bytes_at(elst.start, 256)?;
    let wide = if body.first() == Some(&1) { 8 } else { 4 };
    let entries = number(&body, 4, 4).unwrap_or(0).min(8) as usize;
    let mut times = (0..entries).map_while(|n| number(&body, 8 + n * (2 * wide + 4) + wide, wide));
    // A first media time of -1 is an empty edit: it shifts the track against the others, which does not matter here.
    let empty = if wide == 8 {
        u64::MAX
    } else {
        u64::from(u32::MAX)
    };
    Ok(times.find(|time| *time != empty).unwrap_or(0))
}

/// A big-endian number of `len` bytes.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    bytes.get(at..at + len).map(big_endian)
}
