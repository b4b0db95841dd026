//! Servers of a test's own, for tests that crash or stop them.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::database::{config, connect, with_database};
use crate::{Client, Database, environment, root};

/// A program of the Postgres under test.
pub fn postgres_program(name: &str) -> Command {
    Command::new(format!("{}/{name}", environment("AI_AUDIO_PG_BIN")))
}

/// A throw-away server beside the one that all tests share; removed with the value.
pub struct Server {
    name: String,
    url: String,
}

impl Server {
    /// Makes and starts a server.
    pub fn start(name: &str) -> Self {
        cluster("start", name);
        Self {
            name: name.into(),
            url: cluster("url", name),
        }
    }

    /// An empty database on it.
    pub fn database(&self) -> Database {
        Database::empty_on(self.url.clone())
    }

    /// A new session as superuser in a database that is there.
    pub fn connect_to(&self, database: &str) -> Client {
        connect(&config(&with_database(&self.url, database)))
    }

    /// Waits while it recovers from a crash.
    pub fn wait_until_it_answers(&self) {
        // The postmaster needs a moment to see that there was a crash.
        thread::sleep(Duration::from_millis(500));
        let answers = || {
            postgres_program("pg_isready")
                .arg("--dbname")
                .arg(&self.url)
                .output()
        };
        for _ in 0..600 {
            if answers().expect("pg_isready starts").status.success() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
        panic!("the server {} does not come back", self.name);
    }

    /// Fast shutdown, to its end.
    pub fn shut_down(&self) {
        cluster("stop", &self.name);
    }

    /// Starts it again after `shut_down`. It may come back on another port: make databases anew.
    pub fn start_again(&mut self) {
        cluster("start", &self.name);
        self.url = cluster("url", &self.name);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        cluster("drop", &self.name);
    }
}

fn cluster(action: &str, name: &str) -> String {
    let output = Command::new(root().join("scripts/cluster"))
        .args([action, name])
        .stderr(Stdio::inherit())
        .output();
    let output = output.expect("scripts/cluster starts");
    assert!(
        output.status.success(),
        "scripts/cluster {action} {name} failed"
    );
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .into()
}
