//! Two XDP programs written out by hand: a source of small UDP frames that costs far less than the router it
//! feeds, and a sink that drops at once.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use super::thread_time;

/// One eBPF instruction as the kernel takes it.
type Instruction = [u8; 8];

const PROG_LOAD: i32 = 5;
const TEST_RUN: i32 = 10;
const LINK_CREATE: i32 = 28;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// Attach in the driver, so that nothing of the stack runs before.
const DRIVER_MODE: u32 = 1 << 2;
/// What the program returns really goes out.
const LIVE_FRAMES: u32 = 1 << 1;

/// Bytes of a frame, without checksum.
const FRAME: usize = 64;

/// A source of UDP frames that leave through one interface.
pub(crate) struct Flood {
    program: OwnedFd,
}

/// Addresses of the frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) to_mac: [u8; 6],
    pub(crate) from_mac: [u8; 6],
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
}

impl Flood {
    /// Frames of `flows` different source ports out of the interface with index `interface`.
    pub(crate) fn new(interface: u32, addresses: Addresses, flows: u16) -> io::Result<Self> {
        Ok(Self { program: load(&source(interface, &frame(addresses), flows))? })
    }

    /// Sends `count` frames, in the network namespace and on the core of the caller. Returns the CPU time that
    /// took, the receiver's work on this core included.
    pub(crate) fn send(&self, count: u32) -> io::Result<Duration> {
        let data = [0_u8; FRAME];
        let mut attributes = [0_u8; 80];
        put(&mut attributes, 0, &self.program.as_raw_fd().to_ne_bytes());
        put(&mut attributes, 8, &u32::try_from(FRAME).unwrap_or(0).to_ne_bytes());
        put(&mut attributes, 16, &(data.as_ptr().expose_provenance() as u64).to_ne_bytes());
        put(&mut attributes, 32, &count.to_ne_bytes());
        put(&mut attributes, 64, &LIVE_FRAMES.to_ne_bytes());
        let before = thread_time();
        bpf(TEST_RUN, &mut attributes)?;
        Ok(thread_time() - before)
    }
}

/// Every frame that arrives at an interface is dropped by its driver while this lives.
pub(crate) struct Drop {
    _link: OwnedFd,
}

impl Drop {
    /// Attaches to the interface with index `interface` in the caller's network namespace.
    pub(crate) fn attach(interface: u32) -> io::Result<Self> {
        // Return XDP_DROP.
        let program = load(&[instruction(0xb7, 0, 0, 0, 1), instruction(0x95, 0, 0, 0, 0)])?;
        let mut attributes = [0_u8; 64];
        put(&mut attributes, 0, &program.as_raw_fd().to_ne_bytes());
        put(&mut attributes, 4, &interface.to_ne_bytes());
        put(&mut attributes, 8, &ATTACH_XDP.to_ne_bytes());
        put(&mut attributes, 12, &DRIVER_MODE.to_ne_bytes());
        let link = bpf(LINK_CREATE, &mut attributes)?;
        Ok(Self { _link: own(link) })
    }
}

/// Ethernet, IPv4 and UDP headers and zeroes. The UDP checksum is absent (RFC 768), so that the port can be
/// changed freely.
fn frame(Addresses { to_mac, from_mac, from, to }: Addresses) -> [u8; FRAME] {
    let mut frame = [0; FRAME];
    put(&mut frame, 0, &to_mac);
    put(&mut frame, 6, &from_mac);
    let payload = FRAME - crate::frame::UDP_PAYLOAD;
    crate::frame::ip_udp(&mut frame, (from, 10_000), (to, 9), payload);
    frame
}

/// Writes the whole frame, for the router has changed the last one in this buffer, gives it one of `flows` source
/// ports, and sends it out.
fn source(interface: u32, frame: &[u8; FRAME], flows: u16) -> Vec<Instruction> {
    let word = |bytes: &[u8]| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut code = vec![
        instruction(0x61, 7, 1, 0, 0), // r7 = data
        instruction(0x61, 3, 1, 4, 0), // r3 = data_end
        instruction(0xbf, 4, 7, 0, 0), // r4 = r7
        instruction(0x07, 4, 0, 0, i32::try_from(FRAME).unwrap_or(0)),
        instruction(0x2d, 4, 3, 0, 0), // if r4 > r3 goto the end; the distance is set below
    ];
    let check = code.len() - 1;
    // The headers only; what follows them never changes.
    for at in (0..crate::frame::UDP_PAYLOAD - 2).step_by(4) {
        code.push(instruction(0x62, 7, 0, i16::try_from(at).unwrap_or(0), word(&frame[at..])));
    }
    code.push(instruction(0x6a, 7, 0, 40, 0)); // the checksum's two bytes
    code.push(instruction(0x85, 0, 0, 0, 7)); // r0 = a random number
    code.push(instruction(0x94, 0, 0, 0, i32::from(flows))); // w0 %= flows
    code.push(instruction(0x04, 0, 0, 0, 10_000)); // w0 += 10,000
    code.push(instruction(0xdc, 0, 0, 0, 16)); // in network order
    code.push(instruction(0x6b, 7, 0, 34, 0)); // the source port
    let end = i16::try_from(code.len() - check - 1).unwrap_or(0);
    code[check] = instruction(0x2d, 4, 3, end, 0);
    code.push(instruction(0xb7, 1, 0, 0, i32::try_from(interface).unwrap_or(0)));
    code.push(instruction(0xb7, 2, 0, 0, 0));
    code.push(instruction(0x85, 0, 0, 0, 23)); // redirect to the interface
    code.push(instruction(0x95, 0, 0, 0, 0));
    code
}

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    let (offset, immediate) = (offset.to_ne_bytes(), immediate.to_ne_bytes());
    let registers =
        if cfg!(target_endian = "little") { source << 4 | destination } else { destination << 4 | source };
    [code, registers, offset[0], offset[1], immediate[0], immediate[1], immediate[2], immediate[3]]
}

fn load(code: &[Instruction]) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; 1 << 16];
    let mut attributes = [0_u8; 72];
    put(&mut attributes, 0, &PROG_TYPE_XDP.to_ne_bytes());
    put(&mut attributes, 4, &u32::try_from(code.len()).unwrap_or(0).to_ne_bytes());
    put(&mut attributes, 8, &(code.as_ptr().expose_provenance() as u64).to_ne_bytes());
    put(&mut attributes, 16, &(c"GPL".as_ptr().expose_provenance() as u64).to_ne_bytes());
    put(&mut attributes, 24, &1_u32.to_ne_bytes());
    put(&mut attributes, 28, &u32::try_from(log.len()).unwrap_or(0).to_ne_bytes());
    put(&mut attributes, 32, &(log.as_mut_ptr().expose_provenance() as u64).to_ne_bytes());
    bpf(PROG_LOAD, &mut attributes).map(own).map_err(|error| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        io::Error::other(format!("{error}: {}", String::from_utf8_lossy(&log[..end])))
    })
}

/// `bpf(2)`. The attributes hold addresses of memory that the caller keeps alive.
fn bpf(command: i32, attributes: &mut [u8]) -> io::Result<RawFd> {
    // SAFETY: the attributes are as long as said and laid out as the command wants them; addresses in them point
    // to buffers of the caller that outlive the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_mut_ptr(), attributes.len()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        RawFd::try_from(result).map_err(io::Error::other)
    }
}

fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: bpf(2) has just made this descriptor and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_ends_where_its_check_jumps_to() {
        let code = source(3, &[0; FRAME], 1);
        let jump = i16::from_ne_bytes([code[4][2], code[4][3]]);
        let target = 5 + usize::try_from(jump).expect("the jump goes forward");
        assert_eq!(code[target][0], 0xb7);
        assert_eq!(code.len(), target + 4);
    }
}
