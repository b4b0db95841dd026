//! `ai_voice_cluster(voiceprint [, options]) OVER (...)`: groups the rows of a partition by speaker.
//!
//! A window function that looks at the whole partition when asked for its first row, and hands out the rest from memory
//! that lives as long as the partition.

use std::ffi::c_void;

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;
use pgrx::{FromDatum, PgMemoryContexts};
use serde::Deserialize;
use voice::cluster::{self, Options, Rows};

use crate::call::arguments::jsonb_options;
use crate::call::options;
use crate::errors::Error;
use crate::progress::Stage;
use crate::vector::{Detoasted, HalfVector, oid_of};
use crate::{interrupt, progress, settings};

/// `WINDOW_SEEK_HEAD` of windowapi.h.
const FROM_THE_START: i32 = 1;

#[repr(C)]
struct WindowObject {
    node: pg_sys::Node,
}

unsafe extern "C-unwind" {
    fn WinGetPartitionLocalMemory(window: *mut WindowObject, size: usize) -> *mut c_void;
    fn WinGetCurrentPosition(window: *mut WindowObject) -> i64;
    fn WinGetPartitionRowCount(window: *mut WindowObject) -> i64;
    fn WinGetFuncArgCurrent(
        window: *mut WindowObject,
        argument: i32,
        is_null: *mut bool,
    ) -> pg_sys::Datum;
    fn WinGetFuncArgInPartition(
        window: *mut WindowObject,
        argument: i32,
        position: i32,
        seek: i32,
        set_mark: bool,
        is_null: *mut bool,
        is_out: *mut bool,
    ) -> pg_sys::Datum;
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ClusterOptions {
    /// Mean similarity up to which groups merge.
    threshold: Option<f32>,
    /// Rows that a group must have; others get NULL.
    min_size: Option<u32>,
    /// The number of speakers, if known.
    clusters: Option<u32>,
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_ai_voice_cluster() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

/// The group of the current row, from 1; NULL for a NULL or zero voiceprint and for noise.
///
/// # Safety
/// Called by Postgres as the window function that `sql/` declares.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn ai_voice_cluster(
    fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    // SAFETY: by contract; the context of a window function call is its window object, which is checked.
    unsafe {
        let window = (*fcinfo).context.cast::<WindowObject>();
        if window.is_null() || (*window).node.type_ != pg_sys::NodeTag::T_WindowObjectData {
            ereport!(
                ERROR,
                PgSqlErrorCode::ERRCODE_WINDOWING_ERROR,
                "ai_voice_cluster must be called with OVER (...)"
            );
        }
        let kind = |argument| pg_sys::get_fn_expr_argtype((*fcinfo).flinfo, argument);
        let types = Types {
            voiceprint: kind(0),
            options: ((*fcinfo).nargs > 1).then(|| kind(1)),
        };
        match Partition::of(window, &types).and_then(|p| p.current()) {
            Ok(0) => {
                (*fcinfo).isnull = true;
                pg_sys::Datum::from(0)
            }
            Ok(group) => pg_sys::Datum::from(group),
            Err(error) => {
                pg_sys::panic::ErrorReport::from(error).report(PgLogLevel::ERROR);
                unreachable!("an error report ends the statement")
            }
        }
    }
}

/// What the function was called with.
struct Types {
    voiceprint: pg_sys::Oid,
    /// There may be none.
    options: Option<pg_sys::Oid>,
}

/// The groups of a partition's rows, in memory that Postgres zeroes first and frees with the partition: whether they
/// are there, then one number per row, 0 for none.
struct Partition {
    window: *mut WindowObject,
    groups: *mut u32,
}

impl Partition {
    /// The groups, made if this is the partition's first row.
    ///
    /// # Safety
    /// `window` is the running function's.
    unsafe fn of(window: *mut WindowObject, types: &Types) -> Result<Self, Error> {
        // SAFETY: by contract; one flag and one number per row fit the memory asked for. The first call decides its size.
        unsafe {
            let rows = usize::try_from(pg_guard_ffi_boundary(|| WinGetPartitionRowCount(window)))
                .unwrap_or(0);
            if rows > i32::MAX as usize / size_of::<u32>() - 1 {
                return Err(voice::Error::Memory {
                    need: Rows::bytes(rows, 1),
                    limit: settings::cluster_memory(),
                }
                .into());
            }
            let size = (rows + 1) * size_of::<u32>();
            let memory =
                pg_guard_ffi_boundary(|| WinGetPartitionLocalMemory(window, size)).cast::<u32>();
            let partition = Partition {
                window,
                groups: memory.add(1),
            };
            if *memory == 0 {
                let groups = partition.group(rows, types)?;
                for (i, group) in groups.into_iter().enumerate() {
                    *partition.groups.add(i) = group.unwrap_or(0);
                }
                *memory = 1;
            }
            Ok(partition)
        }
    }

    fn current(&self) -> Result<u32, Error> {
        // SAFETY: a position within the partition, for each of which there is a number.
        Ok(unsafe {
            *self
                .groups
                .add(pg_guard_ffi_boundary(|| WinGetCurrentPosition(self.window)) as usize)
        })
    }

    fn group(&self, rows: usize, types: &Types) -> Result<Vec<Option<u32>>, Error> {
        let options = types.options;
        let options = options.map_or(Ok(Options::default()), |oid| self.options(oid))?;
        let count = rows;
        let rows = self.read(rows, types.voiceprint == oid_of("halfvec"))?;
        let threads = settings::threads();
        progress::named("ai_voice_cluster", &format!("{count} voiceprints"));
        interrupt::run(|cancel| {
            progress::stage(Stage::Clustering, 0);
            let told = |done: usize, all: usize| {
                progress::of(1000 * all as u64);
                progress::done(1000 * done as u64);
            };
            cluster::cluster_telling(rows, &options, threads, cancel, &told)
        })
    }

    /// The options of the partition's first row; they are the same for all.
    fn options(&self, oid: pg_sys::Oid) -> Result<Options, Error> {
        let mut null = false;
        // SAFETY: the declaration has a second argument, of type `oid`.
        let object = unsafe {
            let datum = pg_guard_ffi_boundary(|| WinGetFuncArgCurrent(self.window, 1, &mut null));
            match oid {
                pg_sys::JSONBOID => (!null).then(|| jsonb_options(datum)),
                _ => String::from_datum(datum, null).map(|text| options::parse_text(&text)),
            }
        };
        let given: ClusterOptions = options::own(object.transpose()?.unwrap_or_default())?;
        let usual = Options::default();
        Ok(Options {
            threshold: given.threshold.unwrap_or(usual.threshold),
            min_size: given.min_size.map_or(usual.min_size, |n| n as usize),
            clusters: given.clusters.map(|n| n as usize),
        })
    }

    /// Reads all voiceprints of the partition.
    fn read(&self, count: usize, half: bool) -> Result<Rows, Error> {
        let mut rows = Rows::new(count, settings::cluster_memory());
        let mut scratch = PgMemoryContexts::new("ai_voice_cluster row");
        for position in 0..count {
            pgrx::check_for_interrupts!();
            // SAFETY: what is detoasted or computed for a row is copied into `rows` before the context is reset.
            unsafe {
                scratch.switch_to(|_| self.read_row(position as i32, half, &mut rows))?;
                scratch.reset();
            }
        }
        Ok(rows)
    }

    fn read_row(&self, position: i32, half: bool, rows: &mut Rows) -> Result<(), Error> {
        let (mut null, mut out) = (false, false);
        // SAFETY: a position within the partition; the first argument is declared a vector or halfvec.
        unsafe {
            let datum = pg_guard_ffi_boundary(|| {
                WinGetFuncArgInPartition(
                    self.window,
                    0,
                    position,
                    FROM_THE_START,
                    false,
                    &mut null,
                    &mut out,
                )
            });
            if null || out {
                return Ok(rows.push(None)?);
            }
            let damaged = || Error::Argument("a vector is damaged".into());
            if half {
                let vector = HalfVector::from_datum(datum, false).ok_or_else(damaged)?;
                return Ok(rows.push(Some(&vector.0))?);
            }
            let vector = Detoasted::new(datum);
            Ok(rows.push(Some(vector.values::<f32>().ok_or_else(damaged)?))?)
        }
    }
}
