//! From a stream of samples to sentences, in bounded memory.

use audio::Reader;
use onnx::Cancel;
use vad::Vad;

use crate::Error;
use crate::Sentence;
use crate::family::{Options, Recognised};
use crate::languages::Language;
use crate::model::Model;
use crate::onset;
use crate::pack::{self, Chunk};
use crate::sentences::{SentenceCutter, TimedWord};
use crate::speech::SpeechStream;
use crate::stretch::{self, Heard};

/// Most chunks that go through the decoder together.
const BATCH: usize = 16;
/// Most samples of chunks, filled up to the longest, that go through the decoder together: keys and values of a second
/// take a megabyte in small models.
const BATCH_SAMPLES: usize = 240 * audio::SAMPLE_RATE as usize;
/// Recognises one recording. Pull sentences with [`Transcriber::next`]; nothing runs in between.
pub struct Transcriber {
    speech: SpeechStream,
    options: Options,
    cutter: SentenceCutter,
    /// The language given, or the one spoken last.
    language: Option<Language>,
    /// Chunks whose language what follows them will tell, and what was heard in them.
    waiting: (Vec<Chunk>, Vec<Heard>),
    /// Start of the selection in the recording, ms.
    start_ms: u64,
    done_ms: u64,
}

/// The language of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// The language of most of the speech.
    pub language: Language,
    /// Its probability over all of it.
    pub probability: f32,
}

impl Transcriber {
    /// Prepares the recognition of what `reader` reads; `start_ms` is where in the recording that begins.
    pub fn new(reader: Reader<'static>, start_ms: u64, options: Options) -> Self {
        let cutter = SentenceCutter::new(options.words);
        let language = options.language;
        Transcriber {
            speech: SpeechStream::new(reader),
            options,
            cutter,
            language,
            waiting: Default::default(),
            start_ms,
            done_ms: 0,
        }
    }

    /// First words are wanted soon: the first rounds are short, and grow to the usual ones. Languages are told as well
    /// as in long rounds: a chunk waits while what is said after it may change its language.
    pub fn soon(mut self) -> Self {
        self.speech.begin_short();
        self
    }

    /// The next sentences, in order; `None` at the end. The same model and detector must be given to every call, and
    /// used for nothing else in between.
    ///
    /// # Errors
    /// [`Error::Audio`] from decoding, [`onnx::Error::Inference`], [`Error::Invalid`] for options that the model does not
    /// have, [`onnx::Error::Cancelled`].
    pub fn next(
        &mut self,
        model: &mut Model,
        vad: &mut Vad,
        cancel: &Cancel,
    ) -> Result<Option<Vec<Sentence>>, Error> {
        loop {
            let Some((batch, languages)) = self.round(model, vad, cancel)? else {
                self.done_ms = self.speech.read_ms();
                return Ok(self.cutter.finish().map(|last| vec![last]));
            };
            let recognised = self.recognise(&batch, &languages, model, cancel)?;
            let mut sentences = Vec::new();
            for (chunk, made) in batch.iter().zip(recognised) {
                let language = made.language;
                let words = self.place(chunk, made);
                sentences.extend(self.cutter.push(words, language));
                self.done_ms = chunk
                    .pieces
                    .last()
                    .map_or(self.done_ms, |p| (p.from + p.length as u64) / 16);
            }
            if !sentences.is_empty() {
                return Ok(Some(sentences));
            }
        }
    }

    /// The chunks to recognise next and the language of each: the one given, or what is heard. `None` at the end.
    fn round(
        &mut self,
        model: &mut Model,
        vad: &mut Vad,
        cancel: &Cancel,
    ) -> Result<Option<(Vec<Chunk>, Vec<Language>)>, Error> {
        let (mut chunks, mut heard) = std::mem::take(&mut self.waiting);
        loop {
            let next = self
                .speech
                .next_chunks(model.0.max_chunk_ms(), vad, cancel)?;
            let goes_on = next.is_some() && self.speech.is_short();
            let next = next.unwrap_or_default();
            if let Some(given) = self.options.language {
                let languages = vec![given; next.len()];
                return Ok(Some((next, languages)).filter(|(next, _)| !next.is_empty()));
            }
            heard.extend(hear(&next, &self.options, model, cancel)?);
            chunks.extend(next);
            if chunks.is_empty() {
                return Ok(None);
            }
            let (mut languages, settled) = stretch::choose(&heard, self.language);
            let ready = if goes_on { settled } else { chunks.len() };
            if ready == 0 {
                continue;
            }
            self.waiting = (chunks.split_off(ready), heard.split_off(ready));
            languages.truncate(ready);
            self.language = languages.last().copied();
            return Ok(Some((chunks, languages)));
        }
    }

    /// Recognises chunks; results are in their order. What was said and left out is tried again by itself.
    fn recognise(
        &self,
        chunks: &[Chunk],
        languages: &[Language],
        model: &mut Model,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        let options = &self.options;
        let mut made = recognise(chunks, languages, options, model, cancel)?;
        model.0.forget();
        let rounds: &[bool] = if model.0.leaves_out() {
            &[true, false]
        } else {
            &[]
        };
        for &joined in rounds {
            fill(&mut made, chunks, languages, joined, options, model, cancel)?;
        }
        Ok(made)
    }

    /// How much of the selection has been recognised, ms.
    pub fn done_ms(&self) -> u64 {
        self.done_ms
    }

    /// What the recording is.
    pub fn info(&self) -> &audio::Info {
        self.speech.info()
    }

    /// The language of the first minutes with speech, without recognising it; `None` if nobody speaks.
    ///
    /// # Errors
    /// As [`Transcriber::next`].
    pub fn detect_language(
        mut self,
        model: &mut Model,
        vad: &mut Vad,
        cancel: &Cancel,
    ) -> Result<Option<Detected>, Error> {
        let chunks = self
            .speech
            .next_chunks(model.0.max_chunk_ms(), vad, cancel)?
            .unwrap_or_default();
        let heard = hear(&chunks, &self.options, model, cancel)?;
        model.0.forget();
        let total: f32 = heard.iter().map(|h| h.seconds).sum();
        let (chosen, _) = stretch::choose(&heard, None);
        let spoken = |language: Language| -> f32 {
            let own = heard.iter().zip(&chosen).filter(|(_, l)| **l == language);
            own.map(|(h, _)| h.seconds).sum()
        };
        let most = chosen
            .iter()
            .copied()
            .reduce(|a, b| if spoken(b) > spoken(a) { b } else { a });
        Ok(most.map(|language| Detected {
            language,
            probability: heard
                .iter()
                .map(|h| h.probability(language) * h.seconds / total)
                .sum(),
        }))
    }

    /// Words of a chunk at their place in the recording.
    fn place(&self, chunk: &Chunk, made: Recognised) -> Vec<TimedWord> {
        let place = |w: crate::words::ChunkWord| {
            let start_ms = self.start_ms + chunk.recording_ms(w.start, false);
            let end_ms = self.start_ms + chunk.recording_ms(w.end, true);
            TimedWord {
                text: w.text,
                start_ms,
                end_ms: end_ms.max(start_ms),
                log_prob: w.log_prob,
                tokens: w.tokens,
                approximate: made.approximate,
            }
        };
        made.words.into_iter().map(place).collect()
    }
}

/// Chunks in batches of similar length, the longest first, by their places.
fn batches(chunks: &[Chunk]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(chunks[i].samples.len()), i));
    let mut batches = Vec::new();
    while let Some(&first) = order.first() {
        let fitting = BATCH_SAMPLES / chunks[first].samples.len().max(1);
        let rest = order.split_off(fitting.clamp(1, BATCH).min(order.len()));
        batches.push(std::mem::replace(&mut order, rest));
    }
    batches
}

/// The languages that are heard in chunks.
fn hear(
    chunks: &[Chunk],
    options: &Options,
    model: &mut Model,
    cancel: &Cancel,
) -> Result<Vec<Heard>, Error> {
    let mut heard: Vec<(usize, Heard)> = Vec::with_capacity(chunks.len());
    for batch in batches(chunks) {
        let given: Vec<Chunk> = batch.iter().map(|&i| chunks[i].clone()).collect();
        let languages = model.0.languages(&given, options, cancel)?;
        for (i, languages) in batch.into_iter().zip(languages) {
            let seconds = chunks[i].seconds();
            heard.push((i, Heard { seconds, languages }));
        }
    }
    heard.sort_by_key(|(i, _)| *i);
    Ok(heard.into_iter().map(|(_, heard)| heard).collect())
}

/// Recognises chunks, each in its language; results are in their order.
fn recognise(
    chunks: &[Chunk],
    languages: &[Language],
    options: &Options,
    model: &mut Model,
    cancel: &Cancel,
) -> Result<Vec<Recognised>, Error> {
    let mut made: Vec<(usize, Recognised)> = Vec::with_capacity(chunks.len());
    for mut batch in batches(chunks) {
        while let Some(&first) = batch.first() {
            let language = languages[first];
            let (own, others) = batch.into_iter().partition(|&i| languages[i] == language);
            let (own, others): (Vec<usize>, Vec<usize>) = (own, others);
            let given: Vec<Chunk> = own.iter().map(|&i| chunks[i].clone()).collect();
            let options = Options {
                language: Some(language),
                ..options.clone()
            };
            let results = model.0.recognise(&given, &options, cancel)?;
            if results.len() != own.len() {
                return Err(Error::inference("the model left chunks out"));
            }
            made.extend(own.into_iter().zip(results));
            batch = others;
        }
    }
    made.sort_by_key(|(i, _)| *i);
    Ok(made.into_iter().map(|(_, recognised)| recognised).collect())
}

/// Shortest speech without words that is tried again, steps: half a second.
const LEFT_OUT: usize = 50;
/// What is taken with it on both sides, steps.
const MARGIN: usize = 20;
/// What is found there must be this probable: mean log-probability of a token.
const SURE: f32 = -0.7;

/// Tries speech without words again by itself and adds what is found. `joined`: stretches between two words together,
/// or each by itself.
fn fill(
    made: &mut [Recognised],
    chunks: &[Chunk],
    languages: &[Language],
    joined: bool,
    options: &Options,
    model: &mut Model,
    cancel: &Cancel,
) -> Result<(), Error> {
    let (mut parts, mut places) = (Vec::new(), Vec::new());
    for (i, (chunk, recognised)) in chunks.iter().zip(&*made).enumerate() {
        if recognised.approximate {
            continue; // its times do not tell
        }
        for gap in onset::gaps(&recognised.words, &chunk.speech, joined) {
            let from = gap.start.saturating_sub(MARGIN);
            let part = chunk.part(from..gap.end + MARGIN);
            // The chunk itself would be heard as before.
            if gap.len() > LEFT_OUT && part.samples.len() * 10 < chunk.samples.len() * 9 {
                parts.push(part);
                places.push((i, from));
            }
        }
    }
    let languages: Vec<Language> = places.iter().map(|(i, _)| languages[*i]).collect();
    let options = Options {
        beam_size: Some(1),
        temperature: Some(0.0), // what is not sure at once was hardly said
        ..options.clone()
    };
    let found = recognise(&parts, &languages, &options, model, cancel)?;
    for ((i, from), found) in places.into_iter().zip(found) {
        let tokens: usize = found.words.iter().map(|w| w.tokens).sum();
        let log_prob: f32 = found.words.iter().map(|w| w.log_prob).sum();
        if tokens == 0 || log_prob / (tokens as f32) < SURE {
            continue;
        }
        let offset = (from * pack::STEP) as f32 / audio::SAMPLE_RATE as f32;
        let words = &mut made[i].words;
        words.extend(found.words.into_iter().map(|w| w.later(offset)));
        words.sort_by(|a, b| a.start.total_cmp(&b.start));
    }
    Ok(())
}
