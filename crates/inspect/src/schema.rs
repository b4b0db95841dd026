//! JSON schemas: what an answer must look like, and reading it out of what a model wrote.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::Error;

/// Longest schema, bytes.
const MAX_BYTES: usize = 64 << 10;
/// Places in an answer where JSON may begin that are tried.
const MAX_STARTS: usize = 64;

/// A JSON schema.
#[derive(Debug)]
pub struct Schema {
    json: Value,
    strict: bool,
    validator: Validator,
}

impl Schema {
    /// Reads a schema. References (`$ref`) are refused: with them a few lines can take for ever to check.
    ///
    /// # Errors
    /// [`Error::Schema`].
    pub fn new(json: &str) -> Result<Self, Error> {
        if json.len() > MAX_BYTES {
            return Err(Error::Schema(format!(
                "it has {} bytes, more than {MAX_BYTES}",
                json.len()
            )));
        }
        let json: Value = serde_json::from_str(json).map_err(|e| Error::Schema(e.to_string()))?;
        if !json.is_object() {
            return Err(Error::Schema(
                "expected a JSON object such as {\"type\": \"object\"}".into(),
            ));
        }
        Self::checked_by(json.clone(), json, false)
    }

    /// A schema that is sent, and one that answers are checked by. `strict` promises the server that the first keeps to
    /// what can be enforced while an answer is written.
    pub(crate) fn checked_by(sent: Value, checked: Value, strict: bool) -> Result<Self, Error> {
        if let Some(name) = reference(&checked) {
            return Err(Error::Schema(format!(
                "\"{name}\" is not supported: write out what it refers to"
            )));
        }
        let validator = jsonschema::options()
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(1 << 20)
                    .dfa_size_limit(2 << 20),
            )
            .build(&checked);
        Ok(Schema {
            json: sent,
            strict,
            validator: validator.map_err(|e| Error::Schema(shortened(&e.to_string())))?,
        })
    }

    /// The schema as JSON.
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// Whether the server may enforce it strictly.
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// The first value in `answer` that fits; around it there may be a fence of Markdown, or words.
    ///
    /// # Errors
    /// What is wrong with the answer.
    pub(crate) fn read(&self, answer: &str) -> Result<Value, String> {
        let mut wrong = None;
        let starts = answer
            .match_indices(['{', '['])
            .map(|(at, _)| at)
            .take(MAX_STARTS);
        for start in std::iter::once(0).chain(starts) {
            let mut values =
                serde_json::Deserializer::from_str(&answer[start..]).into_iter::<Value>();
            let Some(Ok(value)) = values.next() else {
                continue;
            };
            match self.validator.validate(&value) {
                Ok(()) => return Ok(value),
                Err(error) => wrong.get_or_insert_with(|| {
                    let at = error.instance_path().to_string();
                    let at = if at.is_empty() {
                        "the answer".into()
                    } else {
                        at
                    };
                    // Without the value: what a model wrote is long, and may be anything.
                    format!(
                        "{at} does not fit the schema: {}",
                        shortened(&error.masked().to_string())
                    )
                }),
            };
        }
        Err(wrong.unwrap_or_else(|| "it is not JSON".into()))
    }
}

/// A key that refers to another schema, anywhere in this one.
fn reference(schema: &Value) -> Option<&'static str> {
    const KEYS: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];
    match schema {
        Value::Object(object) => KEYS
            .into_iter()
            .find(|key| object.contains_key(*key))
            .or_else(|| object.values().find_map(reference)),
        Value::Array(array) => array.iter().find_map(reference),
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match line.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mood() -> Schema {
        Schema::new(r#"{"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}"#).unwrap()
    }

    #[test]
    fn answers_are_read_out_of_what_is_around_them() {
        for answer in [
            "{\"mood\": \"good\"}",
            "```json\n{\"mood\": \"good\"}\n```",
            "Here you are [as asked]: {\"mood\": \"good\"} Anything else?",
            "{\"mood\": \"fine\"} no, {\"mood\": \"good\"}",
        ] {
            assert_eq!(mood().read(answer), Ok(json!({"mood": "good"})), "{answer}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (answer, said) in [
            ("", "not JSON"),
            ("I cannot say.", "not JSON"),
            ("{\"mood\": \"good\"", "not JSON"),
            ("{\"mood\": \"fine\"}", "/mood does not fit"),
            ("{}", "required"),
            ("3", "does not fit"),
        ] {
            let error = mood().read(answer).unwrap_err();
            assert!(error.contains(said), "{answer}: {error}");
        }
        let secret = "s3cr3t ".repeat(1000);
        let error = mood()
            .read(&json!({"mood": secret}).to_string())
            .unwrap_err();
        assert!(!error.contains("s3cr3t"), "{error}");
        assert!(mood().read(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn what_is_no_schema_is_told() {
        for (schema, said) in [
            ("", "EOF"),
            ("[]", "object"),
            ("{\"type\": \"strng\"}", "strng"),
            ("{\"$ref\": \"#\"}", "$ref"),
            ("{\"allOf\": [{\"$dynamicRef\": \"#a\"}]}", "$dynamicRef"),
            ("{\"pattern\": \"(\"}", "invalid schema"),
        ] {
            let error = Schema::new(schema).unwrap_err().to_string();
            assert!(error.contains(said), "{schema}: {error}");
        }
        let large = format!("{{\"description\": \"{}\"}}", "x".repeat(MAX_BYTES));
        assert!(
            Schema::new(&large)
                .unwrap_err()
                .to_string()
                .contains("more than")
        );
        assert!(Schema::new(&format!("{}1{}", "{\"not\":".repeat(200), "}".repeat(200))).is_err());
    }

    #[test]
    fn patterns_of_a_schema_cannot_hang() {
        let schema = Schema::new(r#"{"type": "string", "pattern": "^(a+)+$"}"#).unwrap();
        assert!(
            schema
                .read(&json!("a".repeat(50_000) + "b").to_string())
                .is_err()
        );
    }
}
