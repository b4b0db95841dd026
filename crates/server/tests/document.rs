//! The curl commands of docs/rest.md, word for word but for host, key and recordings, and the shape of their answers.

mod support;

use std::collections::BTreeMap;
use std::process::Command;

use sql_tests::{ClientExt, Value, clip, root};
use support::Setup;

/// Fenced blocks of a page: what follows the fence, and the text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines
                .by_ref()
                .take_while(|line| !line.starts_with("```"))
                .collect();
            found.push((language.to_string(), text.join("\n")));
        }
    }
    found
}

/// Asserts that `actual` has the fields and types of `shown`; texts, and booleans, must be the same where they say something.
fn like(shown: &Value, actual: &Value, place: &str) {
    match (shown, actual) {
        (Value::Object(shown), Value::Object(actual)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>().join(", ")
            };
            let sorted = |object: &serde_json::Map<String, Value>| {
                names(
                    &object
                        .clone()
                        .into_iter()
                        .collect::<BTreeMap<_, _>>()
                        .into_iter()
                        .collect(),
                )
            };
            assert_eq!(sorted(shown), sorted(actual), "fields of {place}");
            for (name, value) in shown {
                like(value, &actual[name], &format!("{place}.{name}"));
            }
        }
        (Value::Array(shown), Value::Array(actual)) => {
            assert!(!actual.is_empty(), "{place} is empty");
            for value in actual {
                like(&shown[0], value, place);
            }
        }
        (Value::Number(shown), Value::Number(actual)) => {
            assert!(
                !shown.is_i64() || actual.is_i64(),
                "{place}: {actual} is no integer"
            );
        }
        (Value::String(shown), Value::String(actual)) => {
            let free = place.ends_with("created_at") || shown.starts_with("http");
            assert!(
                free || shown == actual,
                "{place}: {actual:?}, not {shown:?}"
            );
        }
        _ => assert_eq!(shown, actual, "{place}"),
    }
}

#[test]
fn the_documents_commands_are_answered_as_it_shows() {
    let setup = Setup::new();
    let page = std::fs::read_to_string(root().join("docs/rest.md")).expect("the page");
    let june = clip("june-1.wav");
    let folder = june.strip_suffix("/june-1.wav").expect("a folder");
    let mut played = 0;
    let blocks = blocks(&page);
    for pair in blocks.windows(2) {
        let [(language, commands), (next, shown)] = pair else {
            continue;
        };
        if language != "sh" || next != "json" {
            continue;
        }
        let commands = commands
            .replace("addr:8100", &setup.service.address)
            .replace("{api-key}", &setup.key)
            .replace("https://recordings.example.com", folder)
            .replace("/recordings", folder)
            .replace("curl ", "curl -sS --fail-with-body ");
        let output = Command::new("sh")
            .args(["-ec", &commands])
            .output()
            .expect("sh starts");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{commands}\n{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Several commands: the page shows the answer to the last.
        let last = serde_json::Deserializer::from_str(&said)
            .into_iter::<Value>()
            .last()
            .expect("an answer")
            .expect("JSON");
        let shown = serde_json::from_str(&shown.replace(", ...", ""))
            .unwrap_or_else(|error| panic!("{error} in {shown}"));
        like(&shown, &last, &commands);
        if let Some(url) = last["result"].as_str() {
            let path = url
                .split_once(&setup.service.address)
                .expect("a URL of this service")
                .1;
            let document = setup.service.request("GET", path, &[], b"");
            assert_eq!(document.status, 200, "{document:?}");
            assert_eq!(
                document.json()["transcripts"][0]["speakers"]
                    .as_array()
                    .map(Vec::len),
                Some(2)
            );
        }
        played += 1;
    }
    assert_eq!(played, 7, "commands on the page");
    let left: Vec<String> = setup
        .database
        .connect()
        .column("SELECT name FROM ai.voices");
    assert_eq!(left, ["Allison"]);
}

#[test]
fn the_page_lists_every_endpoint() {
    let page = std::fs::read_to_string(root().join("docs/rest.md")).expect("the page");
    let described: Value = serde_json::from_str(&support::run("", &["openapi"])).expect("JSON");
    let paths = described["paths"].as_object().expect("paths");
    for path in paths.keys().filter(|path| !path.starts_with("/results")) {
        assert!(
            page.contains(path.as_str()),
            "{path} is not in docs/rest.md"
        );
    }
}
