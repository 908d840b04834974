//! Who is in which group of the host.

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
