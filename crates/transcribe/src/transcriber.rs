//! From a stream of samples to sentences, in bounded memory.

use audio::Reader;
use onnx::Cancel;
use vad::{Span, Vad, VadOptions};

use crate::Error;
use crate::Sentence;
use crate::family::{Options, Recognised};
use crate::languages::Language;
use crate::model::Model;
use crate::onset;
use crate::pack::{self, Chunk};
use crate::sentences::{SentenceCutter, TimedWord};
use crate::stretch::{self, Heard};

/// How speech is found before it is recognised: wide margins, because a word that is cut off is lost.
pub const VAD: VadOptions = VadOptions {
    threshold: 0.5,
    end_threshold: 0.35,
    min_speech_ms: 100,
    min_silence_ms: 160,
    pad_ms: 300,
};

/// Samples that are looked at together.
const WINDOW: usize = 120 * audio::SAMPLE_RATE as usize;
/// Most chunks that go through the decoder together.
const BATCH: usize = 16;
/// Most samples of chunks, filled up to the longest, that go through the decoder together: keys and values of a second
/// take a megabyte in small models.
const BATCH_SAMPLES: usize = 240 * audio::SAMPLE_RATE as usize;
/// Samples that are read at once; a multiple of the VAD's window.
const BLOCK: usize = 256 * vad::WINDOW;
/// Samples at the end of a window that are looked at again with the next: a word may just begin there.
const OVERLAP: usize = audio::SAMPLE_RATE as usize;

/// Recognises one recording. Pull sentences with [`Transcriber::next`]; nothing runs in between.
pub struct Transcriber {
    speech: SpeechStream,
    options: Options,
    cutter: SentenceCutter,
    /// The language given, or the one spoken last.
    language: Option<Language>,
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
            start_ms,
            done_ms: 0,
        }
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
            let Some(batch) = self
                .speech
                .next_chunks(model.0.max_chunk_ms(), vad, cancel)?
            else {
                self.done_ms = self.speech.read_ms();
                return Ok(self.cutter.finish().map(|last| vec![last]));
            };
            let recognised = self.recognise(&batch, model, cancel)?;
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

    /// Recognises chunks; results are in their order. What was said and left out is tried again by itself.
    fn recognise(
        &mut self,
        chunks: &[Chunk],
        model: &mut Model,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        let languages = self.languages(chunks, model, cancel)?;
        let options = &self.options;
        let mut made = recognise(chunks, &languages, options, model, cancel)?;
        model.0.forget();
        let rounds: &[bool] = if model.0.leaves_out() {
            &[true, false]
        } else {
            &[]
        };
        for &joined in rounds {
            fill(
                &mut made, chunks, &languages, joined, options, model, cancel,
            )?;
        }
        Ok(made)
    }

    /// The language of each chunk: the one given, or what is heard.
    fn languages(
        &mut self,
        chunks: &[Chunk],
        model: &mut Model,
        cancel: &Cancel,
    ) -> Result<Vec<Language>, Error> {
        if let Some(given) = self.options.language {
            return Ok(vec![given; chunks.len()]);
        }
        let chosen = stretch::choose(&hear(chunks, &self.options, model, cancel)?, self.language);
        self.language = chosen.last().copied().or(self.language);
        Ok(chosen)
    }

    /// How much of the selection has been recognised, ms.
    pub fn done_ms(&self) -> u64 {
        self.done_ms
    }

    /// What the recording is.
    pub fn info(&self) -> &audio::Info {
        self.speech.reader.info()
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
        let chosen = stretch::choose(&heard, None);
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

/// Finds speech in a stream and packs it into chunks.
struct SpeechStream {
    reader: Reader<'static>,
    /// Samples of the window; the first has the number `origin`, a multiple of the VAD's window.
    samples: Vec<f32>,
    origin: u64,
    /// Speech probabilities of the window.
    probabilities: Vec<f32>,
    ended: bool,
    started: bool,
}

impl SpeechStream {
    fn new(reader: Reader<'static>) -> Self {
        SpeechStream {
            reader,
            samples: Vec::new(),
            origin: 0,
            probabilities: Vec::new(),
            ended: false,
            started: false,
        }
    }

    fn read_ms(&self) -> u64 {
        (self.origin + self.samples.len() as u64) / 16
    }

    /// The chunks of the next window that has any; `None` at the end.
    fn next_chunks(
        &mut self,
        max_ms: u64,
        vad: &mut Vad,
        cancel: &Cancel,
    ) -> Result<Option<Vec<Chunk>>, Error> {
        if !std::mem::replace(&mut self.started, true) {
            vad.reset();
        }
        while !self.ended {
            self.fill(vad, cancel)?;
            let chunks = self.cut(max_ms);
            if !chunks.is_empty() {
                return Ok(Some(chunks));
            }
        }
        Ok(None)
    }

    /// Reads until the window is full or the recording ends.
    fn fill(&mut self, vad: &mut Vad, cancel: &Cancel) -> Result<(), Error> {
        while self.samples.len() < WINDOW && !self.ended {
            cancel.check()?;
            let before = self.samples.len();
            while self.samples.len() < before + BLOCK {
                let missing = before + BLOCK - self.samples.len();
                if self
                    .reader
                    .read(&mut self.samples, missing, cancel.flag())?
                    == 0
                {
                    self.ended = true;
                    break;
                }
            }
            self.probabilities
                .extend(vad.probabilities(&self.samples[before..], cancel)?);
        }
        Ok(())
    }

    /// Cuts the speech of the window into chunks, and keeps what the next window may continue.
    fn cut(&mut self, max_ms: u64) -> Vec<Chunk> {
        let origin_ms = self.origin / 16;
        let shift = |s: Span| Span {
            start_ms: s.start_ms + origin_ms,
            end_ms: s.end_ms + origin_ms,
        };
        let spans: Vec<Span> = vad::spans(&self.probabilities, &VAD)
            .into_iter()
            .map(shift)
            .collect();
        let quietest = |from, to| pack::quietest(&self.samples, origin_ms, from, to);
        let mut plans = pack::plan(&spans, max_ms, quietest);
        let held_ms = if self.ended {
            None
        } else {
            hold_back(&mut plans, self.read_ms())
        };
        let done_ms = plans
            .last()
            .and_then(|p| p.last())
            .map_or(origin_ms, |s| s.end_ms);
        let is_speech = |ms: u64| {
            let window = (ms.saturating_sub(origin_ms) / vad::WINDOW_MS) as usize;
            (self.probabilities.get(window)).is_some_and(|p| *p >= VAD.threshold)
        };
        let chunks = plans
            .iter()
            .map(|plan| pack::chunk(plan, &self.samples, self.origin, is_speech))
            .collect();
        let tail_ms = self.read_ms().saturating_sub(OVERLAP as u64 / 16);
        self.forget(held_ms.unwrap_or(done_ms.max(tail_ms)));
        chunks
    }

    /// Drops whole VAD windows before a time.
    fn forget(&mut self, before_ms: u64) {
        let samples = (before_ms * 16).saturating_sub(self.origin) as usize;
        let windows = samples.div_ceil(vad::WINDOW).min(self.probabilities.len());
        self.probabilities.drain(..windows);
        self.samples
            .drain(..(windows * vad::WINDOW).min(self.samples.len()));
        self.origin += (windows * vad::WINDOW) as u64;
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

/// Takes from the plans what the next window may continue, and returns where that begins: the last chunk, which is not
/// full, or if it is the only one, its last stretch if that still goes on at the end of the window.
fn hold_back(plans: &mut Vec<Vec<Span>>, end_ms: u64) -> Option<u64> {
    if plans.len() > 1 {
        return plans
            .pop()
            .and_then(|last| last.first().map(|s| s.start_ms));
    }
    let only = plans.first_mut()?;
    let goes_on = only
        .last()
        .is_some_and(|s| s.end_ms + VAD.min_silence_ms + VAD.pad_ms >= end_ms);
    let held = if goes_on {
        only.pop().map(|s| s.start_ms)
    } else {
        None
    };
    plans.retain(|p| !p.is_empty());
    held
}
