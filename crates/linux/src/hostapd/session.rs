//! Listens to a running access point and reports what happens to it and its stations.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    io,
    rc::Rc,
    time::Duration,
};

use hn_ports::EventSink;
use hn_types::{
    IfName, KeyRole, MacAddr,
    observed::{ApEvent, PlatformEvent},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    control::{Control, Monitor},
    event::{self, Event},
};

/// hostapd tells of a departure on its socket and prints the reason right after it; the reason is waited for so
/// long before the departure is reported without one.
const REASON_PATIENCE: Duration = Duration::from_millis(100);
/// Reasons that may wait for their departure; one that finds no room is lost, the departure is not.
const EXPECTED_LIMIT: usize = 64;
/// An interface that went down is looked at after so long, to tell whether it was removed.
const REMOVAL_PATIENCE: Duration = Duration::from_millis(50);
/// One question about a station.
const ASK_PATIENCE: Duration = Duration::from_secs(1);

/// One running access point.
///
/// Runs as one task that [`Hostapd`](super::Hostapd) owns and ends. It waits on hostapd's events, its printed
/// lines, its end, and the reason of a departure. It ends by itself when the access point is lost, having said so
/// once.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) interface: IfName,
    pub(super) control: Control,
    pub(super) monitor: Monitor,
    pub(super) lines: Option<mpsc::Receiver<String>>,
    pub(super) exited: watch::Receiver<Option<String>>,
    pub(super) lost: Rc<Cell<bool>>,
    pub(super) reporter: Reporter,
}

impl Session {
    pub(super) async fn run(mut self) {
        let mut departures = Departures::default();
        let mut lines = self.lines.take();
        let mut exited = self.exited.clone();
        let cause = loop {
            let due = departures.due();
            let reason_missing = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let line = async {
                match &mut lines {
                    Some(lines) => lines.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The socket first: a departure is sent before its reason is printed.
                biased;
                datagram = self.monitor.next() => match datagram {
                    Ok(datagram) => {
                        if let Some(cause) = self.hear(&datagram, &mut departures).await {
                            break cause;
                        }
                    }
                    Err(error) => break self.silence(&error),
                },
                line = line => match line {
                    Some(line) => {
                        if let Some(mac) = event::inactive_station(&line) {
                            if departures.take(mac) {
                                self.reporter.left(mac, true);
                            } else {
                                departures.expect(mac, Instant::now());
                            }
                        }
                    }
                    None => lines = None,
                },
                _ = exited.wait_for(Option::is_some) => break "hostapd ended".to_owned(),
                () = reason_missing => {
                    for mac in departures.take_due(Instant::now()) {
                        self.reporter.left(mac, false);
                    }
                }
            }
        };
        for mac in departures.take_all() {
            self.reporter.left(mac, false);
        }
        let exited = self.exited.borrow().clone();
        let cause = exited.map_or(cause, |how| format!("hostapd {how}"));
        self.lost.set(true);
        self.reporter.emit(ApEvent::Lost { cause });
    }

    /// Acts on one event; says why when it means that the access point is lost.
    async fn hear(&self, datagram: &[u8], departures: &mut Departures) -> Option<String> {
        match event::parse(datagram)? {
            Event::Joined { mac, key } => {
                if departures.take(mac) {
                    self.reporter.left(mac, false);
                }
                let key = match key {
                    Some(key) => key,
                    None => key_of(&self.control, mac).await,
                };
                self.reporter.joined(mac, key);
                None
            }
            Event::Left { mac } => {
                let now = Instant::now();
                if departures.was_expected(mac, now) {
                    self.reporter.left(mac, true);
                } else {
                    departures.add(mac, now + REASON_PATIENCE);
                }
                None
            }
            Event::KeyMismatch { mac } => {
                self.reporter.emit(ApEvent::KeyMismatch { mac });
                None
            }
            Event::Disabled | Event::InterfaceDisabled => {
                // An interface goes down before it goes away.
                sleep(REMOVAL_PATIENCE).await;
                Some(if self.interface_exists() {
                    "its interface was set down or switched off".to_owned()
                } else {
                    "its interface was removed".to_owned()
                })
            }
            Event::Terminating => Some("hostapd was told to end".to_owned()),
            // The first ones come before there is a session; a later move is told by the driver too.
            Event::Enabled | Event::RadarCheck { .. } | Event::RadarCheckFailed | Event::Moved { .. } => None,
        }
    }

    fn silence(&self, error: &io::Error) -> String {
        format!("hostapd cannot be heard any more: {error}")
    }

    fn interface_exists(&self) -> bool {
        nix::net::if_::if_nametoindex(self.interface.as_str()).is_ok()
    }
}

/// Which key a station used when its arrival does not say so.
async fn key_of(control: &Control, mac: MacAddr) -> KeyRole {
    let answer = control.ask(&format!("STA {mac}"), ASK_PATIENCE).await;
    answer.ok().as_deref().and_then(event::key_of_station).unwrap_or_else(|| {
        tracing::warn!(%mac, "hostapd does not say which key a station used; taken for the primary one");
        KeyRole::Primary
    })
}

/// Reports arrivals and departures so that they always fit together: nobody arrives twice, nobody leaves who was
/// not there. hostapd drops events that we are too slow to take, so what it said is compared with the driver's
/// list of stations now and then.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    events: EventSink,
    roll: Rc<RefCell<Roll>>,
}

#[derive(Debug, Default)]
struct Roll {
    present: BTreeSet<MacAddr>,
    /// Those of whom hostapd and the driver told different things at the last comparison.
    doubtful: BTreeSet<MacAddr>,
}

impl Reporter {
    pub(super) fn new(events: EventSink) -> Self {
        Self { events, roll: Rc::default() }
    }

    fn emit(&self, event: ApEvent) {
        self.events.emit(PlatformEvent::Ap(event));
    }

    fn joined(&self, mac: MacAddr, key: KeyRole) {
        self.left(mac, false);
        self.roll.borrow_mut().present.insert(mac);
        self.emit(ApEvent::StationJoined { mac, key });
    }

    fn left(&self, mac: MacAddr, timed_out: bool) {
        let was_there = self.roll.borrow_mut().present.remove(&mac);
        if was_there {
            self.emit(ApEvent::StationLeft { mac, timed_out });
        }
    }

    /// Makes good for events that were lost. `stations` are those the driver has; a difference counts once it
    /// has been there for two comparisons, because an event may just be on its way.
    pub(super) async fn compare(&self, stations: BTreeSet<MacAddr>, control: &Control) {
        let certain: Vec<MacAddr> = {
            let mut roll = self.roll.borrow_mut();
            let different: BTreeSet<MacAddr> =
                roll.present.symmetric_difference(&stations).copied().collect();
            let certain = different.intersection(&roll.doubtful).copied().collect();
            roll.doubtful = different;
            certain
        };
        for mac in certain {
            tracing::info!(%mac, "an event of a station was lost");
            if stations.contains(&mac) {
                let key = key_of(control, mac).await;
                self.joined(mac, key);
            } else {
                self.left(mac, false);
            }
        }
    }
}

/// Departures whose reason is not known yet. Bounded by the stations of one access point.
#[derive(Debug, Default)]
struct Departures {
    pending: Vec<(MacAddr, Instant)>,
    /// Stations whose reason overtook their departure, and until when it may still come.
    expected: Vec<(MacAddr, Instant)>,
}

impl Departures {
    fn add(&mut self, mac: MacAddr, due: Instant) {
        if !self.pending.iter().any(|(known, _)| *known == mac) {
            self.pending.push((mac, due));
        }
    }

    fn expect(&mut self, mac: MacAddr, now: Instant) {
        self.expected.retain(|(_, until)| *until > now);
        if self.expected.len() < EXPECTED_LIMIT {
            self.expected.push((mac, now + REASON_PATIENCE));
        }
    }

    fn was_expected(&mut self, mac: MacAddr, now: Instant) -> bool {
        self.expected.retain(|(_, until)| *until > now);
        let before = self.expected.len();
        self.expected.retain(|(known, _)| *known != mac);
        self.expected.len() != before
    }

    /// Whether it was among them; it is not any more.
    fn take(&mut self, mac: MacAddr) -> bool {
        let before = self.pending.len();
        self.pending.retain(|(known, _)| *known != mac);
        self.pending.len() != before
    }

    fn due(&self) -> Option<Instant> {
        self.pending.iter().map(|(_, due)| *due).min()
    }

    fn take_due(&mut self, now: Instant) -> Vec<MacAddr> {
        let (due, rest) = std::mem::take(&mut self.pending).into_iter().partition(|(_, due)| *due <= now);
        self.pending = rest;
        let due: Vec<(MacAddr, Instant)> = due;
        due.into_iter().map(|(mac, _)| mac).collect()
    }

    fn take_all(&mut self) -> Vec<MacAddr> {
        std::mem::take(&mut self.pending).into_iter().map(|(mac, _)| mac).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::{net::UnixDatagram, task::LocalSet, time::timeout};

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 2, 0]);

    /// A hostapd that says what it is told to.
    struct Fake {
        server: Rc<UnixDatagram>,
        client: std::path::PathBuf,
        questions: Control,
        reporter: Reporter,
        lines: mpsc::Sender<String>,
        exited: watch::Sender<Option<String>>,
        seen: Rc<RefCell<Vec<ApEvent>>>,
        lost: Rc<Cell<bool>>,
        _dir: tempfile::TempDir,
    }

    impl Fake {
        async fn start() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("lo");
            let server = Rc::new(UnixDatagram::bind(&path).unwrap());
            let control = Control::new(path, dir.path().into());
            let accept = async {
                let mut buffer = [0; 64];
                let (_, from) = server.recv_from(&mut buffer).await.unwrap();
                let client = from.as_pathname().unwrap().to_owned();
                server.send_to(b"OK\n", &client).await.unwrap();
                client
            };
            let (monitor, client) = tokio::join!(control.attach(Duration::from_secs(5)), accept);
            let (lines, receiver) = mpsc::channel(8);
            let (exited, exit) = watch::channel(None);
            let seen = Rc::new(RefCell::new(Vec::new()));
            let sink = Rc::clone(&seen);
            let lost = Rc::new(Cell::new(false));
            let reporter = Reporter::new(EventSink::new(move |event| match event {
                PlatformEvent::Ap(event) => sink.borrow_mut().push(event),
                PlatformEvent::Radio(_)
                | PlatformEvent::Network(_)
                | PlatformEvent::Service(_)
                | PlatformEvent::FirewallLost { .. }
                | PlatformEvent::FirewallBlocked(_)
                | PlatformEvent::PortMap { .. }
                | PlatformEvent::Sleep(_) => {}
            }));
            let questions = control.clone();
            let session = Session {
                interface: "lo".parse().unwrap(),
                control,
                monitor: monitor.unwrap(),
                lines: Some(receiver),
                exited: exit,
                lost: Rc::clone(&lost),
                reporter: reporter.clone(),
            };
            tokio::task::spawn_local(session.run());
            Self { server, client, questions, reporter, lines, exited, seen, lost, _dir: dir }
        }

        async fn say(&self, text: &str) {
            self.server.send_to(text.as_bytes(), &self.client).await.unwrap();
        }

        async fn until(&self, count: usize) -> Vec<ApEvent> {
            let enough = async {
                while self.seen.borrow().len() < count {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(5), enough).await.unwrap();
            self.seen.borrow().clone()
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn arrivals_departures_and_wrong_keys_are_reported() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=secondary")).await;
                fake.say(&format!("<3>AP-STA-POSSIBLE-PSK-MISMATCH {OTHER}")).await;
                fake.say(&format!("<3>AP-STA-DISCONNECTED {MAC}")).await;
                let expected = [
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Secondary },
                    ApEvent::KeyMismatch { mac: OTHER },
                    ApEvent::StationLeft { mac: MAC, timed_out: false },
                ];
                assert_eq!(fake.until(3).await, expected);
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_silent_station_timed_out() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=primary")).await;
                fake.until(1).await;
                fake.say(&format!("<3>AP-STA-DISCONNECTED {MAC}")).await;
                let line = format!("hnap0: STA {MAC} IEEE 802.11: disassociated due to inactivity");
                fake.lines.send(line).await.unwrap();
                assert_eq!(
                    fake.until(2).await.last(),
                    Some(&ApEvent::StationLeft { mac: MAC, timed_out: true })
                );
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_return_does_not_overtake_the_departure() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=secondary")).await;
                fake.say(&format!("<3>AP-STA-DISCONNECTED {MAC}")).await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=primary")).await;
                let expected = [
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Secondary },
                    ApEvent::StationLeft { mac: MAC, timed_out: false },
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Primary },
                ];
                assert_eq!(fake.until(3).await, expected);
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_key_that_is_not_named_is_asked_for() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC}")).await;
                let mut buffer = [0; 64];
                let (length, from) = fake.server.recv_from(&mut buffer).await.unwrap();
                assert_eq!(buffer.get(..length).unwrap(), format!("STA {MAC}").as_bytes());
                let answer = format!("{MAC}\nkeyid=secondary\n");
                fake.server.send_to(answer.as_bytes(), from.as_pathname().unwrap()).await.unwrap();
                let expected = [ApEvent::StationJoined { mac: MAC, key: KeyRole::Secondary }];
                assert_eq!(fake.until(1).await, expected);
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn arrivals_and_departures_fit_together_whatever_is_lost() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                // A departure of nobody, then an arrival whose departure was lost.
                fake.say(&format!("<3>AP-STA-DISCONNECTED {OTHER}")).await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=primary")).await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=secondary")).await;
                let expected = [
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Primary },
                    ApEvent::StationLeft { mac: MAC, timed_out: false },
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Secondary },
                ];
                assert_eq!(fake.until(3).await, expected);
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_difference_to_the_driver_counts_the_second_time() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=primary")).await;
                fake.until(1).await;
                fake.reporter.compare([OTHER].into(), &fake.questions).await;
                assert_eq!(fake.until(1).await.len(), 1);
                let answer = async {
                    let mut buffer = [0; 64];
                    let (_, from) = fake.server.recv_from(&mut buffer).await.unwrap();
                    let path = from.as_pathname().unwrap();
                    fake.server.send_to(b"keyid=secondary\n", path).await.unwrap();
                };
                tokio::join!(fake.reporter.compare([OTHER].into(), &fake.questions), answer);
                let expected = [
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Primary },
                    ApEvent::StationLeft { mac: MAC, timed_out: false },
                    ApEvent::StationJoined { mac: OTHER, key: KeyRole::Secondary },
                ];
                assert_eq!(fake.until(3).await, expected);
                fake.reporter.compare([OTHER].into(), &fake.questions).await;
                assert_eq!(fake.until(3).await.len(), 3);
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_end_of_the_process_is_told_once_with_how_it_ended() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.exited.send(Some("was killed by signal 9".into())).unwrap();
                let expected = [ApEvent::Lost { cause: "hostapd was killed by signal 9".into() }];
                assert_eq!(fake.until(1).await, expected);
                assert!(fake.lost.get());
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_interface_that_goes_down_loses_the_access_point() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say("<3>INTERFACE-DISABLED ").await;
                fake.say("<3>AP-DISABLED ").await;
                let expected = [ApEvent::Lost { cause: "its interface was set down or switched off".into() }];
                assert_eq!(fake.until(1).await, expected);
            })
            .await;
    }
}
