//! Text from strangers, made safe to show.

use alloc::string::String;
use core::fmt::Write;

/// Bytes from a device as text for people: invalid UTF-8, control, bidirectional and invisible
/// characters become `\x..` or `\u{..}`, so that a terminal can neither be driven nor deceived.
pub fn escape_untrusted(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if is_deceptive(c) {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb
            | 0xe0000..=0xe007f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_cannot_be_driven() {
        assert_eq!(escape_untrusted(b"ok \x1b[2J"), "ok \\u{1b}[2J");
        assert_eq!(escape_untrusted(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(escape_untrusted("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(escape_untrusted("Caf\u{e9} \u{2615}".as_bytes()), "Caf\u{e9} \u{2615}");
    }
}
