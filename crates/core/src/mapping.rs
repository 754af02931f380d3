//! Port mappings and closed connections (spec/internet-connection-sharing.md §5.2).
//!
//! A mapping belongs to a connection and acts while that is the public one. Where it leads is found out anew
//! whenever leases or sides change; a mapping to a name follows its device.

use alloc::{
    format,
    string::{String, ToString},
};
use core::net::IpAddr;

use hn_types::{
    ErrorCode, Failure, IfName, Now, Reason, StoredSettings, Subnet4,
    plan::PortForward,
    settings::{MappingTarget, PortMapping, PublicChoice},
};

use crate::{
    command::{MappingStatus, NewMapping},
    core::Core,
    devices::Devices,
    dispatch::{Stages, invalid},
    job::Claim,
    keys,
    plan::{private_side, public_side},
    portmap::{FIRST_ID, no_mapping},
};

/// Most port mappings.
const LIMIT: usize = 128;
/// The longest name of a mapping, in characters (`NETCON_MAX_NAME_LEN`).
const NAME: usize = 256;
/// The longest name of a device, in bytes (RFC 1035 §2.3.4).
const HOST: usize = 253;

/// The way of a mapping while `public` leads out for the segment on `private`; the cause when it leads nowhere.
pub(crate) fn forward(
    mapping: &PortMapping,
    public: IfName,
    (private, subnet): (IfName, Subnet4),
    devices: &Devices,
    domain: &str,
) -> Result<PortForward, String> {
    if !mapping.enabled {
        return Err("it is switched off".to_string());
    }
    if mapping.connection != public {
        return Err(format!("{} is not the public connection", mapping.connection));
    }
    let address = match &mapping.target {
        MappingTarget::Address(address) => *address,
        MappingTarget::Name(name) => {
            devices.address(name, domain).ok_or_else(|| format!("no device named {name} has a lease"))?
        }
    };
    let host = subnet.address() == address;
    let edge = subnet.network().address() == address || subnet.broadcast() == address;
    if !subnet.contains(address) || host || edge {
        return Err(format!("{address} is not an address of a device in {}", subnet.network()));
    }
    Ok(PortForward {
        public,
        private,
        protocol: mapping.protocol,
        external_port: mapping.external_port,
        address,
        internal_port: mapping.internal_port,
        remote: None,
    })
}

impl Core {
    /// Every mapping and where it leads.
    pub(crate) fn mapping_statuses(&self, now: Now) -> alloc::vec::Vec<MappingStatus> {
        let side = self.intent.full.as_ref().and_then(|pair| {
            let public = public_side(pair, &self.network)?;
            let private = private_side(pair, self.intent.ap.as_ref(), &self.network)?.interface;
            Some((public, (private, self.subnets.full?)))
        });
        let status = |mapping: &PortMapping| {
            let leads = match side {
                Some((public, segment)) => {
                    forward(mapping, public, segment, &self.devices, &self.config.domain)
                        .map(|way| IpAddr::V4(way.address))
                }
                None if !mapping.enabled => Err("it is switched off".to_string()),
                None => Err("nothing is shared".to_string()),
            };
            let note = leads.as_ref().ok().and_then(|_| self.portmap_hidden()).unwrap_or_default();
            MappingStatus { mapping: mapping.clone(), leads, note, asked: None }
        };
        self.settings.mappings.iter().map(status).chain(self.asked_statuses(now)).collect()
    }

    pub(crate) fn check_mapping(&self, new: &NewMapping) -> Result<(), Failure> {
        let NewMapping { name, external_port, internal_port, target, .. } = new;
        if name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(invalid(
                "name",
                "a mapping is named by at most 256 characters, none of them a control character",
            ));
        }
        if *external_port == 0 || *internal_port == Some(0) {
            return Err(invalid("port", "ports are numbered from 1 to 65535"));
        }
        match target {
            MappingTarget::Name(host) => {
                let plain = |byte: u8| byte.is_ascii_graphic() || byte >= 0x80;
                if host.is_empty() || host.len() > HOST || !host.bytes().all(plain) {
                    return Err(invalid("target", "a device is named by 1 to 253 bytes without blanks"));
                }
            }
            MappingTarget::Address(address) => {
                if address.is_unspecified()
                    || address.is_loopback()
                    || address.is_multicast()
                    || address.is_broadcast()
                {
                    return Err(invalid("target", "this is not the address of a device"));
                }
            }
        }
        Ok(())
    }

    pub(crate) fn add_mapping(&self, new: NewMapping) -> Result<(Stages, Claim), Failure> {
        self.check_mapping(&new)?;
        let connection = match &new.connection {
            Some(connection) => self.find_connection(connection)?.name,
            None => self.likely_public().ok_or_else(|| {
                invalid("connection", "there is no public connection").with_remedy("name the connection")
            })?,
        };
        let mut settings = keys::versioned(&self.settings);
        let same = settings.mappings.iter().find(|other| {
            (other.connection, other.protocol, other.external_port)
                == (connection, new.protocol, new.external_port)
        });
        if let Some(other) = same {
            let cause = format!("mapping {} ({}) has this port on {connection}", other.id, other.name);
            return Err(invalid(&format!("{} {}", new.protocol, new.external_port), &cause)
                .with_remedy("remove that one first, or choose another port"));
        }
        let id = settings.last_mapping.checked_add(1);
        let id = id.filter(|id| *id < FIRST_ID && settings.mappings.len() < LIMIT);
        let Some(id) = id else {
            return Err(Failure::check(
                ErrorCode::LimitExceeded,
                Reason::InsufficientResources,
                "port mappings",
                format!("there are {LIMIT} already"),
            ));
        };
        settings.last_mapping = id;
        settings.mappings.push(PortMapping {
            id,
            connection,
            name: new.name,
            protocol: new.protocol,
            external_port: new.external_port,
            internal_port: new.internal_port.unwrap_or(new.external_port),
            target: new.target,
            enabled: new.enabled,
        });
        Ok((self.save_and_follow(settings), Claim::Mapping(id)))
    }

    /// The connection that is public, or would be if somebody shared without saying which.
    pub(crate) fn likely_public(&self) -> Option<IfName> {
        let chosen = match self.half.public {
            Some(PublicChoice::Interface(name)) => Some(name),
            Some(PublicChoice::Auto) | None => None,
        };
        let running = self.intent.full.as_ref().and_then(|pair| match pair.public {
            PublicChoice::Interface(name) => Some(name),
            PublicChoice::Auto => public_side(pair, &self.network),
        });
        running.or(chosen).or(self.network.default_route)
    }

    pub(crate) fn set_mapping_enabled(&mut self, id: u32, enabled: bool) -> Result<Stages, Failure> {
        if id >= FIRST_ID {
            return self.set_asked_enabled(id, enabled);
        }
        self.change_mappings(id, |settings| {
            for mapping in settings.mappings.iter_mut().filter(|mapping| mapping.id == id) {
                mapping.enabled = enabled;
            }
        })
    }

    pub(crate) fn remove_mapping(&mut self, id: u32) -> Result<Stages, Failure> {
        if id >= FIRST_ID {
            return self.remove_asked(id);
        }
        self.change_mappings(id, |settings| settings.mappings.retain(|mapping| mapping.id != id))
    }

    fn change_mappings(&self, id: u32, change: impl FnOnce(&mut StoredSettings)) -> Result<Stages, Failure> {
        if !self.settings.mappings.iter().any(|mapping| mapping.id == id) {
            return Err(no_mapping(id));
        }
        let mut settings = keys::versioned(&self.settings);
        change(&mut settings);
        Ok(self.save_and_follow(settings))
    }

    pub(crate) fn set_firewall(&self, connection: &str, on: bool) -> Result<Stages, Failure> {
        let name = match self.find_connection(connection) {
            Ok(view) => view.name,
            Err(failure) => connection
                .parse()
                .ok()
                .filter(|name| self.settings.firewalled.contains(name))
                .ok_or(failure)?,
        };
        let mut settings = keys::versioned(&self.settings);
        settings.firewalled.retain(|other| *other != name);
        if on {
            settings.firewalled.push(name);
            settings.firewalled.sort_unstable();
        }
        Ok(self.save_and_follow(settings))
    }
}

impl MappingStatus {
    /// Where it leads at the moment.
    pub fn address(&self) -> Option<IpAddr> {
        self.leads.as_ref().ok().copied()
    }
}
