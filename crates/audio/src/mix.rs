//! Many channels to one.

use symphonia::core::audio::{Channels, Position};

use crate::{Channel, Error};

/// Below this correlation the right channel counts as an inverted copy of the left one.
const INVERTED: f64 = -0.5;
/// How long the correlation remembers, in seconds.
const MEMORY_S: f64 = 1.0;
/// Anything louder is noise in the file; it would overflow the power spectrum.
const LOUDEST: f32 = 65536.0;

/// Turns interleaved frames into mono, sample by sample finite.
pub(crate) struct Mixer {
    weights: Vec<f32>,
    polarity: Option<Polarity>,
}

impl Mixer {
    /// `rate` in Hz sets the memory of the polarity detector.
    pub(crate) fn new(channel: Channel, channels: &Channels, rate: u32) -> Result<Self, Error> {
        let count = channels.count();
        let weights = match channel {
            Channel::Index(wanted) if (wanted as usize) < count => (0..count)
                .map(|index| if index == wanted as usize { 1.0 } else { 0.0 })
                .collect(),
            Channel::Index(wanted) => {
                return Err(Error::Channel {
                    wanted,
                    channels: count as u32,
                });
            }
            Channel::Mix => mix_weights(channels),
        };
        let stereo = channel == Channel::Mix && count == 2;
        Ok(Mixer {
            weights,
            polarity: stereo.then(|| Polarity::new(rate)),
        })
    }

    /// Appends one mono sample per frame of `interleaved`.
    pub(crate) fn mix(&mut self, interleaved: &mut [f32], out: &mut Vec<f32>) {
        for sample in interleaved.iter_mut() {
            *sample = if sample.is_finite() {
                sample.clamp(-LOUDEST, LOUDEST)
            } else {
                0.0
            };
        }
        match (&self.weights[..], &mut self.polarity) {
            (_, Some(polarity)) => polarity.mix(interleaved, out),
            ([_], None) => out.extend_from_slice(interleaved),
            (weights, None) => out.extend(
                interleaved
                    .chunks_exact(weights.len())
                    .map(|frame| frame.iter().zip(weights).map(|(s, w)| s * w).sum::<f32>()),
            ),
        }
    }
}

/// Weights that sum to 1. Surround follows ITU-R BS.775: centre full, left and right -3 dB, surrounds -6 dB, LFE left out.
fn mix_weights(channels: &Channels) -> Vec<f32> {
    let raw: Vec<f32> = match channels {
        Channels::Positioned(positions) if positions.bits().count_ones() > 2 => {
            positions.iter().map(surround_weight).collect()
        }
        other => vec![1.0; other.count()],
    };
    let sum: f32 = raw.iter().sum();
    if sum > 0.0 {
        raw.iter().map(|weight| weight / sum).collect()
    } else {
        vec![1.0 / raw.len() as f32; raw.len()]
    }
}

fn surround_weight(position: Position) -> f32 {
    match position {
        Position::LFE1 | Position::LFE2 => 0.0,
        Position::FRONT_CENTER => 1.0,
        Position::FRONT_LEFT | Position::FRONT_RIGHT => std::f32::consts::FRAC_1_SQRT_2,
        _ => 0.5,
    }
}

/// Stereo to mono by the mean, where an inverted right channel (a miswired cable) is first turned over: the plain mean would be silence.
///
/// Left and right count as inverted while their correlation over about the last second is below -0.5. Independent voices, music and
/// one-sided recordings stay far above that, so for them the mix is the plain mean. A change of mind fades over one block.
struct Polarity {
    memory_frames: f64,
    left: f64,
    right: f64,
    cross: f64,
    sign: f32,
    started: bool,
}

impl Polarity {
    fn new(rate: u32) -> Self {
        Polarity {
            memory_frames: f64::from(rate) * MEMORY_S,
            left: 0.0,
            right: 0.0,
            cross: 0.0,
            sign: 1.0,
            started: false,
        }
    }

    fn mix(&mut self, interleaved: &[f32], out: &mut Vec<f32>) {
        let frames = interleaved.len() / 2;
        self.listen(interleaved, frames);
        let before = self.sign;
        let norm = (self.left * self.right).sqrt();
        self.sign = if norm > 0.0 && self.cross / norm < INVERTED {
            -1.0
        } else {
            1.0
        };
        // The first decision applies at once; there is nothing to fade from.
        let before = if std::mem::replace(&mut self.started, true) {
            before
        } else {
            self.sign
        };
        let slope = (self.sign - before) / frames.max(1) as f32;
        let sign_at = |n: usize| before + slope * (n + 1) as f32;
        out.extend(
            interleaved
                .chunks_exact(2)
                .enumerate()
                .map(|(n, frame)| 0.5 * (frame[0] + sign_at(n) * frame[1])),
        );
    }

    /// Updates the running correlation with one block.
    fn listen(&mut self, interleaved: &[f32], frames: usize) {
        let keep = (-(frames as f64) / self.memory_frames).exp();
        let (mut left, mut right, mut cross) = (0.0, 0.0, 0.0);
        for frame in interleaved.chunks_exact(2) {
            let (l, r) = (f64::from(frame[0]), f64::from(frame[1]));
            left += l * l;
            right += r * r;
            cross += l * r;
        }
        self.left = self.left * keep + left;
        self.right = self.right * keep + right;
        self.cross = self.cross * keep + cross;
    }
}
