//! Background workers for followed tables (`sql/8*_follow*.sql`), where the library is preloaded.
//!
//! A scout per database of `ai_audio.databases` looks every second whose tables wait for work, and starts workers, up to
//! `ai_audio.workers` of them. A worker logs in as the owner of the tables: there is no superuser behind it that code of
//! the owner could turn back to. Owners that are superusers have no workers: code that came to them with a table would run.

use std::ffi::CString;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{
    BackgroundWorker, BackgroundWorkerBuilder, BgWorkerStartTime, DynamicBackgroundWorker,
    SignalWakeFlags,
};
use pgrx::prelude::*;

use crate::settings;

/// Between two looks for work.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a worker keeps its models without work.
const IDLE: Duration = Duration::from_secs(60);
/// How long a worker serves one owner before others get their turn.
const TURN: Duration = Duration::from_secs(300);
/// Until a scout that failed is started again.
const RESTART: Duration = Duration::from_secs(10);

/// Registers the scouts. To be called while the library is preloaded.
pub fn register() {
    // SAFETY: reads a global of the postmaster.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    for database in settings::databases() {
        BackgroundWorkerBuilder::new(&format!("ai_audio scout of {database}"))
            .set_type("ai_audio scout")
            .set_library("ai_audio")
            .set_function("ai_audio_scout")
            .set_extra(&database)
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(Some(RESTART))
            .enable_spi_access()
            .load();
    }
}

unsafe extern "C-unwind" {
    /// The server's handler of SIGTERM, itself: a binding of pgrx does more than a signal handler may.
    fn die(signal: std::ffi::c_int);
}

/// Signals as any session takes them: a worker that hears a recording stops as a query does.
fn signals() {
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
    // SAFETY: the server's own handler.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as i32, Some(die));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as i32, Some(die));
    }
}

fn pause() {
    report(None);
    let goes_on = BackgroundWorker::wait_latch(Some(PAUSE));
    pgrx::check_for_interrupts!();
    if !goes_on {
        // The server was killed: nothing waits any more, and who stays keeps it from being started again.
        // SAFETY: outside of a transaction, as the server's own processes do.
        unsafe { pg_sys::proc_exit(1) };
    }
    if BackgroundWorker::sighup_received() {
        // SAFETY: between transactions, as the server's own processes do.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
}

/// What `pg_stat_activity` shows.
fn report(doing: Option<&str>) {
    let text = doing.and_then(|d| CString::new(d).ok());
    // SAFETY: the text is copied.
    unsafe {
        match text {
            Some(text) => {
                pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, text.as_ptr())
            }
            None => {
                pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null())
            }
        }
    }
}

/// The first column of what a query gives; nothing where the extension is not there (any more).
fn oids(query: &str) -> Vec<pg_sys::Oid> {
    let query = query.to_string();
    BackgroundWorker::transaction(move || {
        Spi::connect(|client| {
            let there = client.select("SELECT 1 FROM pg_catalog.pg_extension WHERE extname OPERATOR(pg_catalog.=) 'ai_audio'", Some(1), &[]);
            if there.map_or(true, |rows| rows.is_empty()) {
                return Vec::new();
            }
            let rows = client.select(&query, None, &[]);
            rows.map_or_else(
                |_| Vec::new(),
                |rows| {
                    rows.filter_map(|row| row.get::<pg_sys::Oid>(1).ok().flatten())
                        .collect()
                },
            )
        })
    })
}

/// The scout of a database: starts workers.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ai_audio_scout(_argument: pg_sys::Datum) {
    signals();
    BackgroundWorker::connect_worker_to_spi(Some(BackgroundWorker::get_extra()), None);
    let mut workers: Vec<DynamicBackgroundWorker> = Vec::new();
    loop {
        pause();
        workers.retain(|w| {
            !matches!(
                w.pid(),
                Err(pgrx::bgworkers::BackgroundWorkerStatus::Stopped)
            )
        });
        if settings::workers() <= workers.len() {
            continue;
        }
        for owner in oids("SELECT owner FROM ai_audio.owners_with_work() AS owner") {
            if settings::workers() <= workers.len() {
                break;
            }
            // SAFETY: set once connected.
            let database = unsafe { pg_sys::MyDatabaseId };
            let started = BackgroundWorkerBuilder::new("ai_audio worker")
                .set_type("ai_audio worker")
                .set_library("ai_audio")
                .set_function("ai_audio_worker")
                .set_argument(Some(pg_sys::Datum::from(owner)))
                .set_extra(&database.to_u32().to_string())
                .set_restart_time(None)
                // SAFETY: this process.
                .set_notify_pid(unsafe { pg_sys::MyProcPid })
                .enable_spi_access()
                .load_dynamic();
            // None free: the next look may find one.
            workers.extend(started.ok());
        }
    }
}

/// A worker of one owner: a transaction to take a recording, one to work on it.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn ai_audio_worker(owner: pg_sys::Datum) {
    signals();
    let database = BackgroundWorker::get_extra().parse().unwrap_or(0);
    BackgroundWorker::connect_worker_to_spi_by_oid(
        Some(pg_sys::Oid::from(database)),
        Some(pg_sys::Oid::from(owner.value() as u32)),
    );
    let (begun, mut busy) = (Instant::now(), Instant::now());
    while busy.elapsed() < IDLE && begun.elapsed() < TURN && settings::workers() > 0 {
        let Some((follow, job)) = take() else {
            pause();
            continue;
        };
        report(Some(&format!("ai_audio: job {job} of {follow}")));
        BackgroundWorker::transaction(move || {
            let work = format!(
                "SELECT ai_audio.work_on('{}'::pg_catalog.regclass, f, {job}) FROM {follow} AS f",
                follow.replace('\'', "''")
            );
            // What fails is kept with the job; what is left is a defect, and ends the worker.
            if let Err(error) = Spi::run(&work) {
                pgrx::error!("{error}");
            }
        });
        busy = Instant::now();
        pgrx::check_for_interrupts!();
    }
}

/// A job of the current user, taken: the declaration's table and the job's number.
fn take() -> Option<(String, i64)> {
    BackgroundWorker::transaction(|| {
        let taken = Spi::get_two::<String, i64>(
            "SELECT follow::pg_catalog.text, job FROM ai_audio.next_job()",
        );
        match taken {
            Ok((Some(follow), Some(job))) => Some((follow, job)),
            _ => None,
        }
    })
}
