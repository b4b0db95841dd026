//! What the endpoints do beyond the document's examples.
//!
//! Long, because the endpoints share one service.

mod support;

use std::io::{BufRead, BufReader, Write};

use sql_tests::{ClientExt, Scratch, Value, clip, json, sparse_wav, wav};
use support::{Setup, bytes, form, wait};

const WAV: (&str, &str) = ("Content-Type", "audio/wav");

#[test]
fn a_recording_is_heard_alike_however_it_comes() {
    let setup = Setup::new();
    let by_path = setup
        .post(
            "/audio/embedding",
            json!({"input_audio": clip("june-1.wav"), "start_time": 1000.4, "end_time": 3000}),
        )
        .json();
    let june = bytes("june-1.wav");
    let raw = setup
        .send(
            &setup.key,
            "POST",
            "/audio/embedding?start_time=1000&end_time=3000",
            &[WAV],
            &june,
        )
        .json();
    let (kind, body) = form(
        &[("audio", &june)],
        &[("start_time", "1000"), ("end_time", "3000")],
    );
    let part = setup
        .send(
            &setup.key,
            "POST",
            "/audio/embedding",
            &[("Content-Type", &kind)],
            &body,
        )
        .json();
    assert_eq!(by_path["result"].as_array().map(Vec::len), Some(192));
    assert_eq!(by_path["result"], raw["result"]);
    assert_eq!(by_path["result"], part["result"]);
    // And as SQL hears it.
    let sql: Vec<f32> = setup.database.connect().value(&format!(
        "SELECT ai_audio_embed('audio_embedding', '{}', '{{\"start_time\": 1000, \"end_time\": 3000}}')::real[]",
        clip("june-1.wav")
    ));
    let service: Vec<f32> = serde_json::from_value(raw["result"].clone()).expect("numbers");
    assert_eq!(sql, service);
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let setup = Setup::new();
    let embed = |body: Value| setup.post("/audio/embedding", body);
    embed(json!({})).fails(400, "input_audio is missing");
    embed(json!([1])).fails(400, "JSON object");
    embed(json!({"input_audio": 5})).fails(400, "must be a URL");
    embed(json!({"input_audio": clip("june-1.wav"), "begin": 3}))
        .fails(400, "unknown field `begin`");
    embed(json!({"input_audio": clip("june-1.wav"), "start_time": "x"})).fails(
        400,
        "start_time: invalid type: string \"x\", expected a number",
    );
    embed(json!({"input_audio": "/nowhere/a.wav"})).fails(400, "/nowhere/a.wav");
    let asr = json!({"source_url": clip("june-1.wav"), "output_type": "pdf"});
    setup
        .post("/bailian/funasr/asr", asr)
        .fails(400, "output_type: unknown variant `pdf`");
    for id in [json!("999999999999999999999"), json!("x"), json!([1])] {
        let delete = setup.post("/voice/delete", json!({ "id": id }));
        delete.fails(400, "id");
    }
    setup
        .get("/voice/query?id=999999999999999999999")
        .fails(400, "id: expected a number of 64 bits");
    embed(json!({"input_audio": "a\0b"})).fails(400, "");
    embed(json!({"input_audio": "http://127.0.0.1:1/a.wav"})).fails(403, "");
    let raw = |kind: &str, body: &[u8]| {
        setup.send(
            &setup.key,
            "POST",
            "/audio/embedding",
            &[("Content-Type", kind)],
            body,
        )
    };
    raw("application/json", b"{\"input_audio\":").fails(400, "not JSON");
    raw("text/csv", b"a,b").fails(415, "audio/*");
    raw("audio/wav", b"no audio at all, whatever the header says").fails(400, "");
    raw("multipart/form-data; boundary=x", b"--x\r\nbroken").fails(400, "parts");
    raw("multipart/form-data", b"").fails(400, "");
    raw("audio/wav", &wav(&vec![0; 32_000], 16_000)).fails(400, "silen");
    setup
        .post("/voice/enroll", json!({"audio_url": clip("june-1.wav")}))
        .fails(400, "missing field `name`");
    setup
        .post(
            "/voice/enroll",
            json!({"audio_url": clip("june-1.wav"), "name": "  "}),
        )
        .fails(400, "1 to 200");
    setup
        .post(
            "/voice/search",
            json!({"audio_url": clip("june-1.wav"), "top_k": 0}),
        )
        .fails(400, "top_k must be 1 to 1000");
    setup
        .post("/voice/delete", json!({}))
        .fails(400, "name or id");
    setup
        .post("/voice/delete", json!({"id": "five"}))
        .fails(400, "an id is a number");
    setup
        .post(
            "/bailian/funasr/asr",
            json!({"source_url": clip("june-1.wav"), "model_name": "nonesuch"}),
        )
        .fails(400, "whisper-base");
    setup
        .post(
            "/bailian/funasr/asr",
            json!({"source_url": clip("june-1.wav"), "output_type": "pdf"}),
        )
        .fails(400, "`srt`");
    setup.get("/nowhere").fails(404, "/openapi.json");
    setup.get("/audio/embedding").fails(405, "another method");
    setup
        .service
        .request("GET", "/results/guessed", &[], b"")
        .fails(404, "expired");
}

#[test]
fn names_need_not_be_unique_and_ids_sort_by_time() {
    let setup = Setup::new();
    let ids = ["june-1.wav", "june-2.wav", "diane-1.wav"].map(|file| setup.enrol("June", file));
    assert!(ids.is_sorted() && ids[0] > 1 << 53, "{ids:?}");
    let found = setup.get("/voice/query?name=June&ids=string").json();
    assert_eq!(found["message"], "Found 3 voiceprint records");
    assert_eq!(found["result"][0]["id"], ids[0].to_string());
    // One page after another.
    let page = setup
        .get(&format!("/voice/query?limit=1&after={}", ids[0]))
        .json();
    assert_eq!(
        (
            page["result"][0]["id"].as_i64(),
            page["result"].as_array().map(Vec::len)
        ),
        (Some(ids[1]), Some(1))
    );
    let gone = setup
        .post("/voice/delete", json!({"id": ids[0].to_string()}))
        .json();
    assert_eq!(gone["message"], "Deleted 1 voiceprint records");
    assert_eq!(
        setup.post("/voice/delete", json!({"name": "June"})).json()["message"],
        "Deleted 2 voiceprint records"
    );
    setup
        .post("/voice/delete", json!({"name": "June"}))
        .fails(404, "nothing was deleted");
    assert_eq!(
        setup.get("/voice/query").json()["message"],
        "Found 0 voiceprint records"
    );
}

#[test]
fn an_enrolment_that_is_sent_again_enrols_once() {
    let setup = Setup::new();
    let send = |key: &str, url: &str| {
        let body = json!({"audio_url": url, "name": "June"}).to_string();
        setup.send(
            &setup.key,
            "POST",
            "/voice/enroll",
            &[
                ("Content-Type", "application/json"),
                ("Idempotency-Key", key),
            ],
            body.as_bytes(),
        )
    };
    // Four at once and one later: one voice, and everybody hears of it.
    let replies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| send("a", &clip("june-1.wav"))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("an answer"))
            .collect()
    });
    let again = send("a", &clip("june-1.wav"));
    let id = again.json()["result"]["id"].clone();
    assert!(
        id.is_i64()
            && replies
                .iter()
                .all(|reply| reply.json()["result"]["id"] == id),
        "{replies:?}"
    );
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(
        replies
            .iter()
            .filter(|reply| reply.header("idempotency-replayed").is_none())
            .count(),
        1
    );
    send("a", &clip("june-2.wav")).fails(422, "used for another");
    // What failed is no answer: the same key may try again.
    send("b", "/nowhere.wav").fails(400, "");
    assert_eq!(send("b", &clip("june-2.wav")).status, 200);
    assert_eq!(
        setup
            .database
            .connect()
            .value::<i64>("SELECT count(*) FROM ai.voices"),
        2
    );
}

#[test]
fn an_enrolment_says_how_good_it_is() {
    let setup = Setup::new();
    let short =
        json!({"audio_url": clip("june-1.wav"), "name": "June", "start_time": 0, "end_time": 1500});
    let verdict = setup.post("/voice/enroll", short.clone()).json();
    assert_eq!(
        verdict["result"]["quality"]["fit_to_enrol"], false,
        "{verdict}"
    );
    let mut strict = short;
    strict["require_fit"] = json!(true);
    setup
        .post("/voice/enroll", strict)
        .fails(422, "at least 3 s");
    let quality = setup
        .post("/audio/quality", json!({"audio_url": clip("june-2.wav")}))
        .json();
    assert_eq!(quality["result"]["fit_to_enrol"], true, "{quality}");
    assert_eq!(
        setup
            .database
            .connect()
            .value::<i64>("SELECT count(*) FROM ai.voices"),
        1
    );
}

#[test]
fn several_recordings_make_a_profile() {
    let setup = Setup::new();
    let urls = [clip("june-1.wav"), clip("june-2.wav")];
    let reply = setup
        .post(
            "/voice/enroll",
            json!({"audio_urls": urls, "name": "June", "location": "box 5"}),
        )
        .json();
    assert_eq!(reply["result"]["location"], "box 5", "{reply}");
    assert_eq!(
        reply["result"]["quality"]["recordings"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let (kind, body) = form(
        &[
            ("audio", &bytes("june-1.wav")),
            ("more", &bytes("june-2.wav")),
        ],
        &[("name", "June too")],
    );
    assert_eq!(
        setup
            .send(
                &setup.key,
                "POST",
                "/voice/enroll",
                &[("Content-Type", &kind)],
                &body
            )
            .status,
        200
    );
    let same: bool = setup.database.connect().value(
        "WITH heard AS (SELECT ai_voice_profile(ai_audio_embed(f), (ai_audio_quality(f)).speech_seconds) AS p FROM ai.voices,
           unnest(ARRAY[$$JUNE1$$, $$JUNE2$$]) AS f GROUP BY voices.id)
         SELECT bool_and(cosine_similarity(voiceprint, p) > 0.9999) FROM ai.voices, heard".replace("JUNE1", &urls[0]).replace("JUNE2", &urls[1]).as_str(),
    );
    assert!(same);
}

#[test]
fn voices_are_found_compared_and_grouped() {
    let setup = Setup::new();
    for (name, file) in [
        ("June", "june-1.wav"),
        ("Diane", "diane-1.wav"),
        ("Allison", "allison-1.wav"),
        ("June again", "june-2.wav"),
    ] {
        setup.enrol(name, file);
    }
    let names = |hits: &Value| {
        hits["result"]
            .as_array()
            .expect("hits")
            .iter()
            .map(|hit| hit["name"].as_str().unwrap_or("").to_string())
            .collect::<Vec<_>>()
    };
    let search = |body: Value| setup.post("/voice/search", body).json();
    let all = search(json!({"audio_url": clip("diane-2.wav"), "top_k": 10}));
    assert_eq!(
        (names(&all)[0].as_str(), names(&all).len()),
        ("Diane", 4),
        "{all}"
    );
    assert!(
        all["result"][0]["probability"].as_f64() > Some(0.9)
            && all["result"][1]["probability"].as_f64() < Some(0.5),
        "{all}"
    );
    let some =
        search(json!({"audio_url": clip("diane-2.wav"), "names": ["June", "Nobody"], "top_k": 10}));
    assert_eq!(names(&some), ["June"]);
    assert_eq!(some["result"][0]["same_speaker"], false);
    let id = all["result"][0]["id"].clone();
    let verdict = setup
        .post(
            "/voice/verify",
            json!({"audio_url": clip("diane-2.wav"), "id": id}),
        )
        .json();
    assert_eq!(verdict["result"]["same_speaker"], true, "{verdict}");
    let two = setup.post("/voice/verify", json!({"audio_url": clip("diane-2.wav"), "other_url": clip("june-1.wav"), "prior": 0.01})).json();
    assert_eq!(two["result"]["same_speaker"], false, "{two}");
    setup
        .post(
            "/voice/verify",
            json!({"audio_url": clip("diane-2.wav"), "id": 5}),
        )
        .fails(404, "no such voice");
    let groups = setup.post("/voice/cluster", json!({})).json();
    let together: Vec<usize> = groups["result"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| group["voices"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(together, [2, 1, 1], "{groups}");
}

/// A column of half precision halves the table.
#[test]
fn a_library_of_half_precision_is_served_alike() {
    let setup = Setup::new();
    setup.database.connect().run(
        "DROP INDEX ai.voices_voiceprint_idx; ALTER TABLE ai.voices ALTER voiceprint TYPE halfvec(192);
         CREATE INDEX ON ai.voices USING hnsw (voiceprint halfvec_cosine_ops)",
    );
    setup.enrol("June", "june-1.wav");
    let id = setup.enrol("Diane", "diane-1.wav");
    let probe = clip("diane-2.wav");
    let hits = setup
        .post("/voice/search", json!({ "audio_url": probe }))
        .json();
    assert_eq!(hits["result"][0]["name"], "Diane", "{hits}");
    assert_eq!(hits["result"][0]["same_speaker"], true, "{hits}");
    let verify = json!({"audio_url": probe, "id": id});
    let verdict = setup.post("/voice/verify", verify).json();
    assert_eq!(verdict["result"]["same_speaker"], true, "{verdict}");
    for path in ["/voice/cluster", "/voice/map"] {
        let voices = setup.post(path, json!({})).json();
        assert_eq!(voices["result"].as_array().map(Vec::len), Some(2), "{path}");
    }
}

#[test]
fn a_transcript_comes_as_it_is_asked_for() {
    let setup = Setup::new();
    let asr = |more: Value| {
        let mut body = json!({"source_url": clip("two_cities.wav"), "diarization": false, "start_time": 0, "end_time": 9000});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        setup.post("/bailian/funasr/asr", body).json()
    };
    let text = asr(json!({"output_type": "text", "model_name": "paraformer-v2"}));
    assert!(
        text["result"]
            .as_str()
            .is_some_and(|said| said.starts_with("It was the best of times")),
        "{text}"
    );
    assert_eq!(
        text["model"],
        json!({"asked": "paraformer-v2", "used": "audio_transcription"})
    );
    let document =
        asr(json!({"output_type": "json", "model_name": "whisper-base", "word_timestamps": true}));
    assert_eq!(document["model"]["used"], "whisper-base");
    assert!(
        document["result"]["transcripts"][0]["speakers"][0]["sentences"][0]["words"].is_array(),
        "{document}"
    );
    assert!(
        asr(json!({"output_type": "vtt"}))["result"]
            .as_str()
            .is_some_and(|cues| cues.starts_with("WEBVTT"))
    );
}

#[test]
fn sentences_are_sent_as_they_are_recognised() {
    let setup = Setup::new();
    let headers = [
        ("Authorization", format!("Bearer {}", setup.key)),
        ("Content-Type", "application/json".into()),
        ("Accept", "text/event-stream".into()),
    ];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let body = json!({"source_url": clip("two_cities.wav"), "lang": "en"}).to_string();
    let reply = setup
        .service
        .request("POST", "/bailian/funasr/asr", &headers, body.as_bytes());
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let text = reply.text();
    let sentences: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    assert!(
        sentences.len() > 3
            && sentences[0]["text"]
                .as_str()
                .is_some_and(|said| said.starts_with("It was the best")),
        "{text}"
    );
    assert!(
        text.contains("event: end") && !text.contains("event: error"),
        "{text}"
    );
    // What is wrong shows as a status.
    let body = json!({"source_url": "/nowhere.wav"}).to_string();
    setup
        .service
        .request("POST", "/bailian/funasr/asr", &headers, body.as_bytes())
        .fails(400, "/nowhere.wav");
}

#[test]
fn a_client_that_goes_away_cancels_its_query() {
    let setup = Setup::new();
    let scratch = Scratch::new();
    let long = scratch.path("long.wav");
    sparse_wav(&long, 3 * 3600, 16_000);
    let body = json!({"source_url": long, "lang": "en"}).to_string();
    let authorization = format!("Bearer {}", setup.key);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
    ];
    let mut stream = setup.service.connect();
    stream
        .write_all(&support::message(
            "POST",
            "/bailian/funasr/asr",
            &headers,
            body.as_bytes(),
        ))
        .expect("sent");
    setup.wait_for("ai_audio_transcribe");
    drop(stream);
    // Half a second is the extension's promise; the service adds none that is worth the name.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(setup.running(), Vec::<String>::new());
    assert_eq!(setup.get("/voice/query").status, 200);
}

#[test]
fn a_job_is_done_meanwhile_and_told_to_its_key_only() {
    let setup = Setup::new();
    let accepted = setup.post(
        "/audio/diarize",
        json!({"audio_url": clip("conversation.wav"), "async": true}),
    );
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let id = accepted.json()["result"]["id"]
        .as_str()
        .expect("an id")
        .to_string();
    let path = format!("/jobs/{id}");
    assert!(
        accepted
            .header("location")
            .is_some_and(|url| url.ends_with(&path.to_lowercase()))
    );
    wait("the job's end", || {
        setup.get(&path).json()["result"]["state"] == "done"
    });
    let job = setup.get(&path).json();
    let turns = job["result"]["answer"]["result"].as_array().expect("turns");
    assert!(turns.iter().any(|turn| turn["speaker_id"] == 1), "{job}");
    let stranger = setup.key_for(setup.analyst.name(), &[]);
    setup
        .send(&stranger, "GET", &path, &[], b"")
        .fails(404, "no such job");
    // One that fails says why; a bad request is no job.
    let failed = setup
        .post(
            "/audio/diarize",
            json!({"audio_url": "/nowhere.wav", "async": true}),
        )
        .json();
    let path = format!("/jobs/{}", failed["result"]["id"].as_str().expect("an id"));
    wait("the job's end", || {
        setup.get(&path).json()["result"]["state"] == "failed"
    });
    assert_eq!(setup.get(&path).json()["result"]["answer"]["code"], 400);
    setup
        .post("/audio/diarize", json!({"async": true}))
        .fails(400, "audio_url is missing");
}

#[test]
fn a_job_can_be_cancelled_and_ends_with_the_service() {
    let mut setup = Setup::new();
    let scratch = Scratch::new();
    let long = scratch.path("long.wav");
    sparse_wav(&long, 3 * 3600, 16_000);
    let submit = || {
        let job = setup
            .post(
                "/bailian/funasr/asr",
                json!({"source_url": long, "lang": "en", "async": true}),
            )
            .json();
        format!("/jobs/{}", job["result"]["id"].as_str().expect("an id"))
    };
    let path = submit();
    setup.wait_for("ai_audio_transcribe");
    assert_eq!(
        setup.send(&setup.key, "DELETE", &path, &[], b"").status,
        200
    );
    wait("the query's end", || setup.running().is_empty());
    setup.get(&path).fails(404, "no such job");
    // The service is stopped: within ten seconds it is gone, and the job says so.
    let path = submit();
    setup.wait_for("ai_audio_transcribe");
    sql_tests::kill(setup.service.pid(), "TERM");
    let began = std::time::Instant::now();
    assert!(setup.service.process.wait().expect("a child").success());
    assert!(began.elapsed().as_secs() < 10);
    let url = setup.service.database_url.clone();
    setup.service = support::Service::start(&url, &[]);
    let job = setup.get(&path).json();
    assert_eq!(
        (
            job["result"]["state"].as_str(),
            job["result"]["answer"]["code"].as_i64()
        ),
        (Some("failed"), Some(503)),
        "{job}"
    );
    wait("the query's end", || setup.running().is_empty());
}

#[test]
fn neither_answers_nor_the_log_show_secrets() {
    let setup = Setup::new();
    let body = json!({"input_audio": "https://user:hunter2@127.0.0.1/a.wav?signature=hunter2", "oss_ak": "id", "oss_sk": "hunter2", "oss_token": "hunter2"});
    let reply = setup.post("/audio/embedding", body);
    assert!(
        reply.status >= 400 && !reply.text().contains("hunter2"),
        "{}",
        reply.text()
    );
    setup.get("/voice/query?name=hunter2");
    setup.send("hunter2", "GET", "/voice/query?name=hunter2", &[], b"");
    let log = setup.service.log();
    assert!(log.contains("/voice/query"), "{log}");
    for secret in ["hunter2", setup.key.as_str(), "secret of the login"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn functions_that_the_database_lacks_are_not_implemented() {
    let setup = Setup::new();
    // As if this ai_audio had never had them.
    setup.database.connect().run(
        "DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid FROM pg_proc WHERE proname IN ('ai_audio_enhance', 'ai_audio_inspect') LOOP
           EXECUTE format('ALTER EXTENSION ai_audio DROP FUNCTION %s', f); EXECUTE format('DROP FUNCTION %s', f); END LOOP; END $$",
    );
    setup
        .post("/audio/enhance", json!({"audio_url": clip("june-1.wav")}))
        .fails(501, "no function ai_audio_enhance");
    setup
        .post(
            "/audio/inspect",
            json!({"audio_url": clip("june-1.wav"), "policy": "be kind"}),
        )
        .fails(501, "no function ai_audio_inspect");
}

#[test]
fn an_operator_sees_how_it_is() {
    let setup = Setup::new();
    setup.enrol("June", "june-1.wav");
    let open = |path: &str| setup.service.request("GET", path, &[], b"");
    assert_eq!(
        (open("/healthz").status, open("/readyz").status),
        (200, 200)
    );
    let numbers = open("/metrics").text();
    for expected in [
        "ai_audio_requests_total{route=\"/voice/enroll\",status=\"200\"} 1",
        "ai_audio_database_connections{state=\"idle\"} 1",
        "ai_audio_requests_in_progress 0",
    ] {
        assert!(
            numbers.contains(expected),
            "{expected} is missing in {numbers}"
        );
    }
    assert_eq!(open("/openapi.json").json()["openapi"], "3.1.0");
    setup
        .database
        .connect()
        .run("DROP TABLE ai_audio_server.keys");
    open("/readyz").fails(503, "ai_audio_server init");
}

#[test]
fn sentences_stop_with_their_client() {
    let setup = Setup::new();
    let scratch = Scratch::new();
    // Speech, then hours: the client leaves after the first sentence.
    let mut speech = bytes("two_cities.wav");
    let rate = u32::from_le_bytes(speech[24..28].try_into().expect("four bytes"));
    assert_eq!(&speech[36..40], b"data");
    let length = 2 * rate * 3 * 3600;
    speech[4..8].copy_from_slice(&(length + 36).to_le_bytes());
    speech[40..44].copy_from_slice(&length.to_le_bytes());
    let path = scratch.file("long.wav", &speech);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(u64::from(length) + 44))
        .expect("the file is extended");
    let authorization = format!("Bearer {}", setup.key);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json"),
        ("Accept", "text/event-stream"),
    ];
    let mut stream = setup.service.connect();
    let body = json!({"source_url": path, "lang": "en"}).to_string();
    stream
        .write_all(&support::message(
            "POST",
            "/bailian/funasr/asr",
            &headers,
            body.as_bytes(),
        ))
        .expect("sent");
    let mut lines = BufReader::new(&stream).lines();
    let first = lines
        .find_map(|line| line.expect("text").strip_prefix("data: ").map(String::from))
        .expect("a sentence");
    assert!(first.contains("best of times"), "{first}");
    setup.wait_for("FETCH 1");
    drop(lines);
    drop(stream);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(setup.running(), Vec::<String>::new());
}
