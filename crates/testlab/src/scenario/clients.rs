//! Programs in C against radios: built before the machine starts, by the line in their header comments.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use hn_conformance::checks;

use super::{JOIN, SETTLE, Scenario, Scene, Stage, UPLINK, network};
use crate::command::Background;
use crate::lease::Client;
use crate::product;
use crate::radio::Hardware;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "the_c_example_starts_the_network_and_names_its_devices",
        hardware: Hardware::radios(2),
        run: the_example,
    },
    Scenario {
        name: "the_call_order_of_a_c_client_leads_to_a_network_with_devices",
        hardware: Hardware::radios(2),
        run: the_call_order,
    },
    Scenario {
        name: "the_com_example_shares_the_uplink_with_the_devices_of_the_network",
        hardware: Hardware::radios(2),
        run: the_com_example,
    },
];

/// A C program that runs until its standard input says something.
#[derive(Debug)]
struct Program {
    program: Background,
    input: File,
}

impl Program {
    /// Starts the program of this name with `words`, connected to the service of `scene`.
    fn start(stage: &Stage, scene: &Scene, name: &str, words: &[&str]) -> Result<Self> {
        let folder = product::binaries()?.join("c");
        let program = folder.join(name);
        ensure!(program.is_file(), "{} is not built: cargo xtask test t3 builds it", program.display());
        let pipe =
            tempfile::Builder::new().prefix(name).tempdir_in(stage.machine.files())?.keep().join("input");
        stage.machine.run(&format!("mkfifo {}", pipe.display()))?;
        let mut command = stage.machine.command("sh");
        command.args(["-c", "exec \"$0\" \"$@\" <\"$LAB_INPUT\""]).arg(program).args(words);
        command.env("LAB_INPUT", &pipe).env("LD_LIBRARY_PATH", folder);
        command.env("HOSTEDNET_SOCKET", scene.product.runtime.join("bus"));
        let program = Background::spawn(&mut command)?;
        // Both ways, or it would wait here for the program to open it.
        let input = File::options().read(true).write(true).open(pipe)?;
        Ok(Self { program, input })
    }

    /// Says something on its standard input; it must end well.
    fn end(&mut self) -> Result<()> {
        self.input.write_all(b"\n")?;
        let status = self.program.await_end(product::GOODBYE)?;
        ensure!(status.success(), "it ended with {status}:\n{}", self.program.log_end());
        Ok(())
    }
}

/// `examples/c/hosted_network.c`: start, print notifications, stop.
fn the_example(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut example = Program::start(stage, &scene, "hosted_network", &["from C", "a key from C"])?;
    example.program.await_log("running: active", JOIN)?;
    let mut station = stage.station()?;
    let mac = station.mac()?;
    station.join(&network("from C", "a key from C"), JOIN)?;
    scene.await_peer(&station, "secondary")?;
    example.program.await_log(&format!("device: {mac} joined"), SETTLE)?;
    station.leave()?;
    example.program.await_log(&format!("device: {mac} left"), SETTLE)?;
    example.end()?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)
}

/// Sequences §7, first on an idle and then on a running network.
fn the_call_order(stage: &mut Stage) -> Result<()> {
    let scene = stage.scene()?;
    let mut station = stage.station()?;
    let mut program = Program::start(stage, &scene, "sequence", &["in order", "a key from C"])?;
    program.program.await_log("\nup\n", JOIN)?;
    checks!(M006:
        // The machine's own adapter is listed, and the one that the network made is not.
        let own = scene.product.field("/hosted_network/interface")?;
        let own = own.as_str().context("an interface's name")?;
        ensure!(stage.machine.has_interface(own)?, "the network runs without an interface");
        let log = program.program.log();
        let listed: Vec<&str> = log.lines().filter_map(|line| line.strip_prefix("interface: ")).collect();
        ensure!(listed == [scene.radio.interface.as_str()], "listed are {listed:?} beside {own}:\n{log}");
    );
    station.join(&network("in order", "a key from C"), JOIN)?;
    program.program.await_log("event: peer 0 -> 1", SETTLE)?;
    // Another one comes while it runs: it stops the network and starts it with its own name. The first one hears of it.
    let mut second;
    checks!(M066:
        second = Program::start(stage, &scene, "sequence", &["in order", "a key from C"])?;
        second.program.await_log("\nup\n", JOIN)?;
        let log = second.program.log();
        let calls: Vec<&str> = log.lines().filter_map(|line| line.strip_suffix(": 0")).collect();
        ensure!(
            calls
                == [
                    "WlanOpenHandle",
                    "WlanRegisterNotification",
                    "WlanHostedNetworkInitSettings",
                    "WlanHostedNetworkQueryProperty(3)",
                    "WlanHostedNetworkQueryProperty(0)",
                    "WlanHostedNetworkQueryProperty(1)",
                    "WlanHostedNetworkQueryStatus",
                    "WlanHostedNetworkSetProperty(0)",
                    "WlanHostedNetworkSetSecondaryKey",
                    "WlanHostedNetworkForceStop",
                    "WlanHostedNetworkStartUsing",
                    "WlanHostedNetworkQueryStatus",
                    "WlanEnumInterfaces",
                ],
            "the calls that succeeded are {calls:?}:\n{log}"
        );
        ensure!(log.contains("allowed: 1"), "{log}");
        scene.product.await_field("/hosted_network/state", &"active".into(), JOIN)?;
        station.join(&network("in order", "a key from C"), JOIN)?;
        scene.await_peer(&station, "secondary")?;
    );
    program.program.await_log("event: state 2 -> 1", SETTLE)?;
    second.end()?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)
}

/// `examples/c/share.cpp` beside a C client that holds the network: finds both connections, shares, maps a port, and
/// undoes it.
fn the_com_example(stage: &mut Stage) -> Result<()> {
    let mut scene = stage.scene()?;
    let mut holder = Program::start(stage, &scene, "sequence", &["shared by COM", "a key from C"])?;
    holder.program.await_log("\nup\n", JOIN)?;
    let adapter = scene.product.field("/hosted_network/interface")?;
    let adapter = adapter.as_str().context("an interface's name")?.to_owned();
    let mut example = Program::start(stage, &scene, "share", &[UPLINK, &adapter])?;
    example.program.await_log("\nshared\n", JOIN)?;
    let log = example.program.log();
    ensure!(log.contains("mapping: Web server, port 8080 to 192.168.137.7 port 80, enabled"), "{log}");
    scene.product.await_field("/sharing/mode", &"full".into(), SETTLE)?;
    let mut station = stage.station()?;
    station.join(&network("shared by COM", "a key from C"), JOIN)?;
    let lease = scene.online(&mut station, Client::Udhcpc)?;
    ensure!(lease.address.octets()[..3] == [192, 168, 137], "the address is {}", lease.address);
    example.end()?;
    scene.product.await_field("/sharing/mode", &"off".into(), SETTLE)?;
    holder.end()?;
    scene.product.await_field("/hosted_network/state", &"idle".into(), SETTLE)?;
    scene.product.terminate()
}
