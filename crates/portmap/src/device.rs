//! The devices: an Internet gateway of version 1 and one of version 2, side by side.
//!
//! Clients made for the one often take the other for something else, so each version is a root device of its
//! own, with its own name and description. Both manage the same table.

use alloc::{format, string::String, vec::Vec};

use crate::{config::RawConfig, service::Service, xml::escape};

/// Which gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    One,
    Two,
}

/// Its parts, each inside of the one before.
const DEVICES: [&str; 3] = ["InternetGatewayDevice", "WANDevice", "WANConnectionDevice"];

/// What can be searched for and is announced: a type or name, and the unique name that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: String,
    pub(crate) usn: String,
    pub(crate) version: Version,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Root(Version),
    Description(Service),
    Control(Service, Version),
    Events(Service, Version),
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::One, Self::Two];

    const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Where its description is.
    pub(crate) const fn root(self) -> &'static str {
        match self {
            Self::One => "/rootDesc.xml",
            Self::Two => "/2/rootDesc.xml",
        }
    }

    /// The services of each part.
    const fn parts(self) -> [&'static [Service]; 3] {
        match self {
            // Pinholes came with version 2, but most clients look for a gateway of version 1 only.
            Self::One => {
                [&[Service::Layer3Forwarding], &[Service::WanCommon], &[Service::WanIp1, Service::Firewall6]]
            }
            Self::Two => {
                [&[Service::Layer3Forwarding], &[Service::WanCommon], &[Service::WanIp2, Service::Firewall6]]
            }
        }
    }

    pub(crate) fn services(self) -> impl Iterator<Item = Service> {
        self.parts().into_iter().flatten().copied()
    }

    /// The unique name of part `index`.
    fn udn(self, uuid: [u8; 16], index: usize) -> String {
        let mut uuid = uuid;
        uuid[15] ^= self.number() << 2 | index as u8;
        format!("uuid:{}", hyphened(uuid))
    }

    /// `DefaultConnectionService` of `Layer3Forwarding`.
    pub(crate) fn default_connection(self, uuid: [u8; 16]) -> String {
        let id = match self {
            Self::One => Service::WanIp1.id(),
            Self::Two => Service::WanIp2.id(),
        };
        format!("{}:WANConnectionDevice:{},{id}", self.udn(uuid, 2), self.number())
    }

    /// Everything of this version that is announced.
    pub(crate) fn targets(self, uuid: [u8; 16]) -> Vec<Target> {
        let mut out = Vec::new();
        let number = self.number();
        for (index, (device, services)) in DEVICES.into_iter().zip(self.parts()).enumerate() {
            let udn = self.udn(uuid, index);
            let mut target = |kind: String| {
                let usn = if kind == udn { kind.clone() } else { format!("{udn}::{kind}") };
                out.push(Target { kind, usn, version: self });
            };
            if index == 0 {
                target(String::from("upnp:rootdevice"));
            }
            target(udn.clone());
            target(format!("urn:schemas-upnp-org:device:{device}:{number}"));
            for service in services {
                target(service.kind());
            }
        }
        out
    }

    /// The description of the root device (UDA 1.1 §2.3).
    pub(crate) fn description(self, config: &RawConfig) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\"?>\r\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\">\
             <specVersion><major>1</major><minor>{}</minor></specVersion>",
            self.number() - 1
        );
        for (index, (device, services)) in DEVICES.into_iter().zip(self.parts()).enumerate() {
            if index > 0 {
                out.push_str("<deviceList>");
            }
            out.push_str(&format!(
                "<device><deviceType>urn:schemas-upnp-org:device:{device}:{}</deviceType>\
                 <friendlyName>{}</friendlyName><manufacturer>hostednet</manufacturer>\
                 <modelDescription>Internet connection sharing</modelDescription>\
                 <modelName>hostednet</modelName><modelNumber>1</modelNumber><UDN>{}</UDN><serviceList>",
                self.number(),
                escape(&config.name),
                self.udn(config.uuid, index)
            ));
            for service in services {
                let (version, name) = (self.number(), service.name());
                out.push_str(&format!(
                    "<service><serviceType>{}</serviceType><serviceId>{}</serviceId>\
                     <SCPDURL>/{version}/{name}.xml</SCPDURL>\
                     <controlURL>/{version}/control/{name}</controlURL>\
                     <eventSubURL>/{version}/event/{name}</eventSubURL></service>",
                    service.kind(),
                    service.id()
                ));
            }
            out.push_str("</serviceList>");
        }
        out.push_str("</device></deviceList></device></deviceList></device></root>\r\n");
        out
    }
}

/// What `path` leads to.
pub(crate) fn resource(path: &str) -> Option<Resource> {
    for version in Version::ALL {
        if path == version.root() {
            return Some(Resource::Root(version));
        }
        let number = version.number();
        for service in version.services() {
            let name = service.name();
            for (known, resource) in [
                (format!("/{number}/{name}.xml"), Resource::Description(service)),
                (format!("/{number}/control/{name}"), Resource::Control(service, version)),
                (format!("/{number}/event/{name}"), Resource::Events(service, version)),
            ] {
                if path == known {
                    return Some(resource);
                }
            }
        }
    }
    None
}

/// The usual writing of a UUID (RFC 9562 §4).
pub(crate) fn hyphened(uuid: [u8; 16]) -> String {
    let n = u128::from_be_bytes(uuid);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        (n >> 80) & 0xffff,
        (n >> 64) & 0xffff,
        (n >> 48) & 0xffff,
        n & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::xml::{Event, Reader};

    fn config() -> RawConfig {
        let mut raw = RawConfig::new("192.168.137.1/24".parse().expect("a subnet"), 2_869, [0xab; 16]);
        raw.name = String::from("Ada's <laptop>");
        raw
    }

    #[test]
    fn descriptions_are_well_formed_and_lead_to_what_exists() {
        let mut udns = BTreeSet::new();
        for version in Version::ALL {
            let document = version.description(&config());
            let mut reader = Reader::new(document.as_bytes()).expect("text");
            let mut urls = 0;
            while let Some(event) = reader.next().expect("well-formed") {
                match event {
                    Event::Start("UDN") => assert!(udns.insert(reader.text(99).expect("a name"))),
                    Event::Start("SCPDURL" | "controlURL" | "eventSubURL") => {
                        urls += 1;
                        let path = reader.text(99).expect("a path");
                        assert!(resource(&path).is_some(), "{path}");
                    }
                    Event::Start("friendlyName") => {
                        assert_eq!(reader.text(99).as_deref(), Ok("Ada's <laptop>"));
                    }
                    Event::Start(_) | Event::Text(_) | Event::End => {}
                }
            }
            assert_eq!(urls, 3 * version.services().count());
            for service in version.services() {
                let document = service.description();
                let mut reader = Reader::new(document.as_bytes()).expect("text");
                while reader.next().expect("well-formed").is_some() {}
            }
        }
        assert_eq!(udns.len(), 6);
    }

    #[test]
    fn everything_announced_has_its_own_name() {
        let all: Vec<Target> = Version::ALL.into_iter().flat_map(|v| v.targets([0xab; 16])).collect();
        assert_eq!(all.len(), 11 + 11);
        let names: BTreeSet<&str> = all.iter().map(|target| target.usn.as_str()).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().any(|target| {
            target.kind == "urn:schemas-upnp-org:service:WANIPConnection:1"
                && target.usn.starts_with("uuid:abab")
        }));
        assert_eq!(hyphened([0x12; 16]), "12121212-1212-1212-1212-121212121212");
    }
}
