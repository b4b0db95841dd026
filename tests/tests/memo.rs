//! Once means once: however often Postgres calls a function in a statement, a recording is worked on once.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sql_tests::{Client, ClientExt, Database, Scratch, clip};

/// Recordings that a statement worked on.
fn worked(client: &mut Client, sql: &str) -> i64 {
    let calls = "SELECT calls FROM ai_audio_stats()";
    let before: i64 = client.value(calls);
    client.run(sql);
    client.value::<i64>(calls) - before
}

fn library() -> (Database, Client) {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!(
        "CREATE TABLE lib (name text, v vector(192));
         INSERT INTO lib SELECT 'Diane ' || i, ai_audio_embed('{}') FROM generate_series(1, 20) i;
         CREATE TABLE calls (id int PRIMARY KEY, path text);
         INSERT INTO calls VALUES (1, '{}'), (2, '{}');
         CREATE FUNCTION embed_call(call_id int) RETURNS vector LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
           AS $$ SELECT ai_audio_embed(path) FROM public.calls WHERE id = call_id $$",
        clip("diane-1.wav"),
        clip("diane-2.wav"),
        clip("carlo-1.wav")
    ));
    (database, client)
}

#[test]
fn the_statements_that_people_write_embed_once() {
    let (_database, mut client) = library();
    for (sql, recordings) in [
        (
            "WITH p AS (SELECT ai_audio_embed(path) v FROM calls WHERE id = 1)
          SELECT name, cosine_similarity(l.v, p.v) s FROM lib l, p ORDER BY s DESC LIMIT 3",
            1,
        ),
        (
            "SELECT name, cosine_similarity(v, embed_call(1)) s FROM lib ORDER BY s DESC LIMIT 3",
            1,
        ),
        (
            "SELECT name, cosine_similarity(v, embed_call(c.id)) s FROM lib, calls c ORDER BY s DESC LIMIT 3",
            2,
        ),
        (
            "SELECT b.* FROM calls c, LATERAL (SELECT name, cosine_similarity(v, ai_audio_embed(c.path)) s FROM lib ORDER BY s DESC LIMIT 3) b",
            2,
        ),
        (
            "SELECT (ai_audio_quality(path)).* FROM calls WHERE id = 1",
            1,
        ),
        (
            "SELECT name, ai_audio_embed(path) <=> v FROM lib, calls WHERE id = 1 ORDER BY ai_audio_embed(path) <=> v",
            1,
        ),
    ] {
        assert_eq!(worked(&mut client, sql), recordings, "{sql}");
    }
}

/// A transcript and a diarization of one recording share what they can.
#[test]
fn several_functions_on_a_recording_share_their_work() {
    let (_database, mut client) = library();
    let file = clip("conversation.wav");
    client.run("SELECT ai_audio_warmup(), ai_audio_warmup('segmentation'), ai_audio_warmup('audio_transcription')");
    let heard = "SELECT audio_seconds FROM ai_audio_stats()";
    let seconds = |client: &mut Client, sql: &str| {
        let before: f64 = client.value(heard);
        client.run(sql);
        client.value::<f64>(heard) - before
    };
    let words = format!("SELECT count(*) FROM ai_audio_sentences('{file}')");
    let turns = format!("SELECT count(*) FROM ai_audio_diarize('{file}')");
    let both = format!("SELECT ({words}), ({turns}), ({words})");
    let once = seconds(&mut client, &words) + seconds(&mut client, &turns);
    assert!(
        seconds(&mut client, &both) < once,
        "the second transcript and the diarization cost nothing"
    );
    assert_eq!(worked(&mut client, &both), 1);
    // Speakers have the same numbers in both, and sentences are the same each time.
    let differing: i64 = client.value(&format!(
        "SELECT count(*) FROM ai_audio_sentences('{file}') a FULL JOIN ai_audio_sentences('{file}') b USING (sentence_id)
         WHERE a.text IS DISTINCT FROM b.text OR a.speaker_id IS DISTINCT FROM b.speaker_id"
    ));
    assert_eq!(differing, 0);
}

/// What is kept is kept for a statement, and never for another recording.
#[test]
fn a_file_that_changes_is_heard_anew() {
    let (_database, mut client) = library();
    let scratch = Scratch::new();
    let one = scratch.file("a.wav", &fs::read(clip("diane-1.wav")).unwrap());
    fs::set_permissions(&one, fs::Permissions::from_mode(0o666)).unwrap();
    let two = scratch.file("b.wav", &fs::read(clip("carlo-1.wav")).unwrap());
    assert_eq!(
        worked(&mut client, &format!("SELECT ai_audio_embed('{one}')")),
        1
    );
    assert_eq!(
        worked(&mut client, &format!("SELECT ai_audio_embed('{one}')")),
        1,
        "another statement"
    );
    // Within one statement, a function that puts another file in its place.
    client.run(&format!(
        "CREATE FUNCTION replaced() RETURNS boolean LANGUAGE plpgsql AS $$
         DECLARE a vector; b vector;
         BEGIN
           a := ai_audio_embed('{one}');
           COPY (SELECT 1) TO PROGRAM 'cp {two} {one}';
           b := ai_audio_embed('{one}');
           RETURN a = b;
         END $$"
    ));
    assert!(!client.value::<bool>("SELECT replaced()"));
    // Privileges are asked each time.
    client.run("CREATE ROLE memo_reader_x; GRANT SELECT ON calls TO memo_reader_x");
    let denied = client.error(&format!(
        "DO $$ BEGIN PERFORM ai_audio_embed('{one}'); SET LOCAL ROLE memo_reader_x; PERFORM ai_audio_embed('{one}'); END $$"
    ));
    assert_eq!(denied.code(), &sql_tests::SqlState::INSUFFICIENT_PRIVILEGE);
    client.run("DROP OWNED BY memo_reader_x; DROP ROLE memo_reader_x");
}

#[test]
fn options_make_a_difference() {
    let (_database, mut client) = library();
    let file = clip("diane-1.wav");
    let sql = format!(
        "SELECT ai_audio_embed('{file}'), ai_audio_embed('{file}', '{{start_time: 500}}'), ai_audio_embed('{file}', '{{vad: false}}'),
           ai_audio_embed('{file}', '{{enhance: true}}'), ai_audio_embed('{file}', '{{dimensions: 256}}')"
    );
    assert_eq!(
        worked(&mut client, &sql),
        4,
        "the length alone is no other work"
    );
    let distinct: i64 = client.value(&format!(
        "SELECT count(DISTINCT x::text) FROM unnest(ARRAY[ai_audio_embed('{file}'), ai_audio_embed('{file}', '{{start_time: 500}}'),
           ai_audio_embed('{file}', '{{enhance: true}}')]) x"
    ));
    assert_eq!(distinct, 3);
}
