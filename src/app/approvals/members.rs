//! Who is in which group of the host.

use crate::approval::Members;
use crate::sys::users::Database;

/// Unix groups, by the names of the host's users: a principal such as `alice@example.com` is none.
#[derive(Clone, Copy, Debug)]
pub struct UnixGroups;

impl Members for UnixGroups {
    /// Who cannot be looked up is in no group.
    fn is_member(&self, person: &str, group: &str) -> bool {
        let database = Database::host();
        let (Ok(user), Ok(gid)) = (database.user(person), database.group(group)) else {
            return false;
        };
        // A number is a user or a group for the database, and no name.
        let is_named = user
            .entry
            .as_ref()
            .is_some_and(|entry| entry.name == person);
        let is_number = group.bytes().all(|byte| byte.is_ascii_digit());
        let groups = database.groups_of(&user);
        is_named && !is_number && groups.is_ok_and(|groups| groups.contains(&gid))
    }
}
