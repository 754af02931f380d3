//! Listens to a running access point and reports what happens to it and its stations.

use std::{cell::Cell, io, rc::Rc, time::Duration};

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
const REASON_PATIENCE: Duration = Duration::from_millis(30);
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
    pub(super) events: EventSink,
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
                        if let Some(mac) = event::inactive_station(&line).filter(|mac| departures.take(*mac)) {
                            self.left(mac, true);
                        }
                    }
                    None => lines = None,
                },
                _ = exited.wait_for(Option::is_some) => break "hostapd ended".to_owned(),
                () = reason_missing => {
                    for mac in departures.take_due(Instant::now()) {
                        self.left(mac, false);
                    }
                }
            }
        };
        for mac in departures.take_all() {
            self.left(mac, false);
        }
        let exited = self.exited.borrow().clone();
        let cause = exited.map_or(cause, |how| format!("hostapd {how}"));
        self.lost.set(true);
        self.emit(ApEvent::Lost { cause });
    }

    /// Acts on one event; says why when it means that the access point is lost.
    async fn hear(&self, datagram: &[u8], departures: &mut Departures) -> Option<String> {
        match event::parse(datagram)? {
            Event::Joined { mac, key } => {
                if departures.take(mac) {
                    self.left(mac, false);
                }
                let key = match key {
                    Some(key) => key,
                    None => self.key_of(mac).await,
                };
                self.emit(ApEvent::StationJoined { mac, key });
                None
            }
            Event::Left { mac } => {
                departures.add(mac, Instant::now() + REASON_PATIENCE);
                None
            }
            Event::KeyMismatch { mac } => {
                self.emit(ApEvent::KeyMismatch { mac });
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
            Event::Enabled => None,
        }
    }

    /// Which key a station used when its arrival does not say so.
    async fn key_of(&self, mac: MacAddr) -> KeyRole {
        let answer = self.control.ask(&format!("STA {mac}"), ASK_PATIENCE).await;
        answer.ok().as_deref().and_then(event::key_of_station).unwrap_or_else(|| {
            tracing::warn!(%mac, "hostapd does not say which key a station used; taken for the primary one");
            KeyRole::Primary
        })
    }

    fn silence(&self, error: &io::Error) -> String {
        format!("hostapd cannot be heard any more: {error}")
    }

    fn interface_exists(&self) -> bool {
        nix::net::if_::if_nametoindex(self.interface.as_str()).is_ok()
    }

    fn left(&self, mac: MacAddr, timed_out: bool) {
        self.emit(ApEvent::StationLeft { mac, timed_out });
    }

    fn emit(&self, event: ApEvent) {
        self.events.emit(PlatformEvent::Ap(event));
    }
}

/// Departures whose reason is not known yet. Bounded by the stations of one access point.
#[derive(Debug, Default)]
struct Departures {
    pending: Vec<(MacAddr, Instant)>,
}

impl Departures {
    fn add(&mut self, mac: MacAddr, due: Instant) {
        if !self.pending.iter().any(|(known, _)| *known == mac) {
            self.pending.push((mac, due));
        }
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

    use std::cell::RefCell;

    use tokio::{net::UnixDatagram, task::LocalSet, time::timeout};

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 2, 0]);

    /// A hostapd that says what it is told to.
    struct Fake {
        server: Rc<UnixDatagram>,
        client: std::path::PathBuf,
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
            let session = Session {
                interface: "lo".parse().unwrap(),
                control,
                monitor: monitor.unwrap(),
                lines: Some(receiver),
                exited: exit,
                lost: Rc::clone(&lost),
                events: EventSink::new(move |event| match event {
                    PlatformEvent::Ap(event) => sink.borrow_mut().push(event),
                    PlatformEvent::Radio(_) | PlatformEvent::Network(_) | PlatformEvent::Service(_) => {}
                }),
            };
            tokio::task::spawn_local(session.run());
            Self { server, client, lines, exited, seen, lost, _dir: dir }
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
                fake.say(&format!("<3>AP-STA-DISCONNECTED {MAC}")).await;
                let line = format!("hnap0: STA {MAC} IEEE 802.11: disassociated due to inactivity");
                fake.lines.send(line).await.unwrap();
                assert_eq!(fake.until(1).await, [ApEvent::StationLeft { mac: MAC, timed_out: true }]);
            })
            .await;
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_return_does_not_overtake_the_departure() {
        LocalSet::new()
            .run_until(async {
                let fake = Fake::start().await;
                fake.say(&format!("<3>AP-STA-DISCONNECTED {MAC}")).await;
                fake.say(&format!("<3>AP-STA-CONNECTED {MAC} keyid=primary")).await;
                let expected = [
                    ApEvent::StationLeft { mac: MAC, timed_out: false },
                    ApEvent::StationJoined { mac: MAC, key: KeyRole::Primary },
                ];
                assert_eq!(fake.until(2).await, expected);
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
