//! The story of the demonstration (`tests/sql/voiceprint.sql`), and that it comes out right.

use std::path::Path;

use sql_tests::{ClientExt, Database, clip, root};

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

#[test]
fn the_demonstration_can_be_given_twice() {
    for _ in 0..2 {
        let output = std::process::Command::new(root().join("scripts/demo"))
            .arg(root().join("tests/sql/voiceprint.sql"))
            .output();
        let output = output.expect("scripts/demo starts");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{shown}");
        for part in [
            "CREATE EXTENSION ai_audio CASCADE;",
            "=# ",
            "INSERT 0 1",
            "(1 row)",
            "make psql",
            "Diane",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
        }
        assert!(!shown.contains("ERROR"), "{shown}");
    }
}
