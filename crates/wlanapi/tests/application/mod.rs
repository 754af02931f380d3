//! A program of its own that uses the library: a process that takes orders and tells what it sees.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(unsafe_code, reason = "calls of C functions")]
#![expect(clippy::undocumented_unsafe_blocks, reason = "every pointer here is a local of the test")]

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{BufRead, BufReader, Write, stdin},
    process::{Child, ChildStdin},
    ptr::{null, null_mut},
    sync::mpsc::{Receiver, channel},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, seteuid},
};
use windows_sys::Win32::{Foundation::HANDLE, NetworkManagement::WiFi::*};

use crate::{
    session::{Plain, Seen, key, plain, register, set_key, state},
    world::{LIMIT, part},
};

/// What begins a line of ours; the test harness prints others.
const MARK: &str = "\u{1}";

/// What a program does by itself when the network was stopped (spec/sequences.md §5.1).
fn recover(handle: HANDLE, function: Plain, stops: &Receiver<Seen>) {
    for seen in stops {
        say(&format!("saw {seen:?}"));
        if matches!(seen, Seen::State(2, 1, _)) {
            say(&format!("recovered {:?}", plain(function, handle)));
        }
    }
}

#[expect(clippy::print_stdout, reason = "this is how it answers")]
fn say(line: &str) {
    println!("{MARK}{line}");
}

/// Plays the program until its standard input ends.
pub(crate) fn obey() {
    let mut handle: HANDLE = null_mut();
    for order in stdin().lines() {
        let order = order.unwrap();
        let words: Vec<&str> = order.split(' ').collect();
        let command = |function: Plain| format!("{:?}", plain(function, handle));
        let answer = match words.as_slice() {
            ["become", uid] => format!("{:?}", seteuid(Uid::from_raw(uid.parse().unwrap()))),
            ["open"] => {
                let mut version = 0;
                unsafe { WlanOpenHandle(2, null(), &mut version, &mut handle) }.to_string()
            }
            ["close"] => unsafe { WlanCloseHandle(handle, null()) }.to_string(),
            ["watch"] => {
                let events = register(handle, 0x80);
                thread::spawn(move || events.iter().for_each(|seen| say(&format!("saw {seen:?}"))));
                "0".to_owned()
            }
            ["recover", how] => {
                let events = register(handle, 0x80);
                let forced = *how == "forced";
                let number = handle.addr();
                thread::spawn(move || {
                    let function =
                        if forced { WlanHostedNetworkForceStart } else { WlanHostedNetworkStartUsing };
                    recover(number as HANDLE, function, &events);
                });
                "0".to_owned()
            }
            ["init"] => command(WlanHostedNetworkInitSettings),
            ["start"] => command(WlanHostedNetworkStartUsing),
            ["stop"] => command(WlanHostedNetworkStopUsing),
            ["force-start"] => command(WlanHostedNetworkForceStart),
            ["force-stop"] => command(WlanHostedNetworkForceStop),
            ["refresh"] => command(WlanHostedNetworkRefreshSecuritySettings),
            ["key", text] => format!("{:?}", set_key(handle, format!("{text}\0").as_bytes(), true, true)),
            ["key"] => String::from_utf8_lossy(&key(handle).0).into_owned(),
            ["state"] => state(handle).to_string(),
            other => panic!("{other:?} is no order"),
        };
        say(&format!("did {answer}"));
    }
}

/// Such a program, from outside.
pub(crate) struct Application {
    child: Child,
    orders: RefCell<Option<ChildStdin>>,
    lines: Receiver<String>,
    seen: RefCell<VecDeque<String>>,
}

impl Application {
    /// Starts one for the test `name`, which must call [`crate::world::plays`] with [`obey`].
    pub(crate) fn start(name: &str) -> Self {
        let mut child = part(name).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The first line of ours may share its line with the harness.
                if let Some((_, ours)) = line.split_once(MARK) {
                    let _ = sender.send(ours.to_owned());
                }
            }
        });
        let orders = RefCell::new(child.stdin.take());
        Self { child, orders, lines, seen: RefCell::default() }
    }

    /// One that has a handle.
    pub(crate) fn open(name: &str) -> Self {
        let application = Self::start(name);
        assert_eq!(application.ask("open"), "0");
        application
    }

    /// Gives an order without waiting for its end.
    pub(crate) fn order(&self, order: &str) {
        writeln!(self.orders.borrow_mut().as_mut().unwrap(), "{order}").unwrap();
    }

    /// What the order that was given came to.
    pub(crate) fn answer(&self) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap();
            match line.strip_prefix("did ") {
                Some(answer) => return answer.to_owned(),
                None => self.seen.borrow_mut().push_back(line),
            }
        }
    }

    /// Gives an order and says what it came to.
    pub(crate) fn ask(&self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    /// Gives an order that succeeds.
    pub(crate) fn succeeds(&self, order: &str) {
        assert_eq!(self.ask(order), "(0, 0)", "{order}");
    }

    /// What it saw next, or did by itself.
    pub(crate) fn next(&self) -> String {
        let seen = self.seen.borrow_mut().pop_front();
        seen.unwrap_or_else(|| self.lines.recv_timeout(LIMIT).unwrap())
    }

    /// Whether it saw anything that nobody asked for yet.
    pub(crate) fn saw_nothing(&self) -> bool {
        // An answer comes after everything that was seen before it.
        self.ask("state");
        self.seen.borrow().is_empty()
    }

    /// What the notification of this change looks like.
    pub(crate) fn change(old: i32, new: i32, reason: i32) -> String {
        format!("saw {:?}", Seen::State(old, new, reason))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends as a program does that leaves `main` without closing anything.
    pub(crate) fn leave(mut self) {
        *self.orders.borrow_mut() = None;
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
