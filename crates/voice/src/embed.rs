//! Voiceprints: one vector per recording from a speaker model.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use audio::recording::{Buffer, Recording, Samples};
use onnx::{Cancel, Runtime, Session, SessionOptions};
use ort::value::TensorRef;

use crate::front::{self, Extractor, Front};
use crate::{Error, bandwidth, similarity};

/// Mel bins of the features that CAM++ and its kin take.
pub const MELS: usize = 80;
/// Longest stretch that goes through the network at once, samples. Longer recordings are cut into equal windows, so
/// that memory does not grow with them.
const WINDOW: usize = 30 * audio::SAMPLE_RATE as usize;

/// Shortest recording that has a voiceprint. Below it the features, less their mean, say ever less of the voice: at one
/// frame everybody is alike, at 0.4 s every fourth decision is wrong (docs/internals/calibration.md).
const SHORTEST_MS: u64 = 400;

/// A speaker model: CAM++ and others of 3D-Speaker, WeSpeaker's and NeMo's, as they or sherpa-onnx export them.
pub struct SpeakerModel {
    session: Session,
    front: Front,
    narrow: Option<Narrow>,
    /// Power of white noise in each bin.
    noise: [f64; MELS],
}

/// Normalised features, as a speaker model takes them.
pub struct Features {
    /// `[frames, mels]`, row-major: 80 of these but in some of NeMo's.
    pub rows: Vec<f32>,
    /// What they came through.
    pub band: Band,
}

/// The band of a recording: whole, or narrow like a telephone's.
#[derive(Clone, Copy)]
pub struct Band(Option<&'static bandwidth::Channel>);

impl Band {
    fn has_network(&self) -> bool {
        self.0.is_some_and(bandwidth::Channel::has_network)
    }
}

/// A network for narrow recordings, opened when the first one comes.
struct Narrow {
    runtime: Runtime,
    path: PathBuf,
    options: SessionOptions,
    session: Option<Session>,
}

impl Narrow {
    fn session(&mut self) -> Result<&mut Session, onnx::Error> {
        if self.session.is_none() {
            self.session = Some(Session::open(&self.runtime, &self.path, &self.options)?);
        }
        Ok(self.session.as_mut().expect("just opened"))
    }
}

impl SpeakerModel {
    /// Opens a speaker model.
    ///
    /// # Errors
    /// [`onnx::Error::Model`] if the graph is no speaker model, or its metadata ask for what is not there.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        options: &SessionOptions,
    ) -> Result<Self, onnx::Error> {
        let session = Session::open(runtime, path, options)?;
        let front = Front::of(&session)?;
        let noise = match &front.extractor {
            Extractor::Kaldi(fbank) => fbank.white_noise(),
            Extractor::Nemo(_) => [0.0; MELS],
        };
        Ok(SpeakerModel {
            session,
            front,
            narrow: None,
            noise,
        })
    }

    /// Helps telephone recordings and the like (`bandwidth/`): those of 8 kHz by a network of their own, whose voiceprints
    /// compare to those of the other; those of 11 kHz by a guess at what is missing. Both were made for CAM++ alone.
    /// Without, they are heard as they are. It changes no wide-band recording.
    pub fn help_narrow(&mut self, runtime: &Runtime, path: &Path, options: &SessionOptions) {
        self.narrow = (self.front.dimensions == bandwidth::DIMENSIONS).then(|| Narrow {
            runtime: runtime.clone(),
            path: path.into(),
            // It opens in a later call, whose work is not this one's to stop.
            options: SessionOptions {
                cancel: Default::default(),
                ..options.clone()
            },
            session: None,
        });
    }

    /// Opens what is opened when it is first needed.
    ///
    /// # Errors
    /// [`onnx::Error::Model`].
    pub fn warm_up(&mut self) -> Result<(), onnx::Error> {
        let narrow = self.narrow.as_mut().map(Narrow::session);
        narrow.transpose().map(drop)
    }

    /// Features of samples at 16 kHz, as this model takes them.
    pub fn features(&mut self, samples: &[f32]) -> Features {
        let (mut rows, power) = match &mut self.front.extractor {
            Extractor::Kaldi(fbank) => fbank.compute_with_power(samples),
            Extractor::Nemo(nemo) => {
                return Features {
                    rows: nemo.compute(samples),
                    band: Band(None),
                };
            }
        };
        let band = bandwidth::channel(&power, &self.noise).filter(|_| self.narrow.is_some());
        if let Some(channel) = band {
            channel.mend(&mut rows);
        }
        let band = Band(band);
        Features { rows, band }
    }

    /// The length of a voiceprint.
    pub fn dimensions(&self) -> usize {
        self.front.dimensions
    }

    /// The voiceprint of samples at 16 kHz: a vector of [`SpeakerModel::dimensions`], not normalised.
    ///
    /// # Errors
    /// As [`SpeakerModel::embed_parts`].
    pub fn embed(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        self.embed_parts(
            &mut Samples::new(samples),
            std::slice::from_ref(&(0..samples.len())),
            cancel,
        )
    }

    /// The voiceprint of the parts of a recording, ranges of samples in order and apart, as if they were all of it: a
    /// vector of [`SpeakerModel::dimensions`], not normalised.
    ///
    /// Up to 30 s go through the network at once, as in the reference. More are cut into equal windows and the normalised
    /// vectors averaged (better than one vector of concatenated audio: 3D-Speaker issue 164), at the mean of their norms.
    ///
    /// # Errors
    /// [`Error::TooShort`] below 0.4 s, [`Error::Silent`], [`Error::Onnx`], and those of reading.
    pub fn embed_parts(
        &mut self,
        recording: &mut dyn Recording,
        parts: &[Range<usize>],
        cancel: &Cancel,
    ) -> Result<Vec<f32>, Error> {
        let total: usize = parts.iter().map(Range::len).sum();
        let got_ms = total as u64 * 1000 / u64::from(audio::SAMPLE_RATE);
        if got_ms < SHORTEST_MS {
            return Err(Error::TooShort {
                got_ms,
                need_ms: SHORTEST_MS,
            });
        }
        let windows = total.div_ceil(WINDOW);
        let (mut sum, mut norms) = (vec![0f32; self.front.dimensions], 0f64);
        let mut buffer = Buffer::open(recording)?;
        let mut parts: Vec<Range<usize>> = parts.iter().rev().cloned().collect();
        let (mut level, mut sounds) = (None, false);
        for i in 0..windows {
            let wanted = (i + 1) * total / windows - i * total / windows;
            let mut window = Vec::with_capacity(wanted);
            while window.len() < wanted
                && let Some(part) = parts.pop()
            {
                let end = part.end.min(part.start + wanted - window.len());
                window.extend_from_slice(buffer.range(part.start, end, cancel.flag())?);
                if end < part.end {
                    parts.push(end..part.end);
                }
            }
            let first = *level.get_or_insert(window.first().copied());
            sounds |= window.iter().any(|x| Some(*x) != first);
            // The features of silence are constant: they would make a voiceprint, and it would be nobody's.
            if i + 1 == windows && !sounds {
                return Err(Error::Silent);
            }
            let mut v = self.window(&window, cancel)?;
            if windows == 1 {
                return Ok(v);
            }
            norms += v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            similarity::normalize(&mut v);
            sum.iter_mut().zip(&v).for_each(|(s, x)| *s += x);
        }
        similarity::normalize(&mut sum);
        let norm = (norms / windows as f64) as f32;
        sum.iter_mut().for_each(|x| *x *= norm);
        Ok(sum)
    }

    fn window(&mut self, samples: &[f32], cancel: &Cancel) -> Result<Vec<f32>, Error> {
        cancel.check()?;
        let features = self.features(samples);
        self.embed_features(&features.rows, &[features.band], cancel)
            .map(|mut all| all.remove(0))
    }

    /// Voiceprints of windows of equal length, in one run of the network.
    ///
    /// # Errors
    /// [`Error::Invalid`] if lengths differ; as [`SpeakerModel::embed`] otherwise.
    pub fn embed_batch(
        &mut self,
        windows: &[&[f32]],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let Some(length) = windows.first().map(|w| w.len()) else {
            return Ok(Vec::new());
        };
        if windows.iter().any(|w| w.len() != length) {
            return Err(Error::Invalid(
                "windows of one batch must be equally long".into(),
            ));
        }
        let (mut rows, mut bands) = (Vec::new(), Vec::new());
        for window in windows {
            cancel.check()?;
            let features = self.features(window);
            rows.extend(features.rows);
            bands.push(features.band);
        }
        self.embed_features(&rows, &bands, cancel)
    }

    /// Voiceprints of windows of normalised features, `[windows, frames, mels]` row-major, each with its band.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the length does not divide; [`Error::Onnx`].
    pub fn embed_features(
        &mut self,
        features: &[f32],
        bands: &[Band],
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let (batch, mels) = (bands.len(), self.front.mels);
        let frames = features.len() / mels / batch.max(1);
        if frames == 0 || features.len() != batch * frames * mels {
            return Err(Error::Invalid(format!(
                "{} features are not {batch} windows of {mels} bins",
                features.len()
            )));
        }
        let mut made = vec![Vec::new(); batch];
        for narrow in [false, true] {
            let those: Vec<usize> = (0..batch)
                .filter(|i| bands[*i].has_network() == narrow)
                .collect();
            if those.is_empty() {
                continue;
            }
            let window = |i: &usize| &features[i * frames * mels..][..frames * mels];
            let given: Cow<[f32]> = if those.len() == batch {
                features.into()
            } else {
                those.iter().map(window).collect::<Vec<_>>().concat().into()
            };
            let voiceprints = self.run(narrow, &given, frames, cancel)?;
            for (i, mut voiceprint) in those.into_iter().zip(voiceprints) {
                if let Band(Some(channel)) = bands[i] {
                    channel.correct(&mut voiceprint);
                }
                made[i] = voiceprint;
            }
        }
        Ok(made)
    }

    fn run(
        &mut self,
        narrow: bool,
        features: &[f32],
        frames: usize,
        cancel: &Cancel,
    ) -> Result<Vec<Vec<f32>>, onnx::Error> {
        let session = match &mut self.narrow {
            Some(network) if narrow => network.session()?,
            _ => &mut self.session,
        };
        let Front {
            mels,
            output,
            dimensions,
            ..
        } = self.front;
        let batch = features.len() / (frames * mels);
        let outputs = if let Extractor::Nemo(_) = self.front.extractor {
            let turned = front::transposed(features, frames, mels);
            let shape = [batch, mels, front::padded(frames)];
            let lengths = vec![frames as i64; batch];
            let inputs = ort::inputs![
                TensorRef::from_array_view((shape, turned.as_slice()))?,
                TensorRef::from_array_view(([batch], lengths.as_slice()))?,
            ];
            session.run(inputs, cancel)?
        } else {
            let tensor = TensorRef::from_array_view(([batch, frames, mels], features))?;
            session.run(ort::inputs![tensor], cancel)?
        };
        let (shape, values) = outputs[output].try_extract_tensor::<f32>()?;
        if values.len() != batch * dimensions || values.iter().any(|x| !x.is_finite()) {
            return Err(onnx::Error::Inference(format!(
                "the model gave {shape:?} values, or some that are not finite"
            )));
        }
        Ok(values
            .chunks_exact(dimensions)
            .map(<[f32]>::to_vec)
            .collect())
    }
}
