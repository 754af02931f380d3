//! GUIDs of connections: version-5 UUIDs (RFC 9562 §5.5) of the machine and the address.

use alloc::{format, string::String};

use hn_types::MacAddr;
use sha1::{Digest, Sha1};

/// The name space, itself a version-5 UUID of `org.hostednet1` in the DNS name space.
const NAME_SPACE: [u8; 16] =
    [0xb4, 0x47, 0xb2, 0x56, 0x9b, 0x26, 0x54, 0xa3, 0x84, 0xcd, 0xcb, 0x6b, 0x07, 0x99, 0x76, 0x0a];

/// The GUID of the connection with this permanent address on this machine, with braces.
pub fn connection_guid(machine_id: &str, address: MacAddr) -> String {
    named_guid(machine_id, &address.0)
}

/// The GUID of whatever `name` says on this machine.
pub(crate) fn named_guid(machine_id: &str, name: &[u8]) -> String {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = digest(machine_id, name);
    let (g, i) = ((g & 0x0f) | 0x50, (i & 0x3f) | 0x80);
    format!(
        "{{{a:02X}{b:02X}{c:02X}{d:02X}-{e:02X}{f:02X}-{g:02X}{h:02X}-{i:02X}{j:02X}-{k:02X}{l:02X}{m:02X}{n:02X}{o:02X}{p:02X}}}"
    )
}

/// The address of an access point of this name on this machine, which tells nobody which adapter it is.
pub(crate) fn stable_address(machine_id: &str, ssid: &[u8]) -> MacAddr {
    let [a, b, c, d, e, f, ..] = digest(machine_id, &[b"bssid:", ssid].concat());
    MacAddr([(a | 0x02) & !0x01, b, c, d, e, f])
}

/// What `name` comes to on this machine, and on no other.
pub(crate) fn digest(machine_id: &str, name: &[u8]) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(NAME_SPACE);
    hash.update(machine_id.as_bytes());
    hash.update([0]);
    hash.update(name);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_stable_and_of_version_five() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let guid = connection_guid("abc", mac);
        assert_eq!(guid, connection_guid("abc", mac));
        assert_eq!(guid.len(), 38);
        assert_eq!(guid.as_bytes().get(15), Some(&b'5'));
        assert!(matches!(guid.as_bytes().get(20), Some(b'8' | b'9' | b'A' | b'B')));
        assert_ne!(guid, connection_guid("abd", mac));
        assert_ne!(guid, connection_guid("abc", mac.derived(0)));
    }

    #[test]
    fn a_made_up_address_is_local_and_stays() {
        let address = stable_address("abc", b"Caf\xc3\xa9");
        assert!(address.is_local() && !address.is_multicast());
        assert_eq!(address, stable_address("abc", b"Caf\xc3\xa9"));
        assert_ne!(address, stable_address("abc", b"Cafe"));
        assert_ne!(address, stable_address("abd", b"Caf\xc3\xa9"));
    }
}
