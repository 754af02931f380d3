//! Through this host: switches, rules, and the way of a real packet.

use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use hn_types::diagnosis::{CheckName, Fate, Findings, Switch, Table, TableKind};

use super::{Case, Draft, count};

pub(super) fn forwarding(findings: &Findings) -> Draft {
    let name = CheckName::Forwarding;
    let wrong: Vec<&Switch> = findings
        .switches
        .iter()
        .filter(|switch| switch.value.as_ref().is_some_and(|value| *value != switch.wanted))
        .collect();
    if findings.switches.is_empty() {
        return Draft::unknown(name, "the switches could not be read");
    }
    let Some(first) = wrong.first() else {
        let on: Vec<&str> = findings.switches.iter().map(|switch| switch.name.as_str()).collect();
        return Draft::ok(
            name,
            format!("{} as they should be", count(on.len(), "switch").replace("switchs", "switches")),
        );
    };
    let value = first.value.as_deref().unwrap_or_default();
    let more = match wrong.len() {
        1 => String::new(),
        all => format!(" (and {} more)", all - 1),
    };
    let commands =
        wrong.iter().map(|switch| format!("sysctl -w {}={}", switch.name, switch.wanted)).collect();
    Draft::problem(
        name,
        format!("{} is {value}, not {}{more}", first.name, first.wanted),
        "another program, or a file of sysctl.d, switched forwarding off",
        "switch it on again, and see who switched it off",
    )
    .solved_by(commands)
}

pub(super) fn rules(case: &Case, findings: &Findings) -> Draft {
    let name = CheckName::Rules;
    match &findings.difference {
        Err(cause) => Draft::unknown(name, format!("our rules cannot be read: {cause}")),
        Ok(None) => Draft::ok(name, "table inet hostednet is as it was made"),
        Ok(Some(difference)) => Draft::problem(
            name,
            format!("table inet hostednet is not as it was made: {difference}"),
            "another program flushed or edited it",
            "begin sharing anew, which makes the rules anew, and keep that program off this table",
        )
        .solved_by(case.anew()),
    }
}

pub(super) fn firewall(findings: &Findings) -> Draft {
    let name = CheckName::Firewall;
    let blockades = match &findings.blockades {
        Err(cause) => return Draft::unknown(name, format!("the rules of others cannot be read: {cause}")),
        Ok(blockades) => blockades,
    };
    let Some(first) = blockades.first() else {
        return Draft::ok(name, "nothing of others drops all traffic of the segment");
    };
    let mut traffic: Vec<&str> = Vec::new();
    let mut commands: Vec<String> = Vec::new();
    let mut advice: Vec<&str> = Vec::new();
    for blocked in blockades {
        if blocked.owner == first.owner && !traffic.contains(&blocked.traffic.as_str()) {
            traffic.push(&blocked.traffic);
        }
        for command in &blocked.commands {
            if !commands.contains(command) {
                commands.push(command.clone());
            }
        }
        if !blocked.advice.is_empty() && !advice.contains(&blocked.advice.as_str()) {
            advice.push(&blocked.advice);
        }
    }
    let remedy =
        if advice.is_empty() { format!("open the way in {}", first.owner) } else { advice.join("; ") };
    Draft::problem(
        name,
        format!("{} {} {}", first.owner, drops(&first.owner), traffic.join(" and ")),
        first.place.clone(),
        remedy,
    )
    .solved_by(commands)
}

/// The verb to the name of an owner.
fn drops(owner: &str) -> &'static str {
    if owner.starts_with("rules ") { "drop" } else { "drops" }
}

pub(super) fn tables(findings: &Findings) -> Draft {
    let name = CheckName::Tables;
    let tables = match &findings.tables {
        Ok(tables) => tables,
        Err(cause) => return Draft::unknown(name, format!("the kernel's tables cannot be read: {cause}")),
    };
    let filled = |table: &Table| format!("{} of {} {}", table.entries, table.limit, table.kind.title());
    if let Some(full) = tables.iter().find(|table| is_full(table)) {
        let (cause, larger, remedy) = match full.kind {
            TableKind::Connections => (
                "some device keeps very many connections open, or there are more devices than room",
                full.limit.saturating_mul(2),
                "see which device it is (`conntrack -L`), block it, or make the table larger",
            ),
            TableKind::Neighbours4 | TableKind::Neighbours6 => (
                "somebody floods a link with addresses, or there are more devices than room",
                full.limit.saturating_mul(8),
                "see on which link they are (`ip neigh`), or make the table larger",
            ),
        };
        let refused = if full.refused > 0 {
            format!(", {} found no room meanwhile", full.refused)
        } else {
            String::new()
        };
        return Draft::problem(
            name,
            format!("the kernel's table is full: {}{refused}", filled(full)),
            cause,
            remedy,
        )
        .solved_by(vec![format!("sysctl -w {}={larger}", full.kind.setting())]);
    }
    let all: Vec<String> = tables.iter().map(filled).collect();
    Draft::ok(name, all.join(", "))
}

/// Connections are refused or, if the kernel finds some, others are dropped for them. Of neighbours only what was refused
/// tells: those that the administrator wrote down count, and take no room.
fn is_full(table: &Table) -> bool {
    let close = table.entries >= table.limit - table.limit / 20;
    table.refused > 0 || table.kind == TableKind::Connections && table.limit > 0 && close
}

pub(super) fn packet(findings: &Findings) -> Draft {
    let name = CheckName::Packet;
    let packets = match &findings.packets {
        Err(cause) => return Draft::unknown(name, format!("no packet could be traced: {cause}")),
        Ok(packets) if packets.is_empty() => return Draft::skipped(name, "no packet was traced"),
        Ok(packets) => packets,
    };
    for traced in packets {
        match &traced.fate {
            // What a device sends by itself may be meant to end at our own rules.
            Fate::Dropped { owner, .. } if owner.is_empty() && traced.real => {}
            Fate::Dropped { owner, place, rule, commands, advice } => {
                let ours = owner.is_empty();
                let whose = if ours { "a rule of hostednet" } else { owner.as_str() };
                let rule = if rule.is_empty() { String::new() } else { format!(": {rule}") };
                let remedy = match (advice.is_empty(), ours) {
                    (false, _) => advice.clone(),
                    (true, true) => "see what `hostednet status` and `hostednet devices` say".to_string(),
                    (true, false) => "take that rule away, or put an exception before it".to_string(),
                };
                return Draft::problem(
                    name,
                    format!("{whose} {} {}", drops(whose), traced.packet),
                    format!("{place}{rule}"),
                    remedy,
                )
                .solved_by(commands.clone());
            }
            Fate::Vanished => {
                return Draft::problem(
                    name,
                    format!("{} came in and went nowhere", traced.packet),
                    "the kernel does not forward it: no route, a switch, or a reverse path filter",
                    "compare `ip route get` for its addresses, and net.ipv4.conf.*.rp_filter",
                );
            }
            Fate::Passed | Fate::Unseen => {}
        }
    }
    let passed: Vec<&str> = packets
        .iter()
        .filter(|traced| traced.fate == Fate::Passed)
        .map(|traced| traced.packet.as_str())
        .collect();
    if passed.is_empty() {
        return Draft::unknown(name, "no packet was seen");
    }
    Draft::ok(name, format!("traced: {} passed", passed.join(", ")))
}
