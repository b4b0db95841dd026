//! Keys: who is let in, and what the role behind a key may do.

mod support;

use sql_tests::{ClientExt, clip, json};
use support::{Setup, wait};

#[test]
fn only_valid_keys_are_let_in() {
    let setup = Setup::new();
    setup
        .service
        .request("GET", "/voice/query", &[], b"")
        .fails(401, "Authorization: Bearer");
    setup
        .send("", "GET", "/voice/query", &[], b"")
        .fails(401, "an API key is needed");
    for wrong in [
        "x",
        "aia_aaaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &setup.key[..setup.key.len() - 1],
    ] {
        setup
            .send(wrong, "GET", "/voice/query", &[], b"")
            .fails(401, "unknown, expired or revoked");
    }
    // The right id with another secret.
    let flipped = format!(
        "{}{}",
        &setup.key[..setup.key.len() - 1],
        if setup.key.ends_with('A') { "E" } else { "A" }
    );
    setup
        .send(&flipped, "GET", "/voice/query", &[], b"")
        .fails(401, "unknown");
    assert_eq!(setup.get("/voice/query").status, 200);
}

#[test]
fn a_revoked_or_expired_key_is_refused_at_once() {
    let setup = Setup::new();
    let id = setup.key.split('_').nth(1).expect("an id").to_string();
    assert_eq!(setup.get("/voice/query").status, 200);
    setup.run(&["key", "revoke", &id]);
    setup.get("/voice/query").fails(401, "revoked");
    let short = setup.key_for(setup.analyst.name(), &["--expires", "1 second"]);
    assert_eq!(
        setup.send(&short, "GET", "/voice/query", &[], b"").status,
        200
    );
    wait("the key's end", || {
        setup.send(&short, "GET", "/voice/query", &[], b"").status == 401
    });
    let list = setup.run(&["key", "list"]);
    assert!(
        list.contains("revoked") && list.contains("expired"),
        "{list}"
    );
}

#[test]
fn the_table_holds_no_key() {
    let setup = Setup::new();
    let row: String = setup
        .database
        .connect()
        .value("SELECT string_agg(k::text, ' ') FROM ai_audio_server.keys k");
    let secret = setup.key.rsplit('_').next().expect("a secret");
    assert!(!row.contains(secret), "{row}");
    // Nor may the key's role look at the table.
    let error = setup
        .database
        .connect_as(setup.analyst.name())
        .error("SELECT * FROM ai_audio_server.keys");
    assert_eq!(error.code().code(), "42501");
}

#[test]
fn a_key_may_do_what_its_role_may() {
    let setup = Setup::new();
    setup.enrol("June", "june-1.wav");
    setup.enrol("Diane", "diane-1.wav");
    let reader = setup.database.role("");
    let name = reader.name();
    setup.database.connect().run(&format!(
        "GRANT USAGE ON SCHEMA ai TO {name}; GRANT SELECT ON ai.voices TO {name};
         ALTER TABLE ai.voices ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON ai.voices TO {name} USING (name = 'June')"
    ));
    let key = setup.key_for(name, &[]);
    let seen = setup.send(&key, "GET", "/voice/query", &[], b"").json();
    assert_eq!(
        (seen["message"].as_str(), seen["result"][0]["name"].as_str()),
        (Some("Found 1 voiceprint records"), Some("June"))
    );
    // A search finds the one voice that the role sees, however like another one the recording is.
    let diane = support::bytes("diane-2.wav");
    let hits = setup
        .send(
            &key,
            "POST",
            "/voice/search?top_k=5",
            &[("Content-Type", "audio/wav")],
            &diane,
        )
        .json();
    assert_eq!(hits["result"].as_array().map(Vec::len), Some(1), "{hits}");
    setup
        .send(&key, "DELETE", "/voice/delete?name=June", &[], b"")
        .fails(403, "permission denied");
    setup
        .post_as(
            &key,
            "/voice/enroll",
            json!({"audio_url": clip("june-2.wav"), "name": "x"}),
        )
        .fails(403, "pg_read_server_files");
    setup
        .send(
            &key,
            "POST",
            "/voice/enroll?name=x",
            &[("Content-Type", "audio/wav")],
            &diane,
        )
        .fails(403, "permission denied");
    drop(setup.service);
}

#[test]
fn a_role_that_is_gone_or_no_role_of_the_service_is_refused() {
    let setup = Setup::new();
    let other = setup.database.role("");
    let key = setup.key_for(other.name(), &[]);
    setup.database.connect().run(&format!(
        "REVOKE {} FROM {}",
        other.name(),
        setup.login.name()
    ));
    setup
        .send(&key, "GET", "/voice/query", &[], b"")
        .fails(403, "no member of it");
    assert_eq!(setup.get("/voice/query").status, 200);
}
