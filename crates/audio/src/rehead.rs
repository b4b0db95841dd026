//! Files that are a header and then plain sample blocks: WAV, RF64, W64, AIFF, AU.
//!
//! Their headers come in many shapes: 64-bit sizes, sizes never filled in by a pipe, sizes beyond a truncated file, odd `fmt ` chunks,
//! megabytes of metadata. This module walks the chunks itself, keeps what describes the samples, and writes one small clean WAV or AIFF-C
//! header that goes in front of the untouched sample data. symphonia then reads the sequence of both. Long, because each of
//! the five has a header of its own.

use std::ops::Range;

use crate::telephone::{Call, Coding};
use crate::{Error, Input, sniff};

/// The most chunks to walk; real files have a dozen.
const MAX_CHUNKS: usize = 4096;
/// More channels than any recording has; symphonia knows places for 26.
const MAX_CHANNELS: u16 = 255;
/// The longest chunk that is read instead of skipped.
const MAX_BODY: u64 = 4096;

/// A new header for `data`, a byte range of the original file.
pub(crate) struct Rehead {
    pub(crate) container: &'static str,
    pub(crate) header: Vec<u8>,
    pub(crate) data: Range<u64>,
    /// Length by the byte rate, for data too long for the header's 32 bits.
    pub(crate) duration_ms: Option<u64>,
    /// Where another recording begins behind this one.
    pub(crate) another: Option<u64>,
    /// Bytes of data that the header tells, where there are fewer.
    pub(crate) promised: Option<u64>,
    /// Where the data is no samples, but a telephone network's code words. There is no header then.
    pub(crate) call: Option<Call>,
}

/// Reads the chunks of a file of this family; `None` is any other file.
pub(crate) fn rehead(input: &Input, head: &[u8]) -> Result<Option<Rehead>, Error> {
    let form = head.get(8..12).unwrap_or_default();
    match head.get(..4).unwrap_or_default() {
        b"RIFF" if form == b"WAVE" => wave(input, "wav", Chunks::riff(input, 12)?).map(Some),
        b"RIFX" if form == b"WAVE" => rifx(input, Chunks::form(input, 12)?).map(Some),
        b"RF64" | b"BW64" if form == b"WAVE" => {
            wave(input, "rf64", Chunks::riff(input, 12)?).map(Some)
        }
        b"riff" if head.starts_with(&W64_RIFF) => wave(input, "w64", Chunks::w64(input)?).map(Some),
        b"FORM" if form == b"AIFF" || form == b"AIFC" => {
            aiff(input, Chunks::form(input, 12)?).map(Some)
        }
        b".snd" => au(input, head).map(Some),
        _ => Ok(None),
    }
}

const W64_RIFF: [u8; 16] = *b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";

struct Chunk {
    id: [u8; 4],
    body: Range<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Layout {
    /// 4-byte id, 4-byte size, padded to 2.
    Riff,
    /// As RIFF, in big-endian order.
    Form,
    /// 16-byte id, 8-byte size that counts the chunk's own header, padded to 8.
    W64,
}

/// Walks chunk headers, never past the end of the file.
struct Chunks<'a> {
    input: &'a Input,
    layout: Layout,
    at: u64,
    end: u64,
    left: usize,
}

impl<'a> Chunks<'a> {
    fn new(input: &'a Input, layout: Layout, at: u64) -> Result<Self, Error> {
        Ok(Chunks {
            input,
            layout,
            at,
            end: input.len()?,
            left: MAX_CHUNKS,
        })
    }

    fn riff(input: &'a Input, at: u64) -> Result<Self, Error> {
        Self::new(input, Layout::Riff, at)
    }

    fn form(input: &'a Input, at: u64) -> Result<Self, Error> {
        Self::new(input, Layout::Form, at)
    }

    fn w64(input: &'a Input) -> Result<Self, Error> {
        Self::new(input, Layout::W64, 40)
    }

    /// Where another recording begins behind the chunks that are left.
    fn another(&mut self) -> Result<Option<u64>, Error> {
        loop {
            if begins(self.input, self.at)? {
                return Ok(Some(self.at));
            }
            // A writer that does not pad to two.
            if self.at > 0 && begins(self.input, self.at - 1)? {
                return Ok(Some(self.at - 1));
            }
            if self.next()?.is_none() {
                return Ok(None);
            }
        }
    }

    fn next(&mut self) -> Result<Option<Chunk>, Error> {
        let header_len = if self.layout == Layout::W64 { 24 } else { 8 };
        let header = bytes(self.input, self.at..self.at.saturating_add(header_len))?;
        if header.len() < header_len as usize || self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let (size, align) = match self.layout {
            Layout::Riff => (u64::from(le32(&header, 4)), 2),
            Layout::Form => (u64::from(be32(&header, 4)), 2),
            Layout::W64 => (le64(&header, 16).saturating_sub(header_len), 8),
        };
        let from = self.at + header_len;
        self.at = from
            .saturating_add(size)
            .checked_next_multiple_of(align)
            .unwrap_or(u64::MAX);
        let mut id = [0; 4];
        id.copy_from_slice(&header[..4]);
        Ok(Some(Chunk {
            id,
            body: from..from.saturating_add(size),
        }))
    }
}

/// WAV and its 64-bit relatives.
fn wave(input: &Input, container: &'static str, mut chunks: Chunks) -> Result<Rehead, Error> {
    let (mut format, mut data, mut long_size, mut told) = (None, None, None, 0);
    let mut samples = None;
    while format.is_none() || data.is_none() {
        let Some(chunk) = chunks.next()? else { break };
        match &chunk.id {
            b"fmt " => format = Some(bytes(input, chunk.body)?),
            b"fact" => {
                samples = bytes(input, chunk.body)?
                    .get(..4)
                    .map(|count| u64::from(le32(count, 0)))
            }
            b"ds64" => {
                long_size = bytes(input, chunk.body)?
                    .get(8..16)
                    .map(|size| le64(size, 0))
            }
            b"data" => {
                told = match chunk.body.end - chunk.body.start {
                    size if size == u64::from(u32::MAX) => long_size.unwrap_or(0),
                    size => size,
                };
                data = Some(data_range(chunk.body, long_size, chunks.end));
                if format.is_some() {
                    break;
                }
            }
            _ => {}
        }
    }
    let corrupt = |reason: &str| Error::Corrupt {
        format: container.into(),
        reason: reason.into(),
    };
    let data = data.ok_or_else(|| corrupt("there is no data chunk"))?;
    let format = format
        .filter(|format| format.len() >= 16)
        .ok_or_else(|| corrupt("there is no complete fmt chunk"))?;
    if !(1..=MAX_CHANNELS).contains(&le16(&format, 2)) {
        return Err(corrupt(&format!(
            "{} channels; 1 to {MAX_CHANNELS} can be read",
            le16(&format, 2)
        )));
    }
    let mut rehead = Rehead {
        container,
        header: Vec::new(),
        duration_ms: None,
        another: chunks.another()?,
        promised: promised(told, &data),
        call: None,
        data,
    };
    rehead.call = wave_call(&format)?.map(|call| Call { samples, ..call });
    if rehead.call.is_some() {
        return Ok(rehead);
    }
    let Some(format) = clean_format(format)? else {
        return Ok(rehead);
    };
    let size = rehead.data.end - rehead.data.start;
    let short = u32::try_from(size)
        .ok()
        .filter(|size| *size < u32::MAX - 4096);
    if short.is_none() {
        rehead.duration_ms = Some(size)
            .map(|size| u128::from(size) * 1000 / u128::from(le32(&format, 8).max(1)))
            .map(|ms| ms as u64);
    }
    let size = short.unwrap_or(u32::MAX);
    rehead.header.extend_from_slice(b"RIFF");
    rehead
        .header
        .extend_from_slice(&size.saturating_add(20 + format.len() as u32).to_le_bytes());
    rehead.header.extend_from_slice(b"WAVEfmt ");
    rehead
        .header
        .extend_from_slice(&(format.len() as u32).to_le_bytes());
    rehead.header.extend_from_slice(&format);
    rehead.header.extend_from_slice(b"data");
    rehead.header.extend_from_slice(&size.to_le_bytes());
    Ok(rehead)
}

fn begins(input: &Input, at: u64) -> Result<bool, Error> {
    Ok(sniff::begins_recording(&input.bytes_at(at, 12)?))
}

/// What a header tells of the data's size, where that is more than there is. Half of what 32 bits hold, or more, is what a pipe's
/// writer leaves, which cannot know.
fn promised(told: u64, data: &Range<u64>) -> Option<u64> {
    let there = data.end - data.start;
    (told > there && !(0x7fff_0000..=u64::from(u32::MAX)).contains(&told) && told < 1 << 50)
        .then_some(told)
}

/// Where the samples really are: 0 and 2^32 - 1 are what a writer leaves that could not go back, and nothing lies past the file's end.
fn data_range(body: Range<u64>, long_size: Option<u64>, end: u64) -> Range<u64> {
    let size = match body.end - body.start {
        0 => u64::MAX,
        size if size == u64::from(u32::MAX) => {
            long_size.filter(|size| *size > 0).unwrap_or(u64::MAX)
        }
        size => size,
    };
    let start = body.start.min(end);
    start..start.saturating_add(size).min(end)
}

/// A `fmt ` chunk in the form that symphonia takes, an error that names the codec, or `None` where the data is an MPEG stream with headers
/// of its own. `format` has at least 16 bytes.
fn clean_format(mut format: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
    let extensible = le16(&format, 0) == 0xfffe && format.len() >= 40;
    let tag = if extensible {
        le16(&format, 24)
    } else {
        le16(&format, 0)
    };
    let (channels, block, bits) = (le16(&format, 2), le16(&format, 12), le16(&format, 14));
    match tag {
        1 | 3 if extensible => {
            format.truncate(40);
            format[16..18].copy_from_slice(&22u16.to_le_bytes());
            // Valid bits: what is left-justified in a wider sample needs no care, so all of them are.
            format[18..20].copy_from_slice(&bits.to_le_bytes());
        }
        1 | 3 => {
            format.truncate(16);
            if bits % 8 != 0 && channels > 0 {
                format[14..16].copy_from_slice(&(block / channels).saturating_mul(8).to_le_bytes());
            }
        }
        6 | 7 => {
            format.truncate(16);
            format[..2].copy_from_slice(&tag.to_le_bytes());
            format.extend_from_slice(&[0, 0]);
        }
        2 | 0x11 => {}
        0x50 | 0x55 => return Ok(None),
        other => {
            return Err(Error::Unsupported {
                format: wave_codec(other),
            });
        }
    }
    Ok(Some(format))
}

/// What a `fmt ` chunk of at least 16 bytes says of a telephone network's coding.
fn wave_call(format: &[u8]) -> Result<Option<Call>, Error> {
    let (tag, channels, rate) = (le16(format, 0), le16(format, 2), le32(format, 4));
    let coding = match tag {
        0x31 => Coding::Gsm,
        // Some writers leave the bits out; the byte rate tells them, too.
        0x14 | 0x40 | 0x45 | 0x64 => {
            let told = u32::from(le16(format, 14));
            let counted = u64::from(le32(format, 8)) * 8 / u64::from(rate.max(1));
            let bits = if told > 0 { told } else { counted as u32 };
            if !(2..=5).contains(&bits) {
                return Err(Error::Corrupt {
                    format: "wav".into(),
                    reason: format!("G.726 of {bits} bits a sample; there are 2 to 5"),
                });
            }
            Coding::G726 {
                bits,
                low_first: false,
            }
        }
        0x65 | 0x28f => Coding::G722,
        _ => return Ok(None),
    };
    if channels != 1 {
        return Err(Error::Unsupported {
            format: format!("{} with {channels} channels", wave_codec(tag)),
        });
    }
    Ok(Some(Call {
        coding,
        rate,
        samples: None,
    }))
}

/// Name of a WAV format tag, from Microsoft's `mmreg.h`.
fn wave_codec(tag: u16) -> String {
    let name = match tag {
        0x0010 => "OKI ADPCM",
        0x0014 | 0x0040 => "G.721 ADPCM",
        0x0020 => "Yamaha ADPCM",
        0x0022 => "TrueSpeech",
        0x0030 => "Dolby AC-2",
        0x0031 => "GSM 6.10",
        0x0042 => "G.723.1",
        0x0045 | 0x0064 => "G.726 ADPCM",
        0x0083 => "G.729",
        0x0092 | 0x2000 => "AC-3",
        0x00ff | 0x1602 | 0x1610 => "AAC",
        0x0160..=0x0163 => "WMA",
        0x028f | 0x0065 => "G.722 ADPCM",
        0x2001 => "DTS",
        0xa109 => "Speex",
        0xf1ac => "FLAC",
        _ => return format!("WAV codec 0x{tag:04x}"),
    };
    format!("{name} in WAV")
}

/// Compression types of AIFF-C that are plain samples.
const AIFC_CODECS: [&[u8; 4]; 11] = [
    b"none", b"alaw", b"ulaw", b"in24", b"in32", b"23ni", b"fl32", b"fl64", b"sowt", b"twos",
    b"raw ",
];

/// AIFF and AIFF-C.
fn aiff(input: &Input, mut chunks: Chunks) -> Result<Rehead, Error> {
    let (mut common, mut sound) = (None, None);
    while common.is_none() || sound.is_none() {
        let Some(chunk) = chunks.next()? else { break };
        match &chunk.id {
            b"COMM" => common = Some(bytes(input, chunk.body)?),
            b"SSND" => sound = Some(chunk.body),
            _ => {}
        }
    }
    let corrupt = |reason: &str| Error::Corrupt {
        format: "aiff".into(),
        reason: reason.into(),
    };
    let common = common
        .filter(|common| common.len() >= 18)
        .ok_or_else(|| corrupt("there is no complete COMM chunk"))?;
    let end = chunks.end;
    let told = sound
        .as_ref()
        .map_or(0, |sound| (sound.end - sound.start).saturating_sub(8));
    let data = match sound {
        Some(sound) => {
            let offset = bytes(input, sound.start..sound.start + 4)?
                .get(..4)
                .map_or(0, |offset| be32(offset, 0));
            let start = sound.start.saturating_add(8 + u64::from(offset)).min(end);
            start..sound.end.clamp(start, end)
        }
        None => end..end,
    };
    let compression = common.get(18..22).unwrap_or(b"NONE");
    if !AIFC_CODECS
        .iter()
        .any(|codec| compression.eq_ignore_ascii_case(*codec))
    {
        let format = format!("{} in AIFF-C", compression.escape_ascii());
        return Err(Error::Unsupported { format });
    }
    Ok(Rehead {
        container: "aiff",
        header: aifc_header(&common[..18], compression, &data),
        another: chunks.another()?,
        promised: promised(told, &data),
        data,
        duration_ms: None,
        call: None,
    })
}

/// WAV in big-endian order: the same samples as AIFF-C.
fn rifx(input: &Input, mut chunks: Chunks) -> Result<Rehead, Error> {
    let (mut format, mut data, mut told) = (None, None, 0);
    while format.is_none() || data.is_none() {
        let Some(chunk) = chunks.next()? else { break };
        match &chunk.id {
            b"fmt " => format = Some(bytes(input, chunk.body)?),
            b"data" => {
                told = chunk.body.end - chunk.body.start;
                data = Some(data_range(chunk.body, None, chunks.end));
            }
            _ => {}
        }
    }
    let corrupt = |reason: &str| Error::Corrupt {
        format: "wav (RIFX)".into(),
        reason: reason.into(),
    };
    let data = data.ok_or_else(|| corrupt("there is no data chunk"))?;
    let format = format
        .filter(|format| format.len() >= 16)
        .ok_or_else(|| corrupt("there is no complete fmt chunk"))?;
    let be16 = |at: usize| u16::from_be_bytes([format[at], format[at + 1]]);
    let (tag, bits) = (be16(0), be16(14));
    let compression: &[u8] = match (tag, bits) {
        (1, 8) => b"raw ",
        (1, 16 | 24 | 32) => b"NONE",
        (3, 32) => b"fl32",
        (3, 64) => b"fl64",
        (6, 8) => b"alaw",
        (7, 8) => b"ulaw",
        _ => {
            return Err(Error::Unsupported {
                format: format!("{} (RIFX, {bits} bits)", wave_codec(tag)),
            });
        }
    };
    let mut common = Vec::with_capacity(18);
    common.extend_from_slice(&be16(2).to_be_bytes());
    common.extend_from_slice(&[0; 4]);
    let wide = if matches!(tag, 6 | 7) { 16 } else { bits };
    common.extend_from_slice(&wide.to_be_bytes());
    common.extend_from_slice(&extended(be32(&format, 4)));
    Ok(Rehead {
        container: "wav",
        header: aifc_header(&common, compression, &data),
        another: chunks.another()?,
        promised: promised(told, &data),
        data,
        duration_ms: None,
        call: None,
    })
}

/// Sun and NeXT audio: the same big-endian samples as AIFF-C.
fn au(input: &Input, head: &[u8]) -> Result<Rehead, Error> {
    let corrupt = |reason: String| Error::Corrupt {
        format: "au".into(),
        reason,
    };
    if head.len() < 24 {
        return Err(corrupt("the header is incomplete".into()));
    }
    let (offset, size) = (u64::from(be32(head, 4)), be32(head, 8));
    let (encoding, rate, channels) = (be32(head, 12), be32(head, 16), be32(head, 20));
    let (bits, compression): (u16, &[u8]) = match encoding {
        1 => (16, b"ulaw"),
        2 => (8, b"NONE"),
        3 => (16, b"NONE"),
        4 => (24, b"NONE"),
        5 => (32, b"NONE"),
        6 => (32, b"fl32"),
        7 => (64, b"fl64"),
        27 => (16, b"alaw"),
        23..=26 => (16, b""),
        other => {
            return Err(Error::Unsupported {
                format: format!("AU encoding {other}"),
            });
        }
    };
    let channels = u16::try_from(channels).map_err(|_| corrupt(format!("{channels} channels")))?;
    let g726 = |bits| Coding::G726 {
        bits,
        low_first: true,
    };
    let coding = match encoding {
        23 => Some(g726(4)),
        24 => Some(Coding::G722),
        25 => Some(g726(3)),
        26 => Some(g726(5)),
        _ => None,
    };
    if coding.is_some() && channels != 1 {
        return Err(Error::Unsupported {
            format: format!("ADPCM with {channels} channels in AU"),
        });
    }
    let end = input.len()?;
    let start = offset.min(end);
    let data = if size == u32::MAX {
        start..end
    } else {
        start..start.saturating_add(size.into()).min(end)
    };
    let mut common = Vec::with_capacity(18);
    common.extend_from_slice(&channels.to_be_bytes());
    common.extend_from_slice(&[0; 4]);
    common.extend_from_slice(&bits.to_be_bytes());
    common.extend_from_slice(&extended(rate));
    Ok(Rehead {
        container: "au",
        header: aifc_header(&common, compression, &data),
        another: begins(input, data.end)?.then_some(data.end),
        promised: promised(size.into(), &data),
        data,
        duration_ms: None,
        call: coding.map(|coding| Call {
            coding,
            rate,
            samples: None,
        }),
    })
}

/// An AIFF-C header in front of `data`. `common` is the 18 bytes that AIFF and AIFF-C share.
fn aifc_header(common: &[u8], compression: &[u8], data: &Range<u64>) -> Vec<u8> {
    // The format's 32-bit sizes are its own limit; longer data is cut there.
    let size = u32::try_from(data.end - data.start)
        .unwrap_or(u32::MAX)
        .min(u32::MAX - 4096);
    let mut header = Vec::with_capacity(60);
    header.extend_from_slice(b"FORM");
    header.extend_from_slice(&(size + 52).to_be_bytes());
    header.extend_from_slice(b"AIFCCOMM\0\0\0\x18");
    header.extend_from_slice(common);
    header.extend_from_slice(compression);
    // An empty Pascal string: the name of the compression.
    header.extend_from_slice(b"\0\0SSND");
    header.extend_from_slice(&(size + 8).to_be_bytes());
    header.extend_from_slice(&[0; 8]);
    header
}

/// An integer as the 80-bit float that AIFF stores its sample rate in.
fn extended(value: u32) -> [u8; 10] {
    let mut out = [0; 10];
    if value > 0 {
        let shift = value.leading_zeros();
        out[..2].copy_from_slice(&(16383 + 31 - shift as u16).to_be_bytes());
        out[2..6].copy_from_slice(&(value << shift).to_be_bytes());
    }
    out
}

/// The bytes of a range, at most [`MAX_BODY`], fewer at the end of the file.
fn bytes(input: &Input, range: Range<u64>) -> Result<Vec<u8>, Error> {
    let len = range.end.saturating_sub(range.start).min(MAX_BODY) as usize;
    Ok(input.bytes_at(range.start, len)?)
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    le32(bytes, at).swap_bytes()
}
