//! Who may read what: files, URLs and bytes, by privilege, place and size; and what is said, and not said, about the rest.
//!
//! Long, because a test per promise about sources.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sql_tests::{Client, ClientExt, Database, Scratch, SqlState, Stop, stop, tone, wav};

const FILE_ROLE: &str = "pg_read_server_files";
const URL_ROLE: &str = "ai_audio_fetch_url";

/// Connects as superuser with this machine's test servers allowed.
fn connect(database: &Database) -> Client {
    let mut client = database.connect();
    client.run("SET ai_audio.allowed_hosts = '127.0.0.1'");
    client
}

fn info(source: &str) -> String {
    format!("SELECT ai_audio_info('{source}')")
}

/// Starts a web server that answers every request with `respond`, and returns its address.
fn serve(respond: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let respond = Arc::new(respond);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let respond = Arc::clone(&respond);
            thread::spawn(move || {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                reader.read_line(&mut line).expect("a request");
                while reader.read_line(&mut String::new()).is_ok_and(|n| n > 2) {}
                respond(&line, &mut stream);
            });
        }
    });
    address.to_string()
}

/// A web server with one recording.
fn serve_recording(seconds: u32) -> String {
    let body = wav(&tone(seconds), 16_000);
    serve(move |_, stream| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body));
    })
}

fn serve_text(answer: impl Into<String>) -> String {
    let answer = answer.into();
    serve(move |_, stream| drop(stream.write_all(answer.as_bytes())))
}

/// One byte every tenth of a second, for ever.
fn serve_drips() -> String {
    serve(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"R").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    })
}

#[test]
fn files_need_the_role_that_reads_server_files() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("a.wav", &wav(&tone(1), 16_000));
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    for source in [
        path.clone(),
        format!("file://{path}"),
        "/does/not/exist".into(),
    ] {
        client.fails(
            &info(&source),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &["permission denied", FILE_ROLE],
        );
    }
    database
        .connect()
        .run(&format!("GRANT {FILE_ROLE} TO {}", role.name()));
    client.run(&info(&path));
    client.fails(
        &info("http://8.8.8.8/"),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &[URL_ROLE],
    );
}

#[test]
fn urls_need_the_role_that_fetches() {
    let database = Database::new();
    let url = format!("http://{}/a.wav", serve_recording(1));
    database.connect().run(&format!(
        "ALTER DATABASE {} SET ai_audio.allowed_hosts = '127.0.0.1'",
        database.name()
    ));
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    client.fails(
        &info(&url),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["permission denied", URL_ROLE],
    );
    database
        .connect()
        .run(&format!("GRANT {URL_ROLE} TO {}", role.name()));
    client.run(&info(&url));
    client.fails(
        &info("/etc/passwd"),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &[FILE_ROLE],
    );
}

#[test]
fn bytes_need_no_privilege() {
    let database = Database::new();
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    let hex: String = wav(&tone(1), 16_000)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let duration: i32 = client.value(&format!(
        "SELECT (ai_audio_info('\\x{hex}'::bytea)->>'duration')::int"
    ));
    assert_eq!(duration, 1000);
}

/// What counts is the user whose privileges are in force, as for every other permission in Postgres.
#[test]
fn the_current_user_counts() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("a.wav", &wav(&tone(1), 16_000));
    let (plain, reader) = (database.role(""), database.role(""));
    let mut admin = database.connect();
    admin.run(&format!("GRANT {FILE_ROLE} TO {}", reader.name()));
    admin.run(&format!(
        "CREATE FUNCTION lent(path text) RETURNS jsonb LANGUAGE sql SECURITY DEFINER AS 'SELECT ai_audio_info(path)';
         CREATE FUNCTION own(path text) RETURNS jsonb LANGUAGE sql AS 'SELECT ai_audio_info(path)';
         ALTER FUNCTION lent OWNER TO {}",
        reader.name()
    ));
    admin.run(&format!("SET ROLE {}", plain.name()));
    admin.fails(&info(&path), SqlState::INSUFFICIENT_PRIVILEGE, &[FILE_ROLE]);
    let mut client = database.connect_as(plain.name());
    client.fails(
        &format!("SELECT own('{path}')"),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &[FILE_ROLE],
    );
    client.run(&format!("SELECT lent('{path}')"));
}

#[test]
fn a_role_that_does_not_inherit_has_to_be_taken_on() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("a.wav", &wav(&tone(1), 16_000));
    let (group, member) = (database.role(""), database.role("NOINHERIT"));
    database.connect().run(&format!(
        "GRANT {FILE_ROLE} TO {0}; GRANT {0} TO {1}",
        group.name(),
        member.name()
    ));
    let mut client = database.connect_as(member.name());
    client.fails(&info(&path), SqlState::INSUFFICIENT_PRIVILEGE, &[FILE_ROLE]);
    client.run(&format!("SET ROLE {}", group.name()));
    client.run(&info(&path));
}

#[test]
fn limits_and_lists_are_the_administrators() {
    let database = Database::new();
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    let guarded = [
        "allowed_dirs",
        "allowed_hosts",
        "max_size",
        "max_duration",
        "fetch_timeout",
        "connect_timeout",
        "max_redirects",
        "onnxruntime_library",
        "model_dir",
        "cache_dir",
        "threads",
    ];
    // A session that has not loaded the library yet knows none of them.
    client.run("SELECT ai_audio_version()");
    for setting in guarded {
        client.fails(
            &format!("SET ai_audio.{setting} = '1'"),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &[setting],
        );
    }
    for setting in [
        "allowed_dirs",
        "allowed_hosts",
        "onnxruntime_library",
        "model_dir",
        "cache_dir",
    ] {
        client.fails(
            &format!("SHOW ai_audio.{setting}"),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &[setting],
        );
    }
}

/// Before a session has loaded the library, Postgres lets anybody set anything under a name with a dot.
#[test]
fn what_was_set_before_the_library_was_loaded_does_not_count() {
    let (database, inside, outside) = (Database::new(), Scratch::new(), Scratch::new());
    let audio = wav(&tone(1), 16_000);
    let (fine, secret) = (inside.file("a.wav", &audio), outside.file("b.wav", &audio));
    let role = database.role("");
    let mut admin = database.connect();
    admin.run(&format!("GRANT {FILE_ROLE}, {URL_ROLE} TO {}", role.name()));
    let folder = inside.path("").display().to_string();
    admin.run(&format!(
        "ALTER DATABASE {} SET ai_audio.allowed_dirs = '{folder}'",
        database.name()
    ));
    let mut client = database.connect_as(role.name());
    client.run("SET ai_audio.allowed_dirs = ''; SET ai_audio.allowed_hosts = '127.0.0.1'");
    let denied = SqlState::INSUFFICIENT_PRIVILEGE;
    client.fails(&info(&secret), denied.clone(), &["outside"]);
    client.fails(&info("http://127.0.0.1:1/"), denied, &["not allowed"]);
    client.run(&info(&fine));
}

#[test]
fn a_list_of_hosts_that_cannot_work_is_refused() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("SELECT ai_audio_version()"); // loads the library, which knows the setting
    for entry in ["*", "https://example.com", "example.com/path", "host:port"] {
        client.fails(
            &format!("SET ai_audio.allowed_hosts = 'example.com, {entry}'"),
            SqlState::INVALID_PARAMETER_VALUE,
            &["allowed_hosts", entry],
        );
    }
    client
        .run("SET ai_audio.allowed_hosts = 'a.example:9000, *.b.example, 10.0.0.1, [fd00::1]:80,'");
}

#[test]
fn a_list_of_no_directories_allows_none() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let path = scratch.file("a.wav", &wav(&tone(1), 16_000));
    let mut client = database.connect();
    for list in [":", "relative", "/does/not/exist"] {
        client.run(&format!("SET ai_audio.allowed_dirs = '{list}'"));
        client.fails(&info(&path), SqlState::INSUFFICIENT_PRIVILEGE, &["outside"]);
    }
    client.run("SET ai_audio.allowed_dirs = ''");
    client.run(&info(&path));
}

#[test]
fn allowed_directories_hold_after_links() {
    let (database, inside, outside) = (Database::new(), Scratch::new(), Scratch::new());
    let audio = wav(&tone(1), 16_000);
    let (fine, secret) = (inside.file("a.wav", &audio), outside.file("b.wav", &audio));
    symlink(&secret, inside.path("link.wav")).expect("a link");
    let folder = |scratch: &Scratch| scratch.path("").display().to_string();
    let mut client = database.connect();
    client.run(&format!(
        "SET ai_audio.allowed_dirs = '/does/not/exist:{}'",
        folder(&inside)
    ));
    client.run(&info(&fine));
    let link = inside.path("link.wav").display().to_string();
    let beside = Path::new(&secret).strip_prefix(inside.path("").parent().expect("a parent"));
    let dots = inside
        .path("..")
        .join(beside.expect("scratch folders lie side by side"));
    let dots = dots.display().to_string();
    for path in [
        secret.clone(),
        link.clone(),
        dots,
        "/does/not/exist.wav".into(),
    ] {
        client.fails(
            &info(&path),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &["outside the allowed directories"],
        );
    }
    client.run(&format!(
        "SET ai_audio.allowed_dirs = '{}:{}'",
        folder(&inside),
        folder(&outside)
    ));
    client.run(&info(&link));
}

#[test]
fn only_regular_files_of_a_bearable_size_are_opened() {
    let (database, scratch) = (Database::new(), Scratch::new());
    let mut client = database.connect();
    let fifo = scratch.path("fifo");
    assert!(
        Command::new("mkfifo")
            .args(["-m", "666"])
            .arg(&fifo)
            .status()
            .expect("mkfifo")
            .success()
    );
    for (path, kind) in [
        (fifo.display().to_string(), "named pipe"),
        ("/dev/zero".into(), "device"),
        ("/tmp".into(), "directory"),
    ] {
        client.fails(
            &info(&path),
            SqlState::WRONG_OBJECT_TYPE,
            &[&path, kind, "regular file"],
        );
    }
    client.fails(
        &info("/does/not/exist.wav"),
        SqlState::UNDEFINED_FILE,
        &["/does/not/exist.wav", "server"],
    );
    let large = scratch.file("large.wav", &wav(&tone(40), 16_000));
    client.run("SET ai_audio.max_size = '1MB'");
    client.fails(
        "SELECT ai_audio_info(convert_to(repeat('x', 1048577), 'UTF8'))",
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        &["1048577", "ai_audio.max_size"],
    );
    client.fails(
        &info(&large),
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        &["1280044", "1048576"],
    );
}

#[test]
fn a_file_that_the_server_may_not_read_says_so() {
    let database = Database::new();
    let mut client = database.connect();
    // Nobody runs a database server as root, and only root reads this.
    client.fails(
        &info("/etc/shadow"),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["/etc/shadow", "operating system user"],
    );
}

#[test]
fn texts_that_name_nothing_get_told_what_would() {
    let database = Database::new();
    let mut client = database.connect();
    let invalid = SqlState::INVALID_PARAMETER_VALUE;
    client.fails(
        &info("a.wav"),
        invalid.clone(),
        &["a.wav", "absolute path", "working directory"],
    );
    client.fails(&info(""), invalid.clone(), &["empty"]);
    client.fails(&info("file://host/a.wav"), invalid.clone(), &["host"]);
    client.fails(&info("http://[::1/"), invalid, &["not a usable source"]);
    client.fails(
        &info("gs://bucket/a.wav"),
        SqlState::FEATURE_NOT_SUPPORTED,
        &["gs", "https://", "oss://", "s3://"],
    );
    assert!(
        client
            .value::<Option<String>>("SELECT ai_audio_info(NULL::text)::text")
            .is_none()
    );
}

#[test]
fn a_url_is_fetched_large_and_small() {
    let database = Database::new();
    let mut client = connect(&database);
    for seconds in [1, 300] {
        let address = serve_recording(seconds);
        let redirect = serve_text(format!(
            "HTTP/1.1 302 Found\r\nLocation: http://{address}/a.wav\r\n\r\n"
        ));
        let duration: i32 = client.value(&format!(
            "SELECT (ai_audio_info('http://{redirect}/')->>'duration')::int"
        ));
        assert_eq!(duration, seconds as i32 * 1000);
    }
    client.run("SET ai_audio.max_size = '1MB'");
    let url = format!("http://{}/", serve_recording(40));
    client.fails(&info(&url), SqlState::PROGRAM_LIMIT_EXCEEDED, &["1048576"]);
    client.run("SET ai_audio.max_redirects = 0");
    let redirect = serve_text("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n");
    client.fails(
        &info(&format!("http://{redirect}/")),
        SqlState::CONNECTION_FAILURE,
        &["redirects"],
    );
}

#[test]
fn addresses_inside_are_not_called() {
    let database = Database::new();
    let address = serve_recording(1);
    let port = address.rsplit(':').next().expect("a port").to_string();
    let mut client = database.connect();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[64:ff9b::a00:1]",
        "[2002:7f00:1::]",
        "224.0.0.1",
        "255.255.255.255",
    ];
    for host in hosts {
        client.fails(
            &info(&format!("http://{host}:{port}/a.wav")),
            SqlState::INSUFFICIENT_PRIVILEGE,
            &["not allowed", "ai_audio.allowed_hosts"],
        );
    }
    let redirect = serve_text(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{address}/\r\n\r\n"
    ));
    client.run(&format!("SET ai_audio.allowed_hosts = '{redirect}'"));
    client.fails(
        &info(&format!("http://{redirect}/")),
        SqlState::INSUFFICIENT_PRIVILEGE,
        &["not allowed"],
    );
    client.run(&format!(
        "SET ai_audio.allowed_hosts = '{redirect}, {address}'"
    ));
    client.run(&info(&format!("http://{redirect}/")));
}

#[test]
fn failing_servers_are_errors_and_with_on_error_null_rows() {
    let database = Database::new();
    let (mut client, notices) = database.connect_noting();
    client.run("SET ai_audio.allowed_hosts = '127.0.0.1'; SET ai_audio.fetch_timeout = '300ms'");
    let absent = serve_text("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let garbage = serve_text("what?\r\n\r\n");
    let drips = serve_drips();
    for (address, said) in [(&absent, "404"), (&garbage, "fetching"), (&drips, "300 ms")] {
        let url = format!("http://me:s3cret@{address}/a.wav?sig=s3cret");
        client.fails(&info(&url), SqlState::CONNECTION_FAILURE, &[said, address]);
        let nulled = format!(
            "SELECT ai_audio_embed('audio_embedding', '{url}', '{{\"on_error\": \"null\"}}')::text"
        );
        assert_eq!(client.value::<Option<String>>(&nulled), None);
    }
    let heard = format!("{:?}", notices.lock().expect("not poisoned"));
    assert!(
        heard.contains("404") && heard.contains("WARNING"),
        "{heard}"
    );
    assert!(!heard.contains("s3cret"), "{heard}");
}

#[test]
fn privileges_are_not_a_matter_of_on_error() {
    let database = Database::new();
    let role = database.role("");
    let mut client = database.connect_as(role.name());
    let sql = "SELECT ai_audio_embed('audio_embedding', '/etc/passwd', '{\"on_error\": \"null\"}')";
    client.fails(sql, SqlState::INSUFFICIENT_PRIVILEGE, &[FILE_ROLE]);
}

/// User-info, query and fragment of a URL may be keys. (What a statement itself says, Postgres may print:
/// that is why the documentation passes such URLs as parameters.)
#[test]
fn secrets_are_not_repeated() {
    let database = Database::new();
    let mut client = connect(&database);
    client.run(
        "SET ai_audio.fetch_timeout = '300ms'; PREPARE info(text) AS SELECT ai_audio_info($1)",
    );
    let answers = [
        serve_text("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
        serve_text("HTTP/1.1 302 Found\r\nLocation: http://s3cret:s3cret@10.0.0.1/?s3cret\r\n\r\n"),
        serve_text("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot audio"),
        serve_text("nonsense"),
        serve_drips(),
        "127.0.0.1:1".into(),
        "10.0.0.1".into(),
        "bad host".into(),
        "does-not-exist.invalid".into(),
    ];
    for address in answers {
        for url in [
            format!("http://me:s3cret@{address}/a.wav?X-Amz-Signature=s3cret#s3cret"),
            format!("s3://me:s3cret@{address}/a.wav?s3cret"),
            format!("{address}/a.wav?s3cret"),
        ] {
            let error = client.error(&format!("EXECUTE info('{url}')"));
            let said = format!(
                "{:?} {:?} {:?} {:?}",
                error.message(),
                error.detail(),
                error.hint(),
                error.where_()
            );
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
}

#[test]
fn a_plan_does_not_show_the_url_of_the_search() {
    let database = Database::new();
    let mut client = database.connect();
    client.run("CREATE TABLE voices (voiceprint vector(192))");
    let search = "SELECT cosine_similarity(voiceprint, ai_audio_embed('https://me:s3cret@example.com/a.wav?s3cret')) AS s
                  FROM voices ORDER BY s DESC LIMIT 3";
    let plan = client
        .column::<String>(&format!("EXPLAIN {search}"))
        .join("\n");
    assert!(plan.contains("Scan") && !plan.contains("s3cret"), "{plan}");
}

/// Postgres computes stable functions of constants while it plans, to estimate; these are too costly, and read too much,
/// for a statement that may never run.
#[test]
fn planning_reads_nothing() {
    let database = Database::new();
    let mut client = database.connect();
    for call in [
        "ai_audio_info('/does/not/exist')::text",
        "ai_audio_transcribe('/does/not/exist')",
        "ai_audio_embed('/does/not/exist')::text",
    ] {
        let query = format!("SELECT FROM pg_class WHERE relname = {call}");
        client.run(&format!("EXPLAIN {query}"));
        client.fails(&query, SqlState::UNDEFINED_FILE, &["/does/not/exist"]);
    }
}

#[test]
fn fetching_stops_when_told_to() {
    let database = Database::new();
    let silent = serve(|_, stream| drop(BufReader::new(stream).read_line(&mut String::new())));
    for address in [serve_drips(), silent] {
        let url = format!("http://{address}/a.wav");
        let setup = "SET ai_audio.allowed_hosts = '127.0.0.1'; SET ai_audio.fetch_timeout = '1h'";
        for how in [Stop::StatementTimeout, Stop::Cancel, Stop::Terminate] {
            let head_start = Duration::from_millis(700);
            stop(&database, setup, &info(&url), how, head_start).assert_prompt(how);
        }
    }
}

#[test]
fn a_session_fetches_on_after_a_cancelled_fetch() {
    let database = Database::new();
    let mut client = connect(&database);
    client.run("SET statement_timeout = 300");
    client.fails(
        &info(&format!("http://{}/", serve_drips())),
        SqlState::QUERY_CANCELED,
        &[],
    );
    client.run("SET statement_timeout = 0");
    client.run(&info(&format!("http://{}/", serve_recording(1))));
}

#[test]
fn fetching_leaves_nothing_behind() {
    let database = Database::new();
    let mut client = connect(&database);
    let url = format!("http://{}/", serve_recording(300));
    client.run(&info(&url));
    let pid = client.pid();
    let open = || std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    let before = open();
    for _ in 0..5 {
        client.run(&info(&url));
        client.error(&info("http://127.0.0.1:1/"));
    }
    if let (Ok(before), Ok(after)) = (before, open()) {
        assert!(after <= before + 2, "{before} open files grew to {after}");
    }
    let left: Vec<String> = client.column("SELECT pg_ls_dir('base/pgsql_tmp', true, false)");
    // What sessions are doing is a file of this name, of a fixed size, for the life of the server.
    assert!(
        left.iter().all(|f| f == "pgsql_tmp_ai_audio_activity"),
        "{left:?}"
    );
}
