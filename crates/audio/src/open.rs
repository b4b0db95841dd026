//! Opening a file: which demuxer, which track, which decoder, and what the headers tell.

use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::units::TimeBase;

use crate::amr::Band;
use crate::clusters::{self, Clusters};
use crate::codec::{CODECS, codec_name, container_name};
use crate::fence::fenced;
use crate::fragments::Fragments;
use crate::frames::FrameReader;
use crate::holes::Notes;
use crate::input::Part;
use crate::links::{self, Links};
use crate::mender::{Breaks, Mender, Numbered};
use crate::ogg::{self, OggReader};
use crate::pages::{self, Pages};
use crate::rehead::{Rehead, rehead};
use crate::ticks::rescale;
use crate::watched::{self, Look, Walk, Watching};
use crate::{Error, Info, Input, demux, edits, he_aac, opus, sniff};

/// Rates outside are a damaged header, not audio.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// An opened file, before its first packet.
pub(crate) struct Opened<'s> {
    pub(crate) format: Box<dyn FormatReader + 's>,
    pub(crate) codec: Box<dyn AudioDecoder>,
    pub(crate) track: u32,
    pub(crate) time_base: TimeBase,
    /// Frames of encoder delay that the headers tell.
    pub(crate) lead: u64,
    /// Whether it is several files, each with times of its own, or has times that cannot be believed: one does not seek in it.
    pub(crate) chained: bool,
    pub(crate) channels: Channels,
    pub(crate) info: Info,
    /// Length that the headers tell, to compare with what comes.
    pub(crate) promised_ms: Option<u64>,
    pub(crate) notes: Arc<Notes>,
}

/// Finds demuxer and decoder of a file that is `whole`.
pub(crate) fn open<'s>(whole: &Part<'s>) -> Result<Opened<'s>, Error> {
    let (input, stop) = (&whole.input, whole.stop);
    let head = input.bytes_at(0, sniff::HEAD)?;
    if head.is_empty() {
        return Err(Error::Empty);
    }
    let known = rehead(input, &head)?;
    if known.is_none() {
        sniff::refuse_unsupported(&head)?;
    }
    let container = known.as_ref().map(|known| known.container);
    let long_ms = known.as_ref().and_then(|known| known.duration_ms);
    let promised = known.as_ref().and_then(|known| known.promised);
    let call = known.as_ref().and_then(|known| known.call);
    let notes = Arc::new(Notes::default());
    let (another, broken) = match &known {
        Some(known) => (known.another, false),
        None if sniff::known_container(&head) == Some("mp4") => edits::another(input)?,
        None => (None, false),
    };
    if let Some(another) = another {
        let behind = input.len()?.saturating_sub(another);
        notes.behind.store(behind, Ordering::Relaxed);
    }
    let (header, window) = match known {
        Some(Rehead { header, data, .. }) => (header, data),
        None => {
            let all = input.len()?;
            let tagged = head.starts_with(b"fLaC") || head.starts_with(b"ID3");
            let behind = if tagged { tags_behind(input, all)? } else { 0 };
            (Vec::new(), 0..all - behind)
        }
    };
    let part = whole.at(window);
    if let (Some(call), Some(container)) = (call, container) {
        let source = part.source(Vec::new());
        checked_rate(call.rate, container)?;
        let mut opened = of_format(input, Box::new(call.reader(source)), container, false)?;
        opened.info.codec = call.coding.name().into();
        opened.promised_ms = scaled(opened.info.duration_ms, promised, &part.window);
        opened.notes = notes;
        return Ok(opened);
    }
    let source = part.source(header.clone());
    if let Some(band) = Band::of_file(&head) {
        let reader = Box::new(band.reader(source, notes.clone()));
        let mut opened = of_format(input, reader, "amr", false)?;
        opened.notes = notes;
        return Ok(opened);
    }
    let failed = |error| open_error(Symphonia::IoError(error), container, &head, stop);
    // Whether the length that the headers tell is there.
    let mut sound = true;
    let mut chained = false;
    let format = match &head[..] {
        [b'O', b'g', b'g', b'S', ..] => {
            let mut look = Look::new(&part);
            chained = pages::is_chained(&mut look).map_err(&failed)?;
            mended(&part, &notes, Pages::new(chained), None)
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => {
            let mut look = Look::new(&part);
            let extent = clusters::extent(&mut look).map_err(&failed)?;
            sound = !extent.cut && !extent.several;
            notes.truncated.store(extent.cut, Ordering::Relaxed);
            let headers = clusters::headers(&mut look, 0).map_err(&failed)?;
            let tracks = headers.as_ref().map_or(0, |headers| headers.tracks);
            let headers = headers.map(|headers| (headers.bytes, headers.end));
            let walk = Clusters::new(extent.cut || extent.live, tracks);
            mended(&part, &notes, walk, headers)
        }
        _ => fenced(|| demux::open(source)),
    };
    let format = format.map_err(|error| open_error(error, container, &head, stop))?;
    let format_info = format.format_info();
    let container = container
        .unwrap_or_else(|| container_name(format_info.format, format_info.short_name, &head));
    let (format, container): (Box<dyn FormatReader>, _) = match container {
        // By their frames, since symphonia's readers of these lose what their first header does not tell.
        "mp1" | "mp2" | "mp3" | "adts" => {
            match fenced(|| FrameReader::open(part.source(header), notes.clone()))
                .map_err(|error| open_error(error, Some(container), &head, stop))?
            {
                Some(frames) => {
                    let container = frames.container();
                    (Box::new(frames), container)
                }
                None => (format, container),
            }
        }
        "flac" => {
            let (links, sure) = links::find(input, stop)?;
            chained = links.len() > 1;
            sound = sure;
            let numbered = Box::new(Numbered {
                read: part.read.clone(),
            });
            let format = if chained {
                let opened = fenced(|| Links::open(part.clone(), links))
                    .map_err(|error| open_error(error, Some(container), &head, stop))?;
                Box::new(opened)
            } else {
                format
            };
            (
                Box::new(Mender::new(format, numbered, part.window.end)),
                container,
            )
        }
        "mp4" => (
            Box::new(Fragments::new(part.clone(), &notes, format, broken)),
            container,
        ),
        "ogg" => {
            let (untimed, from_zero) = ogg::untimed(input)?;
            chained |= untimed;
            let rate = audio_track(&*format).and_then(|(_, params)| params.sample_rate);
            let rate = rate.unwrap_or(opus::RATE);
            (Box::new(OggReader::new(format, rate, from_zero)), container)
        }
        _ => (format, container),
    };
    let mut opened = of_format(input, format, container, chained)?;
    opened.notes = notes;
    opened.info.duration_ms = long_ms.or(opened.info.duration_ms);
    opened.promised_ms =
        scaled(opened.info.duration_ms, promised, &part.window).or(opened.info.duration_ms);
    if !sound {
        opened.info.duration_ms = None; // to be measured
    }
    Ok(opened)
}

/// A reader that plays on behind what is broken. `headers` are those of a file whose index may be broken, and where what is behind
/// them begins.
fn mended<'s, W: Walk + 's>(
    part: &Part<'s>,
    notes: &Arc<Notes>,
    walk: W,
    headers: Option<(Vec<u8>, u64)>,
) -> Result<Box<dyn FormatReader + 's>, Symphonia> {
    let mut breaks = Watching {
        part: part.clone(),
        watch: watched::shared(walk),
        notes: notes.clone(),
    };
    let mender = |format, breaks| Mender::new(format, Box::new(breaks), part.window.end);
    match fenced(|| breaks.open(Vec::new(), part.window.start)) {
        Ok(format) => Ok(Box::new(mender(format, breaks))),
        Err(error) => {
            // Without an index.
            if let Some((bytes, from)) = headers
                && let Ok(format) = fenced(|| breaks.open(bytes, from))
            {
                return Ok(Box::new(mender(format, breaks)));
            }
            // Broken before its first packet.
            match fenced(|| breaks.behind())? {
                Some(behind) => {
                    let mender = mender(behind.reader, breaks);
                    Ok(Box::new(mender.missing_first(behind.missing)))
                }
                None => Err(error),
            }
        }
    }
}

/// How long all of the promised data would be, by how long what there is in `data` is.
fn scaled(ms: Option<u64>, promised: Option<u64>, data: &Range<u64>) -> Option<u64> {
    let there = u128::from((data.end - data.start).max(1));
    let all = u128::from(ms?) * u128::from(promised?) / there;
    u64::try_from(all).ok()
}

/// Bytes of tags behind a FLAC file that ends at `all`. It has no place for them: symphonia takes them for a damaged last block.
pub(crate) fn tags_behind(input: &Input, all: u64) -> Result<u64, Error> {
    let mut behind = 0;
    if all > 128 && input.bytes_at(all - 128, 3)? == b"TAG" {
        behind = 128;
    }
    let footer = input.bytes_at((all - behind).saturating_sub(32), 32)?;
    if footer.starts_with(b"APETAGEX") && footer.len() == 32 {
        let number = |at: usize| {
            u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]])
        };
        let header = if number(20) >> 31 == 1 { 32 } else { 0 };
        behind += u64::from(number(12)) + header;
    }
    Ok(if behind < all { behind } else { 0 })
}

fn of_format<'s>(
    input: &Input,
    format: Box<dyn FormatReader + 's>,
    container: &'static str,
    chained: bool,
) -> Result<Opened<'s>, Error> {
    let no_track = || Error::NoAudioTrack {
        container: container.into(),
    };
    let amr = match audio_track(&*format) {
        None if container == "mp4" => edits::amr_track(input)?,
        _ => None,
    };
    let amr = amr.map(|(id, band)| (id, band.parameters()));
    let found = match &amr {
        Some((id, params)) => format
            .tracks()
            .iter()
            .find(|track| track.id == *id)
            .map(|track| (track, params)),
        None => audio_track(&*format),
    };
    let Some((track, params)) = found else {
        return Err(if container == "mp4" && edits::is_encrypted(input)? {
            Error::Unsupported {
                format: "encrypted audio in mp4".into(),
            }
        } else {
            no_track()
        });
    };
    let codec = make_codec(params, container)?;
    // Opus always decodes to 48 kHz; Matroska may tell the rate before encoding instead.
    let rate = if params.codec == CODEC_ID_OPUS {
        Some(opus::RATE)
    } else {
        params.sample_rate
    };
    let rate = checked_rate(rate.unwrap_or(0), container)?;
    let time_base = track
        .time_base
        .or_else(|| TimeBase::try_from_recip(rate))
        .ok_or_else(no_track)?;
    let lead = match container {
        "mp4" => rescale(edits::media_start(input, track.id)?, time_base, rate),
        _ => delay_of(params),
    };
    // MP4 and Ogg count the encoder delay as part of the length.
    let unheard = if matches!(container, "mp4" | "ogg") {
        rescale_frames(lead, rate)
    } else {
        0
    };
    let channels = params.channels.clone().unwrap_or_default();
    let info = Info {
        container: container.into(),
        codec: codec_name(params.codec)
            .unwrap_or(codec.codec_info().short_name)
            .into(),
        sample_rate: rate,
        channels: channels.count() as u32,
        duration_ms: duration_ms(&*format, track, time_base, container)
            .filter(|_| !chained)
            .filter(|_| container != "mp4" || !edits::is_fragmented(input).unwrap_or(true))
            .map(|ms| ms.saturating_sub(unheard)),
    };
    let track = track.id;
    Ok(Opened {
        format,
        codec,
        track,
        time_base,
        lead,
        chained,
        channels,
        info,
        promised_ms: None,
        notes: Arc::default(),
    })
}

/// Frames in milliseconds, rounded.
fn rescale_frames(frames: u64, rate: u32) -> u64 {
    frames
        .saturating_mul(1000)
        .saturating_add(u64::from(rate) / 2)
        / u64::from(rate)
}

/// The default audio track, or another one if only that has a decoder, or else the default for its error.
pub(crate) fn audio_track(format: &dyn FormatReader) -> Option<(&Track, &AudioCodecParameters)> {
    let default = format.default_track(TrackType::Audio);
    let mut candidates = default
        .into_iter()
        .chain(format.tracks())
        .filter_map(|track| Some((track, track.codec_params.as_ref()?.audio()?)));
    candidates
        .clone()
        .find(|(_, params)| CODECS.get_audio_decoder(params.codec).is_some())
        .or_else(|| candidates.next())
}

pub(crate) fn make_codec(
    params: &AudioCodecParameters,
    container: &str,
) -> Result<Box<dyn AudioDecoder>, Error> {
    let core = he_aac::core(params);
    let params = core.as_ref().unwrap_or(params);
    fenced(|| CODECS.make_audio_decoder(params, &AudioDecoderOptions::default())).map_err(|error| {
        let codec = codec_name(params.codec)
            .map_or_else(|| format!("codec {}", params.codec), str::to_owned);
        match error {
            // A decoder there is, but none for this many channels.
            Symphonia::Unsupported(_) if CODECS.get_audio_decoder(params.codec).is_some() => {
                let channels = params.channels.as_ref().map_or(0, Channels::count);
                Error::Unsupported {
                    format: format!("{codec} with {channels} channel(s) in {container}"),
                }
            }
            Symphonia::Unsupported(_) => Error::Unsupported {
                format: format!("{codec} in {container}"),
            },
            other => Error::Corrupt {
                format: format!("{container} ({codec})"),
                reason: other.to_string(),
            },
        }
    })
}

/// Encoder delay that the codec's own header tells, in frames; the decoder leaves it in. Only Opus has one (RFC 7845, section 5.1).
pub(crate) fn delay_of(params: &AudioCodecParameters) -> u64 {
    match params.extra_data.as_deref() {
        Some(
            [
                b'O',
                b'p',
                b'u',
                b's',
                b'H',
                b'e',
                b'a',
                b'd',
                _,
                _,
                low,
                high,
                ..,
            ],
        ) if params.codec == CODEC_ID_OPUS => u16::from_le_bytes([*low, *high]).into(),
        _ => 0,
    }
}

pub(crate) fn checked_rate(rate: u32, container: &str) -> Result<u32, Error> {
    if RATES.contains(&rate) {
        return Ok(rate);
    }
    let reason = format!(
        "a sample rate of {rate} Hz; {} to {} Hz can be read",
        RATES.start(),
        RATES.end()
    );
    Err(Error::Corrupt {
        format: container.into(),
        reason,
    })
}

/// Why no demuxer took the file.
fn open_error(
    error: Symphonia,
    container: Option<&str>,
    head: &[u8],
    stop: Option<&AtomicBool>,
) -> Error {
    if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
        return Error::Cancelled;
    }
    let container = container.or_else(|| sniff::known_container(head));
    match (error, container) {
        (Symphonia::IoError(error), _) if error.kind() != ErrorKind::UnexpectedEof => {
            Error::Io(error)
        }
        (Symphonia::IoError(_), Some(container)) => Error::Corrupt {
            format: container.into(),
            reason: "the file ends inside its headers".into(),
        },
        (error, Some(container)) => Error::Corrupt {
            format: container.into(),
            reason: error.to_string(),
        },
        (_, None) => sniff::not_audio(head),
    }
}

/// Length by the headers, where they can be believed.
fn duration_ms(
    format: &dyn FormatReader,
    track: &Track,
    time_base: TimeBase,
    container: &str,
) -> Option<u64> {
    // Without an encoder's tag symphonia guesses these from the first frames.
    if matches!(container, "adts" | "mp1" | "mp2" | "mp3") && track.delay.is_none() {
        return None;
    }
    // An Ogg file may be several, one behind the other, and may begin at any time.
    if container == "ogg" {
        return None;
    }
    // MP4: "all ones" is what a live writer did not know; a recorder of a browser leaves 0 in WebM.
    let known = |ticks: &u64| {
        let live = matches!(container, "mp4" | "matroska" | "webm");
        !live || (*ticks > 0 && *ticks != u64::from(u32::MAX) && *ticks < u64::MAX >> 8)
    };
    let ticks = track
        .duration
        .map(|duration| duration.get())
        .or(track.num_frames);
    if let Some(ticks) = ticks.filter(known) {
        return Some(rescale(ticks, time_base, 1000));
    }
    let media = format.media_info();
    let (ticks, time_base) = media.duration.zip(media.time_base)?;
    let ticks = Some(ticks.get()).filter(|ticks| *ticks > 0 && known(ticks))?;
    Some(rescale(ticks, time_base, 1000))
}
