//! The profile a client could import to join: WLANProfile version 1, as text.

use std::fmt::Write;

use hn_types::{Key, Ssid};
use zeroize::Zeroizing;

/// The profile of a network with this name and key. It holds the key in the clear: whoever keeps it keeps a secret.
pub fn station_profile(ssid: &Ssid, key: &Key) -> Zeroizing<String> {
    let mut hex = String::new();
    for byte in ssid.as_bytes() {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02X}");
    }
    let name = escape(&String::from_utf8_lossy(ssid.as_bytes()));
    let (kind, material) = match key {
        Key::Passphrase(passphrase) => ("passPhrase", Zeroizing::new(escape(passphrase.expose()))),
        Key::Raw(raw) => {
            let mut digits = Zeroizing::new(String::with_capacity(64));
            for byte in raw.expose() {
                let _ = write!(digits, "{byte:02X}");
            }
            ("networkKey", digits)
        }
    };
    let mut profile = Zeroizing::new(String::with_capacity(1_024 + 8 * material.len()));
    let _ = write!(
        profile,
        r#"<?xml version="1.0"?>
<WLANProfile xmlns="http://www.microsoft.com/networking/WLAN/profile/v1">
	<name>{name}</name>
	<SSIDConfig>
		<SSID>
			<hex>{hex}</hex>
			<name>{name}</name>
		</SSID>
	</SSIDConfig>
	<connectionType>ESS</connectionType>
	<connectionMode>auto</connectionMode>
	<MSM>
		<security>
			<authEncryption>
				<authentication>WPA2PSK</authentication>
				<encryption>AES</encryption>
				<useOneX>false</useOneX>
			</authEncryption>
			<sharedKey>
				<keyType>{kind}</keyType>
				<protected>false</protected>
				<keyMaterial>{}</keyMaterial>
			</sharedKey>
		</security>
	</MSM>
</WLANProfile>
"#,
        material.as_str()
    );
    profile
}

/// Text inside an element. What XML 1.0 cannot carry becomes the replacement character; `hex` has the bytes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 5);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _ = write!(escaped, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_name_and_a_key_with_marks_of_xml_stay_text() {
        let ssid = Ssid::new("a<b>&\u{1}".as_bytes()).unwrap();
        let key = Key::passphrase("</keyMaterial>&'\"".to_owned()).unwrap();
        let profile = station_profile(&ssid, &key);
        assert!(profile.contains("<hex>613C623E2601</hex>"), "{}", *profile);
        assert!(profile.contains("<name>a&lt;b&gt;&amp;\u{fffd}</name>"));
        assert!(profile.contains("<keyMaterial>&lt;/keyMaterial&gt;&amp;&apos;&quot;</keyMaterial>"));
        assert_eq!(profile.matches("</keyMaterial>").count(), 1);
    }
}
