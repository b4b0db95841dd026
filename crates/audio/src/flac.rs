//! Writing FLAC.

use flacenc::bitsink::ByteSink;
use flacenc::component::BitRepr;
use flacenc::config::Encoder;
use flacenc::error::Verify;
use flacenc::source::MemSource;

use crate::wav::pcm16;

/// 16-bit FLAC file of mono `samples` in [-1, 1] (louder ones clip) at `rate` Hz, which FLAC limits to 1..=655 350.
pub fn write(samples: &[f32], rate: u32) -> Vec<u8> {
    let pcm: Vec<i32> = samples.iter().map(|&sample| pcm16(sample).into()).collect();
    let config = Encoder::default()
        .into_verified()
        .expect("the default is valid");
    let source = MemSource::from_samples(&pcm, 1, 16, rate as usize);
    let mut stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size)
        .expect("16-bit mono from memory");
    // The encoder counts the short last block as the smallest, which by RFC 9639 (section 8.2) would make every block size variable.
    let info = stream.stream_info_mut();
    info.set_block_sizes(config.block_size, config.block_size)
        .expect("the encoder used this size");
    let mut sink = ByteSink::new();
    stream
        .write(&mut sink)
        .expect("a byte sink takes everything");
    sink.into_inner()
}
