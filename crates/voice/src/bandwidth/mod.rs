//! Help for recordings that lack their upper band.
//!
//! Speaker models learn from sound up to 8 kHz. Of an 8 kHz recording they get features whose upper quarter holds
//! nothing, and find it more like other such recordings than like the same voice in full. So those are heard by a network
//! of their own: the same one, taught to give the voiceprint that the other gives of the same speech in full band
//! (knowledge distillation: Hinton, Vinyals and Dean 2015; `models/training/distill.py`). Of an 11 kHz recording so little is
//! missing that it is guessed (`guess.rs`). What both gain is in `docs/internals/narrow-band.md`.

mod guess;

use std::ops::Range;

use audio::fbank::BINS;

pub(crate) use guess::DIMENSIONS;

/// How far below the strongest bin sound ends: 60 dB.
const DROP: f64 = 1e-6;
/// How far sound drops from below 4 kHz to above 5 kHz after a telephone, even where a poor resampler left images of it
/// above: 30 dB. In wide-band speech it drops by 18 dB at most.
const CLIFF: f64 = 1e-3;
/// The bins on both sides.
const EDGE: [Range<usize>; 2] = [48..56, 66..73];
/// Power that samples of 16 bits have without any sound, and four times as much is no sound either.
const QUIET: f64 = 4.0 / 12.0 / (1u64 << 30) as f64;
/// A kind of channel.
pub(crate) struct Channel {
    /// Where the last bin with sound in it lies.
    ends: Range<usize>,
    /// How many bins it is sure to leave whole.
    whole: usize,
    help: Help,
}

enum Help {
    /// A network that takes 0 in the missing bins.
    Network,
    /// The missing bins are guessed, and the voiceprint is corrected.
    Guess,
}

/// 8 kHz (sound ends at 2.8 to 5.1 kHz) and 11.025 kHz (to 6.5 kHz). Wide-band speech goes up to the last bins, and what
/// ends lower than a telephone is not speech.
static CHANNELS: [Channel; 2] = [
    Channel {
        ends: 50..67,
        whole: 59,
        help: Help::Network,
    },
    Channel {
        ends: 67..74,
        whole: guess::WHOLE,
        help: Help::Guess,
    },
];

/// The narrow channel that a recording came through, from the mean power in each bin and that of white noise of
/// variance 1; nothing if it is not narrow.
pub(crate) fn channel(power: &[f64; BINS], noise: &[f64; BINS]) -> Option<&'static Channel> {
    let strongest = power.iter().copied().fold(0.0, f64::max);
    let sound = |(p, noise): (&f64, &f64)| *p > strongest * DROP && *p > noise * QUIET;
    let last = power.iter().zip(noise).rposition(sound)?;
    let ends = CHANNELS.iter().find(|channel| channel.ends.contains(&last));
    let [below, above] = EDGE.map(|bins| power[bins].iter().sum::<f64>());
    ends.or_else(|| (above < below * CLIFF).then_some(&CHANNELS[0]))
}

impl Channel {
    /// Whether a network of their own hears recordings through it.
    pub(crate) fn has_network(&self) -> bool {
        matches!(self.help, Help::Network)
    }

    /// Clears or fills the bins that the channel took, in mean-normalised features `[frames, 80]`. What is in them is of
    /// the codec.
    pub(crate) fn mend(&self, features: &mut [f32]) {
        match self.help {
            Help::Network => features
                .chunks_exact_mut(BINS)
                .for_each(|row| row[self.whole..].fill(0.0)),
            Help::Guess => guess::fill(features),
        }
    }

    /// Brings a voiceprint nearer to that of the same speech in full band, where no network has done so.
    pub(crate) fn correct(&self, voiceprint: &mut [f32]) {
        match self.help {
            Help::Network => {}
            Help::Guess => guess::correct(voiceprint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISE: [f64; BINS] = [1.0; BINS];

    fn whole(last: usize) -> Option<usize> {
        let power = std::array::from_fn(|bin| if bin <= last { 1.0 } else { 1e-8 });
        channel(&power, &NOISE).map(|channel| channel.whole)
    }

    #[test]
    fn only_narrow_recordings_are_helped() {
        assert_eq!(whole(60), Some(59));
        assert_eq!(whole(70), Some(68));
        assert_eq!(whole(77), None);
        assert_eq!(whole(79), None);
        assert_eq!(whole(10), None, "a hum");
        assert!(channel(&[0.0; BINS], &NOISE).is_none(), "silence");
    }

    #[test]
    fn images_above_a_telephones_band_are_no_sound() {
        let power = |image| std::array::from_fn(|bin| if bin <= 60 { 1.0 } else { image });
        assert!(channel(&power(1e-4), &NOISE).is_some());
        assert!(channel(&power(1e-2), &NOISE).is_none());
    }

    #[test]
    fn the_noise_of_16_bits_is_no_sound() {
        let power = |silence| std::array::from_fn(|bin| if bin <= 60 { 1e-7 } else { silence });
        assert!(channel(&power(1e-10), &NOISE).is_some());
        assert!(channel(&power(1e-9), &NOISE).is_none());
    }

    #[test]
    fn of_8_khz_what_was_heard_stays_and_the_rest_is_cleared() {
        let [channel, _] = &CHANNELS;
        let heard: Vec<f32> = (1..=3 * BINS).map(|n| n as f32).collect();
        let mut features = heard.clone();
        channel.mend(&mut features);
        for (was, is) in heard.chunks(BINS).zip(features.chunks(BINS)) {
            assert_eq!(was[..channel.whole], is[..channel.whole]);
            assert!(is[channel.whole..].iter().all(|x| *x == 0.0));
        }
        let voiceprint = vec![1.0; DIMENSIONS];
        let mut after = voiceprint.clone();
        channel.correct(&mut after);
        assert_eq!(voiceprint, after);
    }
}
