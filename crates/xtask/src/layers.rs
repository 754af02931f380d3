//! Which crate may depend on which: the layers of ARCHITECTURE.md as a test over `cargo metadata`.
//!
//! A crate depends only on layers below its own. Some edges are forbidden whatever the layers say, and the pure
//! layers may not draw in anything that reads clocks, files, sockets or randomness.
#![cfg(test)]

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Folder below `crates/`, layer. Development crates may depend on everything and nothing depends on them
/// (but other development crates).
const LAYERS: &[(&str, u32)] = &[
    ("types", 0),
    ("dhcp4", 1),
    ("ip6", 1),
    ("dns", 1),
    ("join", 1),
    ("portmap", 1),
    ("nft", 1),
    ("core", 2),
    ("ports", 2),
    ("linux", 3),
    ("sim", 3),
    ("ipc", 3),
    ("worker", 3),
    ("daemon", 4),
    ("client", 4),
    ("cli", 5),
    ("wlanapi", 5),
    ("hnetcfg", 5),
    ("conformance", DEVELOPMENT),
    ("testlab", DEVELOPMENT),
    ("bench", DEVELOPMENT),
    ("xtask", DEVELOPMENT),
];

const DEVELOPMENT: u32 = 9;

/// `no_std`, `forbid(unsafe_code)`: no clock, no randomness, no I/O.
const PURE: &[&str] = &["types", "dhcp4", "ip6", "dns", "join", "portmap", "nft", "core"];

/// Dependencies inside one layer that are wanted.
const SIDEWAYS: &[(&str, &str, &str)] =
    &[("cli", "wlanapi", "`hostednet netsh` may speak through the C interface")];

/// Edges that the layers would allow and the architecture does not.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("client", "daemon", "a client knows the contract, never the service"),
    ("cli", "daemon", "the command line is a client"),
    ("wlanapi", "daemon", "the C interface is a client"),
    ("hnetcfg", "daemon", "the COM interface is a client"),
    ("client", "core", "a client knows the contract, not the machines"),
    ("cli", "core", "a client knows the contract, not the machines"),
    ("ipc", "core", "the contract does not know how requests are served"),
    ("ipc", "ports", "the contract does not know the platform"),
    ("core", "ports", "the core returns values, it never calls a trait"),
    ("linux", "core", "the platform decides nothing"),
    ("sim", "core", "the platform decides nothing"),
    ("worker", "core", "what parses strangers' bytes does not know the machines"),
    ("worker", "linux", "the worker has no privilege and needs no platform"),
    ("linux", "worker", "the platform does not know who serves on its sockets"),
    ("worker", "ipc", "the worker talks to its parent only"),
];

/// External crates that pure crates must not have, directly or through others, with the reason.
const IMPURE: &[(&str, &str)] = &[
    ("tokio", "a runtime: pure code waits for nobody"),
    ("mio", "sockets"),
    ("rustix", "system calls"),
    ("nix", "system calls"),
    ("libc", "system calls"),
    ("rtnetlink", "sockets"),
    ("netlink-sys", "sockets"),
    ("zbus", "a bus"),
    ("tracing", "a global subscriber is a hidden output"),
    ("log", "a global logger is a hidden output"),
    ("getrandom", "randomness comes in as a seed"),
    ("chrono", "reads the clock"),
    ("time", "reads the clock"),
    ("anyhow", "failures of pure code have types"),
    ("tempfile", "files"),
    ("serde_json", "text formats belong to the edge"),
];

/// External crates that have one home.
const HOMES: &[(&str, &[&str], &str)] = &[
    ("rtnetlink", &["linux", "bench", "testlab"], "links are the platform's"),
    ("wl-nl80211", &["linux"], "radios are the platform's"),
    ("netlink-sys", &["linux", "bench", "testlab"], "netlink is the platform's"),
    (
        "zbus",
        &["ipc", "daemon", "client", "linux", "testlab"],
        "the bus is spoken at the edges: with our clients and our neighbours",
    ),
    ("ratatui", &["cli"], "screens are the command line's"),
    ("seccompiler", &["worker"], "the sandbox is the worker's"),
    ("landlock", &["worker"], "the sandbox is the worker's"),
    ("anyhow", &["cli", "daemon", "testlab", "bench", "xtask"], "only programs give up with a text"),
];

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).exec().expect("cargo metadata works where cargo does")
}

/// folder → (package name, names of normal and build dependencies).
fn edges(metadata: &Metadata) -> BTreeMap<String, (String, Vec<String>)> {
    let mut found = BTreeMap::new();
    for package in metadata.workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|path| path.file_name())
            .expect("a manifest lies in a folder");
        let wanted =
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        let names = wanted.map(|dependency| dependency.name.clone()).collect();
        found.insert(folder.to_owned(), (package.name.to_string(), names));
    }
    found
}

fn layer(folder: &str) -> u32 {
    let found = LAYERS.iter().find(|(name, _)| *name == folder);
    found.unwrap_or_else(|| panic!("crates/{folder} has no layer: add it to LAYERS and to ARCHITECTURE.md")).1
}

/// folder → folders of the workspace's crates it depends on.
fn inner(edges: &BTreeMap<String, (String, Vec<String>)>) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    for (from, (_, names)) in edges {
        for (to, (name, _)) in edges {
            if names.contains(name) {
                pairs.push((from.as_str(), to.as_str()));
            }
        }
    }
    pairs
}

#[test]
fn a_crate_depends_only_on_layers_below_its_own() {
    let edges = edges(&metadata());
    for (from, to) in inner(&edges) {
        let sideways = SIDEWAYS.iter().any(|(a, b, _)| (*a, *b) == (from, to));
        let development = layer(from) == DEVELOPMENT;
        assert!(
            layer(to) < layer(from) || sideways || development,
            "{from} (layer {}) depends on {to} (layer {})",
            layer(from),
            layer(to)
        );
    }
}

#[test]
fn nothing_but_development_depends_on_development() {
    let edges = edges(&metadata());
    for (from, to) in inner(&edges) {
        assert!(layer(to) != DEVELOPMENT || layer(from) == DEVELOPMENT, "{from} depends on {to}");
    }
}

#[test]
fn forbidden_edges_do_not_exist_even_by_a_detour() {
    let edges = edges(&metadata());
    let pairs = inner(&edges);
    for (from, to, reason) in FORBIDDEN {
        let (mut open, mut seen) = (vec![*from], vec![*from]);
        while let Some(folder) = open.pop() {
            for (_, next) in pairs.iter().filter(|(start, _)| *start == folder) {
                assert!(next != to, "{from} reaches {to} through {folder}: {reason}");
                if !seen.contains(next) {
                    seen.push(next);
                    open.push(next);
                }
            }
        }
    }
}

#[test]
fn pure_crates_draw_in_nothing_impure() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().expect("cargo metadata resolves");
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    for package in metadata.workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|path| path.file_name())
            .expect("a manifest lies in a folder");
        if !PURE.contains(&folder) {
            continue;
        }
        let (mut open, mut seen) = (vec![&package.id], vec![&package.id]);
        while let Some(id) = open.pop() {
            let Some(node) = nodes.get(id) else { continue };
            for dependency in &node.deps {
                let normal = dependency.dep_kinds.iter().any(|kind| {
                    // Procedural macros run at build time; what they use is not in the program.
                    kind.kind == DependencyKind::Normal && kind.target.is_none()
                });
                let target = &metadata[&dependency.pkg];
                let macros = target.targets.iter().any(|target| target.is_proc_macro());
                if !normal || macros || seen.contains(&&dependency.pkg) {
                    continue;
                }
                for (name, reason) in IMPURE {
                    assert!(target.name.as_str() != *name, "{folder} draws in {name}: {reason}");
                }
                seen.push(&dependency.pkg);
                open.push(&dependency.pkg);
            }
        }
    }
}

#[test]
fn external_crates_stay_in_their_homes() {
    let edges = edges(&metadata());
    for (name, homes, reason) in HOMES {
        for (folder, (_, names)) in &edges {
            let direct = names.iter().any(|dependency| dependency == name);
            assert!(!direct || homes.contains(&folder.as_str()), "{folder} depends on {name}: {reason}");
        }
    }
}

#[test]
fn pure_crates_forbid_unsafe_and_std() {
    for package in metadata().workspace_packages() {
        let folder = package.manifest_path.parent().expect("a manifest lies in a folder");
        if !PURE.contains(&folder.file_name().expect("a folder has a name")) {
            continue;
        }
        let text = std::fs::read_to_string(folder.join("src/lib.rs")).expect("a library has a lib.rs");
        for attribute in ["#![no_std]", "#![forbid(unsafe_code)]"] {
            assert!(text.contains(attribute), "{folder}/src/lib.rs lacks {attribute}");
        }
    }
}
