//! Encoded audio in, speech samples and features out.
//!
//! [`decode`] and [`Reader`] turn a file of nearly any format into mono samples at 16 kHz, only as much as a [`Selection`] asks for;
//! [`probe`] tells what a file is; [`fbank`], [`logmel`] and [`nemo`] make the features that speaker and speech models take; [`wav`] and [`flac`]
//! write samples out. Nothing here panics on input, allocates by a declared length or runs on after `stop` is set.
#![warn(missing_docs)]

mod adapter;
mod adpcm;
mod ahead;
mod amr;
mod clusters;
mod codec;
pub mod damage;
mod decoder;
mod demux;
mod edits;
mod error;
pub mod fbank;
mod fence;
pub mod flac;
mod fragments;
mod frames;
mod he_aac;
mod holes;
mod input;
mod links;
pub mod logmel;
mod mel;
mod mender;
mod mix;
pub mod nemo;
mod ogg;
mod open;
mod opus;
mod pages;
mod reader;
pub mod recording;
mod rehead;
pub mod resample;
mod sniff;
mod spectrum;
mod telephone;
mod ticks;
mod watched;
pub mod wav;

use std::sync::atomic::AtomicBool;

pub use error::Error;
pub use input::{Input, Remote};
pub use reader::Reader;

/// Sample rate of what is decoded where nothing else is asked for, in Hz: all models for speech but one work at it.
pub const SAMPLE_RATE: u32 = 16_000;

/// Which channel to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// All channels mixed to one. Mono as it is; stereo by the mean, with an inverted right channel turned over; surround by the ITU-R
    /// BS.775 weights without the LFE channel, scaled to sum to 1.
    #[default]
    Mix,
    /// One channel, counted from 0 in the file's order.
    Index(u32),
}

/// What to decode. The default is everything, mixed.
#[derive(Clone, Debug)]
pub struct Selection {
    /// First millisecond; `None` is the beginning.
    pub start_ms: Option<u64>,
    /// First millisecond not to decode; `None`, or anything past the end, is the end.
    pub end_ms: Option<u64>,
    /// Channel, or a mix.
    pub channel: Channel,
    /// Longest selection allowed, in milliseconds; a longer one is [`Error::TooLong`].
    pub max_duration_ms: u64,
    /// Sample rate to decode to, Hz: a multiple of 1000.
    pub sample_rate: u32,
}

impl Default for Selection {
    fn default() -> Self {
        Selection {
            start_ms: None,
            end_ms: None,
            channel: Channel::Mix,
            max_duration_ms: u64::MAX,
            sample_rate: SAMPLE_RATE,
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Container: `wav`, `mp3`, `flac`, `ogg`, `mp4`, `matroska`, `webm`, `aiff`, `caf`, `adts`, `amr`, `au`, `rf64`, `w64`.
    pub container: String,
    /// Codec, named as ffmpeg names it: `pcm_s16le`, `mp3`, `aac`, `opus`.
    pub codec: String,
    /// Sample rate of the file in Hz.
    pub sample_rate: u32,
    /// Number of channels.
    pub channels: u32,
    /// Length in milliseconds, where it is known.
    pub duration_ms: Option<u64>,
}

impl Info {
    fn is_matroska(&self) -> bool {
        matches!(&*self.container, "matroska" | "webm")
    }
}

/// Decoded audio.
#[derive(Clone, Debug)]
pub struct Audio {
    /// Mono samples at the selection's rate, always finite, nominally in [-1, 1]. Float files that are louder than full scale keep their shape instead
    /// of being clipped.
    pub samples: Vec<f32>,
    /// What they came from.
    pub info: Info,
}

/// Describes a file. The length comes from its headers, else from scanning its packets without decoding them.
pub fn probe(input: &Input, stop: &AtomicBool) -> Result<Info, Error> {
    let mut decoder = decoder::Decoder::open(input, Some(stop))?;
    decoder.measure(stop)?;
    Ok(decoder.info().clone())
}

/// Decodes all of a file, and tells what it is, how long it really is, and how many milliseconds of it are damaged or missing.
pub fn check(input: &Input, stop: &AtomicBool) -> Result<(Info, u64), Error> {
    let mut decoder = decoder::Decoder::open(input, Some(stop))?;
    let damaged = decoder.decode_all(stop)?;
    Ok((decoder.info().clone(), damaged))
}

/// Decodes the selection in one go.
pub fn decode(input: &Input, selection: &Selection, stop: &AtomicBool) -> Result<Audio, Error> {
    let mut reader = Reader::open_with(input, selection, Some(stop))?;
    let mut samples = Vec::new();
    while reader.read(&mut samples, SAMPLE_RATE as usize, stop)? > 0 {}
    Ok(Audio {
        samples,
        info: reader.info().clone(),
    })
}
