//! `ORDER BY cosine_similarity(column, x) DESC LIMIT k` by a pgvector index.
//!
//! A path for such an index is added that scans it by `column <=> x` and claims the query's own order: descending
//! similarity is ascending cosine distance. pgvector's cost model decides whether it is used. The path is offered only
//! where the rows are the same as without it, up to the index's recall; otherwise the reason is told at DEBUG1.
//!
//! `wanted`: what the query wants. `index`: what an index can give. `objection`: why not. `path`: the path.

mod index;
mod objection;
mod path;
mod wanted;

use std::ffi::CStr;

use pgrx::pg_guard;
use pgrx::prelude::*;

use self::index::Scan;
use self::wanted::wanted;
use super::nodes::items;
use crate::settings;

static mut PREVIOUS: pg_sys::set_rel_pathlist_hook_type = None;

/// Chains the hook.
pub fn install() {
    // SAFETY: called once, when the library is loaded, on the only thread.
    unsafe {
        PREVIOUS = pg_sys::set_rel_pathlist_hook;
        pg_sys::set_rel_pathlist_hook = Some(add_paths);
    }
}

/// Support function of `cosine_similarity`: it has nothing to say, but asking it loads the library, and so the hook, in
/// time for the first query.
///
/// # Safety
/// Called by the planner.
#[unsafe(no_mangle)]
#[pg_guard]
pub unsafe extern "C-unwind" fn ai_audio_similarity_support(
    _fcinfo: pg_sys::FunctionCallInfo,
) -> pg_sys::Datum {
    pg_sys::Datum::from(0)
}

#[doc(hidden)]
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_ai_audio_similarity_support() -> &'static pg_sys::Pg_finfo_record {
    static RECORD: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &RECORD
}

#[pg_guard]
unsafe extern "C-unwind" fn add_paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    index: pg_sys::Index,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: the planner's live nodes, passed through.
    unsafe {
        if let Some(previous) = PREVIOUS {
            previous(root, rel, index, entry);
        }
        if (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION && !(*rel).indexlist.is_null() {
            offer(root, rel, entry);
        }
    }
}

unsafe fn offer(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: the planner's live nodes.
    unsafe {
        let Some(wanted) = wanted(root, rel) else {
            return;
        };
        for index in items::<pg_sys::IndexOptInfo>((*rel).indexlist) {
            let Some(scan) = Scan::of(&*index, &wanted) else {
                continue;
            };
            match scan.objection(root, rel, entry, &wanted) {
                None if settings::enable_annscan() => scan.add_path(root, rel, &wanted),
                None => not_used(index, "ai_audio.enable_annscan is off"),
                Some(why) => not_used(index, &why),
            }
        }
    }
}

unsafe fn not_used(index: *mut pg_sys::IndexOptInfo, why: &str) {
    // SAFETY: the index exists; its name is palloc'ed.
    let name = unsafe {
        let name = pg_sys::get_rel_name((*index).indexoid);
        if name.is_null() {
            "?".into()
        } else {
            CStr::from_ptr(name).to_string_lossy()
        }
    };
    debug1!("index \"{name}\" not used for cosine_similarity: {why}");
}
