//! Looks for what keeps a device from being online: figures for a diagnosis, no judgement.
//!
//! | what | how |
//! |---|---|
//! | switches, routes, connections | read from `/proc/sys`, rtnetlink, ctnetlink |
//! | tables that can be full | read at the beginning and at the end, so that what is refused meanwhile shows |
//! | own and foreign rules | read and compared, as before a start |
//! | the segment | a packet socket listens for a moment and asks one address by ARP |
//! | the gateway | asked by ARP: routers that do not answer a ping answer that |
//! | rules, in truth | a packet is sent as a device would and followed ([`trace`]) |
//! | name servers | asked for a name nobody asked before, so that no cache can answer |
//!
//! All of it but the packet goes on at the same time; with the packet it is over within four seconds, usually in two.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use hn_ports::Examiner;
use hn_types::{
    DriverError, IfName, Subnet4,
    diagnosis::{Answer, Connections, Examination, ExaminedSegment, Findings, Found, Switch, Upstream},
    plan::ForwardingPlan,
};
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    firewall::{self, Made},
    netlink::{NETFILTER, Netlink, ROUTE, Refusal, attributes, errno_text},
    network::tables::{self, LinkRow},
    undo::UndoJournal,
};

mod hear;
mod room;
mod routes;
mod trace;

/// How long a segment is listened to.
const LISTEN: Duration = Duration::from_millis(1_500);
/// How long a name server may take for one answer; it is asked twice.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// Name servers that are asked.
const SERVERS: usize = 3;

/// The examiner of the network namespace of the calling thread.
pub(crate) fn examiner(journal: Rc<UndoJournal>, made: Made) -> Examiner {
    Examiner::new(move |question| Box::pin(examine(question, Rc::clone(&journal), Rc::clone(&made))))
}

async fn examine(question: Examination, journal: Rc<UndoJournal>, made: Made) -> Findings {
    let links = Netlink::open(ROUTE).map_err(Refusal::from).and_then(|route| tables::links(&route));
    let links = links.map_err(|refusal| refusal.cause());
    let routes = routes::defaults();
    let before = room::tables();
    let link = |name: IfName| -> Found<LinkRow> {
        let links = links.as_ref().map_err(Clone::clone)?;
        let found = links.iter().find(|link| link.name == name).cloned();
        found.ok_or_else(|| format!("{name} is not there"))
    };
    let gateway = question.public.and_then(|public| {
        let way = routes.as_ref().ok()?.iter().find(|route| route.interface == public)?;
        Some((public, way.gateway?))
    });
    let heard = async {
        let Some(segment) = question.segment else { return Err("there is no segment".to_owned()) };
        hear::segment(&link(segment.interface)?, segment.address.address(), question.address, LISTEN).await
    };
    let gateway = async {
        let (public, address) = gateway?;
        let row = match link(public) {
            Ok(row) => row,
            Err(cause) => return Some(Err(cause)),
        };
        if !hear::speaks_arp(&row) {
            return None;
        }
        Some(hear::gateway(&row, source(public), address).await)
    };
    let connections = async {
        let Some(segment) = question.segment else { return Err("there is no segment".to_owned()) };
        let only = question.address;
        // A large table takes a while to read.
        tokio::task::spawn_blocking(move || connections(segment, only))
            .await
            .unwrap_or_else(|error| Err(error.to_string()))
    };
    let (heard, gateway, connections, difference, upstreams) = tokio::join!(
        heard,
        gateway,
        connections,
        firewall::difference(&question.firewall, &made),
        upstreams(&question.upstreams, question.through)
    );
    // Not before: what is sent as a device would be heard as the device's.
    let packets = async {
        let Some(segment) = question.segment else { return Err("there is no segment".to_owned()) };
        let row = link(segment.interface)?;
        let ways = routes.as_ref().ok().into_iter().flatten();
        let gateway = ways.filter(|way| Some(way.interface) == question.public).find_map(|way| way.gateway);
        trace::packets(&journal, &question, segment, &row, gateway).await
    };
    let packets = packets.await;
    Findings {
        switches: switches(&question.forwarding),
        difference: difference.map_err(|error| error.cause),
        blockades: firewall::foreign::blocked(&question.firewall).map_err(|error: DriverError| error.cause),
        tables: room::since(before, room::tables()),
        heard,
        routes,
        gateway,
        connections,
        upstreams,
        packets,
    }
}

/// The first IPv4 address of an interface.
fn source(interface: IfName) -> Ipv4Addr {
    let read = || {
        let route = Netlink::open(ROUTE).ok()?;
        let index = nix::net::if_::if_nametoindex(interface.as_str()).ok()?;
        let all = tables::addresses(&route).ok()?;
        all.into_iter().find(|row| row.index == index).map(|row| row.address.address())
    };
    read().unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// The switches that decide whether the packets of `plan` are forwarded.
fn switches(plan: &ForwardingPlan) -> Vec<Switch> {
    const ON: &str = "1";
    let switch = |family: &str, interface: &str, which: &str| {
        // Where a name has a dot in it, `sysctl` wants slashes.
        let between = if interface.contains('.') { '/' } else { '.' };
        let name = ["net", family, "conf", interface, which].join(&between.to_string());
        let path = format!("/proc/sys/net/{family}/conf/{interface}/{which}");
        let value = std::fs::read_to_string(Path::new(&path)).ok().map(|value| value.trim().to_owned());
        Switch { name, wanted: ON.to_owned(), value }
    };
    let mut all: Vec<Switch> =
        plan.ipv4.iter().map(|interface| switch("ipv4", interface.as_str(), "forwarding")).collect();
    if let Some(ipv6) = plan.ipv6 {
        let whole = switch("ipv6", "all", "forwarding");
        let each = [ipv6.private, ipv6.public].map(|it| switch("ipv6", it.as_str(), "force_forwarding"));
        if whole.value.as_deref() == Some(ON) || each.iter().any(|switch| switch.value.is_none()) {
            all.push(whole);
        } else {
            all.extend(each);
        }
        all.push(switch("ipv6", ipv6.private.as_str(), "forwarding"));
    }
    all
}

/// Connections of the segment, or of one of its devices, with what is neither in it nor this host.
fn connections(segment: ExaminedSegment, only: Option<Ipv4Addr>) -> Found<Connections> {
    /// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET`.
    const GET: u16 = 1 << 8 | 1;
    const DUMP: u16 = 0x300;
    const AF_INET: u8 = 2;
    const ANSWERED: u32 = 1 << 1;
    const SOURCE_TRANSLATED: u32 = 1 << 4;
    let route = Netlink::open(ROUTE).map_err(|error| error.to_string())?;
    let own: Vec<Ipv4Addr> = tables::addresses(&route)
        .map_err(|refusal| refusal.cause())?
        .into_iter()
        .map(|row| row.address.address())
        .collect();
    let network: Subnet4 = segment.address.network();
    let mut seen = Connections::default();
    let netfilter = Netlink::open(NETFILTER).map_err(|error| error.to_string())?;
    netfilter
        .ask(GET, DUMP, &[AF_INET, 0, 0, 0], |_, message| {
            let Some(Flow { source, destination, status }) = message.get(4..).and_then(flow) else { return };
            let away =
                !network.contains(destination) && !own.contains(&destination) && !destination.is_multicast();
            if away && network.contains(source) && only.is_none_or(|only| only == source) {
                seen.all = seen.all.saturating_add(1);
                seen.translated = seen.translated.saturating_add(u32::from(status & SOURCE_TRANSLATED != 0));
                seen.answered = seen.answered.saturating_add(u32::from(status & ANSWERED != 0));
            }
        })
        .map_err(|refusal| refusal.cause())?;
    Ok(seen)
}

/// A tracked connection, as far as anybody here looks at it.
struct Flow {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    status: u32,
}

/// The attributes of a tracked connection (`CTA_*`).
fn flow(bytes: &[u8]) -> Option<Flow> {
    const ORIGINAL: u16 = 1;
    const STATUS: u16 = 3;
    const ADDRESSES: u16 = 1;
    let (mut source, mut destination, mut status) = (None, None, 0);
    let address = |value: &[u8]| value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
    for (kind, value) in attributes(bytes) {
        match kind {
            ORIGINAL => {
                let (_, addresses) = attributes(value).find(|(kind, _)| *kind == ADDRESSES)?;
                for (kind, value) in attributes(addresses) {
                    match kind {
                        1 => source = address(value),
                        2 => destination = address(value),
                        _ => {}
                    }
                }
            }
            STATUS => status = value.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes)),
            _ => {}
        }
    }
    Some(Flow { source: source?, destination: destination?, status })
}

/// Asks the name servers at the same time, by one interface if it is named.
async fn upstreams(servers: &[SocketAddr], through: Option<IfName>) -> Vec<Upstream> {
    let mut tasks = tokio::task::JoinSet::new();
    for (place, server) in servers.iter().take(SERVERS).copied().enumerate() {
        tasks.spawn(async move { (place, Upstream { server, outcome: ask(server, through).await }) });
    }
    let mut answers = tasks.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, upstream)| upstream).collect()
}

/// Asks one name server for a name nobody asked before.
async fn ask(server: SocketAddr, through: Option<IfName>) -> Answer {
    let begun = Instant::now();
    match question(server, through).await {
        Ok(Some(code)) => Answer::Code(code, begun.elapsed()),
        Ok(None) => Answer::Silence(begun.elapsed()),
        Err(error) => Answer::Failed(error.raw_os_error().map_or_else(|| error.to_string(), errno_text)),
    }
}

async fn question(server: SocketAddr, through: Option<IfName>) -> io::Result<Option<u8>> {
    let any: IpAddr = match server.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.bind_device(through.as_ref().map(|through| through.as_str().as_bytes()))?;
    socket.connect(server).await?;
    let mut random = [0; 8];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
    let query = hear::query(random);
    let mut buffer = [0; 1_500];
    for _ in 0..2 {
        socket.send(&query).await?;
        let answer = async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                let answer = buffer.get(..length).unwrap_or_default();
                // Identifier, and that it is an answer.
                if let [a, b, flags, code, ..] = *answer
                    && query.starts_with(&[a, b])
                    && flags & 0x80 != 0
                {
                    return Ok(code & 0x0f);
                }
            }
        };
        if let Ok(code) = timeout(PATIENCE, answer).await {
            return code.map(Some);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::{attribute, nested};

    #[test]
    fn a_tracked_connection_is_read_and_a_broken_one_is_not() {
        let mut bytes = Vec::new();
        nested(&mut bytes, 1, |tuple| {
            nested(tuple, 1, |addresses| {
                attribute(addresses, 1, &[192, 168, 137, 7]);
                attribute(addresses, 2, &[198, 51, 100, 80]);
            });
        });
        attribute(&mut bytes, 3, &0x12_u32.to_be_bytes());
        let flow = flow(&bytes).expect("whole");
        assert_eq!((flow.source, flow.status), (Ipv4Addr::new(192, 168, 137, 7), 0x12));
        for length in 0..bytes.len() {
            let _ = super::flow(bytes.get(..length).unwrap_or_default());
        }
        assert!(super::flow(&[]).is_none());
    }

    #[test]
    fn switches_have_the_names_that_sysctl_takes() {
        let plan = ForwardingPlan {
            ipv4: ["eth0".parse().expect("valid"), "eth0.7".parse().expect("valid")].into(),
            ..ForwardingPlan::default()
        };
        let names: Vec<String> = switches(&plan).into_iter().map(|switch| switch.name).collect();
        assert_eq!(names, ["net.ipv4.conf.eth0.forwarding", "net/ipv4/conf/eth0.7/forwarding"]);
    }
}
