//! FLAC files put one behind the other, with tags between them or not: each is a link, as in a chained Ogg file.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::errors::{Error as Symphonia, Result, SeekErrorKind, seek_error};
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{
    FormatInfo, FormatOptions, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataOptions};
use symphonia::core::packet::Packet;

use crate::codec::FORMATS;
use crate::input::Source;
use crate::open::tags_behind;
use crate::{Error, Input};

/// Bytes read at once.
const READ: usize = 1 << 20;
/// What a FLAC file begins with: its mark, and the header of a STREAMINFO block (RFC 9639, section 8).
const MARK: [u8; 8] = *b"fLaC\0\0\0\x22";
/// Most files in one, and most tags that may lie between two.
const MOST: usize = 100_000;

/// Where each file lies in `input`, tags behind it left out.
pub(crate) fn find(
    input: &Input,
    stop: Option<&AtomicBool>,
) -> std::result::Result<Vec<Range<u64>>, Error> {
    let all = input.len()?;
    let (mut starts, mut tags, mut at) = (Vec::new(), Vec::new(), 0);
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
    Ok(links)
}

/// A reader of one file after the other.
pub(crate) struct Links<'s> {
    input: Input,
    read: Arc<AtomicU64>,
    stop: Option<&'s AtomicBool>,
    inner: Box<dyn FormatReader + 's>,
    left: std::vec::IntoIter<Range<u64>>,
}

impl<'s> Links<'s> {
    /// Of two links or more.
    pub(crate) fn open(
        input: &Input,
        links: Vec<Range<u64>>,
        read: Arc<AtomicU64>,
        stop: Option<&'s AtomicBool>,
    ) -> Result<Self> {
        let mut left = links.into_iter();
        let first = left.next().unwrap_or(0..0);
        Ok(Links {
            inner: open(input, first, read.clone(), stop)?,
            input: input.clone(),
            read,
            stop,
            left,
        })
    }
}

fn open<'s>(
    input: &Input,
    link: Range<u64>,
    read: Arc<AtomicU64>,
    stop: Option<&'s AtomicBool>,
) -> Result<Box<dyn FormatReader + 's>> {
    let source = Source::new(input, Vec::new(), link, read, stop);
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    FORMATS.probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )
}

impl FormatReader for Links<'_> {
    fn format_info(&self) -> &FormatInfo {
        self.inner.format_info()
    }

    fn media_info(&self) -> &MediaInfo {
        self.inner.media_info()
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.inner.metadata()
    }

    fn tracks(&self) -> &[Track] {
        self.inner.tracks()
    }

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
        self.inner = match open(&self.input, next, self.read.clone(), self.stop) {
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

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        self.inner.into_inner()
    }
}
