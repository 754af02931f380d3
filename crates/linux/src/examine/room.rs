//! The kernel's tables that can be full: tracked connections, and neighbours of both families.

use std::path::Path;

use hn_types::diagnosis::{Found, Table, TableKind};

use crate::netlink::{DUMP, Netlink, ROUTE, attributes, read_text, read_u32};

/// `RTM_GETNEIGHTBL`.
const GET_NEIGHBOUR_TABLE: u16 = 66;

/// The tables as they are; `refused` is what they refused since they were made.
pub(super) fn tables() -> Found<Vec<Table>> {
    let mut tables: Vec<Table> = connections().into_iter().collect();
    let route = Netlink::open(ROUTE).map_err(|error| error.to_string())?;
    route
        .ask(GET_NEIGHBOUR_TABLE, DUMP, &[0; 4], |_, message| {
            tables.extend(message.get(4..).and_then(neighbours));
        })
        .map_err(|refusal| refusal.cause())?;
    Ok(tables)
}

/// The same with what was refused since `before`.
pub(super) fn since(before: Found<Vec<Table>>, after: Found<Vec<Table>>) -> Found<Vec<Table>> {
    let (before, mut after) = (before?, after?);
    for table in &mut after {
        let first = before.iter().find(|first| first.kind == table.kind);
        table.refused = first.map_or(0, |first| table.refused.saturating_sub(first.refused));
    }
    Ok(after)
}

/// Absent where nothing tracks connections.
fn connections() -> Option<Table> {
    let number = |name: &str| {
        let path = Path::new("/proc/sys/net/netfilter").join(name);
        std::fs::read_to_string(path).ok()?.trim().parse::<u32>().ok()
    };
    let (entries, limit) = (number("nf_conntrack_count")?, number("nf_conntrack_max")?);
    Some(Table { kind: TableKind::Connections, entries, limit, refused: 0 })
}

/// A table of neighbours (`NDTA_*`). What is said of single interfaces has neither limit nor entries.
fn neighbours(bytes: &[u8]) -> Option<Table> {
    const NAME: u16 = 1;
    const LIMIT: u16 = 4;
    const CONFIG: u16 = 5;
    const STATISTICS: u16 = 7;
    /// In `struct ndt_config`, behind two lengths.
    const ENTRIES: usize = 4;
    /// In `struct ndt_stats`, the last of eleven.
    const REFUSED: usize = 10 * 8;
    let (mut kind, mut limit, mut entries, mut refused) = (None, None, None, 0);
    for (attribute, value) in attributes(bytes) {
        match attribute {
            NAME => {
                kind = match read_text(value)? {
                    "arp_cache" => Some(TableKind::Neighbours4),
                    "ndisc_cache" => Some(TableKind::Neighbours6),
                    _ => None,
                }
            }
            LIMIT => limit = read_u32(value, 0),
            CONFIG => entries = read_u32(value, ENTRIES),
            STATISTICS => {
                refused = value.get(REFUSED..)?.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
            }
            _ => {}
        }
    }
    Some(Table { kind: kind?, entries: entries?, limit: limit?, refused })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_kernel_names_both_tables_of_neighbours_once_with_their_limits() {
        let tables = tables().unwrap();
        for kind in [TableKind::Neighbours4, TableKind::Neighbours6] {
            let found: Vec<_> = tables.iter().filter(|table| table.kind == kind).collect();
            assert!(matches!(found.as_slice(), [table] if table.limit > 0), "{tables:?}");
        }
    }

    #[test]
    fn what_was_refused_before_is_not_counted() {
        let table = |refused| Table { kind: TableKind::Neighbours6, entries: 3, limit: 1_024, refused };
        assert_eq!(since(Ok(vec![table(7)]), Ok(vec![table(9)])), Ok(vec![table(2)]));
        assert_eq!(since(Ok(Vec::new()), Ok(vec![table(9)])), Ok(vec![table(0)]), "nobody knows");
        assert!(since(Err("x".into()), Ok(Vec::new())).is_err());
    }

    #[test]
    fn no_bytes_are_taken_for_a_table() {
        for length in 0..200 {
            assert_eq!(neighbours(&vec![0xff; length]), None);
            assert_eq!(neighbours(&vec![0; length]), None);
        }
    }
}
