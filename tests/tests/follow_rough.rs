//! Followed tables and what users do to them beside writing rows: nobody's statement fails for it, no call is endless, and no result stays of
//! a row that is gone or changed.

use std::time::{Duration, Instant};

use sql_tests::{Client, ClientExt, Database, Scratch, SqlState, tone, wav};

const STATES: &str = "SELECT id || ' ' || state FROM calls_jobs ORDER BY id";
/// Ids with the seconds that were heard.
const HEARD: &str = "SELECT id || ' ' || duration_seconds::int FROM calls_quality ORDER BY id";

/// Recordings of 1, 2 and 3 s.
fn recordings(scratch: &Scratch) -> [String; 3] {
    [1, 2, 3].map(|s| scratch.file(&format!("{s}.wav"), &wav(&tone(s), 16_000)))
}

fn follow(client: &mut Client, options: &str) {
    client.run(&format!(
        "SELECT ai_audio_follow('calls', options => '{{\"steps\": [\"quality\"]{options}}}')"
    ));
}

#[test]
fn a_row_that_somebody_holds_is_left_for_later() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (mut client, mut other) = (database.connect(), database.connect());
    let [one, ..] = recordings(&scratch);
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text, note text, seconds float8)");
    client.run("SELECT ai_audio_follow('calls', options => '{\"recording\": \"path\", \"quality\": {\"into\": {\"table\": \"calls\", \"duration_seconds\": \"seconds\"}}}')");
    client.run(&format!("INSERT INTO calls VALUES (1, '{one}')"));
    other.run("BEGIN; UPDATE calls SET note = 'typing' WHERE id = 1");
    client.run("CALL ai_audio_work()"); // ends
    let held = "SELECT state || ' ' || attempts FROM calls_jobs";
    assert_eq!(client.value::<String>(held), "later 0");
    other.run("COMMIT");
    let until = Instant::now() + Duration::from_secs(30);
    while client.value::<String>(held) != "done 1" && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
        client.run("CALL ai_audio_work()");
    }
    assert_eq!(client.value::<f64>("SELECT seconds FROM calls"), 1.0);
}

#[test]
fn expressions_that_read_the_whole_row_notice_all_of_its_columns() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let [one, two, _] = recordings(&scratch);
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text)");
    follow(
        &mut client,
        ", \"recording\": \"(to_jsonb(calls) ->> 'path')\""
            .replace('\'', "''")
            .as_str(),
    );
    client.run(&format!("INSERT INTO calls VALUES (1, '{one}')"));
    client.run("CALL ai_audio_work()");
    assert_eq!(client.column::<String>(HEARD), ["1 1"]);
    client.run(&format!("UPDATE calls SET path = '{two}'"));
    assert_eq!(client.column::<String>(HEARD), Vec::<String>::new());
    client.run("CALL ai_audio_work()");
    assert_eq!(client.column::<String>(HEARD), ["1 2"]);
}

#[test]
fn a_key_that_is_there_again_keeps_its_job() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let [one, two, _] = recordings(&scratch);
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text); CREATE TABLE heirs () INHERITS (calls)");
    follow(&mut client, ", \"recording\": \"path\"");
    client.run(&format!(
        "INSERT INTO calls VALUES (1, '{one}'); INSERT INTO heirs VALUES (1, '{two}')"
    ));
    client.run("CALL ai_audio_work()");
    // What is deleted is the heir's.
    client.run(&format!("DELETE FROM calls WHERE path = '{two}'"));
    assert_eq!(client.column::<String>(STATES), ["1 done"]);
    assert_eq!(client.column::<String>(HEARD), ["1 1"]);
    // Deleted and put back in one statement.
    client.run(&format!(
        "WITH gone AS (DELETE FROM calls WHERE id = 1 RETURNING id) INSERT INTO calls SELECT id, '{two}' FROM gone"
    ));
    assert_eq!(client.column::<String>(STATES), ["1 waiting"]);
    assert_eq!(client.column::<String>(HEARD), Vec::<String>::new());
    client.run("CALL ai_audio_work()");
    assert_eq!(client.column::<String>(HEARD), ["1 2"]);
}

#[test]
fn a_partition_made_anew_does_not_show_what_the_old_one_held() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let [one, two, _] = recordings(&scratch);
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text) PARTITION BY RANGE (id)");
    client.run("CREATE TABLE old PARTITION OF calls FOR VALUES FROM (0) TO (10)");
    follow(&mut client, ", \"recording\": \"path\"");
    client.run(&format!("INSERT INTO calls VALUES (1, '{one}')"));
    client.run("CALL ai_audio_work()");
    client.run("ALTER TABLE calls DETACH PARTITION old; CREATE TABLE new PARTITION OF calls FOR VALUES FROM (0) TO (10)");
    client.run(&format!("INSERT INTO calls VALUES (1, '{two}')"));
    assert_eq!(client.column::<String>(HEARD), Vec::<String>::new());
    client.run("CALL ai_audio_work()");
    assert_eq!(client.column::<String>(HEARD), ["1 2"]);
}

#[test]
fn names_with_dots_and_renamed_results_are_no_errors_of_the_user() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let [one, two, _] = recordings(&scratch);
    client.run("CREATE TABLE calls (id int PRIMARY KEY, \"max.path\" text, snr float8)");
    follow(&mut client, ", \"recording\": \"\\\"max.path\\\"\"");
    client.run(&format!("INSERT INTO calls VALUES (1, '{one}')"));
    client.run("CALL ai_audio_work()");
    // The results' key is called otherwise.
    client.run("ALTER TABLE calls_quality RENAME COLUMN id TO call");
    client.run(&format!("UPDATE calls SET \"max.path\" = '{two}'"));
    client.run("CALL ai_audio_work()");
    let heard = "SELECT call || ' ' || duration_seconds::int FROM calls_quality";
    assert_eq!(client.column::<String>(heard), ["1 2"]);
    client.run("DELETE FROM calls");
    assert_eq!(client.column::<String>(heard), Vec::<String>::new());
    // A column that the options name: it pauses, and says why.
    client.run("SELECT ai_audio_follow('calls', 'mine', '{\"recording\": \"\\\"max.path\\\"\", \"quality\": {\"into\": {\"table\": \"calls\", \"snr_db\": \"snr\"}}}')");
    client.run("ALTER TABLE calls RENAME COLUMN snr TO snr_decibel");
    client.run(&format!("INSERT INTO calls VALUES (1, '{one}')"));
    client.run("CALL ai_audio_work()");
    let paused: String = client.value("SELECT paused FROM ai_audio_progress WHERE name = 'mine'");
    assert!(
        paused.contains("column \"snr\"") && paused.contains("does not exist any more"),
        "{paused}"
    );
}

#[test]
fn a_table_of_another_owner_can_be_written_to() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (alice, bob) = (database.role("LOGIN"), database.role("LOGIN"));
    let mut admin = database.connect();
    admin.run(&format!(
        "GRANT CREATE ON SCHEMA public TO {}, {}",
        alice.name(),
        bob.name()
    ));
    let [one, ..] = recordings(&scratch);
    let mut client = database.connect_as(alice.name());
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text, urgent int)");
    follow(
        &mut client,
        ", \"recording\": \"path\", \"priority\": \"urgent\"",
    );
    admin.run(&format!("ALTER TABLE calls OWNER TO {}", bob.name()));
    let mut theirs = database.connect_as(bob.name());
    theirs.run(&format!("INSERT INTO calls VALUES (1, '{one}', 1)"));
    theirs.run("UPDATE calls SET urgent = 2; DELETE FROM calls");
    let paused: String = client.value("SELECT paused FROM ai_audio_progress");
    assert!(paused.contains("permission denied"), "{paused}");
    client.run("CALL ai_audio_work()"); // nothing to do
}

#[test]
fn results_of_another_table_are_not_taken_up() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let [one, ..] = recordings(&scratch);
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text)");
    client.run(&format!(
        "INSERT INTO calls VALUES (1, '{one}'), (2, '{one}')"
    ));
    follow(&mut client, ", \"recording\": \"path\"");
    client.run("CALL ai_audio_work()");
    client.run("SELECT ai_audio_unfollow('calls'); ALTER TABLE calls RENAME TO calls_before");
    client.run("CREATE TABLE calls (id int PRIMARY KEY, path text)");
    client.fails(
        "SELECT ai_audio_follow('calls', options => '{\"recording\": \"path\", \"steps\": [\"quality\"]}')",
        SqlState::FEATURE_NOT_SUPPORTED,
        &["calls_quality", "calls_before"],
    );
    // Those of the same table are, without those of rows that are gone.
    client.run("DROP TABLE calls; ALTER TABLE calls_before RENAME TO calls");
    client.run("ALTER TABLE calls_quality DROP CONSTRAINT calls_quality_id_fkey; DELETE FROM calls WHERE id = 2");
    follow(&mut client, ", \"recording\": \"path\"");
    assert_eq!(client.column::<String>(HEARD), ["1 1"]);
    client.run("CALL ai_audio_work(); ");
    client.run("DELETE FROM calls");
    assert_eq!(client.column::<String>(HEARD), Vec::<String>::new());
    // The key's index has another name.
    client.run("CREATE TABLE lines (no int NOT NULL, path text, CONSTRAINT one UNIQUE (no))");
    client.run("SELECT ai_audio_follow('lines', options => '{\"recording\": \"path\", \"key\": \"no\", \"steps\": [\"quality\"]}')");
    client.run("ALTER INDEX one RENAME TO only_one; INSERT INTO lines VALUES (1, '/nowhere.wav')");
    client.fails(
        "SELECT ai_audio_resume('lines')",
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        &["lines", "key"],
    );
}
