//! The rows of a search are those of a sort: what a plain scan of the index would get wrong, each by itself.

use postgres::Client;
use sql_tests::{ClientExt, Database, clip, plan_nodes};

/// 3,000 made-up voices of 16 dimensions.
fn library() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(
        "SET client_min_messages = warning; SELECT setseed(0.5);
         CREATE TABLE lib (id int PRIMARY KEY, side int, name text, v vector(16) NOT NULL) WITH (autovacuum_enabled = off);
         INSERT INTO lib SELECT i, i % 10, 'name ' || md5(i::text), v FROM (
           SELECT i, array_agg(random() - 0.5)::vector(16) v FROM generate_series(1, 3000) i, generate_series(1, 16) GROUP BY i) s;
         CREATE INDEX by_v ON lib USING hnsw (v vector_cosine_ops);
         ANALYZE; SET enable_seqscan = off; SET jit = off",
    );
    (database, client)
}

const S: &str = "cosine_similarity(v, (SELECT v FROM lib WHERE id = 5))";

fn uses_index(client: &mut Client, sql: &str) -> bool {
    let plan = client.plan(sql);
    plan_nodes(&plan)
        .iter()
        .any(|n| n["Node Type"] == "Index Scan" && n["Order By"].is_string())
}

/// The first column without the index and with it, which must be used.
fn both(client: &mut Client, sql: &str) -> [Vec<String>; 2] {
    client.run("SET ai_audio.enable_annscan = off");
    let exact = client.column(sql);
    client.run("RESET ai_audio.enable_annscan");
    assert!(uses_index(client, sql), "{sql}: {}", client.plan(sql));
    [exact, client.column(sql)]
}

fn same(client: &mut Client, sql: &str) -> Vec<String> {
    let [exact, found] = both(client, sql);
    assert_eq!(found, exact, "{sql}");
    found
}

#[test]
fn a_sample_is_a_sample() {
    let (_database, mut client) = library();
    let sql = format!(
        "SELECT id::text FROM lib TABLESAMPLE BERNOULLI (0.1) REPEATABLE (3) ORDER BY {S} DESC LIMIT 20"
    );
    client.run("SET ai_audio.enable_annscan = off");
    let exact: Vec<String> = client.column(&sql);
    client.run("RESET ai_audio.enable_annscan");
    assert!(exact.len() < 20);
    assert_eq!(client.column::<String>(&sql), exact);
}

#[test]
fn rows_without_a_vector_come_last_not_never() {
    let (_database, mut client) = library();
    client.run(
        "CREATE TABLE filling (LIKE lib); ALTER TABLE filling ALTER v DROP NOT NULL;
         INSERT INTO filling SELECT id, side, name, v FROM lib;
         CREATE INDEX ON filling USING hnsw (v vector_cosine_ops); ANALYZE filling;
         UPDATE filling SET v = NULL WHERE id > 20; -- statistics do not know of it yet
         INSERT INTO filling VALUES (0, 0, 'no direction', array_fill(0, ARRAY[16])::vector)",
    );
    let sql = format!(
        "SELECT round({S}::numeric, 6)::text FROM filling ORDER BY {S} DESC NULLS LAST LIMIT 30"
    );
    let found = both(
        &mut client,
        &format!("SELECT coalesce(s, 'none') FROM ({sql}) q(s)"),
    );
    assert_eq!(found[1], found[0]);
    assert_eq!(found[1].len(), 30);
}

#[test]
fn filters_find_what_there_is_however_far() {
    let (_database, mut client) = library();
    client.run("SET plan_cache_mode = force_generic_plan");
    let sql = format!("SELECT id::text FROM lib WHERE id % 600 = 7 ORDER BY {S} DESC LIMIT 5");
    client.run("SET ai_audio.enable_annscan = off");
    let exact: Vec<String> = client.column(&sql);
    client.run(&format!(
        "RESET ai_audio.enable_annscan; PREPARE p AS {sql}"
    ));
    for settings in [
        "SET hnsw.iterative_scan = off",
        "SET hnsw.iterative_scan = strict_order",
        "SET hnsw.max_scan_tuples = 1",
        "RESET hnsw.max_scan_tuples; SET work_mem = '64kB'",
    ] {
        client.run(settings);
        assert!(uses_index(&mut client, "EXECUTE p"));
        assert_eq!(client.column::<String>("EXECUTE p"), exact, "{settings}");
    }
    assert_eq!(exact.len(), 5);
}

#[test]
fn dead_and_locked_rows_hide_nobody() {
    let (database, mut client) = library();
    client.run(
        "BEGIN; INSERT INTO lib SELECT -i, 0, 'gone', v + (SELECT array_agg(random() * i / 1e6 + 0 * d) FROM generate_series(1, 16) d)::vector
           FROM lib, generate_series(1, 100) i WHERE id = 5; ROLLBACK",
    );
    let sql = format!("SELECT id::text FROM lib ORDER BY {S} DESC LIMIT 10");
    let [exact, found] = both(&mut client, &sql);
    assert_eq!(found.len(), 10);
    // Dead rows are ways of the graph, which is made by chance: it may miss one.
    let right = found.iter().filter(|id| exact.contains(id)).count();
    assert!(right >= 8, "{found:?} instead of {exact:?}");
    let mut locker = database.connect();
    locker.run(&format!(
        "SET hnsw.ef_search = 400; BEGIN; SELECT count(*) FROM (SELECT FROM lib ORDER BY {S} DESC LIMIT 60 FOR UPDATE) q"
    ));
    let sql = format!("SELECT id::text FROM lib ORDER BY {S} DESC LIMIT 5 FOR UPDATE SKIP LOCKED");
    let [exact, found] = both(&mut client, &sql);
    assert_eq!(found.len(), 5);
    // So far from the nearest the index may miss a row.
    let right = found.iter().filter(|id| exact.contains(id)).count();
    assert!(right >= 4, "{found:?} instead of {exact:?}");
}

#[test]
fn a_row_that_was_changed_meanwhile_is_looked_at_again() {
    let (database, mut client) = library();
    let mut other = database.connect();
    other.run("BEGIN; UPDATE lib SET side = 99 WHERE id = 5");
    let waiting = std::thread::spawn(move || {
        client.column::<i32>(&format!(
            "SELECT id FROM lib WHERE side < 50 ORDER BY {S} DESC LIMIT 3 FOR UPDATE"
        ))
    });
    let asks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while other.value::<i64>(asks) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    other.run("COMMIT");
    let found = waiting.join().expect("the query succeeds");
    assert!(!found.contains(&5) && !found.is_empty(), "{found:?}");
}

#[test]
fn rows_that_tie_all_come() {
    let (_database, mut client) = library();
    client.run(
        "CREATE TABLE twins (LIKE lib); INSERT INTO twins SELECT l.id, l.side, l.name, c.v FROM lib l, lib c WHERE c.id = 5;
         CREATE INDEX ON twins USING hnsw (v vector_cosine_ops); ANALYZE twins",
    );
    let names = format!("SELECT name FROM twins ORDER BY {S} DESC, name LIMIT 5");
    assert_eq!(same(&mut client, &names).len(), 5);
    let all = format!("SELECT {S}::text FROM twins ORDER BY {S} DESC FETCH FIRST 5 ROWS WITH TIES");
    assert_eq!(same(&mut client, &all).len(), 3000);
}

#[test]
fn rows_nearly_alike_come_in_exact_order_and_can_be_merged() {
    let (_database, mut client) = library();
    client.run(
        "CREATE TABLE near AS SELECT i AS id, ('[1,2,3,4,5,6,7,' || 8 + i * 2e-6 || ']')::vector(8) v FROM generate_series(1, 20) i;
         ALTER TABLE near ALTER v SET NOT NULL;
         CREATE INDEX ON near USING hnsw (v vector_cosine_ops); ANALYZE near;
         CREATE TABLE ranks AS SELECT id, cosine_similarity(v, '[8,7,6,5,4,3,2,1]') AS rank FROM near; ANALYZE ranks",
    );
    let sql = "SELECT s::text AS text FROM (SELECT cosine_similarity(v, '[8,7,6,5,4,3,2,1]') s FROM near) q ORDER BY s DESC LIMIT 20";
    same(&mut client, sql);
    client.run("SET enable_hashjoin = off; SET enable_nestloop = off; SET enable_sort = off");
    let merged = "SELECT s::text AS text FROM (SELECT cosine_similarity(v, '[8,7,6,5,4,3,2,1]') s FROM near) q JOIN ranks ON rank = s
                  ORDER BY s DESC LIMIT 200";
    assert!(same(&mut client, merged).len() >= 20);
}

#[test]
fn half_precision_comes_in_exact_order() {
    let (_database, mut client) = library();
    client.run("CREATE INDEX ON lib USING hnsw ((v::halfvec(16)) halfvec_cosine_ops)");
    let sql = "SELECT s::text AS text FROM (SELECT cosine_similarity(v::halfvec(16), (SELECT v::halfvec(16) FROM lib WHERE id = 9)) s FROM lib) q
               ORDER BY s DESC LIMIT 30";
    same(&mut client, sql);
}

#[test]
fn a_plan_made_under_other_settings_gives_the_same_rows() {
    let (_database, mut client) = library();
    client.run("SET plan_cache_mode = force_generic_plan; SET hnsw.ef_search = 500");
    let sql = format!("SELECT id::text FROM lib ORDER BY {S} DESC LIMIT 200");
    client.run("SET ai_audio.enable_annscan = off");
    let exact: Vec<String> = client.column(&sql);
    client.run(&format!(
        "RESET ai_audio.enable_annscan; PREPARE p AS {sql}; EXPLAIN EXECUTE p; RESET hnsw.ef_search"
    ));
    assert_eq!(client.column::<String>("EXECUTE p").len(), 200);
    let scans = "SELECT pg_stat_get_xact_numscans('by_v'::regclass)";
    client.run("SET ai_audio.enable_annscan = off; BEGIN");
    let before: i64 = client.value(scans);
    assert_eq!(client.column::<String>("EXECUTE p"), exact, "off is exact");
    assert_eq!(client.value::<i64>(scans), before, "the index is not read");
}

#[test]
fn a_function_that_gives_null_is_not_a_column_without_nulls() {
    let (_database, mut client) = library();
    client.run(
        "CREATE FUNCTION masked(vector) RETURNS vector LANGUAGE plpgsql IMMUTABLE STRICT AS
           'BEGIN RETURN CASE WHEN public.vector_norm($1) > 1.2 THEN $1 END; END';
         CREATE INDEX ON lib USING hnsw ((masked(v)::vector(16)) vector_cosine_ops); ANALYZE lib",
    );
    let masked = S.replace("(v,", "(masked(v)::vector(16),");
    let sql = format!(
        "SELECT coalesce(({masked})::text, 'none') FROM lib ORDER BY {masked} DESC LIMIT 10"
    );
    client.run("SET ai_audio.enable_annscan = off");
    let exact: Vec<String> = client.column(&sql);
    client.run("RESET ai_audio.enable_annscan");
    assert_eq!(client.column::<String>(&sql), exact);
    assert_eq!(exact[0], "none");
}

#[test]
fn what_bi_tools_write_uses_the_index() {
    let (_database, mut client) = library();
    let inner = format!("SELECT id, name, {S} AS similarity FROM lib");
    for sql in [
        format!("SELECT id::text FROM ({inner} ORDER BY similarity DESC) t LIMIT 20"),
        format!(
            "SELECT id::text FROM (SELECT * FROM ({inner} ORDER BY similarity DESC) t LIMIT 20) u LIMIT 1001"
        ),
        format!(
            "SELECT id::text, similarity FROM ({inner} ORDER BY similarity DESC) t ORDER BY similarity DESC LIMIT 20"
        ),
        format!(
            "SELECT name FROM ({inner}) t GROUP BY name, similarity ORDER BY similarity DESC LIMIT 10"
        ),
        format!(
            "SELECT name, similarity, count(*) FROM ({inner}) t GROUP BY name, similarity HAVING count(*) = 1 ORDER BY similarity DESC LIMIT 10"
        ),
        format!(
            "SELECT DISTINCT name, similarity FROM ({inner}) t ORDER BY similarity DESC, name LIMIT 10"
        ),
        format!("SELECT id::text FROM ({inner}) t ORDER BY similarity DESC LIMIT 1000"),
    ] {
        client.run("SET hnsw.ef_search = 200");
        same(&mut client, &sql);
    }
    let all = format!("SELECT max(similarity) FROM ({inner} ORDER BY similarity DESC) t LIMIT 20");
    assert!(!uses_index(&mut client, &all), "all rows are looked at");
    let other =
        format!("SELECT name FROM ({inner} ORDER BY similarity DESC) t ORDER BY name LIMIT 20");
    assert!(!uses_index(&mut client, &other), "all rows are sorted");
}

#[test]
fn scans_run_again_and_again() {
    let (_database, mut client) = library();
    let sql = "SELECT c.id || ' ' || n.id FROM (SELECT * FROM lib WHERE id < 30) c, LATERAL
               (SELECT id FROM lib ORDER BY cosine_similarity(v, c.v) DESC, id LIMIT 3) n ORDER BY c.id, n.id";
    assert_eq!(same(&mut client, sql).len(), 87);
    client.run(&format!(
        "BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id FROM lib ORDER BY {S} DESC LIMIT 50"
    ));
    let first: Vec<i32> = client.column("FETCH 20 FROM c");
    client.run("MOVE BACKWARD ALL FROM c");
    assert_eq!(client.column::<i32>("FETCH 20 FROM c"), first);
}

#[test]
fn a_query_that_is_stopped_leaves_pgvectors_settings_alone() {
    let (_database, mut client) = library();
    client.run("SET hnsw.iterative_scan = relaxed_order; SET hnsw.max_scan_tuples = 123;
                CREATE FUNCTION breaks(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN 1 / (CASE WHEN $1 = 77 THEN 0 ELSE 1 END) = 0; END'");
    client.error(&format!(
        "SELECT id FROM lib WHERE breaks(id) ORDER BY {S} DESC LIMIT 3"
    ));
    assert_eq!(
        client.value::<String>("SHOW hnsw.iterative_scan"),
        "relaxed_order"
    );
    assert_eq!(client.value::<String>("SHOW hnsw.max_scan_tuples"), "123");
    client.run("SET statement_timeout = '20ms'");
    let mut stopped = 0;
    for _ in 0..5 {
        let sql = format!(
            "SELECT count(*) FROM generate_series(1, 9999) g, LATERAL (SELECT id FROM lib WHERE id <> g ORDER BY {S} DESC LIMIT 300) n"
        );
        stopped += i32::from(client.batch_execute(&sql).is_err());
    }
    client.run("RESET statement_timeout");
    assert_eq!(stopped, 5);
    assert_eq!(
        client.value::<String>("SHOW hnsw.iterative_scan"),
        "relaxed_order"
    );
    assert_eq!(client.value::<String>("SHOW hnsw.max_scan_tuples"), "123");
}

/// A table `vc` of a few voiceprints, and how often recordings were embedded since `reset`.
fn calls() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "SET client_min_messages = warning;
         CREATE TABLE vc AS SELECT i AS id, ai_audio_embed('{0}') AS v, '{0}'::text AS path FROM generate_series(1, 3) i;
         CREATE TABLE big AS SELECT i AS id FROM generate_series(1, 50000) i; ANALYZE",
        clip("june-1.wav")
    ));
    (database, client)
}

fn embeds(client: &mut Client, sql: &str) -> i64 {
    let calls = "SELECT calls FROM ai_audio_stats()";
    let before: i64 = client.value(calls);
    client.run(sql);
    client.value::<i64>(calls) - before
}

#[test]
fn calls_in_odd_places_are_left_alone_or_run_once() {
    let (_database, mut client) = calls();
    let e = format!("ai_audio_embed('{}')", clip("june-1.wav"));
    let p = format!(
        "WITH p AS MATERIALIZED (SELECT '{}'::text AS path)",
        clip("june-1.wav")
    );
    for sql in [
        format!("SELECT g FROM generate_series(1, 3) g WHERE g = 3 OR EXISTS
                 (SELECT 1 FROM vc c WHERE c.id = g AND cosine_similarity(c.v, {e}) > 0.5)"),
        format!("{p} SELECT g FROM generate_series(1, 3) g WHERE g = 3 OR EXISTS
                 (SELECT 1 FROM vc c WHERE c.id = g AND cosine_similarity(c.v, ai_audio_embed((SELECT path FROM p))) > 0.5)"),
        format!("{p} SELECT id FROM vc o WHERE id = 3 OR EXISTS
                 (SELECT 1 FROM vc c WHERE c.id = o.id AND cosine_similarity(c.v, ai_audio_embed((SELECT path FROM p))) > 0.5)"),
        format!("{p} SELECT id FROM vc WHERE cosine_similarity(v, ai_audio_embed((SELECT path FROM p))) > 0.5"),
        format!("SELECT id FROM vc WHERE id IN (SELECT id FROM vc c WHERE cosine_similarity(c.v, {e}) > 0.5)"),
        format!("SELECT id FROM vc, unnest({e}::real[]) WITH ORDINALITY u(x, i) WHERE i = 1"),
        format!("SELECT id FROM vc WHERE CASE vector_dims({e}) WHEN vector_dims(v) THEN true END"),
    ] {
        assert_eq!(client.column::<i32>(&sql), [1, 2, 3], "{sql}");
    }
}

#[test]
fn whatever_is_compared_with_is_computed_once() {
    let (_database, mut client) = calls();
    client.run(
        "CREATE FUNCTION of_call(text) RETURNS vector LANGUAGE plpgsql STABLE AS 'BEGIN RETURN ai_audio_embed($1); END'",
    );
    let sql = format!(
        "SELECT id, cosine_similarity(v, of_call('{}')) FROM vc",
        clip("june-1.wav")
    );
    assert_eq!(embeds(&mut client, &sql), 1);
}

#[test]
fn a_branch_that_is_not_taken_does_not_run_in_parallel_plans_either() {
    let (_database, mut client) = calls();
    client.run("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0");
    let e = format!("vector_dims(ai_audio_embed('{}'))", clip("june-1.wav"));
    let sql = format!("SELECT count(CASE WHEN id < 0 THEN {e} END) FROM big");
    assert_eq!(embeds(&mut client, &sql), 0);
    assert_eq!(
        embeds(
            &mut client,
            &format!("SELECT count(CASE WHEN id > 0 THEN {e} END) FROM big")
        ),
        1
    );
}

#[test]
fn explain_reads_no_recording() {
    let (_database, mut client) = calls();
    for sql in [
        "SELECT id FROM vc WHERE length(ai_audio_extract('/nowhere.wav', 0, 100)) > id",
        "SELECT id FROM vc WHERE (ai_audio_quality('/nowhere.wav')).snr_db > id",
        "SELECT id FROM vc WHERE (ai_audio_verify('/nowhere.wav', '/nowhere.wav')).probability > id",
        "SELECT id FROM vc WHERE length(ai_audio_transcribe('/nowhere.wav')) > id",
        "SELECT 1 LIMIT (ai_audio_info('/nowhere.wav')->>'channels')::int",
        "SELECT id FROM vc LIMIT (ai_audio_info('/nowhere.wav')->>'channels')::int",
    ] {
        client.run(&format!("EXPLAIN (VERBOSE) {sql}"));
        client.error(sql);
    }
}

#[test]
fn every_function_on_a_recording_runs_once() {
    let (_database, mut client) = calls();
    // Volatile ones run as often as they are called; a set is no value, and a record's columns would not be known.
    let without: Vec<String> = client.column(
        "SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
         JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'ai_audio' AND d.deptype = 'e'
         WHERE p.provolatile = 's' AND NOT p.proretset AND p.prokind = 'f' AND p.procost >= 100000 AND p.prosupport = 0
           AND p.prorettype <> 'record'::regtype",
    );
    assert!(without.is_empty(), "{without:?}");
}
