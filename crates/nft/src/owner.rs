//! Whose a foreign table is, and how its owner wants it opened.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use hn_types::IfName;

use crate::{
    audit::{Place, Traffic},
    foreign::{Foreign, TableId},
};

/// Who keeps a table, as far as the names in it tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// Docker.
    Docker,
    /// libvirt.
    Libvirt,
    /// NetworkManager.
    NetworkManager,
    /// Podman's netavark.
    Podman,
    /// An application with a table of its own name, VPN clients mostly.
    Application(String),
    /// Rules somebody gave to `iptables`.
    Iptables,
    /// Rules somebody gave to `nft`.
    Nftables,
}

/// What opens the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// These commands, one after the other, as root. Nothing in them needs quoting.
    Run(Vec<String>),
    /// What a person has to do.
    Ask(String),
}

/// Tables of programs that are known by the table's name, in lower case, as the beginning of it.
const APPLICATIONS: &[&str] = &[
    "mullvad",
    "nordvpn",
    "protonvpn",
    "expressvpn",
    "ivpn",
    "tailscale",
    "wg-quick",
    "windscribe",
    "airvpn",
];

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Firewalld => "firewalld",
            Self::Ufw => "ufw",
            Self::Docker => "Docker",
            Self::Libvirt => "libvirt",
            Self::NetworkManager => "NetworkManager",
            Self::Podman => "Podman",
            Self::Application(name) => name,
            Self::Iptables => "rules of iptables",
            Self::Nftables => "rules of nftables",
        })
    }
}

impl Owner {
    /// The owner of what stands in `chain` of `table`, which the packet met on `hook`.
    pub(crate) fn of(foreign: &Foreign, table: &TableId, chain: &str, hook: u32) -> Self {
        const FORWARD: u32 = 2;
        let (_, name) = table;
        // Beside its own table it has another while it reads its configuration again.
        if name.starts_with("firewalld") {
            return Self::Firewalld;
        }
        if name.starts_with("nm-") {
            return Self::NetworkManager;
        }
        if name.starts_with("libvirt") || chain.starts_with("LIBVIRT_") {
            return Self::Libvirt;
        }
        if name == "netavark" {
            return Self::Podman;
        }
        let lower = name.to_ascii_lowercase();
        if APPLICATIONS.iter().any(|known| lower.starts_with(known)) {
            return Self::Application(name.clone());
        }
        if name != "filter" {
            return Self::Nftables;
        }
        // The table that iptables fills is shared; the chains that exist tell who filled it.
        if chain.starts_with("DOCKER") || (hook == FORWARD && foreign.has_chain(table, "DOCKER-USER")) {
            return Self::Docker;
        }
        if chain.starts_with("ufw") || foreign.has_chain(table, "ufw-") {
            return Self::Ufw;
        }
        if chain.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_') {
            return Self::Iptables;
        }
        Self::Nftables
    }

    /// What opens the way, in the words of the owner.
    pub(crate) fn remedy(
        &self,
        place: &Place,
        (traffic, ipv6): (Traffic, bool),
        private: IfName,
        public: Option<IfName>,
    ) -> Remedy {
        let out = public.map_or_else(String::new, |public| format!(" -o {public}"));
        let back = public.map_or_else(String::new, |public| format!(" -i {public}"));
        let tool = if ipv6 { "ip6tables" } else { "iptables" };
        let forward = |chain: &str| {
            alloc::vec![
                format!("{tool} -I {chain} -i {private}{out} -j ACCEPT"),
                format!(
                    "{tool} -I {chain}{back} -o {private} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                ),
            ]
        };
        Remedy::Run(match self {
            Self::Firewalld => alloc::vec![format!("firewall-cmd --zone=trusted --add-interface={private}")],
            Self::Ufw => match (traffic, public) {
                (Traffic::Outward | Traffic::Answers, Some(public)) => {
                    alloc::vec![format!("ufw route allow in on {private} out on {public}")]
                }
                (Traffic::Names | Traffic::Outward | Traffic::Answers, _) => {
                    alloc::vec![format!("ufw allow in on {private}")]
                }
            },
            Self::Docker => forward("DOCKER-USER"),
            Self::Iptables => match traffic {
                Traffic::Names => alloc::vec![format!("{tool} -I {} -i {private} -j ACCEPT", place.base)],
                Traffic::Outward | Traffic::Answers => forward(&place.base),
            },
            Self::Libvirt | Self::NetworkManager | Self::Podman | Self::Nftables => {
                let (family, table) = &place.table;
                let condition = match traffic {
                    Traffic::Names | Traffic::Outward => format!("iifname {private}"),
                    Traffic::Answers => format!("oifname {private} ct state established,related"),
                };
                let family = family.as_str();
                alloc::vec![format!("nft insert rule {family} {table} {} {condition} accept", place.base)]
            }
            Self::Application(name) => {
                return Remedy::Ask(format!(
                    "allow sharing with the local network in the settings of {name}, or turn its lock off"
                ));
            }
        })
    }
}
