//! Groups voiceprints from a file of little-endian `f32`: FILE DIMENSIONS [THRESHOLD]. Prints a group per line, 0 for
//! none; seconds and peak memory go to standard error. bench/voices/cluster.py drives it.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::time::Instant;

use onnx::Cancel;
use voice::cluster::{self, Options, Rows};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, path, dimensions, rest @ ..] = &args[..] else {
        return Err("FILE DIMENSIONS [THRESHOLD]".into());
    };
    let dimensions: usize = dimensions.parse()?;
    let file = File::open(path)?;
    let count = file.metadata()?.len() as usize / 4 / dimensions;
    let mut rows = Rows::new(count, u64::MAX);
    let (mut reader, mut bytes) = (BufReader::new(file), vec![0; 4 * dimensions]);
    for _ in 0..count {
        reader.read_exact(&mut bytes)?;
        let row: Vec<f32> = bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        rows.push(Some(&row))?;
    }
    let threshold = rest
        .first()
        .map_or(Ok(cluster::DEFAULT_THRESHOLD), |t| t.parse())?;
    let options = Options {
        threshold,
        ..Options::default()
    };
    let threads = std::thread::available_parallelism()?.get().min(2);
    let start = Instant::now();
    let groups = cluster::cluster(rows, &options, threads, &Cancel::new())?;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or("unknown")
        .trim();
    eprintln!(
        "{count} rows, {seconds:.2} s on {threads} threads, {peak} (stated: {} kB)",
        Rows::bytes(count, dimensions) / 1024
    );
    let mut out = BufWriter::new(std::io::stdout());
    for group in groups {
        writeln!(out, "{}", group.unwrap_or(0))?;
    }
    Ok(())
}
