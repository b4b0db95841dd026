//! The network's classes: which of a window's three speakers talk in a frame.
//!
//! Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023: one
//! class for nobody, one per speaker, one per pair.

/// Speakers that one window can tell apart.
pub const SPEAKERS: usize = 3;
/// Classes per frame.
pub const CLASSES: usize = 7;

/// Who talks in a frame: bit `s` is set if speaker `s` of the window does.
pub type Active = u8;

const OF_CLASS: [Active; CLASSES] = [0b000, 0b001, 0b010, 0b100, 0b011, 0b101, 0b110];

/// The most probable class of each frame, as sets of speakers. `scores` is `[frames, CLASSES]`, row-major.
pub fn decode(scores: &[f32]) -> Vec<Active> {
    scores
        .chunks_exact(CLASSES)
        .map(|frame| OF_CLASS[argmax(frame)])
        .collect()
}

/// How many speakers each frame has, as the network expects: the sizes of the classes by their probabilities. `scores`
/// are log-probabilities, `[frames, CLASSES]`, row-major.
pub fn expected(scores: &[f32]) -> Vec<f32> {
    let sizes = OF_CLASS.map(|set| set.count_ones() as f32);
    let mean = |frame: &[f32]| {
        frame
            .iter()
            .zip(sizes)
            .map(|(p, size)| p.exp() * size)
            .sum()
    };
    scores.chunks_exact(CLASSES).map(mean).collect()
}

/// The first of the largest values; 0 if there is none.
pub fn argmax(values: &[f32]) -> usize {
    let larger = |best: usize, (i, x): (usize, &f32)| if *x > values[best] { i } else { best };
    values.iter().enumerate().skip(1).fold(0, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_in_pyannotes_order() {
        let mut scores = Vec::new();
        for class in 0..CLASSES {
            scores.extend((0..CLASSES).map(|c| if c == class { -0.1 } else { -5.0 }));
        }
        assert_eq!(
            decode(&scores),
            [0b000, 0b001, 0b010, 0b100, 0b011, 0b101, 0b110]
        );
    }

    #[test]
    fn doubt_counts_by_halves() {
        let half = 0.5f32.ln();
        let none = f32::NEG_INFINITY;
        let scores = [
            [half, half, none, none, none, none, none],
            [none, none, none, half, half, none, none],
        ];
        assert_eq!(expected(&scores.concat()), [0.5, 1.5]);
    }

    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(argmax(&[0.5, 0.5, 0.1]), 0);
        assert_eq!(argmax(&[0.1, 0.5, 0.5]), 1);
    }
}
