//! Same speaker or not, profiles, identification, grouping and the quality of recordings, through SQL.
//!
//! Long, because a test per promise about voices.

use std::time::Duration;

use sql_tests::{
    Client, ClientExt, Database, Notices, Scratch, SqlState, Stop, clip, plan_nodes, stop, tone,
    wav,
};

/// A made-up voice of 64 dimensions: takes of one speaker are alike (0.73), speakers are not (0 +- 0.13).
const VOICE: &str = "
    CREATE FUNCTION voice(speaker int, take int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
      SELECT array_agg((hashint8(speaker * 1000 + i) + 0.6 * hashint8(take * 10000000 + speaker * 1000 + i)) / 2147483648.0
                       ORDER BY i)::real[]::vector
      FROM generate_series(1, 64) i $$;";

fn with_voices() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(VOICE);
    (database, client)
}

/// A role that may use the extension and nothing else.
fn stranger(database: &Database) -> (sql_tests::Role, Client) {
    let role = database.role("LOGIN");
    let client = database.connect_as(role.name());
    (role, client)
}

fn warnings(notices: &Notices) -> Vec<String> {
    let heard = notices.lock().expect("not poisoned");
    heard
        .iter()
        .filter(|n| n.severity() == "WARNING")
        .map(|n| n.message().to_string())
        .collect()
}

// --- verification ---

#[test]
fn verification_says_how_sure_it_is() {
    let (_database, mut client) = with_voices();
    assert!(client.value::<bool>(
        "SELECT same_speaker AND probability > 0.9 FROM ai_voice_verify(voice(1, 1), voice(1, 2))"
    ));
    assert!(client.value::<bool>("SELECT NOT same_speaker AND probability < 0.1 FROM ai_voice_verify(voice(1, 1), voice(2, 1))"));
    // The decision, the probability and the threshold agree.
    let odd: i64 = client.value(
        "SELECT count(*) FROM generate_series(1, 12) a, generate_series(1, 12) b, ai_voice_verify(voice(a, 1), voice(b, 2)) v
         WHERE v.same_speaker <> (v.probability >= 0.5) OR v.same_speaker <> (v.similarity >= v.threshold)
            OR abs(v.similarity - cosine_similarity(voice(a, 1), voice(b, 2))) > 1e-9",
    );
    assert_eq!(odd, 0);
}

#[test]
fn nothing_is_certain_however_alike() {
    let (_database, mut client) = with_voices();
    let mut of = |options: &str| -> (bool, f64, f64) {
        let verify =
            format!("SELECT v FROM ai_voice_verify(voice(1, 1), voice(1, 1), '{options}') v");
        let row = client
            .query_one(
                &format!(
                    "SELECT (v).same_speaker, (v).probability, (v).threshold FROM ({verify}) x"
                ),
                &[],
            )
            .expect("it verifies");
        (row.get(0), row.get(1), row.get(2))
    };
    let (same, probability, _) = of("{duration_a: 600, duration_b: 600}");
    assert!(
        same && (0.99..0.999).contains(&probability),
        "{probability}"
    );
    // What is that rare cannot be shown by a voice alone, and everything is more likely than what is not.
    let (same, probability, threshold) = of("{prior: 0.0001}");
    assert!(!same && probability < 0.1, "{probability}");
    assert_eq!(threshold, f64::INFINITY);
    assert_eq!(of("{prior: 0.9999}").2, f64::NEG_INFINITY);
}

#[test]
fn thresholds_fall_with_duration_and_rise_with_a_low_prior() {
    let (_database, mut client) = with_voices();
    let thresholds: Vec<f64> = client.column(
        "SELECT (ai_voice_verify(voice(1, 1), voice(1, 2), format('{duration_a: %1$s, duration_b: %1$s}', d))).threshold
         FROM unnest('{0.1, 1, 1.5, 3, 8, 20, 1000}'::float8[]) WITH ORDINALITY AS t(d, n) ORDER BY n",
    );
    assert!(thresholds.is_sorted(), "{thresholds:?}");
    assert!(
        (0.2..0.3).contains(&thresholds[1]) && (0.37..0.45).contains(&thresholds[4]),
        "{thresholds:?}"
    );
    assert_eq!(
        thresholds[5], thresholds[6],
        "nothing is claimed beyond the longest recordings fitted on"
    );
    assert!(client.value::<bool>(
        "SELECT (ai_voice_verify(voice(1, 1), voice(1, 2), '{prior: 0.001}')).threshold
              > (ai_voice_verify(voice(1, 1), voice(1, 2))).threshold"
    ));
}

#[test]
fn verification_of_what_cannot_be_compared() {
    let (_database, mut client) = with_voices();
    assert_eq!(
        client.value::<Option<bool>>("SELECT (ai_voice_verify(NULL, voice(1, 1))).same_speaker"),
        None
    );
    let zero = "SELECT v.same_speaker IS NULL AND v.probability IS NULL AND v.similarity IS NULL
                FROM ai_voice_verify(array_fill(0, '{64}')::real[]::vector, voice(1, 1)) v";
    assert!(client.value::<bool>(zero));
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        "SELECT ai_voice_verify('[1,2]', '[1,2,3]')",
        invalid.clone(),
        &["different dimensions: 2 and 3"],
    );
    client.fails(
        "SELECT ai_voice_verify('[1]', '[1]', '{durations: 3}')",
        invalid.clone(),
        &["durations", "duration_a"],
    );
    client.fails(
        "SELECT ai_voice_verify('[1]', '[1]', '{duration_a: -3}')",
        invalid.clone(),
        &["duration_a"],
    );
    client.fails(
        "SELECT ai_voice_verify('[1]', '[1]', '{prior: 1}')",
        invalid.clone(),
        &["prior"],
    );
    client.fails(
        "SELECT ai_voice_verify('[1]', '[1]', '{calibration: \"x\"}')",
        invalid,
        &["no calibration \"x\""],
    );
    client.fails(
        "SELECT ai_voice_verify('[1]', '[1]', '{model: \"x\"}')",
        SqlState::UNDEFINED_OBJECT,
        &["campplus_zh_en"],
    );
}

#[test]
fn recordings_are_verified_with_their_durations() {
    let database = Database::new();
    let mut client = database.connect();
    let (a, b, other) = (
        clip("allison-2.wav"),
        clip("allison-6.wav"),
        clip("carlo-2.wav"),
    );
    assert!(client.value::<bool>(&format!(
        "SELECT same_speaker AND probability > 0.9 FROM ai_audio_verify('{a}', '{b}')"
    )));
    assert!(client.value::<bool>(&format!(
        "SELECT NOT same_speaker FROM ai_audio_verify('{a}', '{other}')"
    )));
    // The same as the two steps by hand.
    let difference: f64 = client.value(&format!(
        "SELECT abs(v.probability - w.probability) FROM ai_audio_quality('{a}') p, ai_audio_quality('{b}') q,
             ai_audio_verify('{a}', '{b}') v,
             ai_voice_verify(ai_audio_embed('{a}'), ai_audio_embed('{b}'), jsonb_build_object(
                 'duration_a', p.speech_seconds, 'duration_b', q.speech_seconds,
                 'narrowband_a', p.bandwidth_hz < 5500, 'narrowband_b', q.bandwidth_hz < 5500)) w"
    ));
    assert!(difference < 1e-4, "{difference}");
    let bytes = format!(
        "SELECT same_speaker FROM ai_audio_verify(pg_read_binary_file('{a}'), pg_read_binary_file('{b}'))"
    );
    assert!(client.value::<bool>(&bytes));
}

#[test]
fn verification_of_recordings_that_cannot_be_heard() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (mut client, notices) = database.connect_noting();
    let (good, bad) = (clip("allison-2.wav"), scratch.file("bad.wav", b"nothing"));
    client.fails(
        &format!("SELECT ai_audio_verify('{good}', '{bad}')"),
        SqlState::DATA_EXCEPTION,
        &["bad.wav"],
    );
    let sql = format!(
        "SELECT (ai_audio_verify('{good}', '{bad}', '{{on_error: \"null\"}}')).probability"
    );
    assert_eq!(client.value::<Option<f64>>(&sql), None);
    assert_eq!(warnings(&notices).len(), 1);
    let sql = format!("SELECT ai_audio_verify('{good}', '{good}', '{{start_time: 5}}')");
    client.fails(&sql, SqlState::INVALID_PARAMETER_VALUE, &["start_time"]);
    let (_role, mut nobody) = stranger(&database);
    nobody.fails(
        &format!("SELECT ai_audio_verify('{good}', '{good}')"),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["server files"],
    );
}

// --- calibration ---

/// Pairs of a world in which recordings of one speaker have similarity 0.7 and others 0.5.
const PAIRS: &str = "
    CREATE TABLE pairs AS SELECT i % 2 = 0 AS same_speaker,
        CASE WHEN i % 2 = 0 THEN 0.7 ELSE 0.5 END + 0.05 * sin(i) AS similarity FROM generate_series(1, 400) i;";

#[test]
fn a_calibration_learns_the_users_world() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(PAIRS);
    let row = client
        .query_one(
            "SELECT * FROM ai_voice_calibrate('SELECT * FROM pairs', 'ours')",
            &[],
        )
        .expect("it fits");
    let (pairs, same): (i64, i64) = (row.get("pairs"), row.get("same_pairs"));
    assert_eq!((pairs, same), (400, 200));
    let (before, after, threshold): (f64, f64, f64) = (
        row.get("cllr_before"),
        row.get("cllr_after"),
        row.get("threshold"),
    );
    assert!(after < 0.1 && after < before, "{before} -> {after}");
    assert!((0.55..0.65).contains(&threshold), "{threshold}");
    let verify = "SELECT (ai_voice_verify('[1, 0]', '[0.5, 0.866]', '{calibration: \"ours\"}')).same_speaker";
    assert!(!client.value::<bool>(verify), "0.5 is another speaker here");
    assert!(
        client.value::<bool>(&verify.replace(", '{calibration: \"ours\"}'", "")),
        "and is not elsewhere"
    );
    // 200 pairs of a kind without an error support a ratio of 201, and no more, however alike two voices are.
    let surest =
        "SELECT (ai_voice_verify('[1, 0]', '[1, 0]', '{calibration: \"ours\"}')).probability";
    let bounded: f64 = client.value(surest);
    assert!((0.98..201.0 / 202.0).contains(&bounded), "{bounded}");
    // A calibration of 0.1.0 has no bounds: it goes by the number of its pairs.
    client.run("UPDATE ai_audio.calibrations SET lowest = NULL, highest = NULL");
    let by_number: f64 = client.value(surest);
    assert!((by_number - 201.0 / 202.0).abs() < 1e-9, "{by_number}");
    // Fitting again replaces it.
    client.run("SELECT ai_voice_calibrate('SELECT * FROM pairs WHERE similarity > 0', 'ours')");
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM ai_audio.calibrations"),
        1
    );
}

#[test]
fn voiceprints_and_durations_calibrate_too() {
    let (_database, mut client) = with_voices();
    client.run(
        "SELECT ai_voice_calibrate('SELECT a = b AS same_speaker, voice(a, 1) AS a, voice(b, 2) AS b, 3 AS duration_a,
             2.5 AS duration_b FROM generate_series(1, 20) a, generate_series(1, 20) b')",
    );
    assert_eq!(
        client.value::<i64>("SELECT same_pairs FROM ai_audio.calibrations WHERE name = 'custom'"),
        20
    );
}

#[test]
fn a_calibration_that_cannot_be_fitted() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(PAIRS);
    let invalid = || SqlState::INVALID_PARAMETER_VALUE;
    let mut fails = |query: &str, state: SqlState, part: &str| {
        client.fails(
            &format!("SELECT ai_voice_calibrate($${query}$$)"),
            state,
            &[part],
        );
    };
    fails(
        "SELECT * FROM pairs LIMIT 3",
        invalid(),
        "at least 10 pairs",
    );
    fails(
        "SELECT * FROM pairs WHERE false",
        invalid(),
        "at least 10 pairs",
    );
    fails(
        "SELECT similarity FROM pairs",
        invalid(),
        "same_speaker (boolean)",
    );
    fails(
        "SELECT same_speaker, similarity::text FROM pairs",
        invalid(),
        "similarity (float8)",
    );
    fails(
        "SELECT NOT same_speaker AS same_speaker, similarity FROM pairs",
        invalid(),
        "swapped",
    );
    fails("SELECT nonsense", SqlState::UNDEFINED_COLUMN, "nonsense");
    fails("DELETE FROM pairs", SqlState::INVALID_CURSOR_DEFINITION, "");
    fails(
        "WITH d AS (DELETE FROM pairs RETURNING *) SELECT * FROM d",
        SqlState::FEATURE_NOT_SUPPORTED,
        "",
    );
    client.fails(
        "SELECT ai_voice_calibrate('SELECT 1', '')",
        invalid(),
        &["1 to 63"],
    );
    assert_eq!(client.value::<i64>("SELECT count(*) FROM pairs"), 400);
}

#[test]
fn calibrations_need_leave_and_read_with_the_callers_privileges() {
    let database = Database::new();
    database.connect().run(PAIRS);
    let (role, mut nobody) = stranger(&database);
    let calibrate = "SELECT ai_voice_calibrate('SELECT * FROM pairs', 'theirs')";
    nobody.fails(calibrate, SqlState::INSUFFICIENT_PRIVILEGE, &["pairs"]);
    database
        .connect()
        .run(&format!("GRANT SELECT ON pairs TO {}", role.name()));
    nobody.fails(
        calibrate,
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["calibrations"],
    );
    database.connect().run(&format!(
        "GRANT INSERT, UPDATE ON ai_audio.calibrations TO {}",
        role.name()
    ));
    nobody.run(calibrate);
    let by: String = database
        .connect()
        .value("SELECT fitted_by::text FROM ai_audio.calibrations");
    assert_eq!(by, role.name());
}

#[test]
fn calibrations_survive_dump_and_restore() {
    let (from, to, scratch) = (Database::new(), Database::empty(), Scratch::new());
    from.connect().run(&format!(
        "{PAIRS} SELECT ai_voice_calibrate('SELECT * FROM pairs', 'ours')"
    ));
    let dump = scratch.path("dump.sql");
    let output = from.program("pg_dump", &["--file", dump.to_str().expect("text")]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    to.play(&dump, &[]);
    let all = "SELECT to_jsonb(c)::text FROM ai_audio.calibrations c";
    assert_eq!(
        to.connect().column::<String>(all),
        from.connect().column::<String>(all)
    );
}

// --- profiles ---

#[test]
fn a_profile_is_the_mean_direction() {
    let database = Database::new();
    let mut client = database.connect();
    let profile = |client: &mut Client, rows: &str| -> Option<String> {
        client.value(&format!(
            "SELECT ai_voice_profile(v::vector)::text FROM (VALUES {rows}) t(v)"
        ))
    };
    // Norms do not count, zero vectors and NULLs neither.
    assert_eq!(
        profile(&mut client, "('[3,0]'), ('[0,0.1]')").as_deref(),
        Some("[0.70710677,0.70710677]")
    );
    assert_eq!(
        profile(&mut client, "('[3,0]'), (NULL), ('[0,0]')").as_deref(),
        Some("[1,0]")
    );
    assert_eq!(profile(&mut client, "(NULL)"), None);
    assert_eq!(profile(&mut client, "('[0,0]')"), None);
    assert_eq!(
        profile(&mut client, "('[1,0]'), ('[-1,0]')"),
        None,
        "they cancel out"
    );
    let weighted = "SELECT ai_voice_profile(v::vector, w)::text FROM (VALUES ('[2,0]', 3.0), ('[0,2]', 4.0), ('[5,5]', 0), ('[1,0]', NULL)) t(v, w)";
    assert_eq!(client.value::<String>(weighted), "[0.6,0.8]");
    let mixed = "SELECT ai_voice_profile(v::vector) FROM (VALUES ('[1,0]'), ('[1,0,0]')) t(v)";
    client.fails(
        mixed,
        SqlState::INVALID_PARAMETER_VALUE,
        &["2 and 3 dimensions"],
    );
    for weight in ["-1", "'NaN'", "'Infinity'"] {
        client.fails(
            &format!("SELECT ai_voice_profile('[1]'::vector, {weight}::float8)"),
            SqlState::INVALID_PARAMETER_VALUE,
            &["weight"],
        );
    }
}

#[test]
fn columns_of_halfvec_are_profiled_and_grouped_as_they_are() {
    let (_database, mut client) = with_voices();
    client.run("CREATE TABLE takes AS SELECT s, t, voice(s, t)::halfvec AS h FROM generate_series(1, 4) s, generate_series(1, 5) t");
    for weight in ["", ", t"] {
        let same = format!(
            "SELECT bool_and(half = plain) FROM (
               SELECT ai_voice_profile(h{weight})::text AS half, ai_voice_profile(h::vector{weight})::text AS plain FROM takes GROUP BY s) x"
        );
        assert!(client.value::<bool>(&same), "weight {weight:?}");
    }
    let moving = "SELECT bool_and(half = plain) FROM (
        SELECT ai_voice_profile(h) OVER w AS half, ai_voice_profile(h::vector) OVER w AS plain
        FROM takes WINDOW w AS (ORDER BY s, t ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)) x";
    assert!(client.value::<bool>(moving));
    for options in ["", ", '{min_size: 2}'", ", '{}'::jsonb", ", '{}'::json"] {
        let groups = format!("SELECT ai_voice_cluster(h{options}) OVER (ORDER BY s, t) FROM takes");
        let plain = groups.replace("(h", "(h::vector");
        assert_eq!(
            client.column::<Option<i32>>(&groups),
            client.column::<Option<i32>>(&plain),
            "{options}"
        );
    }
}

#[test]
fn a_profile_does_not_depend_on_order_or_workers() {
    let (_database, mut client) = with_voices();
    client.run(
        "CREATE TABLE takes AS SELECT s, t, voice(s, t) AS v FROM generate_series(1, 20) s, generate_series(1, 200) t;
         ANALYZE takes",
    );
    let profiles = "SELECT md5(string_agg(p::text, ',' ORDER BY s)) FROM (SELECT s, ai_voice_profile(v, 1 + t % 7) AS p FROM takes GROUP BY s) x";
    let serial: String = client.value(profiles);
    let backwards: String = client.value(&profiles.replace(
        "FROM takes",
        "FROM (SELECT * FROM takes ORDER BY t DESC) takes",
    ));
    assert_eq!(serial, backwards);
    client.run("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 2");
    let plan = client.plan(profiles);
    assert!(
        plan_nodes(&plan)
            .iter()
            .any(|n| n["Partial Mode"] == "Partial"),
        "{plan}"
    );
    assert_eq!(client.value::<String>(profiles), serial);
}

#[test]
fn a_profile_moves_with_its_window_exactly() {
    let (_database, mut client) = with_voices();
    let wrong: i64 = client.value(
        "WITH takes AS (SELECT t, CASE WHEN t % 5 > 0 THEN voice(1, t) END AS v FROM generate_series(1, 60) t)
         SELECT count(*) FROM (
           SELECT t, ai_voice_profile(v) OVER (ORDER BY t ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS moving FROM takes) m
         WHERE moving IS DISTINCT FROM (SELECT ai_voice_profile(v) FROM takes x WHERE x.t BETWEEN m.t - 3 AND m.t + 1)",
    );
    assert_eq!(wrong, 0);
}

// --- identification ---

/// 1500 speakers of two rows each, indexed.
fn library() -> (Database, Client) {
    let (database, mut client) = with_voices();
    client.run(
        "CREATE TABLE people AS SELECT 'speaker ' || s AS name, voice(s, t)::vector(64) AS voiceprint
             FROM generate_series(1, 1500) s, generate_series(1, 2) t;
         CREATE INDEX ON people USING hnsw (voiceprint vector_cosine_ops);
         ANALYZE people",
    );
    (database, client)
}

#[test]
fn known_voices_are_named_and_strangers_are_not() {
    let (_database, mut client) = library();
    // All are found; of a few the probability stays below one half, against 3000 rows.
    let right = |condition: &str| {
        format!(
            "SELECT count(*) FROM generate_series(1, 50) s, ai_voice_identify(voice(s * 29, 7), 'people') i
             WHERE i.nearest = 'speaker ' || s * 29 AND {condition}"
        )
    };
    let found: i64 = client.value(&right("i.margin > 0 AND i.score > 0"));
    assert!(found >= 49, "{found} of 50 known voices are the nearest");
    let named: i64 = client.value(&right("i.name = i.nearest AND i.probability > 0.5"));
    assert!(named >= 47, "{named} of 50 known voices were named");
    let named: i64 = client.value(
        "SELECT count(i.name) FROM generate_series(5001, 5050) s, ai_voice_identify(voice(s, 7), 'people') i",
    );
    assert!(named <= 1, "{named} of 50 strangers got a name");
    let rest = "SELECT nearest IS NOT NULL AND runner_up IS NOT NULL AND name IS NULL
                FROM ai_voice_identify(voice(5001, 7), 'people')";
    assert!(client.value::<bool>(rest));
}

#[test]
fn identification_uses_the_index() {
    let (database, _builder) = library();
    let mut client = database.connect(); // whose counters do not know how the library was built
    client.run("BEGIN; SELECT ai_voice_identify(voice(5, 7), 'people', '{normalize: false}')");
    let scans =
        "SELECT ARRAY[seq_scan, idx_scan] FROM pg_stat_xact_user_tables WHERE relname = 'people'";
    assert_eq!(client.value::<Vec<i64>>(scans), [0, 1]);
    client.run("ROLLBACK");
    // The same in plain SQL, as the documentation has it.
    let plan = client.plan("SELECT name FROM people ORDER BY voiceprint <=> voice(5, 7) LIMIT 5");
    assert!(
        plan_nodes(&plan)
            .iter()
            .any(|n| n["Index Name"] == "people_voiceprint_idx"),
        "{plan}"
    );
}

#[test]
fn identification_in_relations_of_all_kinds() {
    let (database, mut client) = library();
    client.run(
        "CREATE SCHEMA \"Odd one\";
         CREATE TABLE \"Odd one\".\"a table\" (\"the \"\"name\"\"\" text, \"Half\" halfvec(64), other vector(3));
         INSERT INTO \"Odd one\".\"a table\" SELECT name, voiceprint, '[1,2,3]' FROM people LIMIT 200;
         CREATE VIEW seen AS SELECT * FROM people WHERE name < 'speaker 2';
         CREATE TABLE nobody (name text, voiceprint vector(64));",
    );
    let options = r#"{"name": "the \"name\"", "voiceprint": "Half"}"#;
    let odd = format!(
        "SELECT nearest FROM ai_voice_identify(voice(7, 9), '\"Odd one\".\"a table\"', '{options}')"
    );
    assert_eq!(client.value::<String>(&odd), "speaker 7");
    assert_eq!(
        client.value::<String>("SELECT name FROM ai_voice_identify(voice(17, 9), 'seen')"),
        "speaker 17"
    );
    assert_eq!(
        client.value::<Option<String>>(
            "SELECT nearest FROM ai_voice_identify(voice(17, 9), 'nobody')"
        ),
        None
    );
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        "SELECT ai_voice_identify(voice(1, 1), 'pg_class')",
        invalid.clone(),
        &["no column \"name\""],
    );
    client.fails(
        "SELECT ai_voice_identify(voice(1, 1), 'pg_class', '{name: \"relname\"}')",
        invalid.clone(),
        &["no vector"],
    );
    client.fails(
        "SELECT ai_voice_identify(voice(1, 1), 'people', '{voiceprint: \"name\"}')",
        invalid,
        &["\"name\""],
    );
    let (_role, mut nobody) = stranger(&database);
    nobody.fails(
        "SELECT ai_voice_identify(voice(1, 1), 'people')",
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["people"],
    );
}

// --- clustering ---

#[test]
fn grouping_finds_the_speakers() {
    let (_database, mut client) = with_voices();
    client.run(
        "CREATE TABLE calls AS SELECT row_number() OVER () AS id, s, voice(s, t) AS v
         FROM generate_series(1, 10) t, generate_series(1, 40) s;
         CREATE TEMP VIEW grouped AS SELECT id, s, ai_voice_cluster(v) OVER () AS g FROM calls",
    );
    // Every group is a speaker, numbered as they come.
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM grouped WHERE s <> g"),
        0
    );
    let shuffled = "SELECT count(DISTINCT (s, g)) FROM (SELECT s, ai_voice_cluster(v) OVER (ORDER BY md5(id::text)) AS g FROM calls) x";
    assert_eq!(client.value::<i64>(shuffled), 40);
    let apart = "SELECT max(g) FROM (SELECT ai_voice_cluster(v) OVER (PARTITION BY s % 4) AS g FROM calls) x";
    assert_eq!(client.value::<i32>(apart), 10);
    let known = "SELECT max(g) FROM (SELECT ai_voice_cluster(v, '{\"clusters\": 7}'::jsonb) OVER () AS g FROM calls) x";
    assert_eq!(client.value::<i32>(known), 7);
    let strict = "SELECT count(DISTINCT g) FROM (SELECT ai_voice_cluster(v, '{threshold: 0.99}') OVER () AS g FROM calls) x";
    assert_eq!(client.value::<i64>(strict), 400);
    let large = "SELECT count(g) FROM (SELECT ai_voice_cluster(v, '{min_size: 11}') OVER () AS g FROM calls) x";
    assert_eq!(client.value::<i64>(large), 0);
}

#[test]
fn grouping_of_what_is_missing_or_wrong() {
    let database = Database::new();
    let mut client = database.connect();
    let groups = "SELECT ai_voice_cluster(v::vector) OVER () FROM (VALUES ('[1,0]'), (NULL), ('[0,0]'), ('[0,1]'), ('[2,0]')) t(v)";
    assert_eq!(
        client.column::<Option<i32>>(groups),
        [Some(1), None, None, Some(2), Some(1)]
    );
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    let mixed = "SELECT ai_voice_cluster(v::vector) OVER () FROM (VALUES ('[1,0]'), ('[1]')) t(v)";
    client.fails(mixed, invalid.clone(), &["row 2 has 1 dimensions"]);
    for (options, part) in [
        ("{threshold: 2}", "-1 to 1"),
        ("{min_size: 0}", "min_size"),
        ("{clusters: 0}", "clusters"),
        ("{k: 3}", "min_size, "),
    ] {
        client.fails(
            &format!("SELECT ai_voice_cluster('[1]'::vector, '{options}') OVER ()"),
            invalid.clone(),
            &[part],
        );
    }
    client.fails(
        "SELECT ai_voice_cluster('[1]'::vector)",
        SqlState::WRONG_OBJECT_TYPE,
        &["OVER"],
    );
    client.run("SET ai_audio.cluster_memory = '64MB'");
    let many = "SELECT ai_voice_cluster('[1,2]'::vector) OVER () FROM generate_series(1, 10000)";
    client.fails(
        many,
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        &["ai_audio.cluster_memory", "PARTITION BY"],
    );
}

#[test]
fn grouping_stops() {
    let (database, mut client) = with_voices();
    client.run("CREATE TABLE calls AS SELECT voice(s, 1) AS v FROM generate_series(1, 20000) s");
    // Again and again, so that it does not end by itself on any machine.
    let sql = "SELECT (SELECT max(voice) FROM (SELECT ai_voice_cluster(v, '{clusters: 2}') OVER () FROM calls) AS g (voice)
                       WHERE i > 0) FROM generate_series(1, 100000) i";
    for how in [Stop::StatementTimeout, Stop::Terminate] {
        let head_start = Duration::from_millis(1500);
        stop(&database, "SET ai_audio.threads = 1", sql, how, head_start).assert_prompt(how);
    }
}

// --- quality ---

#[test]
fn quality_tells_what_is_fit_to_enrol() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let good = clip("allison-2.wav");
    let row = client
        .query_one(&format!("SELECT * FROM ai_audio_quality('{good}')"), &[])
        .expect("it works");
    let (speech, duration): (f64, f64) = (row.get("speech_seconds"), row.get("duration_seconds"));
    assert!(
        speech > 5.0 && speech <= duration,
        "{speech} of {duration} s"
    );
    assert!(row.get::<_, bool>("fit_to_enrol") && row.get::<_, Option<String>>("reason").is_none());
    assert!(row.get::<_, f64>("snr_db") > 15.0 && row.get::<_, f64>("clipping") < 0.001);
    assert!(
        row.get::<_, i32>("bandwidth_hz") < 5500,
        "it is a telephone prompt"
    );
    let mut reason = |source: &str| -> String {
        client.value(&format!(
            "SELECT coalesce(reason, 'none') FROM ai_audio_quality({source})"
        ))
    };
    assert!(
        reason(&format!("'{good}', '{{start_time: 0, end_time: 1500}}'")).contains("at least 3 s")
    );
    let loud: Vec<i16> = tone(4)
        .iter()
        .map(|x| (i32::from(*x) * 50).clamp(-9000, 9000) as i16)
        .collect();
    let silent = scratch.file("silence.wav", &wav(&vec![0; 48_000], 16_000));
    assert!(reason(&format!("'{silent}'")).contains("no speech"));
    let clipped = scratch.file("clipped.wav", &wav(&loud, 16_000));
    assert!(
        client.value::<f64>(&format!(
            "SELECT clipping FROM ai_audio_quality('{clipped}')"
        )) > 0.1
    );
}

#[test]
fn two_people_are_not_fit_to_enrol_as_one() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let mut told = |source: &str| -> (i32, bool, Option<String>) {
        let query =
            format!("SELECT speakers, fit_to_enrol, reason FROM ai_audio_quality('{source}')");
        let row = client.query_one(&query, &[]).expect("it works");
        (row.get(0), row.get(1), row.get(2))
    };
    let (speakers, fit, reason) = told(&clip("conversation.wav"));
    assert!(speakers > 1 && !fit, "{speakers} {fit}");
    assert!(reason.is_some_and(|r| r.contains("people speak")));
    assert_eq!(told(&clip("dickens-1.wav")), (1, true, None));
    let silent = scratch.file("silence.wav", &wav(&vec![0; 48_000], 16_000));
    assert_eq!(told(&silent).0, 0);
}

/// The network for narrow recordings opens in a later call than the other one.
#[test]
fn a_telephone_recording_is_heard_after_another() {
    let database = Database::new();
    let mut client = database.connect();
    for name in ["dickens-1.wav", "june-1.wav", "allison-2.wav"] {
        client.run(&format!("SELECT ai_audio_embed('{}')", clip(name)));
    }
}

/// Half a minute of faint noise behind it does not make another voice of one.
#[test]
fn a_voiceprint_is_of_the_speech_in_a_recording() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let speech = std::fs::read(clip("dickens-1.wav")).expect("a clip");
    let alone = clip("dickens-1.wav");
    let samples: Vec<i16> = client
        .value::<Vec<u8>>(&format!("SELECT ai_audio_extract('{alone}', 0, 6000)"))[44..]
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]))
        .collect();
    assert!(speech.len() > samples.len());
    let mut noise = 1u32;
    let mut faint = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 25) as i16 - 64
    };
    let behind: Vec<i16> = samples
        .iter()
        .copied()
        .chain((0..480_000).map(|_| faint()))
        .collect();
    let short = scratch.file("short.wav", &wav(&samples, 16_000));
    let long = scratch.file("long.wav", &wav(&behind, 16_000));
    let mut alike = |options: &str| -> f64 {
        client.value(&format!(
            "SELECT cosine_similarity(ai_audio_embed('audio_embedding', '{long}', '{options}'), ai_audio_embed('{short}'))"
        ))
    };
    assert!(alike("{}") > 0.97);
    assert!(
        alike("{vad: false}") < 0.8,
        "the whole recording is heard on demand"
    );
    let verified: f64 = client.value(&format!(
        "SELECT probability FROM ai_audio_verify('{long}', '{short}')"
    ));
    assert!(verified > 0.99, "{verified}");
}

#[test]
fn embedding_little_speech_warns_once_and_less_fails() {
    let database = Database::new();
    let (mut client, notices) = database.connect_noting();
    let clip = clip("allison-2.wav");
    client.run(&format!("SELECT ai_audio_embed('{clip}')"));
    assert_eq!(warnings(&notices), [""; 0]);
    client.run(&format!(
        "SELECT ai_audio_embed('audio_embedding', '{clip}', '{{start_time: 500, end_time: 1100}}')"
    ));
    let warned = warnings(&notices);
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].contains("s of speech"), "{warned:?}");
    client.fails(
        &format!("SELECT ai_audio_embed('audio_embedding', '{clip}', '{{start_time: 500, end_time: 899}}')"),
        SqlState::DATA_EXCEPTION,
        &["too short: 399 ms", "400 ms"],
    );
}
