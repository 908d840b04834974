//! `table.md`: what is right in each case, and what each init does.

use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;

use super::inits::Init;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compliance/table.md");

/// Tests run beside each other, and all of them write it when they are asked to.
static WRITING: Mutex<()> = Mutex::new(());

/// Where two things are right, the table has `a or b`; so has the cell of an init that is not asked.
fn is_one_of(does: &str, says: &str) -> bool {
    does == says || says.split(" or ").any(|one| one == does)
}

/// One case: its title, what is right, and what each does.
#[derive(Clone)]
pub struct Row {
    title: String,
    right: String,
    cells: [String; 3],
}

impl Row {
    /// What was measured, beside what the table says is right; for a new case what hushpipe does.
    pub fn new(title: String, table: &Table, cells: [String; 3]) -> Self {
        let right = table.row(&title).map(|row| row.right.clone());
        Self {
            title,
            right: right.unwrap_or_else(|| cells[Init::Hushpipe as usize].clone()),
            cells,
        }
    }

    fn is_right(&self, init: Init) -> bool {
        is_one_of(&self.cells[init as usize], &self.right)
    }

    fn line(&self) -> String {
        let [tini, dumb_init, hushpipe] = &self.cells;
        let Self { title, right, .. } = self;
        format!("| {title} | {right} | {tini} | {dumb_init} | {hushpipe} |")
    }

    fn parse(line: &str) -> Option<Self> {
        let inner = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let parts: Vec<String> = inner.split(" | ").map(str::to_owned).collect();
        let [title, right, tini, dumb_init, hushpipe] = parts.try_into().ok()?;
        Some(Self {
            title,
            right,
            cells: [tini, dumb_init, hushpipe],
        })
    }
}

/// The table.
pub struct Table {
    /// What stands above the rows.
    head: String,
    rows: Vec<Row>,
}

impl Table {
    pub fn read() -> Self {
        let text = fs::read_to_string(PATH).expect("tests/compliance/table.md is there");
        let end = text.find("|---").expect("the table has a head");
        let end = end + text[end..].find('\n').expect("a whole line") + 1;
        let (head, rows) = text.split_at(end);
        Self {
            head: head.to_owned(),
            rows: rows
                .lines()
                .map(|line| Row::parse(line).unwrap_or_else(|| panic!("no row: {line}")))
                .collect(),
        }
    }

    fn row(&self, title: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.title == title)
    }

    /// What the table says that an init does.
    pub fn cell(&self, title: &str, init: Init) -> Option<String> {
        Some(self.row(title)?.cells[init as usize].clone())
    }

    /// The cases that it has.
    pub fn titles(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.title.clone()).collect()
    }

    fn put(&mut self, row: &Row) {
        match self.rows.iter_mut().find(|old| old.title == row.title) {
            Some(old) if faults(old, row).is_empty() => {}
            Some(old) => old.clone_from(row),
            None => self.rows.push(row.clone()),
        }
    }

    fn write(&self) {
        let mut text = self.head.clone();
        for row in super::titles().iter().filter_map(|title| self.row(title)) {
            writeln!(text, "{}", row.line()).expect("a string takes all");
        }
        fs::write(PATH, text).expect("tests/compliance/table.md can be written");
    }
}

/// Prints the rows, and panics if hushpipe is not right in one, or one is not as the table says.
pub fn judge(table: &Table, rows: &[Row]) {
    for row in rows {
        println!("{}", row.line());
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let writing = WRITING.lock().expect("no writer panics");
        let mut table = Table::read();
        for row in rows {
            table.put(row);
        }
        table.write();
        drop(writing);
        return;
    }
    let of = |row: &Row| match table.row(&row.title) {
        Some(old) => faults(old, row),
        None => vec![format!("{}: the table does not have it", row.title)],
    };
    let faults: Vec<String> = rows.iter().flat_map(of).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn faults(old: &Row, row: &Row) -> Vec<String> {
    let Row { title, right, .. } = row;
    let mut faults = Vec::new();
    for init in Init::ALL {
        let (does, says) = (&row.cells[init as usize], &old.cells[init as usize]);
        if !is_one_of(does, says) {
            faults.push(format!(
                "{title}: {init} does {does:?}, the table has {says:?}"
            ));
        }
    }
    if !row.is_right(Init::Hushpipe) {
        let does = &row.cells[Init::Hushpipe as usize];
        faults.push(format!(
            "{title}: hushpipe does {does:?}, right is {right:?}"
        ));
    }
    faults
}

#[test]
fn a_case_where_hushpipe_is_worse_is_a_fault() {
    let row = |cells: [&str; 3]| Row {
        title: "case".to_owned(),
        right: "ends or stops".to_owned(),
        cells: cells.map(str::to_owned),
    };
    let good = row(["hangs", "ends", "stops"]);
    assert!(faults(&good, &good).is_empty());
    let worse = row(["hangs", "ends", "hangs"]);
    assert_eq!(faults(&worse, &worse).len(), 1);
    let changed = row(["ends", "ends", "stops"]);
    assert_eq!(faults(&good, &changed).len(), 1);
}
