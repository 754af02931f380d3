//! `hostednet join` before it changes anything. What it does with radios is shown by the scenarios of tier T3.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Command, Output, Stdio},
};

/// Nobody's id.
const NOBODY: u32 = 65_534;

fn join(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hostednet"));
    command.arg("join").args(words).stdin(Stdio::null()).env_remove("HOSTEDNET_SOCKET");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_rights_it_ends_with_status_4_and_says_how_to_get_them() {
    let mut command = join(&["cafe", "--open"]);
    // Root's copy lies where everybody may read it: the folder of this build may be closed to others.
    let folder = tempfile::tempdir().unwrap();
    if rustix::process::geteuid().is_root() {
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let copy = folder.path().join("hostednet");
        std::fs::copy(env!("CARGO_BIN_EXE_hostednet"), &copy).unwrap();
        command = Command::new(copy);
        command
            .args(["join", "cafe", "--open"])
            .uid(NOBODY)
            .gid(NOBODY)
            .current_dir("/")
            .stdin(Stdio::null());
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(
        said(&output).contains("elevation_required") && said(&output).contains("sudo"),
        "{}",
        said(&output)
    );
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let output = join(&["cafe", "--open", "--once", "--interface", "nosuch0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("nosuch0"), "{}", said(&output));
}

#[test]
fn a_key_that_is_none_is_refused_before_anything_else_and_never_shown() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "shorty\n").unwrap();
    let path = file.path().to_str().unwrap();
    let output = join(&["cafe", "--interface", "nosuch0", "--key-file", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("8 to 63 characters, this one has 6"), "{}", said(&output));
    assert!(!said(&output).contains("shorty"), "{}", said(&output));
}

#[test]
fn a_network_is_open_or_has_a_key_but_not_both() {
    let output = join(&["cafe", "--open", "--key-file", "/dev/null"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}
