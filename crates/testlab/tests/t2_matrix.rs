//! The matrix *neighbour × action*: other people's software on the same machine, as its makers ship it, and everything
//! that happens to a machine that shares. Afterwards the machine is as it was, the neighbour's own rules included.
//!
//! There is no radio at this tier. `start` therefore is the start of the service itself, which must not touch anything
//! beside a neighbour; sharing is between wired interfaces. The hosted network is started in tier T3.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use anyhow::Result;
use hn_testlab::neighbour::{self, Machine, Neighbour};
use hn_testlab::state::SystemState;
use hn_testlab::wired::{PRIVATE, SETTLE};
use hn_testlab::{Tier, require, wait};

/// Our table is back within this time after somebody took it, on a loaded machine.
const BACK: Duration = Duration::from_secs(20);

/// A machine with its neighbour, opened for us as far as a person has to, before the service is started.
struct Case {
    machine: Machine,
    neighbour: Neighbour,
    before: SystemState,
    /// What a person ran.
    remedy: String,
}

impl Case {
    /// `None` where this tier cannot run.
    fn new(set_up: fn(&mut Machine) -> Result<Neighbour>) -> Option<Self> {
        if require(Tier::Namespaces).is_missing() {
            return None;
        }
        let mut machine = Machine::new().unwrap();
        let neighbour = set_up(&mut machine).unwrap();
        let mut remedy = String::new();
        if neighbour.by_hand {
            start(&mut machine);
            remedy = machine.refusal().unwrap().1;
            machine.sh(&remedy).unwrap();
            // Some order their rules anew when they read them again.
            machine.sh(&neighbour.reload).unwrap();
            machine.scene.product.terminate().unwrap();
        }
        let before = SystemState::capture(&machine.scene.router, &[]).unwrap();
        Some(Self { machine, neighbour, before, remedy })
    }

    fn share(&mut self) {
        self.machine.scene.share(&[PRIVATE[0]]).unwrap();
        self.machine.online().unwrap();
    }

    fn unshare(&self) {
        self.machine.scene.product.run(["unshare"]).unwrap();
    }

    fn table(&self) -> String {
        let listed = self.machine.scene.router.attempt("nft -s list table inet hostednet").unwrap();
        listed.stdout
    }

    /// After something was done to the rules: ours are soon as they were, and a client is online.
    fn survives(&mut self, table: &str) {
        let back = wait::holds("our table", BACK, || Ok(self.table() == table));
        back.unwrap_or_else(|error| {
            panic!("{error:#}: {}\nhostednetd says:\n{}", self.table(), self.machine.scene.product.log())
        });
        // What opens the way at a neighbour follows a moment later.
        wait::holds("a client online", BACK, || self.machine.online().map(|()| true)).unwrap();
        assert_eq!(self.machine.scene.product.field("/sharing/phase").unwrap(), "running");
    }

    /// The service ends; the machine is as before it was started.
    fn ends(mut self) {
        self.machine.scene.product.terminate().unwrap();
        self.as_before();
    }

    fn as_before(&self) {
        let (difference, _) = self.before.restored(&self.machine.scene.router, &[], SETTLE).unwrap();
        let log = self.machine.scene.product.log();
        assert!(
            difference.is_empty(),
            "the machine is not as before:\n{difference}\nhostednetd says:\n{log}"
        );
    }
}

fn start(machine: &mut Machine) {
    machine.scene.product.start(&machine.scene.router).unwrap();
}

/// The service starts and ends, and leaves the rules alone all the while.
fn play_start(mut case: Case) {
    let rules = |case: &Case| case.machine.scene.router.run("nft -s list ruleset").unwrap().stdout;
    let before = rules(&case);
    start(&mut case.machine);
    assert_eq!(case.machine.scene.product.field("/sharing/phase").unwrap(), "stopped");
    assert_eq!(rules(&case), before);
    case.ends();
}

fn play_share(mut case: Case) {
    start(&mut case.machine);
    case.share();
    case.unshare();
    case.ends();
}

/// The neighbour reads its configuration again while we share.
fn play_reload(mut case: Case) {
    start(&mut case.machine);
    case.share();
    let table = case.table();
    case.machine.sh(&case.neighbour.reload.clone()).unwrap();
    case.survives(&table);
    case.unshare();
    case.ends();
}

/// Somebody flushes every rule of the machine while we share, and the neighbour brings its own back.
fn play_flush(mut case: Case) {
    start(&mut case.machine);
    case.share();
    let table = case.table();
    case.machine.sh("nft flush ruleset").unwrap();
    case.survives(&table);
    case.machine.sh(&case.neighbour.restore.clone()).unwrap();
    // What a person had given to a chain that was flushed, that person gives again.
    if !case.remedy.is_empty() {
        case.machine.sh(&case.remedy.clone()).unwrap();
    }
    case.survives(&table);
    case.unshare();
    case.ends();
}

/// The service is ended while it shares.
fn play_stop(mut case: Case) {
    start(&mut case.machine);
    case.share();
    case.ends();
}

/// The service is killed while it shares; the next one finds what it left, undoes it, and can share again.
fn play_crash(mut case: Case) {
    start(&mut case.machine);
    case.share();
    case.machine.scene.product.kill().unwrap();
    start(&mut case.machine);
    case.share();
    case.machine.scene.product.kill().unwrap();
    start(&mut case.machine);
    case.ends();
}

/// One row of the matrix: a neighbour, set up by the function.
macro_rules! row {
    ($name:ident: $set_up:expr) => {
        mod $name {
            use super::*;

            fn case() -> Option<Case> {
                Case::new($set_up)
            }

            #[test]
            fn the_service_starts_beside_it_and_leaves_nothing() {
                case().into_iter().for_each(play_start);
            }

            #[test]
            fn sharing_works_beside_it_and_leaves_nothing() {
                case().into_iter().for_each(play_share);
            }

            #[test]
            fn sharing_survives_its_reload_and_leaves_nothing() {
                case().into_iter().for_each(play_reload);
            }

            #[test]
            fn sharing_survives_a_flush_and_leaves_nothing() {
                case().into_iter().for_each(play_flush);
            }

            #[test]
            fn a_stop_leaves_nothing() {
                case().into_iter().for_each(play_stop);
            }

            #[test]
            fn a_crash_leaves_nothing_behind_the_next_start() {
                case().into_iter().for_each(play_crash);
            }
        }
    };
}

row!(nobody: |_: &mut Machine| Ok(Neighbour::default()));
row!(ufw: neighbour::ufw);
row!(firewalld: neighbour::firewalld);
row!(docker: neighbour::docker);
row!(network_manager: neighbour::network_manager);
row!(dnsmasq: neighbour::dnsmasq);
row!(unbound: neighbour::unbound);
