//! Whisper: log-mel features of up to 30 s in, text with language, task and time tokens out.
//!
//! A file per phase: `network.rs` (what there is; the encoder), `prompt.rs` (what is put before the text), `attempt.rs` (the
//! text), `times.rs` (when its tokens were said).

mod attempt;
mod network;
mod prompt;
mod times;

use onnx::Cancel;

pub use network::Whisper;
use network::{WINDOW, frames};

use crate::decoder::stack;
use crate::family::{Family, Options, Recognised, Task};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::{Error, hanzi, onset, words};

impl Family for Whisper {
    fn max_chunk_ms(&self) -> u64 {
        WINDOW as u64 / 16
    }

    fn recognise(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let prompted = self.prompt(chunks, options, cancel)?;
        let mut attempts = Vec::with_capacity(chunks.len());
        for (row, attempt) in self
            .search(&prompted, options, cancel)?
            .into_iter()
            .enumerate()
        {
            let again = options.temperature.is_none() && attempt.evidence.wants_retry();
            attempts.push(if again {
                self.retry(&prompted, row, attempt, cancel)?
            } else {
                attempt
            });
        }
        let timed = self.align(&prompted, chunks, &attempts, cancel)?;
        let results = attempts
            .iter()
            .zip(timed)
            .zip(chunks)
            .map(|((attempt, tokens), chunk)| {
                let invented = attempt.evidence.is_invented(&attempt.text, chunk.seconds());
                let tokens = if invented { Vec::new() } else { tokens };
                let language = if options.task == Task::Translate {
                    Language::ENGLISH
                } else {
                    prompted.language
                };
                let mut words = words::words(&tokens, &self.tokenizer, language);
                if let Some(script) = language.script() {
                    hanzi::write(&mut words, script);
                }
                if !self.writes_times() {
                    onset::refine(&mut words, &chunk.speech);
                }
                Recognised {
                    words,
                    language: prompted.language,
                    approximate: self.writes_times(),
                }
            });
        Ok(results.collect())
    }

    fn languages(&mut self, chunk: &Chunk, cancel: &Cancel) -> Result<Vec<(Language, f32)>, Error> {
        if self.tokens.languages.is_empty() {
            return Ok(vec![(Language::ENGLISH, 1.0)]);
        }
        let hidden = stack(&self.encode(std::slice::from_ref(chunk), cancel)?)?;
        let (_, logits) =
            self.decoder
                .start(hidden, &[frames(chunk)], &[self.tokens.start], 1, cancel)?;
        self.spoken(&logits, 1)
    }
}
