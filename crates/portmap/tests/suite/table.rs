//! A table of mappings as `hn_types::portmap` describes it, for tests: no ports of its own, no policy but limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hn_types::{
    Monotonic,
    portmap::{
        MapAct, MapAdd, MapAnswer, MapEntry, MapFilter, MapRefusal, MapRemote, MapRequest, MapWhich, Mapped,
        Origin,
    },
    settings::Protocol,
};

pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Reserved for the host itself.
pub const RESERVED: u16 = 22;
/// Most mappings of one client.
pub const LIMIT: usize = 16;

#[derive(Clone, Debug)]
pub struct Row {
    pub entry: MapEntry,
    pub nonce: Option<[u8; 12]>,
    pub client: IpAddr,
}

#[derive(Default)]
pub struct Table {
    pub rows: Vec<Row>,
    pinholes: u16,
}

impl Table {
    pub fn entries(&self) -> Vec<MapEntry> {
        self.rows.iter().map(|row| row.entry.clone()).collect()
    }

    pub fn expire(&mut self, now: Monotonic) -> usize {
        let before = self.rows.len();
        self.rows.retain(|row| row.entry.until.is_none_or(|until| until > now));
        before - self.rows.len()
    }

    pub fn answer(&mut self, request: &MapRequest, now: Monotonic) -> MapAnswer {
        let result = match &request.act {
            MapAct::Add(add) => self.add(request, add, now),
            MapAct::Remove { which, nonce } => self.remove(request, *which, *nonce, now),
            MapAct::Extend { pinhole, lifetime_s } => self.own_pinhole(request.client, *pinhole).map(|row| {
                row.entry.until = Some(now + std::time::Duration::from_secs((*lifetime_s).into()));
                mapped(row, now)
            }),
            MapAct::Look { pinhole } => self
                .own_pinhole(request.client, *pinhole)
                .map(|row| Mapped { packets: Some(row.entry.external_port.into()), ..mapped(row, now) }),
            MapAct::Peer { protocol, internal, lifetime_s, .. } => {
                let external = SocketAddr::new(EXTERNAL.into(), internal.port());
                Ok(Mapped::new(*protocol, external, *internal, *lifetime_s))
            }
        };
        MapAnswer { id: request.id, result }
    }

    fn own_pinhole(&mut self, client: IpAddr, pinhole: u16) -> Result<&mut Row, MapRefusal> {
        let row = self.rows.iter_mut().find(|row| row.entry.pinhole == Some(pinhole));
        let row = row.ok_or(MapRefusal::NotFound)?;
        if row.client == client { Ok(row) } else { Err(MapRefusal::NotYours) }
    }

    fn taken(&self, protocol: Protocol, port: u16) -> bool {
        self.rows.iter().any(|row| {
            (row.entry.protocol, row.entry.external_port) == (protocol, port) && row.entry.internal.is_ipv4()
        })
    }

    fn add(&mut self, request: &MapRequest, add: &MapAdd, now: Monotonic) -> Result<Mapped, MapRefusal> {
        let mine = add.internal.ip() == request.client || add.internal.is_ipv6();
        if !mine {
            return Err(MapRefusal::NotYours);
        }
        let upnp4 = request.origin == Origin::Upnp && add.internal.is_ipv4();
        let found = self.rows.iter().position(|row| {
            let entry = &row.entry;
            let same = if upnp4 {
                entry.external_port == add.external_port && entry.remotes == add.filter.add
            } else {
                entry.internal == add.internal
            };
            entry.protocol == add.protocol && entry.internal.is_ipv4() == add.internal.is_ipv4() && same
        });
        let lifetime_s = if add.lifetime_s == 0 { 3_600 } else { add.lifetime_s.min(86_400) };
        let until = Some(now + std::time::Duration::from_secs(lifetime_s.into()));
        if let Some(at) = found {
            let row = &mut self.rows[at];
            match (row.nonce, add.nonce) {
                (Some(old), Some(new)) if old != new => return Err(MapRefusal::Nonce),
                (Some(_), None) | (None, Some(_)) => return Err(MapRefusal::NotYours),
                _ => {}
            }
            if row.entry.internal.ip() == add.internal.ip() && row.entry.origin == Some(request.origin) {
                if add.exact && add.external_port != row.entry.external_port {
                    return Err(MapRefusal::Conflict);
                }
                row.entry.remotes = filtered(&row.entry.remotes, &add.filter)?;
                row.entry.internal = add.internal;
                row.entry.until = until;
                row.entry.name.clone_from(&add.name);
                row.entry.enabled = add.enabled;
                return Ok(mapped(row, now));
            }
            if add.exact {
                return Err(MapRefusal::Conflict);
            }
        }
        if self.rows.iter().filter(|row| row.client == request.client).count() >= LIMIT {
            return Err(MapRefusal::Limit);
        }
        let mut port = if add.external_port == 0 { add.internal.port() } else { add.external_port };
        if add.internal.is_ipv4() {
            if add.exact && port == RESERVED {
                return Err(MapRefusal::Reserved);
            }
            if add.exact && self.taken(add.protocol, port) {
                return Err(MapRefusal::Conflict);
            }
            while port == 0 || port == RESERVED || self.taken(add.protocol, port) {
                port = port.wrapping_add(1);
            }
        }
        self.pinholes += u16::from(add.internal.is_ipv6());
        self.rows.push(Row {
            entry: MapEntry {
                protocol: add.protocol,
                external_port: port,
                internal: add.internal,
                remotes: filtered(&[], &add.filter)?,
                name: add.name.clone(),
                origin: Some(request.origin),
                until,
                enabled: add.enabled,
                pinhole: add.internal.is_ipv6().then_some(self.pinholes),
            },
            nonce: add.nonce,
            client: request.client,
        });
        Ok(mapped(self.rows.last().unwrap(), now))
    }

    fn remove(
        &mut self,
        request: &MapRequest,
        which: MapWhich,
        nonce: Option<[u8; 12]>,
        now: Monotonic,
    ) -> Result<Mapped, MapRefusal> {
        let meant = |row: &Row| {
            let entry = &row.entry;
            let own = row.client == request.client && entry.origin == Some(request.origin);
            match which {
                MapWhich::External { protocol, port, remote } => {
                    (entry.protocol, entry.external_port) == (protocol, port)
                        && entry.remotes.first().map(|remote| remote.address) == remote.map(IpAddr::V4)
                        && entry.pinhole.is_none()
                }
                MapWhich::ExternalRange { protocol, first, last } => {
                    let inside = (first..=last).contains(&entry.external_port);
                    row.client == request.client && entry.protocol == protocol && inside
                }
                MapWhich::Internal { protocol, port } => {
                    entry.protocol == protocol && entry.internal == SocketAddr::new(request.client, port)
                }
                MapWhich::All { protocol } => {
                    own && protocol.is_none_or(|protocol| entry.protocol == protocol) && row.nonce == nonce
                }
                MapWhich::Pinhole { pinhole } => entry.pinhole == Some(pinhole),
            }
        };
        let first = self.rows.iter().find(|row| meant(row)).ok_or(MapRefusal::NotFound)?;
        if first.client != request.client {
            return Err(MapRefusal::NotYours);
        }
        match (first.nonce, nonce) {
            (Some(old), Some(new)) if old != new => return Err(MapRefusal::Nonce),
            (Some(_), None) | (None, Some(_)) => return Err(MapRefusal::NotYours),
            _ => {}
        }
        let answer = mapped(first, now);
        self.rows.retain(|row| !meant(row));
        Ok(answer)
    }
}

fn filtered(old: &[MapRemote], filter: &MapFilter) -> Result<Vec<MapRemote>, MapRefusal> {
    let mut out = if filter.clear { Vec::new() } else { old.to_vec() };
    for remote in &filter.add {
        if !out.contains(remote) {
            out.push(*remote);
        }
    }
    if out.len() > MapFilter::REMOTES { Err(MapRefusal::Remotes) } else { Ok(out) }
}

fn mapped(row: &Row, now: Monotonic) -> Mapped {
    let entry = &row.entry;
    let external = match entry.internal.ip() {
        IpAddr::V4(_) => SocketAddr::new(EXTERNAL.into(), entry.external_port),
        IpAddr::V6(_) => entry.internal,
    };
    let left = entry.until.map_or(0, |until| until.since(now).as_millis().div_ceil(1_000) as u32);
    Mapped { pinhole: entry.pinhole, ..Mapped::new(entry.protocol, external, entry.internal, left) }
}
