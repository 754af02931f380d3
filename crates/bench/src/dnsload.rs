//! Questions by the thousand, and an upstream that answers each at once.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bed::{Helper, stopped};
use crate::dhcpload::percentile;
use crate::sys::{Batch, force_buffers};

/// A question without an answer after this time is lost.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Which names are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Names {
    /// These many, in turn: after one turn, all answers are known.
    Repeated(u32),
    /// Each name once, ever.
    Unique,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) done: u64,
    /// Not answered in time, or answered with an error.
    pub(crate) lost: u64,
    elapsed: Duration,
    latency: Vec<f32>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// A percentile in microseconds.
    pub(crate) fn latency(&self, share: f64) -> Option<f64> {
        percentile(&self.latency, share)
    }
}

struct Asker {
    socket: UdpSocket,
    /// When the question with this id was asked.
    asked: Vec<Option<Instant>>,
    id: u16,
    open: usize,
}

/// Keeps `window` questions in flight on each of `sockets` sockets for `time`. Runs in the caller's namespace.
pub(crate) fn run(
    server: Ipv4Addr,
    (sockets, window): (usize, usize),
    names: Names,
    time: Duration,
) -> Result<Outcome> {
    let mut askers = Vec::new();
    for _ in 0..sockets {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect((server, 53))?;
        socket.set_nonblocking(true)?;
        force_buffers(socket.as_fd(), 8 << 20)?;
        askers.push(Asker { socket, asked: vec![None; 1 << 16], id: 0, open: 0 });
    }
    let (mut incoming, mut outgoing) = (Batch::new(false), Batch::new(false));
    let mut outcome = Outcome::default();
    let mut turn = 0;
    let began = Instant::now();
    let mut scanned = began;
    while began.elapsed() < time && !stopped() {
        for asker in &mut askers {
            let now = Instant::now();
            while asker.open < window {
                while asker.asked[usize::from(asker.id)].is_some() {
                    asker.id = asker.id.wrapping_add(1);
                }
                let number = match names {
                    Names::Repeated(count) => {
                        turn = (turn + 1) % u64::from(count);
                        turn
                    }
                    Names::Unique => unique(),
                };
                let id = asker.id;
                if outgoing.is_full() {
                    outgoing.send(asker.socket.as_fd())?;
                }
                outgoing.push(|slot| question(slot, id, number, names));
                asker.asked[usize::from(id)] = Some(now);
                asker.id = id.wrapping_add(1);
                asker.open += 1;
            }
            outgoing.send(asker.socket.as_fd())?;
        }
        let ready: Vec<bool> = {
            let mut waiting: Vec<PollFd<'_>> =
                askers.iter().map(|asker| PollFd::new(&asker.socket, PollFlags::IN)).collect();
            match poll(&mut waiting, Some(&Timespec { tv_sec: 0, tv_nsec: 20_000_000 })) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            waiting.iter().map(|one| !one.revents().is_empty()).collect()
        };
        for asker in askers.iter_mut().zip(ready).filter_map(|(asker, ready)| ready.then_some(asker)) {
            let count = incoming.receive(asker.socket.as_fd(), false)?;
            let now = Instant::now();
            for at in 0..count {
                let &[a, b, _, flags, ..] = incoming.bytes(at) else { continue };
                let Some(asked) = asker.asked[usize::from(u16::from_be_bytes([a, b]))].take() else {
                    continue;
                };
                asker.open -= 1;
                if flags & 0x0f == 0 {
                    outcome.done += 1;
                    outcome.latency.push(((now - asked).as_secs_f64() * 1e6) as f32);
                } else {
                    outcome.lost += 1;
                }
            }
        }
        if scanned.elapsed() > TIMEOUT / 4 {
            scanned = Instant::now();
            for asker in &mut askers {
                for asked in &mut asker.asked {
                    if asked.is_some_and(|at| scanned - at > TIMEOUT) {
                        *asked = None;
                        asker.open -= 1;
                        outcome.lost += 1;
                    }
                }
            }
        }
    }
    outcome.elapsed = began.elapsed();
    outcome.latency.sort_by(f32::total_cmp);
    Ok(outcome)
}

/// A number never given before in this process.
fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Writes a question for the address of `NUMBER.hit.example.` or `NUMBER.miss.example.`; returns its length.
fn question(slot: &mut [u8], id: u16, number: u64, names: Names) -> usize {
    slot[..2].copy_from_slice(&id.to_be_bytes());
    slot[2..12].copy_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    let mut rest = number;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let mut at = 12;
    let zone: &[u8] = match names {
        Names::Repeated(_) => b"hit",
        Names::Unique => b"miss",
    };
    for label in [&digits[first..], zone, b"example"] {
        slot[at] = label.len() as u8;
        slot[at + 1..at + 1 + label.len()].copy_from_slice(label);
        at += 1 + label.len();
    }
    slot[at..at + 5].copy_from_slice(&[0, 0, 1, 0, 1]);
    at + 5
}

/// An upstream on `socket`: every question for an address has the answer 192.0.2.1, for five minutes; every other
/// question has none. It runs on `core`.
pub(crate) fn upstream(socket: UdpSocket, core: usize) -> Result<Helper<()>> {
    socket.set_read_timeout(Some(Helper::<()>::LOOK))?;
    force_buffers(socket.as_fd(), 8 << 20)?;
    Ok(Helper::start(core, move |end: &AtomicBool| {
        let mut batch = Batch::new(true);
        while !end.load(Ordering::Relaxed) {
            let count = batch.receive(socket.as_fd(), true)?;
            for at in 0..count {
                let length = batch.bytes(at).len();
                let length = answer(batch.slot(at), length);
                batch.answer(at, length);
            }
            batch.send(socket.as_fd())?;
        }
        Ok(())
    }))
}

/// Turns the question in the first `length` bytes into its answer; returns the new length. What has no question
/// gets an error.
fn answer(message: &mut [u8], length: usize) -> usize {
    const HEADER: usize = 12;
    let mut at = HEADER;
    while at < length && message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    let end = at + 5;
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    if length < HEADER || end > length {
        message[3] |= 1;
        return length.max(HEADER);
    }
    // Whatever came after the question (EDNS0) is not repeated.
    message[4..HEADER].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    if message[at + 1..at + 3] != [0, 1] {
        return end;
    }
    message[7] = 1;
    message[end..end + 16].copy_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 192, 0, 2, 1]);
    end + 16
}

/// The first answer of a server that has just been started; `None` when there is none within `limit`.
pub(crate) fn first_answer(server: Ipv4Addr, limit: Duration) -> Result<Option<()>> {
    let began = Instant::now();
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(SocketAddr::from((server, 53)))?;
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    let (mut slot, mut reply) = ([0; 512], [0; 512]);
    while began.elapsed() < limit && !stopped() {
        let length = question(&mut slot, 1, 0, Names::Repeated(1));
        // Refused until the server is there.
        if socket.send(&slot[..length]).is_ok()
            && let Ok(length) = socket.recv(&mut reply)
            && length > 12
            && reply[3] & 0x0f == 0
        {
            return Ok(Some(()));
        }
        // A refusal comes back at once.
        std::thread::yield_now();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_answers_what_the_generator_asks() {
        let mut slot = [0; 512];
        let length = question(&mut slot, 0x1234, 907, Names::Unique);
        assert_eq!(&slot[12..31], b"\x03907\x04miss\x07example\0\0");
        let answered = answer(&mut slot, length);
        assert_eq!(answered, length + 16);
        assert_eq!(slot[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(slot[answered - 4..answered], [192, 0, 2, 1]);
    }

    #[test]
    fn other_types_have_no_answer_and_a_cut_question_has_an_error() {
        let mut slot = [0; 512];
        let length = question(&mut slot, 1, 5, Names::Repeated(10));
        slot[length - 3] = 28;
        assert_eq!(answer(&mut slot, length), length);
        assert_eq!(slot[3] & 0x0f, 0);
        let length = question(&mut slot, 1, 5, Names::Repeated(10));
        assert_eq!(answer(&mut slot, length - 4), length - 4);
        assert_eq!(slot[3] & 0x0f, 1);
    }

    #[test]
    fn names_are_not_repeated() {
        assert_ne!(unique(), unique());
    }
}
