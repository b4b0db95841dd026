//! Telling recognised speech from a model that talks to itself.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

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

/// Whether the sequence ends in repetitions of itself: at least four rounds, or as many as make 24 tokens.
pub fn is_looping(tokens: &[u32]) -> bool {
    (1..=MAX_PERIOD).any(|period| {
        let repeated = (MIN_REPEATED.max(4 * period)).min(tokens.len());
        let tail = &tokens[tokens.len() - repeated..];
        repeated >= MIN_REPEATED.max(4 * period)
            && tail.iter().zip(&tail[period..]).all(|(a, b)| a == b)
    })
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
            assert!(is_looping(&looping), "{period}");
        }
        assert!(!is_looping(&(0..400).collect::<Vec<_>>()));
        assert!(!is_looping(&[7; 20])); // "no, no, no" is said by people
        assert!(!is_looping(&[]));
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
