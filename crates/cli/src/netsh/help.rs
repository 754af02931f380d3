//! The help texts of `netsh`, in its layout.

use super::grammar::Topic;

const END: &str =
    "\nTo view help for a command, type the command, followed by a space, and then\n type ?.\n\n";

/// The text of a topic.
pub(crate) fn help(topic: Topic) -> String {
    match topic {
        Topic::Root => format!(
            "\nUsage: netsh [-c Context] [Command | -f ScriptFile]\n\n\
             The following commands are available:\n\n\
             Commands in this context:\n\
             ..             - Goes up one context level.\n\
             ?              - Displays a list of commands.\n\
             bye            - Exits the program.\n\
             exec           - Runs a script file.\n\
             exit           - Exits the program.\n\
             help           - Displays a list of commands.\n\
             quit           - Exits the program.\n\
             wlan           - Changes to the `netsh wlan' context.\n\n\
             The following sub-contexts are available:\n wlan\n{END}"
        ),
        Topic::Wlan => commands(&[
            ("?", "Displays a list of commands."),
            ("export", "Saves the profile of the hosted network to an XML file."),
            ("help", "Displays a list of commands."),
            ("refresh", "Refreshes hosted network settings."),
            ("set", "Sets configuration information."),
            ("show", "Displays information."),
            ("start", "Start hosted network."),
            ("stop", "Stop hosted network."),
        ]),
        Topic::Set => commands(&[("set hostednetwork", "Set hosted network properties.")]),
        Topic::Show => commands(&[
            ("show drivers", "Shows properties of the wireless LAN drivers on the system."),
            ("show hostednetwork", "Show hosted network properties and status."),
            ("show interfaces", "Shows a list of the wireless LAN interfaces on the system."),
        ]),
        Topic::Start => commands(&[("start hostednetwork", "Start hosted network.")]),
        Topic::Stop => commands(&[("stop hostednetwork", "Stop hosted network.")]),
        Topic::Refresh => commands(&[("refresh hostednetwork", "Refresh hosted network settings.")]),
        Topic::Export => commands(&[(
            "export hostednetworkprofile",
            "Saves the profile of the hosted network to an XML file.",
        )]),
        Topic::SetHostedNetwork => command(
            "set hostednetwork [mode=]allow|disallow\n       [ssid=]<ssid> [key=]<passphrase> [keyUsage=]persistent|temporary",
            &[
                ("mode", "Whether the hosted network is allowed. Needs administrator rights."),
                ("ssid", "The name of the hosted network, 1 to 32 bytes."),
                ("key", "The user security key: 8 to 63 ASCII characters, or 64 hexadecimal digits."),
                ("keyUsage", "Whether the user security key is kept (the default) or serves one session."),
            ],
            "At least one parameter is needed, and key for keyUsage. Nothing is changed unless every\n         \
             parameter is valid. A running network stops when its name changes. A key given as an\n         \
             argument can be seen by other users of the machine for a moment: hostednet key set\n         \
             reads it from standard input instead, and so do lines of a script (netsh -f).",
            "set hostednetwork mode=allow\n       set hostednetwork ssid=\"My Network\"\n       \
             set hostednetwork key=passphrase keyUsage=temporary",
        ),
        Topic::ShowHostedNetwork => command(
            "show hostednetwork [[setting=]security]",
            &[("setting", "security: the keys of the hosted network.")],
            "Shows the settings and the status of the hosted network.",
            "show hostednetwork\n       show hostednetwork setting=security",
        ),
        Topic::ShowDrivers => command(
            "show drivers [[interface=]<name>]",
            &[("interface", "Only this interface.")],
            "Shows the driver of each wireless interface, and whether it can run the hosted network.",
            "show drivers\n       show drivers interface=wlan0",
        ),
        Topic::ShowInterfaces => command(
            "show interfaces",
            &[],
            "Shows each wireless interface and what it is connected to.",
            "show interfaces",
        ),
        Topic::StartHostedNetwork => command(
            "start hostednetwork",
            &[],
            "The network runs until it is stopped. Needs administrator rights.",
            "start hostednetwork",
        ),
        Topic::StopHostedNetwork => command(
            "stop hostednetwork",
            &[],
            "The network stops whoever uses it. Needs administrator rights.",
            "stop hostednetwork",
        ),
        Topic::RefreshHostedNetwork => command(
            "refresh hostednetwork [data=]key",
            &[("data", "key: make a new system security key.")],
            "A running network stops. Devices that used the old key need the new one.",
            "refresh hostednetwork data=key",
        ),
        Topic::ExportProfile => command(
            "export hostednetworkprofile [[folder=]<path>]",
            &[("folder", "Where to save the file; the current folder if absent.")],
            "The profile holds the system security key in the clear; only its owner can read the file.",
            "export hostednetworkprofile folder=/root",
        ),
    }
}

fn commands(list: &[(&str, &str)]) -> String {
    let lines: String = list.iter().map(|(name, what)| format!("{name:<15}- {what}\n")).collect();
    format!("\nThe following commands are available:\n\nCommands in this context:\n{lines}{END}")
}

fn command(usage: &str, tags: &[(&str, &str)], remarks: &str, examples: &str) -> String {
    let mut text = format!("\nUsage: {usage}\n\n");
    if !tags.is_empty() {
        text.push_str("Parameters:\n\n       Tag          Value\n");
        for (tag, value) in tags {
            text.push_str(&format!("       {tag:<11}- {value}\n"));
        }
        text.push('\n');
    }
    text.push_str(&format!("Remarks: {remarks}\n\nExamples:\n\n       {examples}\n\n"));
    text
}
