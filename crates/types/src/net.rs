//! Subnets: an address together with its prefix length.

use alloc::string::{String, ToString};
use core::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// An IPv4 address together with its prefix length, `192.168.137.1/24`.
///
/// The host part is kept: the same type says "this address on this link" and, through
/// [`Subnet4::network`], "this network".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet4 {
    address: Ipv4Addr,
    prefix: u8,
}

impl Subnet4 {
    /// `address` with a prefix of `prefix` bits; `None` above 32.
    pub const fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        if prefix <= 32 { Some(Self { address, prefix }) } else { None }
    }

    /// The address as given.
    pub const fn address(self) -> Ipv4Addr {
        self.address
    }

    /// Prefix length in bits, 0 to 32.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The network mask.
    pub const fn mask(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.mask_bits())
    }

    /// The network: the same prefix with the host part zero.
    pub const fn network(self) -> Self {
        Self { address: Ipv4Addr::from_bits(self.address.to_bits() & self.mask_bits()), prefix: self.prefix }
    }

    /// The directed broadcast address.
    pub const fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask_bits())
    }

    /// Whether `address` lies inside the network.
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask_bits() == self.address.to_bits() & self.mask_bits()
    }

    /// Whether the two networks share an address.
    pub const fn overlaps(self, other: Self) -> bool {
        let mask = if self.prefix < other.prefix { self.mask_bits() } else { other.mask_bits() };
        self.address.to_bits() & mask == other.address.to_bits() & mask
    }

    const fn mask_bits(self) -> u32 {
        if self.prefix == 0 { 0 } else { u32::MAX << (32 - self.prefix) }
    }
}

impl fmt::Display for Subnet4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Subnet4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `ADDRESS/PREFIX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet4Error;

impl fmt::Display for Subnet4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a subnet is an IPv4 address and a prefix length such as 192.168.137.1/24")
    }
}

impl core::error::Error for Subnet4Error {}

impl FromStr for Subnet4 {
    type Err = Subnet4Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').ok_or(Subnet4Error)?;
        let address = address.parse().map_err(|_| Subnet4Error)?;
        let prefix = prefix.parse().map_err(|_| Subnet4Error)?;
        Self::new(address, prefix).ok_or(Subnet4Error)
    }
}

impl Serialize for Subnet4 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Subnet4 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An IPv6 address together with its prefix length, `fd12:3456:789a::1/64`. The host part is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet6 {
    address: Ipv6Addr,
    prefix: u8,
}

impl Subnet6 {
    /// `address` with a prefix of `prefix` bits; `None` above 128.
    pub const fn new(address: Ipv6Addr, prefix: u8) -> Option<Self> {
        if prefix <= 128 { Some(Self { address, prefix }) } else { None }
    }

    /// The address as given.
    pub const fn address(self) -> Ipv6Addr {
        self.address
    }

    /// Prefix length in bits, 0 to 128.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// The network mask.
    pub const fn mask(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.mask_bits())
    }

    /// The network: the same prefix with the host part zero.
    pub const fn network(self) -> Self {
        Self { address: Ipv6Addr::from_bits(self.address.to_bits() & self.mask_bits()), prefix: self.prefix }
    }

    /// Whether `address` lies inside the network.
    pub const fn contains(self, address: Ipv6Addr) -> bool {
        address.to_bits() & self.mask_bits() == self.address.to_bits() & self.mask_bits()
    }

    const fn mask_bits(self) -> u128 {
        if self.prefix == 0 { 0 } else { u128::MAX << (128 - self.prefix) }
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not `ADDRESS/PREFIX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet6Error;

impl fmt::Display for Subnet6Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a subnet is an IPv6 address and a prefix length such as fd12:3456:789a::1/64")
    }
}

impl core::error::Error for Subnet6Error {}

impl FromStr for Subnet6 {
    type Err = Subnet6Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = text.split_once('/').ok_or(Subnet6Error)?;
        let address = address.parse().map_err(|_| Subnet6Error)?;
        let prefix = prefix.parse().map_err(|_| Subnet6Error)?;
        Self::new(address, prefix).ok_or(Subnet6Error)
    }
}

impl Serialize for Subnet6 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string())
    }
}

impl<'de> Deserialize<'de> for Subnet6 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Subnet4 {
        text.parse().expect("valid")
    }

    #[test]
    fn parts_of_a_subnet() {
        let subnet = net("192.168.137.1/24");
        assert_eq!(subnet.mask(), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!(subnet.network(), net("192.168.137.0/24"));
        assert_eq!(subnet.broadcast(), Ipv4Addr::new(192, 168, 137, 255));
        assert!(subnet.contains(Ipv4Addr::new(192, 168, 137, 77)));
        assert!(!subnet.contains(Ipv4Addr::new(192, 168, 138, 1)));
        assert_eq!(net("0.0.0.0/0").mask(), Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn overlap_is_symmetric_and_sees_the_larger_net() {
        for (a, b, expected) in [
            ("192.168.137.1/24", "192.168.0.0/16", true),
            ("192.168.137.1/24", "192.168.138.0/24", false),
            ("10.0.0.0/8", "10.255.0.0/31", true),
            ("0.0.0.0/0", "192.168.137.0/24", true),
        ] {
            assert_eq!(net(a).overlaps(net(b)), expected);
            assert_eq!(net(b).overlaps(net(a)), expected);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3/24", "a/8", "1.2.3.4/"] {
            assert_eq!(bad.parse::<Subnet4>(), Err(Subnet4Error));
        }
    }

    #[test]
    fn parts_of_an_ipv6_subnet() {
        let subnet: Subnet6 = "fd12:3456:789a:1::1/64".parse().expect("valid");
        assert_eq!(subnet.network().to_string(), "fd12:3456:789a:1::/64");
        assert_eq!(subnet.mask(), "ffff:ffff:ffff:ffff::".parse::<Ipv6Addr>().expect("valid"));
        assert!(subnet.contains("fd12:3456:789a:1:ffff::9".parse().expect("valid")));
        assert!(!subnet.contains("fd12:3456:789a:2::1".parse().expect("valid")));
        for bad in ["", "::1", "::1/129", "1.2.3.4/24", "x/64", "::/"] {
            assert_eq!(bad.parse::<Subnet6>(), Err(Subnet6Error));
        }
    }
}
