//! What is sent: the transaction that replaces the table, and the questions whose answers describe it.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::{
    anchor::ANCHOR_TABLE,
    expression,
    ruleset::{Rule, Ruleset, TABLE, TABLE_COMMENT},
    trace::{Probe, TRACE_TABLE},
    wire::{INET, NFTABLES, UNSPEC, Writer, attribute, flag, message},
};

/// One transaction: either all of it holds afterwards or nothing of it.
///
/// It begins by adding the table, deleting it and (unless it is to be gone) adding it again, so that it has
/// the same effect whatever was there before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    bytes: Vec<u8>,
    first: u32,
    objects: Vec<Object>,
}

/// What a message of a batch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// The transaction itself.
    Transaction,
    /// The table.
    Table,
    /// A chain.
    Chain(String),
    /// A rule: its chain and its comment.
    Rule(String, String),
    /// A chain, set, counter or quota of the table of single devices, or with an empty name the table itself.
    Devices(String),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Devices(name) = self {
            let separator = if name.is_empty() { "" } else { " / " };
            return write!(f, "netdev {TABLE}{separator}{name}");
        }
        write!(f, "inet {TABLE}")?;
        match self {
            Self::Devices(_) | Self::Transaction | Self::Table => Ok(()),
            Self::Chain(chain) => write!(f, " / chain {chain}"),
            Self::Rule(chain, comment) => write!(f, " / chain {chain} / rule \"{comment}\""),
        }
    }
}

impl Batch {
    /// The transaction after which the table is `ruleset`. Its messages are numbered from `first`; the kernel
    /// answers the one before the end, and every one that fails.
    pub fn replace(ruleset: &Ruleset, first: u32) -> Self {
        Build::new(INET, first).replace(ruleset)
    }

    /// The transaction after which the table that holds connections while the other one is away is `ruleset`
    /// ([`Ruleset::anchor`]). It belongs to the socket that sends this.
    pub fn anchor(ruleset: &Ruleset, first: u32) -> Self {
        /// `NFT_TABLE_F_OWNER`.
        const OWNED: u32 = 2;
        Build { table: ANCHOR_TABLE, flags: OWNED, ..Build::new(INET, first) }.replace(ruleset)
    }

    /// The transaction after which the table of a trace marks the packets of `probe`; without one, after which it is
    /// gone.
    pub(crate) fn trace(first: u32, probe: Option<&Probe>) -> Self {
        let mut build = Build { table: TRACE_TABLE, ..Build::new(INET, first) };
        let rules = probe.map(Probe::rules).unwrap_or_default();
        build.edge(message::BATCH_BEGIN);
        build.table(message::NEW_TABLE, flag::CREATE);
        build.table(message::DELETE_TABLE, 0);
        if probe.is_some() {
            const ACCEPT: u32 = 1;
            build.table(message::NEW_TABLE, flag::CREATE);
            for (name, hook, priority) in Probe::CHAINS {
                build.chain(name, Some(((hook, priority, ACCEPT), "filter")));
            }
            for (chain, expressions) in rules {
                build.rule(chain, "", |w| w.bytes.extend(expressions));
            }
        }
        build.finish()
    }

    /// What is to be sent, in one datagram.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What the message with this sequence number is about; `None` if it is not of this batch.
    pub fn object(&self, sequence: u32) -> Option<&Object> {
        self.objects.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    /// The message that is answered even when all is well, last of all.
    pub fn acknowledged(&self) -> u32 {
        let before_end = u32::try_from(self.objects.len()).unwrap_or(u32::MAX).saturating_sub(2);
        self.first.saturating_add(before_end)
    }

    /// The first sequence number behind the batch.
    pub fn next_sequence(&self) -> u32 {
        self.acknowledged().saturating_add(2)
    }
}

/// A transaction in the making.
pub(crate) struct Build {
    w: Writer,
    family: u8,
    first: u32,
    objects: Vec<Object>,
    /// Where the message before the end begins: the one that is to be acknowledged.
    newest: usize,
    /// The table it is about, and its flags.
    table: &'static str,
    flags: u32,
}

impl Build {
    pub(crate) fn new(family: u8, first: u32) -> Self {
        Self { w: Writer::default(), family, first, objects: Vec::new(), newest: 0, table: TABLE, flags: 0 }
    }

    /// The whole transaction after which the table is `ruleset`.
    fn replace(mut self, ruleset: &Ruleset) -> Batch {
        self.edge(message::BATCH_BEGIN);
        self.table(message::NEW_TABLE, flag::CREATE);
        self.table(message::DELETE_TABLE, 0);
        if !ruleset.chains.is_empty() {
            self.table(message::NEW_TABLE, flag::CREATE);
            self.chains(ruleset);
        }
        self.finish()
    }

    /// Has the last message acknowledged and ends the transaction.
    pub(crate) fn finish(mut self) -> Batch {
        self.w.acknowledge(self.newest);
        self.edge(message::BATCH_END);
        Batch { bytes: self.w.bytes, first: self.first, objects: self.objects }
    }

    pub(crate) fn edge(&mut self, kind: u16) {
        let sequence = self.sequence(Object::Transaction);
        self.w.message((kind, flag::REQUEST, sequence), (UNSPEC, u16::from(NFTABLES)), |_| {});
    }

    pub(crate) fn message(&mut self, kind: u16, flags: u16, object: Object, body: impl FnOnce(&mut Writer)) {
        self.newest = self.w.bytes.len();
        let sequence = self.sequence(object);
        self.w.message((kind, flag::REQUEST | flags, sequence), (self.family, 0), body);
    }

    fn sequence(&mut self, object: Object) -> u32 {
        let position = u32::try_from(self.objects.len()).unwrap_or(u32::MAX);
        self.objects.push(object);
        self.first.saturating_add(position)
    }

    fn table(&mut self, kind: u16, flags: u16) {
        let (table, kept) = (self.table, self.flags);
        self.message(kind, flags, Object::Table, |w| {
            w.text(attribute::TABLE_NAME, table);
            if kind == message::NEW_TABLE {
                w.number(attribute::TABLE_FLAGS, kept);
                comment(w, attribute::TABLE_USERDATA, TABLE_COMMENT);
            }
        });
    }

    fn chains(&mut self, ruleset: &Ruleset) {
        for chain in &ruleset.chains {
            self.chain(&chain.name, chain.hook.map(|hook| (hook.parts(), hook.chain_type())));
        }
        for chain in &ruleset.chains {
            for rule in &chain.rules {
                self.rule(&chain.name, &rule.comment, |w| expression::encode(&rule.statements, w));
            }
        }
    }

    /// A chain; a base chain with hook, priority, policy and type.
    fn chain(&mut self, name: &str, base: Option<((u32, i32, u32), &str)>) {
        let table = self.table;
        self.message(message::NEW_CHAIN, flag::CREATE, Object::Chain(name.into()), |w| {
            w.text(attribute::CHAIN_TABLE, table);
            w.text(attribute::CHAIN_NAME, name);
            let Some(((number, priority, policy), kind)) = base else { return };
            w.nested(attribute::CHAIN_HOOK, |w| {
                w.number(attribute::HOOK_NUMBER, number);
                w.attribute(attribute::HOOK_PRIORITY, &priority.to_be_bytes());
            });
            w.number(attribute::CHAIN_POLICY, policy);
            w.text(attribute::CHAIN_TYPE, kind);
        });
    }

    fn rule(&mut self, chain: &str, text: &str, expressions: impl FnOnce(&mut Writer)) {
        let table = self.table;
        let object = Object::Rule(chain.into(), text.into());
        self.message(message::NEW_RULE, flag::CREATE | flag::APPEND, object, |w| {
            w.text(attribute::RULE_TABLE, table);
            w.text(attribute::RULE_CHAIN, chain);
            w.nested(attribute::RULE_EXPRESSIONS, expressions);
            if !text.is_empty() {
                comment(w, attribute::RULE_USERDATA, limited(text));
            }
        });
    }
}

/// A comment is user data of the type that the `nft` program shows: type, length, text and zero byte.
pub(crate) fn comment(w: &mut Writer, kind: u16, text: &str) {
    let mut value: Vec<u8> = Vec::with_capacity(text.len() + 3);
    value.extend([0, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)]);
    value.extend(text.bytes());
    value.push(0);
    w.attribute(kind, &value);
}

fn limited(text: &str) -> &str {
    text.get(..text.floor_char_boundary(Rule::COMMENT_LIMIT)).unwrap_or(text)
}

/// A question to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The number that changes with every transaction of anybody.
    Generation,
    /// Our table; answered by a status of ENOENT when there is none.
    Table,
    /// The chains of every `inet` table, as a dump.
    Chains,
    /// The rules of our table, as a dump (kernels before 4.12 send those of every `inet` table).
    Rules,
}

impl Request {
    /// The question as bytes.
    pub fn encode(self, sequence: u32) -> Vec<u8> {
        let mut w = Writer::default();
        let (kind, flags, family) = match self {
            Self::Generation => (message::GET_GENERATION, 0, UNSPEC),
            Self::Table => (message::GET_TABLE, 0, INET),
            Self::Chains => (message::GET_CHAIN, flag::DUMP, INET),
            Self::Rules => (message::GET_RULE, flag::DUMP, INET),
        };
        w.message((kind, flag::REQUEST | flags, sequence), (family, 0), |w| match self {
            Self::Generation | Self::Chains => {}
            Self::Table => w.text(attribute::TABLE_NAME, TABLE),
            Self::Rules => w.text(attribute::RULE_TABLE, TABLE),
        });
        w.bytes
    }

    /// Whether the answer is a dump, ended by [`Content::Done`](crate::wire::Content::Done).
    pub const fn is_dump(self) -> bool {
        match self {
            Self::Generation | Self::Table => false,
            Self::Chains | Self::Rules => true,
        }
    }
}
