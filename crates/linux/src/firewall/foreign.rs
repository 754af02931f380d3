//! Reads everybody's rules before a segment begins, and refuses a start that they would leave without traffic.
//!
//! An accept in our table does not overrule a drop in another one (peers fail here: a device that "obtains an IP
//! address" for ever). Rather than begin something that cannot work, the start names who stops what, and the command
//! that opens it.

use std::collections::BTreeSet;

use hn_nft::{Blockade, Foreign, Object, Question, Remedy, audit};
use hn_types::{DriverError, DriverErrorKind, diagnosis::Blocked, plan::FirewallPlan};

use super::{ATTEMPTS, Conversation, Trouble, index};

/// Whether the traffic of every segment of `plan` may pass everybody's rules, as far as that is certain.
///
/// # Errors
///
/// The first that cannot: [`DriverErrorKind::Denied`], with the owner of the rule and what opens it. Rules that cannot be
/// read are no reason to refuse.
pub(super) fn passable(plan: &FirewallPlan) -> Result<(), DriverError> {
    let foreign = match everything() {
        Ok(foreign) => foreign,
        Err(trouble) => {
            tracing::warn!(?trouble, "cannot read the rules of others; whether they block is not known");
            return Ok(());
        }
    };
    let blockades = audit(&foreign, plan, index);
    for blockade in &blockades {
        tracing::warn!(
            owner = %blockade.owner, place = blockade.place, remedy = ?blockade.remedy,
            "{} of {} would be dropped", blockade.traffic.as_str(), blockade.private,
        );
    }
    blockades.first().map_or(Ok(()), |first| Err(refusal(first, &blockades)))
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
    Ok(audit(&rules()?, plan, index).into_iter().map(said).collect())
}

fn said(blockade: Blockade) -> Blocked {
    let (commands, advice) = match blockade.remedy {
        Remedy::Run(commands) => (commands, String::new()),
        Remedy::Ask(advice) => (Vec::new(), advice),
    };
    Blocked {
        traffic: blockade.traffic.as_str().into(),
        owner: blockade.owner.to_string(),
        place: blockade.place,
        commands,
        advice,
    }
}

/// What the first owner stops, and what opens all that is stopped.
fn refusal(first: &Blockade, all: &[Blockade]) -> DriverError {
    let mut stopped: Vec<&str> = Vec::new();
    let mut commands: Vec<&str> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    for blockade in all {
        if blockade.owner == first.owner {
            stopped.push(blockade.traffic.as_str());
        }
        match &blockade.remedy {
            Remedy::Run(run) => commands.extend(run.iter().map(String::as_str)),
            Remedy::Ask(ask) => words.push(ask),
        }
    }
    let mut seen = BTreeSet::new();
    commands.retain(|command| seen.insert(*command));
    words.dedup();
    let remedy: Vec<&str> = commands.into_iter().chain(words).collect();
    let cause = format!("{} drops {} ({})", first.owner, stopped.join(" and "), first.place);
    let op = "look for rules of others that would block it";
    DriverError::new(DriverErrorKind::Denied, op, first.private, cause).with_remedy(remedy.join("; "))
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
