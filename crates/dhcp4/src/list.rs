//! Doubly linked lists threaded through the lease table by slot number.
//!
//! A slot is in at most one list, the one of its state, so two links per slot serve all lists.

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// The links of one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

impl Links {
    pub(crate) const UNLINKED: Self = Self { prev: NONE, next: NONE };
}

/// Whatever holds links by slot number.
pub(crate) trait Linked {
    fn links(&mut self, slot: u32) -> &mut Links;
}

/// One list, oldest member first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

    /// The oldest member.
    pub(crate) const fn oldest(&self) -> Option<u32> {
        if self.head == NONE { None } else { Some(self.head) }
    }

    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn push_newest(&mut self, nodes: &mut impl Linked, slot: u32) {
        *nodes.links(slot) = Links { prev: self.tail, next: NONE };
        if self.tail == NONE {
            self.head = slot;
        } else {
            nodes.links(self.tail).next = slot;
        }
        self.tail = slot;
        self.len += 1;
    }

    /// Takes `slot`, which must be a member, out.
    pub(crate) fn remove(&mut self, nodes: &mut impl Linked, slot: u32) {
        let Links { prev, next } = core::mem::replace(nodes.links(slot), Links::UNLINKED);
        if prev == NONE {
            self.head = next;
        } else {
            nodes.links(prev).next = next;
        }
        if next == NONE {
            self.tail = prev;
        } else {
            nodes.links(next).prev = prev;
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    impl Linked for Vec<Links> {
        fn links(&mut self, slot: u32) -> &mut Links {
            &mut self[slot as usize]
        }
    }

    #[test]
    fn members_leave_from_anywhere_and_order_stays() {
        let mut nodes = vec![Links::UNLINKED; 5];
        let mut list = List::EMPTY;
        for slot in 0..5 {
            list.push_newest(&mut nodes, slot);
        }
        for slot in [2, 0, 4] {
            list.remove(&mut nodes, slot);
        }
        list.push_newest(&mut nodes, 0);
        let mut order = Vec::new();
        while let Some(slot) = list.oldest() {
            order.push(slot);
            list.remove(&mut nodes, slot);
        }
        assert_eq!(order, [1, 3, 0]);
        assert_eq!(list.len(), 0);
    }
}
