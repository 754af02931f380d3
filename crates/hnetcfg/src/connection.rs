//! A connection of the folder, and what a program may know of it.

use hostednet::ConnectionView;

use crate::{
    client,
    ffi::object::Ref,
    hresult::{NOT_SUPPORTED, Refusal},
    types::{
        DWORD, GUID, NCCF_ALL_USERS, NCCF_BRIDGED, NCCF_DEFAULT, NCCF_FIREWALLED, NCCF_HOMENET_CAPABLE,
        NCCF_HOSTED_NETWORK, NCCF_INCOMING_ONLY, NCCF_SHARED, NCCF_SHARED_PRIVATE, NCS_CONNECTED,
        NCS_DISCONNECTED, NCS_MEDIA_DISCONNECTED, NETCON_MEDIATYPE, NETCON_STATUS,
    },
};

/// `INetConnection`: a name for the connection, which may be gone when it is asked.
#[derive(Debug)]
pub(crate) struct Connection {
    guid: GUID,
}

impl Connection {
    /// The object for a row of the folder; `None` if the row has no identifier.
    pub(crate) fn of(view: &ConnectionView) -> Option<Ref<Self>> {
        GUID::parse(&view.guid).map(|guid| Ref::new(Self { guid }))
    }

    /// What it is at this moment.
    pub(crate) fn properties(&self) -> Result<Properties, Refusal> {
        Ok(Properties::of(self.guid, &client::connection(&self.guid)?))
    }
}

/// `INetConnectionProps` and `NETCON_PROPERTIES`: a connection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) guid: GUID,
    pub(crate) name: String,
    pub(crate) device: String,
    pub(crate) status: NETCON_STATUS,
    pub(crate) media: NETCON_MEDIATYPE,
    pub(crate) characteristics: DWORD,
}

impl Properties {
    pub(crate) fn of(guid: GUID, view: &ConnectionView) -> Self {
        let flags = [
            (true, NCCF_ALL_USERS),
            (view.incoming_only, NCCF_INCOMING_ONLY),
            (view.role == "public", NCCF_SHARED),
            (view.role == "private", NCCF_SHARED_PRIVATE),
            (view.bridged, NCCF_BRIDGED),
            (view.firewalled, NCCF_FIREWALLED),
            (view.default_route, NCCF_DEFAULT),
            (view.sharable, NCCF_HOMENET_CAPABLE),
            (view.hosted_network, NCCF_HOSTED_NETWORK),
        ];
        Self {
            guid,
            name: view.name.clone(),
            device: if view.device.is_empty() { view.name.clone() } else { view.device.clone() },
            status: match view.status.as_str() {
                "connected" => NCS_CONNECTED,
                "media_disconnected" => NCS_MEDIA_DISCONNECTED,
                _ => NCS_DISCONNECTED,
            },
            // The numbers of the variants are those of NETCON_MEDIATYPE, 0 to 7.
            media: (view.media as u32).cast_signed(),
            characteristics: flags.iter().filter(|(holds, _)| *holds).map(|(_, flag)| flag).sum(),
        }
    }
}

/// Refuses a connection that can have no configuration of sharing: of another medium than those of
/// spec/internet-connection-sharing.md §4, or incoming only.
pub(crate) fn check_sharable(view: &ConnectionView) -> Result<(), Refusal> {
    if view.media.sharable() && !view.incoming_only {
        return Ok(());
    }
    Err(Refusal { code: NOT_SUPPORTED, sentence: format!("{} cannot be shared: {}", view.name, view.detail) })
}
