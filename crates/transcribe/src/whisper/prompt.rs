//! What is put before a text: context, language, task; and which language is spoken.

use onnx::Cancel;

use super::network::{MAX_FRAMES, WINDOW, Whisper, frames};
use crate::decoder::{Cache, Logits, stack};
use crate::family::{Family, Options, Task};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::search::{Rules, Timestamps};
use crate::{Error, logits};

/// Beams of the search over little speech, if not chosen. Many chunks at once are searched greedily: beams would cost
/// them half as much time again, and their context helps more.
const BEAMS: usize = 5;

/// Tokens of a second of fast speech.
const ROOM_PER_SECOND: usize = 6;
/// Encoder frames.
const FRAMES_PER_SECOND: usize = 50;

/// A batch of chunks whose prompts have been read: where every search begins.
pub(super) struct Prompted {
    pub(super) cache: Cache,
    /// Logits of the first text token.
    pub(super) first: Logits,
    pub(super) language: Language,
    /// Probability of the no-speech token, one per chunk.
    pub(super) no_speech: Vec<f32>,
    /// Tokens from the start token on.
    pub(super) header: Vec<u32>,
    pub(super) rules: Rules,
    /// How many beams are worth their time.
    pub(super) beams: usize,
}

impl Whisper {
    /// The tokens before the start: hotwords and a prompt, given or the language's own, at most half of the context.
    fn preamble(&self, options: &Options) -> Result<Vec<u32>, Error> {
        let mut text = Vec::new();
        let prompt = options.prompt.as_deref().or(script_of(options));
        for part in [options.hotwords.as_deref(), prompt]
            .into_iter()
            .flatten()
            .map(str::trim)
        {
            if !part.is_empty() {
                text.extend(self.tokenizer.encode(&format!(" {part}"))?);
            }
        }
        text.retain(|&t| t < self.tokens.end);
        let room = self.max_tokens / 2 - 1;
        let kept = text.split_off(text.len().saturating_sub(room));
        Ok(match self.tokens.previous {
            Some(previous) if !kept.is_empty() => std::iter::once(previous).chain(kept).collect(),
            _ => Vec::new(),
        })
    }

    /// The tokens after the start: language, task and whether times are written.
    fn header(&self, language: Language, options: &Options) -> Result<Vec<u32>, Error> {
        let mut header = Vec::new();
        if !self.tokens.languages.is_empty() {
            let token = self
                .tokens
                .languages
                .iter()
                .find(|(l, _)| *l == language)
                .map(|(_, t)| *t);
            header.push(token.ok_or_else(|| self.unknown_language(language))?);
            header.extend(match options.task {
                Task::Transcribe => self.tokens.transcribe,
                Task::Translate => self.tokens.translate,
            });
        } else if language != Language::ENGLISH || options.task == Task::Translate {
            return Err(self.unknown_language(language));
        }
        if !self.writes_times() {
            header.push(self.tokens.no_timestamps);
        }
        Ok(header)
    }

    fn unknown_language(&self, language: Language) -> Error {
        let known: Vec<&str> = self
            .tokens
            .languages
            .iter()
            .map(|(l, _)| l.code())
            .collect();
        let known = if known.is_empty() {
            "en, without translation".to_string()
        } else {
            known.join(", ")
        };
        Error::Invalid(format!(
            "the model does not know the language \"{}\"; it knows: {known}",
            language.code()
        ))
    }

    /// What may follow a prompt; `frames`: the longest chunk's.
    fn rules(&self, prompt: usize, frames: usize) -> Rules {
        let first = self.tokens.no_timestamps + 1;
        let times = Timestamps {
            first,
            last: first + frames.min(MAX_FRAMES) as u32,
            max_initial: first + 50,
        };
        Rules {
            end: self.tokens.end,
            limit: self.tokens.end + 1,
            suppress: self.suppress.clone(),
            suppress_first: self.suppress_first.clone(),
            timestamps: self.writes_times().then_some(times),
            max_tokens: (self.max_tokens / 2).min(self.max_tokens.saturating_sub(prompt + 1)),
            // Repetitions are judged by their times afterwards, where these are heard.
            room: match self.writes_times() {
                true => 0,
                false => frames * ROOM_PER_SECOND / FRAMES_PER_SECOND,
            },
        }
    }

    /// Without alignment heads the times are those that the model writes between the words.
    pub(super) fn writes_times(&self) -> bool {
        !self.decoder.is_extended()
    }

    /// Reads the prompt for a batch of chunks in one language.
    pub(super) fn prompt(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Prompted, Error> {
        let language = match options.language {
            Some(language) => language,
            None => {
                let first = self.languages(&chunks[..1], options, cancel)?;
                let best = first.first().and_then(|ranked| ranked.first());
                best.map_or(Language::ENGLISH, |(language, _)| *language)
            }
        };
        let known = Options {
            language: Some(language),
            ..options.clone()
        };
        let hidden = stack(&self.encode(chunks, cancel)?)?;
        let frames: Vec<usize> = chunks.iter().map(frames).collect();
        let mut tokens = self.preamble(&known)?;
        let before = tokens.len();
        tokens.push(self.tokens.start);
        tokens.extend(self.header(language, &known)?);
        let keep = tokens.len() - before;
        let (cache, logits) = self.decoder.start(hidden, &frames, &tokens, keep, cancel)?;
        let at_start = logits.steps().saturating_sub(keep);
        let mut no_speech = Vec::with_capacity(cache.rows);
        for row in 0..cache.rows {
            no_speech.push(self.no_speech(logits.at(row, at_start)?));
        }
        let speech = chunks.iter().map(|c| c.samples.len()).sum::<usize>();
        let rules = self.rules(tokens.len(), frames.iter().copied().max().unwrap_or(0));
        Ok(Prompted {
            cache,
            first: logits,
            language,
            no_speech,
            header: tokens.split_off(before),
            rules,
            beams: if speech <= WINDOW { BEAMS } else { 1 },
        })
    }

    fn no_speech(&self, logits: &[f32]) -> f32 {
        let token = self.tokens.no_speech.and_then(|t| logits.get(t as usize));
        token.map_or(0.0, |x| (x - logits::log_sum_exp(logits)).exp())
    }

    /// Languages by probability, from a row's logits after the start token.
    pub(super) fn spoken(
        &self,
        logits: &Logits,
        row: usize,
    ) -> Result<Vec<(Language, f32)>, Error> {
        let logits = logits.last(row)?;
        let logit = |token: u32| (logits.get(token as usize).copied()).unwrap_or(f32::NEG_INFINITY);
        let known = &self.tokens.languages;
        let own: Vec<f32> = known.iter().map(|&(_, token)| logit(token)).collect();
        let total = logits::log_sum_exp(&own);
        let probabilities = own.iter().map(|x| (x - total).exp());
        let mut ranked: Vec<_> = known.iter().map(|(l, _)| *l).zip(probabilities).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(ranked)
    }
}

/// The example of the language's script, where the language is known and is what will be written.
fn script_of(options: &Options) -> Option<&'static str> {
    let written = options
        .language
        .filter(|_| options.task == Task::Transcribe);
    written.and_then(Language::example)
}
