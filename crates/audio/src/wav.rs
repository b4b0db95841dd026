//! Writing WAV.

use std::io::Cursor;

use hound::{SampleFormat, WavSpec, WavWriter};

/// Most samples whose size the 32-bit header can hold (37 hours at 16 kHz).
const MOST: usize = (u32::MAX as usize - 64) / 2;

/// 16-bit PCM WAV file of mono `samples` in [-1, 1] (louder ones clip) at `rate` Hz. What the format's 4 GiB cannot hold is left out.
pub fn write(samples: &[f32], rate: u32) -> Vec<u8> {
    let samples = &samples[..samples.len().min(MOST)];
    let mut file = Cursor::new(Vec::with_capacity(44 + samples.len() * 2));
    let spec = WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let written = WavWriter::new(&mut file, spec).and_then(|mut writer| {
        let mut block = writer.get_i16_writer(samples.len() as u32);
        samples
            .iter()
            .for_each(|&sample| block.write_sample(pcm16(sample)));
        block.flush()?;
        writer.finalize()
    });
    written.expect("memory takes what the header can hold");
    file.into_inner()
}

/// Nearest 16-bit value; what is louder than full scale clips, and NaN is 0.
pub(crate) fn pcm16(sample: f32) -> i16 {
    (sample * 32768.0).round_ties_even() as i16
}
