//! A line of a script into words, as `netsh` reads them.

use zeroize::Zeroizing;

/// One word. It may be, or hold, a key.
pub(crate) type Word = Zeroizing<Vec<u8>>;

/// The words of a line: parted by blanks, which quotation marks protect. The marks vanish; one that is not closed
/// protects the rest of the line. A line that begins with `#` is a comment.
pub(crate) fn words(line: &[u8]) -> Vec<Word> {
    let mut all = Vec::new();
    let mut word: Option<Word> = None;
    let mut quoted = false;
    if line.trim_ascii_start().starts_with(b"#") {
        return all;
    }
    for byte in line {
        match byte {
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            byte if byte.is_ascii_whitespace() && !quoted => all.extend(word.take()),
            byte => word.get_or_insert_default().push(*byte),
        }
    }
    all.extend(word);
    all
}

/// A value without the quotation marks around it, for arguments that came through a shell with theirs.
pub(crate) fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(line: &str) -> Vec<String> {
        words(line.as_bytes()).iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn quotation_marks_protect_blanks_and_vanish() {
        assert_eq!(split("  wlan\tset hostednetwork\r\n"), ["wlan", "set", "hostednetwork"]);
        assert_eq!(split(r#"ssid="My Net" key="a b c d e""#), ["ssid=My Net", "key=a b c d e"]);
        assert_eq!(split(r#""" x"#), ["", "x"]);
        assert_eq!(split(r#"a "b c"#), ["a", "b c"]);
        assert!(split("  # set hostednetwork mode=disallow").is_empty());
        assert!(split("").is_empty());
    }

    #[test]
    fn marks_that_survived_a_shell_are_taken_off() {
        assert_eq!(unquoted(b"\"My Net\""), b"My Net");
        assert_eq!(unquoted(b"My \"Net\""), b"My \"Net\"");
        assert_eq!(unquoted(b"\""), b"\"");
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic_and_no_byte_is_invented(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let found: usize = words(&line).iter().map(|word| word.len()).sum();
            prop_assert!(found <= line.len());
        }
    }
}
