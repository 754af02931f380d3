//! Reads everybody's rules before a segment begins, and refuses a start that they would leave without traffic.
//!
//! An accept in our table does not overrule a drop in another one (peers fail here: a device that "obtains an IP
//! address" for ever). Rather than begin something that cannot work, the start names who stops what, and the command
//! that opens it – unless the owner can be asked to open it, and does. Of a segment in force it is said, and nothing ends.

use std::collections::BTreeSet;

use hn_nft::{Blockade, Foreign, Object, Owner, Question, Remedy, audit};
use hn_types::{DriverError, DriverErrorKind, diagnosis::Blocked, observed::Obstacle, plan::FirewallPlan};

use super::{ATTEMPTS, Conversation, Trouble, index};

/// What everybody's rules certainly drop of what the segments of `plan` need. Rules that cannot be read drop nothing.
pub(super) fn blockades(plan: &FirewallPlan) -> Vec<Blockade> {
    match everything() {
        Ok(foreign) => audit(&foreign, plan, index),
        Err(trouble) => {
            tracing::warn!(?trouble, "cannot read the rules of others; whether they block is not known");
            Vec::new()
        }
    }
}

/// Refuses a start that IPv4 would not survive; `asked` says why an owner that was asked did not open the way. IPv6 that
/// does not pass is no reason to go without IPv4.
pub(super) fn refusal(found: &[Blockade], asked: Option<&str>) -> Option<DriverError> {
    for blockade in found {
        tracing::warn!(
            owner = %blockade.owner, place = blockade.place, remedy = ?blockade.remedy, ipv6 = blockade.ipv6,
            "{} of {} would be dropped", blockade.traffic.as_str(), blockade.private,
        );
    }
    let first = found.iter().find(|blockade| !blockade.ipv6)?;
    let of = |blockade: &&Blockade| blockade.owner == first.owner && !blockade.ipv6;
    let mut cause = cause(first, found.iter().filter(of));
    if let Some(asked) = asked {
        cause = format!("{cause}; {asked}");
    }
    let op = "look for rules of others that would block it";
    Some(
        DriverError::new(DriverErrorKind::Denied, op, first.private, cause).with_remedy(remedy(found.iter())),
    )
}

/// Everybody's rules.
///
/// # Errors
///
/// Why they cannot be read.
pub(crate) fn rules() -> Result<Foreign, DriverError> {
    everything().map_err(|trouble| trouble.into_error("read the rules of others", &Object::Table))
}

/// What everybody's rules drop of the traffic of `plan` for certain.
///
/// # Errors
///
/// Why the rules cannot be read.
pub(crate) fn blocked(plan: &FirewallPlan) -> Result<Vec<Blocked>, DriverError> {
    let mut found = audit(&rules()?, plan, index);
    found.sort_by_key(|blockade| blockade.ipv6);
    Ok(found.into_iter().map(said).collect())
}

fn said(blockade: Blockade) -> Blocked {
    let (commands, advice) = match blockade.remedy {
        Remedy::Run(commands) => (commands, String::new()),
        Remedy::Ask(advice) => (Vec::new(), advice),
    };
    let protocol = if blockade.ipv6 { "IPv6 " } else { "" };
    Blocked {
        traffic: format!("{protocol}{}", blockade.traffic.as_str()),
        owner: blockade.owner.to_string(),
        place: blockade.place,
        commands,
        advice,
    }
}

/// The same for a segment that is in force: one sentence for each owner and protocol. `asked` as for [`refusal`]; without
/// it owners that can be asked have not been asked.
pub(super) fn obstacles(found: &[Blockade], plan: &FirewallPlan, asked: Option<&str>) -> Vec<Obstacle> {
    let mut groups: Vec<Vec<&Blockade>> = Vec::new();
    for blockade in found {
        let together = |group: &&mut Vec<&Blockade>| {
            group.first().is_some_and(|first| {
                (&first.owner, first.ipv6, first.private)
                    == (&blockade.owner, blockade.ipv6, blockade.private)
            })
        };
        match groups.iter_mut().find(together) {
            Some(group) => group.push(blockade),
            None => groups.push(vec![blockade]),
        }
    }
    let obstacle = |group: Vec<&Blockade>| {
        let first = *group.first()?;
        let askable = can_be_asked(first, plan);
        let mut cause = cause(first, group.iter().copied());
        if let Some(asked) = asked.filter(|_| askable) {
            cause = format!("{cause}; {asked}");
        }
        let remedy = format!("try: {}", remedy(group.iter().copied()));
        Some(Obstacle { cause, remedy, askable: askable && asked.is_none() })
    };
    groups.into_iter().filter_map(obstacle).collect()
}

/// Whether its owner has a door, and may be asked.
pub(super) fn can_be_asked(blockade: &Blockade, plan: &FirewallPlan) -> bool {
    blockade.owner == Owner::Firewalld && plan.open.contains(&blockade.private)
}

/// Who drops what, and where first.
fn cause<'a>(first: &Blockade, all: impl Iterator<Item = &'a Blockade>) -> String {
    let stopped: Vec<&str> = all.map(|blockade| blockade.traffic.as_str()).collect();
    let protocol = if first.ipv6 { "IPv6 " } else { "" };
    format!("{} drops {protocol}{} ({})", first.owner, stopped.join(" and "), first.place)
}

/// What opens all that is stopped.
fn remedy<'a>(all: impl Iterator<Item = &'a Blockade>) -> String {
    let mut commands: Vec<&str> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for blockade in all {
        match &blockade.remedy {
            Remedy::Run(run) => commands.extend(run.iter().map(String::as_str)),
            Remedy::Ask(ask) => words.push(ask),
        }
    }
    let mut seen = BTreeSet::new();
    commands.retain(|command| seen.insert(*command));
    words.dedup();
    let remedy: Vec<&str> = commands.into_iter().chain(words).collect();
    remedy.join("; ")
}

/// Everybody's rules, read again while somebody changes them.
fn everything() -> Result<Foreign, Trouble> {
    for _ in 1..ATTEMPTS {
        if let (foreign, true) = attempt()? {
            return Ok(foreign);
        }
    }
    Ok(attempt()?.0)
}

fn attempt() -> Result<(Foreign, bool), Trouble> {
    let mut kernel = Conversation::open()?;
    let before = kernel.generation()?;
    let mut foreign = Foreign::default();
    let mut stable = true;
    for question in [Question::Chains, Question::Rules, Question::Sets] {
        stable &= kernel.converse(|seq| question.encode(seq), true, |record| foreign.absorb(record))?;
    }
    for set in foreign.wanted_sets() {
        let question = Question::Elements(set.clone());
        stable &= kernel.converse(|seq| question.encode(seq), true, |record| foreign.absorb(record))?;
        foreign.complete(&set);
    }
    Ok((foreign, stable && kernel.generation()? == before))
}
