//! What wpa_supplicant writes on its control socket, read: events and the list of networks in the air.
//!
//! Names of networks are strangers' bytes; they are compared and never believed.

use hn_join::Sighting;
use hn_types::MacAddr;

/// An event that matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A look at all channels is over.
    ScanDone,
    /// It could not be done.
    ScanFailed,
    /// The handshake with this access point is done, for the network with this id.
    Connected { bssid: MacAddr, network: String },
    /// The driver has lost the connection.
    Disconnected { reason: u16, locally: bool },
    /// The network with this id is not tried for a while; the key may be why.
    Disabled { network: String, wrong_key: bool },
    /// Authentication or association was turned down.
    Rejected,
    /// The supplicant ends, or its interface is gone.
    Terminating,
}

/// Reads one datagram of the monitor socket: `<3>CTRL-EVENT-…`.
pub(super) fn event(datagram: &[u8]) -> Option<Word> {
    let text = std::str::from_utf8(datagram).ok()?;
    let text = match text.strip_prefix('<') {
        Some(rest) => rest.split_once('>')?.1,
        None => text,
    };
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    match name.trim_end() {
        "CTRL-EVENT-SCAN-RESULTS" => Some(Word::ScanDone),
        "CTRL-EVENT-SCAN-FAILED" => Some(Word::ScanFailed),
        "CTRL-EVENT-CONNECTED" => {
            let bssid = rest.strip_prefix("- Connection to ")?.split(' ').next()?.parse().ok()?;
            let network = rest.split_once("[id=")?.1.split([' ', ']']).next()?.to_owned();
            Some(Word::Connected { bssid, network })
        }
        "CTRL-EVENT-DISCONNECTED" => {
            let reason = field(rest, "reason").and_then(|text| text.parse().ok()).unwrap_or_default();
            Some(Word::Disconnected { reason, locally: field(rest, "locally_generated") == Some("1") })
        }
        "CTRL-EVENT-SSID-TEMP-DISABLED" => {
            // The name stands between the two: first and last field cannot be forged by it.
            let network = rest.strip_prefix("id=")?.split(' ').next()?.to_owned();
            Some(Word::Disabled { network, wrong_key: rest.trim_end().ends_with(" reason=WRONG_KEY") })
        }
        "CTRL-EVENT-ASSOC-REJECT" | "CTRL-EVENT-AUTH-REJECT" => Some(Word::Rejected),
        "CTRL-EVENT-TERMINATING" => Some(Word::Terminating),
        _ => None,
    }
}

/// The value of `name=value` among words parted by blanks.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::trim_end)
}

/// One access point of the answer to `BSS RANGE=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bss {
    /// The supplicant's number for it.
    pub(super) id: u32,
    pub(super) seen: Sighting,
    pub(super) level_dbm: i32,
    /// Seconds since it was last heard.
    pub(super) age: u64,
    pub(super) ssid: Vec<u8>,
}

/// What is asked for: id, address, frequency, level, age, name, and a line between two.
pub(super) const BSS_MASK: &str = "0x21287";

/// Reads the answer to `BSS RANGE=… MASK=0x21287`; an entry that is cut off is left out.
pub(super) fn access_points(answer: &str) -> Vec<Bss> {
    let mut found = Vec::new();
    for entry in answer.split("====") {
        let value = |name: &str| {
            entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
        };
        let read = || {
            Some(Bss {
                id: value("id")?.parse().ok()?,
                seen: Sighting {
                    bssid: value("bssid")?.parse().ok()?,
                    frequency_mhz: value("freq")?.parse().ok()?,
                },
                level_dbm: value("level")?.parse().ok()?,
                age: value("age")?.parse().ok()?,
                ssid: unescape(&value("ssid")?)?,
            })
        };
        found.extend(read());
    }
    found
}

/// The inverse of the supplicant's `printf_encode`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let (&kind, after) = rest.split_first()?;
        rest = after;
        bytes.push(match kind {
            b'\\' | b'"' => kind,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'e' => 0x1b,
            b'x' => {
                let (digits, after) = rest.split_first_chunk::<2>()?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_events_of_a_connection_are_read() {
        let connected = b"<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:00:00 completed [id=3 id_str=]";
        assert_eq!(
            event(connected),
            Some(Word::Connected { bssid: "02:00:00:00:00:00".parse().unwrap(), network: "3".into() })
        );
        assert_eq!(
            event(b"<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:00:00 reason=3 locally_generated=1"),
            Some(Word::Disconnected { reason: 3, locally: true })
        );
        assert_eq!(
            event(b"<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:00:00 reason=0"),
            Some(Word::Disconnected { reason: 0, locally: false })
        );
        assert_eq!(event(b"<3>CTRL-EVENT-SCAN-RESULTS "), Some(Word::ScanDone));
        assert_eq!(event(b"<3>CTRL-EVENT-SCAN-FAILED ret=-16"), Some(Word::ScanFailed));
        assert_eq!(event(b"<3>CTRL-EVENT-BSS-ADDED 0 02:00:00:00:00:00"), None);
        assert_eq!(event(b"\xff"), None);
    }

    #[test]
    fn a_name_cannot_pretend_that_the_key_is_wrong() {
        let disabled = |text: &str| event(format!("<3>CTRL-EVENT-SSID-TEMP-DISABLED {text}").as_bytes());
        assert_eq!(
            disabled("id=0 ssid=\"x\" auth_failures=1 duration=10 reason=WRONG_KEY"),
            Some(Word::Disabled { network: "0".into(), wrong_key: true })
        );
        assert_eq!(
            disabled("id=0 ssid=\" reason=WRONG_KEY\" auth_failures=1 duration=10 reason=CONN_FAILED"),
            Some(Word::Disabled { network: "0".into(), wrong_key: false })
        );
    }

    #[test]
    fn the_networks_in_the_air_are_read_with_names_of_any_bytes() {
        let answer = "id=7\nbssid=02:00:00:00:00:00\nfreq=2412\nlevel=-30\nage=0\nssid=Caf\\xc3\\xa9 \\\"\\\\\n====\n\
                      id=8\nbssid=02:00:00:00:01:00\nfreq=5180\nlevel=-70\nage=12\nssid=\n====\nid=9\nbssid=02:0";
        let found = access_points(answer);
        assert_eq!(found.len(), 2, "the third is cut off");
        assert_eq!(found[0].ssid, "Café \"\\".as_bytes());
        assert_eq!((found[0].id, found[0].age, found[0].level_dbm), (7, 0, -30));
        assert_eq!((found[1].seen.frequency_mhz, found[1].ssid.len()), (5180, 0));
    }

    proptest! {
        #[test]
        fn no_words_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
            let _ = event(&bytes);
            let _ = event(format!("<3>CTRL-EVENT-CONNECTED {text}").as_bytes());
            let _ = access_points(&text);
            let _ = unescape(&text);
        }
    }
}
