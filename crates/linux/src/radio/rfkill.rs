//! The switches of the radios: read from sysfs, whose changes `/dev/rfkill` announces. Never switches anything.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, read_to_string},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use hn_types::radio::RadioSwitch;

/// Where the kernel lists its switches.
pub(super) const CLASS: &str = "/sys/class/rfkill";

/// The switches below `class` by the number of their radio. A radio may have several; one that is off is enough.
pub(super) fn switches(class: &Path) -> BTreeMap<u32, RadioSwitch> {
    let mut found: BTreeMap<u32, RadioSwitch> = BTreeMap::new();
    for entry in class.read_dir().into_iter().flatten().flatten() {
        let path = entry.path();
        let read = |file: &str| read_to_string(path.join(file)).ok().map(|text| text.trim().to_owned());
        if read("type").as_deref() != Some("wlan") {
            continue;
        }
        // The switch of a radio hangs below it; a platform's own switch acts through those.
        let Some(wiphy) = read("device/index").and_then(|text| text.parse().ok()) else { continue };
        let switch = found.entry(wiphy).or_default();
        switch.soft |= read("soft").as_deref() == Some("1");
        switch.hard |= read("hard").as_deref() == Some("1");
    }
    found
}

/// The device that becomes readable with every change; `None` where there is none or it may not be read.
pub(super) fn announcements() -> Option<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/rfkill").ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs::{create_dir_all, write};

    use super::*;

    #[test]
    fn a_switch_belongs_to_the_radio_it_hangs_below() {
        let class = tempfile::tempdir().unwrap();
        let make = |name: &str, kind: &str, wiphy: Option<&str>, soft: &str, hard: &str| {
            let dir = class.path().join(name);
            create_dir_all(dir.join("device")).unwrap();
            write(dir.join("type"), format!("{kind}\n")).unwrap();
            write(dir.join("soft"), format!("{soft}\n")).unwrap();
            write(dir.join("hard"), format!("{hard}\n")).unwrap();
            if let Some(wiphy) = wiphy {
                write(dir.join("device/index"), format!("{wiphy}\n")).unwrap();
            }
        };
        make("rfkill0", "bluetooth", Some("0"), "1", "1");
        make("rfkill1", "wlan", Some("0"), "0", "0");
        make("rfkill2", "wlan", Some("3"), "1", "0");
        make("rfkill3", "wlan", None, "1", "1");
        let found = switches(class.path());
        assert_eq!(found.get(&0), Some(&RadioSwitch { soft: false, hard: false }));
        assert_eq!(found.get(&3), Some(&RadioSwitch { soft: true, hard: false }));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_kernel_without_switches_has_none() {
        assert!(switches(Path::new("/nonexistent")).is_empty());
    }
}
