//! `INetSharingManager` and `INetConnectionManager`: where every other object comes from.

use hostednet::ConnectionView;

use crate::{
    client,
    collection::{Collection, Cursor, Kind},
    configuration::Configuration,
    connection::{Connection, Properties, check_sharable},
    ffi::object::{Interface, Ref},
    hresult::{E_INVALIDARG, Refusal},
    types::{
        GUID, ICSSC_DEFAULT, NCME_DEFAULT, NCME_HIDDEN, NETCONMGR_ENUM_FLAGS, SHARINGCONNECTION_ENUM_FLAGS,
    },
};

/// `NetSharingManager`.
#[derive(Debug)]
pub(crate) struct Manager;

impl Manager {
    #[expect(clippy::unused_self, reason = "a method of the interface")]
    pub(crate) fn sharing_installed(&self) -> Result<bool, Refusal> {
        client::sharing_installed()
    }

    /// Every connection of the folder.
    #[expect(clippy::unused_self, reason = "a method of the interface")]
    pub(crate) fn every(&self) -> Result<Ref<Collection>, Refusal> {
        Ok(Collection::new(Kind::Every, objects(|_| true)?))
    }

    /// The connections with a role. Only `ICSSC_DEFAULT` is taken, as the contract says.
    pub(crate) fn with_role(
        &self,
        flags: SHARINGCONNECTION_ENUM_FLAGS,
        kind: Kind,
    ) -> Result<Ref<Collection>, Refusal> {
        let role = match kind {
            Kind::Public => "public",
            Kind::Private => "private",
            Kind::Every | Kind::Mappings => return self.every(),
        };
        if flags != ICSSC_DEFAULT {
            return Err(E_INVALIDARG.into());
        }
        Ok(Collection::new(kind, objects(|view| view.role == role)?))
    }

    #[expect(clippy::unused_self, reason = "a method of the interface")]
    pub(crate) fn configuration(
        &self,
        connection: Option<&Interface>,
    ) -> Result<Ref<Configuration>, Refusal> {
        let guid = identify(connection)?;
        check_sharable(&client::connection(&guid)?)?;
        Ok(Ref::new(Configuration::new(guid)))
    }

    #[expect(clippy::unused_self, reason = "a method of the interface")]
    pub(crate) fn properties(&self, connection: Option<&Interface>) -> Result<Ref<Properties>, Refusal> {
        let guid = identify(connection)?;
        Ok(Ref::new(Properties::of(guid, &client::connection(&guid)?)))
    }
}

/// `ConnectionManager`.
#[derive(Debug)]
pub(crate) struct Folder;

impl Folder {
    /// Every connection. None is hidden, so both flags mean the same.
    #[expect(clippy::unused_self, reason = "a method of the interface")]
    pub(crate) fn connections(&self, flags: NETCONMGR_ENUM_FLAGS) -> Result<Cursor, Refusal> {
        if ![NCME_DEFAULT, NCME_HIDDEN].contains(&flags) {
            return Err(E_INVALIDARG.into());
        }
        Ok(Cursor::new(objects(|_| true)?.into()))
    }
}

fn objects(wanted: impl Fn(&ConnectionView) -> bool) -> Result<Vec<Interface>, Refusal> {
    let views = client::connections()?;
    let objects = views.iter().filter(|view| wanted(view)).filter_map(Connection::of);
    Ok(objects.map(Ref::into_interface).collect())
}

/// Which connection an `INetConnection` means, whoever implements it.
fn identify(connection: Option<&Interface>) -> Result<GUID, Refusal> {
    connection.ok_or(E_INVALIDARG)?.connection()
}
