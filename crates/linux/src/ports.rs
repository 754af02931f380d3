//! Who holds a port on this machine: what `/proc` tells, so that a conflict can be named.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use hn_types::settings::Protocol;

/// Ports that are told at most; ports that are free beyond that many are not worth guarding.
const SERVED: usize = 8_192;

/// Which of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    /// Listeners only.
    Tcp,
}

/// One socket that has a local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bound {
    address: SocketAddr,
    inode: u64,
}

/// Whether a socket is bound so that it gets what is sent to `address`.
pub(crate) fn is_bound(transport: Transport, address: SocketAddr) -> bool {
    table(transport).iter().any(|bound| {
        bound.address.port() == address.port()
            && (bound.address.ip() == address.ip() || bound.address.ip().is_unspecified())
    })
}

/// Every socket that has this local port, with its number.
pub(crate) fn bound(transport: Transport, port: u16) -> Vec<(SocketAddr, u64)> {
    let all = table(transport).into_iter();
    all.filter(|bound| bound.address.port() == port).map(|bound| (bound.address, bound.inode)).collect()
}

/// Where this host serves others than devices of the segment: ports of sockets bound to every address or to one that
/// is neither a loopback address nor `private`.
pub(crate) fn served(private: IpAddr) -> Vec<(Protocol, u16)> {
    let mut found = BTreeSet::new();
    for (transport, protocol) in [(Transport::Tcp, Protocol::Tcp), (Transport::Udp, Protocol::Udp)] {
        let outside = |bound: &Bound| {
            let address = bound.address.ip();
            bound.address.port() != 0 && !address.is_loopback() && address != private
        };
        let bound = table(transport).into_iter().filter(outside);
        found.extend(bound.map(|bound| (protocol, bound.address.port())));
    }
    found.into_iter().take(SERVED).collect()
}

/// The processes that hold a socket which stands in the way of `address`, as `dnsmasq (pid 4711)`; at most three of
/// them. Empty when nobody is found: the holder may live in another process namespace.
pub(crate) fn holders(transport: Transport, address: SocketAddr) -> String {
    let inodes: Vec<u64> = table(transport)
        .iter()
        .filter(|bound| bound.address.port() == address.port())
        .filter(|bound| {
            address.ip().is_unspecified()
                || bound.address.ip().is_unspecified()
                || bound.address.ip() == address.ip()
        })
        .map(|bound| bound.inode)
        .collect();
    let mut names: Vec<String> = Vec::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // Ourselves: while a worker is replaced, the old sockets are still being closed.
        if pid != std::process::id() && holds(&process.path(), &inodes) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let name: String = name.trim().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            names.push(format!("{name} (pid {pid})"));
        }
        if names.len() == 3 {
            break;
        }
    }
    names.join(", ")
}

fn holds(process: &Path, inodes: &[u64]) -> bool {
    let descriptors = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok()).any(|target| {
        let inode =
            target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inode.is_some_and(|inode| inodes.contains(&inode))
    })
}

/// Both address families, in the network namespace of this thread.
fn table(transport: Transport) -> Vec<Bound> {
    let (four, six) = match transport {
        Transport::Udp => ("udp", "udp6"),
        Transport::Tcp => ("tcp", "tcp6"),
    };
    let read = |name| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
    let mut bound = parse(&read(four), transport);
    bound.extend(parse(&read(six), transport));
    bound
}

/// The lines of `/proc/net/udp` and its relatives.
fn parse(text: &str, transport: Transport) -> Vec<Bound> {
    const LISTEN: &str = "0A";
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let local = words.nth(1)?;
            let state = words.nth(1)?;
            let inode = words.nth(5)?.parse().ok()?;
            let relevant = match transport {
                Transport::Udp => true,
                Transport::Tcp => state == LISTEN,
            };
            relevant.then(|| Some(Bound { address: parse_address(local)?, inode }))?
        })
        .collect()
}

/// `0100007F:0035`: 32-bit words in the order of this machine, then the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(words.iter().flatten()) {
                *to = *from;
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sockets_of_this_machine_are_found() {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("binds").local_addr();
        let _keep = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let address = _keep.local_addr().expect("has one");
        assert!(is_bound(Transport::Udp, address));
        assert!(!is_bound(Transport::Udp, udp.expect("had one")), "it is closed");
        let listener = TcpListener::bind("[::]:0").expect("binds");
        let port = listener.local_addr().expect("has one").port();
        assert!(is_bound(Transport::Tcp, SocketAddr::from(([127, 0, 0, 1], port))));
        assert!(served([192, 168, 137, 1].into()).contains(&(Protocol::Tcp, port)), "on every address");
        assert!(!served([192, 168, 137, 1].into()).contains(&(Protocol::Udp, address.port())), "loopback");
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let script = "import socket,sys,time\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
                      s.bind(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\ntime.sleep(1000)";
        let child = std::process::Command::new("python3")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn();
        // Any other program would do; without one there is nothing to find.
        let Ok(mut child) = child else { return };
        let mut line = String::new();
        let output = child.stdout.take().expect("is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("reads");
        let port = line.trim().parse().expect("a port");
        let names = holders(Transport::Udp, SocketAddr::from(([127, 0, 0, 1], port)));
        child.kill().expect("kills");
        child.wait().expect("waits");
        assert!(names.contains("python") && names.contains(&child.id().to_string()), "{names}");
    }

    #[test]
    fn addresses_are_read_in_the_order_of_the_machine() {
        let loopback = u32::from_ne_bytes([127, 0, 0, 53]);
        assert_eq!(parse_address(&format!("{loopback:08X}:0035")), "127.0.0.53:53".parse().ok());
        assert_eq!(parse_address(&format!("{:032X}:0043", 0)), "[::]:67".parse().ok());
        assert_eq!(parse_address("0:0"), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,100}\n\\PC{0,100}", address in "\\PC{0,40}:[0-9A-F]{0,5}") {
            let _ = parse(&text, Transport::Tcp);
            let _ = parse_address(&address);
        }
    }
}
