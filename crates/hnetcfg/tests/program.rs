//! The shared object as C and C++ programs meet it, next to that of the hosted network (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../../wlanapi/tests/world/mod.rs"]
mod world;

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use hn_conformance::checks;
// Builds the other shared object.
use wlanapi as _;
use world::{World, run};

const FUNCTIONS: &[&str] = &[
    "CLSIDFromProgID",
    "CLSIDFromString",
    "CoCreateInstance",
    "CoInitialize",
    "CoInitializeEx",
    "CoInitializeSecurity",
    "CoTaskMemAlloc",
    "CoTaskMemFree",
    "CoTaskMemRealloc",
    "CoUninitialize",
    "DllCanUnloadNow",
    "DllGetClassObject",
    "IIDFromString",
    "NcFreeNetconProperties",
    "NcIsValidConnectionName",
    "StringFromGUID2",
    "SysAllocString",
    "SysAllocStringByteLen",
    "SysAllocStringLen",
    "SysFreeString",
    "SysReAllocString",
    "SysReAllocStringLen",
    "SysStringByteLen",
    "SysStringLen",
    "VariantChangeType",
    "VariantClear",
    "VariantCopy",
    "VariantInit",
];

const IDENTIFIERS: &[&str] = &[
    "CLSID_ConnectionManager",
    "CLSID_NetSharingManager",
    "GUID_NULL",
    "IID_IClassFactory",
    "IID_IDispatch",
    "IID_IEnumNetConnection",
    "IID_IEnumNetSharingEveryConnection",
    "IID_IEnumNetSharingPortMapping",
    "IID_IEnumNetSharingPrivateConnection",
    "IID_IEnumNetSharingPublicConnection",
    "IID_IEnumVARIANT",
    "IID_INetConnection",
    "IID_INetConnectionManager",
    "IID_INetConnectionProps",
    "IID_INetSharingConfiguration",
    "IID_INetSharingEveryConnectionCollection",
    "IID_INetSharingManager",
    "IID_INetSharingPortMapping",
    "IID_INetSharingPortMappingCollection",
    "IID_INetSharingPortMappingProps",
    "IID_INetSharingPrivateConnectionCollection",
    "IID_INetSharingPublicConnectionCollection",
    "IID_IUnknown",
    "IID_NULL",
];

/// Whether a program of the machine is there; says so when it is not.
fn present(program: &str) -> bool {
    let found =
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        world::skip(&format!("{program} is missing"));
    }
    found
}

fn shared_object(name: &str) -> PathBuf {
    world::built(&format!("deps/lib{name}.so"))
}

fn folder_of_the_crate() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn program(name: &str) -> PathBuf {
    folder_of_the_crate().join("tests/programs").join(name)
}

#[test]
fn the_shared_object_exports_exactly_the_documented_symbols() {
    if !present("nm") {
        return;
    }
    let output =
        Command::new("nm").args(["-D", "--defined-only"]).arg(shared_object("hnetcfg")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut symbols: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
    symbols.sort_unstable();
    let mut documented: Vec<&str> = FUNCTIONS.iter().chain(IDENTIFIERS).copied().collect();
    documented.sort_unstable();
    assert_eq!(symbols, documented);
    let header = std::fs::read_to_string(folder_of_the_crate().join("include/netcon.h")).unwrap();
    let manual = std::fs::read_to_string(folder_of_the_crate().join("../../dist/man/libhnetcfg.3")).unwrap();
    for symbol in FUNCTIONS {
        assert!(header.contains(&format!(" {symbol}(")), "the header does not declare {symbol}");
        assert!(manual.contains(symbol), "the manual does not name {symbol}");
    }
    for symbol in IDENTIFIERS {
        assert!(header.contains(&format!(" {symbol};")), "the header does not declare {symbol}");
    }
}

#[test]
fn the_shared_object_has_a_version_and_a_file_for_pkg_config() {
    if !present("readelf") {
        return;
    }
    let output = Command::new("readelf").arg("-d").arg(shared_object("hnetcfg")).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("soname: [libhnetcfg.so.1]"));
    let file = std::fs::read_to_string(folder_of_the_crate().join("../../dist/hnetcfg.pc")).unwrap();
    assert!(file.contains(&format!("Version: {}", env!("CARGO_PKG_VERSION"))));
    assert!(file.contains("-lhnetcfg"));
}

/// Compiles a C or C++ program against both headers and libraries.
fn compile(compiler: &str, world: &World, source: &Path) -> PathBuf {
    let folder = world.folder();
    for library in ["wlanapi", "hnetcfg"] {
        for name in [format!("lib{library}.so"), format!("lib{library}.so.1")] {
            let link = folder.join(name);
            if !link.exists() {
                std::os::unix::fs::symlink(shared_object(library), link).unwrap();
            }
        }
    }
    let program = folder.join(format!("{}-{compiler}", source.file_stem().unwrap().display()));
    let standard = if compiler.ends_with("++") { "-std=c++17" } else { "-std=c11" };
    let output = Command::new(compiler)
        .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-I"])
        .arg(folder_of_the_crate().join("include"))
        .arg("-I")
        .arg(folder_of_the_crate().join("../wlanapi/include"))
        .arg(source)
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder)
        .args(["-lhnetcfg", "-lwlanapi"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A running program that is talked to.
struct Running {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn begin(world: &World, program: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env("LD_LIBRARY_PATH", world.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let input = child.stdin.take().unwrap();
        Self { child, input, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the program says something").unwrap()
    }

    fn go_on(&mut self) {
        self.input.write_all(b"\n").unwrap();
    }

    /// What else it says, and whether it succeeded.
    fn end(mut self) -> (Vec<String>, bool) {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        (rest, self.child.wait().unwrap().success())
    }
}

/// State of the network, mode of sharing, public and private connections.
fn state(world: &World) -> (String, String, Option<String>, Vec<String>) {
    let status = world.session().status().unwrap();
    let (network, sharing) = (status.hosted_network, status.sharing);
    (
        network.state.as_str().to_owned(),
        sharing.mode.as_str().to_owned(),
        sharing.public.map(|name| name.to_string()),
        sharing.private.iter().map(ToString::to_string).collect(),
    )
}

/// Waits until the service knows the connections of the simulated machine.
fn settle(world: &World) {
    world::wait("the connections are known", || world.session().connections().unwrap().len() == 3);
}

#[test]
fn the_example_lists_connections_shares_two_maps_a_port_and_undoes_it() {
    if !present("g++") {
        return;
    }
    run("the_example_lists_connections_shares_two_maps_a_port_and_undoes_it", |world: &World| {
        settle(world);
        let source = folder_of_the_crate().join("../../examples/c/share.cpp");
        assert!(std::fs::read_to_string(&source).unwrap().lines().count() < 150);
        let program = compile("g++", world, &source);
        let (lines, success) = Running::begin(world, &program, &[]).end();
        assert!(success);
        for name in ["eth0: ", "eth1: ", "wlan0: "] {
            assert!(lines.iter().any(|line| line.starts_with(name)), "{lines:?}");
        }
        let mut example = Running::begin(world, &program, &["wlan0", "eth0"]);
        let mapping = example.line();
        assert_eq!(mapping, "mapping: Web server, port 8080 to 192.168.137.7 port 80, enabled");
        assert_eq!(example.line(), "shared");
        let shared = state(world);
        assert_eq!(
            (shared.1.as_str(), shared.2.as_deref(), shared.3),
            ("full", Some("wlan0"), vec!["eth0".to_owned()])
        );
        assert_eq!(world.session().mappings().unwrap().len(), 1);
        example.go_on();
        assert_eq!(example.end(), (Vec::new(), true));
        assert_eq!(state(world).1, "off");
        assert!(world.session().mappings().unwrap().is_empty());
        let (lines, success) = Running::begin(world, &program, &["wlan0", "nothing"]).end();
        assert!(!success && lines.is_empty());
    });
}

#[test]
fn a_c_program_calls_both_libraries_in_the_typical_order() {
    run("a_c_program_calls_both_libraries_in_the_typical_order", |world: &World| {
        settle(world);
        for compiler in ["gcc", "clang"] {
            if !present(compiler) {
                continue;
            }
            let program = compile(compiler, world, &program("order.c"));
            let mut order = Running::begin(world, &program, &["wlan0"]);
            checks!(M108: {
                assert_eq!(order.line(), "shared");
                let (network, mode, public, private) = state(world);
                let adapter = world.session().status().unwrap().hosted_network.interface.unwrap();
                assert_eq!((network.as_str(), mode.as_str(), public.as_deref()), ("active", "full", Some("wlan0")));
                assert_eq!(private, [adapter.to_string()]);
                order.go_on();
                let (lines, success) = order.end();
                assert!(success, "{lines:?}");
                assert!(lines[0].starts_with("done after "), "{lines:?}");
            });
            let (network, mode, ..) = state(world);
            assert_eq!((network.as_str(), mode.as_str()), ("idle", "off"));
        }
    });
}

#[test]
fn a_cpp_program_starts_network_and_sharing_as_a_whole() {
    run("a_cpp_program_starts_network_and_sharing_as_a_whole", |world: &World| {
        settle(world);
        for compiler in ["g++", "clang++"] {
            if !present(compiler) {
                continue;
            }
            let program = compile(compiler, world, &program("start.cpp"));
            // Nothing is shared before: nothing is remembered.
            let mut start = Running::begin(world, &program, &["wlan0", "-"]);
            checks!(M140: {
                assert_eq!(start.line(), "ready");
                start.go_on();
                assert_eq!(start.line(), "running");
                let (network, mode, public, private) = state(world);
                assert_eq!((network.as_str(), mode.as_str(), public.as_deref()), ("active", "full", Some("wlan0")));
                assert_eq!(private.len(), 1);
                assert!(private[0] != "eth0" && private[0] != "eth1");
            });
            start.go_on();
            assert_eq!(start.end(), (Vec::new(), true));
            let (network, mode, ..) = state(world);
            assert_eq!((network.as_str(), mode.as_str()), ("idle", "off"));
        }
    });
}

#[test]
fn when_sharing_fails_the_cpp_program_leaves_the_pair_that_was_and_no_network() {
    if !present("g++") {
        return;
    }
    run("when_sharing_fails_the_cpp_program_leaves_the_pair_that_was_and_no_network", |world: &World| {
        settle(world);
        let program = compile("g++", world, &program("start.cpp"));
        let session = world.session();
        session.enable_sharing("wlan0", hostednet::Role::Public).unwrap();
        session.enable_sharing("eth0", hostednet::Role::Private).unwrap();
        let before = state(world);
        assert_eq!((before.0.as_str(), before.1.as_str()), ("idle", "full"));
        // The same pair: it runs on, and there is nothing to remember.
        let mut same = Running::begin(world, &program, &["wlan0", "eth0"]);
        assert_eq!(same.line(), "running");
        assert_eq!(state(world).1, "full");
        drop(same.input);
        same.child.wait().unwrap();
        session.enable_sharing("wlan0", hostednet::Role::Public).unwrap();
        session.enable_sharing("eth0", hostednet::Role::Private).unwrap();

        let mut start = Running::begin(world, &program, &["wlan0", "-"]);
        checks!(M138: {
            assert_eq!([start.line(), start.line()], ["cached: wlan0", "cached: eth0"]);
            assert_eq!(start.line(), "ready");
        });
        // The pair is switched off first, which must succeed; then the new one fails.
        world.console("hang firewall");
        start.go_on();
        world::wait("sharing changes", || {
            session.status().is_ok_and(|status| status.sharing.phase.as_str().ends_with("_pending"))
        });
        // Said while the first step hangs, so that it is the second that fails.
        world.console("fail firewall the kernel refused");
        world.console("release firewall");
        checks!(M139, M140: {
            let (lines, success) = start.end();
            assert!(!success);
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].starts_with("failed: sharing 0x8007"), "{lines:?}");
            assert_eq!(state(world), before, "the network is down, sharing is what it was");
        });
    });
}

/// Sizes and offsets as two languages see them.
const LAYOUTS: &str = r"
#include <netcon.h>
#include <wlanapi.h>
#ifdef __cplusplus
#define HOLDS(x) static_assert(x, #x)
#else
#define HOLDS(x) _Static_assert(x, #x)
#endif
#define SLOTS(n) (n * sizeof(void *))
HOLDS(sizeof(VARIANT) == (sizeof(void *) == 8 ? 24 : 16) && offsetof(VARIANT, lVal) == 8);
HOLDS(sizeof(OLECHAR) == 2 && sizeof(u'x') == 2);
HOLDS(sizeof(VARIANT_BOOL) == 2 && VARIANT_TRUE == -1);
HOLDS(sizeof(GUID) == 16);
#if UINTPTR_MAX > 0xffffffff
HOLDS(sizeof(NETCON_PROPERTIES) == 80);
HOLDS(offsetof(NETCON_PROPERTIES, pszwName) == 16);
HOLDS(offsetof(NETCON_PROPERTIES, pszwDeviceName) == 24);
HOLDS(offsetof(NETCON_PROPERTIES, Status) == 32);
HOLDS(offsetof(NETCON_PROPERTIES, MediaType) == 36);
HOLDS(offsetof(NETCON_PROPERTIES, dwCharacter) == 40);
HOLDS(offsetof(NETCON_PROPERTIES, clsidThisObject) == 44);
HOLDS(offsetof(NETCON_PROPERTIES, clsidUiObject) == 60);
HOLDS(sizeof(EXCEPINFO) == 64 && sizeof(DISPPARAMS) == 24);
#endif
HOLDS(HRESULT_FROM_WIN32(1062) == (HRESULT)0x80070426);
#ifndef __cplusplus
HOLDS(sizeof(INetSharingManagerVtbl) == SLOTS(13));
HOLDS(sizeof(INetSharingConfigurationVtbl) == SLOTS(17));
HOLDS(offsetof(INetSharingConfigurationVtbl, AddPortMapping) == SLOTS(15));
HOLDS(sizeof(INetSharingPortMappingVtbl) == SLOTS(11));
HOLDS(sizeof(INetSharingPortMappingPropsVtbl) == SLOTS(15));
HOLDS(sizeof(INetConnectionVtbl) == SLOTS(10));
HOLDS(sizeof(INetConnectionPropsVtbl) == SLOTS(13));
HOLDS(sizeof(INetSharingEveryConnectionCollectionVtbl) == SLOTS(9));
HOLDS(sizeof(IEnumNetSharingEveryConnectionVtbl) == SLOTS(7));
HOLDS(sizeof(IEnumNetConnectionVtbl) == SLOTS(7));
HOLDS(sizeof(INetConnectionManagerVtbl) == SLOTS(4));
#endif
int main(void) {
    BSTR text = SysAllocString(u``text``);
    UINT length = SysStringLen(text);
    SysFreeString(text);
    return length == 4 && CoInitializeEx(NULL, 0x100) == E_INVALIDARG ? 0 : 1;
}
";

#[test]
fn the_header_has_the_exact_layouts_in_c_and_in_cpp() {
    run("the_header_has_the_exact_layouts_in_c_and_in_cpp", |world: &World| {
        for (compiler, suffix) in [("gcc", "c"), ("clang", "c"), ("g++", "cpp"), ("clang++", "cpp")] {
            if !present(compiler) {
                continue;
            }
            let source = world.folder().join(format!("layouts.{suffix}"));
            std::fs::write(&source, LAYOUTS.replace("``", "\"")).unwrap();
            let program = compile(compiler, world, &source);
            let status = Command::new(program).env("LD_LIBRARY_PATH", world.folder()).status().unwrap();
            assert!(status.success(), "{compiler}");
        }
    });
}
