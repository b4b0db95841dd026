use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a source gave no bytes.
///
/// Hosts, URLs and texts in the fields are already redacted: neither `Display` nor `Debug` of any
/// variant can show user-info, a query string or a fragment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller raised its `stop` flag.
    #[error("cancelled")]
    Cancelled,

    /// The text names nothing that could be opened.
    #[error("{source_text} is not a usable source: {reason}")]
    Malformed {
        /// The text, redacted and quoted.
        source_text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path that does not start at the root.
    #[error("relative path {path}: a server file needs an absolute path")]
    Relative {
        /// The text, redacted and quoted.
        path: String,
    },
    /// A URI of a scheme that is not supported.
    #[error(
        "sources of scheme \"{scheme}\" are not supported: use an absolute path, file://, http://, https://, oss:// or s3://"
    )]
    UnknownScheme {
        /// The scheme, without the colon.
        scheme: String,
    },
    /// An entry of a list of allowed hosts that no host can match.
    #[error(
        "{entry} matches no host: write host, host:port, *.domain or an address, without scheme and path"
    )]
    AllowedHost {
        /// The entry, redacted and quoted.
        entry: String,
    },

    /// Bytes that a caller brings along, above the limit on recordings.
    #[error("the recording has {bytes} bytes, more than the limit of {limit}")]
    BytesTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },

    /// A file that the allowed directories do not contain.
    #[error("file {path:?} is outside the allowed directories")]
    OutsideAllowedDirs {
        /// As the caller wrote it; where a link leads is not told.
        path: PathBuf,
    },
    /// No such file.
    #[error("file {path:?} does not exist")]
    NotFound {
        /// As the caller wrote it.
        path: PathBuf,
    },
    /// The operating system refused the server.
    #[error("the server may not read file {path:?}: permission denied")]
    PermissionDenied {
        /// As the caller wrote it.
        path: PathBuf,
    },
    /// A directory, device, pipe or socket.
    #[error("{path:?} is a {kind}, not a regular file")]
    NotRegular {
        /// As the caller wrote it.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// A file above [`FileRules::max_bytes`](crate::FileRules).
    #[error("file {path:?} has {bytes} bytes, more than the limit of {limit}")]
    FileTooLarge {
        /// As the caller wrote it.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Any other failure of the file system.
    #[error("cannot open file {path:?}: {cause}")]
    File {
        /// As the caller wrote it.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },

    /// The name service knows no address, or does not answer.
    #[error("cannot resolve host \"{host}\": {reason}")]
    Resolve {
        /// Host name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The host has an address that a server must not be made to call.
    #[error("host \"{host}\" is not allowed: its address is {kind}")]
    ForbiddenAddress {
        /// Host as written in the URL. Its address is not told: that would map the inner network.
        host: String,
        /// The kind of address, for example "a private network".
        kind: &'static str,
    },
    /// No connection.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// Redacted URL.
        url: String,
        /// The last cause.
        reason: String,
    },
    /// The server's certificate or the TLS protocol failed.
    #[error("no trusted TLS connection to {url}: {reason}")]
    Tls {
        /// Redacted URL.
        url: String,
        /// What rustls said.
        reason: String,
    },
    /// The answer broke off or is not HTTP.
    #[error("fetching {url} failed: {reason}")]
    Transfer {
        /// Redacted URL.
        url: String,
        /// The last cause.
        reason: String,
    },
    /// An answer other than 200.
    #[error("fetching {url} failed: HTTP status {status}{}", explain(*status))]
    Status {
        /// Redacted URL.
        url: String,
        /// HTTP status code.
        status: u16,
    },
    /// A store that refuses, in its own words.
    #[error(
        "{url}: the store answers {code} (HTTP status {status}){}",
        said(message)
    )]
    Store {
        /// The object, or redacted URL.
        url: String,
        /// HTTP status code.
        status: u16,
        /// The store's code, such as `NoSuchKey`.
        code: String,
        /// What it says more, without secrets; may be empty.
        message: String,
    },
    /// A file that is read in parts is another one by now.
    #[error("{url} was changed while it was read")]
    Changed {
        /// The object, or redacted URL.
        url: String,
    },
    /// A store that cannot be.
    #[error("no such store: {0}")]
    Place(String),
    /// A signature that needs keys where there are none.
    #[error("a temporary URL needs an access key: there is none for this store")]
    Anonymous,
    /// A request that cannot be signed.
    #[error(
        "a request to the store cannot be signed: a key or a name has letters that no header can carry"
    )]
    Signing,
    /// A redirect that must not be followed.
    #[error("{url} redirects {reason}")]
    Redirect {
        /// Redacted URL that redirected.
        url: String,
        /// Where to, in words.
        reason: String,
    },
    /// More redirects than [`FetchRules::max_redirects`](crate::FetchRules).
    #[error("{url} redirects more than {limit} times")]
    TooManyRedirects {
        /// Redacted URL that was asked for.
        url: String,
        /// The limit.
        limit: u32,
    },
    /// A body that is compressed for transport; audio is not decompressed.
    #[error("{url} answers with content encoding \"{encoding}\": audio must be served as it is")]
    Encoded {
        /// Redacted URL.
        url: String,
        /// The `Content-Encoding` header.
        encoding: String,
    },
    /// A body above [`FetchRules::max_bytes`](crate::FetchRules).
    #[error("{url} has more than the limit of {limit} bytes")]
    BodyTooLarge {
        /// Redacted URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The whole fetch took longer than [`FetchRules::timeout`](crate::FetchRules).
    #[error("fetching {url} took longer than {} ms", limit.as_millis())]
    Timeout {
        /// Redacted URL.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// The body could not be kept on disk.
    #[error("cannot keep the fetched bytes in a temporary file: {0}")]
    Spool(#[source] io::Error),
    /// The machinery of a fetch could not be set up.
    #[error("cannot start a fetch: {0}")]
    Setup(String),
}

impl Error {
    /// Whether the same request may succeed a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Transfer { .. } => true,
            Self::Status { status, .. } | Self::Store { status, .. } => {
                matches!(status, 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    /// Whether the keys to a store or its place are wrong: then no other recording could be had either.
    pub fn is_about_access(&self) -> bool {
        match self {
            Self::Place(_) | Self::Anonymous | Self::Signing => true,
            Self::Store { status, code, .. } => {
                matches!(status, 301 | 400 | 401 | 403)
                    && code != "AccessDenied"
                    && code != "InvalidObjectState"
                    || code == "NoSuchBucket"
            }
            _ => false,
        }
    }

    /// What the user or the administrator can do about it, where that is not obvious.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Relative { .. } => {
                "The server does not know your working directory. Write the path from the root, as in /srv/audio/call.wav, or send the file's bytes."
            }
            Self::Store { code, message, .. } => return crate::store::advice(code, message),
            Self::PermissionDenied { .. } => {
                "The operating system user that runs the server needs read permission on the file, and search permission on each directory above it."
            }
            Self::NotFound { .. } => {
                "The path is looked up on the database server, not on the client."
            }
            Self::Status {
                status: 401 | 403, ..
            } => "A presigned URL may have expired, or the object is not public.",
            Self::Status {
                status: 404 | 410, ..
            } => "Check the URL's path.",
            Self::Tls { .. } => {
                "Certificates are checked against the operating system's store. A private authority must be installed there."
            }
            _ => return None,
        })
    }
}

fn said(message: &str) -> String {
    match message.is_empty() {
        true => String::new(),
        false => format!(": {message}"),
    }
}

fn explain(status: u16) -> &'static str {
    match status {
        401 => " (not authorised)",
        403 => " (forbidden)",
        404 => " (not found)",
        410 => " (gone)",
        429 => " (too many requests)",
        500..=599 => " (the remote server failed)",
        _ => "",
    }
}
