//! The path.

use pgrx::pg_sys;

use super::index::Scan;
use super::wanted::Wanted;
use crate::planner::nodes::list_of;

impl Scan<'_> {
    pub(super) unsafe fn add_path(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        wanted: &Wanted,
    ) {
        // SAFETY: arguments as `build_index_paths` passes them for an ordering operator.
        unsafe {
            let none = std::ptr::null_mut();
            let distance = pg_sys::make_opclause(
                self.operator,
                pg_sys::FLOAT8OID,
                false,
                self.column.cast(),
                self.probe.cast(),
                pg_sys::InvalidOid,
                (*wanted.call).inputcollid,
            );
            pg_sys::set_opfuncid(distance.cast());
            let path = pg_sys::create_index_path(
                root,
                std::ptr::from_ref(self.index).cast_mut(),
                none,
                list_of(distance),
                pg_sys::lappend_int(none, 0),
                list_of(wanted.pathkey),
                pg_sys::ScanDirection::ForwardScanDirection,
                false,
                (*rel).lateral_relids,
                1.0,
                false,
            );
            pg_sys::add_path(rel, path.cast());
        }
    }
}
