//! Every setting of the extension. One long file: a list, which is read from top to bottom.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::time::Duration;

use onnx::{Kind, Provider};
use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum};
use pgrx::{pg_guard, pg_sys};

static ONNXRUNTIME_LIBRARY: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static EXECUTION_PROVIDER: GucSetting<ExecutionProvider> =
    GucSetting::<ExecutionProvider>::new(ExecutionProvider::Cpu);
static EXECUTION_PROVIDER_OPTIONS: GucSetting<Option<CString>> =
    GucSetting::<Option<CString>>::new(None);
static DEVICE_SESSIONS: GucSetting<i32> = GucSetting::<i32>::new(2);
static MODEL_DIR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static CACHE_DIR: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ALLOWED_DIRS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ALLOWED_HOSTS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static RESULT_STORE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static THREADS: GucSetting<i32> = GucSetting::<i32>::new(0);
static MAX_DURATION: GucSetting<i32> = GucSetting::<i32>::new(4 * 3600);
static MAX_SIZE: GucSetting<i32> = GucSetting::<i32>::new(1024);
static FETCH_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(60_000);
static CONNECT_TIMEOUT: GucSetting<i32> = GucSetting::<i32>::new(10_000);
static MAX_REDIRECTS: GucSetting<i32> = GucSetting::<i32>::new(5);
static CLUSTER_MEMORY: GucSetting<i32> = GucSetting::<i32>::new(2048);
static ENABLE_ANNSCAN: GucSetting<bool> = GucSetting::<bool>::new(true);
static ANNSCAN_METHODS: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static KEEP_MODELS: GucSetting<i32> = GucSetting::<i32>::new(300);
static DIMENSIONS: GucSetting<i32> = GucSetting::<i32>::new(0);
static DATABASES: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static WORKERS: GucSetting<i32> = GucSetting::<i32>::new(2);
static INSPECTION_SERVER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static PROGRESS: GucSetting<bool> = GucSetting::<bool>::new(false);

/// What models run on, as the setting writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PostgresGucEnum)]
enum ExecutionProvider {
    #[name = c"cpu"]
    Cpu,
    #[name = c"openvino"]
    OpenVino,
    #[name = c"cuda"]
    Cuda,
    #[name = c"auto"]
    Auto,
}

/// Defines the settings.
pub fn define() {
    define_paths();
    define_devices();
    define_limits();
    define_workers();
    define_result_store();
    int(
        c"ai_audio.threads",
        c"Threads for one inference.",
        c"0: as many as there are processors, and 1 in a parallel worker.",
        &THREADS,
        0,
        1024,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"ai_audio.keep_models",
        c"How long an idle session keeps the models that it has loaded.",
        c"-1: as long as it lives. The next call loads them again.",
        &KEEP_MODELS,
        -1,
        i32::MAX / 1000,
        GucContext::Userset,
        GucFlags::UNIT_S,
    );
    boolean(
        c"ai_audio.enable_annscan",
        c"Lets ORDER BY cosine_similarity(...) DESC use a pgvector index.",
        c"Off: such queries sort, exactly and slowly.",
        &ENABLE_ANNSCAN,
    );
    GucRegistry::define_string_guc(
        c"ai_audio.annscan_methods",
        c"Index methods to use beside those that are known, separated by commas.",
        c"hnsw, ivfflat, vchordrq, vchordg and diskann are known. Of others what they give is sorted, as far as it is enough.",
        &ANNSCAN_METHODS,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"ai_audio.dimensions",
        c"Length of voiceprints: shorter ones are padded with zeros.",
        c"0: as long as the model makes them. Zeros change no similarity.",
        &DIMENSIONS,
        0,
        crate::vector::MAX_DIMENSIONS as i32,
        GucContext::Userset,
        GucFlags::default(),
    );
    boolean(
        c"ai_audio.progress",
        c"Reports progress of long work as INFO messages every few seconds.",
        c"",
        &PROGRESS,
    );
    GucRegistry::define_string_guc(
        c"ai_audio.inspection_server",
        c"The language model that judges rules without a pattern.",
        c"A server of ai_audio_llm; the option \"server\" of a call goes before it.",
        &INSPECTION_SERVER,
        GucContext::Userset,
        GucFlags::default(),
    );
    #[cfg(any(feature = "pg15", feature = "pg16", feature = "pg17", feature = "pg18"))]
    // SAFETY: called in `_PG_init` after all settings are defined.
    unsafe {
        pg_sys::MarkGUCPrefixReserved(c"ai_audio".as_ptr());
    }
}

/// Those of the background workers; they are read when the server starts, and when it reloads.
fn define_workers() {
    GucRegistry::define_string_guc(
        c"ai_audio.databases",
        c"Databases whose followed tables background workers keep up with, separated by commas.",
        c"Needs ai_audio in shared_preload_libraries; read when the server starts.",
        &DATABASES,
        GucContext::Sighup,
        GucFlags::SUPERUSER_ONLY,
    );
    GucRegistry::define_int_guc(
        c"ai_audio.workers",
        c"Background workers per database of ai_audio.databases.",
        c"0: none work.",
        &WORKERS,
        0,
        1024,
        GucContext::Sighup,
        GucFlags::default(),
    );
}

fn define_devices() {
    GucRegistry::define_enum_guc(
        c"ai_audio.execution_provider",
        c"What runs models: the CPU, or a device that the ONNX Runtime library knows.",
        c"Where it cannot be used, the CPU runs them, with a warning once per session.",
        &EXECUTION_PROVIDER,
        GucContext::Suset,
        GucFlags::default(),
    );
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"ai_audio.execution_provider_options",
            c"Options of the execution provider, as ONNX Runtime names them.",
            c"key=value pairs with commas between, or a JSON object.",
            &EXECUTION_PROVIDER_OPTIONS,
            GucContext::Suset,
            GucFlags::SUPERUSER_ONLY,
            Some(check_execution_provider_options),
            None,
            None,
        );
    }
    int(
        c"ai_audio.device_sessions",
        c"How many sessions of the server run a model on a device at once; others wait.",
        c"0: as many as come. The CPU is no such device.",
        &DEVICE_SESSIONS,
        0,
        1024,
        GucFlags::default(),
    );
}

/// Refuses options that cannot be read.
#[pg_guard]
unsafe extern "C-unwind" fn check_execution_provider_options(
    new: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: by contract of a check hook.
    unsafe {
        let wrong = given(new).and_then(|text| Provider::parse_options(&text).err());
        accept_unless(wrong)
    }
}

fn define_paths() {
    let string = |name, short, long, setting| {
        GucRegistry::define_string_guc(
            name,
            short,
            long,
            setting,
            GucContext::Suset,
            GucFlags::SUPERUSER_ONLY,
        );
    };
    string(c"ai_audio.onnxruntime_library", c"Absolute path of the ONNX Runtime library.",
        c"Empty: ai_audio/libonnxruntime.so beside the extension's own library. Opened at first use, once per session.",
        &ONNXRUNTIME_LIBRARY);
    string(
        c"ai_audio.model_dir",
        c"Directory of the built-in models.",
        c"Empty: extension/ai_audio/models in the installation's share directory.",
        &MODEL_DIR,
    );
    string(
        c"ai_audio.allowed_dirs",
        c"Directories whose files may be read, separated by colons.",
        c"Empty: any file that the server can read, for roles that may read server files.",
        &ALLOWED_DIRS,
    );
    // SAFETY: the hooks are guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"ai_audio.cache_dir",
            c"Directory of models optimised for this machine, shared by all sessions.",
            c"Empty: pgsql_tmp_ai_audio in the data directory, which base backups leave out.",
            &CACHE_DIR,
            GucContext::Suset,
            GucFlags::SUPERUSER_ONLY,
            Some(check_cache_dir),
            None,
            None,
        );
        GucRegistry::define_string_guc_with_hooks(c"ai_audio.allowed_hosts",
            c"Hosts that may be fetched from although their address is private, separated by commas.",
            c"Forms: host, host:port, *.example.com. Public addresses need no entry.",
            &ALLOWED_HOSTS, GucContext::Suset, GucFlags::SUPERUSER_ONLY, Some(check_allowed_hosts), None, None);
    }
}

fn hosts(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
}

/// Refuses a list with an entry that could never match.
#[pg_guard]
unsafe extern "C-unwind" fn check_allowed_hosts(
    new: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: by contract of a check hook.
    unsafe {
        let list = given(new);
        let wrong = list
            .iter()
            .flat_map(|list| hosts(list))
            .find_map(|host| source::check_allowed_host(host).err());
        accept_unless(wrong.map(|error| error.to_string()))
    }
}

/// Refuses a directory into which others can put files: the models there are run. One that is not there will be made.
#[pg_guard]
unsafe extern "C-unwind" fn check_cache_dir(
    new: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: by contract of a check hook.
    unsafe {
        let shared = given(new)
            .filter(|dir| !dir.is_empty())
            .is_some_and(|dir| matches!(onnx::is_private(Path::new(&dir)), Ok(false)));
        accept_unless(shared.then(|| {
            "The directory must belong to the server's user and be writable for nobody else.".into()
        }))
    }
}

/// The new value that a check hook was called with.
///
/// # Safety
/// `new` is what Postgres gave to a check hook of a string setting: a NUL-terminated value, or NULL for no value.
unsafe fn given(new: *mut *mut c_char) -> Option<String> {
    // SAFETY: by contract.
    let text = unsafe { new.as_ref().filter(|text| !text.is_null())? };
    // SAFETY: by contract.
    Some(
        unsafe { CStr::from_ptr(*text) }
            .to_string_lossy()
            .into_owned(),
    )
}

/// A check hook's answer; what is wrong becomes the error's DETAIL.
///
/// # Safety
/// Called by a check hook.
unsafe fn accept_unless(wrong: Option<String>) -> bool {
    let Some(detail) = wrong.and_then(|detail| CString::new(detail).ok()) else {
        return true;
    };
    // SAFETY: Postgres reads the copy when it reports that the value was refused.
    unsafe { pg_sys::GUC_check_errdetail_string = pg_sys::pstrdup(detail.as_ptr()) };
    false
}

fn define_result_store() {
    // SAFETY: the hook is guarded.
    unsafe {
        GucRegistry::define_string_guc_with_hooks(
            c"ai_audio.result_store",
            c"Where output_type 'url' puts its documents.",
            c"oss://bucket/prefix/ or s3://bucket/prefix/. Writing there needs the role ai_audio_write_url.",
            &RESULT_STORE,
            GucContext::Userset,
            GucFlags::default(),
            Some(check_result_store),
            None,
            None,
        );
    }
}

/// Refuses what is no place in a store.
#[pg_guard]
unsafe extern "C-unwind" fn check_result_store(
    new: *mut *mut c_char,
    _extra: *mut *mut c_void,
    _source: pg_sys::GucSource::Type,
) -> bool {
    // SAFETY: by contract of a check hook.
    unsafe {
        let place = given(new).filter(|place| !place.is_empty());
        let wrong = place.is_some_and(|place| {
            !matches!(source::parse(&place), Ok(source::Location::Object { .. }))
        });
        accept_unless(wrong.then(|| "Expected oss://bucket/prefix/ or s3://bucket/prefix/.".into()))
    }
}

fn define_limits() {
    let seconds = GucFlags::UNIT_S;
    let millis = GucFlags::UNIT_MS;
    int(
        c"ai_audio.max_duration",
        c"Longest stretch of a recording that one call works on.",
        c"",
        &MAX_DURATION,
        1,
        7 * 24 * 3600,
        seconds,
    );
    int(
        c"ai_audio.max_size",
        c"Largest recording in bytes, wherever it comes from.",
        c"",
        &MAX_SIZE,
        1,
        1024 * 1024,
        GucFlags::UNIT_MB,
    );
    int(
        c"ai_audio.cluster_memory",
        c"Most memory that one ai_voice_cluster may take.",
        c"It takes (4 x dimensions + 400) bytes per voiceprint and 64 MB.",
        &CLUSTER_MEMORY,
        64,
        i32::MAX,
        GucFlags::UNIT_MB,
    );
    int(
        c"ai_audio.fetch_timeout",
        c"Longest time that fetching one URL may take, redirects included.",
        c"",
        &FETCH_TIMEOUT,
        1,
        i32::MAX,
        millis,
    );
    int(
        c"ai_audio.connect_timeout",
        c"Longest time that one connection to a URL's host may take.",
        c"",
        &CONNECT_TIMEOUT,
        1,
        i32::MAX,
        millis,
    );
    int(
        c"ai_audio.max_redirects",
        c"Redirects that are followed when a URL is fetched.",
        c"",
        &MAX_REDIRECTS,
        0,
        20,
        GucFlags::default(),
    );
}

fn int(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<i32>,
    min: i32,
    max: i32,
    flags: GucFlags,
) {
    // What bounds the server's memory and threads is for its administrator to set.
    GucRegistry::define_int_guc(
        name,
        short,
        long,
        setting,
        min,
        max,
        GucContext::Suset,
        flags,
    );
}

fn boolean(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<bool>,
) {
    GucRegistry::define_bool_guc(
        name,
        short,
        long,
        setting,
        GucContext::Userset,
        GucFlags::default(),
    );
}

fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    let value = setting.get()?.to_string_lossy().trim().to_string();
    (!value.is_empty()).then_some(value)
}

/// How long an idle session keeps its models; `None`: always.
pub fn keep_models() -> Option<Duration> {
    u64::try_from(KEEP_MODELS.get())
        .ok()
        .map(Duration::from_secs)
}

/// Length that voiceprints are padded to; `None`: as the model makes them.
pub fn dimensions() -> Option<u32> {
    u32::try_from(DIMENSIONS.get()).ok().filter(|d| *d > 0)
}

/// Threads for one inference in this process.
pub fn threads() -> usize {
    // Parallel workers are background workers, too: there are others beside them.
    // SAFETY: reads a global of this process.
    let parallel_worker = unsafe { !pg_sys::MyBgworkerEntry.is_null() };
    match THREADS.get() {
        0 if parallel_worker => 1,
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n as usize,
    }
}

/// The ONNX Runtime library.
pub fn onnxruntime_library() -> PathBuf {
    // SAFETY: a NUL-terminated array that the server fills at start.
    let libdir = || {
        PathBuf::from(
            unsafe { CStr::from_ptr((&raw const pg_sys::pkglib_path).cast()) }
                .to_string_lossy()
                .as_ref(),
        )
    };
    text(&ONNXRUNTIME_LIBRARY).map_or_else(
        || libdir().join("ai_audio/libonnxruntime.so"),
        PathBuf::from,
    )
}

/// What models run on.
pub fn execution_provider() -> Provider {
    let kind = match EXECUTION_PROVIDER.get() {
        ExecutionProvider::Cpu => return Provider::default(),
        ExecutionProvider::OpenVino => Kind::OpenVino,
        ExecutionProvider::Cuda => Kind::Cuda,
        ExecutionProvider::Auto => Kind::Auto,
    };
    let options = text(&EXECUTION_PROVIDER_OPTIONS).unwrap_or_default();
    Provider {
        kind,
        options: Provider::parse_options(&options).unwrap_or_default(), // they were checked
        at_once: usize::try_from(DEVICE_SESSIONS.get()).unwrap_or(0),
        slots_dir: Some(cache_dir()),
    }
}

/// The directory of the built-in models.
pub fn model_dir() -> PathBuf {
    text(&MODEL_DIR).map_or_else(
        || share_dir().join("extension/ai_audio/models"),
        PathBuf::from,
    )
}

fn share_dir() -> PathBuf {
    let mut path = [0 as std::ffi::c_char; pg_sys::MAXPGPATH as usize];
    // SAFETY: `get_share_path` writes at most MAXPGPATH bytes, NUL-terminated.
    let share = unsafe {
        pg_sys::get_share_path((&raw const pg_sys::my_exec_path).cast(), path.as_mut_ptr());
        CStr::from_ptr(path.as_ptr())
    };
    PathBuf::from(share.to_string_lossy().as_ref())
}

/// The directory of optimised models. Its default name begins with `pgsql_tmp`, which base backups skip.
pub fn cache_dir() -> PathBuf {
    text(&CACHE_DIR).map_or_else(|| data_dir().join("pgsql_tmp_ai_audio"), PathBuf::from)
}

fn data_dir() -> PathBuf {
    // SAFETY: `DataDir` is set for the life of the server.
    PathBuf::from(
        unsafe { CStr::from_ptr(pg_sys::DataDir) }
            .to_string_lossy()
            .as_ref(),
    )
}

/// Where documents go that are asked for as a URL.
pub fn result_store() -> Option<String> {
    text(&RESULT_STORE)
}

/// Longest selection of a recording, milliseconds.
pub fn max_duration_ms() -> u64 {
    MAX_DURATION.get() as u64 * 1000
}

/// Largest recording, bytes.
pub fn max_bytes() -> u64 {
    (MAX_SIZE.get() as u64) << 20
}

/// Most memory that one clustering may take, bytes.
pub fn cluster_memory() -> u64 {
    (CLUSTER_MEMORY.get() as u64) << 20
}

/// Rules for reading server files.
pub fn file_rules() -> source::FileRules {
    // A list of empty names allows nothing; only no list at all allows everything.
    let list = text(&ALLOWED_DIRS);
    let allowed_dirs = list
        .iter()
        .flat_map(|dirs| dirs.split(':'))
        .map(|dir| PathBuf::from(dir.trim()))
        .collect();
    source::FileRules {
        allowed_dirs,
        max_bytes: max_bytes(),
    }
}

/// Rules for fetching URLs.
pub fn fetch_rules() -> source::FetchRules {
    source::FetchRules {
        allowed_hosts: hosts(&text(&ALLOWED_HOSTS).unwrap_or_default())
            .map(str::to_string)
            .collect(),
        max_bytes: max_bytes(),
        timeout: Duration::from_millis(FETCH_TIMEOUT.get() as u64),
        connect_timeout: Duration::from_millis(CONNECT_TIMEOUT.get() as u64),
        max_redirects: MAX_REDIRECTS.get() as u32,
        spool_dir: Some(temporary_folder()),
        user_agent: concat!("ai_audio/", env!("CARGO_PKG_VERSION")).into(),
    }
}

/// Where Postgres keeps its own temporary files: on disk, and of a size that is watched.
pub fn temporary_folder() -> PathBuf {
    data_dir().join("base/pgsql_tmp")
}

/// Whether the planner may use a pgvector index for `cosine_similarity`.
pub fn enable_annscan() -> bool {
    ENABLE_ANNSCAN.get()
}

/// Index methods to use beside those that are known.
pub fn annscan_methods() -> Vec<String> {
    names(&ANNSCAN_METHODS)
}

/// Databases with background workers.
pub fn databases() -> Vec<String> {
    names(&DATABASES)
}

fn names(setting: &GucSetting<Option<CString>>) -> Vec<String> {
    let list = text(setting).unwrap_or_default();
    let names = list.split(',').map(str::trim);
    names.filter(|n| !n.is_empty()).map(Into::into).collect()
}

/// Background workers per database.
pub fn workers() -> usize {
    usize::try_from(WORKERS.get()).unwrap_or(0)
}

/// The server of inspections that name none.
pub fn inspection_server() -> Option<String> {
    text(&INSPECTION_SERVER)
}

/// Whether long work reports its progress.
pub fn progress() -> bool {
    PROGRESS.get()
}
