//! What may be opened, and what is said about the rest.

use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;

use source::{Error, FileRules, open_file};

const ANY: FileRules = FileRules {
    allowed_dirs: Vec::new(),
    max_bytes: 1 << 20,
};

fn only(dirs: &[&Path]) -> FileRules {
    FileRules {
        allowed_dirs: dirs.iter().map(PathBuf::from).collect(),
        ..ANY
    }
}

/// A folder with `in/a.wav` and `out/b.wav`.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (sub, name) in [("in", "a.wav"), ("out", "b.wav")] {
        fs::create_dir(dir.path().join(sub)).unwrap();
        fs::write(dir.path().join(sub).join(name), name).unwrap();
    }
    dir
}

fn pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a NUL-terminated path that outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn a_regular_file_is_read_from_its_start() {
    let dir = folder();
    let mut text = String::new();
    open_file(&dir.path().join("in/a.wav"), &ANY)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "a.wav");
}

#[test]
fn the_opened_file_cannot_be_written() {
    let dir = folder();
    let mut file = open_file(&dir.path().join("in/a.wav"), &ANY).unwrap();
    assert!(std::io::Write::write(&mut file, b"x").is_err());
}

#[test]
fn only_regular_files_are_opened_and_a_pipe_does_not_hang() {
    let dir = folder();
    let (fifo, socket, link) = (
        dir.path().join("fifo"),
        dir.path().join("socket"),
        dir.path().join("link"),
    );
    pipe(&fifo);
    let _listener = UnixListener::bind(&socket).unwrap();
    symlink(&fifo, &link).unwrap();
    let cases = [
        (dir.path(), "directory"),
        (&fifo, "named pipe"),
        (&link, "named pipe"),
        (&socket, "socket"),
        (Path::new("/dev/zero"), "device"),
        (Path::new("/dev/tty"), "device"),
    ];
    for (path, wanted) in cases {
        match open_file(path, &ANY) {
            Err(Error::NotRegular { kind, .. }) => assert_eq!(kind, wanted, "{path:?}"),
            other => panic!("{path:?}: {other:?}"),
        }
    }
}

#[test]
fn allowed_directories_hold_after_links_and_dots() {
    let dir = folder();
    let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
    let rules = only(&[&inside]);
    symlink(outside.join("b.wav"), inside.join("escape.wav")).unwrap();
    symlink(&outside, inside.join("escape")).unwrap();
    symlink("a.wav", inside.join("fine.wav")).unwrap();
    symlink(inside.join("a.wav"), outside.join("back.wav")).unwrap();
    fs::create_dir(dir.path().join("inside")).unwrap();
    fs::write(dir.path().join("inside/c.wav"), "c").unwrap();
    for path in [
        "in/a.wav",
        "in/fine.wav",
        "in/../in/a.wav",
        "out/back.wav",
        "out/../in/./a.wav",
    ] {
        assert!(open_file(&dir.path().join(path), &rules).is_ok(), "{path}");
    }
    for path in [
        "out/b.wav",
        "in/escape.wav",
        "in/escape/b.wav",
        "in/../out/b.wav",
        "inside/c.wav",
    ] {
        let outcome = open_file(&dir.path().join(path), &rules);
        assert!(
            matches!(outcome, Err(Error::OutsideAllowedDirs { .. })),
            "{path}: {outcome:?}"
        );
    }
}

#[test]
fn outside_the_allowed_directories_existence_is_not_told() {
    let dir = folder();
    let inside = dir.path().join("in");
    symlink(dir.path().join("out"), inside.join("escape")).unwrap();
    for path in [
        "out/absent",
        "absent/absent",
        "in/escape/absent",
        "in/../absent",
        "out",
    ] {
        let outcome = open_file(&dir.path().join(path), &only(&[&inside]));
        assert!(
            matches!(outcome, Err(Error::OutsideAllowedDirs { .. })),
            "{path}: {outcome:?}"
        );
    }
    let inside_absent = open_file(&inside.join("absent.wav"), &only(&[&inside]));
    assert!(
        matches!(inside_absent, Err(Error::NotFound { .. })),
        "{inside_absent:?}"
    );
}

#[test]
fn an_allowed_directory_may_be_a_link_but_not_relative_or_absent() {
    let dir = folder();
    let (inside, link) = (dir.path().join("in"), dir.path().join("link"));
    symlink(&inside, &link).unwrap();
    assert!(open_file(&inside.join("a.wav"), &only(&[&link])).is_ok());
    assert!(open_file(&link.join("a.wav"), &only(&[&inside])).is_ok());
    for useless in ["relative", ".", "/does/not/exist", ""] {
        let outcome = open_file(&inside.join("a.wav"), &only(&[Path::new(useless)]));
        assert!(
            matches!(outcome, Err(Error::OutsideAllowedDirs { .. })),
            "{useless}: {outcome:?}"
        );
    }
}

#[test]
fn the_limit_on_bytes_is_inclusive() {
    let dir = folder();
    let path = dir.path().join("in/a.wav");
    assert!(
        open_file(
            &path,
            &FileRules {
                max_bytes: 5,
                ..ANY
            }
        )
        .is_ok()
    );
    let outcome = open_file(
        &path,
        &FileRules {
            max_bytes: 4,
            ..ANY
        },
    );
    assert!(
        matches!(
            outcome,
            Err(Error::FileTooLarge {
                bytes: 5,
                limit: 4,
                ..
            })
        ),
        "{outcome:?}"
    );
}

#[test]
fn other_failures_name_the_path_and_the_cause() {
    let dir = folder();
    symlink("loop", dir.path().join("loop")).unwrap();
    let long = dir.path().join("a".repeat(300));
    let cases: [(PathBuf, &str); 4] = [
        (dir.path().join("absent.wav"), "does not exist"),
        (dir.path().join("in/a.wav/x"), "directory"),
        (dir.path().join("loop"), "symbolic"),
        (long, "too long"),
    ];
    for (path, words) in cases {
        let message = open_file(&path, &ANY).unwrap_err().to_string();
        assert!(
            message.contains(words) && message.contains(&format!("{path:?}")),
            "{message}"
        );
    }
}

#[test]
fn a_file_of_somebody_else_is_a_permission_error() {
    let dir = folder();
    let path = dir.path().join("in/a.wav");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let asked = || {
        // SAFETY: changes the file system identity of this thread alone, which ends here. Without
        // root it fails, and the file's mode is enough.
        unsafe { libc::setfsuid(65534) };
        open_file(&path, &ANY)
    };
    let outcome = thread::scope(|scope| scope.spawn(asked).join().unwrap());
    assert!(
        matches!(outcome, Err(Error::PermissionDenied { .. })),
        "{outcome:?}"
    );
}
