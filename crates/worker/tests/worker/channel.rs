//! Commands and how a worker ends.

use std::{net::SocketAddr, os::fd::AsFd};

use hn_ports::services::{FromWorker, ToWorker};
use hn_types::observed::ServiceEvent;
use rustix::net::SendFlags;

use crate::lab::{HOST, Lab, dns_sockets, full, standalone};

#[test]
fn a_worker_whose_control_process_goes_away_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, full(Vec::new()));
    assert_eq!(lab.end(), Ok(()));
    let mut lab = Lab::process(&folder.path().join("leases"));
    lab.serve(1, full(Vec::new()));
    assert_eq!(lab.end(), Ok(()));
}

#[test]
fn anything_but_a_command_ends_the_worker_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("leases");
    for nonsense in [&b"\xff\xff\xff"[..], &[0; 20_000]] {
        let mut lab = Lab::thread(&journal);
        rustix::net::send(lab.control(), nonsense, SendFlags::empty()).unwrap();
        assert!(lab.ended().unwrap_err().contains("not a command"));
    }
    // A command with another number of descriptors than it has.
    let mut lab = Lab::thread(&journal);
    let (socket, _) = dns_sockets(HOST);
    lab.send(&ToWorker::Stop { generation: 1 }, &[socket.as_fd()]);
    assert!(lab.ended().unwrap_err().contains("descriptors"));
    let mut lab = Lab::thread(&journal);
    lab.send(&ToWorker::Stop { generation: 1 }, &[socket.as_fd(); 3]);
    assert!(lab.ended().unwrap_err().contains("descriptors"));
}

#[test]
fn stop_is_answered_whether_or_not_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.send(&ToWorker::Stop { generation: 1 }, &[]);
    lab.wait_for(&FromWorker::Stopped { generation: 1 });
    lab.serve(2, standalone());
    let address = lab.acquire(1, "phone");
    lab.send(&ToWorker::Stop { generation: 3 }, &[]);
    lab.wait_for(&FromWorker::Stopped { generation: 3 });
    // What was served is closed.
    assert!(lab.frames.as_ref().unwrap().send(b"anyone?").is_err());
    assert_eq!(lab.serve(4, standalone()), 1);
    lab.transmit(&crate::lab::reboot(1, address));
    assert_eq!(lab.reply().yiaddr(), address);
}

#[test]
fn a_worker_with_nothing_to_do_sleeps() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::process(&folder.path().join("leases"));
    lab.serve(1, full(Vec::new()));
    lab.acquire(1, "phone");
    lab.come_to_rest();
    // The end of the last write is taken while the segment is given up, its wake-up comes afterwards.
    lab.transmit(&crate::lab::discover(2, ""));
    let offered = lab.reply().yiaddr();
    lab.transmit(&crate::lab::request(2, "", offered));
    lab.send(&ToWorker::Stop { generation: 2 }, &[]);
    lab.wait_for(&FromWorker::Stopped { generation: 2 });
    lab.come_to_rest();
}

#[test]
fn a_new_segment_replaces_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    lab.serve(1, full(Vec::new()));
    let old = lab.frames.take().unwrap();
    let address = lab.acquire_after(2);
    assert!(old.send(b"anyone?").is_err());
    let leases = lab.wait_for_event(|event| match event {
        ServiceEvent::LeaseBound(lease) => Some(lease.address),
        _ => None,
    });
    assert_eq!(leases, address);
}

impl Lab {
    fn acquire_after(&mut self, generation: u64) -> std::net::Ipv4Addr {
        self.serve(generation, standalone());
        self.acquire(7, "")
    }
}

#[test]
fn a_plan_that_cannot_be_served_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Lab::thread(&folder.path().join("leases"));
    let failure = |lab: &mut Lab, of: u64| {
        lab.wait(|message| match message {
            FromWorker::Failed { generation, cause } if *generation == of => Some(cause.clone()),
            _ => None,
        })
    };
    let (socket, listener) = dns_sockets(HOST);
    let mut segment = standalone();
    segment.dhcp.last = "9.9.9.9".parse().unwrap();
    let mac = hn_types::MacAddr([2, 0, 0, 0, 0, 1]);
    let serve = ToWorker::Serve { generation: 1, segment, index: 1, mac, probe: true };
    lab.send(&serve, &[socket.as_fd(), crate::lab::journal_file(&lab.journal).as_fd()]);
    assert!(failure(&mut lab, 1).contains("pool"));

    lab.send(&ToWorker::ServeDns { generation: 1 }, &[socket.as_fd(), listener.as_fd()]);
    assert!(failure(&mut lab, 1).contains("not served"));
    lab.serve(2, standalone());
    lab.send(&ToWorker::ServeDns { generation: 2 }, &[socket.as_fd(), listener.as_fd()]);
    assert!(failure(&mut lab, 2).contains("no name server"));
    lab.serve(3, full(vec![SocketAddr::from(([127, 0, 0, 1], 9))]));
    lab.send(&ToWorker::ServeDns { generation: 2 }, &[socket.as_fd(), listener.as_fd()]);
    assert!(failure(&mut lab, 2).contains("not served"));
    lab.send(&ToWorker::ServeDns { generation: 3 }, &[socket.as_fd(), listener.as_fd()]);
    lab.wait_for(&FromWorker::ServingDns { generation: 3 });
}
