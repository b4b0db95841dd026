//! The networks, the tokenizer and what is known of them; audio through the encoder.

use audio::logmel::LogMel;
use onnx::{Cancel, Runtime, Session, SessionOptions};
use ort::value::{DynValue, TensorRef};
use serde::Deserialize;

use crate::Error;
use crate::decoder::Decoder;
use crate::family::Files;
use crate::languages::{LANGUAGES, Language};
use crate::pack::Chunk;
use crate::tokenizer::Tokenizer;

/// The window that the model was trained on, samples: 30 s.
pub(super) const WINDOW: usize = 480_000;
/// Encoder frames of the window.
pub(super) const MAX_FRAMES: usize = 1500;
/// Samples per feature frame.
const HOP: usize = 160;
/// Fewest tokens of a model that knows languages besides English.
const MULTILINGUAL: usize = 51_865;
/// Silence after a chunk that is shorter than the window, samples: the encoder continues it to the window's end.
const TAIL: usize = 16_000;
/// Lengths that the encoder sees are multiples of this many samples, so that its buffers can be used again.
const LENGTH_STEP: usize = 8_000;

/// A Whisper model.
pub struct Whisper {
    encoder: Session,
    pub(super) decoder: Decoder,
    pub(super) tokenizer: Tokenizer,
    mel: LogMel,
    mels: usize,
    /// Whether the encoder takes any length, or 30 s only.
    any_length: bool,
    pub(super) max_tokens: usize,
    pub(super) suppress: Vec<u32>,
    pub(super) suppress_first: Vec<u32>,
    pub(super) tokens: SpecialTokens,
    /// Batches that were encoded to find their languages, by the [`Chunk::key`]s of their chunks.
    pub(super) kept: Vec<(Vec<u64>, Vec<DynValue>)>,
}

pub(super) struct SpecialTokens {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) transcribe: Option<u32>,
    pub(super) translate: Option<u32>,
    pub(super) no_timestamps: u32,
    pub(super) no_speech: Option<u32>,
    pub(super) previous: Option<u32>,
    pub(super) languages: Vec<(Language, u32)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    num_mel_bins: Option<usize>,
    max_target_positions: Option<usize>,
    vocab_size: Option<usize>,
    is_multilingual: Option<bool>,
    suppress_tokens: Option<Vec<u32>>,
    begin_suppress_tokens: Option<Vec<u32>>,
}

impl Whisper {
    /// Opens the decoder and the tokenizer beside an opened encoder.
    pub fn open(
        runtime: &Runtime,
        encoder: Session,
        files: &Files,
        options: &SessionOptions,
    ) -> Result<Self, onnx::Error> {
        let (config, generation): (Config, Config) = (
            files.json("config.json")?,
            files.json("generation_config.json")?,
        );
        let shape = encoder
            .inputs()
            .iter()
            .find(|i| i.name() == "input_features");
        let shape = shape
            .and_then(|i| i.dtype().tensor_shape())
            .map(|s| s.to_vec())
            .unwrap_or_default();
        let mels = match (config.num_mel_bins, &shape[..]) {
            (_, [_, mels @ 1..=1024, _]) => *mels as usize,
            (Some(mels @ 1..=1024), _) => mels,
            _ => {
                return Err(onnx::Error::Model {
                    path: files.folder.clone(),
                    reason: "config.json lacks num_mel_bins".into(),
                });
            }
        };
        let tokenizer = Tokenizer::open(&files.tokenizer)?;
        let mut tokens = SpecialTokens::read(&tokenizer).ok_or_else(|| onnx::Error::Model {
            path: files.tokenizer.clone(),
            reason: "it is not Whisper's".into(),
        })?;
        let is_multilingual = generation
            .is_multilingual
            .or(config.vocab_size.map(|n| n >= MULTILINGUAL));
        if is_multilingual == Some(false) {
            tokens.languages.clear(); // English models have the names too, but never saw them used
        }
        let suppress = generation
            .suppress_tokens
            .or(config.suppress_tokens)
            .unwrap_or_default();
        let suppress_first = generation
            .begin_suppress_tokens
            .or(config.begin_suppress_tokens)
            .unwrap_or_default();
        Ok(Whisper {
            decoder: Decoder::open(runtime, &files.decoder, options)?,
            tokens,
            mel: LogMel::new(mels),
            mels,
            any_length: shape.get(2).is_none_or(|&t| t < 0),
            max_tokens: config.max_target_positions.unwrap_or(448),
            encoder,
            tokenizer,
            suppress,
            suppress_first,
            kept: Vec::new(),
        })
    }

    /// Chunks through the encoder, all filled up to the same length: hidden states of one row each. A batch that was
    /// kept is not encoded again.
    pub(super) fn encode(
        &mut self,
        chunks: &[Chunk],
        cancel: &Cancel,
    ) -> Result<Vec<DynValue>, Error> {
        let keys: Vec<u64> = chunks.iter().map(Chunk::key).collect();
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == keys) {
            return Ok(self.kept.swap_remove(at).1);
        }
        let longest = chunks.iter().map(|c| c.samples.len()).max().unwrap_or(0);
        let length = if self.any_length {
            (longest + TAIL).next_multiple_of(LENGTH_STEP).min(WINDOW)
        } else {
            WINDOW
        };
        let mut encoded = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            cancel.check()?;
            let mut samples = chunk.samples.clone();
            samples.resize(length, 0.0);
            let features = self.mel.compute(&samples);
            let shape = [1, self.mels, LogMel::frames(length)];
            let input = TensorRef::from_array_view((shape, features.as_slice()))?;
            let outputs = self
                .encoder
                .run(ort::inputs!["input_features" => input], cancel)?;
            let hidden = outputs.into_iter().next().map(|(_, value)| value);
            encoded.push(hidden.ok_or_else(|| Error::inference("the encoder gave nothing"))?);
        }
        Ok(encoded)
    }
}

/// Encoder frames of a chunk's audio.
pub(super) fn frames(chunk: &Chunk) -> usize {
    chunk.samples.len().div_ceil(2 * HOP).min(MAX_FRAMES)
}

impl SpecialTokens {
    fn read(tokenizer: &Tokenizer) -> Option<Self> {
        let get = |name: &str| tokenizer.special(&format!("<|{name}|>"));
        let languages = LANGUAGES
            .iter()
            .filter_map(|(code, _)| Some((Language::parse(code).ok()?, get(code)?)));
        Some(SpecialTokens {
            start: get("startoftranscript")?,
            end: get("endoftext")?,
            transcribe: get("transcribe"),
            translate: get("translate"),
            no_timestamps: get("notimestamps")?,
            no_speech: get("nospeech").or(get("nocaptions")),
            previous: get("startofprev"),
            languages: languages.collect(),
        })
    }
}
