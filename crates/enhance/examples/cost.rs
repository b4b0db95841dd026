//! What enhancement costs: `cost MODEL [SECONDS]` tells the time that a second of audio takes, the least of five runs. Wants AI_AUDIO_MODELS
//! and AI_AUDIO_ORT (`make -s test-env`).

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use enhance::Enhancer;
use onnx::{Cancel, Runtime, SessionOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("cost MODEL [SECONDS]")?;
    let seconds = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let runtime = Runtime::load(Path::new(&std::env::var("AI_AUDIO_ORT")?))?;
    let path = PathBuf::from(std::env::var("AI_AUDIO_MODELS")?).join(&model);
    let mut network = Enhancer::open(&runtime, &path, &SessionOptions::default())?;
    let mut state = 1u32;
    let noise = (0..seconds * network.sample_rate() as usize).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    });
    let (noise, cancel) = (noise.collect::<Vec<f32>>(), Cancel::new());
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        let mut stream = network.stream(f32::INFINITY);
        stream.push(&noise, &cancel)?;
        stream.finish(&cancel)?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "{model}: {:.4} s per second of audio",
        best / seconds as f64
    );
    Ok(())
}
