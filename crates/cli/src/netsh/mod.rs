//! `netsh`, as scripts written for Windows know it: the context `wlan`, as far as it is about the hosted network.
//!
//! Commands come as arguments, from a file (`-f`, `exec`) or from standard input. The exit status is 0, or 1 when any
//! command failed. Answers and refusals go to standard output, where scripts look for them; why the service refused, in
//! its own words, goes to standard error.

mod act;
mod grammar;
mod help;
mod text;
mod words;

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
    process::ExitCode,
};

use zeroize::Zeroizing;

use self::{
    grammar::{Command, Context, Line, Topic},
    words::Word,
};
use crate::{argv, report};

/// A longer line is no command; it would only fill the memory.
const LINE_LIMIT: u64 = 4_096;

/// Scripts may call scripts, but not endlessly.
const DEPTH: usize = 8;

/// Runs `netsh` with these arguments.
pub(crate) fn run(socket: &Path, arguments: Vec<OsString>) -> ExitCode {
    let words: Vec<Word> = arguments.into_iter().map(|word| Zeroizing::new(word.into_vec())).collect();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report::note(&format!("netsh: cannot start a runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut shell = Shell { socket, runtime, context: Context::Root, failed: false, depth: 0 };
    shell.begin(&words);
    if shell.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether to read on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Go {
    On,
    End,
}

struct Shell<'s> {
    socket: &'s Path,
    runtime: tokio::runtime::Runtime,
    context: Context,
    failed: bool,
    depth: usize,
}

impl Shell<'_> {
    fn begin(&mut self, words: &[Word]) {
        let mut words = words;
        while let Some((option, rest)) = words.split_first() {
            let value = rest.first();
            match (option.as_slice(), value) {
                (b"-c" | b"-C", Some(context)) => {
                    // A context is the command that enters it.
                    let entered = grammar::parse(self.context, std::slice::from_ref(context));
                    let Ok(Line::Enter(context)) = entered else {
                        return self.fail(&text::mistake(&grammar::Mistake::NotFound(
                            hostednet::types::text::escape_untrusted(context),
                        )));
                    };
                    self.context = context;
                }
                (b"-f" | b"-F", Some(file)) => {
                    self.script(OsStr::from_bytes(file));
                    return;
                }
                (b"-a" | b"-r" | b"-u" | b"-p" | b"-c" | b"-f", _) => {
                    return self.fail(&help::help(Topic::Root));
                }
                _ => break,
            }
            words = rest.get(1..).unwrap_or_default();
        }
        if words.is_empty() {
            self.converse();
            return;
        }
        let line = grammar::parse(self.context, words);
        if let Ok(Line::Command(Command::Set(grammar::Settings { key: Some(_), .. }))) = &line {
            // The words of the command itself may be seen.
            conceal(words.get(if self.context == Context::Root { 3 } else { 2 }..).unwrap_or_default());
        }
        // As an argument, a context alone is a question for its commands.
        match line {
            Ok(Line::Enter(Context::Wlan)) => report::out(&help::help(Topic::Wlan)),
            line => {
                self.follow(line);
            }
        }
    }

    /// Commands from standard input. The prompt is for people.
    fn converse(&mut self) {
        let stdin = io::stdin();
        let prompt = stdin.is_terminal();
        self.read(stdin.lock(), prompt);
        if prompt {
            report::out("\n");
        }
    }

    fn script(&mut self, path: &OsStr) -> Go {
        if self.depth >= DEPTH {
            self.fail("A script calls itself.\n");
            return Go::On;
        }
        match File::open(path) {
            Ok(file) => {
                self.depth += 1;
                let go = self.read(BufReader::new(file), false);
                self.depth -= 1;
                go
            }
            Err(error) => {
                self.fail(&format!("The file {} could not be opened: {error}.\n", path.display()));
                Go::On
            }
        }
    }

    fn read(&mut self, mut lines: impl BufRead, prompt: bool) -> Go {
        loop {
            if prompt {
                report::out(match self.context {
                    Context::Root => "netsh>",
                    Context::Wlan => "netsh wlan>",
                });
            }
            let mut line = Zeroizing::new(Vec::with_capacity(256));
            match lines.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
                Ok(0) => return Go::On,
                Ok(_) => {}
                Err(error) => {
                    self.fail(&format!("The commands could not be read: {error}.\n"));
                    return Go::On;
                }
            }
            let line = grammar::parse(self.context, &words::words(&line));
            if self.follow(line) == Go::End {
                return Go::End;
            }
        }
    }

    fn follow(&mut self, line: Result<Line, grammar::Mistake>) -> Go {
        match line {
            Ok(Line::Nothing) => {}
            Ok(Line::Enter(context)) => self.context = context,
            Ok(Line::Leave) => return Go::End,
            Ok(Line::Help(topic)) => report::out(&help::help(topic)),
            Ok(Line::Execute(path)) => return self.script(&path),
            Ok(Line::Command(command)) => {
                if let Err(refused) = self.runtime.block_on(act::act(self.socket, command)) {
                    self.fail(&refused.text);
                    if let Some(error) = &refused.error {
                        report::failure(error);
                    }
                }
            }
            Err(mistake) => self.fail(&text::mistake(&mistake)),
        }
        Go::On
    }

    fn fail(&mut self, text: &str) {
        self.failed = true;
        report::out(text);
    }
}

/// Takes a key out of sight. The warning is for people: scripts take a word on standard error for a failure.
fn conceal(words: &[Word]) {
    let hidden = argv::overwrite(words.iter().map(|word| word.as_slice()));
    if io::stderr().is_terminal() {
        let for_how_long = match hidden {
            Ok(()) => "for a moment".to_owned(),
            Err(error) => format!("for as long as this command runs ({error})"),
        };
        report::note(&format!(
            "netsh: other users could see the key among this command's arguments {for_how_long}; `hostednet key set` \
             and scripts (netsh -f) keep it out of them"
        ));
    }
}
