//! The story of the demonstration (`tests/sql/voiceprint.sql`), and that it comes out right.

use std::path::Path;
use std::process::Command;

use sql_tests::{ClientExt, Database, clip, plan_nodes, root};

fn told() -> (Database, String) {
    let database = Database::empty();
    let speech = clip("index.json");
    let folder = Path::new(&speech)
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let output = database.play(
        &root().join("tests/sql/voiceprint.sql"),
        &[("speech", &folder)],
    );
    (database, output)
}

#[test]
fn the_story_recognises_who_was_enrolled_and_nobody_else() {
    let (database, output) = told();
    let mut client = database.connect();
    assert_eq!(
        client.column::<String>("SELECT name FROM ai.voicetest ORDER BY id"),
        ["Allison", "June", "Sheila", "Diane"],
        "Carlo was forgotten"
    );
    let best: Vec<String> = client.column(&format!(
        "SELECT name FROM (SELECT name, cosine_similarity(voiceprint_feature,
             ai_audio_embed('audio_embedding', '{}', '{{''start_time'':1000, ''end_time'':3000}}')) AS similarity
           FROM ai.voicetest) t ORDER BY similarity DESC LIMIT 3",
        clip("diane-2.wav")
    ));
    assert_eq!(best[0], "Diane");
    // The last table of the story: the known voices are known, the others are not.
    let (_, verdicts) = output.rsplit_once("known").expect("a table of verdicts");
    let line = |who: &str| {
        verdicts
            .lines()
            .find(|line| line.contains(who))
            .unwrap_or_else(|| panic!("{who} in {verdicts}"))
    };
    for (who, nearest) in [
        ("Allison, in Spanish", "Allison"),
        ("Diane, later", "Diane"),
    ] {
        assert!(
            line(who).contains(&format!("| {nearest} ")) && line(who).ends_with("| t"),
            "{}",
            line(who)
        );
    }
    for who in ["Carlo, forgotten", "a stranger"] {
        assert!(line(who).ends_with("| f"), "{}", line(who));
    }
}

fn script(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(root().join("scripts").join(name))
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("scripts/{name}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "scripts/{name}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// What a user asks in `make psql`.
fn psql(sql: &str) -> String {
    script("psql", &["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql])
        .trim()
        .into()
}

#[test]
fn the_demonstration_can_be_given_twice_and_leaves_other_databases_alone() {
    let kept = format!("kept_{}", std::process::id());
    psql(&format!(
        "CREATE SCHEMA IF NOT EXISTS ai; CREATE TABLE ai.{kept} (x int)"
    ));
    for _ in 0..2 {
        let shown = script(
            "demo",
            &[&root()
                .join("tests/sql/voiceprint.sql")
                .display()
                .to_string()],
        );
        for part in [
            "CREATE EXTENSION ai_audio CASCADE;",
            "=# ",
            "INSERT 0 1",
            "(1 row)",
            "make psql",
            "\\c demo",
            "Diane",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
        }
        assert!(!shown.contains("ERROR"), "{shown}");
    }
    assert_eq!(psql(&format!("SELECT count(*) FROM ai.{kept}")), "0");
    psql(&format!("DROP TABLE ai.{kept}"));
    assert_eq!(
        psql("SELECT count(*) FROM pg_database WHERE datname = 'demo'"),
        "1"
    );
}

/// `:speech` always; `/recordings`, as the documentation calls it, where this machine lets us.
#[test]
fn psql_and_the_server_find_the_sample_recordings() {
    let place = script("cluster", &["samples"]);
    let place = place.trim();
    let found = format!("SELECT (pg_stat_file('{place}/june-1.wav')).size > 1000");
    assert_eq!(psql(&found), "t");
    assert_eq!(psql("\\echo :speech"), place);
    if std::fs::read_link("/recordings").is_ok_and(|folder| folder.starts_with(root())) {
        assert_eq!(place, "/recordings");
    }
}

/// The document's table is 512 wide; its statements run as they are written there, by its index, and hear once.
#[test]
fn the_documents_statements_run_word_for_word_at_512() {
    let database = Database::new();
    database.connect().run(&format!(
        "ALTER DATABASE \"{}\" SET ai_audio.dimensions = 512",
        database.name()
    ));
    let mut client = database.connect();
    client.run(
        "CREATE SCHEMA ai;
         CREATE TABLE IF NOT EXISTS ai.voicetest (
           id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
           name text NOT NULL,
           voiceprint_feature vector(512) NOT NULL);
         CREATE INDEX idx_voiceprint_feature ON ai.voicetest USING hnsw (voiceprint_feature vector_cosine_ops);",
    );
    for (name, file) in [
        ("Diane", "diane-1.wav"),
        ("June", "june-1.wav"),
        ("Carlo", "carlo-1.wav"),
    ] {
        client.run(&format!(
            "INSERT INTO ai.voicetest (name, voiceprint_feature) SELECT '{name}', ai_audio_embed('{}');",
            clip(file)
        ));
    }
    let select = "SELECT name FROM ai.voicetest WHERE name = 'Carlo'";
    assert_eq!(client.column::<String>(select), ["Carlo"]);
    client.run("DELETE FROM ai.voicetest WHERE name = 'Carlo';");
    assert_eq!(client.column::<String>(select), [""; 0]);
    let retrieval = format!(
        "SELECT name, similarity FROM (SELECT name, cosine_similarity(voiceprint_feature,
             ai_audio_embed('audio_embedding', '{}', '{{''start_time'':1000, ''end_time'':3000}}')) AS similarity
           FROM ai.voicetest) t ORDER BY similarity DESC LIMIT 3",
        clip("june-2.wav")
    );
    client.run("SET enable_seqscan = off"); // with two rows a sort is cheaper, and right
    let plan = client.plan(&retrieval);
    assert!(
        plan_nodes(&plan)
            .iter()
            .any(|n| n["Index Name"] == "idx_voiceprint_feature"),
        "{plan}"
    );
    let heard = "SELECT calls FROM ai_audio_stats()";
    let before: i64 = client.value(heard);
    assert_eq!(client.column::<String>(&retrieval), ["June", "Diane"]);
    assert_eq!(client.value::<i64>(heard) - before, 1);
}
