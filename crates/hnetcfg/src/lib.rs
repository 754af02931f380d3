//! `libhnetcfg.so`: the COM interface that programs written for Internet Connection Sharing of Windows call.
//!
//! `include/netcon.h` declares it. [`CoCreateInstance`] makes the one object from which every other is reached; what
//! the objects do is spec/internet-connection-sharing.md §4 and §5. Every method answers an `HRESULT`:
//!
//! | situation | `HRESULT` |
//! |---|---|
//! | a pointer to a result is NULL | `E_POINTER` 0x80004003 |
//! | an argument is wrong | `E_INVALIDARG` 0x80070057 |
//! | the caller may not do it | `E_ACCESSDENIED` 0x80070005 |
//! | the service does not run, or ended in mid-call | 0x80070426 (1062); the next call looks for it again |
//! | a part that sharing depends on is not there | 0x8007042C (1068) |
//! | another connection has the needed address | 0x800702FD (765) |
//! | the connection or mapping is gone | 0x80070490 (1168) |
//! | the connection cannot be shared | 0x80070032 (50) |
//! | interfaces are not switched, renamed or made here | `E_NOTIMPL` 0x80004001 |
//! | a defect of ours | `E_UNEXPECTED` 0x8000FFFF |
//! | any other refusal of the service | `HRESULT_FROM_WIN32` of its number |
//!
//! Collections and their enumerators are pictures of one moment. Properties (`…Props`, `NETCON_PROPERTIES`) are too;
//! everything else asks the service each time.
//!
//! | thread | owns | waits on | its end |
//! |---|---|---|---|
//! | `hnetcfg` | the connection to the service | its socket | the process |
//!
//! **Invariant:** every object has one interface pointer, whatever interface it was asked for: what `QueryInterface`
//! answers is symmetric, transitive and the identity of the object at once.
//! **Invariant:** objects are free-threaded; apartments are counted, never looked at.
//! **Invariant:** no panic crosses the boundary.
//!
//! After `fork` the child connects anew.

#![warn(missing_docs)]

mod client;
mod collection;
mod configuration;
mod connection;
mod ffi;
pub mod hresult;
mod manager;
mod mapping;
pub mod types;
mod value;

pub use ffi::{apartment::*, bstr::*, class::*, memory::*, symbols, variant::*};
