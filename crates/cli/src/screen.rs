//! The live screen of `up`: how to join on the left, who has joined on the right.

use std::io::{self, Stdout};

use hostednet::types::view::{HostedState, RadarCheckView, SharingMode, Snapshot};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor, execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen},
    },
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style, Stylize},
    text::{Line, Span},
    widgets::{Block, BorderType, Padding, Paragraph, Row, Table},
};

use crate::{qr::QrText, report::device_row, terminal::Quiet};

/// Lines of the log that are kept.
const LOG: usize = 200;

/// Columns of the device table, as [`device_row`] fills them.
const COLUMNS: [(&str, Constraint); 8] = [
    ("NAME", Constraint::Min(11)),
    ("ADDRESS", Constraint::Length(15)),
    ("MAC", Constraint::Length(17)),
    ("KEY", Constraint::Length(9)),
    ("SIGNAL", Constraint::Length(7)),
    ("DOWN", Constraint::Length(8)),
    ("UP", Constraint::Length(8)),
    ("SINCE", Constraint::Length(10)),
];

/// A window in which all of them fit, in columns of the terminal.
const WIDE: u16 = 96;

/// What the screen shows.
#[derive(Clone, Debug)]
pub struct Model {
    /// Everything the service told.
    pub snapshot: Snapshot,
    /// The code, when there is an access point.
    pub qr: Option<QrText>,
    /// The key, for people who type it.
    pub key: Option<String>,
    /// What happened, oldest first.
    pub log: Vec<String>,
}

impl Model {
    /// The same for a pipe or a file: the code, then how to join.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        if let Some(qr) = &self.qr {
            for line in &qr.lines {
                out.push_str(line);
                out.push('\n');
            }
            out.push('\n');
        }
        for (label, value) in self.facts() {
            out.push_str(&format!("{label:<9}{value}\n"));
        }
        out
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let hosted = &self.snapshot.hosted_network;
        let sharing = &self.snapshot.sharing;
        let mut facts = Vec::new();
        if let (HostedState::Active, Some(ssid)) = (hosted.state, hosted.ssid) {
            facts.push(("Network", ssid.to_string()));
            if let Some(key) = &self.key {
                facts.push(("Key", key.clone()));
            }
            if let (Some(channel), Some(frequency)) = (hosted.channel, hosted.frequency_mhz) {
                let following =
                    hosted.access_point.following.map(|it| format!(", following {it}")).unwrap_or_default();
                facts.push(("Channel", format!("{channel} ({frequency} MHz){following}")));
            }
        } else if let Some(check) = hosted.access_point.radar_check {
            let RadarCheckView { channel, remaining_s, .. } = check;
            facts
                .push(("Network", format!("listening for radar on channel {channel}, {remaining_s} s left")));
        } else if hosted.state == HostedState::Unavailable && self.qr.is_some() {
            facts.push(("Network", format!("unavailable: {}", hosted.detail)));
        }
        let out = match sharing.mode {
            SharingMode::Full => sharing
                .public
                .map_or_else(|| "waiting for a connection".to_owned(), |public| format!("through {public}")),
            SharingMode::Standalone => "none: devices reach this machine and each other".to_owned(),
            SharingMode::Off => "off".to_owned(),
        };
        facts.push(("Internet", out));
        if let Some(subnet) = sharing.subnet {
            facts.push(("Address", subnet.to_string()));
        }
        if let Some(prefix) = sharing.ipv6.prefix {
            facts.push(("IPv6", prefix.to_string()));
        }
        facts.extend(sharing.detail.iter().map(|detail| ("Trouble", detail.clone())));
        facts
    }
}

/// The terminal while the screen is shown; put back when dropped, also by a panic's unwinding.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    model: Model,
    _quiet: Quiet,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open(model: Model) -> io::Result<Self> {
        let quiet = Quiet::new(true);
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let mut screen = Self { terminal, model, _quiet: quiet };
        screen.draw();
        Ok(screen)
    }

    /// Shows new facts.
    pub(crate) fn update(&mut self, snapshot: Snapshot) {
        self.model.snapshot = snapshot;
        self.draw();
    }

    /// Adds a line to the log.
    pub(crate) fn log(&mut self, line: String) {
        if self.model.log.len() == LOG {
            self.model.log.remove(0);
        }
        self.model.log.push(line);
        self.draw();
    }

    /// Draws everything; a terminal that cannot be written to is noticed when it hangs up.
    pub(crate) fn draw(&mut self) {
        let model = &self.model;
        let _ = self.terminal.draw(|frame| draw(frame, model));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(io::stdout(), LeaveAlternateScreen, cursor::Show);
    }
}

/// Draws the model. Needs no terminal, so that a test can look at it.
pub fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    draw_head(frame, head, model);
    let wide =
        model.qr.as_ref().map_or(0, |qr| u16::try_from(qr.width()).unwrap_or(u16::MAX)).saturating_add(2);
    let tall =
        model.qr.as_ref().map_or(0, |qr| u16::try_from(qr.lines.len()).unwrap_or(u16::MAX)).saturating_add(2);
    let room = body.width >= wide.saturating_add(50) && body.height >= tall;
    let right = match &model.qr {
        Some(qr) if room => {
            let [left, right] =
                Layout::horizontal([Constraint::Length(wide), Constraint::Fill(1)]).areas(body);
            draw_qr(frame, left, qr);
            right
        }
        _ => body,
    };
    let facts = model.facts();
    let height = u16::try_from(facts.len()).unwrap_or(u16::MAX).saturating_add(2);
    let log = u16::try_from(model.log.len()).unwrap_or(u16::MAX).clamp(1, 8).saturating_add(2);
    let [top, middle, bottom] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(4), Constraint::Length(log)])
            .areas(right);
    draw_facts(frame, top, &facts);
    draw_devices(frame, middle, model);
    draw_log(frame, bottom, model);
    let hint = if model.qr.is_some() && !room { "  enlarge the window to see the QR code" } else { "" };
    frame.render_widget(
        Line::from(vec![" Ctrl-C ".reversed(), " stops and puts everything back".dim(), hint.yellow()]),
        foot,
    );
}

fn panel(title: &str) -> Block<'_> {
    Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().fg(Color::DarkGray))
        .title(Span::styled(format!(" {title} "), Style::new().add_modifier(Modifier::BOLD)))
        .padding(Padding::horizontal(1))
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let (mark, words) = match model.snapshot.hosted_network.state {
        HostedState::Active => ("●".green(), "the network is up"),
        HostedState::Idle if model.qr.is_none() => ("●".green(), "sharing"),
        HostedState::Idle => ("●".yellow(), "the network is stopped"),
        HostedState::Unavailable if model.qr.is_none() => ("●".green(), "sharing"),
        HostedState::Unavailable => ("●".red(), "the network is unavailable"),
    };
    frame.render_widget(Line::from(vec![" ".into(), mark, " hostednet ".bold(), words.into()]), area);
}

fn draw_qr(frame: &mut Frame<'_>, area: Rect, qr: &QrText) {
    let lines: Vec<_> = qr.lines.iter().map(|line| Line::raw(line.as_str())).collect();
    // Filled blocks are the light modules: white on black whatever the terminal's own colours are.
    let code =
        Paragraph::new(lines).style(Style::new().fg(Color::Rgb(255, 255, 255)).bg(Color::Rgb(0, 0, 0)));
    let block = panel("scan to join").padding(Padding::ZERO);
    let height = u16::try_from(qr.lines.len()).unwrap_or(u16::MAX);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    frame.render_widget(code, Rect { height: height.min(inner.height), ..inner });
}

fn draw_facts(frame: &mut Frame<'_>, area: Rect, facts: &[(&'static str, String)]) {
    let lines: Vec<_> = facts
        .iter()
        .map(|(label, value)| {
            let value = match *label {
                "Network" => value.as_str().bold(),
                "Trouble" => value.as_str().yellow(),
                _ => value.as_str().into(),
            };
            Line::from(vec![format!("{label:<9}").dim(), value])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(panel("join")), area);
}

fn draw_devices(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let count = model.snapshot.devices.iter().filter(|device| device.connected).count();
    let title = match count {
        0 => "nobody has joined yet".to_owned(),
        1 => "1 device".to_owned(),
        more => format!("{more} devices"),
    };
    // What a narrow window has no room for is in `hostednet devices`.
    let narrow = area.width < WIDE;
    let shown = |column: &usize| !narrow || !matches!(column, 2 | 5 | 6);
    let rows: Vec<_> = model
        .snapshot
        .devices
        .iter()
        .map(|device| {
            let cells = device_row(device, &model.snapshot).into_iter().enumerate();
            let row =
                Row::new(cells.filter(|(column, _)| shown(column)).map(|(_, cell)| cell).collect::<Vec<_>>());
            if device.connected { row } else { row.style(Style::new().dim()) }
        })
        .collect();
    let columns = COLUMNS.iter().enumerate().filter(|(column, _)| shown(column)).map(|(_, column)| column);
    let (titles, widths): (Vec<_>, Vec<_>) = columns.copied().unzip();
    let heading = Row::new(titles).style(Style::new().dim());
    frame.render_widget(Table::new(rows, widths).header(heading).block(panel(&title)), area);
}

fn draw_log(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let visible = usize::from(area.height.saturating_sub(2));
    let skipped = model.log.len().saturating_sub(visible);
    let lines: Vec<_> = model.log.iter().skip(skipped).map(|line| Line::raw(line.as_str())).collect();
    frame.render_widget(Paragraph::new(lines).block(panel("events")), area);
}
