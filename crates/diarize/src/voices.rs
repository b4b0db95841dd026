//! Measuring voices: a normalised embedding per window, in batches, from features that overlapping windows share.

use audio::fbank;
use onnx::Cancel;
use voice::embed::{Band, MELS, SpeakerModel};
use voice::similarity;

use crate::Error;
use crate::windows::Window;
use audio::recording::{Buffer, Recording};

/// Windows per run of the network.
const BATCH: usize = 16;

/// The embedding of each window, of norm 1. Reads the recording from its start; `windows` are in order, and those of
/// fewer samples than `length` are repeated until they fill it.
///
/// # Errors
/// Those of the recording and of the network.
pub fn embed(
    recording: &mut dyn Recording,
    windows: &[Window],
    length: usize,
    model: &mut SpeakerModel,
    cancel: &Cancel,
) -> Result<Vec<Vec<f32>>, Error> {
    let filled = fbank::frames(length);
    let mut buffer = Buffer::open(recording)?;
    let mut voices = Vec::with_capacity(windows.len());
    let mut batch = Vec::with_capacity(BATCH * filled * MELS);
    let mut bands = Vec::with_capacity(BATCH);
    for group in windows.chunk_by(|a, b| b.start < a.end()) {
        for part in group.chunks(BATCH) {
            let (start, end) = (
                part[0].start,
                part.iter().map(Window::end).max().unwrap_or(0),
            );
            let features = model.features(buffer.range(start, end, cancel.flag())?);
            for window in part {
                bands.push(features.band);
                push_window(
                    &features.rows,
                    (window.start - start) / 160,
                    fbank::frames(window.samples),
                    filled,
                    &mut batch,
                );
                if bands.len() == BATCH {
                    run(&mut batch, &mut bands, model, &mut voices, cancel)?;
                }
            }
        }
    }
    run(&mut batch, &mut bands, model, &mut voices, cancel)?;
    Ok(voices)
}

/// Adds a window's features to a batch: repeated until there are `filled` frames, and with mean 0 over time.
fn push_window(features: &[f32], first: usize, frames: usize, filled: usize, batch: &mut Vec<f32>) {
    let rows: Vec<&[f32]> = features
        .chunks_exact(MELS)
        .skip(first)
        .take(frames)
        .collect();
    let start = batch.len();
    for row in rows.iter().cycle().take(filled) {
        batch.extend_from_slice(row);
    }
    let window = &mut batch[start..];
    for mel in 0..MELS {
        let bin = || (mel..window.len()).step_by(MELS);
        let mean = (bin().map(|i| f64::from(window[i])).sum::<f64>() / filled as f64) as f32;
        (mel..window.len())
            .step_by(MELS)
            .for_each(|i| window[i] -= mean);
    }
}

fn run(
    batch: &mut Vec<f32>,
    bands: &mut Vec<Band>,
    model: &mut SpeakerModel,
    voices: &mut Vec<Vec<f32>>,
    cancel: &Cancel,
) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let mut made = model.embed_features(batch, bands, cancel)?;
    made.iter_mut().for_each(|v| similarity::normalize(v));
    voices.append(&mut made);
    batch.clear();
    bands.clear();
    Ok(())
}
