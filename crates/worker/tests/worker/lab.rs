//! The control process's side of a worker, and clients for it. Frames are made and read by `dhcproto`, DNS
//! messages by `hickory-proto`, neither of which the worker's loop uses.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::IoSlice,
    mem::MaybeUninit,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use dhcproto::{
    Decodable, Decoder, Encodable, Encoder,
    v4::{DhcpOption, Message, MessageType},
};
use hn_ports::services::{FromWorker, MESSAGE_LIMIT, ToWorker};
use hn_types::{
    MacAddr,
    observed::ServiceEvent,
    plan::{DhcpPlan, DnsPlan, ServiceSegment},
};
use hn_worker::{Options, WorkerError};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sockopt::{Timeout, set_socket_timeout},
};

/// Nothing takes this long unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// The address of the served host: clients of the name server come from loopback too.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Where resolvers are; the forwarder never asks its own address.
pub(crate) const PUBLIC: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const HOST_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

enum Life {
    Thread(Option<JoinHandle<Result<(), WorkerError>>>),
    Process(Child),
}

/// A worker and everything around it.
pub(crate) struct Lab {
    life: Life,
    control: Option<OwnedFd>,
    seen: VecDeque<FromWorker>,
    /// The other end of what the worker takes for a packet socket.
    pub(crate) frames: Option<UnixDatagram>,
    pub(crate) journal: PathBuf,
}

fn channel() -> (OwnedFd, OwnedFd) {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .unwrap();
    set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE)).unwrap();
    (ours, theirs)
}

/// The program of `examples/child.rs`, which cargo builds beside the tests.
pub(crate) fn child() -> Command {
    let tests = std::env::current_exe().unwrap();
    let mut command = Command::new(tests.parent().unwrap().parent().unwrap().join("examples/child"));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn journal_file(path: &Path) -> File {
    OpenOptions::new().read(true).append(true).create(true).open(path).unwrap()
}

impl Lab {
    /// A worker in a thread, with all its privilege.
    pub(crate) fn thread(journal: &Path) -> Self {
        let (control, theirs) = channel();
        let run = move || hn_worker::run(Options { control: theirs, identity: None });
        Self::over(Life::Thread(Some(std::thread::spawn(run))), control, journal)
    }

    /// A worker in a process, locked down.
    pub(crate) fn process(journal: &Path) -> Self {
        Self::spawn(child().arg("worker"), journal)
    }

    /// The same, with files that may grow to `room` bytes.
    pub(crate) fn process_with_room(journal: &Path, room: u64) -> Self {
        Self::spawn(child().args(["worker", &room.to_string()]), journal)
    }

    fn spawn(command: &mut Command, journal: &Path) -> Self {
        let (control, theirs) = channel();
        let process = command.stdin(theirs).spawn().expect("cargo has built examples/child.rs");
        Self::over(Life::Process(process), control, journal)
    }

    fn over(life: Life, control: OwnedFd, journal: &Path) -> Self {
        let lab = Self {
            life,
            control: Some(control),
            seen: VecDeque::new(),
            frames: None,
            journal: journal.to_owned(),
        };
        assert_eq!(lab.receive(), FromWorker::Ready);
        lab
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.life {
            Life::Process(child) => child.id(),
            Life::Thread(_) => panic!("a thread has no process of its own"),
        }
    }

    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_ref().unwrap().as_fd()
    }

    pub(crate) fn send(&self, message: &ToWorker, descriptors: &[BorrowedFd<'_>]) {
        let bytes = postcard::to_allocvec(message).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        rustix::net::sendmsg(self.control(), &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)
            .unwrap();
    }

    fn receive(&self) -> FromWorker {
        let mut buffer = [0; MESSAGE_LIMIT];
        let (_, length) = rustix::net::recv(self.control(), &mut buffer, RecvFlags::empty()).unwrap();
        assert_ne!(length, 0, "the worker has ended");
        postcard::from_bytes(&buffer[..length]).unwrap()
    }

    /// Waits for a message that `choose` wants; what comes before is kept for later calls.
    pub(crate) fn wait<T>(&mut self, mut choose: impl FnMut(&FromWorker) -> Option<T>) -> T {
        for index in 0..self.seen.len() {
            if let Some(chosen) = choose(&self.seen[index]) {
                self.seen.remove(index);
                return chosen;
            }
        }
        loop {
            let message = self.receive();
            match choose(&message) {
                Some(chosen) => return chosen,
                None => self.seen.push_back(message),
            }
        }
    }

    pub(crate) fn wait_for(&mut self, wanted: &FromWorker) {
        self.wait(|message| (message == wanted).then_some(()));
    }

    pub(crate) fn wait_for_event<T>(&mut self, mut choose: impl FnMut(&ServiceEvent) -> Option<T>) -> T {
        self.wait(|message| match message {
            FromWorker::Event(event) => choose(event),
            _ => None,
        })
    }

    /// Serves `segment` and returns how many leases were taken up.
    pub(crate) fn serve(&mut self, generation: u64, segment: ServiceSegment) -> u32 {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        self.frames = Some(ours);
        self.serve_on(generation, segment, theirs.as_fd())
    }

    /// The same on a socket of the caller's choice.
    pub(crate) fn serve_on(
        &mut self,
        generation: u64,
        segment: ServiceSegment,
        socket: BorrowedFd<'_>,
    ) -> u32 {
        let journal = journal_file(&self.journal);
        let serve = ToWorker::Serve { generation, segment, index: 1, mac: HOST_MAC, probe: false };
        self.send(&serve, &[socket, journal.as_fd()]);
        self.wait(|message| match message {
            FromWorker::Serving { generation: of, leases } if *of == generation => Some(*leases),
            FromWorker::Failed { cause, .. } => panic!("{cause}"),
            _ => None,
        })
    }

    /// Serves DNS and returns where.
    pub(crate) fn serve_dns(&mut self, generation: u64) -> SocketAddr {
        let (queries, listener) = dns_sockets(HOST);
        let address = queries.local_addr().unwrap();
        self.send(&ToWorker::ServeDns { generation }, &[queries.as_fd(), listener.as_fd()]);
        self.wait_for(&FromWorker::ServingDns { generation });
        address
    }

    /// Hands `frame` in.
    pub(crate) fn transmit(&self, frame: &[u8]) {
        self.frames.as_ref().unwrap().send(frame).unwrap();
    }

    /// The next reply.
    pub(crate) fn reply(&self) -> Message {
        self.try_reply().expect("a reply comes")
    }

    /// The next reply, unless none comes in time.
    pub(crate) fn try_reply(&self) -> Option<Message> {
        let mut buffer = [0; 2_048];
        let length = self.frames.as_ref().unwrap().recv(&mut buffer).ok()?;
        Some(decode(&buffer[..length]))
    }

    /// DISCOVER, OFFER, REQUEST, ACK.
    pub(crate) fn acquire(&self, client: u32, name: &str) -> Ipv4Addr {
        self.transmit(&discover(client, name));
        let offer = self.reply();
        assert_eq!(offer.opts().msg_type(), Some(MessageType::Offer));
        self.transmit(&request(client, name, offer.yiaddr()));
        let ack = self.reply();
        assert_eq!(ack.opts().msg_type(), Some(MessageType::Ack));
        assert_eq!(ack.yiaddr(), offer.yiaddr());
        ack.yiaddr()
    }

    /// Hangs up and returns how the worker ended.
    pub(crate) fn end(mut self) -> Result<(), String> {
        self.control = None;
        self.ended()
    }

    /// How the worker ended by itself.
    pub(crate) fn ended(&mut self) -> Result<(), String> {
        match &mut self.life {
            Life::Thread(thread) => thread.take().unwrap().join().unwrap().map_err(|error| error.to_string()),
            Life::Process(child) => {
                let status = child.wait().unwrap();
                if status.success() { Ok(()) } else { Err(status.to_string()) }
            }
        }
    }

    /// Waits until the main thread of the process sleeps. One that spins never does.
    pub(crate) fn come_to_rest(&self) {
        let start = Instant::now();
        let status = format!("/proc/{}/stat", self.pid());
        while !fs::read_to_string(&status).unwrap().contains(") S ") {
            assert!(start.elapsed() < PATIENCE, "the worker never sleeps");
            std::thread::yield_now();
        }
    }

    /// Kills the process as if the power had gone.
    pub(crate) fn kill(&mut self) {
        let Life::Process(child) = &mut self.life else { panic!("only a process can be killed") };
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.control = None;
        if let Life::Process(child) = &mut self.life {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A UDP socket and a TCP listener on the same port.
pub(crate) fn dns_sockets(address: Ipv4Addr) -> (UdpSocket, TcpListener) {
    loop {
        let listener = TcpListener::bind((address, 0)).unwrap();
        // Somebody else may have the UDP port of this number.
        if let Ok(queries) = UdpSocket::bind(listener.local_addr().unwrap()) {
            return (queries, listener);
        }
    }
}

/// A segment without name server on loopback's network.
pub(crate) fn standalone() -> ServiceSegment {
    ServiceSegment {
        interface: "hnap0".parse().unwrap(),
        address: "127.0.0.1/8".parse().unwrap(),
        dhcp: DhcpPlan {
            first: Ipv4Addr::new(127, 1, 0, 1),
            last: Ipv4Addr::new(127, 1, 255, 254),
            lease_time: Duration::from_secs(604_800),
            router: None,
            dns: None,
            domain: None,
            mtu: None,
            reservations: Vec::new(),
        },
        dns: None,
        ipv6: None,
        portmap: None,
    }
}

/// A segment with a name server that asks `upstreams`.
pub(crate) fn full(upstreams: Vec<SocketAddr>) -> ServiceSegment {
    let mut segment = standalone();
    segment.dhcp.router = Some(HOST);
    segment.dhcp.dns = Some(HOST);
    segment.dhcp.domain = Some("mshome.net".to_owned());
    segment.dns =
        Some(DnsPlan { domain: "mshome.net".into(), host_name: "laptop".into(), upstreams, through: None });
    segment
}

pub(crate) fn mac(client: u32) -> MacAddr {
    let [a, b, c, d] = client.to_be_bytes();
    MacAddr([0x06, 0, a, b, c, d])
}

fn message(client: u32, name: &str, kind: MessageType) -> Message {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(client, none, none, none, none, &mac(client).0);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    if !name.is_empty() {
        message.opts_mut().insert(DhcpOption::Hostname(name.to_owned()));
    }
    message
}

pub(crate) fn discover(client: u32, name: &str) -> Vec<u8> {
    frame(client, &message(client, name, MessageType::Discover))
}

pub(crate) fn request(client: u32, name: &str, address: Ipv4Addr) -> Vec<u8> {
    let mut message = message(client, name, MessageType::Request);
    message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
    message.opts_mut().insert(DhcpOption::ServerIdentifier(HOST));
    frame(client, &message)
}

/// Asks for the same address again after a restart of the device.
pub(crate) fn reboot(client: u32, address: Ipv4Addr) -> Vec<u8> {
    let mut message = message(client, "", MessageType::Request);
    message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
    frame(client, &message)
}

pub(crate) fn release(client: u32, address: Ipv4Addr) -> Vec<u8> {
    let mut message = message(client, "", MessageType::Release);
    message.set_ciaddr(address);
    message.opts_mut().insert(DhcpOption::ServerIdentifier(HOST));
    frame(client, &message)
}

/// The broadcast frame a device without address sends. Its UDP checksum is absent, which RFC 768 permits.
fn frame(client: u32, message: &Message) -> Vec<u8> {
    let mut payload = Vec::new();
    message.encode(&mut Encoder::new(&mut payload)).unwrap();
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&mac(client).0);
    frame.extend_from_slice(&[8, 0]);
    let mut header = vec![0x45, 0];
    header.extend_from_slice(&(28 + payload.len() as u16).to_be_bytes());
    header.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]);
    let mut sum: u32 = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(&[0, 68, 0, 67]);
    frame.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&payload);
    frame
}

/// The message in a frame of the server.
pub(crate) fn decode(frame: &[u8]) -> Message {
    assert_eq!(frame[12..14], [8, 0], "an IPv4 frame");
    Message::decode(&mut Decoder::new(&frame[42..])).unwrap()
}
