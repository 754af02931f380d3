//! From the device to this host: sharing itself, the radio, the key, the lease, the addresses in use.

use alloc::{format, string::ToString, vec, vec::Vec};

use hn_types::{
    KeyRole,
    diagnosis::{CheckName, Findings, Heard, Speaker},
    observed::ServiceTrouble,
    settings::PublicChoice,
    view::{HostedState, SharingMode},
};

use super::{Case, Draft, Subject, count, interface_name, span};

/// A wrong key that was tried longer ago is no news.
const LATELY_S: u64 = 600;
/// The same when no device is named: a stranger may have tried.
const JUST_NOW_S: u64 = 120;

pub(super) fn sharing(case: &Case) -> Draft {
    let name = CheckName::Sharing;
    if let Some(failure) = case.failures.first() {
        let remedy = "carry out what it says, then begin sharing anew";
        return Draft::problem(name, failure.clone(), "a step of sharing fails", remedy)
            .solved_by(case.anew());
    }
    if case.pending {
        return Draft::unknown(name, "sharing is starting or stopping at this moment");
    }
    match (case.mode, case.segment()) {
        (SharingMode::Off, _) => {
            let cause = match (&case.ap.blocker, case.ap.detail.as_str()) {
                (Some(blocker), _) => format!("the hosted network is unavailable: {}", blocker.cause),
                (None, "") => "nobody began it".to_string(),
                (None, detail) => detail.to_string(),
            };
            let remedy = case.ap.blocker.as_ref().map_or("", |blocker| blocker.remedy.as_str());
            let remedy = if remedy.is_empty() { "begin it" } else { remedy };
            Draft::problem(name, "nothing is shared", cause, remedy).solved_by(vec!["hostednet up".into()])
        }
        (SharingMode::Full, None) if case.air && case.ap.state != HostedState::Active => {
            Draft::problem(name, "the hosted network is not running", "nobody uses it", "start it")
                .solved_by(vec!["hostednet start".into()])
        }
        (SharingMode::Full, None) => Draft::problem(
            name,
            "no private connection is there",
            "its interface is gone",
            "plug it back, or share with another: see `hostednet connections`",
        ),
        (SharingMode::Standalone, _) => Draft::ok(name, "standalone: the hosted network serves itself"),
        (SharingMode::Full, Some(segment)) => {
            let public = match (case.examination.public, case.pair.as_ref().map(|pair| pair.public)) {
                (Some(public), _) => public.to_string(),
                (None, Some(PublicChoice::Interface(public))) => public.to_string(),
                (None, Some(PublicChoice::Auto) | None) => "nothing yet".to_string(),
            };
            Draft::ok(name, format!("{public} with {} ({})", segment.interface, segment.address))
        }
    }
}

pub(super) fn radio(case: &Case) -> Draft {
    let name = CheckName::Radio;
    if !case.air {
        return Draft::skipped(name, "shared over a wire");
    }
    match case.ap.state {
        HostedState::Active => {
            let ssid = case.ap.ssid.map_or_else(|| "it".to_string(), |ssid| ssid.to_string());
            let channel = case.ap.channel.map_or_else(Default::default, |(channel, frequency)| {
                format!(" on channel {channel} ({frequency} MHz)")
            });
            let devices = usize::try_from(case.ap.max_peers).unwrap_or(usize::MAX);
            let joined = format!("{ssid}{channel}, {} of {devices} devices", case.ap.peers);
            let stranger = case.subject.as_ref().is_some_and(|subject| !subject.connected);
            if stranger && case.ap.peers >= devices {
                return Draft::problem(name, joined, "the network is full", "let more devices in").solved_by(
                    vec![format!("hostednet settings set --max-peers {}", devices.saturating_mul(2))],
                );
            }
            Draft::ok(name, joined)
        }
        HostedState::Idle | HostedState::Unavailable => {
            let finding = "the access point is not running";
            match &case.ap.blocker {
                Some(blocker) => {
                    let remedy =
                        if blocker.remedy.is_empty() { "wait until it is over" } else { &blocker.remedy };
                    Draft::problem(name, finding, blocker.cause.clone(), remedy)
                }
                None => Draft::problem(name, finding, case.ap.detail.clone(), "start it")
                    .solved_by(vec!["hostednet start".into()]),
            }
        }
    }
}

pub(super) fn key(case: &Case) -> Draft {
    let name = CheckName::Key;
    if !case.air {
        return Draft::skipped(name, "shared over a wire");
    }
    let remedy = "type the key anew on the device; `hostednet key show` prints it";
    if let Some(subject) = &case.subject {
        if let Some(key) = subject.key {
            let role = match key {
                KeyRole::Primary => "primary",
                KeyRole::Secondary => "secondary",
            };
            return Draft::ok(name, format!("{} joined with the {role} key", subject.name()));
        }
        let refused =
            case.turned_away.iter().find(|(mac, ago)| Some(*mac) == subject.mac && ago.as_secs() < LATELY_S);
        if let Some((_, ago)) = refused {
            let finding = format!("{} tried a wrong key {} s ago", subject.name(), ago.as_secs());
            return Draft::problem(name, finding, "its key is none of ours", remedy);
        }
        if subject.connected || case.pair.as_ref().is_some_and(|pair| pair.private.len() > 1) && !subject.air
        {
            return Draft::ok(name, format!("{} is on a wire", subject.name()));
        }
        return Draft::problem(
            name,
            format!("{} has not joined", subject.name()),
            "it is out of reach, or was never told to",
            "choose the network on the device, and bring it nearer",
        );
    }
    let just_now = case.turned_away.iter().filter(|(_, ago)| ago.as_secs() < JUST_NOW_S);
    match just_now.min_by_key(|(_, ago)| *ago) {
        Some((mac, ago)) => {
            let finding = format!("{mac} tried a wrong key {} s ago", ago.as_secs());
            Draft::problem(name, finding, "its key is none of ours", remedy)
        }
        None => Draft::ok(name, "no device was refused for its key in the last two minutes"),
    }
}

pub(super) fn dhcp(case: &Case, findings: &Findings) -> Draft {
    let name = CheckName::Dhcp;
    let trouble = |kind: ServiceTrouble| {
        case.troubles.iter().find(|(which, _)| *which == kind).map(|(_, cause)| cause.clone())
    };
    let leased = case.subject.as_ref().is_some_and(|subject| subject.lease.is_some());
    if let Some(cause) = trouble(ServiceTrouble::DhcpPort).filter(|_| !leased) {
        let remedy = "stop the other DHCP server, or keep it off this connection";
        return Draft::problem(name, "another DHCP server is at work here", cause, remedy).rooted();
    }
    if let Some(cause) = trouble(ServiceTrouble::LeaseStore).filter(|_| !leased) {
        let remedy = "make room on the disk of the state folder, /var/lib/hostednet";
        return Draft::problem(name, "devices get no address", cause, remedy).rooted();
    }
    if let Some(cause) = trouble(ServiceTrouble::PoolExhausted).filter(|_| !leased) {
        let remedy = "make the network larger (sharing.full_subnet in hostednet.toml), shorten the leases \
                      (sharing.lease_time_s), or take promises back (`hostednet settings`)";
        return Draft::problem(name, "every address is given away", cause, remedy).rooted();
    }
    let range = case.pool.map_or_else(Default::default, |(first, last)| format!(", {first} to {last}"));
    let Some(subject) = &case.subject else {
        let given = count(case.leases, "lease");
        return Draft::ok(name, format!("{given}{range}"));
    };
    if let (Some(lease), Some(address)) = (&subject.lease, subject.ipv4) {
        return Draft::ok(name, format!("{} has {address} until {lease}", subject.name()));
    }
    let Ok(heard) = &findings.heard else {
        return Draft::unknown(name, format!("{} has no lease", subject.name()));
    };
    let finding = format!("{} has no lease", subject.name());
    let again = "have it ask again: disconnect and connect it, and let it get its address automatically";
    match speaker(heard, subject) {
        None => Draft::problem(name, finding, format!("it was silent for {}", span(heard.within)), again),
        Some(speaker) if speaker.requests > 0 => Draft::problem(
            name,
            finding,
            format!("it asked {} times in {} and got none yet", speaker.requests, span(heard.within)),
            "ask once more in a few seconds; if that does not help, see what `hostednet status` says",
        ),
        Some(speaker) if speaker.addresses.is_empty() => Draft::problem(
            name,
            finding,
            format!("it sent {} in {} and asked for none", count_frames(speaker), span(heard.within)),
            again,
        ),
        Some(_) => Draft::skipped(name, format!("{} uses an address set by hand", subject.name())),
    }
}

pub(super) fn address(case: &Case, findings: &Findings) -> Draft {
    let name = CheckName::Address;
    let Some(segment) = case.segment() else { return Draft::skipped(name, "no private connection is there") };
    let Some(link) = case.network.link(segment.interface.as_str()) else {
        return Draft::problem(
            name,
            format!("{} is gone", interface_name(Some(segment.interface))),
            "somebody removed it",
            "begin sharing anew",
        )
        .solved_by(case.anew());
    };
    if !link.up {
        return Draft::problem(
            name,
            format!("{} is down", link.name),
            "somebody set it down",
            "set it up again",
        )
        .solved_by(vec![format!("ip link set {} up", link.name)]);
    }
    if !link.addresses.iter().any(|address| address.address() == segment.address.address()) {
        return Draft::problem(
            name,
            format!("{} is missing on {}", segment.address, link.name),
            "somebody took it away",
            "give it back",
        )
        .solved_by(vec![format!(
            "ip addr add {} broadcast {} dev {}",
            segment.address,
            segment.address.broadcast(),
            link.name
        )]);
    }
    let heard = match &findings.heard {
        Ok(heard) => heard,
        Err(cause) => return Draft::unknown(name, format!("the segment cannot be heard: {cause}")),
    };
    let network = segment.address.network();
    let automatic = "have the device get its address automatically (DHCP)";
    let Some(subject) = &case.subject else {
        for speaker in &heard.speakers {
            if let Some(wrong) = foreign(speaker, case) {
                let finding = format!("{} uses {wrong}, which is not in {network}", speaker.mac);
                return Draft::problem(name, finding, "its address was set by hand", automatic);
            }
        }
        if !link.carrier && !case.air {
            return Draft::problem(
                name,
                format!("{} has no carrier", link.name),
                "its cable is out, or what is at its other end is off",
                "plug the cable in, or switch the device on",
            );
        }
        let heard = format!("{} heard in {}", count(heard.speakers.len(), "device"), span(heard.within));
        return Draft::ok(name, format!("{} on {}; {heard}", segment.address, link.name));
    };
    if !link.carrier && !case.air {
        return Draft::problem(
            name,
            format!("{} has no carrier", link.name),
            "its cable is out, or the device is off",
            "plug the cable in, or switch the device on",
        );
    }
    let speaker = speaker(heard, subject);
    if let Some(wrong) = speaker.and_then(|speaker| foreign(speaker, case)) {
        let finding = format!("{} uses {wrong}, which is not in {network}", subject.name());
        return Draft::problem(name, finding, "its address was set by hand", automatic);
    }
    match (heard.answered, subject.mac, subject.ipv4) {
        (Some(other), Some(own), Some(address)) if other != own => Draft::problem(
            name,
            format!("{other} answers at {address}, not {own}"),
            "two devices use one address",
            format!("have {other} get its address automatically (DHCP)"),
        ),
        (Some(_), _, Some(address)) => Draft::ok(name, format!("{} answers at {address}", subject.name())),
        _ => match speaker {
            Some(speaker) => {
                let address: Vec<_> = speaker.addresses.iter().map(ToString::to_string).collect();
                let from = if address.is_empty() { "no address".to_string() } else { address.join(", ") };
                let frames = count_frames(speaker);
                Draft::ok(name, format!("{} sent {frames} from {from}", subject.name()))
            }
            None => Draft::unknown(
                name,
                format!("{} was silent for {}: it sleeps, or has left", subject.name(), span(heard.within)),
            ),
        },
    }
}

fn count_frames(speaker: &Speaker) -> alloc::string::String {
    count(usize::try_from(speaker.frames).unwrap_or(usize::MAX), "frame")
}

/// The device among those that were heard.
fn speaker<'a>(heard: &'a Heard, subject: &Subject) -> Option<&'a Speaker> {
    heard.speakers.iter().find(|speaker| match (subject.mac, subject.ipv4) {
        (Some(mac), _) => speaker.mac == mac,
        (None, Some(address)) => speaker.addresses.contains(&address),
        (None, None) => false,
    })
}

/// An address it uses that is not of the segment. One that devices give themselves for want of a lease is none.
fn foreign(speaker: &Speaker, case: &Case) -> Option<core::net::Ipv4Addr> {
    let network = case.segment()?.address;
    let own = |address: &&core::net::Ipv4Addr| {
        !address.is_unspecified() && !address.is_link_local() && !network.contains(**address)
    };
    let inside = speaker.addresses.iter().any(|address| network.contains(*address));
    speaker.addresses.iter().find(own).copied().filter(|_| !inside)
}
