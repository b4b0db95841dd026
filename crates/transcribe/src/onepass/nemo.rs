//! NeMo's CTC models (Conformer, FastConformer, Parakeet, Citrinet, QuartzNet; the CTC branch of hybrid ones) as sherpa-onnx exports
//! them: `audio_signal` [N, mels, T] and `length` in, log-probabilities of SentencePiece's pieces out, the blank behind them, one
//! frame for as many of features as `subsampling_factor` says. Sources: sherpa-onnx's exports and `OfflineNemoEncDecCtcModel`, NeMo's
//! `ConvSubsampling`.

use std::path::Path;

use audio::nemo::Nemo;
use onnx::{Cancel, Session};
use ort::value::TensorRef;

use super::{Batch, Front, Network, ctc, finish, logits};
use crate::Error;
use crate::family::{Family, Options, Recognised, Task};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::words::{self, Token};

/// Longest chunk, ms: most were trained on utterances up to this long.
const MAX_CHUNK_MS: u64 = 20_000;
/// Seconds between two frames of features.
const FRAME_S: f32 = 0.01;
/// Mel bins, where the graph does not say.
const USUAL_MELS: usize = 80;
/// What the graph's `model_type` begins with, and what it has in it.
const TYPE: (&str, &str) = ("EncDec", "CTC");
/// Names of the blank; else it is the last token.
const BLANKS: [&str; 3] = ["<blk>", "<blank>", "<eps>"];

/// Whether a graph's metadata say that it is one of these.
pub fn is_one(session: &Session) -> bool {
    let told = session.metadata("model_type").unwrap_or_default();
    told.starts_with(TYPE.0) && told.contains(TYPE.1)
}

/// NeMo's features.
pub struct Mels {
    extractor: Nemo,
    width: usize,
}

impl Mels {
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn step(&self) -> f32 {
        FRAME_S
    }

    pub fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        self.extractor.compute(samples)
    }
}

/// A CTC model of NeMo's.
pub struct NemoCtc {
    network: Network,
    blank: usize,
    /// Rows of features for a frame.
    subsampling: usize,
    /// The language that the graph's metadata name, if they do.
    told: Option<Language>,
}

impl NemoCtc {
    /// By the graph's metadata and the vocabulary in the folder.
    ///
    /// # Errors
    /// [`onnx::Error::Model`] for features or a frame rate that are not known.
    pub fn open(session: Session, folder: &Path) -> Result<Self, onnx::Error> {
        let wrong = |reason: String| onnx::Error::model(session.path(), reason);
        let told = |key: &str| session.metadata(key).unwrap_or_default().trim().to_string();
        if told("is_giga_am") == "1" {
            return Err(wrong("GigaAM's features are not NeMo's".into()));
        }
        let subsampling = match told("subsampling_factor").parse() {
            Ok(n @ 1..=64) => n,
            _ => {
                let given = told("subsampling_factor");
                let reason =
                    format!("subsampling_factor is a number from 1 to 64, not \"{given}\"");
                return Err(wrong(reason));
            }
        };
        let shape = session.inputs()[0].dtype().tensor_shape();
        let width = match shape.map(|s| s.to_vec()).as_deref() {
            Some([_, mels @ 1..=256, _]) => *mels as usize,
            _ => USUAL_MELS,
        };
        let extractor = match told("normalize_type").as_str() {
            "per_feature" => Nemo::new(width),
            "" | "NA" => Nemo::new(width).unnormalised(),
            other => {
                let reason = format!("normalize_type is \"per_feature\" or empty, not \"{other}\"");
                return Err(wrong(reason));
            }
        };
        let told = Language::parse(&told("language")).ok();
        let front = Front::Mels(Mels { extractor, width });
        let network = Network::new(session, folder, front, String::new())?;
        let known = BLANKS.iter().find_map(|b| network.tokenizer.special(b));
        let last = network.tokenizer.len() - 1;
        Ok(NemoCtc {
            blank: known.map_or(last, |id| id as usize),
            network,
            subsampling,
            told,
        })
    }

    /// The languages that it writes, the usual one first: those given, the one that its metadata name, or English.
    fn known(&self, options: &Options) -> Vec<Language> {
        match &options.languages[..] {
            [] => vec![self.told.unwrap_or(Language::ENGLISH)],
            given => given.to_vec(),
        }
    }

    /// The language to write.
    fn language(&self, options: &Options) -> Result<Language, Error> {
        let known = self.known(options);
        let wanted = options.language.unwrap_or(known[0]);
        if !known.contains(&wanted) || options.task == Task::Translate {
            let known: Vec<&str> = known.iter().map(|l| l.code()).collect();
            return Err(Error::Invalid(format!(
                "the model knows the languages {} only, and does not translate",
                known.join(", ")
            )));
        }
        Ok(wanted)
    }

    fn run(&mut self, batch: &Batch, cancel: &Cancel) -> Result<Vec<Vec<Token>>, Error> {
        let network = &mut self.network;
        let (chunks, width) = (batch.lengths.len(), network.front.width());
        let features = transposed(batch, width);
        let shape = [chunks, width, batch.rows];
        let inputs = ort::inputs![
            network.input(0) => TensorRef::from_array_view((shape, features.as_slice()))?,
            network.input(1) => network.whole(1, &batch.lengths)?,
        ];
        let step = network.front.step() * self.subsampling as f32;
        let outputs = network.session.run(inputs, cancel)?;
        let width = network.tokenizer.len();
        let (logits, frames) = logits(&outputs[0], chunks, width)?;
        let mut all = Vec::with_capacity(chunks);
        for (i, &length) in batch.lengths.iter().enumerate() {
            let own = length.div_ceil(self.subsampling).min(frames);
            let rows = &logits[i * frames * width..][..own * width];
            let rows: Vec<&[f32]> = rows.chunks_exact(width).collect();
            all.push(ctc::tokens(&rows, 0, self.blank, step)?);
        }
        Ok(all)
    }
}

/// `[N, rows, width]` as `[N, width, rows]`.
fn transposed(batch: &Batch, width: usize) -> Vec<f32> {
    let mut turned = vec![0.0; batch.features.len()];
    let chunks = batch.features.chunks_exact(batch.rows * width);
    for (from, to) in chunks.zip(turned.chunks_exact_mut(batch.rows * width)) {
        for (row, values) in from.chunks_exact(width).enumerate() {
            for (bin, value) in values.iter().enumerate() {
                to[bin * batch.rows + row] = *value;
            }
        }
    }
    turned
}

impl Family for NemoCtc {
    fn max_chunk_ms(&self) -> u64 {
        MAX_CHUNK_MS
    }

    fn recognise(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        cancel: &Cancel,
    ) -> Result<Vec<Recognised>, Error> {
        let language = self.language(options)?;
        let mut all = vec![Vec::new(); chunks.len()];
        for (places, batch) in self.network.batches(chunks) {
            cancel.check()?;
            for (place, mut tokens) in places.into_iter().zip(self.run(&batch, cancel)?) {
                let seconds = chunks[place].seconds();
                for token in &mut tokens {
                    token.start = token.start.min(seconds);
                    token.end = token.end.min(seconds);
                }
                all[place] = tokens;
            }
        }
        let made = all.iter().zip(chunks).map(|(tokens, chunk)| {
            let words = words::words(tokens, &self.network.tokenizer, language);
            Recognised {
                words: finish(words, language, chunk, 0.0, true),
                language,
                approximate: false,
            }
        });
        Ok(made.collect())
    }

    fn languages(
        &mut self,
        chunks: &[Chunk],
        options: &Options,
        _: &Cancel,
    ) -> Result<Vec<Vec<(Language, f32)>>, Error> {
        let usual = self.known(options)[0];
        Ok(vec![vec![(usual, 1.0)]; chunks.len()])
    }

    fn leaves_out(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// onnx-asr's features, and those before they are normalised.
    #[test]
    fn features_are_nemos() {
        let text = std::fs::read_to_string("tests/fixtures/nemo/golden.json").unwrap();
        let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
        let clip = testing::clip("austen-1.wav");
        let clip = &clip[golden["from"].as_u64().unwrap() as usize..];
        for case in golden["cases"].as_array().unwrap() {
            let samples = &clip[..case["samples"].as_u64().unwrap() as usize];
            for (name, mut nemo) in [
                ("normalised", Nemo::new(80)),
                ("plain", Nemo::new(80).unnormalised()),
            ] {
                let rows: Vec<Vec<f32>> = serde_json::from_value(case[name].clone()).unwrap();
                let got = nemo.compute(samples);
                assert_eq!(got.len(), rows.len() * 80, "{name}");
                let off = got.iter().zip(rows.iter().flatten());
                let off = off.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(off < 1e-4, "{name}: furthest value off by {off}");
            }
        }
    }

    #[test]
    fn rows_become_columns() {
        let batch = Batch {
            features: (0..12).map(|x| x as f32).collect(),
            rows: 3,
            lengths: vec![3, 3],
        };
        let turned = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11].map(|x| x as f32);
        assert_eq!(transposed(&batch, 2), turned);
    }
}
