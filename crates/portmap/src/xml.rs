//! The XML that control points send: small, flat, and from strangers.
//!
//! A scanner for well-formed documents without a document type: no DTD, no entities but the five of XML and
//! character references, no processing instructions but the declaration. Namespaces are not resolved; names are
//! told by their local part. An `&` that begins no reference stands for itself: clients forget to escape the names
//! of their games.

use alloc::{borrow::Cow, string::String, vec::Vec};

/// The deepest nesting.
const DEPTH: usize = 16;

/// A document that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One step through a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// An element starts; its local name.
    Start(&'a str),
    /// Text inside of an element, references resolved. Whitespace between elements, too.
    Text(Cow<'a, str>),
    /// The innermost element ends.
    End,
}

/// Reads a document from front to back.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a str,
    open: Vec<&'a str>,
    /// The element that started last was empty and ends next.
    empty: bool,
    /// The root element has started.
    rooted: bool,
}

impl<'a> Reader<'a> {
    /// `bytes` are UTF-8, with or without a byte order mark.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = core::str::from_utf8(bytes).map_err(|_| Malformed)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let rest = match text.strip_prefix("<?xml") {
            Some(declaration) if declaration.starts_with([' ', '\t', '\r', '\n']) => {
                declaration.split_once("?>").ok_or(Malformed)?.1
            }
            Some(_) => return Err(Malformed),
            None => text,
        };
        Ok(Self { rest, open: Vec::new(), empty: false, rooted: false })
    }

    /// The next event; `None` after the root element ended and nothing but space and comments follows.
    pub(crate) fn next(&mut self) -> Result<Option<Event<'a>>, Malformed> {
        if core::mem::take(&mut self.empty) {
            self.open.pop();
            return Ok(Some(Event::End));
        }
        loop {
            if self.open.is_empty() {
                self.rest = self.rest.trim_ascii_start();
                if self.rest.is_empty() {
                    return if self.rooted { Ok(None) } else { Err(Malformed) };
                }
                if !self.rest.starts_with('<') {
                    return Err(Malformed);
                }
            }
            if let Some(after) = self.rest.strip_prefix("<!--") {
                let (comment, after) = after.split_once("--").ok_or(Malformed)?;
                self.rest = after.strip_prefix('>').ok_or(Malformed)?;
                check(comment)?;
            } else if let Some(after) = self.rest.strip_prefix("<![CDATA[") {
                let (text, after) = after.split_once("]]>").ok_or(Malformed)?;
                if self.open.is_empty() {
                    return Err(Malformed);
                }
                self.rest = after;
                check(text)?;
                return Ok(Some(Event::Text(text.into())));
            } else if let Some(after) = self.rest.strip_prefix("</") {
                return self.end(after).map(Some);
            } else if let Some(after) = self.rest.strip_prefix('<') {
                return self.start(after).map(Some);
            } else {
                let end = self.rest.find('<').ok_or(Malformed)?;
                let (text, after) = self.rest.split_at(end);
                self.rest = after;
                return resolve(text).map(|text| Some(Event::Text(text)));
            }
        }
    }

    /// The text of the element that has just started, which has no elements inside; at most `most` bytes.
    pub(crate) fn text(&mut self, most: usize) -> Result<String, Malformed> {
        let mut out = String::new();
        loop {
            match self.next()?.ok_or(Malformed)? {
                Event::Text(text) if out.len() + text.len() <= most => out.push_str(&text),
                Event::Text(_) | Event::Start(_) => return Err(Malformed),
                Event::End => return Ok(out),
            }
        }
    }

    fn start(&mut self, after: &'a str) -> Result<Event<'a>, Malformed> {
        let (name, mut after) = name(after)?;
        if self.open.len() == DEPTH || (self.open.is_empty() && self.rooted) {
            return Err(Malformed);
        }
        self.rooted = true;
        let mut names: Vec<&str> = Vec::new();
        loop {
            let trimmed = after.trim_ascii_start();
            if let Some(rest) = trimmed.strip_prefix('>') {
                self.rest = rest;
                break;
            }
            if let Some(rest) = trimmed.strip_prefix("/>") {
                self.rest = rest;
                self.empty = true;
                break;
            }
            if trimmed.len() == after.len() || names.len() == DEPTH {
                return Err(Malformed);
            }
            let (attribute, rest) = self::name(trimmed)?;
            let rest = rest.trim_ascii_start().strip_prefix('=').ok_or(Malformed)?.trim_ascii_start();
            let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or(Malformed)?;
            let (value, rest) = rest[1..].split_once(quote).ok_or(Malformed)?;
            if value.contains('<') || names.contains(&attribute) {
                return Err(Malformed);
            }
            resolve(value)?;
            names.push(attribute);
            after = rest;
        }
        self.open.push(name);
        Ok(Event::Start(local(name)))
    }

    fn end(&mut self, after: &'a str) -> Result<Event<'a>, Malformed> {
        let (name, after) = name(after)?;
        if self.open.pop() != Some(name) {
            return Err(Malformed);
        }
        self.rest = after.trim_ascii_start().strip_prefix('>').ok_or(Malformed)?;
        Ok(Event::End)
    }
}

/// A name at the start of `text`, and what follows it.
fn name(text: &str) -> Result<(&str, &str), Malformed> {
    let end =
        text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.'))).ok_or(Malformed)?;
    let (name, rest) = text.split_at(end);
    let first = name.chars().next().ok_or(Malformed)?;
    if !(first.is_alphabetic() || first == '_') || name.len() > 128 || local(name).is_empty() {
        return Err(Malformed);
    }
    Ok((name, rest))
}

/// The part of a name behind its prefix.
fn local(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

/// Characters that XML 1.0 has.
const fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn check(text: &str) -> Result<(), Malformed> {
    if text.chars().all(is_char) { Ok(()) } else { Err(Malformed) }
}

fn resolve(text: &str) -> Result<Cow<'_, str>, Malformed> {
    check(text)?;
    if !text.contains('&') {
        return if text.contains("]]>") { Err(Malformed) } else { Ok(text.into()) };
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let name = |c: &char| c.is_alphanumeric() || *c == '#';
        let len = part.chars().take_while(name).map(char::len_utf8).sum();
        let (entity, rest) = part.split_at(len);
        let Some(rest) = rest.strip_prefix(';').filter(|_| len > 0) else {
            out.push('&');
            out.push_str(part);
            continue;
        };
        let c = match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => reference(entity)?,
        };
        out.push(c);
        out.push_str(rest);
    }
    Ok(out.into())
}

/// A character reference without `&` and `;`.
fn reference(entity: &str) -> Result<char, Malformed> {
    let digits = entity.strip_prefix('#').ok_or(Malformed)?;
    let (digits, radix) = digits.strip_prefix('x').map_or((digits, 10), |hex| (hex, 16));
    if digits.is_empty() || digits.len() > 7 || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(Malformed);
    }
    let number = u32::from_str_radix(digits, radix).map_err(|_| Malformed)?;
    char::from_u32(number).filter(|c| is_char(*c)).ok_or(Malformed)
}

/// Text for a document: nothing in it is markup, and what XML cannot hold is left out.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if is_char(c) => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};

    use super::*;

    fn read(text: &str) -> Result<Vec<String>, Malformed> {
        let mut reader = Reader::new(text.as_bytes())?;
        let mut out = vec![];
        while let Some(event) = reader.next()? {
            out.push(match event {
                Event::Start(name) => format!("<{name}"),
                Event::Text(text) => text.into_owned(),
                Event::End => String::from(">"),
            });
        }
        Ok(out)
    }

    #[test]
    fn a_document_is_read_in_order() {
        let text = "\u{feff}<?xml version=\"1.0\"?>\r\n<!-- a - b --><s:a xmlns:s='u' b = \"&lt;\">x&amp;&#65;&#x42;\
                    <c/><d ><![CDATA[<&]]></d></s:a> <!---->\n";
        assert_eq!(read(text).expect("well-formed"), ["<a", "x&AB", "<c", ">", "<d", "<&", ">", ">"]);
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in [
            "",
            " ",
            "x",
            "<a>",
            "<a></b>",
            "<a><b></a></b>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "<a b></a>",
            "<a b=c/>",
            "<a b='1' b='2'/>",
            "<a b='1'c='2'/>",
            "<a b='<'/>",
            "<1/>",
            "<:a/>",
            "<a:/>",
            "< a/>",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a>&#xd800;</a>",
            "<a>&#x110000;</a>",
            "<a>&#;</a>",
            "<a>]]></a>",
            "<a>\u{1}</a>",
            "<a b='\u{1}'/>",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<a><?php ?></a>",
            "<?xml version='1.0'",
            "<?xmlx ?><a/>",
            "<a><!-- -- --></a>",
            "<a><!--",
            "<a><![CDATA[",
            "<![CDATA[x]]><a/>",
            "<a",
            "<a ",
            "<a b='",
            "</a>",
            "<a></a ",
            "\u{feff}\u{feff}<a/>",
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
        assert!(Reader::new(b"<a>\xff</a>").is_err());
    }

    #[test]
    fn an_ampersand_that_begins_nothing_is_itself() {
        assert_eq!(read("<a>b & c&d &; &#+5; &</a>").expect("read"), ["<a", "b & c&d &; &#+5; &", ">"]);
    }

    #[test]
    fn nesting_and_text_are_bounded() {
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        assert!(read(&deep(DEPTH)).is_ok());
        assert_eq!(read(&deep(DEPTH + 1)), Err(Malformed));
        let mut reader = Reader::new(b"<a>12345</a>").expect("text");
        assert_eq!(reader.next(), Ok(Some(Event::Start("a"))));
        assert_eq!(reader.text(4), Err(Malformed));
    }

    #[test]
    fn what_is_escaped_reads_back() {
        let text = "a<b>&\"c'\u{1}\u{fffe} é";
        let document = format!("<a b=\"{0}\">{0}</a>", escape(text));
        assert_eq!(read(&document).expect("well-formed"), ["<a", "a<b>&\"c' é", ">"]);
    }
}
