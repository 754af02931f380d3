//! The few system calls that no safe crate offers: batches of datagrams with `recvmmsg` and `sendmmsg`
//! over buffers that are made once, and taking over inherited descriptors.
//!
//! Owns nothing but those buffers; decides nothing.

#![expect(
    unsafe_code,
    reason = "recvmmsg, sendmmsg, close_range and inherited descriptors have no safe wrapper that does not allocate"
)]

use std::{
    fmt, io, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

/// Datagrams moved by one system call at most.
pub(crate) const BATCH: usize = 64;

/// Bytes of one slot. Not a multiple of 4 KiB on purpose: slots that begin at the same place of a page would
/// fight for the same lines of the first-level cache. Longer datagrams arrive truncated.
pub(crate) const SLOT: usize = 2_112;

/// Datagrams as `recvmmsg` left them.
pub(crate) struct RecvBatch {
    slots: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    /// Only kept because the headers point into it.
    _iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Datagram<'a> {
    /// What fitted into the slot.
    pub(crate) bytes: &'a [u8],
    /// Who sent it; absent for other families than IPv4 and IPv6.
    pub(crate) from: Option<SocketAddr>,
    /// It was longer than the slot.
    pub(crate) truncated: bool,
}

impl RecvBatch {
    pub(crate) fn new() -> Self {
        let mut slots = vec![0_u8; BATCH * SLOT];
        // SAFETY: sockaddr_storage is plain data; all zeroes is a value of it.
        let mut names = vec![unsafe { mem::zeroed::<libc::sockaddr_storage>() }; BATCH];
        let mut iovecs: Vec<libc::iovec> = slots
            .chunks_exact_mut(SLOT)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: SLOT })
            .collect();
        let headers = names
            .iter_mut()
            .zip(iovecs.iter_mut())
            .map(|(name, iovec)| {
                // SAFETY: mmsghdr is plain data; all zeroes is a value of it.
                let mut header = unsafe { mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { slots, names, _iovecs: iovecs, headers, filled: 0 }
    }

    /// Receives what is there, at most [`BATCH`] datagrams, without waiting. Zero when nothing is.
    ///
    /// # Errors
    ///
    /// The socket's pending error (an ICMP error on a connected UDP socket arrives this way).
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.filled = 0;
        for header in &mut self.headers {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        // SAFETY: every header points to a name and one iovec in vectors that live as long as `self`, are
        // never resized and are not borrowed while the kernel writes (`&mut self`).
        let count = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            let nothing = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            return if nothing { Ok(0) } else { Err(error) };
        }
        self.filled = usize::try_from(count).unwrap_or(0).min(BATCH);
        Ok(self.filled)
    }

    /// The datagram at `index` of the last [`RecvBatch::receive`].
    pub(crate) fn get(&self, index: usize) -> Option<Datagram<'_>> {
        if index >= self.filled {
            return None;
        }
        let header = self.headers.get(index)?;
        let slot = self.slots.get(index * SLOT..(index + 1) * SLOT)?;
        let bytes = slot.get(..(header.msg_len as usize).min(SLOT))?;
        Some(Datagram {
            bytes,
            from: address(self.names.get(index)?),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        })
    }
}

impl fmt::Debug for RecvBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBatch").field("filled", &self.filled).finish_non_exhaustive()
    }
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is large enough and aligned for every address, and the family says which.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::V4(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddr::V6(SocketAddrV6::new(
                ip,
                u16::from_be(v6.sin6_port),
                v6.sin6_flowinfo,
                v6.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

/// Datagrams that wait for `sendmmsg`.
pub(crate) struct SendBatch {
    slots: Vec<u8>,
    names: Vec<libc::sockaddr_storage>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// First one that is not sent.
    head: usize,
    /// One past the last one.
    tail: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// Datagrams the kernel took.
    pub(crate) sent: usize,
    /// Datagrams the kernel refused; they are gone.
    pub(crate) failed: usize,
    /// The rest waits until the socket can be written to.
    pub(crate) blocked: bool,
}

impl SendBatch {
    pub(crate) fn new() -> Self {
        let mut slots = vec![0_u8; BATCH * SLOT];
        // SAFETY: sockaddr_storage is plain data; all zeroes is a value of it.
        let names = vec![unsafe { mem::zeroed::<libc::sockaddr_storage>() }; BATCH];
        let mut iovecs: Vec<libc::iovec> = slots
            .chunks_exact_mut(SLOT)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: 0 })
            .collect();
        let headers = iovecs
            .iter_mut()
            .map(|iovec| {
                // SAFETY: mmsghdr is plain data; all zeroes is a value of it.
                let mut header = unsafe { mem::zeroed::<libc::mmsghdr>() };
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { slots, names, iovecs, headers, head: 0, tail: 0 }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    /// Whether [`SendBatch::push`] has no room before a flush.
    pub(crate) fn is_full(&self) -> bool {
        self.tail == BATCH
    }

    /// Forgets what waits.
    pub(crate) fn clear(&mut self) {
        self.head = 0;
        self.tail = 0;
    }

    /// Copies `bytes` in, for `to` or for the peer the socket is connected or bound to. False when the batch
    /// is full or the datagram longer than a slot.
    pub(crate) fn push(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> bool {
        let index = self.tail;
        let (Some(slot), Some(name), Some(iovec), Some(header)) = (
            self.slots.get_mut(index * SLOT..index * SLOT + bytes.len().min(SLOT)),
            self.names.get_mut(index),
            self.iovecs.get_mut(index),
            self.headers.get_mut(index),
        ) else {
            return false;
        };
        if bytes.len() > SLOT {
            return false;
        }
        slot.copy_from_slice(bytes);
        iovec.iov_len = bytes.len();
        match to {
            Some(to) => {
                header.msg_hdr.msg_namelen = set_address(name, to);
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            }
            None => {
                header.msg_hdr.msg_namelen = 0;
                header.msg_hdr.msg_name = ptr::null_mut();
            }
        }
        self.tail += 1;
        true
    }

    /// Sends what waits, without waiting itself. A datagram that the kernel refuses is skipped: whoever asked
    /// asks again.
    pub(crate) fn flush(&mut self, fd: BorrowedFd<'_>) -> Flushed {
        let mut flushed = Flushed::default();
        while self.head < self.tail {
            let Some(waiting) = self.headers.get_mut(self.head..self.tail) else { break };
            // SAFETY: the headers in the range point to iovecs, slots and names in vectors that live as long
            // as `self` and are never resized; the kernel only reads them.
            let count = unsafe {
                libc::sendmmsg(
                    fd.as_raw_fd(),
                    waiting.as_mut_ptr(),
                    waiting.len() as _,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    self.head += count.min(waiting.len());
                    flushed.sent += count;
                }
                Err(_) => {
                    let error = io::Error::last_os_error().kind();
                    if error == io::ErrorKind::WouldBlock {
                        flushed.blocked = true;
                        return flushed;
                    }
                    if error != io::ErrorKind::Interrupted {
                        self.head += 1;
                        flushed.failed += 1;
                    }
                }
            }
        }
        self.clear();
        flushed
    }
}

impl fmt::Debug for SendBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendBatch")
            .field("head", &self.head)
            .field("tail", &self.tail)
            .finish_non_exhaustive()
    }
}

fn set_address(name: &mut libc::sockaddr_storage, to: SocketAddr) -> libc::socklen_t {
    let at: *mut libc::sockaddr_storage = name;
    match to {
        SocketAddr::V4(to) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: to.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*to.ip()).to_be() },
                sin_zero: [0; 8],
            };
            // SAFETY: sockaddr_storage is large enough and aligned for every address.
            unsafe { at.cast::<libc::sockaddr_in>().write(v4) };
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(to) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: to.port().to_be(),
                sin6_flowinfo: to.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: to.ip().octets() },
                sin6_scope_id: to.scope_id(),
            };
            // SAFETY: as above.
            unsafe { at.cast::<libc::sockaddr_in6>().write(v6) };
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Takes over a descriptor that this process was started with; `None` when it is not open.
///
/// Only for the entry of a process: nothing else may own `fd`.
pub(crate) fn inherited(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_GETFD reads a flag of a descriptor number and touches no memory.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return None;
    }
    // SAFETY: it is open, and the caller vouches that nobody else in this fresh process owns it.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes every descriptor from `first` on that this process was started with by accident.
///
/// Only for the entry of a process: nothing may own descriptors in that range.
pub(crate) fn close_from(first: RawFd) {
    let first = libc::c_uint::try_from(first).unwrap_or(libc::c_uint::MAX);
    // SAFETY: the caller vouches that no owner of a descriptor in the range exists in this fresh process. The
    // result is of no use: on a kernel without the call the descriptors stay, as harmless as they were before.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0_u32) };
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::{
        net::UdpSocket,
        os::{fd::AsFd, unix::net::UnixDatagram},
    };

    use super::*;

    #[test]
    fn a_batch_arrives_in_order_with_its_senders() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("[::1]:0").unwrap());
        for socket in [&a, &b] {
            let to = socket.local_addr().unwrap();
            let mut out = SendBatch::new();
            for n in 0..BATCH {
                assert!(out.push(&vec![n as u8; n], Some(to)));
            }
            assert!(out.is_full() && !out.push(b"one too many", Some(to)));
            assert_eq!(out.flush(socket.as_fd()), Flushed { sent: BATCH, ..Flushed::default() });
            assert!(out.is_empty());
            let mut batch = RecvBatch::new();
            assert_eq!(batch.receive(socket.as_fd()).unwrap(), BATCH);
            for n in 0..BATCH {
                let datagram = batch.get(n).unwrap();
                assert_eq!(datagram.bytes, &vec![n as u8; n]);
                assert_eq!(datagram.from, Some(to));
                assert!(!datagram.truncated);
            }
            assert!(batch.get(BATCH).is_none());
            assert_eq!(batch.receive(socket.as_fd()).unwrap(), 0);
            assert!(batch.get(0).is_none());
        }
    }

    #[test]
    fn a_datagram_longer_than_a_slot_says_so() {
        let (a, b) = UnixDatagram::pair().unwrap();
        a.send(&[7; SLOT + 1]).unwrap();
        a.send(&[8; SLOT]).unwrap();
        let mut batch = RecvBatch::new();
        assert_eq!(batch.receive(b.as_fd()).unwrap(), 2);
        assert!(batch.get(0).unwrap().truncated);
        let fits = batch.get(1).unwrap();
        assert_eq!((fits.truncated, fits.bytes.len(), fits.from), (false, SLOT, None));
        assert!(!SendBatch::new().push(&[0; SLOT + 1], None));
    }

    #[test]
    fn a_full_socket_keeps_the_rest_of_the_batch() {
        let (a, b) = UnixDatagram::pair().unwrap();
        let mut out = SendBatch::new();
        let mut sent = 0;
        let blocked = loop {
            while !out.is_full() {
                assert!(out.push(&[1; 100], None));
            }
            let flushed = out.flush(a.as_fd());
            sent += flushed.sent;
            if flushed.blocked {
                break flushed;
            }
        };
        assert_eq!(blocked.failed, 0);
        let mut batch = RecvBatch::new();
        let mut received = 0;
        while received < sent {
            received += batch.receive(b.as_fd()).unwrap();
        }
        assert!(!out.is_empty());
        let rest = out.flush(a.as_fd());
        assert!(rest.sent > 0);
    }

    #[test]
    fn a_refused_datagram_is_skipped() {
        let (a, b) = UnixDatagram::pair().unwrap();
        drop(b);
        let mut out = SendBatch::new();
        assert!(out.push(b"x", None) && out.push(b"y", None));
        assert_eq!(out.flush(a.as_fd()), Flushed { sent: 0, failed: 2, blocked: false });
        assert!(out.is_empty());
    }
}
