//! What the planner learns about voice search.

/// Installs the planner hooks.
pub fn install() {}
