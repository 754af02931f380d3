//! A provider of a VPN behind the [`Internet`]: WireGuard, a name server that only its customers reach, translation.
//!
//! The provider hears of no other name server: questions that customers send elsewhere are refused at its edge, so a
//! name that a customer knows was asked for here, or past the tunnel.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{self, Background, SHORT};
use crate::internet::{self, Internet};
use crate::ns::{self, Namespace};

/// Where the tunnel ends, outside; also what the web server sees of customers.
pub const ENDPOINT: &str = "192.0.2.2";
/// The UDP port there.
pub const PORT: u16 = 51820;
/// The provider's name server, inside the tunnel.
pub const RESOLVER: &str = "10.64.0.1";
/// The customer's address.
pub const CUSTOMER: &str = "10.64.0.2/32";
/// The customer's IPv6 address.
pub const CUSTOMER6: &str = "fd64::2/128";
/// A host of the Internet that has IPv6.
pub const FAR6: &str = "2001:db8:80::80";
/// What a WireGuard interface carries over Ethernet.
pub const MTU: u32 = 1420;
/// The customer's interface.
pub const TUNNEL: &str = "wg0";
/// The provider's.
const SERVER: &str = "wgs";

/// The provider. It ends when this is dropped.
#[derive(Debug)]
pub struct Provider {
    /// Where it lives.
    pub place: Namespace,
    resolver: Background,
    /// The customer's private key, in a file.
    key: PathBuf,
    public_key: String,
}

impl Provider {
    /// Opens the business in `internet`, IPv6 included.
    ///
    /// # Errors
    /// If something cannot be set up.
    pub fn open(internet: &Internet) -> Result<Self> {
        let place = Namespace::new("provider")?;
        let outside = &internet.place;
        ns::cable((outside, "vpn0"), (&place, "eth0"))?;
        for words in [
            "addr add 192.0.2.1/24 dev vpn0".to_owned(),
            "addr add 2001:db8:2::1/64 dev vpn0 nodad".into(),
            format!("addr add {FAR6}/128 dev lo"),
        ] {
            outside.ip(&words)?;
        }
        outside.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
        let (key, customer) = key_pair(&place, "customer")?;
        let (own, public_key) = key_pair(&place, "provider")?;
        place.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
        for words in [
            format!("addr add {ENDPOINT}/24 dev eth0"),
            "addr add 2001:db8:2::2/64 dev eth0 nodad".into(),
            "route add default via 192.0.2.1".into(),
            "route add default via 2001:db8:2::1".into(),
            format!("link add {SERVER} type wireguard"),
            format!("addr add {RESOLVER}/24 dev {SERVER}"),
            format!("addr add fd64::1/64 dev {SERVER} nodad"),
            format!("link set {SERVER} up"),
        ] {
            place.ip(&words)?;
        }
        place.run(&format!(
            "wg set {SERVER} listen-port {PORT} private-key {} peer {customer} allowed-ips {CUSTOMER},{CUSTOMER6}",
            own.display()
        ))?;
        for words in [
            "add table inet vpn",
            "add chain inet vpn out { type nat hook postrouting priority 100 ; }",
            "add rule inet vpn out oifname eth0 masquerade",
            "add chain inet vpn edge { type filter hook forward priority 0 ; }",
            "add rule inet vpn edge meta l4proto { tcp, udp } th dport 53 reject",
            "add chain inet vpn ears { type filter hook input priority 0 ; }",
            // A path on which nobody is told that a packet was too big.
            "add chain inet vpn mute { type filter hook output priority 0 ; }",
            "add rule inet vpn mute icmp type destination-unreachable icmp code frag-needed drop",
            "add rule inet vpn mute icmpv6 type packet-too-big drop",
        ] {
            place.run(&format!("nft {words}"))?;
        }
        ns::await_ready(&place, "eth0")?;
        let resolver = internet::start_resolver(&place, RESOLVER)?;
        Ok(Self { place, resolver, key, public_key })
    }

    /// What its name server was asked so far (its log), in lower case: the case of a question is made up by who asks.
    #[must_use]
    pub fn questions(&self) -> String {
        self.resolver.log().to_ascii_lowercase()
    }

    /// Takes packets of the customer or, `silent`, hears nothing.
    ///
    /// # Errors
    /// If `nft` fails.
    pub fn listen(&self, silent: bool) -> Result<()> {
        let words = if silent {
            format!("add rule inet vpn ears udp dport {PORT} drop")
        } else {
            "flush chain inet vpn ears".into()
        };
        self.place.run(&format!("nft {words}")).map(drop)
    }

    /// Makes [`TUNNEL`] on `machine`: up, with an address, no route and no name server. `ipv6`: it carries that too.
    ///
    /// # Errors
    /// If something cannot be set up.
    pub fn connect(&self, machine: &Namespace, ipv6: bool) -> Result<()> {
        machine.ip(&format!("link add {TUNNEL} type wireguard"))?;
        machine.run(&format!(
            "wg set {TUNNEL} private-key {} peer {} endpoint {ENDPOINT}:{PORT} allowed-ips 0.0.0.0/0{}",
            self.key.display(),
            self.public_key,
            if ipv6 { ",::/0" } else { "" }
        ))?;
        machine.ip(&format!("addr add {CUSTOMER} dev {TUNNEL}"))?;
        if ipv6 {
            machine.ip(&format!("addr add {CUSTOMER6} dev {TUNNEL} nodad"))?;
        }
        machine.ip(&format!("link set {TUNNEL} up"))?;
        Ok(())
    }

    /// The same for `wg-quick`: a file that says so. It has the tunnel's name and lies among the files of the provider.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn profile(&self) -> Result<PathBuf> {
        let file = self.place.files().join(format!("{TUNNEL}.conf"));
        let key = std::fs::read_to_string(&self.key)?;
        let text = format!(
            "[Interface]\nPrivateKey = {key}\nAddress = {CUSTOMER}, {CUSTOMER6}\n\n\
             [Peer]\nPublicKey = {}\nEndpoint = {ENDPOINT}:{PORT}\nAllowedIPs = 0.0.0.0/0, ::/0\n",
            self.public_key
        );
        std::fs::write(&file, text)?;
        let mut private = Command::new("chmod");
        command::run(private.arg("600").arg(&file), SHORT)?.success()?;
        Ok(file)
    }
}

/// The file of a new private key, and the public one.
fn key_pair(place: &Namespace, name: &str) -> Result<(PathBuf, String)> {
    let file = place.files().join(name);
    let key = command::run(Command::new("wg").arg("genkey"), SHORT)?.success()?.stdout;
    let public = command::feed(Command::new("wg").arg("pubkey"), key.as_bytes(), SHORT)?.success()?.stdout;
    std::fs::write(&file, key.trim())?;
    Ok((file, public.trim().to_owned()))
}
