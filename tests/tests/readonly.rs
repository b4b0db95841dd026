//! Queries of our own: they write nothing where they only read, and mean what they say whatever the caller's
//! search_path holds.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sql_tests::{Client, ClientExt, Database, Server, SqlState, clip};

/// What cannot work where nothing may be written; and ai_audio_list, which cannot without a store (see stores.rs).
const WRITES: &str = "ai_audio_put, ai_audio_list, ai_audio_register_model, ai_audio_drop_model, ai_voice_calibrate, ai_audio_follow, ai_audio_work, ai_audio_pause, ai_audio_refresh, ai_audio_resume, ai_audio_retry, ai_audio_unfollow";

/// Calls of every function that only reads, each over a library of voices.
fn readers() -> Vec<String> {
    let (june, allison) = (clip("june-1.wav"), clip("allison-1.wav"));
    let probe = "(SELECT v FROM lib WHERE name = 'June')";
    [
        &format!("ai_audio_embed('{june}')"),
        &format!("ai_audio_embed(ARRAY['{june}', '{allison}'])"),
        &format!("ai_audio_info('{june}')"),
        &format!("ai_audio_quality('{june}')"),
        &format!("ai_audio_vad('{june}')"),
        &format!("ai_audio_enhance('{june}')"),
        &format!("ai_audio_verify('{june}', '{allison}')"),
        &format!("ai_audio_diarize('{june}', '{{\"library\": {{\"table\": \"lib\", \"voiceprint\": \"v\"}}}}')"),
        &format!("ai_audio_segments('{june}')"),
        &format!("ai_audio_extract('{june}', 0, 500)"),
        &"ai_audio_presign('s3://b/a', 60, '{access_key_id: \"a\", access_key_secret: \"b\", region: \"eu-west-1\"}')".into(),
        &format!("ai_audio_transcribe('{june}')"),
        &format!("ai_audio_sentences('{june}')"),
        &format!("ai_audio_transcript('{june}')"),
        &format!("* FROM ai_audio_identify('{june}', 'lib', '{{\"voiceprint\": \"v\"}}')"),
        &format!("ai_audio_detect_language('{june}')"),
        &format!("ai_audio_inspect('{june}', '{{\"rule\": \"a\", \"pattern\": \"b\"}}')"),
        &"ai_text_inspect('a', '{\"rule\": \"a\", \"pattern\": \"b\"}')".into(),
        &"ai_text_complete(NULL, 'a')".into(),
        &"ai_audio_stats()".into(),
        &"ai_audio_version()".into(),
        &"ai_audio_warmup()".into(),
        &"count(*) FROM ai_audio_models".into(),
        &"count(*) FROM ai_audio_activity".into(),
        &"count(*) FROM ai_audio_progress".into(),
        &"count(*) FROM ai_audio_jobs".into(),
        &format!("ai_audio_embed_row('{june}')"),
        &format!("cosine_similarity({probe}, v) FROM lib"),
        &format!("ai_voice_verify({probe}, v) FROM lib"),
        &format!("ai_voice_identify({probe}, 'lib', '{{\"voiceprint\": \"v\"}}')"),
        &"ai_voice_profile(v) FROM lib".into(),
        &"ai_voice_cluster(v) OVER () FROM lib".into(),
    ]
    .iter()
    .map(|call| format!("SELECT {call}"))
    .collect()
}

fn library(client: &mut Client) {
    client.run(&format!(
        "CREATE TABLE lib (name text, v vector(192));
         INSERT INTO lib VALUES ('June', ai_audio_embed('{}')), ('Allison', ai_audio_embed('{}')), ('Diane', ai_audio_embed('{}'))",
        clip("june-1.wav"),
        clip("allison-1.wav"),
        clip("diane-1.wav")
    ));
}

#[test]
fn a_standby_serves_every_function_that_only_reads() {
    let mut server = Server::start("standby");
    let database = server.database();
    let mut client = database.connect();
    client.run("CREATE EXTENSION ai_audio CASCADE");
    library(&mut client);
    let data: String = client.value("SHOW data_directory");
    drop(client);
    server.shut_down();
    // A server in standby mode without a primary replays what it has and stays in recovery.
    let signal = Path::new(&data).join("standby.signal");
    fs::write(&signal, "").expect("the data directory can be written");
    fs::set_permissions(&signal, Permissions::from_mode(0o644)).expect("permissions");
    server.start_again();

    let mut standby = server.connect_to(database.name());
    assert!(standby.value::<bool>("SELECT pg_is_in_recovery()"));
    for call in readers() {
        standby.run(&call);
    }
    let error = standby.error("SELECT ai_audio_drop_model('mine')");
    assert_eq!(error.code(), &SqlState::READ_ONLY_SQL_TRANSACTION);
    // Nobody was forgotten.
    let all: Vec<String> = standby.column(&format!(
        "SELECT DISTINCT p.proname::text FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid AND e.extname = 'ai_audio'
           JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
         WHERE p.pronamespace = 'public'::regnamespace AND p.proname <> ALL (string_to_array('{WRITES}', ', '))"
    ));
    let calls = readers().join(" ");
    let left: Vec<&String> = all
        .iter()
        .filter(|name| !calls.contains(&format!("{name}(")))
        .collect();
    assert!(left.is_empty(), "not called on the standby: {left:?}");
}

#[test]
fn reading_takes_no_transaction_id() {
    let database = Database::new();
    let mut client = database.connect();
    library(&mut client);
    client.run("BEGIN");
    for call in readers() {
        client.run(&call);
    }
    let taken: Option<String> = client.value("SELECT pg_current_xact_id_if_assigned()::text");
    assert_eq!(taken, None);
}

/// Even in a transaction that has registered a model, which writes.
#[test]
fn a_parallel_query_identifies_after_a_write() {
    let database = Database::new();
    let mut client = database.connect();
    library(&mut client);
    client.run(
        "CREATE TABLE probes AS SELECT v FROM lib, generate_series(1, 40);
         ALTER TABLE probes SET (parallel_workers = 2); ANALYZE probes;
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = on;
         BEGIN; SELECT ai_audio_register_model('mine', task, file) FROM ai_audio_models WHERE name = 'campplus_zh_en'",
    );
    let query = "SELECT count(name) FROM (SELECT (ai_voice_identify(v, 'lib', '{\"voiceprint\": \"v\"}')).name FROM probes) named";
    let plan: Vec<String> = client.column(&format!("EXPLAIN {query}"));
    assert!(plan.join("\n").contains("Gather"), "{plan:#?}");
    assert_eq!(client.value::<i64>(query), 120);
}

/// A schema before pg_catalog, full of functions and operators that raise.
fn plant_look_alikes(client: &mut Client) {
    client.run(
        "CREATE SCHEMA evil;
         CREATE FUNCTION evil.never(bigint) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked: count'; END $$;
         CREATE AGGREGATE evil.count(*) (SFUNC = evil.never, STYPE = bigint, INITCOND = '0')",
    );
    for (name, arguments, result) in [
        ("to_regclass", "text", "regclass"),
        ("format", "text, VARIADIC \"any\"", "text"),
        ("quote_ident", "text", "text"),
        ("jsonb_build_object", "text, text", "jsonb"),
        ("cosine_distance", "public.vector, public.vector", "float8"),
        (
            "cosine_similarity",
            "public.vector, public.vector",
            "float8",
        ),
    ] {
        let language = if arguments.contains("any") {
            // Only C functions take \"any\"; a fixed list of texts is the better match anyway.
            arguments.replace("VARIADIC \"any\"", "name, name")
        } else {
            arguments.into()
        };
        client.run(&format!(
            "CREATE FUNCTION evil.{name}({language}) RETURNS {result} LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked: {name}'; END $$"
        ));
    }
    for (operator, left, right, result) in [
        ("=", "oid", "oid", "bool"),
        ("=", "text", "text", "bool"),
        ("=", "name", "name", "bool"),
        ("=", "name", "text", "bool"),
        ("=", "\"char\"", "\"char\"", "bool"),
        (">", "int2", "int4", "bool"),
        (">", "int4", "int4", "bool"),
        ("<=>", "public.vector", "public.vector", "float8"),
    ] {
        let function = format!(
            "{}_{left}",
            operator.bytes().map(|b| b.to_string()).collect::<String>()
        )
        .replace(['"', '.'], "_");
        client.run(&format!(
            "CREATE FUNCTION evil.op{function}_{}({left}, {right}) RETURNS {result} LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked: {operator}'; END $$;
             CREATE OPERATOR evil.{operator} (FUNCTION = evil.op{function}_{}, LEFTARG = {left}, RIGHTARG = {right})",
            right.replace(['"', '.'], "_"),
            right.replace(['"', '.'], "_")
        ));
    }
}

#[test]
fn look_alikes_before_pg_catalog_are_not_called() {
    let database = Database::new();
    let mut client = database.connect();
    library(&mut client);
    plant_look_alikes(&mut client);
    // They would be called by a query that is not careful.
    client.run("SET search_path = evil, pg_catalog, public");
    let error = client.error("SELECT count(*) FROM lib");
    assert!(error.message().contains("hijacked"), "{error:?}");

    let library = "{\"library\": {\"table\": \"public.lib\", \"voiceprint\": \"v\"}}";
    let june = clip("june-1.wav");
    for call in [
        "SELECT public.ai_voice_identify(v, 'public.lib', '{\"voiceprint\": \"v\"}') FROM lib".to_string(),
        format!("SELECT public.ai_audio_diarize('{june}', '{library}')"),
        "SELECT 1 FROM public.ai_audio_models".into(),
        "SELECT public.ai_audio_register_model('mine', 'speaker-embedding', file) FROM public.ai_audio_models LIMIT 1".into(),
        format!("SELECT public.ai_audio_embed('mine', '{june}')"),
        "SELECT public.ai_audio_drop_model('mine')".into(),
        "SELECT public.ai_voice_calibrate('SELECT s AS similarity, s OPERATOR(pg_catalog.>) 0.5 AS same_speaker FROM (SELECT random() AS s FROM generate_series(1, 200)) t', 'c')".into(),
        "SELECT public.ai_voice_verify(v, v, '{\"calibration\": \"c\"}') FROM lib".into(),
        "SELECT public.ai_voice_cluster(v) OVER () FROM lib".into(),
        "SELECT public.ai_voice_profile(v) FROM lib".into(),
        "SELECT name FROM lib ORDER BY public.cosine_similarity(v, '[1]'::public.vector) DESC LIMIT 0".into(),
    ] {
        client.run(&call);
    }
}
