//! The option `library`: a table of known voices that speakers get their names from, asked as `ai_voice_identify` asks
//! it, with the caller's privileges and row security.

use pgrx::prelude::*;
use serde_json::{Map, Value};

use crate::call::arguments;
use crate::errors::Error;
use crate::steps::identify::{Identified, identify};
use crate::vector::Vector;

/// Probability at which two speakers may have one name: a voice that was taken for two.
const SURE: f64 = 0.9;

/// A speaker's name and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// As the library has it.
    pub name: String,
    /// That it is this one.
    pub probability: f64,
}

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
        let table = arguments::relation(&name)?;
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

    /// The names of speakers, each given by a voice and seconds of speech; `None` for nobody's. A name is one speaker's: the
    /// one it fits best, and others only where it is nearly sure.
    ///
    /// # Errors
    /// Those of `ai_voice_identify`: privileges, columns, options.
    pub fn names_of(
        &self,
        speakers: &[(Option<Vector>, f64)],
    ) -> Result<Vec<Option<Named>>, Error> {
        let found = speakers.iter().map(|(voice, seconds)| match voice {
            Some(voice) => self.ask(voice, *seconds),
            None => Ok(None),
        });
        let found: Vec<Option<Named>> = found.collect::<Result<_, _>>()?;
        let best = |name: &str| {
            let others = found.iter().flatten().filter(|f| f.name == name);
            others.map(|f| f.probability).fold(0.0, f64::max)
        };
        let kept = |f: &Named| (f.probability >= best(&f.name).min(SURE)).then(|| f.clone());
        Ok(found.iter().map(|f| f.as_ref().and_then(kept)).collect())
    }

    fn ask(&self, voice: &Vector, seconds: f64) -> Result<Option<Named>, Error> {
        let mut options = self.options.clone();
        options.entry("duration").or_insert(seconds.into());
        let found = identify(voice.clone(), self.table, options)?;
        let named = |f: Identified| {
            let probability = f.probability;
            f.name.map(|name| Named { name, probability })
        };
        Ok(found.and_then(named))
    }
}
