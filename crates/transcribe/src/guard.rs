//! Telling recognised speech from a model that talks to itself.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::words::ChunkWord;

/// Text that compresses better than this repeats itself (OpenAI Whisper's threshold).
pub const MAX_COMPRESSION: f32 = 2.4;
/// A mean log-probability per token below this is a guess (OpenAI Whisper's threshold).
pub const MIN_LOG_PROB: f32 = -1.0;
/// Above this probability of "no speech", a guess is taken for silence (OpenAI Whisper's threshold).
pub const MAX_NO_SPEECH: f32 = 0.6;
/// Longest repeated sequence that is looked for while decoding, tokens.
const MAX_PERIOD: usize = 24;
/// Tokens that the repetitions must cover together.
const MIN_REPEATED: usize = 24;
/// Nobody speaks more characters than this in a second.
const MAX_CHARS_PER_SECOND: f32 = 40.0;

/// How many times smaller text becomes under zlib; 0 for no text.
pub fn compression_ratio(text: &str) -> f32 {
    if text.is_empty() {
        return 0.0;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder
        .write_all(text.as_bytes())
        .and_then(|()| encoder.finish());
    compressed.map_or(0.0, |bytes| text.len() as f32 / bytes.len() as f32)
}

/// Whether the sequence ends in repetitions of itself, at least four rounds, or as many as make 24 tokens, and is longer
/// than the speech has `room` for, tokens: a sentence may be said eight times.
pub fn is_looping(tokens: &[u32], room: usize) -> bool {
    if tokens.len() <= room {
        return false;
    }
    (1..=MAX_PERIOD).any(|period| {
        let repeated = (MIN_REPEATED.max(4 * period)).min(tokens.len());
        let tail = &tokens[tokens.len() - repeated..];
        repeated >= MIN_REPEATED.max(4 * period)
            && tail.iter().zip(&tail[period..]).all(|(a, b)| a == b)
    })
}

/// Rounds of the same words, one behind the other.
struct Repetition {
    period: usize,
    rounds: usize,
    /// Whether most rounds took the time that saying them takes: as many repetitions as there is speech for are no loop.
    /// In a loop of a model's, most rounds have no time of their own.
    said: bool,
}

/// The repetition that begins at a word; a single word is one round.
fn repetition(words: &[ChunkWord], at: usize) -> Repetition {
    let count = |period: usize| {
        let round = words.get(at..at + period);
        let same = |a: &[ChunkWord], b: &[ChunkWord]| {
            a.iter()
                .zip(b)
                .all(|(a, b)| plain(&a.text) == plain(&b.text))
        };
        let all = words[at..].chunks_exact(period);
        round.map_or(0, |round| {
            all.take_while(|other| same(round, other)).count()
        })
    };
    let period = (1..=MAX_ROUND).find(|&period| count(period) >= MIN_ROUNDS);
    let Some(period) = period else {
        return Repetition {
            period: 1,
            rounds: 1,
            said: true,
        };
    };
    let rounds = count(period);
    let all = words[at..at + period * rounds].chunks(period);
    let said = all.filter(|round| took_time(round)).count() * 4 >= rounds * 3;
    Repetition {
        period,
        rounds,
        said,
    }
}

/// The text of words, with what was said several times once.
pub fn said_once(words: &[ChunkWord]) -> String {
    let (mut text, mut at) = (String::new(), 0);
    while at < words.len() {
        let found = repetition(words, at);
        let kept = if found.said { found.period } else { 1 };
        text.extend(words[at..at + kept].iter().map(|w| w.text.as_str()));
        at += if found.said {
            found.period * found.rounds
        } else {
            1
        };
    }
    text
}

/// Takes rounds without time of their own out of what was said several times.
pub fn drop_unsaid(words: &mut Vec<ChunkWord>) {
    let (mut kept, mut at): (Vec<ChunkWord>, usize) = (Vec::with_capacity(words.len()), 0);
    while at < words.len() {
        let found = repetition(words, at);
        let length = found.period * found.rounds;
        for (i, round) in words[at..at + length].chunks(found.period).enumerate() {
            match kept.last_mut() {
                // Its time is the round's before.
                Some(last) if i > 0 && found.said && !took_time(round) => {
                    last.end = round.last().map_or(last.end, |w| w.end);
                }
                _ => kept.extend_from_slice(round),
            }
        }
        at += length;
    }
    *words = kept;
}

/// Words of the longest round.
const MAX_ROUND: usize = 12;
/// Fewest rounds.
const MIN_ROUNDS: usize = 3;
/// Nobody repeats more bytes of UTF-8 than this in a second.
const MAX_BYTES_PER_SECOND: f32 = 25.0;

fn took_time(round: &[ChunkWord]) -> bool {
    let seconds: f32 = round.iter().map(|w| w.end - w.start).sum();
    let bytes: usize = round.iter().map(|w| w.text.trim().len()).sum();
    seconds * MAX_BYTES_PER_SECOND >= bytes as f32
}

fn plain(word: &str) -> String {
    let letters = word.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// What is known of a decoded chunk when it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// Mean log-probability per token.
    pub log_prob: f32,
    /// Compression ratio of the text.
    pub compression: f32,
    /// Probability of the no-speech token.
    pub no_speech: f32,
    /// Whether decoding was stopped in a loop.
    pub looped: bool,
}

impl Evidence {
    /// Whether the chunk should be decoded again at a higher temperature.
    pub fn wants_retry(&self) -> bool {
        !self.is_silence()
            && (self.looped || self.compression > MAX_COMPRESSION || self.log_prob < MIN_LOG_PROB)
    }

    /// Whether there was nothing said.
    pub fn is_silence(&self) -> bool {
        self.no_speech > MAX_NO_SPEECH && self.log_prob < MIN_LOG_PROB
    }

    /// Whether, after all retries, the text must not be shown: it still repeats itself, or is more than anyone can
    /// say in `seconds`.
    pub fn is_invented(&self, text: &str, seconds: f32) -> bool {
        let too_fast = text.chars().count() as f32 > 20.0 + MAX_CHARS_PER_SECOND * seconds;
        self.is_silence() || too_fast || (self.looped && self.compression > MAX_COMPRESSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_compresses_and_speech_does_not() {
        let speech =
            "There's iron, they say, in all our blood, and a grain or two perhaps is good.";
        assert!(compression_ratio(speech) < 1.6);
        assert!(compression_ratio(&"Thank you. ".repeat(12)) > MAX_COMPRESSION);
        assert_eq!(compression_ratio(""), 0.0);
    }

    #[test]
    fn loops_of_any_period_are_found_and_speech_is_none() {
        for period in 1..=MAX_PERIOD {
            let round: Vec<u32> = (0..period as u32).collect();
            let looping: Vec<u32> = [99, 98].into_iter().chain(round.repeat(25)).collect();
            assert!(is_looping(&looping, 0), "{period}");
        }
        assert!(!is_looping(&(0..400).collect::<Vec<_>>(), 0));
        assert!(!is_looping(&[7; 20], 0)); // "no, no, no" is said by people
        assert!(!is_looping(&[], 0));
        assert!(!is_looping(&[7; 60], 60) && is_looping(&[7; 60], 59));
    }

    /// `count` rounds of three words, each word of so many seconds.
    fn rounds(count: usize, seconds: f32) -> Vec<ChunkWord> {
        let words = [" Lobsters", " and", " lobsters."];
        let all = (0..count).flat_map(|_| words);
        let timed = all.enumerate().map(|(i, text)| ChunkWord {
            text: text.into(),
            start: i as f32 * seconds,
            end: (i + 1) as f32 * seconds,
            ..ChunkWord::default()
        });
        timed.collect()
    }

    #[test]
    fn repetitions_that_took_their_time_count_once_and_others_do_not() {
        assert_eq!(said_once(&rounds(8, 0.4)), " Lobsters and lobsters.");
        assert!(compression_ratio(&said_once(&rounds(20, 0.02))) > MAX_COMPRESSION);
        assert_eq!(said_once(&rounds(2, 0.4)).matches("and").count(), 2);
        assert_eq!(said_once(&[]), "");
    }

    #[test]
    fn a_round_without_time_of_its_own_was_not_said() {
        let mut words = rounds(8, 0.4);
        for (i, word) in words[9..12].iter_mut().enumerate() {
            (word.start, word.end) = (3.6 + 0.1 * i as f32, 3.7 + 0.1 * i as f32);
        }
        drop_unsaid(&mut words);
        assert!(words.len() == 21 && words[8].end > 3.85);
        let mut single = rounds(1, 0.01);
        drop_unsaid(&mut single);
        assert_eq!(single.len(), 3);
    }

    #[test]
    fn a_confident_chunk_stays_and_a_silent_guess_goes() {
        let sure = Evidence {
            log_prob: -0.3,
            compression: 1.5,
            no_speech: 0.9,
            looped: false,
        };
        assert!(!sure.wants_retry() && !sure.is_invented("Hello world.", 2.0));
        let guess = Evidence {
            log_prob: -1.4,
            ..sure
        };
        assert!(!guess.wants_retry() && guess.is_invented("Thank you.", 2.0));
        assert!(
            Evidence {
                no_speech: 0.1,
                ..guess
            }
            .wants_retry()
        );
        assert!(sure.is_invented(&"blah ".repeat(60), 1.0));
    }
}
