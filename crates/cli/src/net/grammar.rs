//! What can be typed after `net` and `sc`. Pure.

/// A part of the service under its Windows names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Sharing.
    SharedAccess,
    /// The hosted network.
    Wlan,
}

impl Part {
    /// All, in the order of their display names.
    pub(crate) const ALL: [Self; 2] = [Self::SharedAccess, Self::Wlan];

    /// The name of the service.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::SharedAccess => "SharedAccess",
            Self::Wlan => "wlansvc",
        }
    }

    /// What people call it.
    pub(crate) const fn display_name(self) -> &'static str {
        match self {
            Self::SharedAccess => "Internet Connection Sharing (ICS)",
            Self::Wlan => "WLAN AutoConfig",
        }
    }

    /// Its name on the bus.
    pub(crate) const fn bus_name(self) -> &'static str {
        match self {
            Self::SharedAccess => "sharedaccess",
            Self::Wlan => "wlan",
        }
    }

    /// The part of this name, display name or bus name, in any case.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| {
            [part.name(), part.display_name(), part.bus_name()]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        })
    }
}

/// What `net` is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    /// Name the running services.
    List,
    /// Start one.
    Start(Part),
    /// Stop one.
    Stop(Part),
    /// Explain a message.
    Message(u32),
    /// Say what can be typed.
    Help,
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetMistake {
    /// Not a command.
    Syntax,
    /// No service is called so (2185).
    NoService,
}

/// The meaning of the words after `net`.
pub(crate) fn net(words: &[String]) -> Result<Net, NetMistake> {
    // Answers to questions that are not asked here.
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| !["/y", "/yes", "/n", "/no"].iter().any(|answer| word.eq_ignore_ascii_case(answer)))
        .collect();
    let (verb, rest) = words.split_first().ok_or(NetMistake::Syntax)?;
    if rest.last().is_some_and(|word| matches!(*word, "?" | "/?" | "/help")) {
        return Ok(Net::Help);
    }
    match (verb.to_ascii_lowercase().as_str(), rest) {
        ("start", []) => Ok(Net::List),
        ("start", [name]) => Part::find(name).map(Net::Start).ok_or(NetMistake::NoService),
        ("stop", [name]) => Part::find(name).map(Net::Stop).ok_or(NetMistake::NoService),
        ("helpmsg", [number]) => number.parse().map(Net::Message).map_err(|_| NetMistake::Syntax),
        ("help" | "?" | "/?" | "--help" | "-h", _) => Ok(Net::Help),
        _ => Err(NetMistake::Syntax),
    }
}

/// What `sc` is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Show all.
    QueryAll,
    /// Show one.
    Query(Part),
    /// Start one.
    Start(Part),
    /// Stop one.
    Stop(Part),
}

/// The meaning of the words after `sc`.
pub(crate) fn sc(words: &[String]) -> Result<Control, NetMistake> {
    let (verb, rest) = words.split_first().ok_or(NetMistake::Syntax)?;
    let part = |what: fn(Part) -> Control| match rest {
        [name] => Part::find(name).map(what).ok_or(NetMistake::NoService),
        _ => Err(NetMistake::Syntax),
    };
    match verb.to_ascii_lowercase().as_str() {
        "query" if rest.is_empty() => Ok(Control::QueryAll),
        "query" => part(Control::Query),
        "start" => part(Control::Start),
        "stop" => part(Control::Stop),
        _ => Err(NetMistake::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(words: &[&str]) -> Result<Net, NetMistake> {
        net(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn a_service_is_found_under_each_of_its_names() {
        for name in ["sharedaccess", "SharedAccess", "Internet Connection Sharing (ICS)"] {
            assert_eq!(ask(&["stop", name]), Ok(Net::Stop(Part::SharedAccess)));
        }
        for name in ["wlansvc", "WLAN AutoConfig", "wlan"] {
            assert_eq!(ask(&["START", name]), Ok(Net::Start(Part::Wlan)));
        }
        assert_eq!(ask(&["stop", "sharedaccess", "/y"]), Ok(Net::Stop(Part::SharedAccess)));
        assert_eq!(ask(&["stop", "spooler"]), Err(NetMistake::NoService));
    }

    #[test]
    fn what_is_no_command_is_told_apart() {
        assert_eq!(ask(&["start"]), Ok(Net::List));
        assert_eq!(ask(&["helpmsg", "3521"]), Ok(Net::Message(3521)));
        assert_eq!(ask(&["stop", "/?"]), Ok(Net::Help));
        for words in [&[][..], &["stop"], &["use", "x:"], &["helpmsg", "x"], &["start", "a", "b"]] {
            assert_eq!(ask(words), Err(NetMistake::Syntax), "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn no_words_make_it_panic(words in proptest::collection::vec(".{0,12}", 0..4)) {
            let _ = net(&words);
            let _ = sc(&words);
        }
    }
}
