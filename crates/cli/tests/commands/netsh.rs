//! `netsh`, `net` and `sc`: what they print, letter for letter, and how they end. The one-liners are what scripts do
//! with the text.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
};

use hn_conformance::checks;

use super::*;

/// Nobody, who has no rights.
const NOBODY: &str = "65534";

impl World {
    /// A folder with the program under these names.
    fn called(&self, names: &[&str]) -> PathBuf {
        let folder = self.folder.path().join("bin");
        fs::create_dir_all(&folder).unwrap();
        for name in names {
            symlink(env!("CARGO_BIN_EXE_hostednet"), folder.join(name)).unwrap();
        }
        folder
    }

    /// What a shell script prints that finds `netsh` and `net` in its path.
    fn script(&self, script: &str) -> String {
        let folder = self.folder.path().join("bin");
        if !folder.exists() {
            self.called(&["netsh", "net", "sc"]);
        }
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("PATH", path).stdin(Stdio::null());
        let output = shell.env("HOSTEDNET_SOCKET", self.folder.path().join("run/bus")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the command as somebody without rights.
    fn unprivileged(&self, words: &[&str]) -> Output {
        for folder in [self.folder.path(), &self.folder.path().join("run")] {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
            env!("CARGO_BIN_EXE_hostednet"),
        ]);
        command.args(words).env("HOSTEDNET_SOCKET", self.folder.path().join("run/bus")).output().unwrap()
    }

    /// Exit status and what `netsh` said.
    fn refused(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(&[&["netsh"], words].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    }
}

fn text(output: &Output) -> (i32, String, String) {
    let read = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), read(&output.stdout), read(&output.stderr))
}

#[test]
fn a_script_for_windows_sets_up_and_reads_the_hosted_network() {
    let world = World::new();
    let set =
        world.run(&["netsh", "wlan", "set", "hostednetwork", "mode=allow", "ssid=My Net", "key=12345678"]);
    assert_eq!(
        text(&set),
        (
            0,
            "The hosted network mode has been set to allow.\nThe SSID of the hosted network has been successfully \
             changed.\nThe user key passphrase of the hosted network has been successfully changed.\n\n"
                .to_owned(),
            // Programs take a word there for a failure.
            String::new()
        )
    );
    assert_eq!(world.ok(&["netsh", "wlan", "start", "hostednetwork"]), "The hosted network started.\n\n");
    assert_eq!(world.console("join 02:00:00:00:01:01 secondary pixel"), "ok");
    wait(|| world.json(&["devices", "--json"]).as_array().unwrap().len() == 1);
    let hosted = world.json(&["status", "--json"])["hosted_network"].clone();
    let golden = format!(
        "
Hosted network settings
-----------------------
    Mode                   : Allowed
    SSID name              : \"My Net\"
    Max number of clients  : 100
    Authentication         : WPA2-Personal
    Cipher                 : CCMP

Hosted network status
---------------------
    Status                 : Started
    BSSID                  : {}
    Radio type             : 802.11n
    Channel                : 6
    Number of clients      : 1
        02:00:00:00:01:01        Authenticated

",
        hosted["bssid"].as_str().unwrap()
    );
    assert_eq!(world.ok(&["netsh", "wlan", "show", "hostednetwork"]), golden);
    for (script, found) in [
        ("netsh wlan show hostednetwork | grep -c 'Status                 : Started'", "1"),
        ("netsh wlan show hostednetwork | awk -F': ' '/Number of clients/ {print $2}'", "1"),
        ("netsh wlan show hostednetwork | sed -n 's/^ *SSID name *: \"\\(.*\\)\"$/\\1/p'", "My Net"),
        (
            "netsh wlan show hostednetwork | grep -oE '([0-9a-f]{2}:){5}[0-9a-f]{2} +Authenticated' | cut -d' ' -f1",
            "02:00:00:00:01:01",
        ),
        ("netsh wlan show hostednetwork | awk '/Channel/ {print $NF}'", "6"),
        (
            "netsh wlan show hostednetwork setting=security | awk -F: '$1 ~ /User security key *$/ {print $2}' | tr -d ' '",
            "12345678",
        ),
        ("netsh wlan show driver | grep -q 'Hosted network supported  : Yes' && echo capable", "capable"),
        ("netsh wlan show interfaces | awk -F': ' '$1 ~ /^ *SSID/ {print $2}'", "Home"),
        ("netsh wlan show interfaces | sed -n 's/.*Signal *: \\([0-9]*\\)%.*/\\1/p'", "96"),
        ("netsh wlan show interfaces | tail -2 | head -1", "    Hosted network status  : Started"),
        (
            "netsh wlan stop hostednetwork > /dev/null && netsh wlan show hostednetwork | awk -F': ' '$1 ~ /^ *Status/ {print $2}'",
            "Not started",
        ),
    ] {
        assert_eq!(world.script(script), format!("{found}\n"), "{script}");
    }
    let stop = world.ok(&["netsh", "wlan", "stop", "hostednetwork"]);
    assert_eq!(stop, "The hosted network stopped.\n\n");
}

#[test]
fn the_interfaces_and_their_drivers_are_shown_as_netsh_shows_them() {
    let world = World::new();
    let rows = world.json(&["connections", "--json"]);
    let wlan0 = rows.as_array().unwrap().iter().find(|row| row["name"] == "wlan0").unwrap();
    let guid = wlan0["guid"].as_str().unwrap().trim_matches(['{', '}']).to_lowercase();
    let golden = format!(
        "
There is 1 interface on the system:

    Name                   : wlan0
    Description            : sim wireless adapter (phy0)
    GUID                   : {guid}
    Physical address       : 02:00:00:00:00:03
    State                  : connected
    SSID                   : Home
    BSSID                  : 02:00:00:00:99:01
    Network type           : Infrastructure
    Radio type             : 802.11n
    Authentication         : WPA2-Personal
    Cipher                 : CCMP
    Connection mode        : Profile
    Channel                : 6
    Receive rate (Mbps)    : 72.2
    Transmit rate (Mbps)   : 65
    Signal                 : 96%
    Profile                : Home

    Hosted network status  : Not started

"
    );
    assert_eq!(world.ok(&["netsh", "wlan", "show", "interfaces"]), golden);
    let golden = "
Interface name: wlan0

    Driver                    : sim wireless adapter (phy0)
    Vendor                    : Linux
    Provider                  : sim
    Type                      : Native Wi-Fi Driver
    Radio types supported     : 802.11a 802.11b 802.11g 802.11n
    Hosted network supported  : Yes
    Authentication and cipher supported in infrastructure mode:
                                Open            None
                                WPA2-Personal   CCMP

";
    assert_eq!(world.ok(&["netsh", "wlan", "show", "drivers"]), golden);
    assert_eq!(world.ok(&["netsh", "wlan", "show", "drivers", "interface=WLAN0"]), golden);
    let none = (1, "There is no wireless interface on the system.\n".to_owned());
    assert_eq!(world.refused(&["wlan", "show", "drivers", "interface=eth0"]), none);
    world.console("adapter off");
    wait(|| world.refused(&["wlan", "show", "interfaces"]) == none);
    assert_eq!(world.refused(&["wlan", "show", "drivers"]), none);
}

#[test]
fn keys_are_shown_set_and_refreshed() {
    let world = World::new();
    let security = || world.ok(&["netsh", "wlan", "show", "hostednetwork", "setting=security"]);
    let value = |label: &str| {
        let shown = security();
        let line = shown.lines().find(|line| line.starts_with(&format!("    {label}"))).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(
        security(),
        "\nHosted network security settings\n--------------------------------\n    System security key    : <Not \
         specified>\n    User security key      : <Not specified>\n    User security key usage: <Not specified>\n\n"
    );
    world.ok(&["netsh", "wlan", "start", "hostednetwork"]);
    let system = value("System security key");
    assert_eq!(system.len(), 63);
    world.ok(&["netsh", "wlan", "set", "hostednetwork", "key=open sesame", "keyUsage=temporary"]);
    assert_eq!(
        (value("User security key  "), value("User security key usage")),
        ("open sesame".into(), "Temporary".into())
    );
    let digits = "A5".repeat(32);
    world.ok(&["netsh", "wlan", "set", "hostednetwork", &format!("key={digits}")]);
    assert_eq!(value("User security key  "), digits.to_lowercase());
    assert_eq!(value("User security key usage"), "Persistent");
    let refreshed = world.ok(&["netsh", "wlan", "refresh", "hostednetwork", "data=key"]);
    assert_eq!(refreshed, "The system key of the hosted network has been successfully refreshed.\n\n");
    assert_ne!(value("System security key"), system);
}

#[test]
fn a_set_with_one_bad_value_changes_nothing() {
    let world = World::new();
    let before = world.json(&["settings", "--json"]);
    for (bad, said) in [
        ("key=short", "a passphrase has 8 to 63 characters, this one has 5"),
        ("keyUsage=forever", "forever is not an acceptable value for keyUsage."),
        ("colour=blue", "colour is not a valid argument for this command."),
    ] {
        let words = ["wlan", "set", "hostednetwork", "mode=disallow", "ssid=other", "key=12345678", bad];
        let words: Vec<&str> =
            words.into_iter().filter(|word| *word != "key=12345678" || !bad.starts_with("key=")).collect();
        let (status, told) = world.refused(&words);
        assert_eq!(status, 1);
        assert!(told.contains(said), "{told}");
        assert!(!told.contains("12345678"), "the key is repeated: {told}");
    }
    assert_eq!(world.json(&["settings", "--json"]), before);
}

#[test]
fn refusals_are_netshs_sentence_and_the_systems() {
    let world = World::new();
    assert_eq!(
        world.refused(&["wlan", "frobnicate", "now"]),
        (1, "The following command was not found: wlan frobnicate now.\n".to_owned())
    );
    let (status, said) = world.refused(&["wlan", "set", "hostednetwork"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("One or more essential parameters were not entered.\n"), "{said}");
    assert!(said.contains("Usage: set hostednetwork [mode=]allow|disallow"), "{said}");
    world.console("fail radio the driver said no");
    let failed = world.run(&["netsh", "wlan", "start", "hostednetwork"]);
    let (status, said, why) = text(&failed);
    assert_eq!(
        (status, said.as_str()),
        (
            1,
            "The hosted network couldn't be started.\nA device attached to the system is not functioning.\n\n"
        )
    );
    assert!(why.contains("the driver said no"), "{why}");
    world.ok(&["netsh", "wlan", "set", "hostednetwork", "mode=disallow"]);
    assert_eq!(
        world.refused(&["wlan", "start", "hostednetwork"]).1,
        "The hosted network couldn't be started.\nThe group or resource is not in the correct state to perform the \
         requested operation.\n\n"
    );
    for words in [&["wlan", "start", "hostednetwork"][..], &["wlan", "set", "hostednetwork", "mode=allow"]] {
        let (status, said, _) = text(&world.unprivileged(&[&["netsh"], words].concat()));
        let right = "You must run this command from a command prompt with administrator privilege.\n";
        assert_eq!((status, said.as_str()), (1, right), "{words:?}");
    }
    world.ok(&["net", "stop", "wlansvc"]);
    for words in
        [&["wlan", "start", "hostednetwork"][..], &["wlan", "show", "hostednetwork"], &["wlan", "sh", "i"]]
    {
        let stopped = "The Wireless AutoConfig Service (wlansvc) is not running.\n";
        assert_eq!(world.refused(words), (1, stopped.to_owned()), "{words:?}");
    }
}

#[test]
fn help_is_printed_and_is_no_failure() {
    let world = World::new();
    for (words, part) in [
        (&["netsh", "?"][..], "wlan           - Changes to the `netsh wlan' context."),
        (&["netsh", "wlan", "?"], "start          - Start hosted network."),
        (&["netsh", "wlan"], "show           - Displays information."),
        (&["netsh", "wlan", "set", "hostednetwork", "?"], "keyUsage   - Whether"),
        (&["netsh", "wlan", "show", "?"], "show drivers"),
        (&["net", "help"], "NET STOP"),
    ] {
        assert!(world.ok(words).contains(part), "{words:?}: {}", world.ok(words));
    }
}

#[test]
fn commands_come_from_scripts_and_from_standard_input_too() {
    let world = World::new();
    let script = world.folder.path().join("setup.txt");
    fs::write(
        &script,
        "# the network of the café\r\nwlan\r\nset ho ssid=\"Café Net\" key=\"a b c d e\"\r\nsta ho\r\n",
    )
    .unwrap();
    let script = script.to_str().unwrap();
    let said = world.ok(&["netsh", "-f", script]);
    assert!(said.ends_with("The hosted network started.\n\n"), "{said}");
    assert_eq!(world.json(&["settings", "--json"])["ssid"], "Café Net");
    assert_eq!(world.json(&["key", "show", "--json"])["secondary"]["key"], "a b c d e");
    let output =
        world.feed(&["netsh"], "wlan\nshow hostednetwork\nstop hostednetwork\nexit\nstart hostednetwork\n");
    let (status, said, _) = text(&output);
    assert_eq!(status, 0);
    assert!(said.contains("    SSID name              : \"Café Net\"\n"), "{said}");
    assert!(said.ends_with("The hosted network stopped.\n\n"), "exit ends it: {said}");
    let output = world.feed(&["netsh", "-c", "wlan"], "nonsense\nshow hostednetwork\n");
    assert_eq!(output.status.code(), Some(1), "one line failed");
    assert!(text(&output).1.contains("Not started"), "the others were done");
    assert!(world.ok(&["netsh", "-c", "wlan", "show", "hostednetwork"]).contains("Not started"));
    assert_eq!(world.refused(&["-f", "/nonexistent/script"]).0, 1);
    fs::write(script, format!("exec {script}\n")).unwrap();
    assert_eq!(world.refused(&["-f", script]), (1, "A script calls itself.\n".to_owned()));
}

#[test]
fn the_program_is_what_it_is_called() {
    let world = World::new();
    let folder = world.called(&["netsh", "NetSh.exe", "net", "NET.EXE", "sc"]);
    let run = |name: &str, words: &[&str]| {
        let mut command = Command::new(folder.join(name));
        command.args(words).env("HOSTEDNET_SOCKET", world.folder.path().join("run/bus"));
        text(&command.stdin(Stdio::null()).output().unwrap())
    };
    for name in ["netsh", "NetSh.exe"] {
        let (status, said, _) = run(name, &["WLAN", "SHOW", "HOSTEDNETWORK"]);
        assert_eq!(status, 0);
        assert!(said.starts_with("\nHosted network settings\n"), "{said}");
        assert_eq!(run(name, &["show", "nothing"]).0, 1);
    }
    for name in ["net", "NET.EXE"] {
        assert!(run(name, &["start"]).1.starts_with("These Windows services are started:\n"));
    }
    assert!(run("sc", &["query", "sharedaccess"]).1.contains("SERVICE_NAME: SharedAccess\n"));
}

#[test]
fn a_key_among_the_arguments_is_taken_out_of_sight() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    // A service that never answers: the command stays for as long as it is looked at.
    let _silent = UnixListener::bind(&socket).unwrap();
    let mut netsh = Command::new(env!("CARGO_BIN_EXE_hostednet"))
        .args(["netsh", "wlan", "set", "hostednetwork", "ssid=visible net", "key=secretsecret"])
        .env("HOSTEDNET_SOCKET", &socket)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let shown = || fs::read(format!("/proc/{}/cmdline", netsh.id())).unwrap();
    wait(|| String::from_utf8_lossy(&shown()).contains("key=************"));
    let shown = String::from_utf8(shown()).unwrap();
    netsh.kill().unwrap();
    netsh.wait().unwrap();
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("netsh\0wlan\0set\0hostednetwork\0"), "what is no secret stays: {shown}");
}

#[test]
fn the_profile_is_saved_where_only_its_owner_can_read_it() {
    let world = World::new();
    let folder = world.folder.path().join("profiles");
    fs::create_dir(&folder).unwrap();
    let export = || {
        world.run(&[
            "netsh",
            "wlan",
            "export",
            "hostednetworkprofile",
            &format!("folder={}", folder.display()),
        ])
    };
    assert_eq!(text(&export()).0, 1, "nothing is configured");
    world.ok(&["netsh", "wlan", "set", "hostednetwork", "ssid=a/b"]);
    let file = folder.join("Hosted Network-a_b.xml");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let (status, said, _) = text(&export());
    assert_eq!(status, 0);
    assert_eq!(
        said,
        format!("Hosted network profile \"a/b\" is saved in file \"{}\" successfully.\n\n", file.display())
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let profile = fs::read_to_string(&file).unwrap();
    let key = world.json(&["key", "show", "--json"])["primary"]["key"].clone();
    assert!(profile.contains("<hex>612F62</hex>"), "{profile}");
    // Marks of XML in the key are written as entities.
    let plain = profile
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    assert!(plain.contains(&format!("<keyMaterial>{}</keyMaterial>", key.as_str().unwrap())), "{profile}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn a_part_is_found_started_and_stopped_under_its_windows_name() {
    let world = World::new();
    let all = "These Windows services are started:\n\n   Internet Connection Sharing (ICS)\n   WLAN AutoConfig\n\nThe \
               command completed successfully.\n\n";
    let refused = |words: &[&str]| {
        let (status, said, why) = text(&world.run(words));
        assert_eq!((status, said.as_str()), (2, ""), "{words:?}");
        why
    };
    let names = ["sharedaccess", "SharedAccess", "Internet Connection Sharing (ICS)"];
    // It starts when somebody shares or, as here, by its name.
    world.ok(&["net", "start", "SharedAccess"]);
    checks!(M124:
        assert_eq!(world.ok(&["net", "start"]), all);
        assert!(world.ok(&["sc", "query", "SharedAccess"]).contains("        STATE              : 4  RUNNING\n"));
        for name in names {
            assert_eq!(
                world.ok(&["net", "stop", name]),
                "The Internet Connection Sharing (ICS) service is stopping.\nThe Internet Connection Sharing (ICS) \
                 service was stopped successfully.\n\n"
            );
            let parts = world.json(&["service", "status", "--json"]);
            let part = parts.as_array().unwrap().iter().find(|part| part["name"] == "sharedaccess").unwrap();
            assert_eq!(part["state"], "stopped");
            assert!(!world.ok(&["net", "start"]).contains("Sharing"));
            assert!(world.ok(&["sc", "query", name]).contains("        STATE              : 1  STOPPED\n"));
            assert_eq!(
                refused(&["net", "stop", name]),
                "The Internet Connection Sharing (ICS) service is not started.\n\nMore help is available by typing \
                 NET HELPMSG 3521.\n\n"
            );
            assert_eq!(
                world.ok(&["net", "start", name]),
                "The Internet Connection Sharing (ICS) service is starting.\nThe Internet Connection Sharing (ICS) \
                 service was started successfully.\n\n"
            );
            assert_eq!(world.ok(&["net", "start"]), all);
        }
    );
    assert_eq!(
        refused(&["net", "start", "wlansvc"]),
        "The requested service has already been started.\n\nMore help is available by typing NET HELPMSG 2182.\n\n"
    );
    assert_eq!(
        refused(&["net", "stop", "spooler"]),
        "The service name is invalid.\n\nMore help is available by typing NET HELPMSG 2185.\n\n"
    );
    assert_eq!(world.run(&["net", "stop"]).status.code(), Some(1));
    assert_eq!(world.ok(&["net", "helpmsg", "3521"]), "\nThe *** service is not started.\n\n");
    assert!(
        refused(&["net", "helpmsg", "999999"])
            .starts_with("999999 is not a valid Windows network message number.")
    );
    assert!(world.ok(&["sc", "stop", "wlansvc"]).contains("STOPPED"));
    assert_eq!(world.run(&["sc", "stop", "wlansvc"]).status.code(), Some(1062 & 0xff));
    assert!(world.ok(&["sc", "start", "wlansvc"]).contains("RUNNING"));
    assert_eq!(world.run(&["sc", "query", "spooler"]).status.code(), Some(1060 & 0xff));
}

#[test]
fn net_stop_sharedaccess_stops_full_sharing_for_an_administrator_only() {
    let world = World::new();
    let sharing = || world.json(&["status", "--json"])["sharing"].clone();
    checks!(M075:
        for stop in [&["unshare"][..], &["net", "stop", "sharedaccess"]] {
            world.ok(&["share", "auto", "eth1"]);
            assert_eq!((&sharing()["mode"], &sharing()["phase"]), (&"full".into(), &"running".into()));
            world.ok(stop);
            assert_eq!((&sharing()["mode"], &sharing()["phase"]), (&"off".into(), &"stopped".into()));
        }
    );
    world.ok(&["net", "start", "sharedaccess"]);
    world.ok(&["share", "auto", "eth1"]);
    assert_eq!(sharing()["mode"], "full");
    checks!(M076:
        let (status, said, why) = text(&world.unprivileged(&["net", "stop", "sharedaccess"]));
        assert_eq!((status, said.as_str()), (2, ""));
        assert!(why.starts_with("System error 5 has occurred.\n\nAccess is denied.\n\n"), "{why}");
        assert_eq!((&sharing()["mode"], &sharing()["phase"]), (&"full".into(), &"running".into()));
        let stopped = world.ok(&["net", "stop", "sharedaccess"]);
        assert!(stopped.ends_with("service was stopped successfully.\n\n"), "{stopped}");
        assert_eq!((&sharing()["mode"], &sharing()["phase"]), (&"off".into(), &"stopped".into()));
    );
}

#[test]
fn neither_netsh_nor_the_sharing_commands_start_or_stop_standalone() {
    let world = World::new();
    let sharing = || world.json(&["status", "--json"])["sharing"].clone();
    // What people would try. There is no command, so nothing of it may be half understood.
    let attempts: [&[&str]; 7] = [
        &["netsh", "routing", "ip", "autodhcp", "install"],
        &["netsh", "routing", "ip", "nat", "install"],
        &["netsh", "sharedaccess", "stop"],
        &["netsh", "wlan", "start", "sharing"],
        &["netsh", "wlan", "stop", "sharing"],
        &["netsh", "wlan", "set", "hostednetwork", "sharing=standalone"],
        &["unshare"],
    ];
    checks!(M072:
        for start in [false, true] {
            if start {
                world.ok(&["start"]);
            }
            let before = sharing();
            assert_eq!(before["mode"], if start { "standalone" } else { "off" });
            for words in attempts {
                let output = world.run(words);
                // Ending what is not there is no error; ending standalone is.
                assert_eq!(output.status.success(), words == ["unshare"] && !start, "{words:?} {output:?}");
                assert_eq!(sharing(), before, "{words:?}");
            }
        }
        // Full takes its place, and leaves nothing behind: the network goes on bare.
        let network = world.json(&["status", "--json"])["hosted_network"]["interface"].clone();
        world.ok(&["share", "auto", network.as_str().unwrap()]);
        assert_eq!(sharing()["mode"], "full");
        world.ok(&["unshare"]);
        for words in attempts {
            world.run(words);
            assert_eq!(sharing()["mode"], "off", "{words:?}");
        }
        assert_eq!(world.json(&["status", "--json"])["hosted_network"]["state"], "active");
    );
}
