//! Securable objects in words of Windows.
//!
//! What a caller may do is decided by the service, by identity: root, or a process with `CAP_NET_ADMIN`. That
//! rule is what the descriptor of an object says; it is not a list anybody can edit.

use nix::unistd::geteuid;

use crate::types::{
    DWORD, ERROR_ACCESS_DENIED, ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED, WLAN_SECURABLE_OBJECT,
    WLAN_SECURABLE_OBJECT_COUNT,
};

/// `WLAN_EXECUTE_ACCESS`: to read and to use.
pub(crate) const WLAN_EXECUTE_ACCESS: DWORD = 0x0002_0021;
/// `WLAN_WRITE_ACCESS`: everything.
pub(crate) const WLAN_WRITE_ACCESS: DWORD = 0x0007_0023;

/// Administrators may write, everybody may use.
pub(crate) const DESCRIPTOR: &str = "O:BAG:BAD:(A;;0x70023;;;BA)(A;;0x20021;;;WD)";

/// Whether there is such an object.
pub(crate) fn exists(object: WLAN_SECURABLE_OBJECT) -> bool {
    (0..WLAN_SECURABLE_OBJECT_COUNT).contains(&object)
}

/// The rights of this process.
pub(crate) fn granted() -> DWORD {
    if elevated() { WLAN_WRITE_ACCESS } else { WLAN_EXECUTE_ACCESS }
}

/// What setting a descriptor comes to: the one in force can be set again, another one is not supported.
pub(crate) fn set(descriptor: &str) -> Result<(), DWORD> {
    let form = |text: &str| ["O:", "G:", "D:", "S:"].iter().any(|part| text.starts_with(part));
    if !form(descriptor) {
        return Err(ERROR_INVALID_PARAMETER);
    }
    if !elevated() {
        return Err(ERROR_ACCESS_DENIED);
    }
    if descriptor == DESCRIPTOR { Ok(()) } else { Err(ERROR_NOT_SUPPORTED) }
}

fn elevated() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let capable = || {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        Some(u64::from_str_radix(set.trim(), 16).ok()? >> CAP_NET_ADMIN & 1 == 1)
    };
    geteuid().is_root() || capable().unwrap_or(false)
}
