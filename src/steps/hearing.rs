//! Listening to a recording: its voiceprint, how much speech there is, and whether that is fit for a voiceprint.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use audio::Selection;
use audio::recording::Kept;
use onnx::Cancel;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use vad::Vad;
use voice::embed::SpeakerModel;
use voice::hear::hear;
use voice::score::{Quality, SHORT_MS, Side};

use crate::call::arguments::Source;
use crate::call::options::{Common, OnError};
use crate::call::recording::Recording;
use crate::errors::Error;
use crate::models::{Engine, Loaded, Model, Task};
use crate::progress::{self, Stage};
use crate::steps::calibration::USUAL_MODEL;
use crate::steps::diarization::{self, Networks};
use crate::{interrupt, stats};

const VAD_MODEL: &str = "silero_vad_v6";
/// Recordings up to this length stay in memory between two readings, longer ones are decoded again: ten minutes.
const KEPT: usize = 600 * audio::SAMPLE_RATE as usize;
/// A second voice with more than this share of the speech makes a voiceprint of neither.
const ANOTHER: f64 = 0.1;

/// A recording's voiceprint and what is known of it.
pub struct Heard {
    /// Not normalised.
    pub voiceprint: Vec<f32>,
    /// What is in the recording.
    pub quality: Quality,
}

impl Heard {
    /// Its side in a comparison.
    pub fn side(&self) -> Side {
        Side {
            seconds: self.quality.speech_ms as f64 / 1000.0,
            narrow: self.quality.is_narrow(),
        }
    }
}

/// The speaker model of a name, the usual one if none is given.
///
/// # Errors
/// [`Error::UnknownModel`], [`Error::WrongTask`].
pub fn speaker(name: Option<&str>) -> Result<Model, Error> {
    Model::find(name.unwrap_or(USUAL_MODEL), Task::SpeakerEmbedding)
}

/// The voiceprint of the speech in a recording, or of all of it, with its quality; of equal calls in a statement the
/// first one works.
///
/// # Errors
/// Those of the recording, of the options and of the models.
pub fn listen(
    source: &Source,
    common: &Common,
    speaker: &Model,
    only_speech: bool,
) -> Result<Arc<Heard>, Error> {
    let ear = Ear::new(common, speaker, only_speech)?;
    let recording = Recording::with(source, common)?;
    if let Some(known) = recording.known("voiceprint", || ear.detail())? {
        return Ok(known);
    }
    let heard = interrupt::run(|cancel| ear.hear(&recording, cancel))?;
    warn_of_little_speech(&recording, &heard.quality);
    Ok(heard)
}

/// The same of some recordings of an array of `all`, as many at a time as there are threads: two networks of one thread each
/// do more than one of two. `first` is the place of the first one. Gives them in the order of `sources`, nothing for those that are
/// NULL, and an error for those that are to give NULL with a warning.
///
/// # Errors
/// As [`listen`], of one of the recordings that are not to give NULL.
pub fn listen_to_all(
    sources: &[Option<Source>],
    (first, all): (usize, usize),
    common: &Common,
    speaker: &Model,
    only_speech: bool,
) -> Result<Vec<Result<Option<Arc<Heard>>, Error>>, Error> {
    let mut ear = Ear::new(common, speaker, only_speech)?;
    let tolerated = |e: &Error| common.on_error == OnError::Null && e.is_about_the_recording();
    let mut recordings = Vec::with_capacity(sources.len());
    for (at, source) in (first + 1..).zip(sources) {
        let open = |source: &Source| {
            let recording = Recording::with(source, common)?;
            Ok(match source {
                Source::Text(_) => recording,
                Source::Bytes(_) => recording.called(format!("element {at} of the array")),
            })
        };
        match source.as_ref().map(open).transpose() {
            Err(error) if !tolerated(&error) => return Err(error),
            opened => recordings.push(opened),
        }
    }
    let last = first + sources.len();
    progress::recording(&format!("recordings {} to {last} of {all}", first + 1));
    let at_a_time;
    (ear.engine, at_a_time) = ear.engine.shared(recordings.len());
    let heard = interrupt::run(|cancel| {
        progress::several(Stage::Embedding);
        let hear = |recording: Result<Option<Recording>, Error>, cancel: &Cancel| {
            let Some(recording) = recording? else {
                return Ok(None);
            };
            let heard = ear.hear(&recording, cancel)?;
            Ok(Some((heard, recording)))
        };
        each(at_a_time, recordings, cancel, hear, tolerated)
    })?;
    let warned = |(heard, recording): (Arc<Heard>, Recording)| {
        warn_of_little_speech(&recording, &heard.quality);
        heard
    };
    let heard = heard.into_iter().map(|one| one.map(|one| one.map(warned)));
    Ok(heard.collect())
}

/// Works on items, so many at a time on threads of their own, and stops at the first error that is not tolerated.
fn each<T: Send, R: Send>(
    at_a_time: usize,
    items: Vec<T>,
    cancel: &Cancel,
    work: impl Fn(T, &Cancel) -> Result<R, Error> + Sync,
    tolerated: impl Fn(&Error) -> bool + Sync,
) -> Result<Vec<Result<R, Error>>, Error> {
    let waiting = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let worker = || {
        while !cancel.is_cancelled()
            && let Some((at, item)) = interrupt::lock(&waiting).next()
        {
            let result = work(item, cancel);
            let fatal = result.as_ref().is_err_and(|e| !tolerated(e));
            interrupt::lock(&done).push((at, result));
            if fatal {
                cancel.cancel(); // the others
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..at_a_time {
            // Without it there is one thread less.
            let _ = interrupt::spawn(scope, worker);
        }
        worker();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    let mut results = Vec::with_capacity(done.len());
    let mut stopped = None;
    for (_, result) in done {
        match result {
            Err(error) if error.is_cancelled() => stopped = Some(error),
            Err(error) if !tolerated(&error) => return Err(error),
            result => results.push(result),
        }
    }
    match stopped {
        Some(error) => Err(error),
        None => cancel.check().map_err(Error::from).map(|()| results),
    }
}

/// What recordings are heard with. Made on the backend's thread, used on those of the work.
struct Ear {
    selection: Selection,
    engine: Engine,
    vad: Model,
    speaker: Model,
    only_speech: bool,
}

impl Ear {
    fn new(common: &Common, speaker: &Model, only_speech: bool) -> Result<Self, Error> {
        Ok(Ear {
            selection: common.selection()?,
            engine: Engine::current(),
            vad: vad()?,
            speaker: speaker.clone(),
            only_speech,
        })
    }

    /// All that a voiceprint depends on beside the recording.
    fn detail(&self) -> String {
        let Ear {
            selection,
            speaker,
            only_speech,
            ..
        } = self;
        format!("{:?} {only_speech} {selection:?}", speaker.path)
    }

    fn hear(&self, recording: &Recording, cancel: &Cancel) -> Result<Arc<Heard>, Error> {
        recording.once(
            "voiceprint",
            || self.detail(),
            || self.hear_now(recording, cancel),
        )
    }

    fn hear_now(&self, recording: &Recording, cancel: &Cancel) -> Result<Heard, Error> {
        // In a session's first call the network opens while another thread listens.
        thread::scope(|scope| {
            let open = || self.engine.speaker(&self.speaker);
            let loads_beside = self.engine.loads_beside(&self.speaker);
            let opening = loads_beside.then(|| interrupt::spawn(scope, open));
            let open = || match opening {
                Some(Ok(thread)) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                _ => open(),
            };
            self.listen(recording, open, cancel)
        })
    }

    fn listen(
        &self,
        recording: &Recording,
        speaker: impl FnOnce() -> Result<Loaded<SpeakerModel>, onnx::Error>,
        cancel: &Cancel,
    ) -> Result<Heard, Error> {
        stats::CALLS.add(1);
        let input = recording.open(cancel)?;
        recording.stage(Stage::Listening, &input, &self.selection, cancel);
        let mut reading = recording.reading(&input, &self.selection);
        let mut kept =
            Kept::new(&mut reading, KEPT).map_err(|e| recording.blame(Error::Decoding(e)))?;
        let heard = speech(
            recording,
            &self.selection,
            &mut kept,
            &self.engine,
            &self.vad,
            cancel,
        )?;
        let parts = if self.only_speech {
            heard.voice()
        } else {
            std::iter::once(0..heard.samples).collect()
        };
        progress::stage(Stage::Embedding, heard.quality.duration_ms);
        let mut speaker = speaker()?;
        let voiceprint =
            stats::INFERENCE_US.time(|| speaker.embed_parts(&mut kept, &parts, cancel));
        Ok(Heard {
            voiceprint: voiceprint.map_err(|e| recording.blame(e))?,
            quality: heard.quality,
        })
    }
}

/// Where there is speech, and how good it is.
fn speech(
    recording: &Recording,
    selection: &Selection,
    kept: &mut Kept,
    engine: &Engine,
    vad: &Model,
    cancel: &Cancel,
) -> Result<Arc<voice::hear::Heard>, Error> {
    recording.once(
        "speech",
        || format!("{selection:?}"),
        || {
            let mut network = engine.load(vad, Vad::open)?;
            let heard = stats::INFERENCE_US.time(|| hear(kept, &mut network, cancel));
            heard.map_err(|e| recording.blame(e))
        },
    )
}

/// What is in a recording, and how many people with more than a tenth of the speech.
///
/// # Errors
/// As [`listen`].
pub fn assess(source: &Source, common: &Common) -> Result<Arc<(Quality, usize)>, Error> {
    let selection = common.selection()?;
    let recording = Recording::with(source, common)?;
    recording.once(
        "quality",
        || format!("{selection:?}"),
        || assess_now(&recording, &selection),
    )
}

fn assess_now(recording: &Recording, selection: &Selection) -> Result<(Quality, usize), Error> {
    stats::CALLS.add(1);
    let (vad, networks, engine) = (vad()?, Networks::find()?, Engine::current());
    interrupt::run(|cancel| -> Result<_, Error> {
        let input = recording.open(cancel)?;
        recording.stage(Stage::Listening, &input, selection, cancel);
        let mut reading = recording.reading(&input, selection);
        let mut kept =
            Kept::new(&mut reading, KEPT).map_err(|e| recording.blame(Error::Decoding(e)))?;
        let heard = speech(recording, selection, &mut kept, &engine, &vad, cancel)?;
        let quality = heard.quality;
        if quality.speech_ms == 0 {
            return Ok((quality, 0));
        }
        progress::stage(Stage::Diarizing, quality.duration_ms);
        let shape = diarize::Options::default();
        let found = diarization::once(recording, selection, &shape, || {
            let found = networks.diarize(&engine, &mut kept, &shape, cancel);
            found.map_err(|e| recording.blame(e))
        })?;
        let mut spoken = vec![0u64; found.speakers.len()];
        for turn in &found.exclusive {
            spoken[turn.speaker] += turn.end_ms - turn.start_ms;
        }
        let all: u64 = spoken.iter().sum();
        let many = spoken
            .iter()
            .filter(|ms| **ms as f64 > ANOTHER * all as f64);
        Ok((quality, many.count().max(1)))
    })
}

/// The model that tells speech from the rest.
///
/// # Errors
/// None in a sound installation.
pub fn vad() -> Result<Model, Error> {
    Model::find(VAD_MODEL, Task::VoiceActivityDetection)
}

/// Warns where a voiceprint was made of little speech.
fn warn_of_little_speech(recording: &Recording, quality: &Quality) {
    let ms = quality.speech_ms;
    if ms >= SHORT_MS {
        return;
    }
    let message = format!(
        "{} holds {:.1} s of speech",
        recording.name(),
        ms as f64 / 1000.0
    );
    let hint = "Voiceprints of less than 1 s of speech are unreliable; 3 s and more are good. See ai_audio_quality.";
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "ai_audio")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}
