//! A provider that speaks IPv6: a router that advertises itself (radvd) and a server that delegates prefixes (Kea), as
//! their makers ship them, in the place of the Internet.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::Background;
use crate::ns::Namespace;
use crate::wired::{PUBLIC, SETTLE, Wired};
use crate::{tier, wait};

/// The provider's router, on the link to the machine under test.
pub const GATEWAY: &str = "2001:db8:1::1";
/// The prefix of that link.
pub const LINK: &str = "2001:db8:1::";
/// A server in the rest of the world.
pub const SERVER: &str = "2001:db8:99::80";
/// For a rung to be taken: a client asks a few times before it believes that nobody answers.
pub const LADDER: Duration = Duration::from_secs(60);

/// Gives the Internet of `scene` its IPv6 addresses.
///
/// # Errors
/// If the kernel refuses one.
pub fn speak_ipv6(scene: &Wired) -> Result<()> {
    let outside = &scene.internet.place;
    outside.ip(&format!("addr add {GATEWAY}/64 dev wan0 nodad"))?;
    outside.ip(&format!("addr add {SERVER}/128 dev lo"))?;
    outside.run("sysctl -q net.ipv6.conf.all.forwarding=1")?;
    Ok(())
}

/// A router that advertises itself, and with `prefix` the one of its link.
///
/// # Errors
/// If it is not installed or cannot be started.
pub fn radvd(scene: &Wired, prefix: bool) -> Result<Background> {
    let prefix = if prefix {
        "prefix 2001:db8:1::/64 { AdvValidLifetime 3600; AdvPreferredLifetime 1800; };"
    } else {
        ""
    };
    let outside = &scene.internet.place;
    let text = format!(
        "interface wan0 {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime 30; {prefix} }};\n"
    );
    let file = outside.files().join("radvd.conf");
    std::fs::write(&file, text)?;
    let mut radvd = outside.command(tier::program("radvd").context("radvd is not installed")?);
    radvd.args(["--nodaemon", "--logmethod=stderr", "--debug=1", "--pidfile"]);
    radvd.arg(outside.files().join("radvd.pid")).arg("--config").arg(file);
    Background::spawn(&mut radvd)
}

/// A DHCPv6 server that delegates prefixes of `pool`. With `short` lifetimes it wants to be asked every few seconds.
///
/// # Errors
/// If it is not installed or does not start.
pub fn kea(scene: &Wired, pool: &str, short: bool) -> Result<Background> {
    let outside = &scene.internet.place;
    let times = if short { [4, 7, 14, 30] } else { [1_000, 2_000, 3_000, 4_000] };
    let [renew, rebind, preferred, valid] = times;
    let text = format!(
        r#"{{"Dhcp6": {{
            "interfaces-config": {{ "interfaces": ["wan0"] }},
            "lease-database": {{ "type": "memfile", "persist": false }},
            "renew-timer": {renew}, "rebind-timer": {rebind},
            "preferred-lifetime": {preferred}, "valid-lifetime": {valid},
            "subnet6": [{{ "id": 1, "subnet": "2001:db8:1::/64", "interface": "wan0",
                "pd-pools": [{{ "prefix": "{pool}", "prefix-len": 48, "delegated-len": 56 }}] }}],
            "loggers": [{{ "name": "kea-dhcp6", "severity": "DEBUG", "debuglevel": 50,
                "output_options": [{{ "output": "stdout" }}] }}]
        }}}}"#
    );
    let folder = outside.files();
    let file = folder.join("kea.json");
    std::fs::write(&file, text)?;
    // It keeps its identity where this machine's own would be, so it gets a place of its own there.
    let mut kea = outside.command("unshare");
    kea.env("KEA_PIDFILE_DIR", folder)
        .env("KEA_LOCKFILE_DIR", folder)
        .env("KEA_LOGGER_DESTINATION", "stdout");
    let script = "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/kea && exec \"$0\" -c \"$1\"";
    let program = tier::program("kea-dhcp6").context("kea-dhcp6 is not installed")?;
    kea.args(["-m", "sh", "-c", script]).arg(program).arg(file);
    let mut kea = Background::spawn(&mut kea)?;
    kea.await_log("DHCP6_STARTED", SETTLE).with_context(|| kea.log())?;
    Ok(kea)
}

/// Waits until the router has learned its way out.
///
/// # Errors
/// If it does not.
pub fn await_uplink(scene: &Wired) -> Result<()> {
    wait::holds("the provider's route", SETTLE, || {
        Ok(scene.router.ip("-6 route show default")?.stdout.contains("proto ra"))
    })?;
    wait::holds("nothing tentative", SETTLE, || {
        Ok(scene.router.ip(&format!("-6 -o addr show dev {PUBLIC} tentative"))?.stdout.trim().is_empty())
    })
}

/// Waits until the way out of IPv6 is `source`, and returns its prefix.
///
/// # Errors
/// With what it is instead, and the service's log.
pub fn await_source(scene: &Wired, source: &str) -> Result<Ipv6Addr> {
    let shown = || scene.product.field("/sharing/ipv6");
    let there = scene.product.await_field("/sharing/ipv6/source", &source.into(), LADDER);
    there.with_context(|| format!("{:?}\n{}", shown(), scene.product.log()))?;
    let shown = shown()?;
    let prefix = shown["prefix"].as_str().and_then(|prefix| prefix.strip_suffix("/64"));
    Ok(prefix.with_context(|| format!("no prefix in {shown}"))?.parse()?)
}

/// Whether both are of one /64.
#[must_use]
pub fn same_prefix(a: Ipv6Addr, b: Ipv6Addr) -> bool {
    a.to_bits() >> 64 == b.to_bits() >> 64
}

/// The preferred address of the prefix that `place` has made itself on `port`, once there is one.
///
/// # Errors
/// If there is none in time.
pub fn autoconfigured(place: &Namespace, port: &str, prefix: Ipv6Addr) -> Result<Ipv6Addr> {
    wait::until("an address of the prefix", SETTLE, || {
        let filter = "scope global -tentative -deprecated";
        let shown = place.ip(&format!("-6 -o addr show dev {port} {filter}"))?.stdout;
        let words = shown.split_whitespace().filter_map(|word| word.strip_suffix("/64"));
        Ok(words.filter_map(|word| word.parse().ok()).find(|address| same_prefix(*address, prefix)))
    })
}

/// The link-local address of `place` on `port`.
///
/// # Errors
/// If it has none.
pub fn link_local(place: &Namespace, port: &str) -> Result<Ipv6Addr> {
    let shown = place.ip(&format!("-6 -o addr show dev {port} scope link"))?.stdout;
    let found = shown.split_whitespace().find_map(|word| word.strip_suffix("/64"));
    Ok(found.with_context(|| format!("{port} has no link-local address"))?.parse()?)
}

/// What a provider does with a prefix that it delegated: it leads there.
///
/// # Errors
/// If the kernel refuses the route.
pub fn route_delegation(scene: &Wired, delegation: &str) -> Result<()> {
    let via = link_local(&scene.router, PUBLIC)?;
    scene.internet.place.ip(&format!("-6 route replace {delegation} via {via} dev wan0"))?;
    Ok(())
}
