//! Steps of the work that several families take: to hear a voice, tell speakers apart, recognise what they say, name
//! them from a library, and say how sure that is. A step knows [`crate::call`] and other steps, and no family.

pub mod calibration;
pub mod diarization;
pub mod hearing;
pub mod identify;
pub mod library;
pub mod llm;
pub mod names;
pub mod padding;
pub mod recognition;
pub mod results;
