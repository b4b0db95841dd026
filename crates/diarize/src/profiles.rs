//! The voice of each speaker, to be known again.

use voice::similarity;

use crate::reconstruct::Frame;
use crate::windows::Window;

/// Share of a window's frames in which its speaker talks alone, for it to count.
const ALONE: f64 = 0.9;

/// The normalised mean of the windows in which a speaker talks alone; where there are none, the speaker's centre.
/// Clustering has to place every window, but windows with two voices would make the speakers of a recording alike.
pub fn profiles(
    windows: &[Window],
    voices: &[Vec<f32>],
    of_frame: &[Frame],
    centres: &[Vec<f32>],
) -> Vec<Vec<f32>> {
    let mut sums: Vec<Vec<f32>> = centres.iter().map(|c| vec![0.0; c.len()]).collect();
    for (window, voice) in windows.iter().zip(voices) {
        let speaker = of_frame.get(window.frames(of_frame.len())).and_then(alone);
        if let Some(sum) = speaker.and_then(|s| sums.get_mut(s)) {
            sum.iter_mut().zip(voice).for_each(|(s, x)| *s += x);
        }
    }
    sums.iter_mut().for_each(|sum| similarity::normalize(sum));
    let known = |sum: &Vec<f32>| sum.iter().any(|x| *x != 0.0);
    let pairs = sums.into_iter().zip(centres);
    pairs
        .map(|(sum, centre)| if known(&sum) { sum } else { centre.clone() })
        .collect()
}

/// The speaker who talks alone in nearly all of these frames.
fn alone(frames: &[Frame]) -> Option<usize> {
    let speaker = frames.get(frames.len() / 2)?.first?;
    let own = frames
        .iter()
        .filter(|f| f.first == Some(speaker) && f.second.is_none())
        .count();
    (own as f64 >= ALONE * frames.len() as f64).then_some(usize::from(speaker))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_with_two_voices_do_not_count() {
        let windows = [0, 24_000].map(|start| Window {
            start,
            samples: 24_000,
        });
        let voices = [vec![1.0, 0.0], vec![0.6, 0.8]];
        let talks = |first, second| Frame {
            first: Some(first),
            second,
        };
        let mut frames = vec![talks(0, None); 88];
        frames.extend(vec![talks(0, Some(1)); 100]);
        let centres = vec![vec![0.9, 0.1], vec![0.0, 1.0]];
        assert_eq!(
            profiles(&windows, &voices, &frames, &centres),
            [vec![1.0, 0.0], vec![0.0, 1.0]]
        );
    }
}
