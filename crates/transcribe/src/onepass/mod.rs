//! Models without a text decoder that goes token by token: FunASR's SenseVoice and Paraformer, NeMo's CTC models, as their makers
//! and sherpa-onnx export them: one graph from features to the logits of all tokens.
//!
//! `lfr.rs`: FunASR's features; `sense_voice.rs`, `paraformer.rs`, `nemo.rs`: what each network takes, and its logits to words;
//! `ctc.rs`: frames to tokens. This file: the folder of a model, batches, and what all have in common.

mod ctc;
mod lfr;
mod nemo;
mod paraformer;
mod sense_voice;

use std::path::{Path, PathBuf};

use onnx::{Runtime, Session, SessionOptions};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType};

use crate::Error;
use crate::family::{Family, Options, Task};
use crate::guard::{self, Evidence};
use crate::languages::Language;
use crate::pack::Chunk;
use crate::tokenizer::Tokenizer;
use crate::words::ChunkWord;
use crate::{hanzi, onset};
use lfr::{Cmvn, FrontEnd};
use nemo::{Mels, NemoCtc};
use paraformer::Paraformer;
use sense_voice::SenseVoice;

/// Names of the graph, the first that is there.
const GRAPHS: [&str; 6] = [
    "model.onnx",
    "model.ort",
    "model.int8.onnx",
    "model_quant.onnx",
    "model_int8.onnx",
    "model_quantized.onnx",
];
/// Longest chunk, ms: what SenseVoice was trained on.
const MAX_CHUNK_MS: u64 = 30_000;
/// Most audio, filled up to the longest, that goes through a network together, s: SenseVoice's logits take 100 kB for 60 ms.
const BATCH_S: f32 = 60.0;
/// The languages of FunASR's networks; a Paraformer may know fewer.
const CODES: [&str; 5] = ["zh", "en", "yue", "ja", "ko"];

/// The graph in a folder of such a model.
pub fn graph(folder: &Path) -> Option<PathBuf> {
    let mut paths = GRAPHS.iter().map(|name| folder.join(name));
    paths.find(|path| path.is_file())
}

/// Opens a folder: the graph, `tokens.json` or `tokens.txt`, and for FunASR's `am.mvn` with `config.yaml` unless the graph's
/// metadata say what these do.
///
/// # Errors
/// [`onnx::Error::Model`] says what is missing or of the wrong shape.
pub fn open(
    runtime: &Runtime,
    folder: &Path,
    graph: &Path,
    options: &SessionOptions,
) -> Result<Box<dyn Family>, onnx::Error> {
    let session = Session::open(runtime, graph, options)?;
    let has = |name: &str| session.inputs().iter().any(|i| i.name() == name);
    let (given, made) = (session.inputs().len(), session.outputs().len());
    if has("bias_embed") {
        let reason = "it takes hotwords (bias_embed), a contextual Paraformer: its export without them can be registered";
        return Err(onnx::Error::model(graph, reason));
    }
    if given == 2 && nemo::is_one(&session) {
        return Ok(Box::new(NemoCtc::open(session, folder)?));
    }
    if given == 4 && has("language") {
        let network = Network::of_funasr(session, folder)?;
        return Ok(Box::new(SenseVoice::open(network)));
    }
    if given == 2 && made >= 2 {
        let network = Network::of_funasr(session, folder)?;
        return Ok(Box::new(Paraformer::open(network)));
    }
    let reason = format!(
        "its inputs {:?} and outputs {:?} are neither SenseVoice's (features, lengths, language, textnorm) nor Paraformer's \
         (features, lengths; logits, token_num), and its metadata have no model_type of NeMo's CTC models",
        names(session.inputs()),
        names(session.outputs())
    );
    Err(onnx::Error::model(graph, reason))
}

fn names(outlets: &[Outlet]) -> Vec<&str> {
    outlets.iter().map(Outlet::name).collect()
}

/// Samples to features, row by row.
enum Front {
    Lfr(FrontEnd),
    Mels(Mels),
}

impl Front {
    /// Numbers in a row.
    fn width(&self) -> usize {
        match self {
            Front::Lfr(front) => front.width(),
            Front::Mels(front) => front.width(),
        }
    }

    /// Which dimension of the network's input these are.
    fn axis(&self) -> usize {
        match self {
            Front::Lfr(_) => 2,
            Front::Mels(_) => 1,
        }
    }

    /// Seconds between two rows.
    fn step(&self) -> f32 {
        match self {
            Front::Lfr(front) => front.step(),
            Front::Mels(front) => front.step(),
        }
    }

    fn compute(&mut self, samples: &[f32]) -> Vec<f32> {
        match self {
            Front::Lfr(front) => front.compute(samples),
            Front::Mels(front) => front.compute(samples),
        }
    }
}

/// A graph with its front end and vocabulary.
struct Network {
    session: Session,
    front: Front,
    tokenizer: Tokenizer,
    /// `config.yaml`, empty if there is none.
    config: String,
}

/// Features of chunks, filled up with zeros to the longest.
struct Batch {
    /// `[lengths.len(), rows, width]`.
    features: Vec<f32>,
    rows: usize,
    lengths: Vec<usize>,
}

impl Network {
    /// FunASR's front end, by what is in the folder.
    fn of_funasr(session: Session, folder: &Path) -> Result<Self, onnx::Error> {
        let text = |name: &str| {
            let path = folder.join(name);
            let read = |path: &Path| {
                onnx::regular(path)?;
                std::fs::read_to_string(path).map_err(|e| onnx::Error::model(path, e))
            };
            path.exists().then(|| read(&path)).transpose()
        };
        let config = text("config.yaml")?.unwrap_or_default();
        let number = |key: &str, name: &str, usual: usize| {
            let told = session.metadata(key).or_else(|| entry(&config, name));
            told.map_or(Ok(usual), |n| n.trim().parse().map_err(|_| n))
        };
        let sizes = number("lfr_window_size", "lfr_m", 7)
            .and_then(|m| Ok((m, number("lfr_window_shift", "lfr_n", 6)?)));
        let (window, shift) = match sizes {
            Ok((window @ 1..=64, shift @ 1..=64)) => (window, shift),
            Ok((m, n)) => return Err(wrong_rate(folder, &format!("{m} and {n}"))),
            Err(given) => return Err(wrong_rate(folder, &given)),
        };
        let width = FrontEnd::width_of(window);
        let cmvn = match (session.metadata("neg_mean"), session.metadata("inv_stddev")) {
            (Some(shift), Some(scale)) => Cmvn::lists(&shift, &scale),
            _ => match text("am.mvn")? {
                Some(text) => Cmvn::read(&text),
                None => {
                    let reason = "the folder holds no am.mvn, and the graph's metadata no neg_mean and inv_stddev";
                    return Err(onnx::Error::model(folder, reason));
                }
            },
        };
        let cmvn = cmvn.filter(|c| c.is_of(width)).ok_or_else(|| {
            let reason =
                format!("am.mvn or the graph's metadata are not two lists of {width} numbers");
            onnx::Error::model(folder, reason)
        })?;
        let front = Front::Lfr(FrontEnd::new(window, shift, cmvn));
        Network::new(session, folder, front, config)
    }

    /// With the vocabulary in the folder.
    fn new(
        session: Session,
        folder: &Path,
        front: Front,
        config: String,
    ) -> Result<Self, onnx::Error> {
        let vocabulary = ["tokens.json", "tokens.txt"].map(|name| folder.join(name));
        let vocabulary = vocabulary.iter().find(|p| p.exists()).ok_or_else(|| {
            onnx::Error::model(folder, "the folder holds no tokens.json or tokens.txt")
        })?;
        let tokenizer = Tokenizer::open_list(vocabulary)?;
        let network = Network {
            session,
            front,
            tokenizer,
            config,
        };
        network.check()?;
        Ok(network)
    }

    /// That the graph takes the front end's features and gives logits of the vocabulary, where it tells.
    fn check(&self) -> Result<(), onnx::Error> {
        let wrong = |reason: String| Err(onnx::Error::model(self.session.path(), reason));
        let size = |outlet: Option<&Outlet>, axis: usize| {
            let shape = outlet.and_then(|o| o.dtype().tensor_shape())?;
            (shape.len() == 3).then(|| shape[axis])
        };
        let is_float = |outlet: Option<&Outlet>| {
            outlet.and_then(|o| o.dtype().tensor_type()) == Some(TensorElementType::Float32)
        };
        let (features, logits) = (
            self.session.inputs().first(),
            self.session.outputs().first(),
        );
        let (width, axis) = (self.front.width(), self.front.axis());
        match size(features, axis) {
            Some(n) if is_float(features) && (n < 0 || n == width as i64) => (),
            given => {
                let layout = if axis == 1 {
                    format!("{width}, T")
                } else {
                    format!("T, {width}")
                };
                return wrong(format!(
                    "features are [N, {layout}] in float32, its first input takes another type or width ({given:?})"
                ));
            }
        }
        let known = self.tokenizer.len();
        match size(logits, 2) {
            Some(n) if is_float(logits) && (n < 0 || n == known as i64) => Ok(()),
            given => wrong(format!(
                "the vocabulary has {known} tokens, the logits are no float32 [N, T, {known}] ({given:?})"
            )),
        }
    }

    /// Chunks as input, in batches of those behind each other; with their places. Chunks without a row are in none.
    fn batches(&mut self, chunks: &[Chunk]) -> Vec<(Vec<usize>, Batch)> {
        let width = self.front.width();
        let most_rows = (BATCH_S / self.front.step()).round() as usize;
        let mut groups: Vec<(Vec<usize>, Vec<Vec<f32>>, usize)> = Vec::new();
        for (i, chunk) in chunks.iter().enumerate() {
            let features = self.front.compute(&chunk.samples);
            let rows = features.len() / width;
            if rows == 0 {
                continue;
            }
            match groups.last_mut() {
                Some((places, all, most)) if rows.max(*most) * (all.len() + 1) <= most_rows => {
                    places.push(i);
                    all.push(features);
                    *most = rows.max(*most);
                }
                _ => groups.push((vec![i], vec![features], rows)),
            }
        }
        let batch = |(places, all, rows): (Vec<usize>, Vec<Vec<f32>>, usize)| {
            let lengths = all.iter().map(|f| f.len() / width).collect();
            let mut features = Vec::with_capacity(all.len() * rows * width);
            for one in all {
                features.extend_from_slice(&one);
                features.resize(features.len() + rows * width - one.len(), 0.0);
            }
            let batch = Batch {
                features,
                rows,
                lengths,
            };
            (places, batch)
        };
        groups.into_iter().map(batch).collect()
    }

    /// An input of whole numbers, one per chunk, in the width that the graph takes.
    fn whole(&self, input: usize, values: &[usize]) -> Result<DynValue, Error> {
        let outlet = self.session.inputs().get(input);
        let is_long =
            outlet.and_then(|o| o.dtype().tensor_type()) == Some(TensorElementType::Int64);
        let shape = [values.len()];
        Ok(if is_long {
            let long: Vec<i64> = values.iter().map(|&n| n as i64).collect();
            Tensor::from_array((shape, long))?.into_dyn()
        } else {
            let short: Vec<i32> = values.iter().map(|&n| n as i32).collect();
            Tensor::from_array((shape, short))?.into_dyn()
        })
    }

    /// The name of an input, by its place: exporters call them differently.
    fn input(&self, at: usize) -> String {
        let input = self.session.inputs().get(at);
        input.map(|i| i.name().to_string()).unwrap_or_default()
    }
}

fn wrong_rate(folder: &Path, given: &str) -> onnx::Error {
    let reason = format!("lfr_m and lfr_n are numbers from 1 to 64, not {given}");
    onnx::Error::model(folder, reason)
}

/// The value of a key in a YAML file of plain `key: value` lines, at any depth.
fn entry(yaml: &str, key: &str) -> Option<String> {
    let mut lines = yaml.lines().map(str::trim);
    lines.find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(':')?;
        Some(
            value
                .split('#')
                .next()
                .unwrap_or_default()
                .trim()
                .to_string(),
        )
    })
}

/// The most probable token of a frame.
fn most(logits: &[f32]) -> Result<usize, Error> {
    let (mut best, mut value) = (0, f32::NEG_INFINITY);
    for (i, &x) in logits.iter().enumerate() {
        if x > value {
            (best, value) = (i, x);
        }
    }
    if value.is_finite() {
        Ok(best)
    } else {
        Err(Error::inference("the network gave no numbers"))
    }
}

/// The log-probability of a token.
fn log_prob(logits: &[f32], token: usize) -> f32 {
    let total: f32 = logits.iter().map(|x| (x - logits[token]).exp()).sum();
    (-total.ln()).clamp(f32::MIN, 0.0)
}

/// Logits by chunk, row and token: their rows of a chunk and their width.
fn logits(value: &DynValue, chunks: usize, vocabulary: usize) -> Result<(&[f32], usize), Error> {
    let (shape, logits) = value.try_extract_tensor::<f32>()?;
    match shape[..] {
        [n, rows, width] if n as usize == chunks && width as usize == vocabulary => {
            Ok((logits, rows as usize))
        }
        _ => Err(Error::inference("the network's logits have another shape")),
    }
}

/// The languages of [`CODES`].
fn languages() -> impl Iterator<Item = Language> {
    CODES.iter().filter_map(|code| Language::parse(code).ok())
}

/// That one of FunASR's networks can do what is asked for.
fn check(options: &Options) -> Result<(), Error> {
    let unknown = (options.language).is_some_and(|wanted| languages().all(|l| l != wanted));
    if unknown || options.task == Task::Translate {
        let known = CODES.join(", ");
        return Err(Error::Invalid(format!(
            "the model knows the languages {known} only, and does not translate"
        )));
    }
    Ok(())
}

/// What all networks' words go through at last: the script, the pauses around them, and whether they can have been said.
fn finish(
    mut words: Vec<ChunkWord>,
    language: Language,
    chunk: &Chunk,
    no_speech: f32,
    timed: bool,
) -> Vec<ChunkWord> {
    if let Some(script) = language.script() {
        hanzi::write(&mut words, script);
    }
    if timed {
        onset::refine(&mut words, &chunk.speech);
    }
    let text: String = words.iter().map(|w| w.text.as_str()).collect();
    let tokens: usize = words.iter().map(|w| w.tokens).sum();
    let log_prob: f32 = words.iter().map(|w| w.log_prob).sum();
    let evidence = Evidence {
        log_prob: log_prob / tokens.max(1) as f32,
        compression: guard::compression_ratio(text.trim()),
        no_speech,
        looped: false,
    };
    if evidence.is_invented(&text, chunk.seconds()) {
        words.clear();
    }
    words
}
