//! The scan as it runs: rows of the index in exact order; where the index runs dry, it goes on by itself.
//!
//! 1. The index as it is searched by default: the nearest `hnsw.ef_search`.
//! 2. hnsw's strict iterative scan, up to `hnsw.max_scan_tuples` and `work_mem`.
//! 3. The table, in passes that fit into `work_mem`.
//!
//! So settings, filters, NULLs, dead rows and a plan from other times decide how fast an answer is, not what it is.

use pgrx::memcxt::PgMemoryContexts;
use pgrx::prelude::*;
use pgrx::{check_for_interrupts, pg_guard};

use super::iterative::{self, IterativeScan};
use super::methods::{Method, number};
use super::order::{Best, Row, Rows, Tid};
use super::path::Numbers;
use crate::planner::nodes::{items, list_of};
use crate::settings;

/// What Postgres keeps of the node, and ours behind it.
#[repr(C)]
struct Node {
    custom: pg_sys::CustomScanState,
    state: *mut State,
}

struct State {
    child: *mut pg_sys::PlanState,
    /// The similarity of a row.
    similarity: *mut pg_sys::ExprState,
    /// The conditions among the node's that fail for all rows behind one for which they fail; NULL for none.
    bounds: *mut pg_sys::ExprState,
    /// LIMIT and OFFSET, where only the execution knows them.
    limits: Vec<*mut pg_sys::ExprState>,
    numbers: Numbers,
    iterative: Option<IterativeScan>,
    rows: Rows,
    source: Source,
    /// The greatest similarity that a bound from below has refused.
    refused: f64,
    table_scans: i64,
    /// Rows read from the index since it was begun.
    read: u64,
    /// The memory of the child's hnsw scan; NULL if it is another one.
    memory: pg_sys::MemoryContext,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Source {
    NotBegun,
    Index { strict: bool },
    Table,
    End,
}

struct Methods<T>(T);
// SAFETY: constants that nobody writes to.
unsafe impl<T> Sync for Methods<T> {}

static EXECUTE: Methods<pg_sys::CustomExecMethods> = Methods(pg_sys::CustomExecMethods {
    CustomName: super::path::NAME.as_ptr(),
    BeginCustomScan: Some(begin),
    ExecCustomScan: Some(execute),
    EndCustomScan: Some(end),
    ReScanCustomScan: Some(rescan),
    MarkPosCustomScan: None,
    RestrPosCustomScan: None,
    EstimateDSMCustomScan: None,
    InitializeDSMCustomScan: None,
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: None,
    ShutdownCustomScan: None,
    ExplainCustomScan: Some(explain),
});

/// `CreateCustomScanState`.
#[pg_guard]
pub(super) unsafe extern "C-unwind" fn create(_scan: *mut pg_sys::CustomScan) -> *mut pg_sys::Node {
    // SAFETY: zeros are a valid state; Postgres fills in the rest.
    unsafe {
        let node = pg_sys::palloc0(size_of::<Node>()).cast::<Node>();
        (*node).custom.ss.ps.type_ = pg_sys::NodeTag::T_CustomScanState;
        (*node).custom.methods = &raw const EXECUTE.0;
        node.cast()
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn begin(
    node: *mut pg_sys::CustomScanState,
    estate: *mut pg_sys::EState,
    flags: i32,
) {
    // SAFETY: Postgres has set up the node for a scan of this relation; the plan is as `path` made it.
    unsafe {
        let plan = &*(*node).ss.ps.plan.cast::<pg_sys::CustomScan>();
        let scan = &raw mut (*node).ss;
        let parent = scan.cast::<pg_sys::PlanState>();
        let below = items(plan.custom_plans)
            .next()
            .unwrap_or(std::ptr::null_mut());
        let child = pg_sys::ExecInitNode(below, estate, flags);
        (*node).custom_ps = list_of(child);
        let numbers = Numbers::read(plan.custom_private);
        let runs = u32::try_from(flags).unwrap_or(0) & pg_sys::EXEC_FLAG_EXPLAIN_ONLY == 0;
        let memory = if runs && numbers.method == Method::Hnsw {
            iterative::memory_of_last_scan(pg_sys::CurrentMemoryContext)
        } else {
            std::ptr::null_mut()
        };
        // Postgres has prepared for virtual tuples; these are the table's own, with their system columns.
        let relation = (*scan).ss_currentRelation;
        pg_sys::ExecInitScanTupleSlot(
            estate,
            scan,
            (*relation).rd_att,
            pg_sys::table_slot_callbacks(relation),
        );
        pg_sys::ExecAssignScanProjectionInfoWithVarno(scan, plan.scan.scanrelid as _); // unsigned up to 14
        (*parent).qual = pg_sys::ExecInitQual(plan.scan.plan.qual, parent);
        let mut expressions = items::<pg_sys::Expr>(plan.custom_exprs);
        let mut next = || expressions.next().unwrap_or(std::ptr::null_mut());
        let (similarity, bounds, limits) = (next(), next(), next());
        let state = State {
            child,
            similarity: pg_sys::ExecInitExpr(similarity, parent),
            bounds: pg_sys::ExecInitQual(bounds.cast(), parent),
            limits: items(limits.cast())
                .map(|limit| pg_sys::ExecInitExpr(limit, parent))
                .collect(),
            iterative: None,
            rows: Rows::new(numbers.slack, numbers.awaited),
            numbers,
            source: Source::NotBegun,
            refused: f64::NEG_INFINITY,
            table_scans: 0,
            read: 0,
            memory,
        };
        (*node.cast::<Node>()).state =
            PgMemoryContexts::For((*estate).es_query_cxt).leak_and_drop_on_delete(state);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn execute(
    node: *mut pg_sys::CustomScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: called between `begin` and `end`.
    unsafe {
        let state = &mut *(*node.cast::<Node>()).state;
        let scan = &mut (*node).ss;
        if is_recheck(scan) {
            return state.recheck(scan);
        }
        loop {
            if let Some(row) = state.rows.pop() {
                if fetch(scan, row.tid) {
                    return project(scan, scan.ss_ScanTupleSlot);
                }
                continue;
            }
            match state.source {
                Source::NotBegun => state.start(scan),
                Source::Index { .. } => state.read_index(scan),
                Source::Table => state.pass_over_table(scan),
                Source::End => return std::ptr::null_mut(),
            }
        }
    }
}

/// Whether a row that was locked is being looked at again: then it is the only one.
unsafe fn is_recheck(scan: &pg_sys::ScanState) -> bool {
    // SAFETY: the arrays have an entry per relation of the query.
    unsafe {
        let Some(epq) = (*scan.ps.state).es_epq_active.as_ref() else {
            return false;
        };
        let at = (*scan.ps.plan.cast::<pg_sys::Scan>()).scanrelid as usize - 1;
        !(*epq.relsubs_slot.add(at)).is_null() || !(*epq.relsubs_rowmark.add(at)).is_null()
    }
}

unsafe fn is_empty(slot: *mut pg_sys::TupleTableSlot) -> bool {
    // SAFETY: NULL or a live slot.
    unsafe {
        slot.as_ref()
            .is_none_or(|slot| u32::from(slot.tts_flags) & pg_sys::TTS_FLAG_EMPTY != 0)
    }
}

unsafe fn project(
    scan: &mut pg_sys::ScanState,
    slot: *mut pg_sys::TupleTableSlot,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the slot has the relation's row type.
    unsafe {
        let context = scan.ps.ps_ExprContext;
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        (*context).ecxt_scantuple = slot;
        if scan.ps.ps_ProjInfo.is_null() {
            slot
        } else {
            pg_sys::ExecProject(scan.ps.ps_ProjInfo)
        }
    }
}

/// Fetches a row into the scan's slot.
unsafe fn fetch(scan: &mut pg_sys::ScanState, tid: Tid) -> bool {
    // SAFETY: the place is one that this snapshot has seen a row at.
    unsafe {
        let mut at = pg_sys::ItemPointerData::default();
        pgrx::itemptr::u64_to_item_pointer(tid, &mut at);
        let snapshot = (*scan.ps.state).es_snapshot;
        pg_sys::table_tuple_fetch_row_version(
            scan.ss_currentRelation,
            &mut at,
            snapshot,
            scan.ss_ScanTupleSlot,
        )
    }
}

unsafe fn filtered(scan: &pg_sys::ScanState) {
    // SAFETY: NULL or live.
    unsafe {
        if let Some(instrument) = scan.ps.instrument.as_mut() {
            instrument.nfiltered1 += 1.0;
        }
    }
}

impl State {
    unsafe fn start(&mut self, scan: &mut pg_sys::ScanState) {
        let hnsw = self.numbers.method == Method::Hnsw;
        self.iterative = IterativeScan::find(self.numbers.method);
        let strict = self.iterative.is_some_and(|i| {
            i.is_strict()
                || hnsw && i.has_strict() && self.numbers.expected > number(c"hnsw.ef_search", 40.0)
        });
        self.source = if settings::enable_annscan() {
            Source::Index { strict }
        } else {
            Source::Table
        };
        // SAFETY: as `execute`.
        unsafe {
            let limits = self
                .limits
                .iter()
                .filter_map(|limit| evaluate(scan, *limit));
            let awaited = limits
                .map(|datum| datum.value() as i64)
                .fold(self.numbers.awaited as i64, i64::saturating_add);
            let most = if !self.numbers.method.is_in_order() {
                self.numbers.window as i64
            } else if self.numbers.merged {
                number(c"hnsw.ef_search", 40.0) as i64
            } else {
                i64::from(pg_sys::work_mem) * 8 // rows, which take a part of work_mem
            };
            self.rows = Rows::new(self.numbers.slack, awaited.clamp(0, most) as usize);
            // What is searched for is computed here, under the session's own settings.
            pg_sys::ExecReScan(self.child);
        }
    }

    /// The child's row as an ordinary scan gives it.
    unsafe fn recheck(&mut self, scan: &mut pg_sys::ScanState) -> *mut pg_sys::TupleTableSlot {
        // SAFETY: as `execute`.
        unsafe {
            loop {
                if is_empty(pg_sys::ExecProcNode(self.child)) {
                    return std::ptr::null_mut();
                }
                let slot = (*(*self.child).ps_ExprContext).ecxt_scantuple;
                let context = scan.ps.ps_ExprContext;
                (*context).ecxt_scantuple = slot;
                if pg_sys::ExecQual(scan.ps.qual, context) {
                    return project(scan, slot);
                }
            }
        }
    }

    /// Reads a row from the index.
    unsafe fn read_index(&mut self, scan: &mut pg_sys::ScanState) {
        // SAFETY: as `execute`.
        unsafe {
            let Source::Index { strict } = self.source else {
                return;
            };
            let given = {
                let _setting = self.iterative.map(|i| i.set(strict));
                pg_sys::ExecProcNode(self.child)
            };
            if is_empty(given) {
                return self.index_is_dry(strict);
            }
            self.read += 1;
            if strict && self.is_at_limit() {
                self.rows.end_of_source();
                self.source = Source::Table;
                return;
            }
            let slot = (*(*self.child).ps_ExprContext).ecxt_scantuple;
            let Some(key) = self.similarity(scan, slot) else {
                return;
            };
            let context = scan.ps.ps_ExprContext;
            if pg_sys::ExecQual(scan.ps.qual, context) {
                self.rows.push(Row {
                    key,
                    tid: place(slot),
                });
            } else {
                filtered(scan);
                if !pg_sys::ExecQual(self.bounds, context) {
                    self.refused = self.refused.max(key);
                }
            }
            self.rows.reached(key);
            if !self.numbers.method.is_in_order() && self.read >= self.numbers.window as u64 {
                return self.index_is_dry(strict);
            }
            if self.numbers.ties_matter && self.rows.has_many_ties() {
                return self.leave_index();
            }
            if self.rows.is_beyond(self.refused) {
                self.rows.finish();
                self.source = Source::End;
            }
        }
    }

    /// Whether pgvector's iterative scan would end here, which it does by giving what it happens to have come by: that
    /// is no order any more.
    unsafe fn is_at_limit(&mut self) -> bool {
        if self.read as f64 > number(c"hnsw.max_scan_tuples", 20_000.0) {
            return true;
        }
        // SAFETY: a memory context that lives as long as the child.
        unsafe {
            let most =
                f64::from(pg_sys::work_mem) * number(c"hnsw.scan_mem_multiplier", 1.0) * 1024.0;
            !self.memory.is_null()
                && pg_sys::MemoryContextMemAllocated(self.memory, false) as f64 > most
        }
    }

    fn leave_index(&mut self) {
        self.rows.leave_source();
        self.source = Source::Table;
    }

    unsafe fn index_is_dry(&mut self, strict: bool) {
        self.rows.end_of_source();
        if self.numbers.ties_matter && self.rows.has_many_ties() {
            return self.leave_index();
        }
        let more = self.iterative.is_some_and(IterativeScan::has_strict) && !strict;
        self.source = if more {
            // SAFETY: the child is there.
            unsafe { pg_sys::ExecReScan(self.child) };
            self.read = 0;
            Source::Index { strict: true }
        } else {
            Source::Table
        };
    }

    /// The similarity of the row in a slot, which becomes the one that expressions look at.
    unsafe fn similarity(
        &self,
        scan: &mut pg_sys::ScanState,
        slot: *mut pg_sys::TupleTableSlot,
    ) -> Option<f64> {
        // SAFETY: the slot has the relation's row type.
        unsafe {
            (*scan.ps.ps_ExprContext).ecxt_scantuple = slot;
            let datum = evaluate(scan, self.similarity)?;
            Some(f64::from_bits(datum.value() as u64))
        }
    }

    /// Finds the best rows of the table that were not given yet, as many as fit into `work_mem`.
    unsafe fn pass_over_table(&mut self, scan: &mut pg_sys::ScanState) {
        // SAFETY: the relation is open and locked; an error ends the scan with the query.
        unsafe {
            self.table_scans += 1;
            let missing = if self.numbers.nulls_first {
                f64::INFINITY
            } else {
                f64::NEG_INFINITY
            };
            let memory = usize::try_from(pg_sys::work_mem).unwrap_or(64) * 1024;
            let mut best = Best::new(memory / size_of::<Row>());
            let snapshot = (*scan.ps.state).es_snapshot;
            let relation = scan.ss_currentRelation;
            let table = pg_sys::table_beginscan(relation, snapshot, 0, std::ptr::null_mut());
            let slot = scan.ss_ScanTupleSlot;
            let forward = pg_sys::ScanDirection::ForwardScanDirection;
            while pg_sys::table_scan_getnextslot(table, forward, slot) {
                check_for_interrupts!();
                let context = scan.ps.ps_ExprContext;
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
                (*context).ecxt_scantuple = slot;
                if !pg_sys::ExecQual(scan.ps.qual, context) {
                    filtered(scan);
                    continue;
                }
                let row = Row {
                    key: self.similarity(scan, slot).unwrap_or(missing),
                    tid: place(slot),
                };
                if self.rows.is_new(row) {
                    best.push(row);
                }
            }
            pg_sys::table_endscan(table);
            pg_sys::ExecClearTuple(slot);
            if !best.is_full() {
                self.source = Source::End;
            }
            self.rows.take(best);
        }
    }
}

/// The value of an expression; `None` for NULL.
unsafe fn evaluate(
    scan: &mut pg_sys::ScanState,
    expression: *mut pg_sys::ExprState,
) -> Option<pg_sys::Datum> {
    // SAFETY: an expression that `begin` has prepared.
    unsafe {
        let context = scan.ps.ps_ExprContext;
        pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
        let mut null = false;
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = (*context).ecxt_per_tuple_memory;
        let value = pg_sys::ExecEvalExpr(expression, context, &mut null);
        pg_sys::CurrentMemoryContext = before;
        (!null).then_some(value)
    }
}

/// Where the row in a slot is.
unsafe fn place(slot: *mut pg_sys::TupleTableSlot) -> Tid {
    // SAFETY: a table's slot knows its row's place.
    unsafe { pgrx::itemptr::item_pointer_to_u64((*slot).tts_tid) }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: called once, after `begin`.
    unsafe {
        let state = &mut *(*node.cast::<Node>()).state;
        pg_sys::ExecEndNode(state.child);
        state.rows.clear();
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::CustomScanState) {
    // SAFETY: called between `begin` and `end`.
    unsafe {
        let state = &mut *(*node.cast::<Node>()).state;
        let changed = (*node).ss.ps.chgParam;
        if !changed.is_null() {
            pg_sys::UpdateChangedParamSet(state.child, changed);
        }
        pg_sys::ExecReScan(state.child);
        pg_sys::ExecScanReScan(&raw mut (*node).ss);
        state.rows.clear();
        state.source = Source::NotBegun;
        state.refused = f64::NEG_INFINITY;
        state.read = 0;
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn explain(
    node: *mut pg_sys::CustomScanState,
    _ancestors: *mut pg_sys::List,
    explain: *mut pg_sys::ExplainState,
) {
    // SAFETY: called between `begin` and `end`.
    unsafe {
        let state = &*(*node.cast::<Node>()).state;
        if (*explain).analyze && (*explain).verbose {
            let (label, unit) = (c"Index Rows", std::ptr::null());
            let read = i64::try_from(state.read).unwrap_or(i64::MAX);
            pg_sys::ExplainPropertyInteger(label.as_ptr(), unit, read, explain);
        }
        if (*explain).analyze && state.table_scans > 0 {
            let (label, unit) = (c"Table Scans", std::ptr::null());
            pg_sys::ExplainPropertyInteger(label.as_ptr(), unit, state.table_scans, explain);
        }
    }
}
