//! `ai_audio_embed` of arrays: what rows one by one give, in their order, by several threads.

use std::time::Duration;

use sql_tests::{Client, ClientExt, Database, Scratch, SqlState, Stop, clip, stop, tone, wav};

/// Whether the array that `call` gives holds what `ai_audio_embed(element, options)` gives for each element of `array`.
fn as_rows_do(client: &mut Client, array: &str, call: &str, options: &str) -> bool {
    client.value(&format!(
        "SELECT count(*) = count(*) FILTER (WHERE v IS NOT DISTINCT FROM ai_audio_embed('audio_embedding', a, '{options}'))
           AND count(*) = cardinality({array}) FROM unnest({array}, {call}) x(a, v)"
    ))
}

#[test]
fn every_form_gives_what_rows_give() {
    let database = Database::new();
    let mut client = database.connect();
    let clips = ["june-1.wav", "diane-2.wav", "allison-1.wav"].map(clip);
    let paths = format!(
        "ARRAY['{}', NULL, '{}', '{}']",
        clips[0], clips[1], clips[2]
    );
    let bytes = format!(
        "ARRAY[pg_read_binary_file('{}'), NULL, pg_read_binary_file('{}')]",
        clips[0], clips[1]
    );
    let part = r#"{"start_time": 200, "dimensions": 200}"#;
    for threads in [1, 2, 5] {
        client.run(&format!("SET ai_audio.threads = {threads}"));
        for array in [&paths, &bytes] {
            assert!(as_rows_do(
                &mut client,
                array,
                &format!("ai_audio_embed({array})"),
                "{}"
            ));
            for call in [
                format!("ai_audio_embed({array}, '{part}')"),
                format!("ai_audio_embed({array}, '{part}'::jsonb)"),
                format!("ai_audio_embed({array}, '{part}'::json)"),
                format!("ai_audio_embed('audio_embedding', {array}, '{part}')"),
                format!("ai_audio_embed(NULL, {array}, '{part}'::jsonb)"),
                format!(
                    "ai_audio_embed(source => {array}, options => '{part}', model => 'audio_embedding')"
                ),
            ] {
                assert!(
                    as_rows_do(&mut client, array, &call, part),
                    "{threads}: {call}"
                );
            }
        }
    }
    for (call, expected) in [
        ("ai_audio_embed(NULL::text[])", None),
        ("ai_audio_embed('audio_embedding', NULL::bytea[])", None),
        ("ai_audio_embed('{}'::text[])", Some("{}")),
        (
            "ai_audio_embed('{NULL,NULL}'::bytea[])",
            Some("{NULL,NULL}"),
        ),
    ] {
        let got: Option<String> = client.value(&format!("SELECT {call}::text"));
        assert_eq!(got.as_deref(), expected, "{call}");
    }
    let (square, one) = (
        format!("ARRAY[[{0}],[{0}]]", format!("'{}'", clips[0])),
        &clips[0],
    );
    let flat: bool = client.value(&format!(
        "SELECT ai_audio_embed({square}) = ARRAY[ai_audio_embed('{one}'), ai_audio_embed('{one}')]"
    ));
    assert!(flat, "arrays of arrays give their elements in order");
}

#[test]
fn more_recordings_than_are_opened_together() {
    let database = Database::new();
    let mut client = database.connect();
    let paths = format!(
        "(SELECT array_agg(CASE WHEN i % 3 > 0 THEN CASE i % 2 WHEN 0 THEN '{}' ELSE '{}' END END ORDER BY i) FROM generate_series(1, 150) i)",
        clip("june-1.wav"),
        clip("diane-2.wav")
    );
    let call = format!("ai_audio_embed({paths}, '{{end_time: 900}}')");
    assert!(as_rows_do(&mut client, &paths, &call, "{end_time: 900}"));
}

#[test]
fn one_that_cannot_be_heard_is_named_or_null() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (mut client, notices) = database.connect_noting();
    let junk = scratch.file("junk.wav", b"no recording at all");
    let june = clip("june-1.wav");
    let paths = format!("ARRAY['{june}', '{junk}', 'not a path', '/nowhere.wav', '{june}']");
    client.fails(
        &format!("SELECT ai_audio_embed(ARRAY['{june}', '{junk}', '{june}'])"),
        SqlState::DATA_EXCEPTION,
        &["junk.wav"],
    );
    client.fails(
        &format!(
            "SELECT ai_audio_embed(ARRAY[pg_read_binary_file('{june}'), 'no recording at all'])"
        ),
        SqlState::DATA_EXCEPTION,
        &["element 2"],
    );
    let there: Vec<bool> = client.column(&format!(
        "SELECT v IS NOT NULL FROM unnest(ai_audio_embed({paths}, '{{on_error: \"null\"}}')) v"
    ));
    assert_eq!(there, [true, false, false, false, true]);
    let warned = notices.lock().expect("not poisoned").len();
    assert_eq!(warned, 3, "a warning for each");
    client.fails(
        &format!("SELECT ai_audio_embed(ARRAY['{june}'], '{{\"speed\": 1}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["speed"],
    );
    client.fails(
        &format!("SELECT ai_audio_embed('nobody', ARRAY['{june}'])"),
        SqlState::UNDEFINED_OBJECT,
        &["nobody"],
    );
    let role = database.role("LOGIN");
    let mut other = database.connect_as(role.name());
    other.fails(
        &format!("SELECT ai_audio_embed(ARRAY['{june}'], '{{on_error: \"null\"}}')"),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["pg_read_server_files"],
    );
}

/// A text without a type is one recording, as it was before there were arrays.
#[test]
fn what_has_no_type_is_one_recording() {
    let database = Database::new();
    let mut client = database.connect();
    let june = clip("june-1.wav");
    for call in [
        format!("ai_audio_embed('{june}')"),
        format!("ai_audio_embed('audio_embedding', '{june}')"),
        format!("ai_audio_embed('{june}', '{{}}')"),
        format!("ai_audio_embed(source => '{june}', options => '{{}}')"),
    ] {
        let kind: String = client.value(&format!("SELECT pg_typeof({call})::text"));
        assert_eq!(kind, "vector", "{call}");
    }
    for parameters in [
        "$1",
        "NULL, $1",
        "$1, '{}'::jsonb",
        "'audio_embedding', $1, '{}'",
    ] {
        let call = format!("SELECT ai_audio_embed({parameters}) IS NOT NULL");
        let statement = client.prepare(&call).expect("no ambiguity");
        assert_eq!(statement.params()[0].name(), "text", "{call}");
    }
}

/// The planner runs stable functions to estimate what unnest gives.
#[test]
fn a_plan_hears_no_recording() {
    let database = Database::new();
    let mut client = database.connect();
    let call = format!("unnest(ai_audio_embed(ARRAY['{}']))", clip("june-1.wav"));
    let calls = "SELECT calls FROM ai_audio_stats()";
    client.plan(&format!("SELECT * FROM {call} v"));
    assert_eq!(client.value::<i64>(calls), 0);
    client.run(&format!("SELECT e.v, e.v FROM (SELECT {call} AS v) e"));
    assert_eq!(client.value::<i64>(calls), 1);
}

#[test]
fn arrays_stop_when_told_to() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("minutes.wav", &wav(&tone(300), 16_000));
    let sql = format!(
        "SELECT ai_audio_embed(array_fill('{path}'::text, ARRAY[1000]), '{{vad: false, end_time: ' || 290000 + i || '}}') FROM generate_series(1, 1000) i"
    );
    for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
        let head_start = Duration::from_millis(1500);
        stop(&database, "SET ai_audio.threads = 2", &sql, how, head_start).assert_prompt(how);
    }
}
