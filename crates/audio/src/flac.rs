//! Writing FLAC, block by block: what is held is the file, not the samples.

use flacenc::bitsink::ByteSink;
use flacenc::component::{BitRepr, Stream, StreamInfo};
use flacenc::config::Encoder;
use flacenc::encode_fixed_size_frame;
use flacenc::error::{Verified, Verify};
use flacenc::source::{Context, Fill, FrameBuf};

use crate::wav::pcm16;

/// A 16-bit FLAC file of mono samples that grows with each [`Writer::push`].
pub struct Writer {
    config: Verified<Encoder>,
    info: StreamInfo,
    /// Counts and sums what the header will say.
    context: Context,
    block: Vec<i32>,
    frame: FrameBuf,
    file: Vec<u8>,
}

impl Writer {
    /// Begins a file at `rate` Hz, which FLAC limits to 1..=655 350.
    pub fn new(rate: u32) -> Self {
        let config = Encoder::default()
            .into_verified()
            .expect("the default is valid");
        let info =
            StreamInfo::new(rate as usize, 1, 16).expect("16-bit mono at a rate that FLAC knows");
        let mut writer = Writer {
            context: Context::new(16, 1),
            block: Vec::with_capacity(config.block_size),
            frame: FrameBuf::with_size(1, config.block_size).expect("one channel"),
            file: Vec::new(),
            info,
            config,
        };
        writer.file = writer.header(); // its place; what it says is known at the end
        writer
    }

    /// Appends samples in [-1, 1]; louder ones clip.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.block.push(pcm16(sample).into());
            if self.block.len() == self.config.block_size {
                self.encode();
            }
        }
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.file.len()
    }

    /// The file.
    pub fn finish(mut self) -> Vec<u8> {
        if !self.block.is_empty() {
            self.encode();
        }
        self.info.set_total_samples(self.context.total_samples());
        self.info.set_md5_digest(&self.context.md5_digest());
        // The encoder counts a short last block as the smallest, which by RFC 9639 (section 8.2) would make every block
        // size variable.
        self.info
            .set_block_sizes(self.config.block_size, self.config.block_size)
            .expect("the encoder used this size");
        let header = self.header();
        self.file[..header.len()].copy_from_slice(&header);
        self.file
    }

    fn encode(&mut self) {
        let number = self.context.current_frame_number().map_or(0, |n| n + 1);
        self.context
            .fill_interleaved(&self.block)
            .and_then(|()| self.frame.fill_interleaved(&self.block))
            .expect("a block fits");
        let frame = encode_fixed_size_frame(&self.config, &self.frame, number, &self.info)
            .expect("16-bit mono from memory");
        self.info.update_frame_info(&frame);
        append(&mut self.file, &frame);
        self.block.clear();
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        append(&mut header, &Stream::with_stream_info(self.info.clone()));
        header
    }
}

fn append(file: &mut Vec<u8>, part: &impl BitRepr) {
    let mut sink = ByteSink::new();
    part.write(&mut sink).expect("a byte sink takes everything");
    file.extend_from_slice(sink.as_slice());
}

/// 16-bit FLAC file of mono `samples` in [-1, 1] (louder ones clip) at `rate` Hz, which FLAC limits to 1..=655 350.
pub fn write(samples: &[f32], rate: u32) -> Vec<u8> {
    let mut writer = Writer::new(rate);
    writer.push(samples);
    writer.finish()
}
