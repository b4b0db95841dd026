//! Playing on where rate or channels change midway, as browsers do: all in the rate and channels that the file began with.

use symphonia::core::audio::AudioSpec;

use crate::Error;
use crate::resample::Resampler;

/// From one kind of frames to another.
pub(crate) struct Adapter {
    rate: u32,
    channels: usize,
    wanted: usize,
    /// One for each wanted channel.
    resamplers: Vec<Resampler>,
    /// A channel of a packet before, and all of them after resampling.
    one: Vec<f32>,
    all: Vec<Vec<f32>>,
}

impl Adapter {
    /// Makes frames of `channels` at `rate` Hz from others.
    pub(crate) fn new(from: &AudioSpec, rate: u32, channels: usize) -> Result<Self, Error> {
        let resamplers = (0..channels).map(|_| Resampler::between(from.rate(), rate));
        Ok(Adapter {
            rate: from.rate(),
            channels: from.channels().count().max(1),
            wanted: channels,
            resamplers: resamplers.collect::<Result<_, _>>()?,
            one: Vec::new(),
            all: vec![Vec::new(); channels],
        })
    }

    /// Whether it is for such frames.
    pub(crate) fn takes(&self, from: &AudioSpec) -> bool {
        (self.rate, self.channels) == (from.rate(), from.channels().count())
    }

    /// Replaces interleaved frames by what they are in the other kind, as far as that is ready.
    pub(crate) fn convert(&mut self, frames: &mut Vec<f32>) {
        for wanted in 0..self.wanted {
            self.one.clear();
            self.one
                .extend(frames.chunks_exact(self.channels).map(|frame| {
                    match (self.channels, self.wanted) {
                        (1, _) => frame[0],
                        (n, 1) => frame.iter().sum::<f32>() / n as f32,
                        _ => frame.get(wanted).copied().unwrap_or(0.0),
                    }
                }));
            self.resamplers[wanted].push(&self.one, &mut self.all[wanted]);
        }
        self.interleave(frames);
    }

    /// The frames that are still inside.
    pub(crate) fn finish(mut self, frames: &mut Vec<f32>) {
        for (resampler, out) in self.resamplers.iter_mut().zip(&mut self.all) {
            resampler.finish(out);
        }
        self.interleave(frames);
    }

    fn interleave(&mut self, frames: &mut Vec<f32>) {
        let ready = self.all.iter().map(Vec::len).min().unwrap_or(0);
        frames.clear();
        for i in 0..ready {
            frames.extend(self.all.iter().map(|channel| channel[i]));
        }
        self.all
            .iter_mut()
            .for_each(|channel| drop(channel.drain(..ready)));
    }
}
