//! Users and groups by name: /etc/passwd and /etc/group, read here; for who is not in them (LDAP,
//! sssd, systemd-homed), getent(1) where it is installed. The C library's own look-up loads modules
//! of the host at run time, which a static binary cannot rely on.

use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long getent(1) may take: it asks the network.
const PATIENCE: Duration = Duration::from_secs(10);

/// A user, by name or number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// What the user database says of it; `None`: it has no entry for this number.
    pub entry: Option<Entry>,
}

/// A user's entry in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Login name.
    pub name: String,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Whether it came from getent(1).
    remote: bool,
}

/// Why a user or a group could not be told.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// No user has this name.
    #[error(
        "unknown user {0:?} (neither in /etc/passwd nor known to getent): create it, or give a number"
    )]
    NoUser(String),
    /// No group has this name.
    #[error(
        "unknown group {0:?} (neither in /etc/group nor known to getent): create it, or give a number"
    )]
    NoGroup(String),
    /// The database could not be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// getent(1) did not answer in time.
    #[error("getent did not answer within {} s when asked for {asked:?}", PATIENCE.as_secs())]
    Silent {
        /// What it was asked for.
        asked: String,
    },
}

/// Where users and groups are looked up.
#[derive(Clone, Debug)]
pub struct Database {
    passwd: PathBuf,
    group: PathBuf,
    getent: Option<PathBuf>,
}

impl Database {
    /// This machine's.
    pub fn host() -> Self {
        let getent = ["/usr/bin/getent", "/bin/getent"].map(PathBuf::from);
        Self {
            passwd: PathBuf::from("/etc/passwd"),
            group: PathBuf::from("/etc/group"),
            getent: getent.into_iter().find(|path| path.exists()),
        }
    }

    /// A user by name, else by number. A number needs no entry.
    pub fn user(&self, text: &str) -> Result<User, UsersError> {
        let lines = read(&self.passwd)?;
        let number = id(text);
        let local = |wanted: &dyn Fn(&Passwd<'_>) -> bool| {
            lines.lines().filter_map(Passwd::parse).find(wanted)
        };
        let found = local(&|entry| entry.name == text)
            .or_else(|| local(&|entry| Some(entry.uid) == number));
        if let Some(entry) = found {
            return Ok(entry.user(false));
        }
        if let Some(answer) = self.ask("passwd", text)?
            && let Some(entry) = answer.lines().find_map(Passwd::parse)
        {
            return Ok(entry.user(true));
        }
        number
            .map(|uid| User { uid, entry: None })
            .ok_or_else(|| UsersError::NoUser(text.to_owned()))
    }

    /// The name of a user in /etc/passwd. Who is not there, or cannot be looked up, has none.
    pub fn local_name(&self, uid: u32) -> Option<String> {
        let lines = read(&self.passwd).ok()?;
        let entry = lines.lines().filter_map(Passwd::parse);
        let entry = entry.into_iter().find(|entry| entry.uid == uid)?;
        Some(entry.name.to_owned())
    }

    /// The same; the number of one who has none.
    pub fn name_of_user(&self, uid: u32) -> String {
        self.local_name(uid).unwrap_or_else(|| uid.to_string())
    }

    /// A user's name, and the names of its groups, as /etc/passwd and /etc/group have them; a group
    /// without a name is its number. No program is started for it.
    pub fn local_person(&self, uid: u32) -> Result<(Option<String>, Vec<String>), UsersError> {
        let passwd = read(&self.passwd)?;
        let mut entries = passwd.lines().filter_map(Passwd::parse);
        let Some(user) = entries.find(|entry| entry.uid == uid) else {
            return Ok((None, Vec::new()));
        };
        let lines = read(&self.group)?;
        let groups: Vec<Group<'_>> = lines.lines().filter_map(Group::parse).collect();
        let has = |group: &&Group<'_>| {
            group.gid == user.gid || group.members.split(',').any(|name| name == user.name)
        };
        let mut names: Vec<String> = groups
            .iter()
            .filter(has)
            .map(|group| group.name.to_owned())
            .collect();
        if !groups.iter().any(|group| group.gid == user.gid) {
            names.push(user.gid.to_string());
        }
        names.sort_unstable();
        names.dedup();
        Ok((Some(user.name.to_owned()), names))
    }

    /// The names of groups, as /etc/group has them; one without a name is its number.
    pub fn local_groups(&self, gids: &[u32]) -> Result<Vec<String>, UsersError> {
        let lines = read(&self.group)?;
        let groups: Vec<Group<'_>> = lines.lines().filter_map(Group::parse).collect();
        let name = |gid: &u32| {
            let group = groups.iter().find(|group| group.gid == *gid);
            group.map_or_else(|| gid.to_string(), |group| group.name.to_owned())
        };
        Ok(gids.iter().map(name).collect())
    }

    /// A group by name, else by number. A number needs no entry.
    pub fn group(&self, text: &str) -> Result<u32, UsersError> {
        let lines = read(&self.group)?;
        let local = lines.lines().filter_map(Group::parse);
        if let Some(group) = local.into_iter().find(|group| group.name == text) {
            return Ok(group.gid);
        }
        if let Some(gid) = id(text) {
            return Ok(gid);
        }
        self.ask("group", text)?
            .and_then(|answer| answer.lines().find_map(Group::parse).map(|group| group.gid))
            .ok_or_else(|| UsersError::NoGroup(text.to_owned()))
    }

    /// The name of a group in /etc/group; the number of one that is not there.
    pub fn name_of_group(&self, gid: u32) -> String {
        let lines = read(&self.group).unwrap_or_default();
        let mut groups = lines.lines().filter_map(Group::parse);
        let group = groups.find(|group| group.gid == gid);
        group.map_or_else(|| gid.to_string(), |group| group.name.to_owned())
    }

    /// The groups that the user is a member of, the primary one among them; none for a number
    /// without an entry.
    pub fn groups_of(&self, user: &User) -> Result<Vec<u32>, UsersError> {
        let Some(entry) = &user.entry else {
            return Ok(Vec::new());
        };
        let lines = read(&self.group)?;
        let mut groups: Vec<u32> = lines
            .lines()
            .filter_map(Group::parse)
            .filter(|group| group.members.split(',').any(|name| name == entry.name))
            .map(|group| group.gid)
            .chain([entry.gid])
            .collect();
        if entry.remote
            && let Some(answer) = self.ask("initgroups", &entry.name)?
        {
            groups.extend(answer.split_whitespace().skip(1).filter_map(id));
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }

    /// The users whom the files name as members of a group, and those whose primary group it is; of one
    /// whom they do not know, a number that no user has. `None`: they do not know the group.
    pub fn members_of(&self, gid: u32) -> Option<Vec<u32>> {
        let (users, groups) = (read(&self.passwd).ok()?, read(&self.group).ok()?);
        let users: Vec<Passwd<'_>> = users.lines().filter_map(Passwd::parse).collect();
        let primary = users.iter().filter(|user| user.gid == gid);
        let mut members: Vec<u32> = primary.map(|user| user.uid).collect();
        let mut known = !members.is_empty();
        let groups = groups.lines().filter_map(Group::parse);
        for group in groups.filter(|group| group.gid == gid) {
            known = true;
            for name in group.members.split(',').filter(|name| !name.is_empty()) {
                let user = users.iter().find(|user| user.name == name);
                members.push(user.map_or(u32::MAX, |user| user.uid));
            }
        }
        known.then_some(members)
    }

    /// Asks getent(1); `None` when it is not there or knows of nothing.
    fn ask(&self, database: &str, key: &str) -> Result<Option<String>, UsersError> {
        let Some(getent) = &self.getent else {
            return Ok(None);
        };
        if key.is_empty() || key.starts_with('-') || key.contains('\0') {
            return Ok(None);
        }
        let child = Command::new(getent)
            .args([database, key])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = child else {
            return Ok(None);
        };
        let answer = listen(&mut child, Instant::now() + PATIENCE);
        if answer.is_none() {
            // Fails when it has ended meanwhile.
            child.kill().ok();
        }
        // It is waited for by its number and at once, while nothing else in this process waits.
        let status = child.wait();
        match answer {
            None => Err(UsersError::Silent {
                asked: key.to_owned(),
            }),
            Some(answer) => Ok(status
                .is_ok_and(|status| status.success())
                .then_some(answer)),
        }
    }
}

/// Reads to the end of the child's output; `None` when the deadline passes first.
fn listen(child: &mut Child, deadline: Instant) -> Option<String> {
    let mut output = child.stdout.take()?;
    let mut answer = Vec::new();
    let mut block = vec![0; 4096];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let left = Timespec::try_from(left).ok()?;
        let mut wanted = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
        match poll(&mut wanted, Some(&left)) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Some(String::new()),
        }
        match output.read(&mut block) {
            Ok(0) => return Some(String::from_utf8_lossy(&answer).into_owned()),
            Ok(length) => answer.extend_from_slice(&block[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Some(String::new()),
        }
    }
}

/// A number that can be a user's or a group's: all bits set means "no change" to the kernel.
fn id(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = plain.then(|| text.parse().ok()).flatten();
    number.filter(|number| *number != u32::MAX)
}

/// A file of the database; one that is not there (an image from scratch) is empty.
fn read(path: &Path) -> Result<String, UsersError> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(UsersError::Unreadable {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A line of passwd(5).
struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Passwd<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1).and_then(id)?;
        let gid = fields.next().and_then(id)?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Self {
            name,
            uid,
            gid,
            home,
        })
    }

    fn user(&self, remote: bool) -> User {
        User {
            uid: self.uid,
            entry: Some(Entry {
                name: self.name.to_owned(),
                gid: self.gid,
                home: PathBuf::from(self.home),
                remote,
            }),
        }
    }
}

/// A line of group(5).
struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> Group<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1).and_then(id)?;
        let members = fields.next().unwrap_or_default();
        Some(Self { name, gid, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
                          broken\n\
                          app:x:1000:1001:An app:/srv/app:/bin/false\n\
                          1002:x:5:6::/nowhere:\n";
    const GROUP: &str =
        "root:x:0:\napp:x:1001:\ndisk:x:6:root,app\nssl:x:110:app\nnear:x:9:apple\n";

    struct Fixture {
        database: Database,
        directory: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let (passwd, group) = (
            directory.path().join("passwd"),
            directory.path().join("group"),
        );
        fs::write(&passwd, PASSWD).unwrap();
        fs::write(&group, GROUP).unwrap();
        let database = Database {
            passwd,
            group,
            getent: None,
        };
        Fixture {
            database,
            directory,
        }
    }

    fn with_getent(script: &str) -> Fixture {
        let mut fixture = fixture();
        let getent = fixture.directory.path().join("getent");
        crate::sys::child::tests::write_elsewhere(&getent, script.as_bytes());
        fs::set_permissions(&getent, fs::Permissions::from_mode(0o755)).unwrap();
        fixture.database.getent = Some(getent);
        fixture
    }

    #[test]
    fn a_name_wins_over_a_number() {
        let fixture = fixture();
        let database = &fixture.database;
        assert_eq!(database.user("app").unwrap().uid, 1000);
        assert_eq!(
            database.user("1000").unwrap(),
            database.user("app").unwrap()
        );
        assert_eq!(database.user("1002").unwrap().uid, 5);
    }

    #[test]
    fn a_number_needs_no_entry() {
        let fixture = fixture();
        let database = &fixture.database;
        let user = database.user("4242").unwrap();
        assert_eq!((user.uid, user.entry.is_none()), (4242, true));
        assert!(database.groups_of(&user).unwrap().is_empty());
        assert_eq!(database.group("4242").unwrap(), 4242);
    }

    #[test]
    fn who_does_not_exist_is_named() {
        let fixture = fixture();
        let database = &fixture.database;
        let user = database.user("nobody-here").unwrap_err().to_string();
        assert!(user.contains("\"nobody-here\""), "{user}");
        let group = database.group("no-group").unwrap_err().to_string();
        assert!(group.contains("\"no-group\""), "{group}");
        for wrong in ["", "-1", "4294967295", "99999999999", "broken", "+5"] {
            assert!(database.user(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn supplementary_groups_are_those_one_is_a_member_of() {
        let fixture = fixture();
        let database = &fixture.database;
        let user = database.user("app").unwrap();
        assert_eq!(database.groups_of(&user).unwrap(), [6, 110, 1001]);
    }

    #[test]
    fn members_of_a_group_are_those_listed_and_those_whose_primary_group_it_is() {
        let fixture = fixture();
        let members = |gid| fixture.database.members_of(gid);
        assert_eq!(members(1001).unwrap(), [1000]);
        assert_eq!(members(6).unwrap(), [5, 0, 1000]);
        assert_eq!(members(9).unwrap(), [u32::MAX]);
        assert_eq!(members(4242), None);
    }

    #[test]
    fn an_image_without_files_has_numbers_only() {
        let database = Database {
            passwd: PathBuf::from("/nonexistent/passwd"),
            group: PathBuf::from("/nonexistent/group"),
            getent: None,
        };
        assert_eq!(database.user("0").unwrap().uid, 0);
        assert!(database.user("root").is_err());
    }

    #[test]
    fn who_is_not_in_the_files_is_asked_of_getent() {
        let fixture = with_getent(
            "#!/bin/sh\ncase $1 in passwd) echo far:x:7000:7001::/home/far:/bin/sh;; \
             initgroups) echo far 7001 7002;; *) exit 2;; esac\n",
        );
        let user = fixture.database.user("far").unwrap();
        assert_eq!(user.uid, 7000);
        assert_eq!(fixture.database.groups_of(&user).unwrap(), [7001, 7002]);
        assert!(fixture.database.group("far").is_err());
    }

    #[test]
    fn getent_is_not_asked_for_who_is_in_the_files() {
        let fixture = with_getent("#!/bin/sh\ntouch \"$(dirname \"$0\")/asked\"\nexit 2\n");
        let user = fixture.database.user("app").unwrap();
        fixture.database.groups_of(&user).unwrap();
        fixture.database.group("disk").unwrap();
        assert!(!fixture.directory.path().join("asked").exists());
    }
}
