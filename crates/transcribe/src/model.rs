//! A speech recognition model of any known family.

use std::path::Path;

use onnx::{Error, Runtime, Session, SessionOptions};

use crate::family::{Family, Files};
use crate::moonshine::Moonshine;
use crate::onepass;
use crate::whisper::Whisper;

/// A model ready to recognise speech.
pub struct Model(pub(super) Box<dyn Family>);

impl Model {
    /// Opens a folder in the layout of Hugging Face's exports: `encoder_model` and `decoder_model_merged` (`.onnx` or
    /// `.ort`, also with the suffix `_quantized` or `_int8`; in the folder itself or in `onnx/`), `tokenizer.json` or
    /// `tokenizer.bin`, and for Whisper `config.json`. The family shows in the encoder's input: log-mel features
    /// are Whisper's, samples are Moonshine's.
    ///
    /// Or a folder of FunASR's or sherpa-onnx's exports of SenseVoice and Paraformer: `model.onnx`, `model.int8.onnx` or
    /// `model_quant.onnx`, `tokens.json` or `tokens.txt`, and `am.mvn` with `config.yaml`, or metadata in the graph. Or of
    /// sherpa-onnx's export of a NeMo CTC model (Conformer, FastConformer, Parakeet): the graph with metadata and `tokens.txt`.
    ///
    /// # Errors
    /// [`Error::Model`] says what is missing or of the wrong shape.
    pub fn open(runtime: &Runtime, folder: &Path, options: &SessionOptions) -> Result<Self, Error> {
        // int8 kernels are several times faster on weights in their own order.
        let options = &SessionOptions {
            prepack: true,
            ..options.clone()
        };
        let files = match (Files::find(folder), onepass::graph(folder)) {
            (Ok(files), _) => files,
            (_, Some(graph)) => return Ok(Model(onepass::open(runtime, folder, &graph, options)?)),
            (Err(e), None) => return Err(e),
        };
        let encoder = Session::open(runtime, &files.encoder, options)?;
        let names: Vec<String> = encoder
            .inputs()
            .iter()
            .map(|i| i.name().to_string())
            .collect();
        if names.iter().any(|n| n == "input_features") {
            return Ok(Model(Box::new(Whisper::open(
                runtime, encoder, &files, options,
            )?)));
        }
        if names.iter().any(|n| n == "input_values") {
            return Ok(Model(Box::new(Moonshine::open(
                runtime, encoder, &files, options,
            )?)));
        }
        let reason = format!(
            "its inputs {names:?} are neither Whisper's (input_features) nor Moonshine's (input_values)"
        );
        Err(Error::Model {
            path: files.encoder,
            reason,
        })
    }

    /// Whether it writes numerals and punctuation or, with the option `itn` false, words as they are said.
    pub fn has_itn(&self) -> bool {
        self.0.has_itn()
    }
}
