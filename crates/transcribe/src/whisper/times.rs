//! When tokens were said: by the attention of alignment heads, or by the time tokens that the model writes.

use onnx::Cancel;

use super::attempt::Attempt;
use super::network::{Whisper, frames};
use super::prompt::Prompted;
use crate::Error;
use crate::align::{Attention, Place};
use crate::pack::Chunk;
use crate::words::{self, Token};

/// Seconds per encoder frame: two feature frames.
const FRAME_S: f32 = 0.02;

impl Whisper {
    /// Times of the tokens of a batch, by the attention of the alignment heads while the texts are read once more.
    pub(super) fn align(
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
                let places = Attention::new(block, steps, stride, made, frames(chunk)).places();
                timed(attempt, &places, chunk.seconds())
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
                    peak: 0.0,
                });
            }
        }
        words::interpolate(&mut open, begin, chunk.seconds(), &self.tokenizer);
        timed.append(&mut open);
        timed
    }
}

/// Tokens with the frames at which they begin; the last start is the end of the text.
fn timed(attempt: &Attempt, places: &[Place], seconds: f32) -> Vec<Token> {
    let at = |frame: usize| (frame as f32 * FRAME_S).min(seconds);
    let time = |i: usize| places.get(i).map_or(seconds, |place| at(place.start));
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
            peak: places.get(i).map_or(seconds, |place| at(place.peak)),
        })
        .collect()
}
