use std::collections::VecDeque;

use super::*;

/// A server that answers from a list and keeps what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) answers: VecDeque<Result<Reply, Error>>,
    pub(crate) asked: Vec<Value>,
    pub(crate) pauses: Vec<Duration>,
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<Reply, Error>>) -> Self {
        Script {
            answers: answers.into_iter().collect(),
            ..Script::default()
        }
    }
}

impl Engine for Script {
    fn post(&mut self, body: Vec<u8>) -> Result<Reply, Error> {
        self.asked.push(serde_json::from_slice(&body).unwrap());
        self.answers
            .pop_front()
            .expect("no more requests than answers")
    }

    fn pause(&mut self, time: Duration) -> Result<(), Error> {
        self.pauses.push(time);
        Ok(())
    }

    fn redact(&self, text: &str) -> String {
        text.replace("sk-secret", "…")
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        model: "m".into(),
        max_tokens: Some(100),
        temperature: Some(0.0),
        seed: Some(1),
        retries: 3,
        patience: Duration::from_secs(60),
        form: None,
        extra: Map::new(),
    }
}

/// A completion with this content.
pub(crate) fn says(content: impl Into<Value>) -> Result<Reply, Error> {
    completion(
        json!({"choices": [{"message": {"content": content.into()}, "finish_reason": "stop"}], "usage": {"total_tokens": 7}}),
    )
}

fn completion(body: Value) -> Result<Reply, Error> {
    status(200, &body.to_string())
}

fn status(status: u16, body: &str) -> Result<Reply, Error> {
    Ok(Reply {
        status,
        retry_after: None,
        body: body.into(),
    })
}

fn number() -> Schema {
    Schema::new(
        r#"{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}"#,
    )
    .unwrap()
}

fn hello() -> [Message; 2] {
    [Message::system("Do."), Message::user("Hello")]
}

fn text_of(
    answers: impl IntoIterator<Item = Result<Reply, Error>>,
) -> (Result<String, Error>, Script, Usage) {
    let (mut script, settings) = (Script::new(answers), settings());
    let mut chat = Chat::new(&mut script, &settings);
    let outcome = chat.text(&hello());
    let usage = chat.usage;
    (outcome, script, usage)
}

fn json_of(
    answers: impl IntoIterator<Item = Result<Reply, Error>>,
) -> (Result<Value, Error>, Script) {
    let (mut script, settings) = (Script::new(answers), settings());
    let outcome = Chat::new(&mut script, &settings).json(&hello(), &number());
    (outcome, script)
}

#[test]
fn a_request_says_all_that_was_set() {
    let mut settings = settings();
    settings
        .extra
        .insert("enable_thinking".into(), json!(false));
    settings.extra.insert("model".into(), json!("not this"));
    let mut script = Script::new([says("Hi")]);
    assert_eq!(
        Chat::new(&mut script, &settings).text(&hello()).unwrap(),
        "Hi"
    );
    assert_eq!(
        script.asked,
        [
            json!({"model": "m", "stream": false, "temperature": 0.0, "seed": 1, "max_tokens": 100, "enable_thinking": false,
            "messages": [{"role": "system", "content": "Do."}, {"role": "user", "content": "Hello"}]})
        ]
    );
}

#[test]
fn what_passes_is_waited_for_and_asked_again() {
    let busy = || {
        Ok(Reply {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
            body: Vec::new(),
        })
    };
    let (answer, script, usage) = text_of([
        status(503, ""),
        busy(),
        Err(Error::Unreachable("reset".into())),
        says("Hi"),
    ]);
    assert_eq!(answer.unwrap(), "Hi");
    assert_eq!(
        usage,
        Usage {
            calls: 4,
            tokens: 7
        }
    );
    let [first, second, third] = script.pauses[..] else {
        panic!("{:?}", script.pauses)
    };
    assert!(
        (250..=500).contains(&first.as_millis())
            && second.as_secs() == 7
            && (1000..=2000).contains(&third.as_millis())
    );
}

#[test]
fn what_lasts_is_told_after_as_many_tries_as_were_allowed() {
    let (answer, script, _) =
        text_of((0..4).map(|_| status(500, "{\"error\": {\"message\": \"out of\\nmemory\"}}")));
    assert_eq!(
        answer.unwrap_err().to_string(),
        "the language model answered with HTTP status 500: out of memory"
    );
    assert_eq!(script.asked.len(), 4);
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for() {
    let busy = Ok(Reply {
        status: 429,
        retry_after: Some(Duration::from_secs(3600)),
        body: Vec::new(),
    });
    let (answer, script, _) = text_of([busy]);
    assert!(matches!(answer, Err(Error::Busy { status: 429, .. })));
    assert!(script.pauses.is_empty());
}

#[test]
fn what_asking_again_does_not_mend_is_told_at_once() {
    let huge = "x".repeat(100_000);
    for (reply, said) in [
        (status(401, "wrong key sk-secret"), "HTTP status 401"),
        (
            status(404, "{\"detail\": \"no model m\"}"),
            "HTTP status 404: no model m",
        ),
        (status(400, "bad sk-secret"), "HTTP status 400: bad …"),
        (status(302, ""), "HTTP status 302"),
        (status(404, &huge), "…"),
        (
            Err(Error::Timeout {
                limit: Duration::from_secs(1),
            }),
            "within 1000 ms",
        ),
        (Err(Error::TooLarge { limit: 5 }), "more than 5 bytes"),
        (Err(Error::Cancelled), "cancelled"),
        (
            status(200, "<html>"),
            "not a chat completion: it is not JSON",
        ),
        (status(200, "{\"choices\": 3}"), "the JSON has another form"),
        (completion(json!({"choices": []})), "no choices"),
        (says(Value::Null), "empty"),
        (says(" \n"), "empty"),
        (
            completion(
                json!({"choices": [{"message": {"content": "so", "refusal": null}, "finish_reason": "length"}]}),
            ),
            "cut off",
        ),
        (
            completion(
                json!({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
            ),
            "refuses",
        ),
        (
            completion(
                json!({"choices": [{"message": {"content": null, "refusal": "I'd rather not"}}]}),
            ),
            "rather not",
        ),
    ] {
        let (answer, script, _) = text_of([reply]);
        let error = answer.unwrap_err().to_string();
        assert!(
            error.contains(said) && !error.contains("secret") && error.len() < 1000,
            "{error}"
        );
        assert_eq!(script.asked.len(), 1);
    }
}

#[test]
fn thoughts_and_parts_are_understood() {
    assert_eq!(
        text_of([says("<think>hm {\"n\": 1}</think>\n Hi ")])
            .0
            .unwrap(),
        "Hi"
    );
    let parts =
        says(json!([{"type": "text", "text": "H"}, {"type": "x"}, {"type": "text", "text": "i"}]));
    assert_eq!(text_of([parts]).0.unwrap(), "Hi");
}

#[test]
fn a_server_without_schemas_is_asked_for_an_object_and_then_in_words() {
    let (answer, script) = json_of([
        status(400, "no json_schema"),
        status(422, ""),
        says("Sure: {\"n\": 2}"),
    ]);
    assert_eq!(answer.unwrap(), json!({"n": 2}));
    let formats: Vec<&Value> = script
        .asked
        .iter()
        .map(|body| &body["response_format"]["type"])
        .collect();
    assert_eq!(
        formats,
        [&json!("json_schema"), &json!("json_object"), &Value::Null]
    );
    assert_eq!(
        script.asked[0]["response_format"]["json_schema"]["schema"]["required"],
        json!(["n"])
    );
    assert_eq!(script.asked[0]["messages"][0]["content"], "Do.");
    let words = script.asked[2]["messages"][0]["content"].as_str().unwrap();
    assert!(
        words.starts_with("Do.\n\n") && words.contains("\"required\":[\"n\"]"),
        "{words}"
    );
}

#[test]
fn a_form_that_was_chosen_is_kept() {
    let settings = Settings {
        form: Some(Form::Object),
        ..settings()
    };
    let mut script = Script::new([status(400, "no")]);
    let answer = Chat::new(&mut script, &settings).json(&hello(), &number());
    assert!(matches!(answer, Err(Error::Status { status: 400, .. })));
    assert_eq!(
        script.asked[0]["response_format"],
        json!({"type": "json_object"})
    );
}

#[test]
fn a_model_with_a_wrong_answer_is_told_once() {
    let (answer, script) = json_of([says("{\"n\": \"two\"}"), says("{\"n\": 2}")]);
    assert_eq!(answer.unwrap(), json!({"n": 2}));
    let repair = script.asked[1]["messages"][3]["content"].as_str().unwrap();
    assert!(repair.contains("/n does not fit"), "{repair}");
    let (answer, script) = json_of([says("no"), says("never")]);
    assert_eq!(
        answer.unwrap_err().to_string(),
        "the language model gave no usable answer: it is not JSON"
    );
    assert_eq!(script.asked.len(), 2);
}
