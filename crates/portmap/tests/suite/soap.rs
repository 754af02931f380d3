//! Control over SOAP, as control points call it.

use std::time::Duration;

use hn_portmap::{DropReason, Output};
use hn_types::portmap::{MapAct, MapRefusal, MapUplink, Origin};

use crate::{
    lab::*,
    table::{EXTERNAL, LIMIT},
};

const IP1: &str = "WANIPConnection:1";
const IP2: &str = "WANIPConnection:2";
const FIREWALL: &str = "WANIPv6FirewallControl:1";

fn add<'a>(external: &'a str, internal: &'a str, client: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("NewRemoteHost", ""),
        ("NewExternalPort", external),
        ("NewProtocol", "UDP"),
        ("NewInternalPort", internal),
        ("NewInternalClient", client),
        ("NewEnabled", "1"),
        ("NewPortMappingDescription", "Game &lt;1&gt;"),
        ("NewLeaseDuration", "0"),
    ]
}

fn with<'a>(
    mut args: Vec<(&'static str, &'a str)>,
    name: &str,
    value: &'a str,
) -> Vec<(&'static str, &'a str)> {
    args.iter_mut().filter(|(key, _)| *key == name).for_each(|arg| arg.1 = value);
    args
}

const CLIENT: &str = "192.168.137.20";

fn key(port: &str) -> [(&'static str, &str); 3] {
    [("NewRemoteHost", ""), ("NewExternalPort", port), ("NewProtocol", "UDP")]
}

#[test]
fn the_connection_is_described() {
    let mut lab = Lab::new(raw());
    lab.pass(Duration::from_secs(90));
    let from = device(20);
    let reply = lab.call(from, IP1, "GetExternalIPAddress", &[]).ok();
    assert_eq!(reply.value("NewExternalIPAddress"), Some("203.0.113.9"));
    assert!(reply.body.contains(
        "<u:GetExternalIPAddressResponse xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">"
    ));
    assert_eq!(reply.field("Content-Type"), Some("text/xml; charset=\"utf-8\""));
    assert_eq!(reply.field("Ext"), None, "an empty field");
    let status = lab.call(from, IP2, "GetStatusInfo", &[]).ok();
    assert_eq!(
        ["NewConnectionStatus", "NewLastConnectionError", "NewUptime"]
            .map(|name| status.value(name).unwrap()),
        ["Connected", "ERROR_NONE", "90"]
    );
    let kind = lab.call(from, IP1, "GetConnectionTypeInfo", &[]).ok();
    assert_eq!(kind.value("NewConnectionType"), Some("IP_Routed"));
    let nat = lab.call(from, IP1, "GetNATRSIPStatus", &[]).ok();
    assert_eq!((nat.value("NewRSIPAvailable"), nat.value("NewNATEnabled")), (Some("0"), Some("1")));
    let link = lab.call(from, "WANCommonInterfaceConfig:1", "GetCommonLinkProperties", &[]).ok();
    assert_eq!(
        [
            "NewWANAccessType",
            "NewLayer1UpstreamMaxBitRate",
            "NewLayer1DownstreamMaxBitRate",
            "NewPhysicalLinkStatus"
        ]
        .map(|name| link.value(name).unwrap()),
        ["Ethernet", "10000000", "4294967295", "Up"]
    );
    for (action, name, value) in [
        ("GetTotalBytesSent", "NewTotalBytesSent", "7"),
        ("GetTotalBytesReceived", "NewTotalBytesReceived", "2"),
        ("GetTotalPacketsSent", "NewTotalPacketsSent", "3"),
        ("GetTotalPacketsReceived", "NewTotalPacketsReceived", "4"),
    ] {
        assert_eq!(lab.call(from, "WANCommonInterfaceConfig:1", action, &[]).ok().value(name), Some(value));
    }
    let default = lab.call(from, "Layer3Forwarding:1", "GetDefaultConnectionService", &[]).ok();
    assert!(
        default
            .value("NewDefaultConnectionService")
            .unwrap()
            .ends_with(":WANConnectionDevice:1,urn:upnp-org:serviceId:WANIPConn1")
    );
    lab.server.handle_uplink(MapUplink::default(), lab.now);
    let status = lab.call(from, IP1, "GetStatusInfo", &[]).ok();
    assert_eq!(
        (status.value("NewConnectionStatus"), status.value("NewUptime")),
        (Some("Disconnected"), Some("0"))
    );
    let address = lab.call(from, IP1, "GetExternalIPAddress", &[]).ok();
    assert_eq!(address.value("NewExternalIPAddress"), Some(""));
    assert_eq!(lab.call(from, "WANCommonInterfaceConfig:1", "GetTotalBytesSent", &[]).error(), 501);
}

#[test]
fn a_mapping_is_added_listed_and_deleted() {
    let mut lab = Lab::new(raw());
    let from = device(20);
    lab.call(from, IP1, "AddPortMapping", &add("3074", "3075", CLIENT)).ok();
    let request = &lab.asked[0];
    assert_eq!((request.origin, request.client), (Origin::Upnp, from.ip()));
    let MapAct::Add(asked) = &request.act else { panic!() };
    assert_eq!((asked.external_port, asked.exact, asked.lifetime_s, asked.enabled), (3_074, true, 0, true));
    assert_eq!((asked.internal.to_string(), asked.name.as_str()), ("192.168.137.20:3075".into(), "Game <1>"));
    assert!(asked.filter.clear && asked.filter.add.is_empty() && asked.nonce.is_none());
    lab.pass(Duration::from_millis(1_500));
    let one = lab.call(device(21), IP1, "GetSpecificPortMappingEntry", &key("3074")).ok();
    let names = [
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ];
    let expected = ["3075", CLIENT, "1", "Game &lt;1&gt;", "3599"];
    assert_eq!(names.map(|name| one.value(name).unwrap()), expected);
    let first = lab.call(from, IP1, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "0")]).ok();
    assert_eq!(names.map(|name| first.value(name).unwrap()), expected);
    assert_eq!((first.value("NewExternalPort"), first.value("NewProtocol")), (Some("3074"), Some("UDP")));
    assert_eq!(
        lab.call(from, IP1, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "1")]).error(),
        713
    );
    assert_eq!(lab.call(from, IP1, "GetSpecificPortMappingEntry", &key("3073")).error(), 714);
    // The same port for the same device is a change, for another a conflict.
    lab.call(from, IP1, "AddPortMapping", &add("3074", "3076", CLIENT)).ok();
    assert_eq!(lab.call(device(21), IP1, "AddPortMapping", &add("3074", "1", "192.168.137.21")).error(), 718);
    assert_eq!(lab.call(device(21), IP1, "AddPortMapping", &add("4000", "1", CLIENT)).error(), 606);
    assert_eq!(lab.call(device(21), IP1, "DeletePortMapping", &key("3074")).error(), 606);
    lab.call(from, IP1, "DeletePortMapping", &key("3074")).ok();
    assert_eq!(lab.call(from, IP1, "DeletePortMapping", &key("3074")).error(), 714);
    assert_eq!(lab.server.counters().refused(MapRefusal::NotYours), 2);
}

#[test]
fn the_versions_differ_as_their_specifications_do() {
    let mut lab = Lab::new(raw());
    let from = device(20);
    // A lease of 0 is for ever in version 1 and a week in version 2.
    lab.call(from, IP2, "AddPortMapping", &add("3074", "3074", CLIENT)).ok();
    lab.call(from, IP2, "AddPortMapping", &with(add("1", "1", CLIENT), "NewLeaseDuration", "999999999")).ok();
    let leases: Vec<u32> = lab
        .asked
        .iter()
        .map(|request| match &request.act {
            MapAct::Add(add) => add.lifetime_s,
            MapAct::Remove { .. } | MapAct::Extend { .. } | MapAct::Look { .. } | MapAct::Peer { .. } => 0,
        })
        .collect();
    assert_eq!(leases, [604_800, 604_800]);
    for (service, port, expected) in [(IP1, "22", 718), (IP2, "22", 729)] {
        assert_eq!(lab.call(from, service, "AddPortMapping", &add(port, "1", CLIENT)).error(), expected);
    }
    for (service, expected) in [(IP1, 402), (IP2, 732)] {
        assert_eq!(lab.call(from, service, "AddPortMapping", &add("1", "0", CLIENT)).error(), expected);
    }
    // What only version 2 has can be called at version 1, which does not describe it.
    for (service, port) in [(IP1, "23"), (IP2, "24")] {
        let reply = lab.call(from, service, "AddAnyPortMapping", &add("22", "5", CLIENT)).ok();
        assert_eq!(reply.value("NewReservedPort"), Some(port));
    }
    assert!(!lab.get("/1/WANIPConnection.xml").body.contains("AddAnyPortMapping"));
    assert_eq!(lab.call(from, IP2, "SetConnectionType", &[("NewConnectionType", "x")]).error(), 731);
    assert_eq!(lab.call(from, IP1, "SetConnectionType", &[("NewConnectionType", "x")]).error(), 606);
    // A service of version 2 takes calls to version 1, and answers as that.
    let request = String::from_utf8(call(from.ip(), IP1, "AddPortMapping", &add("22", "1", CLIENT))).unwrap();
    let to_second = request.replace("/1/control/", "/2/control/");
    let reply = lab.http(from, to_second.as_bytes());
    assert_eq!(reply.error(), 718);
    let to_first = String::from_utf8(call(from.ip(), IP2, "GetStatusInfo", &[])).unwrap();
    assert_eq!(lab.http(from, to_first.replace("/2/control/", "/1/control/").as_bytes()).error(), 401);
}

#[test]
fn arguments_are_checked() {
    let mut lab = Lab::new(raw());
    let from = device(20);
    let good = || add("3074", "3074", CLIENT);
    for (name, value, code) in [
        ("NewExternalPort", "0", 716),
        ("NewExternalPort", "65536", 402),
        ("NewExternalPort", "-1", 402),
        ("NewExternalPort", "", 402),
        ("NewProtocol", "ICMP", 402),
        ("NewInternalPort", "x", 402),
        ("NewInternalClient", "ada", 402),
        ("NewInternalClient", "", 402),
        ("NewRemoteHost", "example.com", 726),
        ("NewRemoteHost", "224.0.0.1", 402),
        ("NewEnabled", "2", 402),
        ("NewLeaseDuration", "4294967296", 402),
    ] {
        let reply = lab.call(from, IP1, "AddPortMapping", &with(good(), name, value));
        assert_eq!(reply.error(), code, "{name}={value}");
    }
    for at in 0..5 {
        let mut args = good();
        args.remove(at);
        assert_eq!(lab.call(from, IP1, "AddPortMapping", &args).error(), 402);
    }
    assert!(lab.asked.is_empty());
    // What has a natural value may be missing.
    lab.call(from, IP1, "AddPortMapping", &good()[..5]).ok();
    lab.call(from, IP1, "AddPortMapping", &with(add("8", "8", CLIENT), "NewRemoteHost", "198.51.100.1")).ok();
    let MapAct::Add(last) = &lab.asked[1].act else { panic!() };
    assert_eq!(
        (last.filter.add[0].address.to_string(), last.filter.add[0].prefix),
        ("198.51.100.1".into(), 32)
    );
    let long = "x\u{202e}".repeat(200);
    lab.call(from, IP1, "AddPortMapping", &with(good(), "NewPortMappingDescription", &long)).ok();
    let MapAct::Add(last) = &lab.asked[2].act else { panic!() };
    assert_eq!((last.name.chars().count(), last.name.contains('\u{202e}')), (64, false));
    lab.call(from, IP1, "AddPortMapping", &with(add("9", "9", CLIENT), "NewEnabled", "0")).ok();
    let MapAct::Add(last) = &lab.asked[3].act else { panic!() };
    assert!(!last.enabled);
    assert_eq!(lab.dropped(DropReason::Arguments), 17);
}

#[test]
fn ranges_are_listed_and_deleted() {
    let mut lab = Lab::new(raw());
    let from = device(20);
    for port in ["1000", "1001", "1005", "2000"] {
        lab.call(from, IP2, "AddPortMapping", &add(port, port, CLIENT)).ok();
    }
    let range = |first, last| {
        vec![("NewStartPort", first), ("NewEndPort", last), ("NewProtocol", "UDP"), ("NewManage", "0")]
    };
    let listed = |first, last, most| [range(first, last), vec![("NewNumberOfPorts", most)]].concat();
    let list = lab.call(from, IP2, "GetListOfPortMappings", &listed("1000", "1999", "0")).ok();
    let listing = list.value("NewPortListing").unwrap();
    assert_eq!(listing.matches("<p:PortMappingEntry>").count(), 3);
    assert!(
        listing.starts_with("<![CDATA[<p:PortMappingList ") && listing.ends_with("</p:PortMappingList>]]>")
    );
    assert!(listing.contains("<p:NewDescription>Game &lt;1&gt;</p:NewDescription>"));
    let two = lab.call(from, IP2, "GetListOfPortMappings", &listed("1", "65535", "2")).ok();
    assert_eq!(two.value("NewPortListing").unwrap().matches("<p:PortMappingEntry>").count(), 2);
    assert_eq!(lab.call(from, IP2, "GetListOfPortMappings", &listed("3000", "4000", "0")).error(), 730);
    assert_eq!(lab.call(from, IP2, "GetListOfPortMappings", &listed("2", "1", "0")).error(), 733);
    assert_eq!(lab.call(device(21), IP2, "DeletePortMappingRange", &range("1000", "1001")).error(), 730);
    lab.call(from, IP2, "DeletePortMappingRange", &range("1000", "1001")).ok();
    assert_eq!(lab.table.rows.len(), 2);
    assert_eq!(lab.call(from, IP2, "DeletePortMappingRange", &range("1000", "1001")).error(), 730);
}

fn hole(client: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("RemoteHost", ""),
        ("RemotePort", "0"),
        ("InternalClient", client),
        ("InternalPort", "8080"),
        ("Protocol", "6"),
        ("LeaseTime", "3600"),
    ]
}

#[test]
fn pinholes_are_made_kept_and_closed() {
    let mut lab = Lab::new(raw());
    let from = device6(0x20);
    let address = from.ip().to_string();
    let status = lab.call(from, FIREWALL, "GetFirewallStatus", &[]).ok();
    assert_eq!(
        (status.value("FirewallEnabled"), status.value("InboundPinholeAllowed")),
        (Some("1"), Some("1"))
    );
    let made = lab.call(from, FIREWALL, "AddPinhole", &hole(&address)).ok();
    assert_eq!(made.value("UniqueID"), Some("1"));
    let id = [("UniqueID", "1")];
    lab.call(from, FIREWALL, "UpdatePinhole", &[id[0], ("NewLeaseTime", "60")]).ok();
    assert_eq!(lab.call(from, FIREWALL, "UpdatePinhole", &[id[0], ("NewLeaseTime", "0")]).error(), 402);
    assert_eq!(lab.call(from, FIREWALL, "UpdatePinhole", &[id[0], ("NewLeaseTime", "86401")]).error(), 402);
    let packets = lab.call(from, FIREWALL, "GetPinholePackets", &id).ok();
    assert_eq!(packets.value("PinholePackets"), Some("8080"));
    assert_eq!(lab.call(from, FIREWALL, "CheckPinholeWorking", &id).ok().value("IsWorking"), Some("1"));
    lab.table.rows[0].entry.external_port = 0;
    assert_eq!(lab.call(from, FIREWALL, "CheckPinholeWorking", &id).error(), 709);
    assert_eq!(lab.call(device6(0x21), FIREWALL, "DeletePinhole", &id).error(), 606);
    lab.call(from, FIREWALL, "DeletePinhole", &id).ok();
    assert_eq!(lab.call(from, FIREWALL, "DeletePinhole", &id).error(), 704);
    for (name, value, code) in [
        ("InternalClient", "", 708),
        ("InternalClient", "192.168.137.20", 402),
        ("InternalPort", "0", 706),
        ("Protocol", "65535", 707),
        ("Protocol", "132", 705),
        ("LeaseTime", "0", 402),
        ("RemoteHost", "ff02::1", 402),
        ("RemoteHost", "example.com", 402),
    ] {
        let reply = lab.call(from, FIREWALL, "AddPinhole", &with(hole(&address), name, value));
        assert_eq!(reply.error(), code, "{name}={value}");
    }
    // Where there are none, it is said.
    lab.server.handle_uplink(MapUplink { pinholes: false, ..lab.uplink() }, lab.now);
    assert_eq!(lab.call(from, FIREWALL, "AddPinhole", &hole(&address)).error(), 703);
    let status = lab.call(from, FIREWALL, "GetFirewallStatus", &[]).ok();
    assert_eq!(status.value("InboundPinholeAllowed"), Some("0"));
}

#[test]
fn pinholes_are_not_listed_as_mappings() {
    let mut lab = Lab::new(raw());
    let from = device6(0x20);
    let address = from.ip().to_string();
    lab.call(from, FIREWALL, "AddPinhole", &hole(&address)).ok();
    lab.call(device(20), IP1, "AddPortMapping", &add("1", "2", CLIENT)).ok();
    let first = lab.call(from, IP2, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "0")]).ok();
    assert_eq!(first.value("NewInternalClient"), Some(CLIENT));
    assert_eq!(
        lab.call(from, IP2, "GetGenericPortMappingEntry", &[("NewPortMappingIndex", "1")]).error(),
        713
    );
}

#[test]
fn a_device_cannot_take_every_port() {
    let mut lab = Lab::new(raw());
    for port in 1_000..1_000 + LIMIT {
        let port = port.to_string();
        lab.call(device(20), IP2, "AddPortMapping", &add(&port, "1", CLIENT)).ok();
    }
    assert_eq!(lab.call(device(20), IP2, "AddPortMapping", &add("900", "1", CLIENT)).error(), 728);
    assert_eq!(lab.call(device(20), IP1, "AddPortMapping", &add("900", "1", CLIENT)).error(), 501);
}

#[test]
fn a_table_that_does_not_answer_is_an_error_of_the_action() {
    let mut lab = Lab::new(raw());
    lab.answering = false;
    let (conn, _) = lab.connect(device(20));
    let request = call(device(20).ip(), IP1, "AddPortMapping", &add("1", "1", CLIENT));
    lab.server.handle_stream(conn, &request, lab.now);
    assert!(lab.outputs().is_empty());
    // More on the same connection has no meaning.
    lab.server.handle_stream(conn, &request, lab.now);
    assert!(lab.outputs().is_empty());
    assert_eq!(lab.asked.len(), 1);
    let replies = streams(lab.pass(Duration::from_secs(11)), conn);
    assert_eq!(replies[0].error(), 501);
    assert!(replies[0].closes);
    // A client that went away misses its answer, and nothing else happens.
    let (conn, _) = lab.connect(device(20));
    lab.server.handle_stream(conn, &request, lab.now);
    lab.server.handle_closed(conn, lab.now);
    lab.outputs();
    let answer = lab.table.answer(&lab.asked[1].clone(), lab.now.mono);
    lab.server.handle_answer(answer, lab.now);
    assert!(lab.outputs().is_empty());
}

#[test]
fn descriptions_are_served_to_who_names_the_address() {
    let mut lab = Lab::new(raw());
    let root = lab.get("/rootDesc.xml").ok();
    assert!(root.body.contains("InternetGatewayDevice:1") && root.body.contains("WANIPConnection:1"));
    assert!(lab.get("/2/rootDesc.xml").ok().body.contains("WANIPv6FirewallControl:1"));
    assert!(lab.get("/1/WANIPConnection.xml").ok().body.contains("<name>AddPortMapping</name>"));
    let request = |host: &str, more: &str| {
        format!("GET /rootDesc.xml HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").into_bytes()
    };
    for host in ["192.168.137.1:2869", "192.168.137.1"] {
        assert_eq!(lab.http(device(20), &request(host, "")).status, 200);
    }
    for host in ["[fd12:3456:789a:1::1]:2869", "[fe80::1%25wlan0]:2869"] {
        assert_eq!(lab.http(device6(20), &request(host, "")).status, 200);
    }
    for host in ["attacker.example:2869", "192.168.137.2:2869", "192.168.137.1:80", "localhost", "[::1]"] {
        assert_eq!(lab.http(device(20), &request(host, "")).status, 403, "{host}");
    }
    let page = request("192.168.137.1:2869", "Origin: http://attacker.example\r\n");
    assert_eq!(lab.http(device(20), &page).status, 403);
    assert_eq!((lab.dropped(DropReason::Host), lab.dropped(DropReason::Origin)), (5, 1));
    let old = lab.http(device(20), b"GET /rootDesc.xml HTTP/1.0\r\n\r\n");
    assert_eq!((old.status, old.closes), (200, true));
    let length = old.field("Content-Length").unwrap().to_owned();
    let head = lab.http(device(20), b"HEAD /rootDesc.xml HTTP/1.0\r\n\r\n");
    assert_eq!((head.body.as_str(), head.field("Content-Length")), ("", Some(length.as_str())));
    assert_eq!(lab.get("/").status, 404);
    assert_eq!(lab.get("/1/../rootDesc.xml").status, 404);
    assert_eq!(lab.get("/1/control/WANIPConnection").status, 405);
    assert_eq!(lab.http(device(20), b"DELETE /rootDesc.xml HTTP/1.0\r\n\r\n").status, 405);
}

#[test]
fn a_call_that_is_not_one_is_refused() {
    let mut lab = Lab::new(raw());
    let good = String::from_utf8(call(device(20).ip(), IP1, "GetStatusInfo", &[])).unwrap();
    let (head, body) = good.split_once("\r\n\r\n").unwrap();
    let with_body = |body: &str| {
        let head: Vec<&str> = head.lines().filter(|line| !line.starts_with("Content-Length")).collect();
        format!("{}\r\nContent-Length: {}\r\n\r\n{body}", head.join("\r\n"), body.len())
    };
    for bad in [
        with_body(""),
        with_body(&body[..body.len() - 1]),
        with_body(&body.replace("GetStatusInfo", "GetOther")),
        with_body(&format!("<!DOCTYPE x [<!ENTITY a 'b'>]>{}", &body["<?xml version=\"1.0\"?>\r\n".len()..])),
        good.replace("SOAPAction", "Ignored"),
    ] {
        assert_eq!(lab.http(device(20), bad.as_bytes()).status, 400, "{bad}");
    }
    assert_eq!(lab.dropped(DropReason::Soap), 5);
    let unknown = good.replace("GetStatusInfo", "GetOther");
    let unknown = unknown.split_once("\r\n\r\n").unwrap().1;
    let unknown = with_body(unknown).replace("#GetStatusInfo", "#GetOther");
    assert_eq!(lab.http(device(20), unknown.as_bytes()).error(), 401);
}

#[test]
fn a_whole_request_in_pieces_is_answered_once_it_is_whole() {
    let mut lab = Lab::new(raw());
    let request = call(device(20).ip(), IP1, "GetExternalIPAddress", &[]);
    let (conn, _) = lab.connect(device(20));
    for (at, byte) in request.iter().enumerate() {
        lab.server.handle_stream(conn, &[*byte], lab.now);
        let outputs = lab.outputs();
        if at + 1 < request.len() {
            assert_eq!(outputs, [], "{at}");
        } else {
            let [Output::Stream { bytes, then_close: true, .. }] = &outputs[..] else {
                panic!("{outputs:?}")
            };
            let reply = Reply::parse(bytes.clone(), true);
            assert_eq!(reply.value("NewExternalIPAddress"), Some(EXTERNAL.to_string().as_str()));
        }
    }
}
