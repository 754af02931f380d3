//! Draws the screen of `hostednet up` as an SVG: `cargo run -p hn-cli --example picture > docs/up.svg`.
#![expect(clippy::print_stdout, reason = "the picture goes to standard output")]

use std::fmt::Write;

use hn_cli::{
    qr::{QrText, wifi_uri},
    screen::{Model, draw},
};
use hostednet::types::{Key, Ssid};
use ratatui::{
    Terminal,
    backend::TestBackend,
    style::{Color, Modifier},
};

const COLUMNS: u16 = 132;
const ROWS: u16 = 28;
const CELL: (u32, u32) = (8, 17);

const STATUS: &str = r#"{"version":"0.1.0","hosted_network":{"state":"active","reason":"user_action","detail":"","enabled":true,
"set_by":"user","ssid":"Café ☕","interface":"hnap0","device_guid":null,"bssid":"06:1d:00:5a:10:00","channel":6,
"frequency_mhz":2437,"phy":"ht","max_peers":100,"references":1,"forced":false,
"peers":[{"mac":"3a:90:11:c4:07:5e","key":"primary","connected_s":754},{"mac":"5c:e9:1e:72:0b:d1","key":"secondary","connected_s":33}]},
"sharing":{"mode":"full","phase":"running","public":"wlan0","private":["hnap0"],"subnet":"192.168.137.1/24","dns":true,"detail":[]},
"devices":[
{"mac":"3a:90:11:c4:07:5e","ipv4":"192.168.137.19","hostname":"pixel-8","interface":"hnap0","key":"primary","signal_dbm":-41,"rx_bytes":812000,"tx_bytes":48211000,"lease_expires":null,"connected":true},
{"mac":"5c:e9:1e:72:0b:d1","ipv4":"192.168.137.174","hostname":"anna-laptop","interface":"hnap0","key":"secondary","signal_dbm":-55,"rx_bytes":95000,"tx_bytes":1904000,"lease_expires":null,"connected":true}]}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ssid = Ssid::new("Café ☕".as_bytes())?;
    let key = "so good, so warm";
    let qr = QrText::new(&wifi_uri(&ssid, &Key::passphrase(key.to_owned())?, false));
    let log = [
        "20:14:02 the network is up",
        "20:14:31 + 3a:90:11:c4:07:5e joined with the primary key",
        "20:14:31 + 3a:90:11:c4:07:5e (pixel-8) has address 192.168.137.19",
        "20:26:10 ! 9e:02:7c:5d:aa:14 was refused: wrong key",
        "20:26:32 + 5c:e9:1e:72:0b:d1 joined with the secondary key",
        "20:26:32 + 5c:e9:1e:72:0b:d1 (anna-laptop) has address 192.168.137.174",
    ];
    let log = log.map(str::to_owned).into();
    let model = Model { snapshot: serde_json::from_str(STATUS)?, qr, key: Some(key.to_owned()), log };
    let mut terminal = Terminal::new(TestBackend::new(COLUMNS, ROWS))?;
    terminal.draw(|frame| draw(frame, &model))?;
    print!("{}", svg(&terminal)?);
    Ok(())
}

fn svg(terminal: &Terminal<TestBackend>) -> Result<String, std::fmt::Error> {
    let (width, height) = (u32::from(COLUMNS) * CELL.0, u32::from(ROWS) * CELL.1);
    let mut out = String::new();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-12 -12 {} {}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" \
         font-size=\"13.3\"><rect x=\"-12\" y=\"-12\" width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>",
        width + 24,
        height + 24
    )?;
    let buffer = terminal.backend().buffer();
    for y in 0..ROWS {
        for x in 0..COLUMNS {
            let Some(cell) = buffer.cell((x, y)) else { continue };
            let (mut ink, mut paper) = (colour(cell.fg, "#d7dae0"), colour(cell.bg, "#16181d"));
            if cell.modifier.contains(Modifier::REVERSED) {
                std::mem::swap(&mut ink, &mut paper);
            }
            let (left, top) = (u32::from(x) * CELL.0, u32::from(y) * CELL.1);
            rectangle(&mut out, (left, top), CELL, paper)?;
            let half = CELL.1 / 2;
            match cell.symbol() {
                " " => {}
                // Blocks are drawn, so that the code in the picture can be scanned whatever the font is.
                "█" => rectangle(&mut out, (left, top), CELL, ink)?,
                "▀" => rectangle(&mut out, (left, top), (CELL.0, half), ink)?,
                "▄" => rectangle(&mut out, (left, top + half), (CELL.0, CELL.1 - half), ink)?,
                symbol => {
                    let weight =
                        if cell.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
                    let dim = if cell.modifier.contains(Modifier::DIM) { " opacity=\"0.6\"" } else { "" };
                    let escaped = symbol.replace('&', "&amp;").replace('<', "&lt;");
                    writeln!(
                        out,
                        "<text x=\"{left}\" y=\"{}\" fill=\"{ink}\"{weight}{dim}>{escaped}</text>",
                        top + 13
                    )?;
                }
            }
        }
    }
    writeln!(out, "</svg>")?;
    Ok(out)
}

fn rectangle(out: &mut String, at: (u32, u32), size: (u32, u32), fill: &str) -> std::fmt::Result {
    if fill == "#16181d" {
        return Ok(());
    }
    writeln!(
        out,
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{fill}\" shape-rendering=\"crispEdges\"/>",
        at.0, at.1, size.0, size.1
    )
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the screen uses a handful of the terminal's colours")]
const fn colour(colour: Color, default: &'static str) -> &'static str {
    match colour {
        Color::Green => "#7bd88f",
        Color::Yellow => "#f5c76a",
        Color::Red => "#f47067",
        Color::DarkGray => "#4a4f5a",
        Color::Rgb(255, 255, 255) => "#ffffff",
        Color::Rgb(0, 0, 0) => "#000000",
        _ => default,
    }
}
