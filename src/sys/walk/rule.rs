//! Whom a walk trusts, and which links it follows.

use rustix::fs::OFlags;

/// How what a walk passes is opened.
pub(super) const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Which links are followed, in directories that are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// None.
    Refuse,
    /// Those before the last component, such as /var/run.
    Before,
    /// All.
    Follow,
}

/// What is accepted on the way, and at its end.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Whether only root is trusted, and not hushpipe's effective user: the host's own files.
    pub root_alone: bool,
    /// Trusted beside root and hushpipe's effective user.
    pub owners: &'a [u32],
    /// Groups whose members are trusted, beside root's.
    pub groups: &'a [u32],
    /// Users whose own directories the path may end in, such as `run.user`: below the first of them no
    /// link is followed, and what is made there is theirs to move.
    pub ends_with: &'a [u32],
    /// Which links are followed.
    pub links: Links,
    /// Whether /proc/self/fd/N, /dev/fd/N and /dev/std* name what the caller opened: of any kind and
    /// owner. Else they are refused.
    pub descriptors: bool,
    /// Whether what is mounted read-only on the way, by itself, was given by who may mount: a secret that a
    /// container's runtime mounts keeps the owner that it has on the host.
    pub mounts: bool,
}

impl Rule<'_> {
    /// Root and hushpipe's own user alone; their links are followed.
    pub const STRICT: Rule<'static> = Rule {
        root_alone: false,
        owners: &[],
        groups: &[],
        ends_with: &[],
        links: Links::Follow,
        descriptors: false,
        mounts: false,
    };

    /// Root alone.
    pub const ROOT: Rule<'static> = Rule {
        root_alone: true,
        ..Rule::STRICT
    };
}
