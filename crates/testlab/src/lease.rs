//! DHCP clients written by others: busybox's `udhcpc` and ISC's `dhclient`.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::ns::Namespace;
use crate::tier;

/// Which client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// busybox's: small, in many devices.
    Udhcpc,
    /// ISC's: the reference for twenty years.
    Dhclient,
}

/// What a client was given and has set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The client's address.
    pub address: Ipv4Addr,
    /// Bits of the subnet mask.
    pub prefix: u32,
    /// The default router.
    pub router: Option<Ipv4Addr>,
    /// The name servers, in order.
    pub dns: Vec<Ipv4Addr>,
    /// The domain name (option 15).
    pub domain: Option<String>,
    /// The interface MTU (option 26; only [`Client::Dhclient`] asks for it). It is not set up.
    pub mtu: Option<u32>,
    /// The server identifier (option 54).
    pub server: Option<Ipv4Addr>,
    /// For how long, in seconds.
    pub seconds: u64,
    /// From the client's start to the end of its set-up script.
    pub elapsed: Duration,
}

/// The script both clients call. It configures the interface and writes down what came.
const SCRIPT: &str = r#"#!/bin/sh
# udhcpc: $1 is the event. dhclient: $reason is, and its variables begin with new_.
event=${1:-$reason}
case $event in
  deconfig|PREINIT) ip addr flush dev "$interface" scope global; ip link set "$interface" up; exit 0 ;;
  bound|renew|BOUND|RENEW|REBIND|REBOOT) ;;
  *) exit 0 ;;
esac
ip=${ip:-$new_ip_address} subnet=${subnet:-$new_subnet_mask} router=${router:-$new_routers}
dns=${dns:-$new_domain_name_servers} domain=${domain:-$new_domain_name} lease=${lease:-$new_dhcp_lease_time}
serverid=${serverid:-$new_dhcp_server_identifier}
mtu=$new_interface_mtu
ip addr replace "$ip/$subnet" dev "$interface"
for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; break; done
folder=${0%/*}
printf 'address %s\nmask %s\nrouter %s\ndns %s\ndomain %s\nmtu %s\nserver %s\nseconds %s\n' \
  "$ip" "$subnet" "$router" "$dns" "$domain" "$mtu" "$serverid" "$lease" >"$folder/lease.tmp.$$"
mv "$folder/lease.tmp.$$" "$folder/lease"
exit 0
"#;

/// Asks for a lease on `interface`, sets it up, and makes the name server it brought the one of `place`.
///
/// # Errors
/// If the client gets no lease within `limit`: with what it said.
pub fn obtain(client: Client, place: &mut Namespace, interface: &str, limit: Duration) -> Result<Lease> {
    let lease = ask(client, place, interface, limit)?;
    if let Some(server) = lease.dns.first() {
        place.resolve_through(*server)?;
    }
    Ok(lease)
}

/// [`obtain`] without touching name resolution.
///
/// # Errors
/// As [`obtain`].
pub fn ask(client: Client, place: &Namespace, interface: &str, limit: Duration) -> Result<Lease> {
    let folder = place.files().join(format!("dhcp-{interface}"));
    std::fs::create_dir_all(&folder)?;
    let (script, result) = (folder.join("script"), folder.join("lease"));
    write_executable(&script, SCRIPT.as_bytes())?;
    let _ = std::fs::remove_file(&result);
    let started = Instant::now();
    let mut command = match client {
        Client::Udhcpc => {
            let mut command = place.command(tier::program("udhcpc").context("udhcpc is not installed")?);
            let tries = limit.as_secs().max(2).to_string();
            command.args(["-i", interface, "-f", "-q", "-n", "-t", &tries, "-T", "1", "-s"]).arg(&script);
            command
        }
        Client::Dhclient => {
            // A copy: Debian confines the original to scripts in its own folders (AppArmor goes by path).
            let original = tier::program("dhclient").context("dhclient is not installed")?;
            let copy = folder.join("dhclient");
            if !copy.exists() {
                std::fs::copy(original, &copy)?;
            }
            let configuration = folder.join("dhclient.conf");
            let identifier = std::fs::read_to_string(folder.join("identifier")).unwrap_or_default();
            let timeout = limit.as_secs().max(2);
            std::fs::write(
                &configuration,
                format!(
                    "{identifier}timeout {timeout};\ninitial-interval 1;\nbackoff-cutoff 2;\n\
                     request subnet-mask, routers, domain-name-servers, domain-name, interface-mtu, dhcp-lease-time;\n"
                ),
            )?;
            let mut command = place.command(copy);
            command.arg("-1").arg("-v").arg("-sf").arg(&script).arg("-cf").arg(configuration);
            command.arg("-lf").arg(folder.join("leases")).arg("-pf").arg(folder.join("pid")).arg(interface);
            command
        }
    };
    let done = command::run(&mut command, limit + Duration::from_secs(10))?;
    let elapsed = started.elapsed();
    if !result.exists() {
        bail!("{client:?} got no lease on {interface}: {}{}", done.stderr, done.stdout);
    }
    parse(&std::fs::read_to_string(&result)?, elapsed)
}

/// From here on [`Client::Dhclient`] sends this client identifier (option 61: bytes in hexadecimal, joined by colons).
///
/// # Errors
/// If it cannot be written down.
pub fn identify(place: &Namespace, interface: &str, identifier: &str) -> Result<()> {
    let folder = place.files().join(format!("dhcp-{interface}"));
    std::fs::create_dir_all(&folder)?;
    Ok(std::fs::write(folder.join("identifier"), format!("send dhcp-client-identifier {identifier};\n"))?)
}

/// Gives a lease back with `dhclient -r` (a DHCPRELEASE); only for a lease it holds.
///
/// # Errors
/// If `dhclient` fails.
pub fn release(place: &Namespace, interface: &str) -> Result<()> {
    let folder = place.files().join(format!("dhcp-{interface}"));
    let mut command = place.command(folder.join("dhclient"));
    command.arg("-r").arg("-sf").arg(folder.join("script")).arg("-cf").arg(folder.join("dhclient.conf"));
    command.arg("-lf").arg(folder.join("leases")).arg("-pf").arg(folder.join("pid")).arg(interface);
    command::run(&mut command, command::SHORT)?.success()?;
    Ok(())
}

/// Writes a program text. The file is complete and closed before it can be started.
fn write_executable(path: &Path, text: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn parse(text: &str, elapsed: Duration) -> Result<Lease> {
    let value = |key: &str| -> Option<&str> {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        (!line.trim().is_empty()).then(|| line.trim())
    };
    let mask: Ipv4Addr = value("mask").context("no subnet mask in the lease")?.parse()?;
    Ok(Lease {
        address: value("address").context("no address in the lease")?.parse()?,
        prefix: u32::from(mask).count_ones(),
        router: value("router").and_then(|list| list.split(' ').next()).map(str::parse).transpose()?,
        dns: value("dns").unwrap_or("").split_whitespace().map(str::parse).collect::<Result<_, _>>()?,
        domain: value("domain").map(str::to_owned),
        mtu: value("mtu").map(str::parse).transpose()?,
        server: value("server").map(str::parse).transpose()?,
        seconds: value("seconds").context("no lease time")?.parse()?,
        elapsed,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn what_the_script_wrote_is_read_back() {
        let text = "address 192.168.137.9\nmask 255.255.255.0\nrouter 192.168.137.1\ndns 192.168.137.1 9.9.9.9\n\
                    domain mshome.net\nmtu 1400\nserver 192.168.137.1\nseconds 3600\n";
        let lease = parse(text, Duration::ZERO).unwrap();
        assert_eq!((lease.address.octets(), lease.prefix), ([192, 168, 137, 9], 24));
        assert_eq!(lease.dns.len(), 2);
        assert_eq!(lease.domain.as_deref(), Some("mshome.net"));
        assert_eq!((lease.mtu, lease.seconds), (Some(1400), 3600));
    }

    #[test]
    fn options_that_did_not_come_are_absent() {
        let text = "address 10.0.0.9\nmask 255.0.0.0\nrouter \ndns \ndomain \nmtu \nserver \nseconds 60\n";
        let lease = parse(text, Duration::ZERO).unwrap();
        assert_eq!((lease.router, lease.dns.len(), lease.domain, lease.mtu), (None, 0, None, None));
    }
}
