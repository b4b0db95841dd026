//! Writing WAV, piece by piece.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

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

/// A 16-bit PCM WAV file whose channels are written one after the other, in memory that does not grow with it.
pub struct Interleaved {
    file: File,
    header: u64,
    channels: u16,
    /// Samples per channel so far.
    frames: u64,
}

impl Interleaved {
    /// Begins an empty file, positioned anywhere, at `rate` Hz.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(file: File, channels: u16, rate: u32) -> io::Result<Self> {
        let spec = WavSpec {
            channels,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let header = spec.into_header_for_infinite_file();
        file.write_all_at(&header, 0)?;
        Ok(Interleaved {
            file,
            header: header.len() as u64,
            channels,
            frames: 0,
        })
    }

    /// Writes samples in [-1, 1] of one channel from frame `at` on; what nobody writes is silence.
    ///
    /// # Errors
    /// Those of reading and writing; more than a WAV file holds.
    pub fn write(&mut self, channel: u16, at: u64, samples: &[f32]) -> io::Result<()> {
        let frame = u64::from(self.channels) * 2;
        let end = at + samples.len() as u64;
        if end * frame > MOST as u64 {
            return Err(io::Error::other("more than a WAV file holds"));
        }
        let mut block = vec![0; samples.len() * frame as usize];
        let place = self.header + at * frame;
        // What other channels have there already.
        let mut filled = 0;
        while filled < block.len() {
            match self
                .file
                .read_at(&mut block[filled..], place + filled as u64)?
            {
                0 => break,
                n => filled += n,
            }
        }
        for (frame, &sample) in block.chunks_exact_mut(frame as usize).zip(samples) {
            let own = usize::from(channel) * 2;
            frame[own..own + 2].copy_from_slice(&pcm16(sample).to_le_bytes());
        }
        self.file.write_all_at(&block, place)?;
        self.frames = self.frames.max(end);
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// Those of writing.
    pub fn finish(self) -> io::Result<File> {
        let data = self.frames * u64::from(self.channels) * 2;
        self.file.set_len(self.header + data)?;
        let size = |at: u64, bytes: u64| self.file.write_all_at(&(bytes as u32).to_le_bytes(), at);
        size(4, self.header + data - 8)?;
        size(self.header - 4, data)?;
        Ok(self.file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Channel, Input, Selection, decode, probe};

    #[test]
    fn channels_written_one_after_the_other_are_read_side_by_side() {
        let mut writer = Interleaved::new(tempfile::tempfile().unwrap(), 2, 16_000).unwrap();
        writer.write(0, 8_000, &[0.5; 16_000]).unwrap();
        writer.write(1, 0, &[-0.25; 9_000]).unwrap();
        let input = Input::File(Arc::new(writer.finish().unwrap()));
        let stop = std::sync::atomic::AtomicBool::new(false);
        let info = probe(&input, &stop).unwrap();
        assert_eq!((info.channels, info.duration_ms), (2, Some(1500)));
        let of = |i| {
            let channel = Selection {
                channel: Channel::Index(i),
                ..Selection::default()
            };
            decode(&input, &channel, &stop).unwrap().samples
        };
        let (left, right) = (of(0), of(1));
        assert_eq!((left[7_999], left[8_000], left[23_999]), (0.0, 0.5, 0.5));
        assert_eq!((right[0], right[8_999], right[9_000]), (-0.25, -0.25, 0.0));
    }
}
