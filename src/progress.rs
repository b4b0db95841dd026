//! What this backend is doing, for whoever asks: INFO messages where `ai_audio.progress` is on, the view
//! `ai_audio_activity` in every session, and a wait event in `pg_stat_activity`.
//!
//! The view reads a file of slots, one per backend, that all backends map: shared memory without a preload. Only
//! the backend itself writes its slot, from the loop that waits for the work.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence,
};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use crate::settings;

/// Time between two messages.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// Beyond `MaxBackends`: auxiliary processes have numbers too.
const SPARE: usize = 64;
const NAME: usize = 64;
const TEXT: usize = 256;

/// What is being done with a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u32)]
pub enum Stage {
    /// Opening the file or fetching the URL.
    Opening,
    /// Finding the speech and judging it.
    Listening,
    /// Telling speakers apart.
    Diarizing,
    /// Writing down the words.
    Transcribing,
    /// Reducing noise.
    Enhancing,
    /// Cutting out a part.
    Cutting,
    /// Making a voiceprint.
    Embedding,
    /// Grouping voiceprints: these are counted, a thousand for each, where the others count milliseconds.
    Clustering,
    /// Anything else.
    Working,
}

/// Their names, in the same order.
const STAGES: [&str; 9] = [
    "opening",
    "listening",
    "diarizing",
    "transcribing",
    "enhancing",
    "cutting",
    "embedding",
    "clustering",
    "working",
];

/// The name of a stage as a slot holds it.
fn name_of(stage: u32) -> &'static str {
    STAGES.get(stage as usize).copied().unwrap_or("working")
}

static STAGE: AtomicU32 = AtomicU32::new(Stage::Working as u32);
static DONE_MS: AtomicU64 = AtomicU64::new(0);
static TOTAL_MS: AtomicU64 = AtomicU64::new(0);

/// Whether several recordings are worked on at once: then what is done of all of them counts.
static SEVERAL: AtomicBool = AtomicBool::new(false);

/// Begins a stage of work on several recordings at once, whose own stages are not told apart. On any thread.
pub fn several(all: Stage) {
    stage(all, 0);
    SEVERAL.store(true, Relaxed);
}

/// Begins a stage of `total_ms` of audio, 0 if that is not known. On any thread.
pub fn stage(stage: Stage, total_ms: u64) {
    if SEVERAL.load(Relaxed) {
        return;
    }
    DONE_MS.store(0, Relaxed);
    TOTAL_MS.store(total_ms, Relaxed);
    STAGE.store(stage as u32, Relaxed);
}

/// The stage turns out to have so much in all. On any thread.
pub fn of(total_ms: u64) {
    TOTAL_MS.store(total_ms, Relaxed);
}

/// So much of the stage is done. On any thread.
pub fn done(ms: u64) {
    if !SEVERAL.load(Relaxed) {
        DONE_MS.store(ms, Relaxed);
    }
}

/// So much more of it is.
pub fn advance(ms: u64) {
    DONE_MS.fetch_add(ms, Relaxed);
}

/// The call that runs: its function and the recording, as messages name it.
#[derive(Default)]
struct Call {
    function: pg_sys::Oid,
    /// Its name, where it tells that itself.
    name: Option<&'static str>,
    recording: String,
    reported: Option<Instant>,
    began: Option<Instant>,
}

static CALL: Mutex<Option<Call>> = Mutex::new(None);

fn call() -> MutexGuard<'static, Option<Call>> {
    CALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes which function was called.
pub fn function(function: pg_sys::Oid) {
    *call() = Some(Call {
        function,
        ..Call::default()
    });
}

/// Notes a call that is on no recording, and what it is on.
pub fn named(function: &'static str, on: &str) {
    *call() = Some(Call {
        name: Some(function),
        recording: on.into(),
        ..Call::default()
    });
}

/// Notes which recording it works on.
pub fn recording(name: &str) {
    if let Some(call) = call().as_mut() {
        call.recording = name.into();
    }
}

#[repr(C)]
struct Slot {
    /// Odd while it is written.
    version: AtomicU32,
    /// 0: nothing.
    pid: AtomicU32,
    role: AtomicU32,
    stage: AtomicU32,
    since: AtomicU64,
    done_ms: AtomicU64,
    total_ms: AtomicU64,
    function: [u8; NAME],
    recording: [u8; TEXT],
}

struct Slots(MmapRaw);

impl Slots {
    /// The mapped file; nothing where it cannot be: what a session does is then not seen by others.
    fn all() -> Option<&'static Slots> {
        static ALL: OnceLock<Option<Slots>> = OnceLock::new();
        ALL.get_or_init(|| {
            // Postgres removes files of this prefix when it starts.
            let path = settings::temporary_folder().join("pgsql_tmp_ai_audio_activity");
            // SAFETY: set when the server starts.
            let backends = unsafe { pg_sys::MaxBackends } as usize + SPARE;
            let bytes = (backends * size_of::<Slot>()) as u64;
            let open = || {
                let mut options = OpenOptions::new();
                options
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o600);
                options.open(&path)
            };
            let file = open()
                .or_else(|_| {
                    std::fs::create_dir(settings::temporary_folder()).and_then(|()| open())
                })
                .ok()?;
            if file.metadata().ok()?.len() < bytes {
                file.set_len(bytes).ok()?;
            }
            let map = MmapOptions::new().len(bytes as usize).map_raw(&file).ok()?;
            Some(Slots(map))
        })
        .as_ref()
    }

    fn count(&self) -> usize {
        self.0.len() / size_of::<Slot>()
    }

    fn at(&self, index: usize) -> Option<*mut Slot> {
        // SAFETY: within the map, whose pages are aligned.
        (index < self.count()).then(|| unsafe { self.0.as_mut_ptr().cast::<Slot>().add(index) })
    }

    fn own(&self) -> Option<*mut Slot> {
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        // SAFETY: a global of this backend.
        let number = unsafe { pg_sys::MyProcNumber };
        #[cfg(not(any(feature = "pg17", feature = "pg18")))]
        // SAFETY: likewise.
        let number = unsafe { pg_sys::MyBackendId };
        usize::try_from(number).ok().and_then(|n| self.at(n))
    }
}

fn put(place: &mut [u8], text: &str) {
    let mut end = text.len().min(place.len() - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    place[..end].copy_from_slice(&text.as_bytes()[..end]);
    place[end..].fill(0);
}

fn name_of_function(function: pg_sys::Oid) -> String {
    // SAFETY: a catalog look-up in a transaction; the name is palloc'ed.
    unsafe {
        let name = pg_sys::get_func_name(function);
        if name.is_null() {
            return String::new();
        }
        std::ffi::CStr::from_ptr(name)
            .to_string_lossy()
            .into_owned()
    }
}

/// Shows that work begins. On the backend's thread.
pub fn begin() {
    SEVERAL.store(false, Relaxed);
    stage(Stage::Working, 0);
    let mut call = call();
    let call = call.get_or_insert_default();
    call.began = Some(Instant::now());
    call.reported = call.began;
    // SAFETY: this backend's own slot and globals; readers check the version.
    unsafe {
        let Some(slot) = Slots::all().and_then(Slots::own) else {
            return;
        };
        let name = match call.name {
            Some(name) => name.into(),
            None => name_of_function(call.function),
        };
        (*slot).version.fetch_add(1, SeqCst);
        put(&mut (*slot).function, &name);
        put(&mut (*slot).recording, &call.recording);
        (*slot).role.store(pg_sys::GetUserId().to_u32(), Relaxed);
        (*slot)
            .since
            .store(pg_sys::GetCurrentTimestamp() as u64, Relaxed);
        (*slot).done_ms.store(0, Relaxed);
        (*slot).total_ms.store(0, Relaxed);
        (*slot).pid.store(std::process::id(), Relaxed);
        (*slot).version.fetch_add(1, SeqCst);
    }
    wait_event(true);
}

/// Shows how far it is, and says so every few seconds where that is wanted. On the backend's thread.
pub fn tick() {
    let (stage, done, total) = (
        STAGE.load(Relaxed),
        DONE_MS.load(Relaxed),
        TOTAL_MS.load(Relaxed),
    );
    if let Some(slot) = Slots::all().and_then(Slots::own) {
        // SAFETY: this backend's own slot.
        let slot = unsafe { &*slot };
        slot.stage.store(stage, Relaxed);
        slot.done_ms.store(done, Relaxed);
        slot.total_ms.store(total, Relaxed);
    }
    if !settings::progress() {
        return;
    }
    let message = {
        let mut call = call();
        let Some(call) = call.as_mut() else { return };
        let due = call
            .reported
            .is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if !due {
            return;
        }
        call.reported = Some(Instant::now());
        let (unit, rated) = match stage == Stage::Clustering as u32 {
            true => ("", ""),
            false => (" s", " s of audio"),
        };
        let stage = name_of(stage);
        let of = if total > 0 {
            format!(" of {}{unit}", total / 1000)
        } else {
            String::new()
        };
        let took = call.began.map_or(0.0, |b| b.elapsed().as_secs_f64());
        let rate = match done {
            0 => String::new(),
            ms => format!(
                ", {:.0}{rated} per second",
                ms as f64 / 1000.0 / took.max(1e-3)
            ),
        };
        format!(
            "{}: {stage}, {}{unit}{of} done{rate}",
            call.recording,
            done / 1000
        )
    };
    // Not `ereport!`, which takes INFO for something that nobody wants to hear on Postgres 13.
    let code = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    ErrorReport::new(code, message, "ai_audio").report(PgLogLevel::INFO);
}

/// Shows that it has ended. On the backend's thread.
pub fn end() {
    wait_event(false);
    if let Some(slot) = Slots::all().and_then(Slots::own) {
        // SAFETY: this backend's own slot.
        unsafe { (*slot).pid.store(0, Relaxed) };
    }
}

/// What `pg_stat_activity` says the backend waits for.
fn wait_event(begins: bool) {
    #[cfg(not(any(feature = "pg13", feature = "pg14")))]
    {
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        let own = {
            static OWN: OnceLock<u32> = OnceLock::new();
            // SAFETY: registers a name, once per process.
            *OWN.get_or_init(|| unsafe { pg_sys::WaitEventExtensionNew(c"AiAudioWork".as_ptr()) })
        };
        #[cfg(not(any(feature = "pg17", feature = "pg18")))]
        let own = pg_sys::PG_WAIT_EXTENSION;
        // SAFETY: points to this backend's entry, as `pgstat_report_wait_start` writes it.
        unsafe { pg_sys::my_wait_event_info.write_volatile(if begins { own } else { 0 }) };
    }
    #[cfg(any(feature = "pg13", feature = "pg14"))]
    let _ = begins;
}

/// What a session is doing.
pub struct Activity {
    /// Its process.
    pub pid: i32,
    /// Who does it.
    pub role: pg_sys::Oid,
    /// What was called.
    pub function: String,
    /// On which recording, without secrets.
    pub recording: String,
    /// What is done with it.
    pub stage: &'static str,
    /// Seconds of audio of the stage that are done, and all.
    pub done: f64,
    pub total: Option<f64>,
    /// When the work began, microseconds of Postgres' clock.
    pub since: i64,
}

/// What all sessions are doing now.
pub fn activities() -> Vec<Activity> {
    let Some(slots) = Slots::all() else {
        return Vec::new();
    };
    (0..slots.count())
        .filter_map(|i| slots.at(i).and_then(read))
        .collect()
}

fn read(slot: *mut Slot) -> Option<Activity> {
    // SAFETY: within the map; texts are copied and dropped again if the version moved meanwhile.
    unsafe {
        for _ in 0..3 {
            let version = (*slot).version.load(SeqCst);
            let pid = (*slot).pid.load(Relaxed);
            if pid == 0 {
                return None;
            }
            let text = |bytes: &[u8]| {
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                String::from_utf8_lossy(&bytes[..end]).into_owned()
            };
            let function = text(&std::ptr::read_volatile(&raw const (*slot).function));
            let recording = text(&std::ptr::read_volatile(&raw const (*slot).recording));
            let stage = (*slot).stage.load(Relaxed);
            let total = (*slot).total_ms.load(Relaxed);
            let activity = Activity {
                pid: pid as i32,
                role: pg_sys::Oid::from((*slot).role.load(Relaxed)),
                function,
                recording,
                stage: name_of(stage),
                done: (*slot).done_ms.load(Relaxed) as f64 / 1000.0,
                total: (total > 0).then_some(total as f64 / 1000.0),
                since: (*slot).since.load(Relaxed) as i64,
            };
            fence(SeqCst);
            if version.is_multiple_of(2) && (*slot).version.load(SeqCst) == version {
                return Some(activity);
            }
        }
        None
    }
}
