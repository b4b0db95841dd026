//! Which models there are, and the ones this backend has loaded.
//!
//! Built-in models come from `models/manifest.toml`, registered ones from the table `ai_audio.models`. A loaded model is
//! checked out by the call that uses it and comes back when the call has ended well; one that was in use when
//! something went wrong is dropped with it.

use std::any::Any;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use onnx::{Kind, Places, Provider, Runtime, SessionOptions};
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value};
use voice::embed::SpeakerModel;

use crate::errors::Error;
use crate::signals::SignalsBlocked;
use crate::{interrupt, memory, settings, stats};

/// Recordings that one session works on at once, at most: each takes memory.
const AT_A_TIME: usize = 8;

/// What a model is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Recording to voiceprint.
    SpeakerEmbedding,
    /// Recording to text.
    SpeechRecognition,
    /// Where there is speech.
    VoiceActivityDetection,
    /// Who speaks when, within seconds.
    SpeakerSegmentation,
    /// Recording to recording, with less noise.
    SpeechEnhancement,
}

impl Task {
    /// All of them.
    pub const ALL: [Task; 5] = [
        Task::SpeakerEmbedding,
        Task::SpeechRecognition,
        Task::VoiceActivityDetection,
        Task::SpeakerSegmentation,
        Task::SpeechEnhancement,
    ];

    /// The task of a name, as the catalog writes it.
    pub fn parse(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|t| t.to_string() == name)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::SpeakerEmbedding => "speaker-embedding",
            Task::SpeechRecognition => "speech-recognition",
            Task::VoiceActivityDetection => "voice-activity-detection",
            Task::SpeakerSegmentation => "speaker-segmentation",
            Task::SpeechEnhancement => "speech-enhancement",
        })
    }
}

/// A model that can be loaded.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its own name.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// What it is for.
    pub task: Task,
    /// Length of its vectors, if it makes vectors.
    pub dimensions: Option<u32>,
    /// Sample rate it works at, Hz.
    pub sample_rate: u32,
    /// Languages it knows.
    pub languages: Vec<String>,
    /// SPDX name of its licence.
    pub licence: Option<String>,
    /// The file, or the directory of a model of several files.
    pub path: PathBuf,
    /// Hex SHA-256 of the file, or of the first file of several.
    pub sha256: Option<String>,
    /// Whether it came with the extension.
    pub built_in: bool,
    /// A speaker model's network for narrow recordings.
    pub narrow: Option<PathBuf>,
    /// Whether a speech recognition model that can do either writes numerals and punctuation, unless a call says.
    pub itn: Option<bool>,
}

/// The manifest, as far as it matters at run time.
#[derive(Deserialize)]
struct Manifest {
    model: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    aliases: Vec<String>,
    task: Task,
    dimensions: Option<u32>,
    sample_rate: u32,
    #[serde(default)]
    languages: Vec<String>,
    licence: String,
    /// Where a model of several files has them.
    folder: Option<PathBuf>,
    /// Of the files, the network for narrow recordings.
    narrow: Option<PathBuf>,
    files: Vec<ManifestFile>,
}

#[derive(Deserialize)]
struct ManifestFile {
    name: PathBuf,
    sha256: String,
}

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    toml::from_str(include_str!("../models/manifest.toml"))
        .unwrap_or_else(|e| panic!("models/manifest.toml: {e}"))
});

impl Entry {
    fn model(&self) -> Model {
        let first = self.files.first();
        let file = first.map_or(Path::new(""), |f| &f.name);
        let path = self.folder.as_deref().unwrap_or(file);
        Model {
            name: self.name.clone(),
            aliases: self.aliases.clone(),
            task: self.task,
            dimensions: self.dimensions,
            sample_rate: self.sample_rate,
            languages: self.languages.clone(),
            licence: Some(self.licence.clone()),
            path: settings::model_dir().join(path),
            sha256: first.map(|f| f.sha256.clone()),
            built_in: true,
            narrow: self
                .narrow
                .as_ref()
                .map(|file| settings::model_dir().join(file)),
            itn: None,
        }
    }
}

/// What `ai_audio_register_model` takes as `config`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Other names.
    pub aliases: Vec<String>,
    /// Languages it knows.
    pub languages: Vec<String>,
    /// SPDX name of its licence.
    pub licence: Option<String>,
    /// Whether it writes numerals and punctuation, unless a call says.
    pub itn: Option<bool>,
}

impl Model {
    /// The built-in models.
    pub fn built_in() -> impl Iterator<Item = Model> {
        MANIFEST.model.iter().map(Entry::model)
    }

    /// The models that a superuser registered in this database.
    ///
    /// # Errors
    /// [`Error::Spi`].
    pub fn registered() -> Result<Vec<Model>, Error> {
        let query = "SELECT name, task, path, config::pg_catalog.text AS config, dimensions, sha256 FROM ai_audio.models ORDER BY name";
        Spi::connect(|client| {
            let rows = client.select(query, None, &[])?;
            rows.map(|row| {
                let config: Option<String> = row["config"].value()?;
                let config: Config = config
                    .and_then(|c| serde_json::from_str(&c).ok())
                    .unwrap_or_default();
                let task: Option<String> = row["task"].value()?;
                let task = task.as_deref().and_then(Task::parse);
                Ok(Model {
                    name: row["name"].value()?.unwrap_or_default(),
                    aliases: config.aliases,
                    task: task.ok_or_else(|| {
                        Error::Internal("a registered model has an unknown task".into())
                    })?,
                    dimensions: row["dimensions"]
                        .value::<i32>()?
                        .and_then(|d| u32::try_from(d).ok()),
                    sample_rate: audio::SAMPLE_RATE,
                    languages: config.languages,
                    licence: config.licence,
                    path: PathBuf::from(row["path"].value::<String>()?.unwrap_or_default()),
                    sha256: row["sha256"].value()?,
                    built_in: false,
                    narrow: None,
                    itn: config.itn,
                })
            })
            .collect()
        })
    }

    /// The model of a name or alias.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], which lists the models there are.
    pub fn named(name: &str) -> Result<Model, Error> {
        let named = |m: &Model| m.name == name || m.aliases.iter().any(|a| a == name);
        // Built-in names need no look-up in a table, and cannot be taken by a registered model.
        let found = match Model::built_in().find(named) {
            Some(model) => Some(model),
            None => Model::registered()?.into_iter().find(named),
        };
        let unknown = || {
            Ok(Error::UnknownModel {
                name: name.into(),
                known: known(|_| true)?,
            })
        };
        found.map_or_else(|| unknown().and_then(Err), Ok)
    }

    /// The model of a name or alias, for a task.
    ///
    /// # Errors
    /// [`Error::UnknownModel`] and [`Error::WrongTask`], which list the models there are.
    pub fn find(name: &str, task: Task) -> Result<Model, Error> {
        let known = || known(|m| m.task == task);
        match Model::named(name) {
            Ok(model) if model.task == task => Ok(model),
            Ok(model) => Err(Error::WrongTask {
                name: name.into(),
                task: model.task.to_string(),
                wanted: task.to_string(),
                known: known()?,
            }),
            Err(Error::UnknownModel { name, .. }) => Err(Error::UnknownModel {
                name,
                known: known()?,
            }),
            Err(other) => Err(other),
        }
    }

    /// What this backend has it loaded on, "cpu" or a device; `None` if it is not loaded.
    pub fn loaded_on(&self) -> Option<String> {
        let idle = idle();
        let mut of = idle.iter().filter(|i| i.key.is_of(self));
        of.next_back().map(|i| i.places.to_string())
    }
}

/// The names of models.
fn known(wanted: impl Fn(&Model) -> bool) -> Result<String, Error> {
    let all = Model::built_in().chain(Model::registered()?).filter(wanted);
    Ok(all
        .flat_map(|m| std::iter::once(m.name).chain(m.aliases))
        .collect::<Vec<_>>()
        .join(", "))
}

/// A model is loaded anew for other files, another number of threads or another device.
#[derive(Default, PartialEq)]
struct Key {
    path: PathBuf,
    narrow: Option<PathBuf>,
    threads: usize,
    provider: Provider,
}

impl Key {
    fn is_of(&self, model: &Model) -> bool {
        (&self.path, &self.narrow) == (&model.path, &model.narrow)
    }
}

struct Idle {
    key: Key,
    places: Arc<Places>,
    model: Box<dyn Any + Send>,
}

static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Idle>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What it takes to load models. Made on the backend's thread, where the settings are; used on the worker's.
#[derive(Clone)]
pub struct Engine {
    library: PathBuf,
    options: SessionOptions,
}

impl Engine {
    /// The engine of the current settings.
    pub fn current() -> Self {
        memory::keep(settings::keep_models(), || idle().clear());
        let options = SessionOptions {
            threads: settings::threads(),
            cache_dir: Some(settings::cache_dir()),
            provider: settings::execution_provider(),
            ..Default::default()
        };
        Engine {
            library: settings::onnxruntime_library(),
            options,
        }
    }

    /// The same for work on `count` recordings at once: how many of them there are to be at a time, each with its part of
    /// the threads. A device has one at a time.
    pub fn shared(mut self, count: usize) -> (Self, usize) {
        let at_a_time = if self.options.provider.kind == Kind::Cpu {
            self.options.threads.min(count).clamp(1, AT_A_TIME)
        } else {
            1
        };
        self.options.threads = (self.options.threads / at_a_time).max(1);
        (self, at_a_time)
    }

    /// The ONNX Runtime library, opened at first use.
    ///
    /// # Errors
    /// [`onnx::Error::Library`].
    pub fn runtime(&self) -> Result<Runtime, onnx::Error> {
        Runtime::load(&self.library)
    }

    /// What models would run on now: a device's name, or "cpu", with the reason where a device was asked for.
    ///
    /// # Errors
    /// [`onnx::Error::Library`].
    pub fn place(&self) -> Result<String, onnx::Error> {
        let _blocked = SignalsBlocked::new(); // the device's library starts threads
        let options = SessionOptions {
            cancel: interrupt::token(),
            ..self.options.clone()
        };
        Ok(self.runtime()?.place(&options))
    }

    /// A model ready to use: one this backend has loaded already, or a new one from `open`.
    ///
    /// # Errors
    /// [`onnx::Error::Library`], [`onnx::Error::Model`].
    pub fn load<T: Send + 'static>(
        &self,
        model: &Model,
        open: impl FnOnce(&Runtime, &Path, &SessionOptions) -> Result<T, onnx::Error>,
    ) -> Result<Loaded<T>, onnx::Error> {
        let key = self.key(model);
        if let Some((model, places)) = take(&key) {
            return Ok(Loaded {
                key,
                places,
                model: Some(model),
            });
        }
        // Loaded for other settings before, it would only take memory, perhaps a device's.
        idle().retain(|i| (&i.key.path, &i.key.narrow) != (&key.path, &key.narrow));
        let _blocked = SignalsBlocked::new(); // the session starts threads
        let options = SessionOptions {
            cancel: interrupt::token(),
            places: Arc::default(),
            ..self.options.clone()
        };
        let opened = open(&self.runtime()?, &model.path, &options)?;
        stats::MODEL_LOADS.add(1);
        Ok(Loaded {
            key,
            places: options.places,
            model: Some(opened),
        })
    }

    /// Whether it pays to load a model beside other work: it is not loaded yet, and there is a thread for it.
    pub fn loads_beside(&self, model: &Model) -> bool {
        let key = self.key(model);
        self.options.threads > 1 && !idle().iter().any(|i| i.key == key)
    }

    fn key(&self, model: &Model) -> Key {
        Key {
            path: model.path.clone(),
            narrow: model.narrow.clone(),
            threads: self.options.threads,
            provider: self.options.provider.clone(),
        }
    }

    /// A speaker model ready to use. The built-in one has a network for narrow recordings.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn speaker(&self, model: &Model) -> Result<Loaded<SpeakerModel>, onnx::Error> {
        self.load(model, |runtime, path, options| {
            let mut speaker = SpeakerModel::open(runtime, path, options)?;
            if let Some(narrow) = &model.narrow {
                speaker.help_narrow(runtime, narrow, options);
            }
            Ok(speaker)
        })
    }
}

fn take<T: 'static>(key: &Key) -> Option<(T, Arc<Places>)> {
    let mut idle = idle();
    let at = idle
        .iter()
        .position(|i| i.key == *key && i.model.is::<T>())?;
    let Idle { model, places, .. } = idle.swap_remove(at);
    Some((*model.downcast().ok()?, places))
}

/// A loaded model in use; it becomes idle again when dropped, unless the thread is panicking.
pub struct Loaded<T: Send + 'static> {
    key: Key,
    places: Arc<Places>,
    model: Option<T>,
}

impl<T: Send + 'static> Deref for Loaded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.model.as_ref().expect("present until dropped")
    }
}

impl<T: Send + 'static> DerefMut for Loaded<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.model.as_mut().expect("present until dropped")
    }
}

impl<T: Send + 'static> Drop for Loaded<T> {
    fn drop(&mut self) {
        if let Some(model) = self.model.take()
            && !std::thread::panicking()
        {
            idle().push(Idle {
                key: std::mem::take(&mut self.key),
                places: Arc::clone(&self.places),
                model: Box::new(model),
            });
        }
    }
}

/// Forgets idle models of a file, so that the next call loads it anew.
pub fn forget(path: &Path) {
    idle().retain(|i| i.key.path != *path);
}

/// The configuration in the options of `ai_audio_register_model`.
///
/// # Errors
/// [`Error::Options`] that lists the known names.
pub fn config(given: Map<String, Value>) -> Result<Config, Error> {
    serde_json::from_value(Value::Object(given)).map_err(|e| Error::Options(format!("config: {e}")))
}
