//! `ORDER BY similarity LIMIT k` over partitions on other servers: each sends its nearest k.
//!
//! postgres_fdw has a partition's server sort, where the order can be shipped (option `extensions`), but tells it a LIMIT
//! only where the foreign table is all of the query. Without one the other server has to sort all its rows, and no index
//! serves it. The first k of all rows are among the first k of each partition, whatever plan is made of them: so a path is
//! added that ships the LIMIT, in the form that postgres_fdw has for its own.

use std::ffi::CStr;

use pgrx::pg_guard;
use pgrx::prelude::*;

use super::annscan::is_about_similarity;
use super::catalog::{self, Kind};
use super::nodes::{any, items, list_of, make};

static mut PREVIOUS: pg_sys::set_rel_pathlist_hook_type = None;

/// Chains the hook.
pub fn install() {
    // SAFETY: called once, when the library is loaded, on the only thread.
    unsafe {
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
        let is_foreign = (*entry).rtekind == pg_sys::RTEKind::RTE_RELATION
            && !(*rel).fdwroutine.is_null()
            && !pg_sys::is_dummy_rel(rel);
        if is_foreign && is_about_similarity(root, rel) {
            match limited(root, rel) {
                Ok(Some(path)) => pg_sys::add_path(rel, path.cast()),
                Ok(None) => {}
                Err(why) => not_shipped(entry, &why),
            }
        }
    }
}

unsafe fn not_shipped(entry: *mut pg_sys::RangeTblEntry, why: &str) {
    // SAFETY: the relation exists; its name is palloc'ed.
    let name = unsafe {
        let name = pg_sys::get_rel_name((*entry).relid);
        if name.is_null() {
            "?".into()
        } else {
            CStr::from_ptr(name).to_string_lossy()
        }
    };
    debug1!("foreign table \"{name}\" does not give its nearest rows only: {why}");
}

/// What a path with a LIMIT costs of one without, at most: a server that knows of it may use an index.
const BETTER: f64 = 0.9;

/// The path that ships the LIMIT; nothing where postgres_fdw does so itself; or why not.
unsafe fn limited(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> Result<Option<*mut pg_sys::ForeignPath>, String> {
    // SAFETY: the planner's live nodes.
    unsafe {
        let server = &*pg_sys::GetForeignServer((*rel).serverid);
        let wrapper = &*pg_sys::GetForeignDataWrapper(server.fdwid);
        if catalog::kind(wrapper.fdwhandler) != Kind::PostgresFdw {
            return Err("its server is not one of postgres_fdw".into());
        }
        let ordered = items::<pg_sys::Path>((*rel).pathlist).find(|path| {
            (**path).type_ == pg_sys::NodeTag::T_ForeignPath
                && (**path).param_info.is_null()
                && pg_sys::pathkeys_contained_in((*root).query_pathkeys, (**path).pathkeys)
        });
        let Some(ordered) = ordered else {
            let missing: Vec<&str> = ["ai_audio", "vector"]
                .into_iter()
                .filter(|extension| !ships(server, extension))
                .collect();
            return Err(if missing.is_empty() {
                "postgres_fdw cannot ship its order".into()
            } else {
                format!(
                    "option \"extensions\" of its server does not name {}",
                    missing.join(" and ")
                )
            });
        };
        if (*rel).reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL {
            return Ok(None); // postgres_fdw looks after the whole query
        }
        if let Some(why) = objection(root, rel) {
            return Err(why.into());
        }
        let path = make::<pg_sys::ForeignPath>(pg_sys::NodeTag::T_ForeignPath);
        std::ptr::copy_nonoverlapping(ordered.cast::<pg_sys::ForeignPath>(), path, 1);
        (*path).fdw_private = pg_sys::lappend(list_of(boolean(false)), boolean(true).cast());
        let cost = &mut (*path).path;
        let share = ((*root).limit_tuples.max(1.0) / cost.rows.max(1.0)).min(1.0);
        let run = cost.total_cost - cost.startup_cost;
        cost.rows = (cost.rows * share).max(1.0);
        // It is never worse than the same without a LIMIT, however few rows are expected.
        cost.startup_cost *= BETTER;
        cost.total_cost = cost.startup_cost + run * share.min(BETTER);
        Ok(Some(path))
    }
}

/// What postgres_fdw keeps in a path: whether its order is the query's last step (no), and whether its LIMIT goes along.
#[cfg(any(feature = "pg13", feature = "pg14"))]
unsafe fn boolean(value: bool) -> *mut pg_sys::Node {
    // SAFETY: makes a new node.
    unsafe { pg_sys::makeInteger(i32::from(value)).cast() }
}

#[cfg(not(any(feature = "pg13", feature = "pg14")))]
unsafe fn boolean(value: bool) -> *mut pg_sys::Node {
    // SAFETY: makes a new node.
    unsafe { pg_sys::makeBoolean(value).cast() }
}

/// The beginning of what postgres_fdw keeps of a foreign table, which is the same in Postgres 13 to 18.
#[repr(C)]
struct Conditions {
    pushdown_safe: bool,
    shipped: *mut pg_sys::List,
    kept: *mut pg_sys::List,
}

/// Why the first rows of all would not be among the first of this partition, or their number cannot be told.
unsafe fn objection(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> Option<&'static str> {
    // SAFETY: the planner's live nodes; postgres_fdw has put its own beside the relation.
    unsafe {
        let query = &*(*root).parse;
        let kept = (*rel)
            .fdw_private
            .cast::<Conditions>()
            .as_ref()
            .is_none_or(|conditions| !conditions.kept.is_null());
        let alone = items::<pg_sys::FromExpr>(list_of(query.jointree))
            .next()
            .and_then(|from| (*from).fromlist.as_ref())
            .is_some_and(|from| from.length == 1)
            && (*root).join_info_list.is_null()
            && is_the_only_relation(root);
        if query.limitCount.is_null() {
            Some("the query has no LIMIT of its own")
        } else if !query.limitOffset.is_null() {
            Some("the query has an OFFSET")
        } else if !is_steady_number(query.limitCount) {
            Some("LIMIT is no number and no parameter")
        } else if query.limitOption != pg_sys::LimitOption::LIMIT_OPTION_COUNT {
            Some("WITH TIES")
        } else if !alone {
            Some("the query joins it")
        } else if kept {
            Some("not all conditions can be shipped")
        } else if query.hasAggs
            || query.hasWindowFuncs
            || query.hasTargetSRFs
            || !query.groupClause.is_null()
            || !query.groupingSets.is_null()
            || !query.distinctClause.is_null()
            || !query.setOperations.is_null()
            || !query.havingQual.is_null()
        {
            Some("the query groups its rows")
        } else if !query.rowMarks.is_null() {
            Some("the query locks its rows")
        } else {
            None
        }
    }
}

unsafe fn is_the_only_relation(root: *mut pg_sys::PlannerInfo) -> bool {
    // SAFETY: the array has `simple_rel_array_size` entries, NULL where there is no relation.
    unsafe {
        let count = usize::try_from((*root).simple_rel_array_size).unwrap_or(0);
        let rels = std::slice::from_raw_parts((*root).simple_rel_array, count);
        let base = pg_sys::RelOptKind::RELOPT_BASEREL;
        let all = rels.iter().filter_map(|r| r.as_ref());
        all.filter(|r| r.reloptkind == base).count() == 1
    }
}

/// Numbers, parameters, and Postgres' own casts of them.
unsafe fn is_steady_number(limit: *mut pg_sys::Node) -> bool {
    use pg_sys::NodeTag::{T_Const, T_FuncExpr, T_List, T_Param};
    // SAFETY: live nodes of their tags.
    unsafe {
        !any(limit, &mut |node: *mut pg_sys::Node| match (*node).type_ {
            T_Const | T_List => false,
            T_Param => (*node.cast::<pg_sys::Param>()).paramkind != pg_sys::ParamKind::PARAM_EXTERN,
            T_FuncExpr => {
                let function = (*node.cast::<pg_sys::FuncExpr>()).funcid;
                function.to_u32() >= pg_sys::FirstGenbkiObjectId
                    || pg_sys::func_volatile(function) as u8 != pg_sys::PROVOLATILE_IMMUTABLE
            }
            _ => true,
        })
    }
}

/// Whether a server's option `extensions` names an extension.
unsafe fn ships(server: &pg_sys::ForeignServer, extension: &str) -> bool {
    // SAFETY: options are definitions with a name; `defGetString` gives a NUL-terminated text.
    unsafe {
        let named = c"extensions";
        items::<pg_sys::DefElem>(server.options)
            .filter(|option| CStr::from_ptr((**option).defname) == named)
            .map(|option| CStr::from_ptr(pg_sys::defGetString(option)).to_string_lossy())
            .any(|list| {
                list.split(',')
                    .any(|name| name.trim().trim_matches('"') == extension)
            })
    }
}
