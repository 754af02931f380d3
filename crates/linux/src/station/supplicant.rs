//! wpa_supplicant, driven over its control socket: one that already runs for the interface, or a child of ours.
//!
//! A running one keeps its networks and their settings; ours is added for as long as we are here, is preferred, and
//! nothing is saved. A child is started with no configuration; the key reaches either over the socket only.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hn_join::{News, Refusal, Sighting};
use hn_types::{DriverError, DriverErrorKind, IfName, Key, Ssid};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use super::words::{self, BSS_MASK, Word};
use crate::hostapd::{
    control::{Control, Monitor},
    find,
    process::Process,
};

/// One question that needs no driver.
const ASK: Duration = Duration::from_secs(5);
/// From the start of a child to its first answer.
const START: Duration = Duration::from_secs(15);
/// For a child to say goodbye to the access point.
const GOODBYE: Duration = Duration::from_secs(2);
/// For the task to end.
const END: Duration = Duration::from_secs(10);
/// Where running ones listen: Debian's and the program's own default are the same folder.
const RUNNING: &str = "/run/wpa_supplicant";
/// Above what anybody would give to a network by hand.
const PRIORITY: u32 = 1_000;
/// News and orders that wait.
const QUEUE: usize = 32;
/// Answers of one list: a few thousand access points.
const PAGES: u32 = 256;

/// What the network is.
#[derive(Clone, Debug)]
pub(super) struct Network {
    pub(super) interface: IfName,
    pub(super) ssid: Ssid,
    /// `None`: an open network.
    pub(super) key: Option<Key>,
}

/// An order to the supplicant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Prepare,
    Scan,
    Connect,
    Park,
}

/// The supplicant as an actor: orders in, news out. What it does takes its time and nobody waits for it.
#[derive(Debug)]
pub(super) struct Supplicant {
    orders: mpsc::Sender<Order>,
    news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

/// Finds out before anything is changed whether there is a supplicant to work with.
///
/// # Errors
///
/// `Unsupported`, with what to install.
pub(super) fn check(interface: IfName) -> Result<(), DriverError> {
    if running(interface).exists() || find("wpa_supplicant").is_some() {
        return Ok(());
    }
    Err(DriverError::new(
        DriverErrorKind::Unsupported,
        "start wpa_supplicant",
        interface,
        "wpa_supplicant is not installed",
    )
    .with_remedy("apt-get install wpasupplicant"))
}

fn running(interface: IfName) -> PathBuf {
    Path::new(RUNNING).join(interface.as_str())
}

impl Supplicant {
    /// An actor that has done nothing yet; `folder` is ours alone.
    pub(super) fn new(network: Network, folder: &Path) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (outbox, news) = mpsc::channel(QUEUE);
        let worker = Worker { network, folder: folder.to_owned(), outbox, session: None, looking: None };
        Self { orders, news, task: tokio::task::spawn_local(worker.run(inbox)) }
    }

    /// Gives an order.
    pub(super) fn order(&self, order: Order) {
        // A full queue means that the actor hangs: the machine's deadlines see to that.
        let _ = self.orders.try_send(order);
    }

    /// The next news. Safe to give up at any time.
    pub(super) async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // The actor lives as long as the orders' sender.
            None => std::future::pending().await,
        }
    }

    /// Leaves the network, takes it back from the supplicant, and ends a child.
    pub(super) async fn end(self) {
        let Self { orders, news, mut task } = self;
        drop((orders, news));
        if timeout(END, &mut task).await.is_err() {
            // A child dies with its handle.
            task.abort();
            let _ = task.await;
        }
    }
}

/// A supplicant that knows our network.
#[derive(Debug)]
struct Session {
    control: Control,
    monitor: Monitor,
    /// Its number of our network.
    network: String,
    /// `None`: somebody else's.
    child: Option<Process>,
}

struct Worker {
    network: Network,
    folder: PathBuf,
    outbox: mpsc::Sender<News>,
    session: Option<Session>,
    /// Since when a look at the channels is under way.
    looking: Option<Instant>,
}

enum Happening {
    Order(Option<Order>),
    Word(io::Result<Vec<u8>>),
    Died,
}

impl Worker {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        loop {
            let happening = match &self.session {
                None => Happening::Order(inbox.recv().await),
                Some(session) => {
                    tokio::select! {
                        order = inbox.recv() => Happening::Order(order),
                        word = session.monitor.next() => Happening::Word(word),
                        () = died(session) => Happening::Died,
                    }
                }
            };
            match happening {
                Happening::Order(None) => break,
                Happening::Order(Some(Order::Prepare)) => self.prepare().await,
                Happening::Order(Some(order)) => self.obey(order).await,
                Happening::Word(Ok(datagram)) => {
                    if let Some(word) = words::event(&datagram) {
                        self.hear(word).await;
                    }
                }
                Happening::Word(Err(error)) => self.gone(&format!("its socket failed: {error}")).await,
                Happening::Died => {
                    let why = self.session.as_ref().and_then(|session| last_words(session.child.as_ref()?));
                    self.gone(&why.unwrap_or_else(|| "it ended".to_owned())).await;
                }
            }
        }
        self.close().await;
    }

    fn tell(&self, news: News) {
        // Whoever listens drains this faster than radios can fill it.
        let _ = self.outbox.try_send(news);
    }

    async fn gone(&mut self, why: &str) {
        self.close().await;
        self.tell(News::Gone(format!("wpa_supplicant: {why}")));
    }

    async fn prepare(&mut self) {
        self.close().await;
        match self.open().await {
            Ok(session) => {
                self.session = Some(session);
                self.tell(News::Ready);
            }
            Err(why) => self.tell(News::Gone(format!("wpa_supplicant: {why}"))),
        }
    }

    /// Finds or starts a supplicant and tells it the network, parked.
    async fn open(&self) -> Result<Session, String> {
        let own = |path: PathBuf| Control::new(path, self.folder.clone());
        let there = running(self.network.interface);
        let shared = own(there);
        let (control, child) = match shared.ask("PING", ASK).await {
            Ok(answer) if answer == "PONG" => (shared, None),
            _ => {
                let (control, child) = self.start().await?;
                (control, Some(child))
            }
        };
        let ask = async |question: &str| -> Result<String, String> {
            control.ask(question, ASK).await.map_err(|error| error.to_string())
        };
        if child.is_some() {
            // Nobody asked for Wi-Fi Direct; a supplicant built without it refuses, which is as well.
            let _ = ask("SET p2p_disabled 1").await;
        }
        let monitor = control.attach(ASK).await.map_err(|error| error.to_string())?;
        let id = ask("ADD_NETWORK").await?;
        if id.parse::<u32>().is_err() {
            return Err(format!("it does not take another network: {id}"));
        }
        for (name, value) in self.network.variables().iter() {
            let question = Zeroizing::new(format!("SET_NETWORK {id} {name} {}", value.as_str()));
            let answer = ask(&question).await?;
            if answer != "OK" {
                let _ = ask(&format!("REMOVE_NETWORK {id}")).await;
                return Err(format!("it does not take the network's {name}: {answer}"));
            }
        }
        Ok(Session { control, monitor, network: id, child })
    }

    /// Starts a child and waits for its first answer.
    async fn start(&self) -> Result<(Control, Process), String> {
        let program = find("wpa_supplicant").ok_or("it is not installed")?;
        let sockets = self.folder.join("s");
        let interface = self.network.interface;
        let words: [&OsStr; 6] = [
            OsStr::new("-i"),
            OsStr::new(interface.as_str()),
            OsStr::new("-D"),
            OsStr::new("nl80211"),
            OsStr::new("-C"),
            sockets.as_os_str(),
        ];
        let child = Process::spawn(&program, &words, None).map_err(|error| error.to_string())?;
        let control = Control::new(sockets.join(interface.as_str()), self.folder.clone());
        let deadline = Instant::now() + START;
        let mut pause = Duration::from_millis(5);
        loop {
            if let Ok(answer) = control.ask("PING", ASK).await
                && answer == "PONG"
            {
                return Ok((control, child));
            }
            if !child.is_alive() {
                return Err(last_words(&child).unwrap_or_else(|| "it ended at once".to_owned()));
            }
            if Instant::now() > deadline {
                child.kill().await;
                return Err("it started and does not answer".to_owned());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Takes our network back and ends a child.
    async fn close(&mut self) {
        self.looking = None;
        let Some(Session { control, network, child, monitor }) = self.session.take() else { return };
        drop(monitor);
        let Some(child) = child else {
            let _ = control.ask(&format!("REMOVE_NETWORK {network}"), ASK).await;
            return;
        };
        if child.is_alive() {
            let _ = control.ask("TERMINATE", ASK).await;
            if !child.wait(GOODBYE).await {
                child.kill().await;
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        let Some(session) = &self.session else { return };
        let network = session.network.as_str();
        let ask = async |question: String| session.control.ask(&question, ASK).await;
        let answer = match order {
            Order::Prepare => return,
            Order::Park => ask(format!("DISABLE_NETWORK {network}")).await,
            Order::Connect if session.child.is_some() => ask(format!("SELECT_NETWORK {network}")).await,
            // Others are left as they are: ours is preferred to them, and looked for now.
            Order::Connect => match ask(format!("ENABLE_NETWORK {network}")).await {
                Ok(answer) if answer == "OK" => ask("REASSOCIATE".to_owned()).await,
                other => other,
            },
            Order::Scan => {
                let began = Instant::now();
                let answer = ask(format!("SCAN TYPE=ONLY ssid {}", hex(self.network.ssid.as_bytes()))).await;
                // Busy: somebody else's look is under way, and its result is as good.
                let begun = answer.as_deref().is_ok_and(|answer| answer == "OK" || answer == "FAIL-BUSY");
                self.looking = Some(began).filter(|_| begun);
                if !begun && answer.is_ok() {
                    self.tell(News::Scanned(None));
                }
                if answer.is_ok() {
                    return;
                }
                answer
            }
        };
        if let Err(error) = answer {
            self.gone(&format!("it does not answer: {error}")).await;
        }
    }

    async fn hear(&mut self, word: Word) {
        let Some(session) = &self.session else { return };
        match word {
            Word::ScanDone => {
                if let Some(began) = self.looking.take() {
                    let found = strongest(&session.control, &self.network.ssid, began.elapsed()).await;
                    self.tell(News::Scanned(found));
                }
            }
            Word::ScanFailed => {
                if self.looking.take().is_some() {
                    self.tell(News::Scanned(None));
                }
            }
            Word::Connected { bssid, network } => {
                if network == session.network {
                    let frequency_mhz = frequency(&session.control).await.unwrap_or_default();
                    self.tell(News::Joined(Sighting { bssid, frequency_mhz }));
                }
            }
            Word::Disconnected { reason, locally } => self.tell(News::Left { reason, locally }),
            Word::Disabled { network, wrong_key } => {
                if network == session.network {
                    let cause = if wrong_key { Refusal::WrongKey } else { Refusal::Rejected };
                    self.tell(News::Refused(cause));
                }
            }
            Word::Rejected => self.tell(News::Refused(Refusal::Rejected)),
            Word::Terminating => {
                // A child is about to end, which is told then; somebody else's is gone for us now.
                if session.child.is_none() {
                    self.gone("it ended").await;
                }
            }
        }
    }
}

impl Network {
    /// The network as wpa_supplicant's variables: the name in hexadecimal, so that every byte arrives.
    fn variables(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        let plain = |text: &str| Zeroizing::new(text.to_owned());
        let mut variables = vec![
            ("ssid", Zeroizing::new(hex(self.ssid.as_bytes()))),
            ("scan_ssid", plain("1")),
            ("priority", Zeroizing::new(PRIORITY.to_string())),
        ];
        match &self.key {
            Some(Key::Passphrase(passphrase)) => variables.extend([
                ("key_mgmt", plain("WPA-PSK")),
                // Up to the last quotation mark: those inside need nothing.
                ("psk", Zeroizing::new(format!("\"{}\"", passphrase.expose()))),
            ]),
            Some(Key::Raw(raw)) => {
                variables
                    .extend([("key_mgmt", plain("WPA-PSK")), ("psk", Zeroizing::new(hex(raw.expose())))]);
            }
            None => variables.push(("key_mgmt", plain("NONE"))),
        }
        variables
    }
}

/// Until the child has ended; for ever with somebody else's.
async fn died(session: &Session) {
    let Some(child) = &session.child else { return std::future::pending().await };
    let mut exited = child.exited();
    // An error means that the task which owned the child is gone, and the child with it.
    let _ = exited.wait_for(Option::is_some).await;
}

/// The line that says why a child ended.
fn last_words(child: &Process) -> Option<String> {
    let lines = child.log();
    let telling = |line: &&String| {
        let line = line.to_lowercase();
        ["fail", "could not", "error", "in use", "invalid", "no such"].iter().any(|word| line.contains(word))
    };
    let how = child.exited().borrow().clone();
    let said = lines.iter().find(telling).or_else(|| lines.last()).cloned();
    match (how, said) {
        (Some(how), Some(said)) => Some(format!("it {how}: {said}")),
        (how, said) => how.map(|how| format!("it {how}")).or(said),
    }
}

/// The access point of this name that is heard best, of those heard within `elapsed`.
async fn strongest(control: &Control, ssid: &Ssid, elapsed: Duration) -> Option<Sighting> {
    let mut best: Option<words::Bss> = None;
    let mut from = 0;
    for _ in 0..PAGES {
        // Every answer holds as many as fit; the next begins behind the last of them.
        let answer = control.ask(&format!("BSS RANGE={from}- MASK={BSS_MASK}"), ASK).await.ok()?;
        let found = words::access_points(&answer);
        let Some(last) = found.iter().map(|bss| bss.id).max() else { break };
        let fresh = found
            .into_iter()
            .filter(|bss| bss.ssid == ssid.as_bytes() && bss.age <= elapsed.as_secs().saturating_add(1));
        best = best.into_iter().chain(fresh).max_by_key(|bss| bss.level_dbm);
        from = last.checked_add(1)?;
    }
    best.map(|bss| bss.seen)
}

async fn frequency(control: &Control) -> Option<u32> {
    let status = control.ask("STATUS", ASK).await.ok()?;
    status.lines().find_map(|line| line.strip_prefix("freq=")?.parse().ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A folder that nobody else may enter, gone with its owner.
#[derive(Debug)]
pub(super) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Makes one below `/run`, or below the folder for temporary files where there is none.
    ///
    /// # Errors
    ///
    /// What the system answered.
    pub(super) fn new() -> io::Result<Self> {
        let base = if Path::new("/run").is_dir() { PathBuf::from("/run") } else { std::env::temp_dir() };
        let mut number = [0; 8];
        rustix::rand::getrandom(&mut number, rustix::rand::GetRandomFlags::empty())?;
        let path = base.join(format!("hostednet-join-{}", hex(&number)));
        std::fs::create_dir(&path)?;
        let folder = Self(path);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn network(key: Option<Key>) -> Network {
        Network { interface: "wlan0".parse().unwrap(), ssid: Ssid::new(b"a \"b\"").unwrap(), key }
    }

    fn value(network: &Network, name: &str) -> Option<String> {
        network.variables().iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string())
    }

    #[test]
    fn every_byte_of_name_and_key_arrives() {
        let quoted = network(Some(Key::passphrase("it's \"quoted\" ".into()).unwrap()));
        assert_eq!(value(&quoted, "ssid").unwrap(), "612022622 2".replace(' ', ""));
        assert_eq!(value(&quoted, "psk").unwrap(), "\"it's \"quoted\" \"");
        let raw = network(Some(Key::raw(&[15; 32]).unwrap()));
        assert_eq!(value(&raw, "psk").unwrap(), "0f".repeat(32));
        let open = network(None);
        assert_eq!((value(&open, "key_mgmt").unwrap(), value(&open, "psk")), ("NONE".to_owned(), None));
    }

    #[test]
    fn a_private_folder_is_ours_alone_and_goes_with_its_owner() {
        let folder = PrivateFolder(tempfile::tempdir().unwrap().keep());
        let path = folder.path().to_owned();
        std::fs::write(path.join("x"), "").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
