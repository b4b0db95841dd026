//! Opening the recording that a call names, with the privileges of the current user.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use audio::recording::Encoded;
use audio::{Input, Reader, Selection};
use onnx::Cancel;
use pgrx::pg_sys;

use crate::call::access::Access;
use crate::call::arguments::Source;
use crate::call::cleaning::Cleaning;
use crate::call::encoded;
use crate::call::options::Common;
use crate::call::privileges::{may_fetch, may_read_files};
use crate::errors::Error;
use crate::memo::{self, Fingerprint};
use crate::progress::{self, Stage};
use crate::{interrupt, settings, stats};

/// Samples that [`Recording::stream`] hands on at a time: ten seconds at 16 kHz.
const PIECE: usize = 10 * audio::SAMPLE_RATE as usize;
/// Files up to this size are worked on in seconds.
const LONG: u64 = 1 << 20;

/// A recording that the current user may read, not opened yet. Made on the backend's thread, where privileges and
/// settings are; opened on the worker's, where waiting can be stopped.
#[derive(Clone)]
pub struct Recording {
    name: String,
    place: Place,
    /// Who asks, which counts where the network is asked.
    user: u32,
    cleaning: Option<Cleaning>,
    fingerprint: OnceLock<Fingerprint>,
    /// What is fetched as it is read, once it is open.
    remote: Arc<Mutex<Option<Arc<source::Remote>>>>,
}

#[derive(Clone)]
enum Place {
    Bytes(Arc<[u8]>),
    File(PathBuf, source::FileRules),
    Web(source::Target, source::FetchRules),
}

impl Recording {
    /// Checks that the current user may read this source.
    ///
    /// # Errors
    /// [`Error::Privilege`]; [`Error::Source`] for text that is no path and no URL, and for too many bytes.
    pub fn new(source: &Source, access: &Access) -> Result<Self, Error> {
        let name = source.describe();
        let place = match source {
            Source::Bytes(bytes) => Place::Bytes(limited(bytes)?),
            Source::Text(text) if text.starts_with("data:") => {
                Place::Bytes(limited(&encoded::data_url(text)?)?)
            }
            Source::Text(text) if let Some(error) = encoded::bytes_in_text(text) => {
                return Err(error);
            }
            Source::Text(text) => match source::parse(text)? {
                source::Location::File(path) => {
                    may_read_files()?;
                    Place::File(path, settings::file_rules())
                }
                source::Location::Url(url) => {
                    may_fetch()?;
                    Place::Web(access.sign(url)?, settings::fetch_rules())
                }
                source::Location::Object { kind, bucket, key } => {
                    if key.is_empty() {
                        let message = format!("{name} names a bucket, not a recording in it");
                        return Err(Error::Argument(message));
                    }
                    let store = access.store(kind, &bucket, &key)?;
                    Place::Web(store.object(&key)?, settings::fetch_rules())
                }
            },
        };
        memo::begin();
        progress::recording(&name);
        Ok(Recording {
            name,
            place,
            // SAFETY: reads a global of this backend.
            user: unsafe { pg_sys::GetUserId() }.to_u32(),
            cleaning: None,
            fingerprint: OnceLock::new(),
            remote: Arc::default(),
        })
    }

    /// The same with what the options say: with less noise, if they do.
    ///
    /// # Errors
    /// As [`Recording::new`], and [`Error::UnknownModel`].
    pub fn with(source: &Source, common: &Common) -> Result<Self, Error> {
        let cleaning = Cleaning::wanted(common)?;
        Ok(Recording {
            cleaning,
            ..Recording::new(source, &common.access)?
        })
    }

    /// The same under another name in messages.
    pub fn called(self, name: String) -> Self {
        Recording { name, ..self }
    }

    /// What `work` makes of this recording, or what an equal call of this statement made of it: `detail` has all that it
    /// depends on beside the recording.
    ///
    /// # Errors
    /// Those of `work`, and those of the file.
    pub fn once<T: Send + Sync + 'static>(
        &self,
        kind: &'static str,
        detail: impl FnOnce() -> String,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<Arc<T>, Error> {
        let (of, detail) = (self.fingerprint()?, self.with_cleaning(detail()));
        if let Some(known) = memo::get(kind, of, &detail) {
            return Ok(known);
        }
        let value = Arc::new(work()?);
        memo::put(kind, of, detail, &value);
        Ok(value)
    }

    /// What an equal call of [`Recording::once`] made before in this statement.
    ///
    /// # Errors
    /// Those of the file.
    pub fn known<T: Send + Sync + 'static>(
        &self,
        kind: &'static str,
        detail: impl FnOnce() -> String,
    ) -> Result<Option<Arc<T>>, Error> {
        let detail = self.with_cleaning(detail());
        Ok(memo::get(kind, self.fingerprint()?, &detail))
    }

    /// Whatever is worked out depends on how the recording is cleaned.
    fn with_cleaning(&self, detail: String) -> String {
        format!("{:?} {detail}", self.cleaning)
    }

    fn fingerprint(&self) -> Result<&Fingerprint, Error> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known);
        }
        let made = match &self.place {
            Place::Bytes(bytes) => Fingerprint::of_bytes(bytes),
            Place::File(path, rules) => {
                let metadata = source::open_file(path, rules)?.metadata();
                let metadata = metadata.map_err(|e| Error::Internal(e.to_string()))?;
                Fingerprint::of_file(path, &metadata)
            }
            // With the keys it is asked with: what one key may read is nothing that another one has read.
            Place::Web(target, _) => Fingerprint::of_address(&target.identity(), self.user),
        };
        Ok(self.fingerprint.get_or_init(|| made))
    }

    /// How messages name it: without secrets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the file or fetches the URL: all of a short recording, and of a long one what is needed as it is read; with
    /// less noise, if that is wanted.
    ///
    /// # Errors
    /// [`Error::Source`], and those of the network that reduces noise.
    pub fn open(&self, cancel: &Cancel) -> Result<Input, Error> {
        progress::stage(Stage::Opening, 0);
        let Some(cleaning) = &self.cleaning else {
            return self.as_it_is();
        };
        let cleaned = self.once("cleaned", String::new, || {
            cleaning.apply(self, &self.as_it_is()?, cancel)
        });
        Ok(Input::clone(&*cleaned?))
    }

    fn as_it_is(&self) -> Result<Input, Error> {
        stats::DECODE_US.time(|| match &self.place {
            Place::Bytes(bytes) => Ok(Input::Bytes(Arc::clone(bytes))),
            Place::File(path, rules) => Ok(Input::File(Arc::new(source::open_file(path, rules)?))),
            Place::Web(target, rules) => {
                let fetched = match self.known::<Fetched>("fetched", String::new)? {
                    Some(known) if !known.has_failed() => known,
                    _ => {
                        memo::forget("fetched", self.fingerprint()?);
                        self.once("fetched", String::new, || Fetched::now(target, rules))?
                    }
                };
                *self.remote() = fetched.remote.clone();
                Ok(fetched.input.clone())
            }
        })
    }

    fn remote(&self) -> MutexGuard<'_, Option<Arc<source::Remote>>> {
        self.remote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a stage of the work on what was opened. How long it is, is asked only where it may take a while.
    pub fn stage(&self, stage: Stage, input: &Input, selection: &Selection, cancel: &Cancel) {
        let long = input.len().is_ok_and(|bytes| bytes > LONG);
        let length = || audio::probe(input, cancel.flag()).ok()?.duration_ms;
        let all = if long { length() } else { None };
        let end = all.map(|all| selection.end_ms.map_or(all, |end| end.min(all)));
        let total = end.map(|end| end.saturating_sub(selection.start_ms.unwrap_or(0)));
        progress::stage(stage, total.unwrap_or(0));
    }

    /// Opens the selected part and hands it on in pieces, mono at its sample rate: memory does not grow with the recording.
    ///
    /// # Errors
    /// [`Error::Source`], [`Error::Audio`], and what `take` returns.
    pub fn stream(
        &self,
        selection: &Selection,
        stage: Stage,
        cancel: &Cancel,
        mut take: impl FnMut(&[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let input = self.open(cancel)?;
        self.stage(stage, &input, selection, cancel);
        self.pieces(&input, selection, cancel, |piece| {
            stats::AUDIO_MS.add(milliseconds(piece.len(), selection.sample_rate));
            take(piece)
        })
    }

    /// The same of what is open, not counted as audio that was worked on.
    ///
    /// # Errors
    /// As [`Recording::stream`].
    pub fn pieces(
        &self,
        input: &Input,
        selection: &Selection,
        cancel: &Cancel,
        mut take: impl FnMut(&[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let wrong = |e| self.blame(Error::Decoding(e));
        let opened =
            stats::DECODE_US.time(|| Reader::open_with(input, selection, Some(cancel.flag())));
        let mut reader = opened.map_err(wrong)?;
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            piece.clear();
            let read = stats::DECODE_US.time(|| reader.read(&mut piece, PIECE, cancel.flag()));
            if read.map_err(wrong)? == 0 {
                return Ok(());
            }
            take(&piece)?;
            progress::advance(milliseconds(piece.len(), selection.sample_rate));
        }
    }

    /// A selection to be read as often as needed; reading it is counted.
    pub fn reading<'a>(&self, input: &'a Input, selection: &'a Selection) -> Reading<'a> {
        Reading {
            encoded: Encoded::new(input, selection),
            counted: false,
        }
    }

    /// The same for audio that is counted elsewhere.
    pub fn rereading<'a>(&self, input: &'a Input, selection: &'a Selection) -> Reading<'a> {
        Reading {
            encoded: Encoded::new(input, selection),
            counted: true,
        }
    }

    /// Names the recording in an error about it; if a part of it could not be fetched, that is the error.
    pub fn blame(&self, error: impl Into<Error>) -> Error {
        let failure = self.remote().as_ref().and_then(|remote| remote.failure());
        if let Some(failure) = failure {
            return Error::Source(failure);
        }
        Error::of_recording(&self.name, error)
    }
}

/// What was fetched, or is as it is read.
struct Fetched {
    input: Input,
    remote: Option<Arc<source::Remote>>,
}

impl Fetched {
    fn now(target: &source::Target, rules: &source::FetchRules) -> Result<Self, Error> {
        // What is fetched later is so in other work than this.
        let stop: source::Stop = Arc::new(|| interrupt::token().is_cancelled());
        let (input, remote) = match source::fetch(target, rules, &stop)? {
            source::Body::Bytes(bytes) => (Input::Bytes(bytes.into()), None),
            source::Body::File(file) => (Input::File(Arc::new(file)), None),
            source::Body::Remote(remote) => {
                let parts = Parts(Arc::clone(&remote));
                (Input::Remote(Arc::new(parts)), Some(remote))
            }
        };
        Ok(Fetched { input, remote })
    }

    /// Whether a part of it could not be had: then nothing more comes from it.
    fn has_failed(&self) -> bool {
        self.remote
            .as_ref()
            .is_some_and(|remote| remote.has_failed())
    }
}

/// A recording on a server that sends parts.
#[derive(Debug)]
struct Parts(Arc<source::Remote>);

impl audio::Remote for Parts {
    fn size(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn has_failed(&self) -> bool {
        self.0.has_failed()
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
        progress::done(0);
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
        let ms = milliseconds(count, audio::SAMPLE_RATE);
        progress::advance(ms);
        if !self.counted {
            stats::AUDIO_MS.add(ms);
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
            sample_rate: audio::SAMPLE_RATE,
        })
    }
}

/// The time of samples at `rate` Hz.
fn milliseconds(samples: usize, rate: u32) -> u64 {
    samples as u64 * 1000 / u64::from(rate)
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
