//! Whether this host has a place for what the layout delivers.

use std::os::unix::ffi::OsStrExt;

use super::layout::Directory;
use super::{DeliveryError, DeliveryFault, Layout, is_for_others, made, mount_points, shared};
use crate::model::{IsolationUsed, Mode};
use crate::sys::filesystem;

impl Layout {
    /// Looks at the host before anything is fetched, and changes nothing: would the deliveries
    /// find their place? Every fault in one go.
    pub fn check(&self, isolation: IsolationUsed) -> Result<(), Vec<DeliveryError>> {
        let mut errors = self.beyond_limit();
        errors.extend(
            self.links
                .iter()
                .filter_map(|link| link.check(self.user).err()),
        );
        for directory in &self.directories {
            let faults = self.directory_faults(directory, isolation);
            errors.extend(faults.into_iter().map(|fault| directory.error(fault)));
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    fn directory_faults(
        &self,
        directory: &Directory,
        isolation: IsolationUsed,
    ) -> Vec<DeliveryFault> {
        let mut faults = self.misplaced(directory);
        if !faults.is_empty() {
            return faults;
        }
        let checked = match isolation {
            IsolationUsed::Private => mount_points::check(directory, self.user),
            IsolationUsed::Shared if self.mode == Mode::Exec => Err(DeliveryFault::Plan(
                "hushpipe removes a shared directory at the end, but not in exec mode: use \
                 `isolation: private` or `mode: supervise`"
                    .to_owned(),
            )),
            IsolationUsed::Shared => shared::check(directory, self.user),
        };
        faults.extend(checked.err());
        faults
    }

    /// Faults of the path itself, whatever stands there.
    fn misplaced(&self, directory: &Directory) -> Vec<DeliveryFault> {
        let mut faults = Vec::new();
        let path = &directory.path;
        if is_for_others(path) {
            faults.push(DeliveryFault::Plan(format!(
                "a delivery directory holds nothing but deliveries, and others use {path}: put the \
                 file into a directory of its own below it, such as {below}/secrets",
                path = path.display(),
                below = path.display().to_string().trim_end_matches('/'),
            )));
        }
        let others = self.directories.iter();
        for outer in others.filter(|other| path != &other.path && path.starts_with(&other.path)) {
            faults.push(DeliveryFault::Plan(format!(
                "lies within the delivery directory {}: put the files into one directory, or into \
                 two that stand side by side",
                outer.path.display()
            )));
        }
        for entry in &directory.entries {
            let name = entry.name.as_bytes();
            if name.starts_with(b"..") || name == made::MARKER.as_bytes() {
                faults.push(DeliveryFault::Plan(format!(
                    "the name {} is hushpipe's own: choose another",
                    entry.name.display()
                )));
            }
        }
        faults
    }

    fn beyond_limit(&self) -> Vec<DeliveryError> {
        let limit = filesystem::descriptor_limit().unwrap_or(u64::MAX);
        let beyond = |number: i32| u64::try_from(number).is_ok_and(|number| number >= limit);
        let fds = self.fds.iter().filter(|(_, number)| beyond(*number));
        fds.map(|(at, number)| DeliveryError {
            at: Some(*at),
            what: format!("fd {number}"),
            fault: DeliveryFault::Host(format!(
                "the limit of open files is {limit}: use a number below it, or raise it (`ulimit \
                 -n`, LimitNOFILE=)"
            )),
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::super::fixtures::{fd, fifo, file, memory, plan, secret};
    use super::super::{Live, make_mount_points, needs_parent};
    use super::*;
    use crate::model::{Exit, FdKind, Isolation};

    fn layout(paths: &[&Path]) -> Layout {
        let files = paths.iter().map(|path| (file(path), secret("x")));
        Layout::of(&plan(files.collect()))
    }

    fn faults(layout: &Layout, isolation: IsolationUsed) -> Vec<String> {
        let errors = layout.check(isolation).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    fn only(layout: &Layout, isolation: IsolationUsed) -> String {
        let faults = faults(layout, isolation);
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.into_iter().next().unwrap()
    }

    #[test]
    fn a_directory_with_entries_is_never_covered() {
        let place = memory();
        fs::write(place.path().join("b"), b"").unwrap();
        fs::write(place.path().join("a"), b"").unwrap();
        let layout = layout(&[&place.path().join("token")]);
        for isolation in [IsolationUsed::Private, IsolationUsed::Shared] {
            let fault = only(&layout, isolation);
            assert!(fault.contains("has other entries (\"a\")"), "{fault}");
            assert!(fault.starts_with("1:5: /dev/shm/"), "{fault}");
        }
        assert!(make_mount_points(&layout, &()).is_err());
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let place = memory();
        let link = place.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        let plain = place.path().join("file");
        fs::write(&plain, b"").unwrap();
        for isolation in [IsolationUsed::Private, IsolationUsed::Shared] {
            let fault = only(&layout(&[&link.join("x")]), isolation);
            assert!(fault.contains("it is a symbolic link"), "{fault}");
            let fault = only(&layout(&[&plain.join("x")]), isolation);
            assert!(fault.contains("it is a file"), "{fault}");
            let below = faults(&layout(&[&plain.join("d/x")]), isolation);
            assert_eq!(below.len(), 1);
        }
    }

    #[test]
    fn shared_files_never_go_to_a_disk() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("nothing-here/token");
        let fault = only(&layout(&[&here]), IsolationUsed::Shared);
        assert!(fault.contains("go to memory alone"), "{fault}");
        assert!(fault.contains("choose a path below /dev/shm"), "{fault}");
        let proc = only(
            &layout(&[Path::new("/proc/self/x/token")]),
            IsolationUsed::Shared,
        );
        assert!(proc.contains("is on proc"), "{proc}");
    }

    #[test]
    fn what_others_use_and_what_is_nested_is_a_fault_of_the_manifest() {
        let fault = only(&layout(&[Path::new("/tmp/token")]), IsolationUsed::Private);
        assert!(fault.contains("such as /tmp/secrets"), "{fault}");
        let root = only(&layout(&[Path::new("/token")]), IsolationUsed::Private);
        assert!(root.contains("such as /secrets"), "{root}");

        let place = memory();
        let (outer, inner) = (place.path().join("a/x"), place.path().join("a/b/y"));
        let nested = layout(&[&outer, &inner]);
        let fault = only(&nested, IsolationUsed::Private);
        assert!(
            fault.contains("/a/b: lies within the delivery directory /dev/shm/"),
            "{fault}"
        );
        let named = only(
            &layout(&[Path::new("/run/a/..data")]),
            IsolationUsed::Private,
        );
        assert!(
            named.contains("the name ..data is hushpipe's own"),
            "{named}"
        );
        let exit = nested.check(IsolationUsed::Private).unwrap_err()[0].exit();
        assert_eq!(exit, Exit::Manifest);
    }

    #[test]
    fn a_number_beyond_the_limit_is_found_before_the_fetch() {
        let limit = i32::try_from(filesystem::descriptor_limit().unwrap()).unwrap();
        let plan = plan(vec![
            (fd(limit, FdKind::Memfd), secret("x")),
            (fd(limit - 1, FdKind::Pipe), secret("x")),
        ]);
        let fault = only(&Layout::of(&plan), IsolationUsed::Private);
        assert!(fault.starts_with(&format!("1:5: fd {limit}: ")), "{fault}");
        assert!(
            fault.contains(&format!("the limit of open files is {limit}")),
            "{fault}"
        );
    }

    #[test]
    fn what_needs_a_parent_is_told_for_exec_mode() {
        let mut plan = plan(vec![
            (fifo("/run/a/x", None), secret("x")),
            (file("/run/a/y"), secret("x")),
            (fd(3, FdKind::Pipe), secret("x")),
        ]);
        assert_eq!(needs_parent(&plan).len(), 1);
        plan.isolation = Isolation::Shared;
        let reasons = needs_parent(&plan);
        assert_eq!(reasons.len(), 2);
        assert!(
            reasons[1]
                .to_string()
                .contains("`mode: exec` cannot do this")
        );
        plan.mode = Mode::Exec;
        let fault = only(&Layout::of(&plan), IsolationUsed::Shared);
        assert!(fault.contains("not in exec mode"), "{fault}");
    }

    #[test]
    fn mount_points_are_made_and_removed_but_for_what_others_use() {
        let place = memory();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("there")).unwrap();
        let layout = layout(&[&path("there/x"), &path("new/deep/x"), &path("used/x")]);
        layout.check(IsolationUsed::Private).unwrap();
        assert!(!path("new").exists(), "a check changes nothing");
        let points = make_mount_points(&layout, &()).unwrap();
        assert!(path("new/deep").is_dir() && path("used").is_dir());
        fs::write(path("used/file"), b"").unwrap();
        Box::new(points).remove().unwrap();
        assert!(path("there").is_dir() && !path("new").exists());
        assert!(path("used/file").exists());

        drop(make_mount_points(&self::layout(&[&path("new/x")]), &()).unwrap());
        assert!(!path("new").exists());
        make_mount_points(&self::layout(&[&path("new/x")]), &())
            .unwrap()
            .keep();
        assert!(path("new").is_dir());
    }

    #[test]
    fn an_empty_directory_that_another_made_at_a_private_path_is_reported_and_removed() {
        let place = memory();
        let path = |name: &str| place.path().join(name);
        let layout = layout(&[&path("new/x"), &path("new/y"), &path("new/z")]);
        let points = make_mount_points(&layout, &()).unwrap();
        fs::create_dir_all(path("new/x")).unwrap();
        fs::create_dir_all(path("new/y/theirs")).unwrap();
        fs::write(path("new/z"), b"").unwrap();
        assert_eq!(points.mistaken(), [path("new/x")]);
        assert!(path("new/y/theirs").is_dir() && path("new/z").is_file());
        fs::remove_dir_all(path("new/y")).unwrap();
        fs::remove_file(path("new/z")).unwrap();
        Box::new(points).remove().unwrap();
        assert!(!path("new").exists());
    }

    #[test]
    fn where_a_path_is_fixed_the_message_names_the_link_to_make() {
        let place = memory();
        let path = |name: &str| place.path().join(name);
        fs::write(path(".profile"), b"").unwrap();
        let fault = only(&layout(&[&path(".pgpass")]), IsolationUsed::Private);
        let link = format!(
            "`file: .pgpass`, with `link: {}`",
            path(".pgpass").display()
        );
        assert!(fault.contains(&link), "{fault}");
    }

    #[test]
    fn a_place_that_others_can_swap_is_refused_with_what_to_do() {
        let place = memory();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("open")).unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(path("real")).unwrap();
        std::os::unix::fs::symlink("real", path("link")).unwrap();
        for isolation in [IsolationUsed::Private, IsolationUsed::Shared] {
            let fault = only(&layout(&[&path("open/new/x")]), isolation);
            assert!(fault.contains("others can write to"), "{fault}");
            assert!(fault.contains("chmod o-w"), "{fault}");
            assert!(only(&layout(&[&path("link/x")]), isolation).contains("a symbolic link"));
            layout(&[&path("link/new/x")]).check(isolation).unwrap();
        }
        if filesystem::effective_uid() != 0 {
            return; // Only root gives directories away.
        }
        for theirs in ["real", "open"] {
            fs::set_permissions(path("open"), fs::Permissions::from_mode(0o755)).unwrap();
            std::os::unix::fs::chown(path(theirs), Some(4321), None).unwrap();
            for name in ["x", "new/x"] {
                let wanted = path(theirs).join(name);
                let fault = only(&layout(&[&wanted]), IsolationUsed::Private);
                assert!(fault.contains("belongs to uid 4321"), "{fault}");
                let of_user = layout(&[&wanted]).of_user(4321);
                of_user.check(IsolationUsed::Private).unwrap();
            }
        }
    }

    #[test]
    fn what_was_made_before_a_fault_is_removed() {
        let place = memory();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("z")).unwrap();
        fs::write(path("z/other"), b"").unwrap();
        assert!(make_mount_points(&layout(&[&path("a/b/x"), &path("z/x")]), &()).is_err());
        assert!(!path("a").exists());
    }
}
