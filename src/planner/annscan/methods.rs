//! What each index method can give. pgvector's are known well; of others it is enough to know how far they go.

use std::ffi::CStr;

use pgrx::pg_sys;
use pgrx::prelude::*;

use super::iterative::IterativeScan;
use crate::settings;

/// An index method.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Method {
    Hnsw,
    IvfFlat,
    /// One of [`OTHERS`], or one that `ai_audio.annscan_methods` names.
    Other,
}

/// Another method: a scan gives as many rows in good order as a setting says. What comes later it may give as it comes upon it.
struct Other {
    name: &'static str,
    setting: &'static CStr,
    /// Of the setting.
    default: f64,
}

/// VectorChord (<https://docs.vectorchord.ai>) and pgvectorscale (<https://github.com/timescale/pgvectorscale>).
const OTHERS: [Other; 3] = [
    Other {
        name: "vchordrq",
        setting: c"vchordrq.max_scan_tuples",
        default: -1.0, // all rows of the lists that are probed
    },
    Other {
        name: "vchordg",
        setting: c"vchordg.ef_search",
        default: 64.0,
    },
    Other {
        name: "diskann",
        setting: c"diskann.query_rescore",
        default: 50.0,
    },
];

impl Method {
    /// The method of an index, if it can be used.
    pub(super) unsafe fn of(index: &pg_sys::IndexOptInfo) -> Option<Self> {
        // SAFETY: the access method exists while an index uses it.
        let name = unsafe { name_of(index) };
        match name.as_str() {
            "hnsw" => Some(Method::Hnsw),
            "ivfflat" => Some(Method::IvfFlat),
            known if OTHERS.iter().any(|other| other.name == known) => Some(Method::Other),
            named if settings::annscan_methods().iter().any(|n| n == named) => Some(Method::Other),
            _ => {
                debug1!(
                    "index method \"{name}\" is not used for cosine_similarity: setting ai_audio.annscan_methods does not name it"
                );
                None
            }
        }
    }

    /// Whether rows come in order, up to rounding. Of others not much is taken for granted: what they give is sorted.
    pub(super) fn is_in_order(self) -> bool {
        self != Method::Other
    }
}

unsafe fn name_of(index: &pg_sys::IndexOptInfo) -> String {
    // SAFETY: the name is palloc'ed.
    unsafe {
        let name = pg_sys::get_am_name(index.relam);
        if name.is_null() {
            String::new()
        } else {
            CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }
}

/// How many rows an index can give.
pub(super) struct Reach {
    pub(super) rows: f64,
    /// What limits them.
    pub(super) because: &'static str,
}

/// Memory that pgvector's iterative scan takes per row that it gives: 268 bytes were measured with pgvector 0.8.1, m = 16.
const BYTES_PER_ROW: f64 = 300.0;

impl Reach {
    pub(super) unsafe fn of(method: Method, index: &pg_sys::IndexOptInfo, tuples: f64) -> Self {
        match method {
            Method::Hnsw => {
                let nearest = Reach {
                    rows: number(c"hnsw.ef_search", 40.0),
                    because: "hnsw.ef_search",
                };
                if !IterativeScan::find(method).is_some_and(IterativeScan::has_strict) {
                    return nearest;
                }
                // SAFETY: a setting of Postgres.
                let memory = f64::from(unsafe { pg_sys::work_mem })
                    * 1024.0
                    * number(c"hnsw.scan_mem_multiplier", 1.0);
                let more = [
                    (
                        number(c"hnsw.max_scan_tuples", 20_000.0),
                        "hnsw.max_scan_tuples",
                    ),
                    (
                        memory / BYTES_PER_ROW,
                        "work_mem * hnsw.scan_mem_multiplier",
                    ),
                ];
                let [a, b] = more.map(|(rows, because)| Reach { rows, because });
                let on = if a.rows <= b.rows { a } else { b };
                if on.rows > nearest.rows { on } else { nearest }
            }
            Method::IvfFlat => {
                // SAFETY: the index exists.
                let lists = unsafe { option(index.indexoid, "lists=") };
                let lists = lists.and_then(|lists| lists.parse().ok()).unwrap_or(100.0); // pgvector's default
                let share = (number(c"ivfflat.probes", 1.0) / lists).min(1.0);
                Reach {
                    rows: (tuples * share).max(1.0),
                    because: "ivfflat.probes",
                }
            }
            // SAFETY: the index exists.
            Method::Other => unsafe { Self::of_other(index, tuples) },
        }
    }

    /// How many rows to read of an index that does not keep its order: more than are wanted, as far as it goes.
    pub(super) fn window(&self, expected: f64) -> usize {
        let enough = (2.0 * expected).max(100.0);
        enough.min(self.rows).max(expected) as usize
    }

    unsafe fn of_other(index: &pg_sys::IndexOptInfo, tuples: f64) -> Self {
        // SAFETY: the index exists.
        let (name, options) = unsafe { (name_of(index), option(index.indexoid, "options=")) };
        let probes = setting(c"vchordrq.probes").unwrap_or_default();
        let probed = Reach {
            rows: (tuples * share(&options.unwrap_or_default(), &probes)).max(1.0),
            because: "vchordrq.probes",
        };
        let Some(other) = OTHERS.iter().find(|other| other.name == name) else {
            return Reach {
                rows: f64::INFINITY,
                because: "nothing",
            };
        };
        let most = Some(number(other.setting, other.default)).filter(|rows| *rows > 0.0);
        let because = other.setting.to_str().unwrap_or_default();
        match most.map(|rows| Reach { rows, because }) {
            Some(most) if name != "vchordrq" || most.rows < probed.rows => most,
            None if name == "diskann" => Reach {
                rows: 1.0, // nothing is compared exactly
                because,
            },
            _ => probed,
        }
    }
}

/// The share of its rows that an index of VectorChord looks at: `probes` of the lists of each level. `options` is what the
/// index was made with, TOML with `lists = [...]`.
fn share(options: &str, probes: &str) -> f64 {
    let numbers = |list: &str| -> Vec<f64> {
        let parsed = list.split(',').map(|n| n.trim().parse::<f64>());
        parsed.filter_map(Result::ok).collect()
    };
    let lists = options
        .lines()
        .find_map(|line| line.trim().strip_prefix("lists")?.split_once('['))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or(Vec::new(), |(list, _)| numbers(list));
    let probes = numbers(probes);
    let shares = probes.iter().zip(&lists).map(|(p, l)| (p / l).min(1.0));
    shares.product()
}

fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the value is copied before anything can change it; the method's library may not be loaded yet.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

pub(super) fn number(name: &CStr, default: f64) -> f64 {
    setting(name)
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// What an index's storage option that begins so says.
unsafe fn option(index: pg_sys::Oid, name: &str) -> Option<String> {
    // SAFETY: the tuple is released after the options were copied.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(index));
        if tuple.is_null() {
            return None;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_class_reloptions as pg_sys::AttrNumber;
        let options = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        let options: Option<Vec<Option<String>>> = pgrx::FromDatum::from_datum(options, null);
        pg_sys::ReleaseSysCache(tuple);
        let mut options = options.into_iter().flatten().flatten();
        options.find_map(|o| o.strip_prefix(name).map(str::to_string))
    }
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn lists_and_probes_of_vectorchord() {
        let two = "residual_quantization = true\n[build.internal]\nlists = [100, 1000]\n";
        assert_eq!(share(two, "10, 100"), 0.01);
        assert_eq!(share(two, "200,2000"), 1.0);
        assert_eq!(share("[build.internal]\nlists = []", ""), 1.0);
        assert_eq!(share("", ""), 1.0);
        assert_eq!(share("lists = [0", "10"), 1.0);
    }
}
