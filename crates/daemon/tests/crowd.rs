//! Two hundred programs start, stop and die at random, and a small model says what must be left (tier T1).
//!
//! Time is cut into rounds. In a round every program acts by itself; at its end nothing is under way, and the
//! service is compared with the model. Where nobody stopped the network over the heads of its users the model knows every
//! reference; where somebody did, it knows bounds, and every program gives back what it has until it is refused.
//!
//! `HOSTEDNET_SOAK_SECONDS` says how long (60), `HOSTEDNET_SOAK_SEED` repeats a run.
#![expect(clippy::unwrap_used, reason = "tests")]

#[expect(dead_code, reason = "this test uses a part of it")]
mod world;

use std::{
    cell::{Cell, RefCell},
    env,
    hash::{BuildHasher, RandomState},
    io::stdin,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all};
use hn_conformance::checks;
use hostednet::{
    Error, EventStream, Session, blocking,
    types::{
        ErrorCode,
        view::{Event, HostedNetworkView, HostedState, NumberedEvent},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    task::{LocalSet, spawn_local},
    time::{sleep, timeout},
};
use world::{World, run_within};

/// Programs at once, and how many of them are processes.
const PROGRAMS: usize = 200;
const PROCESSES: usize = 16;

/// A round lasts about this long.
const ROUND: Duration = Duration::from_millis(1_500);

/// Nothing that must come about takes longer.
const LIMIT: Duration = Duration::from_secs(30);

const NAME: &str = "two_hundred_programs_start_stop_and_die_without_one_dangling_reference";

/// Set in processes of this test: they are programs, and this is the socket they use.
const PART: &str = "HOSTEDNET_TEST_PART";

/// What begins a line of ours in the output of a process; the test harness prints others.
const MARK: char = '\u{1}';

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    /// True this many times in a hundred.
    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pause(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.below(u64::try_from(longest.as_millis()).unwrap() + 1))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Start,
    Stop,
    ForceStart,
    ForceStop,
}

impl Act {
    const ALL: [(Self, &str); 4] = [
        (Self::Start, "start"),
        (Self::Stop, "stop"),
        (Self::ForceStart, "force-start"),
        (Self::ForceStop, "force-stop"),
    ];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(act, _)| *act == self).unwrap().1
    }
}

/// What an act came to.
type Outcome = Result<(), ErrorCode>;

/// How a program reaches the service.
enum Program {
    Task(Session),
    Process(Box<Process>),
}

struct Process {
    child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    async fn begin(world: &World, process: bool) -> Self {
        if !process {
            return Self::Task(world.session().await);
        }
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env(PART, world.socket())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self::Process(Box::new(Process { child, orders, lines }))
    }

    async fn act(&mut self, act: Act) -> Outcome {
        match self {
            Self::Task(session) => {
                let done = match act {
                    Act::Start => session.start_using().await,
                    Act::Stop => session.stop_using().await,
                    Act::ForceStart => session.force_start().await,
                    Act::ForceStop => session.force_stop().await,
                };
                done.map_err(|error| error.code())
            }
            Self::Process(process) => {
                let Process { orders, lines, .. } = process.as_mut();
                orders.write_all(format!("{}\n", act.word()).as_bytes()).await.unwrap();
                let answer = loop {
                    let line = lines.next_line().await.unwrap().expect("the process lives");
                    if let Some((_, ours)) = line.split_once(MARK) {
                        break ours.to_owned();
                    }
                };
                if answer == "done" {
                    return Ok(());
                }
                Err(*ErrorCode::ALL.iter().find(|code| code.as_str() == answer).expect("a code"))
            }
        }
    }

    /// Ends without a word: a connection that breaks, or SIGKILL.
    async fn die(self) {
        match self {
            Self::Task(session) => drop(session),
            Self::Process(mut process) => process.child.kill().await.unwrap(),
        }
    }
}

/// The other side of [`Program::Process`].
#[expect(clippy::print_stdout, reason = "this is how it answers")]
fn obey(socket: &std::path::Path) {
    let session = blocking::Session::connect(socket).unwrap();
    for order in stdin().lines() {
        let order = order.unwrap();
        let (act, _) = Act::ALL.iter().find(|(_, word)| *word == order).unwrap();
        let done = match act {
            Act::Start => session.start_using(),
            Act::Stop => session.stop_using(),
            Act::ForceStart => session.force_start(),
            Act::ForceStop => session.force_stop(),
        };
        println!("{MARK}{}", done.map_or_else(|error: Error| error.code().as_str(), |()| "done"));
    }
}

/// At least and at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    least: u32,
    most: u32,
}

/// An act with the moments at which it was begun and answered, in one count over all programs.
#[derive(Clone, Copy, Debug)]
struct Deed {
    act: Act,
    begun: u64,
    ended: u64,
    outcome: Outcome,
}

/// A stop over everybody's head happened between these moments.
#[derive(Clone, Copy, Debug)]
struct Void {
    begun: u64,
    ended: u64,
}

/// What a program may hold after its deeds, if it held `held` before them and these voids came between.
fn held_after(held: Bounds, deeds: &[Deed], voids: &[Void]) -> Bounds {
    let mut held = held;
    let mut told = vec![false; voids.len()];
    // When references that still count were taken at the latest.
    let mut taken: Vec<u64> = vec![0; usize::try_from(held.most).unwrap()];
    for deed in deeds.iter().map(Some).chain([None]) {
        let until = deed.map_or(u64::MAX, |deed| deed.begun);
        for (void, told) in voids.iter().zip(&mut told) {
            // It may have happened before this deed began: nothing is certain any more.
            if !*told && void.begun < until {
                held.least = 0;
            }
            // It has certainly happened: only what may have come after it is left.
            if !*told && void.ended < until {
                *told = true;
                taken.retain(|ended| *ended > void.begun);
                held.most = u32::try_from(taken.len()).unwrap();
            }
        }
        let Some(deed) = deed else { break };
        let beside = voids.iter().any(|void| void.begun < deed.ended && void.ended > deed.begun);
        match (deed.act, deed.outcome) {
            (Act::Start, Ok(())) => {
                held.least = if beside { 0 } else { held.least + 1 };
                held.most += 1;
                taken.push(deed.ended);
            }
            // A step of the stop that fails changes nothing about that: the reference is given back.
            (Act::Stop, Ok(()) | Err(ErrorCode::GenFailure)) => {
                assert!(held.most > 0, "a stop succeeded without a reference: {deeds:?} {voids:?}");
                held = Bounds { least: held.least.saturating_sub(1), most: held.most - 1 };
                // Whichever it was, the one that would be void first is the one not to count on.
                taken.remove(0);
            }
            (Act::Stop, Err(ErrorCode::InvalidState)) => {
                assert!(beside || held.least == 0, "a reference was lost: {deeds:?} {voids:?}");
                held = Bounds::default();
                taken.clear();
            }
            // A start that failed gives nothing; what has no room in the queue is not done at all.
            (Act::Start, Err(ErrorCode::GenFailure))
            | (Act::Start | Act::Stop, Err(ErrorCode::LimitExceeded))
            | (Act::ForceStart | Act::ForceStop, _) => {}
            (Act::Start | Act::Stop, Err(other)) => panic!("{deed:?}: {other}"),
        }
    }
    held
}

/// Whether a forced start may, and must, be in effect.
fn forced_after(before: (bool, bool), deeds: &[Deed], voids: &[Void]) -> (bool, bool) {
    let starts = || deeds.iter().filter(|deed| deed.act == Act::ForceStart && deed.outcome.is_ok());
    let untouched = voids.is_empty();
    let may = starts().any(|deed| voids.iter().all(|void| void.begun < deed.ended));
    let must = starts().any(|deed| voids.iter().all(|void| void.ended < deed.begun));
    (may || before.0 && untouched, must || before.1 && untouched)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Starts and stops.
    Calm,
    /// Most programs die.
    Deadly,
    /// Forced starts as well.
    Forcing,
    /// Forced stops, and an access point that breaks down.
    Disturbed,
    /// Drivers fail.
    Broken,
}

const MOODS: [Mood; 5] = [Mood::Calm, Mood::Deadly, Mood::Forcing, Mood::Disturbed, Mood::Broken];

/// What was done, for the report.
#[derive(Debug, Default)]
struct Tally {
    rounds: usize,
    acts: usize,
    refused: usize,
    deaths: usize,
    killed: usize,
    forced_stops: usize,
    breakdowns: usize,
}

/// One place in the crowd: a program, or nobody at the moment.
struct Place {
    process: bool,
    program: Option<Program>,
    held: Bounds,
    deeds: Vec<Deed>,
    dice: Dice,
}

/// The one count of moments.
#[derive(Default)]
struct Clock(Cell<u64>);

impl Clock {
    fn tick(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }
}

impl Place {
    fn choose(&mut self, mood: Mood) -> Act {
        let dice = self.dice.below(100);
        match mood {
            Mood::Forcing if dice < 4 => Act::ForceStart,
            Mood::Disturbed if dice < 2 => Act::ForceStop,
            Mood::Disturbed if dice < 4 => Act::ForceStart,
            Mood::Calm | Mood::Deadly | Mood::Forcing | Mood::Disturbed | Mood::Broken if dice < 52 => {
                Act::Start
            }
            Mood::Calm | Mood::Deadly | Mood::Forcing | Mood::Disturbed | Mood::Broken => Act::Stop,
        }
    }

    /// One round of one program's life.
    async fn live(&mut self, world: &World, mood: Mood, clock: &Clock, tally: &RefCell<Tally>) {
        self.deeds.clear();
        sleep(self.dice.pause(ROUND / 4)).await;
        if self.program.is_none() {
            self.held = Bounds::default();
            self.program = Some(Program::begin(world, self.process).await);
        }
        let fatal = if mood == Mood::Deadly { 40 } else { 4 };
        for _ in 0..self.dice.below(4) {
            sleep(self.dice.pause(ROUND / 4)).await;
            let act = self.choose(mood);
            let dies = self.dice.percent(fatal) && matches!(act, Act::Start | Act::Stop);
            let Some(program) = self.program.as_mut() else { return };
            tally.borrow_mut().acts += 1;
            if dies {
                // In the middle of the call, most of the time.
                let moment = Duration::from_micros(self.dice.below(3_000));
                let _ = timeout(moment, program.act(act)).await;
                self.leave(tally).await;
                return;
            }
            let begun = clock.tick();
            let outcome = timeout(LIMIT, program.act(act)).await.expect("an answer comes");
            let ended = clock.tick();
            tally.borrow_mut().refused += usize::from(outcome.is_err());
            tally.borrow_mut().forced_stops += usize::from(act == Act::ForceStop);
            self.deeds.push(Deed { act, begun, ended, outcome });
        }
    }

    async fn leave(&mut self, tally: &RefCell<Tally>) {
        if let Some(program) = self.program.take() {
            tally.borrow_mut().deaths += 1;
            tally.borrow_mut().killed += usize::from(self.process);
            program.die().await;
        }
        self.held = Bounds::default();
    }

    /// Gives back everything and says how much it was.
    async fn drain(&mut self) -> u32 {
        let Some(program) = self.program.as_mut() else { return 0 };
        let mut count = 0;
        loop {
            match program.act(Act::Stop).await {
                Ok(()) | Err(ErrorCode::GenFailure) => count += 1,
                Err(ErrorCode::InvalidState) => return count,
                // The others drain as well.
                Err(ErrorCode::LimitExceeded) => sleep(Duration::from_millis(20)).await,
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// Somebody who watches: every event there was.
type Log = Rc<RefCell<Vec<NumberedEvent>>>;

fn watch(mut events: EventStream) -> Log {
    let log = Log::default();
    let copy = Rc::clone(&log);
    spawn_local(async move {
        while let Some(event) = events.next().await {
            copy.borrow_mut().push(event);
        }
    });
    log
}

/// Complete, in order, and each change of state begins where the last ended. The state they lead to.
fn told(log: &[NumberedEvent], before: HostedState) -> HostedState {
    let mut state = before;
    for pair in log.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1, "an event is missing: {pair:?}");
    }
    for event in log {
        assert_ne!(event.event, Event::Resync, "the watcher read everything in time");
        if let Event::StateChanged { old, new, .. } = &event.event {
            assert_eq!((*old, old == new), (state, false), "{event:?}");
            state = *new;
        }
    }
    state
}

async fn becomes(
    watcher: &Session,
    what: &str,
    holds: impl Fn(&HostedNetworkView) -> bool,
) -> HostedNetworkView {
    let begun = Instant::now();
    loop {
        let view = watcher.status().await.unwrap().hosted_network;
        if holds(&view) {
            return view;
        }
        assert!(begun.elapsed() < LIMIT, "it does not come to be that {what}: {view:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

fn environment(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn two_hundred_programs_start_stop_and_die_without_one_dangling_reference() {
    if let Some(socket) = env::var_os(PART) {
        obey(socket.as_ref());
        return;
    }
    let length = Duration::from_secs(environment("HOSTEDNET_SOAK_SECONDS").unwrap_or(60));
    let seed = environment("HOSTEDNET_SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    report(&format!("HOSTEDNET_SOAK_SEED={seed}"));
    run_within(length + 3 * LIMIT, async |world: &World| {
        LocalSet::new().run_until(crowd(world, length, seed)).await;
    });
}

#[expect(clippy::print_stdout, reason = "the seed repeats a failure, the figures say what was done")]
fn report(line: &str) {
    println!("{line}");
}

async fn crowd(world: &World, length: Duration, seed: u64) {
    let mut dice = Dice(seed);
    let watcher = world.session().await;
    watcher.init_settings().await.unwrap();
    let clean = world.show().await;
    let (snapshot, stream) = watcher.events().await.unwrap();
    let other = world.session().await;
    let (_, second) = other.events().await.unwrap();
    let logs = [watch(stream), watch(second)];
    let clock = Clock::default();
    let tally = RefCell::new(Tally::default());
    let mut places: Vec<Place> = (0..PROGRAMS)
        .map(|number| Place {
            process: number < PROCESSES,
            program: None,
            held: Bounds::default(),
            deeds: Vec::new(),
            dice: Dice(dice.roll()),
        })
        .collect();
    let mut forced = (false, false);
    let begun = Instant::now();
    while begun.elapsed() < length {
        let mood = MOODS[usize::try_from(dice.below(5)).unwrap()];
        tally.borrow_mut().rounds += 1;
        let breakdowns = disturb(world, mood, &mut dice, &clock);
        let lives = join_all(places.iter_mut().map(|place| place.live(world, mood, &clock, &tally)));
        let (breakdowns, _) = futures_util::future::join(breakdowns, lives).await;
        tally.borrow_mut().breakdowns += breakdowns.len();
        let deeds: Vec<Deed> = places.iter().flat_map(|place| place.deeds.iter().copied()).collect();
        let stops = deeds.iter().filter(|deed| deed.act == Act::ForceStop);
        let voids: Vec<Void> =
            stops.map(|deed| Void { begun: deed.begun, ended: deed.ended }).chain(breakdowns).collect();
        forced = forced_after(forced, &deeds, &voids);
        for place in places.iter_mut().filter(|place| place.program.is_some()) {
            place.held = held_after(place.held, &place.deeds, &voids);
        }
        let view = if voids.is_empty() && mood != Mood::Broken {
            let all: u32 = places.iter().map(|place| place.held.least).sum();
            assert!(places.iter().all(|place| place.held.least == place.held.most));
            let state = if all > 0 || forced.1 { HostedState::Active } else { HostedState::Idle };
            becomes(&watcher, &format!("{all} references are held"), |view| {
                (view.references, view.state) == (all, state)
            })
            .await
        } else {
            let counts = join_all(places.iter_mut().map(Place::drain)).await;
            for (place, count) in places.iter_mut().zip(counts) {
                let Bounds { least, most } = std::mem::take(&mut place.held);
                assert!((least..=most).contains(&count), "it held {count}, not {least} to {most}");
            }
            becomes(&watcher, "nobody holds anything", |view| {
                view.references == 0 && (view.state == HostedState::Active) == view.forced
            })
            .await
        };
        assert!((view.forced || !forced.1) && (!view.forced || forced.0), "{forced:?}, {view:?}");
        forced = (view.forced, view.forced);
        if mood == Mood::Broken {
            disarm(&watcher).await;
            forced = (false, false);
        }
        for log in &logs {
            let state = watcher.status().await.unwrap().hosted_network.state;
            let caught_up = || told(&log.borrow(), snapshot.hosted_network.state) == state;
            timeout(LIMIT, async {
                while !caught_up() {
                    sleep(Duration::from_millis(5)).await
                }
            })
            .await
            .expect("the events lead to the state there is");
        }
    }
    checks!(M053, M056, M058, M059:
        join_all(places.iter_mut().map(|place| place.leave(&tally))).await;
        watcher.force_stop().await.unwrap();
        let view = becomes(&watcher, "nobody holds anything", |view| view.references == 0).await;
        assert_eq!((view.state, view.forced), (HostedState::Idle, false));
        timeout(LIMIT, world.settles(&clean)).await.expect("the machine is as it was");
    );
    let same = || logs[0].borrow().last() == logs[1].borrow().last();
    timeout(LIMIT, async {
        while !same() {
            sleep(Duration::from_millis(5)).await
        }
    })
    .await
    .unwrap();
    let first = logs[1].borrow()[0].sequence;
    let tail: Vec<NumberedEvent> =
        logs[0].borrow().iter().filter(|event| event.sequence >= first).cloned().collect();
    assert!(tail == *logs[1].borrow(), "two watchers were told different things");
    let tally = tally.into_inner();
    assert!(tally.acts > 10 * tally.rounds && tally.rounds > 0, "{tally:?}");
    report(&format!("{tally:?}, {} events", tail.len()));
}

/// Goes on until no fault is left that has not shown itself.
async fn disarm(watcher: &Session) {
    let cycle = async {
        loop {
            let both = [watcher.force_start().await, watcher.force_stop().await];
            let failed: Vec<ErrorCode> =
                both.into_iter().filter_map(Result::err).map(|error| error.code()).collect();
            if failed.is_empty() {
                return;
            }
            assert!(failed.iter().all(|code| *code == ErrorCode::GenFailure), "{failed:?}");
        }
    };
    timeout(LIMIT, cycle).await.expect("the faults come to an end");
}

/// What goes wrong by itself in a round of this mood: the moments between which the network broke down.
async fn disturb(world: &World, mood: Mood, dice: &mut Dice, clock: &Clock) -> Vec<Void> {
    let mut voids = Vec::new();
    match mood {
        Mood::Disturbed => {
            for _ in 0..dice.below(3) {
                sleep(dice.pause(ROUND / 2)).await;
                let begun = clock.tick();
                // Refused while no access point runs; then nothing was stopped.
                if world.ask("crash").await == "ok" {
                    // The console does not say when the service has taken note.
                    voids.push(Void { begun, ended: u64::MAX - 1 });
                }
            }
        }
        Mood::Broken => {
            for _ in 0..3 {
                sleep(dice.pause(ROUND / 3)).await;
                let lane = ["radio", "links", "services"][usize::try_from(dice.below(3)).unwrap()];
                world.console(&format!("fail {lane} at random")).await;
            }
        }
        Mood::Calm | Mood::Deadly | Mood::Forcing => {}
    }
    voids
}
