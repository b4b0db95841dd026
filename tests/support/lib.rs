//! What the SQL tests share: databases, clients, recordings, and ways to look at a server from outside.
//!
//! `make test` sets the environment; by hand: `eval "$(make -s test-env)"`, then `cargo test --release -p sql-tests`.

mod client;
mod database;
mod page;
mod process;
mod recordings;
mod server;
mod stop;
mod stores;

pub use client::{ClientExt, plan_nodes};
pub use database::{Database, Notices, Role};
pub use page::{Block, blocks};
pub use postgres::{Client, error::DbError, error::SqlState};
pub use process::{kill, own_memory};
pub use recordings::{Scratch, clip, development, openvino, other_runtimes, sparse_wav, tone, wav};
pub use serde_json::{Value, json};
pub use server::{Server, postgres_program};
pub use stop::{Stop, Stopped, endless_embedding, stop};
pub use stores::{Oss, S3};

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the checkout is there")
}

/// A setting that `make test` exports.
fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `make test`, or eval \"$(make -s test-env)\"")
    })
}
