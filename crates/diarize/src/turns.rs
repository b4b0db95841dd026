//! From frames to turns.

use vad::Span;

use crate::evidence::Evidence;
use crate::frames;
use crate::reconstruct::Frame;

/// One speaker talking.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// Which speaker, from 0.
    pub speaker: usize,
    /// Where it begins, milliseconds from the start of the recording.
    pub start_ms: u64,
    /// Where it ends (exclusive).
    pub end_ms: u64,
    /// Whether someone else talks during a part of it.
    pub overlap: bool,
    /// Probability that it is this speaker, from 0 to 1: how the turn sounds like this speaker rather than like
    /// another one or like nobody in the recording.
    pub confidence: f32,
}

/// How frames become turns.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Silence shorter than this between two turns of a speaker is part of one turn.
    pub merge_gap_ms: u64,
    /// Shorter turns are dropped.
    pub min_turn_ms: u64,
    /// Samples in the recording.
    pub samples: usize,
}

/// All turns by start, several at a time where several talk.
pub fn overlapping(of_frame: &[Frame], evidence: &Evidence, shape: &Shape) -> Vec<Turn> {
    let filled = fill_pauses(of_frame, shape);
    let mut turns = collect(
        &filled,
        |speaker, frame| frame.has(speaker),
        evidence,
        shape,
    );
    mark_overlap(&mut turns);
    turns
}

/// One speaker at a time, by start: where several talk, the one heard best.
pub fn exclusive(of_frame: &[Frame], evidence: &Evidence, shape: &Shape) -> Vec<Turn> {
    let filled = fill_pauses(of_frame, shape);
    let turns = collect(
        &filled,
        |speaker, frame| frame.first == Some(speaker),
        evidence,
        shape,
    );
    let frames =
        |turn: &Turn| frames::at_ms(turn.start_ms)..frames::at_ms(turn.end_ms).min(of_frame.len());
    let overlapped = |turn: &Turn| of_frame[frames(turn)].iter().any(|f| f.second.is_some());
    turns
        .into_iter()
        .map(|turn| Turn {
            overlap: overlapped(&turn),
            ..turn
        })
        .collect()
}

/// Turns by start, cut so that whoever began keeps talking until the end.
pub fn one_at_a_time(turns: &[Turn]) -> Vec<Turn> {
    let mut free_ms = 0;
    let mut cut = Vec::new();
    for turn in turns {
        let start_ms = turn.start_ms.max(free_ms);
        if start_ms < turn.end_ms {
            cut.push(Turn {
                start_ms,
                ..turn.clone()
            });
            free_ms = turn.end_ms;
        }
    }
    cut
}

/// Silence between two turns of one speaker belongs to them. Where someone else talks in between, the turn is over.
fn fill_pauses(of_frame: &[Frame], shape: &Shape) -> Vec<Frame> {
    let mut filled = of_frame.to_vec();
    for pause in frames::runs(of_frame, |f| f.first.is_none()) {
        let span = frames::span(&pause, of_frame.len(), shape.samples);
        let around = pause
            .start
            .checked_sub(1)
            .map(|i| of_frame[i])
            .zip(of_frame.get(pause.end));
        let Some((before, after)) = around else {
            continue;
        };
        if span.end_ms - span.start_ms < shape.merge_gap_ms {
            let first = [before.first, before.second]
                .into_iter()
                .flatten()
                .find(|s| after.has(*s));
            filled[pause].fill(Frame {
                first,
                second: None,
            });
        }
    }
    filled
}

fn collect(
    of_frame: &[Frame],
    talks: impl Fn(u16, &Frame) -> bool,
    evidence: &Evidence,
    shape: &Shape,
) -> Vec<Turn> {
    let mut turns = Vec::new();
    for speaker in 0..evidence.speakers() {
        for run in frames::runs(of_frame, |frame| talks(speaker as u16, frame)) {
            let Span { start_ms, end_ms } = frames::span(&run, of_frame.len(), shape.samples);
            if end_ms - start_ms >= shape.min_turn_ms.max(1) {
                let confidence = confidence(run, speaker, evidence);
                turns.push(Turn {
                    speaker,
                    start_ms,
                    end_ms,
                    overlap: false,
                    confidence,
                });
            }
        }
    }
    turns.sort_by_key(|t| (t.start_ms, t.end_ms, t.speaker));
    turns
}

/// The mean of the frames' probabilities; 0 where nothing was measured.
fn confidence(run: std::ops::Range<usize>, speaker: usize, evidence: &Evidence) -> f32 {
    let known: Vec<f32> = run
        .filter_map(|frame| evidence.probability(frame, speaker))
        .collect();
    known.iter().sum::<f32>() / known.len().max(1) as f32
}

/// Sorts turns by start and marks those that share time with a turn of someone else.
pub fn mark_overlap(turns: &mut [Turn]) {
    turns.sort_by_key(|t| (t.start_ms, t.end_ms, t.speaker));
    let mut latest: Option<usize> = None; // the turn so far that ends last
    for i in 0..turns.len() {
        if let Some(j) = latest.filter(|j| turns[*j].end_ms > turns[i].start_ms) {
            turns[i].overlap = true;
            turns[j].overlap = true;
        }
        if latest.is_none_or(|j| turns[j].end_ms < turns[i].end_ms) {
            latest = Some(i);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clustering::Speakers;
    use crate::windows::Window;

    const SAMPLES: usize = 160_000;

    fn evidence() -> Evidence {
        let centres = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let windows = [
            Window {
                start: 0,
                samples: 80_000,
            },
            Window {
                start: 80_000,
                samples: 80_000,
            },
        ];
        Evidence::new(
            589,
            &windows,
            &centres.clone(),
            &Speakers {
                of_window: vec![0, 1],
                centres,
            },
        )
    }

    fn shape(merge_gap_ms: u64, min_turn_ms: u64) -> Shape {
        Shape {
            merge_gap_ms,
            min_turn_ms,
            samples: SAMPLES,
        }
    }

    fn frames(runs: &[(std::ops::Range<usize>, Option<u16>, Option<u16>)]) -> Vec<Frame> {
        let mut frames = vec![Frame::default(); 589];
        for (range, first, second) in runs {
            frames[range.clone()].fill(Frame {
                first: *first,
                second: *second,
            });
        }
        frames
    }

    fn brief(turns: &[Turn]) -> Vec<(usize, u64, u64, bool)> {
        turns
            .iter()
            .map(|t| (t.speaker, t.start_ms, t.end_ms, t.overlap))
            .collect()
    }

    #[test]
    fn pauses_merge_and_short_turns_go() {
        let f = frames(&[
            (0..100, Some(0), None),
            (110..200, Some(0), None),
            (300..310, Some(1), None),
        ]);
        assert_eq!(
            brief(&overlapping(&f, &evidence(), &shape(0, 0))),
            [
                (0, 0, 1710, false),
                (0, 1878, 3397, false),
                (1, 5085, 5253, false)
            ]
        );
        assert_eq!(
            brief(&overlapping(&f, &evidence(), &shape(200, 200))),
            [(0, 0, 3397, false)]
        );
    }

    #[test]
    fn overlap_is_marked_on_both_and_absent_from_the_exclusive_track() {
        let f = frames(&[
            (0..100, Some(0), None),
            (100..150, Some(1), Some(0)),
            (150..300, Some(1), None),
        ]);
        assert_eq!(
            brief(&overlapping(&f, &evidence(), &shape(0, 0))),
            [(0, 0, 2553, true), (1, 1710, 5085, true)]
        );
        assert_eq!(
            brief(&exclusive(&f, &evidence(), &shape(0, 0))),
            [(0, 0, 1710, false), (1, 1710, 5085, true)]
        );
    }

    #[test]
    fn the_exclusive_track_bridges_pauses_of_one_speaker_only() {
        let f = frames(&[
            (0..100, Some(0), None),
            (110..200, Some(0), None),
            (205..300, Some(1), None),
        ]);
        assert_eq!(
            brief(&exclusive(&f, &evidence(), &shape(500, 0))),
            [(0, 0, 3397, false), (1, 3481, 5085, false)]
        );
    }

    #[test]
    fn who_began_keeps_the_floor() {
        let turn = |speaker, start_ms, end_ms| Turn {
            speaker,
            start_ms,
            end_ms,
            overlap: true,
            confidence: 1.0,
        };
        let cut = one_at_a_time(&[turn(0, 0, 100), turn(1, 50, 150), turn(0, 120, 140)]);
        assert_eq!(brief(&cut), [(0, 0, 100, true), (1, 100, 150, true)]);
    }

    #[test]
    fn confidence_follows_the_sound() {
        let f = frames(&[(0..200, Some(0), None), (350..500, Some(0), None)]);
        let turns = overlapping(&f, &evidence(), &shape(0, 0));
        assert!(turns[0].confidence > 0.99 && turns[1].confidence < 0.01);
    }
}
