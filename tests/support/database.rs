//! A database per test, with the extension in it, gone afterwards.

use std::path::Path;
use std::process::Output;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use postgres::error::DbError;
use postgres::{Client, Config, NoTls};

use crate::{ClientExt, environment, postgres_program};

const TEMPLATE: &str = "ai_audio_template";
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// Notices that a session has received so far, oldest first.
pub type Notices = Arc<Mutex<Vec<DbError>>>;

/// A database of one test.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A database with the extension, copied from a template.
    pub fn new() -> Self {
        let database = Self::named(server_of_the_run());
        let mut admin = connect(&config(&database.server));
        ensure_template(&mut admin, &database.server);
        admin.run(&format!(
            "CREATE DATABASE {} TEMPLATE {TEMPLATE}",
            database.name
        ));
        database
    }

    /// An empty database.
    pub fn empty() -> Self {
        Self::empty_on(server_of_the_run())
    }

    /// An empty database on another server.
    pub(crate) fn empty_on(server: String) -> Self {
        let database = Self::named(server);
        connect(&config(&database.server)).run(&format!("CREATE DATABASE {}", database.name));
        database
    }

    fn named(server: String) -> Self {
        let name = format!(
            "test_{}_{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        Self { server, name }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new session as superuser.
    pub fn connect(&self) -> Client {
        connect(&self.config())
    }

    /// A new session as superuser, and what the server tells it aside from results.
    pub fn connect_noting(&self) -> (Client, Notices) {
        let notices = Notices::default();
        let heard = notices.clone();
        let mut config = self.config();
        config.notice_callback(move |notice| heard.lock().expect("not poisoned").push(notice));
        (connect(&config), notices)
    }

    /// A role of this test's own, without privileges, gone with the value.
    pub fn role(&self, options: &str) -> Role {
        let name = format!(
            "role_{}_{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        self.connect().run(&format!("CREATE ROLE {name} {options}"));
        Role {
            database: self.url(),
            name,
        }
    }

    /// A new session in which `role` is the session's user: no superuser anywhere behind it.
    pub fn connect_as(&self, role: &str) -> Client {
        let mut client = self.connect();
        client.run(&format!("SET SESSION AUTHORIZATION {role}"));
        client
    }

    /// The connection URI.
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }

    /// Runs a program of Postgres (psql, pg_dump, ...) on this database.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = postgres_program(program);
        command.arg("--dbname").arg(self.url()).args(arguments);
        command
            .output()
            .unwrap_or_else(|error| panic!("{program} did not start: {error}"))
    }

    /// Plays an SQL script as `psql -f` does, echoing statements, with psql variables; panics where a statement fails.
    pub fn play(&self, script: &Path, variables: &[(&str, &str)]) -> String {
        let mut arguments = vec![
            "-X".to_string(),
            "-e".into(),
            "-v".into(),
            "ON_ERROR_STOP=1".into(),
        ];
        for (name, value) in variables {
            arguments.extend(["-v".into(), format!("{name}={value}")]);
        }
        arguments.extend(["-f".into(), script.display().to_string()]);
        let output = self.program(
            "psql",
            &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "{} failed:\n{out}\n{err}",
            script.display()
        );
        out.into_owned()
    }

    fn config(&self) -> Config {
        config(&self.url())
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that shut its server down has nothing left to drop.
        if let Ok(mut admin) = config(&self.server).connect(NoTls) {
            let _ = admin.batch_execute(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.name
            ));
        }
    }
}

/// A role of one test. Drop it before its database.
pub struct Role {
    database: String,
    name: String,
}

impl Role {
    /// The role's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if let Ok(mut admin) = config(&self.database).connect(NoTls) {
            let _ = admin.batch_execute(&format!("DROP OWNED BY {0}; DROP ROLE {0}", self.name));
        }
    }
}

fn server_of_the_run() -> String {
    environment("AI_AUDIO_TEST_URL")
}

pub(crate) fn config(url: &str) -> Config {
    Config::from_str(url).expect("a connection URI")
}

pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (server, _) = url.rsplit_once('/').expect("a URI with a database");
    format!("{server}/{name}")
}

pub(crate) fn connect(config: &Config) -> Client {
    config
        .connect(NoTls)
        .unwrap_or_else(|error| panic!("cannot connect (make url starts the server): {error}"))
}

/// Makes the template anew when the installed scripts have changed. One test at a time comes in here.
fn ensure_template(admin: &mut Client, server: &str) {
    admin.run("SELECT pg_advisory_lock(hashtext('ai_audio template'))");
    let scripts: String = admin.value(
        "SELECT string_agg(md5(pg_read_file(setting || '/extension/' || file)), ' ' ORDER BY file)
         FROM pg_config, pg_ls_dir(setting || '/extension') AS file
         WHERE name = 'SHAREDIR' AND file ~ '^(ai_audio|vector)(--.*[.]sql|[.]control)$'",
    );
    let made_from: Option<String> = admin.value(&format!(
        "SELECT max(shobj_description(oid, 'pg_database')) FROM pg_database WHERE datname = '{TEMPLATE}'"
    ));
    if made_from.as_ref() != Some(&scripts) {
        admin.run(&format!("DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)"));
        admin.run(&format!("CREATE DATABASE {TEMPLATE}"));
        let mut template = connect(&config(&with_database(server, TEMPLATE)));
        template.run("CREATE EXTENSION ai_audio CASCADE");
        admin.run(&format!("COMMENT ON DATABASE {TEMPLATE} IS '{scripts}'"));
    }
    admin.run("SELECT pg_advisory_unlock(hashtext('ai_audio template'))");
}
