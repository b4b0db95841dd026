//! Word times moved to where sound begins and ends.
//!
//! Attention says which frames a word is heard in, to some tens of milliseconds, and gives the pauses around a word to
//! one of its neighbours. Where there is a pause, the level of the sound knows better.

use super::words::ChunkWord;

/// Samples of a level: 10 ms.
const STEP: usize = 160;
/// Steps in a second.
const PER_SECOND: f32 = 100.0;
/// Shorter dips inside speech are no pauses: stops in consonants take up to so long, steps.
const MIN_PAUSE: usize = 8;
/// Shorter sounds inside pauses are no speech, steps.
const MIN_SOUND: usize = 3;
/// How far before the time that attention gives a word may have begun, steps.
const REACH: usize = 20;
/// Speech is at least so much louder than the rest, dB; below, levels tell nothing.
const MIN_CONTRAST: f32 = 12.0;
/// What is quieter than speech by this much is as good as silent, dB: digital silence is no measure of noise.
const MAX_CONTRAST: f32 = 50.0;
/// Sound begins this part of the way from the quiet to the loud level, dB.
const RISE: f32 = 0.3;

/// Which 10 ms of a chunk are sound; `None` where speech does not stand out from the noise.
fn sound(samples: &[f32]) -> Option<Vec<bool>> {
    let level =
        |s: &[f32]| 10.0 * (s.iter().map(|x| x * x).sum::<f32>() / s.len() as f32 + 1e-10).log10();
    let levels: Vec<f32> = samples.chunks(STEP).map(level).collect();
    let mut sorted = levels.clone();
    sorted.sort_by(f32::total_cmp);
    let (quiet, loud) = (
        *sorted.get(sorted.len() / 10)?,
        *sorted.get(sorted.len() * 4 / 5)?,
    );
    if loud - quiet < MIN_CONTRAST {
        return None;
    }
    let quiet = quiet.max(loud - MAX_CONTRAST);
    let threshold = quiet + RISE * (loud - quiet);
    let mut sound: Vec<bool> = levels.iter().map(|l| *l > threshold).collect();
    flip_short_runs(&mut sound, true, MIN_SOUND);
    flip_short_runs(&mut sound, false, MIN_PAUSE);
    Some(sound)
}

fn flip_short_runs(flags: &mut [bool], value: bool, shorter_than: usize) {
    for run in flags.chunk_by_mut(|a, b| a == b) {
        if run[0] == value && run.len() < shorter_than {
            run.fill(!value);
        }
    }
}

/// Moves words out of pauses, and back to the sound that they begin with.
pub fn refine(words: &mut [ChunkWord], samples: &[f32]) {
    let Some(sound) = sound(samples) else { return };
    let step =
        |seconds: f32| ((seconds * PER_SECOND).round() as usize).min(sound.len().saturating_sub(1));
    let mut free_from = 0; // where the word before ends
    for word in words {
        let (start, end) = (step(word.start), step(word.end));
        let onset = if sound[start] {
            back(&sound, start, free_from)
        } else {
            forward(&sound, start, end)
        };
        let last = (onset..end).rev().find(|&i| sound[i]).unwrap_or(end);
        word.start = onset as f32 / PER_SECOND;
        word.end = ((last + 1).min(end.max(onset)) as f32 / PER_SECOND).max(word.start);
        free_from = (last + 1).min(end.max(onset));
    }
}

/// The beginning of the sound at `start`, if a pause before it is near and not before `free_from`.
fn back(sound: &[bool], start: usize, free_from: usize) -> usize {
    let earliest = start.saturating_sub(REACH).max(free_from);
    let onset = (earliest..start).rev().find(|&i| !sound[i]).map(|i| i + 1);
    onset.unwrap_or(start)
}

/// The next sound before `end`.
fn forward(sound: &[bool], start: usize, end: usize) -> usize {
    (start..end).find(|&i| sound[i]).unwrap_or(start)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // stretches, one of them
mod tests {
    use super::*;

    /// Loud where `bursts` (10 ms steps) say, quiet elsewhere.
    fn samples(steps: usize, bursts: &[std::ops::Range<usize>]) -> Vec<f32> {
        let loud = |i: usize| bursts.iter().any(|b| b.contains(&(i / STEP)));
        (0..steps * STEP)
            .map(|i| (i as f32 * 0.3).sin() * if loud(i) { 0.3 } else { 0.001 })
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
        refine(&mut words, &samples(300, &[30..100, 150..250]));
        assert_eq!(times(&words), [(0.3, 1.0), (1.5, 2.5)]);
    }

    #[test]
    fn a_word_goes_back_to_the_sound_it_begins_with_but_not_into_its_neighbour() {
        let mut words = vec![word(0.4, 1.0), word(1.6, 2.5)];
        refine(&mut words, &samples(300, &[30..100, 150..250]));
        assert_eq!(times(&words), [(0.3, 1.0), (1.5, 2.5)]);
        let mut words = vec![word(0.3, 0.6), word(0.6, 1.0)];
        refine(&mut words, &samples(300, &[30..100]));
        assert_eq!(times(&words), [(0.3, 0.6), (0.6, 1.0)]);
    }

    #[test]
    fn short_dips_and_clicks_change_nothing() {
        let mut words = vec![word(0.3, 0.65), word(0.65, 1.0)];
        refine(&mut words, &samples(300, &[30..62, 67..100, 200..202]));
        assert_eq!(times(&words), [(0.3, 0.65), (0.65, 1.0)]);
    }

    #[test]
    fn noise_leaves_times_as_they_are() {
        let mut words = vec![word(0.1, 0.9)];
        refine(&mut words, &samples(100, &[0..100]));
        refine(&mut words, &[]);
        assert_eq!(times(&words), [(0.1, 0.9)]);
    }
}
