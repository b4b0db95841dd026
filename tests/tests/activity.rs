//! What sessions are doing now, as others and they themselves see it.

use std::time::{Duration, Instant};

use sql_tests::{ClientExt, Database, Scratch, SqlState, clip, sparse_wav};

/// Waits for a row of the view about a session.
fn seen(
    client: &mut sql_tests::Client,
    pid: i32,
    columns: &str,
) -> Option<(String, Option<String>, String, f64, Option<f64>)> {
    let until = Instant::now() + Duration::from_secs(20);
    while Instant::now() < until {
        let row = client
            .query_opt(
                &format!(
                    "SELECT {columns} FROM ai_audio_activity WHERE pid = $1 AND done_seconds > 0"
                ),
                &[&pid],
            )
            .expect("the view");
        if let Some(row) = row {
            return Some((row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// A window function, which is on no recording: nor on the one that the session heard before.
#[test]
fn others_see_how_far_grouping_is() {
    let database = Database::new();
    let mut watcher = database.connect();
    let mut worker = database.connect();
    worker.run(
        "CREATE TABLE voices AS SELECT i, (SELECT array_agg(random() - 0.5 + 0 * i * j) FROM generate_series(1, 192) j)::vector AS v
         FROM generate_series(1, 20000) i",
    );
    worker.value::<bool>(&format!(
        "SELECT ai_audio_embed('{}') IS NULL",
        clip("june-1.wav")
    ));
    let pid = worker.pid();
    let work = std::thread::spawn(move || {
        worker.batch_execute(
            "SELECT count(g) FROM (SELECT ai_voice_cluster(v) OVER () AS g FROM voices) x",
        )
    });
    let columns = "function, recording, stage, done_seconds, total_seconds";
    let row = seen(&mut watcher, pid, columns).expect("it is seen");
    assert_eq!(
        (row.0.as_str(), row.1.as_deref(), row.2.as_str(), row.4),
        (
            "ai_voice_cluster",
            Some("20000 voiceprints"),
            "clustering",
            Some(20_000.0)
        )
    );
    work.join().expect("a thread").expect("groups");
}

#[test]
fn others_see_what_a_session_is_doing() {
    let database = Database::new();
    let mut watcher = database.connect();
    let role = database.role("");
    let mut stranger = database.connect_as(role.name());
    let (mut worker, notices) = database.connect_noting();
    let scratch = Scratch::new();
    let path = scratch.path("long.wav");
    sparse_wav(&path, 3 * 3600, 16_000);
    let pid = worker.pid();
    let cancel = worker.cancel_token();
    worker.run("SET ai_audio.progress = on");
    let statement = format!(
        "SELECT count(*) FROM ai_audio_diarize('{}')",
        path.display()
    );
    let work = std::thread::spawn(move || worker.batch_execute(&statement));
    let columns = "function, recording, stage, done_seconds, total_seconds";
    let row = seen(&mut watcher, pid, columns).expect("it is seen");
    assert_eq!(row.0, "ai_audio_diarize");
    assert_eq!(row.1, Some(format!("\"{}\"", path.display())));
    assert_eq!((row.2.as_str(), row.4), ("diarizing", Some(3.0 * 3600.0)));
    assert!(row.3 <= 3.0 * 3600.0);
    let hidden = seen(&mut stranger, pid, columns).expect("the row is there for everybody");
    assert_eq!(hidden.1, None, "not what it works on");
    let waits: Option<String> = watcher.value(&format!(
        "SELECT wait_event_type FROM pg_stat_activity WHERE pid = {pid}"
    ));
    // An extension can tell it since 15.
    let told: bool = watcher.value("SELECT current_setting('server_version_num')::int >= 150000");
    assert_eq!(waits.as_deref(), told.then_some("Extension"));
    let until = Instant::now() + Duration::from_secs(10);
    while notices.lock().expect("unharmed").is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    cancel.cancel_query(postgres::NoTls).expect("cancel");
    let error = work.join().expect("a thread").expect_err("cancelled");
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    let left: i64 = watcher.value(&format!(
        "SELECT count(*) FROM ai_audio_activity WHERE pid = {pid}"
    ));
    assert_eq!(left, 0, "nothing is left of it");
    let said: Vec<String> = notices
        .lock()
        .expect("unharmed")
        .iter()
        .map(|n| n.message().to_string())
        .collect();
    assert!(
        said.iter()
            .any(|n| n.contains("diarizing") && n.contains("of 10800 s done")),
        "{said:?}"
    );
}
