//! A network on the processor and on a device: how long a run takes, and how far its values are apart.
//!
//! `device --library libonnxruntime.so --provider cuda [--options TEXT] [--threads N] [--rounds N] [--clip FILE]
//! [--at-once N --slots FOLDER] MODEL=SHAPE[,SHAPE...] ...`
//! with shapes as `8x298x80`. A model's first input has that shape: features of the clip for `NxTx80`, its samples for what ends in
//! more than 80, else normal noise; other inputs are zeros. `MODEL+OTHER=...` compares OTHER on the device (the same network
//! at half precision, say) with MODEL on the processor. Prints a Markdown table of medians and, of the first output, the least cosine
//! of a row and the largest difference.

use std::path::{Path, PathBuf};
use std::time::Instant;

use audio::fbank::Fbank;
use onnx::{Cancel, Kind, Provider, Runtime, Session, SessionOptions};
use ort::session::SessionInputValue;
use ort::value::Tensor;

struct Arguments {
    library: PathBuf,
    provider: Provider,
    threads: usize,
    rounds: usize,
    clip: Option<PathBuf>,
    networks: Vec<String>,
}

fn arguments() -> Arguments {
    let mut given = std::env::args().skip(1);
    let mut arguments = Arguments {
        library: PathBuf::new(),
        provider: Provider::default(),
        threads: 2,
        rounds: 10,
        clip: None,
        networks: Vec::new(),
    };
    while let Some(argument) = given.next() {
        let mut value = || given.next().expect("a value follows");
        match argument.as_str() {
            "--library" => arguments.library = value().into(),
            "--provider" => {
                let name = value();
                let kind = Kind::ALL.iter().find(|(n, _)| *n == name);
                arguments.provider.kind = kind.expect("a provider's name").1;
            }
            "--options" => {
                arguments.provider.options =
                    Provider::parse_options(&value()).expect("options of a provider");
            }
            "--at-once" => arguments.provider.at_once = value().parse().expect("a number"),
            "--slots" => arguments.provider.slots_dir = Some(value().into()),
            "--threads" => arguments.threads = value().parse().expect("a number"),
            "--rounds" => arguments.rounds = value().parse().expect("a number"),
            "--clip" => arguments.clip = Some(value().into()),
            _ => arguments.networks.push(argument),
        }
    }
    arguments
}

/// Numbers that look normal, the same in every run.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..count)
        .map(|_| (0..12).map(|_| next()).sum::<f32>() - 6.0)
        .collect()
}

fn values(shape: &[usize], clip: &[f32]) -> Vec<f32> {
    let count: usize = shape.iter().product();
    if clip.is_empty() {
        return noise(count);
    }
    match *shape {
        // Each row another stretch of speech, mean-normalised.
        [rows, frames, 80] => {
            let mut fbank = Fbank::new();
            let length = (frames - 1) * 160 + 400;
            let row = |i: usize| -> Vec<f32> {
                let start = i * 4001;
                let samples = clip.iter().cycle().skip(start).take(length);
                let samples: Vec<f32> = samples.copied().collect();
                fbank.compute_with_power(&samples).0
            };
            (0..rows).flat_map(row).collect()
        }
        [.., last] if last > 80 => clip.iter().cycle().take(count).copied().collect(),
        _ => noise(count),
    }
}

fn run(session: &mut Session, shape: &[usize], first: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let inputs: Vec<(String, SessionInputValue)> = session
        .inputs()
        .iter()
        .enumerate()
        .map(|(i, input)| {
            let value = if i == 0 {
                Tensor::from_array((shape.to_vec(), first.to_vec()))
            } else {
                let declared = input.dtype().tensor_shape().expect("a tensor");
                let shape: Vec<usize> = declared.iter().map(|&d| d.max(1) as usize).collect();
                Tensor::from_array((shape.clone(), vec![0f32; shape.iter().product()]))
            };
            (input.name().to_string(), value.expect("a tensor").into())
        })
        .collect();
    let outputs = session.run(inputs, &Cancel::new()).expect("it runs");
    let (shape, values) = outputs[0]
        .try_extract_tensor::<f32>()
        .expect("single precision");
    (shape.iter().map(|&d| d as usize).collect(), values.to_vec())
}

/// Milliseconds: the first run, and the median of the others.
fn time(session: &mut Session, shape: &[usize], first: &[f32], rounds: usize) -> (f64, f64) {
    let mut once = || {
        let begin = Instant::now();
        run(session, shape, first);
        begin.elapsed().as_secs_f64() * 1000.0
    };
    let cold = once();
    let mut warm: Vec<f64> = (0..rounds).map(|_| once()).collect();
    warm.sort_by(f64::total_cmp);
    (cold, warm[rounds / 2])
}

fn apart(shape: &[usize], a: &[f32], b: &[f32]) -> (f64, f32) {
    let width = a.len() / shape[0].max(1);
    let rows = a.chunks(width).zip(b.chunks(width));
    let cosine = rows.map(|(a, b)| voice::similarity::cosine(a, b).unwrap_or(f64::NAN));
    let largest = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    (cosine.fold(1.0, f64::min), largest.fold(0.0, f32::max))
}

fn main() {
    let arguments = arguments();
    let runtime = Runtime::load(&arguments.library).expect("ONNX Runtime");
    let clip = arguments
        .clip
        .as_deref()
        .map(testing::read)
        .unwrap_or_default();
    let on = |provider: Provider| SessionOptions {
        threads: arguments.threads,
        provider,
        ..SessionOptions::default()
    };
    let (here, there) = (on(Provider::default()), on(arguments.provider.clone()));
    println!(
        "ONNX Runtime {}; models run on {}\n",
        runtime.version(),
        runtime.place(&there)
    );
    println!(
        "| network | shape | CPU, ms | device, ms | x | first run, ms | rows/s | cosine >= | difference <= |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for network in &arguments.networks {
        let (files, shapes) = network.split_once('=').expect("MODEL=SHAPE");
        let (model, other) = files.split_once('+').unwrap_or((files, files));
        let begin = Instant::now();
        let mut device = Session::open(&runtime, Path::new(other), &there).expect("it opens");
        let opening = begin.elapsed().as_secs_f64() * 1000.0;
        let mut processor = Session::open(&runtime, Path::new(model), &here).expect("it opens");
        for text in shapes.split(',') {
            let shape: Vec<usize> = text
                .split('x')
                .map(|d| d.parse().expect("a number"))
                .collect();
            let first = values(&shape, &clip);
            let (cold, fast) = time(&mut device, &shape, &first, arguments.rounds);
            let (_, slow) = time(&mut processor, &shape, &first, arguments.rounds.min(5));
            let ((made, a), (_, b)) = (
                run(&mut processor, &shape, &first),
                run(&mut device, &shape, &first),
            );
            let (cosine, difference) = apart(&made, &a, &b);
            let name = Path::new(other)
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            println!(
                "| {name} | {text} | {slow:.1} | {fast:.2} | {:.1} | {cold:.0} | {:.0} | {cosine:.6} | {difference:.2e} |",
                slow / fast,
                shape[0] as f64 * 1000.0 / fast
            );
        }
        println!("| (opening {other} on the device) | | | {opening:.0} | | | | | |");
    }
    for warning in onnx::warnings::take() {
        println!("\nWARNING: {warning}");
    }
}
