//! The system calls that no safe crate offers: batches of datagrams, packet sockets, offloads of an interface,
//! and XDP programs of a few instructions.
//!
//! Owns nothing but the buffers and descriptors it hands out; decides nothing.

#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, packet sockets, SIOCETHTOOL and bpf have no safe wrapper"
)]

mod batch;
mod packet;
mod xdp;

pub(crate) use batch::{BATCH, Batch};
pub(crate) use packet::{Offload, packet_socket, set_offload};
pub(crate) use xdp::{Addresses, Drop as XdpDrop, Flood};

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Asks for `bytes` of receive and send buffer, beyond the usual limit (needs root).
pub(crate) fn force_buffers(fd: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)?;
    option(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
}

/// `setsockopt` with a plain value.
fn option<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: `value` is plain data of `size` bytes that outlives the call.
    let result =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), size) };
    check(result)
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// CPU time the calling thread has used, softirqs it ran included.
pub(crate) fn thread_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Runs `last_act` on a thread of its own when the program is told to end (SIGINT, SIGTERM, SIGHUP).
pub(crate) fn on_signal(last_act: impl FnOnce() + Send + 'static) -> io::Result<()> {
    use std::sync::atomic::{AtomicI32, Ordering};
    static PIPE: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn caught(_signal: i32) {
        // SAFETY: write(2) is async-signal-safe, and the byte is static.
        unsafe { libc::write(PIPE.load(Ordering::Relaxed), b"!".as_ptr().cast(), 1) };
    }
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    PIPE.store(std::os::fd::IntoRawFd::into_raw_fd(write), Ordering::Relaxed);
    std::thread::spawn(move || {
        let mut byte = [0];
        while rustix::io::read(&read, &mut byte) == Err(rustix::io::Errno::INTR) {}
        last_act();
    });
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let handler = caught as extern "C" fn(i32);
        // SAFETY: the handler does nothing but an async-signal-safe write.
        let old = unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        if old == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
