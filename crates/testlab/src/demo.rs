//! The whole story in one go, told as it happens: this machine becomes an access point, two devices join with
//! two keys, are online through it, and in the end nothing is left. Runs inside the lab's VM.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::internet::{self, Internet};
use crate::lease::{Client, Lease};
use crate::ns::Namespace;
use crate::product::Product;
use crate::radio::{self, Hardware, Radio};
use crate::scenario::{JOIN, LEASE, SETTLE, UPLINK};
use crate::state::SystemState;
use crate::station::{Network, Station};
use crate::{vm, wait};

/// The name of the network in the story.
const SSID: &str = "Café ☕";

/// Tells the story and writes `report.json` below `out`.
///
/// # Errors
/// If anything was not really seen; the report then says where the story ended.
pub fn tell(out: &Path, color: bool) -> Result<()> {
    ensure!(vm::inside(), "the demo runs inside the lab's VM: cargo xtask demo");
    let mut story = Story { started: Instant::now(), steps: Vec::new(), color };
    let told = story.tell();
    let report = json!({
        "passed": told.is_ok(),
        "failure": told.as_ref().err().map(|error| format!("{error:#}")),
        "seconds": round(story.started.elapsed()),
        "ssid": SSID,
        "steps": story.steps,
    });
    std::fs::write(out.join("report.json"), format!("{report:#}\n"))?;
    told
}

/// What was seen so far.
#[derive(Debug)]
struct Story {
    started: Instant,
    steps: Vec<Value>,
    color: bool,
}

/// A device of the story.
struct Device {
    name: &'static str,
    key: &'static str,
    station: Station,
    client: Client,
}

#[expect(clippy::print_stdout, reason = "a story is told to a person")]
impl Story {
    fn tell(&mut self) -> Result<()> {
        self.chapter("A machine with an uplink and three radios");
        let (mut machine, radios) = self.step("radios that hear each other", |_| {
            let radios = radio::install(Hardware::radios(3))?;
            let names: Vec<_> = radios.iter().map(|radio| radio.phy.clone()).collect();
            Ok(((Namespace::machine()?, radios), json!({ "radios": names })))
        })?;
        let [home, first, second]: [Radio; 3] = radios.try_into().ok().context("three radios")?;
        let internet = self.step("an Internet behind the uplink: name server and web server", |_| {
            let internet = Internet::attach(&mut machine, UPLINK)?;
            Ok((
                internet,
                json!({ "uplink": internet::UPLINK, "resolver": internet::RESOLVER, "web": internet::WEB }),
            ))
        })?;
        let mut devices =
            self.step("two devices, each with a radio and a network stack of its own", |_| {
                let device = |name, key, radio: &Radio, client| -> Result<Device> {
                    Ok(Device { name, key, station: Station::new(name, radio)?, client })
                };
                let devices = [
                    device("phone", "primary", &first, Client::Udhcpc)?,
                    device("laptop", "secondary", &second, Client::Dhclient)?,
                ];
                let macs = json!({ "phone": devices[0].station.mac()?, "laptop": devices[1].station.mac()? });
                Ok((devices, macs))
            })?;
        // The machine's own Wi-Fi interface has been in use, as on any laptop.
        machine.ip(&format!("link set {} up", home.interface))?;
        let before = self.step("a picture of the machine as it is", |_| {
            let before = SystemState::capture(&machine, &[])?;
            let sizes = json!(before.sizes());
            Ok((before, sizes))
        })?;

        self.chapter("The access point");
        let mut product = self.step("hostednetd runs", |_| {
            let mut product = Product::install(&machine)?;
            product.start(&machine)?;
            let pid = product.pid();
            Ok((product, json!({ "pid": pid })))
        })?;
        self.step("a second key is set (on standard input, never in an argument)", |_| {
            product.feed(["key", "set"], b"a guest's own key")?;
            Ok(((), json!({})))
        })?;
        let mut up = self.step(&format!("hostednet up --public {UPLINK} --ssid '{SSID}'"), |_| {
            let up = product.stay(["up", "--public", UPLINK, "--ssid", SSID, "--json"])?;
            product.await_field("/hosted_network/state", &"active".into(), JOIN)?;
            product.await_field("/sharing/phase", &"running".into(), JOIN)?;
            let status = product.status()?;
            Ok((up, json!({ "hosted_network": status["hosted_network"], "sharing": status["sharing"] })))
        })?;
        let primary = crate::scenario::primary_key(&product)?;

        self.chapter("Two devices");
        for device in &mut devices {
            let passphrase = if device.key == "primary" { primary.as_str() } else { "a guest's own key" };
            self.meet(device, passphrase, &product, &internet)?;
        }
        self.step("the two reach each other", |_| {
            let laptop = address(&devices[1].station)?;
            let ping = devices[0].station.place.run(&format!("ping -n -c 2 -W 5 {laptop}"))?;
            let line =
                ping.stdout.lines().find(|line| line.contains("packet loss")).unwrap_or("").trim().to_owned();
            Ok(((), json!({ "ping": line })))
        })?;
        self.step("both stand in `hostednet devices`", |_| {
            let shown = product.json(&["devices"])?;
            let text = shown.to_string();
            for device in &devices {
                let mac = device.station.mac()?;
                ensure!(text.contains(&mac), "{} ({mac}) is not in {text}", device.name);
            }
            Ok(((), shown))
        })?;

        self.chapter("The end");
        self.step("`up` is interrupted (Ctrl-C) and undoes what it did", |_| {
            let status = up.end(rustix::process::Signal::INT, crate::product::GOODBYE)?;
            ensure!(status.success(), "`hostednet up` ended with {status}:\n{}", up.log_end());
            product.await_field("/hosted_network/state", &"idle".into(), SETTLE)?;
            Ok(((), json!({ "state": product.field("/hosted_network/state")? })))
        })?;
        for device in &mut devices {
            device.station.leave()?;
        }
        self.step("hostednetd ends (SIGTERM)", |_| {
            product.terminate()?;
            Ok(((), json!({})))
        })?;
        self.step("the machine is as it was before", |_| {
            let (difference, took) = before.restored(&machine, &[], SETTLE)?;
            ensure!(difference.is_empty(), "it is not:\n{difference}");
            Ok(((), json!({ "differences": 0, "compared_lines": before.sizes(), "settled_s": round(took) })))
        })?;
        println!();
        self.summary();
        Ok(())
    }

    /// One device: joins, gets its lease, resolves, fetches a page, and is seen.
    fn meet(
        &mut self,
        device: &mut Device,
        passphrase: &str,
        product: &Product,
        internet: &Internet,
    ) -> Result<()> {
        let name = device.name;
        self.step(&format!("the {name} joins with the {} key", device.key), |_| {
            let joined = device.station.join(&Network::new(SSID, passphrase), JOIN)?;
            let seen = Instant::now();
            crate::scenario::await_peer(product, &device.station, device.key)?;
            Ok((
                (),
                json!({ "bssid": joined.bssid, "frequency_mhz": joined.frequency_mhz, "joined_s": round(joined.elapsed),
                        "shown_after_s": round(seen.elapsed()), "key": device.key }),
            ))
        })?;
        let lease = self.step(&format!("the {name} gets its address ({:?})", device.client), |_| {
            let lease: Lease = device.station.lease(device.client, LEASE)?;
            let evidence = json!({ "address": lease.address, "prefix": lease.prefix, "router": lease.router, "dns": lease.dns,
                                   "domain": lease.domain, "lease_s": lease.seconds, "took_s": round(lease.elapsed) });
            Ok((lease, evidence))
        })?;
        self.step(&format!("the {name} resolves {} through us (dig)", internet::WEB_NAME), |_| {
            let server = lease.dns.first().context("the lease names no name server")?;
            let line = format!("dig +short +time=5 +tries=3 @{server} {}", internet::WEB_NAME);
            let answer = device.station.place.run(&line)?.stdout.trim().to_owned();
            ensure!(answer == internet::WEB.to_string(), "dig answered {answer:?}");
            Ok(((), json!({ "server": server, "answer": answer })))
        })?;
        self.step(&format!("the {name} fetches a page, and the web server sees the uplink's address (curl, NAT)"), |_| {
            let path = format!("/{name}");
            let page = device.station.place.run(&format!("curl -sS --max-time 30 http://{}{path}", internet::WEB_NAME))?;
            let visits = internet.visits();
            let visit = visits.iter().find(|visit| visit.path == path).context("the web server saw no visit")?;
            ensure!(visit.peer == internet::UPLINK, "the web server saw {}, not {}", visit.peer, internet::UPLINK);
            Ok(((), json!({ "page": page.stdout.trim(), "peer_seen_by_server": visit.peer, "client": lease.address })))
        })
    }

    fn chapter(&self, title: &str) {
        println!("\n{}", self.paint("1", title));
    }

    /// Does one step and tells how it went.
    fn step<T>(&mut self, title: &str, work: impl FnOnce(&mut Self) -> Result<(T, Value)>) -> Result<T> {
        let started = Instant::now();
        let done = work(self);
        let took = started.elapsed();
        let (mark, color) = if done.is_ok() { ("✓", "32") } else { ("✗", "31") };
        println!(
            "  {} {title}  {}",
            self.paint(color, mark),
            self.paint("2", &format!("{:.1} s", took.as_secs_f64()))
        );
        let (seen, evidence, failure) = match &done {
            Ok((_, evidence)) => (true, evidence.clone(), Value::Null),
            Err(error) => (false, Value::Null, format!("{error:#}").into()),
        };
        if let Some(line) = brief(&evidence) {
            println!("      {}", self.paint("36", &line));
        }
        self.steps.push(json!({
            "step": title, "seen": seen, "at_s": round(self.started.elapsed()), "took_s": round(took),
            "evidence": evidence, "failure": failure,
        }));
        Ok(done?.0)
    }

    fn summary(&self) {
        let found = |word: &str, pointer: &str| -> Vec<String> {
            let steps = self
                .steps
                .iter()
                .filter(|step| step["step"].as_str().is_some_and(|title| title.contains(word)));
            steps
                .filter_map(|step| step.pointer(pointer))
                .map(|value| value.to_string().trim_matches('"').to_owned())
                .collect()
        };
        println!("{}", self.paint("1", "Seen"));
        for (what, values) in [
            ("keys used", found(" joins with ", "/evidence/key")),
            ("addresses", found("gets its address", "/evidence/address")),
            ("names resolved to", found("resolves", "/evidence/answer")),
            ("peer the web server saw", found("fetches", "/evidence/peer_seen_by_server")),
            ("seconds to join", found(" joins with ", "/evidence/joined_s")),
            ("seconds to a lease", found("gets its address", "/evidence/took_s")),
            ("differences in the end", found("as it was before", "/evidence/differences")),
        ] {
            println!("  {what:<24} {}", values.join(", "));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The plain values of the evidence in one line, if they fit.
fn brief(evidence: &Value) -> Option<String> {
    let fields = evidence.as_object()?.iter().filter(|(_, value)| !value.is_object() && !value.is_null());
    let words: Vec<String> =
        fields.map(|(name, value)| format!("{name} {}", value.to_string().trim_matches('"'))).collect();
    let line = words.join("  ");
    (!line.is_empty() && line.chars().count() <= 120).then_some(line)
}

fn round(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The IPv4 address a device has.
fn address(station: &Station) -> Result<String> {
    wait::until("an address", Duration::from_secs(5), || {
        let shown = station.place.ip(&format!("-4 -o addr show dev {}", station.interface))?.stdout;
        let word = shown.split_whitespace().skip_while(|word| *word != "inet").nth(1);
        Ok(word.and_then(|word| word.split('/').next()).map(str::to_owned))
    })
}
