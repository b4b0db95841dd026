//! Pages of Ogg (RFC 3533, section 6): whether they are whole, and none is missing.

use std::collections::BTreeMap;
use std::io;

use crate::watched::{Break, Look, Unit, Walk};

/// A page's fixed header.
const HEADER: usize = 27;
/// The longest headers of a stream that are kept for a reader behind a break: pictures may be in them.
const MOST_HEADERS: u64 = 16 << 20;
/// The longest page: symphonia looks for the end of a stream in so many bytes.
const LONGEST: u64 = 65_307;
/// Bytes from the start in which [`is_one`] sees each page.
const NEAR: u64 = 256 << 10;

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u32) << 24, 0);
        while bit < 8 {
            crc = crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// A whole page.
struct Page {
    length: u64,
    serial: u32,
    number: u32,
    granule: i64,
    begins: bool,
}

/// The page at `at`, if one is there whose checksum is right.
fn page(look: &mut Look<'_>, at: u64) -> io::Result<Option<Page>> {
    let head = look.bytes(at, HEADER + 255)?;
    if head.len() < HEADER || !head.starts_with(b"OggS\0") || head[5] & 0xf8 != 0 {
        return Ok(None);
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let lengths = head.iter().skip(HEADER).take(usize::from(head[26]));
    let length = HEADER + usize::from(head[26]) + lengths.map(|n| usize::from(*n)).sum::<usize>();
    let low = u64::from(word(6)) | u64::from(word(10)) << 32;
    let found = Page {
        length: length as u64,
        serial: word(14),
        number: word(18),
        granule: low as i64,
        begins: head[5] & 2 != 0,
    };
    let told = word(22);
    let bytes = look.bytes(at, length)?;
    let crc = bytes.iter().enumerate().fold(0u32, |crc, (n, byte)| {
        let byte = if (22..26).contains(&n) { 0 } else { *byte };
        crc << 8 ^ CRC[usize::from((crc >> 24) as u8 ^ byte)]
    });
    Ok((bytes.len() == length && crc == told).then_some(found))
}

/// The first page from `from` on that is whole and wanted, and where it is.
fn first(
    look: &mut Look<'_>,
    mut from: u64,
    wanted: impl Fn(u64, &Page) -> bool,
) -> io::Result<Option<(u64, Page)>> {
    while let Some(at) = look.find(from, b"O")? {
        if let Some(found) = page(look, at)?
            && wanted(at, &found)
        {
            return Ok(Some((at, found)));
        }
        from = at + 1;
    }
    Ok(None)
}

/// The first page from `from` on that is whole.
fn whole(look: &mut Look<'_>, from: u64) -> io::Result<Option<(u64, Page)>> {
    first(look, from, |_, _| true)
}

/// Whether the last pages show that a file is several, one behind the other, or of several streams; or show nothing at all.
pub(crate) fn is_chained(look: &mut Look<'_>) -> io::Result<bool> {
    let Some((start, Page { serial, .. })) = whole(look, 0)? else {
        return Ok(false);
    };
    let (mut at, mut any) = (look.end.saturating_sub(LONGEST), false);
    while let Some((place, page)) = whole(look, at)? {
        if page.serial != serial || page.begins && place > start {
            return Ok(true);
        }
        (at, any) = (place + page.length, true);
    }
    Ok(!any)
}

/// Whether a file of one stream is one for all that some looks tell: no other begins near its start, and from each look to the
/// next, half as far again from the start, both the numbers of pages and their times grow. Behind the start of another link that
/// [`is_chained`] does not show, since it has the first one's serial number, they begin anew.
pub(crate) fn is_one(look: &mut Look<'_>) -> io::Result<bool> {
    let (mut at, mut beginning) = (0, true);
    let mut last: Option<(u32, i64)> = None;
    let tail = look.end.saturating_sub(LONGEST);
    while let Some((place, page)) = whole(look, at)? {
        if page.begins && !beginning {
            return Ok(false);
        }
        beginning &= page.begins;
        // A page on which no packet ends has no time.
        if page.granule >= 0 {
            if last.is_some_and(|(number, granule)| page.number <= number || page.granule < granule)
            {
                return Ok(false);
            }
            last = Some((page.number, page.granule));
        }
        at = place + page.length;
        // All pages of the start and of the end.
        if at > NEAR && at < tail {
            at = (at / 2 * 3).min(tail);
        }
    }
    Ok(last.is_some())
}

/// A walk from page to page.
#[derive(Default)]
pub(crate) struct Pages {
    /// Whether it is known beforehand that there are several links.
    chained: bool,
    /// Streams of each link, by where it begins.
    links: BTreeMap<u64, Vec<u32>>,
    /// Number of each stream's last page.
    last: BTreeMap<u32, u32>,
    /// Whether the last page was a stream's first.
    beginning: bool,
    synced: bool,
    /// Good pages and their bytes.
    pages: u64,
    bytes: u64,
}

impl Pages {
    /// `chained`: whether there are several links for sure.
    pub(crate) fn new(chained: bool) -> Self {
        Pages {
            chained,
            ..Pages::default()
        }
    }

    /// Whether a page is of the link around `at`.
    fn is_known(&self, at: u64, page: &Page) -> bool {
        let link = self.links.range(..=at).next_back();
        page.begins || link.is_none_or(|(_, streams)| streams.contains(&page.serial))
    }

    /// The break at `at`, up to the next page that is whole and belongs here.
    fn broken(&self, look: &mut Look<'_>, at: u64) -> io::Result<Unit> {
        let next = first(look, at, |at, page| self.is_known(at, page))?;
        let place = next.as_ref().map(|(at, _)| *at);
        Ok(Unit::Broken(Break {
            at,
            next: place,
            missing: place.unwrap_or(look.end) - at,
            truncated: false,
            fresh: next.is_some_and(|(_, page)| page.begins),
        }))
    }
}

impl Walk for Pages {
    fn restart(&mut self, _: u64) {
        self.last.clear();
        (self.beginning, self.synced) = (false, false);
    }

    fn unit(&mut self, look: &mut Look<'_>, at: u64) -> io::Result<Unit> {
        let Some(page) = page(look, at)? else {
            if !self.synced {
                // The reader has jumped into the middle of a page, and looks for the next one itself.
                let near = look.find(at + 1, b"O")?;
                return Ok(near.map_or(Unit::Unknown, |near| Unit::Good(near - at)));
            }
            return self.broken(look, at);
        };
        self.synced = true;
        if page.begins {
            if !self.beginning {
                self.links.insert(at, Vec::new());
                self.last.clear();
            }
            if let Some((_, streams)) = self.links.range_mut(..=at).next_back() {
                streams.push(page.serial);
            }
        }
        self.beginning = page.begins;
        // Streams that nobody has announced: the page that did is damaged.
        if !self.is_known(at, &page) {
            return self.broken(look, at);
        }
        let last = self.last.get(&page.serial);
        let gone = last.map_or(0, |last| page.number.wrapping_sub(*last).wrapping_sub(1));
        // Numbers that go back are some writer's, not holes.
        if (1..1 << 31).contains(&gone) {
            let mean = self.bytes / self.pages.max(1);
            return Ok(Unit::Broken(Break {
                at,
                next: Some(at),
                missing: u64::from(gone).saturating_mul(mean),
                ..Break::default()
            }));
        }
        self.last.insert(page.serial, page.number);
        (self.pages, self.bytes) = (self.pages + 1, self.bytes + page.length);
        Ok(Unit::Good(page.length))
    }

    fn several(&self) -> bool {
        self.chained || self.links.len() > 1
    }

    /// The headers of the link that is broken.
    fn header(&mut self, look: &mut Look<'_>, found: &Break) -> io::Result<Option<Vec<u8>>> {
        let Some((start, _)) = self.links.range(..found.at).next_back() else {
            return Ok(None);
        };
        let mut end = *start;
        while let Some(page) = page(look, end)? {
            // Pages of headers are stamped 0.
            let audio = !page.begins && page.granule != 0;
            if audio || end >= found.at || end - start > MOST_HEADERS {
                break;
            }
            end += page.length;
        }
        let length = end - start;
        if length > MOST_HEADERS {
            return Ok(None);
        }
        Ok(Some(look.bytes(*start, length as usize)?.to_vec()))
    }
}
