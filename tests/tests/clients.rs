//! The blocks of docs/clients.md, run as they stand there: every driver finds who is speaking.

#[path = "../clients/tokio_postgres.rs"]
mod tokio_postgres_block;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sql_tests::{Block, ClientExt, Database, blocks, clip, root};

/// A block, what the page says it prints, and the name of its section.
struct Client {
    name: String,
    code: String,
    prints: String,
}

/// The page's blocks in a language.
fn clients(language: &str) -> Vec<Client> {
    let page = fs::read_to_string(root().join("docs/clients.md")).expect("the page");
    let blocks = blocks(&page);
    let found: Vec<Client> = blocks
        .windows(2)
        .filter(|pair| pair[0].language == language)
        .map(|pair| {
            assert_eq!(pair[1].language, "text", "line {}", pair[1].line);
            let above = page.lines().take(pair[0].line);
            let heading = above.filter_map(|line| line.strip_prefix("## ")).last();
            Client {
                name: heading.expect("a section").into(),
                code: pair[0].text.clone(),
                prints: pair[1].text.clone(),
            }
        })
        .collect();
    assert!(!found.is_empty(), "no block in {language}");
    found
}

/// A database with what the page's SQL makes.
fn prepared() -> Database {
    let page = fs::read_to_string(root().join("docs/clients.md")).expect("the page");
    let database = Database::new();
    let all = blocks(&page);
    let sql = all.iter().filter(|block: &&Block| block.language == "sql");
    for block in sql {
        database
            .connect()
            .run(&block.text.replace("/recordings", &recordings()));
    }
    database
}

fn recordings() -> String {
    let sample = clip("index.json");
    let folder = Path::new(&sample).parent().expect("a folder");
    folder.display().to_string()
}

/// Where `scripts/clients` puts the drivers; says that a test is skipped where one is not there.
fn driver(path: &str, why: &str) -> Option<PathBuf> {
    let place = root().join("target/clients").join(path);
    if place.exists() {
        return Some(place);
    }
    println!(
        "skipped: {} is not there ({why}; scripts/clients fetches it)",
        place.display()
    );
    None
}

/// Runs a block on a database of its own and compares what it prints.
fn runs(client: &Client, file: &str, command: impl Fn(&Path) -> Command) {
    let database = prepared();
    let url = database.url();
    let (login, address) = url
        .strip_prefix("postgresql://")
        .and_then(|rest| rest.split_once('@'))
        .expect("a user");
    let (user, password) = login.split_once(':').expect("a password");
    let code = client
        .code
        .replace("//me@db/audio", &format!("//{login}@{address}"))
        .replace("//db/audio", &format!("//{address}"))
        .replace("\"me\", \"secret\"", &format!("\"{user}\", \"{password}\""))
        .replace("/recordings", &recordings());
    assert!(!code.contains("db/audio"), "{}", client.name);
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join(file);
    fs::write(&program, code).expect("written");
    let output = command(&program).output().expect("the interpreter starts");
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{}: {complained}", client.name);
    assert_eq!(
        said.trim(),
        client.prints.trim(),
        "{}: {complained}",
        client.name
    );
}

#[test]
fn python_drivers() {
    let Some(python) = driver("python/bin/python", "a Python environment") else {
        return;
    };
    let blocks = clients("python");
    assert_eq!(blocks.len(), 5);
    for client in blocks {
        runs(&client, "client.py", |program| {
            let mut command = Command::new(&python);
            command.arg(program);
            command
        });
    }
}

#[test]
fn node() {
    let Some(modules) = driver("node/node_modules", "node and npm") else {
        return;
    };
    for client in clients("js") {
        runs(&client, "client.js", |program| {
            let mut command = Command::new("node");
            command.env("NODE_PATH", &modules).arg(program);
            command
        });
    }
}

#[test]
fn jdbc() {
    let Some(jar) = driver("java/postgresql.jar", "a Java development kit") else {
        return;
    };
    for client in clients("java") {
        runs(&client, "Voices.java", |program| {
            let mut command = Command::new("java");
            command.arg("-cp").arg(&jar).arg(program);
            command
        });
    }
}

/// What is compiled here is what the page shows.
#[test]
fn tokio_postgres() {
    let block = clients("rust").remove(0);
    assert_eq!(
        block.code.trim(),
        include_str!("../clients/tokio_postgres.rs").trim()
    );
    let database = prepared();
    let read = |name| fs::read(clip(name)).expect("a recording");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let said = runtime.block_on(tokio_postgres_block::who_speaks(
        &database.url(),
        &read("june-1.wav"),
        &read("june-2.wav"),
    ));
    assert_eq!(said.expect("an answer"), block.prints.trim());
}
