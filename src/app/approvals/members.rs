//! Who is in which group of the host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::approval::Members;
use crate::sys::users::Database;

/// Unix groups, by the names of the host's users: a principal such as `alice@example.com` is none.
#[derive(Clone, Copy, Debug)]
pub struct UnixGroups;

impl UnixGroups {
    /// The names of a person's groups. Who cannot be looked up is in none.
    pub fn of(self, person: &str) -> Vec<String> {
        let database = Database::host();
        let Ok(user) = database.user(person) else {
            return Vec::new();
        };
        // A number is a user or a group for the database, and no name.
        let is_named = user
            .entry
            .as_ref()
            .is_some_and(|entry| entry.name == person);
        let groups = database.groups_of(&user).unwrap_or_default();
        let names = groups.into_iter().map(|gid| database.name_of_group(gid));
        let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
        names.filter(|name| is_named && !is_number(name)).collect()
    }
}

impl Members for UnixGroups {
    fn is_member(&self, person: &str, group: &str) -> bool {
        self.of(person).iter().any(|name| name == group)
    }
}

/// How long it counts who was found to be in which groups.
const RECENT: Duration = Duration::from_secs(5);

/// Unix groups that are not looked up for each approver and policy again: that reads files, and may start
/// getent(1).
#[derive(Debug, Default)]
pub struct RecentGroups(RefCell<BTreeMap<String, (Instant, Vec<String>)>>);

impl RecentGroups {
    /// As [`UnixGroups::of`], a moment ago at most.
    pub fn of(&self, person: &str) -> Vec<String> {
        let mut known = self.0.borrow_mut();
        known.retain(|_, (at, _)| at.elapsed() < RECENT);
        let look = || (Instant::now(), UnixGroups.of(person));
        let (_, groups) = known.entry(person.to_owned()).or_insert_with(look);
        groups.clone()
    }
}
