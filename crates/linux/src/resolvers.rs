//! Where this machine resolves names: found, followed, never changed.
//!
//! The order: what the administrator configured; what `resolv.conf` names, a local stub included, because only the
//! stub knows which VPN answers for which domain; where that stub does not listen, the list behind it that
//! systemd-resolved or NetworkManager keep. Addresses of this service are never among them: it would ask itself.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::inotify;
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    ports::{Transport, is_bound},
    sys::watched,
};

/// The worker takes no more (`ToWorker::Upstreams`).
const LIMIT: usize = 8;
/// More than this is no `resolv.conf`, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;
const DNS_PORT: u16 = 53;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolvers {
    /// What the administrator configured; nothing else counts when this is not empty.
    pub configured: Vec<SocketAddr>,
    /// `/etc/resolv.conf`.
    pub resolv_conf: PathBuf,
    /// The list behind systemd-resolved's stub, `/run/systemd/resolve/resolv.conf`.
    pub resolved: PathBuf,
    /// The list behind NetworkManager's stub, `/run/NetworkManager/no-stub-resolv.conf`.
    pub network_manager: PathBuf,
}

impl Default for Resolvers {
    fn default() -> Self {
        Self {
            configured: Vec::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            resolved: "/run/systemd/resolve/resolv.conf".into(),
            network_manager: "/run/NetworkManager/no-stub-resolv.conf".into(),
        }
    }
}

impl Resolvers {
    /// The resolvers, best first, at most 8. `own` are addresses of this service; `index_of` finds the interface
    /// that the zone of a link-local address names.
    pub(crate) fn discover(
        &self,
        own: &[Ipv4Addr],
        index_of: &dyn Fn(&str) -> Option<u32>,
    ) -> Vec<SocketAddr> {
        let usable = |found: Vec<SocketAddr>| choose(found, own, &|address| listens(address));
        if !self.configured.is_empty() {
            return usable(self.configured.clone());
        }
        [&self.resolv_conf, &self.resolved, &self.network_manager]
            .into_iter()
            .map(|path| usable(parse(&read(path), index_of)))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// The resolvers that a stub of this machine asks in its turn, best first, at most 8, as far as it says.
    pub(crate) fn behind_stub(
        &self,
        own: &[Ipv4Addr],
        index_of: &dyn Fn(&str) -> Option<u32>,
    ) -> Vec<SocketAddr> {
        if !self.configured.is_empty() {
            return Vec::new();
        }
        [&self.resolved, &self.network_manager]
            .into_iter()
            .map(|path| choose(parse(&read(path), index_of), own, &|_| false))
            .find(|found| !found.is_empty())
            .unwrap_or_default()
    }

    /// Begins to follow the files.
    pub(crate) fn watch(&self) -> io::Result<ResolverFiles> {
        let handle = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let paths = vec![self.resolv_conf.clone(), self.resolved.clone(), self.network_manager.clone()];
        let mut files = ResolverFiles { handle: watched(handle, Interest::READABLE)?, paths };
        files.arm();
        Ok(files)
    }
}

/// The files that name resolvers, being watched.
#[derive(Debug)]
pub(crate) struct ResolverFiles {
    handle: AsyncFd<OwnedFd>,
    paths: Vec<PathBuf>,
}

impl ResolverFiles {
    /// Until one of the files may have changed. May be dropped at any time.
    pub(crate) async fn changed(&mut self) {
        loop {
            let Ok(mut ready) = self.handle.readable().await else {
                return std::future::pending().await;
            };
            let concerned = self.drain();
            ready.clear_ready();
            if concerned {
                // A file was replaced, or a folder appeared: watch what is there now.
                self.arm();
                return;
            }
        }
    }

    /// Reads what happened; whether any of it concerns our files.
    fn drain(&self) -> bool {
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut reader = inotify::Reader::new(self.handle.get_ref(), &mut buffer);
        let mut concerned = false;
        while let Ok(event) = reader.next() {
            // Events without a name are about a watched file itself; in folders only the files and the folders on
            // the way to them count, for /etc and /run are busy places.
            concerned |= event.file_name().is_none_or(|name| {
                let name = name.to_bytes();
                self.paths.iter().any(|path| path.iter().any(|part| part.as_encoded_bytes() == name))
            });
        }
        concerned
    }

    /// Watches every file, and the nearest folder that exists on the way to it and to what it links to.
    fn arm(&mut self) {
        use inotify::WatchFlags;
        let in_folder = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ONLYDIR;
        let of_file =
            WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
        for path in &self.paths {
            // The file itself too: it may be mounted over its folder's entry, as `ip netns exec` does.
            let _ = inotify::add_watch(self.handle.get_ref(), path, of_file);
            let target = std::fs::canonicalize(path).ok();
            for path in [Some(path), target.as_ref()].into_iter().flatten() {
                if let Some(folder) = path.ancestors().skip(1).find(|folder| folder.is_dir()) {
                    let _ = inotify::add_watch(self.handle.get_ref(), folder, in_folder);
                }
            }
        }
    }
}

fn read(path: &Path) -> String {
    use std::io::Read;
    let mut text = Vec::new();
    // A missing file names no resolvers.
    let _ = std::fs::File::open(path).and_then(|file| file.take(FILE_LIMIT).read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// The name servers of a `resolv.conf` (resolv.conf(5)), in their order.
fn parse(text: &str, index_of: &dyn Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == "nameserver").then(|| words.next())?
        })
        .filter_map(|word| server(word, index_of))
        .collect()
}

fn server(word: &str, index_of: &dyn Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    if let Some((address, zone)) = word.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        let scope = zone.parse().ok().or_else(|| index_of(zone))?;
        return Some(SocketAddr::V6(SocketAddrV6::new(address, DNS_PORT, 0, scope)));
    }
    let address = match word.parse().ok()? {
        // "This host" (resolv.conf(5) has it so when the list is empty).
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    Some(SocketAddr::new(address, DNS_PORT))
}

/// Drops our own addresses, local stubs that do not listen, and repetitions.
fn choose(found: Vec<SocketAddr>, own: &[Ipv4Addr], listens: &dyn Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
    let mut chosen: Vec<SocketAddr> = Vec::new();
    for server in found {
        let ours = own.iter().any(|own| server.ip() == IpAddr::V4(*own));
        let mute = server.ip().is_loopback() && !listens(server);
        if !ours && !mute && !chosen.contains(&server) && chosen.len() < LIMIT {
            chosen.push(server);
        }
    }
    chosen
}

fn listens(address: SocketAddr) -> bool {
    is_bound(Transport::Udp, address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn none(_: &str) -> Option<u32> {
        None
    }

    fn servers(text: &str) -> Vec<SocketAddr> {
        parse(text, &none)
    }

    fn socket(text: &str) -> SocketAddr {
        text.parse().expect("valid")
    }

    #[test]
    fn name_servers_are_read_in_their_order() {
        let text = "# nameserver 1.1.1.1\nsearch lan\n nameserver 10.0.0.1\nnameserver\t2001:db8::1 \n\
                    nameserver\nnameserver x\noptions edns0\nnameservers 1.2.3.4\nnameserver 0.0.0.0";
        assert_eq!(
            servers(text),
            [socket("10.0.0.1:53"), socket("[2001:db8::1]:53"), socket("127.0.0.1:53")]
        );
    }

    #[test]
    fn a_zone_names_an_interface_by_name_or_number() {
        let index_of = |name: &str| (name == "eth0").then_some(4);
        let found =
            parse("nameserver fe80::1%eth0\nnameserver fe80::2%7\nnameserver fe80::3%gone", &index_of);
        assert_eq!(found, [socket("[fe80::1%4]:53"), socket("[fe80::2%7]:53")]);
    }

    #[test]
    fn a_stub_counts_only_while_it_listens() {
        let found = servers("nameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver 9.9.9.9");
        assert_eq!(choose(found.clone(), &[], &|_| true), [socket("127.0.0.53:53"), socket("9.9.9.9:53")]);
        assert_eq!(choose(found, &[], &|_| false), [socket("9.9.9.9:53")]);
    }

    #[test]
    fn we_never_ask_ourselves() {
        let own = Ipv4Addr::new(192, 168, 137, 1);
        let found = servers("nameserver 192.168.137.1\nnameserver 8.8.8.8");
        assert_eq!(choose(found, &[own], &|_| true), [socket("8.8.8.8:53")]);
    }

    #[test]
    fn the_list_behind_a_mute_stub_is_used() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("writes");
            path
        };
        // Nothing listens there.
        let mut resolvers = Resolvers {
            configured: Vec::new(),
            resolv_conf: file("etc", "nameserver 127.0.0.99\n"),
            resolved: file("resolved", "nameserver 10.1.1.1\n"),
            network_manager: file("nm", "nameserver 10.2.2.2\n"),
        };
        assert_eq!(resolvers.discover(&[], &none), [socket("10.1.1.1:53")]);
        resolvers.resolved = folder.path().join("missing");
        assert_eq!(resolvers.discover(&[], &none), [socket("10.2.2.2:53")]);
        resolvers.configured = vec![socket("10.3.3.3:5353")];
        assert_eq!(resolvers.discover(&[], &none), [socket("10.3.3.3:5353")]);
    }

    #[tokio::test]
    async fn changes_are_seen_also_when_the_file_is_replaced_or_appears_late() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let late = folder.path().join("run/systemd/resolve/resolv.conf");
        let etc = folder.path().join("resolv.conf");
        std::fs::write(&etc, "nameserver 10.0.0.1\n").expect("writes");
        let resolvers = Resolvers {
            configured: Vec::new(),
            resolv_conf: etc.clone(),
            resolved: late.clone(),
            network_manager: folder.path().join("none"),
        };
        let mut files = resolvers.watch().expect("watches");
        let patience = std::time::Duration::from_secs(10);
        let steps: [&dyn Fn() -> io::Result<()>; 5] = [
            &|| std::fs::write(&etc, "nameserver 10.0.0.2\n"),
            &|| {
                let new = folder.path().join("new");
                std::fs::write(&new, "nameserver 10.0.0.3\n")?;
                std::fs::rename(new, &etc)
            },
            &|| std::fs::write(&etc, "nameserver 10.0.0.4\n"),
            &|| std::fs::create_dir_all(late.parent().ok_or(io::ErrorKind::NotFound)?),
            &|| std::fs::write(&late, "nameserver 10.0.0.5\n"),
        ];
        for (number, step) in steps.into_iter().enumerate() {
            files.drain();
            files.arm();
            step().expect("changes the file");
            let seen = tokio::time::timeout(patience, files.changed()).await;
            assert!(seen.is_ok(), "change {number}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "(nameserver[ \\t])?\\PC{0,40}(\n\\PC{0,20}){0,4}") {
            let _ = choose(servers(&text), &[], &|_| true);
        }
    }
}
