//! Sharing by halves: each connection is given its part on its own, as `INetSharingConfiguration` does it.
//!
//! The choice is remembered until both sides have a connection; then it is a pair like any other. Whole or nothing
//! holds for each call: one that fails leaves the parts as they were.

use alloc::vec::Vec;

use hn_types::{
    ErrorCode, Failure, IfName, Reason,
    settings::{PrivateChoice, PublicChoice, Role, SharingPair},
};

use crate::{
    core::Core,
    dispatch::{Stages, invalid},
    job::{Change, Stage},
    keys,
    pair::{checked_private, checked_public},
    plan::public_side,
    view::{ConnectionRole, ConnectionView},
};

/// The parts that connections are to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Half {
    pub(crate) public: Option<PublicChoice>,
    pub(crate) private: Vec<PrivateChoice>,
}

impl Half {
    /// Both sides, if there are.
    fn pair(&self) -> Option<SharingPair> {
        let public = self.public.filter(|_| !self.private.is_empty())?;
        Some(SharingPair { public, private: self.private.clone() })
    }
}

impl Core {
    /// The parts as they are wanted, whether or not they make a pair.
    fn halves(&self) -> Half {
        match &self.intent.full {
            Some(pair) => Half { public: Some(pair.public), private: pair.private.clone() },
            None => self.half.clone(),
        }
    }

    /// The part of a connection while the other side is missing.
    pub(crate) fn half_role(&self, name: IfName, hosted: bool) -> ConnectionRole {
        if self.half.public == Some(PublicChoice::Interface(name)) {
            ConnectionRole::Public
        } else if self.half.private.contains(&choice(name, hosted)) {
            ConnectionRole::Private
        } else {
            ConnectionRole::None
        }
    }

    /// The connection with this interface name or GUID (with braces, in any case).
    pub(crate) fn find_connection(&self, connection: &str) -> Result<ConnectionView, Failure> {
        self.connections()
            .into_iter()
            .find(|view| view.name.as_str() == connection || view.guid.eq_ignore_ascii_case(connection))
            .ok_or_else(|| {
                Failure::check(
                    ErrorCode::NotFound,
                    Reason::Unspecified,
                    connection,
                    "there is no such connection",
                )
                .with_remedy(
                    "`hostednet connections` lists them; the hosted network is there once it was started",
                )
            })
    }

    pub(crate) fn enable_sharing(&mut self, connection: &str, role: Role) -> Result<Stages, Failure> {
        self.sharing_usable()?;
        let view = self.find_connection(connection)?;
        let (name, chosen) = (view.name, choice(view.name, view.hosted_network));
        let mut half = self.halves();
        let public = match (&self.intent.full, half.public) {
            (Some(pair), _) => public_side(pair, &self.network),
            (None, Some(PublicChoice::Interface(name))) => Some(name),
            (None, Some(PublicChoice::Auto) | None) => None,
        };
        let twice = || invalid(name.as_str(), "a connection cannot be public and private at once");
        match role {
            Role::Public if half.private.contains(&chosen) => return Err(twice()),
            Role::Public if public == Some(name) => return Ok(Stages::new()),
            Role::Public => {
                checked_public(name, &self.network, self.hosted_adapter())?;
                half.public = Some(PublicChoice::Interface(name));
            }
            Role::Private if public == Some(name) => return Err(twice()),
            Role::Private if half.private.contains(&chosen) => return Ok(Stages::new()),
            Role::Private => {
                half.private.push(chosen);
                half.private.sort_unstable();
                checked_private(&half.private, &self.network, self.hosted_adapter())?;
            }
        }
        let Some(pair) = half.pair() else {
            self.half = half;
            return Ok(Stages::new());
        };
        let stages = self.share(&pair)?;
        self.half = Half::default();
        Ok(stages)
    }

    pub(crate) fn disable_sharing(&mut self, connection: &str) -> Result<Stages, Failure> {
        let mut half = self.halves();
        let (name, hosted) = match self.find_connection(connection) {
            Ok(view) => (view.name, view.hosted_network),
            // Gone, but remembered: its part can still be taken away.
            Err(failure) => match connection.parse::<IfName>() {
                Ok(name)
                    if half.public == Some(PublicChoice::Interface(name))
                        || half.private.contains(&PrivateChoice::Interface(name)) =>
                {
                    (name, false)
                }
                Ok(_) | Err(_) => return Err(failure),
            },
        };
        let before = half.clone();
        let public = match half.public {
            Some(PublicChoice::Interface(public)) => public == name,
            Some(PublicChoice::Auto) => {
                self.intent.full.as_ref().and_then(|pair| public_side(pair, &self.network)) == Some(name)
            }
            None => false,
        };
        if public {
            half.public = None;
        }
        half.private.retain(|other| *other != choice(name, hosted));
        let mut settings = keys::versioned(&self.settings);
        for mapping in settings.mappings.iter_mut().filter(|mapping| mapping.connection == name) {
            mapping.enabled = false;
        }
        let mut stages = self.save(settings, true);
        if self.intent.full.is_some() && half != before {
            stages.push_back(Stage::Change(Change::sharing(half.pair())));
        } else if !stages.is_empty() {
            stages.push_back(Stage::Change(Change::KEEP));
        }
        self.half = if half.pair().is_some() { Half::default() } else { half };
        Ok(stages)
    }
}

/// How a private connection is remembered: the hosted network keeps its part when its adapter is made anew.
const fn choice(name: IfName, hosted: bool) -> PrivateChoice {
    if hosted { PrivateChoice::HostedNetwork } else { PrivateChoice::Interface(name) }
}
