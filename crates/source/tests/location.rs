//! Which texts name a source, and what is said about the others.

use std::path::PathBuf;

use source::{Error, Location, check_allowed_host, parse};

fn file(text: &str) -> PathBuf {
    match parse(text) {
        Ok(Location::File(path)) => path,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn paths_are_taken_literally() {
    for path in [
        "/a.wav",
        "/a b/%20?x#y.wav",
        "/päth/音.wav",
        "/a\nb",
        "/http://x",
    ] {
        assert_eq!(file(path), PathBuf::from(path));
    }
}

#[test]
fn file_uris_are_decoded() {
    let cases = [
        ("file:///srv/a.wav", "/srv/a.wav"),
        ("file:/srv/a.wav", "/srv/a.wav"),
        ("FILE://localhost/srv/a.wav", "/srv/a.wav"),
        ("file:///a%20b%3F%23.wav", "/a b?#.wav"),
        ("file:///p%C3%A4th.wav", "/päth.wav"),
    ];
    for (uri, path) in cases {
        assert_eq!(file(uri), PathBuf::from(path));
    }
}

#[test]
fn web_addresses_keep_everything() {
    let Ok(Location::Url(url)) = parse("HTTPS://me:pw@Example.com/a%20b.wav?sig=1") else {
        panic!()
    };
    assert_eq!(url.as_str(), "https://me:pw@example.com/a%20b.wav?sig=1");
}

#[test]
fn a_relative_path_is_told_to_be_absolute() {
    for text in [
        "a.wav",
        "./a.wav",
        "../a.wav",
        "~/a.wav",
        "dir/a.wav",
        " /a.wav",
        "C:\\a.wav",
        "a:b.wav",
        "://x",
    ] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, Error::Relative { .. }), "{text}: {error:?}");
        assert!(
            error.to_string().contains("absolute")
                && error.hint().unwrap().contains("working directory")
        );
    }
}

#[test]
fn objects_of_stores_are_taken_as_they_are_written() {
    for (text, bucket, key) in [
        ("oss://calls/2026/a.wav", "calls", "2026/a.wav"),
        ("S3://my.calls/a b%20c?d#e", "my.calls", "a b%20c?d#e"),
        ("s3://calls", "calls", ""),
        ("oss://calls//客服.wav", "calls", "/客服.wav"),
    ] {
        match parse(text).unwrap() {
            Location::Object {
                bucket: b, key: k, ..
            } => assert_eq!((&*b, &*k), (bucket, key)),
            other => panic!("{text}: {other}"),
        }
        let shown = source::redact(text);
        assert_eq!(shown, text, "nothing in it is secret");
    }
    for text in [
        "oss://",
        "s3:///a",
        "oss://key:secret@calls/a",
        "oss://ca lls/a",
    ] {
        let error = parse(text).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn an_unknown_scheme_is_told_the_known_ones() {
    for text in [
        "ftp://h/a",
        "gs://b/a",
        "data:audio/wav;base64,AA",
        "javascript://x",
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            matches!(error, Error::UnknownScheme { .. }),
            "{text}: {error:?}"
        );
        assert!(error.to_string().contains("https://"), "{error}");
    }
}

#[test]
fn unusable_texts_are_refused() {
    let long_path = format!("/{}", "a".repeat(4095));
    let long_url = format!("https://example.com/{}", "a".repeat(20_000));
    let texts = [
        "",
        "/a\0b",
        "a\0b",
        "file:///a%00b",
        &long_path,
        &long_url,
        "file://server/a.wav",
        "file:a.wav",
        "file:///a?b.wav",
        "file:///a#b.wav",
        "file:///a\\b.wav",
        "http://",
        "https:///",
        "http:a.wav",
        "https:/h/a",
        "http://[::1/a",
        "http://h:99999/",
        "http://exa\nmple.com/",
        "http://a b/",
    ];
    for text in texts {
        let error = parse(text).unwrap_err();
        assert!(
            matches!(error, Error::Malformed { .. }),
            "{text}: {error:?}"
        );
        assert!(error.to_string().len() < 1000);
    }
}

#[test]
fn allowed_hosts_have_four_forms() {
    for entry in [
        "example.com",
        "Example.COM.:8080",
        "*.example.com",
        "*.example.com:443",
        "10.0.0.1:80",
        "[fd00::1]",
        "[fd00::1]:80",
        "müller.de",
    ] {
        assert!(check_allowed_host(entry).is_ok(), "{entry}");
    }
    for entry in [
        "",
        "*",
        "*.",
        "*.10.0.0.1",
        "https://example.com",
        "example.com/path",
        "a b",
        "host:port",
        "host:99999",
    ] {
        assert!(check_allowed_host(entry).is_err(), "{entry}");
    }
}
