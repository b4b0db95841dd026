//! What the headers of frames and the tags of encoders say.
//!
//! Headers: ISO 11172-3 2.4.1.3, ISO 13818-3 and -7; Xing, LAME and VBRI tags as LAME and Fraunhofer write them.

use symphonia::core::audio::{Channels, Position};
use symphonia::core::codecs::audio::well_known::{
    CODEC_ID_AAC, CODEC_ID_MP1, CODEC_ID_MP2, CODEC_ID_MP3,
};
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters};

use super::TICKS;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) codec: AudioCodecId,
    pub(super) rate: u32,
    channels: u8,
    /// Bytes of the frame with its header, and of the header that the decoder does not get.
    pub(super) length: usize,
    pub(super) cut: usize,
    samples: u32,
    /// Where a Xing tag would stand.
    tag: usize,
}

impl Header {
    pub(super) fn ticks(&self) -> u64 {
        u64::from(self.samples) * u64::from(TICKS / self.rate)
    }

    /// Of a frame of MP3: how far back its data begin, and how many bytes of data it brings (ISO 11172-3, 2.4.1.7).
    pub(super) fn reservoir(&self, frame: &[u8]) -> Option<(usize, usize)> {
        if self.codec != CODEC_ID_MP3 {
            return None;
        }
        let crc = if frame.get(1)? & 1 == 0 { 2 } else { 0 };
        let first = usize::from(*frame.get(4 + crc)?);
        let back = if frame[1] & 0x08 != 0 {
            first << 1 | usize::from(frame.get(5 + crc)? >> 7)
        } else {
            first
        };
        Some((back, self.length.saturating_sub(self.tag + crc)))
    }

    pub(super) fn same_stream(&self, other: &Header) -> bool {
        (self.codec, self.rate, self.channels) == (other.codec, other.rate, other.channels)
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Header> {
        let &[0xff, b1, b2, b3, ..] = bytes else {
            return None;
        };
        match b1 & 0xf6 {
            0xf0 => Header::adts(bytes),
            _ if b1 & 0xe0 == 0xe0 => Header::mpeg(b1, b2, b3),
            _ => None,
        }
    }

    pub(super) fn mpeg(b1: u8, b2: u8, b3: u8) -> Option<Header> {
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

    pub(super) fn parameters(&self) -> AudioCodecParameters {
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
pub(super) struct Tag {
    pub(super) frames: Option<u64>,
    /// Samples that the encoder put before and behind.
    pub(super) delay: u64,
    pub(super) padding: u64,
}

impl Tag {
    /// The tag in a frame that holds nothing else.
    pub(super) fn read(frame: &[u8], header: &Header) -> Option<Tag> {
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
