//! Packet sockets and the offloads of an interface.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};

use super::{check, force_buffers, option};

/// ARP, and UDP to port 68, which is replaced by the wanted one, as classic BPF.
const FILTER: [(u16, u8, u8, u32); 9] = [
    (0x28, 0, 0, 12),
    (0x15, 5, 0, 0x0806),
    (0x15, 0, 5, 0x0800),
    (0x30, 0, 0, 23),
    (0x15, 0, 3, 17),
    (0x28, 0, 0, 36),
    (0x15, 0, 1, 68),
    (0x06, 0, 0, 2_048),
    (0x06, 0, 0, 0),
];

/// A packet socket on the interface with this index: ARP and UDP to `port` only, promiscuous, with large buffers,
/// bypassing the queueing discipline. It does not block.
pub(crate) fn packet_socket(index: u32, port: u16) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointers.
    let fd = unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0)
    };
    check(fd)?;
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut filter = FILTER.map(|(code, jt, jf, k)| libc::sock_filter {
        code,
        jt,
        jf,
        k: if k == 68 { port.into() } else { k },
    });
    let length = u16::try_from(filter.len()).unwrap_or(0);
    let program = libc::sock_fprog { len: length, filter: filter.as_mut_ptr() };
    option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
    force_buffers(fd.as_fd(), 64 << 20)?;
    option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1_i32)?;
    let interface = i32::try_from(index).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
        sll_protocol: u16::try_from(libc::ETH_P_ALL).unwrap_or(0).to_be(),
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let size = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the address is a whole sockaddr_ll that outlives the call.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size) })?;
    let membership = libc::packet_mreq {
        mr_ifindex: interface,
        mr_type: u16::try_from(libc::PACKET_MR_PROMISC).unwrap_or(0),
        mr_alen: 0,
        mr_address: [0; 8],
    };
    option(fd.as_fd(), libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
    Ok(fd)
}

/// An offload of an interface, by its command in the kernel's ethtool interface.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Offload {
    /// The host hands the interface segments larger than its MTU.
    TcpSegmentation = 0x1f,
    /// The same, done in software just before the driver.
    GenericSegmentation = 0x24,
    /// Received packets are put together before the stack sees them; on veth it also turns NAPI on.
    GenericReceive = 0x2c,
}

/// Switches `offload` of `interface`, in the caller's network namespace.
pub(crate) fn set_offload(interface: &str, offload: Offload, on: bool) -> io::Result<()> {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0))?;
    let mut value = Value { command: offload as u32, data: on.into() };
    // SAFETY: ifreq is plain data; all zeroes is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().take(15).zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request is a whole ifreq whose data points to the value that the command takes; both outlive
    // the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) })
}
