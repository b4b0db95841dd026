//! Diarizes files and writes an RTTM each; `--stages` prints how long each stage took, `--peak` the most memory held.
//!
//! `diarize [--threads N] [--count N] [--provider NAME [--options TEXT]] [--exclusive] [--stages] [--peak] LIBRARY MODELS OUT FILE..`, LIBRARY being
//! libonnxruntime.so, MODELS the folder of the models and OUT the folder for the RTTM files.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use audio::recording::{Encoded, Recording};
use audio::{Input, Selection};
use diarize::{
    self, Diarizer, Measured, Options, Segmentation, Turn, evidence::Evidence, listen, reconstruct,
    voices, windows,
};
use onnx::{Cancel, Kind, Provider, Runtime, SessionOptions};
use vad::Vad;
use voice::embed::SpeakerModel;

type Failure = Box<dyn Error>;

#[derive(Default)]
struct Arguments {
    threads: usize,
    count: Option<usize>,
    exclusive: bool,
    stages: bool,
    peak: bool,
    provider: Provider,
    places: Vec<PathBuf>,
}

fn main() -> Result<(), Failure> {
    let arguments = arguments()?;
    let [library, models, out, files @ ..] = &arguments.places[..] else {
        return Err("usage: diarize [--threads N] [--count N] [--provider NAME [--options TEXT]] [--exclusive] [--stages] [--peak] LIBRARY MODELS OUT FILE..".into());
    };
    let runtime = Runtime::load(&fs::canonicalize(library)?)?;
    let session = SessionOptions {
        threads: arguments.threads,
        provider: arguments.provider.clone(),
        ..SessionOptions::default()
    };
    let mut segmentation = Segmentation::open(
        &runtime,
        &models.join("pyannote_segmentation_3.onnx"),
        &session,
    )?;
    let mut vad = Vad::open(
        &runtime,
        &models.join("silero_vad_16k_sequence.onnx"),
        &session,
    )?;
    let mut speaker = SpeakerModel::open(&runtime, &models.join("campplus_zh_en.onnx"), &session)?;
    speaker.help_narrow(
        &runtime,
        &models.join("campplus_zh_en_narrow.onnx"),
        &session,
    );
    let mut diarizer = Diarizer {
        segmentation: &mut segmentation,
        vad: &mut vad,
        speaker: &mut speaker,
    };
    for file in files {
        let input = Input::File(Arc::new(File::open(file)?));
        let selection = Selection::default();
        let mut recording = Encoded::new(&input, &selection);
        if arguments.stages {
            stages(&mut diarizer, &mut recording)?;
            continue;
        }
        let options = Options {
            speaker_count: arguments.count,
            ..Options::default()
        };
        let started = Instant::now();
        let found = diarizer.diarize(&mut recording, &options, &Cancel::new())?;
        println!(
            "{} {:.3} s, {} speakers",
            file.display(),
            started.elapsed().as_secs_f64(),
            found.speakers.len()
        );
        let turns = if arguments.exclusive {
            &found.exclusive
        } else {
            &found.turns
        };
        write_rttm(out, file, turns)?;
    }
    if arguments.peak {
        let status = fs::read_to_string("/proc/self/status")?;
        println!(
            "{}",
            status
                .lines()
                .find(|l| l.starts_with("VmHWM"))
                .unwrap_or_default()
        );
    }
    Ok(())
}

fn arguments() -> Result<Arguments, Failure> {
    let mut arguments = Arguments {
        threads: 2,
        ..Arguments::default()
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || {
            given
                .next()
                .ok_or("a number is missing")?
                .parse::<usize>()
                .map_err(Failure::from)
        };
        match argument.as_str() {
            "--threads" => arguments.threads = number()?,
            "--count" => arguments.count = Some(number()?),
            "--provider" => {
                let name = given.next().unwrap_or_default();
                let kind = Kind::ALL.iter().find(|(known, _)| *known == name);
                arguments.provider.kind = kind.ok_or("no such provider")?.1;
            }
            "--options" => {
                let text = given.next().unwrap_or_default();
                arguments.provider.options = Provider::parse_options(&text)?;
            }
            "--exclusive" => arguments.exclusive = true,
            "--stages" => arguments.stages = true,
            "--peak" => arguments.peak = true,
            _ => arguments.places.push(argument.into()),
        }
    }
    Ok(arguments)
}

fn write_rttm(out: &Path, file: &Path, turns: &[Turn]) -> Result<(), Failure> {
    let name = file
        .file_stem()
        .and_then(|n| n.to_str())
        .ok_or("a file has no name")?;
    let mut text = String::new();
    for t in turns {
        let (start, length) = (
            t.start_ms as f64 / 1e3,
            (t.end_ms - t.start_ms) as f64 / 1e3,
        );
        writeln!(
            text,
            "SPEAKER {name} 1 {start:.3} {length:.3} <NA> <NA> {} <NA> <NA>",
            t.speaker
        )?;
    }
    Ok(fs::write(out.join(format!("{name}.rttm")), text)?)
}

/// The stages of [`Diarizer::diarize`], one by one.
fn stages(diarizer: &mut Diarizer, recording: &mut dyn Recording) -> Result<(), Failure> {
    let cancel = Cancel::new();
    let mut times: Vec<(&str, f64)> = Vec::new();
    let mut lap = Instant::now();
    let mut done = |name| {
        times.push((name, lap.elapsed().as_secs_f64()));
        lap = Instant::now();
    };
    recording.rewind()?;
    let mut samples = 0;
    let mut block = Vec::new();
    while recording.read(&mut block, 160_000, cancel.flag())? > 0 {
        samples += block.len();
        block.clear();
    }
    done("decoding, once");
    let mut heard = listen::speech(recording, diarizer.vad, &cancel)?;
    done("speech (silero VAD)");
    heard.tracks = listen::tracks(recording, samples, diarizer.segmentation, &cancel)?;
    let counts = reconstruct::count(&heard);
    done("segmentation");
    let windows = windows::inside(
        &counts.iter().map(|n| *n > 0).collect::<Vec<_>>(),
        &heard.changes(),
        samples,
    );
    let voices = voices::embed(
        recording,
        &windows,
        windows::LENGTH,
        diarizer.speaker,
        &cancel,
    )?;
    done("embeddings");
    let bounds = diarize::clustering::Bounds { min: 1, max: 20 };
    let Measured {
        windows,
        voices,
        speakers,
        ..
    } = Measured::new(windows, voices, bounds, &cancel)?;
    done("clustering");
    let evidence = Evidence::new(heard.frames(), &windows, &voices, &speakers);
    let votes = diarize::assignment::votes(&heard.tracks, &evidence, heard.frames());
    let frames = reconstruct::frames(&heard, &counts, &votes, &evidence);
    assert_eq!(frames.len(), heard.frames());
    done("assignment, reconstruction");
    let length = samples as f64 / 16_000.0;
    let total: f64 = times.iter().map(|(_, t)| t).sum();
    println!(
        "{length:.1} s of audio, {} windows, {} speakers",
        windows.len(),
        speakers.centres.len()
    );
    for (name, time) in times {
        println!(
            "{name:28} {time:8.3} s  {:5.1} %  RTF {:.4}",
            100.0 * time / total,
            time / length
        );
    }
    Ok(())
}
