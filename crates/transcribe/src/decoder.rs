//! The text decoder of an encoder-decoder model in the layout of Hugging Face's merged exports: one graph that, with
//! `use_cache_branch` false, computes the cross-attention's keys and values, and with true goes on from a cache.

use std::path::Path;
use std::sync::Arc;

use onnx::{Cancel, Runtime, Session, SessionOptions};
use ort::memory::Allocator;
use ort::session::SessionInputValue;
use ort::value::Outlet;
use ort::value::{DynValue, Tensor};

use crate::Error;

type Input<'a> = (&'a str, SessionInputValue<'a>);

/// A merged decoder.
pub struct Decoder {
    session: Session,
    slots: Vec<Slot>,
    heads: usize,
    head_width: usize,
    takes_mask: bool,
    aligns: bool,
}

/// One key or value tensor of the cache.
struct Slot {
    past: String,
    present: String,
    is_cross: bool,
}

/// Keys and values of the tokens so far and of the audio, kept as ONNX Runtime made them: nothing is copied on the way
/// from one step to the next, and a clone shares them.
#[derive(Clone)]
pub struct Cache {
    values: Vec<Arc<DynValue>>,
    hidden: Arc<DynValue>,
    /// Valid audio frames of each row; for models that mask padding.
    mask: Option<Arc<DynValue>>,
    /// Sequences: rows of the next step.
    pub rows: usize,
}

/// Logits of one call, `[rows, steps, vocabulary]` row-major.
#[derive(Clone)]
pub struct Logits {
    values: Arc<DynValue>,
    first_row: usize,
    steps: usize,
    vocabulary: usize,
}

impl Logits {
    /// The logits of a row at a step; step 0 is the first that was kept.
    pub fn at(&self, row: usize, step: usize) -> Result<&[f32], Error> {
        let (_, values) = self.values.try_extract_tensor::<f32>()?;
        let first = ((self.first_row + row) * self.steps + step) * self.vocabulary;
        values
            .get(first..first + self.vocabulary)
            .ok_or_else(|| Error::inference("the decoder gave too few logits"))
    }

    /// The logits of a row at the last step.
    pub fn last(&self, row: usize) -> Result<&[f32], Error> {
        self.at(row, self.steps.saturating_sub(1))
    }

    /// The same, with a row as the first.
    pub fn starting_at(&self, row: usize) -> Logits {
        Logits {
            first_row: self.first_row + row,
            ..self.clone()
        }
    }

    /// Steps kept.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl Decoder {
    /// Opens a merged decoder.
    ///
    /// # Errors
    /// [`onnx::Error::Model`] if the graph has no cache in that layout, or one that is not 32-bit float.
    pub fn open(
        runtime: &Runtime,
        path: &Path,
        options: &SessionOptions,
    ) -> Result<Self, onnx::Error> {
        let session = Session::open(runtime, path, options)?;
        let wrong = |reason: &str| onnx::Error::Model {
            path: path.into(),
            reason: reason.into(),
        };
        let slots: Vec<Slot> = session
            .inputs()
            .iter()
            .filter_map(|i| Slot::of(i.name()))
            .collect();
        let first = session.inputs().iter().find(|i| i.name().starts_with(PAST));
        let shape = first.map(shape).unwrap_or_default();
        let (heads, head_width) = match shape[..] {
            [_, heads, _, width] if heads > 0 && width > 0 => (heads as usize, width as usize),
            _ => {
                return Err(wrong(
                    "it has no inputs past_key_values.* [batch, heads, tokens, width]: not a merged decoder",
                ));
            }
        };
        if slots
            .iter()
            .any(|s| !session.outputs().iter().any(|o| o.name() == s.present))
        {
            return Err(wrong(
                "it does not give back every key and value as present.*",
            ));
        }
        let has_input = |name: &str| session.inputs().iter().any(|i| i.name() == name);
        if !has_input("use_cache_branch") {
            return Err(wrong(
                "it has no input use_cache_branch: not a merged decoder",
            ));
        }
        let takes_mask = has_input("encoder_attention_mask");
        let aligns = session
            .outputs()
            .iter()
            .any(|o| o.name() == "alignment_attentions");
        Ok(Decoder {
            session,
            slots,
            heads,
            head_width,
            takes_mask,
            aligns,
        })
    }

    /// Whether the graph gives the alignment heads' attention, keeps only the logits that are asked for, takes several
    /// tokens after cached ones, and lets beams share the audio's keys and values: the additions of our own exports.
    pub fn is_extended(&self) -> bool {
        self.aligns
    }

    /// Reads the same tokens for every row of `hidden` (`[rows, frames, width]`) and starts their caches.
    /// `frames`: how many frames of each row are audio, where the model masks the others.
    pub fn start(
        &mut self,
        hidden: DynValue,
        frames: &[usize],
        tokens: &[u32],
        keep: usize,
        cancel: &Cancel,
    ) -> Result<(Cache, Logits), Error> {
        let (rows, stride) = match dimensions(&hidden)[..] {
            [rows, stride, _] => (rows as usize, stride as usize),
            _ => {
                return Err(Error::inference(
                    "the encoder's output is not [batch, frames, width]",
                ));
            }
        };
        let mask = if self.takes_mask {
            Some(Arc::new(mask(frames, stride)?))
        } else {
            None
        };
        let mut values = Vec::with_capacity(self.slots.len());
        for _ in &self.slots {
            values.push(Arc::new(self.empty(rows)?));
        }
        let mut cache = Cache {
            values,
            hidden: Arc::new(hidden),
            mask,
            rows,
        };
        let logits = self.run(&mut cache, &tokens.repeat(rows), keep, false, cancel)?;
        Ok((cache, logits))
    }

    /// Reads further tokens, `[rows, n]` row-major, and returns the logits of the last `keep` of them.
    pub fn step(
        &mut self,
        cache: &mut Cache,
        tokens: &[u32],
        keep: usize,
        cancel: &Cancel,
    ) -> Result<Logits, Error> {
        self.run(cache, tokens, keep, true, cancel)
    }

    fn run(
        &mut self,
        cache: &mut Cache,
        tokens: &[u32],
        keep: usize,
        cached: bool,
        cancel: &Cancel,
    ) -> Result<Logits, Error> {
        let mut inputs = cache_inputs(&self.slots, cache);
        inputs.push(("input_ids", ids(tokens, cache.rows)?));
        inputs.push(("use_cache_branch", flag(cached)?));
        if self.aligns {
            inputs.push((
                "num_logits_to_keep",
                Tensor::from_array(([1usize], vec![keep as i64]))?.into(),
            ));
        }
        let mut outputs = self.session.run::<0>(inputs, cancel)?;
        let mut fresh = Vec::with_capacity(self.slots.len());
        for (slot, old) in self.slots.iter().zip(cache.values.drain(..)) {
            let made = if slot.is_cross && cached {
                None
            } else {
                outputs.remove(&slot.present)
            };
            fresh.push(made.map_or(old, Arc::new));
        }
        cache.values = fresh;
        let values = outputs
            .remove("logits")
            .ok_or_else(|| Error::inference("the decoder gave no logits"))?;
        match dimensions(&values)[..] {
            [rows, steps, vocabulary]
                if rows as usize == cache.rows && steps > 0 && vocabulary > 0 =>
            {
                Ok(Logits {
                    values: Arc::new(values),
                    first_row: 0,
                    steps: steps as usize,
                    vocabulary: vocabulary as usize,
                })
            }
            ref shape => Err(Error::inference(format!(
                "the decoder gave logits of shape {shape:?}"
            ))),
        }
    }

    /// The alignment heads' attention, `[rows, heads, tokens, frames]`, while `tokens` (`[rows, n]`) are read from the
    /// start; `None` if the graph does not give it.
    pub fn alignments(
        &mut self,
        cache: &Cache,
        tokens: &[u32],
        cancel: &Cancel,
    ) -> Result<Option<DynValue>, Error> {
        if !self.aligns {
            return Ok(None);
        }
        let mut blank = Vec::new();
        for _ in self.slots.iter().filter(|s| !s.is_cross) {
            blank.push(self.empty(cache.rows)?);
        }
        let mut blank = blank.iter();
        let mut inputs: Vec<Input> = vec![("encoder_hidden_states", (&*cache.hidden).into())];
        for (slot, value) in self.slots.iter().zip(&cache.values) {
            let value = if slot.is_cross {
                Some(&**value)
            } else {
                blank.next()
            };
            inputs.extend(value.map(|v| (slot.past.as_str(), v.into())));
        }
        inputs.push(("input_ids", ids(tokens, cache.rows)?));
        inputs.push(("use_cache_branch", flag(true)?));
        inputs.push((
            "num_logits_to_keep",
            Tensor::from_array(([1usize], vec![1i64]))?.into(),
        ));
        inputs.push(("output_alignments", flag(true)?));
        Ok(self
            .session
            .run::<0>(inputs, cancel)?
            .remove("alignment_attentions"))
    }

    fn empty(&self, rows: usize) -> Result<DynValue, Error> {
        Ok(Tensor::<f32>::new(
            &Allocator::default(),
            [rows, self.heads, 0, self.head_width],
        )?
        .into_dyn())
    }

    /// Chooses recordings of a cache whose rows share their keys and values; [`Decoder::select`] must follow.
    pub fn select_recordings(&self, cache: &mut Cache, recordings: &[usize]) -> Result<(), Error> {
        let cross = self.slots.iter().zip(&mut cache.values);
        for (_, value) in cross.filter(|(slot, _)| slot.is_cross) {
            *value = Arc::new(gather(value, recordings)?);
        }
        cache.hidden = Arc::new(gather(&cache.hidden, recordings)?);
        Ok(())
    }

    /// Chooses rows of a cache, in any order and as often as wanted. With `share`, the rows are beams of one recording
    /// and go on sharing its keys and values where the graph can.
    pub fn select(&self, cache: &mut Cache, rows: &[usize], share: bool) -> Result<(), Error> {
        let keep_cross = share && self.aligns;
        for (slot, value) in self.slots.iter().zip(&mut cache.values) {
            if !(slot.is_cross && keep_cross) {
                *value = Arc::new(gather(value, rows)?);
            }
        }
        if !keep_cross {
            cache.hidden = Arc::new(gather(&cache.hidden, rows)?);
        }
        if let Some(mask) = &mut cache.mask {
            *mask = Arc::new(gather_mask(mask, rows)?);
        }
        cache.rows = rows.len();
        Ok(())
    }
}

const PAST: &str = "past_key_values.";

impl Slot {
    fn of(input: &str) -> Option<Slot> {
        let rest = input.strip_prefix(PAST)?;
        Some(Slot {
            past: input.into(),
            present: format!("present.{rest}"),
            is_cross: rest.contains(".encoder."),
        })
    }
}

fn shape(outlet: &Outlet) -> Vec<i64> {
    outlet
        .dtype()
        .tensor_shape()
        .map(|s| s.to_vec())
        .unwrap_or_default()
}

fn dimensions(value: &DynValue) -> Vec<i64> {
    value
        .dtype()
        .tensor_shape()
        .map(|s| s.to_vec())
        .unwrap_or_default()
}

fn cache_inputs<'a>(slots: &'a [Slot], cache: &'a Cache) -> Vec<Input<'a>> {
    let mut inputs: Vec<Input> = vec![("encoder_hidden_states", (&*cache.hidden).into())];
    inputs.extend(
        slots
            .iter()
            .zip(&cache.values)
            .map(|(slot, value)| (slot.past.as_str(), (&**value).into())),
    );
    inputs.extend(
        cache
            .mask
            .as_ref()
            .map(|mask| ("encoder_attention_mask", (&**mask).into())),
    );
    inputs
}

fn ids(tokens: &[u32], rows: usize) -> Result<SessionInputValue<'static>, Error> {
    let ids: Vec<i64> = tokens.iter().map(|&t| i64::from(t)).collect();
    Ok(Tensor::from_array(([rows, ids.len() / rows.max(1)], ids))?.into())
}

fn flag(value: bool) -> Result<SessionInputValue<'static>, Error> {
    Ok(Tensor::from_array(([1usize], vec![value]))?.into())
}

/// Samples per encoder frame of Moonshine, whose decoder takes the mask of the samples and thins it out itself.
const SAMPLES_PER_FRAME: usize = 384;

fn mask(frames: &[usize], stride: usize) -> Result<DynValue, Error> {
    let length = stride * SAMPLES_PER_FRAME;
    let of = |&n: &usize| (0..length).map(move |i| i64::from(i < n * SAMPLES_PER_FRAME));
    let mask: Vec<i64> = frames.iter().flat_map(of).collect();
    Ok(Tensor::from_array(([frames.len(), length], mask))?.into_dyn())
}

/// Tensors of one row each, as one.
pub fn stack(rows: &[DynValue]) -> Result<DynValue, Error> {
    let Some(first) = rows.first() else {
        return Err(Error::Invalid("no audio to decode".into()));
    };
    let mut shape = dimensions(first);
    let mut data = Vec::new();
    for row in rows {
        data.extend_from_slice(row.try_extract_tensor::<f32>()?.1);
    }
    shape[0] = rows.len() as i64;
    Ok(Tensor::from_array((shape, data))?.into_dyn())
}

/// Rows of a tensor along its first dimension, copied.
fn gather(value: &DynValue, rows: &[usize]) -> Result<DynValue, Error> {
    let (shape, data) = value.try_extract_tensor::<f32>()?;
    let mut shape = shape.to_vec();
    let copy = pick(data, &shape, rows)?;
    shape[0] = rows.len() as i64;
    Ok(Tensor::from_array((shape, copy))?.into_dyn())
}

fn gather_mask(value: &DynValue, rows: &[usize]) -> Result<DynValue, Error> {
    let (shape, data) = value.try_extract_tensor::<i64>()?;
    let copy = pick(data, shape, rows)?;
    Ok(Tensor::from_array(([rows.len(), copy.len() / rows.len().max(1)], copy))?.into_dyn())
}

fn pick<T: Copy>(data: &[T], shape: &[i64], rows: &[usize]) -> Result<Vec<T>, Error> {
    let count = shape.first().map_or(0, |&n| n as usize);
    let length = data.len() / count.max(1);
    let mut copy = Vec::with_capacity(length * rows.len());
    for &row in rows {
        let source = data.get(row * length..(row + 1) * length);
        copy.extend_from_slice(
            source.ok_or_else(|| Error::inference("a cache row is out of range"))?,
        );
    }
    Ok(copy)
}
