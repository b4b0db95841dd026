//! The time grid of the segmentation network, which all stages share.
//!
//! Frame `i` sees samples `SHIFT * i .. SHIFT * i + FIELD` and speaks for the shift in their middle (pyannote.audio's
//! receptive field of PyanNet with a SincNet stride of 10).

use std::ops::Range;

use vad::Span;

/// Samples from one frame to the next (16.875 ms).
pub const SHIFT: usize = 270;
/// Samples that one frame sees.
pub const FIELD: usize = 991;
const RATE: u64 = audio::SAMPLE_RATE as u64;

/// Frames in so many samples.
pub fn count(samples: usize) -> usize {
    if samples < FIELD {
        0
    } else {
        1 + (samples - FIELD) / SHIFT
    }
}

/// The frame that speaks for a sample, 0 for those before the first.
pub fn at_sample(sample: usize) -> usize {
    sample.saturating_sub((FIELD - SHIFT) / 2) / SHIFT
}

/// The frame that speaks for a point in time, 0 for those before the first.
pub fn at_ms(ms: u64) -> usize {
    at_sample(usize::try_from(ms.saturating_mul(RATE) / 1000).unwrap_or(usize::MAX))
}

/// First of the samples in the middle of a frame.
pub fn middle(frame: usize) -> usize {
    frame * SHIFT + (FIELD - SHIFT) / 2
}

/// First of the samples that a frame speaks for; the first frame also speaks for all before.
fn first_sample(frame: usize) -> usize {
    if frame == 0 { 0 } else { middle(frame) }
}

/// The time of a range of frames of a recording, which the last frame fills up to its end.
pub fn span(range: &Range<usize>, total_frames: usize, samples: usize) -> Span {
    let ms = |sample: usize| sample as u64 * 1000 / RATE;
    let end = if range.end >= total_frames {
        samples
    } else {
        first_sample(range.end)
    };
    Span {
        start_ms: ms(first_sample(range.start)),
        end_ms: ms(end.min(samples)),
    }
}

/// Maximal ranges of items for which `keep` holds.
pub fn runs<T>(items: &[T], keep: impl Fn(&T) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = None;
    for (i, item) in items.iter().enumerate() {
        match (keep(item), start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                found.push(from..i);
                start = None;
            }
            _ => {}
        }
    }
    found.extend(start.map(|from| from..items.len()));
    found
}

/// A range, cut at those of `places`, in order, that lie inside it.
pub fn cut(range: &Range<usize>, places: &[usize]) -> Vec<Range<usize>> {
    let first = places.partition_point(|place| *place <= range.start);
    let last = places.partition_point(|place| *place < range.end);
    let mut ends = vec![range.start];
    ends.extend_from_slice(&places[first..last]);
    ends.push(range.end);
    ends.windows(2).map(|w| w[0]..w[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_have_589_frames() {
        assert_eq!(count(160_000), 589);
        assert_eq!(count(FIELD), 1);
        assert_eq!(count(FIELD - 1), 0);
    }

    #[test]
    fn a_sample_and_its_frame_agree() {
        for frame in [0, 1, 7, 588] {
            assert_eq!(at_sample(first_sample(frame)), frame);
            assert_eq!(at_sample(first_sample(frame + 1) - 1), frame);
        }
    }

    #[test]
    fn the_whole_recording_spans_the_whole_time() {
        assert_eq!(
            span(&(0..589), 589, 160_000),
            Span {
                start_ms: 0,
                end_ms: 10_000
            }
        );
        assert_eq!(
            span(&(100..200), 589, 160_000),
            Span {
                start_ms: 1710,
                end_ms: 3397
            }
        );
    }

    #[test]
    fn runs_are_maximal() {
        assert_eq!(runs(&[1, 1, 0, 1], |x| *x > 0), [0..2, 3..4]);
        assert!(runs(&[0, 0], |x| *x > 0).is_empty());
    }
}
