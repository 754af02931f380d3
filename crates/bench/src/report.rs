//! Figures of all rounds, and how they are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One kind of figure.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// Digits behind the point.
    pub(crate) digits: usize,
    /// Whether more is better.
    pub(crate) more: bool,
}

impl Metric {
    /// A figure of which more is better.
    pub(crate) const fn more(name: &'static str, unit: &'static str, digits: usize) -> Self {
        Self { name, unit, digits, more: true }
    }

    /// A figure of which less is better.
    pub(crate) const fn less(name: &'static str, unit: &'static str, digits: usize) -> Self {
        Self { name, unit, digits, more: false }
    }
}

/// Subjects and figures of one comparison.
#[derive(Debug)]
pub(crate) struct Frame {
    /// As typed on the command line.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the reader must know, in Markdown.
    pub(crate) note: &'static str,
    pub(crate) subjects: &'static [Subject],
    pub(crate) metrics: &'static [&'static Metric],
    /// Which subject is divided by which.
    pub(crate) pairs: &'static [(&'static str, &'static str)],
}

/// One thing that is compared.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// The program that must be installed.
    pub(crate) needs: Option<&'static str>,
}

/// The figures of one comparison.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) frame: &'static Frame,
    /// By subject and metric: the figure of each round.
    values: BTreeMap<(&'static str, &'static str), BTreeMap<u32, f64>>,
}

/// Where one measurement writes its figures.
#[derive(Debug)]
pub(crate) struct Sheet<'a> {
    table: &'a mut Table,
    subject: &'static str,
    /// Counted from zero.
    pub(crate) round: u32,
}

impl Sheet<'_> {
    /// Writes a figure down; a missing one is left out.
    pub(crate) fn put(&mut self, metric: &'static Metric, value: impl Into<Option<f64>>) {
        debug_assert!(
            self.table.frame.metrics.iter().any(|known| known.name == metric.name),
            "{}",
            metric.name
        );
        if let Some(value) = value.into().filter(|value| value.is_finite()) {
            self.table.values.entry((self.subject, metric.name)).or_default().insert(self.round, value);
        }
    }
}

/// Median, least and greatest of some rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    pub(crate) rounds: usize,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (least, greatest, rounds) = (*sorted.first()?, *sorted.last()?, sorted.len());
        let middle = rounds / 2;
        let median =
            if rounds % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, least, greatest, rounds })
    }
}

impl Table {
    pub(crate) fn new(frame: &'static Frame) -> Self {
        Self { frame, values: BTreeMap::new() }
    }

    pub(crate) fn sheet(&mut self, subject: &'static str, round: u32) -> Sheet<'_> {
        Sheet { table: self, subject, round }
    }

    /// The figure of all rounds.
    pub(crate) fn spread(&self, subject: &str, metric: &str) -> Option<Spread> {
        Spread::of(self.rounds(subject, metric)?.values().copied())
    }

    /// The figure of `subject` divided by that of `other` in the same round, over the rounds that have both.
    pub(crate) fn ratio(&self, subject: &str, other: &str, metric: &str) -> Option<Spread> {
        let (ours, theirs) = (self.rounds(subject, metric)?, self.rounds(other, metric)?);
        let ratios = ours.iter().filter_map(|(round, value)| {
            let other = theirs.get(round).copied().filter(|other| *other != 0.0)?;
            Some(value / other)
        });
        Spread::of(ratios)
    }

    fn rounds(&self, subject: &str, metric: &str) -> Option<&BTreeMap<u32, f64>> {
        let found = self.values.iter().find(|((a, b), _)| (*a, *b) == (subject, metric));
        found.map(|(_, rounds)| rounds)
    }

    /// Both tables of this comparison: figures, and ratios.
    pub(crate) fn render(&self, rounds: u32) -> String {
        let frame = self.frame;
        let mut text = format!("### {}\n\n{}\n\n", frame.title, frame.note);
        let present: Vec<&str> = frame.subjects.iter().map(|subject| subject.name).collect();
        let mut lines =
            vec![[vec![String::new()], present.iter().map(|name| (*name).to_owned()).collect()].concat()];
        for metric in frame.metrics {
            let cells: Vec<String> = present
                .iter()
                .map(|subject| match self.spread(subject, metric.name) {
                    Some(spread) => cell(spread, metric.digits, rounds),
                    None => "–".to_owned(),
                })
                .collect();
            if cells.iter().any(|cell| cell != "–") {
                lines.push([vec![format!("{}, {}", metric.name, metric.unit)], cells].concat());
            }
        }
        text.push_str(&markdown(&lines, Align::Numbers));
        let head = frame.pairs.iter().map(|(ours, theirs)| format!("{ours} ÷ {theirs}"));
        let mut lines: Vec<Vec<String>> =
            vec![[String::new(), "better is".to_owned()].into_iter().chain(head).collect()];
        // A share divided by a share says nothing.
        for metric in frame.metrics.iter().filter(|metric| metric.unit != "%") {
            let ratios: Vec<Option<Spread>> =
                frame.pairs.iter().map(|(ours, theirs)| self.ratio(ours, theirs, metric.name)).collect();
            if ratios.iter().any(Option::is_some) {
                let better = if metric.more { "more" } else { "less" };
                let cells = ratios.into_iter().map(|ratio| ratio.map_or_else(|| "–".to_owned(), ratio_cell));
                lines.push([metric.name.to_owned(), better.to_owned()].into_iter().chain(cells).collect());
            }
        }
        let _ = write!(text, "\nRatios, taken inside each round:\n\n{}", markdown(&lines, Align::Numbers));
        text
    }
}

/// `median (least–greatest)`, and how many rounds when not all have it.
fn cell(spread: Spread, digits: usize, rounds: u32) -> String {
    // A digit more where a whole number would hide how little it is.
    let digits = if spread.median < 3.0 { digits.max(1) } else { digits };
    let mut text = number(spread.median, digits);
    if spread.rounds > 1 {
        let _ = write!(text, " ({}–{})", number(spread.least, digits), number(spread.greatest, digits));
    }
    if spread.rounds != rounds as usize {
        let _ = write!(text, " [{}]", spread.rounds);
    }
    text
}

fn ratio_cell(spread: Spread) -> String {
    if spread.rounds == 1 {
        return ratio(spread.median);
    }
    format!("{} ({}–{})", ratio(spread.median), ratio(spread.least), ratio(spread.greatest))
}

/// A ratio with the digits that matter: three, two when it is small.
pub(crate) fn ratio(value: f64) -> String {
    let mut digits = match value.abs() {
        value if value >= 100.0 || value == 0.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    while (2..8).contains(&digits) && value != 0.0 && value.abs() * 10_f64.powi(digits) < 10.0 {
        digits += 1;
    }
    number(value, usize::try_from(digits).unwrap_or(0))
}

/// A number with its thousands set apart.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::new();
    if value < 0.0 {
        out.push('-');
    }
    for (place, digit) in whole.char_indices() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// What the columns of a table hold, but for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Numbers,
    Words,
}

/// A table that reads well in Markdown and on a terminal.
pub(crate) fn markdown(lines: &[Vec<String>], align: Align) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
            .max(3)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let left = |column: usize| column == 0 || align == Align::Words;
    let mut text = String::new();
    for (place, line) in lines.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = line.get(column).map_or("", String::as_str);
            let gap = " ".repeat(width - cell.chars().count());
            let _ =
                if left(column) { write!(text, "| {cell}{gap} ") } else { write!(text, "| {gap}{cell} ") };
        }
        text.push_str("|\n");
        if place == 0 {
            for (column, width) in widths.iter().enumerate() {
                let dashes = "-".repeat(*width);
                let _ = if left(column) { write!(text, "|-{dashes}-") } else { write!(text, "|-{dashes}:") };
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Tells the person what happens.
#[expect(clippy::print_stdout, reason = "a program that talks to people")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const RATE: Metric = Metric::more("rate", "/s", 0);
    const FRAME: Frame = Frame {
        name: "x",
        title: "X",
        note: "Note.",
        subjects: &[Subject { name: "ours", needs: None }, Subject { name: "peer", needs: None }],
        metrics: &[&RATE],
        pairs: &[("ours", "peer")],
    };

    #[test]
    fn ratios_are_taken_inside_a_round() {
        let mut table = Table::new(&FRAME);
        // In round 1 the machine was ten times slower for both.
        for (round, ours, peer) in [(0, 2_000.0, 1_000.0), (1, 300.0, 100.0), (2, 2_500.0, 1_000.0)] {
            table.sheet("ours", round).put(&RATE, ours);
            table.sheet("peer", round).put(&RATE, peer);
        }
        let ratio = table.ratio("ours", "peer", "rate").unwrap();
        assert_eq!((ratio.median, ratio.least, ratio.greatest, ratio.rounds), (2.5, 2.0, 3.0, 3));
        let text = table.render(3);
        assert!(text.contains("2,000 (300–2,500)"), "{text}");
        assert!(text.contains("2.50 (2.00–3.00)"), "{text}");
    }

    #[test]
    fn a_round_that_one_of_them_lacks_is_in_no_ratio() {
        let mut table = Table::new(&FRAME);
        table.sheet("ours", 0).put(&RATE, 10.0);
        table.sheet("ours", 1).put(&RATE, 20.0);
        table.sheet("peer", 1).put(&RATE, 10.0);
        table.sheet("peer", 0).put(&RATE, f64::INFINITY);
        let ratio = table.ratio("ours", "peer", "rate").unwrap();
        assert_eq!((ratio.median, ratio.rounds), (2.0, 1));
        assert!(table.render(2).contains("10 [1]"));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(1_234_567.89, 1), "1,234,567.9");
        assert_eq!(number(999.0, 0), "999");
        assert_eq!(ratio(0.004_23), "0.0042");
        assert_eq!(ratio(0.000_043), "0.000043");
        assert_eq!(ratio(0.33), "0.33");
        assert_eq!(ratio(0.0), "0");
        assert_eq!(ratio(123.4), "123");
    }
}
