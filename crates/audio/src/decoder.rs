//! Demuxing and decoding of one audio track, fenced: errors are counted, panics caught, `stop` is heard.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use crate::codec::{CODECS, FORMATS, codec_name, container_name};
use crate::input::Source;
use crate::{Error, Info, Input, sniff};

/// Consecutive packets that may fail before the rest counts as garbage.
const MAX_ERRORS: u32 = 64;
/// Rates outside are a damaged header, not audio.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Decoder of the first audio track of a file.
pub(crate) struct Decoder<'s> {
    format: Box<dyn FormatReader + 's>,
    codec: Box<dyn AudioDecoder>,
    track: u32,
    time_base: TimeBase,
    channels: Channels,
    info: Info,
    errors: u32,
    decoded: bool,
    read: Arc<AtomicU64>,
    /// Interleaved samples of the last packet.
    frames: Vec<f32>,
}

/// Runs a piece of symphonia. Damaged files make some of its readers panic; that must end as an error, not unwind into the caller.
fn fenced<T>(work: impl FnOnce() -> Result<T, Symphonia>) -> Result<T, Symphonia> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or(Err(Symphonia::DecodeError("the decoder panicked")))
}

impl<'s> Decoder<'s> {
    pub(crate) fn open(input: &Input, stop: Option<&'s AtomicBool>) -> Result<Self, Error> {
        let head = input.head(sniff::HEAD)?;
        if head.is_empty() {
            return Err(Error::Empty);
        }
        let read = Arc::new(AtomicU64::new(0));
        let source = Source::new(input, stop, read.clone())?;
        let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
        let format = fenced(|| {
            FORMATS.probe(
                &Hint::new(),
                stream,
                FormatOptions::default(),
                MetadataOptions::default(),
            )
        })
        .map_err(|error| {
            if cancelled(stop) {
                Error::Cancelled
            } else {
                refusal(error, &head)
            }
        })?;
        Self::of_format(format, read)
    }

    fn of_format(format: Box<dyn FormatReader + 's>, read: Arc<AtomicU64>) -> Result<Self, Error> {
        let container =
            container_name(format.format_info().format, format.format_info().short_name);
        let no_track = || Error::NoAudioTrack {
            container: container.into(),
        };
        let track = format
            .default_track(TrackType::Audio)
            .ok_or_else(no_track)?;
        let Some(CodecParameters::Audio(params)) = &track.codec_params else {
            return Err(no_track());
        };
        let codec = make_codec(params, container)?;
        let rate = params
            .sample_rate
            .filter(|rate| RATES.contains(rate))
            .ok_or_else(|| Error::Corrupt {
                format: container.into(),
                reason: format!("a sample rate of {} Hz", params.sample_rate.unwrap_or(0)),
            })?;
        let channels = params.channels.clone().unwrap_or_default();
        let time_base = track
            .time_base
            .or_else(|| TimeBase::try_from_recip(rate))
            .ok_or_else(no_track)?;
        let info = Info {
            container: container.into(),
            codec: codec_name(params.codec)
                .unwrap_or(codec.codec_info().short_name)
                .into(),
            sample_rate: rate,
            channels: channels.count() as u32,
            duration_ms: duration_ms(track, time_base),
        };
        let track = track.id;
        Ok(Decoder {
            format,
            codec,
            track,
            time_base,
            channels,
            info,
            errors: 0,
            decoded: false,
            read,
            frames: Vec::new(),
        })
    }

    pub(crate) fn info(&self) -> &Info {
        &self.info
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Encoded bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Finds the duration by scanning packets where the header has none.
    pub(crate) fn measure(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let mut ticks = 0u64;
        while self.info.duration_ms.is_none() {
            match self.packet(stop)? {
                Some(packet) => ticks = ticks.saturating_add(packet.dur.get()),
                None => self.info.duration_ms = Some(ticks_to(1000, ticks, self.time_base)),
            }
        }
        Ok(())
    }

    /// The next decoded packet as interleaved frames, to be changed at will; `None` at the end.
    pub(crate) fn next(&mut self, stop: &AtomicBool) -> Result<Option<&mut [f32]>, Error> {
        while let Some(packet) = self.packet(stop)? {
            match fenced(|| {
                Ok(self
                    .codec
                    .decode(&packet)?
                    .copy_to_vec_interleaved(&mut self.frames))
            }) {
                Ok(()) => {
                    self.errors = 0;
                    self.decoded = true;
                    return Ok(Some(&mut self.frames));
                }
                Err(error) => self.count(error)?,
            }
        }
        Ok(None)
    }

    /// The next packet of the track; `None` at the end, which is also where a truncated file stops.
    fn packet(&mut self, stop: &AtomicBool) -> Result<Option<Packet>, Error> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            match fenced(|| self.format.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(Symphonia::IoError(error))
                    if error.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    return Ok(None);
                }
                Err(Symphonia::IoError(_)) if stop.load(Ordering::Relaxed) => {
                    return Err(Error::Cancelled);
                }
                Err(Symphonia::IoError(error)) => return Err(Error::Io(error)),
                Err(error) => self.count(error)?,
            }
        }
    }

    /// Lets a damaged packet pass, unless there are too many in a row.
    fn count(&mut self, error: Symphonia) -> Result<(), Error> {
        self.errors += 1;
        if self.errors < MAX_ERRORS {
            return Ok(());
        }
        Err(Error::Corrupt {
            format: self.info.codec.clone(),
            reason: error.to_string(),
        })
    }
}

fn make_codec(
    params: &AudioCodecParameters,
    container: &str,
) -> Result<Box<dyn AudioDecoder>, Error> {
    fenced(|| CODECS.make_audio_decoder(params, &AudioDecoderOptions::default())).map_err(|error| {
        match error {
            Symphonia::Unsupported(_) => {
                let codec = codec_name(params.codec)
                    .map_or_else(|| format!("codec {}", params.codec), str::to_owned);
                Error::Unsupported {
                    format: format!("{codec} in {container}"),
                }
            }
            other => Error::Corrupt {
                format: container.into(),
                reason: other.to_string(),
            },
        }
    })
}

fn cancelled(stop: Option<&AtomicBool>) -> bool {
    stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
}

fn refusal(error: Symphonia, head: &[u8]) -> Error {
    match error {
        Symphonia::IoError(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::Io(error)
        }
        _ => sniff::refuse(head),
    }
}

fn duration_ms(track: &Track, time_base: TimeBase) -> Option<u64> {
    let ticks = track
        .duration
        .map(|duration| duration.get())
        .or(track.num_frames)?;
    Some(ticks_to(1000, ticks, time_base))
}

/// Ticks of a time base in units of `1 / per_second`, rounded.
fn ticks_to(per_second: u64, ticks: u64, time_base: TimeBase) -> u64 {
    let numer = u128::from(ticks) * u128::from(per_second) * u128::from(time_base.numer.get());
    let denom = u128::from(time_base.denom.get());
    u64::try_from((numer + denom / 2) / denom).unwrap_or(u64::MAX)
}
