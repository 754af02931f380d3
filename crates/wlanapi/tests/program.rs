//! The shared object as C programs meet it (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]

mod session;
mod world;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hn_conformance::checks;
use hostednet::types::{ErrorCode, Reason};
use windows_sys::Win32::NetworkManagement::WiFi::WlanHostedNetworkStartUsing;
use wlanapi::types::{ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY};
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
    let header = fs::read_to_string(folder_of_the_crate().join("include/wlanapi.h")).unwrap();
    for symbol in EXPORTS {
        assert!(header.contains(&format!(" {symbol}(")), "the header does not declare {symbol}");
    }
}

/// The library, its header and its description where a package would put them.
fn install(world: &World) -> PathBuf {
    let prefix = world.folder().join("prefix");
    if prefix.exists() {
        return prefix;
    }
    for folder in ["lib/pkgconfig", "include"] {
        fs::create_dir_all(prefix.join(folder)).unwrap();
    }
    let lib = prefix.join("lib");
    symlink(shared_object(), lib.join("libwlanapi.so.1")).unwrap();
    symlink("libwlanapi.so.1", lib.join("libwlanapi.so")).unwrap();
    let here = folder_of_the_crate();
    fs::copy(here.join("include/wlanapi.h"), prefix.join("include/wlanapi.h")).unwrap();
    fs::copy(here.join("../../dist/wlanapi.pc"), lib.join("pkgconfig/wlanapi.pc")).unwrap();
    prefix
}

fn run_to_its_end(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What pkg-config says about the installed library.
fn flags(world: &World, question: &str) -> Vec<String> {
    let prefix = install(world);
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .arg(format!("--define-variable=prefix={}", prefix.display()))
        .args(question.split(' '))
        .arg("wlanapi");
    run_to_its_end(&mut ask).split_whitespace().map(str::to_owned).collect()
}

/// Compiles a C or C++ program against the installed library.
fn compile(compiler: &str, world: &World, source: &Path, program: &str, further: &[&str]) -> PathBuf {
    let prefix = install(world);
    let program = world.folder().join(program);
    let standard = if compiler.ends_with("++") { "-std=c++17" } else { "-std=c11" };
    let mut command = Command::new(compiler);
    command
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread"])
        .args(further)
        .arg("-I")
        .arg(prefix.join("include"))
        .arg(source)
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(prefix.join("lib"))
        .arg("-lwlanapi");
    run_to_its_end(&mut command);
    program
}

/// A program of ours that is ready to run.
fn compiled(compiler: &str, world: &World, name: &str, further: &[&str]) -> PathBuf {
    let source = folder_of_the_crate().join(format!("tests/c/{name}.c"));
    compile(compiler, world, &source, &format!("{name}-{compiler}"), further)
}

fn library_path(world: &World) -> PathBuf {
    install(world).join("lib")
}

#[test]
fn the_example_in_c_starts_the_network_prints_what_happens_and_stops_it() {
    if !present("gcc") {
        return;
    }
    run("the_example_in_c_starts_the_network_prints_what_happens_and_stops_it", |world: &World| {
        let source = folder_of_the_crate().join("../../examples/c/hosted_network.c");
        assert!(fs::read_to_string(&source).unwrap().lines().count() < 150);
        let program = compile("gcc", world, &source, "hosted_network", &[]);
        let mut child = Command::new(program)
            .args(["From C", "a key from C"])
            .env("LD_LIBRARY_PATH", library_path(world))
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
        let program = compile("gcc", world, &source, "hosted_network", &[]);
        let mut child = Command::new(program)
            .env("LD_LIBRARY_PATH", library_path(world))
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
fn the_header_has_the_exact_layouts_in_c_and_in_cpp_for_two_compilers() {
    run("the_header_has_the_exact_layouts_in_c_and_in_cpp_for_two_compilers", |world: &World| {
        for (compiler, suffix) in [("gcc", "c"), ("g++", "cpp"), ("clang", "c"), ("clang++", "cpp")] {
            if !present(compiler) {
                continue;
            }
            let source = world.folder().join(format!("layouts.{suffix}"));
            fs::write(&source, LAYOUTS).unwrap();
            let program = compile(compiler, world, &source, &format!("layouts-{compiler}"), &[]);
            run_to_its_end(Command::new(program).env("LD_LIBRARY_PATH", library_path(world)));
        }
    });
}

#[test]
fn every_return_code_and_every_fail_reason_has_a_sentence() {
    if !present("gcc") {
        return;
    }
    run("every_return_code_and_every_fail_reason_has_a_sentence", |world: &World| {
        let program = compiled("gcc", world, "texts", &[]);
        let ask = |kind: char, numbers: &[u32]| -> Vec<String> {
            let numbers = numbers.iter().map(|number| format!("{kind}{number}"));
            let mut command = Command::new(&program);
            let text = run_to_its_end(command.args(numbers).env("LD_LIBRARY_PATH", library_path(world)));
            text.lines().map(str::to_owned).collect()
        };
        // What the library makes up itself, and whatever the service answers: those pass through.
        let ours = [0, ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY];
        let codes: Vec<u32> = ErrorCode::ALL.iter().map(|code| code.win32()).chain(ours).collect();
        let reasons: Vec<u32> = Reason::ALL.iter().map(|reason| reason.number()).collect();
        checks!(M021:
            for (kind, numbers) in [('e', &codes), ('r', &reasons)] {
                let texts = ask(kind, numbers);
                assert_eq!(texts.len(), numbers.len());
                let distinct: BTreeSet<&String> = texts.iter().collect();
                assert_eq!(distinct.len(), numbers.len(), "each says something else: {texts:?}");
                assert!(!distinct.contains(&"-".to_owned()), "none is without: {texts:?}");
            }
            assert_eq!(ask('e', &[4]), ["-"]);
            // A code of the service that none of these functions makes up comes out of them as it is.
            let handle = session::open();
            world.console("fail radio no such luck");
            assert_eq!(session::plain(WlanHostedNetworkStartUsing, handle), (31, 19));
            session::close(handle);
        );
    });
}

#[test]
fn a_child_of_fork_has_no_handle_of_its_parent_and_can_have_its_own() {
    if !present("gcc") {
        return;
    }
    run("a_child_of_fork_has_no_handle_of_its_parent_and_can_have_its_own", |world: &World| {
        let program = compiled("gcc", world, "fork", &[]);
        for _ in 0..5 {
            run_to_its_end(Command::new(&program).arg("child").env("LD_LIBRARY_PATH", library_path(world)));
        }
        world::wait("the child's reference is given back", || {
            world.session().status().unwrap().hosted_network.references == 0
        });
    });
}

#[test]
fn a_child_of_fork_does_not_keep_the_references_of_a_killed_parent() {
    if !present("gcc") {
        return;
    }
    run("a_child_of_fork_does_not_keep_the_references_of_a_killed_parent", |world: &World| {
        let program = compiled("gcc", world, "fork", &[]);
        let mut parent = Command::new(program)
            .arg("orphan")
            .env("LD_LIBRARY_PATH", library_path(world))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let child = nix::unistd::Pid::from_raw(line.trim().parse().unwrap());
        let session = world.session();
        assert_eq!(session.status().unwrap().hosted_network.references, 1);
        parent.kill().unwrap();
        parent.wait().unwrap();
        checks!(M059:
            world::wait("the reference of the parent is given back", || {
                let view = session.status().unwrap().hosted_network;
                (view.references, view.state.as_str()) == (0, "idle")
            });
            nix::sys::signal::kill(child, None).expect("the child lives all the while");
        );
        nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).unwrap();
    });
}

#[test]
fn many_threads_pass_the_sanitizers_of_addresses_and_behaviour() {
    if !present("gcc") {
        return;
    }
    run("many_threads_pass_the_sanitizers_of_addresses_and_behaviour", |world: &World| {
        let sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        let program = compiled("gcc", world, "threads", &sanitizers);
        run_to_its_end(Command::new(program).arg("40").env("LD_LIBRARY_PATH", library_path(world)));
    });
}

#[test]
fn every_buffer_is_the_callers_and_nothing_else_is_touched() {
    if !present("gcc") || !present("valgrind") {
        return;
    }
    run("every_buffer_is_the_callers_and_nothing_else_is_touched", |world: &World| {
        let program = compiled("gcc", world, "threads", &[]);
        let mut command = Command::new("valgrind");
        command
            .args(["--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite"])
            .args(["--errors-for-leak-kinds=definite", "--fair-sched=yes"])
            .arg(program)
            .arg("3")
            .env("LD_LIBRARY_PATH", library_path(world));
        run_to_its_end(&mut command);
    });
}

#[test]
fn the_library_has_a_version_and_pkg_config_finds_it() {
    if !present("gcc") || !present("pkg-config") || !present("readelf") {
        return;
    }
    run("the_library_has_a_version_and_pkg_config_finds_it", |world: &World| {
        assert_eq!(flags(world, "--modversion"), [env!("CARGO_PKG_VERSION")]);
        let dynamic = run_to_its_end(Command::new("readelf").arg("-d").arg(shared_object()));
        assert!(dynamic.contains("Library soname: [libwlanapi.so.1]"), "{dynamic}");
        let source = folder_of_the_crate().join("../../examples/c/hosted_network.c");
        let text = fs::read_to_string(&source).unwrap();
        assert!(text.contains(" * Build: cc -o hosted_network hosted_network.c -lwlanapi\n"));
        let program = world.folder().join("found");
        let mut build = Command::new("gcc");
        build.arg("-o").arg(&program).arg(source).args(flags(world, "--cflags --libs"));
        run_to_its_end(&mut build);
        let needed = run_to_its_end(Command::new("readelf").arg("-d").arg(program));
        assert!(needed.contains("Shared library: [libwlanapi.so.1]"), "{needed}");
    });
}

#[test]
fn the_manual_page_names_every_function_and_formats_without_a_warning() {
    let page = folder_of_the_crate().join("../../dist/man/libwlanapi.3");
    let text = fs::read_to_string(&page).unwrap();
    for symbol in EXPORTS {
        assert!(text.contains(symbol), "the page does not mention {symbol}");
    }
    if !present("groff") {
        return;
    }
    let output = Command::new("groff").args(["-man", "-ww", "-Tutf8", "-z"]).arg(page).output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
