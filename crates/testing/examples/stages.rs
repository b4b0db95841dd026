//! Where the time of a voiceprint goes, in a process that has just begun and in one that has worked before:
//! `cargo run --release -p testing --example stages -- CACHE_DIR THREADS RECORDING`.

use std::path::PathBuf;
use std::time::Instant;

use audio::recording::Samples;
use onnx::{Cancel, Runtime, SessionOptions};
use vad::Vad;
use voice::embed::SpeakerModel;
use voice::hear::hear;

fn main() {
    let mut given = std::env::args().skip(1);
    let cache = PathBuf::from(given.next().expect("a folder for optimised copies"));
    let threads = given.next().and_then(|n| n.parse().ok()).expect("threads");
    let samples = testing::read(&PathBuf::from(given.next().expect("a recording")));
    let variable = |name| PathBuf::from(std::env::var(name).expect("make -s test-env"));
    let (library, models) = (variable("AI_AUDIO_ORT"), variable("AI_AUDIO_MODELS"));
    let options = SessionOptions {
        threads,
        cache_dir: Some(cache),
        ..SessionOptions::default()
    };
    let cancel = Cancel::new();

    let runtime = timed("first: library", || {
        Runtime::load(&library).expect("ONNX Runtime")
    });
    let path = models.join("silero_vad_16k_sequence.onnx");
    let mut vad = timed("first: open the detector", || {
        Vad::open(&runtime, &path, &options).expect("the detector")
    });
    let path = models.join("campplus_zh_en.onnx");
    let mut speaker = timed("first: open CAM++", || {
        SpeakerModel::open(&runtime, &path, &options).expect("CAM++")
    });
    let mut listen = || hear(&mut Samples::new(&samples), &mut vad, &cancel).expect("heard");
    timed("first: detector", &mut listen);
    timed("first: voiceprint", || {
        speaker.embed(&samples, &cancel).expect("a voiceprint")
    });
    best("warm: detector and quality", &mut listen);
    let heard = listen();
    best("warm: where the voice is", || heard.voice());
    best("warm: features", || speaker.features(&samples));
    let features = speaker.features(&samples);
    best("warm: CAM++", || {
        let bands = [features.band];
        speaker
            .embed_features(&features.rows, &bands, &cancel)
            .expect("a voiceprint")
    });
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (begin, busy, faults) = (Instant::now(), processor_ms(), page_faults());
    let made = work();
    let (wall, busy) = (begin.elapsed().as_secs_f64() * 1e3, processor_ms() - busy);
    let faults = page_faults() - faults;
    println!("{what:30} {wall:7.2} ms, {busy:7.2} of processor time, {faults:6} page faults");
    made
}

/// The least of forty times.
fn best<T>(what: &str, mut work: impl FnMut() -> T) {
    let (mut wall, mut busy) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..40 {
        let (begin, processor) = (Instant::now(), processor_ms());
        drop(work());
        wall = wall.min(begin.elapsed().as_secs_f64() * 1e3);
        busy = busy.min(processor_ms() - processor);
    }
    println!("{what:30} {wall:7.2} ms, {busy:7.2} of processor time");
}

/// What all threads together have worked.
fn processor_ms() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills the given structure.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Pages that had to be mapped.
fn page_faults() -> i64 {
    // SAFETY: a structure of numbers, which the call fills.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage.ru_minflt + usage.ru_majflt
    }
}
