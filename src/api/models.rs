//! The models: listing, registering, dropping and loading ahead.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use diarize::Segmentation;
use enhance::Enhancer;
use onnx::Cancel;
use pgrx::JsonB;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use transcribe::Language;
use vad::Vad;
use voice::score;

use crate::call::arguments::Args;
use crate::errors::Error;
use crate::models::{self, Engine, Model, Task};
use crate::steps::calibration;
use crate::{interrupt, progress, query};

/// `ai_audio.list_models()`: the rows of the view `ai_audio_models`.
#[pg_extern]
#[allow(clippy::type_complexity)]
fn ai_audio_list_models() -> Result<
    TableIterator<
        'static,
        (
            name!(name, String),
            name!(aliases, Vec<String>),
            name!(task, String),
            name!(dimensions, Option<i32>),
            name!(sample_rate, i32),
            name!(languages, Vec<String>),
            name!(licence, Option<String>),
            name!(file, String),
            name!(size, Option<i64>),
            name!(sha256, Option<String>),
            name!(loaded, bool),
            name!(built_in, bool),
            name!(runs_on, Option<String>),
            name!(calibrated, Option<bool>),
        ),
    >,
    ErrorReport,
> {
    let all = Model::built_in().chain(Model::registered().map_err(ErrorReport::from)?);
    let fitted = calibration::fitted_models()?;
    let rows: Vec<_> = all
        .map(|m| {
            let runs_on = m.loaded_on();
            let size = size_of_path(&m.path).and_then(|s| i64::try_from(s).ok());
            let file = m.path.to_string_lossy().into_owned();
            let dimensions = m.dimensions.and_then(|d| i32::try_from(d).ok());
            let task = m.task.to_string();
            let calibrated = || score::standard(&m.name).is_some() || fitted.contains(&m.name);
            let calibrated = (m.task == Task::SpeakerEmbedding).then(calibrated);
            (
                m.name,
                m.aliases,
                task,
                dimensions,
                m.sample_rate as i32,
                m.languages,
                m.licence,
                file,
                size,
                m.sha256,
                runs_on.is_some(),
                m.built_in,
                runs_on,
                calibrated,
            )
        })
        .collect();
    Ok(TableIterator::new(rows))
}

/// Bytes of a file, or of the files in a directory; `None` if it is missing.
fn size_of_path(path: &Path) -> Option<u64> {
    let meta = path.metadata().ok()?;
    if !meta.is_dir() {
        return Some(meta.len());
    }
    let files = fs::read_dir(path).ok()?;
    Some(
        files
            .filter_map(|f| f.ok()?.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map(|m| m.len())
            .sum(),
    )
}

/// `ai_audio_register_model(name, task, path, config)`: adds a model file of the server. Superusers only: ONNX Runtime
/// trusts model files.
#[pg_extern]
fn ai_audio_register_model(fcinfo: pg_sys::FunctionCallInfo) -> Result<(), ErrorReport> {
    // SAFETY: declared with three texts and jsonb.
    let args = unsafe { Args::new(fcinfo) };
    if (0..3).any(|i| args.is_null(i)) {
        let message = "name, task and path of a model must not be NULL";
        return Err(Error::Argument(message.into()).into());
    }
    let (name, task, path) = (args.text(0)?, args.text(1)?, args.text(2)?);
    Ok(register(
        &name,
        &task,
        Path::new(&path),
        args.maybe_options(3)?,
    )?)
}

fn register(name: &str, task: &str, path: &Path, config: Map<String, Value>) -> Result<(), Error> {
    only_superusers("register")?;
    let known = || Task::ALL.map(|t| t.to_string()).join(", ");
    let task = Task::parse(task)
        .ok_or_else(|| Error::Argument(format!("unknown task \"{task}\": one of {}", known())))?;
    let parsed = models::config(config.clone())?;
    for new in std::iter::once(name).chain(parsed.aliases.iter().map(String::as_str)) {
        if new.is_empty() || new.len() > 63 {
            return Err(Error::Argument(format!(
                "a model's name has 1 to 63 bytes, not {}",
                new.len()
            )));
        }
        if Model::built_in().any(|m| m.name == new || m.aliases.iter().any(|a| a == new)) {
            return Err(Error::Argument(format!(
                "\"{new}\" is the name of a built-in model"
            )));
        }
    }
    if task == Task::SpeechRecognition {
        let wrong = |e| Error::Options(format!("config: {e}"));
        let mut codes = parsed.languages.iter();
        codes.try_for_each(|code| Language::parse(code).map(drop).map_err(wrong))?;
    }
    if !path.is_absolute() {
        return Err(Error::Argument(format!(
            "the model's path \"{}\" must be absolute",
            path.display()
        )));
    }
    if !path.is_file() && !path.is_dir() {
        return Err(Error::Argument(format!(
            "\"{}\" is neither a file nor a directory",
            path.display()
        )));
    }
    let engine = Engine::current();
    let file = path.to_path_buf();
    models::forget(path); // a file that was replaced must not be judged by its old content
    let (dimensions, sha256) = interrupt::run(|cancel| -> Result<_, Error> {
        let model = unregistered(task, &file);
        let dimensions = load(&engine, &model)?;
        let has_itn = || match task {
            Task::SpeechRecognition => Ok(engine.load(&model, transcribe::Model::open)?.has_itn()),
            _ => Ok::<_, Error>(false),
        };
        if parsed.itn.is_some() && !has_itn()? {
            return Err(Error::Options(
                "config: itn is for models that can write either, as SenseVoice".into(),
            ));
        }
        Ok((dimensions, sha256_of(&file, cancel)?))
    })?;
    let taken = query::one::<bool>(
        "SELECT EXISTS (SELECT 1 FROM ai_audio.models WHERE name OPERATOR(pg_catalog.=) $1)",
        &[name.into()],
    )?;
    if taken == Some(true) {
        return Err(Error::Argument(format!(
            "model \"{name}\" is registered already; drop it first with ai_audio_drop_model"
        )));
    }
    query::write(
        "INSERT INTO ai_audio.models (name, task, path, config, dimensions, sha256) VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            name.into(),
            task.to_string().into(),
            path.to_string_lossy().into_owned().into(),
            JsonB(Value::Object(config)).into(),
            dimensions.and_then(|d| i32::try_from(d).ok()).into(),
            sha256.into(),
        ],
    )?;
    Ok(())
}

fn only_superusers(what: &str) -> Result<(), Error> {
    // SAFETY: a catalog look-up in a transaction.
    if unsafe { pg_sys::superuser() } {
        return Ok(());
    }
    let message = format!("permission denied to {what} a model");
    Err(Error::Privilege {
        message,
        hint: "Models are code that runs in the server: only superusers manage them.",
    })
}

/// Loads a model as its task would; gives the length of its vectors, if it makes any.
fn load(engine: &Engine, model: &Model) -> Result<Option<usize>, onnx::Error> {
    match model.task {
        Task::SpeakerEmbedding => {
            let mut speaker = engine.speaker(model)?;
            speaker.warm_up()?;
            return Ok(Some(speaker.dimensions()));
        }
        Task::SpeechRecognition => drop(engine.load(model, transcribe::Model::open)?),
        Task::VoiceActivityDetection => drop(engine.load(model, Vad::open)?),
        Task::SpeakerSegmentation => drop(engine.load(model, Segmentation::open)?),
        Task::SpeechEnhancement => drop(engine.load(model, Enhancer::open)?),
    }
    Ok(None)
}

fn unregistered(task: Task, path: &Path) -> Model {
    Model {
        name: String::new(),
        aliases: Vec::new(),
        task,
        dimensions: None,
        sample_rate: audio::SAMPLE_RATE,
        languages: Vec::new(),
        licence: None,
        path: path.into(),
        sha256: None,
        built_in: false,
        narrow: None,
        itn: None,
    }
}

fn sha256_of(path: &Path, cancel: &Cancel) -> Result<Option<String>, Error> {
    if path.is_dir() {
        return Ok(None);
    }
    let failed =
        |e: std::io::Error| Error::Argument(format!("cannot read \"{}\": {e}", path.display()));
    let (mut file, mut hash) = (File::open(path).map_err(failed)?, Sha256::new());
    let mut block = vec![0; 1 << 20];
    loop {
        cancel.check()?;
        match file.read(&mut block).map_err(failed)? {
            0 => break,
            n => hash.update(&block[..n]),
        }
    }
    Ok(Some(
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect(),
    ))
}

/// `ai_audio_drop_model(name)`: forgets a registered model; its file stays.
#[pg_extern]
fn ai_audio_drop_model(name: &str) -> Result<(), ErrorReport> {
    Ok(drop_model(name)?)
}

fn drop_model(name: &str) -> Result<(), Error> {
    only_superusers("drop")?;
    if Model::built_in().any(|m| m.name == name || m.aliases.iter().any(|a| a == name)) {
        return Err(Error::Argument(format!(
            "model \"{name}\" is built in and cannot be dropped"
        )));
    }
    let path = query::one::<String>(
        "SELECT path FROM ai_audio.models WHERE name OPERATOR(pg_catalog.=) $1",
        &[name.into()],
    )?;
    let gone = query::write(
        "DELETE FROM ai_audio.models WHERE name OPERATOR(pg_catalog.=) $1",
        &[name.into()],
    )?;
    let path = path
        .filter(|_| gone > 0)
        .ok_or_else(|| Error::Argument(format!("no model is registered as \"{name}\"")))?;
    models::forget(Path::new(&path));
    // Another model of this name is calibrated otherwise.
    query::write(
        "UPDATE ai_audio.calibrations SET model = NULL WHERE model OPERATOR(pg_catalog.=) $1",
        &[name.into()],
    )?;
    Ok(())
}

/// `ai_audio_warmup([model])`: loads a model ahead of the first query.
#[pg_extern]
fn ai_audio_warmup(model: Option<&str>) -> Result<(), ErrorReport> {
    Ok(warm_up(model.unwrap_or("audio_embedding"))?)
}

fn warm_up(name: &str) -> Result<(), Error> {
    let model = Model::named(name)?;
    let engine = Engine::current();
    progress::named("ai_audio_warmup", "");
    interrupt::run(|_| load(&engine, &model).map(drop))
}
