//! What callers send: NULLs, json, named arguments, either order, arrays, padded voiceprints, encoded recordings.

use serde_json::Value;
use sql_tests::{Client, ClientExt, Database, SqlState, clip, plan_nodes};

fn library() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    let row = |name: &str, file: &str| format!("('{name}', ai_audio_embed('{}'))", clip(file));
    client.run(&format!(
        "CREATE TABLE known (name text, v vector(192)); INSERT INTO known VALUES {}, {}, {}",
        row("Diane", "diane-1.wav"),
        row("Allison", "allison-1.wav"),
        row("Carlo", "carlo-1.wav")
    ));
    (database, client)
}

#[test]
fn null_options_and_models_count_as_not_given() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    let same = [
        format!("ai_audio_embed('{file}', NULL::jsonb)"),
        format!("ai_audio_embed(NULL, '{file}')"),
        format!("ai_audio_embed(NULL, '{file}', NULL::text)"),
        format!(
            "ai_audio_embed('{file}', '{{\"dimensions\": null, \"start_time\": null}}'::jsonb)"
        ),
        format!("ai_audio_embed(pg_read_binary_file('{file}'), NULL::json)"),
    ];
    for call in same {
        let equal: bool = client.value(&format!("SELECT {call} = ai_audio_embed('{file}')"));
        assert!(equal, "{call}");
    }
    let name: Option<String> = client.value(&format!(
        "SELECT name FROM ai_voice_identify(ai_audio_embed('{file}'), 'known', NULL)"
    ));
    assert_eq!(name.as_deref(), Some("Diane"), "and not nobody, in silence");
    for call in [
        format!("SELECT same_speaker FROM ai_audio_verify('{file}', '{file}', NULL)"),
        format!("SELECT speech_seconds > 0 FROM ai_audio_quality('{file}', NULL)"),
        format!("SELECT ai_audio_info('{file}', NULL) IS NOT NULL"),
        format!("SELECT count(*) > 0 FROM ai_audio_vad('{file}', NULL)"),
        format!("SELECT count(*) > 0 FROM ai_audio_diarize('{file}', NULL)"),
        format!("SELECT count(*) > 0 FROM ai_audio_segments('{file}', NULL)"),
        format!("SELECT ai_audio_extract('{file}', 0, 500, NULL::text) IS NOT NULL"),
        format!(
            "SELECT ai_audio_extract('{file}', NULL, 500) = ai_audio_extract('{file}', 0, 500)"
        ),
        format!(
            "SELECT ai_audio_extract('{file}', 500, NULL::integer) = ai_audio_extract('{file}', 500, 9999999)"
        ),
        format!("SELECT ai_audio_embed('{file}', 'null'::jsonb) = ai_audio_embed('{file}')"),
        format!("SELECT ai_audio_enhance('{file}', NULL) IS NOT NULL"),
        format!("SELECT ai_audio_transcribe(NULL, '{file}', NULL::jsonb) <> ''"),
        "SELECT bool_and(same_speaker) FROM known a, ai_voice_verify(a.v, a.v, NULL)".into(),
        "SELECT count(ai_voice_cluster(v, NULL::text) OVER ()) > 0 FROM known".into(),
    ] {
        // Aggregates cannot hold window functions.
        let sql = call.replace(
            "SELECT count(ai_voice_cluster(v, NULL::text) OVER ()) > 0 FROM known",
            "SELECT bool_and(g IS NOT NULL) FROM (SELECT ai_voice_cluster(v, NULL::text) OVER () AS g FROM known) x",
        );
        assert!(client.value::<bool>(&sql), "{sql}");
    }
    client.fails(
        "SELECT ai_audio_register_model('x', NULL, '/x')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["NULL"],
    );
}

/// Where NULL would look like an answer: nobody, nothing found.
#[test]
fn a_null_library_or_policy_is_an_error() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    for (call, word) in [
        (format!("ai_audio_identify('{file}', NULL)"), "library"),
        (
            "ai_voice_identify((SELECT v FROM known LIMIT 1), NULL)".into(),
            "library",
        ),
        (format!("ai_audio_inspect('{file}', NULL::jsonb)"), "policy"),
        ("ai_text_inspect('words', NULL::text)".into(), "policy"),
    ] {
        client.fails(
            &format!("SELECT * FROM {call}"),
            SqlState::NULL_VALUE_NOT_ALLOWED,
            &[word],
        );
    }
    let nobody =
        format!("SELECT count(*) FROM ai_audio_identify('{file}', 'known', '{{names: []}}')");
    assert_eq!(client.value::<i64>(&nobody), 0);
}

#[test]
fn wrong_options_are_told_in_words_of_json() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    for (options, word) in [
        ("{top_k: -1}", "expected a whole number from 0"),
        ("{top_k: \"3\"}", "expected a whole number from 0"),
        ("{names: \"Diane\"}", "expected a list"),
        ("{prior: \"high\"}", "expected a number"),
        ("[]", "must be a JSON object, not an array"),
    ] {
        client.fails(
            &format!("SELECT * FROM ai_audio_identify('{file}', 'known', '{options}')"),
            SqlState::INVALID_PARAMETER_VALUE,
            &[word],
        );
    }
    client.fails(
        &format!("SELECT ai_audio_embed('{file}', '[]')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["must be a JSON object, not an array"],
    );
}

#[test]
fn a_null_recording_gives_null() {
    let (_database, mut client) = library();
    for call in [
        "ai_audio_embed(NULL::text)",
        "ai_audio_embed('audio_embedding', NULL::bytea)",
        "ai_audio_embed('audio_embedding', NULL::text, '{}')",
        "ai_audio_transcribe(NULL::bytea)",
        "ai_audio_transcript(NULL)",
        "ai_audio_info(NULL, '{}')",
        "ai_audio_extract(NULL::text, 1, 3)",
        "ai_audio_enhance(NULL::bytea)",
        "(ai_audio_quality(NULL)).speakers",
        "(ai_audio_verify('/x.wav', NULL::text)).probability",
        "(ai_voice_identify(NULL::vector, 'known')).name",
    ] {
        let null: bool = client.value(&format!("SELECT {call} IS NULL"));
        assert!(null, "{call}");
    }
    for call in [
        "ai_audio_sentences(NULL)",
        "ai_audio_diarize(NULL)",
        "ai_audio_vad(NULL)",
        "ai_audio_segments(NULL, '{}')",
        "ai_audio_identify(NULL, 'known')",
    ] {
        assert_eq!(
            client.value::<i64>(&format!("SELECT count(*) FROM {call}")),
            0,
            "{call}"
        );
    }
}

#[test]
fn the_arguments_come_in_either_order_and_by_name() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    let part = r#"{"start_time": 200}"#;
    let expected = format!("ai_audio_embed('audio_embedding', '{file}', '{part}')");
    for call in [
        format!("ai_audio_embed('{file}', '{part}')"),
        format!("ai_audio_embed('{file}', '{part}'::json)"),
        format!("ai_audio_embed('{file}', '{part}'::jsonb)"),
        format!("ai_audio_embed('{file}', 'audio_embedding', '{part}'::json)"),
        format!("ai_audio_embed(pg_read_binary_file('{file}'), '{part}')"),
        format!("ai_audio_embed(source => '{file}', options => '{part}')"),
        format!(
            "ai_audio_embed(options => '{part}'::jsonb, source => '{file}', model => 'audio_embedding')"
        ),
        format!(
            "ai_audio_embed(options => '{part}', source => pg_read_binary_file('{file}'), model => 'audio_embedding')"
        ),
    ] {
        assert!(
            client.value::<bool>(&format!("SELECT {call} = {expected}")),
            "{call}"
        );
    }
    let words = format!("SELECT ai_audio_transcribe('{file}')");
    let words: String = client.value(&words);
    for call in [
        format!("ai_audio_transcribe('{file}', '{{}}')"),
        format!("ai_audio_transcribe('{file}', 'audio_transcription')"),
        format!("ai_audio_transcribe(source => '{file}', options => '{{}}')"),
        format!(
            "(SELECT string_agg(text, ' ') FROM ai_audio_sentences('audio_transcription', '{file}'))"
        ),
        format!(
            "(SELECT string_agg(text, ' ') FROM ai_audio_sentences(options => '{{}}', source => '{file}'))"
        ),
    ] {
        assert_eq!(
            client.value::<String>(&format!("SELECT {call}")),
            words,
            "{call}"
        );
    }
    // Two recordings are not a model and a recording.
    client.fails(
        &format!("SELECT ai_audio_embed('{file}', '{file}')"),
        SqlState::UNDEFINED_OBJECT,
        &["(recording, options)", "source =>"],
    );
    client.fails(
        &format!("SELECT ai_audio_transcribe('fun-asr', '{file}')"),
        SqlState::UNDEFINED_OBJECT,
        &["cloud", "audio_transcription"],
    );
    client.fails(
        &format!("SELECT ai_audio_transcribe('{file}', 'srt')"),
        SqlState::UNDEFINED_OBJECT,
        &["{\"output_type\": \"srt\"}"],
    );
    client.fails(
        &format!("SELECT ai_audio_embed('{file}', '{{\"strat_time\": 1}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["strat_time", "Did you mean \"start_time\"?"],
    );
}

#[test]
fn a_voiceprint_is_compared_as_whatever_it_comes() {
    let (_database, mut client) = library();
    client.run("CREATE TABLE arrays AS SELECT name, v, v::real[] r, v::float8[] d, v::real[]::numeric[] n, v::halfvec(192) h FROM known");
    let equal: Vec<String> = client.column(
        "SELECT problem FROM (SELECT v.name, s, problem FROM arrays v, LATERAL (VALUES
           (cosine_similarity(v, r), 'vector real'), (cosine_similarity(r, v), 'real vector'),
           (cosine_similarity(d, d), 'float8'), (cosine_similarity(n, n), 'numeric'), (cosine_similarity(v, n), 'vector numeric'),
           (cosine_similarity(v, d), 'vector float8'), (cosine_similarity(d, v), 'float8 vector'), (cosine_similarity(n, v), 'numeric vector'),
           (cosine_similarity(r, d), 'real float8'), (cosine_similarity(n, d), 'numeric float8'),
           (cosine_similarity(v::text, v::text), 'text')) c(s, problem)) x
         WHERE s IS NULL OR abs(s - 1) > 1e-6",
    );
    assert_eq!(equal, [""; 0]);
    client.run("CREATE TABLE tiny (v vector(3)); INSERT INTO tiny VALUES ('[1,0,0]'), ('[0,1,0]')");
    assert_eq!(
        client
            .value::<f64>("SELECT cosine_similarity('[1,0]', '[1,1]')")
            .to_bits(),
        (1.0 / 2f64.sqrt()).to_bits()
    );
    assert_eq!(
        client.value::<f64>("SELECT max(cosine_similarity(v, ARRAY[1,0,0])) FROM tiny"),
        1.0
    );
    assert_eq!(
        client.value::<f64>("SELECT max(cosine_similarity(v, ARRAY[0.5,0,0])) FROM tiny"),
        1.0
    );
    for numbers in ["real", "float8", "numeric", "integer", "bigint", "smallint"] {
        for kind in ["vector", "halfvec"] {
            let highest = format!(
                "SELECT max(cosine_similarity(v::{kind}, '{{0,1,0}}'::{numbers}[])) + max(cosine_similarity('{{0,1,0}}'::{numbers}[], v::{kind}))
                   + cosine_similarity('[0,1,0]'::{kind}, '{{0,1,0}}'::{numbers}[]) FROM tiny"
            );
            assert_eq!(client.value::<f64>(&highest), 3.0, "{kind} {numbers}");
        }
    }
    // Parameters beside a vector stay vectors for drivers that ask.
    let prepared = client
        .prepare("SELECT cosine_similarity(v, $1) FROM known")
        .unwrap();
    assert_eq!(prepared.params()[0].name(), "vector");
    for ask in [
        "SELECT ai_voice_verify($1, $2)",
        "SELECT ai_voice_identify($1, 'known')",
    ] {
        let prepared = client.prepare(ask).unwrap();
        assert_eq!(prepared.params()[0].name(), "vector", "{ask}");
    }
    let prepared = client.prepare("SELECT cosine_similarity($1, $2)").unwrap();
    assert_eq!(prepared.params()[0].name(), "text");
    for (beside, kind) in [("r", "_float4"), ("d", "_float8"), ("h", "halfvec")] {
        let prepared = client
            .prepare(&format!(
                "SELECT cosine_similarity($1, {beside}) FROM arrays"
            ))
            .unwrap();
        assert_eq!(prepared.params()[0].name(), kind);
    }
    for array in [
        "ARRAY[1.0, NULL]",
        "'{1,NULL}'::real[]",
        "'{NULL}'::float8[]",
    ] {
        client.fails(
            &format!("SELECT cosine_similarity({array}, ARRAY[1.0, 2.0])"),
            SqlState::NULL_VALUE_NOT_ALLOWED,
            &["NULL"],
        );
    }
    client.fails(
        "SELECT cosine_similarity('{a}'::text[], ARRAY['b'])",
        SqlState::INVALID_PARAMETER_VALUE,
        &["numbers"],
    );
    client.fails(
        "SELECT cosine_similarity('{1,2}', '[1,2]')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["voiceprint in text"],
    );
    // halfvec, and recordings beside voiceprints.
    let file = clip("diane-2.wav");
    for sql in [
        "SELECT bool_and(same_speaker) FROM arrays a, ai_voice_verify(a.h::vector, a.v, '{}'::json)"
            .to_string(),
        format!(
            "SELECT same_speaker FROM ai_audio_verify('{file}', (SELECT v FROM known WHERE name = 'Diane'))"
        ),
        format!(
            "SELECT same_speaker FROM ai_audio_verify((SELECT h FROM arrays WHERE name = 'Diane'), pg_read_binary_file('{file}'))"
        ),
        format!(
            "SELECT same_speaker FROM ai_audio_verify('{file}', pg_read_binary_file('{file}'))"
        ),
        format!(
            "SELECT name = 'Diane' FROM ai_voice_identify(ai_audio_embed('{file}')::halfvec(192)::vector, 'known'::text)"
        ),
    ] {
        assert!(client.value::<bool>(&sql), "{sql}");
    }
}

#[test]
fn arrays_and_text_beside_a_vector_use_its_index() {
    let (_database, mut client) = library();
    client.run("CREATE TABLE many (id int, v vector(3) NOT NULL); INSERT INTO many SELECT i, ARRAY[sin(i), cos(i), sin(i / 7.0)]::real[]::vector FROM generate_series(1, 2000) i;
                CREATE INDEX ON many USING hnsw (v vector_cosine_ops); ANALYZE many");
    client.run("SET enable_sort = off");
    for probe in [
        "'[1,2,3]'",
        "ARRAY[1,2,3]",
        "ARRAY[1.0,2.0,3.0]",
        "ARRAY[1,2,3]::real[]",
        "ARRAY[1,2,3]::float8[]",
        "ARRAY[1,2,3]::bigint[]",
        "(SELECT array_agg(i::float8) FROM generate_series(1, 3) i)",
    ] {
        let plan = client.plan(&format!(
            "SELECT id FROM many ORDER BY cosine_similarity(v, {probe}) DESC LIMIT 3"
        ));
        let by_index = |n: &&Value| {
            n["Order By"]
                .as_str()
                .is_some_and(|by| !by.contains(")::vector <=>"))
        };
        assert!(plan_nodes(&plan).iter().any(by_index), "{probe}");
    }
}

/// The document's table is 512 wide.
#[test]
fn voiceprints_are_as_wide_as_the_setting_says() {
    let (database, mut client) = library();
    client.run(&format!(
        "ALTER DATABASE \"{}\" SET ai_audio.dimensions = 512",
        database.name()
    ));
    let mut client_512 = database.connect();
    let (one, two) = (clip("diane-1.wav"), clip("diane-2.wav"));
    client_512.run(&format!(
        "CREATE TABLE voices (id serial, name text, v vector(512), r real[], d float8[]);
         INSERT INTO voices (name, v, r, d) VALUES ('Diane', ai_audio_embed('{one}'), ai_audio_embed('{one}'), ai_audio_embed('{one}'));
         CREATE INDEX ON voices USING hnsw (v vector_cosine_ops)"
    ));
    let best: String = client_512.value(&format!(
        "SELECT name FROM (SELECT name, cosine_similarity(v, ai_audio_embed('audio_embedding', '{two}')) AS similarity FROM voices) x
         ORDER BY similarity DESC LIMIT 1"
    ));
    assert_eq!(best, "Diane");
    for column in ["r", "d"] {
        assert!(
            client_512.value::<bool>(&format!(
                "SELECT cosine_similarity({column}, ai_audio_embed('{two}')) > 0.5 FROM voices"
            )),
            "{column}"
        );
    }
    assert_eq!(
        client_512.value::<i32>(&format!(
            "SELECT vector_dims(embedding) FROM ai_audio_diarize('{one}') LIMIT 1"
        )),
        512
    );
    // Padded and plain ones are the same voice to whoever compares.
    for sql in [
        format!("SELECT name = 'Diane' FROM ai_voice_identify(ai_audio_embed('{two}'), 'known')"),
        format!(
            "SELECT same_speaker FROM ai_voice_verify(ai_audio_embed('{two}'), (SELECT v FROM known WHERE name = 'Diane'))"
        ),
    ] {
        assert!(client_512.value::<bool>(&sql), "{sql}");
    }
    assert!(client.value::<bool>(&format!("SELECT name = 'Diane' FROM ai_voice_identify(ai_audio_embed('{two}'), 'voices', '{{voiceprint: \"v\"}}')")));
    client_512.run("SET ai_audio.dimensions = 100");
    client_512.fails(
        &format!("SELECT ai_audio_embed('{one}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["ai_audio.dimensions", "192", "100"],
    );
}

#[test]
fn a_recording_is_identified_in_one_call() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    let row = client
        .query_one(&format!("SELECT rank, name, probability, similarity FROM ai_audio_identify('{file}', 'known')"), &[])
        .unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (1, "Diane"));
    assert!(row.get::<_, f64>(2) > 0.5 && row.get::<_, f64>(3) > 0.4);
    let ranked: Vec<String> = client.column(&format!(
        "SELECT name FROM ai_audio_identify('{file}', 'known', '{{top_k: 3}}') ORDER BY rank"
    ));
    assert_eq!((ranked.len(), ranked[0].as_str()), (3, "Diane"));
    // Nobody among these.
    let among = format!(
        "FROM ai_audio_identify('{file}', 'known'::regclass, '{{\"names\": [\"Carlo\", \"Allison\"]}}'::jsonb)"
    );
    assert_eq!(client.value::<i64>(&format!("SELECT count(*) {among}")), 0);
    let narrow = "SELECT probability FROM ai_voice_identify((SELECT v FROM known WHERE name = 'Diane'), 'known', '{duration: 2, narrowband: true, library_narrowband: false}')";
    assert!(client.value::<f64>(narrow) > 0.5);
    client.fails(
        &format!("SELECT ai_audio_identify('{file}', 'nobodys')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["nobodys"],
    );
    client.fails(
        &format!("SELECT ai_audio_identify('{file}', 'known', '{{top_k: 0}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["top_k"],
    );
}

#[test]
fn the_document_comes_as_jsonb() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    let same: bool = client.value(&format!(
        "SELECT ai_audio_transcript('{file}') = ai_audio_transcribe('audio_transcription', '{file}', '{{output_type: \"json\"}}')::jsonb"
    ));
    assert!(same);
    let text: String = client.value(&format!(
        "SELECT string_agg(s->>'text', ' ') FROM jsonb_path_query(ai_audio_transcript('{file}', '{{\"diarization\": false}}'::json),
           '$.transcripts[*].speakers[*].sentences[*]') s"
    ));
    assert_eq!(
        text,
        client.value::<String>(&format!("SELECT ai_audio_transcribe('{file}')"))
    );
    client.fails(
        &format!("SELECT ai_audio_transcript('{file}', '{{output_type: \"srt\"}}')"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["ai_audio_transcribe"],
    );
}

#[test]
fn an_encoded_recording_is_told_from_a_path() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    let base64 = format!("encode(pg_read_binary_file('{file}'), 'base64')");
    let error = client.error(&format!("SELECT ai_audio_embed({base64})"));
    assert!(
        error
            .hint()
            .unwrap_or_default()
            .contains("decode(x, 'base64')"),
        "{error:?}"
    );
    assert!(error.message().len() < 160, "{}", error.message());
    client.fails(
        &format!("SELECT ai_audio_embed(encode(pg_read_binary_file('{file}'), 'hex'))"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["decode(x, 'hex')"],
    );
    client.fails(
        &format!("SELECT ai_audio_embed(pg_read_binary_file('{file}')::text)"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["hex"],
    );
    let data = format!("'data:audio/wav;base64,' || {base64}");
    assert!(client.value::<bool>(&format!(
        "SELECT ai_audio_embed({data}) = ai_audio_embed('{file}')"
    )));
    client.fails(
        "SELECT ai_audio_embed('data:audio/wav;base64,!!!!')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["data:"],
    );
}

#[test]
fn a_piece_is_cut_by_any_kind_of_number() {
    let (_database, mut client) = library();
    let file = clip("diane-2.wav");
    let cut = format!("octet_length(ai_audio_extract('{file}', 100, 600))");
    for times in [
        "100::bigint, 600",
        "100.0, 600.4",
        "100::float8, 600::smallint",
        "'100', '600'",
    ] {
        assert!(
            client.value::<bool>(&format!(
                "SELECT octet_length(ai_audio_extract('{file}', {times})) = {cut}"
            )),
            "{times}"
        );
    }
    client.fails(
        &format!("SELECT ai_audio_extract('{file}', 'NaN'::float8, 10)"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["start_time"],
    );
    client.fails(
        &format!("SELECT ai_audio_extract('{file}', 0, 'Infinity'::float8)"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["end_time"],
    );
}
