//! `ORDER BY cosine_similarity(column, x) DESC LIMIT k` by a pgvector index.
//!
//! A path for such an index is added that scans it by `column <=> x` and claims the query's own order: descending
//! similarity is ascending cosine distance. pgvector's cost model decides whether it is used. The path is offered only
//! where the rows are the same as without it, up to the index's recall; otherwise the reason is told at DEBUG1.

use std::ffi::CStr;

use pgrx::pg_guard;
use pgrx::prelude::*;

use super::catalog::{self, Kind};
use super::nodes::{cast, items, list_of, same, strip_relabels};
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

/// The order that the query wants, as far as it is about similarity.
struct Wanted {
    pathkey: *mut pg_sys::PathKey,
    /// The whole `cosine_similarity` call.
    call: *mut pg_sys::FuncExpr,
    /// Its arguments.
    arguments: [*mut pg_sys::Node; 2],
    /// Whether more sort keys follow.
    more_keys: bool,
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

/// The first sort key, if it is the descending similarity of something in this relation.
unsafe fn wanted(root: *mut pg_sys::PlannerInfo, rel: *mut pg_sys::RelOptInfo) -> Option<Wanted> {
    // SAFETY: the planner's live nodes.
    unsafe {
        let pathkeys = (*root).query_pathkeys;
        let pathkey = items::<pg_sys::PathKey>(pathkeys).next()?;
        let class = (*pathkey).pk_eclass;
        if !is_descending(&*pathkey) || (*class).ec_has_volatile {
            return None;
        }
        let calls = members(class, rel).filter_map(|m| similarity_call((*m).em_expr.cast()));
        calls
            .map(|call| {
                let mut arguments = items::<pg_sys::Node>((*call).args);
                Some(Wanted {
                    pathkey,
                    call,
                    arguments: [arguments.next()?, arguments.next()?],
                    more_keys: (*pathkeys).length > 1,
                })
            })
            .next()?
    }
}

#[cfg(not(feature = "pg18"))]
fn is_descending(pathkey: &pg_sys::PathKey) -> bool {
    pathkey.pk_strategy == pg_sys::BTGreaterStrategyNumber as i32
}

#[cfg(feature = "pg18")]
fn is_descending(pathkey: &pg_sys::PathKey) -> bool {
    pathkey.pk_cmptype == pg_sys::CompareType::COMPARE_GT
}

/// The members of an equivalence class that this relation alone can compute.
unsafe fn members(
    class: *mut pg_sys::EquivalenceClass,
    rel: *mut pg_sys::RelOptInfo,
) -> impl Iterator<Item = *mut pg_sys::EquivalenceMember> {
    // SAFETY: the planner's live nodes; since Postgres 18 a partition's members stand in lists of their own.
    unsafe {
        #[cfg(feature = "pg18")]
        let children = {
            let (lists, at) = ((*class).ec_childmembers, (*rel).relid as usize);
            let there = !lists.is_null()
                && at < usize::try_from((*class).ec_childmembers_size).unwrap_or(0);
            if there {
                *lists.add(at)
            } else {
                std::ptr::null_mut()
            }
        };
        #[cfg(not(feature = "pg18"))]
        let children = std::ptr::null_mut();
        let all = items::<pg_sys::EquivalenceMember>((*class).ec_members).chain(items(children));
        all.filter(move |m| pg_sys::bms_equal((**m).em_relids, (*rel).relids))
    }
}

unsafe fn similarity_call(expression: *mut pg_sys::Node) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: a live expression.
    unsafe {
        let call =
            cast::<pg_sys::FuncExpr>(strip_relabels(expression), pg_sys::NodeTag::T_FuncExpr)?;
        let two = call.args.as_ref().is_some_and(|a| a.length == 2);
        (two && catalog::kind(call.funcid) == Kind::Similarity).then_some(std::ptr::from_mut(call))
    }
}

/// An index that can give the wanted order.
struct Scan<'a> {
    index: &'a pg_sys::IndexOptInfo,
    /// The argument that the index holds.
    column: *mut pg_sys::Node,
    /// The argument that it is compared with.
    probe: *mut pg_sys::Node,
    /// pgvector's `<=>`.
    operator: pg_sys::Oid,
    method: Method,
}

/// pgvector's index methods.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    Hnsw,
    IvfFlat,
}

impl<'a> Scan<'a> {
    /// # Safety
    /// The planner's live nodes.
    unsafe fn of(index: &'a pg_sys::IndexOptInfo, wanted: &Wanted) -> Option<Self> {
        // SAFETY: by contract; a key column has an operator family and an input type.
        unsafe {
            if !index.amcanorderbyop
                || index.nkeycolumns < 1
                || index.hypothetical
                || index.predOK_fails()
            {
                return None;
            }
            let (family, input) = (*index.opfamily, *index.opcintype);
            let operator = pg_sys::get_opfamily_member(family, input, input, 1);
            if operator == pg_sys::InvalidOid || !catalog::is_cosine_distance(operator) {
                return None;
            }
            let own = std::ptr::from_ref(index).cast_mut();
            let holds = |n: *mut pg_sys::Node| pg_sys::match_index_to_operand(n, 0, own);
            let [a, b] = wanted.arguments;
            let (column, probe) = if holds(a) {
                (a, b)
            } else if holds(b) {
                (b, a)
            } else {
                return None;
            };
            let method = method_of(index)?;
            let steady =
                !pg_sys::contain_var_clause(probe) && !pg_sys::contain_volatile_functions(probe);
            let fits = pg_sys::exprType(probe) == input;
            (steady && fits).then_some(Scan {
                index,
                column,
                probe,
                operator,
                method,
            })
        }
    }

    /// Why the rows could differ from those of a sort.
    unsafe fn objection(
        &self,
        root: *mut pg_sys::PlannerInfo,
        rel: *mut pg_sys::RelOptInfo,
        entry: *mut pg_sys::RangeTblEntry,
        wanted: &Wanted,
    ) -> Option<String> {
        // SAFETY: the planner's live nodes.
        unsafe {
            if (*wanted.pathkey).pk_nulls_first && !self.has_no_nulls(rel, entry, wanted) {
                return Some(
                    "NULLs come first and the column may hold some; say NULLS LAST, or NOT NULL"
                        .into(),
                );
            }
            let reach = Reach::of(self.method, self.index, (*rel).tuples);
            if let Some(why) = reach.objection(needed(root, wanted)) {
                return Some(why);
            }
            let filtered = self.has_filters(wanted) || loses_rows_in_joins(root, rel);
            (filtered && !reach.strict).then(|| match self.method {
                Method::Hnsw => {
                    "rows are filtered after the index; set hnsw.iterative_scan = strict_order"
                        .into()
                }
                Method::IvfFlat => {
                    "rows are filtered after the index, and ivfflat cannot scan on in order".into()
                }
            })
        }
    }

    /// Whether every row has a vector: the index holds no NULLs.
    unsafe fn has_no_nulls(
        &self,
        rel: *mut pg_sys::RelOptInfo,
        entry: *mut pg_sys::RangeTblEntry,
        wanted: &Wanted,
    ) -> bool {
        // SAFETY: the planner's live nodes.
        unsafe {
            if let Some(var) = underlying_column(self.column)
                && is_not_null(entry, var)
            {
                return true;
            }
            let mut clauses = items::<pg_sys::RestrictInfo>((*rel).baserestrictinfo);
            clauses.any(|c| self.rejects_null((*c).clause.cast(), wanted))
        }
    }

    /// Whether a condition is false for rows without a vector.
    unsafe fn rejects_null(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression.
        unsafe {
            if let Some(test) = cast::<pg_sys::NullTest>(clause, pg_sys::NodeTag::T_NullTest) {
                let on_column = same(test.arg, self.column) || same(test.arg, wanted.call);
                return on_column && test.nulltesttype == pg_sys::NullTestType::IS_NOT_NULL;
            }
            self.bounds_similarity(clause, wanted)
        }
    }

    /// Whether a condition compares this very similarity by a strict operator with something steady.
    unsafe fn bounds_similarity(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression.
        unsafe {
            let Some(operator) = cast::<pg_sys::OpExpr>(clause, pg_sys::NodeTag::T_OpExpr) else {
                return false;
            };
            let arguments: Vec<*mut pg_sys::Node> = items(operator.args).collect();
            let (similarity, other) = match arguments[..] {
                [a, b] if same(a, wanted.call) => (true, b),
                [a, b] if same(b, wanted.call) => (true, a),
                _ => (false, clause),
            };
            similarity && pg_sys::op_strict(operator.opno) && !pg_sys::contain_var_clause(other)
        }
    }

    /// Whether rows that the index gives may be dropped, other than from its far end.
    unsafe fn has_filters(&self, wanted: &Wanted) -> bool {
        // SAFETY: the planner's live nodes. `indrestrictinfo` leaves out what a partial index's predicate implies.
        unsafe {
            let mut clauses = items::<pg_sys::RestrictInfo>(self.index.indrestrictinfo);
            clauses.any(|c| {
                let clause: *mut pg_sys::Node = (*c).clause.cast();
                !self.rejects_null(clause, wanted) || self.cuts_the_near_end(clause, wanted)
            })
        }
    }

    /// Whether a bound on the similarity drops the most similar rows, which come first.
    unsafe fn cuts_the_near_end(&self, clause: *mut pg_sys::Node, wanted: &Wanted) -> bool {
        // SAFETY: a live expression.
        unsafe {
            let Some(operator) = cast::<pg_sys::OpExpr>(clause, pg_sys::NodeTag::T_OpExpr) else {
                return false;
            };
            let left = items::<pg_sys::Node>(operator.args)
                .next()
                .is_some_and(|a| same(a, wanted.call));
            let name = pg_sys::get_opname(operator.opno);
            let name = if name.is_null() {
                c""
            } else {
                CStr::from_ptr(name)
            };
            let from_below = if left { [c">", c">="] } else { [c"<", c"<="] };
            !from_below.contains(&name)
        }
    }

    unsafe fn add_path(
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

/// A partial index that this query's conditions do not imply cannot be used.
trait PartialIndex {
    #[allow(non_snake_case)]
    fn predOK_fails(&self) -> bool;
}

impl PartialIndex for pg_sys::IndexOptInfo {
    fn predOK_fails(&self) -> bool {
        !self.indpred.is_null() && !self.predOK
    }
}

unsafe fn method_of(index: &pg_sys::IndexOptInfo) -> Option<Method> {
    // SAFETY: the access method exists while an index uses it; the name is palloc'ed.
    let name = unsafe {
        let name = pg_sys::get_am_name(index.relam);
        if name.is_null() {
            return None;
        } else {
            CStr::from_ptr(name)
        }
    };
    match name.to_bytes() {
        b"hnsw" => Some(Method::Hnsw),
        b"ivfflat" => Some(Method::IvfFlat),
        _ => None,
    }
}

/// The column in an indexed expression that gives NULL for NULL: the column itself, or casts of it.
unsafe fn underlying_column<'a>(node: *mut pg_sys::Node) -> Option<&'a mut pg_sys::Var> {
    // SAFETY: a live expression.
    unsafe {
        let node = strip_relabels(node);
        if let Some(function) = cast::<pg_sys::FuncExpr>(node, pg_sys::NodeTag::T_FuncExpr) {
            let first = items::<pg_sys::Node>(function.args).next()?;
            return if pg_sys::func_strict(function.funcid) {
                underlying_column(first)
            } else {
                None
            };
        }
        cast::<pg_sys::Var>(node, pg_sys::NodeTag::T_Var)
    }
}

unsafe fn is_not_null(entry: *mut pg_sys::RangeTblEntry, var: &pg_sys::Var) -> bool {
    // SAFETY: the relation is locked by the query; the tuple is released after the flag was read.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::ATTNUM as i32;
        let (relation, number) = (
            pg_sys::Datum::from((*entry).relid),
            pg_sys::Datum::from(var.varattno),
        );
        let tuple = pg_sys::SearchSysCache2(cache, relation, number);
        if tuple.is_null() {
            return false;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_attribute_attnotnull as pg_sys::AttrNumber;
        let flag = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        pg_sys::ReleaseSysCache(tuple);
        !null && flag.value() != 0
    }
}

/// How many rows the statement takes from the scan.
enum Needed {
    /// At most this many.
    AtMost(f64),
    /// A limit that is known only when it runs.
    Unknown,
    /// All of them.
    All,
}

unsafe fn needed(root: *mut pg_sys::PlannerInfo, wanted: &Wanted) -> Needed {
    // SAFETY: the planner's live nodes.
    unsafe {
        let query = &*(*root).parse;
        let limit = (*root).limit_tuples;
        if limit > 0.0 {
            // Rows that tie in the first key must all be seen to sort them by the next.
            let ties = wanted.more_keys
                || query.limitOption == pg_sys::LimitOption::LIMIT_OPTION_WITH_TIES;
            return Needed::AtMost(limit + f64::from(u8::from(ties)));
        }
        let plain = query.groupClause.is_null()
            && query.groupingSets.is_null()
            && query.distinctClause.is_null()
            && query.setOperations.is_null()
            && !query.hasAggs
            && !query.hasWindowFuncs
            && !query.hasTargetSRFs;
        if plain && !query.limitCount.is_null() {
            Needed::Unknown
        } else {
            Needed::All
        }
    }
}

/// How far an index can be scanned.
struct Reach {
    /// Rows that it can give.
    rows: f64,
    /// Whether it scans on, in order, when rows are filtered.
    strict: bool,
    /// What limits the rows.
    because: &'static str,
}

impl Reach {
    unsafe fn of(method: Method, index: &pg_sys::IndexOptInfo, tuples: f64) -> Self {
        match method {
            Method::Hnsw if setting(c"hnsw.iterative_scan").as_deref() == Some("strict_order") => {
                let rows = number(c"hnsw.max_scan_tuples", 20_000.0);
                Reach {
                    rows,
                    strict: true,
                    because: "hnsw.max_scan_tuples",
                }
            }
            Method::Hnsw => Reach {
                rows: number(c"hnsw.ef_search", 40.0),
                strict: false,
                because: "hnsw.ef_search",
            },
            Method::IvfFlat => {
                // SAFETY: the index exists.
                let lists = unsafe { lists_of(index.indexoid) };
                let probes = number(c"ivfflat.probes", 1.0);
                let share = (probes / lists).min(1.0);
                Reach {
                    rows: (tuples * share).max(1.0),
                    strict: false,
                    because: "ivfflat.probes",
                }
            }
        }
    }

    fn objection(&self, needed: Needed) -> Option<String> {
        match needed {
            Needed::AtMost(n) if n <= self.rows => None,
            Needed::AtMost(n) => Some(format!(
                "{n} rows are wanted, more than {} ({:.0}) lets the index give",
                self.because, self.rows
            )),
            Needed::Unknown if self.strict => None,
            Needed::Unknown => Some(
                "the LIMIT is not known when planning; set hnsw.iterative_scan = strict_order"
                    .into(),
            ),
            Needed::All => {
                Some("all rows are wanted, in order; an index gives the nearest only".into())
            }
        }
    }
}

fn setting(name: &CStr) -> Option<String> {
    // SAFETY: the value is copied before anything can change it; pgvector may not be loaded yet.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().into_owned())
    }
}

fn number(name: &CStr, default: f64) -> f64 {
    setting(name)
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

/// The `lists` option of an ivfflat index; pgvector's default is 100.
unsafe fn lists_of(index: pg_sys::Oid) -> f64 {
    // SAFETY: the tuple is released after the options were copied.
    unsafe {
        let cache = pg_sys::SysCacheIdentifier::RELOID as i32;
        let tuple = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(index));
        if tuple.is_null() {
            return 100.0;
        }
        let mut null = false;
        let attribute = pg_sys::Anum_pg_class_reloptions as pg_sys::AttrNumber;
        let options = pg_sys::SysCacheGetAttr(cache, tuple, attribute, &mut null);
        let options: Option<Vec<Option<String>>> = pgrx::FromDatum::from_datum(options, null);
        pg_sys::ReleaseSysCache(tuple);
        let lists = options
            .into_iter()
            .flatten()
            .flatten()
            .find_map(|o| o.strip_prefix("lists=")?.parse().ok());
        lists.unwrap_or(100.0)
    }
}

/// Whether a join may drop rows of this relation: any join but a left join in which it is on the left.
unsafe fn loses_rows_in_joins(
    root: *mut pg_sys::PlannerInfo,
    rel: *mut pg_sys::RelOptInfo,
) -> bool {
    // SAFETY: the planner's live nodes.
    unsafe {
        // A partition joins as its parent does.
        let mut own = (*rel).relids;
        if !(*rel).top_parent_relids.is_null() {
            own = (*rel).top_parent_relids;
        }
        let mut optional: pg_sys::Relids = std::ptr::null_mut();
        for join in items::<pg_sys::SpecialJoinInfo>((*root).join_info_list) {
            if (*join).jointype == pg_sys::JoinType::JOIN_LEFT
                && pg_sys::bms_is_subset(own, (*join).syn_lefthand)
            {
                optional = pg_sys::bms_union(optional, (*join).syn_righthand);
            }
        }
        let others = pg_sys::bms_difference(joined(root), own);
        !pg_sys::bms_is_subset(others, optional)
    }
}

/// All relations of the query that are joined.
unsafe fn joined(root: *mut pg_sys::PlannerInfo) -> pg_sys::Relids {
    // SAFETY: the array has `simple_rel_array_size` entries, NULL where there is no relation.
    unsafe {
        let count = usize::try_from((*root).simple_rel_array_size).unwrap_or(0);
        let rels = std::slice::from_raw_parts((*root).simple_rel_array, count);
        rels.iter()
            .filter_map(|r| r.as_ref())
            .filter(|r| r.reloptkind == pg_sys::RelOptKind::RELOPT_BASEREL)
            .fold(std::ptr::null_mut(), |all, r| {
                pg_sys::bms_add_member(all, r.relid as i32)
            })
    }
}
