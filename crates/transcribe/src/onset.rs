//! Word times moved to where speech begins and ends.
//!
//! Attention says which frames a word is heard in, to some tens of milliseconds, and gives the pauses around a word to
//! one of its neighbours. Where there is a pause, voice activity knows better.

use std::ops::Range;

use crate::pack::STEP;
use crate::words::ChunkWord;

/// Steps in a second.
const PER_SECOND: f32 = audio::SAMPLE_RATE as f32 / STEP as f32;
/// How far before the time that attention gives a word may have begun, steps.
const REACH: usize = 20;
/// No word goes on after a pause this long, steps. Within words the detector loses voiceless sounds for less.
const PAUSE: usize = 25;
/// The rest of a word that turns out to be on the other side of a pause is its neighbour's up to this length, steps.
const REST: usize = 50;
/// Longest that a word is said, steps: as long as a drawled syllable, and more for longer words.
const LONGEST: usize = 100;
/// The same for each of its characters.
const LONGEST_PER_CHARACTER: usize = 12;

/// Moves words out of pauses, to one side of them, and back to the speech that they begin; `speech`: a chunk's.
pub fn refine(words: &mut [ChunkWord], speech: &[bool]) {
    let Some(last_step) = speech.len().checked_sub(1) else {
        return;
    };
    let step = |seconds: f32| ((seconds * PER_SECOND).round() as usize).min(last_step);
    let mut spans: Vec<Range<usize>> = (words.iter()).map(|w| step(w.start)..step(w.end)).collect();
    for (i, word) in words.iter().enumerate() {
        choose_side(&mut spans, i, &word.peaks, speech, step);
    }
    let mut free_from = 0; // where the word before ends
    for (word, span) in words.iter_mut().zip(spans) {
        let (start, end) = (span.start.max(free_from), span.end.max(free_from));
        let onset = if speech[start] {
            back(speech, start, free_from)
        } else {
            forward(speech, start, end)
        };
        let last = (onset..end).rev().find(|&i| speech[i]).unwrap_or(end);
        free_from = (last + 1).min(end.max(onset));
        word.start = onset as f32 / PER_SECOND;
        word.end = (free_from as f32 / PER_SECOND).max(word.start);
    }
}

/// A word that lies on both sides of pauses goes to where most of its tokens are heard; what is left of it on the other
/// sides goes to its neighbours.
fn choose_side(
    spans: &mut [Range<usize>],
    i: usize,
    peaks: &[f32],
    speech: &[bool],
    step: impl Fn(f32) -> usize,
) {
    let sides = stretches(speech, spans[i].clone());
    if sides.len() < 2 {
        return;
    }
    let heard = |side: &Range<usize>| {
        // A peak in a pause is the nearest side's.
        let distance =
            |s: &Range<usize>, at: usize| s.start.saturating_sub(at).max(at.saturating_sub(s.end));
        let nearest = |at: usize| sides.iter().min_by_key(|s| distance(s, at));
        peaks
            .iter()
            .filter(|p| nearest(step(**p)) == Some(side))
            .count()
    };
    // The path begins at the start of the audio: a first word over many pauses is the one before the second.
    let own = match i == 0 && sides.len() > 2 && spans.len() > 1 {
        true => Some(sides.len() - 1),
        false => (0..sides.len()).rev().max_by_key(|&s| heard(&sides[s])),
    };
    let Some(own) = own else {
        return;
    };
    let (first, last) = (&sides[0], &sides[sides.len() - 1]);
    if own > 0 && first.len() <= REST && i > 0 && spans[i - 1].end == spans[i].start {
        spans[i - 1].end = first.end;
    }
    if own + 1 < sides.len()
        && last.len() <= REST
        && spans
            .get(i + 1)
            .is_some_and(|next| next.start == spans[i].end)
    {
        spans[i + 1].start = last.start;
    }
    spans[i] = sides[own].clone();
}

/// The stretches of speech in a range that pauses separate.
fn stretches(speech: &[bool], range: Range<usize>) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for at in range.filter(|&i| speech.get(i).is_some_and(|s| *s)) {
        match found.last_mut() {
            Some(last) if at < last.end + PAUSE => last.end = at + 1,
            _ => found.push(at..at + 1),
        }
    }
    found
}

/// Stretches of speech between words, steps; `joined`: those between two words as one. A word accounts for no more than
/// it takes to say it.
pub fn gaps(words: &[ChunkWord], speech: &[bool], joined: bool) -> Vec<Range<usize>> {
    let between = |range: Range<usize>| {
        let mut all = stretches(speech, range);
        if let (true, [first, .., last]) = (joined, &all[..]) {
            let whole = first.start..last.end;
            all.clear();
            all.push(whole);
        }
        all
    };
    let at = |seconds: f32| ((seconds * PER_SECOND).round() as usize).min(speech.len());
    let (mut found, mut from) = (Vec::new(), 0);
    for word in words {
        let longest = LONGEST + LONGEST_PER_CHARACTER * word.text.trim().chars().count();
        let (start, end) = (at(word.start), at(word.end));
        found.extend(between(from..start.max(from)));
        from = end.min(start + longest).max(from);
    }
    found.extend(between(from..speech.len()));
    found
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
            tokens: 1,
            ..ChunkWord::default()
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
    fn a_word_over_a_pause_goes_to_the_side_where_it_is_heard() {
        let speech = speech(400, &[30..100, 300..350]);
        for (peak, expected) in [
            (0.95, [(0.3, 0.8), (0.8, 1.0), (3.0, 3.5)]),
            (3.05, [(0.3, 1.0), (3.0, 3.1), (3.1, 3.5)]),
        ] {
            let mut words = vec![word(0.3, 0.8), word(0.8, 3.1), word(3.1, 3.5)];
            words[1].peaks = vec![peak];
            refine(&mut words, &speech);
            assert_eq!(times(&words), expected);
        }
    }

    #[test]
    fn speech_without_words_is_found_and_a_word_accounts_for_its_own_time_only() {
        let speech = speech(1_000, &[0..100, 200..900]);
        assert_eq!(gaps(&[word(0.0, 1.0)], &speech, false), [200..900]);
        assert_eq!(
            gaps(&[word(0.0, 1.0), word(2.0, 9.0)], &speech, false),
            [312..900]
        );
        assert_eq!(gaps(&[], &speech, false), [0..100, 200..900]);
        assert_eq!(gaps(&[], &speech, true), [0..900]);
        assert!(gaps(&[word(0.0, 1.0)], &[], true).is_empty());
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
