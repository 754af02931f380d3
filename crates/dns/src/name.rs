//! Domain names in wire form.

use core::fmt;

use crate::wire::{HEADER, MAX_NAME};

/// A name without compression, letters in lower case, the root label included.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    len: u8,
    bytes: [u8; MAX_NAME],
}

impl Name {
    /// The root.
    pub(crate) const ROOT: Self = Self { len: 1, bytes: [0; MAX_NAME] };

    /// Reads an uncompressed name, as it stands in the question of every sound message; returns where it ends.
    pub(crate) fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut name = Self::ROOT;
        let mut end = at;
        loop {
            let len = *message.get(end)?;
            if len > 63 {
                return None;
            }
            end += 1 + usize::from(len);
            if len == 0 {
                break;
            }
            if end - at >= MAX_NAME {
                return None;
            }
        }
        let raw = message.get(at..end)?;
        name.len = u8::try_from(raw.len()).ok()?;
        // Length bytes are below 64 and so never look like a capital letter.
        for (to, from) in name.bytes.iter_mut().zip(raw) {
            *to = from.to_ascii_lowercase();
        }
        Some((name, end))
    }

    /// `a.b.c`, with or without the last dot; letters, digits, hyphens and underscores only.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut name = Self::ROOT;
        for label in text.strip_suffix('.').unwrap_or(text).rsplit('.') {
            let fits = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if label.is_empty() || !fits {
                return None;
            }
            name = name.child(label.as_bytes())?;
        }
        Some(name)
    }

    /// `label` in front of this name; `None` when it does not fit.
    pub(crate) fn child(&self, label: &[u8]) -> Option<Self> {
        let mut name = Self::ROOT;
        let len = u8::try_from(label.len()).ok().filter(|len| (1..=63).contains(len))?;
        let total = 1 + label.len() + usize::from(self.len);
        let rest = name.bytes.get_mut(..total)?;
        let (first, rest) = rest.split_first_mut()?;
        *first = len;
        let (front, back) = rest.split_at_mut(label.len());
        for (to, from) in front.iter_mut().zip(label) {
            *to = from.to_ascii_lowercase();
        }
        back.copy_from_slice(self.wire());
        name.len = u8::try_from(total).ok()?;
        Some(name)
    }

    /// The wire form.
    pub(crate) fn wire(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    pub(crate) fn is_root(&self) -> bool {
        self.len == 1
    }

    /// The labels from the left, without the root.
    pub(crate) fn labels(&self) -> Labels<'_> {
        Labels(self.wire())
    }

    /// What stands in front of `suffix` (the wire form of a name); `None` when this name does not end with it.
    pub(crate) fn strip(&self, suffix: &Self) -> Option<Labels<'_>> {
        let (front, back) = self.wire().split_at_checked(usize::from(self.len.checked_sub(suffix.len)?))?;
        if back != suffix.wire() {
            return None;
        }
        // The same bytes may also lie inside a longer label.
        let mut at = 0;
        while at < front.len() {
            at += 1 + usize::from(*front.get(at)?);
        }
        (at == front.len()).then_some(Labels(front))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.wire() == other.wire()
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.wire().escape_ascii())
    }
}

/// Labels from the left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Labels<'a>(&'a [u8]);

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first()?;
        let (label, rest) = rest.split_at_checked(usize::from(*len)).filter(|_| *len > 0)?;
        self.0 = rest;
        Some(label)
    }
}

/// Which letters of a name are capitals: bit `i` stands for byte `i` of the wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Case([u64; 4]);

impl Case {
    /// The case of a raw name.
    pub(crate) fn of(raw: &[u8]) -> Self {
        let mut case = Self::default();
        for (word, bytes) in case.0.iter_mut().zip(raw.chunks(64)) {
            for (bit, byte) in bytes.iter().enumerate() {
                *word |= u64::from(byte.is_ascii_uppercase()) << bit;
            }
        }
        case
    }

    /// A case drawn at random (the "0x20" defence): every letter carries one bit a forger must guess.
    pub(crate) fn random(name: &Name, mut draw: impl FnMut() -> u64) -> Self {
        let mut case = Self::default();
        for (word, bytes) in case.0.iter_mut().zip(name.wire().chunks(64)) {
            let letters = bytes
                .iter()
                .enumerate()
                .fold(0, |m, (bit, b)| m | (u64::from(b.is_ascii_lowercase()) << bit));
            *word = draw() & letters;
        }
        case
    }

    /// Turns lower-case wire bytes into this case.
    pub(crate) fn apply(&self, name: &mut [u8]) {
        for (word, bytes) in self.0.iter().zip(name.chunks_mut(64)) {
            let mut left = *word;
            while left != 0 {
                if let Some(byte) = bytes.get_mut(left.trailing_zeros() as usize) {
                    byte.make_ascii_uppercase();
                }
                left &= left - 1;
            }
        }
    }
}

/// Walks over a name that may be compressed and returns where it ends in the message.
///
/// A pointer must lead to before the piece it ends, so the walk always comes to an end; the name it
/// spells must not be longer than a name may be.
pub(crate) fn skip(message: &[u8], at: usize) -> Option<usize> {
    let mut end = None;
    let mut piece = at;
    let mut cursor = at;
    let mut spelled = 0;
    loop {
        let len = *message.get(cursor)?;
        match len {
            0 => {
                let own = cursor + 1;
                return (spelled < MAX_NAME).then_some(end.unwrap_or(own));
            }
            1..=63 => {
                spelled += 1 + usize::from(len);
                cursor += 1 + usize::from(len);
                if spelled >= MAX_NAME {
                    return None;
                }
            }
            0xc0..=0xff => {
                let low = *message.get(cursor + 1)?;
                let target = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                if target < HEADER || target >= piece {
                    return None;
                }
                end = end.or(Some(cursor + 2));
                piece = target;
                cursor = target;
            }
            64..=0xbf => return None,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_lower_case_and_its_case_can_be_restored() {
        let raw = b"\x03WwW\x07eXAMPLE\x03cOm\x00rest";
        let (name, end) = Name::read(raw, 0).unwrap();
        assert_eq!(name, Name::from_text("www.example.com").unwrap());
        assert_eq!(end, 17);
        let mut copy = [0; 17];
        copy.copy_from_slice(name.wire());
        Case::of(&raw[..17]).apply(&mut copy);
        assert_eq!(copy, raw[..17]);
    }

    #[test]
    fn a_suffix_matches_on_label_boundaries_only() {
        let zone = Name::from_text("ab.c").unwrap();
        let inside = Name::from_text("x.ab.c").unwrap();
        assert_eq!(inside.strip(&zone).unwrap().collect::<alloc::vec::Vec<_>>(), [b"x"]);
        let (fake, _) = Name::read(b"\x06x\x02ab\x01c\x00", 0).unwrap();
        assert!(fake.strip(&zone).is_none());
        assert!(Name::from_text("xab.c").unwrap().strip(&zone).is_none());
        assert!(zone.strip(&inside).is_none());
        assert_eq!(zone.strip(&zone).unwrap().count(), 0);
    }

    #[test]
    fn names_that_are_too_long_or_loop_are_refused() {
        let mut long = alloc::vec::Vec::new();
        for _ in 0..4 {
            long.push(63);
            long.extend([b'a'; 63]);
        }
        long.push(0);
        assert!(Name::read(&long, 0).is_none());
        assert!(skip(&long, 0).is_none());
        let mut looping = alloc::vec![0; 12];
        looping.extend([1, b'a', 0xc0, 12]);
        assert!(skip(&looping, 12).is_none(), "points at itself");
        let mut backwards = alloc::vec![0; 12];
        backwards.extend([1, b'a', 0, 1, b'b', 0xc0, 12]);
        assert_eq!(skip(&backwards, 15), Some(19));
        assert!(skip(&backwards, 30).is_none());
        assert!(Name::read(b"\x03ab", 0).is_none());
        assert!(Name::from_text("a..b").is_none());
    }

    #[test]
    fn the_longest_name_is_accepted() {
        let mut long = alloc::vec::Vec::new();
        for len in [63u8, 63, 63, 61] {
            long.push(len);
            long.extend(core::iter::repeat_n(b'A', usize::from(len)));
        }
        long.push(0);
        assert_eq!(long.len(), 255);
        let (name, end) = Name::read(&long, 0).unwrap();
        assert_eq!((name.wire().len(), end), (255, 255));
        assert_eq!(skip(&long, 0), Some(255));
    }
}
