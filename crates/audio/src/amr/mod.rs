//! AMR-NB and AMR-WB, as phones and voice mail write them: storage files (RFC 4867, section 5) and, by way of symphonia's reader, 3GP.
//!
//! A storage file is frames of 20 ms behind a magic word, each with a header of one byte that tells its length. Nothing marks where
//! a frame begins: one whose header, or whose follower's, cannot be one is damage, and so is everything up to the next row of headers.
//! Where none comes, the recording has ended before.

mod decoder;

pub(crate) use decoder::AmrDecoder;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};
use symphonia::core::common::FourCc;
use symphonia::core::errors::{Result, SeekErrorKind, seek_error};
use symphonia::core::formats::{
    FormatId, FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataLog};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use crate::ahead::Ahead;
use crate::holes::Notes;
use crate::input::Source;
use crate::sniff;

/// Codecs, by the names of their sample entries in 3GP (3GPP TS 26.244, section 6.5).
pub(crate) const CODEC_ID_AMR_NB: AudioCodecId = AudioCodecId::new(FourCc::new(*b"samr"));
pub(crate) const CODEC_ID_AMR_WB: AudioCodecId = AudioCodecId::new(FourCc::new(*b"sawb"));

/// Headers in a row that are no accident: of random bytes, one in thirteen looks like one.
const ROW: usize = 5;
/// The longest frame with its header.
const LONGEST: usize = 61;
/// Frames that one packet of damage stands for, at most.
const GAP: u64 = 25;
/// Bytes without a row of headers before what follows counts as no audio.
const MOST_GARBAGE: u64 = 1 << 20;

/// By which damage before the first frame of speech is measured: 12.2 kbit/s.
const FIRST: u64 = 32;

/// Bytes of a frame behind its header, by its type (RFC 4867, tables 1 and 2; 3GPP TS 26.101 and 26.201).
const NARROW: [u8; 9] = [12, 13, 15, 17, 19, 20, 26, 31, 5];
const WIDE: [u8; 10] = [17, 23, 32, 36, 40, 46, 50, 58, 60, 5];

/// Which of the two codecs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Band {
    Narrow,
    Wide,
}

impl Band {
    /// By a storage file's first bytes. Those of several channels have another magic word.
    pub(crate) fn of_file(head: &[u8]) -> Option<Self> {
        [Band::Narrow, Band::Wide]
            .into_iter()
            .find(|band| head.starts_with(band.magic()))
    }

    /// By the name of a sample entry in MP4.
    pub(crate) fn of_entry(name: &[u8]) -> Option<Self> {
        match name {
            b"samr" => Some(Band::Narrow),
            b"sawb" => Some(Band::Wide),
            _ => None,
        }
    }

    fn of_codec(codec: AudioCodecId) -> Option<Self> {
        match codec {
            CODEC_ID_AMR_NB => Some(Band::Narrow),
            CODEC_ID_AMR_WB => Some(Band::Wide),
            _ => None,
        }
    }

    fn magic(self) -> &'static [u8] {
        match self {
            Band::Narrow => b"#!AMR\n",
            Band::Wide => b"#!AMR-WB\n",
        }
    }

    fn rate(self) -> u32 {
        match self {
            Band::Narrow => 8_000,
            Band::Wide => 16_000,
        }
    }

    /// Samples of a frame: 20 ms.
    fn frame(self) -> usize {
        self.rate() as usize / 50
    }

    /// Bytes behind a header; `None` if it is no header: a reserved type, or a bit set that must not be. Zeros, which could be one,
    /// are what a file system leaves where data is missing.
    fn size(self, header: u8) -> Option<usize> {
        let kind = usize::from(header >> 3 & 15);
        let sizes: &[u8] = match self {
            Band::Narrow => &NARROW,
            Band::Wide => &WIDE,
        };
        if header & 0x83 != 0 || header == 0 {
            return None;
        }
        match (self, kind) {
            (_, 15) | (Band::Wide, 14) => Some(0),
            _ => sizes.get(kind).map(|size| usize::from(*size)),
        }
    }

    /// What a demuxer should say of such a track.
    pub(crate) fn parameters(self) -> AudioCodecParameters {
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(match self {
                Band::Narrow => CODEC_ID_AMR_NB,
                Band::Wide => CODEC_ID_AMR_WB,
            })
            .with_sample_rate(self.rate())
            .with_channels(mono());
        params
    }

    /// A reader of the file's bytes.
    pub(crate) fn reader(self, source: Source<'_>, notes: Arc<Notes>) -> Reader<'_> {
        let mut track = Track::new(0);
        track.with_codec_params(CodecParameters::Audio(self.parameters()));
        if let Some(base) = TimeBase::try_from_recip(self.rate()) {
            track.with_time_base(base);
        }
        Reader {
            bytes: Ahead::new(source),
            band: self,
            time: 0,
            lost: 0,
            size: FIRST,
            notes,
            tracks: vec![track],
            media: MediaInfo::default(),
            metadata: MetadataLog::default(),
            info: FormatInfo {
                format: FormatId::new(FourCc::new(*b"amr ")),
                short_name: "amr",
                long_name: "AMR storage format",
            },
        }
    }
}

fn mono() -> Channels {
    Channels::Positioned(Position::FRONT_LEFT)
}

/// What is at the present place.
enum Place {
    Frame(usize),
    /// Another file, put behind.
    Magic,
    Damage,
    /// A recording in another format.
    Another,
    End,
}

/// A demuxer of frames.
pub(crate) struct Reader<'s> {
    bytes: Ahead<'s>,
    band: Band,
    /// The next sample's number.
    time: u64,
    /// Frames for which damage stands, and that are still to be told.
    lost: u64,
    /// Bytes of the last frame of speech, by which damage is measured.
    size: u64,
    notes: Arc<Notes>,
    tracks: Vec<Track>,
    media: MediaInfo,
    metadata: MetadataLog,
    info: FormatInfo,
}

impl Reader<'_> {
    /// Looks at what comes next. A frame is believed if `row` headers are in a row, itself counted, or the end comes before: behind
    /// damage, exactly behind the second or a later one.
    fn place(&mut self, row: usize) -> Result<Place> {
        let (band, magic) = (self.band, self.band.magic());
        let bytes = self.bytes.fill(row * LONGEST + magic.len())?;
        if bytes.starts_with(magic) {
            return Ok(Place::Magic);
        }
        let (mut at, mut first, mut rows) = (0, None, 0);
        while rows < row {
            let Some(header) = bytes.get(at) else { break };
            let behind = &bytes[at..];
            if first.is_some() && (behind.starts_with(magic) || sniff::begins_recording(behind)) {
                rows = row;
                break;
            }
            let Some(size) = band.size(*header) else {
                return Ok(match sniff::begins_recording(bytes) {
                    true => Place::Another,
                    false => Place::Damage,
                });
            };
            // The file was cut off here.
            if behind.len() <= size {
                break;
            }
            first = first.or(Some(1 + size));
            (at, rows) = (at + 1 + size, rows + 1);
        }
        if row == ROW && rows < row && !bytes.is_empty() && (rows < 2 || at < bytes.len()) {
            return Ok(Place::Damage);
        }
        Ok(first.map_or(Place::End, Place::Frame))
    }

    /// The next frame's length, where it is not before `lost` frames of damage.
    fn frame(&mut self) -> Result<Option<usize>> {
        let (mut row, mut skipped, mut behind) = (2, 0, 0);
        let found = loop {
            match self.place(row)? {
                Place::Frame(length) => break Some(length),
                Place::Magic => self.bytes.consume(self.band.magic().len() as u64),
                Place::End => {
                    behind = skipped;
                    break None;
                }
                Place::Damage if skipped <= MOST_GARBAGE => {
                    self.bytes.consume(1);
                    (row, skipped) = (ROW, skipped + 1);
                }
                Place::Damage | Place::Another => {
                    behind = skipped + self.bytes.left();
                    self.bytes.consume(self.bytes.left());
                    break None;
                }
            }
        };
        match found {
            Some(_) => self.lost = (skipped + self.size / 2) / self.size,
            None if behind > 0 => self.notes.behind.store(behind, Ordering::Relaxed),
            None => {}
        }
        Ok(found)
    }

    /// The next frame, or what stands for damage: a packet of no bytes. `None` in it is one that is not to be read.
    fn advance(&mut self, read: bool) -> Result<Option<Packet>> {
        let mut length = None;
        if self.lost == 0 {
            length = self.frame()?;
            if length.is_none() {
                return Ok(None);
            }
        }
        let frame = self.band.frame() as u64;
        let (data, frames) = match length {
            Some(length) if self.lost == 0 => {
                let data = if read {
                    self.bytes.fill(length)?.to_vec()
                } else {
                    Vec::new()
                };
                // Comfort noise and lost frames are short: they measure nothing.
                if length > 6 {
                    self.size = length as u64;
                }
                self.bytes.consume(length as u64);
                (data, 1)
            }
            _ => {
                let frames = self.lost.min(GAP);
                self.lost -= frames;
                (Vec::new(), frames)
            }
        };
        let pts = Timestamp::new(self.time as i64);
        self.time += frames * frame;
        Ok(Some(Packet::new(
            0,
            pts,
            Duration::new(frames * frame),
            data,
        )))
    }
}

impl FormatReader for Reader<'_> {
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
        self.advance(true)
    }

    /// By the headers, from where it is or from the start.
    fn seek(&mut self, _mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        let SeekTo::Timestamp {
            ts: required_ts, ..
        } = to
        else {
            return seek_error(SeekErrorKind::Unseekable);
        };
        let wanted = u64::try_from(required_ts.get()).unwrap_or(0);
        if wanted < self.time {
            self.bytes.rewind();
            (self.time, self.lost, self.size) = (0, 0, FIRST);
        }
        while self.time + GAP * self.band.frame() as u64 <= wanted {
            if self.advance(false)?.is_none() {
                return seek_error(SeekErrorKind::OutOfRange);
            }
        }
        Ok(SeekedTo {
            track_id: 0,
            required_ts,
            actual_ts: Timestamp::new(self.time as i64),
        })
    }

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        let source = self.bytes.into_source();
        MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default())
    }
}
