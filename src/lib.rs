//! `ai_audio`: voiceprints, voice search and speech to text in SQL.
//!
//! This package is the SQL skin: arguments in, errors out. What it calls lives under `crates/` and knows nothing of
//! Postgres. SQL declarations are written by hand in `sql/`.
//!
//! Floors, each of which knows those below: `api`, the SQL functions by family, and `planner`; `steps`, the work
//! that several families share; `call`, what every call goes through; `models` and `interrupt`; and at the
//! bottom `settings`, `errors`, `vector`, `stats`, `progress`, `memo`, `memory`, `relations`, `signals`.

use pgrx::prelude::*;

mod api;
mod backtrace;
mod call;
mod errors;
mod follow;
mod foreign;
mod interrupt;
mod memo;
mod memory;
mod models;
mod planner;
mod progress;
mod query;
mod relations;
mod secrets;
mod settings;
mod signals;
mod stats;
mod steps;
mod vector;

::pgrx::pg_module_magic!();

/// Runs when a backend first needs the library: settings and hooks only, no threads, no models.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backtrace::never();
    settings::define();
    planner::install();
    memory::install();
    follow::register();
}
