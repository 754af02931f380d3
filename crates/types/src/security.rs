//! Who may do what: the access lists of the securable objects (spec/hosted-network.md §4.6).
//!
//! A [`Descriptor`] is a parsed, bounded subset of SDDL, the text form in which Windows programs hand over
//! security descriptors:
//!
//! ```text
//! [O:SID][G:SID]D:[P|AI|AR…](A|D;;RIGHTS;;;SID)…
//! ```
//!
//! *RIGHTS* is a hexadecimal mask or a chain of two-letter rights; *SID* is one of `BA BU WD AU SY IU NO`, the same
//! in its numeric form, `S-1-22-1-UID` for a user or `S-1-22-2-GID` for a group of this machine. Anything else is refused
//! with a reason, never misread. The text is kept as it was given, so that what goes in comes out.

use alloc::{string::String, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

/// `WLAN_READ_ACCESS`: may look.
pub const READ_ACCESS: u32 = 0x0002_0001;
/// `WLAN_EXECUTE_ACCESS`: may look and use.
pub const EXECUTE_ACCESS: u32 = 0x0002_0021;
/// `WLAN_WRITE_ACCESS`: everything, the right to change the access list included.
pub const WRITE_ACCESS: u32 = 0x0007_0023;
/// `READ_CONTROL`: may read the access list.
pub const READ_CONTROL: u32 = 0x0002_0000;
/// `WRITE_DAC`: may change the access list; a part of [`WRITE_ACCESS`].
pub const WRITE_DAC: u32 = 0x0004_0000;

/// How many securable objects there are (`WLAN_SECURABLE_OBJECT_COUNT`).
pub const OBJECT_COUNT: u32 = 17;
/// `wlan_secure_hosted_network_elevated_access`: the object that decides who may force the hosted network to start or
/// stop and who may allow or forbid it.
pub const ELEVATED_ACCESS: u32 = 14;

/// The access list of every object nobody changed: administrators everything, everybody reading and using.
pub const DEFAULT: &str = "O:BAG:BAD:(A;;0x70023;;;BA)(A;;0x20021;;;WD)";

/// The longest text of a descriptor, in bytes.
pub const TEXT_LIMIT: usize = 4_096;
/// The most entries of an access list.
pub const ENTRY_LIMIT: usize = 64;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller<'a> {
    /// The Unix user.
    pub uid: u32,
    /// Uid 0, or a holder of `CAP_NET_ADMIN`: an administrator, the local system and a network operator.
    pub elevated: bool,
    /// The Unix groups, the primary one included.
    pub groups: &'a [u32],
}

/// Whom an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sid {
    /// `BA`, S-1-5-32-544; `SY`, S-1-5-18; `NO`, S-1-5-32-556.
    Elevated,
    /// `WD`, S-1-1-0; `AU`, S-1-5-11; `BU`, S-1-5-32-545; `IU`, S-1-5-4. Whoever reaches the local socket is all of them.
    Everybody,
    /// S-1-22-1-UID.
    User(u32),
    /// S-1-22-2-GID.
    Group(u32),
}

impl Sid {
    fn parse(text: &str) -> Result<Self, DescriptorError> {
        Ok(match text {
            "BA" | "S-1-5-32-544" | "SY" | "S-1-5-18" | "NO" | "S-1-5-32-556" => Self::Elevated,
            "WD" | "S-1-1-0" | "AU" | "S-1-5-11" | "BU" | "S-1-5-32-545" | "IU" | "S-1-5-4" => {
                Self::Everybody
            }
            _ => {
                let number = |prefix| text.strip_prefix(prefix).and_then(decimal);
                if let Some(uid) = number("S-1-22-1-") {
                    Self::User(uid)
                } else if let Some(gid) = number("S-1-22-2-") {
                    Self::Group(gid)
                } else {
                    return Err(DescriptorError::Sid);
                }
            }
        })
    }

    fn is(self, caller: Caller<'_>) -> bool {
        match self {
            Self::Elevated => caller.elevated,
            Self::Everybody => true,
            Self::User(uid) => caller.uid == uid,
            Self::Group(gid) => caller.groups.contains(&gid),
        }
    }
}

/// Digits without sign or leading zero.
fn decimal(text: &str) -> Option<u32> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    allow: bool,
    mask: u32,
    sid: Sid,
}

/// An access list and the text it was given as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Descriptor {
    text: String,
    entries: Vec<Entry>,
}

/// Why a text is not a descriptor of the subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptorError {
    /// Longer than [`TEXT_LIMIT`].
    TooLong,
    /// More entries than [`ENTRY_LIMIT`].
    TooManyEntries,
    /// Not of the form `[O:SID][G:SID]D:[flags](entry)…`.
    Form,
    /// There is no `D:` part: without an access list everybody could do everything.
    NoList,
    /// An entry is not `(type;;rights;;;sid)`.
    Entry,
    /// An entry neither allows (`A`) nor denies (`D`).
    Type,
    /// An entry has flags, or names an object type: nothing is inherited here.
    Inheritance,
    /// The rights are neither a hexadecimal mask nor known two-letter rights.
    Rights,
    /// The SID has no counterpart on this machine.
    Sid,
    /// There is an audit list (`S:`), which nobody would follow.
    Audit,
}

impl fmt::Display for DescriptorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "it has more than 4096 bytes",
            Self::TooManyEntries => "it has more than 64 entries",
            Self::Form => "it is not of the form [O:sid][G:sid]D:(entry)...",
            Self::NoList => "it has no access list (D:)",
            Self::Entry => "an entry is not of the form (type;;rights;;;sid)",
            Self::Type => "an entry is of a type other than A and D",
            Self::Inheritance => "an entry has flags or an object type, and nothing is inherited here",
            Self::Rights => "an entry has rights that are neither 0x... nor known two-letter rights",
            Self::Sid => {
                "a sid is none of BA BU WD AU SY IU NO, S-1-22-1-<uid> (user) and S-1-22-2-<gid> (group)"
            }
            Self::Audit => "it has an audit list (S:), and nothing is audited here",
        })
    }
}

impl core::error::Error for DescriptorError {}

impl Descriptor {
    /// Reads the text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or what of it is not part of the subset.
    pub fn parse(text: &str) -> Result<Self, DescriptorError> {
        if text.len() > TEXT_LIMIT {
            return Err(DescriptorError::TooLong);
        }
        let rest = account(text, "O:")?;
        let rest = account(rest, "G:")?;
        let list = rest.strip_prefix("D:").ok_or_else(|| {
            if rest.starts_with("S:") {
                DescriptorError::Audit
            } else if rest.is_empty() {
                DescriptorError::NoList
            } else {
                DescriptorError::Form
            }
        })?;
        let (flags, mut rest) = list.split_at(list.find('(').unwrap_or(list.len()));
        let flags = flags.strip_suffix("S:").map_or(Ok(flags), |_| Err(DescriptorError::Audit))?;
        control_flags(flags)?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            if rest.starts_with("S:") {
                return Err(DescriptorError::Audit);
            }
            let inner = rest.strip_prefix('(').ok_or(DescriptorError::Form)?;
            let (entry, after) = inner.split_once(')').ok_or(DescriptorError::Entry)?;
            if entries.len() == ENTRY_LIMIT {
                return Err(DescriptorError::TooManyEntries);
            }
            entries.push(Entry::parse(entry)?);
            rest = after;
        }
        Ok(Self { text: text.into(), entries })
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the caller may do: the entries in their order, the first one that speaks of a right decides it.
    /// An empty list grants nothing. Uid 0 may always read and change the list, so that nobody can lock the
    /// administrator out for good.
    pub fn granted(&self, caller: Caller<'_>) -> u32 {
        let (mut granted, mut denied) = (0, 0);
        for entry in self.entries.iter().filter(|entry| entry.sid.is(caller)) {
            if entry.allow {
                granted |= entry.mask & !denied;
            } else {
                denied |= entry.mask & !granted;
            }
        }
        if caller.uid == 0 { granted | READ_CONTROL | WRITE_DAC } else { granted }
    }

    /// Whether every right in `mask` is granted.
    pub fn grants(&self, caller: Caller<'_>, mask: u32) -> bool {
        self.granted(caller) & mask == mask
    }
}

impl Default for Descriptor {
    /// [`DEFAULT`].
    fn default() -> Self {
        let entry = |mask, sid| Entry { allow: true, mask, sid };
        let entries = [entry(WRITE_ACCESS, Sid::Elevated), entry(EXECUTE_ACCESS, Sid::Everybody)].to_vec();
        Self { text: DEFAULT.into(), entries }
    }
}

impl TryFrom<String> for Descriptor {
    type Error = DescriptorError;

    fn try_from(text: String) -> Result<Self, DescriptorError> {
        Self::parse(&text)
    }
}

impl From<Descriptor> for String {
    fn from(descriptor: Descriptor) -> Self {
        descriptor.text
    }
}

/// What follows the owner or group, if there is one. They decide nothing but must be somebody.
fn account<'a>(text: &'a str, mark: &str) -> Result<&'a str, DescriptorError> {
    let Some(rest) = text.strip_prefix(mark) else { return Ok(text) };
    // `D` and `G` also end SIDs (`WD`): the next part begins with a letter and a colon.
    let end = rest.find(':').map_or(rest.len(), |colon| colon.saturating_sub(1));
    let (sid, rest) = rest.split_at_checked(end).ok_or(DescriptorError::Form)?;
    Sid::parse(sid)?;
    Ok(rest)
}

/// `P`, `AI`, `AR`: how the list came about by inheritance, which there is none of here.
fn control_flags(flags: &str) -> Result<(), DescriptorError> {
    let mut rest = flags;
    while !rest.is_empty() {
        rest =
            ["P", "AI", "AR"].iter().find_map(|flag| rest.strip_prefix(flag)).ok_or(DescriptorError::Form)?;
    }
    Ok(())
}

impl Entry {
    fn parse(text: &str) -> Result<Self, DescriptorError> {
        let mut fields = text.split(';');
        let mut field = || fields.next().ok_or(DescriptorError::Entry);
        let (kind, flags, rights) = (field()?, field()?, field()?);
        let (object, inherited, sid) = (field()?, field()?, field()?);
        if fields.next().is_some() {
            return Err(DescriptorError::Entry);
        }
        let allow = match kind {
            "A" => true,
            "D" => false,
            _ => return Err(DescriptorError::Type),
        };
        if !flags.is_empty() || !object.is_empty() || !inherited.is_empty() {
            return Err(DescriptorError::Inheritance);
        }
        Ok(Self { allow, mask: mask(rights)?, sid: Sid::parse(sid)? })
    }
}

/// The access mask of a field of rights, generic rights translated.
fn mask(text: &str) -> Result<u32, DescriptorError> {
    const GENERIC: [(u32, u32); 4] = [
        (0x1000_0000, WRITE_ACCESS),
        (0x2000_0000, EXECUTE_ACCESS),
        (0x4000_0000, WRITE_ACCESS),
        (0x8000_0000, READ_ACCESS),
    ];
    let raw = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => {
            if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(DescriptorError::Rights);
            }
            u32::from_str_radix(digits, 16).map_err(|_| DescriptorError::Rights)?
        }
        None => letters(text)?,
    };
    let mapped = GENERIC.iter().filter(|(bit, _)| raw & bit != 0).fold(0, |all, (_, rights)| all | rights);
    Ok(raw & 0x0fff_ffff | mapped)
}

/// A chain of two-letter rights; the empty one is no right at all.
fn letters(text: &str) -> Result<u32, DescriptorError> {
    const RIGHTS: [(&[u8; 2], u32); 17] = [
        (b"GA", 0x1000_0000),
        (b"GX", 0x2000_0000),
        (b"GW", 0x4000_0000),
        (b"GR", 0x8000_0000),
        (b"SD", 0x0001_0000),
        (b"RC", READ_CONTROL),
        (b"WD", WRITE_DAC),
        (b"WO", 0x0008_0000),
        (b"CC", 0x01),
        (b"DC", 0x02),
        (b"LC", 0x04),
        (b"SW", 0x08),
        (b"RP", 0x10),
        (b"WP", 0x20),
        (b"DT", 0x40),
        (b"LO", 0x80),
        (b"CR", 0x100),
    ];
    text.as_bytes().chunks(2).try_fold(0, |all, pair| {
        let known = RIGHTS.iter().find(|(name, _)| name.as_slice() == pair);
        known.map(|(_, right)| all | right).ok_or(DescriptorError::Rights)
    })
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use proptest::prelude::*;

    use super::*;

    const ROOT: Caller<'_> = Caller { uid: 0, elevated: true, groups: &[0] };
    const CAPABLE: Caller<'_> = Caller { uid: 900, elevated: true, groups: &[900] };
    const USER: Caller<'_> = Caller { uid: 1000, elevated: false, groups: &[1000, 27] };

    fn granted(text: &str, caller: Caller<'_>) -> u32 {
        Descriptor::parse(text).expect("valid").granted(caller)
    }

    #[test]
    fn the_default_lets_administrators_write_and_everybody_use() {
        let default = Descriptor::default();
        assert_eq!(Descriptor::parse(DEFAULT), Ok(default.clone()));
        assert_eq!(default.granted(ROOT), WRITE_ACCESS);
        assert_eq!(default.granted(CAPABLE), WRITE_ACCESS);
        assert_eq!(default.granted(USER), EXECUTE_ACCESS);
    }

    #[test]
    fn users_and_groups_of_this_machine_can_be_named() {
        assert_eq!(granted("D:(A;;GW;;;S-1-22-1-1000)", USER), WRITE_ACCESS);
        assert_eq!(granted("D:(A;;GW;;;S-1-22-1-1001)", USER), 0);
        assert_eq!(granted("D:(A;;GX;;;S-1-22-2-27)", USER), EXECUTE_ACCESS);
        assert_eq!(granted("D:(A;;GX;;;S-1-22-2-28)", USER), 0);
        assert_eq!(granted("D:(A;;GR;;;S-1-5-32-545)", USER), READ_ACCESS);
        for elevated in ["BA", "SY", "NO", "S-1-5-32-544", "S-1-5-18", "S-1-5-32-556"] {
            let text = format!("D:(A;;GA;;;{elevated})");
            assert_eq!((granted(&text, CAPABLE), granted(&text, USER)), (WRITE_ACCESS, 0), "{text}");
        }
        for everybody in ["WD", "AU", "BU", "IU", "S-1-1-0", "S-1-5-11", "S-1-5-4"] {
            assert_eq!(granted(&format!("D:(A;;GA;;;{everybody})"), USER), WRITE_ACCESS, "{everybody}");
        }
    }

    #[test]
    fn the_first_entry_that_speaks_of_a_right_decides_it() {
        assert_eq!(granted("D:(D;;GW;;;S-1-22-1-1000)(A;;GW;;;WD)", USER), 0);
        assert_eq!(granted("D:(A;;GW;;;WD)(D;;GW;;;S-1-22-1-1000)", USER), WRITE_ACCESS);
        assert_eq!(granted("D:(D;;0x40000;;;BU)(A;;0x70023;;;BU)", USER), WRITE_ACCESS & !WRITE_DAC);
        assert!(!Descriptor::parse("D:(A;;0x30023;;;WD)").expect("valid").grants(USER, WRITE_ACCESS));
    }

    #[test]
    fn root_cannot_be_locked_out_and_nobody_else_is_let_in() {
        for text in ["D:", "D:P", "D:(D;;GA;;;WD)", "O:BAG:BAD:PAI(D;;0xffffffff;;;BA)"] {
            assert_eq!(granted(text, ROOT), READ_CONTROL | WRITE_DAC, "{text}");
            assert_eq!((granted(text, CAPABLE), granted(text, USER)), (0, 0), "{text}");
        }
    }

    #[test]
    fn letters_and_masks_say_the_same() {
        assert_eq!(granted("D:(A;;CCDCWPSDRCWD;;;WD)", USER), WRITE_ACCESS);
        assert_eq!(granted("D:(A;;CCRC;;;WD)", USER), READ_ACCESS);
        assert_eq!(granted("D:(A;;0X70023;;;WD)", USER), WRITE_ACCESS);
        assert_eq!(granted("D:(A;;;;;WD)", USER), 0);
    }

    #[test]
    fn what_is_not_of_the_subset_is_refused_with_its_reason() {
        use DescriptorError as E;
        for (text, error) in [
            ("", E::NoList),
            ("O:BA", E::NoList),
            ("O:BAG:BA", E::NoList),
            ("whatever", E::Form),
            ("D:NO_ACCESS_CONTROL", E::Form),
            ("D:(A;;GA;;;BA) ", E::Form),
            ("G:BAO:BAD:", E::Form),
            ("d:(A;;GA;;;BA)", E::Form),
            ("O:XXD:", E::Sid),
            ("D:(A;;GA;;;BA", E::Entry),
            ("D:(A;;GA;;BA)", E::Entry),
            ("D:(A;;GA;;;BA;x)", E::Entry),
            ("D:(AU;;GA;;;BA)", E::Type),
            ("D:(A;CI;GA;;;BA)", E::Inheritance),
            ("D:(A;;GA;bf967aba-0de6-11d0-a285-00aa003049e2;;BA)", E::Inheritance),
            ("D:(A;;ZZ;;;BA)", E::Rights),
            ("D:(A;;GAG;;;BA)", E::Rights),
            ("D:(A;;0x;;;BA)", E::Rights),
            ("D:(A;;0x123456789;;;BA)", E::Rights),
            ("D:(A;;0x+1;;;BA)", E::Rights),
            ("D:(A;;GA;;;S-1-5-21-1-2-3-500)", E::Sid),
            ("D:(A;;GA;;;S-1-22-1-01)", E::Sid),
            ("D:(A;;GA;;;S-1-22-1-+1)", E::Sid),
            ("D:(A;;GA;;;S-1-22-1-4294967296)", E::Sid),
            ("D:S:(AU;;GA;;;WD)", E::Audit),
            ("D:(A;;GA;;;BA)S:(AU;;GA;;;WD)", E::Audit),
            ("S:(AU;;GA;;;WD)", E::Audit),
        ] {
            assert_eq!(Descriptor::parse(text), Err(error), "{text}");
        }
        assert_eq!(Descriptor::parse(&"(".repeat(TEXT_LIMIT + 1)), Err(E::TooLong));
        let many = |count| format!("D:{}", "(A;;GA;;;BA)".repeat(count));
        assert!(Descriptor::parse(&many(ENTRY_LIMIT)).is_ok());
        assert_eq!(Descriptor::parse(&many(ENTRY_LIMIT + 1)), Err(E::TooManyEntries));
    }

    fn sid() -> impl Strategy<Value = String> {
        prop_oneof![
            prop::sample::select(&["BA", "BU", "WD", "AU", "SY", "IU", "NO", "S-1-5-18", "S-1-1-0"][..])
                .prop_map(ToString::to_string),
            any::<u32>().prop_map(|uid| format!("S-1-22-1-{uid}")),
            any::<u32>().prop_map(|gid| format!("S-1-22-2-{gid}")),
        ]
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,200}") {
            let _ = Descriptor::parse(&text);
        }

        #[test]
        fn no_almost_valid_text_breaks_the_parser(text in "[OGDS:AP(;)0x12FWBUSIN-]{0,80}", uid: u32) {
            if let Ok(descriptor) = Descriptor::parse(&text) {
                prop_assert_eq!(descriptor.as_str(), text);
                let caller = Caller { uid, elevated: uid % 2 == 0, groups: &[] };
                prop_assert_eq!(descriptor.granted(caller) & 0xf000_0000, 0, "generic rights are translated");
            }
        }

        #[test]
        fn what_goes_in_comes_out_and_only_entries_about_the_caller_count(
            owner in prop::option::of(sid()),
            entries in prop::collection::vec((any::<bool>(), any::<u32>(), sid()), 0..8),
            uid in 1_u32..,
        ) {
            let owner = owner.map(|sid| format!("O:{sid}")).unwrap_or_default();
            let list: String = entries
                .iter()
                .map(|(allow, mask, sid)| {
                    format!("({};;{mask:#x};;;{sid})", if *allow { 'A' } else { 'D' })
                })
                .collect();
            let text = format!("{owner}D:{list}");
            let descriptor = Descriptor::parse(&text).expect("valid");
            prop_assert_eq!(descriptor.as_str(), text.as_str());
            let stranger = Caller { uid, elevated: false, groups: &[] };
            let allowed = entries.iter().any(|(allow, mask, sid)| {
                let theirs = ["WD", "AU", "BU", "IU", "S-1-1-0"].contains(&sid.as_str())
                    || *sid == format!("S-1-22-1-{uid}");
                *allow && *mask != 0 && theirs
            });
            prop_assert!(allowed || descriptor.granted(stranger) == 0);
            let json = serde_json::to_string(&descriptor).expect("text");
            prop_assert_eq!(serde_json::from_str::<Descriptor>(&json).expect("text"), descriptor);
        }
    }
}
