//! The terminal's modes, always put back.

use std::{
    io::{self, BufRead, Write},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Typed characters are not shown while this lives.
#[derive(Debug)]
pub(crate) struct Quiet {
    before: Option<Termios>,
}

impl Quiet {
    /// Turns the echo off, also the waiting for whole lines when `raw`. Nothing happens where there is no terminal.
    pub(crate) fn new(raw: bool) -> Self {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(stdin.as_fd()) else { return Self { before: None } };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        if raw {
            quiet.local_modes.remove(LocalModes::ICANON);
        }
        let set = tcsetattr(stdin.as_fd(), OptionalActions::Now, &quiet);
        Self { before: set.is_ok().then_some(before) }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, before);
        }
    }
}

/// Asks for one line that is not shown.
pub(crate) fn read_secret(prompt: &str, into: &mut String) -> io::Result<usize> {
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let quiet = Quiet::new(false);
    let read = io::stdin().lock().read_line(into);
    drop(quiet);
    writeln!(stderr)?;
    read
}
