//! Datagrams moved many at a time.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// Datagrams moved by one system call at most.
pub(crate) const BATCH: usize = 64;
/// Bytes of one slot; longer datagrams arrive truncated.
const SLOT: usize = 2_112;

const REFUSED: io::ErrorKind = io::ErrorKind::ConnectionRefused;

/// Buffers for [`BATCH`] datagrams, to receive into or to send from.
pub(crate) struct Batch {
    slots: Vec<u8>,
    /// Only kept because the headers point into it.
    _names: Vec<libc::sockaddr_in>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
}

impl Batch {
    /// Empty buffers. With `named`, datagrams keep their sender's address and are sent back to it.
    pub(crate) fn new(named: bool) -> Self {
        let mut slots = vec![0_u8; BATCH * SLOT];
        // SAFETY: sockaddr_in is plain data; all zeroes is a value of it.
        let mut names = vec![unsafe { std::mem::zeroed::<libc::sockaddr_in>() }; BATCH];
        let mut iovecs: Vec<libc::iovec> = slots
            .chunks_exact_mut(SLOT)
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: 0 })
            .collect();
        let headers = names
            .iter_mut()
            .zip(iovecs.iter_mut())
            .map(|(name, iovec)| {
                // SAFETY: mmsghdr is plain data; all zeroes is a value of it.
                let mut header = unsafe { std::mem::zeroed::<libc::mmsghdr>() };
                if named {
                    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                }
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self { slots, _names: names, iovecs, headers, filled: 0 }
    }

    /// Receives what is there, at most [`BATCH`] datagrams. Zero when nothing is; with `wait` it blocks for the
    /// first one as long as the socket's own timeout allows.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>, wait: bool) -> io::Result<usize> {
        self.filled = 0;
        let name_len = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(0);
        for (header, iovec) in self.headers.iter_mut().zip(&mut self.iovecs) {
            iovec.iov_len = SLOT;
            header.msg_hdr.msg_namelen = if header.msg_hdr.msg_name.is_null() { 0 } else { name_len };
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        let most = u32::try_from(BATCH).unwrap_or(0);
        // SAFETY: every header points to a name and an iovec, every iovec to a slot, in vectors that live as long
        // as `self`, are never resized and are not borrowed while the kernel writes (`&mut self`).
        let count = unsafe {
            libc::recvmmsg(fd.as_raw_fd(), self.headers.as_mut_ptr(), most, flags as _, ptr::null_mut())
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            // A refused datagram comes back as an ICMP error on the next call: the server is not there yet.
            let nothing = matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::TimedOut | REFUSED
            );
            return if nothing { Ok(0) } else { Err(error) };
        }
        self.filled = usize::try_from(count).unwrap_or(0).min(BATCH);
        Ok(self.filled)
    }

    /// The datagram at `index` of the last [`receive`](Self::receive).
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        let length = self.headers.get(index).map_or(0, |header| header.msg_len as usize);
        self.slots.get(index * SLOT..index * SLOT + length.min(SLOT)).unwrap_or(&[])
    }

    /// The whole buffer of the datagram at `index`, to answer in place; [`answer`](Self::answer) says how long
    /// the answer is.
    pub(crate) fn slot(&mut self, index: usize) -> &mut [u8] {
        self.slots.get_mut(index * SLOT..(index + 1) * SLOT).unwrap_or_default()
    }

    /// Sets what [`send`](Self::send) will send from the slot at `index`.
    pub(crate) fn answer(&mut self, index: usize, length: usize) {
        if let Some(iovec) = self.iovecs.get_mut(index) {
            iovec.iov_len = length.min(SLOT);
        }
    }

    /// Appends a datagram that `write` fills; it returns the length. The batch must not be full.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        debug_assert!(self.filled < BATCH, "send before pushing more");
        let index = self.filled;
        let length = write(self.slot(index));
        self.answer(index, length);
        self.filled += 1;
    }

    /// Whether [`push`](Self::push) has no room.
    pub(crate) fn is_full(&self) -> bool {
        self.filled == BATCH
    }

    /// Fills every slot with `payload` for [`send_again`](Self::send_again).
    pub(crate) fn fill(&mut self, payload: &[u8]) {
        self.filled = 0;
        for _ in 0..BATCH {
            self.push(|slot| {
                slot[..payload.len()].copy_from_slice(payload);
                payload.len()
            });
        }
    }

    /// Sends all that was pushed or received, and forgets it.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut from = 0;
        let mut patience = 1_000;
        while from < self.filled {
            match self.send_from(fd, from) {
                Ok(count) => from += count,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | REFUSED) => {}
                Err(error) if is_congestion(&error) => {
                    if patience == 0 {
                        // Not sent is lost, as on any wire; the loss is what the generator counts.
                        break;
                    }
                    patience -= 1;
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        Ok(())
    }

    /// Sends all slots once more; returns how many the kernel took.
    pub(crate) fn send_again(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        match self.send_from(fd, 0) {
            Err(error) if is_congestion(&error) || error.kind() == REFUSED => Ok(0),
            result => result,
        }
    }

    fn send_from(&mut self, fd: BorrowedFd<'_>, from: usize) -> io::Result<usize> {
        let waiting = &mut self.headers[from..self.filled];
        let count = u32::try_from(waiting.len()).unwrap_or(0);
        // SAFETY: as in `receive`; the kernel only reads what the headers point to.
        let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), waiting.as_mut_ptr(), count, 0) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(sent).unwrap_or(0)) }
    }
}

fn is_congestion(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}
