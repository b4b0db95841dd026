//! The path, and the plan made of it: a scan of the index below a node that gives its rows in exact order.

use std::ffi::CStr;

use pgrx::pg_guard;
use pgrx::pg_sys;

use super::execute;
use super::index::Scan;
use super::methods::Method;
use super::wanted::{Wanted, limit_at_run_time};
use crate::planner::nodes::{copy, items, list_of, make};

pub(super) const NAME: &CStr = c"AnnScan";

struct Methods<T>(T);
// SAFETY: constants that nobody writes to.
unsafe impl<T> Sync for Methods<T> {}

static PATH: Methods<pg_sys::CustomPathMethods> = Methods(pg_sys::CustomPathMethods {
    CustomName: NAME.as_ptr(),
    PlanCustomPath: Some(plan),
    ReparameterizeCustomPathByChild: None,
});

static SCAN: Methods<pg_sys::CustomScanMethods> = Methods(pg_sys::CustomScanMethods {
    CustomName: NAME.as_ptr(),
    CreateCustomScanState: Some(execute::create),
});

/// What the plan tells the execution, as a list of integers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Numbers {
    /// See [`super::order::Rows`].
    pub(super) slack: f64,
    pub(super) awaited: usize,
    /// Whether others' rows are merged with these: then more than are read at once may be too many to wait for.
    pub(super) merged: bool,
    /// How many rows the index is expected to have to give.
    pub(super) expected: f64,
    pub(super) nulls_first: bool,
    /// Whether it is noticed which rows of equal similarity come.
    pub(super) ties_matter: bool,
    pub(super) method: Method,
    /// So many rows of an index that does not keep its order are read and sorted.
    pub(super) window: usize,
}

const PARTS: f64 = 1e9;
const METHODS: [Method; 3] = [Method::Hnsw, Method::IvfFlat, Method::Other];

impl Numbers {
    unsafe fn write(self) -> *mut pg_sys::List {
        let numbers = [
            (self.slack * PARTS) as i32,
            i32::try_from(self.awaited).unwrap_or(0),
            self.expected.min(1e9) as i32,
            i32::from(self.nulls_first),
            i32::from(self.ties_matter),
            i32::from(self.merged),
            METHODS.iter().position(|m| *m == self.method).unwrap_or(0) as i32,
            i32::try_from(self.window).unwrap_or(i32::MAX),
        ];
        // SAFETY: appending to NIL makes a new list.
        numbers
            .into_iter()
            .fold(std::ptr::null_mut(), |list, n| unsafe {
                pg_sys::lappend_int(list, n)
            })
    }

    /// # Safety
    /// A list that `write` made.
    pub(super) unsafe fn read(list: *mut pg_sys::List) -> Self {
        // SAFETY: by contract.
        let at = |i| unsafe { pg_sys::list_nth_int(list, i) };
        Numbers {
            slack: f64::from(at(0)) / PARTS,
            awaited: usize::try_from(at(1)).unwrap_or(0),
            expected: f64::from(at(2)),
            nulls_first: at(3) != 0,
            ties_matter: at(4) != 0,
            merged: at(5) != 0,
            method: METHODS[usize::try_from(at(6)).unwrap_or(0).min(METHODS.len() - 1)],
            window: usize::try_from(at(7)).unwrap_or(0),
        }
    }
}

/// Makes the node known, for plans that are read from text.
pub(super) fn register() {
    // SAFETY: called once, when the library is loaded.
    unsafe { pg_sys::RegisterCustomScanMethods(&raw const SCAN.0) };
}

impl Scan<'_> {
    /// The path; it takes its probe from the relation beside, if there is one.
    ///
    /// # Safety
    /// The planner's live nodes.
    pub(super) unsafe fn path(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        wanted: &Wanted,
        numbers: Numbers,
    ) -> *mut pg_sys::Path {
        // SAFETY: arguments as `build_index_paths` passes them for an ordering operator.
        unsafe {
            let none: *mut pg_sys::List = std::ptr::null_mut();
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
            let own = std::ptr::from_ref(self.index).cast_mut();
            let index = make::<pg_sys::IndexOptInfo>(pg_sys::NodeTag::T_IndexOptInfo);
            std::ptr::copy_nonoverlapping(own, index, 1);
            // The node tests the conditions itself, to see what the index gives.
            (*index).indrestrictinfo = none.cast();
            let path = pg_sys::create_index_path(
                root,
                index,
                none,
                list_of(distance),
                pg_sys::lappend_int(none, 0),
                list_of(wanted.pathkey),
                pg_sys::ScanDirection::ForwardScanDirection,
                false,
                pg_sys::bms_union((*rel).lateral_relids, wanted.beside),
                1.0,
                false,
            );
            let custom = make::<pg_sys::CustomPath>(pg_sys::NodeTag::T_CustomPath);
            (*custom).path = (*path).path;
            (*custom).path.type_ = pg_sys::NodeTag::T_CustomPath;
            (*custom).path.pathtype = pg_sys::NodeTag::T_CustomScan;
            (*custom).path.parallel_safe = false;
            let test = (*rel).baserestrictcost;
            (*custom).path.startup_cost += test.startup;
            (*custom).path.total_cost += test.startup + test.per_tuple * (*rel).tuples;
            #[cfg(not(any(feature = "pg13", feature = "pg14")))]
            {
                (*custom).flags = pg_sys::CUSTOMPATH_SUPPORT_PROJECTION;
            }
            (*custom).custom_paths = list_of(path);
            let private = list_of(wanted.call);
            let private = pg_sys::lappend(private, self.bounds(root, rel, wanted).cast());
            let private = pg_sys::lappend(private, limit_at_run_time(root, rel, wanted).cast());
            (*custom).custom_private = pg_sys::lappend(private, numbers.write().cast());
            (*custom).methods = &raw const PATH.0;
            custom.cast()
        }
    }

    /// The conditions that only cut the far end: where one of them fails, the end has come.
    unsafe fn bounds(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        wanted: &Wanted,
    ) -> *mut pg_sys::List {
        // SAFETY: the planner's live nodes.
        unsafe {
            self.conditions(root, rel, wanted)
                .map(|c| (*c).clause.cast::<pg_sys::Node>())
                .filter(|clause| self.cuts_the_far_end(*clause, wanted))
                .fold(std::ptr::null_mut(), |list, clause| {
                    pg_sys::lappend(list, copy(clause).cast())
                })
        }
    }
}

/// `PlanCustomPath`.
#[pg_guard]
unsafe extern "C-unwind" fn plan(
    _root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
    path: *mut pg_sys::CustomPath,
    targets: *mut pg_sys::List,
    conditions: *mut pg_sys::List,
    plans: *mut pg_sys::List,
) -> *mut pg_sys::Plan {
    // SAFETY: the path is one that `Scan::path` made, and its child is a scan.
    unsafe {
        let mut private = items::<pg_sys::List>((*path).custom_private);
        let mut next = || private.next().unwrap_or(std::ptr::null_mut());
        let (call, bounds, limit, numbers) = (next(), next(), next(), next());
        let mut child = items::<pg_sys::Plan>(plans)
            .next()
            .unwrap_or(std::ptr::null_mut());
        // A condition without columns is tested above this node already.
        while (*child).type_ == pg_sys::NodeTag::T_Result {
            child = (*child).lefttree;
        }
        (*child).targetlist = std::ptr::null_mut(); // this node looks at the row itself
        let scan = make::<pg_sys::CustomScan>(pg_sys::NodeTag::T_CustomScan);
        (*scan).scan.plan.targetlist = targets;
        (*scan).scan.plan.qual = pg_sys::extract_actual_clauses(conditions, false);
        (*scan).scan.scanrelid = (*rel).relid;
        (*scan).flags = (*path).flags;
        (*scan).custom_plans = list_of(child);
        let expressions = pg_sys::lappend(list_of(call), bounds.cast());
        (*scan).custom_exprs = pg_sys::lappend(expressions, limit.cast());
        (*scan).custom_private = numbers;
        (*scan).methods = &raw const SCAN.0;
        scan.cast()
    }
}
