//! Where things are, and how other programs are called.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand};
use hn_testlab::vm::image::{self, Image};

/// This repository.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Packages, targets and the resolved graph of dependencies.
    pub(crate) metadata: Metadata,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        // The manifest of this crate, not the caller's folder: the chores are about this repository.
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut command = MetadataCommand::new();
        command.manifest_path(manifest).other_options(vec!["--locked".to_owned()]);
        Ok(Self { metadata: command.exec().context("cargo metadata")? })
    }

    /// The top folder.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The folder for everything that is made.
    pub(crate) fn target(&self) -> &Path {
        self.metadata.target_directory.as_std_path()
    }

    /// The programs of the development profile.
    pub(crate) fn programs(&self) -> PathBuf {
        self.target().join("debug")
    }

    /// The lab's machine, made if it is not there. It is kept below `target/lab`, or `LAB_CACHE`.
    pub(crate) fn image(&self) -> Result<Image> {
        let cache = std::env::var_os("LAB_CACHE").map_or_else(|| self.target().join("lab"), PathBuf::from);
        image::prepare(&cache, &mut say)
    }

    /// A call of the cargo that called us, at the top folder.
    pub(crate) fn cargo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(words).current_dir(self.root());
        // Set by the `cargo run` that started us; a nested cargo must decide for itself.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            command.env_remove(name);
        }
        command
    }

    /// Names of the workspace's packages.
    pub(crate) fn members(&self) -> Vec<String> {
        self.metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect()
    }
}

/// Tells a person what is going on.
pub(crate) fn say(text: &str) {
    println!("xtask: {text}");
}

/// Runs `command` in the foreground; it must succeed.
pub(crate) fn must(mut command: Command) -> Result<()> {
    let line = line(&command);
    say(&line);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// A command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Hands bytes to a person as they come.
pub(crate) fn to_stdout(bytes: &[u8]) {
    let mut out = std::io::stdout();
    // A reader that went away is no reason to stop a test.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}
