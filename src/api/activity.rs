//! `ai_audio_activity`: what sessions are doing now.

use pgrx::prelude::*;

use crate::call::privileges::READ_ALL_STATS;
use crate::progress;

/// Rows of the view; the recording is for those who may see the session's query.
#[pg_extern]
#[allow(clippy::type_complexity)]
fn ai_audio_list_activity() -> TableIterator<
    'static,
    (
        name!(pid, i32),
        name!(function, String),
        name!(recording, Option<String>),
        name!(stage, String),
        name!(done_seconds, f64),
        name!(total_seconds, Option<f64>),
        name!(since, Option<TimestampWithTimeZone>),
    ),
> {
    // SAFETY: catalog look-ups in a transaction.
    let may_see = |role: pg_sys::Oid| unsafe {
        let user = pg_sys::GetUserId();
        let all = pg_sys::Oid::from(READ_ALL_STATS);
        pg_sys::has_privs_of_role(user, role) || pg_sys::has_privs_of_role(user, all)
    };
    let rows = progress::activities().into_iter().map(move |a| {
        (
            a.pid,
            a.function,
            may_see(a.role).then_some(a.recording),
            a.stage.to_string(),
            a.done,
            a.total,
            TimestampWithTimeZone::try_from(a.since).ok(),
        )
    });
    TableIterator::new(rows.collect::<Vec<_>>())
}
