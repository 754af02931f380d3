//! The rows of the contract, and how a test says which of them it has checked.
//!
//! A test wraps the assertions that check a row in [`checks!`]. When they pass, and only then, the row is recorded for
//! the running test in the file that `HOSTEDNET_EVIDENCE` names; without that variable nothing is recorded.
//! `cargo xtask conformance` compares what the sources name with what was recorded: a row nobody checked fails it, and so
//! does a `checks!` that was never reached in a passing test.
//!
//! ```no_run
//! # let references = 1;
//! hn_conformance::checks!(M054, M055: assert_eq!(references, 1));
//! ```

#![warn(missing_docs)]
#![forbid(unsafe_code)]

pub mod rows;

use std::{
    collections::BTreeSet,
    env,
    fs::OpenOptions,
    io::Write as _,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
};

/// Names the file to which evidence is appended.
pub const EVIDENCE_VARIABLE: &str = "HOSTEDNET_EVIDENCE";

/// One behaviour that the source documents promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// `M001` to `M148`.
    pub id: &'static str,
    /// Which part of the contract.
    pub area: &'static str,
    /// The behaviour, as a testable statement.
    pub text: &'static str,
}

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
static SCENARIO: OnceLock<String> = OnceLock::new();

/// Says which test this process plays, where the test harness's thread names do not.
pub fn playing(test: &str) {
    // A process plays one test: a second name would be a mistake of the harness, and the first one stays.
    let _ = SCENARIO.set(test.to_owned());
}

/// Runs the assertions after the colon; when they pass, records that the running test has checked these rows.
///
/// Write it into a test, a scenario or a function of the same file that they call: elsewhere it is not found.
#[macro_export]
macro_rules! checks {
    ($($row:ident),+ $(,)? : $($body:tt)+) => {{
        let outcome = { $($body)+ };
        {
            fn here() {}
            $crate::record(
                env!("CARGO_PKG_NAME"),
                std::any::type_name_of_val(&here),
                concat!(file!(), ":", line!()),
                &[$($crate::rows::$row),+],
            );
        }
        outcome
    }};
}

/// Appends one line per row: package, test, row, file and line of the [`checks!`], parted by tabs. Use [`checks!`].
///
/// # Panics
///
/// When the evidence cannot be written: a lost line would look like a missing check.
pub fn record(package: &str, function: &str, place: &str, rows: &[Row]) {
    let Some(path) = env::var_os(EVIDENCE_VARIABLE) else { return };
    let thread = thread::current();
    let test = test_name(SCENARIO.get(), env::args(), thread.name(), function);
    // A test that checks a row a thousand times says so once.
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let new = rows.iter().map(|row| format!("{package}\t{test}\t{}\t{place}\n", row.id));
    let lines: String = new.filter(|line| said.insert(line.clone())).collect();
    if lines.is_empty() {
        return;
    }
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(lines.as_bytes()));
    if let Err(error) = written {
        panic!("cannot write evidence to {}: {error}", path.display());
    }
}

/// Which test runs. A process that was started for one test (nextest does) says so in its arguments, whatever thread
/// asks; `cargo test` names the thread after the test; a thread of somebody else's making knows its function at least.
fn test_name(
    scenario: Option<&String>,
    arguments: impl Iterator<Item = String>,
    thread: Option<&str>,
    function: &str,
) -> String {
    if let Some(scenario) = scenario {
        return scenario.clone();
    }
    let words: Vec<String> = arguments.collect();
    let exact = words.iter().position(|word| word == "--exact").and_then(|at| words.get(at + 1));
    match (exact, thread) {
        (Some(exact), _) if !exact.starts_with('-') => exact.clone(),
        (_, Some(name)) if name != "main" && !name.starts_with("tokio") => name.to_owned(),
        _ => function_path(function),
    }
}

/// The path of the function around `here`, without its crate.
fn function_path(function: &str) -> String {
    let parts: Vec<&str> = function.split("::").filter(|part| *part != "{{closure}}").collect();
    match parts.as_slice() {
        [_, middle @ .., _] => middle.join("::"),
        _ => function.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_numbered_from_1_to_148() {
        assert_eq!(rows::ALL.len(), 148);
        for (index, row) in rows::ALL.iter().enumerate() {
            assert_eq!(row.id, format!("M{:03}", index + 1));
        }
    }

    #[test]
    fn a_test_is_named_by_what_knows_it_best() {
        let name = |scenario: Option<&str>, words: &[&str], thread| {
            let words = words.iter().map(|word| (*word).to_owned());
            test_name(scenario.map(str::to_owned).as_ref(), words, thread, "contract::a::b::here")
        };
        assert_eq!(name(Some("joins"), &["lab", "play", "joins"], Some("main")), "joins");
        assert_eq!(name(None, &["bin", "--exact", "x::y", "--nocapture"], Some("main")), "x::y");
        assert_eq!(name(None, &["bin"], Some("x::y")), "x::y");
        assert_eq!(name(None, &["bin", "--exact", "--nocapture"], Some("x::y")), "x::y");
        assert_eq!(name(None, &["bin"], Some("tokio-runtime-worker")), "a::b");
        assert_eq!(name(None, &["bin"], None), "a::b");
    }

    #[test]
    fn a_function_is_named_without_its_crate_and_closures() {
        assert_eq!(function_path("contract::sessions::opens::{{closure}}::here"), "sessions::opens");
    }
}
