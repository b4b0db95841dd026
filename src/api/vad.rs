//! `ai_audio_vad`: when somebody speaks.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use serde::Deserialize;
use vad::{Span, Vad, VadOptions};

use crate::call::arguments::{Call, Shape};
use crate::call::options;
use crate::call::recording::Recording;
use crate::call::rows::ms;
use crate::errors::Error;
use crate::models::{Engine, Model, Task};
use crate::{interrupt, stats};

/// Samples that go through the detector at once.
const BLOCK: usize = 256 * vad::WINDOW;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SpeechOptions {
    /// Speech begins at this probability.
    threshold: Option<f32>,
    /// Shorter stretches of speech are dropped, ms.
    #[serde(deserialize_with = "options::millis")]
    min_speech: Option<u64>,
    /// Shorter pauses do not end a stretch, ms.
    #[serde(deserialize_with = "options::millis")]
    min_silence: Option<u64>,
    /// Added on both sides of a stretch, ms.
    #[serde(deserialize_with = "options::millis")]
    pad: Option<u64>,
}

impl SpeechOptions {
    fn vad(&self) -> Result<VadOptions, Error> {
        let base = VadOptions::default();
        let threshold = self.threshold.unwrap_or(base.threshold);
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::Options(format!(
                "threshold is a probability between 0 and 1, not {threshold}"
            )));
        }
        Ok(VadOptions {
            threshold,
            end_threshold: (threshold - (base.threshold - base.end_threshold)).max(0.01),
            min_speech_ms: self.min_speech.unwrap_or(base.min_speech_ms),
            min_silence_ms: self.min_silence.unwrap_or(base.min_silence_ms),
            pad_ms: self.pad.unwrap_or(base.pad_ms),
        })
    }
}

/// `ai_audio_vad(source [, options])`: when somebody speaks.
#[pg_extern]
fn ai_audio_vad(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<TableIterator<'static, (name!(start_time, i32), name!(end_time, i32))>, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let call = unsafe { Call::read(fcinfo, Shape::Source) }?;
    let spans = call.map(speech).transpose()?.unwrap_or_default();
    Ok(TableIterator::new(
        spans.into_iter().map(|s| (ms(s.start_ms), ms(s.end_ms))),
    ))
}

fn speech(call: Call) -> Result<Vec<Span>, Error> {
    stats::CALLS.add(1);
    let (common, own) = options::read::<SpeechOptions>(call.options)?;
    let (shape, selection) = (own.vad()?, common.selection()?);
    let model = Model::find("vad", Task::VoiceActivityDetection)?;
    let engine = Engine::current();
    let found = Recording::with(&call.source, &common).and_then(|recording| {
        interrupt::run(|cancel| -> Result<_, Error> {
            let failed = |error| recording.blame(Error::Decoding(error));
            let mut reader =
                audio::Reader::open(&recording.open(cancel)?, &selection).map_err(failed)?;
            let mut vad = engine.load(&model, Vad::open)?;
            vad.reset();
            let (mut block, mut probabilities, mut samples) = (Vec::new(), Vec::new(), 0);
            loop {
                let missing = BLOCK - block.len();
                let got = reader
                    .read(&mut block, missing, cancel.flag())
                    .map_err(failed)?;
                if got > 0 && block.len() < BLOCK {
                    continue;
                }
                samples += block.len() as u64;
                probabilities
                    .extend(stats::INFERENCE_US.time(|| vad.probabilities(&block, cancel))?);
                block.clear();
                if got == 0 {
                    stats::AUDIO_MS.add(samples / 16);
                    return Ok((probabilities, samples / 16));
                }
            }
        })
    });
    let Some((probabilities, end_ms)) = common.on_error.apply(found)? else {
        return Ok(Vec::new());
    };
    let offset = common.start_time.unwrap_or(0);
    let place = |s: Span| Span {
        start_ms: s.start_ms + offset,
        end_ms: s.end_ms.min(end_ms) + offset,
    };
    Ok(vad::spans(&probabilities, &shape)
        .into_iter()
        .map(place)
        .collect())
}
