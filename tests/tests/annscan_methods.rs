//! Index methods beside pgvector's, with pgvector's handler under their names: what matters is what is known of a name.

use sql_tests::{Client, ClientExt, Database, plan_nodes};

/// 400 voices and an index of a method that is called `method`.
fn voices(method: &str) -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "SET client_min_messages = warning;
         SELECT setseed(0.5);
         CREATE TABLE voices (id int, f vector(16) NOT NULL);
         INSERT INTO voices SELECT i, array_agg(random() - 0.5)::vector FROM generate_series(1, 400) i, generate_series(1, 16) GROUP BY i;
         CREATE ACCESS METHOD {method} TYPE INDEX HANDLER hnswhandler;
         CREATE OPERATOR CLASS {method}_cosine FOR TYPE vector USING {method} AS
           OPERATOR 1 <=> (vector, vector) FOR ORDER BY float_ops,
           FUNCTION 1 vector_negative_inner_product(vector, vector), FUNCTION 2 vector_norm(vector);
         CREATE INDEX by_voice ON voices USING {method} (f {method}_cosine);
         ANALYZE voices;
         SET enable_seqscan = off; SET hnsw.ef_search = 400",
    ));
    (database, client)
}

fn nearest(limit: &str) -> String {
    format!(
        "SELECT id FROM voices ORDER BY cosine_similarity(f, (SELECT f FROM voices WHERE id = 7)) DESC {limit}"
    )
}

fn uses_index(client: &mut Client, sql: &str) -> bool {
    let plan = client.plan(sql);
    plan_nodes(&plan)
        .iter()
        .any(|n| n["Index Name"] == "by_voice")
}

/// The same rows in the same order as without the index.
fn is_exact(client: &mut Client, sql: &str) {
    let found: Vec<i32> = client.column(sql);
    client.run("SET ai_audio.enable_annscan = off");
    let exact: Vec<i32> = client.column(sql);
    client.run("RESET ai_audio.enable_annscan");
    assert_eq!(found, exact, "{sql}");
}

#[test]
fn an_unknown_method_is_used_where_the_setting_names_it() {
    let (database, mut client) = voices("nearby");
    let sql = nearest("LIMIT 5");
    assert!(!uses_index(&mut client, &sql));
    let (mut noting, notices) = database.connect_noting();
    noting.run("SET client_min_messages = debug1");
    noting.plan(&sql);
    let heard = notices.lock().expect("not poisoned");
    let reason = "index method \"nearby\" is not used for cosine_similarity: setting ai_audio.annscan_methods does not name it";
    assert!(heard.iter().any(|n| n.message() == reason));
    client.run("SET ai_audio.annscan_methods = 'other, nearby'");
    for limit in ["LIMIT 5", "LIMIT 300", "LIMIT 5 OFFSET 20"] {
        assert!(uses_index(&mut client, &nearest(limit)), "{limit}");
        is_exact(&mut client, &nearest(limit));
    }
    client.run("SET hnsw.ef_search = 3"); // it runs dry
    is_exact(&mut client, &sql);
    let filtered = sql.replace("ORDER", "WHERE id % 50 = 0 ORDER");
    is_exact(&mut client, &filtered);
}

#[test]
fn a_known_method_goes_as_far_as_its_setting_says() {
    let (_database, mut client) = voices("diskann");
    assert!(
        uses_index(&mut client, &nearest("LIMIT 50")),
        "query_rescore's default is 50"
    );
    assert!(!uses_index(&mut client, &nearest("LIMIT 51")));
    client.run("SET diskann.query_rescore = 80");
    assert!(uses_index(&mut client, &nearest("LIMIT 80")));
    is_exact(&mut client, &nearest("LIMIT 80"));
    client.run("SET diskann.query_rescore = 0");
    assert!(
        !uses_index(&mut client, &nearest("LIMIT 3")),
        "nothing is compared exactly"
    );

    let (_database, mut client) = voices("vchordg");
    assert!(uses_index(&mut client, &nearest("LIMIT 64")));
    client.run("SET vchordg.ef_search = 32");
    assert!(!uses_index(&mut client, &nearest("LIMIT 64")));
    is_exact(&mut client, &nearest("LIMIT 30"));

    let (_database, mut client) = voices("vchordrq");
    assert!(
        uses_index(&mut client, &nearest("LIMIT 300")),
        "without lists all rows are looked at"
    );
    client.run("SET vchordrq.max_scan_tuples = 20");
    assert!(!uses_index(&mut client, &nearest("LIMIT 21")));
    is_exact(&mut client, &nearest("LIMIT 20"));
}
