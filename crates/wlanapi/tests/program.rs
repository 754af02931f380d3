//! The shared object as C programs meet it (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]

mod world;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use world::{World, run};

const EXPORTS: &[&str] = &[
    "WlanAllocateMemory",
    "WlanCloseHandle",
    "WlanEnumInterfaces",
    "WlanFreeMemory",
    "WlanGetSecuritySettings",
    "WlanHostedNetworkForceStart",
    "WlanHostedNetworkForceStop",
    "WlanHostedNetworkInitSettings",
    "WlanHostedNetworkQueryProperty",
    "WlanHostedNetworkQuerySecondaryKey",
    "WlanHostedNetworkQueryStatus",
    "WlanHostedNetworkRefreshSecuritySettings",
    "WlanHostedNetworkSetProperty",
    "WlanHostedNetworkSetSecondaryKey",
    "WlanHostedNetworkStartUsing",
    "WlanHostedNetworkStopUsing",
    "WlanOpenHandle",
    "WlanQueryInterface",
    "WlanReasonCodeToString",
    "WlanRegisterNotification",
    "WlanRegisterVirtualStationNotification",
    "WlanSetSecuritySettings",
];

/// Whether a program of the machine is there; says so when it is not.
fn present(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        world::skip(&format!("{program} is missing"));
    }
    found
}

fn shared_object() -> PathBuf {
    world::built("deps/libwlanapi.so")
}

fn folder_of_the_crate() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_shared_object_exports_exactly_the_documented_symbols() {
    if !present("nm") {
        return;
    }
    let output = Command::new("nm").args(["-D", "--defined-only"]).arg(shared_object()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut symbols: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
    symbols.sort_unstable();
    assert_eq!(symbols, EXPORTS);
    let header = std::fs::read_to_string(folder_of_the_crate().join("include/wlanapi.h")).unwrap();
    for symbol in EXPORTS {
        assert!(header.contains(&format!(" {symbol}(")), "the header does not declare {symbol}");
    }
}

/// Compiles a C or C++ program against header and library.
fn compile(compiler: &str, world: &World, source: &Path, program: &str) -> PathBuf {
    let folder = world.folder();
    for name in ["libwlanapi.so", "libwlanapi.so.1"] {
        let link = folder.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(shared_object(), link).unwrap();
        }
    }
    let program = folder.join(program);
    let output = Command::new(compiler)
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-I"])
        .arg(folder_of_the_crate().join("include"))
        .arg(source)
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder)
        .arg("-lwlanapi")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

#[test]
fn the_example_in_c_starts_the_network_prints_what_happens_and_stops_it() {
    if !present("gcc") {
        return;
    }
    run("the_example_in_c_starts_the_network_prints_what_happens_and_stops_it", |world: &World| {
        let source = folder_of_the_crate().join("../../examples/c/hosted_network.c");
        assert!(std::fs::read_to_string(&source).unwrap().lines().count() < 150);
        let program = compile("gcc", world, &source, "hosted_network");
        let mut child = Command::new(program)
            .args(["From C", "a key from C"])
            .env("LD_LIBRARY_PATH", world.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut begun = [lines.next().unwrap(), lines.next().unwrap()];
        begun.sort_unstable();
        assert!(begun[0].starts_with("running: active, channel "), "{begun:?}");
        assert_eq!(begun[1], "state: idle -> active (reason 17)");
        assert_eq!(world.session().settings().unwrap().ssid.unwrap().as_str(), Some("From C"));
        world.console("join 02:00:00:00:00:07 secondary phone");
        assert_eq!(lines.next().unwrap(), "device: 02:00:00:00:00:07 joined (reason 20)");
        world.console("leave 02:00:00:00:00:07");
        assert_eq!(lines.next().unwrap(), "device: 02:00:00:00:00:07 left (reason 21)");
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(child.wait().unwrap().success());
        let status = world.session().status().unwrap().hosted_network;
        assert_eq!((status.state.as_str(), status.references), ("idle", 0));
    });
}

#[test]
fn a_crash_of_the_program_gives_its_reference_back() {
    if !present("gcc") {
        return;
    }
    run("a_crash_of_the_program_gives_its_reference_back", |world: &World| {
        let source = folder_of_the_crate().join("../../examples/c/hosted_network.c");
        let program = compile("gcc", world, &source, "hosted_network");
        let mut child = Command::new(program)
            .env("LD_LIBRARY_PATH", world.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.take(2).count(), 2);
        let session = world.session();
        assert_eq!(session.status().unwrap().hosted_network.references, 1);
        child.kill().unwrap();
        child.wait().unwrap();
        world::wait("the network stops", || {
            session.status().unwrap().hosted_network.state.as_str() == "idle"
        });
    });
}

/// Sizes and offsets as two languages see them.
const LAYOUTS: &str = r"
#include <wlanapi.h>
#ifdef __cplusplus
#define HOLDS(x) static_assert(x, #x)
#else
#define HOLDS(x) _Static_assert(x, #x)
#endif
HOLDS(sizeof(WLAN_HOSTED_NETWORK_CONNECTION_SETTINGS) == 40);
HOLDS(sizeof(WLAN_HOSTED_NETWORK_SECURITY_SETTINGS) == 8);
HOLDS(sizeof(WLAN_HOSTED_NETWORK_PEER_STATE) == 12);
HOLDS(sizeof(WLAN_HOSTED_NETWORK_RADIO_STATE) == 8);
HOLDS(sizeof(WLAN_HOSTED_NETWORK_STATE_CHANGE) == 12);
HOLDS(sizeof(WLAN_HOSTED_NETWORK_DATA_PEER_STATE_CHANGE) == 28);
HOLDS(sizeof(WLAN_HOSTED_NETWORK_STATUS) == 52);
HOLDS(offsetof(WLAN_HOSTED_NETWORK_STATUS, IPDeviceID) == 4);
HOLDS(offsetof(WLAN_HOSTED_NETWORK_STATUS, wlanHostedNetworkBSSID) == 20);
HOLDS(offsetof(WLAN_HOSTED_NETWORK_STATUS, dot11PhyType) == 28);
HOLDS(offsetof(WLAN_HOSTED_NETWORK_STATUS, PeerList) == 40);
HOLDS(sizeof(WLAN_INTERFACE_INFO) == 532);
HOLDS(sizeof(WLAN_INTERFACE_INFO_LIST) == 540);
HOLDS(offsetof(WLAN_NOTIFICATION_DATA, pData) == (sizeof(void *) == 8 ? 32 : 28));
HOLDS(wlan_hosted_network_reason_service_available_on_virtual_station == 28);
int main(void) { return WlanCloseHandle(NULL, NULL) == ERROR_INVALID_PARAMETER ? 0 : 1; }
";

#[test]
fn the_header_has_the_exact_layouts_in_c_and_in_cpp() {
    run("the_header_has_the_exact_layouts_in_c_and_in_cpp", |world: &World| {
        for (compiler, suffix) in [("gcc", "c"), ("g++", "cpp")] {
            if !present(compiler) {
                continue;
            }
            let source = world.folder().join(format!("layouts.{suffix}"));
            std::fs::write(&source, LAYOUTS).unwrap();
            let program = compile(compiler, world, &source, &format!("layouts-{suffix}"));
            let status = Command::new(program).env("LD_LIBRARY_PATH", world.folder()).status().unwrap();
            assert!(status.success());
        }
    });
}
