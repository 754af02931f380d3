//! The lease record on disk: fixed size, versioned, checksummed.

use core::{fmt, net::Ipv4Addr};

use hn_types::{MacAddr, Wall};

use crate::{
    hash::crc32c,
    identity::{ClientId, HostName, Identity, NAME_MAX},
};

const MAGIC: [u8; 2] = *b"hL";
const VERSION: u8 = 1;

/// What a record says about its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Leased until `expires`.
    Bound,
    /// Given back; kept so that the client gets the same address again.
    Released,
    /// Ran out; kept for the same reason.
    Expired,
    /// In use by somebody else; not to be offered until `expires`.
    Declined,
}

/// One change of one lease. Of several records for one address the last one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The state.
    pub state: RecordState,
    /// The address.
    pub address: Ipv4Addr,
    /// The client's hardware address.
    pub mac: MacAddr,
    /// The client identifier; `None` when the client is known by its hardware address.
    pub client_id: Option<ClientId>,
    /// The name the client calls itself.
    pub hostname: HostName,
    /// When the state ends (or ended).
    pub expires: Wall,
    /// Seconds that were left when the record was written. Should the wall clock have been set back since,
    /// the lease still ends no later than this many seconds after the restart.
    pub remaining: u32,
}

/// Why bytes aren't a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer bytes than a record are left: the last write was torn. Cut the file here.
    Torn {
        /// How many bytes are left.
        bytes: usize,
    },
    /// The checksum doesn't fit.
    Checksum,
    /// A record, but of another version.
    Version(u8),
    /// The checksum fits but a field is impossible.
    Field,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Torn { bytes } => write!(f, "the last record is torn, {bytes} bytes are left of it"),
            Self::Checksum => f.write_str("a lease record is corrupt"),
            Self::Version(version) => write!(f, "a lease record has the unknown version {version}"),
            Self::Field => f.write_str("a lease record has an impossible field"),
        }
    }
}

impl core::error::Error for RecordError {}

impl LeaseRecord {
    /// Bytes of a record.
    pub const SIZE: usize = 128;

    /// What the record says the lease belongs to.
    pub(crate) const fn identity(&self) -> Identity {
        match self.client_id {
            Some(id) => Identity::Client(id),
            None => Identity::Mac(self.mac),
        }
    }

    /// The record as bytes.
    ///
    /// | at | | | at | |
    /// |---|---|---|---|---|
    /// | 0 | magic `hL`, version, state | | 26 | form of the client identifier, length of the name |
    /// | 4 | address | | 28 | client identifier, 32 bytes |
    /// | 8 | expires, Unix seconds | | 60 | name, 63 bytes; one byte zero |
    /// | 16 | remaining seconds | | 124 | CRC-32C of all before |
    /// | 20 | hardware address | | | (numbers are big-endian) |
    pub fn encode(&self) -> [u8; Self::SIZE] {
        let state = match self.state {
            RecordState::Bound => 1,
            RecordState::Released => 2,
            RecordState::Expired => 3,
            RecordState::Declined => 4,
        };
        let mut out = [0; Self::SIZE];
        out[..2].copy_from_slice(&MAGIC);
        out[2] = VERSION;
        out[3] = state;
        out[4..8].copy_from_slice(&self.address.octets());
        out[8..16].copy_from_slice(&self.expires.as_unix().to_be_bytes());
        out[16..20].copy_from_slice(&self.remaining.to_be_bytes());
        out[20..26].copy_from_slice(&self.mac.0);
        if let Some(id) = &self.client_id {
            out[26] = id.form();
            out[28..60].copy_from_slice(&id.padded());
        }
        let name = self.hostname.raw();
        out[27] = name.len() as u8;
        out[60..60 + name.len()].copy_from_slice(name);
        let crc = crc32c(&out[..124]);
        out[124..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// The record in `bytes`.
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Result<Self, RecordError> {
        let (body, crc) = bytes.split_last_chunk::<4>().ok_or(RecordError::Checksum)?;
        if crc32c(body) != u32::from_be_bytes(*crc) || !body.starts_with(&MAGIC) {
            return Err(RecordError::Checksum);
        }
        if bytes[2] != VERSION {
            return Err(RecordError::Version(bytes[2]));
        }
        let state = match bytes[3] {
            1 => RecordState::Bound,
            2 => RecordState::Released,
            3 => RecordState::Expired,
            4 => RecordState::Declined,
            _ => return Err(RecordError::Field),
        };
        let name_len = usize::from(bytes[27]);
        if name_len > NAME_MAX {
            return Err(RecordError::Field);
        }
        let id: [u8; 32] = field(bytes, 28);
        let client_id = match bytes[26] {
            0 => None,
            form => Some(ClientId::from_parts(form, id).ok_or(RecordError::Field)?),
        };
        Ok(Self {
            state,
            address: Ipv4Addr::from(field::<4>(bytes, 4)),
            mac: MacAddr(field(bytes, 20)),
            client_id,
            hostname: HostName::new(&bytes[60..60 + name_len]),
            expires: Wall::from_unix(u64::from_be_bytes(field(bytes, 8))),
            remaining: u32::from_be_bytes(field(bytes, 16)),
        })
    }

    /// The records of a whole file.
    pub const fn decode_all(bytes: &[u8]) -> Records<'_> {
        Records { rest: bytes }
    }
}

fn field<const N: usize>(bytes: &[u8; LeaseRecord::SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// The records of a file, in order. A bad record is an error in its place and doesn't end the sequence.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl Iterator for Records<'_> {
    type Item = Result<LeaseRecord, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((record, rest)) = self.rest.split_first_chunk() {
            self.rest = rest;
            return Some(LeaseRecord::decode(record));
        }
        let bytes = core::mem::take(&mut self.rest).len();
        (bytes > 0).then_some(Err(RecordError::Torn { bytes }))
    }
}
