//! Whisper: log-mel features of up to 30 s in, text with language, task and time tokens out.
//!
//! A file per phase: `network.rs` (what there is; the encoder), `prompt.rs` (what is put before the text), `attempt.rs` (the
//! text), `times.rs` (when its tokens were said).

mod attempt;
mod network;
mod prompt;
mod times;

use onnx::Cancel;

use attempt::Attempt;
pub use network::Whisper;
use network::{WINDOW, frames};
use prompt::Prompted;

use crate::decoder::stack;
use crate::family::{Family, Options, Recognised, Task};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::words::ChunkWord;
use crate::{Error, guard, hanzi, onset, words};

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
        let mut attempts = self.search(&prompted, options, cancel)?;
        let mut words = self.timed_words(&prompted, chunks, &mut attempts, options, cancel)?;
        let mut found_again = false;
        for (row, attempt) in attempts.iter_mut().enumerate() {
            if options.temperature.is_none() && attempt.evidence.wants_retry() {
                *attempt = self.retry(&prompted, row, attempt.clone(), cancel)?;
                found_again = true;
            }
        }
        if found_again {
            words = self.timed_words(&prompted, chunks, &mut attempts, options, cancel)?;
        }
        let results = attempts.iter().zip(words).zip(chunks);
        Ok(results
            .map(|((attempt, mut words), chunk)| {
                if attempt.evidence.is_invented(&attempt.text, chunk.seconds()) {
                    words.clear();
                }
                Recognised {
                    language: written(prompted.language, options, &words),
                    words,
                    approximate: self.writes_times(),
                }
            })
            .collect())
    }

    fn languages(
        &mut self,
        chunks: &[Chunk],
        _: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<(Language, f32)>>, Error> {
        if self.tokens.languages.is_empty() || chunks.is_empty() {
            return Ok(vec![vec![(Language::ENGLISH, 1.0)]; chunks.len()]);
        }
        let encoded = self.encode(chunks, cancel)?;
        let lengths: Vec<usize> = chunks.iter().map(frames).collect();
        let start = &[self.tokens.start];
        let (_, logits) = (self.decoder).start(stack(&encoded)?, &lengths, start, 1, cancel)?;
        let spoken = (0..chunks.len()).map(|row| self.spoken(&logits, row));
        let spoken = spoken.collect::<Result<_, _>>()?;
        self.kept
            .push((chunks.iter().map(Chunk::key).collect(), encoded));
        Ok(spoken)
    }

    fn forget(&mut self) {
        self.kept.clear();
    }
}

impl Whisper {
    /// The words of texts with their times; evidence of repetition is weighed against these.
    fn timed_words(
        &mut self,
        prompted: &Prompted,
        chunks: &[Chunk],
        attempts: &mut [Attempt],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<ChunkWord>>, Error> {
        let timed = self.align(prompted, chunks, attempts, cancel)?;
        let language = match options.task {
            Task::Translate => Language::ENGLISH,
            Task::Transcribe => prompted.language,
        };
        let rows = timed.iter().zip(attempts).zip(chunks);
        let words = rows.map(|((tokens, attempt), chunk)| {
            let mut words = words::words(tokens, &self.tokenizer, language);
            if let Some(script) = language.script() {
                hanzi::write(&mut words, script);
            }
            if !self.writes_times() {
                onset::refine(&mut words, &chunk.speech);
                guard::drop_unsaid(&mut words);
                let once = guard::said_once(&words);
                attempt.evidence.compression = guard::compression_ratio(once.trim());
            }
            words
        });
        Ok(words.collect())
    }
}

/// Letters that tell in which script a text is.
const TELLING: usize = 8;

/// The language that words are written in: English where they are translated, and where a language without Latin
/// letters was spoken by nobody: asked for it, the network writes English as it hears it.
fn written(spoken: Language, options: &Options, words: &[ChunkWord]) -> Language {
    let letters = || {
        words
            .iter()
            .flat_map(|w| w.text.chars())
            .filter(|c| c.is_alphabetic())
    };
    let is_latin = letters().count() >= TELLING && letters().all(|c| c.is_ascii());
    let is_english = options.task == Task::Translate || spoken.is_unspaced() && is_latin;
    if is_english {
        Language::ENGLISH
    } else {
        spoken
    }
}
