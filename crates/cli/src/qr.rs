//! The code that a phone's camera reads to join.

use hostednet::types::{Key, Ssid};
use qrcode::{Color, EcLevel, QrCode};

/// Light modules around the code; the standard (ISO/IEC 18004) asks for four, readers manage with two.
const QUIET: usize = 2;

/// The URI of a WPA network: `WIFI:T:WPA;S:name;P:key;;`, with `H:true;` when beacons hide its name. A raw key is written
/// as its 64 digits.
pub fn wifi_uri(ssid: &Ssid, key: &Key, hidden: bool) -> Vec<u8> {
    let mut uri = b"WIFI:T:WPA;S:".to_vec();
    escape(ssid.as_bytes(), &mut uri);
    uri.extend_from_slice(b";P:");
    match key {
        Key::Passphrase(passphrase) => escape(passphrase.expose().as_bytes(), &mut uri),
        Key::Raw(raw) => {
            for byte in raw.expose() {
                uri.extend_from_slice(format!("{byte:02x}").as_bytes());
            }
        }
    }
    uri.extend_from_slice(if hidden { b";H:true;;" } else { b";;" });
    uri
}

fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if matches!(byte, b'\\' | b';' | b',' | b':' | b'"') {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// A QR code as text, two rows of modules in a line. A filled block is a *light* module, so that the code
/// reads right on a dark terminal; draw it black on white elsewhere with the sense turned round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QrText {
    /// The lines, all of the same width.
    pub lines: Vec<String>,
}

impl QrText {
    /// The code of `data`; `None` when it is too long for any code.
    pub fn new(data: &[u8]) -> Option<Self> {
        let code = QrCode::with_error_correction_level(data, EcLevel::L).ok()?;
        let size = code.width();
        let light = |x: usize, y: usize| {
            let inside = (QUIET..QUIET + size).contains(&x) && (QUIET..QUIET + size).contains(&y);
            !inside || code[(x - QUIET, y - QUIET)] == Color::Light
        };
        let whole = size + 2 * QUIET;
        let lines = (0..whole)
            .step_by(2)
            .map(|y| {
                (0..whole)
                    .map(|x| match (light(x, y), y + 1 >= whole || light(x, y + 1)) {
                        (true, true) => '█',
                        (true, false) => '▀',
                        (false, true) => '▄',
                        (false, false) => ' ',
                    })
                    .collect()
            })
            .collect();
        Some(Self { lines })
    }

    /// Columns of the terminal it takes.
    pub fn width(&self) -> usize {
        self.lines.first().map_or(0, |line| line.chars().count())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_would_end_a_field_is_escaped() {
        let ssid = Ssid::new("a;b\\c\"".as_bytes()).unwrap();
        let key = Key::passphrase("p:q,r;s\\".into()).unwrap();
        assert_eq!(wifi_uri(&ssid, &key, false), br#"WIFI:T:WPA;S:a\;b\\c\";P:p\:q\,r\;s\\;;"#);
    }

    #[test]
    fn a_raw_key_is_its_digits_and_a_hidden_name_is_said_to_be_hidden() {
        let uri = wifi_uri(&Ssid::new(b"x").unwrap(), &Key::raw(&[0xab; 32]).unwrap(), true);
        assert_eq!(uri, format!("WIFI:T:WPA;S:x;P:{};H:true;;", "ab".repeat(32)).into_bytes());
    }

    #[test]
    fn the_longest_network_still_fits_a_terminal() {
        let ssid = Ssid::new(&[b';'; 32]).unwrap();
        let key = Key::passphrase(";".repeat(63)).unwrap();
        let qr = QrText::new(&wifi_uri(&ssid, &key, false)).unwrap();
        assert!(qr.width() <= 80, "{}", qr.width());
        assert!(qr.lines.iter().all(|line| line.chars().count() == qr.width()));
    }
}
