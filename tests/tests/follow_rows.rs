//! Results of followed tables belong to rows as they are now: nothing is found by what a row was, or by a row that is gone.

use sql_tests::{Client, ClientExt, Database, Scratch, SqlState, clip, tone, wav};

const STATES: &str = "SELECT id || ' ' || state FROM calls_jobs ORDER BY id";
const HEARD: &str = "SELECT id FROM calls_quality ORDER BY id";

/// Statements one by one: a procedure that commits wants to be alone.
fn steps(client: &mut Client, sql: &str) {
    sql.split(';').for_each(|statement| client.run(statement));
}

fn follow(client: &mut Client, options: &str) {
    client.run(&format!(
        "SELECT ai_audio_follow('calls', options => '{{\"recording\": \"path\"{options}}}')"
    ));
}

fn tone_file(scratch: &Scratch, name: &str, seconds: u32) -> String {
    scratch.file(name, &wav(&tone(seconds), 16_000))
}

fn months(client: &mut Client) {
    client.run(
        "CREATE TABLE calls (id bigint PRIMARY KEY, path text) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF calls FOR VALUES FROM (0) TO (10);
         CREATE TABLE mid PARTITION OF calls FOR VALUES FROM (10) TO (20);
         CREATE TABLE high PARTITION OF calls FOR VALUES FROM (20) TO (30)",
    );
}

#[test]
fn partitions_come_and_go_with_their_results() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = tone_file(&scratch, "tone.wav", 2);
    months(&mut client);
    client.run("CREATE TABLE known (id bigint PRIMARY KEY, name text, seconds float8)");
    client.run("INSERT INTO known SELECT i, 'caller ' || i FROM generate_series(1, 30) i");
    follow(&mut client, ", \"quality\": true");
    client.run(
        "SELECT ai_audio_follow('calls', 'second', '{\"recording\": \"path\", \"quality\": {\"into\": {\"table\": \"known\", \"duration_seconds\": \"seconds\"}}}')",
    );
    steps(
        &mut client,
        &format!(
            "INSERT INTO calls SELECT i, '{path}' FROM unnest(ARRAY[1, 2, 3, 11, 12, 21, 22]) i; CALL ai_audio_work()"
        ),
    );
    let known = "SELECT string_agg(id::text, ' ' ORDER BY id) FILTER (WHERE seconds = 2) || ' of ' || count(name) FROM known";
    assert_eq!(
        client.column::<i64>(HEARD),
        [1, 2, 3, 11, 12, 21, 22],
        "heard"
    );
    // Rows: at once, whichever name they are deleted by; TRUNCATE too.
    client.run("DELETE FROM calls WHERE id = 1; DELETE FROM low WHERE id = 2; TRUNCATE high");
    assert_eq!(client.column::<i64>(HEARD), [3, 11, 12]);
    assert_eq!(client.value::<String>(known), "3 11 12 of 30");
    // A partition, in the transaction that asks for it. Neither is refused, and others keep theirs.
    client.run(
        "BEGIN; ALTER TABLE calls DETACH PARTITION low; SELECT ai_audio_refresh('calls'), ai_audio_refresh('second'); COMMIT",
    );
    assert_eq!(client.column::<i64>(HEARD), [11, 12]);
    assert_eq!(client.value::<String>(known), "11 12 of 30");
    assert_eq!(client.column::<String>(STATES), ["11 done", "12 done"]);
    // What was detached is a table like others.
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'low'::regclass"),
        0
    );
    client.run(&format!(
        "INSERT INTO low VALUES (4, '{path}'); DELETE FROM low WHERE id = 3"
    ));
    assert_eq!(client.column::<String>(STATES), ["11 done", "12 done"]);
    // What comes and goes is noticed by the next call, also where nothing else is to do.
    steps(
        &mut client,
        "DROP TABLE mid; ALTER TABLE calls ATTACH PARTITION low FOR VALUES FROM (0) TO (10); CALL ai_audio_work()",
    );
    assert_eq!(client.column::<i64>(HEARD), [4]);
    assert_eq!(client.value::<String>(known), "4 of 30");
    steps(
        &mut client,
        &format!(
            "CREATE TABLE next PARTITION OF calls FOR VALUES FROM (30) TO (40); CALL ai_audio_work(); INSERT INTO next VALUES (31, '{path}')"
        ),
    );
    assert_eq!(client.column::<String>(STATES), ["4 done", "31 waiting"]);
    // While it is paused, what is gone must not be found either.
    steps(
        &mut client,
        "SELECT ai_audio_pause('calls'); DROP TABLE low; CALL ai_audio_work()",
    );
    assert_eq!(client.column::<i64>(HEARD), Vec::<i64>::new());
    assert_eq!(client.column::<String>(STATES), ["31 waiting"]);
}

/// A worker is started for a partition that went, though no recording waits.
#[test]
fn workers_are_woken_by_partitions() {
    let database = Database::new();
    let (owner, other) = (database.role("LOGIN"), database.role(""));
    database.connect().run(&format!(
        "GRANT CREATE ON SCHEMA public TO {}",
        owner.name()
    ));
    let mut client = database.connect_as(owner.name());
    months(&mut client);
    follow(&mut client, ", \"quality\": true");
    let waiting = "SELECT count(*) FROM ai_audio.owners_with_work()";
    assert_eq!(client.value::<i64>(waiting), 0);
    client.run("DROP TABLE high");
    assert_eq!(client.value::<i64>(waiting), 1);
    client.run("CALL ai_audio_work()");
    assert_eq!(client.value::<i64>(waiting), 0);
    // One that belongs to another is no reason to stop.
    let mut admin = database.connect();
    admin.run(&format!(
        "CREATE TABLE theirs PARTITION OF calls FOR VALUES FROM (20) TO (30); ALTER TABLE theirs OWNER TO {}",
        other.name()
    ));
    client.run("CALL ai_audio_work(); ");
    client.run("INSERT INTO calls VALUES (21, '/nowhere.wav')");
    client.run("CALL ai_audio_work()");
    assert_eq!(client.column::<String>(STATES), ["21 failed"]);
}

/// Somebody who was in a recording that the row named before is not found by it.
#[test]
fn results_go_with_what_they_were_of() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = tone_file(&scratch, "tone.wav", 2);
    client.run(
        "CREATE TABLE calls (id bigint PRIMARY KEY, path text, note text, seconds float8, hz int);
         CREATE TABLE strict (id bigint PRIMARY KEY, seconds float8 NOT NULL)",
    );
    follow(
        &mut client,
        ", \"quality\": true, \"voiceprint\": {\"vad\": false}",
    );
    for (name, options) in [
        (
            "own",
            "\"table\": \"calls\", \"duration_seconds\": \"seconds\"",
        ),
        (
            "other",
            "\"table\": \"strict\", \"duration_seconds\": \"seconds\"",
        ),
    ] {
        client.run(&format!("SELECT ai_audio_follow('calls', '{name}', '{{\"recording\": \"path\", \"quality\": {{\"into\": {{{options}}}}}}}')"));
    }
    // A value of the user's own, in a row that is never heard, stays: nobody wrote it but the user.
    steps(
        &mut client,
        &format!(
            "INSERT INTO calls SELECT i, '{path}' FROM generate_series(1, 3) i; INSERT INTO calls VALUES (4, '/nowhere.wav', NULL, 7); CALL ai_audio_work()"
        ),
    );
    let all = "SELECT format('%s|%s|%s|%s', (SELECT string_agg(id::text, ' ' ORDER BY id) FROM calls_quality), (SELECT string_agg(id::text, ' ' ORDER BY id) FROM calls_voiceprint),
        (SELECT string_agg(id || ':' || seconds, ' ' ORDER BY id) FROM calls), (SELECT string_agg(id::text, ' ' ORDER BY id) FROM strict))";
    assert_eq!(
        client.value::<String>(all),
        "1 2 3|1 2 3|1:2 2:2 3:2 4:7|1 2 3"
    );
    // At once with the change, and no result comes of what cannot be heard.
    client.run(
        "UPDATE calls SET note = 'seen'; UPDATE calls SET path = '/nowhere.wav' WHERE id IN (1, 4)",
    );
    let expected = "2 3|2 3|2:2 3:2 4:7|2 3";
    assert_eq!(client.value::<String>(all), expected);
    client.run("CALL ai_audio_work()");
    assert_eq!(client.value::<String>(all), expected);
    client.run("UPDATE calls SET path = NULL WHERE id = 2");
    client.run("CALL ai_audio_work()");
    client.run("DELETE FROM calls WHERE id = 3");
    assert_eq!(client.value::<String>(all), "||4:7|");
    // A change that no trigger saw, of a row that is queued again by the user.
    steps(
        &mut client,
        &format!(
            "INSERT INTO calls VALUES (5, '{path}'); CALL ai_audio_work(); ALTER TABLE calls DISABLE TRIGGER USER;
             UPDATE calls SET path = '/nowhere.wav' WHERE id = 5; ALTER TABLE calls ENABLE TRIGGER USER"
        ),
    );
    assert_eq!(client.value::<String>(all), "5|5|4:7 5:2|5");
    for jobs in ["calls_jobs", "own_jobs", "other_jobs"] {
        client.run(&format!("UPDATE {jobs} SET state = 'waiting' WHERE id = 5"));
    }
    client.run("CALL ai_audio_work()");
    assert_eq!(client.value::<String>(all), "||4:7|");
    // New options of a row that went silent change nothing about what it is.
    steps(
        &mut client,
        &format!(
            "INSERT INTO calls VALUES (6, '{path}'); CALL ai_audio_work(); ALTER TABLE calls DISABLE TRIGGER USER;
             UPDATE calls SET path = '/nowhere.wav' WHERE id = 6; ALTER TABLE calls ENABLE TRIGGER USER"
        ),
    );
    follow(
        &mut client,
        ", \"quality\": true, \"voiceprint\": {\"vad\": true}",
    );
    client.run("CALL ai_audio_work()");
    assert_eq!(client.value::<String>(all), "6|6|4:7 6:2|6");
}

/// A row of the user's that results are put into keeps its other columns.
#[test]
fn rows_that_results_are_put_into_keep_the_rest() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = tone_file(&scratch, "tone.wav", 2);
    client.run("CREATE TABLE calls (id bigint PRIMARY KEY, path text); CREATE TABLE people (id bigint PRIMARY KEY, name text, seconds float8); INSERT INTO people VALUES (1, 'June')");
    follow(
        &mut client,
        ", \"quality\": {\"into\": {\"table\": \"public.people\", \"duration_seconds\": \"seconds\"}}",
    );
    steps(
        &mut client,
        &format!(
            "INSERT INTO calls VALUES (1, '{path}'), (2, '{path}'); CALL ai_audio_work(); DELETE FROM calls WHERE id = 1"
        ),
    );
    assert_eq!(
        client.column::<String>("SELECT to_jsonb(p)::text FROM people p ORDER BY id"),
        [
            r#"{"id": 1, "name": "June", "seconds": null}"#,
            r#"{"id": 2, "name": null, "seconds": 2}"#
        ]
    );
}

#[test]
fn rows_that_were_not_wanted_stay_unheard() {
    let database = Database::new();
    let mut client = database.connect();
    months(&mut client);
    client.run("INSERT INTO calls VALUES (1, '/nowhere.wav'), (2, '/nowhere.wav')");
    follow(&mut client, ", \"quality\": true, \"existing\": false");
    client.run("SELECT ai_audio_pause('calls')");
    assert_eq!(client.value::<i64>("SELECT ai_audio_resume('calls')"), 0);
    // Other options are no change of mind.
    follow(&mut client, ", \"quality\": {\"enhance\": true}");
    assert_eq!(client.value::<i64>("SELECT ai_audio_refresh('calls')"), 0);
    // What comes later is wanted: rows, and partitions with theirs.
    client.run(
        "INSERT INTO calls VALUES (3, '/nowhere.wav'); CREATE TABLE late (id bigint PRIMARY KEY, path text);
         INSERT INTO late VALUES (31, '/nowhere.wav'); ALTER TABLE calls ATTACH PARTITION late FOR VALUES FROM (30) TO (40)",
    );
    assert_eq!(client.value::<i64>("SELECT ai_audio_refresh('calls')"), 1);
    assert_eq!(client.column::<String>(STATES), ["3 waiting", "31 waiting"]);
    follow(
        &mut client,
        ", \"quality\": {\"enhance\": true}, \"existing\": true",
    );
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM calls_jobs WHERE state = 'waiting'"),
        4
    );
}

#[test]
fn what_goes_first_is_no_news_of_a_recording() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = tone_file(&scratch, "tone.wav", 2);
    client.run("CREATE TABLE calls (id bigint PRIMARY KEY, path text, urgent int, big int)");
    follow(&mut client, ", \"quality\": true, \"priority\": \"urgent\"");
    steps(
        &mut client,
        &format!(
            "INSERT INTO calls SELECT i, '{path}', 0 FROM generate_series(1, 5) i; CALL ai_audio_work(2); UPDATE calls SET urgent = id"
        ),
    );
    let states = ["1 done", "2 done", "3 waiting", "4 waiting", "5 waiting"];
    assert_eq!(client.column::<String>(STATES), states);
    client.run("CALL ai_audio_work(1)");
    let states = ["1 done", "2 done", "3 waiting", "4 waiting", "5 done"];
    assert_eq!(client.column::<String>(STATES), states);
    // Another priority and order.
    client.run("UPDATE calls SET big = 10 - id");
    follow(
        &mut client,
        ", \"quality\": true, \"priority\": \"big\", \"order\": \"newest\"",
    );
    assert_eq!(client.column::<String>(STATES), states);
    client.run("CALL ai_audio_work(1)");
    let states = ["1 done", "2 done", "3 done", "4 waiting", "5 done"];
    assert_eq!(client.column::<String>(STATES), states);
    follow(&mut client, ", \"quality\": true, \"order\": \"newest\"");
    steps(
        &mut client,
        &format!("INSERT INTO calls VALUES (6, '{path}'); CALL ai_audio_work(1)"),
    );
    let states = [
        "1 done",
        "2 done",
        "3 done",
        "4 waiting",
        "5 done",
        "6 done",
    ];
    assert_eq!(client.column::<String>(STATES), states);
    // A column of priorities that is gone stops nothing.
    follow(&mut client, ", \"quality\": true, \"priority\": \"big\"");
    steps(
        &mut client,
        &format!(
            "ALTER TABLE calls DROP COLUMN big CASCADE; INSERT INTO calls VALUES (7, '{path}'); UPDATE calls SET urgent = 1; CALL ai_audio_work()"
        ),
    );
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM calls_jobs WHERE state = 'done'"),
        7
    );
}

#[test]
fn where_results_go_is_judged_when_it_is_declared() {
    let database = Database::new();
    let owner = database.role("");
    let mut admin = database.connect();
    admin.run(&format!(
        "GRANT CREATE ON SCHEMA public TO {}; CREATE TABLE shut (id bigint PRIMARY KEY, voice vector)",
        owner.name()
    ));
    let mut client = database.connect_as(owner.name());
    client.run(
        "CREATE TABLE calls (id bigint PRIMARY KEY, path text, other text, voice vector, short vector(3), words text, needed vector NOT NULL DEFAULT '[1]',
           computed float8 GENERATED ALWAYS AS (id) STORED, hz int);
         CREATE TABLE keyless (voice vector); CREATE TABLE worded (id text, voice vector); CREATE TABLE fine (id int, voice vector(192));
         CREATE MATERIALIZED VIEW seen AS SELECT id, voice FROM calls",
    );
    let voiceprint = |into: &str| format!("\"voiceprint\": {{\"into\": {into}}}");
    for (option, state, parts) in [
        (
            voiceprint("\"calls\""),
            SqlState::INVALID_PARAMETER_VALUE,
            ["into", "object"],
        ),
        (
            voiceprint("{\"table\": \"calls\"}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["into", "columns"],
        ),
        (
            voiceprint("{\"voiceprint\": \"voice\"}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["into", "table"],
        ),
        (
            voiceprint("{\"table\": \"calls\", \"voiceprint\": 3}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["into", "object"],
        ),
        (
            voiceprint("{\"table\": \"nowhere\", \"voiceprint\": \"voice\"}"),
            SqlState::UNDEFINED_TABLE,
            ["nowhere", "no table"],
        ),
        (
            voiceprint("{\"table\": \"seen\", \"voiceprint\": \"voice\"}"),
            SqlState::WRONG_OBJECT_TYPE,
            ["seen", "cannot be put"],
        ),
        (
            voiceprint("{\"table\": \"calls\", \"voiceprint\": \"voyce\"}"),
            SqlState::UNDEFINED_COLUMN,
            ["voyce", "calls"],
        ),
        (
            voiceprint("{\"table\": \"calls\", \"snr_db\": \"hz\"}"),
            SqlState::UNDEFINED_COLUMN,
            ["snr_db", "gives no"],
        ),
        (
            voiceprint("{\"table\": \"calls\", \"voiceprint\": \"words\"}"),
            SqlState::DATATYPE_MISMATCH,
            ["words", "text"],
        ),
        (
            voiceprint("{\"table\": \"calls\", \"voiceprint\": \"short\"}"),
            SqlState::DATATYPE_MISMATCH,
            ["short", "vector(3)"],
        ),
        (
            voiceprint("{\"table\": \"calls\", \"voiceprint\": \"needed\"}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["needed", "nullable"],
        ),
        (
            voiceprint("{\"table\": \"keyless\", \"voiceprint\": \"voice\"}"),
            SqlState::UNDEFINED_COLUMN,
            ["keyless", "\"id\""],
        ),
        (
            voiceprint("{\"table\": \"worded\", \"voiceprint\": \"voice\"}"),
            SqlState::DATATYPE_MISMATCH,
            ["worded", "key"],
        ),
        (
            voiceprint("{\"table\": \"shut\", \"voiceprint\": \"voice\"}"),
            SqlState::INSUFFICIENT_PRIVILEGE,
            ["shut", "SELECT"],
        ),
        (
            "\"quality\": {\"into\": {\"table\": \"calls\", \"snr_db\": \"hz\"}}".into(),
            SqlState::DATATYPE_MISMATCH,
            ["hz", "integer"],
        ),
        (
            "\"quality\": {\"into\": {\"table\": \"calls\", \"snr_db\": \"computed\"}}".into(),
            SqlState::WRONG_OBJECT_TYPE,
            ["computed", "generated"],
        ),
        (
            "\"quality\": {\"into\": {\"table\": \"calls\", \"reason\": \"path\"}}".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["path", "recording"],
        ),
        (
            "\"quality\": {\"into\": {\"table\": \"calls\", \"bandwidth_hz\": \"id\"}}".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["id", "key"],
        ),
        (
            "\"quality\": {\"into\": {\"table\": \"calls\", \"bandwidth_hz\": \"hz\", \"speakers\": \"hz\"}}".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["hz", "two"],
        ),
        (
            "\"sentences\": {\"into\": {\"table\": \"calls\", \"text\": \"words\"}}".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["sentences", "several rows"],
        ),
    ] {
        client.fails(
            &format!("SELECT ai_audio_follow('calls', options => '{{\"recording\": \"path\", {option}}}')"),
            state,
            &parts,
        );
    }
    let left: i64 = client.value("SELECT count(*) FROM ai_audio_progress");
    assert_eq!(left, 0);
    // What is right, and is then declared anew.
    let fine = voiceprint("{\"table\": \"fine\", \"voiceprint\": \"voice\"}");
    follow(&mut client, &format!(", {fine}"));
    client.fails(
        &format!(
            "SELECT ai_audio_follow('calls', options => '{{\"recording\": \"path\", {}}}')",
            voiceprint("{\"table\": \"fine\", \"voiceprint\": \"voice\"}, \"dimensions\": 256")
        ),
        SqlState::DATATYPE_MISMATCH,
        &["voice", "vector(192)"],
    );
    admin.run(&format!("GRANT SELECT, INSERT ON shut TO {}", owner.name()));
    client.fails(
        &format!(
            "SELECT ai_audio_follow('calls', options => '{{\"recording\": \"path\", {}}}')",
            voiceprint("{\"table\": \"shut\", \"voiceprint\": \"voice\"}")
        ),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["UPDATE", "voice"],
    );
}

#[test]
fn tables_names_and_keys_that_do_not_fit() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(
        "CREATE TABLE calls (id bigint PRIMARY KEY, path text, ref int UNIQUE); CREATE TEMP TABLE brief (id int PRIMARY KEY, path text);
         CREATE UNLOGGED TABLE light (id int PRIMARY KEY, path text); CREATE TABLE \"Call Log\" (id int PRIMARY KEY, path text);
         CREATE TABLE parted (id int PRIMARY KEY, path text) PARTITION BY RANGE (id); CREATE TABLE part PARTITION OF parted DEFAULT",
    );
    let recording = "'{\"recording\": \"path\"}'";
    for (call, state, parts) in [
        (
            format!("'brief', options => {recording}"),
            SqlState::WRONG_OBJECT_TYPE,
            ["brief", "temporary"],
        ),
        (
            format!("'light', options => {recording}"),
            SqlState::WRONG_OBJECT_TYPE,
            ["light", "unlogged"],
        ),
        (
            format!("'part', options => {recording}"),
            SqlState::WRONG_OBJECT_TYPE,
            ["partition", "parted"],
        ),
        (
            format!("'\"Call Log\"', options => {recording}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["Call Log", "give one"],
        ),
        (
            format!("'calls', '', {recording}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["40 bytes", "give one"],
        ),
        (
            format!("'calls', 'o''clock', {recording}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["40 bytes", "give one"],
        ),
        (
            format!("'calls', repeat('a', 41), {recording}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["40 bytes", "give one"],
        ),
        // 20 letters of 3 bytes each: with what is put behind, two names would be one.
        (
            format!("'calls', repeat('话', 20), {recording}"),
            SqlState::INVALID_PARAMETER_VALUE,
            ["40 bytes", "give one"],
        ),
        (
            "'calls', options => '{\"recording\": \"path\", \"key\": \"ref\"}'".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["ref", "NOT NULL"],
        ),
        (
            "'calls', options => '{\"recording\": [\"path\"]}'".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["recording", "string"],
        ),
        (
            "'calls', options => '{\"recording\": \"path\", \"existing\": \"no\"}'".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["existing", "true or false"],
        ),
        (
            "'calls', options => '{\"recording\": \"path\", \"quality\": 1}'".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["quality", "object"],
        ),
        (
            "'calls', options => '{\"recording\": \"path\", \"steps\": [null]}'".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["steps", "list"],
        ),
        (
            "'calls', options => '[]'".into(),
            SqlState::INVALID_PARAMETER_VALUE,
            ["options", "object"],
        ),
    ] {
        client.fails(&format!("SELECT ai_audio_follow({call})"), state, &parts);
    }
    // The longest names, and all that is made by them.
    for name in ["a".repeat(40), "话".repeat(13), "Übung".into()] {
        client.run(&format!(
            "SELECT ai_audio_follow('calls', '{name}', '{{\"recording\": \"path\", \"steps\": [\"voiceprint\", \"inspection\", \"sentences\"], \"priority\": \"id\", \"inspection\": {{\"policy\": [{{\"rule\": \"r\", \"pattern\": \"x\"}}]}}}}');
             SELECT ai_audio_pause('{name}'); SELECT ai_audio_unfollow('{name}', false)"
        ));
    }
    // NULL is: not given. Nothing that is followed has no name.
    client.run(
        "SELECT ai_audio_follow('calls', NULL, '{\"recording\": \"path\", \"key\": null, \"steps\": null, \"order\": null, \"priority\": null, \"existing\": null,
           \"max_attempts\": null, \"quality\": null, \"voiceprint\": {\"into\": null, \"model\": null}}')",
    );
    for nothing in [
        "ai_audio_follow(NULL)",
        "ai_audio_pause(NULL)",
        "ai_audio_resume(NULL)",
        "ai_audio_refresh(NULL)",
        "ai_audio_retry(NULL)",
        "ai_audio_unfollow(NULL)",
    ] {
        assert_eq!(
            client.value::<Option<String>>(&format!("SELECT nullif({nothing}::text, '')")),
            None
        );
    }
    client.run("CALL ai_audio_work(NULL, NULL)");
    for call in ["-1", "NULL, -1", "NULL, 'NaN'"] {
        client.fails(
            &format!("CALL ai_audio_work({call})"),
            SqlState::INVALID_PARAMETER_VALUE,
            &["from 0 on"],
        );
    }
    steps(
        &mut client,
        "CALL ai_audio_work(0); CALL ai_audio_work(NULL, 'Infinity'); CALL ai_audio_work(NULL, 1e300)",
    );
    assert_eq!(
        client.value::<i64>("SELECT ai_audio_retry('calls', NULL)"),
        0
    );
    client.run("SELECT ai_audio_unfollow('calls', NULL)");
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM calls_voiceprint"),
        0
    );
}

#[test]
fn alterations_of_the_key_and_the_table() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let path = tone_file(&scratch, "tone.wav", 2);
    client
        .run("CREATE TABLE calls (id int PRIMARY KEY, ref int NOT NULL UNIQUE, path varchar(200))");
    follow(&mut client, ", \"quality\": true, \"key\": \"ref\"");
    // A key that became nullable: such a row has none, and comes in all the same.
    client.run(&format!(
        "ALTER TABLE calls ALTER COLUMN ref DROP NOT NULL; INSERT INTO calls VALUES (1, NULL, '{path}'), (2, 2, '{path}'); UPDATE calls SET path = path || ' '"
    ));
    assert_eq!(client.column::<i32>("SELECT ref FROM calls_jobs"), [2]);
    // Types stay while a table is followed; docs/follow.md tells the way.
    for column in ["ref TYPE bigint", "path TYPE text"] {
        client.fails(
            &format!("ALTER TABLE calls ALTER COLUMN {column}"),
            SqlState::FEATURE_NOT_SUPPORTED,
            &["used by a view", "calls_recordings"],
        );
    }
    client.run("SELECT ai_audio_unfollow('calls'); UPDATE calls SET ref = 1 WHERE ref IS NULL; ALTER TABLE calls ALTER COLUMN ref SET NOT NULL, ALTER COLUMN ref TYPE bigint, ALTER COLUMN path TYPE text");
    client.fails(
        "SELECT ai_audio_follow('calls', options => '{\"recording\": \"path\", \"quality\": true, \"key\": \"ref\"}')",
        SqlState::DATATYPE_MISMATCH,
        &["calls_quality", "integer", "bigint"],
    );
    client.run("ALTER TABLE calls_quality ALTER COLUMN ref TYPE bigint");
    follow(&mut client, ", \"quality\": true, \"key\": \"ref\"");
    // Names may change, and options after them.
    client.run("ALTER TABLE calls RENAME ref TO number; ALTER TABLE calls RENAME path TO file; ALTER TABLE calls RENAME TO phone");
    client.run("SELECT ai_audio_follow('phone', 'calls', '{\"recording\": \"file\", \"quality\": true, \"speakers\": true, \"key\": \"number\"}')");
    client.fails(
        "SELECT ai_audio_follow('phone', 'calls', '{\"recording\": \"file || file\", \"quality\": true, \"key\": \"number\"}')",
        SqlState::FEATURE_NOT_SUPPORTED,
        &["recording", "stays"],
    );
    client.run("CALL ai_audio_work()");
    assert_eq!(
        client.value::<String>(
            "SELECT string_agg(ref::text || state, ' ' ORDER BY ref) FROM calls_jobs"
        ),
        "1failed 2failed"
    );
    // A table that is gone.
    client.run("DROP TABLE phone CASCADE");
    let gone: bool = client
        .value("SELECT source IS NULL AND paused LIKE '%does not exist%' FROM ai_audio_progress");
    assert!(gone);
    client.run("CALL ai_audio_work()");
    client.run("SELECT ai_audio_unfollow('calls', false)");
    let left: Vec<String> = client.column(
        "SELECT relname::text FROM pg_class WHERE relname LIKE 'calls%' UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE 'calls%'",
    );
    assert!(left.is_empty(), "{left:?}");
}

/// Results that stayed are another model's, and bytes that an expression gives are bytes.
#[test]
fn results_that_stayed_are_of_the_same_kind() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    client.run(&format!(
        "SELECT ai_audio_register_model('new', 'speaker-embedding', '{}/campplus_zh_en.onnx');
         CREATE TABLE calls (id bigint PRIMARY KEY, path text); CREATE FUNCTION public.bytes(text) RETURNS bytea LANGUAGE sql AS 'SELECT decode($1, ''base64'')'",
        std::env::var("AI_AUDIO_MODELS").expect("where models are")
    ));
    follow(&mut client, "");
    client.run("SELECT ai_audio_unfollow('calls')");
    client.fails(
        "SELECT ai_audio_follow('calls', options => '{\"recording\": \"path\", \"voiceprint\": {\"model\": \"new\"}}')",
        SqlState::FEATURE_NOT_SUPPORTED,
        &["two models", "calls_voiceprint"],
    );
    follow(
        &mut client,
        ", \"voiceprint\": {\"model\": \"audio_embedding\"}",
    );
    let bytes = wav(&tone(2), 16_000);
    let path = scratch.file("tone.wav", &bytes);
    client.run("SELECT ai_audio_unfollow('calls')");
    client.run("SELECT ai_audio_follow('calls', options => '{\"recording\": \"public.bytes(path)\", \"quality\": true}')");
    client.run(&format!(
        "INSERT INTO calls SELECT 1, encode(pg_read_binary_file('{path}'), 'base64')"
    ));
    client.run("CALL ai_audio_work()");
    assert_eq!(
        client.value::<f64>("SELECT duration_seconds FROM calls_quality"),
        2.0
    );
}

#[test]
fn every_finding_has_its_row() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("CREATE TABLE calls (id bigint PRIMARY KEY, path text)");
    follow(
        &mut client,
        r#", "inspection": {"policy": [{"rule": "one", "severity": "high", "pattern": "(?i)projet libre"}, {"rule": "two", "severity": "low", "pattern": "(?i)asterisk"}]}"#,
    );
    client.run(&format!(
        "INSERT INTO calls VALUES (1, '{}')",
        clip("june-1.wav")
    ));
    client.run("CALL ai_audio_work()");
    assert_eq!(client.column::<String>(STATES), ["1 done"]);
    assert_eq!(
        client.column::<String>(
            "SELECT format('%s %s', finding, result ->> 'rule') FROM calls_inspection ORDER BY finding"
        ),
        ["1 one", "2 two"]
    );
}
