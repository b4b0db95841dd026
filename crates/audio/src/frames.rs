//! MPEG audio (MP1, MP2, MP3) and ADTS: frames with a header each, one behind the other.
//!
//! symphonia's readers of these guess a length from the first frames and cut there, take one tag's length for the whole file, and
//! end where rate or channels change. This one walks the frames: whatever is put behind is heard (several files, with tags between
//! or without), each with the encoder's delay and padding of its own tag cut off. A new file, rate or number of channels is told by
//! `ResetRequired`, as a chained Ogg file's next link is.
//!
//! Headers: ISO 11172-3 2.4.1.3, ISO 13818-3 and -7; Xing, LAME and VBRI tags as LAME and Fraunhofer write them.

use std::io::{Read, Seek, SeekFrom};

use symphonia::core::audio::Channels;
use symphonia::core::audio::Position;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::errors::{Error, Result, SeekErrorKind, seek_error};
use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_MP3};
use symphonia::core::formats::{
    FormatId, FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataLog};
use symphonia::core::packet::{Packet, PacketBuilder};
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use crate::input::Source;

/// Ticks per second: a whole number of them per sample at every rate there is. Trims are in ticks, too: the decoder knows
/// frames only, so they are cut afterwards.
pub(crate) const TICKS: u32 = 705_600_000;
/// Bytes read at once.
const READ: usize = 64 << 10;
/// Most bytes without a frame that are searched through before what follows counts as no audio.
const MOST_GARBAGE: u64 = 16 << 20;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Header {
    codec: AudioCodecId,
    rate: u32,
    channels: u8,
    /// Bytes of the frame with its header, and of the header that the decoder does not get.
    length: usize,
    cut: usize,
    samples: u32,
    /// Where a Xing tag would stand.
    tag: usize,
}

impl Header {
    fn ticks(&self) -> u64 {
        u64::from(self.samples) * u64::from(TICKS / self.rate)
    }

    fn same_stream(&self, other: &Header) -> bool {
        (self.codec, self.rate, self.channels) == (other.codec, other.rate, other.channels)
    }

    fn parse(bytes: &[u8]) -> Option<Header> {
        let &[0xff, b1, b2, b3, ..] = bytes else {
            return None;
        };
        match b1 & 0xf6 {
            0xf0 => Header::adts(bytes),
            _ if b1 & 0xe0 == 0xe0 => Header::mpeg(b1, b2, b3),
            _ => None,
        }
    }

    fn mpeg(b1: u8, b2: u8, b3: u8) -> Option<Header> {
        const V1L2: [u32; 15] = [
            0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
        ];
        const V1L3: [u32; 15] = [
            0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
        ];
        const V2L1: [u32; 15] = [
            0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256,
        ];
        const V2L23: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        let (version, layer) = (b1 >> 3 & 3, b1 >> 1 & 3);
        let (bits, rate) = (usize::from(b2 >> 4), usize::from(b2 >> 2 & 3));
        // Free format (0) tells no length.
        if version == 1 || layer == 0 || !(1..15).contains(&bits) || rate == 3 {
            return None;
        }
        let first = version == 3;
        let rate = [44_100, 48_000, 32_000][rate] >> [2, 0, 1, 0][usize::from(version)];
        let padding = u32::from(b2 >> 1 & 1);
        let kilobits = match (first, layer) {
            (true, 3) => 32 * bits as u32,
            (true, 2) => V1L2[bits],
            (true, _) => V1L3[bits],
            (false, 3) => V2L1[bits],
            (false, _) => V2L23[bits],
        };
        let (codec, samples) = match (layer, first) {
            (3, _) => (CODEC_ID_MP1, 384),
            (2, _) => (CODEC_ID_MP2, 1152),
            (_, true) => (CODEC_ID_MP3, 1152),
            (_, false) => (CODEC_ID_MP3, 576),
        };
        let length = match layer {
            3 => (12_000 * kilobits / rate + padding) * 4,
            _ => samples / 8 * 1000 * kilobits / rate + padding,
        };
        let mono = b3 >> 6 == 3;
        let side = match (first, mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        };
        Some(Header {
            codec,
            rate,
            channels: if mono { 1 } else { 2 },
            length: length as usize,
            cut: 0,
            samples,
            tag: 4 + side,
        })
    }

    fn adts(bytes: &[u8]) -> Option<Header> {
        const RATES: [u32; 13] = [
            96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
            8_000, 7_350,
        ];
        let &[_, b1, b2, b3, b4, b5, b6, ..] = bytes else {
            return None;
        };
        let rate = *RATES.get(usize::from(b2 >> 2 & 15))?;
        let channels = (b2 & 1) << 2 | b3 >> 6;
        let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
        let cut = if b1 & 1 == 1 { 7 } else { 9 };
        let blocks = u32::from(b6 & 3) + 1;
        (length > cut).then_some(Header {
            codec: CODEC_ID_AAC,
            rate,
            channels: if channels == 7 { 8 } else { channels },
            length,
            cut,
            samples: 1024 * blocks,
            tag: usize::MAX,
        })
    }

    fn parameters(&self) -> AudioCodecParameters {
        let mut params = AudioCodecParameters::new();
        params.for_codec(self.codec).with_sample_rate(self.rate);
        let position = match self.channels {
            0 => None, // told inside the frames
            1 => Some(Position::FRONT_LEFT),
            2 => Some(Position::FRONT_LEFT | Position::FRONT_RIGHT),
            n => Position::from_count(u32::from(n)),
        };
        if let Some(position) = position {
            params.with_channels(Channels::Positioned(position));
        }
        params
    }
}

/// What an encoder's tag says of its file.
#[derive(Clone, Copy, Default)]
struct Tag {
    frames: Option<u64>,
    /// Samples that the encoder put before and behind.
    delay: u64,
    padding: u64,
}

impl Tag {
    /// The tag in a frame that holds nothing else.
    fn read(frame: &[u8], header: &Header) -> Option<Tag> {
        let be32 = |at: usize| {
            let bytes = frame.get(at..at + 4)?;
            Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        if header.codec != CODEC_ID_MP3 {
            return None;
        }
        if frame.get(36..40) == Some(b"VBRI") {
            let frames = be32(36 + 14).map(u64::from);
            return Some(Tag {
                frames,
                ..Tag::default()
            });
        }
        let at = header.tag;
        if !matches!(frame.get(at..at + 4), Some(b"Xing" | b"Info")) {
            return None;
        }
        let flags = be32(at + 4)?;
        let mut next = at + 8;
        let frames = (flags & 1 != 0).then(|| be32(next)).flatten();
        for (bit, bytes) in [(1, 4), (2, 4), (4, 100), (8, 4)] {
            next += if flags & bit != 0 { bytes } else { 0 };
        }
        let lame = matches!(frame.get(next..next + 4), Some(b"LAME" | b"Lavf" | b"Lavc"));
        let trim = be32(next + 20)
            .filter(|_| lame)
            .map(|word| u64::from(word & 0xff_ffff));
        // A decoder adds 529 samples of its own.
        Some(Tag {
            frames: frames.map(u64::from),
            delay: trim.map_or(0, |trim| (trim >> 12) + 529),
            padding: trim.map_or(0, |trim| (trim & 0xfff).saturating_sub(529)),
        })
    }
}

/// One file among those put one behind the other.
#[derive(Clone, Copy, Default)]
struct Link {
    tag: Tag,
    frames: u64,
    /// Ticks of delay still to cut.
    skip: u64,
}

/// A demuxer of frames.
pub(crate) struct FrameReader<'s> {
    source: Source<'s>,
    /// Bytes read ahead; those from `next` on are still to come, and lie at `at` in the source.
    buffer: Vec<u8>,
    next: usize,
    at: u64,
    tracks: Vec<Track>,
    media: MediaInfo,
    metadata: MetadataLog,
    info: FormatInfo,
    header: Header,
    link: Link,
    /// Audible ticks before the next frame.
    time: u64,
    /// A frame that was read but not given, and what is told before it.
    held: Option<(Header, Vec<u8>)>,
    reset: bool,
}

impl<'s> FrameReader<'s> {
    /// Starts at the first frame; `None` if there is none.
    pub(crate) fn open(source: Source<'s>) -> Result<Option<Self>> {
        let dummy = Header::mpeg(0xfb, 0x90, 0).expect("a valid header");
        let mut reader = FrameReader {
            source,
            buffer: Vec::new(),
            next: 0,
            at: 0,
            tracks: Vec::new(),
            media: MediaInfo::default(),
            metadata: MetadataLog::default(),
            info: format_info(FORMAT_ID_MP3, "mp3"),
            header: dummy,
            link: Link::default(),
            time: 0,
            held: None,
            reset: false,
        };
        let Some((header, frame)) = reader.frame()? else {
            return Ok(None);
        };
        if header.codec == CODEC_ID_AAC {
            reader.info = format_info(FORMAT_ID_ADTS, "adts");
        }
        reader.header = header;
        match Tag::read(&frame, &header) {
            Some(tag) => reader.begin(tag),
            None => reader.held = Some((header, frame)),
        }
        reader.describe();
        Ok(Some(reader))
    }

    /// The format's name: `mp1`, `mp2`, `mp3`, `adts`.
    pub(crate) fn container(&self) -> &'static str {
        match self.header.codec {
            CODEC_ID_AAC => "adts",
            CODEC_ID_MP1 => "mp1",
            CODEC_ID_MP2 => "mp2",
            _ => "mp3",
        }
    }

    /// A new file begins with this tag.
    fn begin(&mut self, tag: Tag) {
        self.link = Link {
            tag,
            frames: 0,
            skip: tag.delay * u64::from(TICKS / self.header.rate),
        };
    }

    fn describe(&mut self) {
        let mut track = Track::new(0);
        track
            .with_codec_params(CodecParameters::Audio(self.header.parameters()))
            .with_time_base(TimeBase::try_from_recip(TICKS).expect("not zero"));
        self.tracks = vec![track];
    }

    /// Makes `count` bytes available at the current place; fewer at the end.
    fn fill(&mut self, count: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.next < count {
            self.buffer.drain(..self.next);
            self.next = 0;
            let before = self.buffer.len();
            self.buffer.resize(before + READ.max(count - before), 0);
            self.source.seek(SeekFrom::Start(self.at + before as u64))?;
            let read = self.source.read(&mut self.buffer[before..])?;
            self.buffer.truncate(before + read);
            if read == 0 {
                break;
            }
        }
        let end = self.buffer.len().min(self.next + count);
        Ok(&self.buffer[self.next..end])
    }

    fn consume(&mut self, count: u64) {
        let there = ((self.buffer.len() - self.next) as u64).min(count);
        self.next += there as usize;
        self.at += count;
    }

    /// The next frame, wherever it is. Tags and garbage before it are passed over.
    fn frame(&mut self) -> Result<Option<(Header, Vec<u8>)>> {
        let (mut searched, mut lost) = (0u64, self.tracks.is_empty());
        loop {
            let head = self.fill(40)?;
            if head.len() < 4 || searched > MOST_GARBAGE {
                return Ok(None);
            }
            let tag = match head {
                [b'I', b'D', b'3', _, _, flags, a, b, c, d, ..] => {
                    let size = [a, b, c, d]
                        .iter()
                        .fold(0u64, |n, b| n << 7 | u64::from(**b & 0x7f));
                    size + if flags & 0x10 != 0 { 20 } else { 10 }
                }
                [b'T', b'A', b'G', ..] => 128,
                [
                    b'A',
                    b'P',
                    b'E',
                    b'T',
                    b'A',
                    b'G',
                    b'E',
                    b'X',
                    _,
                    _,
                    _,
                    _,
                    a,
                    b,
                    c,
                    d,
                    ..,
                ] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 32,
                _ => 0,
            };
            if tag > 0 {
                (lost, searched) = (true, searched + tag);
                self.consume(tag);
                continue;
            }
            let found = Header::parse(head);
            let known = found.filter(|h| !lost && h.same_stream(&self.header));
            if let Some(header) = known.or(self.confirmed(found)?) {
                let frame = self.fill(header.length)?.to_vec();
                // A truncated file ends inside a frame.
                if frame.len() < header.length {
                    return Ok(None);
                }
                self.consume(header.length as u64);
                return Ok(Some((header, frame)));
            }
            (lost, searched) = (true, searched + 1);
            self.consume(1);
        }
    }

    /// A header in a new place is believed if another frame, a tag or the end follows.
    fn confirmed(&mut self, found: Option<Header>) -> Result<Option<Header>> {
        let Some(header) = found else { return Ok(None) };
        let length = header.length;
        let all = self.fill(length + 10)?;
        let behind = all.get(length..).unwrap_or_default();
        let ends = behind.len() < 4 && all.len() >= length;
        let tag =
            behind.starts_with(b"TAG") || behind.starts_with(b"ID3") || behind.starts_with(b"APE");
        let next = Header::parse(behind).is_some_and(|next| next.codec == header.codec);
        Ok((ends || tag || next).then_some(header))
    }

    /// The next frame that holds audio. A new file or another kind of stream sets `reset`.
    fn audio(&mut self) -> Result<Option<(Header, Vec<u8>)>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        loop {
            let Some((header, frame)) = self.frame()? else {
                return Ok(None);
            };
            let changed = !header.same_stream(&self.header);
            self.header = header;
            if changed {
                self.link = Link::default();
                self.describe();
                self.reset = true;
            }
            match Tag::read(&frame, &header) {
                Some(tag) => {
                    self.begin(tag);
                    self.reset = true;
                }
                None => return Ok(Some((header, frame))),
            }
        }
    }

    /// A frame's packet, and its place in time counted on.
    fn packet(&mut self, header: &Header, frame: &[u8]) -> Packet {
        let whole = header.ticks();
        let start = self.link.skip.min(whole);
        self.link.skip -= start;
        self.link.frames += 1;
        // What lies behind the frames that the tag knows of was put there by somebody else, and is heard.
        let per_sample = u64::from(TICKS / header.rate);
        let padding = self.link.tag.padding * per_sample;
        let left = self
            .link
            .tag
            .frames
            .and_then(|all| all.checked_sub(self.link.frames));
        let end = left.map_or(0, |left| {
            padding
                .saturating_sub(left.saturating_mul(whole))
                .min(whole - start)
        });
        let audible = whole - start - end;
        let pts = self.time as i64 - start as i64;
        self.time += audible;
        PacketBuilder::new()
            .track_id(0)
            .pts(Timestamp::new(pts))
            .dur(Duration::new(audible))
            .trim_start(Duration::new(start))
            .trim_end(Duration::new(end))
            .data(frame[header.cut..].to_vec())
            .build()
    }
}

fn format_info(format: FormatId, name: &'static str) -> FormatInfo {
    FormatInfo {
        format,
        short_name: name,
        long_name: "frames of MPEG audio",
    }
}

impl FormatReader for FrameReader<'_> {
    fn format_info(&self) -> &FormatInfo {
        &self.info
    }

    fn media_info(&self) -> &MediaInfo {
        &self.media
    }

    fn metadata(&mut self) -> Metadata<'_> {
        self.metadata.metadata()
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some((header, frame)) = self.audio()? else {
            return Ok(None);
        };
        if std::mem::take(&mut self.reset) {
            self.held = Some((header, frame));
            return Err(Error::ResetRequired);
        }
        Ok(Some(self.packet(&header, &frame)))
    }

    /// Forwards only, by the frames' headers.
    fn seek(&mut self, _mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        let SeekTo::Timestamp {
            ts: required_ts, ..
        } = to
        else {
            return seek_error(SeekErrorKind::Unseekable);
        };
        let wanted = u64::try_from(required_ts.get()).unwrap_or(0);
        if wanted < self.time {
            return seek_error(SeekErrorKind::ForwardOnly);
        }
        while let Some((header, frame)) = self.audio()? {
            if self.time + header.ticks() > wanted {
                self.held = Some((header, frame));
                return Ok(SeekedTo {
                    track_id: 0,
                    required_ts,
                    actual_ts: Timestamp::new(self.time as i64),
                });
            }
            self.packet(&header, &[0; 16]);
        }
        seek_error(SeekErrorKind::OutOfRange)
    }

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        MediaSourceStream::new(Box::new(self.source), MediaSourceStreamOptions::default())
    }
}
