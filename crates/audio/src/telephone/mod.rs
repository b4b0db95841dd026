//! What telephone networks and their recorders write into WAV and AU: GSM 06.10, G.726, G.722. Each decoder is written after its
//! standard, and held against the output of other programs.
//!
//! The reader decodes, and gives plain samples in packets, so that everything behind it is as for PCM.

mod g722;
mod g726;
mod gsm;

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_PCM_S16LE;
use symphonia::core::errors::{Result, SeekErrorKind, seek_error};
use symphonia::core::formats::well_known::FORMAT_ID_WAVE;
use symphonia::core::formats::{
    FormatInfo, FormatReader, MediaInfo, SeekMode, SeekTo, SeekedTo, Track,
};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::{Metadata, MetadataLog};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use crate::input::Source;

/// Blocks in a packet: 200 to 400 ms.
const BLOCKS: usize = 10;

/// How code words stand for samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Coding {
    /// GSM 06.10, two frames in 65 bytes.
    Gsm,
    /// G.726, code words of 2 to 5 bits, the first in a byte's high or low bits.
    G726 {
        /// Bits of a code word.
        bits: u32,
        /// Whether the first code word is in the low bits.
        low_first: bool,
    },
    /// G.722 at 64 kbit/s.
    G722,
}

impl Coding {
    /// As ffmpeg names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Gsm => "gsm_ms",
            Coding::G726 {
                low_first: false, ..
            } => "adpcm_g726",
            Coding::G726 { .. } => "adpcm_g726le",
            Coding::G722 => "adpcm_g722",
        }
    }

    /// Bytes of a block, and its samples.
    fn block(self) -> (usize, usize) {
        match self {
            Coding::Gsm => (gsm::BLOCK, gsm::SAMPLES),
            Coding::G726 { bits, .. } => (20 * bits as usize, 160),
            Coding::G722 => (160, 320),
        }
    }

    /// Samples of the last, incomplete block.
    fn rest(self, bytes: usize) -> usize {
        match self {
            Coding::Gsm => 0,
            Coding::G726 { bits, .. } => bytes * 8 / bits as usize,
            Coding::G722 => bytes * 2,
        }
    }

    fn decoder(self) -> Decoder {
        match self {
            Coding::Gsm => Decoder::Gsm(Box::new(gsm::Decoder::new())),
            Coding::G726 { bits, low_first } => {
                // Who writes 40 kbit/s into WAV is ffmpeg; into AU, Sun's coder.
                let leak = if bits == 5 && low_first { 9 } else { 8 };
                Decoder::G726(g726::Decoder::new(bits, leak), bits, low_first)
            }
            Coding::G722 => Decoder::G722(g722::Decoder::new()),
        }
    }
}

/// A recording in such a coding, of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) coding: Coding,
    pub(crate) rate: u32,
    /// Samples that the header tells.
    pub(crate) samples: Option<u64>,
}

impl Call {
    /// Its reader. The rate is not 0.
    pub(crate) fn reader(self, source: Source<'_>) -> Reader<'_> {
        let (bytes, samples) = self.coding.block();
        let all = source.len();
        let rest = self.coding.rest((all % bytes as u64) as usize);
        let frames = all / bytes as u64 * samples as u64 + rest as u64;
        // The last block of GSM is filled up; some writers tell nonsense.
        let told = self.samples.filter(|told| {
            self.coding == Coding::Gsm && *told <= frames && frames - told < samples as u64
        });
        let frames = told.unwrap_or(frames);
        let mut params = AudioCodecParameters::new();
        params
            .for_codec(CODEC_ID_PCM_S16LE)
            .with_sample_rate(self.rate)
            .with_bits_per_sample(16)
            .with_channels(Channels::Positioned(Position::FRONT_LEFT));
        let mut track = Track::new(0);
        track
            .with_codec_params(CodecParameters::Audio(params))
            .with_num_frames(frames);
        if let Some(base) = TimeBase::try_from_recip(self.rate) {
            track.with_time_base(base);
        }
        Reader {
            source,
            decoder: self.coding.decoder(),
            coding: self.coding,
            frame: 0,
            end: frames,
            tracks: vec![track],
            media: MediaInfo::default(),
            metadata: MetadataLog::default(),
            info: FormatInfo {
                format: FORMAT_ID_WAVE,
                short_name: "wav",
                long_name: "code words of a telephone network",
            },
        }
    }
}

enum Decoder {
    Gsm(Box<gsm::Decoder>),
    G726(g726::Decoder, u32, bool),
    G722(g722::Decoder),
}

impl Decoder {
    /// Appends the samples of whole blocks, or of the last, incomplete one.
    fn decode(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        match self {
            Decoder::Gsm(decoder) => {
                let blocks = bytes.chunks_exact(gsm::BLOCK);
                blocks.for_each(|block| decoder.decode(block, out));
            }
            Decoder::G726(decoder, bits, low_first) => {
                let (mut held, mut count) = (0u32, 0);
                for byte in bytes {
                    let byte = u32::from(*byte);
                    held = if *low_first {
                        held | byte << count
                    } else {
                        held << 8 | byte
                    };
                    count += 8;
                    while count >= *bits {
                        count -= *bits;
                        let code = if *low_first {
                            let code = held & ((1 << *bits) - 1);
                            held >>= *bits;
                            code
                        } else {
                            held >> count & ((1 << *bits) - 1)
                        };
                        out.push(decoder.decode(code));
                    }
                }
            }
            Decoder::G722(decoder) => {
                out.extend(bytes.iter().flat_map(|code| decoder.decode(*code)))
            }
        }
    }
}

/// A demuxer that decodes.
pub(crate) struct Reader<'s> {
    source: Source<'s>,
    decoder: Decoder,
    coding: Coding,
    /// The next sample's number, and how many there are.
    frame: u64,
    end: u64,
    tracks: Vec<Track>,
    media: MediaInfo,
    metadata: MetadataLog,
    info: FormatInfo,
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
        let mut bytes = vec![0; BLOCKS * self.coding.block().0];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.source.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut samples = Vec::new();
        self.decoder.decode(&bytes[..filled], &mut samples);
        let left = self.end.saturating_sub(self.frame);
        samples.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        if samples.is_empty() {
            return Ok(None);
        }
        let (pts, count) = (self.frame as i64, samples.len() as u64);
        self.frame += count;
        let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let (pts, dur) = (Timestamp::new(pts), Duration::new(count));
        Ok(Some(Packet::new(0, pts, dur, data)))
    }

    /// To the block's start, with a decoder that has heard nothing.
    fn seek(&mut self, _mode: SeekMode, to: SeekTo) -> Result<SeekedTo> {
        let SeekTo::Timestamp { ts, .. } = to else {
            return seek_error(SeekErrorKind::Unseekable);
        };
        let (bytes, samples) = self.coding.block();
        let block = u64::try_from(ts.get()).unwrap_or(0) / samples as u64;
        self.source
            .seek(SeekFrom::Start(block.saturating_mul(bytes as u64)))?;
        self.frame = block * samples as u64;
        self.decoder = self.coding.decoder();
        Ok(SeekedTo {
            track_id: 0,
            required_ts: ts,
            actual_ts: Timestamp::new(self.frame as i64),
        })
    }

    fn into_inner<'a>(self: Box<Self>) -> MediaSourceStream<'a>
    where
        Self: 'a,
    {
        MediaSourceStream::new(Box::new(self.source), MediaSourceStreamOptions::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A debug build panics where a sum overflows.
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..4000), bits in 2u32..=5, low_first: bool) {
            for coding in [Coding::Gsm, Coding::G722, Coding::G726 { bits, low_first }] {
                let mut samples = Vec::new();
                let blocks = coding.block().0;
                let mut decoder = coding.decoder();
                bytes.chunks(blocks).for_each(|block| decoder.decode(block, &mut samples));
                let whole = bytes.len() / blocks * coding.block().1;
                prop_assert_eq!(samples.len(), whole + coding.rest(bytes.len() % blocks));
            }
        }

        /// The loudest and the rarest code words without end.
        #[test]
        fn no_code_word_is_too_loud(byte: u8, other: u8, bits in 2u32..=5) {
            let bytes: Vec<u8> = [byte, other].into_iter().cycle().take(13_000).collect();
            for coding in [Coding::Gsm, Coding::G722, Coding::G726 { bits, low_first: true }] {
                let mut samples = Vec::new();
                coding.decoder().decode(&bytes, &mut samples);
                prop_assert!(samples.len() > 13_000);
            }
        }
    }
}
