//! Secrets never come out again.

use proptest::prelude::*;
use source::{check_allowed_host, parse, redact};

#[test]
fn what_is_harmless_stays_readable() {
    for text in [
        "/srv/audio/a b?c@d.wav",
        "https://example.com/a.wav",
        "http://[fd00::1]:8080/a",
        "no URL: at all",
        "",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn secrets_go_and_leave_a_mark() {
    let cases = [
        (
            "https://u:p@example.com:8443/x/a.wav?sig=1#f",
            "https://…example.com:8443/x/a.wav…",
        ),
        ("https://example.com/a.wav?", "https://example.com/a.wav…"),
        (
            "see https://u:p@h/a?b and \"http://h/?q\".",
            "see https://…h/a… and \"http://h/…\".",
        ),
        ("http://u:pa/ss@h/a", "http://…h/a"),
        ("http://u:pa?ss@h/a", "http://…"),
        ("http://u:pa ss@h/a", "http://…h/a"),
        ("s3://key:secret@bucket/a", "s3://…bucket/a"),
    ];
    for (text, shown) in cases {
        assert_eq!(redact(text), shown);
    }
}

/// Something that no other part of the texts contains.
const SECRET: &str = "s3cret[A-Za-z0-9%._~-]{0,12}";

fn shown_by_all(text: &str) -> String {
    let mut shown = redact(text);
    match parse(text) {
        Ok(location) => shown += &format!("{location} {location:?}"),
        Err(error) => shown += &format!("{error} {error:?} {:?}", error.hint()),
    }
    if let Err(error) = check_allowed_host(text) {
        shown += &format!("{error} {error:?}");
    }
    shown
}

proptest! {
    #[test]
    fn no_part_of_a_url_that_may_be_secret_is_shown(
        scheme in "(http|https|HTTP|ftp|s3|file|unknown)",
        user in SECRET, password in SECRET, query in SECRET, fragment in SECRET,
        host in "([a-z]{1,8}\\.test|127\\.0\\.0\\.1|\\[::1\\]|bad host|)",
        path in "(/[a-z/.%]{0,10}|)",
    ) {
        let text = format!("{scheme}://{user}:{password}@{host}{path}?{query}#{fragment}");
        let shown = shown_by_all(&text);
        prop_assert!(!shown.contains("s3cret"), "{}", shown);
        let message = format!("failed: {text} (again: '{text}')");
        if !host.contains(' ') {
            prop_assert!(!redact(&message).contains("s3cret"), "{}", redact(&message));
        }
    }

    #[test]
    fn unescaped_separators_in_a_password_do_not_help(password in "s3cret[/?#:@a-z]{0,6}s3cret", path in "(/a|)") {
        let shown = shown_by_all(&format!("https://me:{password}@example.test{path}"));
        prop_assert!(!shown.contains("s3cret"), "{}", shown);
    }

    #[test]
    fn a_query_without_a_scheme_is_hidden_too(query in SECRET) {
        let shown = parse(&format!("example.test/a.wav?sig={query}")).unwrap_err().to_string();
        prop_assert!(!shown.contains("s3cret"), "{}", shown);
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let _ = shown_by_all(&text);
    }

    #[test]
    fn any_text_like_a_url_is_survived(text in "(http|file|https)?:?/{0,3}[\\PC@:?#/\\\\%]{0,40}") {
        let _ = shown_by_all(&text);
    }
}
