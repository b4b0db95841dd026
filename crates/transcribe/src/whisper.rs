//! Whisper: log-mel features of up to 30 s in, text with language, task and time tokens out.

use audio::logmel::LogMel;
use onnx::{Cancel, Runtime, Session, SessionOptions};
use ort::value::{DynValue, TensorRef};
use serde::Deserialize;

use crate::Error;
use crate::align::Attention;
use crate::decoder::{Cache, Decoder, Logits, stack};
use crate::family::{Family, Files, Options, Recognised, Task};
use crate::guard::{self, Evidence};
use crate::languages::{LANGUAGES, Language};
use crate::logits;
use crate::onset;
use crate::pack::Chunk;
use crate::search::{Hypothesis, Rules, Search, Timestamps};
use crate::tokenizer::Tokenizer;
use crate::words::{self, Token};

/// The window that the model was trained on, samples: 30 s.
const WINDOW: usize = 480_000;
/// Encoder frames of the window.
const MAX_FRAMES: usize = 1500;
/// Samples per feature frame.
const HOP: usize = 160;
/// Seconds per encoder frame: two feature frames.
const FRAME_S: f32 = 0.02;
/// Fewest tokens of a model that knows languages besides English.
const MULTILINGUAL: usize = 51_865;
/// Temperatures that are tried for a chunk that failed.
const TEMPERATURES: [f32; 5] = [0.2, 0.4, 0.6, 0.8, 1.0];
/// Sequences drawn at each temperature.
const DRAWS: usize = 5;
/// Beams of the search over little speech, if not chosen. Many chunks at once are searched greedily: beams would cost
/// them half as much time again, and their context helps more.
const BEAMS: usize = 5;
/// Silence after a chunk that is shorter than the window, samples: the encoder continues it to the window's end.
const TAIL: usize = 16_000;
/// Lengths that the encoder sees are multiples of this many samples, so that its buffers can be used again.
const LENGTH_STEP: usize = 8_000;

/// A Whisper model.
pub struct Whisper {
    encoder: Session,
    decoder: Decoder,
    tokenizer: Tokenizer,
    mel: LogMel,
    mels: usize,
    /// Whether the encoder takes any length, or 30 s only.
    any_length: bool,
    max_tokens: usize,
    suppress: Vec<u32>,
    suppress_first: Vec<u32>,
    tokens: SpecialTokens,
}

struct SpecialTokens {
    start: u32,
    end: u32,
    transcribe: Option<u32>,
    translate: Option<u32>,
    no_timestamps: u32,
    no_speech: Option<u32>,
    previous: Option<u32>,
    languages: Vec<(Language, u32)>,
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

/// A batch of chunks whose prompts have been read: where every search begins.
struct Prompted {
    cache: Cache,
    /// Logits of the first text token.
    first: Logits,
    language: Language,
    /// Probability of the no-speech token, one per chunk.
    no_speech: Vec<f32>,
    /// Tokens from the start token on.
    header: Vec<u32>,
    rules: Rules,
    /// How many beams are worth their time.
    beams: usize,
}

/// A text that was found, and how credible it is.
struct Attempt {
    hypothesis: Hypothesis,
    evidence: Evidence,
    text: String,
}

impl Attempt {
    fn is_better_than(&self, other: &Attempt) -> bool {
        let repeats =
            |a: &Attempt| a.evidence.looped || a.evidence.compression > guard::MAX_COMPRESSION;
        (!repeats(self), self.evidence.log_prob) > (!repeats(other), other.evidence.log_prob)
    }
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
        })
    }

    /// Chunks through the encoder, all filled up to the same length: hidden states of one row each.
    fn encode(&mut self, chunks: &[Chunk], cancel: &Cancel) -> Result<Vec<DynValue>, Error> {
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
        }
    }

    /// Without alignment heads the times are those that the model writes between the words.
    fn writes_times(&self) -> bool {
        !self.decoder.is_extended()
    }

    /// Reads the prompt for a batch. Where the language is not given it is chosen here, for all chunks.
    fn prompt(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Prompted, Error> {
        let hidden = stack(&self.encode(chunks, cancel)?)?;
        let frames: Vec<usize> = chunks.iter().map(frames).collect();
        let mut tokens = self.preamble(options)?;
        let before = tokens.len();
        tokens.push(self.tokens.start);
        let only = self
            .tokens
            .languages
            .is_empty()
            .then_some(Language::ENGLISH);
        let given = options.language.or(only);
        if let Some(language) = given {
            tokens.extend(self.header(language, options)?);
        }
        let keep = tokens.len() - before;
        let (mut cache, mut logits) = self.decoder.start(hidden, &frames, &tokens, keep, cancel)?;
        let at_start = logits.steps().saturating_sub(keep);
        let mut no_speech = Vec::with_capacity(cache.rows);
        for row in 0..cache.rows {
            no_speech.push(self.no_speech(logits.at(row, at_start)?));
        }
        let language = match given {
            Some(language) => language,
            None => {
                let language = self
                    .spoken(&logits, cache.rows)?
                    .first()
                    .map_or(Language::ENGLISH, |(l, _)| *l);
                let known = Options {
                    language: Some(language),
                    ..options.clone()
                };
                if options.prompt.is_none() && script_of(&known).is_some() {
                    return self.prompt(chunks, &known, cancel); // the example goes before what was read
                }
                let header = self.header(language, options)?;
                logits = self
                    .decoder
                    .extend(&mut cache, &header, cancel)?
                    .unwrap_or(logits);
                tokens.extend(header);
                language
            }
        };
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

    /// Languages by probability, averaged over the rows, from the logits after the start token.
    fn spoken(&self, logits: &Logits, rows: usize) -> Result<Vec<(Language, f32)>, Error> {
        let mut sums = vec![0f32; self.tokens.languages.len()];
        for row in 0..rows {
            let logits = logits.last(row)?;
            let of = |token: u32| {
                logits
                    .get(token as usize)
                    .copied()
                    .unwrap_or(f32::NEG_INFINITY)
            };
            let own: Vec<f32> = self
                .tokens
                .languages
                .iter()
                .map(|&(_, token)| of(token))
                .collect();
            let total = logits::log_sum_exp(&own);
            sums.iter_mut()
                .zip(&own)
                .for_each(|(sum, x)| *sum += (x - total).exp() / rows as f32);
        }
        let mut ranked: Vec<_> = self
            .tokens
            .languages
            .iter()
            .map(|(l, _)| *l)
            .zip(sums)
            .collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(ranked)
    }

    /// The texts of a batch by the search that the options ask for.
    fn search(
        &mut self,
        prompted: &Prompted,
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Attempt>, Error> {
        let temperature = options.temperature.unwrap_or(0.0);
        let beams = options.beam_size.unwrap_or(prompted.beams);
        let rows = 0..prompted.cache.rows;
        if temperature > 0.0 || beams > 1 && !self.decoder.is_extended() {
            return rows
                .map(|row| self.search_one(prompted, row, temperature, beams, cancel))
                .collect();
        }
        let (cache, first) = (prompted.cache.clone(), prompted.first.clone());
        let mut search = Search {
            decoder: &mut self.decoder,
            rules: &prompted.rules,
            cancel,
        };
        let found = match beams {
            0 | 1 => search.greedy(cache, first)?,
            _ => search.beam(cache, first, beams)?,
        };
        let judged = found.into_iter().zip(&prompted.no_speech);
        Ok(judged
            .map(|(h, no_speech)| self.judge(h, *no_speech))
            .collect())
    }

    /// The text of one chunk: sampled above temperature 0, else by beam search.
    fn search_one(
        &mut self,
        prompted: &Prompted,
        row: usize,
        temperature: f32,
        beams: usize,
        cancel: &Cancel,
    ) -> Result<Attempt, Error> {
        let mut cache = prompted.cache.clone();
        if cache.rows > 1 {
            self.decoder.select(&mut cache, &[row], false)?;
        }
        let first = prompted.first.starting_at(row);
        let mut search = Search {
            decoder: &mut self.decoder,
            rules: &prompted.rules,
            cancel,
        };
        let found = match temperature > 0.0 {
            true => search.sample(cache, first, temperature, DRAWS)?,
            false => search.beam(cache, first, beams)?.pop().unwrap_or_default(),
        };
        Ok(self.judge(found, prompted.no_speech[row]))
    }

    /// Finds the text of a chunk that failed again, at rising temperatures, until it is credible.
    fn retry(
        &mut self,
        prompted: &Prompted,
        row: usize,
        failed: Attempt,
        cancel: &Cancel,
    ) -> Result<Attempt, Error> {
        let mut best = failed;
        for temperature in TEMPERATURES {
            let attempt = self.search_one(prompted, row, temperature, 1, cancel)?;
            let credible = !attempt.evidence.wants_retry();
            if credible || attempt.is_better_than(&best) {
                best = attempt;
            }
            if credible {
                break;
            }
        }
        Ok(best)
    }

    fn judge(&self, hypothesis: Hypothesis, no_speech: f32) -> Attempt {
        let text: Vec<u32> = hypothesis
            .tokens
            .iter()
            .copied()
            .filter(|&t| t < self.tokens.end)
            .collect();
        let text = self.tokenizer.decode(&text);
        let evidence = Evidence {
            log_prob: hypothesis.mean_log_prob(),
            compression: guard::compression_ratio(text.trim()),
            no_speech,
            looped: hypothesis.looped,
        };
        Attempt {
            hypothesis,
            evidence,
            text,
        }
    }

    /// Times of the tokens of a batch, by the attention of the alignment heads while the texts are read once more.
    fn align(
        &mut self,
        prompted: &Prompted,
        chunks: &[Chunk],
        attempts: &[Attempt],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<Token>>, Error> {
        let header = prompted.header.len();
        let steps = header
            + attempts
                .iter()
                .map(|a| a.hypothesis.tokens.len())
                .max()
                .unwrap_or(0);
        let mut tokens = Vec::with_capacity(steps * attempts.len());
        for (row, attempt) in attempts.iter().enumerate() {
            tokens.extend(prompted.header.iter().chain(&attempt.hypothesis.tokens));
            tokens.resize((row + 1) * steps, self.tokens.end);
        }
        let Some(block) = self.decoder.alignments(&prompted.cache, &tokens, cancel)? else {
            return Ok(attempts
                .iter()
                .zip(chunks)
                .map(|(a, c)| self.written_times(a, c))
                .collect());
        };
        let (shape, data) = block.try_extract_tensor::<f32>()?;
        let stride = shape.last().map_or(0, |&n| n as usize);
        let size = (data.len() / attempts.len().max(1)).max(1);
        let rows = data.chunks(size).zip(attempts).zip(chunks);
        Ok(rows
            .map(|((block, attempt), chunk)| {
                let made = header - 1..header + attempt.hypothesis.tokens.len();
                let starts = Attention::new(block, steps, stride, made, frames(chunk)).starts();
                timed(attempt, &starts, chunk.seconds())
            })
            .collect())
    }

    /// Times of text tokens from the time tokens around them, in proportion to their length.
    fn written_times(&self, attempt: &Attempt, chunk: &Chunk) -> Vec<Token> {
        let first = self.tokens.no_timestamps + 1;
        let (mut timed, mut open, mut begin) = (Vec::new(), Vec::new(), 0.0);
        for (&id, &log_prob) in attempt
            .hypothesis
            .tokens
            .iter()
            .zip(&attempt.hypothesis.log_probs)
        {
            if id >= first {
                let time = ((id - first) as f32 * FRAME_S).min(chunk.seconds());
                words::interpolate(&mut open, begin, time, &self.tokenizer);
                timed.append(&mut open);
                begin = time;
            } else if id < self.tokens.end {
                open.push(Token {
                    id,
                    log_prob,
                    start: 0.0,
                    end: 0.0,
                });
            }
        }
        words::interpolate(&mut open, begin, chunk.seconds(), &self.tokenizer);
        timed.append(&mut open);
        timed
    }
}

/// The example of the language's script, where the language is known and is what will be written.
fn script_of(options: &Options) -> Option<&'static str> {
    let written = options
        .language
        .filter(|_| options.task == Task::Transcribe);
    written.and_then(Language::example)
}

/// Encoder frames of a chunk's audio.
fn frames(chunk: &Chunk) -> usize {
    chunk.samples.len().div_ceil(2 * HOP).min(MAX_FRAMES)
}

/// Tokens with the frames at which they begin; the last start is the end of the text.
fn timed(attempt: &Attempt, starts: &[usize], seconds: f32) -> Vec<Token> {
    let time = |i: usize| {
        starts
            .get(i)
            .map_or(seconds, |&frame| (frame as f32 * FRAME_S).min(seconds))
    };
    let tokens = attempt
        .hypothesis
        .tokens
        .iter()
        .zip(&attempt.hypothesis.log_probs)
        .enumerate();
    tokens
        .map(|(i, (&id, &log_prob))| Token {
            id,
            log_prob,
            start: time(i),
            end: time(i + 1),
        })
        .collect()
}

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
