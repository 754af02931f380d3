//! Other programs on this machine that have to do with its network.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::{
    IfName,
    settings::Protocol,
    view::{NeighbourView, SharingView},
};

/// A neighbour, and what it holds of what a segment needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name as people know it, or the name of the process.
    pub name: String,
    /// What it holds.
    pub holds: Vec<Held>,
    /// What it was asked for and does for us, in words that begin with a verb.
    pub asked: Vec<String>,
}

/// Something that a program holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Held {
    /// A port, for one address or for all of them.
    Port {
        /// TCP or UDP.
        protocol: Protocol,
        /// The port.
        port: u16,
        /// The address; unspecified for all.
        address: IpAddr,
    },
    /// It hears every IPv4 packet of one interface, as DHCP clients do.
    Frames {
        /// The interface.
        interface: IfName,
    },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { protocol, port, address } => {
                let protocol = match protocol {
                    Protocol::Tcp => "TCP",
                    Protocol::Udp => "UDP",
                };
                write!(f, "{protocol} port {port} of ")?;
                if address.is_unspecified() { f.write_str("every address") } else { write!(f, "{address}") }
            }
            Self::Frames { interface } => write!(f, "a DHCP client on {interface}"),
        }
    }
}

impl Neighbour {
    /// What is reported of it beside this sharing. A DHCP client on a private interface is a conflict: the interface has a
    /// server of ours, and somebody else wants it configured by one.
    pub fn view(self, sharing: &SharingView) -> NeighbourView {
        let clients = self.holds.iter().filter_map(|held| match held {
            Held::Frames { interface } => sharing.private.iter().find(|private| *private == interface),
            Held::Port { .. } => None,
        });
        let conflicts: Vec<String> = clients
            .map(|interface| {
                format!("{} asks for an address on {interface}, which is private; tell it to leave {interface} alone", self.name)
            })
            .collect();
        let mut holds: Vec<String> = self.holds.iter().map(|held| format!("{held}")).collect();
        holds.dedup();
        NeighbourView { name: self.name, holds, asked: self.asked, conflict: conflicts.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_dhcp_client_is_a_conflict_on_a_private_interface_only() {
        let neighbour = |text: &str| Neighbour {
            name: "systemd-networkd".into(),
            holds: vec![Held::Frames { interface: text.parse().expect("valid") }],
            asked: Vec::new(),
        };
        let sharing = SharingView { private: vec!["lan0".parse().expect("valid")], ..SharingView::default() };
        assert_eq!(neighbour("wan0").view(&sharing).conflict, "");
        let view = neighbour("lan0").view(&sharing);
        assert!(view.conflict.contains("systemd-networkd") && view.conflict.contains("lan0"), "{view:?}");
        assert_eq!(view.holds, ["a DHCP client on lan0"]);
    }

    #[test]
    fn a_port_of_all_addresses_is_told_in_words() {
        let held = |address: &str| Held::Port {
            protocol: Protocol::Udp,
            port: 53,
            address: address.parse().expect("valid"),
        };
        assert_eq!(format!("{}", held("0.0.0.0")), "UDP port 53 of every address");
        assert_eq!(format!("{}", held("127.0.0.53")), "UDP port 53 of 127.0.0.53");
    }
}
