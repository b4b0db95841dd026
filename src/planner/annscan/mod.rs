//! `ORDER BY cosine_similarity(column, x) DESC LIMIT k` by a pgvector index.
//!
//! A path for such an index is added that scans it by `column <=> x` and gives the query's own order: descending
//! similarity is ascending cosine distance. pgvector's cost model decides whether it is used. The path is offered where
//! the index is likely to give what is wanted; otherwise the reason is told at DEBUG1. Where it runs dry nevertheless, the
//! scan goes on by itself, so that the rows are the same as without it, up to the index's recall.
//!
//! When a query is planned, `wanted`: what the query wants. `index`: which index has it. `methods`: how far its method
//! goes. `objection`: why not. `path`: the path. `beside`: the same where what is searched for comes from one row of another
//! relation. When it runs, `execute`: the scan. `order`: what makes its order exact. `iterative`: pgvector's setting.

mod beside;
mod execute;
mod index;
mod iterative;
mod methods;
mod objection;
mod order;
mod path;
mod wanted;

use std::ffi::CStr;

use pgrx::pg_guard;
use pgrx::prelude::*;

use self::index::Scan;
use self::wanted::{Wanted, wanted};
use super::nodes::items;
use crate::settings;

static mut PREVIOUS: pg_sys::set_rel_pathlist_hook_type = None;

/// Chains the hook.
pub fn install() {
    // SAFETY: called once, when the library is loaded, on the only thread.
    unsafe {
        path::register();
        beside::install();
        PREVIOUS = pg_sys::set_rel_pathlist_hook;
        pg_sys::set_rel_pathlist_hook = Some(add_paths);
    }
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
        if is_plain_table(rel, entry) && !(*rel).indexlist.is_null() {
            offer(root, rel, entry);
        }
    }
}

/// Whether all rows of a table itself are wanted: no sample of it, and not what stands for its partitions or heirs, each
/// of which has its turn.
unsafe fn is_plain_table(rel: *mut pg_sys::RelOptInfo, entry: *mut pg_sys::RangeTblEntry) -> bool {
    // SAFETY: the planner's live nodes.
    unsafe {
        (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
            && (*entry).tablesample.is_null()
            && !(*entry).inh
            && !pg_sys::is_dummy_rel(rel)
    }
}

unsafe fn offer(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    entry: *mut pg_sys::RangeTblEntry,
) {
    // SAFETY: the planner's live nodes.
    unsafe {
        let Some(wanted) = wanted(root, rel, std::ptr::null_mut()) else {
            return;
        };
        for path in paths(root, rel, entry, &wanted) {
            pg_sys::add_path(rel, path);
        }
    }
}

/// A path for each index that can give the order; for others, the reason is told.
unsafe fn paths(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    entry: *mut pg_sys::RangeTblEntry,
    wanted: &Wanted,
) -> Vec<*mut pg_sys::Path> {
    // SAFETY: the planner's live nodes.
    unsafe {
        let mut paths = Vec::new();
        for index in items::<pg_sys::IndexOptInfo>((*rel).indexlist) {
            let Some(scan) = Scan::of(&*index, wanted) else {
                continue;
            };
            match scan.numbers(root, rel, entry, wanted) {
                Ok(numbers) if settings::enable_annscan() => {
                    paths.push(scan.path(root, rel, wanted, numbers));
                }
                Ok(_) => not_used(index, "ai_audio.enable_annscan is off"),
                Err(why) => not_used(index, &why),
            }
        }
        paths
    }
}

/// Whether the query's order begins with a similarity or a cosine distance of something in this relation.
///
/// # Safety
/// The planner's live nodes.
pub(super) unsafe fn is_about_similarity(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> bool {
    // SAFETY: by contract.
    unsafe { wanted::is_about_similarity(root, rel) }
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
