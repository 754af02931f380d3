//! Reading a QR code off a terminal: the characters are drawn as a picture, which `zbarimg` (written by
//! others) decodes.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{self, SHORT};

/// Pixels for one module of the code.
const SCALE: usize = 4;
/// Light pixels around the picture: a decoder wants a quiet zone of four modules.
const MARGIN: usize = 8 * SCALE;

/// Decodes the first QR code drawn in `screen` (plain text, as [`crate::screen::Screen`] gives it) with the block
/// characters `█ ▀ ▄` and blanks, in either polarity. Text may stand beside it.
///
/// # Errors
/// If there is no such drawing, or `zbarimg` cannot read it.
pub fn read(screen: &str) -> Result<String> {
    let drawn = drawing(screen).with_context(|| format!("no drawing of a QR code in:\n{screen}"))?;
    let first = decode(&drawn, Ink::Light);
    match first {
        Ok(text) => Ok(text),
        Err(_) => decode(&drawn, Ink::Dark).context("zbarimg reads it in neither polarity"),
    }
}

/// The rows of the drawing: below an unbroken edge of blocks, in its columns, as long as there are only blocks.
fn drawing(screen: &str) -> Option<Vec<String>> {
    let lines: Vec<Vec<char>> = screen.lines().map(|line| line.chars().collect()).collect();
    let edge = |line: &[char]| {
        let mut start = 0;
        line.chunk_by(|a, b| a == b).find_map(|run| {
            let begin = start;
            start += run.len();
            (run.first() == Some(&'█') && run.len() >= 21).then_some(begin..start)
        })
    };
    let (top, columns) = lines.iter().enumerate().find_map(|(row, line)| Some((row, edge(line)?)))?;
    let rows = lines.iter().skip(top).map_while(|line| {
        let part = line.get(columns.clone())?;
        part.iter().all(|character| matches!(character, '█' | '▀' | '▄' | ' ')).then(|| part.iter().collect())
    });
    let rows: Vec<String> = rows.collect();
    // A code has as many rows as columns, and a line of text holds two rows.
    let height = columns.len().div_ceil(2);
    rows.get(..height).map(<[String]>::to_vec)
}

/// What a drawn block means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ink {
    Light,
    Dark,
}

fn decode(drawn: &[String], ink: Ink) -> Result<String> {
    let picture = picture(drawn, ink);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("code.pgm");
    std::fs::write(&file, picture)?;
    let mut command = Command::new("zbarimg");
    command.args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"]).arg(file);
    Ok(command::run(&mut command, SHORT)?.success()?.stdout.trim_end_matches('\n').to_owned())
}

/// A grey picture (PGM): two rows of modules for each line of text.
fn picture(drawn: &[String], ink: Ink) -> Vec<u8> {
    let columns = drawn.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let rows = drawn.len() * 2;
    let (width, height) = (columns * SCALE + 2 * MARGIN, rows * SCALE + 2 * MARGIN);
    let (paper, block) = match ink {
        Ink::Light => (0, 255),
        Ink::Dark => (255, 0),
    };
    let mut pixels = vec![255_u8; width * height];
    for (row, line) in drawn.iter().enumerate() {
        let characters = line.chars().chain(std::iter::repeat(' ')).take(columns);
        for (column, character) in characters.enumerate() {
            let halves = match character {
                '█' => [block, block],
                '▀' => [block, paper],
                '▄' => [paper, block],
                _ => [paper, paper],
            };
            for (half, value) in halves.into_iter().enumerate() {
                for y in 0..SCALE {
                    let line = MARGIN + (2 * row + half) * SCALE + y;
                    let start = line * width + MARGIN + column * SCALE;
                    pixels[start..start + SCALE].fill(value);
                }
            }
        }
    }
    let mut file = format!("P5\n{width} {height}\n255\n").into_bytes();
    file.append(&mut pixels);
    file
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_drawing_is_found_between_other_text() {
        let edge = "█".repeat(21);
        let inner = format!("█{}█", " ".repeat(19));
        let mut screen = format!("title\n| {edge} | name\n");
        for _ in 0..9 {
            screen.push_str(&format!("| {inner} | text ▀\n"));
        }
        screen.push_str(&format!("| {edge} | more\n| {edge} |\n"));
        let drawn = drawing(&screen).unwrap();
        assert_eq!(drawn.len(), 11);
        assert_eq!(drawn[0], edge);
        assert_eq!(drawn[1], inner);
    }

    #[test]
    fn text_without_a_drawing_has_none() {
        assert_eq!(drawing("█ ▀ ▄\nno code here\n"), None);
    }
}
