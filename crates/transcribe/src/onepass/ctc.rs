//! Connectionist temporal classification: frames of logits to tokens, greedily, with times from the peaks.

use super::{log_prob, most};
use crate::Error;
use crate::words::Token;

/// Most that a token is said before and after its peak, s.
const REACH: f32 = 0.24;

/// The tokens of frames: the most probable one of each frame, a run of the same once, without blanks. The first frames are about
/// something else, as many as `skip`. A token is heard most where it is most probable, and reaches to the middle between its neighbours' peaks.
pub fn tokens(
    frames: &[&[f32]],
    skip: usize,
    blank: usize,
    step: f32,
) -> Result<Vec<Token>, Error> {
    let (mut tokens, mut before): (Vec<Token>, usize) = (Vec::new(), blank);
    for (i, logits) in frames.iter().enumerate() {
        let id = most(logits)?;
        if i >= skip && id != blank {
            let log_prob = log_prob(logits, id);
            let token = Token {
                id: id as u32,
                log_prob,
                start: 0.0,
                end: 0.0,
                peak: (i - skip) as f32 * step,
            };
            match tokens.last_mut() {
                Some(last) if id == before && log_prob > last.log_prob => *last = token,
                _ if id != before => tokens.push(token),
                _ => (), // the run goes on, maybe from the first frames
            }
        }
        before = id;
    }
    let peaks: Vec<f32> = tokens.iter().map(|t| t.peak).collect();
    for (i, token) in tokens.iter_mut().enumerate() {
        let middle = |other: Option<&f32>| other.map(|p| (p + token.peak) / 2.0);
        let before = middle(i.checked_sub(1).and_then(|i| peaks.get(i))).unwrap_or(0.0);
        let after = middle(peaks.get(i + 1)).unwrap_or(f32::MAX);
        token.start = before.max(token.peak - REACH);
        token.end = after.min(token.peak + REACH);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames in which a token of six has the probability 0.9 or so.
    fn frames(ids: &[usize]) -> Vec<Vec<f32>> {
        let frame = |&id: &usize| (0..6).map(|i| if i == id { 4.0 } else { 0.0 }).collect();
        ids.iter().map(frame).collect()
    }

    fn decoded(ids: &[usize]) -> Vec<(u32, f32, f32)> {
        let frames = frames(ids);
        let rows: Vec<&[f32]> = frames.iter().map(Vec::as_slice).collect();
        let tokens = tokens(&rows, 4, 0, 0.06).unwrap();
        let round = |x: f32| (x * 1000.0).round() / 1000.0;
        tokens
            .iter()
            .map(|t| (t.id, round(t.start), round(t.end)))
            .collect()
    }

    #[test]
    fn runs_are_one_token_blanks_none_and_the_tags_are_left_out() {
        let got = decoded(&[5, 5, 5, 5, 0, 1, 1, 0, 1, 2, 0]);
        assert_eq!(got, [(1, 0.0, 0.15), (1, 0.15, 0.27), (2, 0.27, 0.54)]);
        assert_eq!(decoded(&[5, 5, 5, 5, 5, 5, 0]), []); // the last tag goes on
        assert_eq!(decoded(&[5, 5]), []);
    }

    #[test]
    fn a_token_far_from_others_reaches_only_so_far() {
        let mut ids = vec![5, 5, 5, 5];
        ids.extend([0; 20]);
        ids.push(3);
        assert_eq!(decoded(&ids), [(3, 0.96, 1.44)]);
    }

    #[test]
    fn what_is_no_number_is_an_error_not_a_word() {
        let rows = [[f32::NAN; 6].as_slice(); 6];
        assert!(tokens(&rows, 4, 0, 0.06).is_err());
    }
}
