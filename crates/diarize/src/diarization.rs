//! The result: turns and voices.

use crate::Turn;

/// Who spoke when in a recording. Speakers are numbered from 0 in the order in which they first talk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diarization {
    /// Turns by start, several at a time where several talk.
    pub turns: Vec<Turn>,
    /// Turns by start, one at a time: whom words belong to.
    pub exclusive: Vec<Turn>,
    /// The voice of each speaker (norm 1), comparable to those of [`SpeakerModel::embed`](voice::embed::SpeakerModel::embed).
    pub speakers: Vec<Vec<f32>>,
}

impl Diarization {
    /// Who spoke between two times: the speaker with most of it on the exclusive track, else the one nearest to it;
    /// `None` if nobody spoke at all.
    pub fn speaker_of(&self, start_ms: u64, end_ms: u64) -> Option<usize> {
        let mut shared = vec![0u64; self.speakers.len()];
        // Exclusive turns are in order and apart, so the ones in question lie together.
        let first = self.exclusive.partition_point(|t| t.end_ms <= start_ms);
        for turn in self.exclusive[first..]
            .iter()
            .take_while(|t| t.start_ms < end_ms)
        {
            shared[turn.speaker] += turn.end_ms.min(end_ms) - turn.start_ms.max(start_ms);
        }
        let most = (0..shared.len()).max_by_key(|s| (shared[*s], std::cmp::Reverse(*s)))?;
        if shared[most] > 0 {
            return Some(most);
        }
        let sides = [first.checked_sub(1), Some(first)]
            .into_iter()
            .flatten()
            .filter_map(|i| self.exclusive.get(i));
        let distance = |t: &&Turn| {
            start_ms
                .saturating_sub(t.end_ms)
                .max(t.start_ms.saturating_sub(end_ms))
        };
        sides.min_by_key(distance).map(|t| t.speaker)
    }
}
