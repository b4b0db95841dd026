//! Policies: plain words, a rule per line; or rules with names, severities, patterns and speakers.

use serde::Deserialize;
use serde_json::Value;

use crate::pattern::Pattern;
use crate::{Error, without_nul};

/// Longest policy, bytes.
const MAX_BYTES: usize = 256 << 10;
/// Most rules.
const MAX_RULES: usize = 200;
/// Longest name of a rule, and longest description, bytes.
const MAX_NAME: usize = 4 << 10;

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name or its words.
    pub name: String,
    /// How bad breaking it is, in the policy's own terms.
    pub severity: Option<String>,
    /// More words for a model.
    pub(crate) description: Option<String>,
    /// Names or numbers of those it is for; empty: everybody.
    pub(crate) speakers: Vec<String>,
    /// What breaks it; none: a model judges.
    pub(crate) pattern: Option<Pattern>,
    /// What does not although the pattern says so.
    pub(crate) except: Option<Pattern>,
}

impl Rule {
    /// Whether a model must judge it.
    pub fn needs_model(&self) -> bool {
        self.pattern.is_none()
    }
}

/// Rules.
#[derive(Clone, Debug)]
pub struct Policy(Vec<Rule>);

impl Policy {
    /// Reads JSON where the text begins as such, else plain words: each line is a rule, without the dash or number that it
    /// may begin with.
    ///
    /// # Errors
    /// [`Error::Policy`], [`Error::Rule`].
    pub fn from_text(text: &str) -> Result<Self, Error> {
        limited(text)?;
        if text.trim_start().starts_with(['{', '[']) {
            return Self::from_json(text);
        }
        let rules = text
            .lines()
            .map(without_bullet)
            .filter(|line| !line.is_empty());
        Self::new(rules.map(|line| plain(line, 0)).collect::<Result<_, _>>()?)
    }

    /// Reads a rule, an array of rules, or a text. A rule is a text, or an object with `rule` and any of `severity`,
    /// `pattern` (a regular expression, or an array of words), `except` (the same), `speaker` (a name or number, or an
    /// array of them) and `description`.
    ///
    /// # Errors
    /// [`Error::Policy`], [`Error::Rule`].
    pub fn from_json(json: &str) -> Result<Self, Error> {
        limited(json)?;
        match serde_json::from_str(json).map_err(|e| Error::Policy(e.to_string()))? {
            Value::String(text) => Self::from_text(&text),
            Value::Array(rules) => {
                let read = rules
                    .into_iter()
                    .zip(1..)
                    .map(|(value, number)| rule(value, number));
                Self::new(read.collect::<Result<_, _>>()?)
            }
            one @ Value::Object(_) => Self::new(vec![rule(one, 1)?]),
            _ => Err(Error::Policy("expected text, or an array of rules".into())),
        }
    }

    fn new(rules: Vec<Rule>) -> Result<Self, Error> {
        match rules.len() {
            0 => Err(Error::Policy("it has no rule".into())),
            n if n > MAX_RULES => Err(Error::Policy(format!(
                "it has {n} rules, more than {MAX_RULES}"
            ))),
            _ => Ok(Policy(rules)),
        }
    }

    /// The rules, in the order given.
    pub fn rules(&self) -> &[Rule] {
        &self.0
    }

    /// Whether a model must judge some of them.
    pub fn needs_model(&self) -> bool {
        self.0.iter().any(Rule::needs_model)
    }
}

fn limited(text: &str) -> Result<(), Error> {
    match text.len() > MAX_BYTES {
        true => Err(Error::Policy(format!(
            "it has {} bytes, more than {MAX_BYTES}",
            text.len()
        ))),
        false => Ok(()),
    }
}

/// A line without what marks it as one of a list: `-`, `*`, `•`, `1.`, `2)`.
fn without_bullet(line: &str) -> &str {
    let line = line.trim();
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = (rest.len() < line.len())
        .then(|| rest.strip_prefix(['.', ')', '、']))
        .flatten();
    let marked = || line.strip_prefix(['-', '*', '•', '·']);
    match numbered.or_else(marked) {
        Some(rest) if numbered.is_none() || !rest.starts_with(|c: char| c.is_ascii_digit()) => {
            rest.trim()
        }
        _ => line,
    }
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a rule's words, or an object with \"rule\""
)]
struct Given {
    rule: String,
    severity: Option<String>,
    description: Option<String>,
    pattern: Option<GivenPattern>,
    except: Option<GivenPattern>,
    speaker: Option<Speakers>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a regular expression, or an array of words"
)]
enum GivenPattern {
    Expression(String),
    Words(Vec<String>),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a speaker's name or number, or an array of them"
)]
enum Speakers {
    One(Speaker),
    Many(Vec<Speaker>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Speaker {
    Name(String),
    Number(u32),
}

impl GivenPattern {
    fn read(&self) -> Result<Pattern, String> {
        match self {
            GivenPattern::Expression(text) => Pattern::expression(text),
            GivenPattern::Words(list) => Pattern::words(list),
        }
    }
}

fn rule(value: Value, number: usize) -> Result<Rule, Error> {
    let wrong = |reason: String| Error::Rule { number, reason };
    if let Value::String(text) = value {
        return plain(text.trim(), number);
    }
    let given = Given::deserialize(value).map_err(|e| wrong(e.to_string()))?;
    if given.except.is_some() && given.pattern.is_none() {
        return Err(wrong(
            "\"except\" is an exception to \"pattern\", which is not there".into(),
        ));
    }
    let read = |name: &str, pattern: &Option<GivenPattern>| {
        let read = pattern.as_ref().map(GivenPattern::read).transpose();
        read.map_err(|reason| wrong(format!("\"{name}\": {reason}")))
    };
    let (pattern, except) = (
        read("pattern", &given.pattern)?,
        read("except", &given.except)?,
    );
    let speakers = match given.speaker {
        None => Vec::new(),
        Some(Speakers::One(one)) => vec![one],
        // Everybody is who is meant without it, not by an empty list.
        Some(Speakers::Many(many)) if many.is_empty() => {
            return Err(wrong("\"speaker\" is an empty array".into()));
        }
        Some(Speakers::Many(many)) => many,
    };
    let speakers = speakers.into_iter().map(|speaker| match speaker {
        Speaker::Name(name) => name,
        Speaker::Number(number) => number.to_string(),
    });
    if given
        .description
        .as_ref()
        .is_some_and(|d| d.len() > MAX_NAME)
    {
        return Err(wrong(format!(
            "\"description\" has more than {MAX_NAME} bytes"
        )));
    }
    Ok(Rule {
        severity: given.severity.map(without_nul),
        description: given.description,
        speakers: speakers.collect(),
        pattern,
        except,
        ..plain(given.rule.trim(), number)?
    })
}

/// A rule of words alone.
fn plain(name: &str, number: usize) -> Result<Rule, Error> {
    let reason = match name.len() {
        0 => "\"rule\" is empty".to_string(),
        n if n > MAX_NAME => format!("\"rule\" has more than {MAX_NAME} bytes"),
        _ => {
            return Ok(Rule {
                name: without_nul(name.into()),
                severity: None,
                description: None,
                speakers: Vec::new(),
                pattern: None,
                except: None,
            });
        }
    };
    Err(Error::Rule { number, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(policy: &Policy) -> Vec<&str> {
        policy
            .rules()
            .iter()
            .map(|rule| rule.name.as_str())
            .collect()
    }

    #[test]
    fn plain_words_are_a_rule_per_line() {
        let policy = Policy::from_text(
            "1. No phone.\n 2) No insults \n\n- Be kind\n• 不打电话\n3.5 tonnes at most\n2、不骂人",
        )
        .unwrap();
        assert_eq!(
            names(&policy),
            [
                "No phone.",
                "No insults",
                "Be kind",
                "不打电话",
                "3.5 tonnes at most",
                "不骂人"
            ]
        );
        assert!(policy.needs_model());
    }

    #[test]
    fn rules_have_patterns_exceptions_and_speakers() {
        let policy = Policy::from_text(
            r#" [{"rule": "no phone", "severity": "high", "pattern": "phone", "except": ["phone number"], "speaker": ["Diane", 0]},
                {"rule": "kind", "description": "to passengers"}, "polite"]"#,
        )
        .unwrap();
        assert_eq!(names(&policy), ["no phone", "kind", "polite"]);
        assert_eq!(policy.rules()[0].speakers, ["Diane", "0"]);
        assert!(policy.needs_model());
        let patterns = Policy::from_json(r#"{"rule": "a", "pattern": ["b"]}"#).unwrap();
        assert!(!patterns.needs_model());
        assert_eq!(
            names(&Policy::from_json("\"- one\\n- two\"").unwrap()),
            ["one", "two"]
        );
    }

    #[test]
    fn what_is_no_policy_is_told() {
        for (text, said) in [
            ("", "no rule"),
            (" \n", "no rule"),
            ("[]", "no rule"),
            ("[{\"rule\": \"a\"", "EOF"),
            (
                "[{\"rule\": \"a\", \"patern\": \"b\"}]",
                "rule 1: unknown field `patern`, expected one of",
            ),
            (
                "[\"x\", {\"severity\": \"high\"}]",
                "rule 2: missing field `rule`",
            ),
            ("[{\"rule\": \" \"}]", "empty"),
            (
                "[{\"rule\": \"a\", \"pattern\": \"(\"}]",
                "rule 1: \"pattern\": not a regular expression",
            ),
            (
                "[{\"rule\": \"a\", \"pattern\": 3}]",
                "regular expression, or an array of words",
            ),
            ("[{\"rule\": \"a\", \"except\": \"b\"}]", "exception to"),
            (
                "[{\"rule\": \"a\", \"speaker\": {}}]",
                "speaker's name or number",
            ),
            (
                "[7]",
                "rule 1: invalid type: integer `7`, expected a rule's words",
            ),
            (
                "[null]",
                "rule 1: invalid type: null, expected a rule's words",
            ),
            (
                "[{\"rule\": \"a\", \"pattern\": \"b\", \"speaker\": []}]",
                "rule 1: \"speaker\" is an empty array",
            ),
        ] {
            let error = Policy::from_text(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        let many = serde_json::to_string(&vec!["a"; 500]).unwrap();
        assert!(
            Policy::from_json(&many)
                .unwrap_err()
                .to_string()
                .contains("more than 200")
        );
    }
}
