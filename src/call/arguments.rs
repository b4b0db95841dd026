//! What a function on a recording was called with.
//!
//! `ai_audio_embed` and its kin come as `(source)`, `(source, options)`, `(model, source)` and `(model, source, options)`, with
//! the source as text or bytea and the options as text, json or jsonb. One C symbol serves all of these: the declared types
//! tell them apart.

use std::ffi::CStr;
use std::sync::Arc;

use pgrx::prelude::*;
use pgrx::{AnyNumeric, FromDatum};
use serde_json::{Map, Value};

use crate::call::{encoded, options};
use crate::errors::Error;
use crate::vector::{HalfVector, Vector, oid_of};
use crate::{progress, query};

/// A recording as given: text names it, bytes are it.
#[derive(Clone)]
pub enum Source {
    /// A server file's path, a `file://` URI or a URL.
    Text(String),
    /// The recording itself.
    Bytes(Arc<[u8]>),
}

impl Source {
    /// How messages name it: without secrets.
    pub fn describe(&self) -> String {
        match self {
            Source::Text(text) => format!("\"{}\"", encoded::shown(text)),
            Source::Bytes(bytes) => format!("the given bytea ({} bytes)", bytes.len()),
        }
    }
}

/// Arguments of a call on a recording.
pub struct Call {
    /// The model named, if any.
    pub model: Option<String>,
    /// The recording.
    pub source: Source,
    /// The options, empty if not given.
    pub options: Map<String, Value>,
}

/// How the arguments of a function stand: each shape with less of them too, options as text, json or jsonb.
#[derive(Clone, Copy, PartialEq)]
pub enum Shape {
    /// `(source, options)`.
    Source,
    /// `(model, source, options)` and `(source, options)`.
    ModelFirst,
    /// `(source, model, options)` and `(source, options)`.
    SourceFirst,
}

impl Call {
    /// Reads the arguments; `None` if the recording is NULL. Any other that is NULL is one that was not given.
    ///
    /// Two texts may be a model and a recording, or a recording and options, whichever they look like: the
    /// declared types cannot tell.
    ///
    /// # Errors
    /// [`Error::Options`].
    ///
    /// # Safety
    /// `fcinfo` is that of a running function declared in this shape.
    pub unsafe fn read(
        fcinfo: pg_sys::FunctionCallInfo,
        shape: Shape,
    ) -> Result<Option<Self>, Error> {
        // SAFETY: by contract.
        let args = unsafe { Args::new(fcinfo) };
        let (mut bytes, mut texts, mut options) = (None, Vec::new(), Map::new());
        for index in 0..args.count() {
            match args.kind(index) {
                Kind::Bytes if args.is_null(index) => return Ok(None),
                Kind::Bytes => bytes = Some(args.source(index)?),
                Kind::Json if args.is_null(index) => {}
                Kind::Json => options = args.options(index)?,
                _ if args.is_null(index) => texts.push(None),
                _ => texts.push(Some(args.text(index)?)),
            }
        }
        let mut texts = texts.into_iter();
        let source = bytes.or_else(|| match shape {
            Shape::Source => texts.next().flatten().map(Source::Text),
            Shape::ModelFirst | Shape::SourceFirst => None,
        });
        let model_first = shape == Shape::ModelFirst;
        let (source, model, rest) = match (source, shape) {
            (None, Shape::Source) => return Ok(None),
            (Some(source), Shape::Source) => (source, None, texts.next().flatten()),
            (Some(source), _) => {
                let (model, rest) = model_and_options(&mut texts);
                (source, model, rest)
            }
            (None, _) => {
                let named = match texts.len() {
                    1 => (texts.next().flatten().map(Source::Text), None),
                    _ => sorted(texts.next().flatten(), texts.next().flatten(), model_first),
                };
                let (Some(source), other) = named else {
                    return Ok(None);
                };
                match other {
                    Some(text) if looks_like_options(&text) => (source, None, Some(text)),
                    model => (source, model, texts.next().flatten()),
                }
            }
        };
        if texts.next().flatten().is_some() {
            return Err(Error::Options("options are given twice".into()));
        }
        if let Some(text) = rest {
            options = options::parse_text(&text)?;
        }
        Ok(Some(Call {
            model,
            source,
            options,
        }))
    }
}

/// The model and the options among the texts beside a recording that is none of them.
fn model_and_options(
    texts: &mut impl Iterator<Item = Option<String>>,
) -> (Option<String>, Option<String>) {
    let (first, second) = (texts.next().flatten(), texts.next().flatten());
    match first {
        Some(text) if looks_like_options(&text) => (None, Some(text)),
        model => (model, second),
    }
}

/// Arguments of a call on an array of recordings.
pub struct Calls {
    /// The model named, if any.
    pub model: Option<String>,
    /// The recordings.
    pub sources: Sources,
    /// The options, empty if not given.
    pub options: Map<String, Value>,
}

impl Calls {
    /// Reads the arguments `(source[])`, `(source[], options)`, `(model, source[])` or `(model, source[], options)`; `None` if the
    /// array is NULL.
    ///
    /// # Errors
    /// [`Error::Options`].
    ///
    /// # Safety
    /// `fcinfo` is that of a running function declared in this shape.
    pub unsafe fn read(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Self>, Error> {
        // SAFETY: by contract.
        let args = unsafe { Args::new(fcinfo) };
        let (mut sources, mut texts, mut options) = (None, Vec::new(), Map::new());
        for index in 0..args.count() {
            match args.kind(index) {
                Kind::Sources if args.is_null(index) => return Ok(None),
                Kind::Sources => sources = Some(args.sources(index)?),
                Kind::Json => options = args.maybe_options(index)?,
                _ if args.is_null(index) => texts.push(None),
                _ => texts.push(Some(args.text(index)?)),
            }
        }
        let sources =
            sources.ok_or_else(|| Error::Internal("no array of recordings is declared".into()))?;
        let (model, text) = model_and_options(&mut texts.into_iter());
        if let Some(text) = text {
            options = options::parse_text(&text)?;
        }
        Ok(Some(Calls {
            model,
            sources,
            options,
        }))
    }
}

/// The recordings in an array of text or bytea, in its order, read one by one: all of them may be large.
pub struct Sources {
    elements: Vec<Option<pg_sys::Datum>>,
    bytes: bool,
}

impl Sources {
    /// How many there are, NULLs among them.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// One of them; `None` if it is NULL. On the backend's thread.
    ///
    /// # Errors
    /// None in a sound installation.
    pub fn get(&self, index: usize) -> Result<Option<Source>, Error> {
        let Some(datum) = self.elements.get(index).copied().flatten() else {
            return Ok(None);
        };
        let missing = || Error::Internal(format!("element {} is missing", index + 1));
        // SAFETY: an element that is not NULL of an array of this type, which lives as long as the call.
        let source = unsafe {
            if self.bytes {
                <&[u8]>::from_datum(datum, false).map(|bytes| Source::Bytes(bytes.into()))
            } else {
                String::from_datum(datum, false).map(Source::Text)
            }
        };
        source.ok_or_else(missing).map(Some)
    }
}

/// Which of two texts is the recording, and the other one.
fn sorted(
    first: Option<String>,
    second: Option<String>,
    model_first: bool,
) -> (Option<Source>, Option<String>) {
    let recording = |text: &Option<String>| text.as_deref().is_some_and(source::looks_like_one);
    let options = |text: &Option<String>| text.as_deref().is_some_and(looks_like_options);
    // As declared, unless they look the other way round.
    let source_first = match (recording(&first), recording(&second)) {
        (true, false) => true,
        (false, true) => false,
        _ if options(&second) => true,
        _ => !model_first,
    };
    let (source, other) = if source_first {
        (first, second)
    } else {
        (second, first)
    };
    (source.map(Source::Text), other)
}

fn looks_like_options(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// What a declared type is for.
enum Kind {
    Text,
    Bytes,
    Json,
    /// An array of recordings.
    Sources,
}

/// The table of a name, looked up as any table's name in a query.
///
/// # Errors
/// What Postgres says of the name.
pub fn relation(name: &str) -> Result<Option<pg_sys::Oid>, Error> {
    let resolve = "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid";
    query::one::<pg_sys::Oid>(resolve, &[name.into()])
}

/// The arguments of the running function with their declared types.
pub struct Args<'a> {
    values: &'a [pg_sys::NullableDatum],
    types: &'a [pg_sys::Oid],
}

impl Args<'_> {
    /// # Safety
    /// `fcinfo` is that of a running strict function.
    pub unsafe fn new(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: `fn_oid` names the function that runs; its signature is palloc'ed in the caller's context, which
        // outlives the call; nargs counts the values present.
        unsafe {
            progress::function((*(*fcinfo).flinfo).fn_oid);
            let (mut types, mut count) = (std::ptr::null_mut(), 0);
            pg_sys::get_func_signature((*(*fcinfo).flinfo).fn_oid, &mut types, &mut count);
            let given = usize::try_from((*fcinfo).nargs).unwrap_or(0);
            let declared = usize::try_from(count).unwrap_or(0).min(given);
            let types = if declared == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(types, declared)
            };
            Args {
                values: (*fcinfo).args.as_slice(declared),
                types,
            }
        }
    }

    /// How many arguments there are.
    pub fn count(&self) -> usize {
        self.values.len()
    }

    /// Whether an argument is NULL or not there.
    pub fn is_null(&self, index: usize) -> bool {
        self.values.get(index).is_none_or(|v| v.isnull)
    }

    fn kind(&self, index: usize) -> Kind {
        match self.types.get(index) {
            Some(&pg_sys::BYTEAOID) => Kind::Bytes,
            Some(&(pg_sys::TEXTARRAYOID | pg_sys::BYTEAARRAYOID)) => Kind::Sources,
            Some(&(pg_sys::JSONBOID | pg_sys::JSONOID)) => Kind::Json,
            _ => Kind::Text,
        }
    }

    /// Options at a place where there may be none, or NULL.
    ///
    /// # Errors
    /// [`Error::Options`].
    pub fn maybe_options(&self, index: usize) -> Result<Map<String, Value>, Error> {
        if self.is_null(index) {
            return Ok(Map::new());
        }
        self.options(index)
    }

    /// Whether an argument is declared json or jsonb.
    pub fn is_json(&self, index: usize) -> bool {
        matches!(self.kind(index), Kind::Json)
    }

    /// A text argument.
    pub fn text(&self, index: usize) -> Result<String, Error> {
        self.get::<String>(index)
    }

    /// A recording: text or bytea.
    pub fn source(&self, index: usize) -> Result<Source, Error> {
        if self.types.get(index) == Some(&pg_sys::BYTEAOID) {
            Ok(Source::Bytes(self.get::<&[u8]>(index)?.into()))
        } else {
            Ok(Source::Text(self.text(index)?))
        }
    }

    /// An array of recordings.
    ///
    /// # Errors
    /// None in a sound installation.
    pub fn sources(&self, index: usize) -> Result<Sources, Error> {
        let bytes = self.types.get(index) == Some(&pg_sys::BYTEAARRAYOID);
        let array = self.get::<pg_sys::Datum>(index)?;
        let (mut values, mut nulls, mut count) = (std::ptr::null_mut(), std::ptr::null_mut(), 0);
        // SAFETY: an array of varlenas that are aligned as integers, as declared; a constant with a secret in it
        // differs by the name of its elements' type only. What is made lives as long as the call.
        let elements = unsafe {
            let array = pg_sys::pg_detoast_datum(array.cast_mut_ptr()).cast::<pg_sys::ArrayType>();
            pg_sys::deconstruct_array(
                array,
                (*array).elemtype,
                -1,
                false,
                pg_sys::TYPALIGN_INT as std::ffi::c_char,
                &mut values,
                &mut nulls,
                &mut count,
            );
            let at = |i: usize| (!*nulls.add(i)).then(|| *values.add(i));
            (0..usize::try_from(count).unwrap_or(0)).map(at).collect()
        };
        Ok(Sources { elements, bytes })
    }

    /// Options: text (JSON5), json or jsonb.
    pub fn options(&self, index: usize) -> Result<Map<String, Value>, Error> {
        match self.types.get(index) {
            // SAFETY: declared jsonb.
            Some(&pg_sys::JSONBOID) => unsafe { jsonb_options(self.get::<pg_sys::Datum>(index)?) },
            // json is stored as text is.
            _ => options::parse_text(&self.text(index)?),
        }
    }

    /// A voiceprint in whatever it comes as: vector, halfvec, an array of numbers, or text as vector writes it.
    ///
    /// # Errors
    /// [`Error::Argument`] for an array of something else, and text that is none.
    pub fn numbers(&self, index: usize) -> Result<Vec<f32>, Error> {
        match self.types.get(index) {
            Some(
                &(pg_sys::ANYARRAYOID | pg_sys::ANYCOMPATIBLEARRAYOID | pg_sys::FLOAT4ARRAYOID),
            ) => {
                let array = self.get::<pg_sys::Datum>(index)?;
                // SAFETY: declared an array.
                return unsafe { numbers_of_array(array) };
            }
            Some(&pg_sys::TEXTOID) => {}
            _ => return Ok(self.voiceprint(index)?.0),
        }
        let text = self.text(index)?;
        let inner = text
            .trim()
            .strip_prefix('[')
            .and_then(|t| t.strip_suffix(']'));
        let numbers = inner.map(|t| t.split(',').map(|n| n.trim().parse().ok()).collect());
        numbers
            .flatten()
            .ok_or_else(|| Error::Argument("a voiceprint in text is written [0.1,0.2,...]".into()))
    }

    /// A table, as regclass or by its name.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none of this name.
    pub fn relation(&self, index: usize) -> Result<pg_sys::Oid, Error> {
        if self.types.get(index) != Some(&pg_sys::TEXTOID) {
            return self.get(index);
        }
        relation(&self.text(index)?)?.ok_or_else(|| {
            let name = self.text(index).unwrap_or_default();
            Error::Argument(format!("relation \"{name}\" does not exist"))
        })
    }

    /// Milliseconds: integer or double precision.
    ///
    /// # Errors
    /// None in a sound installation.
    pub fn millis(&self, index: usize) -> Result<f64, Error> {
        if self.types.get(index) == Some(&pg_sys::INT4OID) {
            return self.get::<i32>(index).map(f64::from);
        }
        self.get(index)
    }

    /// A voiceprint: vector or halfvec.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value that is none.
    pub fn voiceprint(&self, index: usize) -> Result<Vector, Error> {
        if !self
            .types
            .get(index)
            .is_some_and(|t| *t == oid_of("halfvec"))
        {
            return self.get(index);
        }
        self.get(index).map(|HalfVector(values)| Vector(values))
    }

    /// Whether an argument is a voiceprint.
    pub fn is_voiceprint(&self, index: usize) -> bool {
        let is = |name| self.types.get(index).is_some_and(|t| *t == oid_of(name));
        is("vector") || is("halfvec")
    }

    /// The text of a json or jsonb argument.
    pub fn json(&self, index: usize) -> Result<String, Error> {
        match self.types.get(index) {
            // SAFETY: declared jsonb.
            Some(&pg_sys::JSONBOID) => unsafe { jsonb_text(self.get::<pg_sys::Datum>(index)?) },
            _ => self.text(index),
        }
    }

    /// An argument as any type that its declaration allows.
    pub fn get<T: FromDatum>(&self, index: usize) -> Result<T, Error> {
        let given = self.values.get(index).zip(self.types.get(index));
        // SAFETY: the declared type decides which `T` callers ask for.
        let value =
            given.and_then(|(v, t)| unsafe { T::from_polymorphic_datum(v.value, v.isnull, *t) });
        value.ok_or_else(|| Error::Internal(format!("argument {} is missing", index + 1)))
    }
}

/// The numbers of an array, whatever it is declared as: of which type they are stands in it.
///
/// # Safety
/// `datum` is an array that is not NULL.
unsafe fn numbers_of_array(datum: pg_sys::Datum) -> Result<Vec<f32>, Error> {
    fn all<T>(values: Option<Vec<Option<T>>>, to: fn(T) -> f32) -> Result<Vec<f32>, Error> {
        let values = values.unwrap_or_default().into_iter();
        let values: Option<Vec<f32>> = values.map(|x| x.map(to)).collect();
        values.ok_or(Error::NullInArray)
    }
    // SAFETY: by contract; the type of the elements says how to read them.
    unsafe {
        let array = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
        let element = pg_sys::getBaseType((*array.cast::<pg_sys::ArrayType>()).elemtype);
        let array = pg_sys::Datum::from(array);
        match element {
            pg_sys::FLOAT4OID => all(FromDatum::from_datum(array, false), |x: f32| x),
            pg_sys::FLOAT8OID => all(FromDatum::from_datum(array, false), |x: f64| x as f32),
            pg_sys::INT2OID => all(FromDatum::from_datum(array, false), |x: i16| x.into()),
            pg_sys::INT4OID => all(FromDatum::from_datum(array, false), |x: i32| x as f32),
            pg_sys::INT8OID => all(FromDatum::from_datum(array, false), |x: i64| x as f32),
            pg_sys::NUMERICOID => all(FromDatum::from_datum(array, false), |x: AnyNumeric| {
                f32::try_from(x).unwrap_or(f32::NAN)
            }),
            _ => Err(Error::Argument(
                "a voiceprint in an array is one of numbers, such as real[] or float8[]".into(),
            )),
        }
    }
}

/// Options in a jsonb value.
///
/// # Safety
/// `datum` is a jsonb value that is not NULL.
pub unsafe fn jsonb_options(datum: pg_sys::Datum) -> Result<Map<String, Value>, Error> {
    // SAFETY: by contract.
    options::parse_text(&unsafe { jsonb_text(datum) }?)
}

/// The text of a jsonb value, which is how it is read: pgrx's conversion panics on what jsonb can hold and `serde_json`
/// cannot, such as 1e400 or deep nesting.
///
/// # Safety
/// `datum` is a jsonb value that is not NULL.
unsafe fn jsonb_text(datum: pg_sys::Datum) -> Result<String, Error> {
    // SAFETY: the output function of the value's type.
    let text = unsafe { pgrx::direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)]) };
    let text = text.ok_or_else(|| Error::Internal("jsonb without text".into()))?;
    Ok(text.to_string_lossy().into_owned())
}
