//! How much each frame sounds like each speaker.

use crate::clustering::{Speakers, dot};
use crate::windows::Window;

/// Similarity at which a voice is as well nobody's.
const NOBODY: f32 = 0.2;
/// How fast probabilities follow differences of similarity.
const TEMPERATURE: f32 = 0.1;
/// A window's weight at its edges, where its neighbours know better.
const EDGE: f32 = 0.02;

/// Similarity of each frame to each speaker: the mean over the windows that hold it, those it is in the middle of
/// counting most.
pub struct Evidence {
    speakers: usize,
    /// `[frames, speakers]`.
    similarity: Vec<f32>,
    heard: Vec<bool>,
}

impl Evidence {
    /// The evidence of windows and their normalised embeddings.
    pub fn new(
        frames: usize,
        windows: &[Window],
        voices: &[Vec<f32>],
        speakers: &Speakers,
    ) -> Self {
        let count = speakers.centres.len();
        let mut similarity = vec![0f32; frames * count];
        let mut weights = vec![0f32; frames];
        for (window, voice) in windows.iter().zip(voices) {
            let scores: Vec<f32> = speakers.centres.iter().map(|c| dot(c, voice)).collect();
            let range = window.frames(frames);
            let half = range.len() as f32 / 2.0;
            for (i, frame) in range.enumerate() {
                let off_centre = (i as f32 + 0.5 - half).abs() / half;
                let weight = (1.0 - off_centre).max(EDGE);
                weights[frame] += weight;
                let row = &mut similarity[frame * count..][..count];
                row.iter_mut()
                    .zip(&scores)
                    .for_each(|(sum, s)| *sum += weight * s);
            }
        }
        for (row, weight) in similarity.chunks_exact_mut(count.max(1)).zip(&weights) {
            row.iter_mut()
                .for_each(|s| *s /= weight.max(f32::MIN_POSITIVE));
        }
        Evidence {
            speakers: count,
            similarity,
            heard: weights.iter().map(|w| *w > 0.0).collect(),
        }
    }

    /// How many speakers there are.
    pub fn speakers(&self) -> usize {
        self.speakers
    }

    /// Similarity to each speaker, `None` in frames that no window holds.
    pub fn of(&self, frame: usize) -> Option<&[f32]> {
        self.heard[frame].then(|| &self.similarity[frame * self.speakers..][..self.speakers])
    }

    /// The probability that `speaker` is who a frame sounds like, against the others and nobody.
    pub fn probability(&self, frame: usize, speaker: usize) -> Option<f32> {
        let weight = |s: f32| ((s - NOBODY) / TEMPERATURE).exp();
        let row = self.of(frame)?;
        let all: f32 = row.iter().map(|s| weight(*s)).sum::<f32>() + 1.0;
        Some(weight(row[speaker]) / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Vec<Window>, Vec<Vec<f32>>, Speakers) {
        let windows = vec![
            Window {
                start: 0,
                samples: 24_000,
            },
            Window {
                start: 24_000,
                samples: 24_000,
            },
        ];
        let voices = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        (
            windows,
            voices.clone(),
            Speakers {
                of_window: vec![0, 1],
                centres: voices,
            },
        )
    }

    #[test]
    fn frames_sound_like_the_speaker_of_their_window() {
        let (windows, voices, speakers) = two();
        let evidence = Evidence::new(300, &windows, &voices, &speakers);
        assert_eq!(evidence.of(40), Some(&[1.0, 0.0][..]));
        assert_eq!(evidence.of(130), Some(&[0.0, 1.0][..]));
        assert_eq!(evidence.of(250), None);
        assert!(evidence.probability(40, 0).unwrap() > 0.99);
        assert!(evidence.probability(40, 1).unwrap() < 0.01);
    }
}
