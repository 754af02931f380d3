//! A VPN as the public connection: devices are online through it, and nothing of them leaves another way, names and
//! IPv6 included, whatever happens to the tunnel or to the service.
//!
//! The evidence is what passes the physical uplink: while a scenario says so, nothing may but the tunnel's own packets
//! and what keeps a link alive ([`BESIDE`]). That devices do try meanwhile is seen where their packets come in.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use super::serve::interrupt;
use super::{JOIN, LEASE, SETTLE, Scenario, Scene, Stage, UPLINK, network};
use crate::capture::Capture;
use crate::command::Background;
use crate::internet::{self, GATEWAY, Internet, RESOLVER, WEB, WEB_NAME};
use crate::lease::{self, Client, Lease};
use crate::ns::{self, Namespace};
use crate::radio::Hardware;
use crate::state::{Difference, SystemState};
use crate::station::Station;
use crate::wireguard::{self, ENDPOINT, FAR6, Provider, TUNNEL};
use crate::{tier, wait};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "devices_behind_a_tunnel_are_online_and_neither_names_nor_ipv6_pass_it_by",
        hardware: Hardware::radios(2),
        run: behind_a_tunnel,
    },
    Scenario {
        name: "when_the_tunnel_falls_nothing_leaves_another_way_and_its_return_is_used",
        hardware: Hardware::radios(2),
        run: the_tunnel_falls,
    },
    Scenario {
        name: "a_tunnel_of_wg_quick_carries_both_protocols_and_stays_closed_after_kill_9",
        hardware: Hardware::radios(1),
        run: wg_quick,
    },
];

/// Everything at the uplink that is not the tunnel's own, what its two ends say of its port, ARP, neighbour discovery, or
/// about groups of the link.
const BESIDE: &str = "not arp and not (udp and port 51820) and not (icmp and host 192.0.2.2) \
                      and not (ip6 and ip6[6] = 0) \
                      and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)";
/// The machine in the segment.
const HOST: &str = "192.168.137.1";
/// The port of a wired device, and the machine's end of the cable.
const WIRED: (&str, &str) = ("eth0", "lan0");

/// What a device without rest sends, as tcpdump shows it.
const TRIES: &[&str] = &[
    "> 198.51.100.80: ICMP echo request",
    "> 198.51.100.80.9999: UDP",
    "> 198.51.100.80.80: Flags [S]",
    "> 203.0.113.53.53: ",
    "> 203.0.113.1.53: Flags [S]",
    "> 2001:db8:80::80: ICMP6, echo request",
    "> 192.168.137.1.53: ",
];
/// For printf: the question for the address of NUMBER.many.lab.test.
const QUESTION: &str =
    r"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05%05d\x04many\x03lab\x04test\x00\x00\x01\x00\x01";
/// What one that has a connection sends.
const GOES_ON: &str = "> 198.51.100.80.80: Flags [P.]";

/// A provider of a VPN and, at the physical uplink, a router that advertises IPv6.
struct World {
    provider: Provider,
    _router: Background,
}

impl World {
    fn open(machine: &Namespace, internet: &Internet) -> Result<Self> {
        let provider = Provider::open(internet)?;
        let outside = &internet.place;
        outside.ip("addr add 2001:db8:1::1/64 dev wan0 nodad")?;
        let file = outside.files().join("radvd.conf");
        let text = "interface wan0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n\
                    AdvDefaultLifetime 1800; prefix 2001:db8:1::/64 { AdvValidLifetime 3600; AdvPreferredLifetime 1800; }; };\n";
        std::fs::write(&file, text)?;
        let mut radvd = outside.command(tier::program("radvd").context("radvd is not installed")?);
        radvd.args(["--nodaemon", "--logmethod=stderr", "--pidfile"]);
        radvd.arg(outside.files().join("radvd.pid")).arg("--config").arg(file);
        let router = Background::spawn(&mut radvd)?;
        wait::holds("IPv6 at the uplink", SETTLE, || {
            Ok(machine.ip("-6 route show default")?.stdout.contains(UPLINK)
                && machine.attempt(&format!("ping -6 -n -c 1 -W 2 {FAR6}"))?.status.success())
        })
        .with_context(|| format!("radvd says:\n{}", router.log_end()))?;
        ns::await_ready(machine, UPLINK)?;
        Ok(Self { provider, _router: router })
    }
}

/// Proves that the machine's own packets leave by the physical uplink, and that they are heard there.
fn own_way(machine: &Namespace) -> Result<()> {
    let heard = Capture::begin(machine, UPLINK, BESIDE)?;
    let page = seen(machine)?;
    ensure!(page == internet::UPLINK.to_string(), "the machine itself is seen as {page:?}");
    let heard = heard.end()?;
    let web = format!("> {WEB}.80: ");
    ensure!(heard.iter().any(|line| line.contains(&web)), "the evidence is deaf: {heard:?}");
    Ok(())
}

/// Ends the evidence: nothing was heard.
fn nothing_beside(heard: Capture) -> Result<()> {
    let heard = heard.end()?;
    ensure!(heard.is_empty(), "at the physical uplink, past the tunnel:\n{}", heard.join("\n"));
    Ok(())
}

/// As whom the web server sees `place`; empty without an answer.
fn seen(place: &Namespace) -> Result<String> {
    let page = place.attempt(&format!("curl -sS --max-time 5 http://{WEB}/"))?.stdout;
    Ok(page.trim().strip_prefix("Hello from the Internet, ").unwrap_or_default().to_owned())
}

fn await_tunnel(place: &Namespace) -> Result<()> {
    wait::holds("the way through the tunnel", SETTLE, || Ok(seen(place)? == ENDPOINT))
}

/// The answer to a question put to the machine.
fn name(place: &Namespace, words: &str) -> Result<String> {
    let done = place.attempt(&format!("dig +short +time=5 +tries=3 @{HOST} {words}"))?;
    Ok(done.stdout.trim().to_owned())
}

/// Lease, name, page: through the tunnel.
fn online(place: &mut Namespace, interface: &str, client: Client) -> Result<Lease> {
    let lease = lease::obtain(client, place, interface, LEASE)?;
    ensure!(lease.dns.first().map(ToString::to_string).as_deref() == Some(HOST), "{lease:?}");
    let answer = name(place, WEB_NAME)?;
    ensure!(answer == WEB.to_string(), "dig answered {answer:?}");
    let page = place.run(&format!("curl -sS --max-time 20 http://{WEB_NAME}/"))?.stdout;
    ensure!(page.trim().ends_with(&format!(", {ENDPOINT}")), "the web server says {page:?}");
    Ok(lease)
}

/// Gives a device an IPv6 default route that outlives every router advertisement.
fn insist_on_ipv6(machine: &Namespace, segment: &str, place: &Namespace, interface: &str) -> Result<()> {
    let router = wait::until("the machine's address of the link", SETTLE, || {
        let shown = machine.ip(&format!("-6 -o addr show dev {segment} scope link"))?.stdout;
        let words = shown.split_whitespace().skip_while(|word| *word != "inet6").nth(1);
        Ok(words.and_then(|word| word.split('/').next()).map(str::to_owned))
    })?;
    place.ip(&format!("-6 route add default via {router} dev {interface} metric 4000"))?;
    wait::holds("an address of the segment's prefix", SETTLE, || {
        let shown = place.ip(&format!("-6 -o addr show dev {interface} scope global -tentative"))?.stdout;
        Ok(shown.contains("inet6 fd"))
    })
}

/// Programs of a device that send and ask again and again, whatever the answers.
struct Restless(Vec<Background>);

impl Restless {
    fn begin(place: &Namespace) -> Result<Self> {
        let shell = |script: String| Background::spawn(place.command("bash").args(["-c", &script]));
        let ping =
            |words: &[&str]| Background::spawn(place.command("ping").args(["-n", "-i", "0.5"]).args(words));
        Ok(Self(vec![
            ping(&[&WEB.to_string()])?,
            ping(&["-6", FAR6])?,
            shell(format!("exec 3<>/dev/udp/{WEB}/9999; while :; do echo flow >&3; sleep 0.5; done"))?,
            shell(format!(
                "while :; do for to in {WEB}/80 {GATEWAY}/53; do timeout 1 bash -c \": <>/dev/tcp/$to\"; \
                 sleep 0.2; done; done"
            ))?,
            shell(format!(
                "exec 3<>/dev/udp/{RESOLVER}/53 4<>/dev/udp/{HOST}/53; while :; do \
                 for to in 3 4; do printf '{QUESTION}' $RANDOM >&$to; done; sleep 0.5; done"
            ))?,
        ]))
    }

    /// A connection that was set up while the tunnel stood and goes on sending.
    fn connected(place: &Namespace, air: &Capture) -> Result<Background> {
        let script = format!(
            "exec 3<>/dev/tcp/{WEB}/80 && printf 'GET /slow HTTP/1.1\\r\\n' >&3 && \
             while printf 'More: yes\\r\\n' >&3; do sleep 0.3; done"
        );
        let flow = Background::spawn(place.command("bash").args(["-c", &script]))?;
        air.await_each(&[GOES_ON], SETTLE)?;
        Ok(flow)
    }

    fn end(self) -> Result<()> {
        for mut program in self.0 {
            program.end(Signal::KILL, SETTLE)?;
        }
        Ok(())
    }
}

/// Compares the machine with before. A tunnel that was made again has another number, which it was given by others.
fn restored(scene: &Scene, machine: &Namespace) -> Result<()> {
    let unnumbered = |lines: &[(&'static str, String)]| -> BTreeSet<(&'static str, String)> {
        let tunnel = format!(": {TUNNEL}");
        lines
            .iter()
            .map(|(section, line)| match line.split_once(&tunnel) {
                Some((_, rest)) => (*section, rest.to_owned()),
                None => (*section, line.clone()),
            })
            .collect()
    };
    let mut last = Difference::default();
    wait::holds("the state of before", SETTLE, || {
        last = scene.before.diff(&SystemState::capture(machine, &[])?);
        Ok(unnumbered(&last.gone) == unnumbered(&last.new))
    })
    .with_context(|| format!("the machine is not as before:\n{last}"))
}

/// The interface of the segment.
fn segment(scene: &Scene) -> Result<String> {
    let interface = scene.product.field("/hosted_network/interface")?;
    Ok(interface.as_str().context("an interface's name")?.to_owned())
}

fn joined(stage: &mut Stage, scene: &Scene, ssid: &str) -> Result<Station> {
    let mut station = stage.station()?;
    station.join(&network(ssid, &scene.primary_key()?), JOIN)?;
    Ok(station)
}

/// The machine has a tunnel for IPv4 beside its own way, its name servers are the provider's and another one, and
/// later a stub that asks only the other one. The physical uplink has IPv6, the tunnel has not.
fn behind_a_tunnel(stage: &mut Stage) -> Result<()> {
    let names = format!("nameserver {RESOLVER}\nnameserver {}\n", wireguard::RESOLVER);
    let (mut scene, world) = stage.scene_with(|machine, internet| {
        let world = World::open(machine, internet)?;
        world.provider.connect(machine, false)?;
        machine.show("/etc/resolv.conf", &names)?;
        // The first of its kind to listen makes a key for the whole machine (`tcp_fastopen_key`).
        stub(machine)?.end(Signal::TERM, SETTLE)?;
        Ok(world)
    })?;
    let provider = &world.provider;
    own_way(&stage.machine)?;
    let mut up = scene.up_by(TUNNEL, "tunnelled")?;
    let mut station = joined(stage, &scene, "tunnelled")?;
    stage.say("joined");
    let air = segment(&scene)?;
    let (asked, visits) = (scene.internet.questions(), scene.internet.visits().len());
    let heard = Capture::begin(&stage.machine, UPLINK, BESIDE)?;
    let syn = "tcp port 80 and tcp[tcpflags] & tcp-syn != 0";
    let at_provider = Capture::begin(&provider.place, "eth0", syn)?;
    let at_device = Capture::begin(&stage.machine, &air, syn)?;
    let lease = online(&mut station.place, &station.interface, Client::Dhclient)?;
    stage.say("online");

    // Larger than the path, where nobody says so.
    ensure!(lease.mtu == Some(wireguard::MTU), "option 26 says {:?}", lease.mtu);
    let mtu = station.place.ip(&format!("-o link show dev {}", station.interface))?.stdout;
    ensure!(mtu.contains("mtu 1500"), "the device obeys option 26, so the transfer shows nothing: {mtu}");
    let size = station.place.run(&format!(
        "curl -sS --max-time 60 -o /dev/null -w %{{size_download}} http://{WEB}/bytes/300000"
    ))?;
    ensure!(size.stdout == "300000", "{} bytes came", size.stdout);
    let largest = format!("mss {}", wireguard::MTU - 40);
    for (side, capture) in [("provider", at_provider), ("device", at_device)] {
        let answer = if side == "device" { "Flags [S.]" } else { "Flags [S]" };
        let opening = capture.end()?;
        let opening: Vec<_> = opening.iter().filter(|line| line.contains(answer)).collect();
        ensure!(!opening.is_empty(), "no connection was seen at the {side}");
        ensure!(opening.iter().all(|line| line.contains(&largest)), "at the {side}: {opening:?}");
    }
    stage.say("300 000 bytes");

    // Names: ours, and what a device asks elsewhere.
    let place = &station.place;
    let answer = name(place, "first.many.lab.test")?;
    ensure!(answer == WEB.to_string(), "{answer:?}");
    for how in ["+notcp", "+tcp"] {
        place.attempt(&format!("dig {how} +time=2 +tries=1 @{RESOLVER} elsewhere.many.lab.test"))?;
    }
    // A stub of the machine's own asks where it likes, so it is not asked; who stands behind it is.
    let list = std::path::Path::new("/run/systemd/resolve/resolv.conf");
    std::fs::create_dir_all(list.parent().context("a folder")?)?;
    std::fs::write(list, &names)?;
    let mut stub = stub(&stage.machine)?;
    stage.machine.show("/etc/resolv.conf", "nameserver 127.0.0.53\n")?;
    let own = stage.machine.run(&format!("dig +short +time=5 +tries=3 @127.0.0.53 {WEB_NAME}"))?.stdout;
    ensure!(own.trim() == WEB.to_string(), "the stub does not work: {own}");
    // (That one question of the machine's own is the only packet that may be heard.)
    let machines = heard.end()?;
    ensure!(!machines.is_empty(), "the stub asks nobody");
    let foreign: Vec<_> = machines
        .iter()
        .filter(|line| {
            !(line.contains(&format!("{RESOLVER}.53")) && line.contains(&internet::UPLINK.to_string()))
        })
        .collect();
    ensure!(foreign.is_empty(), "at the physical uplink, past the tunnel:\n{foreign:?}");
    let outside = scene.internet.questions();
    let outside = outside.get(asked.len()..).unwrap_or_default().to_ascii_lowercase();
    ensure!(!outside.contains("many.lab.test"), "the outside name server was asked:\n{outside}");
    let heard = Capture::begin(&stage.machine, UPLINK, BESIDE)?;
    wait::holds("names past the stub", SETTLE, || {
        Ok(name(place, "second.many.lab.test")? == WEB.to_string())
    })?;
    ensure!(!stub.log().contains("second.many"), "the stub was asked:\n{}", stub.log_end());
    for asked in ["first.many", "second.many"] {
        ensure!(provider.questions().contains(asked), "not asked through the tunnel: {asked}");
    }
    stage.say("names");

    // IPv6: the tunnel has none, so devices have none, though the machine has.
    ensure!(scene.product.field("/sharing/ipv6/source")? == "none", "{}", scene.product.status()?);
    let detail = scene.product.field("/sharing/ipv6/detail")?.to_string();
    ensure!(detail.contains(TUNNEL), "the status says {detail}");
    insist_on_ipv6(&stage.machine, &air, place, &station.interface)?;
    let at_device = Capture::begin(&stage.machine, &air, "icmp6")?;
    let ping = place.attempt(&format!("ping -6 -n -c 3 -W 2 {FAR6}"))?;
    ensure!(!ping.status.success(), "an answer came:\n{}", ping.stdout);
    let tried = at_device.end()?;
    ensure!(tried.iter().any(|line| line.contains("> 2001:db8:80::80: ICMP6, echo request")), "{tried:?}");
    let doctor = scene.product.attempt(["doctor"])?;
    ensure!(
        doctor.status.success(),
        "the doctor complains of what works:\n{}{}",
        doctor.stdout,
        doctor.stderr
    );
    nothing_beside(heard)?;
    let seen = scene.internet.visits();
    ensure!(
        seen.len() > visits && seen.iter().skip(visits).all(|visit| visit.peer.to_string() == ENDPOINT),
        "{seen:?}"
    );
    own_way(&stage.machine)?;
    stage.say("IPv6");

    interrupt(&mut up)?;
    stub.end(Signal::TERM, SETTLE)?;
    std::fs::remove_file(list)?;
    stage.machine.show("/etc/resolv.conf", &names)?;
    station.leave()?;
    scene.product.terminate()?;
    scene.restored(&stage.machine)
}

/// A stub resolver of the machine that asks the name server of the physical uplink.
fn stub(machine: &Namespace) -> Result<Background> {
    let mut command = machine.command(tier::program("dnsmasq").context("dnsmasq is not installed")?);
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ]);
    command.args(["--pid-file=", "--bind-interfaces", "--listen-address=127.0.0.53"]);
    command.args(["--log-queries", "--log-facility=-"]).arg(format!("--server={RESOLVER}"));
    let mut stub = Background::spawn(&mut command)?;
    stub.await_log("started", SETTLE)?;
    Ok(stub)
}

/// A device that never rests, and a tunnel that falls silent, is put down, and is deleted; each time it comes back.
/// Then the service is killed.
fn the_tunnel_falls(stage: &mut Stage) -> Result<()> {
    let (mut scene, world) = stage.scene_with(|machine, internet| {
        // The name of the machine in the segment.
        machine.run("hostname router")?;
        let world = World::open(machine, internet)?;
        world.provider.connect(machine, true)?;
        machine.show("/etc/resolv.conf", &format!("nameserver {}\n", wireguard::RESOLVER))?;
        Ok(world)
    })?;
    let provider = &world.provider;
    let index = |machine: &Namespace| -> Result<String> {
        let shown = machine.ip(&format!("-o link show dev {TUNNEL}"))?.stdout;
        Ok(shown.split(':').next().unwrap_or_default().to_owned())
    };
    let first = index(&stage.machine)?;
    let mut up = scene.up_by(TUNNEL, "tunnelled")?;
    let mut station = joined(stage, &scene, "tunnelled")?;
    let lease = online(&mut station.place, &station.interface, Client::Udhcpc)?;
    let interface = segment(&scene)?;
    let place = &station.place;
    insist_on_ipv6(&stage.machine, &interface, place, &station.interface)?;
    wait::holds("IPv6 through the tunnel", SETTLE, || {
        Ok(place.attempt(&format!("ping -6 -n -c 1 -W 2 {FAR6}"))?.status.success())
    })
    .with_context(|| scene.product.status().map(|status| status.to_string()).unwrap_or_default())?;
    let host = stage.machine.run("hostname -s")?.stdout;
    let host = format!("{}.mshome.net", host.trim());
    own_way(&stage.machine)?;
    stage.say("online");

    let heard = Capture::begin(&stage.machine, UPLINK, BESIDE)?;
    let air = Capture::begin(&stage.machine, &interface, "not arp")?;
    let restless = Restless::begin(place)?;
    let serves = || -> Result<()> {
        let answer = name(place, &host)?;
        ensure!(answer == HOST, "the name of the machine is {answer:?}");
        let client = format!("udhcpc -i {} -f -q -n -t 20 -T 1 -s /bin/true", station.interface);
        let done = place.run(&client)?;
        let said = format!("{}{}", done.stderr, done.stdout);
        ensure!(said.contains(&format!("lease of {} obtained", lease.address)), "{said}");
        Ok(())
    };
    for fall in ["silent", "down", "deleted"] {
        let flow = Restless::connected(place, &air)?;
        match fall {
            "silent" => provider.listen(true)?,
            "down" => drop(stage.machine.ip(&format!("link set {TUNNEL} down"))?),
            _ => drop(stage.machine.ip(&format!("link del {TUNNEL}"))?),
        }
        air.await_each(&[TRIES, &[GOES_ON]].concat(), SETTLE)?;
        ensure!(seen(place)?.is_empty(), "online although the tunnel is {fall}");
        serves().with_context(|| format!("while the tunnel is {fall}"))?;
        // Whatever there was to be done about it has been: once more.
        air.await_each(TRIES, SETTLE)?;
        ensure!(heard.packets().is_empty(), "past the tunnel, {fall}:\n{}", heard.packets().join("\n"));
        drop(flow);
        stage.say(&format!("{fall}: {}", scene.product.field("/sharing/detail")?));
        match fall {
            "silent" => provider.listen(false)?,
            "down" => {
                stage.machine.ip(&format!("link set {TUNNEL} up"))?;
                stage.machine.ip(&format!("addr replace {} dev {TUNNEL} nodad", wireguard::CUSTOMER6))?;
            }
            _ => provider.connect(&stage.machine, true)?,
        }
        await_tunnel(place).with_context(|| format!("after it was {fall}: {:?}", scene.product.status()))?;
        let fresh = format!("after-{fall}.many.lab.test");
        wait::holds("names through the tunnel", SETTLE, || Ok(name(place, &fresh)? == WEB.to_string()))?;
        ensure!(provider.questions().contains(&fresh), "{fresh} was asked elsewhere");
        wait::holds("IPv6 through the tunnel", SETTLE, || {
            Ok(place.attempt(&format!("ping -6 -n -c 1 -W 2 {FAR6}"))?.status.success())
        })?;
        stage.say("back again");
    }
    ensure!(index(&stage.machine)? != first, "the tunnel is not another interface");

    scene.product.kill()?;
    stage.machine.ip(&format!("link set {TUNNEL} down"))?;
    up.await_end(SETTLE)?;
    stage.say(&format!("killed; still there: {:?}", crate::product::processes()?));
    ensure!(seen(place)?.is_empty(), "online although service and tunnel are gone");
    scene.product.undo(&stage.machine)?;
    ensure!(seen(place)?.is_empty(), "online although everything was undone");
    restless.end()?;
    nothing_beside(heard)?;
    drop(air);
    station.leave()?;
    stage.machine.ip(&format!("link set {TUNNEL} up"))?;
    stage.machine.ip(&format!("addr replace {} dev {TUNNEL} nodad", wireguard::CUSTOMER6))?;
    restored(&scene, &stage.machine)
}

/// The tunnel as `wg-quick` makes it, which leads the machine itself through it by a routing rule and a mark; the
/// device has a wire, so that it goes on sending when the service is killed.
fn wg_quick(stage: &mut Stage) -> Result<()> {
    let client = Namespace::new("wired")?;
    ns::cable((&stage.machine, WIRED.1), (&client, WIRED.0))?;
    let mut client = client;
    let (mut scene, (world, profile)) = stage.scene_with(|machine, internet| {
        ns::await_ready(machine, WIRED.1)?;
        let world = World::open(machine, internet)?;
        let profile = world.provider.profile()?;
        // Its shell wants it; whoever starts a system makes it.
        if !std::path::Path::new("/dev/fd").exists() {
            std::os::unix::fs::symlink("/proc/self/fd", "/dev/fd")?;
        }
        machine.run(&format!("wg-quick up {}", profile.display()))?;
        machine.show("/etc/resolv.conf", &format!("nameserver {}\n", wireguard::RESOLVER))?;
        Ok((world, profile))
    })?;
    let provider = &world.provider;
    await_tunnel(&stage.machine)?;
    stage.say("the machine itself is behind the tunnel");
    let share = |public: &str| -> Result<()> {
        scene.product.run(["share", public, WIRED.1])?;
        scene.product.await_field("/sharing/phase", &"running".into(), SETTLE)
    };
    share(TUNNEL)?;
    let heard = Capture::begin(&stage.machine, UPLINK, BESIDE)?;
    let air = Capture::begin(&stage.machine, WIRED.1, "not arp")?;
    online(&mut client, WIRED.0, Client::Udhcpc)?;
    insist_on_ipv6(&stage.machine, WIRED.1, &client, WIRED.0)?;
    ensure!(provider.questions().contains(WEB_NAME), "the provider was not asked");
    let carried = |client: &Namespace| {
        wait::holds("IPv6 through the tunnel", SETTLE, || {
            Ok(client.attempt(&format!("ping -6 -n -c 1 -W 2 {FAR6}"))?.status.success())
        })
    };
    carried(&client)?;
    let ipv6 = scene.product.field("/sharing/ipv6")?;
    ensure!(ipv6["source"] == "nat66" && ipv6["detail"].to_string().contains(TUNNEL), "{ipv6}");
    ensure!(heard.packets().is_empty(), "past the tunnel:\n{}", heard.packets().join("\n"));
    stage.say("online");

    // Who follows the machine's own way is led through the tunnel, too; who chose the other one is not.
    share("auto")?;
    ensure!(scene.product.field("/sharing/public")? == TUNNEL, "{}", scene.product.status()?);
    await_tunnel(&client)?;
    nothing_beside(heard)?;
    share(UPLINK)?;
    let chosen = internet::UPLINK.to_string();
    wait::holds("the physical uplink, as chosen", SETTLE, || Ok(seen(&client)? == chosen))?;
    share(TUNNEL)?;
    await_tunnel(&client)?;
    stage.say("auto, the uplink, and back");

    let heard = Capture::begin(&stage.machine, UPLINK, BESIDE)?;
    let restless = Restless::begin(&client)?;
    let flow = Restless::connected(&client, &air)?;
    scene.product.kill()?;
    air.await_each(TRIES, SETTLE)?;
    ensure!(seen(&client)? == ENDPOINT, "what was shared ends with the service");
    // The kernel takes its time over an interface that is busy.
    let mut down = Background::spawn(stage.machine.command("wg-quick").arg("down").arg(&profile))?;
    let status = down.await_end(JOIN)?;
    ensure!(status.success(), "wg-quick says:\n{}", down.log());
    air.await_each(&[TRIES, &[GOES_ON]].concat(), SETTLE)?;
    ensure!(seen(&client)?.is_empty(), "online although the tunnel is gone");
    ensure!(heard.packets().is_empty(), "past the tunnel:\n{}", heard.packets().join("\n"));
    stage.say("killed, and the tunnel gone");
    // With the address nobody answers who has it; the device is one that does not ask again.
    let router = stage.machine.mac(WIRED.1)?;
    client.ip(&format!("neigh replace {HOST} lladdr {router} nud permanent dev {}", WIRED.0))?;
    scene.product.undo(&stage.machine)?;
    air.await_each(TRIES, SETTLE)?;
    ensure!(seen(&client)?.is_empty(), "online although everything was undone");
    drop(flow);
    restless.end()?;
    nothing_beside(heard)?;
    drop(air);
    stage.machine.run(&format!("wg-quick up {}", profile.display()))?;
    restored(&scene, &stage.machine)
}
