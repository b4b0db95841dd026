//! Memory of a backend, seen from the operating system.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sql_tests::{ClientExt, Database, Scratch, own_memory, tone, wav};

/// Runs `sql` and returns the most memory of its own, in kB, that its backend had meanwhile.
fn peak(client: &mut sql_tests::Client, sql: &str) -> u64 {
    let pid = client.pid();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut highest = own_memory(pid);
            while !done.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
                highest = highest.max(own_memory(pid));
            }
            highest
        });
        client.run(sql);
        done.store(true, Ordering::Relaxed);
        watch.join().expect("the watch ends")
    })
}

#[test]
fn insert_select_over_thousands_of_rows_holds_memory_flat() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let file = scratch.file("half_a_second.wav", &wav(&tone(1)[..8_000], 16_000));
    let mut client = database.connect();
    client.run("CREATE TABLE voices (f vector(192)); SET jit = off"); // LLVM takes 50 MB of its own
    // Per row: a file, a bytea and options in text, so that each of them would show if it leaked.
    let insert = |rows: u32| {
        format!(
            "INSERT INTO voices
             SELECT CASE i % 2 WHEN 0 THEN ai_audio_embed('audio_embedding', path, '{{start_time: ' || i % 5 || '}}')
                               ELSE ai_audio_embed(pg_read_binary_file(path)) END
             FROM (SELECT i, '{file}' || left(i::text, 0) AS path FROM generate_series(1, {rows}) i) rows"
        )
    };
    let early = peak(&mut client, &insert(300));
    let late = peak(&mut client, &insert(3000));
    println!("Own memory: {early} kB over 300 rows, {late} kB over 3000");
    assert!(
        late < early + 8 * 1024,
        "3000 rows took {late} kB where 300 took {early} kB"
    );
}

#[test]
fn a_long_recording_does_not_stay_in_memory() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let short = scratch.file("short.wav", &wav(&tone(3), 16_000));
    let long = scratch.file("long.wav", &wav(&tone(300), 16_000));
    let mut client = database.connect();
    let pid = client.pid();
    let mut idle_after = |file: &str| {
        client.run(&format!("SELECT ai_audio_embed('{file}')"));
        thread::sleep(Duration::from_secs(2)); // freed memory is returned by idle sessions
        own_memory(pid)
    };
    let before = idle_after(&short);
    let after = idle_after(&long);
    println!("Own memory: {before} kB before, {after} kB after five minutes of audio");
    assert!(
        after < before + 8 * 1024,
        "{before} kB before and {after} kB after"
    );
}

/// A clip is written as it is decoded, so what a session takes is the clip and not the samples.
#[test]
fn a_long_clip_takes_no_more_than_itself() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let file = scratch.file("long.wav", &wav(&tone(1200), 16_000)); // 37 MB
    let mut client = database.connect();
    let clip = |end: u32, format: &str| {
        format!("SELECT length(ai_audio_extract('{file}', 0, {end}, '{{format: ''{format}''}}'))")
    };
    let before = peak(&mut client, &clip(1000, "flac"));
    let flac = peak(&mut client, &clip(1_200_000, "flac"));
    let wav = peak(&mut client, &clip(1_200_000, "wav"));
    println!(
        "Own memory: {before} kB for a second, {flac} kB for 20 minutes of FLAC, {wav} kB of WAV"
    );
    // Twice the clip: as it was written, and as the value of the query. Postgres 18 was seen to take 15 MB more than 15.
    assert!(wav < before + 2 * 38_000 + 24_000, "{before} kB, {wav} kB");
    assert!(flac < wav, "{flac} kB of FLAC, {wav} kB of WAV");
    thread::sleep(Duration::from_secs(7)); // freed memory is returned by idle sessions
    let after = own_memory(client.pid());
    assert!(
        after < before + 8 * 1024,
        "{before} kB before and {after} kB after"
    );
}

/// Noise of a length, as a WAV: no speech, so all of it is heard.
fn noise(minutes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let samples: Vec<i16> = (0..minutes * 60 * 16_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 20) as i16 - 2048
        })
        .collect();
    wav(&samples, 16_000)
}

#[test]
fn voiceprints_and_quality_of_long_recordings_take_no_more_memory() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let (short, long) = (
        scratch.file("short.wav", &noise(11)),
        scratch.file("long.wav", &noise(44)),
    );
    // Batches in flight at once differ by run, 15 MB each; the 33 minutes between would be 63 MB as 16-bit samples.
    let bound = 40 * 1024;
    let mut client = database.connect();
    for call in ["ai_audio_quality(f)", "ai_audio_embed(f)"] {
        let over = |file: &str| format!("SELECT {} FROM (VALUES ('{file}')) AS v(f)", call);
        let (before, after) = (
            peak(&mut client, &over(&short)),
            peak(&mut client, &over(&long)),
        );
        println!("{call}: own memory {before} kB for 11 minutes, {after} kB for 44");
        assert!(after < before + bound, "{call}: {before} kB, {after} kB");
    }
}

/// Noise is reduced piece by piece: beside the result, five minutes take what half a minute takes.
#[test]
fn enhancing_takes_no_more_than_its_result() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let file = scratch.file("long.wav", &wav(&tone(300), 16_000));
    let mut client = database.connect();
    for (model, seconds) in [("gtcrn", [30, 300]), ("deepfilternet3", [10, 60])] {
        let over = |seconds: u32| {
            format!(
                "SELECT length(ai_audio_enhance('{file}', '{{\"model\": \"{model}\", \"sample_rate\": 8000, \"format\": \"flac\", \"end_time\": {}}}'))",
                seconds * 1000
            )
        };
        let [before, after] = seconds.map(|seconds| peak(&mut client, &over(seconds)));
        println!("{model}: own memory {before} and {after} kB for {seconds:?} s");
        // Cleaned tones are as good as silent: the result is small.
        assert!(after < before + 16 * 1024, "{before} kB, {after} kB");
    }
}

#[test]
fn an_idle_session_gives_its_models_back() {
    let database = Database::new();
    let mut client = database.connect();
    let recording = sql_tests::clip("june-1.wav");
    client.run("LOAD 'ai_audio'; SET ai_audio.keep_models = 2; SELECT ai_audio_warmup('vad')");
    thread::sleep(Duration::from_secs(4));
    let bare = own_memory(client.pid());
    client.run(&format!("SELECT ai_audio_transcribe('{recording}')"));
    let loaded = "SELECT count(*) FROM ai_audio_models WHERE loaded";
    assert!(client.value::<i64>(loaded) > 0);
    let busy = own_memory(client.pid());
    thread::sleep(Duration::from_secs(4));
    let idle = own_memory(client.pid());
    println!("Own memory: {bare} kB before, {busy} kB with models, {idle} kB idle");
    assert_eq!(client.value::<i64>(loaded), 0);
    assert!(idle < bare + 16 * 1024, "{bare} kB, {busy} kB, {idle} kB");
    // And it goes on.
    client.run(&format!("SELECT ai_audio_embed('{recording}')"));
}
