//! How long the first sentence of a recording takes a Whisper that is warm, in rounds as usual and in rounds that begin short:
//! `cargo run --release --features pg15 --workspace --example first_words -- CACHE_DIR THREADS RECORDING...`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use onnx::{Cancel, Runtime, SessionOptions};
use transcribe::{Model, Options, Transcriber};
use vad::Vad;

fn main() {
    let mut given = std::env::args().skip(1);
    let cache = PathBuf::from(given.next().expect("a folder for optimised copies"));
    let threads = given.next().and_then(|n| n.parse().ok()).expect("threads");
    let variable = |name| PathBuf::from(std::env::var(name).expect("make -s test-env"));
    let (library, models) = (variable("AI_AUDIO_ORT"), variable("AI_AUDIO_MODELS"));
    let options = SessionOptions {
        threads,
        cache_dir: Some(cache),
        ..SessionOptions::default()
    };
    let runtime = Runtime::load(&library).expect("ONNX Runtime");
    let path = models.join("silero_vad_16k_sequence.onnx");
    let mut vad = Vad::open(&runtime, &path, &options).expect("the detector");
    let mut model =
        Model::open(&runtime, &models.join("whisper-base"), &options).expect("Whisper base");
    for path in given {
        for soon in [true, false, true, false, true] {
            first_sentence(Path::new(&path), soon, &mut model, &mut vad);
        }
    }
}

fn first_sentence(path: &Path, soon: bool, model: &mut Model, vad: &mut Vad) {
    let file = std::fs::File::open(path).expect("a recording");
    let input = audio::Input::File(Arc::new(file));
    let reader = audio::Reader::open(&input, &audio::Selection::default()).expect("a recording");
    let transcriber = Transcriber::new(reader, 0, Options::default());
    let mut transcriber = if soon {
        transcriber.soon()
    } else {
        transcriber
    };
    let (begin, busy) = (Instant::now(), processor_s());
    let found = transcriber
        .next(model, vad, &Cancel::new())
        .expect("sentences");
    let first = found.iter().flatten().next();
    println!(
        "{}: {}: {:.2} s, {:.2} of processor time, for {:.1} s of it: {:?}",
        path.display(),
        if soon { "soon" } else { "as usual" },
        begin.elapsed().as_secs_f64(),
        processor_s() - busy,
        transcriber.done_ms() as f64 / 1e3,
        first.map(|s| (s.start_ms, s.language.code(), &s.text)),
    );
}

/// What all threads together have worked.
fn processor_s() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills the given structure.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
