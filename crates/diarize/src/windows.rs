//! Where voices are measured: overlapping windows inside speech.
//!
//! As in 3D-Speaker's recipe: 1.5 s every 0.75 s, the last window of a stretch ending with it. Where segmentation hears
//! speakers follow each other without a pause, one stretch ends and the next begins: a window across is like both of them.

use crate::frames::{self, FIELD, SHIFT};

/// Samples in a window: 1.5 s.
pub const LENGTH: usize = 24_000;
const HOP: usize = 12_000;
/// Windows begin on the feature frames of the recording, so that features are computed once for overlapping ones.
pub const GRID: usize = 160;
/// Stretches shorter than this (0.25 s) say too little about a voice.
const SHORTEST: usize = 4_000;

/// A piece of speech whose voice is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First sample, a multiple of 160.
    pub start: usize,
    /// How many samples, at most [`LENGTH`].
    pub samples: usize,
}

impl Window {
    /// The sample after the last.
    pub fn end(&self) -> usize {
        self.start + self.samples
    }

    /// The frames whose middle lies in the window.
    pub fn frames(&self, total: usize) -> std::ops::Range<usize> {
        frames::at_sample(self.start)..frames::at_sample(self.end()).min(total)
    }
}

/// Windows that cover all stretches of speech in a recording of `samples` samples, in order; none lies across one of the
/// `changes`, frames in order. `speech` has an entry per frame.
pub fn inside(speech: &[bool], changes: &[usize], samples: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    let stretches = frames::runs(speech, |s| *s);
    for run in stretches.iter().flat_map(|run| frames::cut(run, changes)) {
        let start = run.start * SHIFT / GRID * GRID;
        let end = ((run.end - 1) * SHIFT + FIELD).min(samples);
        if end.saturating_sub(start) >= SHORTEST {
            cover(start, end, &mut windows);
        }
    }
    windows
}

fn cover(start: usize, end: usize, windows: &mut Vec<Window>) {
    if end - start <= LENGTH {
        return windows.push(Window {
            start,
            samples: end - start,
        });
    }
    let last = (end - LENGTH) / GRID * GRID;
    windows.extend(
        (start..last)
            .step_by(HOP)
            .chain([last])
            .map(|start| Window {
                start,
                samples: LENGTH,
            }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech(total: usize, runs: &[std::ops::Range<usize>]) -> Vec<bool> {
        (0..total)
            .map(|i| runs.iter().any(|r| r.contains(&i)))
            .collect()
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)] // stretches, one of them
    fn silence_and_clicks_have_no_windows() {
        assert!(inside(&[], &[], 0).is_empty());
        assert!(inside(&speech(589, &[]), &[], 160_000).is_empty());
        assert!(inside(&speech(589, &[10..15]), &[], 160_000).is_empty());
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn a_short_stretch_is_one_window() {
        assert_eq!(
            inside(&speech(589, &[0..60]), &[], 160_000),
            [Window {
                start: 0,
                samples: 16_921
            }]
        );
    }

    #[test]
    fn a_long_stretch_is_covered_to_its_end() {
        let windows = inside(&vec![true; 589], &[], 160_000);
        assert_eq!(
            windows[0],
            Window {
                start: 0,
                samples: LENGTH
            }
        );
        assert_eq!(windows[1].start, HOP);
        assert!(
            windows
                .windows(2)
                .all(|w| w[1].start > w[0].start && w[1].start - w[0].start <= HOP)
        );
        let last = windows.last().unwrap();
        assert!(last.end() <= 160_000 && 160_000 - last.end() < 2 * SHIFT);
        assert!(windows.iter().all(|w| w.start % GRID == 0));
    }

    #[test]
    fn no_window_lies_across_a_change() {
        let change = 200;
        let windows = inside(&vec![true; 589], &[0, change], 160_000);
        let place = change * SHIFT;
        let across = |w: &&Window| w.start + 2 * SHIFT < place && w.end() > place + FIELD;
        assert_eq!(windows.iter().find(across), None);
        let at_change = |w: &Window| w.start.abs_diff(place) < GRID && w.samples == LENGTH;
        assert!(windows.iter().any(at_change), "the next one begins there");
    }
}
