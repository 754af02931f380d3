//! Several programs, each a process, that share one network without knowing of each other (tier T1).
#![expect(clippy::unwrap_used, reason = "tests")]

mod application;
mod session;
mod world;

use application::{Application, obey};
use hn_conformance::checks;
use hostednet::{
    ShareArgs,
    types::{
        settings::{PrivateChoice, PublicChoice},
        view::{HostedState, SharingMode, Snapshot},
    },
};
use world::{World, plays, run, wait};

/// A test with programs: the name of the function, and what it does.
macro_rules! test {
    ($name:ident, $world:ident, $body:block) => {
        #[test]
        fn $name() {
            const NAME: &str = stringify!($name);
            if plays(obey) {
                return;
            }
            run(NAME, |$world: &World| {
                let _ = NAME;
                $body
            });
        }
    };
}

fn now(world: &World) -> Snapshot {
    world.session().status().unwrap()
}

/// State and references.
fn holders(world: &World) -> (HostedState, u32) {
    let view = now(world).hosted_network;
    (view.state, view.references)
}

fn becomes(world: &World, what: &str, state: HostedState, references: u32) {
    wait(what, || holders(world) == (state, references));
}

/// Full sharing of the hosted network.
fn share(world: &World) {
    let pair = ShareArgs { public: PublicChoice::Auto, private: vec![PrivateChoice::HostedNetwork] };
    world.session().share(&pair).unwrap();
    assert_eq!(now(world).sharing.mode, SharingMode::Full);
}

test!(programs_share_the_network_by_reference, world, {
    let (a, b) = (Application::open(NAME), Application::open(NAME));
    checks!(M053, M054, M055, M056:
        a.succeeds("start");
        assert_eq!(holders(world), (HostedState::Active, 1));
        b.succeeds("start");
        b.succeeds("start");
        assert_eq!(holders(world), (HostedState::Active, 3));
        a.succeeds("stop");
        assert_eq!(holders(world), (HostedState::Active, 2), "B still uses it");
        assert_eq!(a.ask("stop"), "(5023, 10)", "A has given back all it had");
        b.succeeds("stop");
        assert_eq!(holders(world), (HostedState::Active, 1), "each success needs its own");
        b.succeeds("stop");
        assert_eq!(holders(world), (HostedState::Idle, 0));
    );
});

test!(what_a_program_held_is_given_back_when_it_closes_ends_or_is_killed, world, {
    let watcher = Application::open(NAME);
    assert_eq!(watcher.ask("watch"), "0");
    let hold = || {
        let application = Application::open(NAME);
        application.succeeds("start");
        application.succeeds("start");
        assert_eq!(watcher.next(), Application::change(1, 2, 17));
        application
    };
    let closes = hold();
    checks!(M012, M058:
        closes.succeeds("key surviving-the-handle");
        let settings = world.session().settings().unwrap();
        assert_eq!(closes.ask("close"), "0");
        assert_eq!(watcher.next(), Application::change(2, 1, 18));
        becomes(world, "the references are given back", HostedState::Idle, 0);
        assert_eq!(world.session().settings().unwrap(), settings, "nothing else is undone");
        assert_eq!(watcher.ask("key"), "surviving-the-handle\0");
    );
    checks!(M059:
        hold().leave();
        assert_eq!(watcher.next(), Application::change(2, 1, 18));
        becomes(world, "the references are given back", HostedState::Idle, 0);
        hold().kill();
        assert_eq!(watcher.next(), Application::change(2, 1, 18));
        becomes(world, "the references are given back", HostedState::Idle, 0);
    );
    let (one, other) = (hold(), Application::open(NAME));
    other.succeeds("start");
    one.kill();
    becomes(world, "the references of the other stay", HostedState::Active, 1);
    assert!(watcher.saw_nothing());
});

test!(a_forced_start_outlives_its_caller_until_somebody_stops_it, world, {
    let forcer = Application::open(NAME);
    checks!(M060, M063:
        forcer.succeeds("force-start");
        assert_eq!(holders(world), (HostedState::Active, 0), "it is tied to no handle");
        assert_eq!(forcer.ask("close"), "0");
        assert_eq!(forcer.ask("open"), "0");
        assert_eq!(holders(world), (HostedState::Active, 0), "not undone by closing");
        forcer.kill();
        // A session that ended is gone when a later one is served: the service takes them in order.
        assert_eq!(Application::open(NAME).ask("state"), "2");
        assert!(now(world).hosted_network.forced);
    );
    let user = Application::open(NAME);
    user.succeeds("start");
    user.succeeds("stop");
    assert_eq!(holders(world), (HostedState::Active, 0), "a reference given back ends no forced start");
    let forcer = Application::open(NAME);
    checks!(M064:
        forcer.succeeds("force-start");
        forcer.succeeds("force-stop");
        assert_eq!(holders(world), (HostedState::Idle, 0), "later");
        forcer.succeeds("force-start");
        forcer.leave();
        assert_eq!(user.ask("state"), "2", "never");
    );
});

test!(a_forced_stop_ends_every_reference_and_announces_itself, world, {
    let (a, b, stopper) = (Application::open(NAME), Application::open(NAME), Application::open(NAME));
    for application in [&a, &b] {
        assert_eq!(application.ask("watch"), "0");
    }
    a.succeeds("start");
    b.succeeds("start");
    b.succeeds("force-start");
    checks!(M061, M065:
        stopper.succeeds("force-stop");
        assert_eq!(holders(world), (HostedState::Idle, 0));
        assert!(!now(world).hosted_network.forced);
        for application in [&a, &b] {
            assert_eq!(application.next(), Application::change(1, 2, 17));
            assert_eq!(application.next(), Application::change(2, 1, 17));
        }
        a.succeeds("start");
        assert_eq!(b.ask("stop"), "(5023, 10)", "what was void cannot stop the new session");
        assert_eq!(holders(world), (HostedState::Active, 1));
    );
});

test!(programs_recover_by_the_notification_with_and_without_sharing, world, {
    let (user, forcer, disturber) =
        (Application::open(NAME), Application::open(NAME), Application::open(NAME));
    user.ask("recover plain");
    forcer.ask("recover forced");
    user.succeeds("start");
    forcer.succeeds("force-start");
    for application in [&user, &forcer] {
        assert_eq!(application.next(), Application::change(1, 2, 17));
    }
    checks!(M143, M144:
        for full in [false, true] {
            if full {
                share(world);
                assert!(user.saw_nothing(), "changes of sharing are not announced");
                assert!(forcer.saw_nothing(), "changes of sharing are not announced");
            }
            disturber.succeeds("force-stop");
            for application in [&user, &forcer] {
                assert_eq!(application.next(), Application::change(2, 1, 17));
                let mut then = [application.next(), application.next()];
                then.sort_unstable();
                assert_eq!(then, ["recovered (0, 0)".to_owned(), Application::change(1, 2, 17)]);
            }
            let view = now(world).hosted_network;
            assert_eq!((view.state, view.references, view.forced), (HostedState::Active, 1, true));
            let mode = if full { SharingMode::Full } else { SharingMode::Standalone };
            assert_eq!(now(world).sharing.mode, mode);
        }
    );
});

test!(a_second_program_sees_the_start_sequence_of_the_first_and_both_hold_references, world, {
    let (a, b) = (Application::open(NAME), Application::open(NAME));
    b.ask("recover plain");
    b.succeeds("start");
    assert_eq!(b.next(), Application::change(1, 2, 17));
    // A runs the start sequence with full sharing (spec/sequences.md §2).
    checks!(M066, M144:
        a.succeeds("init");
        assert_eq!(a.ask("state"), "2", "it runs already");
        a.succeeds("force-stop");
        a.succeeds("start");
        share(world);
        assert_eq!(b.next(), Application::change(2, 1, 17));
        let mut then = [b.next(), b.next()];
        then.sort_unstable();
        assert_eq!(then, ["recovered (0, 0)".to_owned(), Application::change(1, 2, 17)]);
        assert_eq!(holders(world), (HostedState::Active, 2), "both hold references");
        assert!(b.saw_nothing(), "sharing is not announced");
    );
    // And stops it: sharing first, then the network for everybody.
    checks!(M141:
        world.session().unshare().unwrap();
        assert_eq!(now(world).sharing.mode, SharingMode::Off);
        assert!(b.saw_nothing());
        a.succeeds("force-stop");
        assert_eq!(b.next(), Application::change(2, 1, 17), "the others are told");
        let mut then = [b.next(), b.next()];
        then.sort_unstable();
        assert_eq!(then, ["recovered (0, 0)".to_owned(), Application::change(1, 2, 17)]);
        assert_eq!(holders(world), (HostedState::Active, 1), "B came back by itself");
    );
});

test!(each_way_to_start_without_sharing_has_its_way_to_stop, world, {
    let (a, b) = (Application::open(NAME), Application::open(NAME));
    checks!(M142:
        a.succeeds("start");
        a.succeeds("stop");
        assert_eq!(holders(world), (HostedState::Idle, 0), "StartUsing, StopUsing");
        b.succeeds("force-start");
        b.succeeds("force-stop");
        assert_eq!(holders(world), (HostedState::Idle, 0), "ForceStart, ForceStop");
        b.succeeds("force-start");
        a.succeeds("start");
        a.succeeds("stop");
        assert_eq!(holders(world), (HostedState::Active, 0), "it ran already: left running");
        a.succeeds("force-stop");
        assert_eq!(holders(world), (HostedState::Idle, 0), "it ran already: stopped");
    );
});

test!(any_user_may_use_the_network_and_set_keys_and_only_administrators_force_it, world, {
    if !nix::unistd::geteuid().is_root() {
        world::skip("only root can become somebody else");
        return;
    }
    let (nobody, root) = (Application::start(NAME), Application::open(NAME));
    assert_eq!(nobody.ask("become 65534"), "Ok(())");
    assert_eq!(nobody.ask("open"), "0");
    checks!(M057:
        nobody.succeeds("start");
        assert_eq!(holders(world), (HostedState::Active, 1));
        nobody.succeeds("stop");
        assert_eq!(holders(world), (HostedState::Idle, 0));
    );
    checks!(M062:
        assert_eq!(nobody.ask("force-start"), "(5, 5)");
        assert_eq!(holders(world), (HostedState::Idle, 0));
        root.succeeds("start");
        assert_eq!(nobody.ask("force-stop"), "(5, 5)");
        assert_eq!(holders(world), (HostedState::Active, 1));
        root.succeeds("force-stop");
        root.succeeds("force-start");
        root.succeeds("force-stop");
    );
    checks!(M035:
        let keys = || world.session().keys().unwrap();
        let before = keys().primary;
        nobody.succeeds("refresh");
        assert_ne!(keys().primary, before);
    );
    checks!(M051, M052:
        nobody.succeeds("key chosen-by-a-user");
        assert_eq!(root.ask("key"), "chosen-by-a-user\0");
        assert_eq!(nobody.ask("close"), "0");
        assert_eq!(root.ask("key"), "chosen-by-a-user\0", "not undone by closing the handle");
        assert_eq!(nobody.ask("open"), "0");
        nobody.succeeds("key chosen-once-more");
        nobody.kill();
        assert_eq!(root.ask("key"), "chosen-once-more\0", "nor by the end of the program");
    );
});

test!(a_start_that_fails_leaves_nothing_behind, world, {
    let (a, b) = (Application::open(NAME), Application::open(NAME));
    b.ask("watch");
    a.succeeds("init");
    checks!(M067:
        for lane in ["radio", "links", "services"] {
            world.console(&format!("fail {lane} no such luck"));
            let answer = a.ask("start");
            assert_eq!(answer, "(31, 19)", "{lane}");
            assert_eq!(holders(world), (HostedState::Idle, 0), "{lane}");
            assert_eq!(a.ask("stop"), "(5023, 10)", "{lane}: no reference either");
        }
        world.console("adapter off");
        wait("the network is unavailable", || holders(world).0 == HostedState::Unavailable);
        assert_eq!(b.next(), Application::change(1, 0, 12));
        assert_eq!(a.ask("start"), "(5023, 12)");
        assert_eq!(holders(world), (HostedState::Unavailable, 0));
        assert!(b.saw_nothing(), "nothing ever ran");
    );
});

test!(a_program_that_was_stopped_for_a_while_is_told_what_counts, world, {
    let slow = Application::open(NAME);
    assert_eq!(slow.ask("watch"), "0");
    slow.signal(nix::sys::signal::Signal::SIGSTOP);
    // Far more than the service keeps for a program that does not read.
    world.commands(["switch soft off", "switch soft on"].into_iter().cycle().take(4_000));
    world.session().force_start().unwrap();
    world.console("join 02:00:00:00:00:01 primary");
    world.console("join 02:00:00:00:00:02 primary");
    slow.signal(nix::sys::signal::Signal::SIGCONT);
    let (mut state, mut seen, mut joined) = (1, 0, Vec::new());
    while state != 2 || joined.len() < 2 {
        let line = slow.next();
        seen += 1;
        if let Some(change) = line.strip_prefix("saw State(") {
            let numbers: Vec<i32> =
                change.trim_end_matches(')').split(", ").map(|number| number.parse().unwrap()).collect();
            assert_eq!(numbers[0], state, "each change begins where the last ended: {line}");
            state = numbers[1];
        } else if let Some(peer) = line.strip_prefix("saw Peer(") {
            assert!(peer.ends_with(", 0, 1, 20)") && !joined.contains(&line), "joined once: {line}");
            joined.push(line);
        }
    }
    assert!(seen < 4_000, "{seen}: something was missed, or this test shows nothing");
    assert!(slow.saw_nothing());
});
