use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::app::sealed::SealedError;
use crate::stores::sealed::Key;

struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(directory.path().join(name), text).unwrap();
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str) -> EnvFile {
        EnvFile::read(&self.path(name)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn takeover(&self, files: &[(&str, &[bool])]) -> Result<Takeover, SealedError> {
        let files = files
            .iter()
            .map(|(name, chosen)| (self.file(name), chosen.to_vec()));
        Takeover::plan(files.collect())
    }
}

fn template(text: &str, chosen: &[bool]) -> String {
    let project = Project::new(&[(".env", text)]);
    let takeover = project.takeover(&[(".env", chosen)]);
    let takeover = takeover.unwrap_or_else(|error| panic!("{error}"));
    takeover.files()[0].lines().template.clone()
}

#[test]
fn env_files_are_found_and_samples_are_not() {
    let names = [
        ".env",
        ".env.local",
        ".env.test.local",
        "prod.env",
        ".environment",
        ".envrc",
    ];
    let samples = [".env.example", ".env.local.sample", ".env.dist"];
    let all: Vec<_> = names
        .iter()
        .chain(&samples)
        .map(|name| (*name, "A=1\n"))
        .collect();
    let project = Project::new(&all);
    fs::create_dir(project.path(".env.d")).unwrap();
    std::os::unix::fs::symlink(".env", project.path(".env.link")).unwrap();
    let found = find(project.directory.path()).unwrap();
    let expected = [".env", ".env.local", ".env.test.local"].map(|name| project.path(name));
    assert_eq!(found.files, expected);
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
}

#[test]
fn what_has_the_name_of_an_env_file_and_is_none_is_reported() {
    let project = Project::new(&[]);
    fs::create_dir(project.path(".env")).unwrap();
    std::os::unix::fs::symlink("nowhere", project.path(".env.link")).unwrap();
    let fifo = project.path(".env.pipe");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let skipped = find(project.directory.path()).unwrap().skipped;
    let expected = [
        (project.path(".env"), "a directory"),
        (
            project.path(".env.link"),
            "a link to a file that is not there",
        ),
        (fifo, "a FIFO"),
    ];
    assert_eq!(skipped, expected);
}

#[test]
fn lines_become_a_template_in_their_order() {
    let text = "# a comment\nPORT=3000 # web\nexport KEY='a b'\nURL=\"pg://$USER:${PASSWORD}@db\"\n\
        PASSWORD=p$ss\nODD=\"it's \\$5\"\n";
    assert_eq!(
        template(text, &[false, true, true, true, true]),
        "PORT=3000\nexport KEY={{ KEY | dotenv }}\nURL={{ URL | dotenv(written=URL_written) }}\n\
         PASSWORD={{ PASSWORD | dotenv(written=PASSWORD_written) }}\n\
         ODD={{ ODD | dotenv(written=ODD_written) }}\n"
    );
}

#[test]
fn what_stays_readable_stays_as_it_was_written() {
    assert_eq!(
        template(
            "A = \"$B ${C}\"\r\nD='{{ x }}'\nE='one\r\n two'\n",
            &[false; 3]
        ),
        "A = \"$B $${C}\"{{ \"\\r\" }}\n\
         D={% raw %}'{{ x }}'{% endraw %}\nE='one{{ \"\\r\" }}\n two'\n"
    );
    let project = Project::new(&[(".env", "A={{endraw\nB=\u{1b}[0m\n")]);
    for chosen in [[false, true], [true, false]] {
        let error = project.takeover(&[(".env", &chosen)]).err().unwrap();
        assert!(error.to_string().contains("seal it instead"), "{error}");
    }
}

#[test]
fn a_line_keeps_its_quotes_and_what_no_filter_writes_is_sealed_as_it_was_written() {
    for (text, expected) in [
        ("  A=x\n", "  A={{ A | dotenv }}\n"),
        ("A=x", "A={{ A | dotenv }}"),
        ("A='x'\n", "A={{ A | dotenv(quotes='single') }}\n"),
        (
            "A=\"x\"\r\n",
            "A={{ A | dotenv(quotes='double') }}{{ \"\\r\" }}\n",
        ),
        ("A=x # a comment\r\n", "A={{ A | dotenv }}\n"),
        ("A='1\n2'\n", "A={{ A | dotenv(quotes='single') }}\n"),
        ("A=\"1\n2\"\n", "A={{ A | dotenv }}\n"),
        ("A=x # it's\n", "A={{ A | dotenv(written=A_written) }}\n"),
        ("A=#x\n", "A={{ A | dotenv(written=A_written) }}\n"),
        ("A=x\\", "A={{ A | dotenv(written=A_written) }}"),
        ("\u{feff}A=x\n", "{{ \"\\ufeff\" }}A={{ A | dotenv }}\n"),
        (
            "\u{feff}# c\nA=x\n",
            "{{ \"\\ufeff\" }}#\nA={{ A | dotenv }}\n",
        ),
        ("A=''\n", "A=''\n"),
        ("A= # c\n", "A= \n"),
    ] {
        assert_eq!(template(text, &[true]), expected, "{text:?}");
    }
    // A quote that a shell takes for an opening one reaches over the comment.
    let project = Project::new(&[(".env", "A=it's\n# hers\nB='x'\nA.written=y\n")]);
    let takeover = project.takeover(&[(".env", &[true; 3])]);
    let takeover = takeover.unwrap_or_else(|error| panic!("{error}"));
    let written: Vec<_> = takeover.written().collect();
    assert_eq!(written, [("A_written_", "A.written_")]);
    let record = takeover.files()[0].file().record(0);
    let record = record.unwrap_or_else(|error| panic!("{error}")).unwrap();
    assert_eq!(
        record.expose(),
        br#"{"value":"it's","text":"it's\n# hers"}"#
    );
    let project = Project::new(&[(".env", "A=1\n# a\rB=hunter2\n")]);
    let error = EnvFile::read(&project.path(".env")).err().unwrap();
    assert!(error.to_string().contains("after line 1"), "{error}");
}

#[test]
fn each_sealed_variable_has_names_of_its_own() {
    let text = "KEY=x1\n_ODD=x2\nA.B=x3\nA_B=x4\nself=x6\n";
    let project = Project::new(&[(".env", text), (".env.prod.local", "KEY=x5\n")]);
    let takeover = project.takeover(&[(".env", &[true; 5]), (".env.prod.local", &[true])]);
    let takeover = takeover.unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<_> = takeover.secrets().collect();
    let expected = [
        ("KEY", "KEY"),
        ("x_ODD", "_ODD"),
        ("A_B", "A.B"),
        ("A_B_", "A_B"),
        ("self_", "self"),
        ("prod_local_KEY", "prod.local/KEY"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_moved_file_is_a_link_and_its_values_are_in_the_store_alone() {
    let project = Project::new(&[(".env", "A=canary-one\nB='canary two'\nPORT=80\n")]);
    let (store, identity) = (project.path("secrets"), project.path("id"));
    sealed_store(&store, &identity);
    let takeover = project.takeover(&[(".env", &[true, true, false])]);
    let takeover = takeover.unwrap_or_else(|error| panic!("{error}"));
    takeover.seal(&store, &identity).unwrap();
    let opened = super::super::sealed::by_path(store, identity, false, std::rc::Rc::new(()));
    let value = |name: &str| opened.get(&Key::parse(name).unwrap(), None).ok().unwrap().0;
    assert_eq!(value("A").expose(), b"canary-one");
    assert_eq!(value("B").expose(), b"canary two");
    assert!(opened.get(&Key::parse("PORT").unwrap(), None).is_err());

    let taken = &takeover.files()[0];
    // Whoever has the file open sees what became of its blocks.
    let mut open = File::open(project.path(".env")).unwrap();
    taken.remove().unwrap();
    assert!(fs::symlink_metadata(project.path(".env")).is_err());
    let mut bytes = Vec::new();
    open.read_to_end(&mut bytes).unwrap();
    assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
}

fn sealed_store(store: &Path, identity: &Path) {
    super::super::sealed::init(store, identity).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_file_that_changed_meanwhile_or_is_a_link_stays() {
    let project = Project::new(&[(".env", "A=1x\n"), ("other", "A=2x\n")]);
    let takeover = project.takeover(&[(".env", &[true])]);
    let takeover = takeover.unwrap_or_else(|error| panic!("{error}"));
    fs::write(project.path(".env"), "A=changed\n").unwrap();
    let removed = takeover.files()[0].remove();
    assert!(
        removed
            .unwrap_err()
            .to_string()
            .contains("has changed meanwhile")
    );
    fs::remove_file(project.path(".env")).unwrap();
    fs::write(project.path("other"), "A=1x\n").unwrap();
    std::os::unix::fs::symlink("other", project.path(".env")).unwrap();
    assert!(takeover.files()[0].remove().is_err());
    assert_eq!(fs::read_to_string(project.path("other")).unwrap(), "A=1x\n");
}

#[test]
fn faults_name_the_line_or_the_variable_and_never_the_value() {
    let project = Project::new(&[(".env", "A=1\nhunter2\n")]);
    let error = EnvFile::read(&project.path(".env")).err().unwrap();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    fs::write(project.path(".env"), b"A=\xffhunter2\n").unwrap();
    let error = project.takeover(&[(".env", &[true])]).err().unwrap();
    assert!(error.to_string().contains("A is not UTF-8 text"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    fs::set_permissions(project.path(".env"), fs::Permissions::from_mode(0o600)).unwrap();
}
