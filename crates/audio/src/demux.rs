//! What our demuxers around symphonia's have in common.

use std::io::ErrorKind;

use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use crate::codec::FORMATS;

/// symphonia's demuxer of a source, whatever it holds.
///
/// # Errors
/// symphonia's.
pub(crate) fn open<'s>(source: impl MediaSource + 's) -> Result<Box<dyn FormatReader + 's>> {
    let stream = MediaSourceStream::new(Box::new(source), MediaSourceStreamOptions::default());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    FORMATS.probe(&Hint::new(), stream, format, metadata)
}

/// Whether a demuxer has come to the end of its bytes, or cannot go on.
pub(crate) fn is_end(result: &Result<Option<Packet>>) -> bool {
    match result {
        Ok(packet) => packet.is_none(),
        Err(Error::IoError(error)) => error.kind() == ErrorKind::UnexpectedEof,
        Err(Error::DecodeError(_)) => true,
        Err(_) => false,
    }
}

/// Those methods of a `FormatReader` around the one in `self.inner` that are the inner one's.
macro_rules! as_inner {
    () => {
        fn format_info(&self) -> &symphonia::core::formats::FormatInfo {
            self.inner.format_info()
        }

        fn media_info(&self) -> &symphonia::core::formats::MediaInfo {
            self.inner.media_info()
        }

        fn metadata(&mut self) -> symphonia::core::meta::Metadata<'_> {
            self.inner.metadata()
        }

        fn tracks(&self) -> &[symphonia::core::formats::Track] {
            self.inner.tracks()
        }

        fn into_inner<'a>(self: Box<Self>) -> symphonia::core::io::MediaSourceStream<'a>
        where
            Self: 'a,
        {
            self.inner.into_inner()
        }
    };
}
pub(crate) use as_inner;

/// A number of bytes, the largest first.
pub(crate) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}
