//! Who writes to the notify socket without being the program.
//!
//! Everybody can write to it, as to systemd's own. What a stranger writes must not cost more than to
//! read it: whether a sender descends from hushpipe is asked of /proc once per process and moment, never
//! for a user whose processes cannot be the program's, and reading pauses where strangers write without
//! end. So neither signals nor rotation wait for them, and the program's own messages wait briefly.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::sys::datagram::Datagram;
use crate::sys::process;

/// How much strangers may cost in one [`WINDOW`], in datagrams that are read.
const BUDGET: usize = 128;

/// A walk up /proc, in datagrams that are read.
const WALK: usize = 16;

const WINDOW: Duration = Duration::from_millis(20);

/// How long a process stays a stranger without another look: its id may be another's after that.
const REMEMBERED: Duration = Duration::from_millis(200);

/// How many strangers are remembered.
const MOST: usize = 64;

/// What strangers cost, and who they were.
pub(super) struct Strangers {
    /// Who the program's processes can be; `None`: anybody, as the program can change its user.
    users: Option<[u32; 3]>,
    spent: RefCell<Spent>,
    seen: RefCell<VecDeque<(i32, Instant)>>,
}

struct Spent {
    window: Instant,
    cost: usize,
}

impl Strangers {
    /// For a program of user `uid`, which can become another one if `changes`.
    pub fn new(uid: u32, changes: bool) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let window = Instant::now();
        Self {
            users: (uid != 0 && !changes).then_some([uid, own, 0]),
            spent: RefCell::new(Spent { window, cost: 0 }),
            seen: RefCell::default(),
        }
    }

    /// Until when nothing is read, as strangers have cost enough for now.
    pub fn pause(&self, now: Instant) -> Option<Instant> {
        let spent = self.spent.borrow();
        let until = spent.window + WINDOW;
        (spent.cost >= BUDGET && now < until).then_some(until)
    }

    /// Whether a datagram is none of the program's. Without /proc only the program itself is known.
    pub fn wrote(&self, datagram: &Datagram, program: i32, now: Instant) -> bool {
        let sender = datagram.sender;
        if sender == program && sender > 0 {
            return false;
        }
        let mut cost = 1 + datagram.fds.len();
        let is_known = sender <= 0
            || self
                .users
                .is_some_and(|users| !users.contains(&datagram.uid))
            || self.is_remembered(sender, now);
        if !is_known {
            if process::is_descendant(sender).unwrap_or(false) {
                return false;
            }
            cost += WALK;
            self.remember(sender, now);
        }
        self.spend(cost, now);
        true
    }

    fn is_remembered(&self, sender: i32, now: Instant) -> bool {
        let mut seen = self.seen.borrow_mut();
        while seen
            .front()
            .is_some_and(|(_, since)| now - *since >= REMEMBERED)
        {
            seen.pop_front();
        }
        seen.iter().any(|(pid, _)| *pid == sender)
    }

    fn remember(&self, sender: i32, now: Instant) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() == MOST {
            seen.pop_front();
        }
        seen.push_back((sender, now));
    }

    fn spend(&self, cost: usize, now: Instant) {
        let mut spent = self.spent.borrow_mut();
        if now - spent.window >= WINDOW {
            *spent = Spent {
                window: now,
                cost: 0,
            };
        }
        spent.cost += cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(sender: i32, uid: u32) -> Datagram {
        Datagram {
            bytes: b"STATUS=x".to_vec(),
            sender,
            uid,
            fds: Vec::new(),
            cut: false,
        }
    }

    #[test]
    fn strangers_without_end_are_read_a_few_at_a_time() {
        let strangers = Strangers::new(0, false);
        let mut now = Instant::now();
        for _ in 0..10 {
            let mut read = 0;
            while strangers.pause(now).is_none() {
                assert!(strangers.wrote(&datagram(1, 1000), 7, now));
                read += 1;
            }
            assert!((BUDGET - WALK..=BUDGET).contains(&read), "{read}");
            now = strangers.pause(now).unwrap();
            assert!(strangers.pause(now).is_none());
        }
    }

    #[test]
    fn many_strangers_are_looked_up_a_few_at_a_time() {
        let (strangers, now) = (Strangers::new(0, false), Instant::now());
        let mut read = 0;
        while strangers.pause(now).is_none() {
            read += 1;
            assert!(strangers.wrote(&datagram(i32::MAX - read, 1000), 7, now));
        }
        assert!(read <= 8, "{read}");
    }

    #[test]
    fn the_programs_own_messages_cost_nothing() {
        let (strangers, now) = (Strangers::new(4711, false), Instant::now());
        for _ in 0..1_000 {
            assert!(!strangers.wrote(&datagram(7, 4711), 7, now));
        }
        assert!(strangers.pause(now).is_none());
    }

    #[test]
    fn a_user_that_the_program_cannot_become_is_not_looked_up() {
        let (strangers, now) = (Strangers::new(4711, false), Instant::now());
        assert!(strangers.wrote(&datagram(1, 4712), 7, now));
        assert!(strangers.seen.borrow().is_empty());
        for user in [4711, 0] {
            assert!(strangers.wrote(&datagram(1, user), 7, now));
        }
        assert_eq!(strangers.seen.borrow().len(), 1);
        // One that may change its user can be anybody.
        let strangers = Strangers::new(4711, true);
        assert!(strangers.wrote(&datagram(1, 4712), 7, now));
        assert_eq!(strangers.seen.borrow().len(), 1);
    }
}
