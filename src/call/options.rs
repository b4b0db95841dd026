//! Options: a JSON object, read into a struct per function. Unknown names and wrong types are errors that list what
//! would be right.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Number, Value};

use crate::call::access::{Access, Written};
use crate::errors::Error;

/// Longest text of options; what they hold is small.
const MAX_TEXT: usize = 64 << 10;
/// Deepest nesting that the parser may be led into.
const MAX_DEPTH: usize = 32;

/// Parses JSON, or its lenient form JSON5.
pub fn parse_text(text: &str) -> Result<Map<String, Value>, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::Options(format!(
            "options are at most {MAX_TEXT} bytes long, not {}",
            text.len()
        )));
    }
    if nesting(text) > MAX_DEPTH {
        return Err(Error::Options("options are nested too deeply".into()));
    }
    let Finite(value) = json5::from_str(text).map_err(|e| {
        Error::Options(format!(
            "options must be a JSON object such as '{{\"start_time\": 1000}}': {e}"
        ))
    })?;
    object(value)
}

/// JSON whose numbers are numbers: `serde_json` reads NaN, Infinity and what is too large as null, which stands for an
/// option that is not given.
struct Finite(Value);

impl<'de> Deserialize<'de> for Finite {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FiniteVisitor).map(Finite)
    }
}

struct FiniteVisitor;

impl<'de> Visitor<'de> for FiniteVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom(format!("{value} is no number that an option can have")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Finite(value)) = seq.next_element()? {
            all.push(value);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some((name, Finite(value))) = map.next_entry()? {
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

/// The object in a JSON value.
pub fn object(value: Value) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()), // as SQL's NULL: not given
        other => Err(Error::Options(format!(
            "options must be a JSON object, not {}",
            kind(&other)
        ))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// An upper bound of the depth a recursive parser can reach.
fn nesting(text: &str) -> usize {
    let mut depth = 0usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What every function on a recording takes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Common {
    /// Start of the part to work on, ms.
    #[serde(deserialize_with = "millis")]
    pub start_time: Option<u64>,
    /// End of the part to work on, ms.
    #[serde(deserialize_with = "millis")]
    pub end_time: Option<u64>,
    /// Which channel.
    pub channel: Channel,
    /// What an unreadable recording does.
    pub on_error: OnError,
    /// How a store is asked for it.
    #[serde(skip)]
    pub access: Access,
    /// Whether noise is reduced first, and by which model.
    pub enhance: Enhance,
}

impl Common {
    /// That a function which does not hear the recording is not asked to reduce its noise.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn as_it_is(&self, function: &str) -> Result<(), Error> {
        if self.enhance == Enhance::No {
            return Ok(());
        }
        Err(Error::Options(format!(
            "option \"enhance\": {function} takes the recording as it is; see ai_audio_enhance"
        )))
    }
}

/// Whether noise is reduced before anything else.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Enhance {
    /// The recording as it is.
    #[default]
    No,
    /// By the usual model.
    Usual,
    /// By the model of this name.
    Model(String),
}

impl<'de> Deserialize<'de> for Enhance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(false) => Ok(Enhance::No),
            Value::Bool(true) => Ok(Enhance::Usual),
            Value::String(name) => Ok(Enhance::Model(name)),
            other => Err(D::Error::custom(format!(
                "expected true, false or a model's name, found {other}"
            ))),
        }
    }
}

/// Which channel of a recording to work on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Channel {
    /// All mixed into one.
    #[default]
    Mix,
    /// Each by itself; not every function can.
    Each,
    /// One, counted from 0.
    Index(u32),
}

impl Channel {
    /// The one channel to decode.
    pub fn single(self) -> Result<audio::Channel, Error> {
        match self {
            Channel::Mix => Ok(audio::Channel::Mix),
            Channel::Index(i) => Ok(audio::Channel::Index(i)),
            Channel::Each => Err(Error::Options(
                "option \"channel\": this function takes 'mix' or a number".into(),
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || D::Error::custom("expected 'mix', 'each' or a channel's number from 0");
        match Value::deserialize(deserializer)? {
            Value::String(s) if s == "mix" => Ok(Channel::Mix),
            Value::String(s) if s == "each" => Ok(Channel::Each),
            Value::String(s) => s.parse().map(Channel::Index).map_err(|_| wrong()),
            value => whole(&value)
                .and_then(|n| u32::try_from(n).ok())
                .map(Channel::Index)
                .ok_or_else(wrong),
        }
    }
}

/// What a recording that cannot be read does to the statement.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Ends it.
    #[default]
    Error,
    /// Gives NULL, or no rows, and a warning.
    Null,
}

impl OnError {
    /// Applies the choice to a result. Cancelling, privileges and wrong arguments are never hidden.
    pub fn apply<T>(self, result: Result<T, Error>) -> Result<Option<T>, Error> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if self == OnError::Null && error.is_about_the_recording() => {
                error.warn();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Reads whole milliseconds, written as an integer or as a float without a fraction.
pub fn millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let wrong = || {
        D::Error::custom(format!(
            "expected milliseconds as a whole number from 0, found {value}"
        ))
    };
    whole(&value).map(Some).ok_or_else(wrong)
}

fn whole(value: &Value) -> Option<u64> {
    let float = || {
        value
            .as_f64()
            .filter(|x| x.fract() == 0.0 && (0.0..9e15).contains(x))
            .map(|x| x as u64)
    };
    value.as_u64().or_else(float)
}

/// Options of one function beside the common ones.
pub trait Options: DeserializeOwned {}
impl<T: DeserializeOwned> Options for T {}

/// No options beside the common ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoMore {}

/// Splits options into the common ones and those of one function, which has `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// [`Error::UnknownOption`], [`Error::WrongOption`], [`Error::Options`].
pub fn read<T: Options>(options: Map<String, Value>) -> Result<(Common, T), Error> {
    let (common, own, NoMore {}) = read_two(options)?;
    Ok((common, own))
}

/// The same for a function whose own options are two sets, one of which it shares with others.
///
/// # Errors
/// As [`read`].
pub fn read_two<A: Options, B: Options>(
    options: Map<String, Value>,
) -> Result<(Common, A, B), Error> {
    let (common, first, second, NoMore {}) = read_three(options)?;
    Ok((common, first, second))
}

/// The same for three sets.
///
/// # Errors
/// As [`read`].
pub fn read_three<A: Options, B: Options, C: Options>(
    mut options: Map<String, Value>,
) -> Result<(Common, A, B, C), Error> {
    let known = || known(&[fields_of::<A>(), fields_of::<B>(), fields_of::<C>()]);
    let mut common: Common = from_map(take(&mut options, fields_of::<Common>()), known)?;
    let first = take(&mut options, fields_of::<A>());
    let second = take(&mut options, fields_of::<B>());
    let third = take(&mut options, fields_of::<C>());
    // Last, since a function's own option comes before one of a store with the same name.
    let access = take(&mut options, fields_of::<Written>());
    if let Some((unknown, _)) = options.into_iter().next() {
        return Err(Error::UnknownOption {
            name: unknown,
            known: known(),
        });
    }
    common.access = from_map::<Written>(access, known)?.checked()?;
    if let (Some(start), Some(end)) = (common.start_time, common.end_time)
        && start >= end
    {
        return Err(Error::Options(format!(
            "start_time ({start}) must be before end_time ({end})"
        )));
    }
    Ok((
        common,
        from_map(first, known)?,
        from_map(second, known)?,
        from_map(third, known)?,
    ))
}

/// Takes the named options out. JSON null is an option that is not given.
fn take(options: &mut Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let taken = names.iter().filter_map(|name| options.remove_entry(*name));
    taken.filter(|(_, value)| !value.is_null()).collect()
}

/// The names of the common options and others.
fn known(sets: &[&[&str]]) -> String {
    let all = std::iter::once(fields_of::<Common>()).chain(sets.iter().copied());
    let mut names: Vec<&str> = all.flatten().copied().collect();
    names.sort_unstable();
    format!(
        "{}; for object stores: {}",
        names.join(", "),
        fields_of::<Written>().join(", ")
    )
}

/// Reads the options of a function that takes no recording, a struct with `#[serde(deny_unknown_fields)]`.
///
/// # Errors
/// [`Error::UnknownOption`], [`Error::WrongOption`].
pub fn own<T: Options>(mut options: Map<String, Value>) -> Result<T, Error> {
    let names = fields_of::<T>();
    let known = || names.join(", ");
    let own = take(&mut options, names);
    if let Some((unknown, _)) = options.into_iter().next() {
        return Err(Error::UnknownOption {
            name: unknown,
            known: known(),
        });
    }
    from_map(own, known)
}

/// Reads the fields one by one, so that a wrong one is named.
fn from_map<T: DeserializeOwned>(
    map: Map<String, Value>,
    known: impl Fn() -> String,
) -> Result<T, Error> {
    serde_path_to_error::deserialize(Value::Object(map)).map_err(|e| {
        let option = e.path().to_string();
        Error::WrongOption {
            option,
            reason: in_json_words(&e.into_inner().to_string()),
            known: known(),
        }
    })
}

/// What serde says of a value, without Rust's names of types.
fn in_json_words(reason: &str) -> String {
    let words = [
        ("expected a sequence", "expected a list"),
        ("expected u32", "expected a whole number from 0"),
        ("expected u64", "expected a whole number from 0"),
        ("expected usize", "expected a whole number from 0"),
        ("expected i32", "expected a whole number"),
        ("expected i64", "expected a whole number"),
        ("expected f32", "expected a number"),
        ("expected f64", "expected a number"),
    ];
    let found = words.iter().find(|(rust, _)| reason.ends_with(rust));
    found.map_or(reason.into(), |(rust, json)| reason.replace(rust, json))
}

/// The field names that a struct deserialises.
fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = serde::de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("not a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(Self::Error::custom("only its fields"))
        }
        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    let _ = T::deserialize(Names(&mut names));
    names
}
