//! What a container engine is to be told, so that it allows a private tmpfs.

use crate::sys::child::{ChildError, Step};
use crate::sys::container::{Confinement, Rights};

const SYS_ADMIN: &str = "--cap-add SYS_ADMIN";
const NO_SECCOMP: &str = "--security-opt seccomp=unconfined";
const NO_APPARMOR: &str = "--security-opt apparmor=unconfined";

/// The flags of `docker run` that are missing, as a part of a sentence; `None` where none is known to
/// help.
///
/// Root needs `CAP_SYS_ADMIN`, with which the default seccomp filter lets mounts pass. Any other user
/// makes a user namespace, which that filter refuses. AppArmor's docker-default refuses mounts to both.
pub fn flags(error: &ChildError, seen: Confinement) -> Option<String> {
    let apparmor = (seen.apparmor || error.is_denied_mount()).then_some(NO_APPARMOR);
    let (first, for_whom) = match seen.rights {
        Rights::SysAdmin => (None, ""),
        Rights::Root => (Some(SYS_ADMIN), ""),
        // What a user namespace cannot do is not for a flag to change.
        Rights::User if error.is_untried() => return None,
        Rights::User => (
            seen.seccomp.then_some(NO_SECCOMP),
            " to users other than root",
        ),
    };
    let together = |first: Option<&'static str>| {
        let flags: Vec<_> = first.into_iter().chain(apparmor).collect();
        (!flags.is_empty()).then(|| format!("`{}`", flags.join(" ")))
    };
    let others = (error.step == Step::Capabilities && first == Some(SYS_ADMIN))
        .then(|| together(Some(NO_SECCOMP)))
        .flatten()
        .map(|flags| format!(", and {flags} to users other than root"));
    Some(format!(
        "in a container, {} allows it{for_whom}{}",
        together(first)?,
        others.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Root as engines start it, but for what a test changes.
    const ROOT: Confinement = Confinement {
        rights: Rights::Root,
        seccomp: true,
        apparmor: false,
    };
    const USER: Confinement = Confinement {
        rights: Rights::User,
        ..ROOT
    };

    fn said(step: Step, errno: i32, seen: Confinement) -> String {
        flags(
            &ChildError {
                step,
                errno: rustix::io::Errno::from_raw_os_error(errno),
            },
            seen,
        )
        .unwrap_or_default()
    }

    fn mount() -> Step {
        Step::Mount(PathBuf::from("/run/app"))
    }

    #[test]
    fn root_and_others_are_told_the_flag_that_they_lack() {
        assert_eq!(
            said(Step::Capabilities, libc::EPERM, ROOT),
            "in a container, `--cap-add SYS_ADMIN` allows it, and `--security-opt \
             seccomp=unconfined` to users other than root"
        );
        assert_eq!(
            said(Step::IdentityInNamespace, libc::EPERM, ROOT),
            "in a container, `--cap-add SYS_ADMIN` allows it"
        );
        assert_eq!(
            said(Step::Unshare, libc::EPERM, USER),
            "in a container, `--security-opt seccomp=unconfined` allows it to users other than root"
        );
    }

    #[test]
    fn a_profile_of_apparmor_is_named_beside_what_else_is_missing() {
        let confined = |seen| Confinement {
            apparmor: true,
            ..seen
        };
        assert_eq!(
            said(Step::Capabilities, libc::EPERM, confined(ROOT)),
            "in a container, `--cap-add SYS_ADMIN --security-opt apparmor=unconfined` allows it, and \
             `--security-opt seccomp=unconfined --security-opt apparmor=unconfined` to users other \
             than root"
        );
        assert_eq!(
            said(Step::Unshare, libc::EPERM, confined(USER)),
            "in a container, `--security-opt seccomp=unconfined --security-opt apparmor=unconfined` \
             allows it to users other than root"
        );
    }

    #[test]
    fn a_flag_that_was_given_already_is_not_named() {
        let root = Confinement {
            rights: Rights::SysAdmin,
            ..ROOT
        };
        let user = Confinement {
            seccomp: false,
            ..USER
        };
        // The profile refuses with EACCES, also where it cannot be read.
        let alone = "in a container, `--security-opt apparmor=unconfined` allows it";
        for step in [Step::Propagation, mount()] {
            assert_eq!(said(step.clone(), libc::EACCES, root), alone);
            assert!(said(step, libc::EACCES, user).starts_with(alone));
        }
        assert_eq!(said(mount(), libc::EINVAL, root), "");
        assert_eq!(said(Step::Unshare, libc::ENOSPC, user), "");
    }

    #[test]
    fn no_flag_gives_another_user_what_only_root_can_have() {
        let untried = [
            Step::Capabilities,
            Step::IdentityInNamespace,
            Step::ForeignOwner(PathBuf::from("/run/app")),
        ];
        for step in untried {
            assert_eq!(said(step, libc::EPERM, USER), "");
        }
    }
}
