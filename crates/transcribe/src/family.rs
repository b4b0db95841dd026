//! What every family of speech recognition models does, takes and gives.

use std::path::{Path, PathBuf};

use onnx::Cancel;

use crate::Error;
use crate::languages::Language;
use crate::pack::Chunk;
use crate::words::ChunkWord;

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
    /// The language spoken; detected chunk by chunk if absent.
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
    /// The languages that the model is known to write, the usual one first, where its files do not tell.
    pub languages: Vec<Language>,
    /// Whether numbers are numerals and sentences have punctuation (inverse text normalisation), for models that write
    /// either ([`crate::Model::has_itn`]); absent: they are.
    pub itn: Option<bool>,
}

/// What a model made of a chunk.
#[derive(Clone, Debug)]
pub struct Recognised {
    pub words: Vec<ChunkWord>,
    /// What they are written in.
    pub language: Language,
    /// Whether word times are interpolated.
    pub approximate: bool,
}

/// What a family of models does.
pub trait Family: Send {
    /// Longest chunk, ms.
    fn max_chunk_ms(&self) -> u64;

    /// Recognises chunks in one batch. Without a language in the options, it is the one of the first chunks.
    ///
    /// # Errors
    /// [`onnx::Error::Cancelled`], [`onnx::Error::Inference`], [`Error::Invalid`] for options that the model does not have.
    fn recognise(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error>;

    /// The probabilities of the languages that may be spoken in each chunk, most likely first. What was computed for it is
    /// kept for [`Family::recognise`] of the same batch until [`Family::forget`].
    ///
    /// # Errors
    /// As [`Family::recognise`].
    fn languages(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<(Language, f32)>>, Error>;

    /// Gives up what [`Family::languages`] kept.
    fn forget(&mut self) {}

    /// Whether it may leave out speech that it would recognise by itself: models that write text token by token stop early.
    fn leaves_out(&self) -> bool {
        true
    }

    /// Whether [`Options::itn`] is a choice.
    fn has_itn(&self) -> bool {
        false
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
    pub fn find(folder: &Path) -> Result<Self, onnx::Error> {
        let any = |stems: &[&str], ends: &[&str]| {
            let names = stems
                .iter()
                .flat_map(|s| ends.iter().map(move |e| format!("{s}{e}")));
            let mut paths = names.flat_map(|n| [folder.join(&n), folder.join("onnx").join(&n)]);
            paths
                .find(|p| p.is_file())
                .ok_or_else(|| onnx::Error::Model {
                    path: folder.into(),
                    reason: format!(
                        "the folder holds no {}{} (or a variant of it), nor model.onnx (SenseVoice, Paraformer, NeMo CTC)",
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
    pub fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, onnx::Error> {
        let path = self.folder.join(name);
        let text = if path.is_file() {
            std::fs::read_to_string(&path)
        } else {
            Ok("{}".into())
        };
        let parsed = text
            .map_err(|e| e.to_string())
            .and_then(|t| serde_json::from_str(&t).map_err(|e| e.to_string()));
        parsed.map_err(|reason| onnx::Error::Model { path, reason })
    }
}
