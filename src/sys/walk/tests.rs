use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

use super::*;
use crate::sys::filesystem::effective_uid;

const STRICT: Rule<'static> = Rule::STRICT;

/// A user that is neither root nor hushpipe's.
const MALLORY: u32 = 4321;

fn place_of_test() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    effective_uid() == 0
}

fn said<T: std::fmt::Debug>(result: Result<T, WalkError>) -> String {
    result.unwrap_err().to_string()
}

fn read(fd: OwnedFd) -> String {
    let mut text = String::new();
    fs::File::from(fd).read_to_string(&mut text).unwrap();
    text
}

/// The attribute of an ACL with one more user.
fn acl(uid: u32, permissions: u16, mask: u16) -> Vec<u8> {
    let entries = [
        (0x01, 7, u32::MAX),
        (0x02, permissions, uid),
        (0x04, 5, u32::MAX),
        (0x10, mask, u32::MAX),
        (0x20, 5, u32::MAX),
    ];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(u16::to_le_bytes(permissions));
        bytes.extend(u32::to_le_bytes(id));
    }
    bytes
}

#[test]
fn a_path_of_ones_own_is_walked_to_its_end() {
    let root = place_of_test();
    let deep = root.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "text").unwrap();
    assert_eq!(read(file(&deep.join("file"), &STRICT).unwrap()), "text");
    assert_eq!(
        read(file(&deep.join("../b/./file"), &STRICT).unwrap()),
        "text"
    );
    let reached = directory(&deep, &STRICT).unwrap();
    let same = filesystem::open_directory(&deep).unwrap();
    let inode = |fd| filesystem::status(fd).unwrap().inode;
    assert_eq!(inode(reached), inode(same));
    let (above, name) = parent(&deep.join("new"), &STRICT).unwrap();
    assert_eq!(name, "new");
    filesystem::make_directory_at(&above, name, 0o700).unwrap();
    assert!(deep.join("new").is_dir());
}

#[test]
fn what_is_not_there_is_named() {
    let root = place_of_test();
    let wanted = root.path().join("a/b/c");
    let error = file(&wanted, &STRICT).unwrap_err();
    assert!(error.is_missing());
    assert_eq!(
        error.path,
        root.path().canonicalize().unwrap().join("a/b/c")
    );
    let reached = reach(&wanted, &STRICT).unwrap();
    assert_eq!(reached.missing, ["a", "b", "c"]);
    assert_eq!(reached.path, root.path());
    assert!(
        reach(&root.path().join("a/../b"), &STRICT)
            .unwrap_err()
            .is_missing()
    );
}

#[test]
fn links_are_followed_where_the_rule_wants_it() {
    let root = place_of_test();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/file"), "text").unwrap();
    symlink("real", at("middle")).unwrap();
    symlink(at("middle/file"), at("last")).unwrap();
    symlink("loop", at("loop")).unwrap();
    let with = |links, path: &str| file(&at(path), &Rule { links, ..STRICT }).map(read);
    assert_eq!(with(Links::Follow, "last").unwrap(), "text");
    assert_eq!(with(Links::Before, "middle/file").unwrap(), "text");
    for (links, path) in [
        (Links::Before, "last"),
        (Links::Refuse, "middle/file"),
        (Links::Refuse, "last"),
    ] {
        assert!(
            said(with(links, path)).ends_with("is a symbolic link"),
            "{path}"
        );
    }
    let error = with(Links::Follow, "loop").unwrap_err();
    assert!(matches!(error.fault, WalkFault::System(error)
        if error.raw_os_error() == Some(libc::ELOOP)));
}

#[test]
fn what_others_can_write_to_is_refused_wherever_it_lies() {
    let root = place_of_test();
    let deep = root.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "").unwrap();
    let wanted = deep.join("file");
    for (path, bits, what) in [
        (root.path().join("a"), 0o757, "others can write to"),
        (root.path().join("a/b"), 0o777, "others can write to"),
        (root.path().join("a/b/file"), 0o606, "others can write to"),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        mode(&path, bits);
        let text = said(file(&wanted, &STRICT));
        assert!(text.contains(what), "{text}");
        assert!(text.contains(&format!("{bits:04o}")), "{text}");
        fs::set_permissions(&path, before).unwrap();
    }
    file(&wanted, &STRICT).unwrap();
}

#[test]
fn a_group_may_write_if_it_has_no_member_but_trusted_ones() {
    if !is_root() {
        return;
    }
    let root = place_of_test();
    let here = root.path().join("a");
    fs::create_dir(&here).unwrap();
    mode(&here, 0o775);
    place(&here, &STRICT).unwrap();
    chown(&here, None, Some(MALLORY)).unwrap();
    assert!(said(place(&here, &STRICT)).contains("the group 4321 can write"));
    place(
        &here,
        &Rule {
            groups: &[MALLORY],
            ..STRICT
        },
    )
    .unwrap();
    // A private group that is in no file.
    chown(&here, Some(MALLORY), None).unwrap();
    place(
        &here,
        &Rule {
            owners: &[MALLORY],
            ..STRICT
        },
    )
    .unwrap();
}

#[test]
fn what_belongs_to_another_user_is_refused_wherever_it_lies() {
    if !is_root() {
        return;
    }
    let root = place_of_test();
    let deep = root.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    let wanted = deep.join("file");
    fs::write(&wanted, "").unwrap();
    for path in ["a", "a/b", "a/b/file"].map(|name| root.path().join(name)) {
        chown(&path, Some(MALLORY), None).unwrap();
        let error = file(&wanted, &STRICT).unwrap_err();
        assert_eq!(error.path, path);
        assert!(error.to_string().contains("belongs to uid 4321"), "{error}");
        file(
            &wanted,
            &Rule {
                owners: &[MALLORY],
                ..STRICT
            },
        )
        .unwrap();
        chown(&path, Some(0), None).unwrap();
    }
}

#[test]
fn in_a_sticky_directory_the_entry_alone_counts() {
    let root = place_of_test();
    let shared = root.path().join("shared");
    fs::create_dir(&shared).unwrap();
    mode(&shared, 0o1777);
    fs::create_dir(shared.join("mine")).unwrap();
    fs::write(shared.join("file"), "").unwrap();
    symlink("mine", shared.join("link")).unwrap();
    place(&shared.join("mine"), &STRICT).unwrap();
    place(&shared.join("link"), &STRICT).unwrap();
    file(&shared.join("file"), &STRICT).unwrap();
    fs::hard_link(shared.join("file"), shared.join("second")).unwrap();
    assert!(said(file(&shared.join("file"), &STRICT)).contains("more than one name"));
    if !is_root() {
        return;
    }
    for name in ["mine", "link", "file"] {
        let path = shared.join(name);
        lchown(&path, Some(MALLORY), None).unwrap();
        let refused = if name == "file" {
            said(file(&path, &STRICT))
        } else {
            said(place(&path, &STRICT))
        };
        assert!(refused.contains("belongs to uid 4321"), "{refused}");
        lchown(&path, Some(0), None).unwrap();
    }
}

#[test]
fn whom_an_acl_lets_write_counts() {
    let root = place_of_test();
    let here = root.path().join("a");
    fs::create_dir(&here).unwrap();
    let set = |bytes: &[u8]| {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(&here, "system.posix_acl_access", bytes, flags)
    };
    if set(&acl(MALLORY, 7, 7)) == Err(Errno::OPNOTSUPP) {
        return;
    }
    assert_eq!(
        fs::metadata(&here).unwrap().permissions().mode() & 0o777,
        0o775
    );
    assert!(said(place(&here, &STRICT)).contains("an ACL lets uid 4321 write"));
    place(
        &here,
        &Rule {
            owners: &[MALLORY],
            ..STRICT
        },
    )
    .unwrap();
    for harmless in [acl(MALLORY, 5, 7), acl(MALLORY, 7, 5)] {
        set(&harmless).unwrap();
        place(&here, &STRICT).unwrap();
    }
}

#[test]
fn a_path_may_end_in_what_belongs_to_who_is_named_and_no_link_is_followed_there() {
    if !is_root() {
        return;
    }
    let root = place_of_test();
    let home = root.path().join("home");
    fs::create_dir_all(home.join("real")).unwrap();
    symlink("real", home.join("link")).unwrap();
    for name in ["", "real", "link"] {
        lchown(home.join(name), Some(MALLORY), None).unwrap();
    }
    let rule = Rule {
        ends_with: &[MALLORY],
        ..STRICT
    };
    place(&home.join("real"), &rule).unwrap();
    assert!(said(place(&home.join("real"), &STRICT)).contains("belongs to uid 4321"));
    for links in [Links::Follow, Links::Before] {
        let refused = said(place(&home.join("link/new"), &Rule { links, ..rule }));
        assert!(refused.ends_with("link is a symbolic link"), "{refused}");
    }
    mode(&home, 0o777);
    assert!(said(place(&home.join("real"), &rule)).contains("others can write"));
}

#[test]
fn only_regular_files_are_opened_and_nothing_is_waited_for() {
    let root = place_of_test();
    let fifo = root.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(said(file(&fifo, &STRICT)).ends_with("is a FIFO, not a regular file"));
    assert!(said(file(root.path(), &STRICT)).ends_with("is a directory, not a regular file"));
    assert!(said(file(Path::new("/dev/null"), &STRICT)).contains("not a regular file"));
    assert!(said(place(&fifo.join("x"), &STRICT)).ends_with("is not a directory"));
}

#[test]
fn links_of_proc_are_followed_to_descriptors_of_the_caller_alone() {
    let root = place_of_test();
    let path = root.path().join("file");
    fs::write(&path, "text").unwrap();
    mode(&path, 0o666);
    let opened = fs::File::open(&path).unwrap();
    let number = opened.as_raw_fd();
    let given = Rule {
        descriptors: true,
        ..STRICT
    };
    for own in [
        format!("/proc/self/fd/{number}"),
        format!("/dev/fd/{number}"),
    ] {
        assert_eq!(read(file(Path::new(&own), &given).unwrap()), "text");
        assert!(
            said(file(Path::new(&own), &STRICT)).ends_with("a link of /proc, which is no path")
        );
    }
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"piped").unwrap();
    drop(writer);
    let pipe = format!("/dev/fd/{}", reader.as_raw_fd());
    assert_eq!(read(file(Path::new(&pipe), &given).unwrap()), "piped");
    for other in ["/proc/self/cwd", "/proc/self/root/etc"] {
        assert!(said(place(Path::new(other), &given)).contains("a link of /proc"));
    }
}

#[test]
fn nothing_leads_out_of_a_directory_that_is_walked_beneath() {
    let root = place_of_test();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("in/sub")).unwrap();
    fs::write(at("out"), "out").unwrap();
    fs::write(at("in/sub/file"), "in").unwrap();
    for (target, name) in [
        ("sub/file", "good"),
        ("../out", "up"),
        ("/etc/passwd", "root"),
    ] {
        symlink(target, at("in").join(name)).unwrap();
    }
    let inner = directory(&at("in"), &STRICT).unwrap();
    let open = |path: &str| file_beneath(inner.as_fd(), &at("in"), Path::new(path), &STRICT);
    for good in ["good", "sub/file", "sub/../good"] {
        assert_eq!(read(open(good).unwrap()), "in", "{good}");
    }
    for bad in ["up", "root", "../out", "/etc/passwd", "sub/../../out"] {
        let error = open(bad).unwrap_err();
        assert!(
            matches!(&error.fault, WalkFault::System(error)
                if error.raw_os_error() == Some(libc::EXDEV)),
            "{bad}: {error}"
        );
    }
    mode(&at("in/sub"), 0o777);
    assert!(said(open("sub/file")).contains("others can write"));
}

#[test]
fn a_relative_path_begins_at_the_working_directory() {
    let here = std::env::current_dir().unwrap();
    let below = place(
        Path::new("src"),
        &Rule {
            owners: &[
                filesystem::status(filesystem::open_directory(&here).unwrap())
                    .unwrap()
                    .uid,
            ],
            ..STRICT
        },
    );
    let same = filesystem::open_directory(&here.join("src")).unwrap();
    let inode = |fd| filesystem::status(fd).unwrap().inode;
    assert_eq!(inode(below.unwrap()), inode(same));
}

#[test]
fn no_directory_of_others_is_given_to_who_asks() {
    let owner = |unmapped| WalkFault::Owner {
        uid: 1001,
        unmapped,
    };
    let help = |path: &Path, unmapped| WalkError::new(path, owner(unmapped)).help(1004);
    assert_eq!(help(Path::new("/home"), false), ": chown root /home");
    let place = tempfile::tempdir().unwrap();
    let words = help(place.path(), false);
    assert!(
        words.contains("only you (uid 1004) or root can change"),
        "{words}"
    );
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(help(&file, false).contains(": chown 1004 /"));
    let words = help(&file, true);
    assert!(
        !words.contains("chown") && words.contains("Run hushpipe outside"),
        "{words}"
    );
    let unmapped = WalkError::new(&file, owner(true));
    assert_eq!(unmapped.foreign_owner(), None);
}

#[test]
fn a_trusted_owner_leads_to_files_of_its_own_alone() {
    if !is_root() {
        return;
    }
    let root = place_of_test();
    let at = |name: &str| root.path().join(name);
    let own = |path: &Path| lchown(path, Some(MALLORY), None).unwrap();
    fs::create_dir_all(at("app/real")).unwrap();
    fs::create_dir(at("others")).unwrap();
    for name in ["app/real/theirs", "app/of-root", "others/secret"] {
        fs::write(at(name), name).unwrap();
    }
    symlink(at("others"), at("app/away")).unwrap();
    symlink("../others/secret", at("app/link")).unwrap();
    symlink("real/theirs", at("app/within")).unwrap();
    symlink("real", at("app/of-root-link")).unwrap();
    symlink(at("others"), at("direct")).unwrap();
    fs::hard_link(at("others/secret"), at("app/hard")).unwrap();
    for name in [
        "app",
        "app/real",
        "app/real/theirs",
        "app/away",
        "app/link",
        "app/within",
        "direct",
    ] {
        own(&at(name));
    }
    let rule = Rule {
        owners: &[MALLORY],
        ..STRICT
    };
    for good in [
        "app/real/theirs",
        "app/within",
        "app/of-root",
        "app/of-root-link/theirs",
    ] {
        file(&at(good), &rule).unwrap();
    }
    for bad in ["app/away/secret", "app/link", "direct/secret", "app/hard"] {
        let text = said(file(&at(bad), &rule));
        assert!(
            text.contains("belongs to uid 0, and uid 4321"),
            "{bad}: {text}"
        );
    }
    for bad in ["app/away", "direct"] {
        let text = said(directory(&at(bad), &rule));
        assert!(
            text.contains("belongs to uid 0, and uid 4321"),
            "{bad}: {text}"
        );
    }
    directory(&at("app/real"), &rule).unwrap();
}
