//! Getting in the way of a firewall.

use std::io::Write as _;
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result};

use crate::command::SHORT;
use crate::ns::Namespace;
use crate::wait;

/// A process that holds a table called `inet hostednet` for itself (`flags owner`, Linux 5.12): the kernel
/// refuses every change to it by anybody else. The table goes with its owner.
#[derive(Debug)]
pub struct OwnedTable(Child);

impl OwnedTable {
    /// Takes the name.
    ///
    /// # Errors
    /// If the kernel does not know tables with an owner.
    pub fn take(place: &Namespace) -> Result<Self> {
        let mut command = place.command("nft");
        command.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut owner = Self(command.spawn()?);
        let input = owner.0.stdin.as_mut().context("piped")?;
        input.write_all(b"add table inet hostednet { flags owner; }\n")?;
        input.flush()?;
        wait::holds("the owned table", SHORT, || {
            Ok(place.run("nft list tables")?.stdout.contains("inet hostednet"))
        })?;
        Ok(owner)
    }

    /// Gives the name back.
    ///
    /// # Errors
    /// If the table is still there after its owner's end.
    pub fn release(mut self, place: &Namespace) -> Result<()> {
        self.end();
        wait::holds("the end of the owned table", SHORT, || {
            Ok(!place.run("nft list tables")?.stdout.contains("inet hostednet"))
        })
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for OwnedTable {
    fn drop(&mut self) {
        self.end();
    }
}
