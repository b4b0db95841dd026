//! The types of constants that hold a secret ([`crate::planner`] makes them): input refused, output without it.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::call::arguments::{Args, jsonb_options};
use crate::call::options;
use crate::errors::Error;
use crate::secrets;

/// Input function of both types: only the planner makes values of them.
#[pg_extern]
fn ai_audio_hidden_in(_fcinfo: pg_sys::FunctionCallInfo) -> Result<Option<i32>, ErrorReport> {
    Err(Error::Argument("values of this type stand in plans only".into()).into())
}

/// Output function of `ai_audio.hidden_text`, which is text.
#[pg_extern]
fn ai_audio_hidden_text_out(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<&'static CStr, ErrorReport> {
    // SAFETY: declared in this shape in sql/.
    let text = unsafe { Args::new(fcinfo) }.text(0)?;
    if text.trim_start().starts_with('{') {
        return printed(&secrets::shown_options(options::parse_text(&text)));
    }
    printed(&source::redact(&text))
}

/// Output function of `ai_audio.hidden_jsonb`, which is jsonb.
#[pg_extern]
fn ai_audio_hidden_jsonb_out(
    fcinfo: pg_sys::FunctionCallInfo,
) -> Result<&'static CStr, ErrorReport> {
    // SAFETY: declared in this shape in sql/; the value is jsonb by another name.
    let options = unsafe { jsonb_options(Args::new(fcinfo).get::<pg_sys::Datum>(0)?) };
    printed(&secrets::shown_options(options))
}

fn printed(text: &str) -> Result<&'static CStr, ErrorReport> {
    let text = CString::new(text).map_err(|e| Error::Internal(e.to_string()))?;
    // SAFETY: a copy in the caller's memory context, as output functions return it.
    Ok(unsafe { CStr::from_ptr(pg_sys::pstrdup(text.as_ptr())) })
}
