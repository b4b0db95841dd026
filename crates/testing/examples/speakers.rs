//! Transcribes files and tells who said each word: a tab-separated line per word with file, start and end in ms, speaker
//! and text.
//!
//! `speakers LIBRARY MODELS RECOGNIZER FILE..`, LIBRARY being libonnxruntime.so, MODELS the folder of the models and
//! RECOGNIZER the name of one in it; threads from `THREADS` (2).

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use audio::recording::Encoded;
use audio::{Input, Reader, Selection};
use diarize::{Diarizer, Segmentation};
use onnx::{Cancel, Runtime, SessionOptions};
use transcribe::speakers::{Attribution, Grouping};
use transcribe::{Model, Options, Transcriber};
use vad::Vad;
use voice::embed::SpeakerModel;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, models, recognizer, files @ ..] = arguments.as_slice() else {
        return Err("usage: speakers LIBRARY MODELS RECOGNIZER FILE..".into());
    };
    let threads = std::env::var("THREADS").map_or(Ok(2), |n| n.parse())?;
    let session = SessionOptions {
        threads,
        ..SessionOptions::default()
    };
    let runtime = Runtime::load(&fs::canonicalize(library)?)?;
    let (runtime, models, cancel) = (&runtime, Path::new(models), &Cancel::new());
    let network = |name: &str| models.join(name);
    let mut speaker = SpeakerModel::open(runtime, &network("campplus_zh_en.onnx"), &session)?;
    speaker.help_narrow(runtime, &network("campplus_zh_en_narrow.onnx"), &session);
    let mut diarizer = Diarizer {
        segmentation: &mut Segmentation::open(
            runtime,
            &network("pyannote_segmentation_3.onnx"),
            &session,
        )?,
        vad: &mut Vad::open(runtime, &network("silero_vad_16k_sequence.onnx"), &session)?,
        speaker: &mut speaker,
    };
    let mut model = Model::open(runtime, &network(recognizer), &session)?;
    for file in files {
        let input = Input::File(Arc::new(File::open(file)?));
        let selection = Selection::default();
        let mut recording = Encoded::new(&input, &selection);
        let found = diarizer.diarize(&mut recording, &diarize::Options::default(), cancel)?;
        let options = Options {
            words: true,
            ..Options::default()
        };
        let mut transcriber = Transcriber::new(Reader::open(&input, &selection)?, 0, options);
        let mut attribution = Attribution::new(Grouping::Word);
        let speaker_of = |start_ms, end_ms| found.speaker_of(start_ms, end_ms);
        while let Some(sentences) = transcriber.next(&mut model, diarizer.vad, cancel)? {
            for sentence in sentences {
                for said in attribution.push(sentence, &speaker_of) {
                    for word in said.sentence.words {
                        let (start, end, speaker) = (word.start_ms, word.end_ms, said.speaker);
                        println!("{file}\t{start}\t{end}\t{speaker}\t{}", word.text);
                    }
                }
            }
        }
    }
    Ok(())
}
