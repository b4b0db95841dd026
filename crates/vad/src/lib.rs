//! Voice activity detection: samples in, which parts of them are speech out.
//!
//! [`Vad::probabilities`] runs the network over mono samples at 16 kHz, `spans` makes stretches of speech of what it says; all in this
//! file.
//!
//! The network is silero VAD v6 (snakers4/silero-vad) in its sequence export `silero_vad_16k_sequence.onnx`: the same
//! weights and numbers as the streaming export, with the recurrence inside the graph, so that one run takes many
//! windows. Spans follow that project's `get_speech_timestamps`.

use std::path::Path;

use onnx::{Cancel, Error, Runtime, Session, SessionOptions};
use ort::value::TensorRef;

/// Samples per probability (32 ms).
pub const WINDOW: usize = 512;
/// Milliseconds per probability.
pub const WINDOW_MS: u64 = 32;
/// Samples before each window that the network sees again.
const CONTEXT: usize = 64;
const STATE: usize = 128;
/// Windows per run: 8 s of audio, some 20 ms of work, which bounds memory and the delay of a cancel.
const BATCH: usize = 256;

/// A stretch of time, milliseconds from the start of the audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start_ms: u64,
    /// Where it ends (exclusive).
    pub end_ms: u64,
}

/// How probabilities become spans. The defaults are silero's, with longer pauses.
#[derive(Clone, Debug, PartialEq)]
pub struct VadOptions {
    /// Speech begins at this probability.
    pub threshold: f32,
    /// Speech ends below this probability.
    pub end_threshold: f32,
    /// Shorter stretches of speech are dropped.
    pub min_speech_ms: u64,
    /// Shorter pauses do not end a span.
    pub min_silence_ms: u64,
    /// Added on both sides of a span, at most half of the pause between two.
    pub pad_ms: u64,
}

impl Default for VadOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            end_threshold: 0.35,
            min_speech_ms: 250,
            min_silence_ms: 160,
            pad_ms: 30,
        }
    }
}

/// The network and the state of one recording.
pub struct Vad {
    session: Session,
    hidden: Vec<f32>,
    cell: Vec<f32>,
    context: [f32; CONTEXT],
}

impl Vad {
    /// Opens the network.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or is not the sequence export.
    pub fn open(runtime: &Runtime, model: &Path, options: &SessionOptions) -> Result<Self, Error> {
        let session = Session::open(runtime, model, options)?;
        let names: Vec<&str> = session.inputs().iter().map(|i| i.name()).collect();
        if names != ["input", "h", "c"] {
            let reason = format!(
                "inputs {names:?} are not those of silero VAD's sequence export: [input, h, c]"
            );
            return Err(Error::Model {
                path: model.into(),
                reason,
            });
        }
        Ok(Self {
            session,
            hidden: vec![0.0; STATE],
            cell: vec![0.0; STATE],
            context: [0.0; CONTEXT],
        })
    }

    /// Forgets what was heard, before another recording.
    pub fn reset(&mut self) {
        self.hidden.fill(0.0);
        self.cell.fill(0.0);
        self.context.fill(0.0);
    }

    /// Speech probability of each window of 512 samples, continuing from the last call. An incomplete window at the
    /// end is filled with silence, so all parts of a stream but the last hold a multiple of [`WINDOW`] samples.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Inference`].
    pub fn probabilities(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        let mut probabilities = Vec::with_capacity(samples.len().div_ceil(WINDOW));
        for part in samples.chunks(BATCH * WINDOW) {
            let windows = self.windows(part);
            self.run(&windows, &mut probabilities, cancel)?;
        }
        Ok(probabilities)
    }

    /// `[windows, CONTEXT + WINDOW]`, each row with the end of the one before.
    fn windows(&mut self, samples: &[f32]) -> Vec<f32> {
        let mut rows = Vec::with_capacity(samples.len().div_ceil(WINDOW) * (CONTEXT + WINDOW));
        for window in samples.chunks(WINDOW) {
            rows.extend_from_slice(&self.context);
            rows.extend_from_slice(window);
            rows.extend(std::iter::repeat_n(0.0, WINDOW - window.len()));
            self.context.copy_from_slice(&rows[rows.len() - CONTEXT..]);
        }
        rows
    }

    fn run(
        &mut self,
        rows: &[f32],
        probabilities: &mut Vec<f32>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let count = rows.len() / (CONTEXT + WINDOW);
        let inputs = ort::inputs![
            "input" => TensorRef::from_array_view(([count, CONTEXT + WINDOW], rows))?,
            "h" => TensorRef::from_array_view(([1, 1, STATE], self.hidden.as_slice()))?,
            "c" => TensorRef::from_array_view(([1, 1, STATE], self.cell.as_slice()))?,
        ];
        let outputs = self.session.run(inputs, cancel)?;
        let output = |i: usize| {
            outputs[i]
                .try_extract_tensor::<f32>()
                .map(|(_, values)| values)
        };
        let (speech, hidden, cell) = (output(0)?, output(1)?.to_vec(), output(2)?.to_vec());
        if (speech.len(), hidden.len(), cell.len()) != (count, STATE, STATE) {
            return Err(Error::Inference(
                "the VAD model returned tensors of unexpected sizes".into(),
            ));
        }
        probabilities.extend_from_slice(speech);
        drop(outputs);
        (self.hidden, self.cell) = (hidden, cell);
        Ok(())
    }
}

/// Turns probabilities (one per [`WINDOW`]) into spans of speech, in order and apart.
///
/// The last span may end up to one window after the audio does: windows are whole.
pub fn spans(probabilities: &[f32], options: &VadOptions) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let mut keep = |start: usize, end: usize| {
        let span = Span {
            start_ms: start as u64 * WINDOW_MS,
            end_ms: end as u64 * WINDOW_MS,
        };
        if span.end_ms - span.start_ms >= options.min_speech_ms.max(1) {
            found.push(span);
        }
    };
    let mut speech: Option<usize> = None; // where it began
    let mut pause: Option<usize> = None; // where it may have ended
    for (i, &p) in probabilities.iter().enumerate() {
        if p >= options.threshold {
            speech.get_or_insert(i);
            pause = None;
        }
        let Some(start) = speech else { continue };
        if p < options.end_threshold.min(options.threshold) {
            let end = *pause.get_or_insert(i);
            if (i - end) as u64 * WINDOW_MS >= options.min_silence_ms {
                keep(start, end);
                (speech, pause) = (None, None);
            }
        }
    }
    if let Some(start) = speech {
        keep(start, probabilities.len());
    }
    pad(
        &mut found,
        probabilities.len() as u64 * WINDOW_MS,
        options.pad_ms,
    );
    found
}

fn pad(spans: &mut [Span], end_ms: u64, pad_ms: u64) {
    let mut before = 0; // the last span's end before and after it was padded share the pause's middle
    for i in 0..spans.len() {
        let next = spans.get(i + 1).map(|s| s.start_ms);
        let after = match next {
            Some(next) => (next - spans[i].end_ms) / 2,
            None => end_ms.saturating_sub(spans[i].end_ms),
        };
        let first = if i == 0 { spans[i].start_ms } else { before };
        before = next.map_or(0, |next| next - spans[i].end_ms - after);
        spans[i].start_ms -= first.min(pad_ms);
        spans[i].end_ms += after.min(pad_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> VadOptions {
        VadOptions {
            min_speech_ms: 64,
            min_silence_ms: 96,
            pad_ms: 0,
            ..VadOptions::default()
        }
    }

    fn pairs(probabilities: &[f32], options: &VadOptions) -> Vec<(u64, u64)> {
        spans(probabilities, options)
            .iter()
            .map(|s| (s.start_ms, s.end_ms))
            .collect()
    }

    #[test]
    fn nothing_and_silence_have_no_spans() {
        assert!(spans(&[], &plain()).is_empty());
        assert!(spans(&[0.1; 50], &VadOptions::default()).is_empty());
    }

    #[test]
    fn a_short_pause_does_not_end_a_span_and_a_long_one_does() {
        let mut p = vec![0.9; 4];
        p.extend([0.1; 2]);
        p.extend([0.9; 4]);
        assert_eq!(pairs(&p, &plain()), [(0, 320)]);
        p.splice(4..6, [0.1; 4]);
        assert_eq!(pairs(&p, &plain()), [(0, 128), (256, 384)]);
    }

    #[test]
    fn between_the_thresholds_speech_goes_on_but_does_not_begin() {
        assert_eq!(
            pairs(
                &[0.4, 0.9, 0.4, 0.4, 0.4, 0.4, 0.4, 0.1, 0.1, 0.1, 0.1],
                &plain()
            ),
            [(32, 224)]
        );
    }

    #[test]
    fn a_click_is_no_speech() {
        assert!(pairs(&[0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1], &plain()).is_empty());
    }

    #[test]
    fn padding_never_overlaps_nor_leaves_the_audio() {
        let mut p = vec![0.9; 4];
        p.extend([0.1; 5]);
        p.extend([0.9; 4]);
        let wide = VadOptions {
            pad_ms: 400,
            ..plain()
        };
        assert_eq!(pairs(&p, &wide), [(0, 208), (208, 416)]);
    }
}
