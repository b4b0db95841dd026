//! Moonshine: samples in, English text out.

use onnx::{Cancel, Runtime, Session, SessionOptions};
use ort::value::{DynValue, TensorRef};

use crate::Error;
use crate::decoder::Decoder;
use crate::family::{Family, Files, Options, Recognised, Task};
use crate::guard::{self, Evidence};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::search::{Hypothesis, Rules, Search};
use crate::tokenizer::Tokenizer;
use crate::words::{self, Token};

/// Longest chunk, ms: the model is at its best on short utterances.
const MAX_CHUNK_MS: u64 = 20_000;
/// Shortest input of the convolutions, samples.
const MIN_SAMPLES: usize = 4_000;
/// The output is at most this many tokens for a second of audio (the model's authors).
const TOKENS_PER_SECOND: f32 = 6.5;
/// Tokens of a second of unhurried speech.
const ROOM_PER_SECOND: f32 = 3.0;
/// Begins a text.
const START: u32 = 1;
/// Ends a text.
const END: u32 = 2;

/// A Moonshine model.
pub struct Moonshine {
    encoder: Session,
    decoder: Decoder,
    tokenizer: Tokenizer,
    takes_mask: bool,
}

impl Moonshine {
    /// Opens the decoder and the tokenizer beside an opened encoder.
    pub fn open(
        runtime: &Runtime,
        encoder: Session,
        files: &Files,
        options: &SessionOptions,
    ) -> Result<Self, onnx::Error> {
        let takes_mask = encoder
            .inputs()
            .iter()
            .any(|i| i.name() == "attention_mask");
        let decoder = Decoder::open(runtime, &files.decoder, options)?;
        Ok(Moonshine {
            encoder,
            decoder,
            tokenizer: Tokenizer::open(&files.tokenizer)?,
            takes_mask,
        })
    }

    /// A chunk through the encoder.
    fn encode(&mut self, chunk: &Chunk, cancel: &Cancel) -> Result<DynValue, Error> {
        let mut samples = chunk.samples.clone();
        samples.resize(samples.len().max(MIN_SAMPLES), 0.0);
        let mask = vec![1i64; samples.len()];
        let shape = [1, samples.len()];
        let mut inputs = ort::inputs!["input_values" => TensorRef::from_array_view((shape, samples.as_slice()))?];
        if self.takes_mask {
            inputs.push((
                "attention_mask".into(),
                TensorRef::from_array_view((shape, mask.as_slice()))?.into(),
            ));
        }
        let outputs = self.encoder.run::<0>(inputs, cancel)?;
        let hidden = outputs.into_iter().next().map(|(_, value)| value);
        hidden.ok_or_else(|| Error::inference("the encoder gave nothing"))
    }

    fn decode(
        &mut self,
        chunk: &Chunk,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Hypothesis, Error> {
        let hidden = self.encode(chunk, cancel)?;
        let frames = hidden
            .dtype()
            .tensor_shape()
            .and_then(|s| s.get(1).copied())
            .unwrap_or(0) as usize;
        let rules = Rules {
            end: END,
            limit: u32::MAX,
            suppress: Vec::new(),
            suppress_first: Vec::new(),
            timestamps: None,
            max_tokens: (chunk.seconds() * TOKENS_PER_SECOND).ceil() as usize + 1,
            room: (chunk.seconds() * ROOM_PER_SECOND) as usize,
        };
        let (cache, first) = self.decoder.start(hidden, &[frames], &[START], 1, cancel)?;
        let mut search = Search {
            decoder: &mut self.decoder,
            rules: &rules,
            cancel,
        };
        match options.temperature {
            Some(temperature) if temperature > 0.0 => search.sample(cache, first, temperature, 1),
            _ => match options.beam_size {
                None | Some(0 | 1) => search.greedy(cache, first),
                Some(beams) => search.beam(cache, first, beams),
            }
            .map(|found| found.into_iter().next().unwrap_or_default()),
        }
    }
}

impl Family for Moonshine {
    fn max_chunk_ms(&self) -> u64 {
        MAX_CHUNK_MS
    }

    fn recognise(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        let is_english = options.language.is_none_or(|l| l == Language::ENGLISH);
        if !is_english || options.task == Task::Translate {
            return Err(Error::Invalid(
                "the model knows the language \"en\" only, and does not translate".into(),
            ));
        }
        let mut all = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let found = self.decode(chunk, options, cancel)?;
            let text = self.tokenizer.decode(&found.tokens);
            let evidence = Evidence {
                log_prob: found.mean_log_prob(),
                compression: guard::compression_ratio(text.trim()),
                no_speech: 0.0,
                looped: found.looped,
            };
            let blank = |(&id, &log_prob)| Token {
                id,
                log_prob,
                start: 0.0,
                end: 0.0,
                peak: 0.0,
            };
            let mut tokens: Vec<Token> = found
                .tokens
                .iter()
                .zip(&found.log_probs)
                .map(blank)
                .collect();
            words::interpolate(&mut tokens, 0.0, chunk.seconds(), &self.tokenizer);
            if evidence.is_invented(&text, chunk.seconds()) {
                tokens.clear();
            }
            let words = words::words(&tokens, &self.tokenizer, Language::ENGLISH);
            all.push(Recognised {
                words,
                language: Language::ENGLISH,
                approximate: true,
            });
        }
        Ok(all)
    }

    fn languages(
        &mut self,
        chunks: &[Chunk],
        _: &Options,
        _: &Cancel,
    ) -> Result<Vec<Vec<(Language, f32)>>, Error> {
        Ok(vec![vec![(Language::ENGLISH, 1.0)]; chunks.len()])
    }
}
