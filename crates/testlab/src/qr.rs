//! Reading a QR code off a terminal: the characters are drawn as a picture, which `zbarimg` (written by
//! others) decodes.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{self, SHORT};

/// Pixels for one module of the code.
const SCALE: usize = 4;
/// Light pixels around the picture: a decoder wants a quiet zone of four modules.
const MARGIN: usize = 8 * SCALE;

/// Decodes the one QR code drawn in `screen` with the block characters `█ ▀ ▄` and blanks, in either
/// polarity (light on dark terminals draw the light modules).
///
/// # Errors
/// If there is no such drawing, or `zbarimg` cannot read it in either polarity.
pub fn read(screen: &str) -> Result<String> {
    let plain = without_escapes(screen);
    let drawn: Vec<&str> = plain.lines().filter(|line| is_drawing(line)).collect();
    ensure!(drawn.len() > 8, "no drawing of a QR code in:\n{plain}");
    let first = decode(&drawn, Ink::Light);
    match first {
        Ok(text) => Ok(text),
        Err(_) => decode(&drawn, Ink::Dark).context("zbarimg reads it in neither polarity"),
    }
}

/// What a drawn block means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ink {
    Light,
    Dark,
}

fn decode(drawn: &[&str], ink: Ink) -> Result<String> {
    let picture = picture(drawn, ink);
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("code.pgm");
    std::fs::write(&file, picture)?;
    let mut command = Command::new("zbarimg");
    command.args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"]).arg(file);
    Ok(command::run(&mut command, SHORT)?.success()?.stdout.trim_end_matches('\n').to_owned())
}

/// A grey picture (PGM): two rows of modules for each line of text.
fn picture(drawn: &[&str], ink: Ink) -> Vec<u8> {
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

fn is_drawing(line: &str) -> bool {
    let blocks = line.chars().filter(|character| matches!(character, '█' | '▀' | '▄')).count();
    blocks >= 4 && line.chars().all(|character| matches!(character, '█' | '▀' | '▄' | ' '))
}

/// Drops terminal escape sequences (colours, cursor movement).
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        if characters.next() == Some('[') {
            for end in characters.by_ref() {
                if ('@'..='~').contains(&end) {
                    break;
                }
            }
        }
    }
    plain
}
