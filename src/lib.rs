//! `ai_audio`: voiceprints, voice search and speech to text in SQL.
//!
//! This package is the SQL skin: arguments in, errors out. What it calls lives under `crates/` and knows nothing of
//! Postgres. SQL declarations are written by hand in `sql/`.

use pgrx::prelude::*;

mod api;
mod backtrace;
mod errors;
mod interrupt;
mod memory;
mod models;
mod planner;
mod settings;
mod signals;
mod stats;
mod vector;

::pgrx::pg_module_magic!();

/// Runs when a backend first needs the library: settings and hooks only, no threads, no models.
#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    backtrace::never();
    settings::define();
    planner::install();
    memory::install();
}
