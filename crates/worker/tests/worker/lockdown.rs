//! What a worker can no longer do.

use std::{collections::BTreeMap, fs, os::unix::process::ExitStatusExt};

use crate::lab::{Lab, child, standalone};

fn status(pid: u32) -> BTreeMap<String, String> {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .unwrap()
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

#[test]
fn a_worker_that_is_ready_has_given_everything_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::process(&folder.path().join("leases"));
    let status = status(lab.pid());
    let root = rustix::process::getuid().is_root();
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    assert_eq!(status["Seccomp"], "2");
    if root {
        assert_eq!(status["CapBnd"], "0000000000000000");
        assert_eq!(status["Uid"], "65534\t65534\t65534\t65534");
        assert_eq!(status["Gid"], "65534\t65534\t65534\t65534");
        assert_eq!(status["Groups"], "");
        let root = fs::read_link(format!("/proc/{}/root", lab.pid())).unwrap();
        assert!(root.to_string_lossy().contains("(deleted)"), "{}", root.display());
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", lab.pid())).unwrap();
    for line in [
        "Max core file size        0                    0",
        "Max processes             0                    0",
    ] {
        assert!(limits.contains(line), "{limits}");
    }
    // Every thread is under the filter, the one that writes the journal too.
    let threads: Vec<_> = fs::read_dir(format!("/proc/{}/task", lab.pid())).unwrap().collect();
    assert_eq!(threads.len(), 2);
    for thread in threads {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        assert!(status.contains("Seccomp:\t2") && status.contains("CapEff:\t0000000000000000"), "{status}");
    }
    // And it still works.
    lab.serve(1, standalone());
    lab.acquire(1, "phone");
}

#[test]
fn what_the_loop_needs_is_allowed_and_everything_else_kills() {
    for allowed in ["nothing", "udp", "tcp", "report"] {
        let output = child().args(["try", allowed]).output().unwrap();
        assert!(output.status.success(), "{allowed}: {output:?}");
    }
    for forbidden in [
        "open",
        "stat",
        "netlink",
        "unix",
        "packet",
        "raw",
        "bind",
        "execve",
        "fork",
        "ptrace",
        "thread",
        "setuid",
        "kill",
        "exec-memory",
    ] {
        let output = child().args(["try", forbidden]).output().unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{forbidden}: {output:?}");
    }
}
