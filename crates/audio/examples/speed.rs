//! Times features and decoding on this machine: `cargo run --release -p audio --example speed [FILE]`.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use audio::fbank::Fbank;
use audio::logmel::LogMel;
use audio::{Input, Selection};

/// Best of several runs, in milliseconds.
fn best(mut work: impl FnMut()) -> f64 {
    let run = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1000.0
    };
    (0..30)
        .map(|_| run(&mut work))
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let samples: Vec<f32> = (0..160_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32) - 0.5)
        .collect();
    let (mut fbank, mut logmel) = (Fbank::new(), LogMel::new(80));
    println!(
        "fbank    of 10 s: {:.2} ms",
        best(|| drop(fbank.compute(&samples)))
    );
    println!(
        "log-mel  of 10 s: {:.2} ms",
        best(|| drop(logmel.compute(&samples)))
    );
    for path in std::env::args().skip(1) {
        let input = Input::Bytes(Arc::from(std::fs::read(&path).expect("a readable file")));
        let stop = AtomicBool::new(false);
        let mut seconds = 0.0;
        let ms = best(
            || match audio::decode(&input, &Selection::default(), &stop) {
                Ok(audio) => seconds = audio.samples.len() as f64 / 16_000.0,
                Err(error) => println!("{path}: {error}"),
            },
        );
        println!("decoding {path}: {ms:.2} ms for {seconds:.2} s");
    }
}
