//! What is searched for may come from one row of another relation: the index is used, and the rows are the same.

use postgres::Client;
use sql_tests::{ClientExt, Database, clip, plan_nodes};

fn library() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "SET client_min_messages = warning;
         SELECT setseed(0.25);
         CREATE TABLE voices (id int PRIMARY KEY, side int NOT NULL, f vector(192) NOT NULL);
         INSERT INTO voices SELECT i, i % 10, v FROM (
           SELECT i, array_agg(random() - 0.5)::vector v FROM generate_series(1, 3000) i, generate_series(1, 192) GROUP BY i) s;
         CREATE INDEX nearest ON voices USING hnsw (f vector_cosine_ops);
         CREATE TABLE calls (id int PRIMARY KEY, side int, path text, v vector(192));
         INSERT INTO calls SELECT i, i, path, ai_audio_embed(path)
           FROM unnest('{{{}, {}}}'::text[]) WITH ORDINALITY AS c(path, i);
         ANALYZE",
        clip("june-1.wav"),
        clip("diane-1.wav")
    ));
    (database, client)
}

fn uses_index(client: &mut Client, sql: &str) -> bool {
    let plan = client.plan(sql);
    plan_nodes(&plan)
        .iter()
        .any(|n| n["Node Type"] == "Index Scan" && n["Order By"].is_string())
}

/// Searches every vector, so that rows can be compared whatever a graph's levels are.
fn index_that_misses_nothing(client: &mut Client) {
    client.run(
        "DROP INDEX nearest; CREATE INDEX nearest ON voices USING ivfflat (f vector_cosine_ops) WITH (lists = 1);
         SET enable_sort = off",
    );
}

/// How many recordings were heard.
fn embeds(client: &mut Client, sql: &str) -> i64 {
    let calls = "SELECT calls FROM ai_audio_stats()";
    let before: i64 = client.value(calls);
    client.run(sql);
    client.value::<i64>(calls) - before
}

fn ids(client: &mut Client, sql: &str, index: bool) -> Vec<i32> {
    client.run(&format!("SET ai_audio.enable_annscan = {index}"));
    let ids = client.column(sql);
    client.run("RESET ai_audio.enable_annscan");
    ids
}

#[test]
fn a_probe_from_one_row_uses_the_index_and_is_heard_once() {
    let (_database, mut client) = library();
    let by = |probe: &str| format!("ORDER BY cosine_similarity(f, {probe}) DESC LIMIT 5");
    let forms = [
        (
            format!(
                "WITH p AS (SELECT ai_audio_embed(path) v FROM calls WHERE id = 1)
                 SELECT id FROM voices, p {}",
                by("p.v")
            ),
            1,
        ),
        (
            "WITH p AS (SELECT ai_audio_embed(path) v FROM calls WHERE id = 1)
             SELECT id FROM (SELECT id, cosine_similarity(l.f, p.v) s FROM voices l, p) t ORDER BY s DESC LIMIT 5"
                .into(),
            1,
        ),
        (
            format!(
                "SELECT l.id FROM voices l JOIN calls c ON c.id = 2 {}",
                by("ai_audio_embed(c.path)")
            ),
            1,
        ),
        (
            format!("SELECT l.id FROM calls c, voices l WHERE c.id = 2 {}", by("c.v")),
            0,
        ),
        (
            format!(
                "SELECT l.id FROM voices l, (SELECT v FROM calls ORDER BY id LIMIT 1) p {}",
                by("p.v")
            ),
            0,
        ),
        (
            format!(
                "SELECT l.id FROM voices l, (SELECT ai_voice_profile(v) AS v FROM calls) p {}",
                by("p.v")
            ),
            0,
        ),
        (
            format!(
                "SELECT l.id FROM voices l, ai_audio_embed('{}') AS p {}",
                clip("june-1.wav"),
                by("p")
            ),
            1,
        ),
        // Conditions on either side, and on both.
        (
            format!(
                "SELECT l.id FROM voices l, calls c WHERE c.id = 1 AND l.side < 5 {}",
                by("c.v")
            ),
            0,
        ),
        (
            format!(
                "SELECT l.id FROM voices l, calls c WHERE c.id = 1 AND l.side = c.side {}",
                by("c.v")
            ),
            0,
        ),
        (
            format!(
                "SELECT l.id FROM voices l, calls c WHERE c.id = 1 AND cosine_similarity(f, c.v) > 0.1 {}",
                by("c.v")
            ),
            0,
        ),
        (
            format!(
                "SELECT l.id FROM voices l, calls c WHERE c.id = 1 AND l.id > c.id + 1000 {}",
                by("c.v")
            ),
            0,
        ),
        // No such row.
        (
            format!("SELECT l.id FROM voices l, calls c WHERE c.id = 9 {}", by("c.v")),
            0,
        ),
    ];
    for (sql, _) in &forms {
        assert!(uses_index(&mut client, sql), "{sql}");
    }
    index_that_misses_nothing(&mut client);
    for (sql, heard) in forms {
        assert!(uses_index(&mut client, &sql), "{sql}");
        let exact = ids(&mut client, &sql, false);
        assert_eq!(ids(&mut client, &sql, true), exact, "{sql}");
        assert_eq!(exact.len(), if sql.contains("= 9") { 0 } else { 5 });
        assert_eq!(embeds(&mut client, &sql), heard, "{sql}");
    }
}

#[test]
fn more_rows_of_the_other_relation_are_sorted() {
    let (_database, mut client) = library();
    index_that_misses_nothing(&mut client);
    for sql in [
        "SELECT l.id FROM voices l, calls c WHERE c.id IN (1, 2) ORDER BY cosine_similarity(f, c.v) DESC LIMIT 5",
        "SELECT l.id FROM voices l, calls c ORDER BY cosine_similarity(f, c.v) DESC LIMIT 5",
        "SELECT l.id FROM voices l, (SELECT v FROM calls LIMIT 2) c ORDER BY cosine_similarity(f, c.v) DESC LIMIT 5",
        "SELECT l.id FROM voices l, (SELECT avg(v) AS v FROM calls GROUP BY id) c ORDER BY cosine_similarity(f, c.v) DESC LIMIT 5",
        "SELECT l.id FROM voices l LEFT JOIN calls c ON c.id = 1 AND l.side = c.side ORDER BY cosine_similarity(f, c.v) DESC NULLS LAST LIMIT 5",
        "SELECT l.id FROM voices l, unnest(ARRAY(SELECT v FROM calls)) c ORDER BY cosine_similarity(f, c) DESC LIMIT 5",
    ] {
        assert!(!uses_index(&mut client, sql), "{sql}");
        let exact = ids(&mut client, sql, false);
        assert_eq!(ids(&mut client, sql, true), exact, "{sql}");
        assert_eq!(exact.len(), 5, "{sql}");
    }
}

/// The key of the row may be a parameter, other relations may follow, and joins may be searched for genetically.
#[test]
fn one_row_stays_one_row_in_larger_queries() {
    let (_database, mut client) = library();
    index_that_misses_nothing(&mut client);
    client.run(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE nearest (int) AS SELECT l.id FROM voices l, calls c WHERE c.id = $1 ORDER BY cosine_similarity(f, c.v) DESC LIMIT 5",
    );
    assert!(uses_index(&mut client, "EXECUTE nearest(1)"));
    for id in [1, 2] {
        let plain = format!(
            "SELECT l.id FROM voices l, calls c WHERE c.id = {id} ORDER BY cosine_similarity(f, c.v) DESC LIMIT 5"
        );
        let exact = ids(&mut client, &plain, false);
        assert_eq!(
            client.column::<i32>(&format!("EXECUTE nearest({id})")),
            exact
        );
    }
    // A cross join comes last in a genetic search, so of three relations it finds the row beside too late.
    let two = "SELECT l.id FROM voices l, calls c WHERE c.id = 1 ORDER BY cosine_similarity(l.f, c.v) DESC LIMIT 5";
    let three = "SELECT l.id FROM voices l JOIN voices other ON other.id = l.id, calls c
                 WHERE c.id = 1 ORDER BY cosine_similarity(l.f, c.v) DESC LIMIT 5";
    let exact = ids(&mut client, two, false);
    assert!(uses_index(&mut client, three));
    for genetic in ["off", "on"] {
        client.run(&format!("SET geqo = {genetic}; SET geqo_threshold = 2"));
        assert!(uses_index(&mut client, two), "geqo {genetic}");
        for sql in [two, three] {
            assert_eq!(ids(&mut client, sql, true), exact, "geqo {genetic}: {sql}");
        }
    }
}
