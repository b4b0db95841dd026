//! Demuxing and decoding of one audio track, fenced: errors are counted, panics caught, `stop` is heard.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use symphonia::core::audio::{AudioSpec, Channels};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::{TimeBase, Timestamp};

use crate::codec::{CODECS, FORMATS, codec_name, container_name, is_memoryless};
use crate::input::Source;
use crate::rehead::rehead;
use crate::{Error, Info, Input, edits, sniff};

/// Packets in a row that may be damaged before the rest counts as garbage.
const MAX_ERRORS: u32 = 500;
/// Rates outside are a damaged header, not audio.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Rate that Opus decodes to and counts its delay in.
const OPUS_RATE: u32 = 48_000;
/// The longest silence that stands in for one damaged packet, in frames.
const MAX_GAP: u64 = 8192;
/// What [`fenced`] says after a panic.
const PANICKED: &str = "the decoder gave up on it";

/// Decoder of the first audio track of a file.
pub(crate) struct Decoder<'s> {
    input: Input,
    stop: Option<&'s AtomicBool>,
    read: Arc<AtomicU64>,
    format: Box<dyn FormatReader + 's>,
    codec: Box<dyn AudioDecoder>,
    track: u32,
    time_base: TimeBase,
    /// Timestamp of the track's first packet.
    origin: i64,
    /// Frames of encoder delay between `origin` and the first frame that is meant to be heard.
    lead: u64,
    /// Decoded frames of `lead` still to drop.
    drop: u64,
    /// Index of the next frame, counted from the first audible one; unknown after a seek.
    position: Option<u64>,
    /// Packets that were read ahead: two at most.
    pending: VecDeque<Packet>,
    channels: Channels,
    info: Info,
    errors: u32,
    decoded: bool,
    /// Interleaved samples of the last packet.
    frames: Vec<f32>,
}

/// Runs a piece of symphonia. Damaged files make some of its readers panic; that must end as an error, not unwind into the caller.
fn fenced<T>(work: impl FnOnce() -> Result<T, Symphonia>) -> Result<T, Symphonia> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Symphonia::DecodeError(PANICKED)))
}

impl<'s> Decoder<'s> {
    pub(crate) fn open(input: &Input, stop: Option<&'s AtomicBool>) -> Result<Self, Error> {
        Self::open_counting(input, stop, Arc::new(AtomicU64::new(0)))
    }

    fn open_counting(
        input: &Input,
        stop: Option<&'s AtomicBool>,
        read: Arc<AtomicU64>,
    ) -> Result<Self, Error> {
        let head = input.bytes_at(0, sniff::HEAD)?;
        if head.is_empty() {
            return Err(Error::Empty);
        }
        let known = rehead(input, &head)?;
        if known.is_none() {
            sniff::refuse_unsupported(&head)?;
        }
        let (container, header, window, duration_ms) = match known {
            Some(known) => (
                Some(known.container),
                known.header,
                known.data,
                known.duration_ms,
            ),
            None => (None, Vec::new(), 0..input.len()?, None),
        };
        let source = Source::new(input, header, window, read.clone(), stop);
        let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
        let (format_options, metadata_options) =
            (FormatOptions::default(), MetadataOptions::default());
        let format =
            fenced(|| FORMATS.probe(&Hint::new(), stream, format_options, metadata_options))
                .map_err(|error| open_error(error, container, &head, stop))?;
        let short_name = format.format_info().short_name;
        let container = container
            .unwrap_or_else(|| container_name(format.format_info().format, short_name, &head));
        let mut decoder = Self::of_format(input, stop, read, format, container)?;
        if duration_ms.is_some() {
            decoder.info.duration_ms = duration_ms;
        }
        if container == "mp4" {
            let start = edits::media_start(input, decoder.track)?;
            decoder.lead = decoder.frames_of(start);
            decoder.info.duration_ms = decoder
                .info
                .duration_ms
                .map(|ms| ms.saturating_sub(rescale(start, decoder.time_base, 1000)));
        }
        decoder.read_ahead()?;
        Ok(decoder)
    }

    fn of_format(
        input: &Input,
        stop: Option<&'s AtomicBool>,
        read: Arc<AtomicU64>,
        format: Box<dyn FormatReader + 's>,
        container: &'static str,
    ) -> Result<Self, Error> {
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
        let opus = params.codec == CODEC_ID_OPUS;
        // Opus always decodes to 48 kHz; Matroska may tell the rate before encoding instead.
        let rate = if opus {
            OPUS_RATE
        } else {
            checked_rate(params.sample_rate.unwrap_or(0), container)?
        };
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
            duration_ms: duration_ms(&*format, track, time_base, container),
        };
        let lead = if opus { opus_delay(params) } else { 0 };
        Ok(Decoder {
            input: input.clone(),
            stop,
            read,
            codec,
            track: track.id,
            time_base,
            origin: 0,
            lead,
            drop: 0,
            position: Some(0),
            pending: VecDeque::new(),
            channels,
            info,
            errors: 0,
            decoded: false,
            frames: Vec::new(),
            format,
        })
    }

    /// Reads the first packet, for the time where the track begins, and decodes it once: only then is it sure how many channels there are.
    fn read_ahead(&mut self) -> Result<(), Error> {
        let never = AtomicBool::new(false);
        let Some(packet) = self.packet(self.stop.unwrap_or(&never))? else {
            return Ok(());
        };
        self.origin = packet.pts.get();
        if self.lead == 0 && self.origin < 0 {
            self.lead = self.frames_of(self.origin.unsigned_abs());
        }
        // These decoders cut the delay off themselves, by the packets' own trim.
        self.drop = if matches!(&*self.info.codec, "mp1" | "mp2" | "mp3" | "vorbis") {
            0
        } else {
            self.lead
        };
        let codec = &mut self.codec;
        let spec = fenced(|| Ok(codec.decode(&packet)?.spec().clone()));
        self.codec.reset();
        self.pending.push_back(packet);
        if let Ok(spec) = spec {
            self.info.sample_rate = checked_rate(spec.rate(), &self.info.container)?;
            self.info.channels = spec.channels().count() as u32;
            self.channels = spec.channels().clone();
        }
        Ok(())
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

    /// Index of the next frame, counted from the first audible one.
    pub(crate) fn position(&self) -> u64 {
        self.position.unwrap_or(0)
    }

    /// Finds the duration by scanning packets where the header has none. Afterwards the decoder is at its end.
    pub(crate) fn measure(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let mut ticks = 0u64;
        while self.info.duration_ms.is_none() {
            match self.packet(stop)? {
                Some(packet) => ticks = ticks.saturating_add(packet.dur.get()),
                None => self.info.duration_ms = Some(rescale(ticks, self.time_base, 1000)),
            }
        }
        Ok(())
    }

    /// Moves forward so that the next block starts at or before `frame`, without decoding what lies before if possible.
    pub(crate) fn advance(&mut self, frame: u64, stop: &AtomicBool) -> Result<(), Error> {
        let target = frame.saturating_sub(self.preroll());
        let landing = target.saturating_sub(self.approach());
        if landing > self.info.sample_rate.into() && !self.seek(landing, stop)? {
            let read = self.read.clone();
            *self = Self::open_counting(&self.input.clone(), self.stop, read)?;
        }
        self.skip(target, stop)
    }

    /// Frames to land ahead of the target of a seek, from where packets are skipped undecoded.
    ///
    /// symphonia's Matroska reader takes the time of a cue for the time of its whole cluster, so up to the next cluster it tells times
    /// that are too late. A cluster spans at most 33 s (16 bits of milliseconds): twice that ahead, no wrong time can look like the target.
    fn approach(&self) -> u64 {
        let seconds = if matches!(&*self.info.container, "matroska" | "webm") {
            70
        } else {
            0
        };
        seconds * u64::from(self.info.sample_rate)
    }

    /// Frames to decode ahead so that a decoder with memory gives what it would have given from the beginning.
    fn preroll(&self) -> u64 {
        if is_memoryless(&self.info.codec) {
            0
        } else {
            self.info.sample_rate.into()
        }
    }

    /// Tries to seek to a packet at or before `frame`. After `false` the reader is in no state to go on.
    fn seek(&mut self, frame: u64, stop: &AtomicBool) -> Result<bool, Error> {
        // With several streams symphonia's Ogg reader can loop for ever.
        if self.info.container == "ogg" && self.format.tracks().len() > 1 {
            return Ok(false);
        }
        let ticks = rescale_back(frame + self.lead, self.time_base, self.info.sample_rate);
        let Some(ts) = i64::try_from(ticks)
            .ok()
            .and_then(|ticks| ticks.checked_add(self.origin))
        else {
            return Ok(false);
        };
        let to = SeekTo::Timestamp {
            ts: Timestamp::new(ts),
            track_id: self.track,
        };
        if fenced(|| self.format.seek(SeekMode::Accurate, to)).is_err() {
            return if stop.load(Ordering::Relaxed) {
                Err(Error::Cancelled)
            } else {
                Ok(false)
            };
        }
        self.codec.reset();
        (self.position, self.drop) = (None, 0);
        self.pending.clear();
        let Some(packet) = self.packet(stop)? else {
            return Ok(false);
        };
        let early_enough = self.place(&packet) <= frame;
        self.pending.push_back(packet);
        Ok(early_enough)
    }

    /// Drops packets undecoded, up to the last one that begins at or before `frame`.
    fn skip(&mut self, frame: u64, stop: &AtomicBool) -> Result<(), Error> {
        let mut last = None;
        while let Some(packet) = self.packet(stop)? {
            if self.place(&packet) > frame {
                self.pending.push_front(packet);
                break;
            }
            if last.replace(packet).is_some() {
                (self.position, self.drop) = (None, 0);
            }
        }
        if let Some(packet) = last {
            self.pending.push_front(packet);
        }
        Ok(())
    }

    /// The next decoded packet as interleaved frames, to be changed at will; `None` at the end.
    pub(crate) fn next(&mut self, stop: &AtomicBool) -> Result<Option<&mut [f32]>, Error> {
        while let Some(packet) = self.packet(stop)? {
            match fenced(|| {
                let buffer = self.codec.decode(&packet)?;
                buffer.copy_to_vec_interleaved(&mut self.frames);
                Ok(buffer.spec().clone())
            }) {
                Ok(spec) => {
                    self.check_spec(&spec)?;
                    self.cut_padding(&packet);
                    (self.errors, self.decoded) = (0, true);
                }
                Err(error) => {
                    if !self.tolerate(error)? {
                        return Ok(None);
                    }
                    let gap = self.frames_of(packet.dur.get()).min(MAX_GAP) as usize;
                    self.frames.clear();
                    self.frames.resize(gap * self.channels.count(), 0.0);
                }
            }
            if !self.frames.is_empty() {
                return Ok(Some(self.placed(&packet)));
            }
        }
        Ok(None)
    }

    /// MP4 marks the padding of the last packet by a shorter duration.
    fn cut_padding(&mut self, packet: &Packet) {
        let frames = self.frames_of(packet.dur.get()) as usize;
        if self.info.container == "mp4" && frames > 0 {
            self.frames
                .truncate(frames.saturating_mul(self.channels.count()));
        }
    }

    /// Keeps count of the position and cuts encoder delay off `self.frames`.
    fn placed(&mut self, packet: &Packet) -> &mut [f32] {
        let channels = self.channels.count().max(1);
        let count = (self.frames.len() / channels) as u64;
        let position = match self.position {
            Some(position) => position,
            None => self.snap(self.place(packet), count),
        };
        let drop = self.drop.min(count);
        self.drop -= drop;
        self.position = Some(position + count - drop);
        &mut self.frames[drop as usize * channels..]
    }

    /// Frame index of a packet's first audible frame, by its timestamp.
    fn place(&self, packet: &Packet) -> u64 {
        let start = packet
            .pts
            .get()
            .saturating_add_unsigned(packet.trim_start.get());
        let ticks = u64::try_from(start.saturating_sub(self.origin)).unwrap_or(0);
        self.frames_of(ticks).saturating_sub(self.lead)
    }

    /// Matroska stamps packets in whole milliseconds. Where packets all have one size, the true position is a multiple of it.
    fn snap(&self, position: u64, packet_frames: u64) -> u64 {
        let tick = self.frames_of(1);
        if tick <= 1 || packet_frames == 0 {
            return position;
        }
        let from_origin = position + self.lead;
        let nearest = (from_origin + packet_frames / 2) / packet_frames * packet_frames;
        let exact = if nearest.abs_diff(from_origin) <= tick {
            nearest
        } else {
            from_origin
        };
        exact.saturating_sub(self.lead)
    }

    fn frames_of(&self, ticks: u64) -> u64 {
        rescale(ticks, self.time_base, self.info.sample_rate)
    }

    fn check_spec(&mut self, spec: &AudioSpec) -> Result<(), Error> {
        if spec.rate() == self.info.sample_rate && spec.channels().count() == self.channels.count()
        {
            return Ok(());
        }
        Err(Error::Corrupt {
            format: self.info.codec.clone(),
            reason: format!(
                "it changes midway from {} Hz and {} channel(s) to {} Hz and {}",
                self.info.sample_rate,
                self.channels.count(),
                spec.rate(),
                spec.channels().count()
            ),
        })
    }

    /// The next packet of the track; `None` at the end, which is also where a truncated file stops.
    fn packet(&mut self, stop: &AtomicBool) -> Result<Option<Packet>, Error> {
        if let Some(packet) = self.pending.pop_front() {
            return Ok(Some(packet));
        }
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            match fenced(|| self.format.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(Symphonia::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(Symphonia::IoError(_)) if stop.load(Ordering::Relaxed) => {
                    return Err(Error::Cancelled);
                }
                Err(Symphonia::IoError(error)) => return Err(Error::Io(error)),
                Err(Symphonia::ResetRequired) => self.next_link()?,
                Err(error) => {
                    if !self.tolerate(error)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes on with the next link of a chained Ogg file, which is a file of its own with a new track.
    fn next_link(&mut self) -> Result<(), Error> {
        let Some(track) = self.format.default_track(TrackType::Audio) else {
            return Ok(());
        };
        let Some(CodecParameters::Audio(params)) = &track.codec_params else {
            return Ok(());
        };
        self.codec = make_codec(params, &self.info.container)?;
        self.track = track.id;
        self.drop = if params.codec == CODEC_ID_OPUS {
            opus_delay(params)
        } else {
            0
        };
        Ok(())
    }

    /// Lets a damaged packet pass. `false` after too many in a row: what was decoded so far is all there is.
    fn tolerate(&mut self, error: Symphonia) -> Result<bool, Error> {
        self.errors += 1;
        let panicked = matches!(error, Symphonia::DecodeError(PANICKED));
        if self.errors < MAX_ERRORS && !panicked {
            return Ok(true);
        }
        if self.decoded {
            return Ok(false);
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
    let mut params = params.clone();
    if params.codec == CODEC_ID_OPUS {
        // With its header the decoder would cut the delay again after each seek; `Decoder::drop` does it.
        (params.extra_data, params.sample_rate) = (None, Some(OPUS_RATE));
    }
    fenced(|| CODECS.make_audio_decoder(&params, &AudioDecoderOptions::default())).map_err(
        |error| {
            let codec = codec_name(params.codec)
                .map_or_else(|| format!("codec {}", params.codec), str::to_owned);
            match error {
                Symphonia::Unsupported(_) => Error::Unsupported {
                    format: format!("{codec} in {container}"),
                },
                other => Error::Corrupt {
                    format: format!("{container} ({codec})"),
                    reason: other.to_string(),
                },
            }
        },
    )
}

/// Encoder delay of Opus in frames at 48 kHz, from its identification header (RFC 7845, section 5.1).
fn opus_delay(params: &AudioCodecParameters) -> u64 {
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
        ) => u16::from_le_bytes([*low, *high]).into(),
        _ => 0,
    }
}

fn checked_rate(rate: u32, container: &str) -> Result<u32, Error> {
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
        // Ogg counts Opus's encoder delay as part of the length.
        let delay = if container == "ogg" {
            track.delay.unwrap_or(0).into()
        } else {
            0
        };
        return Some(rescale(ticks.saturating_sub(delay), time_base, 1000));
    }
    let media = format.media_info();
    let (ticks, time_base) = media.duration.zip(media.time_base)?;
    (ticks.get() > 0).then(|| rescale(ticks.get(), time_base, 1000))
}

/// Ticks of a time base in units of `1 / per_second`, rounded.
fn rescale(ticks: u64, time_base: TimeBase, per_second: u32) -> u64 {
    let numer = u128::from(ticks) * u128::from(per_second) * u128::from(time_base.numer.get());
    let denom = u128::from(time_base.denom.get());
    u64::try_from((numer + denom / 2) / denom).unwrap_or(u64::MAX)
}

/// The other way, rounded down.
fn rescale_back(count: u64, time_base: TimeBase, per_second: u32) -> u64 {
    let numer = u128::from(count) * u128::from(time_base.denom.get());
    let denom = u128::from(time_base.numer.get()) * u128::from(per_second);
    u64::try_from(numer / denom.max(1)).unwrap_or(u64::MAX)
}
