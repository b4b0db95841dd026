//! Opening a file: which demuxer, which track, which decoder, and what the headers tell.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::units::TimeBase;

use crate::codec::{CODECS, FORMATS, codec_name, container_name};
use crate::fence::fenced;
use crate::input::Source;
use crate::rehead::{Rehead, rehead};
use crate::ticks::rescale;
use crate::{Error, Info, Input, edits, opus, sniff};

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
    pub(crate) channels: Channels,
    pub(crate) info: Info,
}

/// Finds demuxer and decoder. Every read of the input hears `stop` and counts in `read`.
pub(crate) fn open<'s>(
    input: &Input,
    stop: Option<&'s AtomicBool>,
    read: Arc<AtomicU64>,
) -> Result<Opened<'s>, Error> {
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
    let (header, window) = match known {
        Some(Rehead { header, data, .. }) => (header, data),
        None => (Vec::new(), 0..input.len()?),
    };
    let source = Source::new(input, header, window, read, stop);
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let (format_options, metadata_options) = (FormatOptions::default(), MetadataOptions::default());
    let format = fenced(|| FORMATS.probe(&Hint::new(), stream, format_options, metadata_options))
        .map_err(|error| open_error(error, container, &head, stop))?;
    let format_info = format.format_info();
    let container = container
        .unwrap_or_else(|| container_name(format_info.format, format_info.short_name, &head));
    let mut opened = of_format(input, format, container)?;
    opened.info.duration_ms = long_ms.or(opened.info.duration_ms);
    Ok(opened)
}

fn of_format<'s>(
    input: &Input,
    format: Box<dyn FormatReader + 's>,
    container: &'static str,
) -> Result<Opened<'s>, Error> {
    let no_track = || Error::NoAudioTrack {
        container: container.into(),
    };
    let (track, params) = audio_track(&*format).ok_or_else(no_track)?;
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
            .map(|ms| ms.saturating_sub(unheard)),
    };
    let track = track.id;
    Ok(Opened {
        format,
        codec,
        track,
        time_base,
        lead,
        channels,
        info,
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
    let ticks = track
        .duration
        .map(|duration| duration.get())
        .or(track.num_frames);
    if let Some(ticks) = ticks.filter(|ticks| *ticks > 0 || !matches!(container, "mp4" | "ogg")) {
        return Some(rescale(ticks, time_base, 1000));
    }
    let media = format.media_info();
    let (ticks, time_base) = media.duration.zip(media.time_base)?;
    (ticks.get() > 0).then(|| rescale(ticks.get(), time_base, 1000))
}
