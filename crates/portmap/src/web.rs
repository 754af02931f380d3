//! Connections that clients open: each brings one request and gets one answer.

use alloc::{collections::BTreeMap, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hn_types::Monotonic;

use crate::{
    counters::DropReason,
    device::{self, Resource},
    http::{self, Head, Incoming, Progress},
    output::{ConnId, Output},
    server::Server,
};

#[derive(Debug)]
struct Connection {
    peer: IpAddr,
    /// When the request must be whole; `None` while its answer is on the way.
    deadline: Option<Monotonic>,
    incoming: Incoming,
}

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Web {
    connections: BTreeMap<ConnId, Connection>,
}

impl Web {
    pub(crate) fn forget(&mut self, conn: ConnId) {
        self.connections.remove(&conn);
    }

    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.connections.values().filter_map(|connection| connection.deadline).min()
    }

    pub(crate) fn end(&mut self) -> Vec<ConnId> {
        core::mem::take(&mut self.connections).into_keys().collect()
    }
}

impl Server {
    pub(crate) fn accept(&mut self, conn: ConnId, peer: SocketAddr) -> Result<(), DropReason> {
        let limits = self.config.raw().limits;
        let connections = &mut self.web.connections;
        let own = connections.values().filter(|other| other.peer == peer.ip()).count();
        if connections.len() >= limits.connections
            || own >= limits.connections_per_client
            || conn >= ConnId::OUTGOING
        {
            return Err(DropReason::Connections);
        }
        let deadline = Some(self.now.mono + Duration::from_secs(limits.request_s.into()));
        connections.insert(conn, Connection { peer: peer.ip(), deadline, incoming: Incoming::default() });
        self.counters.connections += 1;
        Ok(())
    }

    pub(crate) fn receive(&mut self, conn: ConnId, bytes: &[u8]) {
        let limits = self.config.raw().limits;
        // What follows a whole request has no meaning: the connection ends with its answer.
        let Some(connection) = self.web.connections.get_mut(&conn).filter(|c| c.deadline.is_some()) else {
            return;
        };
        let peer = connection.peer;
        match connection.incoming.push(bytes, limits.head, limits.body) {
            Ok(Progress::More) => {}
            Ok(Progress::Continue) => {
                let bytes = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
                self.push(Output::Stream { conn, bytes, then_close: false });
            }
            Ok(Progress::Done(head, body)) => {
                connection.deadline = None;
                self.counters.requests += 1;
                self.serve(conn, peer, &head, &body);
            }
            Err((status, reason)) => self.refuse_request(conn, status, reason),
        }
    }

    pub(crate) fn expire_connections(&mut self) {
        let now = self.now.mono;
        let late: Vec<ConnId> = self
            .web
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in late {
            self.refuse_request(conn, 408, DropReason::Slow);
        }
    }

    /// Answers, and ends the connection; nothing if it has ended already.
    pub(crate) fn reply(&mut self, conn: ConnId, bytes: Vec<u8>) {
        if self.web.connections.remove(&conn).is_some() {
            self.push(Output::Stream { conn, bytes, then_close: true });
        }
    }

    pub(crate) fn refuse_request(&mut self, conn: ConnId, status: u16, reason: DropReason) {
        self.counters.drop(reason);
        let fields = if status == 405 { "Allow: GET, HEAD, POST, SUBSCRIBE, UNSUBSCRIBE\r\n" } else { "" };
        self.reply(conn, http::response(status, fields, b""));
    }

    fn serve(&mut self, conn: ConnId, peer: IpAddr, head: &Head, body: &[u8]) {
        if let Some(host) = head.field("host") {
            let named = http::authority(host);
            let port = self.config.raw().http_port;
            if !named.is_some_and(|(address, p)| self.config.is_host(address) && p.is_none_or(|p| p == port))
            {
                return self.refuse_request(conn, 403, DropReason::Host);
            }
        }
        if head.field("origin").is_some() {
            return self.refuse_request(conn, 403, DropReason::Origin);
        }
        let Some(resource) = device::resource(&head.path) else {
            return self.refuse_request(conn, 404, DropReason::Path);
        };
        match (resource, head.method.as_str()) {
            (Resource::Root(version), "GET" | "HEAD") => {
                let document = version.description(self.config.raw());
                self.reply_document(conn, head, document.as_bytes());
            }
            (Resource::Description(service), "GET" | "HEAD") => {
                self.reply_document(conn, head, service.description().as_bytes());
            }
            (Resource::Control(service, version), "POST") => {
                self.control_action(conn, peer, (service, version), head, body);
            }
            (Resource::Events(service, version), "SUBSCRIBE") => {
                self.subscribe(conn, peer, (service, version), head);
            }
            (Resource::Events(..), "UNSUBSCRIBE") => self.unsubscribe(conn, peer, head),
            _ => self.refuse_request(conn, 405, DropReason::Path),
        }
    }

    fn reply_document(&mut self, conn: ConnId, head: &Head, document: &[u8]) {
        let mut bytes = http::document(200, document);
        if head.method == "HEAD" {
            bytes.truncate(bytes.len() - document.len());
        }
        self.reply(conn, bytes);
    }
}
