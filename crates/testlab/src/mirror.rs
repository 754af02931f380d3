//! A device that answers everybody with the address it is asked from, and those who ask.
#![expect(clippy::unwrap_used, reason = "for tests only: a failed unwrap is a failed test")]

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use crate::{ns::Namespace, wait, wired::SETTLE};

/// The port of the device.
pub const INSIDE: u16 = 8000;
/// How long an answer may take before the way counts as closed. On a cable it takes microseconds.
const CLOSED: Duration = Duration::from_millis(400);

/// Answers over TCP and UDP, IPv4 and IPv6, on [`INSIDE`] with the address that asked, as long as `work` takes.
///
/// # Panics
/// If the port cannot be had, or `work` does.
pub fn serving<T>(place: &Namespace, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let stream = place.enter(|| TcpListener::bind(("::", INSIDE)).unwrap()).unwrap();
    let datagram = place.enter(|| UdpSocket::bind(("::", INSIDE)).unwrap()).unwrap();
    stream.set_nonblocking(true).unwrap();
    datagram.set_nonblocking(true).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 16];
            while !over.load(Ordering::SeqCst) {
                if let Ok((mut asking, from)) = stream.accept() {
                    let _ = asking.write_all(from.ip().to_canonical().to_string().as_bytes());
                }
                if let Ok((_, from)) = datagram.recv_from(&mut buffer) {
                    let _ = datagram.send_to(from.ip().to_canonical().to_string().as_bytes(), from);
                }
                std::thread::yield_now();
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::SeqCst);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Whom the server sees when `from` connects there.
///
/// # Panics
/// If there is no such place.
pub fn tcp(from: &Namespace, to: impl Into<IpAddr>, port: u16) -> Option<String> {
    let to = SocketAddr::new(to.into(), port);
    let mut stream = from.enter(|| TcpStream::connect_timeout(&to, CLOSED)).unwrap().ok()?;
    stream.set_read_timeout(Some(CLOSED)).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said)
}

/// The same over UDP.
///
/// # Panics
/// As [`tcp`].
pub fn udp(from: &Namespace, to: impl Into<IpAddr>, port: u16) -> Option<String> {
    let to = SocketAddr::new(to.into(), port);
    let any = if to.is_ipv4() { "0.0.0.0" } else { "::" };
    let socket = from.enter(|| UdpSocket::bind((any, 0)).unwrap()).unwrap();
    socket.set_read_timeout(Some(CLOSED)).unwrap();
    socket.send_to(b"?", to).ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(buffer.get(..length)?).into_owned())
}

/// Where an answer is expected a busy machine gets time for it.
///
/// # Panics
/// If none comes.
pub fn reached(what: &str, ask: impl Fn() -> Option<String>) -> String {
    wait::until(what, SETTLE, || Ok(ask())).unwrap()
}
