//! Under which name the program was called, and what that means.

use std::{ffi::OsString, path::Path, process::ExitCode};

use clap::Parser;

use crate::{
    args::{Args, Verb},
    commands, net, netsh,
};

/// Does what was typed, `words` being all of it with the name of the program first. Called `netsh`, `net` or `sc`, in
/// any case and with `.exe` or without, the program is that one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the commands of other programs are few and told apart here; all others belong together"
)]
pub fn run(words: Vec<OsString>) -> ExitCode {
    let called = words.first().and_then(|name| Path::new(name).file_name()).unwrap_or_default();
    let called = called.to_string_lossy().to_ascii_lowercase();
    let after = |words: Vec<OsString>| words.into_iter().skip(1).collect();
    let socket = hostednet::socket_path();
    match called.strip_suffix(".exe").unwrap_or(&called) {
        "netsh" => return netsh::run(&socket, after(words)),
        "net" => return net::net(&socket, after(words)),
        "sc" => return net::sc(&socket, after(words)),
        _ => {}
    }
    let args = Args::parse_from(words);
    let socket = args.socket.clone().unwrap_or(socket);
    match args.command {
        Verb::Netsh { words } => netsh::run(&socket, words),
        Verb::Net { words } => net::net(&socket, words),
        Verb::Sc { words } => net::sc(&socket, words),
        _ => commands::run(args),
    }
}
