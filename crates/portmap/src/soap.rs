//! SOAP 1.1 as UPnP uses it (UDA 1.1 §3): one action in, one response or fault out.

use alloc::{format, string::String, vec::Vec};

use crate::{
    code::UpnpCode,
    xml::{Event, Malformed, Reader, escape},
};

/// Most arguments of an action.
const ARGUMENTS: usize = 24;
/// Most bytes of one.
const VALUE: usize = 1_024;

/// An action that is called: its name and arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) action: String,
    arguments: Vec<(String, String)>,
}

impl Call {
    /// The argument of this name, without space around it.
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim_ascii())
    }
}

/// The service type and action that a SOAPACTION header names: `"urn:…#Action"`, with or without the quotes.
pub(crate) fn soap_action(header: &str) -> Option<(&str, &str)> {
    let header = header.trim_ascii();
    let name = header.strip_prefix('"').map_or(Some(header), |rest| rest.strip_suffix('"'))?;
    name.split_once('#').filter(|(service, action)| !service.is_empty() && !action.is_empty())
}

/// Reads an envelope with a body of one action.
pub(crate) fn parse(body: &[u8]) -> Result<Call, Malformed> {
    let mut reader = Reader::new(body)?;
    expect(&mut reader, "Envelope")?;
    // A header may stand before the body; nothing in it is for us.
    loop {
        match start(&mut reader)?.ok_or(Malformed)? {
            "Body" => break,
            "Header" => skip(&mut reader)?,
            _ => return Err(Malformed),
        }
    }
    let mut call =
        Call { action: String::from(start(&mut reader)?.ok_or(Malformed)?), arguments: Vec::new() };
    while let Some(name) = start(&mut reader)? {
        let value = reader.text(VALUE)?;
        if call.arguments.len() == ARGUMENTS || call.arguments.iter().any(|(key, _)| key == name) {
            return Err(Malformed);
        }
        call.arguments.push((String::from(name), value));
    }
    // The body, the envelope, the document.
    for _ in 0..2 {
        if start(&mut reader)?.is_some() {
            return Err(Malformed);
        }
    }
    if reader.next()?.is_some() { Err(Malformed) } else { Ok(call) }
}

fn expect(reader: &mut Reader<'_>, name: &str) -> Result<(), Malformed> {
    if start(reader)? == Some(name) { Ok(()) } else { Err(Malformed) }
}

/// The next element inside of the present one; `None` when that ends. Nothing but space is between elements.
fn start<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, Malformed> {
    loop {
        match reader.next()?.ok_or(Malformed)? {
            Event::Start(name) => return Ok(Some(name)),
            Event::Text(text) if text.trim_ascii().is_empty() => {}
            Event::Text(_) => return Err(Malformed),
            Event::End => return Ok(None),
        }
    }
}

/// Passes over the rest of the element that has just started.
fn skip(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let mut depth = 1;
    while depth > 0 {
        match reader.next()?.ok_or(Malformed)? {
            Event::Start(_) => depth += 1,
            Event::Text(_) => {}
            Event::End => depth -= 1,
        }
    }
    Ok(())
}

fn envelope(body: &str) -> Vec<u8> {
    format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>{body}</s:Body></s:Envelope>\r\n"
    )
    .into_bytes()
}

/// The one value that is a document itself. Widespread clients read it as it stands (miniupnpc), so its markup is
/// not escaped but quoted.
const DOCUMENT: &str = "NewPortListing";

/// The response to `action` of `service` with its values.
pub(crate) fn response(service: &str, action: &str, values: &[(&str, String)]) -> Vec<u8> {
    let mut body = format!("<u:{action}Response xmlns:u=\"{service}\">");
    for (name, value) in values {
        let value = match *name {
            // Text inside is escaped, so that nothing ends the quotation.
            DOCUMENT => format!("<![CDATA[{value}]]>"),
            _ => escape(value),
        };
        body.push_str(&format!("<{name}>{value}</{name}>"));
    }
    body.push_str(&format!("</u:{action}Response>"));
    envelope(&body)
}

/// A fault.
pub(crate) fn fault(code: UpnpCode) -> Vec<u8> {
    envelope(&format!(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
         <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{}</errorCode>\
         <errorDescription>{}</errorDescription></UPnPError></detail></s:Fault>",
        code.number, code.text
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(inside: &str) -> Result<Call, Malformed> {
        parse(format!("<s:Envelope xmlns:s='e'><s:Body>{inside}</s:Body></s:Envelope>").as_bytes())
    }

    #[test]
    fn a_call_is_its_action_and_arguments() {
        let read = call("\n <u:Do xmlns:u='urn'>\n<A> 1 </A><B/><C>x&lt;y</C></u:Do>\n").expect("a call");
        assert_eq!(read.action, "Do");
        assert_eq!(read.argument("A"), Some("1"));
        assert_eq!(read.argument("B"), Some(""));
        assert_eq!(read.argument("C"), Some("x<y"));
        assert_eq!(read.argument("D"), None);
        let headed =
            parse(b"<e:Envelope><e:Header><x><y/></x></e:Header><e:Body><Do/></e:Body></e:Envelope>");
        assert_eq!(headed.expect("a call").action, "Do");
    }

    #[test]
    fn what_is_not_one_call_is_refused() {
        for inside in ["", "text", "<a/><b/>", "<a><b><c/></b></a>", "<a><b/><b/></a>", "<a>text</a>"] {
            assert_eq!(call(inside), Err(Malformed), "{inside}");
        }
        for document in ["<Body><a/></Body>", "<Envelope><a/></Envelope>", "<Envelope/>"] {
            assert_eq!(parse(document.as_bytes()), Err(Malformed), "{document}");
        }
        let many: String = (0..=ARGUMENTS).map(|n| format!("<a{n}/>")).collect();
        assert_eq!(call(&format!("<Do>{many}</Do>")), Err(Malformed));
        assert_eq!(call(&format!("<Do><a>{}</a></Do>", "x".repeat(VALUE + 1))), Err(Malformed));
    }

    #[test]
    fn the_header_names_service_and_action() {
        assert_eq!(soap_action("\"urn:a:1#Do\""), Some(("urn:a:1", "Do")));
        assert_eq!(soap_action(" urn:a:1#Do "), Some(("urn:a:1", "Do")));
        for bad in ["", "\"", "\"urn#Do", "urn", "#Do", "urn#"] {
            assert_eq!(soap_action(bad), None, "{bad}");
        }
    }
}
