//! What the program gives systemd to keep (`FDSTORE=1`, sd_notify(3)): at the service's next start, all
//! of it comes after the sockets, at the numbers that follow theirs. None of these may be one where a
//! secret is delivered: that start would be refused.

use std::collections::HashMap;

/// How many descriptors systemd keeps, by their names. It may keep fewer: it takes each but once, and
/// lets go of those that are closed elsewhere.
#[derive(Debug)]
pub struct Stored {
    /// How many there may be; `None`: any number.
    room: Option<usize>,
    kept: HashMap<Vec<u8>, usize>,
}

impl Stored {
    /// With room for so many.
    pub fn new(room: Option<usize>) -> Self {
        Self {
            room,
            kept: HashMap::new(),
        }
    }

    /// Takes note of a message with so many descriptors; whether there is room for them.
    pub fn takes(&mut self, message: &[u8], count: usize) -> bool {
        let mut name = None;
        let (mut store, mut remove) = (false, false);
        for field in message.split(|byte| *byte == b'\n') {
            store |= field == b"FDSTORE=1";
            remove |= field == b"FDSTOREREMOVE=1";
            name = field.strip_prefix(b"FDNAME=").or(name);
        }
        let name = name.unwrap_or(b"stored");
        if remove {
            self.kept.remove(name);
            return true;
        }
        let all = self.kept.values().sum::<usize>() + count;
        if !store || count == 0 {
            return true;
        }
        if self.room.is_some_and(|room| all > room) {
            return false;
        }
        *self.kept.entry(name.to_owned()).or_default() += count;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_below_the_first_delivery() {
        let mut stored = Stored::new(Some(2));
        assert!(stored.takes(b"READY=1", 3));
        assert!(stored.takes(b"FDSTORE=1\nFDNAME=a", 0));
        assert!(stored.takes(b"FDSTORE=1\nFDNAME=a", 1));
        assert!(stored.takes(b"FDNAME=b\nREADY=1\nFDSTORE=1", 1));
        assert!(!stored.takes(b"FDSTORE=1", 1));
        assert!(stored.takes(b"FDSTOREREMOVE=1\nFDNAME=a", 0));
        assert!(!stored.takes(b"FDSTORE=1", 2));
        assert!(stored.takes(b"FDSTORE=1", 1));
        assert!(stored.takes(b"FDSTOREREMOVE=1\nFDNAME=stored", 0));
        assert!(stored.takes(b"FDSTORE=1", 1));
    }

    #[test]
    fn without_deliveries_there_is_room_for_all() {
        let mut stored = Stored::new(None);
        assert!(stored.takes(b"FDSTORE=1", 1000));
        assert!(stored.takes(b"FDSTORE=1", 1000));
    }
}
