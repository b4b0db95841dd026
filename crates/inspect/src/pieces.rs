//! Long transcripts in pieces: cut at sentences, each piece beginning with the last sentences of the one before.

use std::ops::Range;

use crate::transcript::Transcript;

/// A sentence, or a part of one that is longer than a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its place in the transcript.
    pub sentence: usize,
    /// Bytes of its text.
    pub range: Range<usize>,
    size: usize,
}

/// What a sentence takes in a request beside its text, characters.
const AROUND: usize = 60;
/// The share of a piece that repeats the one before.
const OVERLAP: usize = 10;

/// Cuts a transcript into pieces of at most `budget` characters.
pub fn pieces(transcript: &Transcript, budget: usize) -> Vec<Vec<Part>> {
    let budget = budget.max(4 * AROUND);
    let mut pieces = Vec::new();
    let mut piece: Vec<Part> = Vec::new();
    let mut size = 0;
    for part in parts(transcript, budget - budget / OVERLAP) {
        if size + part.size > budget && !piece.is_empty() {
            let kept = overlap(&piece, budget / OVERLAP);
            pieces.push(std::mem::replace(&mut piece, kept));
            size = piece.iter().map(|part| part.size).sum();
        }
        size += part.size;
        piece.push(part);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// The last parts of a piece that fit, never all of them.
fn overlap(piece: &[Part], most: usize) -> Vec<Part> {
    let mut size = 0;
    let fits = |part: &&Part| {
        size += part.size;
        size <= most
    };
    let count = piece[1..].iter().rev().take_while(fits).count();
    piece[piece.len() - count..].to_vec()
}

/// All sentences with text; those longer than `most` characters cut at blanks, else anywhere between letters.
fn parts(transcript: &Transcript, most: usize) -> impl Iterator<Item = Part> + '_ {
    let sentences = transcript.sentences().iter().enumerate();
    sentences.flat_map(move |(sentence, said)| {
        let text = said.text.as_str();
        let mut from = 0;
        std::iter::from_fn(move || {
            let rest = text.get(from..).filter(|rest| !rest.trim().is_empty())?;
            let most = most - AROUND;
            let end = match rest.char_indices().nth(most) {
                None => rest.len(),
                Some((end, _)) => rest[..end]
                    .rfind(char::is_whitespace)
                    .filter(|at| *at > 0)
                    .unwrap_or(end),
            };
            let range = from..from + end;
            from = range.end;
            let size = text[range.clone()].chars().count() + AROUND;
            Some(Part {
                sentence,
                range,
                size,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transcript::Sentence;

    fn transcript(texts: &[String]) -> Transcript {
        let sentence = |text: &String| Sentence {
            text: text.clone(),
            ..Sentence::default()
        };
        Transcript::new(texts.iter().map(sentence).collect()).unwrap()
    }

    #[test]
    fn a_short_transcript_is_one_piece_and_an_empty_one_none() {
        assert_eq!(
            pieces(&transcript(&["a".into(), "b".into()]), 1000).len(),
            1
        );
        assert_eq!(pieces(&transcript(&[" ".into()]), 1000).len(), 0);
    }

    #[test]
    fn pieces_overlap_by_whole_sentences() {
        let texts: Vec<String> = (0..100).map(|n| format!("Sentence number {n}.")).collect();
        let cut = pieces(&transcript(&texts), 1000);
        assert!(cut.len() > 5);
        for pair in cut.windows(2) {
            assert_eq!(pair[0].last().unwrap(), &pair[1][0]);
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_is_too_large(texts in prop::collection::vec("[a-z 字]{0,300}", 0..30), budget in 240usize..900) {
            let read = transcript(&texts);
            let cut = pieces(&read, budget);
            for (n, text) in texts.iter().enumerate() {
                let mut parts: Vec<_> = cut.iter().flatten().filter(|p| p.sentence == n).map(|p| p.range.clone()).collect();
                parts.sort_by_key(|range| range.start);
                parts.dedup();
                let joined: String = parts.into_iter().map(|range| &text[range]).collect();
                prop_assert_eq!(joined.trim_end(), text.trim_end());
            }
            for piece in &cut {
                prop_assert!(piece.iter().map(|p| p.size).sum::<usize>() <= budget);
            }
        }
    }
}
