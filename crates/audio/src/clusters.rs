//! Elements of Matroska and WebM (RFC 8794, RFC 9559): whether each is one that belongs where it is, and has room there. Long, because
//! what is left of a cluster whose beginning is gone is told by all that is around it.

use std::io;

use crate::demux::big_endian;
use crate::watched::{Break, Look, Unit, Walk};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const INFO: u32 = 0x1549_a966;
const DURATION: u32 = 0x4489;
const TRACKS: u32 = 0x1654_ae6b;
const ENTRY: u32 = 0xae;
const NUMBER: u32 = 0xd7;
const VOID: u32 = 0xec;
const CHECKSUM: u32 = 0xbf;
const TIME: u32 = 0xe7;
const POSITION: u32 = 0xa7;
const PREVIOUS: u32 = 0xab;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u8 = 0xa1;
/// Children of a segment: SeekHead, Info, Tracks, Cues, Attachments, Chapters, Tags.
const TOP: [u32; 9] = [
    0x114d_9b74,
    INFO,
    TRACKS,
    0x1c53_bb6b,
    0x1941_a469,
    0x1043_a770,
    0x1254_c367,
    VOID,
    CHECKSUM,
];
/// Children of a cluster: Timestamp, PrevSize, Position, SilentTracks, blocks.
const INNER: [u32; 9] = [
    TIME,
    PREVIOUS,
    POSITION,
    0x5854,
    SIMPLE_BLOCK,
    BLOCK_GROUP,
    0xaf,
    VOID,
    CHECKSUM,
];
/// The longest headers that are kept for a reader behind a break.
const MOST_HEADERS: u64 = 16 << 20;
/// Most elements of a cluster that are walked over to find out when it begins; times of blocks have 16 bits.
const MOST_CHILDREN: usize = 1 << 14;

/// An element's header.
#[derive(Clone, Copy)]
struct Element {
    id: u32,
    header: u64,
    /// Bytes behind the header; unknown in a live recording.
    size: Option<u64>,
}

impl Element {
    /// The element at `at`, if one can begin there.
    fn at(look: &mut Look<'_>, at: u64) -> io::Result<Option<Self>> {
        let bytes = look.bytes(at, 12)?;
        let Some(first) = bytes.first().filter(|first| **first >= 0x10) else {
            return Ok(None);
        };
        let id_length = first.leading_zeros() as usize + 1;
        let size_first = bytes.get(id_length).copied().unwrap_or(0);
        let size_length = size_first.leading_zeros() as usize + 1;
        if size_first == 0 || bytes.len() < id_length + size_length {
            return Ok(None);
        }
        let all = (1u64 << (7 * size_length)) - 1;
        let size = big_endian(&bytes[id_length..id_length + size_length]) & all;
        Ok(Some(Element {
            id: big_endian(&bytes[..id_length]) as u32,
            header: (id_length + size_length) as u64,
            size: Some(size).filter(|size| *size != all),
        }))
    }

    fn total(&self) -> Option<u64> {
        self.size.map(|size| size.saturating_add(self.header))
    }
}

/// A cluster: where it ends, if that is told, and its time.
#[derive(Clone, Copy, Default)]
struct Cluster {
    end: Option<u64>,
    time: Option<u64>,
    /// Track and time of the last block.
    last: (u8, i16),
}

/// What is known of a track's blocks in a row: the time of the last one, and how long after the one before.
struct Row {
    track: u8,
    last: i64,
    step: i64,
}

/// A walk from element to element.
#[derive(Default)]
pub(crate) struct Clusters {
    /// Where the file begins, of several one behind the other.
    base: u64,
    cluster: Option<Cluster>,
    synced: bool,
    /// Where a reader goes on behind a break, and in which cluster.
    resumed: Option<(u64, Cluster)>,
    /// Whether clusters may be missing though nothing is broken where they were.
    lossy: bool,
    /// Numbers of the tracks that there are, a bit for each; none: not known.
    tracks: u128,
    /// Time from one block of a track to the next.
    step: i64,
    /// How many clusters there were, and how long all of them, up to their last blocks.
    clusters: u64,
    lasted: u64,
}

impl Clusters {
    /// `lossy`: clusters may be missing though nothing is broken where they were.
    pub(crate) fn new(lossy: bool, tracks: u128) -> Self {
        Clusters {
            lossy,
            tracks,
            ..Clusters::default()
        }
    }

    /// The cluster that begins at `at`, if one does.
    fn begins(look: &mut Look<'_>, at: u64) -> io::Result<Option<(Element, Cluster)>> {
        let Some(found) = Element::at(look, at)?.filter(|found| found.id == CLUSTER) else {
            return Ok(None);
        };
        let first = Element::at(look, at + found.header)?;
        let likely = first.is_some_and(|first| INNER.contains(&first.id));
        let end = found.total().map(|total| at.saturating_add(total));
        let cluster = Cluster {
            end,
            ..Cluster::default()
        };
        Ok(likely.then_some((found, cluster)))
    }

    /// Bytes of a cluster's child at `at`, if one is there and ends before `end`.
    fn child(look: &mut Look<'_>, at: u64, end: u64) -> io::Result<Option<(u32, u64)>> {
        let Some(found) = Element::at(look, at)? else {
            return Ok(None);
        };
        let total = found.total().filter(|total| {
            INNER.contains(&found.id) && at.checked_add(*total).is_some_and(|to| to <= end)
        });
        let (Some(total), Some(size)) = (total, found.size) else {
            return Ok(None);
        };
        let inside = look.bytes(at + found.header, 4)?;
        let good = match found.id {
            // Track, time, flags; tracks above 127 are not heard of.
            SIMPLE_BLOCK => size > 4 && inside.first().is_some_and(|track| *track > 0x80),
            BLOCK_GROUP => size > 4 && inside.first().is_some_and(|id| *id == BLOCK || *id == 0xbf),
            TIME | PREVIOUS | POSITION => (1..=8).contains(&size),
            CHECKSUM => size == 4,
            _ => true,
        };
        Ok(good.then_some((found.id, total)))
    }

    /// Where something whole begins again: a cluster, or two elements in a row of one. Then that one, too.
    fn next(
        &self,
        look: &mut Look<'_>,
        mut from: u64,
    ) -> io::Result<Option<(u64, Option<Cluster>)>> {
        let broken = self.cluster.filter(|cluster| cluster.time.is_some());
        // What ends where its header says has lost no bytes, so all before its end is of it.
        let end = match broken.and_then(|cluster| cluster.end) {
            Some(end) if Self::borders(look, end)? => Some(end),
            _ => None,
        };
        while let Some(at) = look.find(from, &[0x1f, 0xa3, 0xa0])? {
            from = at + 1;
            if Self::begins(look, at)?.is_some() {
                return Ok(Some((at, None)));
            }
            let limit = end.unwrap_or(look.end);
            if at < limit
                && let Some((SIMPLE_BLOCK | BLOCK_GROUP, total)) = Self::child(look, at, limit)?
                && (Some(at + total) == end
                    || Self::child(look, at + total, limit)?.is_some()
                        && self.is_own(look, at + total)?
                    || Self::begins(look, at + total)?.is_some())
                && self.is_own(look, at)?
            {
                if end.is_some() {
                    return Ok(Some((at, broken)));
                }
                let (cluster, behind) = self.owner(look, at, broken)?;
                if cluster.is_some() {
                    return Ok(Some((at, cluster)));
                }
                from = behind;
            }
        }
        Ok(None)
    }

    /// Whether a cluster may end at `at`.
    fn borders(look: &mut Look<'_>, at: u64) -> io::Result<bool> {
        Ok(at == look.end
            || Self::begins(look, at)?.is_some()
            || Element::at(look, at)?
                .is_some_and(|found| found.id == EBML || TOP.contains(&found.id)))
    }

    /// The cluster whose elements begin at `at`, and where they end. It is the broken one, or one whose header is gone: that began as
    /// long before the next cluster as its blocks last. `None`: nothing tells when.
    fn owner(
        &self,
        look: &mut Look<'_>,
        at: u64,
        broken: Option<Cluster>,
    ) -> io::Result<(Option<Cluster>, u64)> {
        let (rows, behind) = self.rows(look, at)?;
        let early = broken.is_some() && self.is_early(look, at)?;
        // Audio comes in shorter steps than pictures.
        let row = rows
            .iter()
            .min_by_key(|row| if row.step > 0 { row.step } else { i64::MAX });
        let mut began = None;
        if let Some(row) = row {
            let step = if row.step > 0 { row.step } else { self.step };
            let next = match Self::begins(look, behind)? {
                Some((element, _)) => Self::first(look, behind + element.header, row.track)?,
                None if Self::borders(look, behind)? && behind < look.end => {
                    headers(look, self.base)?.and_then(|headers| headers.duration)
                }
                None => None,
            };
            began = next.map(|next| (next - step - row.last, 3 * step));
        }
        let cluster = |time| Cluster {
            time: Some(time),
            ..Cluster::default()
        };
        let own = broken.and_then(|broken| broken.time);
        let time = match (own, began) {
            // Where steps are uneven, it is the broken one's as far as can be told.
            (Some(own), Some((began, slack))) if !early && began <= own as i64 + slack => Some(own),
            (Some(own), None) if !early => Some(own),
            (_, Some((began, _))) => u64::try_from(began).ok(),
            _ => None,
        };
        Ok((time.map(cluster), behind))
    }

    /// What is known of the blocks from `at` on, and where they end.
    fn rows(&self, look: &mut Look<'_>, mut at: u64) -> io::Result<(Vec<Row>, u64)> {
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..MOST_CHILDREN {
            let Some((_, total)) = Self::child(look, at, look.end)? else {
                break;
            };
            if !self.is_own(look, at)? {
                break;
            }
            if let Some((track, time)) = block(look, at)? {
                let last = i64::from(time);
                match rows.iter_mut().find(|row| row.track == track) {
                    Some(row) => (row.last, row.step) = (last, last - row.last),
                    None => rows.push(Row {
                        track,
                        last,
                        step: 0,
                    }),
                }
            }
            at += total;
        }
        Ok((rows, at))
    }

    /// The time of a track's first block in the cluster whose elements begin at `at`.
    fn first(look: &mut Look<'_>, mut at: u64, track: u8) -> io::Result<Option<i64>> {
        let mut began = None;
        for _ in 0..MOST_CHILDREN {
            let Some((id, total)) = Self::child(look, at, look.end)? else {
                break;
            };
            if id == TIME {
                began = i64::try_from(number(look, at)?).ok();
            } else if let Some((_, time)) = block(look, at)?.filter(|(of, _)| *of == track) {
                return Ok(began.and_then(|began| began.checked_add(time.into())));
            }
            at += total;
        }
        Ok(None)
    }

    /// Whether the block at `at` is before the last one that was whole: then it is of a later cluster, whose beginning is gone.
    fn is_early(&self, look: &mut Look<'_>, at: u64) -> io::Result<bool> {
        let last = self.cluster.map(|cluster| cluster.last);
        Ok(block(look, at)?
            .zip(last)
            .is_some_and(|((track, time), last)| track == last.0 && time < last.1))
    }

    /// Whether something may begin at `at` that is no element's inside.
    fn goes_on(&self, look: &mut Look<'_>, at: u64) -> io::Result<bool> {
        Ok(at + 12 > look.end
            || self.cluster.and_then(|cluster| cluster.end) == Some(at)
            || Self::borders(look, at)?
            || Self::child(look, at, look.end)?.is_some() && self.is_own(look, at)?)
    }

    /// Whether what begins at `at` is no block of a track that does not exist.
    fn is_own(&self, look: &mut Look<'_>, at: u64) -> io::Result<bool> {
        let own = |track: u8| self.tracks == 0 || self.tracks >> (track & 0x7f) & 1 == 1;
        Ok(block(look, at)?.is_none_or(|(track, _)| own(track)))
    }

    /// What is broken at `at` is whole again from `from` on, or later.
    fn broken(&mut self, look: &mut Look<'_>, at: u64, from: u64) -> io::Result<Unit> {
        let next = self.next(look, from)?;
        self.resumed = next.and_then(|(next, cluster)| Some((next, cluster?)));
        let next = next.map(|(next, _)| next);
        let element = Element::at(look, at)?;
        let left = look.end - at;
        // Cut off in an element, or in its header.
        let truncated = next.is_none()
            && (left < 12
                || element.is_some_and(|found| {
                    (INNER.contains(&found.id) || TOP.contains(&found.id))
                        && found.total().is_none_or(|total| total > left)
                }));
        Ok(Unit::Broken(Break {
            at,
            next,
            missing: next.unwrap_or(look.end) - at,
            truncated,
            fresh: false,
        }))
    }
}

/// All that comes before the clusters and that a reader needs.
pub(crate) struct Headers {
    /// The file's header, a segment of unknown size, Info and Tracks.
    pub(crate) bytes: Vec<u8>,
    /// Where the clusters begin.
    pub(crate) end: u64,
    /// How long the file is, in its own ticks.
    duration: Option<i64>,
    /// Numbers of its tracks, a bit for each.
    pub(crate) tracks: u128,
}

/// The headers of the file at `base`. `None`: not all of them are whole.
pub(crate) fn headers(look: &mut Look<'_>, base: u64) -> io::Result<Option<Headers>> {
    let Some(ebml) = Element::at(look, base)?.filter(|found| found.id == EBML) else {
        return Ok(None);
    };
    let length = ebml.total().unwrap_or(u64::MAX);
    if length > MOST_HEADERS {
        return Ok(None);
    }
    let mut bytes = look.bytes(base, length as usize)?.to_vec();
    let Some(segment) = Element::at(look, base + length)?.filter(|found| found.id == SEGMENT)
    else {
        return Ok(None);
    };
    bytes.extend(SEGMENT.to_be_bytes());
    bytes.extend([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let (mut at, mut found) = (base + length + segment.header, 0);
    let (mut duration, mut tracks) = (None, 0);
    while let Some(element) = Element::at(look, at)? {
        if element.id == CLUSTER {
            return Ok((found == 2).then_some(Headers {
                bytes,
                end: at,
                duration,
                tracks,
            }));
        }
        let Some(total) = element.total().filter(|_| TOP.contains(&element.id)) else {
            break;
        };
        if matches!(element.id, INFO | TRACKS) {
            if total > MOST_HEADERS {
                break;
            }
            bytes.extend_from_slice(look.bytes(at, total as usize)?);
            found += 1;
        }
        if element.id == INFO {
            for place in inside(look, at, DURATION)? {
                duration = float(look, place)?;
            }
        } else if element.id == TRACKS {
            for entry in inside(look, at, ENTRY)? {
                for place in inside(look, entry, NUMBER)? {
                    let number = number(look, place)?.min(128) as u32;
                    tracks |= 1u128.checked_shl(number).unwrap_or(0);
                }
            }
        }
        at = at.saturating_add(total);
    }
    Ok(None)
}

/// Where those elements inside the one at `at` begin that have an id.
fn inside(look: &mut Look<'_>, at: u64, id: u32) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let Some(outer) = Element::at(look, at)? else {
        return Ok(found);
    };
    let end = at.saturating_add(outer.total().unwrap_or(0));
    let mut at = at + outer.header;
    while at < end
        && let Some(inner) = Element::at(look, at)?
        && let Some(total) = inner.total()
    {
        if inner.id == id {
            found.push(at);
        }
        at = at.saturating_add(total);
    }
    Ok(found)
}

/// The bytes of a number, from its element at `at`.
fn value<'a>(look: &'a mut Look<'_>, at: u64) -> io::Result<&'a [u8]> {
    let Some(element) = Element::at(look, at)? else {
        return Ok(&[]);
    };
    let size = element.size.unwrap_or(0).min(8) as usize;
    look.bytes(at + element.header, size)
}

/// A number without a sign: a time, of a track.
fn number(look: &mut Look<'_>, at: u64) -> io::Result<u64> {
    value(look, at).map(big_endian)
}

/// A float of four bytes or eight, rounded, where it is one that a length can be.
fn float(look: &mut Look<'_>, at: u64) -> io::Result<Option<i64>> {
    let bytes = value(look, at)?;
    let value = match bytes.len() {
        4 => f64::from(f32::from_bits(big_endian(bytes) as u32)),
        8 => f64::from_bits(big_endian(bytes)),
        _ => return Ok(None),
    };
    Ok((value > 0.0 && value < 1e15).then_some(value.round() as i64))
}

/// What a segment's size tells.
#[derive(Default)]
pub(crate) struct Extent {
    /// It is longer than the file.
    pub(crate) cut: bool,
    /// Another file is behind it.
    pub(crate) several: bool,
    /// Its size is not known, as in a live recording.
    pub(crate) live: bool,
}

pub(crate) fn extent(look: &mut Look<'_>) -> io::Result<Extent> {
    let Some(length) = Element::at(look, 0)?.and_then(|ebml| ebml.total()) else {
        return Ok(Extent::default());
    };
    let Some(segment) = Element::at(look, length)? else {
        return Ok(Extent::default());
    };
    let Some(end) = segment.total().and_then(|total| length.checked_add(total)) else {
        return Ok(Extent {
            live: segment.id == SEGMENT,
            ..Extent::default()
        });
    };
    let behind = Element::at(look, end)?.is_some_and(|behind| behind.id == EBML);
    Ok(Extent {
        cut: end > look.end,
        several: behind,
        live: false,
    })
}

/// Bytes of a cluster of unknown size that has begun at a time.
fn cluster(time: u64) -> Vec<u8> {
    let mut bytes = CLUSTER.to_be_bytes().to_vec();
    bytes.extend([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend([TIME as u8, 0x88]);
    bytes.extend(time.to_be_bytes());
    bytes
}

impl Walk for Clusters {
    fn restart(&mut self, at: u64) {
        (self.cluster, self.synced) = match self.resumed {
            Some((place, cluster)) if place == at => (Some(cluster), true),
            _ => (None, false),
        };
    }

    fn unit(&mut self, look: &mut Look<'_>, at: u64) -> io::Result<Unit> {
        if self.cluster.is_some_and(|cluster| cluster.end == Some(at)) {
            self.cluster = None;
        }
        let end = self.cluster.and_then(|cluster| cluster.end);
        let end = end.unwrap_or(look.end).min(look.end);
        let Some(found) = Element::at(look, at)? else {
            return if self.synced {
                self.broken(look, at, at)
            } else {
                Ok(Unit::Unknown)
            };
        };
        let fits = found.total().filter(|total| *total <= look.end - at);
        match found.id {
            EBML if at == self.base => {
                self.synced = true;
                return Ok(fits.map_or(Unit::Unknown, Unit::Good));
            }
            // Another file behind this one.
            EBML if self.synced => {
                (self.base, self.cluster, self.resumed) = (at, None, None);
                self.tracks = headers(look, at)?.map_or(0, |headers| headers.tracks);
                return Ok(Unit::Broken(Break {
                    at,
                    next: Some(at),
                    fresh: true,
                    ..Break::default()
                }));
            }
            SEGMENT => return Ok(Unit::Good(found.header)),
            CLUSTER => {
                if let Some((element, mut cluster)) = Self::begins(look, at)? {
                    self.synced = true;
                    if cluster.end.is_some_and(|end| end > look.end) {
                        // The reader is not to see a size that is more than there is.
                        cluster.end = None;
                        let first = at + element.header;
                        let time = Element::at(look, first)?.filter(|first| first.id == TIME);
                        if time.is_some() {
                            cluster.time = Some(number(look, first)?);
                            self.resumed = Some((first, cluster));
                            return Ok(Unit::Broken(Break {
                                at,
                                next: Some(first),
                                ..Break::default()
                            }));
                        }
                    }
                    self.cluster = Some(cluster);
                    self.clusters += 1;
                    return Ok(Unit::Good(element.header));
                }
            }
            id if TOP.contains(&id) && ![VOID, CHECKSUM].contains(&id) => {
                if let Some(total) = fits {
                    (self.cluster, self.synced) = (None, true);
                    return Ok(Unit::Good(total));
                }
            }
            _ => {
                if (self.cluster.is_some() || !self.synced || TOP.contains(&found.id))
                    && let Some((id, total)) = Self::child(look, at, end)?
                    && self.is_own(look, at)?
                {
                    // What is joined to something else is broken itself.
                    if !matches!(id, TIME | POSITION | PREVIOUS | CHECKSUM)
                        && !self.goes_on(look, at + total)?
                        && let Unit::Broken(found) = self.broken(look, at, at + 1)?
                        && found.next.is_some()
                    {
                        return Ok(Unit::Broken(found));
                    }
                    if !TOP.contains(&id) {
                        // The reader may have jumped into the middle of one.
                        let cluster = self.cluster.get_or_insert_default();
                        match id {
                            TIME => cluster.time = Some(number(look, at)?),
                            _ => {
                                if let Some((track, time)) = block(look, at)? {
                                    let (of, last) =
                                        std::mem::replace(&mut cluster.last, (track, time));
                                    if of == track && time > last {
                                        self.step = i64::from(time) - i64::from(last);
                                    }
                                    let longer = time.saturating_sub(last.max(0)).max(0);
                                    self.lasted += longer.unsigned_abs() as u64;
                                }
                            }
                        }
                        self.synced = true;
                    }
                    return Ok(Unit::Good(total));
                }
            }
        }
        if self.synced {
            self.broken(look, at, at)
        } else {
            Ok(Unit::Unknown)
        }
    }

    fn leap(&self) -> Option<u64> {
        let mean = self.lasted / self.clusters.max(1);
        self.lossy.then_some(mean.max(1))
    }

    /// The file's headers, and in the middle of a cluster, its beginning.
    fn header(&mut self, look: &mut Look<'_>, found: &Break) -> io::Result<Option<Vec<u8>>> {
        let Some(Headers { mut bytes, .. }) = headers(look, self.base)? else {
            return Ok(None);
        };
        if let Some((
            place,
            Cluster {
                time: Some(time), ..
            },
        )) = self.resumed
            && Some(place) == found.next
        {
            bytes.extend(cluster(time));
        }
        Ok(Some(bytes))
    }
}

/// Track and time of the block, or the group of one, at `at`; the latter from its cluster's.
fn block(look: &mut Look<'_>, mut at: u64) -> io::Result<Option<(u8, i16)>> {
    let mut inside = false;
    while let Some(found) = Element::at(look, at)? {
        match found.id {
            BLOCK_GROUP if !inside => (inside, at) = (true, at + found.header),
            CHECKSUM if inside => at = at.saturating_add(found.total().unwrap_or(u64::MAX)),
            id if id == SIMPLE_BLOCK || id == u32::from(BLOCK) && inside => {
                return Ok(match look.bytes(at + found.header, 3)? {
                    [track, high, low] => Some((*track, i16::from_be_bytes([*high, *low]))),
                    _ => None,
                });
            }
            _ => break,
        }
    }
    Ok(None)
}
