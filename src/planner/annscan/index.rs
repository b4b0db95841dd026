//! What the index can give: the order by one of its columns, and how far it can be scanned.

use pgrx::pg_sys;

use super::methods::Method;
use super::wanted::Wanted;
use crate::planner::catalog;
use crate::planner::nodes::any;

/// An index that can give the wanted order.
pub(super) struct Scan<'a> {
    pub(super) index: &'a pg_sys::IndexOptInfo,
    /// The argument that the index holds.
    pub(super) column: *mut pg_sys::Node,
    /// The argument that it is compared with.
    pub(super) probe: *mut pg_sys::Node,
    /// pgvector's `<=>`.
    pub(super) operator: pg_sys::Oid,
    pub(super) method: Method,
}

/// Operators of a family that are looked at: pgvector's has one, others' a few.
const STRATEGIES: i16 = 8;

impl<'a> Scan<'a> {
    /// # Safety
    /// The planner's live nodes.
    pub(super) unsafe fn of(index: &'a pg_sys::IndexOptInfo, wanted: &Wanted) -> Option<Self> {
        // SAFETY: by contract; a key column has an operator family and an input type.
        unsafe {
            if !index.amcanorderbyop
                || !index.amoptionalkey
                || index.nkeycolumns < 1
                || index.hypothetical
                || index.predOK_fails()
            {
                return None;
            }
            let (family, input) = (*index.opfamily, *index.opcintype);
            let operator = (1..=STRATEGIES)
                .map(|strategy| pg_sys::get_opfamily_member(family, input, input, strategy))
                .filter(|operator| *operator != pg_sys::InvalidOid)
                .find(|operator| catalog::is_cosine_distance(*operator))?;
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
            let method = Method::of(index)?;
            let steady =
                comes_from(probe, wanted.beside) && !pg_sys::contain_volatile_functions(probe);
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
}

/// Whether an expression has no columns but those of some relations.
#[allow(clippy::unnecessary_cast, reason = "Postgres 13 has unsigned numbers")]
unsafe fn comes_from(expression: *mut pg_sys::Node, relations: pg_sys::Relids) -> bool {
    // SAFETY: a live expression.
    unsafe {
        if relations.is_null() {
            return !pg_sys::contain_var_clause(expression);
        }
        !any(
            expression,
            &mut |node: *mut pg_sys::Node| match (*node).type_ {
                pg_sys::NodeTag::T_Var => {
                    let var = &*node.cast::<pg_sys::Var>();
                    var.varlevelsup == 0 && !pg_sys::bms_is_member(var.varno as i32, relations)
                }
                pg_sys::NodeTag::T_PlaceHolderVar => true,
                _ => false,
            },
        )
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
