//! What a speaker model takes and gives, by its graph and its metadata as sherpa-onnx writes them.
//!
//! WeSpeaker's and 3D-Speaker's models take `[N, T, 80]` of Kaldi's filter bank less its mean over time: WeSpeaker's with a Hamming
//! window over samples in 16 bits, 3D-Speaker's with a Povey window over samples in [-1, 1]. NeMo's (TitaNet, SpeakerNet, ECAPA) take
//! `[N, mels, T]` of its own features with their lengths, and give class scores beside the voiceprint.

use audio::fbank::{BINS, Fbank, Window};
use audio::nemo::Nemo;
use onnx::{Error, Session};
use ort::value::Outlet;

/// NeMo pads features to a multiple of so many frames.
const PADDED: usize = 16;

/// Features of samples.
pub(crate) enum Extractor {
    Kaldi(Fbank),
    Nemo(Nemo),
}

/// A model's signature.
pub(crate) struct Front {
    pub(crate) extractor: Extractor,
    /// Features in a frame.
    pub(crate) mels: usize,
    /// Which output is the voiceprint, and its length.
    pub(crate) output: usize,
    pub(crate) dimensions: usize,
}

impl Front {
    /// # Errors
    /// [`Error::Model`] for a graph that is no speaker model, and for metadata that ask for what is not there.
    pub(crate) fn of(session: &Session) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Model {
            path: session.path().into(),
            reason,
        };
        let known = |key| session.metadata(key).filter(|value| !value.is_empty());
        if let Some(rate) = known("sample_rate").filter(|rate| *rate != "16000") {
            return Err(wrong(format!(
                "it works at {rate} Hz; speaker models work at 16000 Hz here"
            )));
        }
        let framework = known("framework").unwrap_or_default();
        let inputs: Vec<Vec<i64>> = session.inputs().iter().map(shape).collect();
        let is_mels = |n: i64| (1..=256).contains(&n);
        let nemo = match (framework.as_str(), &inputs[..]) {
            ("nemo", [features, lengths]) if features.len() == 3 && lengths.len() == 1 => true,
            ("wespeaker" | "3d-speaker" | "", [features])
                if features.len() == 3 && features[2] == BINS as i64 =>
            {
                false
            }
            ("nemo" | "wespeaker" | "3d-speaker" | "", _) => {
                return Err(wrong(format!(
                    "a speaker model takes one input [N, T, {BINS}], or with \"framework\" \"nemo\" in its metadata [N, mels, T] and \
                     lengths [N]; this one takes {inputs:?}"
                )));
            }
            _ => {
                return Err(wrong(format!(
                    "its metadata say framework \"{framework}\"; known are wespeaker, 3d-speaker and nemo"
                )));
            }
        };
        let normal = if nemo { "per_feature" } else { "global-mean" };
        if let Some(other) = known("feature_normalize_type").filter(|n| *n != normal) {
            return Err(wrong(format!(
                "its metadata ask for features of feature_normalize_type \"{other}\", not \"{normal}\""
            )));
        }
        // NeMo's exports name it, and have scores first; the others have one output.
        let named = |o: &Outlet| o.name() == "embs";
        let outputs = session.outputs();
        let output = outputs.iter().position(named);
        let embs = output.is_some();
        let output = output.unwrap_or(if nemo {
            outputs.len().saturating_sub(1)
        } else {
            0
        });
        let made = outputs.get(output).map(shape).unwrap_or_default();
        let told = || known("output_dim")?.parse::<usize>().ok();
        let dimensions = match made[..] {
            [_, d] if d > 0 => Some(d as usize),
            [_, _] => told().filter(|d| (1..=1 << 16).contains(d)),
            _ => None,
        };
        let dimensions = dimensions.ok_or_else(|| {
            wrong(format!(
                "a speaker model gives [N, dimensions], this one gives {made:?}"
            ))
        })?;
        if nemo {
            let told = known("feat_dim").and_then(|n| n.parse().ok());
            let mels = Some(inputs[0][1]).filter(|n| *n > 0).or(told);
            let mels = mels.filter(|n| is_mels(*n)).unwrap_or(BINS as i64) as usize;
            return Ok(Front {
                extractor: Extractor::Nemo(Nemo::new(mels)),
                mels,
                output,
                dimensions,
            });
        }
        // An export by WeSpeaker itself has no metadata.
        let wespeaker = framework == "wespeaker" || framework.is_empty() && embs;
        let scale = match known("normalize_samples").as_deref() {
            Some("0") => 32768.0,
            Some(_) => 1.0,
            None if wespeaker => 32768.0,
            None => 1.0,
        };
        let window = if wespeaker {
            Window::Hamming
        } else {
            Window::Povey
        };
        Ok(Front {
            extractor: Extractor::Kaldi(Fbank::with(window, scale)),
            mels: BINS,
            output,
            dimensions,
        })
    }
}

/// Frames after which NeMo's networks get zeros.
pub(crate) fn padded(frames: usize) -> usize {
    frames.next_multiple_of(PADDED)
}

/// `[N, T, mels]` as `[N, mels, T]`, padded with zeros.
pub(crate) fn transposed(features: &[f32], frames: usize, mels: usize) -> Vec<f32> {
    let wide = padded(frames);
    let mut turned = vec![0.0; features.len() / (frames * mels) * mels * wide];
    let windows = features.chunks_exact(frames * mels);
    for (from, to) in windows.zip(turned.chunks_exact_mut(mels * wide)) {
        for (t, row) in from.chunks_exact(mels).enumerate() {
            for (mel, value) in row.iter().enumerate() {
                to[mel * wide + t] = *value;
            }
        }
    }
    turned
}

fn shape(outlet: &Outlet) -> Vec<i64> {
    let shape = outlet.dtype().tensor_shape();
    shape.map(|s| s.to_vec()).unwrap_or_default()
}
