//! Which tests name which rows: read from the sources, so that a check that is never reached is missed.
//!
//! It reads tokens, not syntax: whatever the formatting, and inside other macros too. A `checks!` belongs to the
//! outermost function around it. That is a test, or the `run` of a `Scenario`, or something that tests and scenarios of the
//! same file call. A macro of a file's own that is called `test!` makes a test of its first word.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use crate::test::{self, Wanted};
use crate::tidy;
use crate::workspace::Workspace;

/// One test, as test runners and evidence name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    pub(crate) package: String,
    /// With its modules; a scenario's own name.
    pub(crate) name: String,
}

impl std::fmt::Display for Test {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.package, self.name)
    }
}

/// One `checks!` in the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    /// Below the top folder.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) rows: Vec<String>,
    /// Those that may get here; empty is a mistake.
    pub(crate) tests: Vec<Test>,
    pub(crate) tier: Wanted,
}

impl Site {
    /// As evidence names it.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// Every `checks!` of the workspace, by file and line.
///
/// # Errors
/// If a source cannot be read as Rust.
pub(crate) fn collect(workspace: &Workspace) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for package in workspace.metadata.workspace_packages() {
        // Where the macro is made it is also talked about.
        if package.name.as_str() == "hn-conformance" {
            continue;
        }
        let folder = package.manifest_path.parent().context("a manifest lies in a folder")?.as_std_path();
        for file in tidy::sources(folder) {
            let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            if !text.contains("checks") {
                continue;
            }
            let shown = file.strip_prefix(workspace.root()).unwrap_or(&file).display().to_string();
            let inner = file.strip_prefix(folder).unwrap_or(&file);
            let source = Source { package: &package.name, file: &shown, module: module(folder, inner) };
            sites.extend(read(&source, &text).with_context(|| format!("cannot read {shown}"))?);
        }
    }
    sites.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(sites)
}

/// The modules of a file, as the names of its tests begin. `inner` is its path inside the package.
fn module(folder: &Path, inner: &Path) -> Vec<String> {
    let mut words: Vec<String> =
        inner.with_extension("").iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let kind = if words.is_empty() { String::new() } else { words.remove(0) };
    let is_root = match kind.as_str() {
        "src" if words.first().is_some_and(|first| first == "bin") => {
            words.remove(0);
            words.len() == 1
        }
        "src" => words == ["lib"] || words == ["main"],
        _ => words.len() == 1,
    };
    if is_root {
        return Vec::new();
    }
    // Below tests and src/bin, NAME/ with NAME/main.rs or beside NAME.rs belongs to the program NAME; else NAME is a module
    // of other programs.
    let above: std::path::PathBuf = inner.iter().take(if kind == "src" { 2 } else { 1 }).collect();
    let name = words.first().cloned().unwrap_or_default();
    let above = folder.join(above);
    let of_a_program = kind != "src" || inner.starts_with("src/bin");
    if of_a_program
        && (above.join(&name).join("main.rs").exists() || above.join(format!("{name}.rs")).exists())
    {
        words.remove(0);
        if words == ["main"] {
            words.clear();
        }
    }
    words.retain(|word| word != "mod");
    words
}

/// One file, as far as names go.
struct Source<'a> {
    package: &'a str,
    file: &'a str,
    module: Vec<String>,
}

/// What a file holds.
#[derive(Default)]
struct Found {
    checks: Vec<Check>,
    functions: Vec<Function>,
    /// Function, scenario.
    scenarios: Vec<(String, String)>,
}

struct Check {
    line: usize,
    rows: Vec<String>,
    /// Index into `functions`.
    function: Option<usize>,
}

struct Function {
    path: Vec<String>,
    test: bool,
    mentions: BTreeSet<String>,
}

impl Function {
    fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

/// Where the reader is.
#[derive(Clone)]
struct Scope {
    path: Vec<String>,
    function: Option<usize>,
    /// Inside `macro_rules!`: lines there are not the lines that run.
    template: bool,
}

fn read(source: &Source<'_>, text: &str) -> Result<Vec<Site>> {
    let tokens: TokenStream = text.parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    let mut found = Found::default();
    let scope = Scope { path: source.module.clone(), function: None, template: false };
    found.walk(tokens, &scope);
    Ok(found
        .checks
        .iter()
        .map(|check| {
            let (tests, scenarios) = found.tests_of(check.function);
            let names = tests.iter().chain(&scenarios).cloned();
            Site {
                file: source.file.to_owned(),
                line: check.line,
                rows: check.rows.clone(),
                tests: names.map(|name| Test { package: source.package.to_owned(), name }).collect(),
                tier: if scenarios.is_empty() {
                    test::tier_of(source.package, source.file)
                } else {
                    Wanted::T3
                },
            }
        })
        .collect())
}

impl Found {
    fn walk(&mut self, tokens: TokenStream, scope: &Scope) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut attributes: Vec<String> = Vec::new();
        let mut index = 0;
        while let Some(token) = tokens.get(index) {
            let rest = tokens.get(index..).unwrap_or_default();
            let mut taken = 1;
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    if let Some(TokenTree::Group(group)) = rest.get(1) {
                        attributes.push(group.stream().to_string());
                        taken = 2;
                    }
                }
                TokenTree::Ident(ident) => {
                    self.mention(scope, &ident.to_string());
                    taken = self.word(&ident.to_string(), rest, scope, &mut attributes);
                }
                TokenTree::Group(group) => {
                    self.walk(group.stream(), scope);
                    attributes.clear();
                }
                TokenTree::Punct(punct) if punct.as_char() == ';' => attributes.clear(),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            index += taken;
        }
    }

    /// Handles the words that open something; tells how many tokens they took.
    fn word(&mut self, word: &str, rest: &[TokenTree], scope: &Scope, attributes: &mut Vec<String>) -> usize {
        match (word, rest) {
            ("mod", [_, TokenTree::Ident(name), TokenTree::Group(body), ..]) => {
                let mut inner = scope.clone();
                inner.path.push(name.to_string());
                self.walk(body.stream(), &inner);
                attributes.clear();
                3
            }
            ("macro_rules", [_, TokenTree::Punct(_), TokenTree::Ident(_), TokenTree::Group(body), ..]) => {
                self.walk(body.stream(), &Scope { template: true, ..scope.clone() });
                attributes.clear();
                4
            }
            ("fn", [_, TokenTree::Ident(name), after @ ..]) => {
                let Some(at) = after.iter().position(ends_signature) else { return 2 };
                if let Some(TokenTree::Group(body)) = after.get(at) {
                    let inner = self.enter(scope, &name.to_string(), attributes);
                    self.walk(body.stream(), &inner);
                }
                attributes.clear();
                at + 3
            }
            ("checks", [first, TokenTree::Punct(mark), TokenTree::Group(body), ..])
                if mark.as_char() == '!' =>
            {
                let function = if scope.template { None } else { scope.function };
                self.checks.push(Check { line: first.span().start().line, rows: rows(body), function });
                self.walk(body.stream(), scope);
                3
            }
            ("test", [_, TokenTree::Punct(mark), TokenTree::Group(body), ..]) if mark.as_char() == '!' => {
                let mut words = body.stream().into_iter();
                if let Some(TokenTree::Ident(name)) = words.next() {
                    let inner = self.enter(scope, &name.to_string(), &["test".to_owned()]);
                    self.walk(words.collect(), &inner);
                }
                3
            }
            ("Scenario", [_, TokenTree::Group(body), ..]) if body.delimiter() == Delimiter::Brace => {
                self.scenarios.extend(scenario(body));
                self.walk(body.stream(), scope);
                2
            }
            _ => 1,
        }
    }

    /// The scope inside a function; one that is defined inside another belongs to that.
    fn enter(&mut self, scope: &Scope, name: &str, attributes: &[String]) -> Scope {
        let mut inner = scope.clone();
        if scope.function.is_none() {
            let mut path = scope.path.clone();
            path.push(name.to_owned());
            let test = attributes.iter().any(|attribute| {
                let path = attribute.split('(').next().unwrap_or_default();
                path.rsplit("::").next().is_some_and(|last| last.trim() == "test")
            });
            inner.function = Some(self.functions.len());
            self.functions.push(Function { path, test, mentions: BTreeSet::new() });
        }
        inner
    }

    fn mention(&mut self, scope: &Scope, word: &str) {
        if let Some(function) = scope.function.and_then(|index| self.functions.get_mut(index)) {
            function.mentions.insert(word.to_owned());
        }
    }

    /// Tests and scenarios that are the function or, over any number of steps, call it.
    fn tests_of(&self, function: Option<usize>) -> (Vec<String>, Vec<String>) {
        let (mut tests, mut scenarios) = (BTreeSet::new(), BTreeSet::new());
        let mut open: Vec<usize> = function.into_iter().collect();
        let mut seen: BTreeSet<usize> = open.iter().copied().collect();
        while let Some((index, function)) =
            open.pop().and_then(|index| Some((index, self.functions.get(index)?)))
        {
            let played = self.scenarios.iter().filter(|(run, _)| run == function.name());
            let before = scenarios.len();
            scenarios.extend(played.map(|(_, scenario)| scenario.clone()));
            if function.test {
                tests.insert(function.path.join("::"));
            } else if scenarios.len() == before {
                let calls = |caller: &Function| caller.mentions.contains(function.name());
                let callers = self.functions.iter().enumerate().filter(|(_, caller)| calls(caller));
                open.extend(
                    callers
                        .map(|(caller, _)| caller)
                        .filter(|caller| *caller != index && seen.insert(*caller)),
                );
            }
        }
        (tests.into_iter().collect(), scenarios.into_iter().collect())
    }
}

/// A function's signature ends with its body, or with a semicolon in a trait.
fn ends_signature(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

/// The names before the colon.
fn rows(body: &Group) -> Vec<String> {
    let mut rows = Vec::new();
    for token in body.stream() {
        match token {
            TokenTree::Ident(row) => rows.push(row.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == ',' => {}
            TokenTree::Punct(_) | TokenTree::Group(_) | TokenTree::Literal(_) => break,
        }
    }
    rows
}

/// `Scenario { name: "…", run: function, … }` in any order, as function and name.
fn scenario(body: &Group) -> Option<(String, String)> {
    let tokens: Vec<TokenTree> = body.stream().into_iter().collect();
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for three in tokens.windows(3) {
        if let [TokenTree::Ident(field), TokenTree::Punct(colon), value] = three
            && colon.as_char() == ':'
        {
            fields.entry(field.to_string()).or_insert_with(|| value.to_string());
        }
    }
    let name = fields.get("name")?.strip_prefix('"')?.strip_suffix('"')?.to_owned();
    Some((fields.get("run")?.clone(), name))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn sites(text: &str) -> Vec<Site> {
        let source = Source {
            package: "hn-x",
            file: "crates/x/tests/suite/leave.rs",
            module: vec!["leave".to_owned()],
        };
        read(&source, text).unwrap()
    }

    /// Line, rows and tests.
    fn plain(text: &str) -> Vec<(usize, String, String)> {
        let all = sites(text);
        let names =
            |site: &Site| site.tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>().join(" ");
        all.iter().map(|site| (site.line, site.rows.join(" "), names(site))).collect()
    }

    fn one(line: usize, rows: &str, tests: &str) -> Vec<(usize, String, String)> {
        vec![(line, rows.to_owned(), tests.to_owned())]
    }

    #[test]
    fn a_check_belongs_to_the_test_around_it() {
        let text = "#[test]\nfn sings() {\n  hn_conformance::checks!(M001, M002: assert!(true));\n}";
        assert_eq!(plain(text), one(3, "M001 M002", "leave::sings"));
        assert_eq!(sites(text)[0].place(), "crates/x/tests/suite/leave.rs:3");
    }

    #[test]
    fn neither_formatting_nor_modules_nor_other_attributes_matter() {
        let text = "mod deep { mod er { #[expect(dead_code, reason = \"checks!(M9: x)\")] #[tokio :: test(flavor = \"x\")]\n\
                    async fn a<T: Fn() -> u8>(t: T) -> u8 where T: Copy { run(async || {\n checks ! {\n M003 ,\nM004,: f() } }) } } }";
        assert_eq!(plain(text), one(3, "M003 M004", "leave::deep::er::a"));
    }

    #[test]
    fn strings_and_comments_name_nothing() {
        let text = "/// checks!(M001: x)\n#[test] fn a() { // checks!(M002: y)\n let a = \"checks!(M003: z)\"; let checks = a != \"\"; }";
        assert_eq!(plain(text), []);
    }

    #[test]
    fn tests_inside_another_macro_are_found() {
        let text = "proptest! {\n#[test]\nfn p(a in 0..3u8) { checks!(M005: prop_assert!(a < 3)); }\n}";
        assert_eq!(plain(text), one(3, "M005", "leave::p"));
    }

    #[test]
    fn a_macro_called_test_makes_a_test_of_its_first_word() {
        let text = "macro_rules! test { ($name:ident, $body:block) => { #[test] fn $name() { run($body) } } }\n\
                    test!(a_phone_joins, {\n checks!(M012: f()); });";
        assert_eq!(plain(text), one(3, "M012", "leave::a_phone_joins"));
    }

    #[test]
    fn a_function_that_tests_call_counts_for_them() {
        let text = "fn inner() { checks!(M006: f()); }\nfn outer() { inner(); outer(); }\n\
                    #[test] fn a() { outer(); }\n#[test] fn b() { inner() }\n#[test] fn c() {}";
        assert_eq!(plain(text), one(1, "M006", "leave::a leave::b"));
    }

    #[test]
    fn what_no_test_reaches_has_no_test() {
        let text = "fn alone() { checks!(M007: f()); }\nmacro_rules! m { () => { #[test] fn t() { checks!(M008: f()); } } }";
        assert_eq!(plain(text), [one(1, "M007", ""), one(2, "M008", "")].concat());
    }

    #[test]
    fn a_scenario_has_its_own_name_and_tier() {
        let text = "const ALL: &[Scenario] = &[Scenario { name: \"a_phone_joins\", hardware: Hardware::radios(2), run: joins },\n\
                    Scenario { run: other, name: \"other_things\" }];\n\
                    fn joins(stage: &mut Stage) -> Result<()> { join(stage) }\n\
                    fn other(stage: &mut Stage) -> Result<()> { join(stage); checks!(M011: ensure!(true)); Ok(()) }\n\
                    fn join(stage: &mut Stage) -> Result<()> { checks!(M010: ensure!(true)); Ok(()) }";
        assert_eq!(
            plain(text),
            [one(4, "M011", "other_things"), one(5, "M010", "a_phone_joins other_things")].concat()
        );
        assert!(sites(text).iter().all(|site| site.tier == Wanted::T3));
    }

    #[test]
    fn files_lie_in_the_modules_that_test_names_show() {
        let folder = tempfile::tempdir().unwrap();
        for program in ["tests/suite", "src/bin/tool"] {
            std::fs::create_dir_all(folder.path().join(program)).unwrap();
            std::fs::write(folder.path().join(program).join("main.rs"), "").unwrap();
        }
        std::fs::write(folder.path().join("tests/plain.rs"), "").unwrap();
        for (file, module_path) in [
            ("src/lib.rs", ""),
            ("src/main.rs", ""),
            ("src/a.rs", "a"),
            ("src/a/b.rs", "a::b"),
            ("src/a/mod.rs", "a"),
            ("src/bin/lab.rs", ""),
            ("src/bin/tool/main.rs", ""),
            ("src/bin/tool/part.rs", "part"),
            ("tests/plain.rs", ""),
            ("tests/suite/main.rs", ""),
            ("tests/suite/leave.rs", "leave"),
            ("tests/suite/leave/late.rs", "leave::late"),
            ("tests/plain/more.rs", "more"),
            ("tests/world/mod.rs", "world"),
            ("tests/world/clock.rs", "world::clock"),
        ] {
            assert_eq!(module(folder.path(), Path::new(file)).join("::"), module_path, "{file}");
        }
    }

    #[test]
    fn what_is_no_rust_is_refused() {
        let source = Source { package: "hn-x", file: "x.rs", module: vec![] };
        assert!(read(&source, "fn a() { checks!(M001: ").is_err());
    }
}
