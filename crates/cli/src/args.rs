//! What can be typed. Help, man page and completions come from here.

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use hostednet::{
    MappingTarget, Protocol,
    types::{
        IfName, Ssid,
        part::{Part, StartType},
        settings::PublicChoice,
    },
};

use crate::device::DeviceVerb;

/// Makes this machine an access point and shares its connection.
#[derive(Debug, Parser)]
#[command(name = "hostednet", version, after_help = AFTER)]
pub struct Args {
    /// The service's socket [default: $HOSTEDNET_SOCKET or /run/hostednet/bus]
    #[arg(long, global = true, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub socket: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Verb,
}

/// What follows the list of options and verbs in the help; the man page cuts it at the empty line.
pub(crate) const AFTER: &str = "\
Examples:
  sudo hostednet up                               share this machine's connection over Wi-Fi
  sudo hostednet up --ssid 'Café ☕' --key-file -  with a name and a key of your own
  sudo hostednet up --public eth0                 share that connection, whatever the default route is
  hostednet hold -- ./backup-over-wifi            keep the network up while a program runs
  sudo hostednet share eth0 eth1                  share from one wire to another, without Wi-Fi
  sudo hostednet up --public wg0                  behind a VPN: through that tunnel, names included, or not at all
  hostednet doctor pixel                          why that device is not online, and what to do
  sudo hostednet join 'Café ☕'                    on a device: join it, and come back whenever it is there

Exit status: 0 done, 1 failed, 2 usage, 3 service not active, 4 permission, 5 wrong state.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start the hosted network with full sharing; undo it with Ctrl-C
    Up(Up),
    /// Hold a reference: the network runs for as long as COMMAND, or this process, does
    Hold {
        /// The command to run meanwhile
        #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
        command: Vec<OsString>,
    },
    /// Start the hosted network for good (ForceStart)
    Start,
    /// Stop the hosted network whoever uses it (ForceStop)
    Stop,
    /// Show everything
    Status(Json),
    /// Show who is attached
    Devices(Json),
    /// Say why a device is not online, and what to do; status 0: nothing is wrong, 1: something is
    Doctor {
        /// The device, by MAC address, IPv4 address or name [default: any device]
        device: Option<String>,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
    /// Show what happens, as it happens
    Monitor(Json),
    /// Show every connection and whether it can be shared
    Connections(Json),
    /// Show or change the settings
    Settings {
        /// What to do with them
        #[command(subcommand)]
        change: Option<SettingsVerb>,
        /// How to print them
        #[command(flatten)]
        json: Json,
    },
    /// Allow the hosted network
    Allow,
    /// Forbid the hosted network; a running one stops
    Disallow,
    /// Show, make or set keys; a key is typed or piped in, never an argument
    Key {
        /// What to do with the keys
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Share the connection PUBLIC with the connections PRIVATE
    ///
    /// Devices leave by PUBLIC or not at all, whatever this machine's own default route is. While PUBLIC is down or gone,
    /// they keep their addresses and local names; when it is back, under the same name, they are online again. With auto
    /// they follow the default route instead, wherever that leads.
    ///
    /// A VPN is shared by its interface: `hostednet share wg0 hosted-network`. What devices send goes through the tunnel;
    /// what they ask our name server is asked through the tunnel, and of no stub resolver of this machine; IPv6 goes
    /// through the tunnel where that has an IPv6 address or default route, and nowhere else. All of this holds when the
    /// tunnel falls, and when the service is killed, until it is undone (hostednetd --undo). This machine's own packets
    /// keep their way.
    Share {
        /// The connection that leads out, or auto for the default route
        #[arg(value_parser = parse_public)]
        public: PublicChoice,
        /// The connections to share it with; hosted-network is the access point
        #[arg(required = true, value_name = "PRIVATE")]
        private: Vec<String>,
    },
    /// Stop sharing
    Unshare,
    /// Lead ports of the public connection to devices
    Forward {
        /// What to do
        #[command(subcommand)]
        verb: ForwardVerb,
    },
    /// Name, block, limit and count single devices
    Device {
        /// What to do
        #[command(subcommand)]
        verb: DeviceVerb,
    },
    /// On a device: join a network and find the way back whenever the connection is lost; Ctrl-C undoes it
    Join(Join),
    /// Show, start, stop or configure a part of the service
    Service {
        /// What to do with it
        #[command(subcommand)]
        verb: ServiceVerb,
    },
    /// The commands and the output of Windows' netsh, for scripts that know them
    #[command(disable_help_flag = true)]
    Netsh {
        /// What follows netsh: `wlan show hostednetwork`; ? lists the commands
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<OsString>,
    },
    /// The same for net: `net start|stop sharedaccess`
    #[command(disable_help_flag = true)]
    Net {
        /// What follows net
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<OsString>,
    },
    /// The same for sc: `sc query|start|stop sharedaccess`
    #[command(disable_help_flag = true)]
    Sc {
        /// What follows sc
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORD")]
        words: Vec<OsString>,
    },
    /// Print the completions of a shell
    #[command(hide = true)]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the man page
    #[command(hide = true)]
    Man {
        /// Write the man pages and the completions of every subcommand below this folder instead
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        to: Option<PathBuf>,
    },
}

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct Up {
    /// The connection that leads out: an interface, auto for the default route, none for no sharing
    #[arg(long, value_name = "IF|auto|none", default_value = "auto", value_parser = parse_up_public)]
    pub public: UpPublic,
    /// Share with this interface instead of (or, with hosted-network named too, beside) the access point
    #[arg(long, value_name = "IF")]
    pub private: Vec<String>,
    /// The name of the network, kept for next time; hex:… for bytes
    #[arg(long, value_parser = SsidParser)]
    pub ssid: Option<Ssid>,
    /// Read a key for this session from a file, or from standard input (-)
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
    pub key_file: Option<PathBuf>,
    /// How to print
    #[command(flatten)]
    pub json: Json,
}

/// Arguments of `join`.
#[derive(Debug, clap::Args)]
pub struct Join {
    /// The name of the network; hex:… for bytes
    #[arg(value_parser = SsidParser)]
    pub ssid: Ssid,
    /// The Wi-Fi interface [default: the only one]
    #[arg(long, value_name = "IF")]
    pub interface: Option<IfName>,
    /// Read the key (a passphrase, or 64 hexadecimal digits) from a file, or from standard input (-)
    #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath, conflicts_with = "open")]
    pub key_file: Option<PathBuf>,
    /// The network has no key
    #[arg(long)]
    pub open: bool,
    /// End at the first failure or loss, with status 1, instead of trying again
    #[arg(long)]
    pub once: bool,
    /// Write the name servers into /etc/resolv.conf if need be, and restore it at the end
    #[arg(long)]
    pub resolv_conf: bool,
    /// How to print
    #[command(flatten)]
    pub json: Json,
}

/// `--json`, wherever it makes sense.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Json {
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

/// What `--public` of `up` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpPublic {
    /// No sharing: devices reach this machine and each other.
    None,
    /// Share this.
    Share(PublicChoice),
}

/// Kinds of WPA-Personal.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SecurityArg {
    /// WPA2: every device knows it
    Wpa2,
    /// WPA2 and WPA3 at once; a device takes the stronger one it knows
    Transition,
    /// WPA3 only: SAE with protected management frames
    Wpa3,
}

/// Where the address of the access point comes from.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AddressArg {
    /// From the adapter's own address
    Permanent,
    /// Made up once for this name of the network
    Stable,
    /// A new one for every start
    Random,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    /// Yes
    Yes,
    /// No
    No,
}

/// Verbs of `settings`.
#[derive(Debug, Subcommand)]
pub enum SettingsVerb {
    /// Change settings; a running network stops
    Set {
        /// The name of the network; hex:… for bytes
        #[arg(
            long,
            value_parser = SsidParser,
            required_unless_present_any = ["max_peers", "security", "hidden", "isolate", "address"],
        )]
        ssid: Option<Ssid>,
        /// At most this many devices
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2007))]
        max_peers: Option<u32>,
        /// How devices prove that they know the key
        #[arg(long, value_enum)]
        security: Option<SecurityArg>,
        /// Whether beacons hide the name
        #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
        hidden: Option<YesNo>,
        /// Whether devices are kept from each other
        #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "yes", require_equals = true)]
        isolate: Option<YesNo>,
        /// Which address the access point has
        #[arg(long, value_enum)]
        address: Option<AddressArg>,
    },
    /// Show or change who may start, stop, allow and forbid the network: its access list, in SDDL
    Access {
        /// The new list, such as O:BAG:BAD:(A;;GA;;;BA)(A;;GA;;;S-1-22-1-1000)
        sddl: Option<String>,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
}

/// Verbs of `key`.
#[derive(Debug, Subcommand)]
pub enum KeyVerb {
    /// Print both keys
    Show(Json),
    /// Make a new primary key; a running network stops
    Refresh,
    /// Set the secondary key, read from standard input
    Set {
        /// For this session, or the next, only
        #[arg(long)]
        temporary: bool,
        /// The key is 64 hexadecimal digits, not a passphrase
        #[arg(long)]
        hex: bool,
    },
    /// Remove the secondary key
    Clear,
}

/// Verbs of `service`.
#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Show the parts, or one of them
    Status {
        /// Which: wlan or sharedaccess; both when absent
        #[arg(value_parser = parse_part)]
        part: Option<Part>,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
    /// Start a part
    Start {
        /// Which: wlan or sharedaccess
        #[arg(value_parser = parse_part)]
        part: Part,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
    /// Stop a part and what it does
    Stop {
        /// Which: wlan or sharedaccess
        #[arg(value_parser = parse_part)]
        part: Part,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
    /// Say when a part starts; what runs goes on
    SetStartType {
        /// Which: wlan or sharedaccess
        #[arg(value_parser = parse_part)]
        part: Part,
        /// With the service, when it is needed, or not until an administrator shares
        #[arg(value_parser = parse_start_type, value_name = "automatic|manual|disabled")]
        start_type: StartType,
        /// How to print
        #[command(flatten)]
        json: Json,
    },
}

/// Verbs of `forward`.
#[derive(Debug, Subcommand)]
pub enum ForwardVerb {
    /// Lead a port to a device: `hostednet forward add web tcp 8080 tv:80`
    Add {
        /// What to call it
        name: String,
        /// tcp or udp
        #[arg(value_parser = parse_protocol)]
        protocol: Protocol,
        /// The port outside
        #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        external: u16,
        /// The device, by the name or the address it has here; :PORT when its port is another one
        #[arg(value_parser = parse_target)]
        target: Target,
        /// The public connection it is for [default: the one that is shared, or would be]
        #[arg(long, value_name = "INTERFACE")]
        on: Option<String>,
        /// Switch it on later
        #[arg(long)]
        disabled: bool,
    },
    /// Show the ports, who opened them and where they lead
    List(Json),
    /// Switch one on
    Enable {
        /// Its number
        id: u32,
    },
    /// Switch one off
    Disable {
        /// Its number
        id: u32,
    },
    /// Remove one
    Remove {
        /// Its number
        id: u32,
    },
}

/// A device and, if it differs, its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The device.
    pub device: MappingTarget,
    /// Its port.
    pub port: Option<u16>,
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err("it is neither tcp nor udp".to_owned()),
    }
}

fn parse_target(text: &str) -> Result<Target, String> {
    let (device, port) = match text.rsplit_once(':') {
        None => (text, None),
        Some((device, port)) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (device, Some(port.ok_or("ports are numbered from 1 to 65535")?))
        }
    };
    if device.is_empty() {
        return Err("a device is named by its name or its address".to_owned());
    }
    let device =
        device.parse().map_or_else(|_| MappingTarget::Name(device.to_owned()), MappingTarget::Address);
    Ok(Target { device, port })
}

/// Any of the part's names, in any case: people type what they know from elsewhere.
fn parse_part(text: &str) -> Result<Part, String> {
    Part::from_name(text).ok_or_else(|| "the parts are wlan and sharedaccess".to_owned())
}

fn parse_start_type(text: &str) -> Result<StartType, String> {
    StartType::from_name(&text.to_ascii_lowercase())
        .ok_or_else(|| "the start types are automatic, manual and disabled".to_owned())
}

fn parse_public(text: &str) -> Result<PublicChoice, String> {
    if text == "auto" {
        return Ok(PublicChoice::Auto);
    }
    IfName::from_str(text).map(PublicChoice::Interface).map_err(|error| error.to_string())
}

fn parse_up_public(text: &str) -> Result<UpPublic, String> {
    if text == "none" { Ok(UpPublic::None) } else { parse_public(text).map(UpPublic::Share) }
}

/// An SSID is bytes, and so is an argument: it need not be UTF-8.
#[derive(Clone, Copy, Debug)]
struct SsidParser;

impl clap::builder::TypedValueParser for SsidParser {
    type Value = Ssid;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Ssid, clap::Error> {
        let parsed = match value.to_str() {
            Some(text) => Ssid::from_text(text),
            None => Ssid::new(value.as_bytes()),
        };
        parsed.map_err(|error| {
            let flag = argument.map(ToString::to_string).unwrap_or_default();
            command.clone().error(clap::error::ErrorKind::ValueValidation, format!("{flag}: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::ffi::OsStringExt;

    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Verb, clap::Error> {
        Args::try_parse_from(std::iter::once(&"hostednet").chain(words)).map(|args| args.command)
    }

    #[test]
    fn the_grammar_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_ssid_may_be_any_bytes() {
        let raw = OsString::from_vec(b"\xff caf\xe9".to_vec());
        let words = ["hostednet", "up", "--ssid"].map(OsString::from).into_iter().chain([raw]);
        let Verb::Up(up) = Args::try_parse_from(words).unwrap().command else { panic!("another verb") };
        assert_eq!(up.ssid.unwrap().as_bytes(), b"\xff caf\xe9");
        let error = parse(&["up", "--ssid", &"x".repeat(33)]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("1 to 32 bytes, this one has 33"), "{error}");
    }

    #[test]
    fn up_shares_the_default_route_unless_told_otherwise() {
        let public = |words: &[&str]| {
            let Verb::Up(up) = parse(words).unwrap() else { panic!("another verb") };
            up.public
        };
        assert_eq!(public(&["up"]), UpPublic::Share(PublicChoice::Auto));
        assert_eq!(public(&["up", "--public", "none"]), UpPublic::None);
        let eth0 = PublicChoice::Interface("eth0".parse().unwrap());
        assert_eq!(public(&["up", "--public", "eth0"]), UpPublic::Share(eth0));
        assert_eq!(parse(&["up", "--public", "not/a/name"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_change_of_settings_names_one() {
        assert!(parse(&["settings"]).is_ok());
        assert!(parse(&["settings", "set"]).is_err());
        assert!(parse(&["settings", "set", "--max-peers", "0"]).is_err());
        assert!(parse(&["settings", "set", "--max-peers", "5"]).is_ok());
        for words in [
            &["--security", "wpa3"][..],
            &["--hidden"],
            &["--hidden=no", "--isolate=yes"],
            &["--address", "stable"],
        ] {
            assert!(parse(&[&["settings", "set"], words].concat()).is_ok(), "{words:?}");
        }
        assert!(parse(&["settings", "set", "--security", "wep"]).is_err());
    }
}
