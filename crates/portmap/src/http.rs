//! HTTP/1.1 as far as UPnP needs it (RFC 9112): one request a connection, read as its bytes come.

use alloc::{borrow::ToOwned, format, string::String, vec::Vec};
use core::net::{IpAddr, SocketAddr};

use crate::counters::DropReason;

/// Most header fields.
const FIELDS: usize = 40;
/// The longest path.
const PATH: usize = 256;
/// What introduces every answer.
pub(crate) const SERVER: &str = "Linux UPnP/1.1 hostednet/1";

/// The start line and the fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// From the `/`.
    pub(crate) path: String,
    /// Names in lower case.
    fields: Vec<(String, String)>,
}

impl Head {
    /// The value of a field, without space around it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A request that is refused: the status, and why.
pub(crate) type Refusal = (u16, DropReason);

const BAD: Refusal = (400, DropReason::Http);

/// How the body's end is told.
#[derive(Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

/// A request that is being received.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    head: Option<(Head, Framing)>,
    /// The body so far, of chunks.
    body: Vec<u8>,
}

/// What one more piece of a request led to.
#[derive(Debug)]
pub(crate) enum Progress {
    More,
    /// The client waits for a word before it sends the body (RFC 9110 §10.1.1).
    Continue,
    Done(Head, Vec<u8>),
}

impl Incoming {
    /// Takes in `bytes`; what comes after a whole request is not looked at.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        most_head: usize,
        most_body: usize,
    ) -> Result<Progress, Refusal> {
        let mut asked = false;
        let before = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        if self.head.is_none() {
            let from = before.saturating_sub(3);
            let Some(end) = head_end(&self.buffer, from) else {
                return if self.buffer.len() > most_head {
                    Err((431, DropReason::TooLarge))
                } else {
                    Ok(Progress::More)
                };
            };
            if end > most_head {
                return Err((431, DropReason::TooLarge));
            }
            let head = parse_head(&self.buffer[..end])?;
            let framing = framing(&head, most_body)?;
            self.buffer.drain(..end);
            let waits = head.field("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
            asked = waits && self.buffer.is_empty() && !matches!(framing, Framing::Length(0));
            self.head = Some((head, framing));
        }
        let whole = match &self.head {
            Some((_, Framing::Length(len))) => self.buffer.len() >= *len,
            Some((_, Framing::Chunked)) => self.take_chunks(most_body)?,
            None => false,
        };
        if !whole {
            return Ok(if asked { Progress::Continue } else { Progress::More });
        }
        let Some((head, framing)) = self.head.take() else { return Ok(Progress::More) };
        let body = match framing {
            Framing::Length(len) => {
                self.buffer.truncate(len);
                core::mem::take(&mut self.buffer)
            }
            Framing::Chunked => core::mem::take(&mut self.body),
        };
        Ok(Progress::Done(head, body))
    }

    /// Moves whole chunks to the body; whether the last one, and the trailer after it, was among them.
    fn take_chunks(&mut self, most: usize) -> Result<bool, Refusal> {
        loop {
            let Some(line) = self.buffer.iter().position(|byte| *byte == b'\n') else {
                return if self.buffer.len() > 64 { Err(BAD) } else { Ok(false) };
            };
            let text = core::str::from_utf8(&self.buffer[..line]).map_err(|_| BAD)?;
            let digits = text.split(';').next().unwrap_or_default().trim_ascii();
            if line > 64
                || digits.is_empty()
                || digits.len() > 6
                || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            {
                return Err(BAD);
            }
            let len = usize::from_str_radix(digits, 16).map_err(|_| BAD)?;
            if self.body.len() + len > most {
                return Err((413, DropReason::TooLarge));
            }
            let data = line + 1;
            if len == 0 {
                // A trailer has nothing for us; it ends with an empty line.
                let trailer = &self.buffer[data..];
                if trailer.len() > 512 {
                    return Err(BAD);
                }
                return Ok(trailer.starts_with(b"\r\n")
                    || trailer.starts_with(b"\n")
                    || head_end(trailer, 0).is_some());
            }
            let end = match &self.buffer.get(data + len..) {
                Some([b'\r', b'\n', ..]) => data + len + 2,
                Some([b'\n', ..]) => data + len + 1,
                Some([] | [b'\r']) | None => return Ok(false),
                Some(_) => return Err(BAD),
            };
            self.body.extend_from_slice(&self.buffer[data..data + len]);
            self.buffer.drain(..end);
        }
    }
}

/// Where the empty line after the fields ends, looked for from `from`.
pub(crate) fn head_end(buffer: &[u8], from: usize) -> Option<usize> {
    (from..buffer.len()).find_map(|at| match &buffer[at..] {
        [b'\n', b'\n', ..] => Some(at + 2),
        [b'\n', b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The lines after the first as fields. Shared with SSDP.
pub(crate) fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Vec<(String, String)>> {
    let mut out: Vec<(String, String)> = Vec::new();
    for line in lines.map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let value = value.trim_ascii();
        if !is_token(name) || value.contains(|c: char| c.is_control() && c != '\t') || out.len() == FIELDS {
            return None;
        }
        out.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    Some(out)
}

fn parse_head(bytes: &[u8]) -> Result<Head, Refusal> {
    let text = core::str::from_utf8(bytes).map_err(|_| BAD)?;
    let (first, rest) = text.split_once('\n').ok_or(BAD)?;
    let mut words = first.strip_suffix('\r').unwrap_or(first).split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(BAD);
    };
    match version {
        "HTTP/1.1" | "HTTP/1.0" => {}
        _ if version.starts_with("HTTP/") => return Err((505, DropReason::Http)),
        _ => return Err(BAD),
    }
    let path = match target.strip_prefix("http://") {
        // The absolute form; its host stands in for the Host field, and must agree with it.
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    if !is_token(method) || !path.starts_with('/') || !path.bytes().all(|b| (0x21..0x7f).contains(&b)) {
        return Err(BAD);
    }
    if path.len() > PATH {
        return Err((414, DropReason::TooLarge));
    }
    let fields = fields(rest.split('\n')).ok_or(BAD)?;
    // Fields that decide where the body ends, or who is meant, are there once.
    for name in ["host", "content-length", "transfer-encoding"] {
        if fields.iter().filter(|(key, _)| key == name).count() > 1 {
            return Err(BAD);
        }
    }
    let head = Head { method: method.to_owned(), path: path.to_owned(), fields };
    if version == "HTTP/1.1" && head.field("host").is_none() {
        return Err(BAD);
    }
    if let Some(rest) = target.strip_prefix("http://") {
        let host = rest.split('/').next();
        if head.field("host").is_some_and(|field| Some(field) != host) {
            return Err(BAD);
        }
    }
    Ok(head)
}

fn framing(head: &Head, most: usize) -> Result<Framing, Refusal> {
    match (head.field("transfer-encoding"), head.field("content-length")) {
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(_), None) => Err((501, DropReason::Http)),
        // Who reads the one and who the other would disagree about the rest (RFC 9112 §6.3).
        (Some(_), Some(_)) => Err(BAD),
        (None, Some(length)) => {
            if length.is_empty() || length.len() > 9 || !length.bytes().all(|b| b.is_ascii_digit()) {
                return Err(BAD);
            }
            match length.parse() {
                Ok(length) if length <= most => Ok(Framing::Length(length)),
                Ok(_) => Err((413, DropReason::TooLarge)),
                Err(_) => Err(BAD),
            }
        }
        (None, None) if head.method == "POST" => Err((411, DropReason::Http)),
        (None, None) => Ok(Framing::Length(0)),
    }
}

/// The address that a `Host` field or the authority of a URL names, when it names an address.
pub(crate) fn authority(text: &str) -> Option<(IpAddr, Option<u16>)> {
    // Some clients leave their own zone in the address (RFC 6874); here it means nothing.
    if let Some((address, rest)) = text.split_once('%') {
        let (zone, rest) = rest.split_once(']')?;
        let plain = zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        return if plain && !rest.contains('%') { authority(&format!("{address}]{rest}")) } else { None };
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    let bare = text.strip_prefix('[').map_or(Some(text), |rest| rest.strip_suffix(']'))?;
    let address: IpAddr = bare.parse().ok()?;
    (address.is_ipv6() == text.starts_with('[')).then_some((address, None))
}

const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "HTTP Version Not Supported",
    }
}

/// A response after which the connection ends. `fields` end with CRLF each.
pub(crate) fn response(status: u16, fields: &str, body: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "HTTP/1.1 {status} {}\r\nServer: {SERVER}\r\nConnection: close\r\nContent-Length: {}\r\n{fields}\r\n",
        reason(status),
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

/// A response that is a document.
pub(crate) fn document(status: u16, body: &[u8]) -> Vec<u8> {
    response(status, "Content-Type: text/xml; charset=\"utf-8\"\r\nExt:\r\n", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &[u8]) -> Result<Progress, Refusal> {
        Incoming::default().push(text, 512, 64)
    }

    #[track_caller]
    fn done(progress: Result<Progress, Refusal>) -> (Head, Vec<u8>) {
        match progress {
            Ok(Progress::Done(head, body)) => (head, body),
            other => panic!("{other:?}"),
        }
    }

    const POSTED: &[u8] =
        b"POST /a HTTP/1.1\r\nHost: 1.2.3.4\r\nContent-Length: 5\r\nX:  y z \r\n\r\nhello more";
    const CHUNKED: &[u8] = b"POST /a HTTP/1.1\r\nHost: 1.2.3.4\r\nTransfer-Encoding: chunked\r\n\r\n\
                             2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n";

    #[test]
    fn a_request_split_anywhere_is_the_same_request() {
        for text in [POSTED, CHUNKED] {
            let (head, body) = done(whole(text));
            assert_eq!(
                (head.method.as_str(), head.path.as_str(), body.as_slice()),
                ("POST", "/a", &b"hello"[..])
            );
            for cut in 1..text.len() {
                let mut incoming = Incoming::default();
                let first = incoming.push(&text[..cut], 512, 64).expect("well-formed");
                if matches!(first, Progress::More) {
                    assert_eq!(
                        done(incoming.push(&text[cut..], 512, 64)),
                        (head.clone(), body.clone()),
                        "{cut}"
                    );
                } else {
                    assert!(cut >= text.len() - b" more".len(), "{cut}");
                }
            }
            let mut incoming = Incoming::default();
            let mut last = Ok(Progress::More);
            for byte in text {
                last = incoming.push(&[*byte], 512, 64);
                if !matches!(last, Ok(Progress::More)) {
                    break;
                }
            }
            assert_eq!(done(last), (head, body));
        }
        assert_eq!(done(whole(POSTED)).0.field("x"), Some("y z"));
    }

    #[test]
    fn smuggled_and_malformed_requests_are_refused() {
        let status = |text: &str| whole(text.as_bytes()).map(|_| ()).map_err(|(status, _)| status);
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2\r\nHost: a\r\n\r\n", 505),
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", 411),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65\r\n\r\n", 413),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n", 413),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{1}\r\n\r\n", 400),
        ] {
            assert_eq!(status(text), Err(expected), "{text}");
        }
        assert_eq!(status(&format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(PATH))), Err(414));
        assert_eq!(status(&"x".repeat(513)), Err(431));
        assert_eq!(
            status(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(FIELDS))),
            Err(400)
        );
        assert!(whole(b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n").is_err());
    }

    #[test]
    fn a_client_that_waits_is_told_to_go_on() {
        let head = b"POST /a HTTP/1.1\r\nHost: 1.2.3.4\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let mut incoming = Incoming::default();
        assert!(matches!(incoming.push(head, 512, 64), Ok(Progress::Continue)));
        assert_eq!(done(incoming.push(b"ab", 512, 64)).1, b"ab");
    }

    #[test]
    fn an_authority_is_an_address_or_nothing() {
        let read = |text| authority(text).map(|(address, port)| (format!("{address}"), port));
        assert_eq!(read("1.2.3.4"), Some(("1.2.3.4".into(), None)));
        assert_eq!(read("1.2.3.4:80"), Some(("1.2.3.4".into(), Some(80))));
        assert_eq!(read("[fe80::1]:80"), Some(("fe80::1".into(), Some(80))));
        assert_eq!(read("[fe80::1]"), Some(("fe80::1".into(), None)));
        assert_eq!(read("[fe80::1%25wlan0]:80"), Some(("fe80::1".into(), Some(80))));
        assert_eq!(read("[fe80::1%a%b]"), None);
        assert_eq!(read("[fe80::1%wlan0]:80"), Some(("fe80::1".into(), Some(80))));
        for bad in ["", "a", "1.2.3.4:", "fe80::1", "[1.2.3.4]", "1.2.3.4:65536", "a.example:80", "1.2.3.4@b"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
