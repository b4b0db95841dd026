//! Object stores: servers of `ai_audio_store`, and what is read from and written to them.

use std::process::Command;
use std::time::Duration;

use sql_tests::{Client, ClientExt, Database, Oss, S3, SqlState, Stop, Value, stop, tone, wav};

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

/// Names in which every letter counts.
const NAMES: [&str; 6] = [
    "a b.wav",
    "100%41.wav",
    "what?.wav",
    "#1 + 2&3=5;~.wav",
    "客服/录音 1.wav",
    "a//b.wav",
];

fn short() -> Vec<u8> {
    wav(&tone(2), 16_000)
}

/// Minutes of sound: the same ten seconds again and again.
fn minutes(count: usize) -> Vec<i16> {
    tone(10).repeat(6 * count)
}

fn duration(client: &mut Client, source: &str) -> i32 {
    let call = "SELECT (ai_audio_info($1)->>'duration')::int";
    client
        .query_one(call, &[&source])
        .unwrap_or_else(|error| panic!("{source}: {error:?}"))
        .get(0)
}

/// A role that may use the server `calls` of this place and has this mapping.
fn loader(database: &Database, place: &str, mapping: &str) -> (sql_tests::Role, Client) {
    let mut admin = database.connect();
    let role = database.role("");
    let name = role.name();
    admin.run(&format!(
        "{SERVER} OPTIONS ({place}); GRANT USAGE ON FOREIGN SERVER calls TO {name};
         CREATE USER MAPPING FOR {name} SERVER calls OPTIONS ({mapping});
         GRANT ai_audio_write_url TO {name}"
    ));
    let client = database.connect_as(name);
    (role, client)
}

const PLAIN: &str = "access_key_id 'AKPLAIN', access_key_secret 'SKPLAIN-hush'";
const TEMPORARY: &str =
    "access_key_id 'STS.AKTEMP', access_key_secret 'SKTEMP-hush', security_token 'TOKEN-hush'";

#[test]
fn both_kinds_read_and_write_with_keys_and_with_a_token() {
    let Some(oss) = Oss::start() else { return };
    let endpoint = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let v4 = format!("{endpoint}, region 'cn-beijing'");
    let s3 = v4.replace("'oss'", "'s3'");
    for (place, mapping, signed) in [
        (&endpoint, PLAIN, "v1"),
        (&v4, PLAIN, "v4"),
        (&endpoint, TEMPORARY, "v1 token"),
        (&v4, TEMPORARY, "v4 token"),
        (&s3, PLAIN, "aws4"),
        (&s3, TEMPORARY, "aws4 token"),
    ] {
        let scheme = if signed.starts_with("aws") {
            "s3"
        } else {
            "oss"
        };
        let database = Database::new();
        let (_role, mut client) = loader(&database, place, mapping);
        for name in NAMES {
            let url = format!("{scheme}://calls/{signed}/{name}");
            let put = client.query_one("SELECT ai_audio_put($1, $2)", &[&url, &short()]);
            let put = put.unwrap_or_else(|error| panic!("{url}: {error:?}"));
            assert_eq!(put.get::<_, String>(0), url);
            assert_eq!(duration(&mut client, &url), 2000);
        }
        let mut listed: Vec<String> = client.column(&format!(
            "SELECT url FROM ai_audio_list('{scheme}://calls/{signed}/')"
        ));
        let mut expected: Vec<String> = NAMES
            .iter()
            .map(|name| format!("{scheme}://calls/{signed}/{name}"))
            .collect();
        listed.sort();
        expected.sort();
        assert_eq!(listed, expected);
        let asked = oss.log();
        let of_this: Vec<&Value> = asked
            .iter()
            .filter(|entry| {
                entry["key"]
                    .as_str()
                    .is_some_and(|key| key.starts_with(&format!("{signed}/")))
            })
            .collect();
        assert_eq!(of_this.len(), 2 * NAMES.len());
        assert!(
            of_this.iter().all(|entry| entry["signed"] == signed),
            "{of_this:?}"
        );
    }
}

#[test]
fn a_list_is_read_page_by_page() {
    let Some(oss) = Oss::start() else { return };
    for number in 0..2500 {
        oss.load(&format!("many/{number:04}.wav"), b"x");
    }
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let (_role, mut client) = loader(&database, &place, PLAIN);
    client.run("CREATE TEMP TABLE calls (url text PRIMARY KEY, modified timestamptz)");
    client.run("INSERT INTO calls SELECT url, modified FROM ai_audio_list('oss://calls/many/')");
    assert_eq!(
        client
            .value::<i64>("SELECT count(*) FROM calls WHERE modified > now() - interval '1 hour'"),
        2500
    );
    let pages = |oss: &Oss| oss.log().iter().filter(|entry| entry["key"] == "").count();
    assert_eq!(pages(&oss), 3);
    client.run("SELECT ai_audio_list('oss://calls/many/') LIMIT 5");
    assert_eq!(
        pages(&oss),
        4,
        "a page is asked for when the last one is used up"
    );
    let none: i64 = client.value("SELECT count(*) FROM ai_audio_list('oss://calls/nothing/')");
    assert_eq!(none, 0);
}

#[test]
fn what_a_store_refuses_is_told_with_what_to_do() {
    let Some(oss) = Oss::start() else { return };
    for key in ["away/a.wav", "late/a.wav", "expired/a.wav"] {
        oss.load(key, &short());
    }
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let (role, mut client) = loader(&database, &place, TEMPORARY);
    let denied = || SqlState::INSUFFICIENT_PRIVILEGE;
    let info = |key: &str| format!("SELECT ai_audio_info('oss://calls/{key}')");
    client.fails(
        &info("none.wav"),
        state("58P01"),
        &["oss://calls/none.wav", "NoSuchKey", "case-sensitive"],
    );
    client.fails(
        &info("late/a.wav"),
        denied(),
        &["RequestTimeTooSkewed", "clock"],
    );
    client.fails(
        &info("expired/a.wav"),
        denied(),
        &["SecurityTokenExpired", "new temporary key"],
    );
    client.fails(
        &info("away/a.wav"),
        state("08006"),
        &["redirects to another host"],
    );
    client.fails(
        &info("a/../b.wav"),
        SqlState::INVALID_PARAMETER_VALUE,
        &["\"..\""],
    );
    client.fails(
        "SELECT ai_audio_info('oss://calls')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["bucket, not a recording"],
    );
    for (change, said) in [
        (
            "SET access_key_secret 'WRONG-hush'",
            "SignatureDoesNotMatch",
        ),
        (
            "SET access_key_secret 'SKTEMP-hush', SET security_token 'OTHER-hush'",
            "InvalidSecurityToken",
        ),
        ("DROP security_token", "InvalidSecurityToken"),
        ("SET access_key_id 'NOBODY-hush'", "InvalidAccessKeyId"),
    ] {
        database.connect().run(&format!(
            "ALTER USER MAPPING FOR {} SERVER calls OPTIONS ({change})",
            role.name()
        ));
        let error = client.error(&info("none.wav"));
        let all = format!("{error:?}");
        assert!(
            all.contains(said) && error.hint().is_some(),
            "{change}: {all}"
        );
        assert!(!all.contains("hush"), "{all}");
        assert_eq!(*error.code(), denied());
    }
    // A wrong key is wrong for every row: it is not hidden.
    client.fails(
        "SELECT ai_audio_info('oss://calls/none.wav', '{on_error: \"null\"}')",
        denied(),
        &["InvalidAccessKeyId"],
    );
}

#[test]
fn a_busy_store_and_a_body_cut_short_are_asked_again() {
    let Some(oss) = Oss::start() else { return };
    let long = wav(&minutes(10), 16_000); // 19 MB
    oss.load("busy/a.wav", &short());
    oss.load("busy/long.wav", &long);
    oss.load("cut/a.wav", &long);
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let (_role, mut client) = loader(&database, &place, PLAIN);
    assert_eq!(duration(&mut client, "oss://calls/busy/a.wav"), 2000);
    let busy = oss.log().len();
    assert_eq!(busy, 2, "503, then the recording");
    for key in ["busy/long.wav", "cut/a.wav"] {
        let whole: Vec<u8> = client.value(&format!(
            "SELECT ai_audio_extract('oss://calls/{key}', 0, 600000)"
        ));
        assert!(whole == long, "{key}: {} bytes", whole.len());
    }
    let log = oss.log();
    let asked: Vec<&Value> = log
        .iter()
        .filter(|entry| entry["key"] == "cut/a.wav")
        .collect();
    let starts: Vec<&str> = asked
        .iter()
        .filter_map(|entry| entry["range"].as_str()?.split('-').next())
        .collect();
    let mut different = starts.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(
        different.len(),
        starts.len(),
        "nothing is asked for twice: {starts:?}"
    );
}

#[test]
fn a_redirect_to_the_same_host_is_signed_anew() {
    let Some(oss) = Oss::start() else { return };
    oss.load("a.wav", &short());
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}', region 'cn-beijing'",
        oss.port
    );
    let (_role, mut client) = loader(&database, &place, TEMPORARY);
    assert_eq!(duration(&mut client, "oss://calls/here/a.wav"), 2000);
    let log = oss.log();
    let signed: Vec<_> = log
        .iter()
        .map(|entry| (&entry["key"], &entry["signed"]))
        .collect();
    assert_eq!(
        format!("{signed:?}").matches("v4 token").count(),
        2,
        "{signed:?}"
    );
}

#[test]
fn waiting_for_a_part_ends_when_told_to() {
    let Some(oss) = Oss::start() else { return };
    oss.load("slow/a.wav", &wav(&minutes(10), 16_000));
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    database.connect().run(&format!(
        "{SERVER} OPTIONS ({place}); CREATE USER MAPPING FOR PUBLIC SERVER calls OPTIONS ({PLAIN})"
    ));
    let late = "SELECT ai_audio_extract('oss://calls/slow/a.wav', 500000, 501000)";
    for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
        stop(&database, "", late, how, Duration::from_millis(700)).assert_prompt(how);
    }
}

/// One statement, two keys: what one may read is nothing that the other one has read.
#[test]
fn results_belong_to_the_keys_they_were_read_with() {
    let Some(oss) = Oss::start() else { return };
    oss.load("a.wav", &short());
    let database = Database::new();
    let mut client = database.connect();
    client.run("SET ai_audio.allowed_hosts = '127.0.0.1'");
    let options = |secret: &str| {
        format!(
            "{{oss_ak: \"AKPLAIN\", oss_sk: \"{secret}\", endpoint: \"http://127.0.0.1:{}\"}}",
            oss.port
        )
    };
    let both = format!(
        "SELECT ai_audio_info('oss://calls/a.wav', '{}'), ai_audio_info('oss://calls/a.wav', '{}')",
        options("SKPLAIN-hush"),
        options("WRONG-hush")
    );
    client.fails(
        &both,
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["SignatureDoesNotMatch"],
    );
}

/// The numbers are those of docs/stores.md.
#[test]
fn of_a_long_recording_only_what_is_heard_is_read() {
    let Some(oss) = Oss::start() else { return };
    oss.load("long.wav", &wav(&minutes(30), 16_000)); // 58 MB
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let (_role, mut client) = loader(&database, &place, PLAIN);
    client.run("SELECT ai_audio_extract('oss://calls/long.wav', 0, 10000)");
    let sent = |oss: &Oss| -> u64 {
        let log = oss.log();
        log.iter().filter_map(|entry| entry["sent"].as_u64()).sum()
    };
    let first = sent(&oss);
    assert!(first <= 2 << 20, "the first ten seconds: {first} bytes");
    client.run("SELECT ai_audio_extract('oss://calls/long.wav', 1700000, 1710000)");
    let later = sent(&oss) - first;
    assert!(later <= 4 << 20, "ten seconds near the end: {later} bytes");
    client.run("SELECT ai_audio_info('oss://calls/long.wav')");
    let headers = sent(&oss) - first - later;
    println!("first {first}, later {later}, headers {headers}");
    let mut admin = database.connect();
    admin.run("SET ai_audio.max_size = '4GB'");
    let before = sent(&oss);
    admin.run("SELECT ai_audio_extract('oss://calls/2GB.wav', 0, 10000, '{access_key_id: \"AKPLAIN\", access_key_secret: \"SKPLAIN-hush\"}')");
    let huge = sent(&oss) - before;
    println!("2 GB: {huge}");
    assert!(huge <= 4 << 20, "ten seconds of 2 GB: {huge} bytes");
    assert!(headers <= 2 << 20, "its headers: {headers} bytes");
}

#[test]
fn servers_are_found_by_bucket_and_prefix_among_those_that_may_be_used() {
    let Some(oss) = Oss::start() else { return };
    oss.load("a/x.wav", &short());
    oss.load("b/x.wav", &short());
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let (role, mut client) = loader(&database, &format!("{place}, prefix 'a/'"), PLAIN);
    let name = role.name();
    let mut admin = database.connect();
    assert_eq!(duration(&mut client, "oss://calls/a/x.wav"), 2000);
    let b = "SELECT ai_audio_info('oss://calls/b/x.wav')";
    client.fails(
        b,
        SqlState::UNDEFINED_OBJECT,
        &["oss://calls/b/x.wav", "CREATE SERVER"],
    );
    client.fails(
        "SELECT ai_audio_info('s3://calls/a/x.wav')",
        SqlState::UNDEFINED_OBJECT,
        &["s3://calls/a/x.wav"],
    );
    client.fails(
        "SELECT ai_audio_info('oss://calls/b/x.wav', '{server: \"calls\"}')",
        SqlState::INVALID_PARAMETER_VALUE,
        &["oss://calls/a/", "oss://calls/b/x.wav"],
    );
    admin.run(&format!(
        "CREATE SERVER all_calls FOREIGN DATA WRAPPER ai_audio_store OPTIONS ({place});
         CREATE USER MAPPING FOR PUBLIC SERVER all_calls OPTIONS ({PLAIN})"
    ));
    client.fails(b, SqlState::UNDEFINED_OBJECT, &["that you may use"]);
    client.fails(
        "SELECT ai_audio_info('oss://calls/b/x.wav', '{server: \"all_calls\"}')",
        SqlState::INSUFFICIENT_PRIVILEGE,
        &[
            "permission denied for foreign server all_calls",
            "GRANT USAGE",
        ],
    );
    admin.run(&format!(
        "GRANT USAGE ON FOREIGN SERVER all_calls TO {name}"
    ));
    client.run(b); // by the mapping of PUBLIC
    client.fails(
        "SELECT ai_audio_info('oss://calls/a/x.wav')",
        SqlState::AMBIGUOUS_ALIAS,
        &["\"all_calls\" and \"calls\"", "{\"server\": \"name\"}"],
    );
    client.run("SELECT ai_audio_info('oss://calls/a/x.wav', '{server: \"calls\"}')");
    admin.run("DROP USER MAPPING FOR PUBLIC SERVER all_calls");
    client.fails(
        b,
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["AccessDenied", "anonymous"],
    );
    // The user mapping that exists is the user's, whatever others have.
    admin.fails(
        "SELECT ai_audio_info('oss://calls/a/x.wav', '{server: \"calls\"}')",
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["AccessDenied"],
    );
}

#[test]
fn keys_of_one_call_need_the_role_that_fetches_and_a_public_or_allowed_place() {
    let Some(oss) = Oss::start() else { return };
    oss.load("a.wav", &short());
    let database = Database::new();
    let role = database.role("");
    let mut admin = database.connect();
    let mut client = database.connect_as(role.name());
    let options = format!(
        "{{oss_ak: \"STS.AKTEMP\", oss_sk: \"SKTEMP-hush\", oss_token: \"TOKEN-hush\", endpoint: \"http://127.0.0.1:{}\"}}",
        oss.port
    );
    let info = format!("SELECT ai_audio_info('oss://calls/a.wav', '{options}')");
    client.fails(
        &info,
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["ai_audio_fetch_url"],
    );
    admin.run(&format!("GRANT ai_audio_fetch_url TO {}", role.name()));
    client.fails(
        &info,
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["127.0.0.1", "ai_audio.allowed_hosts"],
    );
    assert!(oss.log().is_empty());
    admin.run(&format!(
        "ALTER DATABASE {} SET ai_audio.allowed_hosts = '127.0.0.1'",
        database.name()
    ));
    let mut client = database.connect_as(role.name());
    client.run(&info);
    // On every function on a recording.
    for call in [
        "ai_audio_embed('audio_embedding', 'oss://calls/a.wav', $1)",
        "ai_audio_quality('oss://calls/a.wav', $1)",
        "ai_audio_vad('oss://calls/a.wav', $1)",
        "ai_audio_enhance('oss://calls/a.wav', $1)",
        "ai_audio_verify('oss://calls/a.wav', 'oss://calls/a.wav', $1)",
        "ai_audio_diarize('oss://calls/a.wav', $1)",
        "ai_audio_segments('oss://calls/a.wav', $1)",
        "ai_audio_extract('oss://calls/a.wav', 0, 500, $1)",
        "ai_audio_transcribe('moonshine-tiny-en', 'oss://calls/a.wav', $1)",
        "ai_audio_sentences('oss://calls/a.wav', 'moonshine-tiny-en', $1)",
        "ai_audio_detect_language('oss://calls/a.wav', 'whisper-base', $1)",
        "count(*) FROM ai_audio_list('oss://calls/', $1)",
        "ai_audio_presign('oss://calls/a.wav', 60, $1)",
    ] {
        let before = oss.log().len();
        let outcome = client.query(&format!("SELECT {call}"), &[&options]);
        // A tone holds no speech; that the store gave it is what counts here.
        if let Err(error) = outcome {
            let said = format!("{error:?}");
            assert!(!said.contains("hush"), "{said}");
            assert!(oss.log().len() > before, "{call}: {said}");
        }
    }
    for (wrong, said) in [
        ("{oss_ak: \"a\"}", "access_key_secret"),
        (
            "{oss_ak: \"a\", access_key_id: \"b\", oss_sk: \"hush\"}",
            "two names",
        ),
        ("{oss_ak: \"a\", oss_sk: 7777}", "expected a text"),
        ("{oss_ak: \"a\", oss_sk: \"hu sh\"}", "blanks"),
        ("{oss_ak: \"a\", oss_sk: \"hush\"}", "endpoint"),
        (
            "{oss_ak: \"a\", oss_sk: \"hush\", endpoint: \"example.com\"}",
            "endpoint",
        ),
        ("{server: \"calls\", region: \"cn-beijing\"}", "server"),
        ("{oss_ak: \"a\", oss_sk: \"hush\" oops", "options must be"),
    ] {
        let error = client.error(&format!(
            "SELECT ai_audio_info('oss://calls/a.wav', '{wrong}')"
        ));
        let all = format!("{error:?}").replace('\\', "");
        assert!(all.contains(said), "{wrong}: {all}");
        assert!(
            !all.contains("hush") && !all.contains("7777") && !all.contains("hu sh"),
            "{all}"
        );
    }
    let error = client.error(
        "SELECT ai_audio_info('https://example.com/a.wav', '{oss_ak: \"a\", oss_sk: \"hush\"}')",
    );
    assert!(error.message().contains("not one of Alibaba"), "{error:?}");
}

#[test]
fn writing_needs_its_role_and_temporary_urls_work_for_everybody() {
    let Some(oss) = Oss::start() else { return };
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}', region 'cn-beijing'",
        oss.port
    );
    let (role, mut client) = loader(&database, &place, TEMPORARY);
    let mut admin = database.connect();
    admin.run(&format!("REVOKE ai_audio_write_url FROM {}", role.name()));
    let put = "SELECT ai_audio_put('oss://calls/out/a.wav', '\\x52494646')";
    client.fails(
        put,
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["ai_audio_write_url"],
    );
    admin.run(&format!("GRANT ai_audio_write_url TO {}", role.name()));
    client.run(put);
    let url: String = client.value("SELECT ai_audio_presign('oss://calls/out/a.wav', 60)");
    assert!(
        url.starts_with("http://127.0.0.1") && !url.contains("SKTEMP"),
        "{url}"
    );
    let fetched = Command::new("curl")
        .args(["-sf", &url])
        .output()
        .expect("curl runs");
    assert_eq!(fetched.stdout, b"RIFF");
    for (seconds, said) in [("0", "604800"), ("604801", "604800")] {
        client.fails(
            &format!("SELECT ai_audio_presign('oss://calls/a', {seconds})"),
            SqlState::INVALID_PARAMETER_VALUE,
            &[said],
        );
    }
    for call in [
        "ai_audio_put('/tmp/x', 'x')",
        "ai_audio_presign('https://example.com/x')",
        "count(*) FROM ai_audio_list('/tmp/')",
    ] {
        client.fails(
            &format!("SELECT {call}"),
            SqlState::INVALID_PARAMETER_VALUE,
            &["oss://bucket/key"],
        );
    }
    let null: bool =
        client.value("SELECT ai_audio_put(NULL, 'x') IS NULL AND ai_audio_presign(NULL) IS NULL");
    assert!(null);
}

#[test]
fn transcripts_go_to_a_store_and_come_back_as_a_url() {
    let Some(oss) = Oss::start() else { return };
    let database = Database::new();
    let place = format!(
        "kind 'oss', bucket 'calls', endpoint 'http://127.0.0.1:{}'",
        oss.port
    );
    let (role, mut client) = loader(&database, &place, PLAIN);
    let speech = std::fs::read(sql_tests::clip("june-1.wav")).expect("a clip");
    oss.load("june 1.wav", &speech);
    let call = |options: &str| {
        format!(
            "SELECT ai_audio_transcribe('moonshine-tiny-en', 'oss://calls/june 1.wav', '{options}')"
        )
    };
    let url_only = "{output_type: \"url\", diarization: false}";
    client.fails(
        &call(url_only),
        SqlState::INVALID_PARAMETER_VALUE,
        &["result", "ai_audio.result_store"],
    );
    let url: String = client.value(&call(
        "{output_type: \"url\", diarization: false, result: \"oss://calls/results\"}",
    ));
    let fetch = |url: &str| -> Value {
        let fetched = Command::new("curl")
            .args(["-sf", url])
            .output()
            .expect("curl runs");
        serde_json::from_slice(&fetched.stdout).unwrap_or_else(|e| panic!("{url}: {e}"))
    };
    let document = fetch(&url);
    assert_eq!(document["file_url"], "oss://calls/june 1.wav");
    let written: Vec<String> =
        client.column("SELECT url FROM ai_audio_list('oss://calls/results/')");
    assert!(
        written.len() == 1 && written[0].starts_with("oss://calls/results/june_1-"),
        "{written:?}"
    );
    client.run("SET ai_audio.result_store = 'oss://calls/results/'");
    let again: String = client.value(&call(url_only));
    assert_eq!(fetch(&again), document);
    let count: i64 = client.value("SELECT count(*) FROM ai_audio_list('oss://calls/results/')");
    assert_eq!(count, 1, "the same document has the same name");
    client.fails(
        "SET ai_audio.result_store = '/tmp'",
        SqlState::INVALID_PARAMETER_VALUE,
        &["oss://bucket/prefix/"],
    );
    database
        .connect()
        .run(&format!("REVOKE ai_audio_write_url FROM {}", role.name()));
    client.fails(
        &call(url_only),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["ai_audio_write_url"],
    );
}

#[test]
fn a_real_s3_server_end_to_end() {
    let Some(s3) = S3::start() else { return };
    let database = Database::new();
    let key = "access_key_id 'AKTEST', access_key_secret 'SKTEST-hush'";
    let place = |bucket: &str| {
        format!(
            "kind 's3', bucket '{bucket}', endpoint 'http://127.0.0.1:{}'",
            s3.port
        )
    };
    let (role, mut client) = loader(&database, &place("my.calls"), key);
    s3.create("my.calls");
    for name in NAMES.iter().filter(|name| !name.contains("//")) {
        let url = format!("s3://my.calls/2026/{name}");
        let put = client.query_one("SELECT ai_audio_put($1, $2)", &[&url, &short()]);
        put.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        assert_eq!(duration(&mut client, &url), 2000);
    }
    let listed: i64 = client.value("SELECT count(*) FROM ai_audio_list('s3://my.calls/2026/') WHERE size > 60000 AND etag <> ''");
    assert_eq!(listed, 5);
    let long = wav(&minutes(10), 16_000);
    client
        .query_one(
            "SELECT ai_audio_put('s3://my.calls/long.wav', $1)",
            &[&long],
        )
        .expect("19 MB");
    let cut: Vec<u8> =
        client.value("SELECT ai_audio_extract('s3://my.calls/long.wav', 590000, 600000)");
    assert_eq!(cut, wav(&tone(10), 16_000));
    let url: String = client.value("SELECT ai_audio_presign('s3://my.calls/2026/a b.wav')");
    let fetched = Command::new("curl")
        .args(["-sf", &url])
        .output()
        .expect("curl runs");
    assert_eq!(fetched.stdout, short());
    client.fails(
        "SELECT ai_audio_info('s3://my.calls/none.wav')",
        state("58P01"),
        &["NoSuchKey"],
    );
    for (change, said) in [
        (
            "SET access_key_secret 'WRONG-hush'",
            "SignatureDoesNotMatch",
        ),
        (
            "SET access_key_secret 'SKTEST-hush', ADD security_token 'TOKEN-hush'",
            "InvalidAccessKeyId",
        ),
    ] {
        database.connect().run(&format!(
            "ALTER USER MAPPING FOR {} SERVER calls OPTIONS ({change})",
            role.name()
        ));
        let error = client.error("SELECT ai_audio_info('s3://my.calls/long.wav')");
        let all = format!("{error:?}");
        assert!(all.contains(said) && !all.contains("hush"), "{all}");
    }
}
