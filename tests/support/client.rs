//! What tests say to a session, without the ceremony.

use postgres::Client;
use postgres::error::{DbError, SqlState};
use postgres::types::FromSqlOwned;
use serde_json::Value;

/// Short forms on a client; all panic with the statement where it does not do what is asked.
pub trait ClientExt {
    /// Runs statements that must succeed.
    fn run(&mut self, sql: &str);
    /// The only column of the only row.
    fn value<T: FromSqlOwned>(&mut self, sql: &str) -> T;
    /// The first column of every row.
    fn column<T: FromSqlOwned>(&mut self, sql: &str) -> Vec<T>;
    /// The error of statements that must fail.
    fn error(&mut self, sql: &str) -> DbError;
    /// Asserts that the statements fail with this SQLSTATE, and that message, detail and hint together contain each of `parts`.
    fn fails(&mut self, sql: &str, state: SqlState, parts: &[&str]);
    /// `EXPLAIN (FORMAT JSON, COSTS OFF, VERBOSE)`: the top plan node.
    fn plan(&mut self, sql: &str) -> Value;
    /// The backend's process id.
    fn pid(&mut self) -> i32;
}

impl ClientExt for Client {
    fn run(&mut self, sql: &str) {
        self.batch_execute(sql)
            .unwrap_or_else(|error| panic!("{}\nin: {sql}", describe(&error)));
    }

    fn value<T: FromSqlOwned>(&mut self, sql: &str) -> T {
        self.query_one(sql, &[])
            .unwrap_or_else(|error| panic!("{}\nin: {sql}", describe(&error)))
            .get(0)
    }

    fn column<T: FromSqlOwned>(&mut self, sql: &str) -> Vec<T> {
        let rows = self
            .query(sql, &[])
            .unwrap_or_else(|error| panic!("{}\nin: {sql}", describe(&error)));
        rows.iter().map(|row| row.get(0)).collect()
    }

    fn error(&mut self, sql: &str) -> DbError {
        let error = self
            .batch_execute(sql)
            .expect_err(&format!("should fail: {sql}"));
        let error = error
            .as_db_error()
            .unwrap_or_else(|| panic!("the connection was lost ({error}) in: {sql}"));
        // The throw-away server runs with RUST_BACKTRACE=1.
        let detail = error.detail().unwrap_or_default();
        assert!(!detail.contains("   1: "), "a backtrace in: {detail}");
        error.clone()
    }

    fn fails(&mut self, sql: &str, state: SqlState, parts: &[&str]) {
        let error = self.error(sql);
        let said = [Some(error.message()), error.detail(), error.hint()]
            .map(Option::unwrap_or_default)
            .join("\n");
        assert_eq!(error.code(), &state, "{said}\nin: {sql}");
        for part in parts {
            assert!(
                said.contains(part),
                "{part:?} is missing in: {said}\nof: {sql}"
            );
        }
    }

    fn plan(&mut self, sql: &str) -> Value {
        let mut plan: Value =
            self.value(&format!("EXPLAIN (FORMAT JSON, COSTS OFF, VERBOSE) {sql}"));
        plan[0]["Plan"].take()
    }

    fn pid(&mut self) -> i32 {
        self.value("SELECT pg_backend_pid()")
    }
}

fn describe(error: &postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!(
            "{db} {} {}",
            db.detail().unwrap_or_default(),
            db.hint().unwrap_or_default()
        ),
        None => error.to_string(),
    }
}

/// Every node of a plan, top down.
pub fn plan_nodes(plan: &Value) -> Vec<&Value> {
    let below = plan["Plans"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(plan_nodes);
    std::iter::once(plan).chain(below).collect()
}
