//! What an administrator decides: flags before the environment before a file before defaults.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

macro_rules! settings {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty, $env:literal;)*) => {
        /// What can be set, each by a flag, by the environment or in the file; nothing is set that is not given.
        #[derive(Clone, Debug, Default, Deserialize, clap::Args)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($(#[doc = $doc])* #[arg(long, env = $env, hide_env_values = true)] pub $name: Option<$type>,)*
            /// Local models for the model names of the cloud: `[models]` in the file, such as `fun-asr = "whisper-base"`.
            #[arg(skip)]
            pub models: BTreeMap<String, String>,
        }

        impl Settings {
            /// These, and where they say nothing those of `file`.
            pub fn over(self, file: Settings) -> Settings {
                Settings { $($name: self.$name.or(file.$name),)* models: file.models }
            }
        }
    };
}

settings! {
    /// The database: postgresql://user:password@host/database, or words like `host=/run/postgresql user=ai_audio_server`.
    database_url: String, "AI_AUDIO_SERVER_DATABASE_URL";
    /// Where to listen [127.0.0.1:8100].
    listen: SocketAddr, "AI_AUDIO_SERVER_LISTEN";
    /// Certificate chain (PEM); with it and the key the service speaks TLS.
    tls_cert: PathBuf, "AI_AUDIO_SERVER_TLS_CERT";
    /// Private key of the certificate (PEM).
    tls_key: PathBuf, "AI_AUDIO_SERVER_TLS_KEY";
    /// How clients reach the service, for the URLs it gives out [what the request says].
    public_url: String, "AI_AUDIO_SERVER_PUBLIC_URL";
    /// The voice library: a table or view with id, name, location, voiceprint, created_at, quality [ai.voices].
    library: String, "AI_AUDIO_SERVER_LIBRARY";
    /// The model that makes voiceprints [audio_embedding].
    voice_model: String, "AI_AUDIO_SERVER_VOICE_MODEL";
    /// Enrol only recordings that are fit for it, unless the request says otherwise [false].
    require_fit: bool, "AI_AUDIO_SERVER_REQUIRE_FIT";
    /// Database connections that work, each with its models in memory [one per processor, at least 2].
    pool_size: usize, "AI_AUDIO_SERVER_POOL_SIZE";
    /// Requests that may wait for one of them; more are answered with 503 [64].
    queue: usize, "AI_AUDIO_SERVER_QUEUE";
    /// Longest wait for a connection, seconds [10].
    queue_timeout: u64, "AI_AUDIO_SERVER_QUEUE_TIMEOUT";
    /// Longest work on one request, seconds [300].
    request_timeout: u64, "AI_AUDIO_SERVER_REQUEST_TIMEOUT";
    /// Longest work on one job, seconds [14400].
    job_timeout: u64, "AI_AUDIO_SERVER_JOB_TIMEOUT";
    /// Longest time in which a body must have arrived, seconds [120].
    upload_timeout: u64, "AI_AUDIO_SERVER_UPLOAD_TIMEOUT";
    /// Largest body, MB [128].
    max_body: usize, "AI_AUDIO_SERVER_MAX_BODY";
    /// Memory for all bodies that are being worked on, MB; more are answered with 503 [512].
    upload_memory: usize, "AI_AUDIO_SERVER_UPLOAD_MEMORY";
    /// Client connections at a time [1024].
    max_connections: usize, "AI_AUDIO_SERVER_MAX_CONNECTIONS";
    /// Requests per second of a key that has no rate of its own [50].
    key_rate: f64, "AI_AUDIO_SERVER_KEY_RATE";
    /// Requests at a time of a key that has no number of its own [16].
    key_concurrency: usize, "AI_AUDIO_SERVER_KEY_CONCURRENCY";
    /// Hours for which results and jobs are kept [24].
    keep_hours: u64, "AI_AUDIO_SERVER_KEEP_HOURS";
    /// Jobs of all keys that may wait or run [256].
    max_jobs: usize, "AI_AUDIO_SERVER_MAX_JOBS";
    /// Hosts that jobs may call back although their address is not public, separated by commas: `host` or `host:port` [none].
    callback_hosts: String, "AI_AUDIO_SERVER_CALLBACK_HOSTS";
    /// What callbacks are signed with [the SHA-256 of the API key's secret part, in hexadecimal].
    callback_secret: String, "AI_AUDIO_SERVER_CALLBACK_SECRET";
    /// Where results go that are given as a URL: `oss://bucket/prefix/` or `s3://bucket/prefix/` [this service].
    result_store: String, "AI_AUDIO_SERVER_RESULT_STORE";
    /// Origins whose pages may call the service, separated by commas [none].
    cors_origins: String, "AI_AUDIO_SERVER_CORS_ORIGINS";
    /// Least important messages in the log: error, warn, info or debug [info].
    log: String, "AI_AUDIO_SERVER_LOG";
}

/// The settings, complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connection string of the database.
    pub database_url: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Base of the URLs that are given out.
    pub public_url: Option<String>,
    /// The library, quoted for SQL.
    pub library: Library,
    /// The model of voiceprints.
    pub voice_model: String,
    /// Whether unfit recordings are refused.
    pub require_fit: bool,
    /// Local models by the cloud's names.
    pub models: BTreeMap<String, String>,
    /// Working connections.
    pub pool_size: usize,
    /// Requests that may wait.
    pub queue: usize,
    /// Longest wait.
    pub queue_timeout: Duration,
    /// Longest work on a request.
    pub request_timeout: Duration,
    /// Longest work on a job.
    pub job_timeout: Duration,
    /// Longest time for a body.
    pub upload_timeout: Duration,
    /// Largest body, bytes.
    pub max_body: usize,
    /// Memory for bodies, bytes.
    pub upload_memory: usize,
    /// Client connections.
    pub max_connections: usize,
    /// Requests per second and key.
    pub key_rate: f64,
    /// Requests at a time and key.
    pub key_concurrency: usize,
    /// How long results are kept.
    pub keep_hours: u64,
    /// Jobs at a time.
    pub max_jobs: usize,
    /// Hosts with any address that may be called back.
    pub callback_hosts: Vec<String>,
    /// What callbacks are signed with; none: something of the key.
    pub callback_secret: Option<String>,
    /// Prefix of an object store for results, with a slash at its end.
    pub result_store: Option<String>,
    /// Origins that CORS lets in.
    pub cors_origins: Vec<String>,
}

/// A table or view, with or without a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Library {
    /// Its schema; none: found by the search path.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
}

impl Library {
    fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text
            .split('.')
            .map(|part| part.trim().trim_matches('"'))
            .collect();
        let plain = |part: &&str| !part.is_empty() && !part.contains(['"', '\0']);
        match parts.as_slice() {
            [name] if plain(name) => Ok(Self {
                schema: None,
                name: (*name).into(),
            }),
            [schema, name] if plain(schema) && plain(name) => Ok(Self {
                schema: Some((*schema).into()),
                name: (*name).into(),
            }),
            _ => Err(format!(
                "library must be a table such as ai.voices, not {text:?}"
            )),
        }
    }

    /// The name as SQL takes it.
    pub fn quoted(&self) -> String {
        let name = quote(&self.name);
        match &self.schema {
            Some(schema) => format!("{}.{name}", quote(schema)),
            None => name,
        }
    }
}

/// An identifier for SQL.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

impl Config {
    /// Completes what was set with defaults.
    ///
    /// # Errors
    /// What is missing or contradicts itself, in words for the terminal.
    pub fn new(set: Settings) -> Result<Self, String> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let megabytes =
            |given: Option<usize>, default: usize| given.unwrap_or(default).saturating_mul(1 << 20);
        let seconds =
            |given: Option<u64>, default: u64| Duration::from_secs(given.unwrap_or(default).max(1));
        let key_rate = set.key_rate.unwrap_or(50.0);
        if !(key_rate.is_finite() && key_rate > 0.0) {
            return Err("key_rate must be above 0".into());
        }
        Ok(Self {
            database_url: set.database_url.ok_or(
                "which database? Give --database-url, AI_AUDIO_SERVER_DATABASE_URL or database_url in the file",
            )?,
            listen: set.listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8100))),
            tls: match (set.tls_cert, set.tls_key) {
                (Some(cert), Some(key)) => Some((cert, key)),
                (None, None) => None,
                _ => return Err("tls_cert and tls_key go together".into()),
            },
            public_url: set.public_url.map(|url| url.trim_end_matches('/').to_string()),
            library: Library::parse(set.library.as_deref().unwrap_or("ai.voices"))?,
            voice_model: set.voice_model.unwrap_or("audio_embedding".into()),
            require_fit: set.require_fit.unwrap_or(false),
            models: set.models,
            pool_size: set.pool_size.unwrap_or(processors.max(2)).max(1),
            queue: set.queue.unwrap_or(64),
            queue_timeout: seconds(set.queue_timeout, 10),
            request_timeout: seconds(set.request_timeout, 300),
            job_timeout: seconds(set.job_timeout, 14_400),
            upload_timeout: seconds(set.upload_timeout, 120),
            max_body: megabytes(set.max_body, 128),
            upload_memory: megabytes(set.upload_memory, 512).max(megabytes(set.max_body, 128)),
            max_connections: set.max_connections.unwrap_or(1024).max(1),
            key_rate,
            key_concurrency: set.key_concurrency.unwrap_or(16).max(1),
            keep_hours: set.keep_hours.unwrap_or(24).max(1),
            max_jobs: set.max_jobs.unwrap_or(256),
            callback_hosts: {
                let hosts = listed(set.callback_hosts);
                for host in &hosts {
                    source::check_allowed_host(host)
                        .map_err(|error| format!("callback_hosts: {error}"))?;
                }
                hosts
            },
            callback_secret: set.callback_secret.filter(|secret| !secret.is_empty()),
            result_store: set.result_store.map(prefix).transpose()?,
            cors_origins: listed(set.cors_origins),
        })
    }
}

/// The items of a list with commas.
fn listed(text: Option<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    let items = text.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(String::from)
        .collect()
}

/// A place for results in an object store.
fn prefix(text: String) -> Result<String, String> {
    match source::parse(&text) {
        Ok(source::Location::Object { .. }) if text.ends_with('/') => Ok(text),
        Ok(source::Location::Object { .. }) => Ok(text + "/"),
        _ => Err("result_store must be oss://bucket/prefix/ or s3://bucket/prefix/".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_the_file() {
        let file: Settings =
            toml::from_str("queue = 5\npool_size = 3\n[models]\nfun-asr = 'whisper-base'")
                .expect("a file");
        let flags = Settings {
            queue: Some(7),
            database_url: Some("x".into()),
            ..Settings::default()
        };
        let config = Config::new(flags.over(file)).expect("complete");
        assert_eq!((config.queue, config.pool_size), (7, 3));
        assert_eq!(config.models["fun-asr"], "whisper-base");
    }

    #[test]
    fn unknown_settings_are_named() {
        let error = toml::from_str::<Settings>("qeue = 5").expect_err("a typing error");
        assert!(error.to_string().contains("qeue"));
    }

    #[test]
    fn libraries_are_quoted() {
        assert_eq!(
            Library::parse("ai.voices").expect("a table").quoted(),
            "\"ai\".\"voices\""
        );
        assert!(Library::parse("a.b.c").is_err());
        assert!(Library::parse("a\"b").is_err());
    }
}
