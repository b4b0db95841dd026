//! Speech to text over SQL: documents, options, bad input, stopping, sessions side by side, and memory.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use sql_tests::{
    Client, ClientExt, Database, Scratch, SqlState, Stop, Value, clip, development, json,
    own_memory, sparse_wav, stop, tone, wav,
};

/// A sentence of LibriSpeech, 5 s, English.
const SPEECH: &str = "voices/1688-142285-0003.flac";

fn literal(path: &str) -> String {
    format!("'{}'", path.replace('\'', "''"))
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn text_is_what_was_said_in_every_shape_of_the_call() {
    let Some(path) = development(SPEECH) else {
        return;
    };
    let database = Database::new();
    let mut client = database.connect();
    let file = literal(&path);
    let bytes = format!("pg_read_binary_file({file})");
    let first: String = client.value(&format!("SELECT ai_audio_transcribe({file})"));
    assert!(
        first.to_lowercase().contains("account of himself"),
        "{first}"
    );
    for call in [
        bytes.clone(),
        format!("'whisper-base', {file}"),
        format!("'whisper-base', {bytes}"),
        format!("'whisper-base', {file}, '{{}}'::text"),
        format!("'whisper-base', {bytes}, '{{\"lang\": \"en\"}}'::jsonb"),
        format!("'audio_transcription', {file}, '{{''language'': ''English''}}'"),
    ] {
        let text: String = client.value(&format!("SELECT ai_audio_transcribe({call})"));
        assert_eq!(text, first, "{call}");
    }
}

#[test]
fn the_json_document_has_exactly_the_promised_keys() {
    let Some(path) = development(SPEECH) else {
        return;
    };
    let database = Database::new();
    let mut client = database.connect();
    let options =
        "{output_type: 'json', word_timestamps: true, diarization: false}".replace('\'', "''");
    let text: String = client.value(&format!(
        "SELECT ai_audio_transcribe('whisper-base', {}, '{options}')",
        literal(&path)
    ));
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        keys(&document),
        BTreeSet::from(["file_url", "properties", "transcripts"])
    );
    assert_eq!(document["file_url"], json!(path));
    assert_eq!(
        document["properties"],
        json!({"audio_format": "flac", "channels": [0], "original_sampling_rate": 16000,
               "original_duration_in_milliseconds": 5060})
    );
    let speaker = &document["transcripts"][0]["speakers"][0];
    assert_eq!(
        (
            &document["transcripts"][0]["channel_id"],
            &speaker["speaker_id"]
        ),
        (&json!(0), &json!(0))
    );
    let sentence = &speaker["sentences"][0];
    assert_eq!(
        keys(sentence),
        BTreeSet::from([
            "sentence_id",
            "start_time",
            "end_time",
            "text",
            "language",
            "confidence",
            "words"
        ])
    );
    assert_eq!(
        (&sentence["sentence_id"], &sentence["language"]),
        (&json!(1), &json!("en"))
    );
    let times: Vec<i64> = sentence["words"]
        .as_array()
        .expect("words")
        .iter()
        .flat_map(|w| {
            [
                w["start_time"].as_i64().expect("ms"),
                w["end_time"].as_i64().expect("ms"),
            ]
        })
        .collect();
    assert!(times.is_sorted() && times.len() > 10, "{times:?}");
    assert!(times[0] >= sentence["start_time"].as_i64().expect("ms"));
}

#[test]
fn subtitles_are_well_formed() {
    let Some(path) = development(SPEECH) else {
        return;
    };
    let database = Database::new();
    let mut client = database.connect();
    let mut output = |kind: &str| -> String {
        client.value(&format!(
            "SELECT ai_audio_transcribe('whisper-base', {}, '{{\"output_type\": \"{kind}\"}}')",
            literal(&path)
        ))
    };
    let (srt, vtt) = (output("srt"), output("vtt"));
    assert!(
        srt.starts_with("1\n00:00:0") && srt.contains(" --> 00:00:0") && srt.contains(','),
        "{srt}"
    );
    assert!(
        vtt.starts_with("WEBVTT\n\n00:00:0") && vtt.contains(" --> 00:00:0"),
        "{vtt}"
    );
}

#[test]
fn sentences_are_rows_with_times_inside_the_selection() {
    let Some(path) = development("voices/1688-142285-0001.flac") else {
        return;
    };
    let database = Database::new();
    let mut client = database.connect();
    let file = literal(&path);
    let rows: i64 = client.value(&format!(
        "SELECT count(*) FROM ai_audio_sentences({file}, options => '{{\"diarization\": false}}')
         WHERE channel_id = 0 AND speaker_id IS NULL AND start_time < end_time AND text <> '' AND language = 'en'
           AND confidence BETWEEN 0 AND 1 AND words IS NULL"
    ));
    assert_eq!(rows, 2);
    let inside: bool = client.value(&format!(
        "SELECT bool_and(start_time >= 6000 AND end_time <= 12625) FROM ai_audio_sentences({file},
         '{{\"start_time\": 6000, \"diarization\": false}}')"
    ));
    assert!(inside);
    let words: i64 = client.value(&format!(
        "SELECT sum(jsonb_array_length(words)) FROM ai_audio_sentences({file}, 'whisper-base',
         '{{\"word_timestamps\": true}}'::jsonb)"
    ));
    assert!(words > 25, "{words}");
}

#[test]
fn languages_are_detected_and_translated() {
    let Some(path) = development("voices/zh/BAC009S0150W0003.wav") else {
        return;
    };
    let database = Database::new();
    let mut client = database.connect();
    let file = literal(&path);
    let found: bool = client.value(&format!(
        "SELECT language = 'zh' AND probability > 0.9 FROM ai_audio_detect_language({file})"
    ));
    assert!(found);
    let english: String = client.value(&format!(
        "SELECT ai_audio_transcribe('whisper-base', {file}, '{{\"task\": \"translate\"}}')"
    ));
    assert!(!english.is_empty() && english.is_ascii(), "{english}");
    for lang in ["null", "\"auto\"", "\"zh-HK\""] {
        let text: String = client.value(&format!(
            "SELECT ai_audio_transcribe('whisper-base', {file}, '{{\"lang\": {lang}}}')"
        ));
        assert!(text.chars().any(|c| c > '\u{4e00}'), "{lang}: {text}");
    }
}

#[test]
fn every_channel_by_itself() {
    let Some(path) = development("formats/pcm24_48k_stereo.wav") else {
        return;
    };
    let database = Database::new();
    let mut client = database.connect();
    let channels: Vec<i32> = client.column(&format!(
        "SELECT DISTINCT channel_id FROM ai_audio_sentences({}, '{{\"channel\": \"each\"}}') ORDER BY 1",
        literal(&path)
    ));
    assert_eq!(channels, [0, 1]);
}

#[test]
fn what_is_no_speech_gives_nothing() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let silence = literal(&scratch.file("silence.wav", &wav(&[0; 80_000], 16_000)));
    let short = literal(&scratch.file("short.wav", &wav(&[0; 16], 16_000)));
    let buzz = literal(&scratch.file("buzz.wav", &wav(&tone(10), 16_000)));
    for file in [&silence, &short, &buzz] {
        assert_eq!(
            client.value::<String>(&format!("SELECT ai_audio_transcribe({file})")),
            "",
            "{file}"
        );
        assert_eq!(
            client.value::<i64>(&format!("SELECT count(*) FROM ai_audio_sentences({file})")),
            0
        );
    }
    assert_eq!(
        client.value::<i64>(&format!("SELECT count(*) FROM ai_audio_vad({silence})")),
        0
    );
    let unknown: bool = client.value(&format!(
        "SELECT language IS NULL AND probability IS NULL FROM ai_audio_detect_language({silence})"
    ));
    assert!(unknown);
}

#[test]
fn speech_is_found_where_it_is() {
    let database = Database::new();
    let mut client = database.connect();
    let Some(path) = development("voices/1688-142285-0001.flac") else {
        return;
    };
    let spans: i64 = client.value(&format!(
        "SELECT count(*) FROM ai_audio_vad({})",
        literal(&path)
    ));
    let one: i64 = client.value(&format!(
        "SELECT count(*) FROM ai_audio_vad({}, '{{\"min_silence\": 2000}}')",
        literal(&path)
    ));
    assert!(spans > one && one == 1, "{spans} and {one}");
}

#[test]
fn null_gives_null_and_no_rows() {
    let database = Database::new();
    let mut client = database.connect();
    let null: bool = client.value("SELECT ai_audio_transcribe(NULL::text) IS NULL AND ai_audio_transcribe(NULL::bytea) IS NULL");
    assert!(null);
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM ai_audio_sentences(NULL::text)"),
        0
    );
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM ai_audio_detect_language(NULL::bytea)"),
        0
    );
    assert_eq!(
        client.value::<i64>("SELECT count(*) FROM ai_audio_vad(NULL::text)"),
        0
    );
}

#[test]
fn wrong_calls_say_what_would_be_right() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let file = literal(&scratch.file("silence.wav", &wav(&[0; 16_000], 16_000)));
    let with =
        |options: &str| format!("SELECT ai_audio_transcribe('whisper-base', {file}, '{options}')");
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    for (options, parts) in [
        (r#"{"lang": "klingon"}"#, &["klingon", "en, zh, de"][..]),
        (
            r#"{"speed": 2}"#,
            &["speed", "output_type", "beam_size"][..],
        ),
        (r#"{"output_type": "docx"}"#, &["output_type", "`srt`"][..]),
        (r#"{"beam_size": 100}"#, &["beam_size", "16"][..]),
        (r#"{"temperature": 3}"#, &["temperature"][..]),
        (r#"{"task": "sing"}"#, &["task", "translate"][..]),
        (r#"{"lang": "en", "language": "de"}"#, &["lang"][..]),
        (r#"{"speaker_count": 0}"#, &["speaker_count"][..]),
        (r#"{"start_time": 5, "end_time": 5}"#, &["start_time"][..]),
        ("nonsense", &["options"][..]),
    ] {
        client.fails(&with(options), invalid.clone(), parts);
    }
    client.fails(
        &format!("SELECT ai_audio_transcribe('no-such', {file})"),
        SqlState::UNDEFINED_OBJECT,
        &["whisper-base"],
    );
    client.fails(
        &format!("SELECT ai_audio_transcribe('campplus_zh_en', {file})"),
        SqlState::UNDEFINED_OBJECT,
        &["whisper-base"],
    );
    client.fails(
        "SELECT ai_audio_transcribe('/no/such.wav')",
        SqlState::UNDEFINED_FILE,
        &["/no/such.wav"],
    );
    client.fails(
        "SELECT ai_audio_transcribe(''::bytea)",
        SqlState::DATA_EXCEPTION,
        &["bytea"],
    );
    client.fails(
        r"SELECT ai_audio_transcribe('\x00112233445566778899'::bytea)",
        SqlState::DATA_EXCEPTION,
        &["bytea"],
    );
    client.run("SET ai_audio.max_duration = '1s'");
    let long = literal(&scratch.file("long.wav", &wav(&[0; 48_000], 16_000)));
    client.fails(
        &format!("SELECT ai_audio_transcribe({long})"),
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        &["ai_audio.max_duration"],
    );
}

#[test]
fn a_bad_recording_can_be_null() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (mut client, notices) = database.connect_noting();
    let file = literal(&scratch.file("bad.wav", b"no recording"));
    let null: bool = client.value(&format!(
        "SELECT ai_audio_transcribe('whisper-base', {file}, '{{\"on_error\": \"null\"}}') IS NULL"
    ));
    assert!(null);
    assert_eq!(
        client.value::<i64>(&format!(
            "SELECT count(*) FROM ai_audio_sentences({file}, '{{\"on_error\": \"null\"}}')"
        )),
        0
    );
    assert_eq!(notices.lock().expect("not poisoned").len(), 2);
}

#[test]
fn files_need_the_privilege() {
    let database = Database::new();
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    for call in [
        "ai_audio_transcribe",
        "ai_audio_sentences",
        "ai_audio_detect_language",
        "ai_audio_vad",
    ] {
        client.fails(
            &format!("SELECT * FROM {call}('/etc/hostname')"),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &["pg_read_server_files"],
        );
    }
}

/// An hour of speech: the clip again and again, with pauses.
fn hours(scratch: &Scratch, seconds: usize) -> Option<String> {
    let database = Database::new();
    let mut client = database.connect();
    let path = development("formats/pcm16_16k.wav")?;
    let clip: Vec<u8> = client.value(&format!("SELECT pg_read_binary_file({})", literal(&path)));
    let speech: Vec<i16> = clip[44..]
        .as_chunks::<2>()
        .0
        .iter()
        .map(|b| i16::from_le_bytes(*b))
        .collect();
    let mut samples = Vec::with_capacity(seconds * 16_000);
    while samples.len() < seconds * 16_000 {
        samples.extend_from_slice(&speech);
        samples.resize(samples.len() + 20 * 16_000, 0);
    }
    Some(scratch.file("hours.wav", &wav(&samples, 16_000)))
}

#[test]
fn recognition_stops_in_the_middle_of_an_hour() {
    let scratch = Scratch::new();
    let Some(path) = hours(&scratch, 3600) else {
        return;
    };
    let database = Database::new();
    let sql = format!("SELECT ai_audio_transcribe({})", literal(&path));
    for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
        stop(&database, "", &sql, how, Duration::from_secs(4)).assert_prompt(how);
    }
}

#[test]
fn two_sessions_side_by_side_say_the_same() {
    let Some(path) = development(SPEECH) else {
        return;
    };
    let database = Database::new();
    let sql = format!("SELECT ai_audio_transcribe({})", literal(&path));
    let texts: Vec<String> = thread::scope(|scope| {
        let sessions: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| database.connect().value::<String>(&sql)))
            .collect();
        sessions
            .into_iter()
            .map(|s| s.join().expect("a text"))
            .collect()
    });
    assert!(!texts[0].is_empty() && texts[0] == texts[1], "{texts:?}");
}

/// AI_AUDIO_LONG_HOURS chooses the length; the default is short enough for every run.
#[test]
fn memory_does_not_grow_with_the_recording() {
    let hours_wanted: f64 = std::env::var("AI_AUDIO_LONG_HOURS")
        .ok()
        .and_then(|h| h.parse().ok())
        .unwrap_or(0.25);
    let (database, scratch) = (Database::new(), Scratch::new());
    let Some(path) = hours(&scratch, (hours_wanted * 3600.0) as usize) else {
        return;
    };
    let mut client = database.connect();
    let pid = client.pid();
    let sql = format!(
        "SELECT start_time FROM (SELECT (ai_audio_sentences({}, '{{\"diarization\": false}}')).start_time) s",
        literal(&path)
    );
    let mut transaction = client.transaction().expect("a transaction");
    transaction
        .batch_execute(&format!("DECLARE c NO SCROLL CURSOR FOR {sql}"))
        .expect("a cursor");
    let (mut early, mut late, mut rows) = (0, 0, 0);
    // Value per call: each fetch recognises no more than it needs.
    while let [_, ..] = transaction.query("FETCH 4 FROM c", &[]).expect("rows")[..] {
        rows += 1;
        let now = own_memory(pid);
        *(if rows <= 6 { &mut early } else { &mut late }) =
            now.max(if rows <= 6 { early } else { late });
    }
    println!("{rows} fetches; own memory {early} kB at first, {late} kB later");
    assert!(
        rows > 6 && late < early + 64 * 1024,
        "{early} kB at first, {late} kB later"
    );
}

/// In a select list the first sentence takes a small part of the work; in FROM all rows are made first.
#[test]
fn the_first_row_of_a_long_recording_is_soon_there() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let bytes: Vec<u8> = client.value(&format!(
        "SELECT pg_read_binary_file('{}')",
        clip("conversation.wav")
    ));
    let samples: Vec<i16> = (bytes[44..].as_chunks::<2>().0.iter())
        .map(|b| i16::from_le_bytes(*b))
        .collect();
    let seconds = 120;
    let long: Vec<i16> = (samples.iter().cycle().copied())
        .take(seconds * 16_000)
        .collect();
    let long = scratch.file("long.wav", &wav(&long, 16_000));
    let call = |file: &str| format!("ai_audio_sentences('{file}', '{{diarization: false}}')");
    let from = |file: &str| format!("SELECT text FROM {}", call(file));
    let list = |file: &str| format!("SELECT (s).text FROM (SELECT {} AS s) one", call(file));
    let heard = "SELECT audio_seconds FROM ai_audio_stats()";
    let worked = |client: &mut Client, sql: String| {
        let before: f64 = client.value(heard);
        client.run(&format!("BEGIN; DECLARE c NO SCROLL CURSOR FOR {sql}"));
        let first: String = client.value("FETCH 1 FROM c");
        assert!(!first.is_empty());
        client.run("COMMIT");
        client.value::<f64>(heard) - before
    };
    let soon = worked(&mut client, list(&long));
    let all = worked(&mut client, from(&long));
    assert!(soon <= 20.0, "{soon} s were recognised for the first row");
    assert!(all >= 110.0, "{all} s were recognised in FROM");
    // What is shorter than the first round is the same in both forms.
    let short = clip("june-1.wav");
    let texts = |client: &mut Client, sql: String| client.column::<String>(&sql);
    assert_eq!(
        texts(&mut client, list(&short)),
        texts(&mut client, from(&short))
    );
}

#[test]
fn a_long_silent_file_streams() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.path("silent_hour.wav");
    sparse_wav(&path, 600, 16_000);
    let mut client = database.connect();
    let text: String = client.value(&format!("SELECT ai_audio_transcribe('{}')", path.display()));
    assert_eq!(text, "");
}

#[test]
fn clips_that_setup_fetched_are_understood() {
    let database = Database::new();
    let mut client = database.connect();
    let text: String = client.value(&format!(
        "SELECT ai_audio_transcribe({})",
        literal(&clip("two_cities.wav"))
    ));
    assert!(text.to_lowercase().contains("best of times"), "{text}");
}
