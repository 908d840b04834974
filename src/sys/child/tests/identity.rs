use super::*;

fn nobody(groups: &[u32]) -> Identity {
    Identity {
        uid: NOBODY,
        gid: NOBODY,
        groups: groups.to_vec(),
    }
}

#[test]
fn user_group_and_supplementary_groups_are_changed() {
    if !is_root() {
        return; // only root can become another user
    }
    let mut spec = shell("id -u; id -g; id -G; grep -E 'Cap(Prm|Eff|Amb)' /proc/$$/status");
    spec.identity = Some(nobody(&[4000, 3000, 4000]));
    let (output, _) = run_to_end(spec);
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..3], ["65534", "65534", "65534 3000 4000"]);
    let none = lines[3..]
        .iter()
        .filter(|line| line.ends_with("\t0000000000000000"));
    assert_eq!(none.count(), 3, "{output}");
}

#[test]
fn all_groups_of_root_are_given_up() {
    if !is_root() {
        return; // only root can become another user
    }
    let mut spec = shell("id -G");
    spec.identity = Some(nobody(&[]));
    assert_eq!(run_to_end(spec).0, "65534\n");
}

#[test]
fn one_who_holds_the_capability_gives_it_up_too() {
    if !is_root() {
        return; // only root can give itself an ambient capability
    }
    let output = apart(|| {
        // The way of a service with AmbientCapabilities=CAP_SETUID CAP_SETGID.
        use rustix::thread::{CapabilitySet, CapabilitySets};
        let held = CapabilitySet::SETUID | CapabilitySet::SETGID;
        rustix::thread::set_keep_capabilities(true).unwrap();
        become_nobody();
        let sets = CapabilitySets {
            effective: held,
            permitted: held,
            inheritable: held,
        };
        rustix::thread::set_capabilities(None, sets).unwrap();
        for one in [libc::c_ulong::from(6_u8), 7] {
            // SAFETY: PR_CAP_AMBIENT takes numbers alone: CAP_SETGID is 6, CAP_SETUID is 7.
            let raised =
                unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, one, 0, 0) };
            assert_eq!(raised, 0);
        }
        let mut spec = shell("id -u; grep -E 'Cap(Prm|Eff|Amb)' /proc/$$/status");
        spec.no_new_privs = false;
        spec.identity = Some(Identity {
            uid: 4242,
            gid: 4242,
            groups: Vec::new(),
        });
        run_to_end(spec).0
    });
    assert!(output.starts_with("4242\n"), "{output}");
    assert_eq!(output.matches("\t0000000000000000").count(), 3, "{output}");
}

#[test]
fn without_privilege_another_identity_is_refused_before_anything_is_forked() {
    let error = apart(|| {
        become_nobody();
        let mut spec = shell("");
        spec.identity = Some(Identity {
            uid: 4242,
            gid: 4242,
            groups: Vec::new(),
        });
        stage(spec).err().unwrap()
    });
    let step = Step::Identity {
        uid: 4242,
        gid: 4242,
    };
    assert_eq!(error.step, step);
    assert!(
        error.to_string().contains("start hushpipe as root"),
        "{error}"
    );
}

#[test]
fn being_the_user_already_is_enough() {
    let (output, uid) = apart(|| {
        become_nobody();
        let mut spec = shell("id -u");
        spec.identity = Some(Identity::current().unwrap());
        (run_to_end(spec).0, rustix::process::geteuid())
    });
    assert_eq!(output, format!("{}\n", uid.as_raw()));
}

#[test]
fn the_directory_is_entered_as_the_user() {
    if !is_root() {
        return; // only root can become another user
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut spec = shell("");
    spec.identity = Some(nobody(&[]));
    spec.cwd = Some(text_of(directory.path()));
    let error = fails(spec);
    assert_eq!(error.step, Step::Cwd(directory.path().to_owned()));
    assert_eq!(error.errno, Errno::ACCESS);
}
