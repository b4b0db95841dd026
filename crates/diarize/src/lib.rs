//! Who spoke when: a recording in, turns of its speakers and their voices out.
//!
//! The recipe is 3D-Speaker's with overlap (Chen et al., "3D-Speaker-Toolkit", 2024), changed where measuring said so
//! (docs/internals/diarize.md); a file per stage:
//!
//! 1. [`listen`]: speech by silero VAD, and tracks of up to three speakers in windows of 10 s by pyannote segmentation
//!    3.0 ([`segmentation`], [`powerset`]);
//! 2. [`windows`], [`voices`]: an embedding per 1.5 s of speech, every 0.75 s;
//! 3. [`clustering`], [`strangers`]: windows to speakers;
//! 4. [`evidence`], [`assignment`]: tracks to speakers;
//! 5. [`reconstruct`], [`turns`]: who talks in each frame, and turns.
//!
//! [`Diarizer`] (`diarizer.rs`) goes through them, [`Recording`](audio::recording::Recording) is what it reads, [`Measured`]
//! (`measured.rs`) is what it knows of the voices on the way, [`Diarization`] (`diarization.rs`) the result.
//!
//! A recording is read three times, one with little speech four times, as a stream: memory grows by some 2 kB per
//! second of it. Results are deterministic.
#![warn(missing_docs)]

pub mod assignment;
pub mod clustering;
mod diarization;
mod diarizer;
mod error;
pub mod evidence;
pub mod frames;
pub mod levels;
pub mod listen;
mod measured;
mod options;
pub mod powerset;
pub mod profiles;
pub mod reconstruct;
pub mod segmentation;
pub mod strangers;
pub mod turns;
pub mod voices;
pub mod windows;

pub use diarization::Diarization;
pub use diarizer::Diarizer;
pub use error::Error;
pub use measured::Measured;
pub use options::{MAX_SPEAKERS, Options};
pub use segmentation::Segmentation;
pub use turns::Turn;
