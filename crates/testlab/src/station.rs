//! A device with Wi-Fi: wpa_supplicant on a radio of its own, in a namespace of its own.

use std::fmt::Write as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use crate::command::{Background, SHORT};
use crate::lease::{self, Client, Lease};
use crate::ns::Namespace;
use crate::radio::Radio;
use crate::wait;

/// What a device must know to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// The name: 1 to 32 bytes of any value.
    pub ssid: Vec<u8>,
    /// The key.
    pub credential: Credential,
}

/// How a device proves itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// 8 to 63 printable ASCII characters.
    Passphrase(String),
    /// The pairwise master key itself.
    Raw([u8; 32]),
    /// The same, by SAE with protected management frames and in no other way.
    Sae(String),
    /// Nothing.
    Open,
}

impl Network {
    /// A network with a passphrase.
    #[must_use]
    pub fn new(ssid: impl AsRef<[u8]>, passphrase: &str) -> Self {
        Self { ssid: ssid.as_ref().to_owned(), credential: Credential::Passphrase(passphrase.to_owned()) }
    }

    /// Reads what a camera finds in a QR code: `WIFI:T:WPA;S:name;P:key;;`. 64 hexadecimal digits as key are
    /// a raw key, as phones take them.
    ///
    /// # Errors
    /// If the text is not such a URI.
    pub fn from_wifi_uri(text: &str) -> Result<Self> {
        let rest =
            text.trim_end_matches(['\r', '\n']).strip_prefix("WIFI:").context("does not begin with WIFI:")?;
        let (mut ssid, mut key, mut kind) = (None, None, String::new());
        for (name, value) in fields(rest)? {
            match name.as_str() {
                "S" => ssid = Some(value),
                "P" => key = Some(value),
                "T" => kind = value,
                _ => {}
            }
        }
        let ssid = ssid.context("no S field")?.into_bytes();
        let credential = match (kind.as_str(), key) {
            ("" | "nopass", None) => Credential::Open,
            ("WPA" | "WPA2" | "SAE", Some(key)) => match raw_key(&key) {
                Some(raw) => Credential::Raw(raw),
                None => Credential::Passphrase(key),
            },
            (kind, key) => bail!("type {kind:?} with {} key", if key.is_some() { "a" } else { "no" }),
        };
        Ok(Self { ssid, credential })
    }

    /// The network as wpa_supplicant's variables: the name in hexadecimal, so that every byte arrives.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("ssid", hex(&self.ssid)), ("scan_ssid", "1".to_owned())];
        match &self.credential {
            Credential::Passphrase(passphrase) => {
                variables.extend([("key_mgmt", "WPA-PSK".to_owned()), ("psk", format!("\"{passphrase}\""))]);
            }
            Credential::Raw(raw) => variables.extend([("key_mgmt", "WPA-PSK".to_owned()), ("psk", hex(raw))]),
            Credential::Sae(password) => variables.extend([
                ("key_mgmt", "SAE".to_owned()),
                ("sae_password", format!("\"{password}\"")),
                ("ieee80211w", "2".to_owned()),
            ]),
            Credential::Open => variables.push(("key_mgmt", "NONE".to_owned())),
        }
        variables
    }
}

/// Splits `T:WPA;S:a\;b;;` into names and unescaped values.
fn fields(text: &str) -> Result<Vec<(String, String)>> {
    let (mut found, mut name, mut value, mut in_value) = (Vec::new(), String::new(), String::new(), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let escaped = characters.next().context("ends in a backslash")?;
                ensure!(in_value, "an escape in a field name");
                value.push(escaped);
            }
            ';' if !in_value && name.is_empty() => return Ok(found),
            ';' => {
                ensure!(in_value, "field {name:?} has no value");
                found.push((std::mem::take(&mut name), std::mem::take(&mut value)));
                in_value = false;
            }
            ':' if !in_value => in_value = true,
            other if in_value => value.push(other),
            other => name.push(other),
        }
    }
    bail!("does not end in ;;")
}

fn raw_key(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut raw = [0; 32];
    for (byte, pair) in raw.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(raw)
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// How joining went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The access point's address.
    pub bssid: String,
    /// Its channel.
    pub frequency_mhz: u32,
    /// From the supplicant's start to the end of the four-way handshake.
    pub elapsed: Duration,
}

/// The device.
#[derive(Debug)]
pub struct Station {
    /// Where it lives.
    pub place: Namespace,
    /// Its wireless interface.
    pub interface: String,
    supplicant: Option<Background>,
}

/// wpa_supplicant's word for a finished handshake.
const CONNECTED: &str = "CTRL-EVENT-CONNECTED";
/// Its word for a key that the access point does not accept.
const WRONG_KEY: &str = "WRONG_KEY";

impl Station {
    /// A new device that owns `radio`.
    ///
    /// # Errors
    /// If the kernel refuses to move the radio.
    pub fn new(role: &str, radio: &Radio) -> Result<Self> {
        let place = Namespace::new(role)?;
        radio.take_to(&place)?;
        Ok(Self { place, interface: radio.interface.clone(), supplicant: None })
    }

    /// A station interface of the machine under test itself: it stays in the machine's own network.
    ///
    /// # Errors
    /// Outside the VM.
    pub fn at_home(radio: &Radio) -> Result<Self> {
        Ok(Self { place: Namespace::machine()?, interface: radio.interface.clone(), supplicant: None })
    }

    /// Its hardware address.
    ///
    /// # Errors
    /// If the interface is gone.
    pub fn mac(&self) -> Result<String> {
        self.place.mac(&self.interface)
    }

    /// Joins `network` and waits for the end of the handshake.
    ///
    /// # Errors
    /// If it has not joined after `limit`: with the supplicant's words.
    pub fn join(&mut self, network: &Network, limit: Duration) -> Result<Joined> {
        let started = Instant::now();
        self.knock(network)?;
        let log = self.log_file();
        wait::until("the station to join", limit, || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            Ok(text.contains(CONNECTED).then_some(()))
        })
        .with_context(|| format!("wpa_supplicant says:\n{}", self.log()))?;
        let elapsed = started.elapsed();
        let status = self.status()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).with_context(|| format!("no {name} in: {status}"))
        };
        Ok(Joined { bssid: field("bssid")?, frequency_mhz: field("freq")?.parse()?, elapsed })
    }

    /// Tries to join `network` and waits to be refused for its key.
    ///
    /// # Errors
    /// If it joins, or nothing of the kind happens within `limit`.
    pub fn refused(&mut self, network: &Network, limit: Duration) -> Result<Duration> {
        let started = Instant::now();
        self.knock(network)?;
        let log = self.log_file();
        let joined = wait::until("the station to be refused", limit, || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains(CONNECTED) {
                return Ok(Some(true));
            }
            Ok(text.contains(WRONG_KEY).then_some(false))
        })
        .with_context(|| format!("wpa_supplicant says:\n{}", self.log()))?;
        ensure!(!joined, "the station joined with a key that must not work");
        Ok(started.elapsed())
    }

    /// Starts to look for `network`, without waiting.
    ///
    /// # Errors
    /// If wpa_supplicant cannot be started or does not take the network.
    pub fn knock(&mut self, network: &Network) -> Result<()> {
        self.leave()?;
        let folder = self.place.files();
        let configuration = folder.join("wpa_supplicant.conf");
        std::fs::write(
            &configuration,
            format!("ctrl_interface={}\np2p_disabled=1\n", self.control().display()),
        )?;
        let _ = std::fs::remove_file(self.log_file());
        let mut command = self.place.command("wpa_supplicant");
        command.args(["-D", "nl80211", "-i", &self.interface, "-t", "-c"]).arg(configuration);
        command.arg("-f").arg(self.log_file());
        self.supplicant = Some(Background::spawn(&mut command)?);
        // The network is told over the control socket: the configuration file cannot carry every passphrase.
        let id = wait::until("wpa_supplicant to listen", SHORT, || self.ask("ADD_NETWORK").map(Some))
            .with_context(|| format!("wpa_supplicant says:\n{}", self.log()))?;
        let requests =
            network.variables().into_iter().map(|(name, value)| format!("SET_NETWORK {id} {name} {value}"));
        for request in requests.chain([format!("SELECT_NETWORK {id}")]) {
            let answer = self.ask(&request)?;
            ensure!(answer == "OK", "wpa_supplicant answers {answer:?} to {request:?}");
        }
        Ok(())
    }

    /// One request to wpa_supplicant (its control interface: a datagram there, a datagram back).
    fn ask(&self, request: &str) -> Result<String> {
        let own = self.place.files().join("asker");
        let _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own)?;
        socket.set_read_timeout(Some(SHORT))?;
        socket.connect(self.control().join(&self.interface))?;
        socket.send(request.as_bytes())?;
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    fn control(&self) -> std::path::PathBuf {
        self.place.files().join("wpa")
    }

    /// Leaves the network, properly: the access point hears of it.
    ///
    /// # Errors
    /// If the supplicant does not end.
    pub fn leave(&mut self) -> Result<()> {
        if let Some(mut supplicant) = self.supplicant.take() {
            supplicant.end(Signal::TERM, SHORT)?;
        }
        Ok(())
    }

    /// What the supplicant says of the connection.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&self) -> Result<String> {
        self.ask("STATUS")
    }

    /// The supplicant's log.
    #[must_use]
    pub fn log(&self) -> String {
        let own = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        format!("{own}{}", self.supplicant.as_ref().map(Background::log).unwrap_or_default())
    }

    fn log_file(&self) -> std::path::PathBuf {
        self.place.files().join("wpa_supplicant.log")
    }

    /// Asks for an address and uses the name server that comes with it.
    ///
    /// # Errors
    /// If there is no lease within `limit`.
    pub fn lease(&mut self, client: Client, limit: Duration) -> Result<Lease> {
        lease::obtain(client, &mut self.place, &self.interface, limit)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn a_wifi_uri_gives_name_and_key() {
        let network = Network::from_wifi_uri("WIFI:T:WPA;S:Café ☕;P:pass word;;\n").unwrap();
        assert_eq!(network, Network::new("Café ☕", "pass word"));
    }

    #[test]
    fn escaped_characters_of_a_wifi_uri_are_taken_literally() {
        let network =
            Network::from_wifi_uri(r#"WIFI:S:a\;b\:c\\d\,e\"f;T:WPA;P:\;\;\;\;\;\;\;\;;;"#).unwrap();
        assert_eq!(network, Network::new(r#"a;b:c\d,e"f"#, ";;;;;;;;"));
    }

    #[test]
    fn sixty_four_digits_are_a_raw_key() {
        let network = Network::from_wifi_uri(&format!("WIFI:T:WPA;S:x;P:{};;", "0f".repeat(32))).unwrap();
        assert_eq!(network.credential, Credential::Raw([15; 32]));
        assert!(network.variables().contains(&("psk", "0f".repeat(32))));
    }

    #[test]
    fn broken_wifi_uris_are_refused() {
        for text in
            ["", "WIFI:", "WIFI:S:x", "WIFI:T:WPA;S:x;;", "WIFI:T:WPA;P:12345678;;", "WIFI:S:x\\", "http://x"]
        {
            assert!(Network::from_wifi_uri(text).is_err(), "{text}");
        }
    }

    #[test]
    fn any_byte_of_a_name_reaches_the_supplicant() {
        let network = Network::new([0, b'"', b'\n', 0xff], "12345678");
        assert!(network.variables().contains(&("ssid", "00220aff".to_owned())));
    }
}
