//! A function pointer of the program, and how it is called.

use std::ffi::c_void;

use crate::{
    notify::{Body, Notice},
    types::{DWORD, WLAN_NOTIFICATION_DATA, WLAN_NOTIFICATION_SOURCE_HNWK},
};

/// The callback with its context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callback {
    function: unsafe extern "C" fn(*mut WLAN_NOTIFICATION_DATA, *mut c_void),
    context: *mut c_void,
}

// SAFETY: the contract of WlanRegisterNotification is that function and context are used on a thread of
// the library; this library only passes the context on.
unsafe impl Send for Callback {}

impl Callback {
    pub(crate) const fn new(
        function: unsafe extern "C" fn(*mut WLAN_NOTIFICATION_DATA, *mut c_void),
        context: *mut c_void,
    ) -> Self {
        Self { function, context }
    }

    /// Calls it with a copy that lives for the call.
    pub(crate) fn deliver(&self, notice: &Notice) {
        match notice.body {
            Body::State(mut data) => self.call(notice, &mut data),
            Body::Peer(mut data) => self.call(notice, &mut data),
            Body::Radio(mut data) => self.call(notice, &mut data),
        }
    }

    fn call<T>(&self, notice: &Notice, data: &mut T) {
        let mut notification = WLAN_NOTIFICATION_DATA {
            NotificationSource: WLAN_NOTIFICATION_SOURCE_HNWK,
            NotificationCode: notice.code(),
            InterfaceGuid: notice.guid,
            dwDataSize: DWORD::try_from(size_of::<T>()).unwrap_or_default(),
            pData: (&raw mut *data).cast(),
        };
        // SAFETY: the program registered this function for calls with a notification and this context; both
        // pointers are valid until it returns.
        unsafe { (self.function)(&raw mut notification, self.context) };
    }
}
