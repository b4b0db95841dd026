//! Demuxing and decoding of one audio track, fenced: errors are counted, panics caught, `stop` is heard. Long, because it is
//! one state that seeking, skipping, chaining and trimming change.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use symphonia::core::audio::{AudioSpec, Channels};
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as Symphonia;
use symphonia::core::formats::{FormatReader, SeekMode, SeekTo};
use symphonia::core::packet::Packet;
use symphonia::core::units::{TimeBase, Timestamp};

use crate::adapter::Adapter;
use crate::codec::is_memoryless;
use crate::damage::{self, Damage};
use crate::fence::{PANICKED, fenced};
use crate::frames::TICKS;
use crate::holes::{Notes, hole};
use crate::input::Part;
use crate::open::{self, audio_track, checked_rate, delay_of, make_codec};
use crate::pages;
use crate::ticks::{rescale, rescale_back};
use crate::watched::Look;
use crate::{Error, Info, Input};

/// Packets in a row that may be damaged before the first that is not, and errors of a demuxer without a packet.
const MAX_ERRORS: u32 = 500;
/// The longest silence that stands in for one damaged packet, in frames.
const MAX_GAP: u64 = 8192;
/// Lengths that headers tell are rounded, or count what an encoder has added, milliseconds.
const LEAST_MISSING: u64 = 40;
/// Decoder of the first audio track of a file.
pub(crate) struct Decoder<'s> {
    whole: Part<'s>,
    format: Box<dyn FormatReader + 's>,
    codec: Box<dyn AudioDecoder>,
    track: u32,
    time_base: TimeBase,
    /// Timestamp of the track's first packet; of the present link's, where files are chained.
    origin: i64,
    /// Frames before the present link, and before the next packet.
    link: u64,
    end: u64,
    /// Whether the next packet is a link's first.
    begins: bool,
    /// Whether the file is several, each with times of its own.
    chained: bool,
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
    /// Where rate or channels have changed.
    adapter: Option<Adapter>,
    errors: u32,
    /// What was wrong with the first damaged packet.
    damage: Option<String>,
    /// Frames of silence that stand for damaged packets, and where the first are.
    lost: u64,
    lost_at: u64,
    /// Frames of the last packet.
    usual: u64,
    /// Length that the headers promise, and how much of it did not come, milliseconds.
    promised_ms: Option<u64>,
    missing_ms: u64,
    notes: Arc<Notes>,
    /// Packets that could be decoded, and that could not.
    good: u64,
    bad: u64,
    decoded: bool,
    /// Whether all of it was decoded.
    at_end: bool,
    /// Interleaved samples of the last packet.
    frames: Vec<f32>,
}

impl<'s> Decoder<'s> {
    pub(crate) fn open(input: &Input, stop: Option<&'s AtomicBool>) -> Result<Self, Error> {
        Self::of(Part::whole(input, stop)?)
    }

    fn of(whole: Part<'s>) -> Result<Self, Error> {
        let opened = open::open(&whole)?;
        let mut decoder = Decoder {
            whole,
            format: opened.format,
            codec: opened.codec,
            track: opened.track,
            time_base: opened.time_base,
            origin: 0,
            link: 0,
            end: 0,
            begins: false,
            chained: opened.chained,
            lead: opened.lead,
            drop: 0,
            position: Some(0),
            pending: VecDeque::new(),
            channels: opened.channels,
            info: opened.info,
            adapter: None,
            errors: 0,
            damage: None,
            lost: 0,
            lost_at: 0,
            usual: 0,
            promised_ms: opened.promised_ms,
            missing_ms: 0,
            notes: opened.notes,
            good: 0,
            bad: 0,
            decoded: false,
            at_end: false,
            frames: Vec::new(),
        };
        decoder.read_ahead()?;
        Ok(decoder)
    }

    /// Back to the start. What was noted so far is found again.
    fn reopen(&mut self) -> Result<(), Error> {
        let again = Self::of(self.whole.clone())?;
        (self.lost, self.missing_ms) = (0, 0);
        self.notes.behind.store(0, Ordering::Relaxed);
        *self = again;
        Ok(())
    }

    /// Reads the first packet, for the time where the track begins, and decodes it once: only then is it sure how many channels there are.
    fn read_ahead(&mut self) -> Result<(), Error> {
        let never = AtomicBool::new(false);
        let Some(packet) = self.packet(self.whole.stop.unwrap_or(&never))? else {
            return self.no_packets();
        };
        self.origin = packet.pts.get();
        if self.lead == 0 && self.origin < 0 {
            self.lead = self.frames_of(self.origin.unsigned_abs());
        }
        // A demuxer that trims its packets makes the decoder cut the delay off.
        let trimmed = !packet.trim_start.is_zero();
        self.drop = if trimmed { 0 } else { self.lead };
        let codec = &mut self.codec;
        let spec = fenced(|| Ok(codec.decode(&packet)?.spec().clone()));
        self.codec.reset();
        self.pending.push_back(packet);
        if let Ok(spec) = spec {
            let told = u64::from(self.info.sample_rate);
            self.info.sample_rate = checked_rate(spec.rate(), &self.info.container)?;
            // HE-AAC tells the rate of what its core is extended to; the core is what is decoded.
            for frames in [&mut self.lead, &mut self.drop] {
                *frames = (*frames * u64::from(self.info.sample_rate) + told / 2) / told.max(1);
            }
            self.info.channels = spec.channels().count() as u32;
            self.channels = spec.channels().clone();
        }
        Ok(())
    }

    /// Plain samples may be none; a stream of packets without a packet was cut off.
    fn no_packets(&self) -> Result<(), Error> {
        match &*self.info.container {
            container @ ("mp4" | "matroska" | "webm" | "mp3" | "adts" | "amr") => {
                Err(Error::Corrupt {
                    format: container.into(),
                    reason: "it ends before its first packet of audio".into(),
                })
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn info(&self) -> &Info {
        &self.info
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.channels
    }

    /// Encoded bytes read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.whole.read.load(Ordering::Relaxed)
    }

    /// Index of the next frame, counted from the first audible one.
    pub(crate) fn position(&self) -> u64 {
        self.position.unwrap_or(0)
    }

    /// Frames up to the end of the last packet that was read, decoded or not.
    pub(crate) fn end(&self) -> u64 {
        self.position().max(self.end)
    }

    /// Finds the duration by scanning packets where the header has none. Afterwards the decoder is at its end.
    pub(crate) fn measure(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let (mut ticks, mut owed) = (0u64, 0u64);
        let (mut packets, mut untold) = (0u64, 0u64);
        while self.info.duration_ms.is_none() {
            // Encoder delay counts as part of a packet, the first one's of one that is still to come; a new link of a chained file
            // has some of its own.
            let unheard = std::mem::take(&mut self.drop);
            owed += rescale_back(unheard, self.time_base, self.info.sample_rate);
            let paid = owed.min(ticks);
            (ticks, owed) = (ticks - paid, owed - paid);
            let (before, rate) = (self.time_base, self.info.sample_rate);
            let packet = self.packet(stop)?;
            if self.time_base != before {
                ticks = rescale_back(rescale(ticks, before, rate), self.time_base, rate);
            }
            match packet {
                Some(packet) => {
                    packets += u64::from(!packet.data.is_empty());
                    untold += u64::from(packet.dur.is_zero());
                    ticks = ticks.saturating_add(packet.dur.get());
                }
                // Vorbis' first packet has no length of its own, others have none at all.
                None if untold * 4 >= packets => return self.measure_decoded(stop),
                None => self.info.duration_ms = Some(rescale(ticks, self.time_base, 1000)),
            }
        }
        Ok(())
    }

    /// The duration of what does not even tell how long its packets are.
    fn measure_decoded(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        self.reopen()?;
        self.decode_all(stop).map(drop)
    }

    /// Decodes what is left, for its length. Returns the milliseconds that are damaged or missing.
    pub(crate) fn decode_all(&mut self, stop: &AtomicBool) -> Result<u64, Error> {
        while self.next(stop)?.is_some() {}
        self.info.duration_ms = Some(self.ms(self.position()));
        Ok(self.ms(self.lost) + self.missing_ms)
    }

    fn ms(&self, frames: u64) -> u64 {
        frames.saturating_mul(1000) / u64::from(self.info.sample_rate.max(1))
    }

    /// Moves forward so that the next block starts at or before `frame`, without decoding what lies before if possible.
    pub(crate) fn advance(&mut self, frame: u64, stop: &AtomicBool) -> Result<(), Error> {
        let target = frame.saturating_sub(self.preroll());
        let landing = target.saturating_sub(self.approach());
        if landing > self.info.sample_rate.into() && !self.seek(landing, stop)? {
            self.reopen()?;
        }
        self.skip(target, stop)
    }

    /// Frames to land ahead of the target of a seek, from where packets are skipped undecoded.
    ///
    /// symphonia's Matroska reader takes the time of a cue for the time of its whole cluster, so up to the next cluster it tells times
    /// that are too late. A cluster spans at most 33 s (16 bits of milliseconds): twice that ahead, no wrong time can look like the target.
    fn approach(&self) -> u64 {
        let seconds = if self.info.is_matroska() { 70 } else { 0 };
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
        if self.chained || self.info.container == "ogg" && self.format.tracks().len() > 1 {
            return Ok(false);
        }
        // Times begin anew in each link.
        if self.info.container == "ogg" {
            let mut look = Look::new(&self.whole);
            if !pages::is_one(&mut look)? {
                return Ok(false);
            }
        }
        let ticks = rescale_back(
            frame.saturating_add(self.lead),
            self.time_base,
            self.info.sample_rate,
        );
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
        self.adapter = None;
        (self.position, self.drop) = (None, 0);
        self.pending.clear();
        let Some(packet) = self.packet(stop)? else {
            return Ok(false);
        };
        // A page without a time gives one before all others.
        let early_enough = packet.pts.get() >= self.origin && self.place(&packet) <= frame;
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
        self.notes.quiet.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// The next decoded packet as interleaved frames, to be changed at will; `None` at the end.
    pub(crate) fn next(&mut self, stop: &AtomicBool) -> Result<Option<&mut [f32]>, Error> {
        while let Some(mut packet) = self.packet(stop)? {
            if packet.data.is_empty() && !packet.dur.is_zero() {
                self.pass_hole(&packet);
                return Ok(Some(self.placed(&packet)));
            }
            let trims = self.take_trims(&mut packet);
            match fenced(|| {
                let buffer = self.codec.decode(&packet)?;
                buffer.copy_to_vec_interleaved(&mut self.frames);
                Ok(buffer.spec().clone())
            }) {
                Ok(spec) => {
                    self.fit(&packet, &spec);
                    self.trim(trims, &spec);
                    self.adapt(&spec)?;
                    let quiet = self.notes.quiet.swap(0, Ordering::Relaxed);
                    if quiet > 0 {
                        self.note_lost(&packet, self.frames_of(quiet));
                    }
                    (self.errors, self.decoded) = (0, true);
                    self.good += 1;
                }
                Err(error) => {
                    // What comes in packets ends by itself.
                    let in_a_row = if self.decoded { 0 } else { self.errors };
                    if !self.tolerate(error, in_a_row)? {
                        return self.ended();
                    }
                    self.notes.quiet.store(0, Ordering::Relaxed);
                    self.silence(&packet);
                }
            }
            if !self.frames.is_empty() {
                return Ok(Some(self.placed(&packet)));
            }
        }
        let Some(adapter) = self.adapter.take() else {
            return self.ended();
        };
        adapter.finish(&mut self.frames);
        let count = self.frames.len() / self.channels.count().max(1);
        self.position = Some(self.position().saturating_add(count as u64));
        Ok((count > 0).then_some(&mut self.frames[..]))
    }

    /// Silence of a packet's length, in `self.frames`.
    fn silence(&mut self, packet: &Packet) {
        // Matroska need not tell how long a packet is: as long as the last one.
        let gap = match packet.dur.get() {
            0 => self.usual,
            told => self.frames_of(told),
        };
        let gap = gap.min(MAX_GAP);
        self.frames.clear();
        self.frames
            .resize(gap as usize * self.channels.count(), 0.0);
        self.note_lost(packet, gap);
    }

    fn note_lost(&mut self, packet: &Packet, frames: u64) {
        if self.lost == 0 {
            self.lost_at = match self.position {
                Some(position) => position,
                None => self.place(packet),
            };
        }
        self.lost += frames;
    }

    /// Silence for the first part of a hole; the rest of it comes next.
    fn pass_hole(&mut self, packet: &Packet) {
        self.codec.reset();
        self.bad += 1;
        self.damage
            .get_or_insert_with(|| "there are no packets".into());
        let ticks = packet.dur.get();
        let part = rescale_back(MAX_GAP, self.time_base, self.info.sample_rate).clamp(1, ticks);
        let time = packet.pts.get();
        self.silence(&hole(packet.track_id, time, part));
        if part < ticks {
            let time = time.saturating_add_unsigned(part);
            self.pending
                .push_front(hole(packet.track_id, time, ticks - part));
        }
    }

    /// Tells what was lost, once.
    pub(crate) fn tell_damage(&mut self) {
        if self.lost > 0 {
            damage::add(Damage::Silence {
                ms: self.ms(self.lost),
                at_ms: self.ms(self.lost_at),
            });
            self.lost = 0;
        }
        let at_ms = self.ms(self.position());
        let ms = std::mem::take(&mut self.missing_ms);
        if ms > 0 {
            damage::add(Damage::Cut { ms, at_ms });
        }
        let bytes = self.notes.behind.swap(0, Ordering::Relaxed);
        if bytes > 0 {
            // Where the recording ends, however much of it was decoded.
            let told = self.info.duration_ms.or(self.promised_ms);
            let at_ms = told.filter(|_| !self.at_end).unwrap_or(at_ms);
            damage::add(Damage::Behind { bytes, at_ms });
        }
    }

    /// Silence stands in for damaged packets, but nothing stands in for all of them.
    fn ended(&mut self) -> Result<Option<&mut [f32]>, Error> {
        self.at_end = true;
        if let Some(reason) = &self.damage
            // Random bytes look like a packet now and then: of every six, one.
            && self.bad > 4 * self.good
        {
            return Err(Error::Corrupt {
                format: self.info.codec.clone(),
                reason: format!("hardly a packet of it can be decoded: {reason}"),
            });
        }
        let truncated = self.notes.truncated.load(Ordering::Relaxed);
        let promised = self
            .promised_ms
            .filter(|_| truncated || !self.info.is_matroska());
        let missing = self.notes.missing.swap(0, Ordering::Relaxed);
        let missing = promised
            .unwrap_or(0)
            .saturating_sub(self.ms(self.position()))
            .max(rescale(missing, self.time_base, 1000));
        if missing >= LEAST_MISSING {
            self.missing_ms = missing;
        }
        Ok(None)
    }

    /// Trims in ticks, which symphonia's decoders take for frames.
    fn take_trims(&self, packet: &mut Packet) -> [u64; 2] {
        if self.time_base.denom.get() != TICKS {
            return [0; 2];
        }
        [&mut packet.trim_start, &mut packet.trim_end].map(|trim| std::mem::take(trim).get())
    }

    /// Cuts the encoder's delay and padding off `self.frames`.
    fn trim(&mut self, trims: [u64; 2], spec: &AudioSpec) {
        let channels = spec.channels().count().max(1);
        let [start, end] =
            trims.map(|ticks| rescale(ticks, self.time_base, spec.rate()) as usize * channels);
        self.frames.truncate(self.frames.len().saturating_sub(end));
        self.frames.drain(..start.min(self.frames.len()));
    }

    /// MP4 tells how long each packet is, and marks the padding of the last one by a shorter duration. A damaged one may hold less.
    fn fit(&mut self, packet: &Packet, spec: &AudioSpec) {
        let channels = self.channels.count().max(1);
        let is_own = (spec.rate(), spec.channels().count()) == (self.info.sample_rate, channels);
        let frames = self.frames_of(packet.dur.get());
        let there = (self.frames.len() / channels) as u64;
        if is_own {
            self.usual = there;
        }
        if self.info.container != "mp4" || frames == 0 {
            return;
        }
        let all = usize::try_from(frames).unwrap_or(usize::MAX);
        self.frames.truncate(all.saturating_mul(channels));
        // Durations are rounded where the time base is not the rate.
        // A decoder with memory may have nothing to give yet.
        let fills = there > 0 || is_memoryless(&self.info.codec);
        if is_own && fills && there + frames / 8 < frames && frames <= MAX_GAP {
            self.note_lost(packet, frames - there);
            self.frames.resize(all * channels, 0.0);
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
        self.position = Some(position.saturating_add(count - drop));
        &mut self.frames[drop as usize * channels..]
    }

    /// Frame index of a packet's first audible frame, by its timestamp.
    fn place(&self, packet: &Packet) -> u64 {
        let start = packet
            .pts
            .get()
            .saturating_add_unsigned(packet.trim_start.get());
        let ticks = u64::try_from(start.saturating_sub(self.origin)).unwrap_or(0);
        self.link + self.frames_of(ticks).saturating_sub(self.lead)
    }

    /// Matroska stamps packets in whole milliseconds. Where packets all have one size, the true position is a multiple of it.
    fn snap(&self, position: u64, packet_frames: u64) -> u64 {
        let tick = self.frames_of(1);
        if tick <= 1 || packet_frames == 0 {
            return position;
        }
        let from_origin = position.saturating_add(self.lead);
        let nearest = from_origin.saturating_add(packet_frames / 2) / packet_frames * packet_frames;
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

    /// Brings `self.frames` to the rate and the channels that the file began with.
    fn adapt(&mut self, spec: &AudioSpec) -> Result<(), Error> {
        let (rate, channels) = (self.info.sample_rate, self.channels.count().max(1));
        let as_begun = (spec.rate(), spec.channels().count()) == (rate, channels);
        if as_begun && self.adapter.is_none() {
            return Ok(());
        }
        let mut before = Vec::new();
        if self
            .adapter
            .as_ref()
            .is_some_and(|adapter| !adapter.takes(spec))
            && let Some(adapter) = self.adapter.take()
        {
            adapter.finish(&mut before);
        }
        if !as_begun {
            let adapter = match self.adapter.take() {
                Some(adapter) => adapter,
                None => Adapter::new(
                    spec,
                    checked_rate(spec.rate(), &self.info.container).map(|_| rate)?,
                    channels,
                )?,
            };
            self.adapter.insert(adapter).convert(&mut self.frames);
        }
        if !before.is_empty() {
            before.append(&mut self.frames);
            self.frames = before;
        }
        Ok(())
    }

    /// The next packet of the track; `None` at the end, which is also where a truncated file stops.
    fn packet(&mut self, stop: &AtomicBool) -> Result<Option<Packet>, Error> {
        let packet = self.demuxed(stop)?;
        if packet.is_none() {
            self.whole.input.check()?;
        }
        Ok(packet)
    }

    fn demuxed(&mut self, stop: &AtomicBool) -> Result<Option<Packet>, Error> {
        if let Some(packet) = self.pending.pop_front() {
            return Ok(Some(packet));
        }
        let mut in_a_row = 0;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            match fenced(|| self.format.next_packet()) {
                Ok(Some(packet)) if packet.track_id == self.track => {
                    if std::mem::take(&mut self.begins) {
                        self.origin = packet.pts.get();
                        if self.lead == 0 && self.origin < 0 {
                            self.lead = self.frames_of(self.origin.unsigned_abs());
                        }
                    }
                    self.end = self.place(&packet) + self.frames_of(packet.dur.get());
                    return Ok(Some(packet));
                }
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
                    in_a_row += 1;
                    if !self.tolerate(error, in_a_row)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes on with the next link of a chained Ogg file, which is a file of its own with a new track.
    fn next_link(&mut self) -> Result<(), Error> {
        let Some((track, params)) = audio_track(&*self.format) else {
            return Ok(());
        };
        self.codec = make_codec(params, &self.info.container)?;
        self.track = track.id;
        self.time_base = track.time_base.unwrap_or(self.time_base);
        let delay = delay_of(params);
        // The reader of frames counts on.
        self.chained |= self.info.container == "ogg";
        if self.chained || self.info.is_matroska() {
            (self.begins, self.link, self.lead) = (true, self.end, delay);
        }
        self.drop = delay;
        Ok(())
    }

    /// Lets a damaged packet pass. `false` after too many in a row: what was decoded so far is all there is, and the rest is told.
    fn tolerate(&mut self, error: Symphonia, in_a_row: u32) -> Result<bool, Error> {
        self.errors += 1;
        self.bad += 1;
        self.damage.get_or_insert_with(|| error.to_string());
        let panicked = matches!(error, Symphonia::DecodeError(PANICKED));
        if in_a_row < MAX_ERRORS && !panicked {
            return Ok(true);
        }
        if self.decoded {
            let left = self.whole.window.end.saturating_sub(self.bytes_read());
            self.notes.behind.fetch_max(left.max(1), Ordering::Relaxed);
            return Ok(false);
        }
        Err(Error::Corrupt {
            format: self.info.codec.clone(),
            reason: error.to_string(),
        })
    }
}

impl Drop for Decoder<'_> {
    fn drop(&mut self) {
        self.tell_damage();
    }
}
