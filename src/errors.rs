//! Every error, and what a client sees of it: SQLSTATE, message and hint.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::foreign;

/// Why a function gave no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Options that are no object or contradict each other.
    #[error("invalid options: {0}")]
    Options(String),
    /// An option that the function does not have.
    #[error("unknown option \"{name}\"")]
    UnknownOption { name: String, known: String },
    /// An option with a value of the wrong type or range.
    #[error("option \"{option}\": {reason}")]
    WrongOption {
        option: String,
        reason: String,
        known: String,
    },
    /// Text that is the recording itself, encoded.
    #[error(
        "a recording given as text is a path or a URL, and this looks like {kind}: \"{shown}…\""
    )]
    Encoded {
        kind: &'static str,
        shown: String,
        how: &'static str,
    },
    /// An argument outside its range.
    #[error("{0}")]
    Argument(String),
    /// An array of numbers with NULL among them.
    #[error("an array to compare must not contain NULL")]
    NullInArray,
    /// An argument that must be given: without it the answer would look like one.
    #[error("the {name} must not be NULL")]
    NullArgument {
        name: &'static str,
        hint: &'static str,
    },
    /// A model name that is not registered.
    #[error("unknown model \"{name}\"")]
    UnknownModel { name: String, known: String },
    /// A model of another task.
    #[error("model \"{name}\" is for {task}, not for {wanted}")]
    WrongTask {
        name: String,
        task: String,
        wanted: String,
        known: String,
    },
    /// A bytea of more than 1 GB.
    #[error("the result is larger than 1 GB, the most that a bytea holds")]
    ResultTooLarge,
    /// The current user may not do this.
    #[error("{message}")]
    Privilege { message: String, hint: &'static str },
    /// A foreign server, its user mapping or their options.
    #[error(transparent)]
    Foreign(#[from] foreign::Error),
    /// A recording that could not be read; the message names it.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// A recording that could not be decoded.
    #[error("cannot decode {name}: {error}")]
    Audio { name: String, error: audio::Error },
    /// A recording with too little in it.
    #[error("cannot use {name}: {error}")]
    Recording { name: String, error: voice::Error },
    /// A recording that could not be decoded, before it is known which ([`Error::of_recording`]).
    #[error(transparent)]
    Decoding(audio::Error),
    /// A model or the library that runs it.
    #[error(transparent)]
    Onnx(#[from] onnx::Error),
    /// Measuring or grouping voices.
    #[error(transparent)]
    Voice(voice::Error),
    /// A transcript, a policy or a schema.
    #[error(transparent)]
    Inspection(inspect::Error),
    /// A language model that gave no answer.
    #[error("server \"{name}\": {error}")]
    Server { name: String, error: inspect::Error },
    /// A query of ours on the catalogs failed.
    #[error("{0}")]
    Spi(#[from] pgrx::spi::Error),
    /// A defect of the extension.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What `output_type` takes, which looks like a model where it stands beside a recording.
const OUTPUTS: [&str; 5] = ["text", "json", "srt", "vtt", "url"];

/// Models of the API that this follows; none of them is here.
const CLOUD: [&str; 7] = [
    "fun-asr",
    "fun-asr-mtl",
    "paraformer-v2",
    "paraformer-v1",
    "sensevoice-v1",
    "paraformer-8k-v2",
    "paraformer-mtl-v1",
];

/// The known name that is written most like a wrong one.
fn nearest<'a>(name: &str, known: &'a str) -> Option<&'a str> {
    let near = known
        .split(", ")
        .map(|k| (strsim::jaro_winkler(name, k), k));
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

impl Error {
    /// Attaches the recording's name to what is wrong with the recording itself.
    pub fn of_recording(name: &str, error: impl Into<Error>) -> Self {
        let name = name.to_string();
        match error.into() {
            Error::Decoding(error) => Error::Audio { name, error },
            Error::Voice(error @ (voice::Error::TooShort { .. } | voice::Error::Silent)) => {
                Error::Recording { name, error }
            }
            other => other,
        }
    }

    /// Attaches the name of the server to what went wrong with it.
    pub fn of_server(name: &str, error: inspect::Error) -> Self {
        use inspect::Error as E;
        match error {
            E::Cancelled
            | E::Transcript(_)
            | E::Policy(_)
            | E::Rule { .. }
            | E::Schema(_)
            | E::NoModel { .. }
            | E::TooManyRequests { .. } => Error::Inspection(error),
            error => Error::Server {
                name: name.into(),
                error,
            },
        }
    }

    /// Whether another recording, or asking again, could have worked: what `on_error: 'null'` may turn into NULL.
    pub fn is_about_the_recording(&self) -> bool {
        match self {
            Error::Source(error) => {
                !matches!(error, source::Error::Cancelled | source::Error::Setup(_))
                    && !error.is_about_access()
            }
            Error::Audio { error, .. } => !matches!(error, audio::Error::Cancelled),
            Error::Recording { .. } | Error::Encoded { .. } | Error::Server { .. } => true,
            Error::Inspection(error) => matches!(
                error,
                inspect::Error::Transcript(_) | inspect::Error::TooManyRequests { .. }
            ),
            _ => false,
        }
    }

    /// Whether the work was told to stop.
    pub fn is_cancelled(&self) -> bool {
        self.code() == PgSqlErrorCode::ERRCODE_QUERY_CANCELED
    }

    /// Reports the error as a warning.
    pub fn warn(self) {
        ErrorReport::from(self).report(PgLogLevel::WARNING);
    }

    /// The five characters that clients see: six bits each, from '0' on.
    pub fn sqlstate(&self) -> String {
        let code = self.code() as u32;
        let letter = |i: u32| char::from(((code >> (6 * i)) & 0x3f) as u8 + b'0');
        (0..5).map(letter).collect()
    }

    fn code(&self) -> PgSqlErrorCode {
        use PgSqlErrorCode as Code;
        match self {
            Error::Options(_)
            | Error::UnknownOption { .. }
            | Error::WrongOption { .. }
            | Error::Encoded { .. }
            | Error::Argument(_) => Code::ERRCODE_INVALID_PARAMETER_VALUE,
            Error::NullInArray | Error::NullArgument { .. } => Code::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            Error::UnknownModel { .. } | Error::WrongTask { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
            Error::ResultTooLarge => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            Error::Privilege { .. } => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
            Error::Foreign(error) => foreign_code(error),
            Error::Source(error) => source_code(error),
            Error::Audio { error, .. } => audio_code(error),
            Error::Decoding(error) => audio_code(error),
            Error::Recording { error, .. } | Error::Voice(error) => voice_code(error),
            Error::Onnx(error) => onnx_code(error),
            Error::Inspection(error) | Error::Server { error, .. } => inspection_code(error),
            Error::Spi(_) | Error::Internal(_) => Code::ERRCODE_INTERNAL_ERROR,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::UnknownOption { name, known } => {
                let nearest = nearest(name, known)
                    .map(|n| format!("Did you mean \"{n}\"? "))
                    .unwrap_or_default();
                Some(format!("{nearest}Known options: {known}."))
            }
            Error::WrongOption { known, .. } => Some(format!("Known options: {known}.")),
            Error::UnknownModel { name, .. } if source::looks_like_one(name) => Some(
                "The order is (model, recording, options) or (recording, options); by name: source =>, model =>, options =>."
                    .into(),
            ),
            Error::UnknownModel { name, .. } if OUTPUTS.contains(&name.as_str()) => Some(format!(
                "What comes out is an option: {{\"output_type\": \"{name}\"}}."
            )),
            Error::UnknownModel { name, known } if CLOUD.contains(&name.as_str()) => Some(format!(
                "\"{name}\" is a model of the cloud's: leave the model out, or name one of these: {known}."
            )),
            Error::Encoded { how, .. } => Some(format!(
                "Text names a recording: a path or a URL. Bytes that were encoded are decoded by {how}; a data: URL works too."
            )),
            Error::UnknownModel { known, .. } | Error::WrongTask { known, .. } => {
                Some(format!("Models for this: {known}. See the view ai_audio_models."))
            }
            Error::Privilege { hint, .. } | Error::NullArgument { hint, .. } => {
                Some((*hint).into())
            }
            Error::ResultTooLarge => Some("Ask for a shorter part, or for {\"format\": \"flac\"}.".into()),
            Error::Foreign(error) => foreign_hint(error),
            Error::Inspection(error) | Error::Server { error, .. } => {
                inspection_hint(error).map(Into::into)
            }
            Error::Source(error) => source_hint(error).map(Into::into),
            Error::Audio { error: audio::Error::TooLong { .. }, .. } => {
                Some("Select a part with start_time and end_time, or have ai_audio.max_duration raised.".into())
            }
            Error::Onnx(onnx::Error::Library { .. }) => {
                Some("Set ai_audio.onnxruntime_library to the absolute path of libonnxruntime.so, 1.22 or later.".into())
            }
            Error::Voice(voice::Error::Memory { .. }) => {
                Some("Group fewer rows at a time (PARTITION BY), or have ai_audio.cluster_memory raised.".into())
            }
            Error::Onnx(onnx::Error::Model { .. }) => {
                Some("Check ai_audio.model_dir, and the file of the model in the view ai_audio_models.".into())
            }
            _ => None,
        }
    }
}

fn foreign_code(error: &foreign::Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as Code;
    use foreign::Error as E;
    match error {
        E::UnknownOption { .. } => Code::ERRCODE_FDW_INVALID_OPTION_NAME,
        E::WrongValue { .. } | E::Together(_) => Code::ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE,
        E::MissingOption { .. } => Code::ERRCODE_FDW_OPTION_NAME_NOT_FOUND,
        E::NoTables(_) => Code::ERRCODE_WRONG_OBJECT_TYPE,
        E::UnknownServer { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
        E::Denied(_) => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
        E::Ambiguous { .. } => Code::ERRCODE_AMBIGUOUS_ALIAS,
        E::Elsewhere { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        E::NoStore { .. } => Code::ERRCODE_UNDEFINED_OBJECT,
        E::HalfKey(_) => Code::ERRCODE_FDW_OPTION_NAME_NOT_FOUND,
    }
}

fn foreign_hint(error: &foreign::Error) -> Option<String> {
    use foreign::Error as E;
    Some(match error {
        E::UnknownOption { hint, .. } => hint.clone(),
        E::UnknownServer { .. } => "Servers are listed in pg_foreign_server.".into(),
        E::Denied(server) => format!("Its owner can GRANT USAGE ON FOREIGN SERVER {server}."),
        E::NoStore { .. } => "CREATE SERVER ... FOREIGN DATA WRAPPER ai_audio_store OPTIONS (kind, bucket, endpoint), GRANT USAGE ON \
                              FOREIGN SERVER, CREATE USER MAPPING with the key; or give keys and endpoint as options of the call."
            .into(),
        E::HalfKey(server) => format!("ALTER USER MAPPING FOR ... SERVER {server} OPTIONS (ADD ...)."),
        E::Ambiguous { .. } => "Name one in options: {\"server\": \"name\"}.".into(),
        _ => return None,
    })
}

fn inspection_code(error: &inspect::Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as Code;
    use inspect::Error as E;
    match error {
        E::Cancelled => Code::ERRCODE_QUERY_CANCELED,
        E::Transcript(_) | E::Policy(_) | E::Rule { .. } | E::Schema(_) | E::NoModel { .. } => {
            Code::ERRCODE_INVALID_PARAMETER_VALUE
        }
        E::TooManyRequests { .. } => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        E::Unreachable(_) | E::Timeout { .. } => Code::ERRCODE_CONNECTION_FAILURE,
        _ => Code::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
    }
}

fn inspection_hint(error: &inspect::Error) -> Option<&'static str> {
    use inspect::Error as E;
    Some(match error {
        E::NoModel { .. } => {
            "Give the rule a \"pattern\", or name a server of ai_audio_llm: {\"server\": \"name\"}, or ai_audio.inspection_server."
        }
        E::TooManyRequests { .. } => {
            "Raise option \"max_requests\", or \"context\" of the server where its model reads more at once."
        }
        E::Timeout { .. } => "Raise option \"timeout\" of the call or of the server.",
        E::CutOff => "Raise option \"max_tokens\" of the call or of the server.",
        E::Status {
            status: 401 | 403, ..
        } => "Check option \"api_key\" of your user mapping.",
        E::Status { status: 404, .. } => "Check options \"url\" and \"model\" of the server.",
        _ => return None,
    })
}

fn source_code(error: &source::Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as Code;
    use source::Error as E;
    match error {
        E::Cancelled => Code::ERRCODE_QUERY_CANCELED,
        E::Malformed { .. } | E::Relative { .. } => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        E::UnknownScheme { .. } | E::Encoded { .. } => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
        E::NotFound { .. } => Code::ERRCODE_UNDEFINED_FILE,
        E::Store { status: 404, .. } => Code::ERRCODE_UNDEFINED_FILE,
        E::Store {
            status: 400..=403, ..
        } => Code::ERRCODE_INSUFFICIENT_PRIVILEGE,
        E::Place(_) | E::Anonymous | E::Signing => Code::ERRCODE_INVALID_PARAMETER_VALUE,
        E::OutsideAllowedDirs { .. } | E::PermissionDenied { .. } | E::ForbiddenAddress { .. } => {
            Code::ERRCODE_INSUFFICIENT_PRIVILEGE
        }
        E::NotRegular { .. } => Code::ERRCODE_WRONG_OBJECT_TYPE,
        E::BytesTooLarge { .. } | E::FileTooLarge { .. } | E::BodyTooLarge { .. } => {
            Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED
        }
        E::File { .. } | E::Spool(_) => Code::ERRCODE_IO_ERROR,
        _ => Code::ERRCODE_CONNECTION_FAILURE,
    }
}

/// Which setting an administrator can change, or what the user can.
fn source_hint(error: &source::Error) -> Option<&'static str> {
    use source::Error as E;
    Some(match error {
        E::ForbiddenAddress { .. } => {
            "Only public addresses are called, unless an administrator names the host in ai_audio.allowed_hosts."
        }
        E::OutsideAllowedDirs { .. } => {
            "An administrator can name the file's directory in ai_audio.allowed_dirs."
        }
        E::BytesTooLarge { .. } | E::FileTooLarge { .. } | E::BodyTooLarge { .. } => {
            "An administrator can raise ai_audio.max_size."
        }
        E::Timeout { .. } => "An administrator can raise ai_audio.fetch_timeout.",
        E::TooManyRedirects { .. } => "An administrator can raise ai_audio.max_redirects.",
        other => return other.hint(),
    })
}

fn audio_code(error: &audio::Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as Code;
    use audio::Error as E;
    match error {
        E::Cancelled => Code::ERRCODE_QUERY_CANCELED,
        E::Unsupported { .. } => Code::ERRCODE_FEATURE_NOT_SUPPORTED,
        E::Channel { .. } | E::Range { .. } | E::StartBeyondEnd { .. } => {
            Code::ERRCODE_INVALID_PARAMETER_VALUE
        }
        E::TooLong { .. } => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        E::Io(_) => Code::ERRCODE_IO_ERROR,
        _ => Code::ERRCODE_DATA_EXCEPTION,
    }
}

fn onnx_code(error: &onnx::Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as Code;
    use onnx::Error as E;
    match error {
        E::Cancelled => Code::ERRCODE_QUERY_CANCELED,
        E::Library { .. } | E::Model { .. } => Code::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        E::Provider(_) | E::Inference(_) => Code::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
    }
}

fn voice_code(error: &voice::Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as Code;
    use voice::Error as E;
    match error {
        E::Onnx(error) => onnx_code(error),
        E::Audio(error) => audio_code(error),
        E::TooShort { .. } | E::Silent => Code::ERRCODE_DATA_EXCEPTION,
        E::Memory { .. } => Code::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        E::Invalid(_) => Code::ERRCODE_INVALID_PARAMETER_VALUE,
    }
}

impl From<voice::Error> for Error {
    fn from(error: voice::Error) -> Self {
        match error {
            voice::Error::Onnx(error) => Error::Onnx(error),
            voice::Error::Audio(error) => Error::Decoding(error),
            other => Error::Voice(other),
        }
    }
}

impl From<diarize::Error> for Error {
    fn from(error: diarize::Error) -> Self {
        match error {
            diarize::Error::Onnx(error) => Error::Onnx(error),
            diarize::Error::Voice(error) => error.into(),
            diarize::Error::Audio(error) => Error::Decoding(error),
            diarize::Error::Invalid(message) => Error::Argument(message),
        }
    }
}

impl From<transcribe::Error> for Error {
    fn from(error: transcribe::Error) -> Self {
        match error {
            transcribe::Error::Onnx(error) => Error::Onnx(error),
            transcribe::Error::Audio(error) => Error::Decoding(error),
            transcribe::Error::Invalid(message) => Error::Argument(message),
        }
    }
}

impl From<Error> for ErrorReport {
    fn from(error: Error) -> Self {
        let report = ErrorReport::new(error.code(), error.to_string(), "ai_audio");
        match error.hint() {
            Some(hint) => report.set_hint(hint),
            None => report,
        }
    }
}
