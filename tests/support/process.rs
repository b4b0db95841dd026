//! A server process seen from the operating system (Linux).

use std::process::Command;

/// A process's own memory in kilobytes. Mapped files are left out: their share depends on how many other processes map
/// them at the time, and tests run beside each other.
pub fn own_memory(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/smaps_rollup");
    let rollup = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let size = |name: &str| -> u64 {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {path}"));
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of kB")
    };
    size("Pss_Anon:")
}

/// Sends a signal ("KILL", "TERM", ...) to a process.
pub fn kill(pid: i32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(status.expect("kill starts").success(), "no process {pid}");
}
