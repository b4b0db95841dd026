//! The speech of a recording, window after window, in chunks.

use audio::Reader;
use onnx::Cancel;
use vad::{Span, Vad, VadOptions};

use crate::Error;
use crate::pack::{self, Chunk};

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
/// Samples that are read at once; a multiple of the VAD's window.
const BLOCK: usize = 256 * vad::WINDOW;
/// Samples at the end of a window that are looked at again with the next: a word may just begin there.
const OVERLAP: usize = audio::SAMPLE_RATE as usize;
/// Where first words are wanted soon: the first window, and its longest chunk, ms. Both double from round to round.
const FIRST_WINDOW: usize = 2 * BLOCK;
const FIRST_CHUNK_MS: u64 = 10_000;

/// Finds speech in a stream and packs it into chunks.
pub struct SpeechStream {
    reader: Reader<'static>,
    /// Samples of the window; the first has the number `origin`, a multiple of the VAD's window.
    samples: Vec<f32>,
    origin: u64,
    /// Speech probabilities of the window.
    probabilities: Vec<f32>,
    /// Samples that are looked at together.
    window: usize,
    /// Longest chunk, ms, where the model takes longer ones.
    longest_ms: u64,
    ended: bool,
    started: bool,
}

impl SpeechStream {
    pub fn new(reader: Reader<'static>) -> Self {
        SpeechStream {
            reader,
            samples: Vec::new(),
            origin: 0,
            probabilities: Vec::new(),
            window: WINDOW,
            longest_ms: u64::MAX,
            ended: false,
            started: false,
        }
    }

    /// Windows and chunks begin short and double until they are as long as usual.
    pub fn begin_short(&mut self) {
        (self.window, self.longest_ms) = (FIRST_WINDOW, FIRST_CHUNK_MS);
    }

    /// Whether the next window is shorter than usual.
    pub fn is_short(&self) -> bool {
        self.window < WINDOW
    }

    /// What the recording is.
    pub fn info(&self) -> &audio::Info {
        self.reader.info()
    }

    /// How much has been read, ms.
    pub fn read_ms(&self) -> u64 {
        (self.origin + self.samples.len() as u64) / 16
    }

    /// The chunks of the next window that has any; `None` at the end.
    pub fn next_chunks(
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
                self.longest_ms = self.longest_ms.saturating_mul(2);
                return Ok(Some(chunks));
            }
        }
        Ok(None)
    }

    /// Reads until the window is full or the recording ends.
    fn fill(&mut self, vad: &mut Vad, cancel: &Cancel) -> Result<(), Error> {
        while self.samples.len() < self.window && !self.ended {
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
        let longest_ms = if self.ended {
            u64::MAX
        } else {
            self.longest_ms
        };
        let mut plans = pack::plan(&spans, max_ms.min(longest_ms), quietest);
        let held_ms = if self.ended {
            None
        } else {
            let short = self.is_short().then_some(longest_ms);
            hold_back(&mut plans, self.read_ms(), short)
        };
        // Silence and what has just begun leave room for more.
        let held = held_ms.map_or(0, |ms| (self.read_ms().saturating_sub(ms) * 16) as usize);
        if !plans.is_empty() || 2 * held >= self.window {
            self.window = (2 * self.window).min(WINDOW);
        }
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
/// full, or if it is the only one, its last stretch if that still goes on at the end of the window. A short window gives so
/// much speech at most, ms, and only chunks that are ended as they would be in a long one.
fn hold_back(plans: &mut Vec<Vec<Span>>, end_ms: u64, short: Option<u64>) -> Option<u64> {
    if let Some(most_ms) = short {
        // What is said now may be heard a little later.
        let sure_ms = end_ms.saturating_sub(VAD.pad_ms + VAD.min_speech_ms);
        let open = plans.pop_if(|last| !pack::is_ended(last, sure_ms));
        let mut total_ms = 0;
        let within = plans.iter().take_while(|plan| {
            total_ms += pack::length(plan);
            total_ms <= most_ms
        });
        let left = plans.split_off(within.count().clamp(plans.len().min(1), plans.len()));
        let held = left.into_iter().chain(open).next();
        return held.and_then(|plan| plan.first().map(|s| s.start_ms));
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    const RATE: usize = audio::SAMPLE_RATE as usize;

    /// Chunks of a recording, round by round, with how much had been read for each, ms.
    fn rounds(samples: &[f32], short: bool) -> Vec<(u64, Vec<Chunk>)> {
        let wav = audio::wav::write(samples, audio::SAMPLE_RATE);
        let input = audio::Input::Bytes(Arc::from(wav));
        let reader = Reader::open(&input, &audio::Selection::default()).unwrap();
        let mut vad = testing::open("silero_vad_16k_sequence.onnx", Vad::open);
        let mut stream = SpeechStream::new(reader);
        if short {
            stream.begin_short();
        }
        let mut all = Vec::new();
        while let Some(chunks) = stream
            .next_chunks(30_000, &mut vad, &Cancel::new())
            .unwrap()
        {
            all.push((stream.read_ms(), chunks));
        }
        all
    }

    /// Times of speech in chunks, steps of 10 ms.
    fn speech(rounds: &[(u64, Vec<Chunk>)]) -> BTreeSet<u64> {
        let chunks = rounds.iter().flat_map(|(_, chunks)| chunks);
        let steps = chunks.flat_map(|chunk| {
            let spoken = (0..chunk.speech.len()).filter(|&i| chunk.speech[i]);
            spoken.map(|i| (chunk.recording_ms(i as f32 / 100.0, false) + 5) / 10)
        });
        steps.collect()
    }

    fn longest_ms(chunks: &[Chunk]) -> u64 {
        let all = chunks.iter().map(|c| (c.seconds() * 1_000.0) as u64);
        all.max().unwrap_or(0)
    }

    #[test]
    fn short_rounds_grow_and_lose_nothing() {
        let clip = testing::clip("conversation.wav");
        let mut samples = vec![0.0; 40 * RATE];
        for seconds in [0, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 0, 0] {
            samples.extend_from_slice(&clip);
            samples.extend(vec![0.0; seconds * RATE]);
        }
        let (usual, short) = (rounds(&samples, false), rounds(&samples, true));
        let (first_ms, first) = &short[0];
        assert!(*first_ms <= 40_000 + 40_000, "{first_ms} ms were read");
        assert!(usual[0].0 >= 100_000, "{} ms were read", usual[0].0);
        assert!(longest_ms(first) <= 10_500 && longest_ms(&short[1].1) <= 20_500);
        assert!(longest_ms(&short.last().unwrap().1) > 20_500);
        let (a, b) = (speech(&usual), speech(&short));
        let missing = a.difference(&b).count();
        assert!(
            !a.is_empty() && missing * 1_000 < a.len(),
            "{missing} of {}",
            a.len()
        );
    }

    #[test]
    fn a_recording_shorter_than_the_first_round_is_cut_as_usual() {
        let clip = testing::clip("conversation.wav");
        for seconds in [1, 9, 16] {
            let samples = &clip[clip.len() - seconds * RATE..];
            let pieces = |short: bool| {
                let rounds = rounds(samples, short);
                let chunks = rounds.into_iter().flat_map(|(_, chunks)| chunks);
                chunks.map(|c| c.pieces).collect::<Vec<_>>()
            };
            assert_eq!(pieces(true), pieces(false), "{seconds} s");
            assert!(!pieces(true).is_empty());
        }
    }
}
