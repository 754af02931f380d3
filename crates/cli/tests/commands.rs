//! The command line against the service on the simulated platform (tier T1): output, JSON, exit status.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "commands/netsh.rs"]
mod netsh;
#[path = "commands/rights.rs"]
mod rights;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// A service of its own for each test.
struct World {
    folder: tempfile::TempDir,
    service: Child,
}

fn service_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_hostednet")).with_file_name("hostednetd");
    assert!(program.exists(), "{} is missing: build it with `cargo build -p hn-daemon`", program.display());
    program
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Command::new(service_program())
            .arg("--simulate")
            .args(["--config".into(), folder.path().join("hostednet.toml")])
            .args(["--state-dir".into(), folder.path().join("state")])
            .args(["--runtime-dir".into(), folder.path().join("run")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let world = Self { folder, service };
        wait(|| world.run(&["status"]).status.success());
        world
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hostednet"));
        command.args(words).env("HOSTEDNET_SOCKET", self.folder.path().join("run/bus")).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, words: &[&str]) -> Value {
        let text = self.ok(words);
        assert_eq!(text.trim_end().lines().count(), 1, "one object on one line");
        serde_json::from_str(&text).unwrap()
    }

    fn fails(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(words);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    fn feed(&self, words: &[&str], input: &str) -> Output {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn console(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.folder.path().join("run/sim")).unwrap();
        writeln!(stream, "{line}").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

fn wait(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come to hold");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn interrupt(child: &Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::INT)
        .unwrap();
}

#[test]
fn up_prints_the_code_and_the_devices_and_puts_everything_back() {
    let world = World::new();
    let before = world.console("show");
    let mut up = world
        .command(&["up", "--ssid", "Café ☕", "--public", "eth0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut seen = Vec::new();
    let mut until = |wanted: &str| {
        while !seen.last().is_some_and(|line: &String| line.contains(wanted)) {
            seen.push(lines.next().unwrap_or_else(|| panic!("{wanted} is not printed: {seen:#?}")));
        }
    };
    until("Starting, sharing eth0");
    until("█");
    until("Network  Café ☕");
    until("Key      ");
    until("Internet through eth0");
    assert_eq!(world.console("join 02:00:00:00:01:01 primary pixel"), "ok");
    until("02:00:00:00:01:01 joined with the primary key");
    until("has address 192.168.137.");
    assert!(world.console("join 02:00:00:00:01:02 wrong-password").starts_with("error"));
    until("02:00:00:00:01:02 was refused: wrong key");
    interrupt(&up);
    until("Everything is as it was before.");
    assert!(up.wait().unwrap().success());
    assert_eq!(world.console("show"), before);
}

#[test]
fn up_starts_again_when_somebody_stops_the_network() {
    let world = World::new();
    let mut up = world.command(&["up", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let opened = lines.find(|object| object["event"] == "up").unwrap();
    assert!(opened["wifi"].as_str().unwrap().starts_with("WIFI:T:WPA;S:"));
    assert_eq!(opened["status"]["sharing"]["mode"], "full");
    world.ok(&["stop"]);
    for new in ["idle", "active"] {
        assert!(lines.any(|object| object["event"] == "state_changed" && object["new"] == new), "{new}");
    }
    interrupt(&up);
    assert!(up.wait().unwrap().success());
}

#[test]
fn failure_7_up_comes_back_after_a_sleep_with_the_key_it_brought() {
    let world = World::new();
    let file = world.folder.path().join("key");
    std::fs::write(&file, "brought from home\n").unwrap();
    let mut up = world
        .command(&["up", "--public", "eth0", "--key-file", file.to_str().unwrap(), "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let mut until = |new: &str| {
        assert!(lines.any(|object| object["event"] == "state_changed" && object["new"] == new), "{new}");
    };
    until("active");
    let key = || world.json(&["key", "show", "--json"])["secondary"]["key"].clone();
    wait(|| key() == "brought from home");
    let before = world.json(&["key", "show", "--json"]);
    assert_eq!(world.console("sleep"), "ok");
    until("unavailable");
    assert!(world.fails(&["start"]).1.contains("sleep"));
    assert_eq!(world.console("wake"), "ok");
    until("active");
    assert_eq!(world.json(&["key", "show", "--json"]), before);
    assert_eq!(world.json(&["status", "--json"])["sharing"]["mode"], "full");
    interrupt(&up);
    assert!(up.wait().unwrap().success());
}

#[test]
fn a_failed_up_names_step_cause_and_remedy() {
    let world = World::new();
    world.console("fail firewall the table was rejected");
    let (status, text) = world.fails(&["up"]);
    assert_eq!(status, 1);
    for part in ["the table was rejected", "step firewall", "gen_failure", "try:"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(world.json(&["status", "--json"])["hosted_network"]["state"], "idle");
}

#[test]
fn failure_13_status_tells_people_what_a_driver_cannot_though_it_says_so() {
    let world = World::new();
    world.ok(&["settings", "set", "--security", "transition", "--isolate=yes"]);
    world.ok(&["start"]);
    let shown = world.ok(&["status"]);
    assert!(shown.contains("devices isolated from each other"), "{shown}");
    assert!(!shown.contains("known to fail") && !shown.contains("relay"), "{shown}");
    world.ok(&["stop"]);
    assert_eq!(world.console("adapter driver brcmfmac"), "ok");
    world.ok(&["start"]);
    let lines = world.ok(&["status"]);
    let mut after = lines.lines().skip_while(|line| !line.trim_start().starts_with("security"));
    assert!(after.next().unwrap().ends_with("WPA2, devices isolated from each other"), "{lines}");
    assert!(after.next().unwrap().contains("known to fail"), "{lines}");
    assert!(after.next().unwrap().contains("relay"), "{lines}");
    let json = world.json(&["status", "--json"]);
    let told = json["hosted_network"]["isolation_detail"].as_str().unwrap().to_owned();
    assert!(lines.contains(&told), "{told} is not in\n{lines}");
}

#[test]
fn exit_statuses_are_the_contract() {
    let world = World::new();
    assert_eq!(world.fails(&["no-such-verb"]).0, 2);
    assert_eq!(world.fails(&["up", "--ssid", &"x".repeat(33)]).0, 2);
    assert_eq!(world.fails(&["up", "--private", "a/b"]).0, 2);
    assert_eq!(world.fails(&["share", "nosuch0", "eth1"]).0, 1);
    assert_eq!(world.feed(&["key", "set"], "1234567\n").status.code(), Some(2));
    assert_eq!(world.feed(&["key", "set", "--hex"], &"0".repeat(63)).status.code(), Some(2));
    world.ok(&["disallow"]);
    let (status, text) = world.fails(&["start"]);
    assert_eq!(status, 5, "{text}");
    world.ok(&["allow"]);
    world.ok(&["service", "stop", "wlan"]);
    assert_eq!(world.fails(&["start"]).0, 3);
    let nowhere = world.command(&["--socket", "/nonexistent/bus", "status"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(3));
}

#[test]
fn keys_are_read_from_standard_input_and_never_repeated() {
    let world = World::new();
    let output = world.feed(&["key", "set"], "pass phrase !\"#$%\n");
    assert!(output.status.success());
    assert!(!String::from_utf8_lossy(&output.stdout).contains("phrase"));
    let keys = world.json(&["key", "show", "--json"]);
    assert_eq!(keys["secondary"]["key"], "pass phrase !\"#$%");
    let digits = "a5".repeat(32);
    assert!(world.feed(&["key", "set", "--hex", "--temporary"], &digits).status.success());
    let keys = world.json(&["key", "show", "--json"]);
    assert_eq!((&keys["secondary"]["key"], &keys["secondary_persistent"]), (&digits.into(), &false.into()));
    world.ok(&["key", "clear"]);
    assert_eq!(world.json(&["key", "show", "--json"])["secondary"], Value::Null);
    world.ok(&["start"]);
    let old = world.json(&["key", "show", "--json"])["primary"]["key"].clone();
    world.ok(&["key", "refresh"]);
    let new = world.json(&["key", "show", "--json"])["primary"]["key"].clone();
    assert_eq!(new.as_str().unwrap().len(), 63);
    assert_ne!(old, new);
    assert_eq!(world.json(&["status", "--json"])["hosted_network"]["state"], "idle");
}

#[test]
fn hold_keeps_the_network_for_as_long_as_the_command_runs() {
    let world = World::new();
    let status = format!("{} status --json", env!("CARGO_BIN_EXE_hostednet"));
    let output = world.run(&["hold", "--", "sh", "-c", &format!("{status}; exit 7")]);
    assert_eq!(output.status.code(), Some(7));
    let during: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(during["hosted_network"]["state"], "active");
    assert_eq!(during["hosted_network"]["references"], 1);
    wait(|| world.json(&["status", "--json"])["hosted_network"]["state"] == "idle");
}

#[test]
fn sharing_between_wires_is_shared_and_unshared() {
    let world = World::new();
    let before = world.console("show");
    world.ok(&["share", "auto", "eth1"]);
    let status = world.json(&["status", "--json"]);
    assert_eq!(status["sharing"]["public"], "wlan0");
    assert_eq!(status["sharing"]["private"][0], "eth1");
    let rows = world.json(&["connections", "--json"]);
    let role =
        |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap()["role"].clone();
    assert_eq!(
        (role("wlan0"), role("eth1"), role("eth0")),
        ("public".into(), "private".into(), "none".into())
    );
    world.ok(&["unshare"]);
    assert_eq!(world.console("show"), before);
}

#[test]
fn settings_are_shown_and_changed() {
    let world = World::new();
    world.ok(&["settings", "set", "--ssid", "hex:ff00", "--max-peers", "5"]);
    let settings = world.json(&["settings", "--json"]);
    assert_eq!((&settings["ssid"], &settings["max_peers"]), (&"hex:ff00".into(), &5.into()));
    assert!(world.ok(&["settings"]).contains("\\xff"));
    assert!(world.ok(&["status"]).contains("idle"));
    assert!(world.ok(&["devices"]).contains("none"));
    assert!(world.ok(&["connections"]).contains("default route"));
    assert!(world.ok(&["service", "status"]).contains("sharedaccess"));
}

#[test]
fn a_name_that_would_drive_the_terminal_is_shown_escaped() {
    let world = World::new();
    world.ok(&["settings", "set", "--ssid", "evil\u{1b}[2J\u{202e}"]);
    let shown = world.ok(&["settings"]);
    assert!(shown.contains("\\u{1b}[2J\\u{202e}"), "{shown:?}");
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn monitor_prints_one_object_a_line() {
    let world = World::new();
    let mut monitor = world.command(&["monitor", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
    // The subscription is complete once an event of a change made after it arrives; changes are repeated until then.
    let changes = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            (0..2)
                .map(|_| serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap())
                .collect::<Vec<_>>()
        });
        while !reader.is_finished() {
            world.run(&["start"]);
            world.run(&["stop"]);
        }
        reader.join().unwrap()
    });
    assert!(changes[0]["sequence"].as_u64() < changes[1]["sequence"].as_u64());
    assert!(changes.iter().all(|change| change["event"].is_string() && change["time"].is_string()));
    interrupt(&monitor);
    assert!(monitor.wait().unwrap().success());
}

#[test]
fn the_man_page_and_the_completions_name_every_verb() {
    let world = World::new();
    for text in [world.ok(&["man"]), world.ok(&["completions", "bash"])] {
        for verb in
            ["up", "hold", "status", "devices", "monitor", "share", "unshare", "service", "key", "settings"]
        {
            assert!(text.contains(verb), "{verb} is missing");
        }
    }
}
