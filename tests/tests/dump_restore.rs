//! pg_dump and restore keep what users made: voiceprints, indexes, registered models.

use sql_tests::{ClientExt, Database, Scratch, tone, wav};

fn furnish(database: &Database, scratch: &Scratch) {
    let clip = scratch.file("clip.wav", &wav(&tone(3), 16_000));
    let mut client = database.connect();
    client.run(&format!(
        "CREATE TABLE voices (id int PRIMARY KEY, f vector(192) NOT NULL DEFAULT ai_audio_embed('{clip}'));
         INSERT INTO voices (id) SELECT generate_series(1, 5);
         CREATE INDEX ON voices USING hnsw (f vector_cosine_ops);
         CREATE VIEW alike AS SELECT id, cosine_similarity(f, ai_audio_embed('{clip}')) AS similarity FROM voices;
         CREATE TABLE calls (id int PRIMARY KEY, path text);
         INSERT INTO calls VALUES (1, '{clip}'), (2, '{clip}'), (3, '/nowhere.wav');
         SELECT ai_audio_follow('calls', options => '{{\"recording\": \"path\"}}');
         SELECT ai_audio_register_model('mine', task, file, '{{\"aliases\": [\"my own\"]}}')
         FROM ai_audio_models WHERE name = 'campplus_zh_en';
         CREATE SERVER bucket FOREIGN DATA WRAPPER ai_audio_store OPTIONS (kind 'oss', bucket 'calls', region 'cn-beijing', prefix 'a b/');
         CREATE USER MAPPING FOR CURRENT_USER SERVER bucket OPTIONS (access_key_id 'AK', access_key_secret 'SK''quoted', security_token 'T');
         CREATE USER MAPPING FOR PUBLIC SERVER bucket;
         GRANT USAGE ON FOREIGN SERVER bucket TO PUBLIC;
         CREATE VIEW signed AS SELECT split_part(ai_audio_presign('oss://calls/a b/c.wav', 60), '?', 1) AS url"
    ));
    client.run("CALL ai_audio_work()");
    client.run("INSERT INTO calls SELECT 4, path FROM calls WHERE id = 1");
}

/// Everything a user would miss.
fn belongings(database: &Database) -> Vec<String> {
    database.connect().column(
        "SELECT 'model ' || (to_jsonb(m) - 'loaded')::text FROM ai_audio_models m
         UNION ALL SELECT 'row ' || to_jsonb(v)::text FROM voices v
         UNION ALL SELECT 'similarity ' || (similarity > 0.9999)::text FROM alike
         UNION ALL SELECT 'job ' || name || key::text || state FROM ai_audio_jobs
         UNION ALL SELECT 'heard ' || to_jsonb(v)::text FROM calls_voiceprint v
         UNION ALL SELECT 'server ' || srvname || srvacl::text || (SELECT string_agg(o, ',' ORDER BY o) FROM unnest(srvoptions) o) FROM pg_foreign_server
         UNION ALL SELECT 'mapping ' || usename || coalesce((SELECT string_agg(o, ',' ORDER BY o) FROM unnest(umoptions) o), '') FROM pg_user_mappings
         UNION ALL SELECT 'url ' || url FROM signed
         UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename = 'voices'
         ORDER BY 1",
    )
}

#[test]
fn a_plain_dump_restores() {
    let (from, to, scratch) = (Database::new(), Database::empty(), Scratch::new());
    furnish(&from, &scratch);
    let dump = scratch.path("dump.sql");
    let output = from.program("pg_dump", &["--file", dump.to_str().expect("text")]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    to.play(&dump, &[]);
    assert_eq!(belongings(&to), belongings(&from));
    // What is followed goes on.
    let mut client = to.connect();
    client.run("INSERT INTO calls SELECT 5, path FROM calls WHERE id = 1");
    client.run("CALL ai_audio_work()");
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM calls_voiceprint"),
        4
    );
    client.run("DROP EXTENSION ai_audio CASCADE; INSERT INTO calls VALUES (6)");
}

#[test]
fn an_archive_restores_in_parallel() {
    let (from, to, scratch) = (Database::new(), Database::empty(), Scratch::new());
    furnish(&from, &scratch);
    let dump = scratch.path("dump.custom");
    let file = dump.to_str().expect("text");
    let output = from.program("pg_dump", &["--format=custom", "--file", file]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let output = to.program("pg_restore", &["--exit-on-error", "--jobs=2", file]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(belongings(&to), belongings(&from));
}
