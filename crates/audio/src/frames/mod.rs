//! MPEG audio (MP1, MP2, MP3) and ADTS: frames with a header each, one behind the other.
//!
//! symphonia's readers of these guess a length from the first frames and cut there, take one tag's length for the whole file, and
//! end where rate or channels change. This one walks the frames: whatever is put behind is heard (several files, with tags between
//! or without), each with the encoder's delay and padding of its own tag cut off. A new file, rate or number of channels is told by
//! `ResetRequired`, as a chained Ogg file's next link is. Garbage between frames is a hole: as many frames as its bytes would hold
//! if they were as long as those before, which is exact where the bit rate is constant.

mod header;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::{CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2};
use symphonia::core::errors::{Error, Result, SeekErrorKind, seek_error};
use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_MP3};
use symphonia::core::formats::{
    FormatId, FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataLog};
use symphonia::core::packet::{Packet, PacketBuilder};
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use self::header::{Header, Tag};
use crate::ahead::Ahead;
use crate::holes::{Holes, Notes, hole};
use crate::input::Source;

/// Ticks per second: a whole number of them per sample at every rate there is. Trims are in ticks, too: the decoder knows
/// frames only, so they are cut afterwards.
pub(crate) const TICKS: u32 = 705_600_000;
/// Most bytes without a frame that are searched through before what follows counts as no audio.
const MOST_GARBAGE: u64 = 16 << 20;
/// How far the next frame is looked for behind one that may be broken.
const NEAR: usize = 64 << 10;

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
    bytes: Ahead<'s>,
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
    /// Ticks of garbage before the next frame, by how many bytes the frames before took.
    hole: u64,
    holes: Holes,
    /// Bytes of data since the last hole, where there was one and they are too few for some frame.
    reservoir: Option<usize>,
    notes: Arc<Notes>,
}

impl<'s> FrameReader<'s> {
    /// Starts at the first frame; `None` if there is none.
    pub(crate) fn open(source: Source<'s>, notes: Arc<Notes>) -> Result<Option<Self>> {
        let dummy = Header::mpeg(0xfb, 0x90, 0).expect("a valid header");
        let mut reader = FrameReader {
            bytes: Ahead::new(source),
            tracks: Vec::new(),
            media: MediaInfo::default(),
            metadata: MetadataLog::default(),
            info: format_info(FORMAT_ID_MP3, "mp3"),
            header: dummy,
            link: Link::default(),
            time: 0,
            held: None,
            reset: false,
            hole: 0,
            holes: Holes::default(),
            reservoir: None,
            notes,
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

    /// The next frame, wherever it is. Tags and garbage before it are passed over.
    fn frame(&mut self) -> Result<Option<(Header, Vec<u8>)>> {
        let first = self.tracks.is_empty();
        let (mut searched, mut lost, mut garbage, mut broken) = (0u64, first, 0u64, 0);
        let mut lyrics = false;
        loop {
            let head = self.bytes.fill(40)?;
            if head.len() < 4 || searched > MOST_GARBAGE {
                let left = self.bytes.left();
                self.ended(if lyrics { 0 } else { garbage + left });
                return Ok(None);
            }
            lyrics |= head.starts_with(b"LYRICSBEGIN");
            let tag = tag_length(head);
            if tag > 0 {
                (lost, searched) = (true, searched + tag);
                self.bytes.consume(tag);
                continue;
            }
            let found = Header::parse(head);
            let known = found.filter(|h| !lost && h.same_stream(&self.header));
            if let Some(header) = known.or(self.confirmed(found)?) {
                let frame = self.bytes.fill(header.length)?.to_vec();
                // A truncated file ends inside a frame.
                if frame.len() < header.length {
                    self.ended(if lyrics { 0 } else { garbage });
                    return Ok(None);
                }
                self.bytes.consume(header.length as u64);
                if !lost && self.breaks_off()? {
                    (lost, broken) = (true, 1);
                    self.holes.good(header.ticks(), header.length as u64);
                    continue;
                }
                if !first && !lyrics {
                    let whole = self.header.ticks();
                    let frames = (self.holes.estimate(garbage) + whole / 2) / whole + broken;
                    self.hole += frames.saturating_mul(whole);
                    self.link.frames += frames;
                }
                self.holes.good(header.ticks(), header.length as u64);
                return Ok(Some((header, frame)));
            }
            (lost, searched, garbage) = (true, searched + 1, garbage + 1);
            self.bytes.consume(1);
        }
    }

    /// Notes what is behind the last frame, and how much an encoder's tag has promised.
    fn ended(&self, garbage: u64) {
        if garbage >= 2 * self.header.length as u64 {
            self.notes.behind.store(garbage, Ordering::Relaxed);
        }
        let all = self.link.tag.frames.unwrap_or(0);
        let missing = all.saturating_sub(self.link.frames);
        if missing > 2 {
            let ticks = missing.saturating_mul(self.header.ticks());
            self.notes.missing.store(ticks, Ordering::Relaxed);
        }
    }

    /// Whether the frame before the present place is joined to something else: neither a frame nor a tag follows at its end, but frames
    /// come further on. Then it has lost its own end.
    fn breaks_off(&mut self) -> Result<bool> {
        let of = self.header;
        let head = self.bytes.fill(40)?;
        let goes_on = Header::parse(head).is_some_and(|next| next.codec == of.codec);
        if goes_on || head.len() < 4 || tag_length(head) > 0 || head.starts_with(b"LYRICS") {
            return Ok(false);
        }
        let near = self.bytes.fill(NEAR)?;
        let header =
            |at: usize| Header::parse(near.get(at..)?).filter(|found| found.same_stream(&of));
        Ok((1..near.len())
            .any(|at| header(at).is_some_and(|one| header(at + one.length).is_some())))
    }

    /// A header in a new place is believed if another frame, a tag or the end follows.
    fn confirmed(&mut self, found: Option<Header>) -> Result<Option<Header>> {
        let Some(header) = found else { return Ok(None) };
        let length = header.length;
        let all = self.bytes.fill(length + 10)?;
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

    /// MP3 may need data of frames before: of those in a hole, the decoder makes silence without a word.
    fn look_back(&mut self, header: &Header, frame: &[u8]) {
        /// No frame looks further back.
        const MOST: usize = 511;
        if let Some(there) = self.reservoir
            && let Some((back, data)) = header.reservoir(frame)
        {
            if back > there {
                self.notes.quiet.store(header.ticks(), Ordering::Relaxed);
            }
            self.reservoir = Some(there + data).filter(|there| *there < MOST);
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

/// Bytes of the tag that begins with `head`; 0: none does.
fn tag_length(head: &[u8]) -> u64 {
    match head {
        [b'I', b'D', b'3', 2..=4, _, flags, a, b, c, d, ..]
            if [a, b, c, d].iter().all(|byte| **byte < 0x80) =>
        {
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
        let ticks = std::mem::take(&mut self.hole);
        if ticks > 0 {
            self.held = Some((header, frame));
            let time = self.time as i64;
            self.time = self.time.saturating_add(ticks);
            self.reservoir = Some(0);
            return Ok(Some(hole(0, time, ticks)));
        }
        if std::mem::take(&mut self.reset) {
            self.held = Some((header, frame));
            return Err(Error::ResetRequired);
        }
        self.look_back(&header, &frame);
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
            if self.hole == 0 || self.time + self.hole <= wanted {
                self.time += std::mem::take(&mut self.hole);
            }
            if self.time + self.hole + header.ticks() > wanted {
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
        MediaSourceStream::new(
            Box::new(self.bytes.into_source()),
            MediaSourceStreamOptions::default(),
        )
    }
}
