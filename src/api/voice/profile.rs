//! `ai_voice_profile`: the aggregate that makes one voiceprint of several recordings of a voice.
//!
//! The profile is the mean of the voiceprints, each scaled to norm 1 first, scaled to norm 1: better than a voiceprint of
//! concatenated audio (3D-Speaker issue 164). Sums are kept in integers, 2^60 to one, so they are exact: neither the order
//! of rows nor the split among parallel workers changes a bit of the result, and a row that leaves a moving window
//! takes away just what it brought.

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::Datum;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::pgrx_sql_entity_graph::metadata::impl_sql_translatable;
use pgrx::prelude::*;
use pgrx::{FromDatum, PgMemoryContexts};

use crate::errors::Error;
use crate::vector::{HalfVector, MAX_DIMENSIONS, Vector};

/// One, in the integers of the sums.
const ONE: f64 = (1u64 << 60) as f64;
/// Largest weight; 2^60 x this x 2^30 rows fits into 127 bits.
const MAX_WEIGHT: f64 = 1e9;

/// The sum of unit vectors times weights so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Profile {
    /// Rows summed up.
    rows: i64,
    /// In units of 1 / `ONE`; empty before the first row.
    sum: Vec<i128>,
}

impl Profile {
    /// Adds (`sign` 1) or takes away (-1) a voiceprint. A zero vector has no direction and changes nothing.
    fn add(&mut self, vector: &[f32], weight: f64, sign: i128) -> Result<(), Error> {
        if !(0.0..=MAX_WEIGHT).contains(&weight) {
            return Err(Error::Argument(format!(
                "a weight is from 0 to {MAX_WEIGHT:e}, not {weight}"
            )));
        }
        let norm = vector
            .iter()
            .map(|x| f64::from(*x).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm == 0.0 || weight == 0.0 {
            return Ok(());
        }
        self.fit(vector.len())?;
        let scale = weight / norm * ONE;
        self.sum
            .iter_mut()
            .zip(vector)
            .for_each(|(sum, x)| *sum += sign * (f64::from(*x) * scale) as i128);
        self.rows += sign as i64;
        Ok(())
    }

    fn combine(&mut self, other: &Profile) -> Result<(), Error> {
        if other.sum.is_empty() {
            return Ok(());
        }
        self.fit(other.sum.len())?;
        self.sum
            .iter_mut()
            .zip(&other.sum)
            .for_each(|(a, b)| *a += b);
        self.rows += other.rows;
        Ok(())
    }

    fn fit(&mut self, dimensions: usize) -> Result<(), Error> {
        if self.sum.is_empty() || self.rows == 0 {
            self.sum = vec![0; dimensions];
        }
        if self.sum.len() == dimensions {
            return Ok(());
        }
        let message = format!(
            "voiceprints of one profile must be equally long: found {} and {dimensions} dimensions",
            self.sum.len()
        );
        Err(Error::Argument(message))
    }

    /// The mean direction; nothing without rows, or where they cancel out.
    fn direction(&self) -> Option<Vector> {
        let sum: Vec<f64> = self.sum.iter().map(|x| *x as f64 / ONE).collect();
        let norm = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
        (self.rows > 0 && norm > 1e-9)
            .then(|| Vector(sum.iter().map(|x| (x / norm) as f32).collect()))
    }

    fn to_bytes(&self) -> Vec<u8> {
        self.rows
            .to_le_bytes()
            .into_iter()
            .chain(self.sum.iter().flat_map(|x| x.to_le_bytes()))
            .collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (rows, sum) = bytes.split_first_chunk::<8>()?;
        let (sum, rest) = sum.as_chunks::<16>();
        let whole = rest.is_empty() && sum.len() <= MAX_DIMENSIONS;
        whole.then(|| Profile {
            rows: i64::from_le_bytes(*rows),
            sum: sum.iter().map(|x| i128::from_le_bytes(*x)).collect(),
        })
    }
}

/// A transition state as Postgres passes it: a pointer to a profile that lives as long as the aggregation, or NULL.
struct State(*mut Profile);

impl_sql_translatable!(State, "internal");

unsafe impl BoxRet for State {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        if self.0.is_null() {
            return fcinfo.return_null();
        }
        // SAFETY: `internal` is a pointer.
        unsafe { fcinfo.return_raw_datum(pg_sys::Datum::from(self.0)) }
    }
}

/// The arguments of an aggregate's support function.
struct Support(pg_sys::FunctionCallInfo);

impl Support {
    /// The profile in argument `index`, if it is not NULL.
    ///
    /// # Safety
    /// The argument is declared `internal` and came from [`Support::keep`].
    unsafe fn state<'a>(&self, index: usize) -> Option<&'a mut Profile> {
        // SAFETY: by contract; Postgres gives a state to one call at a time.
        unsafe {
            self.argument::<pg_sys::Datum>(index, |d, null| (!null).then_some(d))?
                .cast_mut_ptr::<Profile>()
                .as_mut()
        }
    }

    unsafe fn value<T: FromDatum>(&self, index: usize) -> Option<T> {
        // SAFETY: callers ask for the declared type.
        unsafe { self.argument(index, |datum, null| T::from_datum(datum, null)) }
    }

    unsafe fn argument<T>(
        &self,
        index: usize,
        read: impl FnOnce(pg_sys::Datum, bool) -> Option<T>,
    ) -> Option<T> {
        // SAFETY: callers ask for arguments below nargs.
        let value = unsafe { (*self.0).args.as_slice((*self.0).nargs as usize) }[index];
        read(value.value, value.isnull)
    }

    /// Puts a profile where it lives as long as the aggregation.
    unsafe fn keep(&self, profile: Profile) -> Result<State, Error> {
        let mut context = std::ptr::null_mut();
        // SAFETY: a running function.
        if unsafe { pg_sys::AggCheckCallContext(self.0, &mut context) } == 0 {
            return Err(Error::Internal("called outside an aggregate".into()));
        }
        Ok(State(
            PgMemoryContexts::For(context).leak_and_drop_on_delete(profile),
        ))
    }

    /// Adds or takes away the row in arguments 1 (voiceprint) and 2 (weight, if there is one). Rows with a NULL change
    /// nothing.
    unsafe fn step(&self, sign: i128, half: bool) -> Result<State, Error> {
        // SAFETY: the declared types.
        unsafe {
            let weight = if (*self.0).nargs > 2 {
                self.value::<f64>(2)
            } else {
                Some(1.0)
            };
            let vector = if half {
                self.value::<HalfVector>(1).map(|vector| vector.0)
            } else {
                self.value::<Vector>(1).map(|vector| vector.0)
            };
            let row = vector.zip(weight);
            let state = match self.state(0) {
                Some(profile) => State(profile),
                None => self.keep(Profile::default())?,
            };
            if let Some((vector, weight)) = row {
                (*state.0).add(&vector, weight, sign)?;
            }
            Ok(state)
        }
    }
}

/// Transition function, also with weights.
#[pg_extern]
fn ai_voice_profile_add(fcinfo: pg_sys::FunctionCallInfo) -> Result<State, ErrorReport> {
    // SAFETY: declared (internal, vector [, float8]).
    Ok(unsafe { Support(fcinfo).step(1, false) }?)
}

/// Inverse transition function for moving windows.
#[pg_extern]
fn ai_voice_profile_remove(fcinfo: pg_sys::FunctionCallInfo) -> Result<State, ErrorReport> {
    // SAFETY: declared (internal, vector [, float8]).
    Ok(unsafe { Support(fcinfo).step(-1, false) }?)
}

/// The same two for halfvec.
#[pg_extern]
fn ai_voice_profile_add_half(fcinfo: pg_sys::FunctionCallInfo) -> Result<State, ErrorReport> {
    // SAFETY: declared (internal, halfvec [, float8]).
    Ok(unsafe { Support(fcinfo).step(1, true) }?)
}

/// Inverse transition function for moving windows.
#[pg_extern]
fn ai_voice_profile_remove_half(fcinfo: pg_sys::FunctionCallInfo) -> Result<State, ErrorReport> {
    // SAFETY: declared (internal, halfvec [, float8]).
    Ok(unsafe { Support(fcinfo).step(-1, true) }?)
}

/// Combines the states of two workers.
#[pg_extern]
fn ai_voice_profile_combine(fcinfo: pg_sys::FunctionCallInfo) -> Result<State, ErrorReport> {
    // SAFETY: declared (internal, internal).
    unsafe {
        let support = Support(fcinfo);
        let state = match support.state(0) {
            Some(profile) => State(profile),
            None => support.keep(Profile::default())?,
        };
        if let Some(other) = support.state(1) {
            (*state.0).combine(other)?;
        }
        Ok(state)
    }
}

/// A state as bytes, to send to another process.
#[pg_extern]
fn ai_voice_profile_serialize(fcinfo: pg_sys::FunctionCallInfo) -> Vec<u8> {
    // SAFETY: declared (internal), strict.
    unsafe { Support(fcinfo).state(0) }
        .map(|p| p.to_bytes())
        .unwrap_or_default()
}

/// A state from bytes.
#[pg_extern]
fn ai_voice_profile_deserialize(fcinfo: pg_sys::FunctionCallInfo) -> Result<State, ErrorReport> {
    // SAFETY: declared (bytea, internal), strict.
    unsafe {
        let support = Support(fcinfo);
        let profile = support
            .value::<Vec<u8>>(0)
            .and_then(|bytes| Profile::from_bytes(&bytes));
        let profile =
            profile.ok_or_else(|| Error::Internal("a serialized profile is damaged".into()))?;
        Ok(support.keep(profile)?)
    }
}

/// Final function.
#[pg_extern]
fn ai_voice_profile_final(fcinfo: pg_sys::FunctionCallInfo) -> Option<Vector> {
    // SAFETY: declared (internal).
    unsafe { Support(fcinfo).state(0) }.and_then(|p| p.direction())
}
