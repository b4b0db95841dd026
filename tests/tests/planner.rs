//! `ORDER BY cosine_similarity(...) DESC` uses a pgvector index where the answer stays the same, and a call that no row
//! can change runs once.
//!
//! Long, because a test per form of a query, over one library.

use std::fmt::Write as _;

use postgres::Client;
use postgres::error::ErrorPosition;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sql_tests::{ClientExt, Database, clip, plan_nodes};

/// A library of 3,000 made-up voices, with every kind of index, in a database of its own.
fn library() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(
        "SET client_min_messages = warning;
         SELECT setseed(0.5);
         CREATE TABLE voices (id int PRIMARY KEY, side int NOT NULL, f vector(192) NOT NULL, maybe vector(192));
         INSERT INTO voices SELECT i, i % 10, v, v FROM (
           SELECT i, array_agg(random() - 0.5)::vector v FROM generate_series(1, 3000) i, generate_series(1, 192) GROUP BY i) s;
         CREATE INDEX by_hnsw ON voices USING hnsw (f vector_cosine_ops);
         CREATE TABLE calls (id int PRIMARY KEY, note text NOT NULL);
         INSERT INTO calls SELECT i, 'note ' || i % 10 FROM generate_series(1, 3000) i;
         CREATE VIEW ranked AS SELECT id, cosine_similarity(f, ai_audio_embed(current_setting('test.clip'))) AS s FROM voices;
         ANALYZE",
    );
    client.run(&format!("SET test.clip = '{}'", clip("june-1.wav")));
    (database, client)
}

/// The call whose evaluations are counted.
fn embed() -> String {
    format!("ai_audio_embed('{}')", clip("june-1.wav"))
}

fn uses_index(client: &mut Client, sql: &str) -> bool {
    let plan = client.plan(sql);
    plan_nodes(&plan)
        .iter()
        .any(|n| n["Node Type"] == "Index Scan" && n["Order By"].is_string())
}

fn embeds(client: &mut Client, sql: &str) -> i64 {
    let calls = "SELECT calls FROM ai_audio_stats()";
    let before: i64 = client.value(calls);
    client.run(sql);
    client.value::<i64>(calls) - before
}

#[test]
fn the_first_query_of_a_connection_has_the_plan_of_the_document() {
    let (database, _keep) = library();
    let mut fresh = database.connect();
    let plan = fresh.plan(&format!(
        "SELECT id, similarity FROM (SELECT id, cosine_similarity(f, {}) AS similarity FROM voices) t
         ORDER BY similarity DESC LIMIT 3",
        embed()
    ));
    assert_eq!(plan["Node Type"], "Limit");
    let below: Vec<(&str, &str)> = plan["Plans"]
        .as_array()
        .expect("nodes below the limit")
        .iter()
        .map(|n| {
            (
                n["Node Type"].as_str().unwrap_or(""),
                n["Parent Relationship"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        below,
        [("Result", "InitPlan"), ("Custom Scan", "Outer")],
        "{plan}"
    );
    let scan = &plan["Plans"][1]["Plans"][0];
    assert_eq!(scan["Node Type"], "Index Scan");
    assert_eq!(scan["Index Name"], "by_hnsw");
    let parameter = ["(voices.f <=> $0)", "(voices.f <=> (InitPlan 1).col1)"]; // as Postgres 17 and later write it
    let order = scan["Order By"].as_str().expect("an order");
    assert!(parameter.contains(&order), "{order}");
}

/// Postgres calls our hook for every statement: what it says when it fails is as without us.
#[test]
fn errors_of_planning_keep_their_context_and_position() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(
        "LOAD 'ai_audio'; CREATE FUNCTION plus(anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1 + 1'",
    );
    let folded = client.error("SELECT log(0.0)");
    assert_eq!(folded.where_(), Some("SQL function \"log\" statement 1"));
    let inlined = client.error("SELECT plus(point(3, 4))");
    assert_eq!(
        inlined.where_(),
        Some("SQL function \"plus\" during inlining")
    );
    let Some(ErrorPosition::Internal { position, query }) = inlined.position() else {
        panic!("no position in: {inlined:?}");
    };
    assert_eq!((*position, query.as_str()), (11, "SELECT $1 + 1"));
    client.run("CREATE DOMAIN small AS int CONSTRAINT below_ten CHECK (value < 10)");
    assert_eq!(
        client.error("SELECT 12::small").constraint(),
        Some("below_ten")
    );
}

#[test]
fn every_shape_of_the_query_uses_the_index_and_embeds_once() {
    let (_database, mut client) = library();
    client.run(
        "CREATE INDEX by_half ON voices USING hnsw ((f::halfvec(192)) halfvec_cosine_ops);
         CREATE INDEX by_maybe ON voices USING hnsw (maybe vector_cosine_ops);
         ANALYZE voices",
    );
    let e = embed();
    let shapes = [
        (
            "plain",
            format!("SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"),
        ),
        (
            "other argument order",
            format!("SELECT id FROM voices ORDER BY cosine_similarity({e}, f) DESC LIMIT 3"),
        ),
        (
            "alias",
            format!(
                "SELECT id, cosine_similarity(f, {e}) AS s FROM voices ORDER BY s DESC LIMIT 3"
            ),
        ),
        (
            "with options",
            format!(
                "SELECT id FROM voices ORDER BY cosine_similarity(f, ai_audio_embed('audio_embedding', '{}', \
            '{{''start_time'':0}}')) DESC LIMIT 3",
                clip("june-1.wav")
            ),
        ),
        (
            "used three times",
            format!(
                "SELECT id, s, s * 2, 1 - s FROM (SELECT id, cosine_similarity(f, {e}) AS s FROM voices) t \
            ORDER BY s DESC LIMIT 3"
            ),
        ),
        (
            "a view",
            "SELECT * FROM ranked ORDER BY s DESC LIMIT 3".to_string(),
        ),
        (
            "an inlined CTE",
            format!(
                "WITH t AS (SELECT id, cosine_similarity(f, {e}) AS s FROM voices) SELECT * FROM t ORDER BY s DESC LIMIT 3"
            ),
        ),
        (
            "Metabase",
            format!(
                "SELECT \"source\".\"id\" AS \"id\", \"source\".\"Similarity\" AS \"Similarity\" FROM \
            (SELECT id, cosine_similarity(f, {e}) AS \"Similarity\" FROM voices) AS \"source\" ORDER BY \"source\".\"Similarity\" DESC LIMIT 3"
            ),
        ),
        (
            "Superset",
            format!(
                "SELECT id AS id, s AS s FROM (SELECT id, cosine_similarity(f, {e}) AS s FROM voices) AS virtual_table \
            ORDER BY s DESC LIMIT 3"
            ),
        ),
        (
            "a bound and an order",
            format!(
                "SELECT id, s FROM (SELECT id, cosine_similarity(f, {e}) AS s FROM voices) t \
            WHERE s > -1 ORDER BY s DESC LIMIT 3"
            ),
        ),
        (
            "left join",
            format!(
                "SELECT v.id, note FROM voices v LEFT JOIN calls c ON c.id = v.id ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"
            ),
        ),
        (
            "FOR UPDATE",
            format!(
                "SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3 FOR UPDATE"
            ),
        ),
        (
            "second key",
            format!("SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC, id LIMIT 3"),
        ),
        (
            "OFFSET",
            format!(
                "SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3 OFFSET 2"
            ),
        ),
        (
            "nullable, NULLS LAST",
            format!(
                "SELECT id FROM voices ORDER BY cosine_similarity(maybe, {e}) DESC NULLS LAST LIMIT 3"
            ),
        ),
        (
            "nullable, IS NOT NULL",
            format!(
                "SELECT id FROM voices WHERE maybe IS NOT NULL ORDER BY cosine_similarity(maybe, {e}) DESC LIMIT 3"
            ),
        ),
        (
            "nullable, bounded",
            format!(
                "SELECT id FROM voices WHERE cosine_similarity(maybe, {e}) > -1 ORDER BY cosine_similarity(maybe, {e}) DESC LIMIT 3"
            ),
        ),
        (
            "half precision",
            format!(
                "SELECT id FROM voices ORDER BY cosine_similarity(f::halfvec(192), {e}::halfvec(192)) DESC LIMIT 3"
            ),
        ),
        (
            "UPDATE",
            format!(
                "UPDATE voices v SET side = side FROM (SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3) n WHERE n.id = v.id"
            ),
        ),
        (
            "DELETE",
            format!(
                "DELETE FROM calls USING (SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3) n WHERE n.id = calls.id"
            ),
        ),
        (
            "INSERT",
            format!(
                "INSERT INTO calls SELECT -id, 'copied' FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3 ON CONFLICT DO NOTHING"
            ),
        ),
    ];
    for (name, sql) in &shapes {
        assert!(
            uses_index(&mut client, sql),
            "{name}: no index in {}",
            client.plan(sql)
        );
        assert_eq!(embeds(&mut client, sql), 1, "{name}: {sql}");
    }
    client.run("SET jit_above_cost = 0; SET jit_inline_above_cost = 0");
    let (_, plain) = &shapes[0];
    assert!(
        uses_index(&mut client, plain) && embeds(&mut client, plain) == 1,
        "with JIT"
    );
}

#[test]
fn filters_and_joins_use_the_index_whatever_the_settings() {
    let (_database, mut client) = library();
    let e = embed();
    let shapes = [
        format!(
            "SELECT id FROM voices WHERE side = 3 ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"
        ),
        format!(
            "SELECT v.id FROM voices v JOIN calls c USING (id) ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"
        ),
        format!(
            "SELECT v.id FROM voices v JOIN calls c ON c.id = v.id AND note = 'note 4' ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"
        ),
        format!(
            "SELECT id FROM voices WHERE cosine_similarity(f, {e}) < 0.9 ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"
        ),
    ];
    for sql in &shapes {
        client.run("RESET hnsw.ef_search; SET ai_audio.enable_annscan = off");
        let exact: Vec<i32> = client.column(sql);
        client.run(
            "RESET ai_audio.enable_annscan; SET enable_seqscan = off; SET hnsw.ef_search = 200",
        );
        for mode in ["off", "relaxed_order", "strict_order"] {
            client.run(&format!("SET hnsw.iterative_scan = {mode}"));
            assert!(uses_index(&mut client, sql), "{sql}: {}", client.plan(sql));
            assert_eq!(embeds(&mut client, sql), 1, "{sql}");
            assert_eq!(client.column::<i32>(sql), exact, "{mode}: {sql}");
        }
        let after: String = client.value("SHOW hnsw.iterative_scan");
        assert_eq!(after, "strict_order", "the session's own setting stays");
    }
    // More rows than the index gives at once.
    let many = format!("SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 300");
    client.run("SET hnsw.iterative_scan = off; SET hnsw.ef_search = 100; SET ai_audio.enable_annscan = off");
    let exact: Vec<i32> = client.column(&many);
    client.run("RESET ai_audio.enable_annscan");
    assert!(uses_index(&mut client, &many));
    let found: Vec<i32> = client.column(&many);
    assert_eq!(found.len(), 300);
    let missed = exact.iter().filter(|id| !found.contains(id)).count();
    // The index is made anew each time, with chance in it, and gives a tenth of what is asked for at once.
    assert!(missed <= 30, "{missed} of 300 are missed");
}

#[test]
fn prepared_statements_keep_the_index_under_generic_plans() {
    let (_database, mut client) = library();
    client.run("SET plan_cache_mode = force_generic_plan");
    client.run("PREPARE by_vector(vector) AS SELECT id FROM voices ORDER BY cosine_similarity(f, $1) DESC LIMIT 3");
    client.run("PREPARE by_clip(text) AS SELECT id FROM voices ORDER BY cosine_similarity(f, ai_audio_embed($1)) DESC LIMIT 3");
    client.run("PREPARE by_limit(vector, int) AS SELECT id FROM voices ORDER BY cosine_similarity(f, $1) DESC LIMIT $2");
    let by_clip = format!("EXECUTE by_clip('{}')", clip("june-1.wav"));
    assert!(uses_index(&mut client, &by_clip));
    assert_eq!(embeds(&mut client, &by_clip), 1);
    let probe: String = client.value("SELECT f::text FROM voices WHERE id = 7");
    assert!(uses_index(
        &mut client,
        &format!("EXECUTE by_vector('{probe}')")
    ));
    let unknown = format!("EXECUTE by_limit('{probe}', 3)");
    assert!(uses_index(&mut client, &unknown));
    assert_eq!(client.column::<i32>(&unknown)[0], 7);
}

#[test]
fn scalar_subqueries_and_procedures_work() {
    let (_database, mut client) = library();
    let nearest = "SELECT id FROM voices ORDER BY cosine_similarity(f, (SELECT f FROM voices WHERE id = 5)) DESC LIMIT 1";
    assert!(uses_index(&mut client, nearest));
    assert_eq!(client.value::<i32>(nearest), 5);
    let per_row = "SELECT c.id, n.id FROM (SELECT * FROM voices WHERE id < 3) c, LATERAL \
                   (SELECT id FROM voices ORDER BY cosine_similarity(f, c.f) DESC LIMIT 1) n";
    assert!(uses_index(&mut client, per_row));
    client.run(&format!(
        "CREATE FUNCTION found() RETURNS int LANGUAGE plpgsql AS $$
         DECLARE v vector; best int;
         BEGIN
           v := {};
           SELECT id INTO best FROM voices ORDER BY cosine_similarity(f, v) DESC LIMIT 1;
           RETURN best;
         END $$",
        embed()
    ));
    assert_eq!(embeds(&mut client, "SELECT found()"), 1);
    let direct: i32 = client.value(&format!(
        "SELECT id FROM voices ORDER BY cosine_similarity(f, {}) DESC LIMIT 1",
        embed()
    ));
    for _ in 0..7 {
        assert_eq!(
            client.value::<i32>("SELECT found()"),
            direct,
            "also once PL/pgSQL has a generic plan"
        );
    }
}

#[test]
fn partitions_are_merged_in_order() {
    let (_database, mut client) = library();
    client.run(
        "CREATE TABLE parts (id int, f vector(192) NOT NULL) PARTITION BY RANGE (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1500);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1500) TO (9999);
         INSERT INTO parts SELECT id, f FROM voices;
         CREATE INDEX ON parts USING hnsw (f vector_cosine_ops);
         ANALYZE parts",
    );
    let sql = format!(
        "SELECT id FROM parts ORDER BY cosine_similarity(f, {}) DESC LIMIT 5",
        embed()
    );
    let exact: Vec<i32> = client.column(&sql);
    client.run("SET enable_seqscan = off; SET hnsw.ef_search = 200");
    let plan = client.plan(&sql);
    let kinds: Vec<&str> = plan_nodes(&plan)
        .iter()
        .filter_map(|n| n["Node Type"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "Limit",
            "Result",
            "Merge Append",
            "Custom Scan",
            "Index Scan",
            "Custom Scan",
            "Index Scan"
        ]
    );
    assert_eq!(client.column::<i32>(&sql), exact);
    assert_eq!(embeds(&mut client, &sql), 1);
}

#[test]
fn ivfflat_partial_indexes_and_other_schemas_work() {
    let (_database, mut client) = library();
    let e = embed();
    client.run("DROP INDEX by_hnsw; CREATE INDEX by_ivf ON voices USING ivfflat (f vector_cosine_ops) WITH (lists = 10);
                SET ivfflat.probes = 10; SET enable_seqscan = off");
    let sql = format!("SELECT id FROM voices ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3");
    assert!(uses_index(&mut client, &sql), "{}", client.plan(&sql));
    client.run("SET ai_audio.enable_annscan = off");
    let exact: Vec<i32> = client.column(&sql);
    client.run("RESET ai_audio.enable_annscan");
    assert_eq!(client.column::<i32>(&sql), exact, "all lists are probed");

    client.run("DROP INDEX by_ivf; CREATE INDEX by_part ON voices USING hnsw (f vector_cosine_ops) WHERE side = 4");
    let partial = format!(
        "SELECT id FROM voices WHERE side = 4 ORDER BY cosine_similarity(f, {e}) DESC LIMIT 3"
    );
    assert!(
        uses_index(&mut client, &partial),
        "{}",
        client.plan(&partial)
    );
    assert!(
        !uses_index(&mut client, &partial.replace("side = 4", "side = 5")),
        "the predicate does not hold"
    );

    let elsewhere = Database::empty();
    let mut client = elsewhere.connect();
    client.run("SET client_min_messages = warning; CREATE SCHEMA a; CREATE SCHEMA b; CREATE EXTENSION vector SCHEMA a;
                CREATE EXTENSION ai_audio SCHEMA b; SET search_path = nowhere; SET enable_seqscan = off;
                CREATE TABLE b.t (id int, f a.vector(3) NOT NULL);
                INSERT INTO b.t SELECT i, ('[1,2,' || i || ']')::a.vector FROM generate_series(1, 99) i;
                CREATE INDEX ON b.t USING hnsw (f a.vector_cosine_ops)");
    assert!(uses_index(
        &mut client,
        "SELECT id FROM b.t ORDER BY b.cosine_similarity(f, '[1,2,3]') DESC LIMIT 3"
    ));
}

#[test]
fn row_level_security_counts_as_a_filter() {
    let (database, mut client) = library();
    let role = database.role("");
    let name = role.name();
    client.run(&format!(
        "GRANT SELECT ON voices TO {name}; ALTER TABLE voices ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON voices TO {name} USING (side = 2);
         SET enable_seqscan = off"
    ));
    let probe: String = client.value("SELECT f::text FROM voices WHERE id = 9");
    let mut user = database.connect_as(name);
    user.run("SET enable_seqscan = off");
    let sql =
        format!("SELECT id FROM voices ORDER BY cosine_similarity(f, '{probe}') DESC LIMIT 3");
    assert!(uses_index(&mut user, &sql));
    assert_eq!(user.column::<i32>(&sql).len(), 3);
    assert!(
        user.column::<i32>(&sql).iter().all(|id| id % 10 == 2),
        "only one's own rows"
    );
}

#[test]
fn it_stands_aside_where_the_answer_could_differ_and_says_why() {
    let (database, mut keep) = library();
    keep.run(
        "CREATE INDEX by_maybe ON voices USING hnsw (maybe vector_cosine_ops);
         CREATE TABLE sparse AS SELECT id, CASE WHEN id % 150 = 0 THEN f END AS f FROM voices;
         ALTER TABLE sparse ALTER f TYPE vector(192);
         CREATE INDEX by_few ON sparse USING hnsw (f vector_cosine_ops); ANALYZE sparse",
    );
    let (mut client, notices) = database.connect_noting();
    client.run("SET client_min_messages = debug1; SET hnsw.max_scan_tuples = 1000");
    let probe: String = client.value("SELECT f::text FROM voices WHERE id = 9");
    let s = |column: &str| format!("cosine_similarity({column}, '{probe}')");
    let cases = [
        (
            format!("SELECT id FROM voices ORDER BY {} DESC LIMIT 3", s("maybe")),
            "NULLs come first",
        ),
        (
            format!("SELECT id FROM voices ORDER BY {} DESC LIMIT 1200", s("f")),
            "more than hnsw.max_scan_tuples (1000)",
        ),
        (
            format!(
                "SELECT id FROM voices WHERE side = 1 ORDER BY {} DESC LIMIT 300",
                s("f")
            ),
            "more than hnsw.max_scan_tuples (1000)",
        ),
        (
            format!(
                "SELECT id FROM sparse ORDER BY {} DESC NULLS LAST LIMIT 30",
                s("f")
            ),
            "with a vector",
        ),
        (
            format!("SELECT id FROM voices ORDER BY {} DESC", s("f")),
            "all rows are wanted",
        ),
        (
            format!(
                "SELECT id, row_number() OVER (ORDER BY {} DESC) FROM voices LIMIT 3",
                s("f")
            ),
            "all rows are wanted",
        ),
    ];
    for (sql, why) in &cases {
        notices.lock().expect("no test panicked here").clear();
        assert!(!uses_index(&mut client, sql), "{sql}");
        let said = notices
            .lock()
            .expect("no test panicked here")
            .iter()
            .map(|n| n.message().to_string())
            .collect::<Vec<_>>();
        assert!(
            said.iter().any(|m| m.contains(why)),
            "{why:?} is missing in {said:?}"
        );
    }
    // Nothing to explain here: no index could ever help.
    for order in [
        format!("{} ASC", s("f")),
        "cosine_similarity(f, (ARRAY[random()])::vector) DESC".into(),
    ] {
        assert!(
            !uses_index(
                &mut client,
                &format!("SELECT id FROM voices ORDER BY {order} LIMIT 3")
            ),
            "{order}"
        );
    }
    client.run("SET ai_audio.enable_annscan = off");
    assert!(!uses_index(
        &mut client,
        &format!("SELECT id FROM voices ORDER BY {} DESC LIMIT 3", s("f"))
    ));
}

#[test]
fn a_call_on_a_rows_own_recording_runs_for_each_row() {
    let (_database, mut client) = library();
    let values = ["june-1.wav", "june-2.wav"]
        .map(|c| format!("('{}')", clip(c)))
        .join(", ");
    let sql = format!("SELECT vector_dims(ai_audio_embed(path)) FROM (VALUES {values}) v(path)");
    assert_eq!(embeds(&mut client, &sql), 2);
    let lazy = format!(
        "SELECT CASE WHEN id < 0 THEN vector_dims({}) END FROM voices LIMIT 3",
        embed()
    );
    assert_eq!(
        embeds(&mut client, &lazy),
        0,
        "a branch that is not taken costs nothing"
    );
}

/// A generated table and query.
#[derive(Debug, Clone)]
struct Case {
    rows: Vec<Option<[i8; 4]>>,
    not_null: bool,
    partitioned: bool,
    nulls_last: bool,
    filter: bool,
    bound: Option<i8>,
    second_key: bool,
    limit: u8,
    probe: [i8; 4],
}

fn cases() -> impl Strategy<Value = Case> {
    let vector = prop::array::uniform4(-3i8..=3);
    let rows = prop::collection::vec(prop::option::weighted(0.9, vector), 1..120);
    let flags = (
        any::<[bool; 5]>(),
        prop::option::of(-9i8..9),
        1u8..30,
        prop::array::uniform4(-3i8..=3),
    );
    (rows, flags).prop_map(
        |(
            mut rows,
            ([not_null, partitioned, nulls_last, filter, second_key], bound, limit, probe),
        )| {
            if not_null {
                rows.retain(Option::is_some);
                if !nulls_last && bound.is_none() {
                    // Documented: a voiceprint of zeros has no direction and is not in the index.
                    rows.retain(|r| *r != Some([0; 4]));
                }
            }
            Case {
                rows,
                not_null,
                partitioned,
                nulls_last,
                filter,
                bound,
                second_key,
                limit,
                probe,
            }
        },
    )
}

impl Case {
    fn create(&self) -> String {
        let partitioned = if self.partitioned {
            "PARTITION BY HASH (id)"
        } else {
            ""
        };
        let not_null = if self.not_null { "NOT NULL" } else { "" };
        let mut sql = format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (id int, side int, f vector(4) {not_null}) {partitioned};"
        );
        if self.partitioned {
            sql += "CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
                    CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);";
        }
        for (id, row) in self.rows.iter().enumerate() {
            let value = row.map_or("NULL".to_string(), |v| format!("'{v:?}'"));
            let _ = write!(sql, "INSERT INTO t VALUES ({id}, {}, {value});", id % 3);
        }
        sql + "CREATE INDEX ON t USING hnsw (f vector_cosine_ops); ANALYZE t"
    }

    /// Similarities, rounded: rows that tie may come in any order, and an index may cut among them anywhere.
    fn query(&self) -> String {
        let s = format!("cosine_similarity(f, '{:?}')", self.probe);
        let mut conditions = vec!["true".to_string()];
        conditions.extend(self.filter.then(|| "side <> 1".to_string()));
        conditions.extend(self.bound.map(|b| format!("{s} > {}", f64::from(b) / 10.0)));
        let nulls = if self.nulls_last { "NULLS LAST" } else { "" };
        let second = if self.second_key { ", id" } else { "" };
        format!(
            "SELECT round(s::numeric, 4)::text FROM (SELECT {s} AS s FROM t WHERE {} ORDER BY {s} DESC {nulls}{second} LIMIT {}) q
             WHERE s IS NOT NULL",
            conditions.join(" AND "),
            self.limit
        )
    }
}

#[test]
fn generated_tables_give_the_same_rows_with_and_without_the_index() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("SET client_min_messages = warning; SET enable_seqscan = off; SET hnsw.iterative_scan = strict_order;
                SET hnsw.ef_search = 400; SET hnsw.max_scan_tuples = 100000");
    let client = std::cell::RefCell::new(client);
    let indexed = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&cases(), |case| {
            let mut client = client.borrow_mut();
            client.run(&case.create());
            let sql = case.query();
            client.run("SET ai_audio.enable_annscan = off");
            let exact: Vec<String> = client.column(&sql);
            client.run("RESET ai_audio.enable_annscan");
            indexed.set(indexed.get() + i32::from(uses_index(&mut client, &sql)));
            prop_assert_eq!(client.column::<String>(&sql), exact, "{}", sql);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(
        indexed.get() > 15,
        "only {} of the generated queries used the index",
        indexed.get()
    );
}
