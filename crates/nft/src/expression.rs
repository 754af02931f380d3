//! Expressions of nf_tables: what statements are made of, as attributes and back.
//!
//! Every expression loads into and reads from the first register.

use alloc::{string::String, vec, vec::Vec};

use hn_types::{Subnet4, Subnet6};

use crate::{
    ruleset::{Compared, CtStates, Direction, Match, Op, Side, Statement, Verdict},
    wire::{Malformed, Writer, as_array, attribute::LIST_ELEMENT, attributes, be32, pick, text_of},
};

/// `NFT_REG_1`.
const REGISTER: u32 = 1;
/// `NFT_REG_VERDICT`.
const VERDICT_REGISTER: u32 = 0;
/// `NFT_REG_2`.
const SECOND_REGISTER: u32 = 2;
/// `NFT_CT_STATUS`, and in it `IPS_DST_NAT`.
const CT_STATUS: u32 = 2;
/// `NFT_CT_DIRECTION`, one byte.
const CT_DIRECTION: u32 = 1;
const REDIRECTED: u32 = 0x20;
/// `IPS_ASSURED` in the same.
const ASSURED: u32 = 0x04;
/// `NFT_CT_DST_IP` and `IP_CT_DIR_REPLY`.
const CT_DESTINATION: u32 = 20;
const REPLY: u8 = 1;
/// `NFT_META_MARK`.
const META_MARK: u32 = 3;
/// `NFT_RT_TCPMSS`.
const RT_TCPMSS: u32 = 3;
/// `NFT_BYTEORDER_HTON`.
const TO_NETWORK_ORDER: u32 = 1;
/// `NFT_EXTHDR_OP_TCPOPT`.
const TCP_OPTION: u32 = 1;
/// Number, and where in it its value of two bytes is: RFC 9293 §3.2.
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const SEGMENT_SIZE_AT: u32 = 2;
/// IANA number.
const TCP: u8 = 6;
/// In the byte of the flags: RFC 9293 §3.1.
const SYN: u8 = 0x02;
const FLAGS_AT: u32 = 13;
/// `NFT_FIB_RESULT_ADDRTYPE`, `NFTA_FIB_F_DADDR`, and as its answer `RTN_LOCAL`.
const FIB_ADDRESS_TYPE: u32 = 3;
const FIB_DESTINATION: u32 = 2;
const LOCAL: u32 = 2;
/// `NFT_NAT_DNAT`.
const NAT_DESTINATION: u32 = 1;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`.
const PORT_SPECIFIED: u32 = 2;
/// `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`.
const EXPRESSION: [u16; 2] = [1, 2];
/// `NFTA_DATA_VALUE`, `NFTA_DATA_VERDICT`; also `NFTA_VERDICT_CODE`, `NFTA_VERDICT_CHAIN`.
const DATA: [u16; 2] = [1, 2];
const DROP: i32 = 0;
const ACCEPT: i32 = 1;
const GOTO: i32 = -4;
/// Bytes of an interface name with its zeros.
const IFNAMSIZ: usize = 16;
/// `NFPROTO_IPV4`, `NFPROTO_IPV6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// One step of the kernel's little machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// `[ meta load KEY => reg 1 ]`.
    Meta(MetaKey),
    /// `[ payload load 2b @ transport header + 2 => reg 1 ]`.
    Port,
    /// The port it comes from.
    PortFrom,
    /// `[ payload load 1b @ transport header + 13 => reg 1 ]`.
    TcpFlags,
    /// `[ payload load LEN @ network header + OFFSET => reg 1 ]`.
    Payload {
        /// From the first byte of the network header, in bytes.
        offset: u32,
        /// In bytes.
        length: u32,
    },
    /// `[ bitwise reg 1 = ( reg 1 & MASK ) ^ 0 ]`.
    Bitwise(Vec<u8>),
    /// `[ cmp eq|neq reg 1 VALUE ]`.
    Compare(Op, Vec<u8>),
    /// `[ ct load state => reg 1 ]`.
    CtState,
    /// `[ ct load status => reg 1 ]`.
    CtStatus,
    /// `[ ct load direction => reg 1 ]`.
    CtDirection,
    /// `[ ct load dst_ip => reg 1 , dir reply ]`.
    CtReplyDestination,
    /// `[ meta set mark with reg 1 ]`.
    SetMark,
    /// `[ fib daddr type => reg 1 ]`.
    DestinationType,
    /// `[ immediate reg N VALUE ]`, register 1 or 2.
    Load(u32, Vec<u8>),
    /// `[ nat dnat ip addr_min reg 1 proto_min reg 2 ]`.
    Nat,
    /// `[ rt load tcpmss => reg 1 ]`.
    RouteSegment,
    /// `[ byteorder reg 1 = hton(reg 1, 2, 2) ]`.
    NetworkOrder,
    /// `[ exthdr write tcpopt reg 1 => 2b @ 2 + 2 ]`.
    WriteSegment,
    /// `[ counter ]`.
    Counter,
    /// `[ masq ]`.
    Masquerade,
    /// `[ masq proto_min reg 1 flags 0x2 ]`.
    MasqueradeTo,
    /// `[ immediate reg 0 VERDICT ]`.
    Immediate(Verdict),
    /// One that we never write, by its name.
    Other(String),
}

/// What a packet knows about itself beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaKey {
    /// Index of the incoming interface, 4 bytes.
    Iif,
    /// Index of the outgoing interface, 4 bytes.
    Oif,
    /// Name of the incoming interface, 16 bytes.
    IifName,
    /// Name of the outgoing interface, 16 bytes.
    OifName,
    /// Number of the network protocol, 1 byte.
    NfProto,
    /// Number of the transport protocol, 1 byte.
    L4Proto,
}

impl MetaKey {
    const ALL: [Self; 6] = [Self::Iif, Self::Oif, Self::IifName, Self::OifName, Self::NfProto, Self::L4Proto];

    const fn number(self) -> u32 {
        match self {
            Self::Iif => 4,
            Self::Oif => 5,
            Self::IifName => 6,
            Self::OifName => 7,
            Self::NfProto => 15,
            Self::L4Proto => 16,
        }
    }
}

impl Expression {
    fn encode(&self, w: &mut Writer) {
        let data = |w: &mut Writer, kind, value: &[u8]| w.nested(kind, |w| w.attribute(1, value));
        match self {
            Self::Meta(key) => element(w, "meta", |w| {
                w.number(2, key.number());
                w.number(1, REGISTER);
            }),
            Self::Port | Self::PortFrom => element(w, "payload", |w| {
                const TRANSPORT_HEADER: u32 = 2;
                w.number(1, REGISTER);
                w.number(2, TRANSPORT_HEADER);
                w.number(3, if matches!(self, Self::Port) { 2 } else { 0 });
                w.number(4, 2);
            }),
            Self::TcpFlags => element(w, "payload", |w| {
                const TRANSPORT_HEADER: u32 = 2;
                w.number(1, REGISTER);
                w.number(2, TRANSPORT_HEADER);
                w.number(3, FLAGS_AT);
                w.number(4, 1);
            }),
            Self::Payload { offset, length } => element(w, "payload", |w| {
                const NETWORK_HEADER: u32 = 1;
                w.number(1, REGISTER);
                w.number(2, NETWORK_HEADER);
                w.number(3, *offset);
                w.number(4, *length);
            }),
            Self::Bitwise(mask) => element(w, "bitwise", |w| {
                w.number(1, REGISTER);
                w.number(2, REGISTER);
                w.number(3, mask.len() as u32);
                data(w, 4, mask);
                data(w, 5, &vec![0; mask.len()]);
            }),
            Self::Compare(op, value) => element(w, "cmp", |w| {
                w.number(1, REGISTER);
                w.number(
                    2,
                    match op {
                        Op::Is => 0,
                        Op::IsNot => 1,
                    },
                );
                data(w, 3, value);
            }),
            Self::CtState => element(w, "ct", |w| {
                const STATE: u32 = 0;
                w.number(2, STATE);
                w.number(1, REGISTER);
            }),
            Self::CtStatus => element(w, "ct", |w| {
                w.number(2, CT_STATUS);
                w.number(1, REGISTER);
            }),
            Self::CtDirection => element(w, "ct", |w| {
                w.number(2, CT_DIRECTION);
                w.number(1, REGISTER);
            }),
            Self::CtReplyDestination => element(w, "ct", |w| {
                w.number(2, CT_DESTINATION);
                w.attribute(3, &[REPLY]);
                w.number(1, REGISTER);
            }),
            Self::SetMark => element(w, "meta", |w| {
                w.number(2, META_MARK);
                w.number(3, REGISTER);
            }),
            Self::DestinationType => element(w, "fib", |w| {
                w.number(1, REGISTER);
                w.number(2, FIB_ADDRESS_TYPE);
                w.number(3, FIB_DESTINATION);
            }),
            Self::Load(register, value) => element(w, "immediate", |w| {
                w.number(1, *register);
                data(w, 2, value);
            }),
            Self::Nat => element(w, "nat", |w| {
                w.number(1, NAT_DESTINATION);
                w.number(2, u32::from(IPV4));
                w.number(3, REGISTER);
                w.number(5, SECOND_REGISTER);
            }),
            Self::RouteSegment => element(w, "rt", |w| {
                w.number(2, RT_TCPMSS);
                w.number(1, REGISTER);
            }),
            Self::NetworkOrder => element(w, "byteorder", |w| {
                w.number(1, REGISTER);
                w.number(2, REGISTER);
                w.number(3, TO_NETWORK_ORDER);
                w.number(4, 2);
                w.number(5, 2);
            }),
            Self::WriteSegment => element(w, "exthdr", |w| {
                w.number(7, REGISTER);
                w.attribute(2, &[MAXIMUM_SEGMENT_SIZE]);
                w.number(3, SEGMENT_SIZE_AT);
                w.number(4, 2);
                w.number(6, TCP_OPTION);
            }),
            Self::Counter => element(w, "counter", |_| {}),
            Self::Masquerade => element(w, "masq", |_| {}),
            Self::MasqueradeTo => element(w, "masq", |w| {
                w.number(1, PORT_SPECIFIED);
                w.number(2, REGISTER);
            }),
            Self::Immediate(verdict) => element(w, "immediate", |w| {
                w.number(1, VERDICT_REGISTER);
                w.nested(2, |w| {
                    w.nested(2, |w| match verdict {
                        Verdict::Accept => w.attribute(1, &ACCEPT.to_be_bytes()),
                        Verdict::Drop => w.attribute(1, &DROP.to_be_bytes()),
                        Verdict::Goto(chain) => {
                            w.attribute(1, &GOTO.to_be_bytes());
                            w.text(2, chain);
                        }
                    });
                });
            }),
            // Encoding a foreign expression would be a guess; the kernel refuses one that is empty.
            Self::Other(name) => element(w, name, |_| {}),
        }
    }

    /// Reads one list element; the second value is packets and bytes of a counter.
    fn decode(element: &[u8]) -> Result<(Self, Option<(u64, u64)>), Malformed> {
        let ([name, data], _) = pick(element, EXPRESSION)?;
        let name = name.and_then(text_of).ok_or(Malformed::Value)?;
        let data = data.unwrap_or_default();
        if name == "counter" {
            let ([bytes, packets], _) = pick(data, [1, 2])?;
            let count = |value: Option<&[u8]>| value.and_then(as_array).map_or(0, |v| u64::from_be_bytes(*v));
            return Ok((Self::Counter, Some((count(packets), count(bytes)))));
        }
        let known = Self::decode_known(name, data)?;
        Ok((known.unwrap_or_else(|| Self::Other(name.into())), None))
    }

    /// `None`: not one of ours.
    fn decode_known(name: &str, data: &[u8]) -> Result<Option<Self>, Malformed> {
        let register = |value: Option<&[u8]>| value.and_then(be32) == Some(REGISTER);
        Ok(match name {
            "meta" => {
                let ([to, key, from], others) = pick(data, [1, 2, 3])?;
                if register(from) && to.is_none() && key.and_then(be32) == Some(META_MARK) && !others {
                    return Ok(Some(Self::SetMark));
                }
                let others = others || from.is_some();
                let key = key
                    .and_then(be32)
                    .and_then(|number| MetaKey::ALL.into_iter().find(|key| key.number() == number));
                key.filter(|_| register(to) && !others).map(Self::Meta)
            }
            "payload" => {
                let ([to, base, offset, length], others) = pick(data, [1, 2, 3, 4])?;
                let ours = register(to) && base.and_then(be32) == Some(1) && !others;
                let port = register(to) && base.and_then(be32) == Some(2) && !others;
                match (ours, offset.and_then(be32), length.and_then(be32)) {
                    (false, Some(2), Some(2)) if port => Some(Self::Port),
                    (false, Some(0), Some(2)) if port => Some(Self::PortFrom),
                    (false, Some(FLAGS_AT), Some(1)) if port => Some(Self::TcpFlags),
                    (true, Some(offset), Some(length)) => Some(Self::Payload { offset, length }),
                    (true, _, None) | (true, None, _) | (false, _, _) => None,
                }
            }
            "bitwise" => {
                let ([from, to, length, mask, xor, op], others) = pick(data, [1, 2, 3, 4, 5, 6])?;
                let plain = register(from)
                    && register(to)
                    && data_value(xor)?.is_some_and(|xor| xor.iter().all(|byte| *byte == 0))
                    && op.is_none_or(|op| be32(op) == Some(0))
                    && !others;
                let whole = |part: Option<&[u8]>| part.map(<[u8]>::len);
                let mask = data_value(mask)?;
                let length = length.and_then(be32).and_then(|length| usize::try_from(length).ok());
                let same = length.is_some() && length == whole(mask) && length == whole(data_value(xor)?);
                mask.filter(|_| plain && same).map(|mask| Self::Bitwise(mask.into()))
            }
            "cmp" => {
                let ([from, op, value], others) = pick(data, [1, 2, 3])?;
                let op = match op.and_then(be32) {
                    Some(0) => Some(Op::Is),
                    Some(1) => Some(Op::IsNot),
                    Some(_) | None => None,
                };
                let value = data_value(value)?.filter(|_| register(from) && !others);
                op.zip(value).map(|(op, value)| Self::Compare(op, value.into()))
            }
            "ct" => {
                let ([to, key, direction], others) = pick(data, [1, 2, 3])?;
                match (key.and_then(be32).filter(|_| register(to) && !others), direction) {
                    (Some(0), None) => Some(Self::CtState),
                    (Some(CT_STATUS), None) => Some(Self::CtStatus),
                    (Some(CT_DIRECTION), None) => Some(Self::CtDirection),
                    (Some(CT_DESTINATION), Some([REPLY])) => Some(Self::CtReplyDestination),
                    (Some(_) | None, _) => None,
                }
            }
            "fib" => {
                let ([to, result, flags], others) = pick(data, [1, 2, 3])?;
                let ours = result.and_then(be32) == Some(FIB_ADDRESS_TYPE)
                    && flags.and_then(be32) == Some(FIB_DESTINATION);
                (register(to) && ours && !others).then_some(Self::DestinationType)
            }
            "rt" => {
                let ([to, key], others) = pick(data, [1, 2])?;
                let ours = register(to) && key.and_then(be32) == Some(RT_TCPMSS) && !others;
                ours.then_some(Self::RouteSegment)
            }
            "byteorder" => {
                let ([from, to, op, length, size], others) = pick(data, [1, 2, 3, 4, 5])?;
                let is = |value: Option<&[u8]>, wanted| value.and_then(be32) == Some(wanted);
                let ours = register(from) && register(to) && is(op, TO_NETWORK_ORDER);
                (ours && is(length, 2) && is(size, 2) && !others).then_some(Self::NetworkOrder)
            }
            "exthdr" => {
                let ([option, offset, length, flags, op, from], others) = pick(data, [2, 3, 4, 5, 6, 7])?;
                let is = |value: Option<&[u8]>, wanted| value.and_then(be32) == Some(wanted);
                let ours = register(from)
                    && option == Some(&[MAXIMUM_SEGMENT_SIZE])
                    && is(offset, SEGMENT_SIZE_AT)
                    && is(length, 2)
                    && is(op, TCP_OPTION);
                // The kernel says that there are no flags.
                (ours && (flags.is_none() || is(flags, 0)) && !others).then_some(Self::WriteSegment)
            }
            "nat" => {
                let ([kind, family, address, last, port, last_port], _) = pick(data, [1, 2, 3, 4, 5, 6])?;
                let is = |value: Option<&[u8]>, wanted| value.and_then(be32) == Some(wanted);
                let same = |value: Option<&[u8]>, wanted| value.is_none() || is(value, wanted);
                (is(kind, NAT_DESTINATION)
                    && is(family, u32::from(IPV4))
                    && is(address, REGISTER)
                    && same(last, REGISTER)
                    && is(port, SECOND_REGISTER)
                    && same(last_port, SECOND_REGISTER))
                .then_some(Self::Nat)
            }
            "masq" if attributes(data).next().is_none() => Some(Self::Masquerade),
            "masq" => {
                let ([flags, port, last_port], others) = pick(data, [1, 2, 3])?;
                let ours = flags.and_then(be32) == Some(PORT_SPECIFIED)
                    && register(port)
                    && (last_port.is_none() || register(last_port));
                (ours && !others).then_some(Self::MasqueradeTo)
            }
            "immediate" => {
                let ([to, data], _) = pick(data, [1, 2])?;
                if let Some(to) = to.and_then(be32).filter(|to| [REGISTER, SECOND_REGISTER].contains(to)) {
                    return Ok(data_value(data)?.map(|value| Self::Load(to, value.into())));
                }
                let ([_, verdict], _) = pick(data.unwrap_or_default(), DATA)?;
                let ([code, chain], _) = pick(verdict.unwrap_or_default(), DATA)?;
                let to_verdict = to.and_then(be32) == Some(VERDICT_REGISTER);
                let code = code.and_then(as_array).map(|code| i32::from_be_bytes(*code));
                let verdict = match (code, chain.and_then(text_of)) {
                    (Some(ACCEPT), None) => Some(Verdict::Accept),
                    (Some(DROP), None) => Some(Verdict::Drop),
                    (Some(GOTO), Some(chain)) => Some(Verdict::Goto(chain.into())),
                    (Some(_) | None, _) => None,
                };
                verdict.filter(|_| to_verdict).map(Self::Immediate)
            }
            _ => None,
        })
    }
}

pub(crate) fn element(w: &mut Writer, name: &str, data: impl FnOnce(&mut Writer)) {
    w.nested(LIST_ELEMENT, |w| {
        w.text(1, name);
        w.nested(2, data);
    });
}

fn data_value(data: Option<&[u8]>) -> Result<Option<&[u8]>, Malformed> {
    let ([value, _], _) = pick(data.unwrap_or_default(), DATA)?;
    Ok(value)
}

/// Writes `statements` as the elements of an expression list.
pub(crate) fn encode(statements: &[Statement], w: &mut Writer) {
    for statement in statements {
        for expression in lower(statement) {
            expression.encode(w);
        }
    }
}

/// Reads an expression list; also packets and bytes counted by its counters.
pub(crate) fn decode(list: &[u8]) -> Result<(Vec<Statement>, (u64, u64)), Malformed> {
    let mut expressions = Vec::new();
    let mut counted = (0_u64, 0_u64);
    for element in attributes(list) {
        let (_, element) = element?;
        let (expression, counter) = Expression::decode(element)?;
        if let Some((packets, bytes)) = counter {
            counted = (counted.0.saturating_add(packets), counted.1.saturating_add(bytes));
        }
        expressions.push(expression);
    }
    Ok((lift(&expressions), counted))
}

/// The expressions of one statement.
fn lower(statement: &Statement) -> Vec<Expression> {
    let is = |value: &[u8]| Expression::Compare(Op::Is, value.into());
    match statement {
        Statement::Match(Match::Ipv4) => [Expression::Meta(MetaKey::NfProto), is(&[IPV4])].into(),
        Statement::Match(Match::Ipv6) => [Expression::Meta(MetaKey::NfProto), is(&[IPV6])].into(),
        Statement::Match(Match::Interface(side, op, compared)) => {
            let (key, value) = match (compared, side) {
                (Compared::Index(index), Side::In) => (MetaKey::Iif, index.to_ne_bytes().to_vec()),
                (Compared::Index(index), Side::Out) => (MetaKey::Oif, index.to_ne_bytes().to_vec()),
                (Compared::Name(name), Side::In) => (MetaKey::IifName, padded(name.as_str())),
                (Compared::Name(name), Side::Out) => (MetaKey::OifName, padded(name.as_str())),
            };
            [Expression::Meta(key), Expression::Compare(*op, value)].into()
        }
        Statement::Match(Match::Address(side, network)) => {
            let load = Expression::Payload { offset: address_offset(*side), length: 4 };
            let network = network.network();
            let compare = is(&network.address().octets());
            // Four bytes and a mask are faster than three bytes: the kernel has both inline.
            match network.prefix() {
                32 => [load, compare].into(),
                _ => [load, Expression::Bitwise(network.mask().octets().into()), compare].into(),
            }
        }
        Statement::Match(Match::Address6(side, network)) => {
            let offset = address6_offset(*side);
            let network = network.network();
            let octets = network.address().octets();
            // Whole bytes need no mask.
            if network.prefix() % 8 == 0 && network.prefix() > 0 {
                let length = network.prefix() / 8;
                let load = Expression::Payload { offset, length: length.into() };
                return [load, is(octets.get(..usize::from(length)).unwrap_or_default())].into();
            }
            let load = Expression::Payload { offset, length: 16 };
            [load, Expression::Bitwise(network.mask().octets().into()), is(&octets)].into()
        }
        Statement::Match(Match::State(states)) => [
            Expression::CtState,
            Expression::Bitwise(states.0.to_ne_bytes().into()),
            Expression::Compare(Op::IsNot, [0; 4].into()),
        ]
        .into(),
        Statement::Match(Match::NotTo(address)) => [
            Expression::Payload { offset: address_offset(Side::Out), length: 4 },
            Expression::Compare(Op::IsNot, address.octets().into()),
        ]
        .into(),
        Statement::Match(Match::Local) => [Expression::DestinationType, is(&LOCAL.to_ne_bytes())].into(),
        Statement::Match(Match::Protocol(number)) => {
            [Expression::Meta(MetaKey::L4Proto), is(&[*number])].into()
        }
        Statement::Match(Match::Port(number, port)) => {
            [Expression::Meta(MetaKey::L4Proto), is(&[*number]), Expression::Port, is(&port.to_be_bytes())]
                .into()
        }
        Statement::Match(Match::PortFrom(number, port)) => {
            let port = is(&port.to_be_bytes());
            [Expression::Meta(MetaKey::L4Proto), is(&[*number]), Expression::PortFrom, port].into()
        }
        Statement::Match(Match::Redirected) => [
            Expression::CtStatus,
            Expression::Bitwise(REDIRECTED.to_ne_bytes().into()),
            Expression::Compare(Op::IsNot, [0; 4].into()),
        ]
        .into(),
        Statement::Match(Match::AnsweredAt(address)) => {
            [Expression::CtReplyDestination, is(&address.octets())].into()
        }
        Statement::Match(Match::Direction(direction)) => {
            [Expression::CtDirection, is(&[direction_number(*direction)])].into()
        }
        Statement::Match(Match::Assured) => [
            Expression::CtStatus,
            Expression::Bitwise(ASSURED.to_ne_bytes().into()),
            Expression::Compare(Op::IsNot, [0; 4].into()),
        ]
        .into(),
        Statement::Match(Match::TcpSyn) => [
            Expression::Meta(MetaKey::L4Proto),
            is(&[TCP]),
            Expression::TcpFlags,
            Expression::Bitwise([SYN].into()),
            Expression::Compare(Op::IsNot, [0].into()),
        ]
        .into(),
        Statement::Mark(mark) => {
            [Expression::Load(REGISTER, mark.to_ne_bytes().into()), Expression::SetMark].into()
        }
        Statement::ClampSegment => {
            [Expression::RouteSegment, Expression::NetworkOrder, Expression::WriteSegment].into()
        }
        Statement::LimitSegment(size) => {
            [Expression::Load(REGISTER, size.to_be_bytes().into()), Expression::WriteSegment].into()
        }
        Statement::Redirect(address, port) => [
            Expression::Load(REGISTER, address.octets().into()),
            Expression::Load(SECOND_REGISTER, port.to_be_bytes().into()),
            Expression::Nat,
        ]
        .into(),
        Statement::Counter => [Expression::Counter].into(),
        Statement::Masquerade => [Expression::Masquerade].into(),
        Statement::MasqueradeTo(port) => {
            [Expression::Load(REGISTER, port.to_be_bytes().into()), Expression::MasqueradeTo].into()
        }
        Statement::Verdict(verdict) => [Expression::Immediate(verdict.clone())].into(),
        Statement::Other(name) => [Expression::Other(name.clone())].into(),
    }
}

/// The statements that these expressions are.
fn lift(expressions: &[Expression]) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut rest = expressions;
    while let [first, ..] = rest {
        if let [
            Expression::Load(REGISTER, address),
            Expression::Load(SECOND_REGISTER, port),
            Expression::Nat,
            ..,
        ] = rest
            && let (Some(address), Some(port)) = (as_array::<4>(address), as_array(port))
        {
            statements.push(Statement::Redirect((*address).into(), u16::from_be_bytes(*port)));
            rest = rest.get(3..).unwrap_or_default();
            continue;
        }
        if let [Expression::Load(REGISTER, port), Expression::MasqueradeTo, ..] = rest
            && let Some(port) = as_array(port)
        {
            statements.push(Statement::MasqueradeTo(u16::from_be_bytes(*port)));
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        if let [Expression::Load(REGISTER, size), Expression::WriteSegment, ..] = rest
            && let Some(size) = as_array(size)
        {
            statements.push(Statement::LimitSegment(u16::from_be_bytes(*size)));
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        if let [Expression::Load(REGISTER, mark), Expression::SetMark, ..] = rest
            && let Some(mark) = as_array(mark)
        {
            statements.push(Statement::Mark(u32::from_ne_bytes(*mark)));
            rest = rest.get(2..).unwrap_or_default();
            continue;
        }
        if let [Expression::RouteSegment, Expression::NetworkOrder, Expression::WriteSegment, ..] = rest {
            statements.push(Statement::ClampSegment);
            rest = rest.get(3..).unwrap_or_default();
            continue;
        }
        let (statement, used) = condition(rest).map_or_else(
            || {
                let statement = match first {
                    Expression::Counter => Statement::Counter,
                    Expression::Masquerade => Statement::Masquerade,
                    Expression::Immediate(verdict) => Statement::Verdict(verdict.clone()),
                    Expression::Other(name) => Statement::Other(name.clone()),
                    Expression::Meta(_) => Statement::Other("meta".into()),
                    Expression::Payload { .. } => Statement::Other("payload".into()),
                    Expression::Bitwise(_) => Statement::Other("bitwise".into()),
                    Expression::Compare(..) => Statement::Other("cmp".into()),
                    Expression::CtState
                    | Expression::CtStatus
                    | Expression::CtDirection
                    | Expression::CtReplyDestination => Statement::Other("ct".into()),
                    Expression::SetMark => Statement::Other("meta".into()),
                    Expression::Port | Expression::PortFrom | Expression::TcpFlags => {
                        Statement::Other("payload".into())
                    }
                    Expression::RouteSegment => Statement::Other("rt".into()),
                    Expression::NetworkOrder => Statement::Other("byteorder".into()),
                    Expression::WriteSegment => Statement::Other("exthdr".into()),
                    Expression::DestinationType => Statement::Other("fib".into()),
                    Expression::Load(..) => Statement::Other("immediate".into()),
                    Expression::Nat => Statement::Other("nat".into()),
                    Expression::MasqueradeTo => Statement::Other("masq".into()),
                };
                (statement, 1)
            },
            |(condition, used)| (Statement::Match(condition), used),
        );
        statements.push(statement);
        rest = rest.get(used..).unwrap_or_default();
    }
    statements
}

/// The condition at the start of `expressions` and how many of them it takes.
fn condition(expressions: &[Expression]) -> Option<(Match, usize)> {
    match expressions {
        [Expression::Meta(MetaKey::NfProto), Expression::Compare(Op::Is, value), ..] => {
            match value.as_slice() {
                [IPV4] => Some((Match::Ipv4, 2)),
                [IPV6] => Some((Match::Ipv6, 2)),
                _ => None,
            }
        }
        [
            Expression::Meta(MetaKey::L4Proto),
            Expression::Compare(Op::Is, number),
            end @ (Expression::Port | Expression::PortFrom),
            Expression::Compare(Op::Is, port),
            ..,
        ] => {
            let ([number], port) = (as_array::<1>(number)?, as_array(port)?);
            let port = u16::from_be_bytes(*port);
            let to = matches!(end, Expression::Port);
            Some((if to { Match::Port(*number, port) } else { Match::PortFrom(*number, port) }, 4))
        }
        [
            Expression::Meta(MetaKey::L4Proto),
            Expression::Compare(Op::Is, number),
            Expression::TcpFlags,
            Expression::Bitwise(mask),
            Expression::Compare(Op::IsNot, value),
            ..,
        ] => (*number == [TCP] && *mask == [SYN] && *value == [0]).then_some((Match::TcpSyn, 5)),
        [Expression::Meta(MetaKey::L4Proto), Expression::Compare(Op::Is, number), ..] => {
            let [number] = as_array::<1>(number)?;
            Some((Match::Protocol(*number), 2))
        }
        [Expression::CtReplyDestination, Expression::Compare(Op::Is, value), ..] => {
            Some((Match::AnsweredAt((*as_array::<4>(value)?).into()), 2))
        }
        [Expression::CtDirection, Expression::Compare(Op::Is, value), ..] => {
            let [number] = as_array::<1>(value)?;
            let known = [Direction::Original, Direction::Reply];
            let direction = known.into_iter().find(|known| direction_number(*known) == *number)?;
            Some((Match::Direction(direction), 2))
        }
        [Expression::DestinationType, Expression::Compare(Op::Is, value), ..] => {
            (value.as_slice() == LOCAL.to_ne_bytes()).then_some((Match::Local, 2))
        }
        [Expression::CtStatus, Expression::Bitwise(mask), Expression::Compare(Op::IsNot, value), ..] => {
            let condition = match u32::from_ne_bytes(*as_array(mask)?) {
                REDIRECTED => Match::Redirected,
                ASSURED => Match::Assured,
                _ => return None,
            };
            (value.as_slice() == [0; 4]).then_some((condition, 3))
        }
        [Expression::Payload { offset: 16, length: 4 }, Expression::Compare(Op::IsNot, value), ..] => {
            Some((Match::NotTo((*as_array::<4>(value)?).into()), 2))
        }
        [Expression::Meta(key @ (MetaKey::Iif | MetaKey::Oif)), Expression::Compare(op, value), ..] => {
            let index = u32::from_ne_bytes(*as_array(value)?);
            Some((Match::Interface(side(*key)?, *op, Compared::Index(index)), 2))
        }
        [
            Expression::Meta(key @ (MetaKey::IifName | MetaKey::OifName)),
            Expression::Compare(op, value),
            ..,
        ] => {
            let name = as_array::<IFNAMSIZ>(value).and_then(|value| text_of(value))?;
            // Only a name padded with zeros is compared as a whole.
            if padded(name).as_slice() != value.as_slice() {
                return None;
            }
            Some((Match::Interface(side(*key)?, *op, Compared::Name(name.parse().ok()?)), 2))
        }
        [
            Expression::Payload { offset: offset @ (12 | 16), length: 4 },
            Expression::Bitwise(mask),
            Expression::Compare(Op::Is, value),
            ..,
        ] => {
            let mask = u32::from_be_bytes(*as_array(mask)?);
            let prefix = mask.leading_ones();
            let contiguous = mask.count_ones() == prefix;
            let network = network_of(value, u8::try_from(prefix).ok()?)?;
            contiguous.then_some((Match::Address(address_side(*offset)?, network), 3))
        }
        [
            Expression::Payload { offset: offset @ (12 | 16), length: 4 },
            Expression::Compare(Op::Is, value),
            ..,
        ] => Some((Match::Address(address_side(*offset)?, network_of(value, 32)?), 2)),
        [
            Expression::Payload { offset, length: 16 },
            Expression::Bitwise(mask),
            Expression::Compare(Op::Is, value),
            ..,
        ] => {
            let mask = u128::from_be_bytes(*as_array(mask)?);
            let prefix = u8::try_from(mask.leading_ones()).ok()?;
            let plain = mask.count_ones() == u32::from(prefix) && (prefix % 8 != 0 || prefix == 0);
            let network = network6_of(value, prefix).filter(|_| plain && value.len() == 16)?;
            Some((Match::Address6(address6_side(*offset)?, network), 3))
        }
        [Expression::Payload { offset, length: length @ 1..=16 }, Expression::Compare(Op::Is, value), ..] => {
            let length = u8::try_from(*length).ok().filter(|length| value.len() == usize::from(*length))?;
            Some((Match::Address6(address6_side(*offset)?, network6_of(value, length * 8)?), 2))
        }
        [Expression::CtState, Expression::Bitwise(mask), Expression::Compare(Op::IsNot, value), ..] => {
            let mask = u32::from_ne_bytes(*as_array(mask)?);
            (value.as_slice() == [0; 4]).then_some((Match::State(CtStates(mask)), 3))
        }
        _ => None,
    }
}

/// `None` when the value has bits outside of the prefix (it would never match).
fn network_of(value: &[u8], prefix: u8) -> Option<Subnet4> {
    let address = (*as_array::<4>(value)?).into();
    Subnet4::new(address, prefix).filter(|network| network.network() == *network)
}

/// The same of IPv6; `value` may be the first bytes only.
fn network6_of(value: &[u8], prefix: u8) -> Option<Subnet6> {
    let mut octets = [0; 16];
    octets.get_mut(..value.len())?.copy_from_slice(value);
    Subnet6::new(octets.into(), prefix).filter(|network| network.network() == *network)
}

const fn side(key: MetaKey) -> Option<Side> {
    match key {
        MetaKey::Iif | MetaKey::IifName => Some(Side::In),
        MetaKey::Oif | MetaKey::OifName => Some(Side::Out),
        MetaKey::NfProto | MetaKey::L4Proto => None,
    }
}

/// `IP_CT_DIR_ORIGINAL`, `IP_CT_DIR_REPLY`.
const fn direction_number(direction: Direction) -> u8 {
    match direction {
        Direction::Original => 0,
        Direction::Reply => 1,
    }
}

/// RFC 791 §3.1.
const fn address_offset(side: Side) -> u32 {
    match side {
        Side::In => 12,
        Side::Out => 16,
    }
}

const fn address_side(offset: u32) -> Option<Side> {
    match offset {
        12 => Some(Side::In),
        16 => Some(Side::Out),
        _ => None,
    }
}

/// RFC 8200 §3.
const fn address6_offset(side: Side) -> u32 {
    match side {
        Side::In => 8,
        Side::Out => 24,
    }
}

const fn address6_side(offset: u32) -> Option<Side> {
    match offset {
        8 => Some(Side::In),
        24 => Some(Side::Out),
        _ => None,
    }
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> = name.bytes().collect();
    bytes.resize(IFNAMSIZ, 0);
    bytes
}
