//! A bounded table whose places are named by [`Slot`]: a place and the age of its tenant.

use crate::poller::Slot;

/// The table.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<(u16, Option<T>)>,
    free: Vec<u32>,
    limit: usize,
}

impl<T> Table<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { places: Vec::new(), free: Vec::new(), limit }
    }

    /// How many tenants there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.limit
    }

    /// Moves `tenant` in; gives it back when the table is full.
    pub(crate) fn insert(&mut self, tenant: T) -> Result<Slot, T> {
        if self.is_full() {
            return Err(tenant);
        }
        let index = self.free.pop().unwrap_or(self.places.len() as u32);
        match self.places.get_mut(index as usize) {
            Some((age, place)) => {
                *age = age.wrapping_add(1);
                *place = Some(tenant);
                Ok(Slot { index, age: *age })
            }
            None => {
                self.places.push((0, Some(tenant)));
                Ok(Slot { index, age: 0 })
            }
        }
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        match self.places.get_mut(slot.index as usize) {
            Some((age, place)) if *age == slot.age => place.as_mut(),
            Some(_) | None => None,
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        match self.places.get(slot.index as usize) {
            Some((age, place)) if *age == slot.age => place.as_ref(),
            Some(_) | None => None,
        }
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        match self.places.get_mut(slot.index as usize) {
            Some((age, place)) if *age == slot.age => {
                let tenant = place.take();
                if tenant.is_some() {
                    self.free.push(slot.index);
                }
                tenant
            }
            Some(_) | None => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.places.iter().enumerate().filter_map(|(index, (age, place))| {
            place.as_ref().map(|tenant| (Slot { index: index as u32, age: *age }, tenant))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_tenant_is_not_mistaken_for_the_one_before() {
        let mut table = Table::new(2);
        let (Ok(a), Ok(b)) = (table.insert('a'), table.insert('b')) else { panic!("there is room") };
        assert_eq!(table.insert('c'), Err('c'));
        assert_eq!(table.remove(a), Some('a'));
        assert_eq!(table.remove(a), None);
        let Ok(c) = table.insert('c') else { panic!("there is room again") };
        assert_eq!(c.index, a.index);
        assert_eq!((table.get(a), table.get(c), table.get(b)), (None, Some(&'c'), Some(&'b')));
        assert_eq!(table.get_mut(a), None);
        assert_eq!(
            table.iter().map(|(slot, &tenant)| (slot, tenant)).collect::<Vec<_>>(),
            [(c, 'c'), (b, 'b')]
        );
        assert_eq!(table.len(), 2);
    }
}
