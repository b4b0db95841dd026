//! Transcribes files without Postgres, to measure the pipeline by itself:
//! `transcribe LIBONNXRUNTIME VAD.onnx MODEL_FOLDER FILE...`, with `THREADS` (2), `LANGUAGE`, `BEAM` and `WORDS` from the
//! environment. Prints a tab-separated line per sentence, and the time taken and the peak memory on standard error.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use onnx::{Cancel, Runtime, SessionOptions};
use transcribe::{Language, Model, Options, Transcriber};
use vad::Vad;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, vad, model, files @ ..] = arguments.as_slice() else {
        return Err("usage: transcribe LIBONNXRUNTIME VAD.onnx MODEL_FOLDER FILE...".into());
    };
    let set = |name: &str| std::env::var(name).ok();
    let threads = set("THREADS").and_then(|n| n.parse().ok()).unwrap_or(2);
    let runtime = Runtime::load(Path::new(library))?;
    let session = SessionOptions {
        threads,
        cache_dir: set("CACHE").map(Into::into),
        prepack: set("CACHE").is_some(),
        ..SessionOptions::default()
    };
    let start = Instant::now();
    let mut vad = Vad::open(
        &runtime,
        Path::new(vad),
        &SessionOptions {
            threads: 1,
            ..session.clone()
        },
    )?;
    let mut model = Model::open(&runtime, Path::new(model), &session)?;
    eprintln!("load {:.3} s", start.elapsed().as_secs_f64());
    let options = Options {
        language: set("LANGUAGE").map(|l| Language::parse(&l)).transpose()?,
        beam_size: set("BEAM").and_then(|n| n.parse().ok()),
        words: set("WORDS").is_some(),
        ..Options::default()
    };
    let (mut seconds, start) = (0.0, Instant::now());
    for file in files {
        let input = audio::Input::File(Arc::new(std::fs::File::open(file)?));
        let reader = audio::Reader::open(&input, &audio::Selection::default())?;
        let mut transcriber = Transcriber::new(reader, 0, options.clone());
        while let Some(sentences) = transcriber.next(&mut model, &mut vad, &Cancel::new())? {
            for s in sentences {
                let (language, text) = (s.language.code(), &s.text);
                println!(
                    "{file}\t{}\t{}\t{language}\t{:.3}\t{text}",
                    s.start_ms, s.end_ms, s.confidence
                );
                for w in s.words {
                    println!(
                        "{file}\t{}\t{}\tword\t{:.3}\t{}",
                        w.start_ms, w.end_ms, w.confidence, w.text
                    );
                }
            }
        }
        seconds += transcriber.done_ms() as f64 / 1000.0;
    }
    let taken = start.elapsed().as_secs_f64();
    eprintln!(
        "{seconds:.1} s of audio in {taken:.2} s: RTF {:.4}; {}",
        taken / seconds,
        peak()
    );
    Ok(())
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find(|l| l.starts_with("VmHWM"))
        .unwrap_or_default()
        .to_string()
}
