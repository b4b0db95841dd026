//! Past one machine: libraries in partitions, in heirs, and on other servers.

use sql_tests::{Client, ClientExt, Database, clip, plan_nodes};

/// Whether this Postgres has postgres_fdw; says so where a test is skipped for want of it.
fn has_postgres_fdw(client: &mut Client) -> bool {
    let has: bool = client
        .value("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw')");
    if !has {
        eprintln!("skipped: this Postgres comes without postgres_fdw (contrib)");
    }
    has
}

/// A database of the same cluster as a foreign server.
fn reach(client: &mut Client, name: &str, other: &Database) {
    let url = other.url();
    let rest = url.split_once("://").expect("a URI").1;
    let (login, address) = rest.rsplit_once('@').expect("a password");
    let (user, password) = login.split_once(':').expect("a password");
    let (host, port) = address
        .split_once('/')
        .and_then(|(address, _)| address.split_once(':'))
        .expect("a port");
    client.run(&format!(
        "CREATE EXTENSION IF NOT EXISTS postgres_fdw;
         CREATE SERVER {name} FOREIGN DATA WRAPPER postgres_fdw
           OPTIONS (host '{host}', port '{port}', dbname '{}', extensions 'ai_audio, vector');
         CREATE USER MAPPING FOR CURRENT_USER SERVER {name} OPTIONS (user '{user}', password '{password}')",
        other.name()
    ));
}

/// What Citus has: a catalog of the tables whose rows are on other machines.
fn pretend_to_be_spread(client: &mut Client, table: &str) {
    client.run(&format!(
        "SET allow_system_table_mods = on;
         CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass);
         INSERT INTO pg_catalog.pg_dist_partition VALUES ('{table}');
         RESET allow_system_table_mods"
    ));
}

// --- libraries of all kinds ---

/// `voice(speaker, take)`: two crowds of voices. Those of one have much in common, so that a sample of it alone misleads.
const VOICE: &str = "
    CREATE FUNCTION voice(speaker int, take int) RETURNS vector LANGUAGE sql IMMUTABLE AS $$
      SELECT array_agg((hashint8(speaker * 1000 + i) + 0.6 * hashint8(take * 10000000 + speaker * 1000 + i)) / 2147483648.0
                       + CASE WHEN speaker <= 500 THEN 1.5 ELSE 0 END ORDER BY i)::real[]::vector
      FROM generate_series(1, 48) i $$;
    CREATE FUNCTION answers(library regclass) RETURNS text LANGUAGE sql AS $$
      SELECT string_agg(concat_ws(' ', s, i.nearest, round(i.score::numeric, 9), round(i.probability::numeric, 9)), E'\\n' ORDER BY s)
      FROM generate_series(1, 1200, 100) s, ai_voice_identify(voice(s, 7), library) i $$;";

#[test]
fn a_library_answers_alike_however_it_is_kept() {
    let (database, other) = (Database::new(), Database::new());
    let mut client = database.connect();
    let mut remote = other.connect();
    client.run(VOICE);
    remote.run(VOICE);
    // The table has its rows in any order; everything else has the first crowd first.
    let speakers = "generate_series(1, 1000) s";
    client.run(&format!(
        "CREATE TABLE plain AS SELECT s AS id, 'speaker ' || s AS name, voice(s, 1)::vector(48) AS v FROM {speakers} ORDER BY hashint4(s);
         ANALYZE plain;
         CREATE TABLE parts (LIKE plain) PARTITION BY RANGE (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (501);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (501) TO (9999);
         INSERT INTO parts SELECT * FROM plain ORDER BY id;
         CREATE TABLE heirs (LIKE plain);
         CREATE TABLE heir () INHERITS (heirs);
         INSERT INTO heirs SELECT * FROM plain WHERE id <= 500;
         INSERT INTO heir SELECT * FROM plain WHERE id > 500 ORDER BY id;
         ANALYZE heirs;
         CREATE VIEW seen AS SELECT * FROM parts;
         CREATE TABLE spread AS SELECT * FROM plain ORDER BY id LIMIT 450;
         ANALYZE spread;
         INSERT INTO spread SELECT * FROM plain ORDER BY id OFFSET 450"
    ));
    pretend_to_be_spread(&mut client, "spread");
    let answer = |client: &mut Client, library: &str| {
        client.value::<String>(&format!("SELECT answers('{library}')"))
    };
    let plain = answer(&mut client, "plain");
    assert_eq!(plain.lines().count(), 12);
    for library in ["parts", "heirs", "seen", "spread"] {
        assert_eq!(answer(&mut client, library), plain, "{library}");
    }
    client.run("ANALYZE parts");
    assert_eq!(answer(&mut client, "parts"), plain, "analysed");
    if !has_postgres_fdw(&mut client) {
        return;
    }
    remote.run(&format!(
        "CREATE TABLE far AS SELECT s AS id, 'speaker ' || s AS name, voice(s, 1)::vector(48) AS v FROM {speakers} ORDER BY s"
    ));
    reach(&mut client, "there", &other);
    client.run(
        "CREATE FOREIGN TABLE far (id int, name text, v vector(48)) SERVER there;
         CREATE TABLE mixed (LIKE plain) PARTITION BY RANGE (id);
         CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM (1) TO (501);
         CREATE FOREIGN TABLE mixed_2 PARTITION OF mixed FOR VALUES FROM (501) TO (9999) SERVER there OPTIONS (table_name 'rest');
         INSERT INTO mixed SELECT * FROM plain WHERE id <= 500",
    );
    remote.run("CREATE TABLE rest AS SELECT * FROM far WHERE id > 500");
    for _ in ["not analysed", "analysed"] {
        for library in ["far", "mixed"] {
            assert_eq!(answer(&mut client, library), plain, "{library}");
        }
        client.run("ANALYZE far; ANALYZE mixed");
    }
}

#[test]
fn every_row_of_a_library_counts() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(
        "CREATE TABLE plain AS SELECT 'speaker ' || s AS name, ARRAY[1, s / 12000.0, 0]::real[]::vector(3) AS v FROM generate_series(1, 24000) s;
         ANALYZE plain;
         CREATE TABLE fresh WITH (autovacuum_enabled = off) AS SELECT * FROM plain;
         CREATE TABLE parts (name text, v vector(3)) PARTITION BY HASH (name);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE parts_2 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO parts SELECT * FROM plain;
         ANALYZE parts_1;
         CREATE VIEW seen AS SELECT * FROM plain",
    );
    let mut probability = |library: &str| -> f64 {
        client.value(&format!(
            "SELECT probability FROM ai_voice_identify('[1,0.5,0]', '{library}', '{{normalize: false}}')"
        ))
    };
    let plain = probability("plain");
    for library in ["fresh", "parts", "seen"] {
        let other = probability(library);
        assert!(
            (other - plain).abs() < 1e-9,
            "{library}: {other}, not {plain}"
        );
    }
}

#[test]
fn what_was_enrolled_a_moment_ago_counts() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("CREATE TABLE fresh (name text, v vector(3))");
    // One statement as far as the client is concerned: nothing found out before the INSERT holds after it.
    client.run(
        "CREATE FUNCTION enrol(n int) RETURNS float8 LANGUAGE plpgsql AS $$
         BEGIN
           INSERT INTO fresh SELECT 'speaker ' || s, ARRAY[1, s / 100.0, 0]::real[] FROM generate_series(1, n) s;
           RETURN (SELECT probability FROM ai_voice_identify('[1,0.5,0]', 'fresh', '{normalize: false}'));
         END $$",
    );
    let apart: Vec<f64> = [2, 3000]
        .map(|n| client.value::<f64>(&format!("SELECT enrol({n})")))
        .into();
    client.run("TRUNCATE fresh");
    let together: Vec<f64> = client.value("SELECT ARRAY[enrol(2), enrol(3000)]");
    assert_eq!(together, apart);
}

// --- partitions on other servers ---

/// `voices`, spread by name over three databases that are foreign servers to the first, and `plain`, the same rows here.
struct Spread {
    client: Client,
    shards: Vec<(Database, Client)>,
    _front: Database,
}

/// The other servers use their indexes however small they are, and these give every row.
const REMOTE_SETTINGS: &str =
    "-c enable_seqscan=off -c hnsw.ef_search=400 -c session_preload_libraries=ai_audio";

fn spread() -> Option<Spread> {
    let front = Database::new();
    let mut client = front.connect();
    if !has_postgres_fdw(&mut client) {
        return None;
    }
    client.run(
        "CREATE TABLE plain (id int, name text NOT NULL, f vector(192) NOT NULL);
         SELECT setseed(0.5);
         INSERT INTO plain SELECT i, 'voice ' || i % 200, array_agg(random() - 0.5)::vector
           FROM generate_series(1, 300) i, generate_series(1, 192) GROUP BY i;
         CREATE TABLE voices (LIKE plain) PARTITION BY HASH (name)",
    );
    let shards = (0..3)
        .map(|at| {
            let shard = Database::new();
            let mut remote = shard.connect();
            remote.run(
                "CREATE TABLE shard (id int, name text NOT NULL, f vector(192) NOT NULL);
                 CREATE INDEX by_voice ON shard USING hnsw (f vector_cosine_ops)",
            );
            reach(&mut client, &format!("shard_{at}"), &shard);
            client.run(&format!(
                "ALTER SERVER shard_{at} OPTIONS (ADD options '{REMOTE_SETTINGS}');
                 CREATE FOREIGN TABLE voices_{at} PARTITION OF voices FOR VALUES WITH (MODULUS 3, REMAINDER {at})
                   SERVER shard_{at} OPTIONS (table_name 'shard')"
            ));
            (shard, remote)
        })
        .collect();
    client.run("INSERT INTO voices SELECT * FROM plain");
    Some(Spread {
        client,
        shards,
        _front: front,
    })
}

fn embeds(client: &mut Client, sql: &str) -> i64 {
    let calls = "SELECT calls FROM ai_audio_stats()";
    let before: i64 = client.value(calls);
    client.run(sql);
    client.value::<i64>(calls) - before
}

/// The SQL that a plan sends to other servers.
fn sent(client: &mut Client, sql: &str) -> Vec<String> {
    let plan = client.plan(sql);
    plan_nodes(&plan)
        .iter()
        .filter_map(|n| n["Remote SQL"].as_str().map(Into::into))
        .collect()
}

#[test]
fn a_search_over_servers_embeds_once_and_uses_every_index() {
    let Some(mut spread) = spread() else { return };
    let client = &mut spread.client;
    for (id, name) in [(1001, "june"), (1002, "carlo"), (1003, "david")] {
        client.run(&format!(
            "INSERT INTO voices SELECT {id}, '{name}', ai_audio_embed('{}')",
            clip(&format!("{name}-1.wav"))
        ));
    }
    let document = format!(
        "SELECT name, similarity FROM (
           SELECT name, cosine_similarity(f, ai_audio_embed('{}')) AS similarity FROM voices) t
         ORDER BY similarity DESC LIMIT 3",
        clip("june-2.wav")
    );
    assert_eq!(client.value_of_first(&document), "june");
    assert_eq!(embeds(client, &document), 1);
    let queries = sent(client, &document);
    assert_eq!(queries.len(), 3, "{queries:?}");
    let probe: String = client.value("SELECT f::text FROM plain LIMIT 1");
    for (query, (_, remote)) in queries.iter().zip(&mut spread.shards) {
        assert!(
            query.contains(" ORDER BY public.cosine_similarity(")
                && query.ends_with(" LIMIT 3::bigint"),
            "{query}"
        );
        remote.run("SET enable_seqscan = off; SET search_path = pg_catalog");
        let cursor = format!(
            "DECLARE c CURSOR FOR {}",
            query.replace("$1", &format!("'{probe}'"))
        );
        let plan = remote.plan(&cursor);
        assert!(
            plan_nodes(&plan)
                .iter()
                .any(|n| n["Index Name"] == "by_voice"),
            "{plan}"
        );
    }
    // Who it is, who else speaks alike, and out again.
    let client = &mut spread.client;
    let found: String = client.value(&format!(
        "SELECT nearest FROM ai_voice_identify(ai_audio_embed('{}'), 'voices')",
        clip("june-2.wav")
    ));
    assert_eq!(found, "june");
    let groups = |table: &str| {
        format!(
            "SELECT ai_voice_cluster(f) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)::int FROM {table} WHERE id <= 300"
        )
    };
    let (there, here): (Vec<i32>, Vec<i32>) = (
        client.column(&groups("voices")),
        client.column(&groups("plain")),
    );
    assert_eq!(there, here);
    client.run("DELETE FROM voices WHERE name = 'june'");
    assert_ne!(client.value_of_first(&document), "june");
    let left: i64 = client.value("SELECT count(*) FROM voices");
    assert_eq!(left, 302);
}

trait FirstValue {
    fn value_of_first(&mut self, sql: &str) -> String;
}

impl FirstValue for Client {
    /// The first column of the first of many rows.
    fn value_of_first(&mut self, sql: &str) -> String {
        self.query(sql, &[]).expect("rows")[0].get(0)
    }
}

#[test]
fn rows_from_servers_are_those_of_one_table() {
    let Some(mut spread) = spread() else { return };
    let client = &mut spread.client;
    client.run(
        "CREATE FUNCTION mine(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN id % 3 = 0; END';
         PREPARE plain_(int) AS SELECT id FROM plain ORDER BY cosine_similarity(f, (SELECT f FROM plain WHERE id = 7)) DESC LIMIT $1;
         PREPARE voices_(int) AS SELECT id FROM voices ORDER BY cosine_similarity(f, (SELECT f FROM plain WHERE id = 7)) DESC LIMIT $1;
         SET plan_cache_mode = force_generic_plan",
    );
    let similarity = "cosine_similarity(f, (SELECT f FROM plain WHERE id = 7))";
    let (limited, all) = (true, false);
    // Which of them ask every server for its first rows only.
    let queries = [
        (
            limited,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC LIMIT 9"),
        ),
        (
            limited,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC, id LIMIT 9"),
        ),
        (
            limited,
            format!("SELECT id FROM TABLE WHERE id % 2 = 1 ORDER BY {similarity} DESC LIMIT 9"),
        ),
        (
            limited,
            format!(
                "SELECT id FROM (SELECT id, {similarity} AS s FROM TABLE) t WHERE s > 0.02 ORDER BY s DESC LIMIT 9"
            ),
        ),
        (
            limited,
            "SELECT id FROM TABLE ORDER BY f <=> (SELECT f FROM plain WHERE id = 7) LIMIT 9".into(),
        ),
        (limited, "EXECUTE TABLE_(9)".into()),
        (
            all,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC LIMIT 5 OFFSET 4"),
        ),
        (
            all,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC FETCH FIRST 9 ROWS WITH TIES"),
        ),
        (
            all,
            format!("SELECT id FROM TABLE WHERE mine(id) ORDER BY {similarity} DESC LIMIT 9"),
        ),
        (
            all,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC LIMIT (SELECT 9)"),
        ),
        (
            all,
            format!(
                "SELECT t.id FROM TABLE t JOIN generate_series(1, 300, 7) s ON s = t.id ORDER BY {similarity} DESC LIMIT 9"
            ),
        ),
        (
            all,
            format!(
                "SELECT id FROM (SELECT DISTINCT id, {similarity} AS s FROM TABLE) t ORDER BY s DESC LIMIT 9"
            ),
        ),
        (
            all,
            format!(
                "SELECT max(id) FROM TABLE GROUP BY {similarity} ORDER BY {similarity} DESC LIMIT 9"
            ),
        ),
        (
            all,
            format!("SELECT (count(*) OVER ())::int FROM TABLE ORDER BY {similarity} DESC LIMIT 9"),
        ),
        (
            all,
            format!(
                "SELECT generate_series(id, id + 1) FROM TABLE ORDER BY {similarity} DESC LIMIT 9"
            ),
        ),
        (
            all,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC LIMIT 9 FOR UPDATE"),
        ),
        (
            all,
            format!("SELECT id FROM TABLE ORDER BY {similarity} DESC"),
        ),
    ];
    for (first_only, query) in queries {
        let (here, there) = (
            query.replace("TABLE", "plain"),
            query.replace("TABLE", "voices"),
        );
        let rows: Vec<i32> = client.column(&there);
        assert_eq!(rows, client.column::<i32>(&here), "{there}");
        let queries = sent(client, &there);
        let limits = queries.iter().filter(|q| q.contains(" LIMIT ")).count();
        assert_eq!(
            limits,
            if first_only { 3 } else { 0 },
            "{there}: {queries:?}"
        );
    }
}

#[test]
fn why_a_server_sends_all_rows_is_told() {
    let Some(spread) = spread() else { return };
    let (mut client, notices) = spread._front.connect_noting();
    client.run("SET client_min_messages = debug1");
    let told = |client: &mut Client, rest: &str| {
        notices.lock().expect("not poisoned").clear();
        client.plan(&format!(
            "SELECT id FROM voices ORDER BY cosine_similarity(f, (SELECT f FROM plain WHERE id = 7)) DESC {rest}"
        ));
        let heard = notices.lock().expect("not poisoned");
        let reasons = heard.iter().map(|n| n.message().to_string());
        reasons
            .filter(|m| m.contains("voices_0"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(told(&mut client, "LIMIT 3"), "");
    let because = |reason: &str| {
        format!("foreign table \"voices_0\" does not give its nearest rows only: {reason}")
    };
    assert_eq!(
        told(&mut client, "LIMIT 3 OFFSET 3"),
        because("the query has an OFFSET")
    );
    client.run("ALTER SERVER shard_0 OPTIONS (SET extensions 'vector')");
    assert_eq!(
        told(&mut client, "LIMIT 3"),
        because("option \"extensions\" of its server does not name ai_audio")
    );
    client.run("ALTER SERVER shard_0 OPTIONS (DROP extensions)");
    assert_eq!(
        told(&mut client, "LIMIT 3"),
        because("option \"extensions\" of its server does not name ai_audio and vector")
    );
}

#[test]
fn a_foreign_table_of_its_own_is_searched_there() {
    let Some(mut spread) = spread() else { return };
    let client = &mut spread.client;
    let embed = format!("ai_audio_embed('{}')", clip("june-1.wav"));
    let sql = format!(
        "SELECT id FROM voices_0 WHERE cosine_similarity(f, {embed}) > 0 ORDER BY cosine_similarity(f, {embed}) DESC LIMIT 2"
    );
    let queries = sent(client, &sql);
    assert!(
        queries.len() == 1 && queries[0].contains(" ORDER BY ") && queries[0].contains(" LIMIT "),
        "{queries:?}"
    );
    assert_eq!(embeds(client, &sql), 1);
}

// --- tables that another planner takes ---

#[test]
fn calls_are_subqueries_before_another_planner_takes_the_query() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "LOAD 'ai_audio';
         CREATE TABLE voices (id int, name text, f vector(192));
         INSERT INTO voices SELECT i, 'voice ' || i % 7, array_agg(sin(i * d))::vector FROM generate_series(1, 30) i, generate_series(1, 192) d GROUP BY i;
         CREATE TABLE paths (id int, path text);
         INSERT INTO paths VALUES (1, '{0}'), (2, '{1}');
         CREATE TABLE kept (id int, s float8);
         CREATE VIEW seen AS SELECT id, cosine_similarity(f, ai_audio_embed('{0}')) AS s FROM voices;
         PREPARE nearest(text) AS SELECT id FROM voices ORDER BY cosine_similarity(f, ai_audio_embed($1)) DESC LIMIT 3",
        clip("june-1.wav"),
        clip("carlo-1.wav")
    ));
    // `?`: the same for all rows. Postgres by itself makes one subquery of equal calls; two are what was made before it came.
    let twice = "SELECT id FROM voices WHERE cosine_similarity(f, ?) > -1 ORDER BY cosine_similarity(f, ?) DESC LIMIT 3";
    let beside = "SELECT v.id FROM voices v, ai_audio_embed('@') e ORDER BY cosine_similarity(v.f, ?) DESC LIMIT 3";
    let aggregated = "SELECT (10 * max(cosine_similarity(f, ?)) + count(*) FILTER (WHERE cosine_similarity(f, ?) > 0))::int FROM voices GROUP BY name ORDER BY 1";
    let queries = [
        twice,
        beside,
        "SELECT id FROM (SELECT id, cosine_similarity(f, ?) AS s FROM voices) t ORDER BY s DESC LIMIT 3",
        "WITH n AS MATERIALIZED (SELECT id, cosine_similarity(f, ?) AS s FROM voices) SELECT id FROM n ORDER BY s DESC LIMIT 3",
        "SELECT id FROM seen ORDER BY s DESC LIMIT 3",
        "SELECT id FROM voices WHERE cosine_similarity(f, ?) > 0 UNION ALL SELECT id FROM voices WHERE cosine_similarity(?, f) < 0 ORDER BY 1",
        "SELECT id FROM voices v WHERE EXISTS (SELECT 1 FROM voices w WHERE w.id = v.id + 1 AND cosine_similarity(w.f, ?) > 0) ORDER BY id",
        "SELECT id FROM voices ORDER BY coalesce(cosine_similarity(f, ?), 0) DESC LIMIT 3",
        "SELECT CASE WHEN id > 99 THEN vector_dims(ai_audio_embed('missing')) ELSE id END FROM voices ORDER BY 1",
        "SELECT coalesce(id, vector_dims(ai_audio_embed('missing'))) FROM voices ORDER BY 1",
        "SELECT max(id) FROM voices GROUP BY name, cosine_similarity(f, ?) > 0 ORDER BY 1",
        aggregated,
        "SELECT (rank() OVER (ORDER BY cosine_similarity(f, ?)))::int FROM voices",
        "SELECT (SELECT v.id FROM voices v ORDER BY cosine_similarity(v.f, ai_audio_embed(p.path)) DESC LIMIT 1) FROM paths p",
        "SELECT n.id FROM paths p, LATERAL (SELECT v.id FROM voices v ORDER BY cosine_similarity(v.f, ai_audio_embed(p.path)) DESC LIMIT 2) n",
        "SELECT id FROM voices ORDER BY cosine_similarity(f, ai_audio_embed((SELECT path FROM paths WHERE id = 2))) DESC LIMIT 3",
        "WITH i AS (INSERT INTO kept SELECT id, cosine_similarity(f, ?) FROM voices RETURNING *) SELECT id FROM i ORDER BY s",
        "WITH u AS (UPDATE kept SET s = cosine_similarity(f, ?) FROM voices WHERE voices.id = kept.id AND cosine_similarity(f, ?) > 0 RETURNING kept.id) SELECT id FROM u ORDER BY id",
        "EXECUTE nearest('@')",
    ];
    let path = clip("june-1.wav");
    let whole = |query: &str| {
        query
            .replace(
                '?',
                &format!("ai_audio_embed('{path}', '{{end_time: 1500}}')"),
            )
            .replace('@', &path)
    };
    let answers = |client: &mut Client| -> Vec<Vec<i32>> {
        client.run("TRUNCATE kept");
        queries
            .iter()
            .map(|query| client.column(&whole(query)))
            .collect()
    };
    let subqueries = |client: &mut Client, query: &str| {
        let plan = client.plan(&whole(query));
        let nodes = plan_nodes(&plan);
        nodes
            .iter()
            .filter(|n| n["Parent Relationship"] == "InitPlan")
            .count()
    };
    let before = answers(&mut client);
    assert!(before.iter().all(|rows| !rows.is_empty()));
    assert_eq!(
        [twice, aggregated].map(|q| subqueries(&mut client, q)),
        [1, 1]
    );
    pretend_to_be_spread(&mut client, "voices");
    assert_eq!(
        [twice, aggregated].map(|q| subqueries(&mut client, q)),
        [2, 2]
    );
    assert_eq!(answers(&mut client), before);
    // The tables of others are left to Postgres.
    client.run("CREATE TABLE mine AS SELECT * FROM voices");
    assert_eq!(subqueries(&mut client, &twice.replace("voices", "mine")), 1);
}
