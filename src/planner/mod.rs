//! What the planner learns about voice search.
//!
//! * `annscan`: `ORDER BY cosine_similarity(column, x) DESC` may be answered by a pgvector index.
//! * `once`: a call whose arguments do not come from a row runs once per statement.
//! * `ahead`: so it does where another planner, Citus', takes the query first.
//! * `remote`: partitions on other servers give their nearest rows, not all of them in order.
//! * `hidden`: a constant that holds a secret is shown without it.
//!
//! Nothing has to be preloaded: both begin in planner support functions of the SQL functions concerned, and calling
//! one loads the library while the first query that needs it is being simplified, before any path is built.

mod ahead;
mod annscan;
mod catalog;
mod hidden;
mod mixed;
pub mod nodes;
mod once;
mod remote;

/// Installs the hooks and the cache's invalidation.
pub fn install() {
    catalog::watch_changes();
    ahead::install();
    annscan::install();
    remote::install();
}
