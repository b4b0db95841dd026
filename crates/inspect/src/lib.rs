//! From a transcript and a policy to findings: which rule was broken, by whom, when, and in which words.
//!
//! * in: a [`Transcript`] (plain text, the JSON document of a transcript, or sentences) and a [`Policy`] (plain words, or rules);
//! * out: [`Finding`]s, at least one for each rule, in the order of the rules and then of time.
//!
//! Rules with patterns are judged here (`pattern.rs`). The others are put to a language model (`judge.rs`) through whatever
//! implements [`chat::Engine`]: this crate opens no connection. What the model answers is data: it must fit a schema, and a
//! quote that does not stand in the transcript is no violation. Times and speakers are those of the quoted sentence.
//!
//! By file: `transcript` and `policy` read what was given; `words` says when two texts have the same words; `pattern`
//! matches; `pieces` cuts long transcripts; `prompt` writes what is asked; `chat` asks, with retries and forms of answers;
//! `schema` reads answers; `judge` checks them and merges; `findings` is the result.

pub mod chat;
mod error;
mod findings;
mod judge;
mod pattern;
mod pieces;
mod policy;
mod prompt;
mod schema;
mod transcript;
mod words;

pub use error::Error;
pub use findings::{Finding, Verdict};
pub use judge::{Limits, inspect};
pub use policy::{Policy, Rule};
pub use schema::Schema;
pub use transcript::{Sentence, Transcript};

/// Text without the character U+0000, which JSON can hold and databases cannot.
fn without_nul(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', ""),
        false => text,
    }
}
