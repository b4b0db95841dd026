use std::io;

/// Why audio could not be read. Every message says what was found and, where there is a way out, what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Zero bytes.
    #[error("the source is empty (0 bytes), so it holds no audio")]
    Empty,
    /// The bytes are not audio at all.
    #[error("this is not audio: {found}")]
    NotAudio {
        /// What the first bytes look like, as the end of a sentence.
        found: String,
    },
    /// A known format or codec without a decoder here.
    #[error(
        "{format} cannot be decoded; convert it to WAV, FLAC, MP3 or Opus first, for example with ffmpeg"
    )]
    Unsupported {
        /// Name of the format or codec.
        format: String,
    },
    /// The container is fine, but no track in it is audio.
    #[error("the {container} file has no audio track")]
    NoAudioTrack {
        /// Container name as in [`Info`](crate::Info).
        container: String,
    },
    /// The format was recognised, and then the data made no sense.
    #[error("damaged {format} audio: {reason}")]
    Corrupt {
        /// Container or codec.
        format: String,
        /// What the decoder stumbled over.
        reason: String,
    },
    /// A channel index beyond the last channel.
    #[error(
        "channel {wanted} does not exist: the audio has {channels} channel(s), numbered from 0"
    )]
    Channel {
        /// The index asked for.
        wanted: u32,
        /// Channels there are.
        channels: u32,
    },
    /// `start_ms` is not before `end_ms`.
    #[error("the start ({start_ms} ms) must be before the end ({end_ms} ms)")]
    Range {
        /// Start asked for.
        start_ms: u64,
        /// End asked for.
        end_ms: u64,
    },
    /// The selection begins after the last sample.
    #[error("the start ({start_ms} ms) lies beyond the end of the audio ({duration_ms} ms)")]
    StartBeyondEnd {
        /// Start asked for.
        start_ms: u64,
        /// Length of the audio.
        duration_ms: u64,
    },
    /// More audio is selected than the caller allows.
    #[error(
        "the selected audio is longer than the limit of {max_ms} ms; select a shorter range or raise the limit"
    )]
    TooLong {
        /// [`Selection::max_duration_ms`](crate::Selection::max_duration_ms).
        max_ms: u64,
    },
    /// `stop` was set.
    #[error("decoding was cancelled")]
    Cancelled,
    /// The bytes could not be read.
    #[error("reading the audio failed: {0}")]
    Io(#[from] io::Error),
}
