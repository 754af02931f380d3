//! `INetSharingPortMapping` and its properties.

use hostednet::{MappingTarget, MappingView, Protocol};

use crate::{client, ffi::object::Ref, hresult::Refusal};

/// A port mapping, which may be gone when it is asked.
#[derive(Debug)]
pub(crate) struct Mapping {
    id: u32,
}

impl Mapping {
    pub(crate) fn of(id: u32) -> Ref<Self> {
        Ref::new(Self { id })
    }

    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn set_enabled(&self, on: bool) -> Result<(), Refusal> {
        client::set_mapping_enabled(self.id, on)
    }

    pub(crate) fn properties(&self) -> Result<Ref<MappingProperties>, Refusal> {
        Ok(Ref::new(MappingProperties::of(client::mapping(self.id)?)))
    }

    pub(crate) fn delete(&self) -> Result<(), Refusal> {
        client::remove_mapping(self.id)
    }
}

/// `INetSharingPortMappingProps`: a port mapping at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MappingProperties {
    pub(crate) name: String,
    pub(crate) protocol: u8,
    pub(crate) external: i32,
    pub(crate) internal: i32,
    /// Empty for a mapping to an address.
    pub(crate) target_name: String,
    /// Empty while no device of the target's name is there.
    pub(crate) target_address: String,
    pub(crate) enabled: bool,
}

impl MappingProperties {
    fn of(view: MappingView) -> Self {
        let (target_name, target_address) = match view.target {
            MappingTarget::Name(name) => (name, view.address.map(|address| address.to_string())),
            MappingTarget::Address(address) => (String::new(), Some(address.to_string())),
        };
        Self {
            name: view.name,
            protocol: match view.protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
            },
            external: view.external_port.into(),
            internal: view.internal_port.into(),
            target_name,
            target_address: target_address.unwrap_or_default(),
            enabled: view.enabled,
        }
    }
}
