//! Speaker segmentation: who talks when within some seconds, speakers numbered anew in every window.
//!
//! The network is pyannote segmentation 3.0 (Bredin 2023): 10 s in, one of seven classes every 17 ms out.

use std::path::Path;

use onnx::{Cancel, Runtime, Session, SessionOptions};
use ort::value::TensorRef;

use crate::Error;
use crate::frames;
use crate::powerset::CLASSES;

/// Samples in a window: 10 s, what the network was trained on.
pub const WINDOW: usize = 160_000;

/// The segmentation network.
pub struct Segmentation {
    session: Session,
}

impl Segmentation {
    /// Opens the network.
    ///
    /// # Errors
    /// [`onnx::Error::Model`] if the graph does not take `[N, 1, samples]` and give `[N, frames, 7]`.
    pub fn open(
        runtime: &Runtime,
        model: &Path,
        options: &SessionOptions,
    ) -> Result<Self, onnx::Error> {
        let session = Session::open(runtime, model, options)?;
        let shape = |outlet: Option<&ort::value::Outlet>| {
            outlet
                .and_then(|o| o.dtype().tensor_shape())
                .map(|s| s.to_vec())
                .unwrap_or_default()
        };
        let (given, made) = (
            shape(session.inputs().first()),
            shape(session.outputs().first()),
        );
        if session.inputs().len() != 1
            || given.len() != 3
            || made.len() != 3
            || made[2] != CLASSES as i64
        {
            let reason = format!(
                "a segmentation model takes [N, 1, samples] and gives [N, frames, {CLASSES}], this one takes {given:?} and gives {made:?}"
            );
            return Err(onnx::Error::Model {
                path: model.into(),
                reason,
            });
        }
        Ok(Self { session })
    }

    /// Log-probabilities of the classes in each window, `[frames, 7]` row-major. Windows are equally long and at least
    /// [`frames::FIELD`] samples.
    ///
    /// # Errors
    /// [`Error::Invalid`] for other windows, [`Error::Onnx`].
    pub fn scores(&mut self, windows: &[&[f32]], cancel: &Cancel) -> Result<Vec<Vec<f32>>, Error> {
        let Some(length) = windows.first().map(|w| w.len()) else {
            return Ok(Vec::new());
        };
        let frames = frames::count(length);
        if frames == 0 || windows.iter().any(|w| w.len() != length) {
            return Err(Error::Invalid(format!(
                "windows must be equally long and have {} samples",
                frames::FIELD
            )));
        }
        let samples = windows.concat();
        let tensor = TensorRef::from_array_view(([windows.len(), 1, length], samples.as_slice()))?;
        let outputs = self.session.run(ort::inputs![tensor], cancel)?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>()?;
        if values.len() != windows.len() * frames * CLASSES {
            return Err(onnx::Error::Inference(format!(
                "the segmentation model gave {shape:?} for {frames} frames"
            ))
            .into());
        }
        Ok(values
            .chunks_exact(frames * CLASSES)
            .map(<[f32]>::to_vec)
            .collect())
    }
}
