#![expect(unsafe_code, reason = "what a child does between fork and exec can only be said in an unsafe hook")]
//! What a child process does between `fork` and `exec`.

use std::{io, os::fd::OwnedFd, sync::Arc};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::{Signal, getpid, getppid, set_parent_process_death_signal},
};
use tokio::process::Command;

/// The child dies with the thread that starts it, whatever ends that, and keeps `inherited` open across
/// `exec`. Nobody else's child inherits it: the flag is cleared in this child only.
pub(super) fn bind_to_parent(command: &mut Command, inherited: Option<Arc<OwnedFd>>) {
    let parent = getpid();
    let hook = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above took effect.
        if getppid() != Some(parent) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        match &inherited {
            Some(inherited) => Ok(fcntl_setfd(&**inherited, FdFlags::empty())?),
            None => Ok(()),
        }
    };
    // SAFETY: the hook makes at most three system calls on values made before the fork; it allocates nothing, takes no
    // lock and touches no memory that the parent shares.
    unsafe { command.pre_exec(hook) };
}
