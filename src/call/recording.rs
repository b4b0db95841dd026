//! Opening the recording that a call names, with the privileges of the current user.

use std::ffi::CStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use audio::recording::Encoded;
use audio::{Input, Reader, Selection};
use onnx::Cancel;
use pgrx::prelude::*;

use crate::call::arguments::Source;
use crate::call::options::Common;
use crate::errors::Error;
use crate::{settings, stats};

/// Samples that [`Recording::stream`] hands on at a time: ten seconds.
const PIECE: usize = 10 * audio::SAMPLE_RATE as usize;
/// The role whose members may fetch URLs, made by the extension's script.
const FETCH_ROLE: &CStr = c"ai_audio_fetch_url";

/// A recording that the current user may read, not opened yet. Made on the backend's thread, where privileges and
/// settings are; opened on the worker's, where waiting can be stopped.
#[derive(Clone)]
pub struct Recording {
    name: String,
    place: Place,
}

#[derive(Clone)]
enum Place {
    Bytes(Arc<[u8]>),
    File(PathBuf, source::FileRules),
    Url(source::Url, source::FetchRules),
}

impl Recording {
    /// Checks that the current user may read this source.
    ///
    /// # Errors
    /// [`Error::Privilege`]; [`Error::Source`] for text that is no path and no URL, and for too many bytes.
    pub fn new(source: &Source) -> Result<Self, Error> {
        let name = source.describe();
        let place = match source {
            Source::Bytes(bytes) => Place::Bytes(limited(bytes)?),
            Source::Text(text) => match source::parse(text)? {
                source::Location::File(path) => {
                    may_read_files()?;
                    Place::File(path, settings::file_rules())
                }
                source::Location::Url(url) => {
                    may_fetch()?;
                    Place::Url(url, settings::fetch_rules())
                }
            },
        };
        Ok(Recording { name, place })
    }

    /// How messages name it: without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the file or fetches the URL.
    ///
    /// # Errors
    /// [`Error::Source`].
    pub fn open(&self, cancel: &Cancel) -> Result<Input, Error> {
        stats::DECODE_US.time(|| match &self.place {
            Place::Bytes(bytes) => Ok(Input::Bytes(Arc::clone(bytes))),
            Place::File(path, rules) => Ok(Input::File(Arc::new(source::open_file(path, rules)?))),
            Place::Url(url, rules) => match source::fetch(url, rules, cancel.flag())? {
                source::Body::Bytes(bytes) => Ok(Input::Bytes(bytes.into())),
                source::Body::File(file) => Ok(Input::File(Arc::new(file))),
            },
        })
    }

    /// Opens the selected part and hands it on in pieces of 16 kHz mono: memory does not grow with the recording.
    ///
    /// # Errors
    /// [`Error::Source`], [`Error::Audio`], and what `take` returns.
    pub fn stream(
        &self,
        selection: &Selection,
        cancel: &Cancel,
        mut take: impl FnMut(&[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let input = self.open(cancel)?;
        let wrong = |e| self.blame(Error::Decoding(e));
        let opened =
            stats::DECODE_US.time(|| Reader::open_with(&input, selection, Some(cancel.flag())));
        let mut reader = opened.map_err(wrong)?;
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            piece.clear();
            let read = stats::DECODE_US.time(|| reader.read(&mut piece, PIECE, cancel.flag()));
            if read.map_err(wrong)? == 0 {
                return Ok(());
            }
            stats::AUDIO_MS.add(piece.len() as u64 * 1000 / u64::from(audio::SAMPLE_RATE));
            take(&piece)?;
        }
    }

    /// A selection to be read as often as needed; reading it is counted.
    pub fn reading<'a>(&self, input: &'a Input, selection: &'a Selection) -> Reading<'a> {
        Reading {
            encoded: Encoded::new(input, selection),
            counted: false,
        }
    }

    /// Names the recording in an error about it.
    pub fn blame(&self, error: impl Into<Error>) -> Error {
        Error::of_recording(&self.name, error)
    }
}

/// A selection of a recording that is decoded piece by piece.
pub struct Reading<'a> {
    encoded: Encoded<'a>,
    /// Whether its length has been counted: a second reading is no more audio.
    counted: bool,
}

impl audio::recording::Recording for Reading<'_> {
    fn rewind(&mut self) -> Result<(), audio::Error> {
        audio::recording::Recording::rewind(&mut self.encoded)
    }

    fn read(
        &mut self,
        out: &mut Vec<f32>,
        max: usize,
        stop: &AtomicBool,
    ) -> Result<usize, audio::Error> {
        let count = stats::DECODE_US
            .time(|| audio::recording::Recording::read(&mut self.encoded, out, max, stop))?;
        self.counted |= count == 0;
        if !self.counted {
            stats::AUDIO_MS.add(count as u64 * 1000 / u64::from(audio::SAMPLE_RATE));
        }
        Ok(count)
    }
}

impl Common {
    /// The part of the recording that the options select.
    ///
    /// # Errors
    /// [`Error::Options`] for `channel: 'each'`.
    pub fn selection(&self) -> Result<Selection, Error> {
        Ok(Selection {
            start_ms: self.start_time,
            end_ms: self.end_time,
            channel: self.channel.single()?,
            max_duration_ms: settings::max_duration_ms(),
        })
    }
}

fn limited(bytes: &Arc<[u8]>) -> Result<Arc<[u8]>, source::Error> {
    let (bytes_given, limit) = (bytes.len() as u64, settings::max_bytes());
    if bytes_given > limit {
        return Err(source::Error::BytesTooLarge {
            bytes: bytes_given,
            limit,
        });
    }
    Ok(Arc::clone(bytes))
}

fn may_read_files() -> Result<(), Error> {
    // SAFETY: catalog look-ups in a transaction.
    let allowed = unsafe {
        pg_sys::has_privs_of_role(
            pg_sys::GetUserId(),
            pg_sys::Oid::from(pg_sys::ROLE_PG_READ_SERVER_FILES),
        )
    };
    allowed.then_some(()).ok_or_else(|| Error::Privilege {
        message: "permission denied to read server files".into(),
        hint: "Reading a file of the server needs superuser or membership in pg_read_server_files. Recordings given as \
               bytea need no privilege.",
    })
}

fn may_fetch() -> Result<(), Error> {
    // SAFETY: catalog look-ups in a transaction; a missing role gives InvalidOid.
    let allowed = unsafe {
        let user = pg_sys::GetUserId();
        let role = pg_sys::get_role_oid(FETCH_ROLE.as_ptr(), true);
        pg_sys::superuser_arg(user)
            || (role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(user, role))
    };
    allowed.then_some(()).ok_or_else(|| Error::Privilege {
        message: "permission denied to fetch URLs".into(),
        hint: "Fetching a URL needs superuser or membership in ai_audio_fetch_url.",
    })
}
