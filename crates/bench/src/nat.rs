//! Forwarding with translation beside plain routing.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hn_testlab::ns::Namespace;

use crate::bed::{Bed, CLIENT, HOST, Helper, Lab, PORT, PRIVATE, PUBLIC, UP, index, stopped};
use crate::machine::pin;
use crate::report::{Frame, Metric, Sheet, Subject};
use crate::service::{Service, Setting};
use crate::sys::{Addresses, Batch, Flood, Offload, XdpDrop, force_buffers, set_offload};

pub(crate) const OURS: &str = "ours";
pub(crate) const ROUTING: &str = "plain routing";
pub(crate) const MANAGER: &str = "NetworkManager's rules";

pub(crate) const PACKET_1: Metric = Metric::less("64-byte packet, 1 flow: CPU", "ns", 0);
pub(crate) const PACKET_1000: Metric = Metric::less("64-byte packet, 1,000 flows: CPU", "ns", 0);
pub(crate) const UDP: Metric = Metric::more("64-byte datagrams between sockets", "kpps", 0);
pub(crate) const TCP_WIRE: Metric = Metric::more("TCP, packets of 1,500 bytes", "Gbit/s", 2);
pub(crate) const TCP_LARGE: Metric = Metric::more("TCP, packets of 64 KiB", "Gbit/s", 1);

/// The comparison.
pub(crate) const FRAME: Frame = Frame {
    name: "nat",
    title: "NAT",
    note: "*CPU*: what one core spends on a packet from an XDP generator through the router to an XDP sink, both \
           included: the whole path runs in one thread, so this hardly depends on what else the machine does. \
           *between sockets* and *TCP*: from the client through the router to the world, sender and receiver on a \
           core each, the router on both. *plain routing* has no netfilter hook at all. *NetworkManager's rules* \
           are those of its shared mode.",
    subjects: &[
        Subject { name: OURS, needs: None },
        Subject { name: MANAGER, needs: None },
        Subject { name: ROUTING, needs: None },
    ],
    metrics: &[&PACKET_1, &PACKET_1000, &UDP, &TCP_WIRE, &TCP_LARGE],
    pairs: &[(OURS, ROUTING), (MANAGER, ROUTING), (OURS, MANAGER)],
};

/// The discard service: where datagrams go.
const DISCARD: u16 = 9;
/// Where the stream goes.
const STREAM: u16 = 5_001;

/// Measures one subject once.
pub(crate) fn measure(lab: &Lab, subject: &str, sheet: &mut Sheet<'_>) -> Result<()> {
    let bed = Bed::make(lab)?;
    bed.address_client()?;
    let mut service = None;
    match subject {
        OURS => service = Some(Service::shared(lab, &bed, Setting { probe: true })?),
        ROUTING => {
            bed.address_private()?;
            bed.route_back()?;
        }
        MANAGER => {
            bed.address_private()?;
            bed.forward()?;
            bed.load_rules(&manager_rules())?;
        }
        other => bail!("no router called {other}"),
    }
    sheet.put(&TCP_LARGE, tcp(lab, &bed)?);
    for (place, interface) in places(&bed) {
        for offload in [Offload::TcpSegmentation, Offload::GenericSegmentation, Offload::GenericReceive] {
            switch(place, interface, offload, false)?;
        }
    }
    sheet.put(&TCP_WIRE, tcp(lab, &bed)?);
    sheet.put(&UDP, udp(lab, &bed)?);
    for (metric, flows) in [(&PACKET_1, 1), (&PACKET_1000, 1_000)] {
        sheet.put(metric, packets(lab, &bed, flows)?);
    }
    service.map_or(Ok(()), |mut service| service.stop())
}

/// The table that NetworkManager 1.42 writes for `ipv4.method=shared` with its nftables back end.
fn manager_rules() -> String {
    let network = "10.77.0.0/16";
    format!(
        "table ip nm-shared-{PRIVATE} {{\n\
         chain nat_postrouting {{ type nat hook postrouting priority 100; policy accept;\n\
         ip saddr {network} ip daddr != {network} masquerade; }}\n\
         chain filter_forward {{ type filter hook forward priority 0; policy accept;\n\
         ip daddr {network} oifname \"{PRIVATE}\" ct state {{ established, related }} accept;\n\
         ip saddr {network} iifname \"{PRIVATE}\" accept;\n\
         iifname \"{PRIVATE}\" oifname \"{PRIVATE}\" accept;\n\
         iifname \"{PRIVATE}\" reject;\n\
         oifname \"{PRIVATE}\" reject; }}\n\
         }}\n"
    )
}

/// Every interface a packet passes.
fn places(bed: &Bed) -> [(&Namespace, &'static str); 4] {
    [(&bed.client, PORT), (&bed.router, PRIVATE), (&bed.router, PUBLIC), (&bed.world, UP)]
}

fn switch(place: &Namespace, interface: &str, offload: Offload, on: bool) -> Result<()> {
    place
        .enter(|| set_offload(interface, offload, on))?
        .with_context(|| format!("{offload:?} of {interface}"))
}

/// CPU nanoseconds for each packet of a flood from the client to the world.
fn packets(lab: &Lab, bed: &Bed, flows: u16) -> Result<f64> {
    // Frames from XDP enter a veth peer only where NAPI is on.
    switch(&bed.router, PRIVATE, Offload::GenericReceive, true)?;
    let sink = bed.world.enter(|| anyhow::Ok(XdpDrop::attach(index(UP)?)?))?.context("XDP sink")?;
    let arrived = || -> Result<u64> {
        let text = bed.world.ip(&format!("-j -s link show dev {UP}"))?.stdout;
        let links: serde_json::Value = serde_json::from_str(&text)?;
        links.pointer("/0/stats64/rx/packets").and_then(serde_json::Value::as_u64).context("no counters")
    };
    let addresses = Addresses { to_mac: bed.server_mac, from_mac: bed.client_mac, from: CLIENT, to: HOST };
    let core = lab.cores.server;
    let count = lab.count(1_000_000);
    let before = arrived()?;
    let spent = bed.client.enter(|| -> Result<Duration> {
        pin(core)?;
        let flood = Flood::new(index(PORT)?, addresses, flows).context("XDP generator")?;
        // Flows are known to the router before their cost is measured.
        flood.send(u32::from(flows) * 20)?;
        Ok(flood.send(count)?)
    })??;
    let arrived = arrived()? - before;
    drop(sink);
    let wanted = u64::from(count) + u64::from(flows) * 20;
    ensure!(arrived * 100 > wanted * 95, "only {arrived} of {wanted} packets came through");
    Ok(spent.as_secs_f64() * 1e9 / f64::from(count))
}

/// Thousands of datagrams each second that arrive.
fn udp(lab: &Lab, bed: &Bed) -> Result<f64> {
    let socket = bed.world.enter(|| UdpSocket::bind((HOST, DISCARD)))??;
    socket.set_read_timeout(Some(Helper::<u64>::LOOK))?;
    force_buffers(socket.as_fd(), 64 << 20)?;
    let sink = Helper::start(lab.cores.generator, move |end| {
        let mut batch = Batch::new(false);
        let mut arrived = 0_u64;
        while !end.load(Ordering::Relaxed) {
            arrived += batch.receive(socket.as_fd(), true)? as u64;
        }
        Ok(arrived)
    });
    let (core, time) = (lab.cores.server, lab.seconds(2.0));
    bed.client.enter(|| -> Result<()> {
        pin(core)?;
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect((HOST, DISCARD))?;
        force_buffers(socket.as_fd(), 64 << 20)?;
        let mut batch = Batch::new(false);
        batch.fill(&[0; 64]);
        let began = Instant::now();
        while began.elapsed() < time && !stopped() {
            batch.send_again(socket.as_fd())?;
        }
        Ok(())
    })??;
    Ok(sink.finish()? as f64 / time.as_secs_f64() / 1e3)
}

/// Gigabits each second of one stream.
fn tcp(lab: &Lab, bed: &Bed) -> Result<f64> {
    let listener = bed.world.enter(|| TcpListener::bind((HOST, STREAM)))??;
    listener.set_nonblocking(true)?;
    let sink = Helper::start(lab.cores.generator, move |end| {
        let mut stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ensure!(!end.load(Ordering::Relaxed), "nobody connected");
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.into()),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut buffer = vec![0; 256 << 10];
        let (mut bytes, began) = (0_u64, Instant::now());
        loop {
            match stream.read(&mut buffer)? {
                0 => return Ok(bytes as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e9),
                length => bytes += length as u64,
            }
        }
    });
    let (core, time) = (lab.cores.server, lab.seconds(2.0));
    bed.client.enter(|| -> Result<()> {
        pin(core)?;
        let limit = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&(HOST, STREAM).into(), limit).context("connect")?;
        stream.set_write_timeout(Some(limit))?;
        let block = vec![0; 256 << 10];
        let began = Instant::now();
        while began.elapsed() < time && !stopped() {
            stream.write_all(&block)?;
        }
        Ok(())
    })??;
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_manager_names_the_private_side() {
        let text = manager_rules();
        assert_eq!(text.matches("lan0").count(), 7);
        assert_eq!(text.matches("10.77.0.0/16").count(), 4);
    }
}
