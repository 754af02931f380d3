//! Whether the kernel has what we asked for.

use alloc::string::{String, ToString};
use core::fmt;

use crate::{
    installed::Installed,
    ruleset::{Chain, Ruleset, TABLE},
};

/// The first place where the kernel's table is not the one asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: `inet hostednet / chain forward / rule 2`.
    pub place: String,
    /// What was asked for.
    pub wanted: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: wanted {}, found {}", self.place, self.wanted, self.found)
    }
}

impl core::error::Error for Difference {}

const NOTHING: &str = "nothing";

/// Whether `installed` is exactly `wanted`: every chain and rule, in order, and nothing besides. Counters and
/// handles do not matter.
///
/// # Errors
/// The first difference.
pub fn compare(wanted: &Ruleset, installed: &Installed) -> Result<(), Difference> {
    let table = || alloc::format!("inet {TABLE}");
    let at_table = |wanted: &str, found: &str| {
        Err(Difference { place: table(), wanted: wanted.into(), found: found.into() })
    };
    match (wanted.chains.is_empty(), installed.present) {
        (true, false) => return Ok(()),
        (true, true) => return at_table("no table", "a table"),
        (false, false) => return at_table("a table", "no table"),
        (false, true) => {}
    }
    if installed.flags != 0 {
        return at_table("no flags", &alloc::format!("flags {:#x}", installed.flags));
    }
    for chain in &wanted.chains {
        let place = alloc::format!("{} / chain {}", table(), chain.name);
        match installed.ruleset.chains.iter().find(|found| found.name == chain.name) {
            Some(found) => compare_chain(&place, chain, found)?,
            None => return Err(Difference { place, wanted: "a chain".into(), found: NOTHING.into() }),
        }
    }
    for found in &installed.ruleset.chains {
        if !wanted.chains.iter().any(|chain| chain.name == found.name) {
            let place = alloc::format!("{} / chain {}", table(), found.name);
            return Err(Difference { place, wanted: NOTHING.into(), found: "a chain".into() });
        }
    }
    // The kernel counts chains, sets, objects and flow tables together; the chains have just been counted.
    match installed.objects {
        Some(count) if usize::try_from(count) != Ok(wanted.chains.len()) => {
            at_table("chains only", "sets or other objects too")
        }
        Some(_) | None => Ok(()),
    }
}

fn compare_chain(place: &str, wanted: &Chain, found: &Chain) -> Result<(), Difference> {
    if wanted.hook != found.hook {
        let text = |chain: &Chain| chain.hook.map_or_else(|| "no hook".to_string(), |hook| hook.to_string());
        return Err(Difference { place: place.into(), wanted: text(wanted), found: text(found) });
    }
    for number in 0..wanted.rules.len().max(found.rules.len()) {
        let (a, b) = (wanted.rules.get(number), found.rules.get(number));
        if a != b {
            let text = |rule: Option<&crate::ruleset::Rule>| {
                rule.map_or_else(|| NOTHING.to_string(), |rule| alloc::format!("`{rule}`"))
            };
            let place = alloc::format!("{place} / rule {}", number + 1);
            return Err(Difference { place, wanted: text(a), found: text(b) });
        }
    }
    Ok(())
}
