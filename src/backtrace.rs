//! No Rust backtraces for clients.

use std::backtrace::Backtrace;
use std::env;

const SWITCH: &str = "RUST_LIB_BACKTRACE";

/// Makes sure that no error carries a backtrace, whatever `RUST_BACKTRACE` says in the server's environment: pgrx would
/// put it into DETAIL. The standard library reads the switch once, here, and the environment stays as it was.
pub fn never() {
    let before = env::var_os(SWITCH);
    // SAFETY: called while this process has one thread.
    unsafe { env::set_var(SWITCH, "0") };
    drop(Backtrace::capture());
    // SAFETY: as above.
    unsafe {
        match before {
            Some(value) => env::set_var(SWITCH, value),
            None => env::remove_var(SWITCH),
        }
    }
}
