//! The few system calls for which no safe crate offers a wrapper: packet sockets, classic socket filters, and
//! what a child does between `fork` and `exec`.
//!
//! Owns nothing and decides nothing.

#![expect(
    unsafe_code,
    reason = "sockaddr_ll, SO_ATTACH_FILTER, packet socket options and pre_exec have no safe wrapper"
)]

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd},
    ptr,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Command,
};

/// Has the runtime wait for `descriptor`, which must not block.
pub(crate) fn watched(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always names the same open descriptor, and `AsyncFd` deregisters before it closes it.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// One instruction of a classic socket filter, `struct sock_filter`: code, jump if true, jump if false, operand.
pub(crate) type Instruction = (u16, u8, u8, u32);

/// Attaches a classic filter (`SO_ATTACH_FILTER`).
pub(crate) fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let mut filter: Vec<libc::sock_filter> =
        program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let length = u16::try_from(filter.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Sets a socket option that takes an `int`.
pub(crate) fn set_flag(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) -> io::Result<()> {
    set_option(socket, level, option, &value)
}

/// `T` must be what the kernel reads for the option; the two callers above see to that.
fn set_option<T>(socket: BorrowedFd<'_>, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a live value of `length` bytes, which the kernel only reads; what a `sock_fprog`
    // points to lives in the caller until this returns.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, ptr::from_ref(value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Binds a packet socket to one interface, for every protocol; from here on it receives.
pub(crate) fn bind_packet(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    bind_packets(socket, index, libc::ETH_P_ALL)
}

/// The same for IPv6 only; what is sent is IPv6, too.
pub(crate) fn bind_packet6(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    bind_packets(socket, index, libc::ETH_P_IPV6)
}

/// Has a packet socket receive what goes to any group, as long as it is open.
pub(crate) fn all_multicast(socket: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let request = libc::packet_mreq {
        mr_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        mr_type: u16::try_from(libc::PACKET_MR_ALLMULTI).map_err(io::Error::other)?,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&request)).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a live packet_mreq of `length` bytes, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            ptr::from_ref(&request).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind_packets(socket: BorrowedFd<'_>, index: u32, protocol: i32) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data; all zeroes is a value of it.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = u16::try_from(protocol).map_err(io::Error::other)?.to_be();
    address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a live sockaddr_ll of `length` bytes, which the kernel only reads.
    let result = unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the child of `command` begin with `socket` as its descriptor 3, and end with this process.
pub(crate) fn hand_over(command: &mut Command, socket: RawFd) {
    const TARGET: RawFd = 3;
    let parent = std::process::id();
    let prepare = move || {
        let moved = if socket == TARGET {
            // SAFETY: fcntl changes a flag in the table of descriptors of the child, which is about to exec.
            unsafe { libc::fcntl(TARGET, libc::F_SETFD, 0) }
        } else {
            // SAFETY: dup2 changes the table of descriptors of the child; the owners of what it closes live in the
            // parent.
            unsafe { libc::dup2(socket, TARGET) }
        };
        if moved < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: prctl with these arguments reads and writes no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before that.
        // SAFETY: getppid takes and touches nothing.
        if u32::try_from(unsafe { libc::getppid() }).ok() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and calls only functions that are safe there
    // (signal-safety(7)); it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(prepare);
    }
}
