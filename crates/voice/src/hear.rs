//! Where the voice is in a recording.
//!
//! What is no speech moves a voiceprint a lot: 54 s of faint noise behind 6 s of speech leave a cosine of 0.42 to the
//! speech alone. So a voiceprint is made of the speech that the VAD finds, with a little around it; and of everything where
//! nearly all is speech, which is what reference values are of.

use std::ops::Range;

use audio::recording::{Buffer, Recording};
use onnx::Cancel;
use vad::{Vad, VadOptions, WINDOW};

use crate::Error;
use crate::score::{Assessor, Quality};

/// Samples that are read at once, whole windows of the VAD: 8 s.
const READ: usize = 256 * WINDOW;
/// Share of a recording from which on speech is taken for all of it.
const NEARLY_ALL: f64 = 0.8;
/// Less speech than this, samples, makes no voiceprint; all of the recording may.
const LEAST: usize = audio::SAMPLE_RATE as usize / 2;
/// How speech is cut: generously, since pauses are part of how a voice is recorded.
const CUT: VadOptions = VadOptions {
    threshold: 0.5,
    end_threshold: 0.35,
    min_speech_ms: 250,
    min_silence_ms: 700,
    pad_ms: 200,
};

/// A recording that was listened to once.
pub struct Heard {
    /// Its length, samples.
    pub samples: usize,
    /// What is in it.
    pub quality: Quality,
    /// Probability of speech of each window of 512 samples.
    pub speech: Vec<f32>,
}

/// Listens to a recording, in memory that hardly grows with it.
///
/// # Errors
/// [`Error::Onnx`], and those of reading.
pub fn hear(recording: &mut dyn Recording, vad: &mut Vad, cancel: &Cancel) -> Result<Heard, Error> {
    vad.reset();
    let mut buffer = Buffer::open(recording)?;
    let (mut samples, mut speech, mut assessor) = (0, Vec::new(), Assessor::new());
    loop {
        let part = buffer.range(samples, samples + READ, cancel.flag())?;
        if part.is_empty() {
            break;
        }
        let probabilities = vad.probabilities(part, cancel)?;
        assessor.push(part, &probabilities);
        speech.extend(probabilities);
        samples += part.len();
    }
    Ok(Heard {
        samples,
        quality: assessor.finish(),
        speech,
    })
}

impl Heard {
    /// The ranges of samples to make a voiceprint of, in order and apart: speech, or everything where nearly all of it is
    /// speech or hardly any.
    pub fn voice(&self) -> Vec<Range<usize>> {
        let at = |ms: u64| (ms as usize * (audio::SAMPLE_RATE as usize / 1000)).min(self.samples);
        let parts: Vec<Range<usize>> = vad::spans(&self.speech, &CUT)
            .iter()
            .map(|span| at(span.start_ms)..at(span.end_ms))
            .collect();
        let speech: usize = parts.iter().map(Range::len).sum();
        if speech < LEAST || speech as f64 >= NEARLY_ALL * self.samples as f64 {
            return std::iter::once(0..self.samples).collect();
        }
        parts
    }
}
