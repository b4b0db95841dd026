//! A server process seen from the operating system (Linux).

use std::process::Command;

/// Proportional set size in kilobytes: private memory and a share of mapped files, without Postgres' shared memory.
pub fn pss(pid: i32) -> u64 {
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
    size("Pss:") - size("Pss_Shmem:")
}

/// Sends a signal ("KILL", "TERM", ...) to a process.
pub fn kill(pid: i32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status();
    assert!(status.expect("kill starts").success(), "no process {pid}");
}
