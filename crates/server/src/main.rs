//! `ai_audio_server`: applications that speak HTTP use ai_audio through it. All work is done in the database, by SQL.
// What stands in brackets in the options' descriptions is a default, as `--help` shows it.
#![allow(rustdoc::broken_intra_doc_links)]

mod callbacks;
mod config;
mod console;
mod db;
mod error;
mod input;
mod jobs;
mod keys;
mod limits;
mod listen;
mod metrics;
mod notices;
mod openapi;
mod results;
mod routes;
mod setup;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::config::{Config, Settings};

/// The REST service of ai_audio and its console.
#[derive(Parser)]
#[command(version, about)]
struct Command {
    /// A file of settings (TOML): the long flags' names with underscores.
    #[arg(long, global = true, env = "AI_AUDIO_SERVER_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Serve (what is done without a command).
    Serve,
    /// Make the service's schema and the voice library in the database, where they are missing.
    Init {
        /// Roles that may use the library: GRANT SELECT, INSERT, DELETE.
        #[arg(long)]
        grant: Vec<String>,
    },
    /// Make, list and revoke API keys.
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Print the description of the service (OpenAPI 3.1).
    Openapi,
}

#[derive(Subcommand)]
pub(crate) enum KeyAction {
    /// Make a key and print it, this once.
    Create {
        /// The database role that the key acts as.
        #[arg(long)]
        role: String,
        /// How long it is valid, as Postgres writes intervals: `90 days`, `1 year` [for ever].
        #[arg(long)]
        expires: Option<String>,
        /// Whose key it is, for the list.
        #[arg(long, default_value = "")]
        note: String,
        /// Requests per second [key_rate].
        #[arg(long)]
        rate: Option<f64>,
        /// Requests at a time [key_concurrency].
        #[arg(long)]
        concurrency: Option<i32>,
    },
    /// List the keys.
    List,
    /// Revoke a key, at once.
    Revoke {
        /// Its id: the part between the two underscores.
        id: String,
    },
}

/// The running service.
pub struct App {
    /// What was configured.
    pub config: Config,
    /// The database.
    pub db: Arc<db::Db>,
    /// Limits.
    pub limits: limits::Limits,
    /// Jobs.
    pub jobs: jobs::Jobs,
    /// Numbers.
    pub metrics: PrometheusHandle,
}

fn main() -> ExitCode {
    // Worker threads only pass bytes on; the work is the database's.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(Command::parse())),
        Err(error) => Err(error.to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("ai_audio_server: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), String> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "TLS is set up already")?;
    if matches!(command.action, Some(Action::Openapi)) {
        println!("{}", openapi::document());
        return Ok(());
    }
    let file = match &command.config {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Settings::default(),
    };
    let settings = command.settings.over(file);
    start_log(settings.log.as_deref().unwrap_or("info"))?;
    let config = Config::new(settings)?;
    match command.action {
        Some(Action::Init { grant }) => setup::init(&config, &grant).await,
        Some(Action::Key { action }) => setup::key(&config, action).await,
        Some(Action::Openapi) => Ok(()),
        Some(Action::Serve) | None => {
            setup::prepare(&config).await?;
            let app = Arc::new(App {
                db: Arc::new(db::Db::open(&config).await?),
                limits: limits::Limits::new(&config),
                jobs: jobs::Jobs::new(),
                metrics: metrics::install()?,
                config,
            });
            listen::serve(app).await
        }
    }
}

/// Lines of JSON on standard error. Neither request bodies nor headers nor query strings are ever logged.
fn start_log(level: &str) -> Result<(), String> {
    let level: tracing::Level = level
        .parse()
        .map_err(|_| format!("log must be error, warn, info or debug, not {level:?}"))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
    Ok(())
}
