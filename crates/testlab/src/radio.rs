//! Simulated radios (`mac80211_hwsim`): they exist only inside the lab's VM.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::command::{self, SHORT};
use crate::ns::Namespace;
use crate::{vm, wait};

/// The radios a scenario wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// How many; they all hear each other.
    pub radios: u32,
    /// How many channels each can use at once. With 1 an access point must follow the station beside it.
    pub channels: u32,
}

impl Hardware {
    /// `radios` radios for one channel each.
    #[must_use]
    pub const fn radios(radios: u32) -> Self {
        Self { radios, channels: 1 }
    }
}

/// One radio and the station interface it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Radio {
    /// `phy3`
    pub phy: String,
    /// `wlan3`
    pub interface: String,
}

/// Replaces the radios of the VM by new ones.
///
/// # Errors
/// Outside the VM, or if the kernel does not bring them up.
pub fn install(hardware: Hardware) -> Result<Vec<Radio>> {
    ensure!(vm::inside(), "radios exist only inside the lab's VM");
    let module = Path::new(vm::MODULES).join("mac80211_hwsim.ko");
    // Away with the old ones; on the very first call there may be none.
    let _ = command::run(Command::new("rmmod").arg("mac80211_hwsim"), SHORT)?;
    let mut insert = Command::new("insmod");
    insert
        .arg(module)
        .arg(format!("radios={}", hardware.radios))
        .arg(format!("channels={}", hardware.channels));
    command::run(&mut insert, SHORT)?.success()?;
    let wanted = usize::try_from(hardware.radios)?;
    wait::until("the new radios", Duration::from_secs(20), || {
        let radios = present()?;
        Ok((radios.len() == wanted).then_some(radios))
    })
}

/// The radios in the machine's own network, in their order.
///
/// # Errors
/// If the kernel's listing cannot be read.
pub fn present() -> Result<Vec<Radio>> {
    let mut radios = Vec::new();
    let Ok(entries) = std::fs::read_dir("/sys/class/ieee80211") else { return Ok(radios) };
    for entry in entries.flatten() {
        let phy = entry.file_name().to_string_lossy().into_owned();
        let interface = std::fs::read_dir(entry.path().join("device/net"))
            .ok()
            .and_then(|mut names| names.next()?.ok())
            .map(|name| name.file_name().to_string_lossy().into_owned());
        if let Some(interface) = interface {
            radios.push(Radio { phy, interface });
        }
    }
    radios.sort_by_key(|radio| radio.phy.trim_start_matches("phy").parse::<u32>().unwrap_or(u32::MAX));
    Ok(radios)
}

impl Radio {
    /// Takes the radio, with its interface, to `place`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn take_to(&self, place: &Namespace) -> Result<()> {
        let name = place.name().context("the radio is there already")?;
        let mut iw = Command::new("iw");
        iw.args(["phy", &self.phy, "set", "netns", "name", name]);
        command::run(&mut iw, SHORT)?.success()?;
        wait::holds(&format!("{} in {name}", self.interface), Duration::from_secs(10), || {
            place.has_interface(&self.interface)
        })
    }
}
