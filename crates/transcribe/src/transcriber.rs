//! From a stream of samples to sentences, in bounded memory.

use audio::Reader;
use onnx::Cancel;
use vad::{Span, Vad, VadOptions};

use crate::Error;
use crate::Sentence;
use crate::family::{Options, Recognised};
use crate::languages::Language;
use crate::model::Model;
use crate::pack::{self, Chunk};
use crate::sentences::{SentenceCutter, TimedWord};

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
    /// The language once it is known.
    language: Option<Language>,
    /// Start of the selection in the recording, ms.
    start_ms: u64,
    done_ms: u64,
}

/// The language of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detected {
    /// The most likely language.
    pub language: Language,
    /// Its probability.
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
                return Ok(self.cutter.finish(self.language()).map(|last| vec![last]));
            };
            let recognised = self.recognise(&batch, model, cancel)?;
            let mut sentences = Vec::new();
            for (chunk, made) in batch.iter().zip(recognised) {
                let words = self.place(chunk, made);
                sentences.extend(self.cutter.push(words, self.language()));
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

    /// Recognises chunks in batches of similar length, the longest first; results are in the order of the chunks. The
    /// first batch settles the language.
    fn recognise(
        &mut self,
        chunks: &[Chunk],
        model: &mut Model,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        let mut order: Vec<usize> = (0..chunks.len()).collect();
        order.sort_by_key(|&i| (std::cmp::Reverse(chunks[i].samples.len()), i));
        let mut made: Vec<(usize, Recognised)> = Vec::with_capacity(chunks.len());
        while let Some(&first) = order.get(made.len()) {
            let fitting = BATCH_SAMPLES / chunks[first].samples.len().max(1);
            let batch: Vec<usize> = order
                .iter()
                .skip(made.len())
                .take(fitting.clamp(1, BATCH))
                .copied()
                .collect();
            let given: Vec<Chunk> = batch.iter().map(|&i| chunks[i].clone()).collect();
            let options = Options {
                language: self.language,
                ..self.options.clone()
            };
            let results = model.0.recognise(&given, &options, cancel)?;
            if results.len() != batch.len() {
                return Err(Error::inference("the model left chunks out"));
            }
            self.language = results.first().map(|r| r.language).or(self.language);
            made.extend(batch.into_iter().zip(results));
        }
        made.sort_by_key(|(i, _)| *i);
        Ok(made.into_iter().map(|(_, recognised)| recognised).collect())
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
        let Some(chunk) = chunks.iter().max_by_key(|c| c.samples.len()) else {
            return Ok(None);
        };
        let best = model.0.languages(chunk, cancel)?.first().copied();
        Ok(best.map(|(language, probability)| Detected {
            language,
            probability,
        }))
    }

    fn language(&self) -> Language {
        self.language.unwrap_or(Language::ENGLISH)
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
