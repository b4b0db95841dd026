//! Elements of Matroska and WebM (RFC 8794, RFC 9559): whether each is one that belongs where it is, and has room there.

use std::io;

use crate::demux::big_endian;
use crate::watched::{Break, Look, Unit, Walk};

const EBML: u32 = 0x1a45_dfa3;
const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;
const INFO: u32 = 0x1549_a966;
const TRACKS: u32 = 0x1654_ae6b;
const VOID: u32 = 0xec;
const CHECKSUM: u32 = 0xbf;
const TIME: u32 = 0xe7;
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
    0xab,
    0xa7,
    0x5854,
    SIMPLE_BLOCK,
    BLOCK_GROUP,
    0xaf,
    VOID,
    CHECKSUM,
];
/// The longest headers that are kept for a reader behind a break.
const MOST_HEADERS: u64 = 16 << 20;

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

/// A walk from element to element.
#[derive(Default)]
pub(crate) struct Clusters {
    /// Where the file begins, of several one behind the other.
    base: u64,
    cluster: Option<Cluster>,
    synced: bool,
    /// Where a reader goes on behind a break, and in which cluster.
    resumed: Option<(u64, Cluster)>,
}

impl Clusters {
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
            TIME => (1..=8).contains(&size),
            _ => true,
        };
        Ok(good.then_some((found.id, total)))
    }

    /// Where something whole begins again: a cluster, or two elements in a row of the one that is broken.
    fn next(&self, look: &mut Look<'_>, mut from: u64) -> io::Result<Option<(u64, bool)>> {
        let inside = self.cluster.filter(|cluster| cluster.time.is_some());
        let end = inside.and_then(|cluster| cluster.end);
        let end = end.unwrap_or(look.end).min(look.end);
        while let Some(at) = look.find(from, &[0x1f, 0xa3, 0xa0])? {
            if Self::begins(look, at)?.is_some() {
                return Ok(Some((at, false)));
            }
            if inside.is_some()
                && at < end
                && let Some((SIMPLE_BLOCK | BLOCK_GROUP, total)) = Self::child(look, at, end)?
                && !self.is_early(look, at)?
            {
                let behind = at + total;
                if behind == end
                    || Self::child(look, behind, end)?.is_some()
                    || Self::begins(look, behind)?.is_some()
                {
                    return Ok(Some((at, true)));
                }
            }
            from = at + 1;
        }
        Ok(None)
    }

    /// Whether the block at `at` is before the last one that was whole: then it is of a later cluster, whose beginning is gone.
    fn is_early(&self, look: &mut Look<'_>, at: u64) -> io::Result<bool> {
        let Some((found, cluster)) = Element::at(look, at)?.zip(self.cluster) else {
            return Ok(false);
        };
        let (track, time) = block(look, at, &found)?;
        Ok(found.id == SIMPLE_BLOCK && track == cluster.last.0 && time < cluster.last.1)
    }

    fn broken(&mut self, look: &mut Look<'_>, at: u64) -> io::Result<Unit> {
        let next = self.next(look, at)?;
        self.resumed = match (next, self.cluster) {
            (Some((next, true)), Some(cluster)) => Some((next, cluster)),
            _ => None,
        };
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

/// All that comes before the clusters and that a reader needs: the file's header, a segment of unknown size, Info and Tracks. `None`:
/// not all of it is whole.
pub(crate) fn headers(look: &mut Look<'_>, base: u64) -> io::Result<Option<(Vec<u8>, u64)>> {
    let Some(ebml) = Element::at(look, base)?.filter(|found| found.id == EBML) else {
        return Ok(None);
    };
    let length = ebml.total().unwrap_or(u64::MAX);
    if length > MOST_HEADERS {
        return Ok(None);
    }
    let mut headers = look.bytes(base, length as usize)?.to_vec();
    let Some(segment) = Element::at(look, base + length)?.filter(|found| found.id == SEGMENT)
    else {
        return Ok(None);
    };
    headers.extend(SEGMENT.to_be_bytes());
    headers.extend([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let (mut at, mut found) = (base + length + segment.header, 0);
    while let Some(element) = Element::at(look, at)? {
        if element.id == CLUSTER {
            return Ok((found == 2).then_some((headers, at)));
        }
        let Some(total) = element.total().filter(|_| TOP.contains(&element.id)) else {
            break;
        };
        if matches!(element.id, INFO | TRACKS) {
            if total > MOST_HEADERS {
                break;
            }
            headers.extend_from_slice(look.bytes(at, total as usize)?);
            found += 1;
        }
        at = at.saturating_add(total);
    }
    Ok(None)
}

/// Whether the segment is longer than the file, and whether another file is behind it.
pub(crate) fn is_cut(look: &mut Look<'_>) -> io::Result<(bool, bool)> {
    let Some(length) = Element::at(look, 0)?.and_then(|ebml| ebml.total()) else {
        return Ok((false, false));
    };
    let segment = Element::at(look, length)?;
    let Some(end) = segment.and_then(|segment| length.checked_add(segment.total()?)) else {
        return Ok((false, false));
    };
    let behind = Element::at(look, end)?.is_some_and(|behind| behind.id == EBML);
    Ok((end > look.end, behind))
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
                self.broken(look, at)
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
                        if let Some(time) = time {
                            cluster.time = Some(self::time(look, first, &time)?);
                            self.resumed = Some((first, cluster));
                            return Ok(Unit::Broken(Break {
                                at,
                                next: Some(first),
                                ..Break::default()
                            }));
                        }
                    }
                    self.cluster = Some(cluster);
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
                {
                    if !TOP.contains(&id) {
                        // The reader may have jumped into the middle of one.
                        let cluster = self.cluster.get_or_insert_default();
                        match id {
                            TIME => cluster.time = Some(time(look, at, &found)?),
                            SIMPLE_BLOCK => cluster.last = block(look, at, &found)?,
                            _ => {}
                        }
                        self.synced = true;
                    }
                    return Ok(Unit::Good(total));
                }
            }
        }
        if self.synced {
            self.broken(look, at)
        } else {
            Ok(Unit::Unknown)
        }
    }

    /// The file's headers, and in the middle of a cluster, its beginning.
    fn header(&mut self, look: &mut Look<'_>, found: &Break) -> io::Result<Option<Vec<u8>>> {
        let Some((mut bytes, _)) = headers(look, self.base)? else {
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

/// A cluster's time, from its element at `at`.
fn time(look: &mut Look<'_>, at: u64, element: &Element) -> io::Result<u64> {
    let size = element.size.unwrap_or(0).min(8) as usize;
    let bytes = look.bytes(at + element.header, size)?;
    Ok(big_endian(bytes))
}

/// Track and time of the block at `at`, the latter from its cluster's.
fn block(look: &mut Look<'_>, at: u64, element: &Element) -> io::Result<(u8, i16)> {
    match look.bytes(at + element.header, 3)? {
        [track, high, low] => Ok((*track, i16::from_be_bytes([*high, *low]))),
        _ => Ok((0, 0)),
    }
}
