//! What an administrator writes in `hostednet.toml`, and what the service makes of it.

use std::{
    fs::{File, OpenOptions},
    io::Read as _,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hn_core::{BandWish, PortMapPolicy, Protocols, RadioWish};
use hn_types::{
    Subnet4,
    radio::Width,
    settings::{ApSettings, Isolation, Policy},
};
use serde::Deserialize;

/// The file as written. Unknown keys are refused, so that a misspelt one is not silently ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// The access point.
    pub hosted_network: RawHostedNetwork,
    /// Sharing.
    pub sharing: RawSharing,
    /// Port mappings that devices ask for.
    pub port_mapping: RawPortMapping,
}

/// `[port_mapping]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPortMapping {
    /// Whether devices may map ports by UPnP, NAT-PMP and PCP: `"off"`, `"own"` (each for itself) or `"any"`.
    pub protocols: Option<String>,
    /// Ports outside that no device gets, besides those on which this machine serves: `"1-1023"`, `"5000"`.
    pub reserved: Option<Vec<String>>,
    /// No mapping is shorter, in seconds.
    pub lifetime_min_s: Option<u64>,
    /// No mapping is longer, in seconds.
    pub lifetime_max_s: Option<u64>,
}

/// `[hosted_network]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHostedNetwork {
    /// Use this radio (`phy0`) or the radio of this interface (`wlan0`) and no other.
    pub adapter: Option<String>,
    /// Wish for a channel; the station's channel wins where the card has only one.
    pub channel: Option<u32>,
    /// Wish for a band, `"2.4"` or `"5"`.
    pub band: Option<String>,
    /// At most so wide, in MHz: 20, 40 or 80.
    pub width: Option<u32>,
    /// Listen for radar where no other channel is allowed.
    pub radar: Option<bool>,
    /// Take the other band when the wished-for one is not possible.
    pub fallback: Option<bool>,
    /// `"wpa2"`, `"transition"` or `"wpa3"`, where nobody set anything else.
    pub security: Option<String>,
    /// Try a weaker security when adapter, driver or hostapd cannot do the wished-for one.
    pub weaker_security: Option<bool>,
    /// Believe what the driver advertises even where it is known to be broken.
    pub trust_driver: Option<bool>,
    /// Hide the name, where nobody set anything else.
    pub hidden: Option<bool>,
    /// Keep devices from each other, where nobody set anything else.
    pub isolated: Option<bool>,
    /// `"permanent"`, `"stable"` or `"random"`, where nobody set anything else.
    pub address: Option<String>,
    /// Start a network that was started for good again after the machine slept.
    pub resume: Option<bool>,
    /// Path of hostapd.
    pub hostapd: Option<PathBuf>,
}

/// `[sharing]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSharing {
    /// Host address and prefix in full mode; fixed, never moved on collision.
    pub full_subnet: Option<Subnet4>,
    /// Host address and prefix in standalone mode; fixed, never moved on collision.
    pub standalone_subnet: Option<Subnet4>,
    /// The zone of the private segment.
    pub domain: Option<String>,
    /// Lease time in seconds.
    pub lease_time_s: Option<u64>,
    /// Probe an address by ARP before it is offered.
    pub probe: Option<bool>,
    /// Keep devices from these: `"private"`, a network, or the networks of an interface.
    pub isolate_from: Option<Vec<String>>,
    /// Ask these name servers instead of the machine's own: `"192.0.2.1"` or `"192.0.2.1:5353"`.
    pub dns_upstreams: Option<Vec<String>>,
    /// Read the machine's name servers here instead of `/etc/resolv.conf`.
    pub resolv_conf: Option<PathBuf>,
}

/// The valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is wished of the radio.
    pub radio: RadioWish,
    /// What holds of the access point where nobody set anything else.
    pub access_point: ApSettings,
    /// See [`RawHostedNetwork::resume`].
    pub resume: bool,
    /// See [`RawHostedNetwork::hostapd`].
    pub hostapd: Option<PathBuf>,
    /// See [`RawSharing::full_subnet`].
    pub full_subnet: Option<Subnet4>,
    /// See [`RawSharing::standalone_subnet`].
    pub standalone_subnet: Option<Subnet4>,
    /// The zone of the private segment.
    pub domain: String,
    /// Lease time.
    pub lease_time: Duration,
    /// Probe an address before it is offered.
    pub probe: bool,
    /// See [`RawSharing::isolate_from`].
    pub isolate_from: Vec<Isolation>,
    /// Name servers that replace the machine's own.
    pub dns_upstreams: Option<Vec<SocketAddr>>,
    /// Where the machine's name servers are written.
    pub resolv_conf: PathBuf,
    /// What devices may ask for.
    pub port_mapping: PortMapPolicy,
}

/// The configuration cannot be used. Names the file and the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        cause: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {cause}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and what is wrong there.
        cause: Box<toml::de::Error>,
    },
    /// The file could have been written by somebody who must not decide.
    #[error("{path}: {cause}")]
    Owner {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// A value is out of its range.
    #[error("{path}: {key}: {cause}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        cause: String,
    },
}

impl Config {
    /// The longest lease anybody can want: one year.
    const LEASE_MAX: u64 = 365 * 86_400;
    /// Each is a rule or more that every packet of a device meets.
    const ISOLATIONS_MAX: usize = 32;

    /// Reads `path`; a missing file is the default configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let raw = read::<RawConfig>(path, |_| Ok(()))?.unwrap_or_default();
        Self::from_raw(raw).map_err(|(key, cause)| ConfigError::Value { path: path.to_owned(), key, cause })
    }

    fn from_raw(raw: RawConfig) -> Result<Self, (&'static str, String)> {
        let RawConfig { hosted_network, sharing, port_mapping } = raw;
        let band = match hosted_network.band.as_deref() {
            None => None,
            Some("2.4") => Some(BandWish::Ghz2),
            Some("5") => Some(BandWish::Ghz5),
            Some(other) => {
                return Err(("hosted_network.band", format!("{other:?} is neither \"2.4\" nor \"5\"")));
            }
        };
        let width = match hosted_network.width {
            None => None,
            Some(20) => Some(Width::Mhz20),
            Some(40) => Some(Width::Mhz40),
            Some(80) => Some(Width::Mhz80),
            Some(other) => return Err(("hosted_network.width", format!("{other} is none of 20, 40 and 80"))),
        };
        let access_point = ApSettings {
            security: parse(hosted_network.security.as_deref(), "hosted_network.security")?,
            hidden: hosted_network.hidden,
            isolated: hosted_network.isolated,
            address: parse(hosted_network.address.as_deref(), "hosted_network.address")?,
        };
        let lease_time = match sharing.lease_time_s.unwrap_or(604_800) {
            seconds @ 120..=Self::LEASE_MAX => Duration::from_secs(seconds),
            seconds => {
                return Err(("sharing.lease_time_s", format!("{seconds} is not between 120 and one year")));
            }
        };
        for (key, subnet) in [
            ("sharing.full_subnet", sharing.full_subnet),
            ("sharing.standalone_subnet", sharing.standalone_subnet),
        ] {
            if let Some(subnet) = subnet {
                check_subnet(subnet).map_err(|cause| (key, cause))?;
            }
        }
        let domain = sharing.domain.unwrap_or_else(|| "mshome.net".to_owned()).to_ascii_lowercase();
        check_domain(&domain).map_err(|cause| ("sharing.domain", cause))?;
        let dns_upstreams = sharing
            .dns_upstreams
            .map(|list| {
                if list.len() > 8 {
                    return Err(format!("{} name servers are given, 8 are the most", list.len()));
                }
                list.iter().map(|text| parse_server(text)).collect::<Result<Vec<_>, _>>()
            })
            .transpose()
            .map_err(|cause| ("sharing.dns_upstreams", cause))?;
        let isolate_from = sharing.isolate_from.unwrap_or_default();
        if isolate_from.len() > Self::ISOLATIONS_MAX {
            let cause = format!("{} are given, {} are the most", isolate_from.len(), Self::ISOLATIONS_MAX);
            return Err(("sharing.isolate_from", cause));
        }
        let isolate_from = isolate_from
            .iter()
            .map(|text| text.parse().map_err(|error| format!("{text:?}: {error}")))
            .collect::<Result<_, _>>()
            .map_err(|cause: String| ("sharing.isolate_from", cause))?;
        Ok(Self {
            radio: RadioWish {
                adapter: hosted_network.adapter,
                channel: hosted_network.channel,
                band,
                phy: None,
                width,
                radar: hosted_network.radar.unwrap_or(false),
                strict: !hosted_network.fallback.unwrap_or(true),
                weaker: hosted_network.weaker_security.unwrap_or(false),
                trust_driver: hosted_network.trust_driver.unwrap_or(false),
            },
            access_point,
            resume: hosted_network.resume.unwrap_or(false),
            hostapd: hosted_network.hostapd,
            full_subnet: sharing.full_subnet,
            standalone_subnet: sharing.standalone_subnet,
            domain,
            lease_time,
            probe: sharing.probe.unwrap_or(true),
            isolate_from,
            dns_upstreams,
            resolv_conf: sharing.resolv_conf.unwrap_or_else(|| "/etc/resolv.conf".into()),
            port_mapping: port_mapping.check()?,
        })
    }
}

/// A value written as text, or what is wrong with it.
fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<&str>,
    key: &'static str,
) -> Result<Option<T>, (&'static str, String)> {
    text.map(str::parse).transpose().map_err(|error: T::Err| (key, error.to_string()))
}

impl RawPortMapping {
    /// The longest mapping anybody can want: one year.
    const LONGEST: u64 = 365 * 86_400;
    /// Ranges of ports.
    const RANGES: usize = 64;

    fn check(self) -> Result<PortMapPolicy, (&'static str, String)> {
        let default = PortMapPolicy::default();
        let protocols = match self.protocols.as_deref() {
            None => default.protocols,
            Some("off") => Protocols::Off,
            Some("own") => Protocols::Own,
            Some("any") => Protocols::Any,
            Some(other) => {
                let cause = format!("{other:?} is neither \"off\" nor \"own\" nor \"any\"");
                return Err(("port_mapping.protocols", cause));
            }
        };
        let reserved = match self.reserved {
            None => default.reserved,
            Some(ranges) if ranges.len() > Self::RANGES => {
                let cause = format!("{} ranges are given, {} are the most", ranges.len(), Self::RANGES);
                return Err(("port_mapping.reserved", cause));
            }
            Some(ranges) => ranges
                .iter()
                .map(|text| parse_ports(text))
                .collect::<Result<_, _>>()
                .map_err(|cause| ("port_mapping.reserved", cause))?,
        };
        let shortest = self.lifetime_min_s.unwrap_or(default.shortest.as_secs());
        let longest = self.lifetime_max_s.unwrap_or_else(|| default.longest.as_secs().max(shortest));
        for (key, seconds) in
            [("port_mapping.lifetime_min_s", shortest), ("port_mapping.lifetime_max_s", longest)]
        {
            if !(1..=Self::LONGEST).contains(&seconds) {
                return Err((key, format!("{seconds} is not between 1 and one year")));
            }
        }
        if shortest > longest {
            let cause = format!("{longest} is less than lifetime_min_s, {shortest}");
            return Err(("port_mapping.lifetime_max_s", cause));
        }
        let (shortest, longest) = (Duration::from_secs(shortest), Duration::from_secs(longest));
        Ok(PortMapPolicy { protocols, reserved, shortest, longest, ..default })
    }
}

/// `1-1023` or `5000`.
fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("{text:?} is neither PORT nor FIRST-LAST")),
    }
}

/// `O_NONBLOCK`.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Reads the administrator's policy; a missing file is no policy.
///
/// A file that anybody but the administrator could have written is refused, not ignored: whoever wrote it meant it.
pub fn load_policy(path: &Path) -> Result<Policy, ConfigError> {
    let refuse = |cause: String| ConfigError::Owner { path: path.to_owned(), cause };
    let trusted = |file: &File| {
        let metadata = file.metadata().map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        let (owner, mode) = (metadata.uid(), metadata.mode());
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            return Err(refuse(format!("it belongs to user {owner}, not to root: run `chown root` on it")));
        }
        if mode & 0o022 != 0 {
            let cause = "others than root may write it: run `chmod go-w` on it";
            return Err(refuse(cause.to_owned()));
        }
        if !metadata.is_file() {
            return Err(refuse("it is not a regular file".to_owned()));
        }
        Ok(())
    };
    Ok(read(path, trusted)?.unwrap_or_default())
}

/// Files are a few lines; one that is longer than this many bytes is something else.
const FILE_LIMIT: u64 = 1 << 20;

fn read<T: for<'de> Deserialize<'de>>(
    path: &Path,
    trusted: impl FnOnce(&File) -> Result<(), ConfigError>,
) -> Result<Option<T>, ConfigError> {
    let failed = |cause| ConfigError::Read { path: path.to_owned(), cause };
    // A pipe in its place must not hold the service up.
    let file = match OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(failed(cause)),
    };
    trusted(&file)?;
    let mut text = String::new();
    file.take(FILE_LIMIT).read_to_string(&mut text).map_err(failed)?;
    toml::from_str(&text)
        .map(Some)
        .map_err(|cause| ConfigError::Parse { path: path.to_owned(), cause: Box::new(cause) })
}

fn check_subnet(subnet: Subnet4) -> Result<(), String> {
    let address = subnet.address();
    if !(16..=29).contains(&subnet.prefix()) {
        Err(format!("a prefix of {} bits is not between 16 and 29", subnet.prefix()))
    } else if !address.is_private() {
        Err(format!("{address} is not a private address (RFC 1918)"))
    } else if address == subnet.network().address() || address == subnet.broadcast() {
        Err(format!("{address} is not the address of a host in {subnet}"))
    } else {
        Ok(())
    }
}

fn check_domain(domain: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if domain.len() <= 180 && domain.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("{domain:?} is not a domain name"))
    }
}

fn parse_server(text: &str) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)))
        .map_err(|_| format!("{text:?} is neither an address nor ADDRESS:PORT"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn written(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn load(text: &str) -> Result<Config, ConfigError> {
        Config::load(written(text).path())
    }

    #[test]
    fn no_file_and_an_empty_file_are_the_default() {
        let absent = Config::load(Path::new("/nonexistent/hostednet.toml")).unwrap();
        let empty = load("").unwrap();
        for config in [absent, empty] {
            assert_eq!(config.lease_time, Duration::from_secs(604_800));
            assert_eq!(config.domain, "mshome.net");
            assert!(config.probe);
        }
    }

    #[test]
    fn values_are_taken() {
        let config = load(
            "[hosted_network]\nchannel = 11\nband = \"2.4\"\n[sharing]\nfull_subnet = \"10.9.8.1/24\"\n\
             dns_upstreams = [\"192.0.2.1\", \"192.0.2.2:5353\", \"2001:db8::1\"]\nlease_time_s = 3600\n\
             isolate_from = [\"private\", \"192.0.2.0/24\", \"2001:db8::/32\", \"eth1\"]\n",
        )
        .unwrap();
        assert_eq!(config.radio.channel, Some(11));
        assert_eq!(config.radio.band, Some(BandWish::Ghz2));
        assert!(!config.radio.strict && !config.radio.radar && !config.radio.weaker);
        assert!(!config.radio.trust_driver);
        assert_eq!(config.full_subnet.unwrap().to_string(), "10.9.8.1/24");
        let kept = ["private", "192.0.2.0/24", "2001:db8::/32", "eth1"].map(|text| text.parse().unwrap());
        assert_eq!(config.isolate_from, kept);
        let servers: Vec<_> = config.dns_upstreams.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1:53", "192.0.2.2:5353", "[2001:db8::1]:53"]);
    }

    #[test]
    fn the_access_point_is_configured() {
        let config = load(
            "[hosted_network]\nwidth = 40\nradar = true\nfallback = false\nsecurity = \"wpa3\"\nweaker_security = true\n\
             trust_driver = true\nhidden = true\nisolated = false\naddress = \"stable\"\n",
        )
        .unwrap();
        assert_eq!(config.radio.width, Some(Width::Mhz40));
        assert!(config.radio.strict && config.radio.radar && config.radio.weaker);
        assert!(config.radio.trust_driver);
        let expected = ApSettings {
            security: Some(hn_types::wpa::Wpa::Wpa3),
            hidden: Some(true),
            isolated: Some(false),
            address: Some(hn_types::settings::AddressPolicy::Stable),
        };
        assert_eq!(config.access_point, expected);
        for (text, key) in [
            ("width = 30", "hosted_network.width"),
            ("security = \"wep\"", "hosted_network.security"),
            ("address = \"mine\"", "hosted_network.address"),
        ] {
            let error = load(&format!("[hosted_network]\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn what_devices_may_map_is_taken() {
        let default = load("").unwrap().port_mapping;
        assert_eq!((default.protocols, default.reserved), (Protocols::Own, vec![1..=1_023]));
        let config = load(
            "[port_mapping]\nprotocols = \"any\"\nreserved = [\"1-1023\", \"5000\"]\nlifetime_max_s = 3600\n",
        );
        let policy = config.unwrap().port_mapping;
        assert_eq!((policy.protocols, policy.reserved.len()), (Protocols::Any, 2));
        assert!(policy.reserved.contains(&(5_000..=5_000)));
        assert_eq!((policy.shortest.as_secs(), policy.longest.as_secs()), (120, 3_600));
        assert!(load("[port_mapping]\nreserved = []").unwrap().port_mapping.reserved.is_empty());
    }

    #[test]
    fn a_policy_is_taken_from_the_administrator_only() {
        let file = written("hosted_network = false\n");
        let mode = |mode| {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            load_policy(file.path())
        };
        let denied = Policy { hosted_network: Some(false), sharing: None };
        assert_eq!(mode(0o644).unwrap(), denied);
        assert_eq!(mode(0o600).unwrap(), denied);
        for others in [0o664, 0o646, 0o666] {
            assert!(mode(others).unwrap_err().to_string().contains("chmod go-w"), "{others:o}");
        }
        mode(0o644).unwrap();
        // Only root can give a file away; without it there is no foreign file to refuse.
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(file.path(), Some(65_534), None).unwrap();
            assert!(load_policy(file.path()).unwrap_err().to_string().contains("belongs to user 65534"));
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(load_policy(folder.path()).unwrap_err().to_string().contains("not a regular file"));
        assert_eq!(load_policy(Path::new("/nonexistent/policy.toml")).unwrap(), Policy::default());
        for text in ["hosted_network = 1", "hosted_networks = true", "[", "sharing = \"no\""] {
            let error = load_policy(written(text).path()).unwrap_err();
            assert!(matches!(error, ConfigError::Parse { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, named) in [
            ("chanel = 6", "chanel"),
            ("[hosted_network]\nchanel = 6", "chanel"),
            ("[hosted_network]\nband = \"6\"", "hosted_network.band"),
            ("[sharing]\nlease_time_s = 1", "sharing.lease_time_s"),
            ("[sharing]\nfull_subnet = \"8.8.8.8/24\"", "sharing.full_subnet"),
            ("[sharing]\nfull_subnet = \"192.168.1.0/24\"", "sharing.full_subnet"),
            ("[sharing]\nfull_subnet = \"192.168.1.1/30\"", "sharing.full_subnet"),
            ("[sharing]\nfull_subnet = \"192.168.1.1\"", "full_subnet"),
            ("[sharing]\nisolate_from = [\"10.0.0.0/33\"]", "sharing.isolate_from"),
            ("[sharing]\nisolate_from = [\"\"]", "sharing.isolate_from"),
            ("[sharing]\ndomain = \"a..b\"", "sharing.domain"),
            ("[sharing]\ndns_upstreams = [\"one\"]", "sharing.dns_upstreams"),
            ("[sharing", "line 1"),
            ("[port_mapping]\nprotocols = \"all\"", "port_mapping.protocols"),
            ("[port_mapping]\nreserved = [\"10-1\"]", "port_mapping.reserved"),
            ("[port_mapping]\nreserved = [\"0\"]", "port_mapping.reserved"),
            ("[port_mapping]\nlifetime_min_s = 0", "port_mapping.lifetime_min_s"),
            ("[port_mapping]\nlifetime_min_s = 9\nlifetime_max_s = 8", "port_mapping.lifetime_max_s"),
        ] {
            let error = load(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
