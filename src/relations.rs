//! Where a relation's rows are: in files of this server, or on other machines.

use std::ffi::CStr;

use pgrx::pg_sys::ffi::pg_guard_ffi_boundary;
use pgrx::prelude::*;

/// A relation and all that inherit from it: its partitions, and theirs.
pub fn with_heirs(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    unsafe extern "C" {
        // catalog/pg_inherits.h
        fn find_all_inheritors(
            parent: pg_sys::Oid,
            lock: pg_sys::LOCKMODE,
            parents: *mut *mut pg_sys::List,
        ) -> *mut pg_sys::List;
    }
    let lock = pg_sys::NoLock as pg_sys::LOCKMODE;
    // SAFETY: reads the catalog in a transaction, and makes a list of OIDs; errors become panics here.
    unsafe {
        let none = std::ptr::null_mut();
        let list = pg_guard_ffi_boundary(|| find_all_inheritors(relation, lock, none));
        let count = list.as_ref().map_or(0, |list| list.length);
        (0..count)
            .map(|at| pg_sys::list_nth_oid(list, at))
            .collect()
    }
}

/// Whether a relation's own rows are on other machines: a foreign table, or one that Citus has spread. What this server's
/// statistics, pages and samples say of it means nothing.
pub fn is_elsewhere(relation: pg_sys::Oid) -> bool {
    // SAFETY: a catalog look-up in a transaction.
    let kind = unsafe { pg_sys::get_rel_relkind(relation) } as u8;
    kind == pg_sys::RELKIND_FOREIGN_TABLE || is_spread(relation)
}

/// Whether there is Citus in this database: a look into a cache.
pub fn can_be_spread() -> bool {
    in_catalog(c"pg_dist_partition") != pg_sys::InvalidOid
}

fn in_catalog(name: &CStr) -> pg_sys::Oid {
    let catalog = pg_sys::Oid::from_u32(pg_sys::PG_CATALOG_NAMESPACE);
    // SAFETY: a catalog look-up in a transaction.
    unsafe { pg_sys::get_relname_relid(name.as_ptr(), catalog) }
}

/// Whether Citus has spread a relation's rows: then its catalog of such tables has it.
pub fn is_spread(relation: pg_sys::Oid) -> bool {
    let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    let spread = in_catalog(c"pg_dist_partition");
    if spread == pg_sys::InvalidOid {
        return false;
    }
    let by_table = in_catalog(c"pg_dist_partition_logical_relid_index");
    // SAFETY: catalog look-ups in a transaction; what is opened is closed, and an error ends the transaction. The first
    // column of this catalog is the table.
    unsafe {
        let tables = pg_sys::table_open(spread, lock);
        let mut key = pg_sys::ScanKeyData::default();
        pg_sys::ScanKeyInit(
            &mut key,
            1,
            pg_sys::BTEqualStrategyNumber as pg_sys::StrategyNumber,
            pg_sys::F_OIDEQ.into(),
            pg_sys::Datum::from(relation),
        );
        let with_index = by_table != pg_sys::InvalidOid;
        let snapshot = std::ptr::null_mut();
        let scan = pg_sys::systable_beginscan(tables, by_table, with_index, snapshot, 1, &mut key);
        let found = !pg_sys::systable_getnext(scan).is_null();
        pg_sys::systable_endscan(scan);
        pg_sys::table_close(tables, lock);
        found
    }
}
