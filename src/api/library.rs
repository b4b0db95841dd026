//! The option `library` of diarization: a table of known voices, asked through `ai_voice_identify` with the caller's
//! privileges and row security.

use pgrx::datum::DatumWithOid;
use pgrx::prelude::*;
use pgrx::{IntoDatum, JsonB};
use serde_json::{Map, Value};

use crate::errors::Error;
use crate::vector::{Vector, oid_of};

/// A table of known voices and how to ask it.
pub struct Library {
    /// `ai_voice_identify`, with its schema.
    function: String,
    table: pg_sys::Oid,
    options: Map<String, Value>,
}

impl Library {
    /// Reads `'table'` or `{table: 'table', ..}`, the rest being options of `ai_voice_identify`. The name is looked up
    /// as any table's name in a query.
    ///
    /// # Errors
    /// [`Error::Options`] for another shape; what Postgres says of a table that is not there.
    pub fn of(given: &Value) -> Result<Self, Error> {
        let wrong = || {
            let message = "option \"library\" is a table's name, or {table: 'name', ..} with options of ai_voice_identify";
            Error::Options(message.into())
        };
        let (name, options) = match given {
            Value::String(name) => (name.clone(), Map::new()),
            Value::Object(all) => {
                let mut options = all.clone();
                let table = options.remove("table").ok_or_else(wrong)?;
                (table.as_str().ok_or_else(wrong)?.to_string(), options)
            }
            _ => return Err(wrong()),
        };
        let schema = Spi::get_one::<String>(
            "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
             JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
             WHERE e.extname OPERATOR(pg_catalog.=) 'ai_audio'",
        )?;
        let schema =
            schema.ok_or_else(|| Error::Internal("the extension ai_audio is missing".into()))?;
        let resolve = "SELECT $1::pg_catalog.regclass::pg_catalog.oid";
        let table =
            Spi::get_one_with_args::<pg_sys::Oid>(resolve, &[name.into()])?.ok_or_else(wrong)?;
        Ok(Library {
            function: format!("{schema}.ai_voice_identify"),
            table,
            options,
        })
    }

    /// Whose voice this is, measured on so many seconds of speech; `None` if nobody's.
    ///
    /// # Errors
    /// Those of `ai_voice_identify`: privileges, columns, options.
    pub fn name_of(&self, voice: &Vector, seconds: f64) -> Result<Option<String>, Error> {
        let query = format!(
            "SELECT name FROM {}($1, $2::pg_catalog.regclass, $3)",
            self.function
        );
        let mut options = self.options.clone();
        options.entry("duration").or_insert(seconds.into());
        let options = JsonB(Value::Object(options));
        // SAFETY: the OIDs are those of the values' types.
        let arguments = unsafe {
            [
                DatumWithOid::new(voice.clone(), oid_of("vector")),
                DatumWithOid::new(self.table, pg_sys::OIDOID),
                DatumWithOid::new(options, JsonB::type_oid()),
            ]
        };
        Ok(Spi::get_one_with_args::<String>(&query, &arguments)?)
    }
}
