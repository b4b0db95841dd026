//! Writing WAV, piece by piece.

use hound::{SampleFormat, WavSpec};

/// Most bytes of samples that the 32-bit header can hold (37 hours at 16 kHz).
const MOST: usize = u32::MAX as usize - 64;

/// A 16-bit PCM WAV file of mono samples that grows with each [`Writer::push`].
pub struct Writer {
    header: usize,
    file: Vec<u8>,
}

impl Writer {
    /// Begins a file at `rate` Hz.
    pub fn new(rate: u32) -> Self {
        let spec = WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let file = spec.into_header_for_infinite_file();
        Writer {
            header: file.len(),
            file,
        }
    }

    /// Appends samples in [-1, 1]; louder ones clip. What the format's 4 GiB cannot hold is left out.
    pub fn push(&mut self, samples: &[f32]) {
        let room = (MOST - (self.file.len() - self.header)) / 2;
        let samples = &samples[..samples.len().min(room)];
        self.file
            .extend(samples.iter().flat_map(|&s| pcm16(s).to_le_bytes()));
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.file.len()
    }

    /// The file.
    pub fn finish(mut self) -> Vec<u8> {
        let (header, all) = (self.header, self.file.len());
        let mut size = |at: usize, bytes: usize| {
            self.file[at..at + 4].copy_from_slice(&(bytes as u32).to_le_bytes());
        };
        size(4, all - 8); // of the RIFF chunk
        size(header - 4, all - header); // of the data chunk, the header's last
        self.file
    }
}

/// 16-bit PCM WAV file of mono `samples` in [-1, 1] (louder ones clip) at `rate` Hz. What the format's 4 GiB cannot hold is left out.
pub fn write(samples: &[f32], rate: u32) -> Vec<u8> {
    let mut writer = Writer::new(rate);
    writer.push(samples);
    writer.finish()
}

/// Nearest 16-bit value; what is louder than full scale clips, and NaN is 0.
pub(crate) fn pcm16(sample: f32) -> i16 {
    (sample * 32768.0).round_ties_even() as i16
}
