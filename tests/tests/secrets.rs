//! Keys to object stores and URLs that carry secrets are nowhere to be read: not in the server's log, not in what it shows of
//! sessions, statements and plans, not in errors.

use sql_tests::{Client, ClientExt, Database, Oss, Server, tone, wav};

/// In every secret of these tests.
const MARK: &str = "hush";
const KEYS: &str =
    r#"{"oss_ak": "STS.AKTEMP", "oss_sk": "SKTEMP-hush", "oss_token": "TOKEN-hush"}"#;

/// Calls of every function that takes keys or a URL, on the recording `$1` with the options `$2`.
const CALLS: [&str; 20] = [
    "ai_audio_embed('audio_embedding', $1, $2)",
    "ai_audio_embed('audio_embedding', ARRAY[$1, '/x.wav'], $2)",
    "ai_audio_embed('audio_embedding', ARRAY[current_user::text, $1], $2)",
    "ai_audio_info($1, $2)",
    "ai_audio_quality($1, $2)",
    "ai_audio_vad($1, $2)",
    "ai_audio_enhance($1, $2)",
    "ai_audio_verify($1, $1, $2)",
    "ai_audio_diarize($1, $2)",
    "ai_audio_segments($1, $2)",
    "ai_audio_extract($1, 0, 500, $2)",
    "ai_audio_transcribe('moonshine-tiny-en', $1, $2)",
    "ai_audio_transcript($1, 'moonshine-tiny-en', $2)",
    "ai_audio_sentences($1, 'moonshine-tiny-en', $2)",
    "ai_audio_detect_language($1, 'whisper-base', $2)",
    "ai_audio_identify($1, 'pg_class', $2)",
    "ai_audio_inspect($1, '{\"rule\": \"a\", \"pattern\": \"b\"}'::jsonb, $2)",
    "ai_audio_list($1, $2)",
    "ai_audio_put($1, 'x', $2)",
    "ai_audio_presign($1, 60, $2)",
];

/// The call with constants in place of the parameters.
fn with_constants(call: &str, url: &str, options: &str) -> String {
    call.replace("$1", &format!("'{url}'::text"))
        .replace("$2", options)
}

#[test]
fn no_plan_shows_a_secret() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("CREATE TABLE calls AS SELECT generate_series(1, 3) AS id");
    let url = "https://me:hush@example.com/a.wav?sig=hush";
    for call in CALLS {
        for options in [
            format!("'{KEYS}'::text"),
            format!("'{KEYS}'::jsonb"),
            format!("'{KEYS}'::json"),
            r#"'{"oss\u005fsk": "hush", access_key_secret: "hush"}'::text"#.into(),
            "'{\"security_token\": \"hush\"'::text".into(), // which is no JSON
        ] {
            if call.contains("_inspect") && options.ends_with("::json") {
                continue; // it has no such form
            }
            let call = with_constants(call, url, &options);
            for query in [
                format!("SELECT {call}"),
                format!("SELECT * FROM {call}"),
                format!("SELECT id, {call} FROM calls"),
                format!("SELECT id FROM calls WHERE ({call})::text <> id::text"),
            ] {
                // Some of these forms are no query; what they say is no plan.
                let Ok(rows) = client.simple_query(&format!("EXPLAIN (VERBOSE) {query}")) else {
                    assert!(!query.starts_with("SELECT ai_"), "{query}");
                    continue;
                };
                let plan = format!("{rows:?}");
                assert!(!plan.contains(MARK), "{query}\n{plan}");
            }
        }
    }
    let shown = format!(
        "{:?}",
        client
            .simple_query(&format!(
                "EXPLAIN (VERBOSE) SELECT ai_audio_info('oss://calls/a.wav', '{KEYS}'::jsonb || '{{}}') FROM calls"
            ))
            .expect("a plan")
    );
    assert!(
        shown.contains("oss://calls/a.wav") && shown.contains("oss_sk"),
        "the rest is shown: {shown}"
    );
}

/// What is hidden in the plan is what the function gets, in parallel workers too.
#[test]
fn hidden_constants_reach_the_function() {
    let Some(oss) = Oss::start() else { return };
    oss.load("a.wav", &wav(&tone(2), 16_000));
    let database = Database::new();
    let mut client = database.connect();
    client.run("SET ai_audio.allowed_hosts = '127.0.0.1'");
    let options = KEYS.replace(
        '}',
        &format!(", \"endpoint\": \"http://127.0.0.1:{}\"}}", oss.port),
    );
    client.run(
        "CREATE TABLE calls AS SELECT 'oss://calls/a.wav' AS url FROM generate_series(1, 4);
         SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
         SET max_parallel_workers_per_gather = 2; ALTER TABLE calls SET (parallel_workers = 2); ANALYZE calls",
    );
    for kind in ["text", "json", "jsonb"] {
        let query = format!(
            "SELECT sum((ai_audio_info(url, '{options}'::{kind})->>'duration')::int) FROM calls"
        );
        let plan = client.plan(&query).to_string();
        assert!(plan.contains("Gather") && !plan.contains(MARK), "{plan}");
        assert_eq!(client.value::<i64>(&query), 8000, "{kind}");
    }
    client.fails(
        "SELECT 'x'::ai_audio.hidden_text",
        sql_tests::SqlState::INVALID_PARAMETER_VALUE,
        &["plans only"],
    );
}

#[test]
fn the_server_tells_no_secret_that_came_as_a_parameter() {
    let Some(oss) = Oss::start() else { return };
    oss.load("a.wav", &wav(&tone(2), 16_000));
    let mut server = Server::start("secrets");
    {
        let database = server.database();
        let mut admin = database.connect();
        let contrib: bool = admin.value(
            "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_stat_statements')",
        );
        if !contrib {
            eprintln!(
                "skipped: this Postgres comes without pg_stat_statements and auto_explain (contrib)"
            );
            return;
        }
        admin.run("LOAD 'auto_explain'");
        for setting in [
            "log_min_messages = debug1",
            "log_min_error_statement = debug1",
            "log_error_verbosity = verbose",
            "log_statement = 'all'",
            "log_parameter_max_length = 0",
            "shared_preload_libraries = auto_explain, pg_stat_statements",
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_verbose = on",
        ] {
            admin.run(&format!("ALTER SYSTEM SET {setting}"));
        }
        // Since 16.
        let more = "SELECT FROM pg_settings WHERE name = 'auto_explain.log_parameter_max_length'";
        if admin.query_opt(more, &[]).expect("pg_settings").is_some() {
            admin.run("ALTER SYSTEM SET auto_explain.log_parameter_max_length = 0");
        }
    }
    server.shut_down();
    server.start_again();
    let database = server.database();
    let mut client = database.connect();
    client.run(
        "CREATE EXTENSION ai_audio CASCADE; CREATE EXTENSION pg_stat_statements;
                SET ai_audio.allowed_hosts = '127.0.0.1'",
    );
    let url = "oss://calls/a.wav".to_string();
    let place = format!(", \"endpoint\": \"http://127.0.0.1:{}\"}}", oss.port);
    let right = KEYS.replace('}', &place);
    for call in CALLS {
        ask(&mut client, &call.replace("$2", "$2::text"), &url, &right);
    }
    for options in [
        right.replace("SKTEMP", "WRONG"),
        right.replace("TOKEN", "OTHER"),
        right.replace("SKTEMP-hush", "SK hush"),
        right.replace('}', ", \"nonsense\": \"hush\"}"),
        right.replace("endpoint", "oss_sk"),
    ] {
        for call in [
            "ai_audio_info($1, $2::text::jsonb)",
            "ai_audio_list($1, $2::text)",
        ] {
            ask(&mut client, call, &url, &options);
        }
    }
    let web = format!("http://me:hush@127.0.0.1:{}/a.wav?sig=hush", oss.port);
    ask(&mut client, "ai_audio_info($1, $2::text)", &web, "{}");
    ask(&mut client, "ai_audio_info($1, $2::text)", &web, &right);
    let shown: String =
        client.value("SELECT string_agg(query, ' ') FROM pg_stat_activity WHERE query <> ''");
    assert!(!shown.contains(MARK), "{shown}");
    let kept: String = client.value("SELECT string_agg(query, ' ') FROM pg_stat_statements");
    assert!(kept.contains("ai_audio_info"), "{kept}");
    assert!(!kept.contains(MARK), "{kept}");
    let log: String = client.value("SELECT pg_read_file('log')");
    assert!(log.contains("SignatureDoesNotMatch"), "errors are in it");
    let plans: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("Output: "))
        .collect();
    assert!(
        plans
            .iter()
            .any(|plan| plan.contains("ai_audio_info('oss://calls/a.wav'")),
        "plans are in it: {plans:#?}"
    );
    let told: Vec<&str> = log.lines().filter(|line| line.contains(MARK)).collect();
    assert!(told.is_empty(), "{told:#?}");
}

/// Makes the call with parameters; errors are as they may be, without secrets.
fn ask(client: &mut Client, call: &str, url: &str, options: &str) {
    if let Err(error) = client.query(&format!("SELECT {call}"), &[&url, &options]) {
        let said = format!("{error:?}");
        assert!(!said.contains(MARK), "{call}: {said}");
    }
}
