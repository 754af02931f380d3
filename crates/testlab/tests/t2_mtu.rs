//! A way out that carries less than the segment (PPPoE, VPN, cellular), and nobody who says so.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use hn_testlab::lease::{self, Client};
use hn_testlab::ns::Namespace;
use hn_testlab::wired::{LEASE, PORT, PRIVATE, PUBLIC, SETTLE, Wired};
use hn_testlab::{Tier, internet, require, wait};

/// Of the way out. Of it 20 bytes are IPv4 and 20 TCP: 1,360 are left for a segment.
const MTU: u32 = 1_400;
/// Bytes each way: some thousand full segments.
const TRANSFER: usize = 4_000_000;
/// Where the other end takes what is sent.
const SINK: u16 = 8_080;
/// After this a transfer hangs.
const HANGS: Duration = Duration::from_secs(20);

/// Counts the SYNs that arrive at `place`, those with the segment size that fits and the others; and loses the
/// messages by which a sender would learn of the smaller MTU.
fn watch(place: &Namespace, interface: &str) {
    // One packet at a time: what is sent as one large piece would be cut to fit further on.
    place.ip(&format!("link set dev {interface} gso_max_segs 1")).unwrap();
    for rule in [
        "add table inet watch",
        "add chain inet watch input { type filter hook input priority 0 ; }",
        "add rule inet watch input icmp type destination-unreachable icmp code frag-needed drop",
        "add rule inet watch input tcp flags syn tcp option maxseg size 1-1360 counter comment fits",
        "add rule inet watch input tcp flags syn tcp option maxseg size > 1360 counter comment large",
    ] {
        place.run(&format!("nft {rule}")).unwrap();
    }
}

/// How many SYNs [`watch`] has counted: those that fit and the others.
fn seen(place: &Namespace) -> (u64, u64) {
    let text = place.run("nft list chain inet watch input").unwrap().stdout;
    let count = |comment: &str| -> u64 {
        let line = text.lines().find(|line| line.contains(&format!("comment \"{comment}\""))).unwrap();
        let packets = line.split("packets ").nth(1).unwrap();
        packets.split(' ').next().unwrap().parse().unwrap()
    };
    (count("fits"), count("large"))
}

/// Sends [`TRANSFER`] bytes to the sink and returns how many arrived.
fn upload(client: &Namespace, outside: &Namespace) -> usize {
    let listener = outside.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, SINK))).unwrap().unwrap();
    let arrived = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        let (mut total, mut piece) = (0, vec![0; 65_536]);
        while let Ok(count @ 1..) = stream.read(&mut piece) {
            total += count;
        }
        total
    });
    let sent = client
        .enter(|| -> std::io::Result<()> {
            let mut stream = TcpStream::connect_timeout(&(internet::WEB, SINK).into(), HANGS)?;
            stream.set_write_timeout(Some(HANGS))?;
            stream.write_all(&vec![b'x'; TRANSFER])
        })
        .unwrap();
    sent.unwrap();
    arrived.join().unwrap()
}

/// Peers §3 no. 23. The device keeps the MTU of its own link, so that it is the clamp that helps.
#[test]
fn failure_23_sites_behind_a_smaller_mtu_do_not_hang_though_every_hint_is_lost() {
    if require(Tier::Namespaces).is_missing() {
        return;
    }
    let mut scene = Wired::set().unwrap();
    scene.router.ip(&format!("link set {PUBLIC} mtu {MTU}")).unwrap();
    scene.share(&[PRIVATE[0]]).unwrap();
    let given = scene.online(0, Client::Dhclient).unwrap();
    assert_eq!(given.mtu, Some(MTU), "option 26");
    let (client, outside) = (&scene.clients[0], &scene.internet.place);
    watch(client, PORT);
    watch(outside, "wan0");
    // Whatever is larger gets lost without a word.
    let ping = |size: u32| {
        // Eight bytes of ICMP, twenty of IPv4.
        let words = format!("ping -n -c 2 -i 0.2 -W 1 -M do -s {} {}", size - 28, internet::UPLINK);
        outside.attempt(&words).unwrap().status.success()
    };
    assert!(ping(MTU) && !ping(1_500), "the way is no black hole: the test proves nothing");
    let link = client.ip(&format!("-o link show {PORT}")).unwrap().stdout;
    assert!(link.contains(" mtu 1500 "), "{link}");

    let address = format!("http://{}/bytes/{TRANSFER}", internet::WEB);
    let limit = HANGS.as_secs();
    let words = format!("curl -sS --max-time {limit} -o /dev/null -w %{{size_download}} {address}");
    assert_eq!(client.run(&words).unwrap().stdout, TRANSFER.to_string());
    assert_eq!(upload(client, outside), TRANSFER);
    let ((at_server, too_large), (at_client, larger)) = (seen(outside), seen(client));
    assert!(at_server >= 2 && at_client >= 2, "{at_server} SYN, {at_client} SYN and ACK");
    assert_eq!((too_large, larger), (0, 0), "both ends were told");

    // What devices are told follows the public connection, and the server goes on with its leases.
    lease::release(client, PORT).unwrap();
    scene.router.ip(&format!("link set {PUBLIC} mtu 1500")).unwrap();
    wait::holds("no MTU to be told", SETTLE, || {
        let lease = lease::ask(Client::Dhclient, client, PORT, LEASE)?;
        lease::release(client, PORT)?;
        assert_eq!(lease.address, given.address);
        Ok(lease.mtu.is_none())
    })
    .unwrap();
}
