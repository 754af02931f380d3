//! What sharing cannot do without, looked for: a few questions to the kernel, nothing is changed.
//!
//! | Windows counterpart | here | looked for by |
//! |---|---|---|
//! | Base Filtering Engine | nf_tables | asking for the generation of its rules |
//! | Remote Access Connection Manager | routes, forwarding switches | opening rtnetlink, opening the switch for writing |
//! | Network Connections | links | asking for the loopback link, which every namespace has |
//! | Windows Management Instrumentation | the worker | what its supervisor knows |

use std::fs::OpenOptions;

use hn_ports::Dependencies;
use hn_types::part::{Dependency, MissingDependency};

use crate::{
    netlink::{NETFILTER, Netlink, ROUTE, Refusal, errno_text},
    network::tables,
    services::Trouble,
};

/// The switch every namespace has; each interface has one like it.
const SWITCH: &str = "/proc/sys/net/ipv4/conf/all/forwarding";

pub(crate) fn look(worker: Trouble) -> Dependencies {
    Dependencies::new(move || {
        let worker = worker.borrow().clone();
        let worker =
            worker.map(|cause| (cause, "its log says more; is hostednetd installed completely?".into()));
        [
            (Dependency::FilteringEngine, filtering()),
            (Dependency::RemoteAccess, routing()),
            (Dependency::NetworkConnections, links()),
            (Dependency::Instrumentation, worker),
        ]
        .into_iter()
        .filter_map(|(dependency, missing)| {
            missing.map(|(cause, remedy)| MissingDependency { dependency, cause, remedy })
        })
        .collect()
    })
}

/// Cause and remedy.
type Missing = Option<(String, String)>;

fn filtering() -> Missing {
    /// `NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN`.
    const GET_GENERATION: u16 = 10 << 8 | 16;
    let asked = Netlink::open(NETFILTER)
        .map_err(Refusal::from)
        .and_then(|netfilter| netfilter.ask(GET_GENERATION, 0, &[0; 4], |_, _| {}));
    let refusal = asked.err()?;
    let remedy = if [libc::EPERM, libc::EACCES].contains(&refusal.errno) {
        "give hostednetd the capability CAP_NET_ADMIN in its network namespace"
    } else {
        "load the kernel module nf_tables (`modprobe nf_tables`)"
    };
    Some((format!("nf_tables does not answer: {}", refusal.cause()), remedy.into()))
}

fn routing() -> Missing {
    if let Err(error) = Netlink::open(ROUTE) {
        return Some(unwatched("routes", &Refusal::from(error)));
    }
    let error = OpenOptions::new().write(true).open(SWITCH).err()?;
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let remedy = if errno == libc::ENOENT {
        "mount /proc where hostednetd runs"
    } else {
        "let hostednetd write /proc/sys/net (a container needs it mounted read-write)"
    };
    Some((format!("{SWITCH} cannot be written: {}", errno_text(errno)), remedy.into()))
}

fn links() -> Missing {
    let loopback = "lo".parse().ok()?;
    let asked = Netlink::open(ROUTE).map_err(Refusal::from).and_then(|route| tables::link(&route, loopback));
    asked.err().map(|refusal| unwatched("network links", &refusal))
}

fn unwatched(what: &str, refusal: &Refusal) -> (String, String) {
    let remedy = "allow hostednetd AF_NETLINK sockets (RestrictAddressFamilies= of its unit)";
    (format!("the kernel does not tell of {what}: {}", refusal.cause()), remedy.into())
}
