//! Fragmented MP4 (ISO/IEC 14496-12, section 8.8) with broken boxes: it is played on at the next whole fragment, in its time.
//!
//! symphonia ends where a box is broken. Its reader then is opened again on the same bytes, with the header of a box of data over what
//! is broken. It counts fragments' times by their samples; the hole is made here, by the time that the next fragment tells.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use symphonia::core::errors::Result;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo, SeekedTo};
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;

use crate::demux;
use crate::demux::{as_inner, big_endian, is_end};
use crate::holes::{Holes, Notes, hole};
use crate::input::{Part, Patch};
use crate::open::audio_track;
use crate::watched::Look;

/// The longest moov or moof that is looked into.
const MOST: u64 = 64 << 20;
/// The longest box that is written over something broken.
const LONGEST: u64 = 1 << 31;

/// A hole: where it is in the reader's time, and how long.
#[derive(Clone, Copy, Debug)]
struct Leap {
    from: u64,
    ticks: u64,
}

/// What is known about a file's breaks.
struct Breaks {
    patches: Vec<Patch>,
    /// Before each whole fragment behind a break: bytes that are missing, and what it tells.
    fragments: Vec<(u64, Vec<u8>)>,
    moov: Vec<u8>,
    /// Bytes at the end in which no whole fragment is.
    behind: u64,
}

/// Name, header and length of the box at `at`, if one can be there that ends in the file.
fn header(look: &mut Look<'_>, at: u64) -> io::Result<Option<([u8; 4], u64, u64)>> {
    let left = look.end.saturating_sub(at);
    let bytes = look.bytes(at, 16)?;
    let Some(name) = bytes.get(4..8).and_then(|name| name.first_chunk::<4>()) else {
        return Ok(None);
    };
    let (start, size) = match big_endian(&bytes[..4]) {
        1 if bytes.len() == 16 => (16, big_endian(&bytes[8..])),
        0 => (8, left),
        size => (8, size),
    };
    let named = name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b' ');
    Ok((named && size >= start && size <= left).then_some((*name, start, size)))
}

/// Bodies of the boxes that `bytes` are; `None` where they are not boxes and nothing else.
fn boxes(mut bytes: &[u8]) -> Option<Vec<([u8; 4], &[u8])>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let size = usize::try_from(big_endian(bytes.get(..4)?)).ok()?;
        let name = *bytes.get(4..8)?.first_chunk::<4>()?;
        all.push((name, bytes.get(8..size)?));
        bytes = &bytes[size..];
    }
    Some(all)
}

/// The first box of a name.
fn first<'a>(bytes: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes)?
        .into_iter()
        .find(|one| one.0 == *name)
        .map(|one| one.1)
}

/// Whether the run of samples in a trun box is as long as it says, and not longer than the file.
fn is_run(body: &[u8], end: u64) -> bool {
    run(body, 0).is_some_and(|(_, bytes)| bytes <= end)
}

/// Ticks and bytes of a run.
fn run(body: &[u8], default: u64) -> Option<(u64, u64)> {
    let flags = big_endian(body.get(1..4)?);
    let count = big_endian(body.get(4..8)?) as usize;
    let skip = 8 + [1, 4].iter().filter(|flag| flags & **flag != 0).count() * 4;
    let field = |flag: u64| usize::from(flags & flag != 0) * 4;
    let entry = field(0x100) + field(0x200) + field(0x400) + field(0x800);
    let entries = body.get(skip..)?;
    if entry.checked_mul(count) != Some(entries.len()) {
        return None;
    }
    if entry == 0 {
        return Some((default.saturating_mul(count as u64), 0));
    }
    let (mut ticks, mut bytes) = (0u64, 0u64);
    for entry in entries.chunks_exact(entry) {
        let at = field(0x100);
        ticks = ticks.saturating_add(if at > 0 {
            big_endian(&entry[..4])
        } else {
            default
        });
        if field(0x200) > 0 {
            bytes = bytes.saturating_add(big_endian(&entry[at..at + 4]));
        }
    }
    Some((ticks, bytes))
}

/// Whether a moof box's body is whole as far as it can tell.
fn is_fragment(body: &[u8], end: u64) -> bool {
    let Some(inside) = boxes(body) else {
        return false;
    };
    let headed = inside
        .first()
        .is_some_and(|one| one.0 == *b"mfhd" && one.1.len() == 8);
    headed
        && inside.iter().filter(|one| one.0 == *b"traf").all(|traf| {
            boxes(traf.1).is_some_and(|inside| {
                inside.first().is_some_and(|one| one.0 == *b"tfhd")
                    && inside
                        .iter()
                        .all(|one| one.0 != *b"trun" || is_run(one.1, end))
            })
        })
}

/// The body of the moof box at `at`, if a whole one is there.
fn fragment(look: &mut Look<'_>, at: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let Some((_, start, size)) =
        header(look, at)?.filter(|(name, _, size)| name == b"moof" && *size <= MOST)
    else {
        return Ok(None);
    };
    // By the headers first: what looks like a box may claim megabytes.
    let (mut inside, end) = (at + start, at + size);
    while inside < end {
        match header(look, inside)? {
            Some((_, _, size)) => inside += size,
            None => return Ok(None),
        }
    }
    if inside != end {
        return Ok(None);
    }
    let end = look.end;
    let body = look.bytes(at + start, (size - start) as usize)?;
    Ok(is_fragment(body, end).then(|| (body.to_vec(), size)))
}

/// The header of a box of data.
fn data(at: u64, size: u32) -> Patch {
    let [a, b, c, d] = size.to_be_bytes();
    (at, [a, b, c, d, b'm', b'd', b'a', b't'])
}

/// Looks for what is broken. `None`: nothing, or it is not fragmented.
fn find(look: &mut Look<'_>) -> io::Result<Option<Breaks>> {
    let mut found = Breaks {
        patches: Vec::new(),
        fragments: Vec::new(),
        moov: Vec::new(),
        behind: 0,
    };
    let (mut at, mut missing) = (0, 0);
    while at < look.end {
        let whole = match header(look, at)? {
            Some((name, ..)) if &name == b"moof" => match fragment(look, at)? {
                Some((body, size)) => {
                    found.fragments.push((std::mem::take(&mut missing), body));
                    Some(size)
                }
                None => None,
            },
            Some((name, start, size)) => {
                if &name == b"moov" && size <= MOST {
                    let body = look.bytes(at + start, (size - start) as usize)?;
                    found.moov = body.to_vec();
                }
                Some(size)
            }
            None => None,
        };
        if let Some(size) = whole {
            at += size;
            continue;
        }
        if first(&found.moov, b"mvex").is_none() {
            return Ok(None);
        }
        let mut from = at;
        let next = loop {
            let Some(place) = look.find(from, b"m")? else {
                break None;
            };
            if look.bytes(place, 4)? == b"moof"
                && place >= at + 12
                && fragment(look, place - 4)?.is_some()
            {
                break Some(place - 4);
            }
            from = place + 1;
        };
        let Some(next) = next else {
            // Cut off in a box, it is played as far as it goes.
            let bytes = look.bytes(at, 8)?.to_vec();
            let cut = bytes.len() < 8 || matches!(&bytes[4..8], b"mdat" | b"moof" | b"mfra");
            let left = look.end - at;
            found.behind = if cut { 0 } else { left };
            if bytes.get(4..8) == Some(b"mdat")
                && let Ok(size) = u32::try_from(left)
            {
                // Its samples are read up to the end.
                found.patches.push(data(at, size));
            }
            break;
        };
        missing += next - at;
        while at < next {
            // No rest that is shorter than a box's header.
            let size = match next - at {
                left if left <= LONGEST => left,
                left => LONGEST.min(left - 8),
            };
            found.patches.push(data(at, size as u32));
            at += size;
        }
    }
    Ok((!found.patches.is_empty() || found.behind > 0).then_some(found))
}

impl Breaks {
    /// The track's holes.
    fn leaps(&self, track: u32, per_second: u64) -> Option<Vec<Leap>> {
        let id = u64::from(track);
        let mvex = boxes(first(&self.moov, b"mvex")?)?.into_iter();
        let default = mvex
            .filter(|one| one.0 == *b"trex" && one.1.get(4..8).map(big_endian) == Some(id))
            .find_map(|one| one.1.get(12..16).map(big_endian));
        let mut time = self.before(track).unwrap_or(0);
        let (mut expected, mut leaps, mut holes) = (time, Vec::new(), Holes::default());
        for (missing, moof) in &self.fragments {
            for traf in boxes(moof)?.iter().filter(|one| one.0 == *b"traf") {
                let tfhd = first(traf.1, b"tfhd")?;
                if tfhd.get(4..8).map(big_endian) != Some(id) {
                    continue;
                }
                let flags = big_endian(tfhd.get(1..4)?);
                let at = 8 + [(1, 8), (2, 4)]
                    .iter()
                    .map(|(flag, bytes)| if flags & flag != 0 { *bytes } else { 0 })
                    .sum::<usize>();
                let own = tfhd
                    .get(at..at + 4)
                    .filter(|_| flags & 8 != 0)
                    .map(big_endian);
                let default = own.or(default).unwrap_or(0);
                let (mut ticks, mut bytes) = (0u64, 0u64);
                for one in boxes(traf.1)?.iter().filter(|one| one.0 == *b"trun") {
                    let run = run(one.1, default)?;
                    ticks = ticks.saturating_add(run.0);
                    bytes = bytes.saturating_add(run.1);
                }
                let told = first(traf.1, b"tfdt").and_then(|body| match body.first()? {
                    0 => body.get(4..8).map(big_endian),
                    _ => body.get(4..12).map(big_endian),
                });
                if *missing > 0 {
                    let gap = told.map_or(holes.estimate(*missing), |told| {
                        holes.length(told.saturating_sub(expected), *missing, per_second)
                    });
                    if gap > 0 {
                        leaps.push(Leap {
                            from: time,
                            ticks: gap,
                        });
                    }
                }
                holes.good(ticks, bytes);
                time = time.saturating_add(ticks);
                expected = told.unwrap_or(expected).saturating_add(ticks);
            }
        }
        Some(leaps)
    }

    /// Ticks of the track's samples before the fragments.
    fn before(&self, track: u32) -> Option<u64> {
        let traks = boxes(&self.moov)?;
        let trak = traks.iter().filter(|one| one.0 == *b"trak").find(|trak| {
            first(trak.1, b"tkhd")
                .and_then(|body| {
                    let at = if body.first() == Some(&1) { 20 } else { 12 };
                    body.get(at..at + 4).map(big_endian)
                })
                .is_some_and(|id| id == u64::from(track))
        })?;
        let path: [&[u8; 4]; 4] = [b"mdia", b"minf", b"stbl", b"stts"];
        let stts = path
            .iter()
            .try_fold(trak.1, |bytes, name| first(bytes, name))?;
        let entries = stts.get(8..)?.chunks_exact(8);
        Some(entries.fold(0u64, |sum, entry| {
            sum.saturating_add(big_endian(&entry[..4]).saturating_mul(big_endian(&entry[4..])))
        }))
    }
}

/// A demuxer that plays on behind what is broken.
pub(crate) struct Fragments<'s> {
    part: Part<'s>,
    notes: Arc<Notes>,
    inner: Box<dyn FormatReader + 's>,
    track: u32,
    looked: bool,
    broken: bool,
    leaps: Vec<Leap>,
    /// The next of them, and how long those before are together.
    next: usize,
    shift: u64,
    /// Where the reader's time was left, and from where packets are new.
    time: i64,
    from: i64,
    held: Option<Packet>,
}

impl<'s> Fragments<'s> {
    /// Around a reader of all of the part. `broken`: it may pass over something without a word.
    pub(crate) fn new(
        part: Part<'s>,
        notes: &Arc<Notes>,
        inner: Box<dyn FormatReader + 's>,
        broken: bool,
    ) -> Self {
        Fragments {
            broken,
            part,
            notes: notes.clone(),
            track: audio_track(&*inner).map_or(0, |(track, _)| track.id),
            inner,
            looked: false,
            leaps: Vec::new(),
            next: 0,
            shift: 0,
            time: 0,
            from: i64::MIN,
            held: None,
        }
    }

    /// Opens a reader that passes over what is broken, and knows the holes. `false`: nothing is.
    fn mend(&mut self) -> Result<bool> {
        if std::mem::replace(&mut self.looked, true) {
            return Ok(false);
        }
        let mut look = Look::new(&self.part);
        let Some(breaks) = find(&mut look)? else {
            return Ok(false);
        };
        self.notes.behind.store(breaks.behind, Ordering::Relaxed);
        let per_second = audio_track(&*self.inner)
            .and_then(|(track, _)| track.time_base)
            .map_or(1, |base| u64::from(base.denom.get()));
        self.leaps = breaks.leaps(self.track, per_second).unwrap_or_default();
        if breaks.patches.is_empty() {
            return Ok(false);
        }
        let source = self.part.source(Vec::new()).patched(breaks.patches);
        let Ok(inner) = demux::open(source) else {
            return Ok(false);
        };
        self.inner = inner;
        self.from = self.time;
        Ok(true)
    }
}

impl FormatReader for Fragments<'_> {
    as_inner!();

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        if std::mem::take(&mut self.broken) {
            self.mend()?;
            self.from = i64::MIN;
        }
        loop {
            let next = match self.held.take() {
                Some(packet) => Ok(Some(packet)),
                None => self.inner.next_packet(),
            };
            if is_end(&next) && self.mend()? {
                continue;
            }
            let mut packet = match next {
                Ok(Some(packet)) if packet.track_id == self.track => packet,
                other => return other,
            };
            let time = packet.pts.get();
            if time < self.from {
                continue;
            }
            if let Some(leap) = self.leaps.get(self.next)
                && leap.from <= u64::try_from(time).unwrap_or(0)
            {
                let at = time.saturating_add_unsigned(self.shift);
                self.held = Some(packet);
                self.next += 1;
                self.shift += leap.ticks;
                return Ok(Some(hole(self.track, at, leap.ticks)));
            }
            self.time = time.saturating_add_unsigned(packet.dur.get());
            packet.pts = Timestamp::new(time.saturating_add_unsigned(self.shift));
            packet.dts = packet.pts;
            return Ok(Some(packet));
        }
    }

    fn seek(&mut self, mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        let SeekTo::Timestamp { ts, track_id } = to else {
            return self.inner.seek(mode, to);
        };
        if std::mem::take(&mut self.broken) {
            self.mend()?;
        }
        (self.next, self.shift, self.held) = (0, 0, None);
        let mut wanted = ts.get();
        for leap in &self.leaps {
            let from = i64::try_from(leap.from.saturating_add(self.shift)).unwrap_or(i64::MAX);
            if ts.get() < from {
                break;
            }
            if ts.get() < from.saturating_add_unsigned(leap.ticks) {
                wanted = from.saturating_sub_unsigned(self.shift);
                break;
            }
            (self.next, self.shift) = (self.next + 1, self.shift.saturating_add(leap.ticks));
            wanted = ts.get().saturating_sub_unsigned(self.shift);
        }
        self.from = i64::MIN;
        let ts = Timestamp::new(wanted);
        let mut sought = self.inner.seek(mode, SeekTo::Timestamp { ts, track_id })?;
        let shift = self.shift;
        for ts in [&mut sought.actual_ts, &mut sought.required_ts] {
            *ts = Timestamp::new(ts.get().saturating_add_unsigned(shift));
        }
        Ok(sought)
    }
}
