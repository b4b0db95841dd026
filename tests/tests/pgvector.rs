//! pgvector's own tests pass with our library preloaded, and its HNSW queries give the same rows as similarities.
//!
//! They come with its source, which `make` has where it built pgvector; with a packaged pgvector these tests say that
//! they were skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sql_tests::{ClientExt, Database, Scratch, Server, postgres_program, root};

/// The folder `test` in pgvector's source.
fn pgvector_tests() -> Option<PathBuf> {
    let built = fs::read_dir(root().join("target")).ok()?.flatten();
    let found = built
        .map(|entry| entry.path().join("src/test"))
        .find(|folder| folder.join("sql/hnsw_vector.sql").exists());
    if found.is_none() {
        eprintln!("skipped: pgvector was not built from source here");
    }
    found
}

/// The names of its regression tests.
fn names(tests: &Path) -> Vec<String> {
    let files = fs::read_dir(tests.join("sql")).expect("a folder").flatten();
    let mut names: Vec<String> = files
        .filter_map(|f| Some(f.path().file_stem()?.to_str()?.to_string()))
        .collect();
    names.sort();
    names
}

fn pg_regress() -> PathBuf {
    let pg_config = std::env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".into());
    let output = Command::new(pg_config).arg("--pgxs").output();
    let pgxs = String::from_utf8(output.expect("pg_config starts").stdout).expect("a path");
    let makefiles = Path::new(pgxs.trim()).parent().expect("a folder");
    makefiles.join("../test/regress/pg_regress")
}

/// Host, port and password of a URL like `postgresql://postgres:PASSWORD@HOST:PORT/DATABASE`.
fn parts(url: &str) -> (String, String, String) {
    let (_, rest) = url.split_once("://").expect("a URL");
    let (login, place) = rest.split_once('@').expect("a login");
    let (_, password) = login.split_once(':').expect("a password");
    let (address, _) = place.split_once('/').expect("a database");
    let (host, port) = address.rsplit_once(':').expect("a port");
    (host.into(), port.into(), password.into())
}

#[test]
fn its_regression_tests_pass_with_our_library_preloaded() {
    let Some(tests) = pgvector_tests() else {
        return;
    };
    let mut server = Server::start("pgvector");
    server
        .database()
        .connect()
        .run("ALTER SYSTEM SET shared_preload_libraries = 'ai_audio'");
    server.shut_down();
    server.start_again();
    let database = server.database();
    let loaded: String = database.connect().value("SHOW shared_preload_libraries");
    assert_eq!(loaded, "ai_audio");
    let (host, port, password) = parts(&database.url());
    let scratch = Scratch::new();
    let psql = postgres_program("psql");
    let output = Command::new(pg_regress())
        .env("PGPASSWORD", password)
        .arg(format!("--inputdir={}", tests.display()))
        // The test of COPY writes to results/ below the folder it runs in.
        .current_dir(scratch.path(""))
        .arg("--outputdir=.")
        .arg(format!(
            "--bindir={}",
            Path::new(psql.get_program())
                .parent()
                .expect("a folder")
                .display()
        ))
        .args([
            "--user=postgres",
            "--dbname=pgvector_regression",
            "--load-extension=vector",
        ])
        .arg(format!("--host={host}"))
        .arg(format!("--port={port}"))
        .args(names(&tests))
        .output()
        .expect("pg_regress starts");
    let differences = fs::read_to_string(scratch.path("regression.diffs")).unwrap_or_default();
    assert!(
        output.status.success(),
        "{}\n{differences}",
        String::from_utf8_lossy(&output.stdout)
    );
}

/// `ORDER BY column <=> probe` as a similarity. `None` for a statement without one.
fn as_similarity(statement: &str) -> Option<(String, String)> {
    let (before, rest) = statement.split_once("ORDER BY ")?;
    let (column, rest) = rest.split_once(" <=> ")?;
    let end = match rest.strip_prefix('(') {
        Some(inside) => inside.find(')')? + 2,
        None => rest[1..].find('\'')? + 2,
    };
    let (probe, after) = rest.split_at(end);
    let limited = |order: &str| format!("{before}ORDER BY {order} LIMIT 3{after}");
    let similarity = format!("cosine_similarity({column}, {probe}) DESC NULLS LAST");
    Some((
        limited(&format!("{column} <=> {probe}")),
        limited(&similarity),
    ))
}

#[test]
fn its_hnsw_queries_give_the_same_rows_as_similarities() {
    let Some(tests) = pgvector_tests() else {
        return;
    };
    let mut compared = 0;
    for name in ["hnsw_vector", "hnsw_halfvec"] {
        let script = fs::read_to_string(tests.join(format!("sql/{name}.sql"))).expect("a script");
        let database = Database::new();
        let mut client = database.connect();
        client.run("SET client_min_messages = error; SET enable_seqscan = off");
        for statement in script
            .split_inclusive(";\n")
            .filter(|s| !s.trim().is_empty())
        {
            if let Some((distance, similarity)) = as_similarity(statement) {
                let rows = |client: &mut postgres::Client, sql: &str| {
                    let all = client.simple_query(sql).expect("a query that works");
                    all.iter().filter_map(first_value).collect::<Vec<_>>()
                };
                assert_eq!(
                    rows(&mut client, &similarity),
                    rows(&mut client, &distance),
                    "{similarity}"
                );
                compared += 1;
            }
            // What fails in the original fails here, and matters as little.
            let _ = client.batch_execute(statement);
        }
    }
    assert!(
        compared >= 4,
        "only {compared} queries by cosine distance were found"
    );
}

fn first_value(message: &postgres::SimpleQueryMessage) -> Option<String> {
    match message {
        postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_string()),
        _ => None,
    }
}
