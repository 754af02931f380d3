//! Objects: a table of methods, a count of references, a body.

use std::{
    ffi::c_void,
    fmt,
    mem::ManuallyDrop,
    ops::Deref,
    process,
    ptr::NonNull,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering, fence},
};

use crate::{
    ffi::{put, symbols::IID_IUnknown, take},
    hresult::{E_INVALIDARG, E_NOINTERFACE, E_POINTER, HRESULT, S_OK},
    types::GUID,
};

/// Objects that exist in this process.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// How many objects exist.
pub(crate) fn live() -> usize {
    LIVE.load(Ordering::SeqCst)
}

/// The methods every interface begins with.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct UnknownTable {
    pub(crate) query_interface: unsafe extern "C" fn(*mut c_void, *const GUID, *mut *mut c_void) -> HRESULT,
    pub(crate) add_ref: unsafe extern "C" fn(*mut c_void) -> u32,
    pub(crate) release: unsafe extern "C" fn(*mut c_void) -> u32,
}

impl UnknownTable {
    /// The methods of the objects of a class.
    pub(crate) const fn of<T: Class>() -> Self {
        Self { query_interface: query_interface::<T>, add_ref: add_ref::<T>, release: release::<T> }
    }
}

/// The body of an object.
pub(crate) trait Class: Send + Sync + Sized + 'static {
    /// Its table, an [`UnknownTable`] first.
    type Table: 'static;
    /// The table.
    const TABLE: &'static Self::Table;

    /// Whether it has this interface, besides `IUnknown`. Every one of them has the methods of the table.
    fn has(&self, interface: &GUID) -> bool;
}

/// An object, as the pointer of an interface points to it.
#[repr(C)]
struct Object<T: Class> {
    table: &'static T::Table,
    references: AtomicU32,
    body: T,
}

/// The body behind an interface pointer.
///
/// # Safety
///
/// `this` is NULL or an object of class `T` that lives for `'a`.
pub(crate) unsafe fn body<'a, T: Class>(this: *mut c_void) -> Option<&'a T> {
    // SAFETY: the caller's promise.
    let object = unsafe { this.cast::<Object<T>>().as_ref() };
    object.map(|object| &object.body)
}

unsafe extern "C" fn query_interface<T: Class>(
    this: *mut c_void,
    iid: *const GUID,
    out: *mut *mut c_void,
) -> HRESULT {
    if out.is_null() {
        return E_POINTER;
    }
    // SAFETY: the caller promises a place for the pointer.
    unsafe { put(out, std::ptr::null_mut()) };
    // SAFETY: the caller promises NULL or an identifier.
    let Some(iid) = (unsafe { take(iid) }) else { return E_INVALIDARG };
    // SAFETY: the method was found in the table of an object of this class.
    let Some(body) = (unsafe { body::<T>(this) }) else { return E_POINTER };
    if iid != IID_IUnknown && !body.has(&iid) {
        return E_NOINTERFACE;
    }
    // SAFETY: as above.
    unsafe { add_ref::<T>(this) };
    // SAFETY: as above.
    unsafe { put(out, this) };
    S_OK
}

unsafe extern "C" fn add_ref<T: Class>(this: *mut c_void) -> u32 {
    // SAFETY: the method was found in the table of an object of this class, to which the caller has a reference.
    let Some(object) = (unsafe { this.cast::<Object<T>>().as_ref() }) else { return 0 };
    let before = object.references.fetch_add(1, Ordering::Relaxed);
    if before > u32::MAX / 2 {
        // Somebody adds references in a loop: going on would free an object in use.
        process::abort();
    }
    before + 1
}

unsafe extern "C" fn release<T: Class>(this: *mut c_void) -> u32 {
    // SAFETY: the method was found in the table of an object of this class, to which the caller has a reference.
    let Some(object) = (unsafe { this.cast::<Object<T>>().as_ref() }) else { return 0 };
    let left = object.references.fetch_sub(1, Ordering::Release) - 1;
    if left == 0 {
        fence(Ordering::Acquire);
        // SAFETY: that was the last reference, and every object comes from a box.
        drop(unsafe { Box::from_raw(this.cast::<Object<T>>()) });
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
    left
}

/// A reference to an object of ours.
pub(crate) struct Ref<T: Class>(NonNull<Object<T>>);

// SAFETY: bodies are Send and Sync, and the count is atomic.
unsafe impl<T: Class> Send for Ref<T> {}
// SAFETY: the same.
unsafe impl<T: Class> Sync for Ref<T> {}

impl<T: Class> Ref<T> {
    /// A new object with one reference.
    pub(crate) fn new(body: T) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        let object = Box::new(Object { table: T::TABLE, references: AtomicU32::new(1), body });
        Self(NonNull::from(Box::leak(object)))
    }

    /// Takes over a reference by its class.
    ///
    /// # Safety
    ///
    /// The object is of class `T` and of this library.
    pub(crate) unsafe fn adopt(object: Interface) -> Option<Self> {
        NonNull::new(object.into_raw().cast()).map(Self)
    }

    /// The reference as an interface pointer.
    pub(crate) fn into_raw(self) -> *mut c_void {
        ManuallyDrop::new(self).0.as_ptr().cast()
    }

    /// The reference without its class.
    pub(crate) fn into_interface(self) -> Interface {
        Interface(ManuallyDrop::new(self).0.cast())
    }
}

impl<T: Class> Deref for Ref<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this reference keeps the object alive.
        let object = unsafe { self.0.as_ref() };
        &object.body
    }
}

impl<T: Class> Drop for Ref<T> {
    fn drop(&mut self) {
        // SAFETY: this is the reference that is given back.
        unsafe { release::<T>(self.0.as_ptr().cast()) };
    }
}

impl<T: Class> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ref").field(&self.0).finish()
    }
}

/// A reference to an object of anybody.
#[derive(PartialEq, Eq)]
pub(crate) struct Interface(NonNull<*const UnknownTable>);

// SAFETY: the library keeps references to objects of its own only, which are free-threaded; to others it keeps them
// for the length of a call, on the thread of the call.
unsafe impl Send for Interface {}
// SAFETY: the same.
unsafe impl Sync for Interface {}

impl Interface {
    fn table(&self) -> UnknownTable {
        // SAFETY: whoever made this reference promised an object.
        let table = unsafe { self.0.read() };
        // SAFETY: an object begins with its table.
        unsafe { table.read() }
    }

    /// The pointer, for calls while this reference exists.
    pub(crate) const fn as_raw(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    /// The reference as an interface pointer.
    pub(crate) fn into_raw(self) -> *mut c_void {
        ManuallyDrop::new(self).as_raw()
    }

    /// Takes over a reference; `None` for NULL.
    ///
    /// # Safety
    ///
    /// `raw` is NULL or an interface pointer with a reference for us.
    pub(crate) unsafe fn adopt(raw: *mut c_void) -> Option<Self> {
        NonNull::new(raw.cast()).map(Self)
    }

    /// The object by another of its interfaces.
    pub(crate) fn query(&self, iid: &GUID) -> Result<Self, HRESULT> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the object is alive, and both pointers are ours.
        let code = unsafe { (self.table().query_interface)(self.as_raw(), iid, &raw mut out) };
        if code < 0 {
            return Err(code);
        }
        // SAFETY: what succeeds has handed out a reference.
        unsafe { Self::adopt(out) }.ok_or(E_NOINTERFACE)
    }
}

impl Clone for Interface {
    fn clone(&self) -> Self {
        // SAFETY: the object is alive.
        unsafe { (self.table().add_ref)(self.as_raw()) };
        Self(self.0)
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        // SAFETY: this is the reference that is given back.
        unsafe { (self.table().release)(self.as_raw()) };
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interface").field(&self.0).finish()
    }
}

/// An interface pointer as an argument. Whoever makes one promises that it is NULL or an object that lives for the call.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given(*mut c_void);

impl Given {
    /// # Safety
    ///
    /// The promise of the type.
    pub(crate) const unsafe fn new(raw: *mut c_void) -> Self {
        Self(raw)
    }

    pub(crate) const fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// A reference of our own; `None` for NULL.
    pub(crate) fn interface(self) -> Option<Interface> {
        // SAFETY: the promise of the type; the borrowed reference is not given back.
        let borrowed = ManuallyDrop::new(unsafe { Interface::adopt(self.0) }?);
        Some(Interface::clone(&borrowed))
    }
}
