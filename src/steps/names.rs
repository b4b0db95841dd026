//! The option `library`: a table of known voices that speakers get their names from, asked as `ai_voice_identify` asks
//! it, with the caller's privileges and row security.

use pgrx::prelude::*;
use serde_json::{Map, Value};

use crate::errors::Error;
use crate::query;
use crate::steps::identify::identify;
use crate::vector::Vector;

/// Probability at which two speakers may have one name: a voice that was taken for two.
const SURE: f64 = 0.9;

/// A table of known voices and how to ask it.
pub struct Names {
    table: pg_sys::Oid,
    options: Map<String, Value>,
}

impl Names {
    /// Reads `'table'` or `{table: 'table', ..}`, the rest being options of `ai_voice_identify`. The name is looked up
    /// as any table's name in a query.
    ///
    /// # Errors
    /// [`Error::Options`] for another shape or a table that is not there.
    pub fn of(given: &Value) -> Result<Self, Error> {
        let (name, options) = match given {
            Value::String(name) => (Some(name.clone()), Map::new()),
            Value::Object(all) => {
                let mut options = all.clone();
                let table = options.remove("table");
                (
                    table.as_ref().and_then(Value::as_str).map(Into::into),
                    options,
                )
            }
            _ => (None, Map::new()),
        };
        let Some(name) = name else {
            let message = "option \"library\" is a table's name, or {table: 'name', ..} with options of ai_voice_identify";
            return Err(Error::Options(message.into()));
        };
        let resolve = "SELECT pg_catalog.to_regclass($1)::pg_catalog.oid";
        let table = query::one::<pg_sys::Oid>(resolve, &[name.as_str().into()])?;
        let missing = || {
            Error::Options(format!(
                "option \"library\": relation \"{name}\" does not exist"
            ))
        };
        Ok(Names {
            table: table.ok_or_else(missing)?,
            options,
        })
    }

    /// The names of speakers, each with a voice and seconds of speech; `None` for nobody's. A name is one speaker's: the
    /// one it fits best, and others only where it is nearly sure.
    ///
    /// # Errors
    /// Those of `ai_voice_identify`: privileges, columns, options.
    pub fn names_of(
        &self,
        speakers: &[(Option<Vector>, f64)],
    ) -> Result<Vec<Option<String>>, Error> {
        let found = speakers.iter().map(|(voice, seconds)| match voice {
            Some(voice) => self.ask(voice, *seconds),
            None => Ok(None),
        });
        let found: Vec<Option<(String, f64)>> = found.collect::<Result<_, _>>()?;
        let best = |name: &str| {
            let others = found.iter().flatten().filter(|f| f.0 == name);
            others.map(|f| f.1).fold(0.0, f64::max)
        };
        let kept = |f: &(String, f64)| (f.1 >= best(&f.0).min(SURE)).then(|| f.0.clone());
        Ok(found.iter().map(|f| f.as_ref().and_then(kept)).collect())
    }

    /// A name and its probability.
    fn ask(&self, voice: &Vector, seconds: f64) -> Result<Option<(String, f64)>, Error> {
        let mut options = self.options.clone();
        options.entry("duration").or_insert(seconds.into());
        let found = identify(voice.clone(), self.table, options)?;
        Ok(found.and_then(|f| f.name.map(|name| (name, f.probability))))
    }
}
