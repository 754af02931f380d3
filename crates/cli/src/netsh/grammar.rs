//! What can be typed after `netsh`, and what it means. Pure: words in, a meaning or a mistake out.
//!
//! Words of commands and tags may be in any case and cut short as long as one name begins so; an exact name wins.
//! The names of commands that exist on Windows only are known here too, so that a prefix that is ambiguous there is
//! ambiguous here. Values come with their tag in any order, or without tags, first and in the documented order.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use hostednet::types::{Key, KeyError, SecondaryKey, Ssid, text::escape_untrusted};

use super::words::{Word, unquoted};

/// Where commands are looked up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// `netsh`
    Root,
    /// `netsh wlan`
    Wlan,
}

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is empty.
    Nothing,
    /// Look commands up there from here on.
    Enter(Context),
    /// End.
    Leave,
    /// Explain.
    Help(Topic),
    /// Do the lines of a file.
    Execute(OsString),
    /// Do something.
    Command(Command),
}

/// What can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Root,
    Wlan,
    Set,
    Show,
    Start,
    Stop,
    Refresh,
    Export,
    SetHostedNetwork,
    ShowHostedNetwork,
    ShowDrivers,
    ShowInterfaces,
    StartHostedNetwork,
    StopHostedNetwork,
    RefreshHostedNetwork,
    ExportProfile,
}

/// What can be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Set(Settings),
    ShowHostedNetwork,
    ShowSecurity,
    ShowDrivers(Option<String>),
    ShowInterfaces,
    Start,
    Stop,
    RefreshKey,
    Export { folder: Option<OsString> },
}

/// `set hostednetwork`; at least one of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) allow: Option<bool>,
    pub(crate) ssid: Option<Ssid>,
    pub(crate) key: Option<SecondaryKey>,
}

/// Why a line means nothing. Never holds a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// No such command; what was typed.
    NotFound(String),
    /// The command is there, the words after it are not what it takes.
    Syntax { topic: Topic, word: Option<String> },
    /// A parameter is missing.
    Missing(Topic),
    /// Not a value of this tag.
    Value { tag: &'static str, value: String },
    /// The name has no byte, or too many.
    Ssid(usize),
    /// Not a key.
    Key(KeyError),
}

/// What the root knows on Windows; `wlan` and the commands of the interpreter are known here.
const ROOT: &[&str] = &[
    "?",
    "..",
    "add",
    "advfirewall",
    "branchcache",
    "bridge",
    "bye",
    "delete",
    "dhcpclient",
    "dnsclient",
    "dump",
    "exec",
    "exit",
    "firewall",
    "help",
    "http",
    "interface",
    "ipsec",
    "lan",
    "mbn",
    "namespace",
    "nap",
    "netio",
    "p2p",
    "quit",
    "ras",
    "rpc",
    "set",
    "show",
    "trace",
    "wcn",
    "wfp",
    "winhttp",
    "winsock",
    "wlan",
];

const WLAN: &[&str] = &[
    "?",
    "add",
    "connect",
    "delete",
    "disconnect",
    "dump",
    "export",
    "help",
    "ihv",
    "refresh",
    "reportissues",
    "set",
    "show",
    "start",
    "stop",
];

const SET: &[&str] = &[
    "allowexplicitcreds",
    "autoconfig",
    "blockednetworks",
    "createalluserprofile",
    "hostednetwork",
    "profileorder",
    "profileparameter",
    "profiletype",
    "randomization",
    "tracing",
];

const SHOW: &[&str] = &[
    "all",
    "allowexplicitcreds",
    "autoconfig",
    "blockednetworks",
    "createalluserprofile",
    "drivers",
    "filters",
    "hostednetwork",
    "interfaces",
    "networks",
    "onlyusegpprofilesforallowednetworks",
    "profiles",
    "randomization",
    "settings",
    "tracing",
    "wirelesscapabilities",
    "wlanreport",
];

/// The name that a word stands for.
pub(crate) fn complete<'n>(word: &[u8], names: &[&'n str]) -> Option<&'n str> {
    if let Some(exact) = names.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes())) {
        return Some(exact);
    }
    let begins =
        |name: &str| name.as_bytes().get(..word.len()).is_some_and(|start| word.eq_ignore_ascii_case(start));
    let mut fitting = names.iter().copied().filter(|name| !word.is_empty() && begins(name));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// The meaning of a line typed in `context`.
pub(crate) fn parse(context: Context, words: &[Word]) -> Result<Line, Mistake> {
    let Some((first, rest)) = words.split_first() else { return Ok(Line::Nothing) };
    let not_found = || Mistake::NotFound(echo(words));
    let help_here = if context == Context::Root { Topic::Root } else { Topic::Wlan };
    if is_help(first) {
        return Ok(Line::Help(help_here));
    }
    if context == Context::Wlan
        && let Some(verb) = complete(first, WLAN)
    {
        return wlan(verb, rest).ok_or_else(not_found)?;
    }
    match complete(first, ROOT) {
        Some("help") => Ok(Line::Help(help_here)),
        Some("exit" | "bye" | "quit") => Ok(Line::Leave),
        Some("..") => Ok(Line::Enter(Context::Root)),
        Some("exec") => match rest {
            [file] => Ok(Line::Execute(path(file))),
            _ => Err(Mistake::Syntax { topic: Topic::Root, word: None }),
        },
        Some("wlan") => match rest.split_first() {
            None => Ok(Line::Enter(Context::Wlan)),
            Some((verb, _)) if is_help(verb) => Ok(Line::Help(Topic::Wlan)),
            Some((verb, rest)) => {
                complete(verb, WLAN).and_then(|verb| wlan(verb, rest)).ok_or_else(not_found)?
            }
        },
        _ => Err(not_found()),
    }
}

/// A command of the context `wlan`; `None` when there is none of this name here.
fn wlan(verb: &str, words: &[Word]) -> Option<Result<Line, Mistake>> {
    let (topic, nouns): (_, &[&str]) = match verb {
        "help" => return Some(Ok(Line::Help(Topic::Wlan))),
        "set" => (Topic::Set, SET),
        "show" => (Topic::Show, SHOW),
        "start" => (Topic::Start, &["hostednetwork"]),
        "stop" => (Topic::Stop, &["hostednetwork"]),
        "refresh" => (Topic::Refresh, &["hostednetwork"]),
        "export" => (Topic::Export, &["hostednetworkprofile", "profile"]),
        _ => return None,
    };
    let Some((noun, words)) = words.split_first() else { return Some(Ok(Line::Help(topic))) };
    if is_help(noun) {
        return Some(Ok(Line::Help(topic)));
    }
    let command = match (verb, complete(noun, nouns)?) {
        ("set", "hostednetwork") => Topic::SetHostedNetwork,
        ("show", "hostednetwork") => Topic::ShowHostedNetwork,
        ("show", "drivers") => Topic::ShowDrivers,
        ("show", "interfaces") => Topic::ShowInterfaces,
        ("start", "hostednetwork") => Topic::StartHostedNetwork,
        ("stop", "hostednetwork") => Topic::StopHostedNetwork,
        ("refresh", "hostednetwork") => Topic::RefreshHostedNetwork,
        ("export", "hostednetworkprofile") => Topic::ExportProfile,
        _ => return None,
    };
    let asked = match words {
        [only] => is_help(only),
        // A network may be called help; nothing that takes several words may be `?`.
        [.., last] => last.as_slice() == b"?",
        [] => false,
    };
    if asked {
        return Some(Ok(Line::Help(command)));
    }
    Some(parameters(command, words).map(Line::Command))
}

fn parameters(topic: Topic, words: &[Word]) -> Result<Command, Mistake> {
    Ok(match topic {
        Topic::SetHostedNetwork => {
            Command::Set(settings(tagged(topic, ["mode", "ssid", "key", "keyUsage"], words)?)?)
        }
        Topic::ShowHostedNetwork => match tagged(topic, ["setting"], words)? {
            [None] => Command::ShowHostedNetwork,
            [Some(value)] => {
                choice("setting", value, &["security"])?;
                Command::ShowSecurity
            }
        },
        Topic::ShowDrivers => {
            let [interface] = tagged(topic, ["interface"], words)?;
            Command::ShowDrivers(interface.map(|name| String::from_utf8_lossy(name).into_owned()))
        }
        Topic::RefreshHostedNetwork => {
            let [data] = tagged(topic, ["data"], words)?;
            choice("data", data.ok_or(Mistake::Missing(topic))?, &["key"])?;
            Command::RefreshKey
        }
        Topic::ExportProfile => {
            let [folder] = tagged(topic, ["folder"], words)?;
            Command::Export { folder: folder.map(path) }
        }
        Topic::ShowInterfaces => tagged(topic, [], words).map(|[]| Command::ShowInterfaces)?,
        Topic::StartHostedNetwork => tagged(topic, [], words).map(|[]| Command::Start)?,
        Topic::StopHostedNetwork => tagged(topic, [], words).map(|[]| Command::Stop)?,
        Topic::Root
        | Topic::Wlan
        | Topic::Set
        | Topic::Show
        | Topic::Start
        | Topic::Stop
        | Topic::Refresh
        | Topic::Export => return Err(Mistake::Syntax { topic, word: None }),
    })
}

fn settings([mode, ssid, key, usage]: [Option<&[u8]>; 4]) -> Result<Settings, Mistake> {
    let allow = mode
        .map(|value| choice("mode", value, &["allow", "disallow"]))
        .transpose()?
        .map(|mode| mode == "allow");
    let ssid = ssid.map(|bytes| Ssid::new(bytes).map_err(|error| Mistake::Ssid(error.length))).transpose()?;
    let persistent = usage
        .map(|value| choice("keyUsage", value, &["persistent", "temporary"]))
        .transpose()?
        .is_none_or(|usage| usage == "persistent");
    let key = key.map(read_key).transpose()?.map(|key| SecondaryKey { key, persistent });
    let nothing = allow.is_none() && ssid.is_none() && key.is_none();
    if nothing || (usage.is_some() && key.is_none()) {
        return Err(Mistake::Missing(Topic::SetHostedNetwork));
    }
    Ok(Settings { allow, ssid, key })
}

/// 64 hexadecimal digits are the key itself; everything else is a passphrase.
fn read_key(bytes: &[u8]) -> Result<Key, Mistake> {
    let text = std::str::from_utf8(bytes).map_err(|_| Mistake::Key(KeyError::NotPrintableAscii))?;
    let digits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits { Key::from_hex(text) } else { Key::passphrase(text.to_owned()) }.map_err(Mistake::Key)
}

fn choice(tag: &'static str, value: &[u8], values: &[&'static str]) -> Result<&'static str, Mistake> {
    complete(value, values).ok_or_else(|| Mistake::Value { tag, value: escape_untrusted(value) })
}

/// The values of the tags, each at most once. A word without a tag counts by its place.
fn tagged<'w, const N: usize>(
    topic: Topic,
    tags: [&str; N],
    words: &'w [Word],
) -> Result<[Option<&'w [u8]>; N], Mistake> {
    let mut values = [None; N];
    let mut named = false;
    for (place, word) in words.iter().enumerate() {
        let syntax = |word: Option<&[u8]>| Mistake::Syntax { topic, word: word.map(escape_untrusted) };
        let (place, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(end) => {
                named = true;
                let (tag, value) = word.split_at(end);
                let tag = tag.trim_ascii();
                let full = complete(tag, &tags).ok_or_else(|| syntax(Some(tag)))?;
                let place = tags.iter().position(|name| *name == full).ok_or_else(|| syntax(Some(tag)))?;
                (place, value.get(1..).unwrap_or_default())
            }
            // Not told which: it may be a key.
            None if named => return Err(syntax(None)),
            None => (place, word.as_slice()),
        };
        match values.get_mut(place) {
            Some(slot @ None) => *slot = Some(unquoted(value)),
            Some(Some(_)) | None => return Err(syntax(tags.get(place).map(|tag| tag.as_bytes()))),
        }
    }
    Ok(values)
}

fn is_help(word: &[u8]) -> bool {
    [&b"?"[..], b"/?", b"-?", b"--help", b"-h"].contains(&word) || word.eq_ignore_ascii_case(b"help")
}

fn path(bytes: &(impl AsRef<[u8]> + ?Sized)) -> OsString {
    OsString::from_vec(bytes.as_ref().to_vec())
}

/// The words of a command as typed, up to the first value: that may be a key.
fn echo(words: &[Word]) -> String {
    let told: Vec<String> =
        words.iter().take_while(|word| !word.contains(&b'=')).map(|word| escape_untrusted(word)).collect();
    told.join(" ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::{super::words::words, *};

    fn root(line: &str) -> Result<Line, Mistake> {
        parse(Context::Root, &words(line.as_bytes()))
    }

    fn set(parameters: &str) -> Result<Settings, Mistake> {
        let line = root(&format!("wlan set hostednetwork {parameters}"))?;
        let Line::Command(Command::Set(settings)) = line else { panic!("{line:?}") };
        Ok(settings)
    }

    fn passphrase(text: &str, persistent: bool) -> Option<SecondaryKey> {
        Some(SecondaryKey { key: Key::passphrase(text.to_owned()).unwrap(), persistent })
    }

    #[test]
    fn every_command_is_known_whole_short_and_in_any_case() {
        let everything: [(&[&str], Command); 10] = [
            (&["wlan show hostednetwork", "WLAN SHOW HOSTEDNETWORK", "wl sh ho"], Command::ShowHostedNetwork),
            (
                &["wlan show hostednetwork setting=security", "wlan sh h sec", "wlan sh ho SET=s"],
                Command::ShowSecurity,
            ),
            (&["wlan show drivers", "wlan show driver", "wlan sh d"], Command::ShowDrivers(None)),
            (
                &["wlan sh dr int=wlan0", "wlan show drivers wlan0"],
                Command::ShowDrivers(Some("wlan0".to_owned())),
            ),
            (&["wlan show interfaces", "wlan show interface", "Wlan sh i"], Command::ShowInterfaces),
            (&["wlan start hostednetwork", "wlan sta h"], Command::Start),
            (&["wlan stop hostednetwork", "wlan sto hosted"], Command::Stop),
            (
                &["wlan refresh hostednetwork data=key", "wlan ref ho key", "wlan ref h d=k"],
                Command::RefreshKey,
            ),
            (&["wlan export hostednetworkprofile", "wlan e h"], Command::Export { folder: None }),
            (
                &["wlan e h folder=\"/a b\"", "wlan e h \"/a b\""],
                Command::Export { folder: Some("/a b".into()) },
            ),
        ];
        for (lines, meaning) in everything {
            for line in lines {
                assert_eq!(command(line), meaning, "{line}");
            }
        }
    }

    fn command(line: &str) -> Command {
        let Ok(Line::Command(command)) = root(line) else { panic!("{line}: {:?}", root(line)) };
        command
    }

    #[test]
    fn a_prefix_of_two_names_and_an_unknown_name_are_no_commands() {
        for line in [
            "wlan st hostednetwork",
            "w show hostednetwork",
            "wlan s ho",
            "wlan show al",
            "wlan frobnicate",
            "x",
        ] {
            assert_eq!(root(line), Err(Mistake::NotFound(line.to_owned())));
        }
        for windows_only in ["wlan show networks", "wlan connect", "interface show interface"] {
            assert_eq!(root(windows_only), Err(Mistake::NotFound(windows_only.to_owned())));
        }
        let told = root("wlan sett hostednetwork key=secretsecret").unwrap_err();
        assert_eq!(told, Mistake::NotFound("wlan sett hostednetwork".to_owned()), "a key is not repeated");
    }

    #[test]
    fn tags_are_free_in_case_order_and_length() {
        let whole = set("mode=allow ssid=net key=12345678 keyUsage=temporary").unwrap();
        let key = passphrase("12345678", false);
        assert_eq!(whole, Settings { allow: Some(true), ssid: Ssid::new(b"net").ok(), key });
        for same in [
            "KEYUSAGE=Temporary KEY=12345678 SSID=net MODE=ALLOW",
            "mo=al ss=net key=12345678 keyu=t",
            "allow net 12345678 temporary",
            "allow net keyusage=temp key=12345678",
            "m=a s=\"net\" key=\"12345678\" keyU=t",
        ] {
            assert_eq!(set(same).unwrap(), whole, "{same}");
        }
        assert_eq!(set("mode=disallow").unwrap().allow, Some(false));
        assert_eq!(set("ssid=a=b").unwrap().ssid, Ssid::new(b"a=b").ok());
        assert_eq!(set("ssid=\"My Net\"").unwrap().ssid, Ssid::new(b"My Net").ok());
    }

    #[test]
    fn a_key_is_a_passphrase_or_sixty_four_digits() {
        assert_eq!(set("key=12345678").unwrap().key, passphrase("12345678", true));
        let longest = "x".repeat(63);
        assert_eq!(set(&format!("key={longest}")).unwrap().key, passphrase(&longest, true));
        let digits = "A5".repeat(32);
        let raw = set(&format!("key={digits} keyusage=persistent")).unwrap().key.unwrap();
        assert_eq!(raw.key, Key::raw(&[0xa5; 32]).unwrap());
        assert_eq!(set("key=1234567"), Err(Mistake::Key(KeyError::PassphraseLength(7))));
        assert_eq!(
            set(&format!("key={}", "g".repeat(64))),
            Err(Mistake::Key(KeyError::PassphraseLength(64)))
        );
        assert_eq!(set("key=pässword"), Err(Mistake::Key(KeyError::NotPrintableAscii)));
    }

    #[test]
    fn what_is_missing_doubled_or_wrong_is_named_and_never_a_key() {
        let topic = Topic::SetHostedNetwork;
        let syntax = |word: Option<&str>| Err(Mistake::Syntax { topic, word: word.map(str::to_owned) });
        assert_eq!(set(""), Err(Mistake::Missing(topic)));
        assert_eq!(set("keyusage=temporary"), Err(Mistake::Missing(topic)));
        assert_eq!(set("mode=maybe"), Err(Mistake::Value { tag: "mode", value: "maybe".into() }));
        assert_eq!(set("ssid="), Err(Mistake::Ssid(0)));
        assert_eq!(set(&format!("ssid={}", "x".repeat(33))), Err(Mistake::Ssid(33)));
        assert_eq!(set("colour=secretsecret"), syntax(Some("colour")));
        assert_eq!(set("ke=12345678"), syntax(Some("ke")), "key or keyUsage?");
        assert_eq!(set("mode=allow mode=allow"), syntax(Some("mode")));
        assert_eq!(set("mode=allow secretsecret"), syntax(None));
        assert_eq!(set("allow net 12345678 temporary secretsecret"), syntax(None));
        assert_eq!(root("wlan refresh hostednetwork"), Err(Mistake::Missing(Topic::RefreshHostedNetwork)));
        assert!(root("wlan start hostednetwork now").is_err());
    }

    #[test]
    fn help_is_there_at_every_level() {
        for (line, topic) in [
            ("?", Topic::Root),
            ("help", Topic::Root),
            ("wlan ?", Topic::Wlan),
            ("wlan help", Topic::Wlan),
            ("wlan set", Topic::Set),
            ("wlan show ?", Topic::Show),
            ("wlan set hostednetwork ?", Topic::SetHostedNetwork),
            ("wlan set hostednetwork mode=allow ?", Topic::SetHostedNetwork),
            ("wlan export hostednetworkprofile help", Topic::ExportProfile),
        ] {
            assert_eq!(root(line), Ok(Line::Help(topic)), "{line}");
        }
    }

    #[test]
    fn a_context_is_entered_and_left() {
        let inside = |line: &str| parse(Context::Wlan, &words(line.as_bytes()));
        assert_eq!(root("wlan"), Ok(Line::Enter(Context::Wlan)));
        assert_eq!(inside("sh ho"), Ok(Line::Command(Command::ShowHostedNetwork)));
        assert_eq!(
            inside("wlan sh ho"),
            Ok(Line::Command(Command::ShowHostedNetwork)),
            "the root is reached too"
        );
        assert_eq!(inside(".."), Ok(Line::Enter(Context::Root)));
        assert_eq!(inside("?"), Ok(Line::Help(Topic::Wlan)));
        for word in ["exit", "bye", "quit", "q"] {
            assert_eq!(inside(word), Ok(Line::Leave));
        }
        assert_eq!(root("exec /x/y"), Ok(Line::Execute("/x/y".into())));
        assert_eq!(root(""), Ok(Line::Nothing));
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(
            inside in any::<bool>(),
            line in proptest::collection::vec(any::<u8>(), 0..120),
            start in prop::sample::select(vec!["", "wlan ", "wlan set hostednetwork ", "wlan show ", "set hostednetwork k"]),
        ) {
            let context = if inside { Context::Wlan } else { Context::Root };
            let _ = parse(context, &words(&[start.as_bytes(), &line].concat()));
        }

        #[test]
        fn a_key_is_never_told(secret in "[a-z]{9,12}", place in 0..5_usize) {
            // Passphrases that are too short by being cut, misplaced, or given to a wrong tag.
            let line = match place {
                0 => format!("mode=allow {secret}"),
                1 => format!("colour={secret}"),
                2 => format!("key={secret} key={secret}"),
                3 => format!("key={secret} {secret}"),
                _ => format!("allow n {secret} temporary {secret}"),
            };
            let mistake = set(&line).unwrap_err();
            let told = format!("{mistake:?}");
            prop_assert!(!told.contains(&secret));
        }
    }
}
