//! A killed backend and a fast shutdown in the middle of work: the server comes back and hears as before.

use std::thread;
use std::time::{Duration, Instant};

use sql_tests::{
    ClientExt, Database, Scratch, Server, SqlState, endless_embedding, kill, sparse_wav, tone, wav,
};

const LONG: Duration = Duration::from_millis(1500);

/// Starts a statement that does not end by itself, and runs `meanwhile` with its backend's pid.
fn while_working(
    database: &Database,
    scratch: &Scratch,
    meanwhile: impl FnOnce(i32),
) -> Option<SqlState> {
    let path = scratch.path("hours.wav");
    sparse_wav(&path, 4 * 3600, 96_000);
    let mut client = database.connect();
    client.run("SET ai_audio.max_size = '4GB'");
    let pid = client.pid();
    let sql = endless_embedding(path.display());
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            client
                .batch_execute(&sql)
                .expect_err("it was stopped")
                .code()
                .cloned()
        });
        thread::sleep(LONG);
        meanwhile(pid);
        worker.join().expect("the client behaves")
    })
}

fn extended(server: &Server) -> Database {
    let database = server.database();
    database.connect().run("CREATE EXTENSION ai_audio CASCADE");
    database
}

#[test]
fn the_server_recovers_from_a_killed_backend() {
    let (server, scratch) = (Server::start("killed"), Scratch::new());
    let database = extended(&server);
    let embed = format!(
        "SELECT ai_audio_embed('{}')::text",
        scratch.file("short.wav", &wav(&tone(3), 16_000))
    );
    let before: String = database.connect().value(&embed);
    while_working(&database, &scratch, |pid| kill(pid, "KILL"));
    server.wait_until_it_answers();
    assert_eq!(database.connect().value::<String>(&embed), before);
}

#[test]
fn a_fast_shutdown_does_not_wait_for_work() {
    let (mut server, scratch) = (Server::start("stopped"), Scratch::new());
    let database = extended(&server);
    let mut took = Duration::MAX;
    let state = while_working(&database, &scratch, |_| {
        let begin = Instant::now();
        server.shut_down();
        took = begin.elapsed();
    });
    assert!(
        state.is_none() || state == Some(SqlState::ADMIN_SHUTDOWN),
        "{state:?}"
    );
    // The promise is half a second; the rest is the server's own shutdown. The work would have gone on far longer.
    assert!(took < Duration::from_secs(5), "the shutdown took {took:?}");
    server.start_again();
    let database = extended(&server);
    let mut client = database.connect();
    let path = scratch.file("short.wav", &wav(&tone(3), 16_000));
    assert_eq!(
        client.value::<i32>(&format!("SELECT vector_dims(ai_audio_embed('{path}'))")),
        192
    );
}
