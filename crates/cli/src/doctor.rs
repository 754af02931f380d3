//! `hostednet doctor`: why a device is not online, on one screen.

use std::{io::IsTerminal, process::ExitCode};

use hostednet::{
    Error, Session,
    types::{
        diagnosis::{Check, Diagnosis, Verdict},
        text::escape_untrusted,
    },
};

use crate::{report, style::Style};

/// Asks, prints, and tells by the exit status: 0 nothing is wrong, 1 something is.
pub(crate) async fn doctor(session: &Session, device: Option<&str>, json: bool) -> Result<ExitCode, Error> {
    let watched = !json && std::io::stderr().is_terminal();
    if watched {
        report::error(&Style::of_stderr().dim("listening, asking, tracing …"));
    }
    let diagnosis = session.diagnose(device).await;
    if watched {
        report::error("\r\x1b[K");
    }
    let diagnosis = diagnosis?;
    if json {
        report::json(&diagnosis);
    } else {
        report::out(&screen(&diagnosis, Style::of_stdout()));
    }
    Ok(if diagnosis.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What others said – names of devices, rules, interfaces – cannot drive the terminal.
fn safe(text: &str) -> String {
    escape_untrusted(text.as_bytes())
}

fn screen(diagnosis: &Diagnosis, style: Style) -> String {
    let mut out = String::new();
    if let Some(device) = &diagnosis.device {
        let name = device.hostname.as_deref().map(safe);
        let mac = device.mac.map(|mac| mac.to_string());
        let address = device.ipv4.map(|address| address.to_string());
        let facts: Vec<String> = [name, address, mac].into_iter().flatten().collect();
        out.push_str(&format!("{}\n\n", facts.join("  ")));
    }
    let headline = safe(&diagnosis.headline);
    if diagnosis.healthy {
        out.push_str(&format!("{} {}\n", style.good("✓"), style.bold(&headline)));
    } else {
        out.push_str(&format!("{} {}\n", style.bad("✗"), style.bold(&headline)));
    }
    let cause = diagnosis.checks.iter().find(|check| Some(check.name) == diagnosis.cause);
    if let Some(check) = cause {
        out.push_str(&format!("  {} {}\n", style.dim("try:"), safe(&check.remedy)));
        for command in &check.commands {
            out.push_str(&format!("       {}\n", style.bold(&format!("sudo {}", safe(command)))));
        }
    }
    out.push('\n');
    for check in &diagnosis.checks {
        out.push_str(&row(check, diagnosis, style));
    }
    out
}

fn row(check: &Check, diagnosis: &Diagnosis, style: Style) -> String {
    let title = format!("{:<15}", check.name.title());
    let finding = safe(&check.finding);
    let mark = match check.verdict {
        Verdict::Ok => style.good("✓"),
        Verdict::Problem => style.bad("✗"),
        Verdict::Unknown => style.warn("?"),
        Verdict::Skipped => style.dim("–"),
    };
    let finding = match check.verdict {
        Verdict::Ok | Verdict::Problem => finding,
        Verdict::Unknown | Verdict::Skipped => style.dim(&finding),
    };
    let mut row = format!("  {mark} {title} {finding}");
    if let Some(cause) = check.consequence_of {
        row.push_str(&style.dim(&format!(" (follows from: {})", cause.title())));
    }
    row.push('\n');
    // The headline has said the rest of the first cause; that of others comes here.
    let other = check.verdict == Verdict::Problem
        && check.consequence_of.is_none()
        && Some(check.name) != diagnosis.cause;
    if other {
        let indent = " ".repeat(20);
        if !check.cause.is_empty() {
            row.push_str(&format!("{indent}{}\n", safe(&check.cause)));
        }
        row.push_str(&format!("{indent}{} {}\n", style.dim("try:"), safe(&check.remedy)));
        for command in &check.commands {
            row.push_str(&format!("{indent}     sudo {}\n", safe(command)));
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use hostednet::types::diagnosis::{CheckName, ExaminedDevice};

    use super::*;

    fn check(name: CheckName, verdict: Verdict, finding: &str) -> Check {
        Check {
            name,
            verdict,
            finding: finding.into(),
            cause: String::new(),
            remedy: String::new(),
            commands: Vec::new(),
            consequence_of: None,
        }
    }

    #[test]
    fn the_cause_comes_first_with_its_remedy_and_consequences_say_what_they_follow_from() {
        let uplink = Check {
            cause: "its cable is out".into(),
            remedy: "plug the cable in".into(),
            commands: vec!["ip link set eth0 up".into()],
            ..check(CheckName::Uplink, Verdict::Problem, "eth0 has no carrier")
        };
        let gateway = Check {
            consequence_of: Some(CheckName::Uplink),
            ..check(CheckName::Gateway, Verdict::Problem, "the gateway is silent")
        };
        let diagnosis = Diagnosis {
            healthy: false,
            headline: "eth0 has no carrier: its cable is out".into(),
            cause: Some(CheckName::Uplink),
            device: Some(ExaminedDevice { mac: None, ipv4: None, hostname: Some("evil\x1b[2J".into()) }),
            checks: vec![check(CheckName::Radio, Verdict::Skipped, "shared over a wire"), uplink, gateway],
        };
        let text = screen(&diagnosis, Style::plain());
        assert_eq!(
            text,
            "evil\\u{1b}[2J\n\n\
             ✗ eth0 has no carrier: its cable is out\n  try: plug the cable in\n       sudo ip link set eth0 up\n\n\
             \x20 – radio           shared over a wire\n\
             \x20 ✗ uplink          eth0 has no carrier\n\
             \x20 ✗ gateway         the gateway is silent (follows from: uplink)\n"
        );
    }

    #[test]
    fn a_second_cause_brings_its_own_remedy() {
        let rules = Check {
            remedy: "share anew".into(),
            ..check(CheckName::Rules, Verdict::Problem, "a rule is missing")
        };
        let dns = Check {
            cause: "it is off".into(),
            remedy: "name another".into(),
            ..check(CheckName::Dns, Verdict::Problem, "192.0.2.1 was silent")
        };
        let diagnosis = Diagnosis {
            healthy: false,
            headline: "a rule is missing".into(),
            cause: Some(CheckName::Rules),
            device: None,
            checks: vec![rules, dns],
        };
        let text = screen(&diagnosis, Style::plain());
        assert_eq!(text.matches("share anew").count(), 1, "{text}");
        assert!(text.contains("it is off\n") && text.contains("try: name another"), "{text}");
    }
}
