//! What the live screen shows, without a terminal.
#![expect(clippy::unwrap_used, reason = "tests")]

use hn_cli::{
    qr::{QrText, wifi_uri},
    screen::{Model, draw},
};
use hostednet::types::{Key, Ssid, view::Snapshot};
use ratatui::{Terminal, backend::TestBackend};

fn snapshot() -> Snapshot {
    serde_json::from_str(
        r#"{"version":"0.1.0","hosted_network":{"state":"active","reason":"user_action","detail":"","enabled":true,
        "set_by":"user","ssid":"Café ☕","interface":"hnap0","device_guid":"{x}","bssid":"06:00:00:00:00:00","channel":6,
        "frequency_mhz":2437,"phy":"ht","max_peers":100,"references":1,"forced":false,
        "peers":[{"mac":"02:00:00:00:01:00","key":"primary","connected_s":12}]},
        "sharing":{"mode":"full","phase":"running","public":"eth0","private":["hnap0"],"subnet":"192.168.137.1/24",
        "dns":true,"detail":[]},
        "devices":[{"mac":"02:00:00:00:01:00","ipv4":"192.168.137.77","hostname":"pixel","interface":"hnap0",
        "key":"primary","signal_dbm":-40,"rx_bytes":1500,"tx_bytes":2500000,"lease_expires":null,"connected":true}]}"#,
    )
    .unwrap()
}

fn model() -> Model {
    let ssid = Ssid::new("Café ☕".as_bytes()).unwrap();
    let key = Key::passphrase("correct horse battery".into()).unwrap();
    let qr = QrText::new(&wifi_uri(&ssid, &key, false));
    Model {
        snapshot: snapshot(),
        qr,
        key: Some("correct horse battery".into()),
        log: vec!["12:00:00 hello".into()],
    }
}

fn rendered(model: &Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..height).map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n").collect()
}

#[test]
fn a_wide_screen_shows_the_code_and_the_devices() {
    let model = model();
    let text = rendered(&model, 150, 40);
    for line in &model.qr.as_ref().unwrap().lines {
        assert!(text.contains(line.as_str()), "a line of the code is missing or cut");
    }
    for shown in [
        "Café",
        "correct horse battery",
        "192.168.137.77",
        "pixel",
        "1 device",
        "hello",
        "through eth0",
        "2.5 MB",
    ] {
        assert!(text.contains(shown), "{shown} is not shown:\n{text}");
    }
}

#[test]
fn a_small_screen_says_that_the_code_needs_room() {
    let text = rendered(&model(), 80, 24);
    assert!(text.contains("enlarge the window"), "{text}");
    assert!(text.contains("192.168.137.77"), "{text}");
}

#[test]
fn a_screen_of_any_size_is_drawn() {
    for (width, height) in [(1, 1), (2, 2), (10, 3), (40, 5), (300, 100)] {
        rendered(&model(), width, height);
    }
}

#[test]
fn a_pipe_gets_the_code_and_the_facts() {
    let text = model().to_text();
    assert!(text.contains("Key      correct horse battery\n"), "{text}");
    assert!(text.contains("Internet through eth0\n"), "{text}");
}
