//! Parallel workers share the work of embedding a table.

use sql_tests::{ClientExt, Database, Scratch, Value, plan_nodes, tone, wav};

fn table_of_files(scratch: &Scratch, rows: u32) -> String {
    let samples = tone(8);
    let files: Vec<String> = (0..8)
        .map(|n| {
            scratch.file(
                &format!("{n}.wav"),
                &wav(&samples[n * 16_000 / 2..][..32_000], 16_000),
            )
        })
        .collect();
    format!(
        "CREATE TABLE files AS SELECT i AS id, (ARRAY['{}'])[1 + i % 8] AS path FROM generate_series(1, {rows}) i;
         ALTER TABLE files SET (parallel_workers = 2); ANALYZE files;",
        files.join("','")
    )
}

#[test]
fn create_table_as_uses_parallel_workers() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    client.run(&table_of_files(&scratch, 100));
    let mut explained: Value = client.value(
        "EXPLAIN (ANALYZE, FORMAT JSON) CREATE TABLE together AS SELECT id, ai_audio_embed(path) AS f FROM files",
    );
    let plan = explained[0]["Plan"].take();
    let gather = plan_nodes(&plan)
        .into_iter()
        .find(|node| node["Node Type"] == "Gather");
    let gather = gather.unwrap_or_else(|| panic!("no Gather in {plan:#}"));
    assert_eq!(gather["Workers Launched"], 2, "{plan:#}");

    client.run("SET max_parallel_workers_per_gather = 0; CREATE TABLE alone AS SELECT id, ai_audio_embed(path) AS f FROM files");
    let differing: i64 =
        client.value("SELECT count(*) FROM alone a FULL JOIN together t USING (id) WHERE a.f IS DISTINCT FROM t.f");
    assert_eq!(
        differing, 0,
        "workers and a single backend must agree to the last bit"
    );
}

#[test]
fn an_error_in_a_worker_reaches_the_client_and_leaves_a_usable_session() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    client.run(&table_of_files(&scratch, 100));
    client.run("UPDATE files SET path = '/no/such/file.wav' WHERE id = 90");
    let error = client.error("CREATE TABLE x AS SELECT ai_audio_embed(path) FROM files");
    assert!(error.message().contains("/no/such/file.wav"), "{error}");
    assert_eq!(client.value::<i64>("SELECT count(*) FROM files"), 100);
}
