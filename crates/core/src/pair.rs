//! Which pairs of connections may be shared (seed 001, spec/internet-connection-sharing.md §4).

use alloc::string::ToString;

use hn_types::{
    ErrorCode, Failure, IfName, Reason,
    network::{Link, MediaType, NetworkView},
    settings::{PrivateChoice, PublicChoice, SharingPair},
};

fn refuse(code: ErrorCode, object: impl ToString, cause: &str) -> Failure {
    let reason =
        if code == ErrorCode::InvalidParameter { Reason::BadParameters } else { Reason::Unspecified };
    Failure::check(code, reason, object.to_string(), cause)
}

fn find<'a>(network: &'a NetworkView, name: &IfName) -> Result<&'a Link, Failure> {
    network.link(name.as_str()).ok_or_else(|| {
        refuse(ErrorCode::NotFound, name, "there is no such connection")
            .with_remedy("`hostednet connections` lists them")
    })
}

/// The pair in its one normal form, if it may be shared. `hosted` is the interface of the hosted network;
/// `None` while that has no adapter, so that it cannot be found (sequences §6, S0 and E3).
pub(crate) fn checked(
    pair: &SharingPair,
    network: &NetworkView,
    hosted: Option<IfName>,
) -> Result<SharingPair, Failure> {
    let mut private: alloc::vec::Vec<PrivateChoice> = pair
        .private
        .iter()
        .map(|choice| match choice {
            PrivateChoice::Interface(name) if Some(*name) == hosted => PrivateChoice::HostedNetwork,
            PrivateChoice::Interface(_) | PrivateChoice::HostedNetwork => *choice,
        })
        .collect();
    private.sort_unstable();
    if private.is_empty() {
        return Err(refuse(
            ErrorCode::InvalidParameter,
            "private",
            "at least one private connection is needed",
        ));
    }
    if private.windows(2).any(|two| matches!(two, [a, b] if a == b)) {
        return Err(refuse(ErrorCode::InvalidParameter, "private", "a connection is named twice"));
    }
    if let PublicChoice::Interface(name) = &pair.public {
        if private.contains(&PrivateChoice::Interface(*name)) {
            return Err(refuse(
                ErrorCode::InvalidParameter,
                name,
                "a connection cannot be public and private at once",
            ));
        }
        checked_public(*name, network, hosted)?;
    }
    checked_private(&private, network, hosted)?;
    Ok(SharingPair { public: pair.public, private })
}

/// Whether a connection may be public.
pub(crate) fn checked_public(
    name: IfName,
    network: &NetworkView,
    hosted: Option<IfName>,
) -> Result<(), Failure> {
    if Some(name) == hosted {
        return Err(refuse(
            ErrorCode::InvalidParameter,
            name,
            "a connection cannot be public and private at once",
        ));
    }
    let link = find(network, &name)?;
    if link.ours || link.master.is_some() {
        return Err(refuse(
            ErrorCode::InvalidParameter,
            name,
            "the connection belongs to a bridge, a bond or this service",
        ));
    }
    link.not_sharable().map_or(Ok(()), |why| Err(refuse(ErrorCode::NotSupported, name, why)))
}

/// Whether these connections may be private together.
pub(crate) fn checked_private(
    private: &[PrivateChoice],
    network: &NetworkView,
    hosted: Option<IfName>,
) -> Result<(), Failure> {
    let several = private.len() > 1;
    for choice in private {
        match choice {
            PrivateChoice::HostedNetwork if hosted.is_none() => {
                return Err(refuse(
                    ErrorCode::NotFound,
                    "hosted network",
                    "the adapter of the hosted network does not exist before it was started",
                )
                .with_remedy("start the hosted network first, or use `hostednet up`"));
            }
            PrivateChoice::HostedNetwork => {}
            PrivateChoice::Interface(name) => private_link(find(network, name)?, network, several)?,
        }
    }
    Ok(())
}

fn private_link(link: &Link, network: &NetworkView, several: bool) -> Result<(), Failure> {
    let name = link.name;
    let ours = |master: &IfName| network.link(master.as_str()).is_some_and(|master| master.ours);
    if link.ours || link.master.as_ref().is_some_and(|master| !ours(master)) {
        return Err(refuse(
            ErrorCode::InvalidParameter,
            name,
            "the connection belongs to a bridge, a bond or this service",
        ));
    }
    if let Some(why) = link.not_sharable() {
        return Err(refuse(ErrorCode::NotSupported, name, why));
    }
    if network.default_route == Some(name) {
        return Err(refuse(
            ErrorCode::InvalidParameter,
            name,
            "the default route leads through it, so it cannot be private",
        )
        .with_remedy("choose it as the public connection"));
    }
    if link.address.is_none() {
        return Err(refuse(ErrorCode::NotSupported, name, "a point-to-point connection cannot be private"));
    }
    if several && (link.media != MediaType::Lan || link.wireless) {
        return Err(refuse(
            ErrorCode::NotSupported,
            name,
            "only wired connections can be joined into one private network",
        ));
    }
    Ok(())
}
