use std::time::Duration;

/// Why there is no judgement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The work was stopped.
    #[error("cancelled")]
    Cancelled,

    /// A transcript that is neither text, nor a document, nor sentences.
    #[error("invalid transcript: {0}")]
    Transcript(String),
    /// A policy that is neither words nor rules.
    #[error("invalid policy: {0}")]
    Policy(String),
    /// A rule of a policy that cannot be read.
    #[error("invalid policy: rule {number}: {reason}")]
    Rule {
        /// Its place in the policy, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// A JSON schema that is none.
    #[error("invalid schema: {0}")]
    Schema(String),
    /// Rules that a model must judge, and no model.
    #[error(
        "rule \"{rule}\" has no pattern and no words: a language model must judge it, and none is named"
    )]
    NoModel {
        /// The first such rule.
        rule: String,
    },
    /// More requests than the caller allows.
    #[error(
        "judging this transcript takes {needed} requests to the language model, more than the limit of {limit}"
    )]
    TooManyRequests {
        /// How many it would take.
        needed: usize,
        /// How many may be made.
        limit: usize,
    },

    /// The server cannot be reached, or its answer broke off; the text is without secrets.
    #[error("the language model cannot be reached: {0}")]
    Unreachable(String),
    /// The server did not answer in time.
    #[error("the language model did not answer within {} ms", limit.as_millis())]
    Timeout {
        /// The limit of one request.
        limit: Duration,
    },
    /// The server's answer is larger than any answer that was asked for.
    #[error("the language model answered with more than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// The server answered with an error that asking again does not mend, or that lasted.
    #[error("the language model answered with HTTP status {status}{}", said(.message))]
    Status {
        /// HTTP status code.
        status: u16,
        /// What it said, without secrets, shortened.
        message: String,
    },
    /// The server wants to be left alone for longer than the caller would wait.
    #[error(
        "the language model answered with HTTP status {status} and wants to be asked again in {} s",
        wait.as_secs()
    )]
    Busy {
        /// HTTP status code.
        status: u16,
        /// How long it wants to be left alone.
        wait: Duration,
    },
    /// The model declined.
    #[error("the language model refuses to answer{}", said(.0))]
    Refused(String),
    /// The answer was cut off at the limit of tokens.
    #[error("the answer of the language model was cut off at its limit of tokens")]
    CutOff,
    /// What came is not what the API promises, or does not fit the schema.
    #[error("the language model gave no usable answer: {0}")]
    Answer(String),
}

fn said(message: &str) -> String {
    match message.is_empty() {
        true => String::new(),
        false => format!(": {message}"),
    }
}
