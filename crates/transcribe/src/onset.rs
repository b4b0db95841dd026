//! Word times moved to where speech begins and ends.
//!
//! Attention says which frames a word is heard in, to some tens of milliseconds, and gives the pauses around a word to
//! one of its neighbours. Where there is a pause, voice activity knows better.

use crate::pack::STEP;
use crate::words::ChunkWord;

/// Steps in a second.
const PER_SECOND: f32 = audio::SAMPLE_RATE as f32 / STEP as f32;
/// How far before the time that attention gives a word may have begun, steps.
const REACH: usize = 20;

/// Moves words out of pauses, and back to the speech that they begin; `speech`: a chunk's.
pub fn refine(words: &mut [ChunkWord], speech: &[bool]) {
    let Some(last_step) = speech.len().checked_sub(1) else {
        return;
    };
    let step = |seconds: f32| ((seconds * PER_SECOND).round() as usize).min(last_step);
    let mut free_from = 0; // where the word before ends
    for word in words {
        let (start, end) = (step(word.start), step(word.end));
        let onset = if speech[start] {
            back(speech, start, free_from)
        } else {
            forward(speech, start, end)
        };
        let last = (onset..end).rev().find(|&i| speech[i]).unwrap_or(end);
        word.start = onset as f32 / PER_SECOND;
        word.end = ((last + 1).min(end.max(onset)) as f32 / PER_SECOND).max(word.start);
        free_from = (last + 1).min(end.max(onset));
    }
}

/// The beginning of the speech at `start`, if a pause before it is near and not before `free_from`.
fn back(speech: &[bool], start: usize, free_from: usize) -> usize {
    let earliest = start.saturating_sub(REACH).max(free_from);
    let onset = (earliest..start).rev().find(|&i| !speech[i]).map(|i| i + 1);
    onset.unwrap_or(start)
}

/// The next speech before `end`.
fn forward(speech: &[bool], start: usize, end: usize) -> usize {
    (start..end).find(|&i| speech[i]).unwrap_or(start)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // stretches, one of them
mod tests {
    use super::*;
    use std::ops::Range;

    fn speech(steps: usize, stretches: &[Range<usize>]) -> Vec<bool> {
        (0..steps)
            .map(|i| stretches.iter().any(|s| s.contains(&i)))
            .collect()
    }

    fn word(start: f32, end: f32) -> ChunkWord {
        ChunkWord {
            text: " w".into(),
            start,
            end,
            log_prob: 0.0,
            tokens: 1,
        }
    }

    fn times(words: &[ChunkWord]) -> Vec<(f32, f32)> {
        words.iter().map(|w| (w.start, w.end)).collect()
    }

    #[test]
    fn words_leave_the_pauses_around_them() {
        let mut words = vec![word(0.0, 1.2), word(1.2, 3.0)];
        refine(&mut words, &speech(300, &[30..100, 150..250]));
        assert_eq!(times(&words), [(0.3, 1.0), (1.5, 2.5)]);
    }

    #[test]
    fn a_word_goes_back_to_the_speech_it_begins_but_not_into_its_neighbour() {
        let mut words = vec![word(0.4, 1.0), word(1.6, 2.5)];
        refine(&mut words, &speech(300, &[30..100, 150..250]));
        assert_eq!(times(&words), [(0.3, 1.0), (1.5, 2.5)]);
        let mut words = vec![word(0.3, 0.6), word(0.6, 1.0)];
        refine(&mut words, &speech(300, &[30..100]));
        assert_eq!(times(&words), [(0.3, 0.6), (0.6, 1.0)]);
    }

    #[test]
    fn without_pauses_or_speech_times_stay_as_they_are() {
        for speech in [speech(100, &[0..100]), speech(100, &[]), Vec::new()] {
            let mut words = vec![word(0.1, 0.9)];
            refine(&mut words, &speech);
            assert_eq!(times(&words), [(0.1, 0.9)]);
        }
    }
}
