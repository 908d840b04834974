use std::os::unix::fs::symlink;

use super::*;

struct Image(tempfile::TempDir);

impl Image {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn find(&self, name: &str) -> Result<Unit, Fault> {
        Root::new(self.0.path()).find(name)
    }

    fn start_of(&self, name: &str) -> String {
        let unit = self.find(name).unwrap();
        unit.settings.list("Service", "ExecStart").join(",")
    }
}

fn starts(text: &str) -> String {
    format!("[Service]\nExecStart={text}\n")
}

#[test]
fn the_administrators_file_goes_before_the_packages() {
    let image = Image::new();
    image.write("lib/systemd/system/a.service", &starts("/lib"));
    assert_eq!(image.start_of("a"), "/lib");
    image.write("usr/lib/systemd/system/a.service", &starts("/usr"));
    assert_eq!(image.start_of("a.service"), "/usr");
    image.write("run/systemd/system/a.service", &starts("/run"));
    image.write("etc/systemd/system/a.service", &starts("/etc"));
    assert_eq!(image.start_of("a.service"), "/etc");
}

#[test]
fn drop_ins_are_added_by_name_but_for_our_own() {
    let image = Image::new();
    image
        .write("lib/systemd/system/a-b.service", &starts("/a"))
        .write(
            "lib/systemd/system/a-b.service.d/20.conf",
            &starts("/lib20"),
        )
        .write(
            "etc/systemd/system/a-b.service.d/20.conf",
            &starts("/etc20"),
        )
        .write(
            "run/systemd/system/a-b.service.d/10.conf",
            &starts("/run10"),
        )
        .write(
            "etc/systemd/system/a-.service.d/30.conf",
            &starts("/prefix30"),
        )
        .write("etc/systemd/system/service.d/40.conf", &starts("/all40"))
        .write(
            "etc/systemd/system/a-b.service.d/50-hushpipe.conf",
            &starts("/ours"),
        )
        .write("etc/systemd/system/a-b.service.d/60.txt", &starts("/none"))
        .write(
            "lib/systemd/system/a-b.service.d/70.conf",
            &starts("/lib70"),
        )
        .link("etc/systemd/system/a-b.service.d/70.conf", "/dev/null");
    assert_eq!(image.start_of("a-b"), "/a,/run10,/etc20,/prefix30,/all40");
}

#[test]
fn an_instance_is_found_by_its_template() {
    let image = Image::new();
    image
        .write("lib/systemd/system/a@.service", &starts("/a %i"))
        .write("etc/systemd/system/a@.service.d/1.conf", &starts("/all"))
        .write("etc/systemd/system/a@x.service.d/2.conf", &starts("/x"));
    assert_eq!(image.start_of("a@x"), "/a %i,/all,/x");
    assert_eq!(image.start_of("a@y"), "/a %i,/all");
    assert_eq!(image.start_of("a@"), "/a %i,/all");
    image.write("etc/systemd/system/a@x.service", &starts("/own"));
    assert_eq!(image.start_of("a@x"), "/own,/all,/x");
}

#[test]
fn an_alias_stands_for_its_unit() {
    let image = Image::new();
    image
        .write("lib/systemd/system/real.service", &starts("/real"))
        .write(
            "etc/systemd/system/alias.service.d/1.conf",
            &starts("/more"),
        )
        .link(
            "etc/systemd/system/alias.service",
            "/lib/systemd/system/real.service",
        )
        .write("lib/systemd/system/t@.service", &starts("/t"))
        .link(
            "etc/systemd/system/u@.service",
            "/lib/systemd/system/t@.service",
        );
    let unit = image.find("alias").unwrap();
    assert_eq!(unit.name, "real.service");
    assert_eq!(image.start_of("alias"), "/real,/more");
    assert_eq!(image.find("u@x").unwrap().name, "t@x.service");
}

#[test]
fn a_linked_unit_is_read_where_it_is() {
    let image = Image::new();
    image
        .write("opt/app/app.service", &starts("/app"))
        .link("etc/systemd/system/app.service", "/opt/app/app.service");
    assert_eq!(image.start_of("app"), "/app");
    image.link("etc/systemd/system/gone.service", "/opt/gone/gone.service");
    assert!(matches!(image.find("gone"), Err(Fault::Missing { .. })));
}

#[test]
fn what_cannot_be_wrapped_is_told_apart() {
    let image = Image::new();
    image
        .link("etc/systemd/system/null.service", "/dev/null")
        .write("lib/systemd/system/null.service", &starts("/a"))
        .write("etc/systemd/system/empty.service", "")
        .write("run/systemd/transient/run-1.service", &starts("/a"))
        .write("run/systemd/generator.late/sysv.service", &starts("/a"))
        .write("lib/systemd/system/nginx.service", &starts("/a"));
    assert!(matches!(image.find("null"), Err(Fault::Masked { .. })));
    assert!(matches!(image.find("empty"), Err(Fault::Masked { .. })));
    assert!(matches!(image.find("run-1"), Err(Fault::Transient(_))));
    assert!(image.find("sysv").unwrap().is_generated());
    assert!(!image.find("nginx").unwrap().is_generated());
    match image.find("ngnix") {
        Err(Fault::Missing { near, .. }) => assert_eq!(near.as_deref(), Some("nginx.service")),
        other => panic!("{other:?}"),
    }
    for name in [
        "",
        "a/b",
        "../a",
        "a b",
        "a.socket",
        ".service",
        "@.service",
        "a\n",
    ] {
        assert!(matches!(image.find(name), Err(Fault::Name(_))), "{name:?}");
    }
}

#[test]
fn a_generated_unit_is_waited_for_during_a_reload() {
    let image = Image::new();
    let early = image.0.path().join("run/systemd/generator.early");
    fs::create_dir_all(&early).unwrap();
    let mut live = Root::new(image.0.path());
    live.is_live = true;
    let found = thread::scope(|scope| {
        let finding = scope.spawn(|| live.find("made"));
        // Not found at first, as nothing else would have it look again.
        thread::sleep(5 * LOOK_AGAIN);
        assert!(!finding.is_finished());
        image.write("run/systemd/generator/made.service", &starts("/a"));
        fs::remove_dir(&early).unwrap();
        finding.join().unwrap()
    });
    assert!(found.unwrap().is_generated());
}

#[test]
fn links_in_a_circle_end() {
    let image = Image::new();
    image
        .link("etc/systemd/system/a.service", "b.service")
        .link("etc/systemd/system/b.service", "a.service");
    assert!(matches!(image.find("a"), Err(Fault::Missing { .. })));
}
