//! Events: GENA (UDA 1.1 §4). A subscriber is told every variable at first, and then what changed.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hn_types::Monotonic;

use crate::{
    counters::DropReason,
    device::{Version, hyphened},
    http::{self, Head},
    output::{ConnId, Output},
    server::Server,
    service::Service,
    xml::escape,
};

/// Seconds a subscription lasts at most, and when the subscriber has no wish.
const LONGEST_S: u64 = 1_800;
/// And at least.
const SHORTEST_S: u64 = 60;
/// After the answer to the subscription, so that it is there before the first event.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Between two events for one subscriber: many changes at once are one event.
const GAP: Duration = Duration::from_millis(500);
/// Seconds one delivery may take.
const DELIVERY: Duration = Duration::from_secs(10);
/// A subscriber that could not be told so often is gone.
const FAILURES: u8 = 3;
/// Where events for one subscriber go.
const CALLBACKS: usize = 8;

type Values = Vec<(&'static str, String)>;

#[derive(Debug)]
struct Subscription {
    service: (Service, Version),
    to: SocketAddr,
    path: String,
    expires: Monotonic,
    /// The number of the next event.
    seq: u32,
    /// When an event is due.
    due: Option<Monotonic>,
    /// The earliest time of the next event.
    quiet: Monotonic,
    /// What was told last.
    told: Values,
    failures: u8,
    /// The order of subscriptions.
    age: u64,
}

#[derive(Debug)]
struct Delivery {
    sid: String,
    deadline: Monotonic,
    /// `None` after it was sent.
    message: Option<Vec<u8>>,
    reply: Vec<u8>,
}

/// Subscriptions and events on their way.
#[derive(Debug, Default)]
pub(crate) struct Gena {
    subscriptions: BTreeMap<String, Subscription>,
    deliveries: BTreeMap<ConnId, Delivery>,
    last_conn: u64,
    last_age: u64,
}

impl Gena {
    pub(crate) fn next(&self) -> Option<Monotonic> {
        let subscriptions = self.subscriptions.iter().flat_map(|(sid, subscription)| {
            let due = subscription.due.filter(|_| !self.is_busy(sid));
            [Some(subscription.expires), due]
        });
        let deliveries = self.deliveries.values().map(|delivery| Some(delivery.deadline));
        subscriptions.chain(deliveries).flatten().min()
    }

    pub(crate) fn end(&mut self) -> Vec<ConnId> {
        self.subscriptions.clear();
        core::mem::take(&mut self.deliveries).into_keys().collect()
    }

    fn is_busy(&self, sid: &str) -> bool {
        self.deliveries.values().any(|delivery| delivery.sid == sid)
    }
}

/// The first of the addresses in a CALLBACK field that is the subscriber's own (CVE-2020-12695).
fn callback(field: &str, peer: IpAddr) -> Option<(SocketAddr, String)> {
    field.split('<').skip(1).take(CALLBACKS).find_map(|part| {
        let (url, _) = part.split_once('>')?;
        let rest = url.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (address, port) = http::authority(host)?;
        let port = port.unwrap_or(80);
        let path = if path.is_empty() { "/" } else { path };
        let plain = path.len() <= 256 && path.bytes().all(|b| (0x21..0x7f).contains(&b));
        (address.to_canonical() == peer && port != 0 && plain)
            .then(|| (SocketAddr::new(peer, port), String::from(path)))
    })
}

/// `Second-N` as seconds.
fn timeout(field: Option<&str>) -> u64 {
    let wish = field.and_then(|field| field.get(..7)?.eq_ignore_ascii_case("second-").then(|| &field[7..]));
    wish.and_then(|wish| wish.parse().ok()).unwrap_or(LONGEST_S).clamp(SHORTEST_S, LONGEST_S)
}

fn status(reply: &[u8]) -> Option<u16> {
    let line = reply.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    core::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

impl Server {
    fn values(&self, (service, version): (Service, Version)) -> Values {
        service.evented().map(|name| (name, self.variable(name, version))).collect()
    }

    pub(crate) fn subscribe(&mut self, conn: ConnId, peer: IpAddr, service: (Service, Version), head: &Head) {
        let seconds = timeout(head.field("timeout"));
        let expires = self.now.mono + Duration::from_secs(seconds);
        if let Some(sid) = head.field("sid") {
            if head.field("nt").is_some() || head.field("callback").is_some() {
                return self.refuse_request(conn, 400, DropReason::Subscription);
            }
            let known = self.gena.subscriptions.get_mut(sid).filter(|known| known.to.ip() == peer);
            let Some(known) = known else {
                return self.refuse_request(conn, 412, DropReason::Subscription);
            };
            known.expires = expires;
            let sid = String::from(sid);
            return self.accept_subscription(conn, &sid, seconds);
        }
        let Some(field) = head.field("callback").filter(|_| head.field("nt") == Some("upnp:event")) else {
            return self.refuse_request(conn, 412, DropReason::Subscription);
        };
        let Some((to, path)) = callback(field, peer) else {
            return self.refuse_request(conn, 412, DropReason::Callback);
        };
        let limits = self.config.raw().limits;
        let subscriptions = &mut self.gena.subscriptions;
        // A client that started again does not know its former ones.
        subscriptions.retain(|_, other| (other.to, &other.path, other.service) != (to, &path, service));
        let own = || subscriptions.iter().filter(|(_, other)| other.to.ip() == peer);
        if own().count() >= limits.subscriptions_per_client
            && let Some((oldest, _)) = own().min_by_key(|(_, other)| other.age)
        {
            let oldest = oldest.clone();
            subscriptions.remove(&oldest);
            self.counters.drop(DropReason::Subscriptions);
        }
        if subscriptions.len() >= limits.subscriptions {
            return self.refuse_request(conn, 503, DropReason::Subscriptions);
        }
        let words = [self.draws.next().to_be_bytes(), self.draws.next().to_be_bytes()];
        let mut uuid = [0; 16];
        uuid.copy_from_slice(words.as_flattened());
        let sid = format!("uuid:{}", hyphened(uuid));
        let first = self.now.mono + FIRST_DELAY;
        self.gena.last_age += 1;
        let subscription = Subscription {
            service,
            to,
            path,
            expires,
            seq: 0,
            due: Some(first),
            quiet: first,
            told: Vec::new(),
            failures: 0,
            age: self.gena.last_age,
        };
        self.counters.subscriptions += 1;
        self.gena.subscriptions.insert(sid.clone(), subscription);
        self.accept_subscription(conn, &sid, seconds);
    }

    fn accept_subscription(&mut self, conn: ConnId, sid: &str, seconds: u64) {
        let fields = format!("SID: {sid}\r\nTIMEOUT: Second-{seconds}\r\n");
        self.reply(conn, http::response(200, &fields, b""));
    }

    pub(crate) fn unsubscribe(&mut self, conn: ConnId, peer: IpAddr, head: &Head) {
        let known = head.field("sid").filter(|sid| {
            self.gena.subscriptions.get(*sid).is_some_and(|subscription| subscription.to.ip() == peer)
        });
        let Some(sid) = known else {
            return self.refuse_request(conn, 412, DropReason::Subscription);
        };
        self.gena.subscriptions.remove(sid);
        self.reply(conn, http::response(200, "", b""));
    }

    /// Something that subscribers are told may have changed.
    pub(crate) fn note_events(&mut self) {
        let mut subscriptions = core::mem::take(&mut self.gena.subscriptions);
        for subscription in subscriptions.values_mut().filter(|subscription| subscription.due.is_none()) {
            if self.values(subscription.service) != subscription.told {
                subscription.due = Some(subscription.quiet.max(self.now.mono));
            }
        }
        self.gena.subscriptions = subscriptions;
    }

    pub(crate) fn expire_events(&mut self) {
        let now = self.now.mono;
        self.gena.subscriptions.retain(|_, subscription| subscription.expires > now);
        let late: Vec<ConnId> = self
            .gena
            .deliveries
            .iter()
            .filter(|(_, delivery)| delivery.deadline <= now)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in late {
            self.end_event(conn, false);
            self.push(Output::Close { conn });
        }
    }

    /// Starts one delivery that is due; whether there was one.
    pub(crate) fn deliver(&mut self) -> bool {
        let now = self.now.mono;
        let ready = self.gena.subscriptions.iter().find(|(sid, subscription)| {
            subscription.due.is_some_and(|due| due <= now) && !self.gena.is_busy(sid)
        });
        let Some((sid, subscription)) = ready else { return false };
        let (sid, to) = (sid.clone(), subscription.to);
        let values = self.values(subscription.service);
        // The first event has everything (§4.3.2).
        let all = subscription.seq == 0;
        let told = &subscription.told;
        let news: Values = values.iter().filter(|value| all || !told.contains(value)).cloned().collect();
        let message = message(subscription, &sid, &news);
        if let Some(subscription) = self.gena.subscriptions.get_mut(&sid) {
            subscription.due = None;
            subscription.quiet = now + GAP;
            if news.is_empty() {
                return true;
            }
            subscription.told = values;
            // The number of the first event is never used again (§4.3.1).
            subscription.seq = subscription.seq.checked_add(1).unwrap_or(1);
        }
        let conn = ConnId(ConnId::OUTGOING.0 + self.gena.last_conn);
        self.gena.last_conn += 1;
        let delivery = Delivery { sid, deadline: now + DELIVERY, message: Some(message), reply: Vec::new() };
        self.gena.deliveries.insert(conn, delivery);
        self.push(Output::Connect { conn, to });
        true
    }

    pub(crate) fn event_connected(&mut self, conn: ConnId, connected: bool) {
        if !connected {
            return self.end_event(conn, false);
        }
        let message = self.gena.deliveries.get_mut(&conn).and_then(|delivery| delivery.message.take());
        if let Some(bytes) = message {
            self.push(Output::Stream { conn, bytes, then_close: false });
        }
    }

    pub(crate) fn receive_event_reply(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(delivery) = self.gena.deliveries.get_mut(&conn) else { return };
        // The status is in the first dozen bytes; what follows says nothing more.
        let room = 16_usize.saturating_sub(delivery.reply.len());
        delivery.reply.extend(bytes.iter().take(room));
        if delivery.reply.len() < 12 {
            return;
        }
        let status = status(&delivery.reply).filter(|_| delivery.message.is_none());
        if status == Some(412) {
            // The subscriber does not know the subscription (§4.3.1).
            self.gena.subscriptions.remove(&delivery.sid);
        }
        self.end_event(conn, status.is_some_and(|status| (200..300).contains(&status)));
        self.push(Output::Close { conn });
    }

    /// A delivery has ended; the connection is closed, or about to be.
    pub(crate) fn end_event(&mut self, conn: ConnId, delivered: bool) {
        let Some(delivery) = self.gena.deliveries.remove(&conn) else { return };
        if delivered {
            self.counters.events += 1;
        } else {
            self.counters.events_lost += 1;
        }
        let Some(subscription) = self.gena.subscriptions.get_mut(&delivery.sid) else { return };
        subscription.failures = if delivered { 0 } else { subscription.failures + 1 };
        if subscription.failures >= FAILURES {
            self.gena.subscriptions.remove(&delivery.sid);
        }
    }
}

fn message(subscription: &Subscription, sid: &str, news: &Values) -> Vec<u8> {
    let mut body =
        String::from("<?xml version=\"1.0\"?>\r\n<e:propertyset xmlns:e=\"urn:schemas-upnp-org:event-1-0\">");
    for (name, value) in news {
        body.push_str(&format!("<e:property><{name}>{}</{name}></e:property>", escape(value)));
    }
    body.push_str("</e:propertyset>\r\n");
    let Subscription { path, to, seq, .. } = subscription;
    format!(
        "NOTIFY {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: text/xml; charset=\"utf-8\"\r\n\
         Content-Length: {}\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\nSID: {sid}\r\nSEQ: {seq}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_go_to_the_subscriber_alone() {
        let peer = IpAddr::from([192, 168, 137, 20]);
        let read = |field| callback(field, peer).map(|(to, path)| format!("{to}{path}"));
        assert_eq!(read("<http://192.168.137.20:49152/e>").as_deref(), Some("192.168.137.20:49152/e"));
        assert_eq!(read("<http://192.168.137.20>").as_deref(), Some("192.168.137.20:80/"));
        assert_eq!(
            read("<http://198.51.100.1/> <http://192.168.137.20:1/>").as_deref(),
            Some("192.168.137.20:1/")
        );
        for bad in [
            "",
            "http://192.168.137.20/",
            "<https://192.168.137.20/>",
            "<http://192.168.137.21/>",
            "<http://198.51.100.1/>",
            "<http://a.example/>",
            "<http://192.168.137.20@198.51.100.1/>",
            "<http://192.168.137.20:0/>",
            "<http://192.168.137.20/a b>",
            "<http://192.168.137.20/a\r\nX: y>",
            "<http://192.168.137.20/",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wish_for_time_is_kept_within_bounds() {
        assert_eq!(timeout(None), 1_800);
        assert_eq!(timeout(Some("Second-300")), 300);
        assert_eq!(timeout(Some("second-1")), 60);
        assert_eq!(timeout(Some("Second-infinite")), 1_800);
        assert_eq!(timeout(Some("Second-99999999999999999999999")), 1_800);
        assert_eq!(timeout(Some("S\u{e9}cond-1")), 1_800);
    }

    #[test]
    fn a_status_is_read_or_not_there() {
        assert_eq!(status(b"HTTP/1.1 200 OK"), Some(200));
        assert_eq!(status(b"HTTP/1.0 412 P"), Some(412));
        for bad in [&b"HTTP/2 200 OK.."[..], b"HTTP/1.1 2\xff0 OK", b"\x16\x03\x01", b""] {
            assert_eq!(status(bad), None);
        }
    }
}
