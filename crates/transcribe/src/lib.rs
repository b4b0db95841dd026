//! Speech to text: recordings of any length in, sentences with times out, by Whisper, Moonshine, SenseVoice,
//! Paraformer and NeMo CTC models.
//!
//! A [`Transcriber`] streams (`transcriber.rs`): samples are read in blocks, silero VAD finds speech in them (`speech.rs`), speech is
//! packed into chunks of at most the model's window, cut at pauses (`pack.rs`), each in its language (`stretch.rs`), chunks go through the model in batches (`model.rs`), and their
//! words become sentences (`sentences.rs`). Memory does not grow with the recording.
//!
//! Inside a model of a family (`family.rs`: `whisper/`, `moonshine.rs`, `onepass/`), a file per stage; those of `onepass/`
//! have no decoder and no search:
//!
//! 1. `decoder.rs`: the network, from encoded audio and tokens to logits, with its cache; `tokenizer.rs`: tokens and text;
//! 2. `search.rs`, `beam.rs`, `logits.rs`: from logits to a text;
//! 3. `guard.rs`: whether it was invented;
//! 4. `align.rs`, `onset.rs`, `words.rs`: when its words were said; `hanzi.rs`: Mandarin in one script.
//!
//! What is made of sentences: [`speakers`] (who said them), [`subtitles`], [`document`] (other APIs' JSON).
//!
//! Sources: OpenAI Whisper (decoding rules, word timing), WhisperX (VAD, then batches), Moonshine (output cap), FunASR, NeMo.
#![warn(missing_docs)]

mod align;
mod beam;
mod decoder;
pub mod document;
mod error;
mod family;
mod guard;
mod hanzi;
mod languages;
mod logits;
mod model;
mod moonshine;
mod onepass;
mod onset;
mod pack;
mod search;
mod sentence;
mod sentences;
pub mod speakers;
mod speech;
mod stretch;
pub mod subtitles;
mod tokenizer;
mod transcriber;
mod whisper;
mod words;

pub use error::Error;
pub use family::{Options, Task};
pub use hanzi::Script;
pub use languages::{LANGUAGES, Language, codes};
pub use model::Model;
pub use sentence::{Sentence, Word};
pub use speech::VAD;
pub use transcriber::{Detected, Transcriber};
