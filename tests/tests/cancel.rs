//! Work in a backend stops within half a second of being told to, and the session is usable afterwards.

use std::fmt::Display;
use std::time::Duration;

use sql_tests::{
    ClientExt, Database, Scratch, SqlState, Stop, endless_embedding, sparse_wav, stop, tone, wav,
};

/// Long enough for the model to be loaded and the real work to have begun.
const HEAD_START: Duration = Duration::from_millis(1500);

fn all_ways(database: &Database, setup: &str, path: impl Display) {
    let sql = endless_embedding(path);
    for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
        stop(database, setup, &sql, how, HEAD_START).assert_prompt(how);
    }
}

#[test]
fn decoding_stops() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.path("hours.wav");
    sparse_wav(&path, 4 * 3600, 96_000);
    all_ways(&database, "SET ai_audio.max_size = '4GB'", path.display());
}

#[test]
fn inference_stops() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("twenty_minutes.wav", &wav(&tone(1200), 16_000));
    all_ways(&database, "SET ai_audio.threads = 1", &path);
}

/// Each row loads the model anew, since it asks for another number of threads.
#[test]
fn loading_a_model_stops() {
    let database = Database::new();
    let sql = "SELECT count(set_config('ai_audio.threads', i::text, false) || ai_audio_warmup('whisper-base')::text)
               FROM generate_series(1, 1000) i";
    for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
        stop(&database, "", sql, how, HEAD_START).assert_prompt(how);
    }
}

#[test]
fn many_rows_stop_between_and_within_calls() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("short.wav", &wav(&tone(3), 16_000));
    all_ways(&database, "", &path);
}

#[test]
fn a_cancelled_session_gives_the_same_answer_afterwards() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let short = scratch.file("short.wav", &wav(&tone(3), 16_000));
    let long = scratch.file("long.wav", &wav(&tone(1200), 16_000));
    let mut client = database.connect();
    let embed = format!("SELECT ai_audio_embed('{short}')::text");
    let before: String = client.value(&embed);
    client.run("SET statement_timeout = 1000");
    client.fails(&endless_embedding(&long), SqlState::QUERY_CANCELED, &[]);
    client.run("SET statement_timeout = 0");
    assert_eq!(client.value::<String>(&embed), before);
}
