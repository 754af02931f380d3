//! A process for the tests: either a locked-down worker whose control channel is its standard input, or one
//! that tries something forbidden after the same lock-down.
//!
//! `child worker [LARGEST_FILE]` | `child try ACTION`

#![expect(unsafe_code, reason = "fork and ptrace are among what must be refused")]
#![expect(clippy::print_stderr, reason = "says why it fails")]

use std::{fs::File, os::fd::AsFd, process::ExitCode};

use hn_worker::{Identity, Options, lockdown};
use rustix::{
    net::{AddressFamily, SocketType},
    process::{Resource, Rlimit},
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["worker"] => work(),
        ["worker", room] => room.parse().map_err(Into::into).and_then(limit_files).and_then(|()| work()),
        ["try", action] => attempt(action),
        _ => Err("usage: child worker | child try ACTION".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Nobody when started by root, else whoever started it.
fn identity() -> Identity {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    if uid.is_root() {
        Identity { uid: 65_534, gid: 65_534 }
    } else {
        Identity { uid: uid.as_raw(), gid: gid.as_raw() }
    }
}

/// No file may grow beyond `room` bytes.
fn limit_files(room: u64) -> Result<(), Box<dyn std::error::Error>> {
    let limit = Rlimit { current: Some(room), maximum: Some(room) };
    Ok(rustix::process::setrlimit(Resource::Fsize, limit)?)
}

fn work() -> Result<(), Box<dyn std::error::Error>> {
    let control = std::io::stdin().as_fd().try_clone_to_owned()?;
    Ok(hn_worker::run(Options { control, identity: Some(identity()) })?)
}

fn attempt(action: &str) -> Result<(), Box<dyn std::error::Error>> {
    let report = lockdown::drop_privilege(identity())?;
    lockdown::filter_syscalls()?;
    let socket = |family, kind| rustix::net::socket(family, kind, None).map(drop);
    match action {
        // What must work, or the rest proves nothing.
        "nothing" => {}
        "udp" => socket(AddressFamily::INET, SocketType::DGRAM)?,
        "tcp" => socket(AddressFamily::INET6, SocketType::STREAM)?,
        "report" => eprintln!("{report:?}"),
        // What must not.
        "open" => drop(File::open("/etc/passwd")?),
        "stat" => {
            std::fs::metadata("/")?;
        }
        "netlink" => socket(AddressFamily::NETLINK, SocketType::RAW)?,
        "unix" => socket(AddressFamily::UNIX, SocketType::STREAM)?,
        "packet" => socket(AddressFamily::PACKET, SocketType::RAW)?,
        "raw" => socket(AddressFamily::INET, SocketType::RAW)?,
        "bind" => rustix::net::bind(
            rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?,
            &std::net::SocketAddr::from(([127, 0, 0, 1], 0)),
        )?,
        "execve" => return Err(std::process::Command::new("/bin/true").spawn()?.wait()?.to_string().into()),
        // SAFETY: the child of a fork that should never exist returns at once.
        "fork" => drop(unsafe { libc::fork() }),
        // SAFETY: PTRACE_TRACEME touches no memory.
        "ptrace" => drop(unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) }),
        "thread" => std::thread::Builder::new().spawn(|| {})?.join().map_err(|_| "panicked")?,
        "setuid" => nix::unistd::setuid(nix::unistd::Uid::from_raw(0))?,
        "kill" => nix::sys::signal::kill(nix::unistd::getppid(), None)?,
        "exec-memory" => drop(
            // SAFETY: maps fresh memory that nothing refers to.
            unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    4_096,
                    libc::PROT_READ | libc::PROT_EXEC,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            },
        ),
        other => return Err(format!("unknown action {other}").into()),
    }
    Ok(())
}
