//! The table as the kernel has it, in the same form as the one we ask for.

use alloc::{string::String, vec::Vec};

use crate::{
    expression,
    ruleset::{Chain, Hook, Rule, Ruleset, TABLE},
    wire::{INET, Malformed, Record, as_array, attribute, be32, message, pick, text_of},
};

/// What a dump said about our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// Whether there is a table of our name at all.
    pub present: bool,
    /// Its flags; ours has none.
    pub flags: u32,
    /// How many chains, sets and other objects it has, when the kernel said so.
    pub objects: Option<u32>,
    /// Its chains and rules.
    pub ruleset: Ruleset,
    /// What the rules that count have counted.
    pub counters: Vec<RuleCounter>,
}

/// What one rule has counted since the table was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCounter {
    /// The comment of the rule.
    pub rule: String,
    /// Packets.
    pub packets: u64,
    /// Their bytes, from the network header on.
    pub bytes: u64,
}

impl Installed {
    /// Most chains, and most rules in one chain, that are kept. None of our tables comes near.
    pub const LIMIT: usize = 4096;

    /// Takes one record of a dump. Table first, then chains, then rules; what is not of our table is passed
    /// over, also a rule whose chain was not mentioned.
    ///
    /// # Errors
    /// If the bytes are not what the kernel would send, or too many.
    pub fn absorb(&mut self, record: Record<'_>) -> Result<(), Malformed> {
        if record.family != INET {
            return Ok(());
        }
        match record.kind {
            message::NEW_TABLE => self.table(record.attributes),
            message::NEW_CHAIN => self.chain(record.attributes),
            message::NEW_RULE => self.rule(record.attributes),
            _ => Ok(()),
        }
    }

    fn table(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        use attribute::{TABLE_FLAGS, TABLE_NAME, TABLE_USE};
        let ([name, flags, objects], _) = pick(bytes, [TABLE_NAME, TABLE_FLAGS, TABLE_USE])?;
        if name.and_then(text_of) == Some(TABLE) {
            self.present = true;
            self.flags = flags.and_then(be32).unwrap_or_default();
            self.objects = objects.and_then(be32);
        }
        Ok(())
    }

    fn chain(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        use attribute::{
            CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, CHAIN_TYPE, HOOK_NUMBER, HOOK_PRIORITY,
        };
        let ([table, name, hook, policy, kind], _) =
            pick(bytes, [CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_TYPE])?;
        if table.and_then(text_of) != Some(TABLE) {
            return Ok(());
        }
        let name = name.and_then(text_of).ok_or(Malformed::Value)?.into();
        let hook = match hook {
            None => None,
            Some(hook) => {
                let ([number, priority], _) = pick(hook, [HOOK_NUMBER, HOOK_PRIORITY])?;
                let number = number.and_then(be32).ok_or(Malformed::Value)?;
                let priority = priority.and_then(as_array).ok_or(Malformed::Value)?;
                let policy = policy.and_then(be32).ok_or(Malformed::Value)?;
                let kind = kind.and_then(text_of).ok_or(Malformed::Value)?;
                Some(Hook::from_parts(kind, (number, i32::from_be_bytes(*priority), policy)))
            }
        };
        if self.ruleset.chains.len() >= Self::LIMIT {
            return Err(Malformed::TooMany);
        }
        self.ruleset.chains.push(Chain { name, hook, rules: Vec::new() });
        Ok(())
    }

    fn rule(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        use attribute::{RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE, RULE_USERDATA};
        let ([table, chain, expressions, userdata], _) =
            pick(bytes, [RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA])?;
        if table.and_then(text_of) != Some(TABLE) {
            return Ok(());
        }
        let chain = chain.and_then(text_of).ok_or(Malformed::Value)?;
        let Some(chain) = self.ruleset.chains.iter_mut().find(|known| known.name == chain) else {
            return Ok(());
        };
        if chain.rules.len() >= Self::LIMIT {
            return Err(Malformed::TooMany);
        }
        let (statements, (packets, bytes)) = expression::decode(expressions.unwrap_or_default())?;
        let comment = String::from(userdata.and_then(comment).unwrap_or_default());
        if statements.contains(&crate::Statement::Counter) {
            self.counters.push(RuleCounter { rule: comment.clone(), packets, bytes });
        }
        chain.rules.push(Rule { statements, comment });
        Ok(())
    }
}

/// The comment among user data, which is a row of type, length and value (one byte each for the former two).
fn comment(userdata: &[u8]) -> Option<&str> {
    let mut rest = userdata;
    while let [kind, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length))?;
        if *kind == 0 {
            return text_of(value);
        }
        rest = tail.get(usize::from(*length)..)?;
    }
    None
}
