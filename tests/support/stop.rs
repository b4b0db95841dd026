//! How long a statement goes on after somebody wants it to stop, by the server's own clock.

use std::fmt::Display;
use std::thread;
use std::time::Duration;

use postgres::error::SqlState;

use crate::{ClientExt, Database};

/// Who stops the statement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// `SET statement_timeout`.
    StatementTimeout,
    /// `pg_cancel_backend`.
    Cancel,
    /// `pg_terminate_backend`.
    Terminate,
}

/// How a statement ended.
#[derive(Debug)]
pub struct Stopped {
    /// Milliseconds from the request to the end.
    pub after_ms: f64,
    /// The SQLSTATE that the client saw; none where the connection was closed without one.
    pub state: Option<SqlState>,
}

impl Stopped {
    /// Panics unless the statement ended as promised: within half a second, with the state that belongs to the request.
    pub fn assert_prompt(&self, how: Stop) {
        println!("{how:?}: {:.0} ms", self.after_ms);
        assert!(
            self.after_ms < 500.0,
            "{how:?} took {:.0} ms",
            self.after_ms
        );
        let expected = match how {
            Stop::StatementTimeout | Stop::Cancel => SqlState::QUERY_CANCELED,
            Stop::Terminate => SqlState::ADMIN_SHUTDOWN,
        };
        assert!(
            self.state.as_ref().is_none_or(|state| *state == expected),
            "{how:?}: {self:?}"
        );
    }
}

/// A statement that does not end by itself on any machine: it embeds `path` for each of many rows. That the options come with
/// the row, and change, keeps it from being embedded once for all.
pub fn endless_embedding(path: impl Display) -> String {
    format!(
        "SELECT count(ai_audio_embed('audio_embedding', '{path}', '{{\"start_time\": ' || i % 300 || '}}')) FROM generate_series(1, 100000) i"
    )
}

/// Runs `sql` in a new session, lets it work for `head_start`, and stops it. Panics when it ends by itself, or when a
/// session that should have survived cannot go on.
pub fn stop(
    database: &Database,
    setup: &str,
    sql: &str,
    how: Stop,
    head_start: Duration,
) -> Stopped {
    let mut client = database.connect();
    client.run(setup);
    let pid = client.pid();
    let timeout = if how == Stop::StatementTimeout {
        head_start.as_millis()
    } else {
        0
    };
    client.run(&format!("SET statement_timeout = {timeout}"));
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let error = client
                .batch_execute(sql)
                .expect_err("the statement ended before it was stopped");
            if how != Stop::Terminate {
                client.run("SET statement_timeout = 0; SELECT 1");
            }
            error.code().cloned()
        });
        let after_ms = request_and_watch(database, pid, how, head_start);
        Stopped {
            after_ms,
            state: worker.join().expect("the session behaves"),
        }
    })
}

/// Makes the request and returns the time to the end of the statement (`xact_start` is empty between statements).
fn request_and_watch(database: &Database, pid: i32, how: Stop, head_start: Duration) -> f64 {
    let mut watch = database.connect();
    while !watch.value::<bool>(&format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid} AND state = 'active')"
    )) {
        thread::sleep(Duration::from_millis(5));
    }
    let (request, from) = match how {
        Stop::StatementTimeout => (
            "true".to_string(),
            format!("query_start + interval '{} ms'", head_start.as_millis()),
        ),
        Stop::Cancel => (
            format!("pg_cancel_backend({pid})"),
            "clock_timestamp()".into(),
        ),
        Stop::Terminate => (
            format!("pg_terminate_backend({pid})"),
            "clock_timestamp()".into(),
        ),
    };
    if how != Stop::StatementTimeout {
        thread::sleep(head_start);
    }
    watch.run(&format!(
        "CREATE TEMP TABLE stopping AS SELECT {from} AS at, query_start, {request} FROM pg_stat_activity WHERE pid = {pid}"
    ));
    // The statement is over when its session is gone, idle, or in a later statement.
    let elapsed = format!(
        "SELECT extract(epoch FROM CASE WHEN a.pid IS NULL THEN clock_timestamp() WHEN a.state = 'active' THEN a.query_start
                                        ELSE a.state_change END - at)::float8 * 1000
         FROM stopping s LEFT JOIN pg_stat_activity a ON a.pid = {pid}
         WHERE a.pid IS NULL OR a.state <> 'active' OR a.query_start <> s.query_start"
    );
    loop {
        if let Some(row) = watch
            .query_opt(&elapsed, &[])
            .expect("pg_stat_activity answers")
        {
            return row.get(0);
        }
        thread::sleep(Duration::from_millis(5));
    }
}
