//! What is proven with radios: each scenario is one test of tier T3 and runs inside the lab's VM.
//!
//! Scenarios share a boot, since a boot costs seconds. Each gets new radios and leaves nothing: what a failed
//! one left is swept away before the next.

mod air;
mod broken;
mod clients;
mod device;
mod hardware;
mod keys;
mod lab;
mod leave;
mod outage;
mod serve;
mod sleep;
mod vpn;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::command::{self, SHORT};
use crate::internet::Internet;
use crate::lease::{Client, Lease};
use crate::ns::Namespace;
use crate::product::Product;
use crate::radio::{self, Hardware, Radio};
use crate::state::SystemState;
use crate::station::{Network, Station};
use crate::{vm, wait, wired};

/// The interface of the machine under test that leads to the Internet.
pub const UPLINK: &str = "uplink0";
/// For a station to join.
pub const JOIN: Duration = Duration::from_secs(120);
/// For a device to get its lease.
pub const LEASE: Duration = Duration::from_secs(60);
/// For the machine to be as before.
pub const SETTLE: Duration = Duration::from_secs(60);

/// For one scenario. All these limits are for software emulation on a busy machine; nothing waits for them to pass.
const LIMIT: Duration = Duration::from_secs(420);

/// Tells the process of a scenario which boot of its machine it is in.
const BOOT: &str = "LAB_BOOT";
/// The exit status of a scenario that goes on in the next boot.
const UNFINISHED: i32 = 75;

/// One test with radios.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// A sentence about behaviour.
    pub name: &'static str,
    /// The radios it wants.
    pub hardware: Hardware,
    /// The test.
    pub run: fn(&mut Stage) -> Result<()>,
}

/// How one scenario went, as the VM reports it to the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario.
    pub name: String,
    /// `None`: passed. Else what went wrong.
    pub failure: Option<String>,
    /// Seconds it took inside the VM.
    pub seconds: f64,
    /// It is not over: the machine is to be started again, and the scenario goes on in that boot.
    #[serde(default)]
    pub unfinished: bool,
    /// The lines of evidence (see `hn-conformance`) a passed scenario gave; a failed one proves nothing.
    #[serde(default)]
    pub evidence: String,
}

impl Outcome {
    /// Adds what an earlier boot of the same scenario has shown.
    pub fn follow(&mut self, earlier: &Self) {
        self.seconds += earlier.seconds;
        if self.failure.is_none() {
            self.evidence.insert_str(0, &earlier.evidence);
        }
    }
}

/// Every scenario.
#[must_use]
pub fn all() -> Vec<Scenario> {
    // The longest are not last, so that machines that share them end at about the same time.
    [
        lab::SCENARIOS,
        vpn::SCENARIOS,
        serve::SCENARIOS,
        keys::SCENARIOS,
        device::SCENARIOS,
        hardware::SCENARIOS,
        clients::SCENARIOS,
        leave::SCENARIOS,
        broken::SCENARIOS,
        air::SCENARIOS,
        outage::SCENARIOS,
        sleep::SCENARIOS,
    ]
    .concat()
}

/// The scenario called `name`.
///
/// # Errors
/// If there is none.
pub fn find(name: &str) -> Result<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name).with_context(|| format!("no scenario {name:?}"))
}

/// Runs one scenario in this process.
///
/// # Errors
/// If it fails, or outside the VM.
pub fn play(scenario: Scenario) -> Result<()> {
    hn_conformance::playing(scenario.name);
    let mut radios = radio::install(scenario.hardware)?.into_iter();
    // The first radio is the machine's own. The others leave it before anybody looks at its state.
    let home = radios.next();
    let guests = radios.map(|radio| Station::new("guest", &radio)).collect::<Result<_>>()?;
    let boot = std::env::var(BOOT).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut stage = Stage {
        home,
        guests,
        machine: Namespace::machine()?,
        boot,
        name: scenario.name,
        reboot: false,
        started: Instant::now(),
    };
    stage.say("radios are there");
    (scenario.run)(&mut stage)?;
    if stage.reboot {
        std::process::exit(UNFINISHED);
    }
    Ok(())
}

/// Kills and removes whatever a scenario left on the VM: processes, namespaces, interfaces, firewall.
///
/// # Errors
/// Outside the VM.
pub fn sweep() -> Result<()> {
    ensure!(vm::inside(), "only the VM may be swept");
    let kept = ancestors();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let empty = std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.is_empty());
        if !kept.contains(&pid)
            && !empty
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        command::run(std::process::Command::new("ip").args(["netns", "del"]).arg(entry.file_name()), SHORT)?;
    }
    // Profiles of AppArmor, which would confine the programs of the next scenario.
    let policy = Path::new("/sys/kernel/security/apparmor");
    for line in std::fs::read_to_string(policy.join("profiles")).unwrap_or_default().lines() {
        let name = line.rsplit_once(" (").map_or(line, |(name, _)| name);
        std::fs::write(policy.join(".remove"), name).with_context(|| format!("cannot unload {name}"))?;
    }
    let machine = Namespace::machine()?;
    let _ = command::run(std::process::Command::new("rmmod").arg("mac80211_hwsim"), SHORT)?;
    machine.run("nft flush ruleset")?;
    for entry in std::fs::read_dir("/sys/class/net")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "lo" && Path::new("/sys/class/net").join(&name).join("ifindex").exists() {
            let _ = machine.attempt(&format!("ip link del {name}"))?;
        }
    }
    Ok(())
}

fn ancestors() -> Vec<i32> {
    let mut chain = vec![1];
    let mut pid = i32::try_from(std::process::id()).unwrap_or(1);
    while pid > 1 {
        chain.push(pid);
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        pid = parent.unwrap_or(1);
    }
    chain
}

/// What a scenario plays with.
#[derive(Debug)]
pub struct Stage {
    home: Option<Radio>,
    guests: VecDeque<Station>,
    /// The machine under test: the VM itself.
    pub machine: Namespace,
    /// Which boot of the machine this is, from 1: see [`reboot`](Self::reboot).
    pub boot: u32,
    name: &'static str,
    reboot: bool,
    started: Instant,
}

impl Stage {
    /// Writes down how far the scenario has come: shown when it fails.
    #[expect(clippy::print_stdout, reason = "the log of a scenario is its standard output")]
    pub fn say(&self, text: &str) {
        println!("[{:6.1}] {text}", self.started.elapsed().as_secs_f64());
    }

    /// A folder that is there again in the next boot.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn kept(&self) -> Result<PathBuf> {
        let folder = kept(self.name);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// The last word of a boot: the machine is switched off as it is, and the scenario is played again in the next.
    ///
    /// # Errors
    /// In the second boot: two are enough for what is to be shown.
    pub fn reboot(&mut self) -> Result<()> {
        ensure!(self.boot == 1, "a scenario has two boots");
        self.reboot = true;
        Ok(())
    }

    /// The machine's own radio.
    ///
    /// # Errors
    /// If the scenario's hardware has none.
    pub fn radio(&self) -> Result<Radio> {
        self.home.clone().context("the machine has no radio")
    }

    /// The next device, with a radio and a namespace of its own.
    ///
    /// # Errors
    /// If the scenario's hardware has no more.
    pub fn station(&mut self) -> Result<Station> {
        self.guests.pop_front().context("the scenario has no more radios")
    }

    /// Connects the machine to a new Internet by [`UPLINK`].
    ///
    /// # Errors
    /// If something cannot be set up.
    pub fn internet(&mut self) -> Result<Internet> {
        Internet::attach(&mut self.machine, UPLINK)
    }

    /// The usual scene: the machine keeps its first radio, has an Internet, and a service that runs.
    ///
    /// # Errors
    /// If something cannot be set up.
    pub fn scene(&mut self) -> Result<Scene> {
        self.scene_with(|_, _| Ok(())).map(|(scene, ())| scene)
    }

    /// [`scene`](Self::scene) on a machine and in an Internet that `prepare` has furnished before the service starts.
    ///
    /// # Errors
    /// If something cannot be set up.
    pub fn scene_with<T>(
        &mut self,
        prepare: impl FnOnce(&mut Namespace, &Internet) -> Result<T>,
    ) -> Result<(Scene, T)> {
        let radio = self.radio()?;
        let internet = self.internet()?;
        let prepared = prepare(&mut self.machine, &internet)?;
        // The machine's own Wi-Fi interface has been in use, as on any laptop.
        self.machine.ip(&format!("link set {} up", radio.interface))?;
        let before = SystemState::capture(&self.machine, &[])?;
        let mut product = Product::install(&self.machine)?;
        product.start(&self.machine)?;
        Ok((Scene { radio, internet, product, before }, prepared))
    }
}

/// The usual scene of a scenario.
#[derive(Debug)]
pub struct Scene {
    /// The machine's own radio.
    pub radio: Radio,
    /// Behind the uplink.
    pub internet: Internet,
    /// The service.
    pub product: Product,
    /// The machine before the service was started.
    pub before: SystemState,
}

impl Scene {
    /// `hostednet up --public UPLINK --ssid SSID` and waiting until the network is active.
    ///
    /// # Errors
    /// If it does not become active: with what `up` and the service say.
    pub fn up(&self, ssid: &str) -> Result<command::Background> {
        self.up_by(UPLINK, ssid)
    }

    /// [`up`](Self::up) with `public` as the public connection.
    ///
    /// # Errors
    /// As [`up`](Self::up).
    pub fn up_by(&self, public: &str, ssid: &str) -> Result<command::Background> {
        let mut up = self.product.stay(["up", "--public", public, "--ssid", ssid, "--json"])?;
        let active = self.product.await_field("/hosted_network/state", &"active".into(), JOIN);
        if let Err(error) = active {
            let ended = up.ended()?;
            return Err(error.context(format!("`hostednet up` ({ended:?}) says:\n{}", up.log_end())));
        }
        let running = self.product.await_field("/sharing/phase", &"running".into(), JOIN);
        running.with_context(|| format!("`hostednet up` says:\n{}", up.log_end()))?;
        Ok(up)
    }

    /// The primary key, as `hostednet key show` tells it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn primary_key(&self) -> Result<String> {
        primary_key(&self.product)
    }

    /// Proves that a joined device is really online: lease, name, page, translation.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn online(&self, station: &mut Station, client: Client) -> Result<Lease> {
        let Station { place, interface, .. } = station;
        wired::online(place, interface, client, LEASE)
    }

    /// Waits until the status lists `station` with the key it used.
    ///
    /// # Errors
    /// If it does not soon.
    pub fn await_peer(&self, station: &Station, key: &str) -> Result<()> {
        await_peer(&self.product, station, key)
    }

    /// Ends the service and compares the machine with before.
    ///
    /// # Errors
    /// If anything differs: line by line.
    pub fn restored(&self, machine: &Namespace) -> Result<()> {
        let (difference, _) = self.before.restored(machine, &[], SETTLE)?;
        if !difference.is_empty() {
            bail!("the machine is not as before:\n{difference}\nhostednetd says:\n{}", self.product.log());
        }
        Ok(())
    }
}

/// Plays those scenarios that `take` says are this machine's one after the other, each in a process of its own, and
/// writes their outcomes down as they come. Ends early with an [`unfinished`](Outcome::unfinished) one.
///
/// # Errors
/// Outside the VM, or if the results cannot be written. A failed scenario is an [`Outcome`], not an error.
pub fn play_all(
    names: &[String],
    take: &mut dyn FnMut(&str) -> Result<bool>,
    report: &mut dyn FnMut(&Outcome) -> Result<()>,
) -> Result<()> {
    ensure!(vm::inside(), "scenarios run inside the lab's VM");
    let own = std::env::current_exe()?;
    for name in names {
        if !take(name)? {
            continue;
        }
        let started = Instant::now();
        // The host's file cannot be written from here: the lines travel with the outcome.
        let evidence = tempfile::NamedTempFile::new()?;
        // Left by the boot before this one.
        let before = kept(name).join("first boot");
        let mut play = std::process::Command::new(&own);
        play.args(["play", name]).env(hn_conformance::EVIDENCE_VARIABLE, evidence.path());
        play.env(BOOT, if before.exists() { "2" } else { "1" });
        let done = command::run(&mut play, LIMIT);
        let unfinished = done.as_ref().is_ok_and(|done| done.code() == UNFINISHED);
        let failure = match done {
            Ok(done) if done.status.success() || unfinished => None,
            Ok(done) => Some(format!("{}{}", done.stderr, done.stdout)),
            Err(error) => Some(format!("{error:#}")),
        };
        let seconds = started.elapsed().as_secs_f64();
        let evidence =
            if failure.is_none() { std::fs::read_to_string(evidence.path())? } else { String::new() };
        report(&Outcome { name: name.clone(), failure, seconds, unfinished, evidence })?;
        if unfinished {
            std::fs::write(&before, "")?;
            rustix::fs::sync();
            // The rest is played in the next boot too; nothing here says goodbye first.
            return Ok(());
        }
        sweep()?;
    }
    Ok(())
}

/// What a scenario leaves for its next boot lies on the host.
fn kept(name: &str) -> PathBuf {
    Path::new(vm::OUT).join("kept").join(name)
}

/// The primary key, as `hostednet key show` tells it.
pub(crate) fn primary_key(product: &Product) -> Result<String> {
    let keys = product.json(&["key", "show"])?;
    let key = keys.pointer("/primary/key");
    Ok(key.and_then(|key| key.as_str()).with_context(|| format!("no primary key in {keys}"))?.to_owned())
}

/// Waits until the status lists `station` with the key it used.
pub(crate) fn await_peer(product: &Product, station: &Station, key: &str) -> Result<()> {
    let mac = station.mac()?;
    let mut last = serde_json::Value::Null;
    wait::holds(&format!("peer {mac} with the {key} key"), SETTLE, || {
        last = product.field("/hosted_network/peers")?;
        let peers = last.as_array().context("peers is a list")?;
        Ok(peers.iter().any(|peer| peer["mac"] == mac.as_str() && peer["key"] == key))
    })
    .with_context(|| format!("the peers are {last}"))
}

/// The network a station joins with a passphrase.
fn network(ssid: &str, passphrase: &str) -> Network {
    Network::new(ssid, passphrase)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_name_of_every_scenario_is_its_own() {
        let mut names: Vec<_> = all().iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn evidence_travels_with_the_outcome() {
        let evidence = "hn-testlab\tsome_scenario\tM001\nhn-testlab\tsome_scenario\tM002\n".to_owned();
        let outcome = Outcome {
            name: "some_scenario".into(),
            failure: None,
            seconds: 1.0,
            unfinished: false,
            evidence,
        };
        let line = serde_json::to_string(&outcome).unwrap();
        assert!(!line.contains('\n'), "one outcome is one line: {line}");
        assert_eq!(serde_json::from_str::<Outcome>(&line).unwrap(), outcome);
    }
}
