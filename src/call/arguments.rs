//! What a function on a recording was called with.
//!
//! `ai_audio_embed` and its kin come as `(source)`, `(model, source)` and `(model, source, options)`, with the source as
//! text or bytea and the options as text or jsonb. One C symbol serves all of these: the declared types tell them apart.

use std::ffi::CStr;
use std::sync::Arc;

use pgrx::FromDatum;
use pgrx::prelude::*;
use serde_json::{Map, Value};

use crate::call::options;
use crate::errors::Error;

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
            Source::Text(text) => format!("\"{}\"", source::redact(text)),
            Source::Bytes(bytes) => format!("the given bytea ({} bytes)", bytes.len()),
        }
    }
}

/// Arguments of a call, read by position from the end: options, source, model. Strict functions only.
pub struct Call {
    /// The model named, if any.
    pub model: Option<String>,
    /// The recording.
    pub source: Source,
    /// The options, empty if not given.
    pub options: Map<String, Value>,
}

impl Call {
    /// Reads `(source)`, `(model, source)` or `(model, source, options)`.
    ///
    /// # Safety
    /// `fcinfo` is that of a running strict function declared in one of these shapes.
    pub unsafe fn model_first(fcinfo: pg_sys::FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: by contract.
        let args = unsafe { Args::new(fcinfo) };
        let source = args.source(usize::from(args.count() > 1))?;
        let model = if args.count() > 1 {
            Some(args.text(0)?)
        } else {
            None
        };
        let options = if args.count() > 2 {
            args.options(2)?
        } else {
            Map::new()
        };
        Ok(Call {
            model,
            source,
            options,
        })
    }

    /// Reads `(source)` or `(source, options)`.
    ///
    /// # Safety
    /// As for [`Call::model_first`].
    pub unsafe fn source_first(fcinfo: pg_sys::FunctionCallInfo) -> Result<Self, Error> {
        // SAFETY: by contract.
        let args = unsafe { Args::new(fcinfo) };
        let options = if args.count() > 1 {
            args.options(1)?
        } else {
            Map::new()
        };
        Ok(Call {
            model: None,
            source: args.source(0)?,
            options,
        })
    }

    /// Reads `(source [, model] [, options])`, any but the source NULL or left out; `None` if the source is NULL. Text
    /// in the model's place that is a JSON object is options.
    ///
    /// # Safety
    /// `fcinfo` is that of a running function declared in this shape.
    pub unsafe fn optional(fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<Self>, Error> {
        // SAFETY: by contract.
        let args = unsafe { Args::new(fcinfo) };
        if args.is_null(0) {
            return Ok(None);
        }
        let mut call = Call {
            model: None,
            source: args.source(0)?,
            options: Map::new(),
        };
        for index in (1..args.count()).filter(|i| !args.is_null(*i)) {
            let is_model =
                index == 1 && !args.is_json(1) && !args.text(1)?.trim_start().starts_with('{');
            if is_model {
                call.model = Some(args.text(1)?);
            } else {
                call.options = args.options(index)?;
            }
        }
        Ok(Some(call))
    }
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

    fn is_json(&self, index: usize) -> bool {
        self.types.get(index) == Some(&pg_sys::JSONBOID)
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

    /// Options: text (JSON5) or jsonb.
    pub fn options(&self, index: usize) -> Result<Map<String, Value>, Error> {
        if self.types.get(index) == Some(&pg_sys::JSONBOID) {
            // SAFETY: declared jsonb.
            unsafe { jsonb_options(self.get::<pg_sys::Datum>(index)?) }
        } else {
            options::parse_text(&self.text(index)?)
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

/// Options in a jsonb value. They are read from its text: pgrx's conversion panics on what jsonb can hold and
/// `serde_json` cannot, such as 1e400 or deep nesting.
///
/// # Safety
/// `datum` is a jsonb value that is not NULL.
pub unsafe fn jsonb_options(datum: pg_sys::Datum) -> Result<Map<String, Value>, Error> {
    // SAFETY: the output function of the value's type.
    let text = unsafe { pgrx::direct_function_call::<&CStr>(pg_sys::jsonb_out, &[Some(datum)]) };
    let text = text.ok_or_else(|| Error::Internal("jsonb without text".into()))?;
    options::parse_text(&text.to_string_lossy())
}
