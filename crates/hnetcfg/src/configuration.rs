//! `INetSharingConfiguration`: sharing, firewall and port mappings of one connection.

use std::net::Ipv4Addr;

use hostednet::{MappingArgs, MappingTarget, Protocol, Role};

use crate::{
    client,
    collection::{Collection, Kind},
    ffi::object::{Interface, Ref},
    hresult::{E_INVALIDARG, Refusal},
    mapping::Mapping,
    types::{
        DWORD, GUID, ICS_TARGETTYPE, ICSSC_DEFAULT, ICSSC_ENABLED, ICSSHARINGTYPE_PRIVATE,
        ICSSHARINGTYPE_PUBLIC, ICSTT_IPADDRESS, ICSTT_NAME, SHARINGCONNECTION_ENUM_FLAGS,
        SHARINGCONNECTIONTYPE,
    },
};

/// Numbers of the Internet protocols that can be mapped.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Names of mappings and targets are not longer, in UTF-16 units.
const NAME_LIMIT: usize = 256;

/// The configuration of the connection with this identifier.
#[derive(Debug)]
pub(crate) struct Configuration {
    guid: GUID,
}

/// The arguments of `AddPortMapping`, as they came.
#[derive(Debug)]
pub(crate) struct NewMapping {
    pub(crate) name: Vec<u16>,
    pub(crate) protocol: u8,
    pub(crate) external: u16,
    pub(crate) internal: u16,
    pub(crate) options: DWORD,
    pub(crate) target: Vec<u16>,
    pub(crate) kind: ICS_TARGETTYPE,
}

impl Configuration {
    pub(crate) const fn new(guid: GUID) -> Self {
        Self { guid }
    }

    /// Whether the connection has a role, even while the other half of the pair is missing.
    pub(crate) fn enabled(&self) -> Result<bool, Refusal> {
        Ok(client::connection(&self.guid)?.shared)
    }

    /// The role; `ICSSHARINGTYPE_PUBLIC` where there is none.
    pub(crate) fn role(&self) -> Result<SHARINGCONNECTIONTYPE, Refusal> {
        let private = client::connection(&self.guid)?.role == "private";
        Ok(if private { ICSSHARINGTYPE_PRIVATE } else { ICSSHARINGTYPE_PUBLIC })
    }

    pub(crate) fn enable(&self, kind: SHARINGCONNECTIONTYPE) -> Result<(), Refusal> {
        let role = match kind {
            ICSSHARINGTYPE_PUBLIC => Role::Public,
            ICSSHARINGTYPE_PRIVATE => Role::Private,
            _ => return Err(E_INVALIDARG.into()),
        };
        client::enable_sharing(&self.guid, role)
    }

    /// Takes the role away and disables the port mappings; firewall and bridge stay as they are.
    pub(crate) fn disable(&self) -> Result<(), Refusal> {
        client::disable_sharing(&self.guid)
    }

    pub(crate) fn firewall(&self) -> Result<bool, Refusal> {
        Ok(client::connection(&self.guid)?.firewalled)
    }

    pub(crate) fn set_firewall(&self, on: bool) -> Result<(), Refusal> {
        client::set_firewall(client::connection(&self.guid)?.name, on)
    }

    /// The port mappings: all of them, or with `ICSSC_ENABLED` those that are enabled.
    pub(crate) fn mappings(&self, flags: SHARINGCONNECTION_ENUM_FLAGS) -> Result<Ref<Collection>, Refusal> {
        let all = match flags {
            ICSSC_DEFAULT => true,
            ICSSC_ENABLED => false,
            _ => return Err(E_INVALIDARG.into()),
        };
        let views = client::mappings(&client::connection(&self.guid)?)?;
        let objects = views.iter().filter(|view| all || view.enabled).map(|view| Mapping::of(view.id));
        Ok(Collection::new(Kind::Mappings, objects.map(Ref::into_interface).collect()))
    }

    /// Adds a port mapping, which is disabled.
    pub(crate) fn add(&self, new: &NewMapping) -> Result<Ref<Mapping>, Refusal> {
        let args = arguments(new)?;
        let connection = client::connection(&self.guid)?.name;
        let id = client::add_mapping(MappingArgs { connection: Some(connection), ..args })?;
        Ok(Mapping::of(id))
    }

    /// Removes a port mapping of this connection.
    pub(crate) fn remove(&self, mapping: Option<&Interface>) -> Result<(), Refusal> {
        let mapping = mapping.and_then(Interface::mapping).ok_or(E_INVALIDARG)?;
        let connection = client::connection(&self.guid)?;
        if client::mapping(mapping.id())?.connection != connection.name {
            return Err(E_INVALIDARG.into());
        }
        mapping.delete()
    }
}

/// What the service is asked for; refuses what can be seen to be wrong from here.
fn arguments(new: &NewMapping) -> Result<MappingArgs, Refusal> {
    let wrong = |sentence: &str| Refusal { code: E_INVALIDARG, sentence: sentence.to_owned() };
    let text = |units: &[u16], what: &str| {
        let fits = !units.is_empty() && units.len() <= NAME_LIMIT && !units.contains(&0);
        let text = String::from_utf16(units).ok().filter(|text| fits && !text.trim().is_empty());
        text.ok_or_else(|| wrong(&format!("{what} is empty, too long or not text")))
    };
    let protocol = match new.protocol {
        TCP => Protocol::Tcp,
        UDP => Protocol::Udp,
        other => return Err(wrong(&format!("the protocol is 6 or 17, not {other}"))),
    };
    if new.external == 0 || new.internal == 0 {
        return Err(wrong("a port is 0"));
    }
    if new.options != 0 {
        return Err(wrong("the options are reserved and must be 0"));
    }
    let name = text(&new.name, "the name")?;
    let target = text(&new.target, "the target")?;
    let target = match new.kind {
        ICSTT_NAME => MappingTarget::Name(target),
        ICSTT_IPADDRESS => {
            let address: Ipv4Addr = target.parse().map_err(|_| wrong("the target is not an IPv4 address"))?;
            MappingTarget::Address(address)
        }
        other => return Err(wrong(&format!("the target type is 0 or 1, not {other}"))),
    };
    Ok(MappingArgs {
        connection: None,
        name,
        protocol,
        external_port: new.external,
        internal_port: Some(new.internal),
        target,
        enabled: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    fn good() -> NewMapping {
        NewMapping {
            name: units("web"),
            protocol: TCP,
            external: 8080,
            internal: 80,
            options: 0,
            target: units("192.168.137.7"),
            kind: ICSTT_IPADDRESS,
        }
    }

    #[test]
    fn a_good_mapping_is_asked_for_disabled() {
        let args = arguments(&good()).expect("good");
        assert!(!args.enabled);
        assert_eq!(args.target, MappingTarget::Address(Ipv4Addr::new(192, 168, 137, 7)));
        let named = arguments(&NewMapping { target: units("tv"), kind: ICSTT_NAME, ..good() }).expect("good");
        assert_eq!(named.target, MappingTarget::Name("tv".to_owned()));
    }

    #[test]
    fn every_wrong_argument_of_a_mapping_is_refused() {
        let wrong = [
            NewMapping { name: Vec::new(), ..good() },
            NewMapping { name: units("  "), ..good() },
            NewMapping { name: units("a\0b"), ..good() },
            NewMapping { name: vec![0xd800], ..good() },
            NewMapping { name: vec![0x61; NAME_LIMIT + 1], ..good() },
            NewMapping { protocol: 1, ..good() },
            NewMapping { external: 0, ..good() },
            NewMapping { internal: 0, ..good() },
            NewMapping { options: 1, ..good() },
            NewMapping { target: Vec::new(), ..good() },
            NewMapping { target: units("tv"), ..good() },
            NewMapping { target: units("::1"), ..good() },
            NewMapping { kind: 2, ..good() },
            NewMapping { kind: -1, ..good() },
        ];
        for new in wrong {
            assert_eq!(arguments(&new).expect_err("wrong").code, E_INVALIDARG, "{new:?}");
        }
    }
}
