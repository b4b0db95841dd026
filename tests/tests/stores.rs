//! Object stores: servers of `ai_audio_store`, and what is read from and written to them.

use sql_tests::{Client, ClientExt, Database, SqlState};

const SERVER: &str = "CREATE SERVER calls FOREIGN DATA WRAPPER ai_audio_store";

fn state(code: &str) -> SqlState {
    SqlState::from_code(code)
}

#[test]
fn wrong_options_are_named_with_the_nearest_right_one() {
    let database = Database::new();
    let mut client = database.connect();
    let (name, value, missing) = ("HV00D", "HV024", "HV00J");
    for (options, code, said) in [
        (
            "kind 'oss', buket 'calls'",
            name,
            &[
                "buket",
                "Perhaps you meant the option \"bucket\"",
                "path_style",
            ][..],
        ),
        (
            "kind 'oss', zzz 'calls'",
            name,
            &["zzz", "Valid options here: kind, bucket"],
        ),
        (
            "kind 's3', bucket 'calls', access_key_id 'AK'",
            name,
            &["access_key_id", "option of a user mapping"],
        ),
        ("bucket 'calls'", missing, &["kind"]),
        ("kind 's3'", missing, &["bucket"]),
        (
            "kind 'gcs', bucket 'calls'",
            value,
            &["kind", "'oss' or 's3'", "gcs"],
        ),
        ("kind 's3', bucket ''", value, &["bucket", "empty"]),
        ("kind 's3', bucket 'a/b'", value, &["bucket", "letters"]),
        ("kind 'oss', bucket 'calls'", value, &["endpoint", "region"]),
        (
            "kind 's3', bucket 'calls', endpoint 'example.com'",
            value,
            &["endpoint", "https://oss-cn-beijing.aliyuncs.com"],
        ),
        (
            "kind 's3', bucket 'calls', endpoint 'https://u:pw@example.com'",
            value,
            &["endpoint"],
        ),
        (
            "kind 's3', bucket 'calls', path_style 'maybe'",
            value,
            &["path_style", "'true' or 'false'"],
        ),
        (
            "kind 's3', bucket 'calls', region 'a b'",
            value,
            &["region"],
        ),
    ] {
        client.fails(&format!("{SERVER} OPTIONS ({options})"), state(code), said);
    }
    client.run(&format!("{SERVER} OPTIONS (kind 's3', bucket 'calls')"));
    client.fails(
        "ALTER SERVER calls OPTIONS (DROP bucket)",
        state(missing),
        &["bucket"],
    );
    client.fails(
        "ALTER SERVER calls OPTIONS (SET kind 'oss')",
        state(value),
        &["endpoint"],
    );
    client.run("ALTER SERVER calls OPTIONS (SET kind 'oss', ADD region 'cn-beijing')");
    client.fails(
        "CREATE FOREIGN TABLE t (a int) SERVER calls",
        SqlState::WRONG_OBJECT_TYPE,
        &["no foreign tables"],
    );
    client.fails(
        "CREATE SERVER more FOREIGN DATA WRAPPER ai_audio_store",
        state(missing),
        &["kind"],
    );
}

/// What a session hears about its own statement aside, Postgres hands its errors to the log: the value is not in them.
#[test]
fn a_wrong_user_mapping_does_not_repeat_its_secrets() {
    let database = Database::new();
    let mut client = database.connect();
    client.run(&format!("{SERVER} OPTIONS (kind 's3', bucket 'calls')"));
    let mapping = "CREATE USER MAPPING FOR CURRENT_USER SERVER calls OPTIONS";
    for (options, said) in [
        ("access_key_secret 's3cr et'", "access_key_secret"),
        (
            "acces_key_secret 's3cret'",
            "Perhaps you meant the option \"access_key_secret\"",
        ),
        ("region 's3cret'", "option of a server"),
        ("security_token E's3cret\\n'", "security_token"),
    ] {
        let error = client.error(&format!("{mapping} ({options})"));
        let all = format!(
            "{} {:?} {:?}",
            error.message(),
            error.detail(),
            error.hint()
        );
        assert!(all.replace('\\', "").contains(said), "{all}");
        assert!(!all.contains("s3cr"), "{all}");
    }
    client.run(&format!(
        "{mapping} (access_key_id 'AK', access_key_secret 'SK', security_token 'T')"
    ));
    client.run("ALTER USER MAPPING FOR CURRENT_USER SERVER calls OPTIONS (DROP security_token, SET access_key_id 'AK2')");
    depends(&mut client);
}

fn depends(client: &mut Client) {
    client.fails(
        "DROP SERVER calls",
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
        &["user mapping"],
    );
    client.fails(
        "DROP EXTENSION ai_audio",
        SqlState::DEPENDENT_OBJECTS_STILL_EXIST,
        &["server calls"],
    );
    client.run("DROP SERVER calls CASCADE");
    client.run("DROP EXTENSION ai_audio");
}
