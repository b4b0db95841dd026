//! A speech recognition model of any known family.

use std::path::{Path, PathBuf};

use super::languages::Language;
use super::moonshine::Moonshine;
use super::pack::Chunk;
use super::whisper::Whisper;
use super::words::ChunkWord;
use crate::{Cancel, Error, Runtime, SessionOptions};

/// What to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// What was said.
    #[default]
    Transcribe,
    /// What was said, in English.
    Translate,
}

/// How to recognise speech.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The language spoken; detected on the first speech if absent, and then kept for the recording.
    pub language: Option<Language>,
    /// What to write.
    pub task: Task,
    /// Text that the model takes for what was said before: sets style and spelling.
    pub prompt: Option<String>,
    /// Words that are likely to be said.
    pub hotwords: Option<String>,
    /// Whether sentences carry their words.
    pub words: bool,
    /// Beams of the search, 1 is greedy; absent: 5 for Whisper and up to 30 s of speech, else 1.
    pub beam_size: Option<usize>,
    /// Sampling temperature; absent: 0, and higher ones for chunks that fail.
    pub temperature: Option<f32>,
}

/// What a model made of a chunk.
#[derive(Clone, Debug)]
pub struct Recognised {
    pub words: Vec<ChunkWord>,
    pub language: Language,
    /// Whether word times are interpolated.
    pub approximate: bool,
}

/// What a family of models does.
pub trait Family: Send {
    /// Longest chunk, ms.
    fn max_chunk_ms(&self) -> u64;

    /// Recognises chunks in one batch.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Inference`], [`Error::Invalid`] for options that the model does not have.
    fn recognise(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error>;

    /// The probabilities of the languages that may be spoken in a chunk, most likely first.
    ///
    /// # Errors
    /// As [`Family::recognise`].
    fn languages(&mut self, chunk: &Chunk, cancel: &Cancel) -> Result<Vec<(Language, f32)>, Error>;
}

/// A model ready to recognise speech.
pub struct Model(pub(super) Box<dyn Family>);

impl Model {
    /// Opens a folder in the layout of Hugging Face's exports: `encoder_model` and `decoder_model_merged` (`.onnx` or
    /// `.ort`, also with the suffix `_quantized` or `_int8`; in the folder itself or in `onnx/`), `tokenizer.json` or
    /// `tokenizer.bin`, and for Whisper `config.json`. The family shows in the encoder's input: log-mel features
    /// are Whisper's, samples are Moonshine's.
    ///
    /// # Errors
    /// [`Error::Model`] says what is missing or of the wrong shape.
    pub fn open(runtime: &Runtime, folder: &Path, options: &SessionOptions) -> Result<Self, Error> {
        let files = Files::find(folder)?;
        // int8 kernels are several times faster on weights in their own order.
        let options = &SessionOptions {
            prepack: true,
            ..options.clone()
        };
        let encoder = crate::Session::open(runtime, &files.encoder, options)?;
        let names: Vec<String> = encoder
            .inputs()
            .iter()
            .map(|i| i.name().to_string())
            .collect();
        if names.iter().any(|n| n == "input_features") {
            return Ok(Model(Box::new(Whisper::open(
                runtime, encoder, &files, options,
            )?)));
        }
        if names.iter().any(|n| n == "input_values") {
            return Ok(Model(Box::new(Moonshine::open(
                runtime, encoder, &files, options,
            )?)));
        }
        let reason = format!(
            "its inputs {names:?} are neither Whisper's (input_features) nor Moonshine's (input_values)"
        );
        Err(Error::Model {
            path: files.encoder,
            reason,
        })
    }
}

/// The files of a model.
pub struct Files {
    pub encoder: PathBuf,
    pub decoder: PathBuf,
    pub tokenizer: PathBuf,
    pub folder: PathBuf,
}

impl Files {
    fn find(folder: &Path) -> Result<Self, Error> {
        let any = |stems: &[&str], ends: &[&str]| {
            let names = stems
                .iter()
                .flat_map(|s| ends.iter().map(move |e| format!("{s}{e}")));
            let mut paths = names.flat_map(|n| [folder.join(&n), folder.join("onnx").join(&n)]);
            paths.find(|p| p.is_file()).ok_or_else(|| Error::Model {
                path: folder.into(),
                reason: format!(
                    "the folder holds no {}{} (or a variant of it)",
                    stems[0], ends[0]
                ),
            })
        };
        let graphs = [".onnx", ".ort", "_int8.onnx", "_quantized.onnx"];
        Ok(Files {
            encoder: any(&["encoder_model"], &graphs)?,
            decoder: any(&["decoder_model_merged"], &graphs)?,
            tokenizer: any(&["tokenizer"], &[".json", ".bin"])?,
            folder: folder.into(),
        })
    }

    /// A JSON file beside the graphs, `{}` if it is not there.
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let path = self.folder.join(name);
        let text = if path.is_file() {
            std::fs::read_to_string(&path)
        } else {
            Ok("{}".into())
        };
        let parsed = text
            .map_err(|e| e.to_string())
            .and_then(|t| serde_json::from_str(&t).map_err(|e| e.to_string()));
        parsed.map_err(|reason| Error::Model { path, reason })
    }
}
